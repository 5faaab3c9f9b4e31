//! What Python takes from the core instead of keeping a copy, and the clock of tests.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::convert;
use crate::error::boundary;

/// Adds `__version__`, `OPTIONS` (name, kind, default, doc) and `ERROR_CODES` (number, name, meaning, next step).
pub(crate) fn add_tables(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let options = svctoken::OPTIONS
        .iter()
        .map(|row| (row.name, format!("{:?}", row.kind).to_lowercase(), row.default, row.doc).into_pyobject(py));
    let codes = svctoken::ErrorCode::ALL
        .iter()
        .map(|code| (code.number(), code.name(), code.meaning(), code.next_step()).into_pyobject(py));
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("OPTIONS", PyTuple::new(py, options.collect::<PyResult<Vec<_>>>()?)?)?;
    module.add("ERROR_CODES", PyTuple::new(py, codes.collect::<PyResult<Vec<_>>>()?)?)
}

#[pyfunction]
pub(crate) fn advance_clock(py: Python<'_>, seconds: &Bound<'_, PyAny>) -> PyResult<()> {
    boundary(py, || {
        svctoken::testing::advance_clock(convert::time("seconds", seconds)?);
        Ok(())
    })
}
