//! The native half of the Python package: checks, converts, calls the core, converts back. What users see is in
//! `python/svctoken`.

mod body;
mod cancel;
mod client;
mod convert;
mod error;
mod interpreter;
mod interrupt;
mod log;
mod pages;
mod request;
mod response;
mod stream;
mod tables;

#[pyo3::pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use crate::cancel::CancelToken;
    #[pymodule_export]
    use crate::client::Client;
    #[pymodule_export]
    use crate::error::invalid_argument;
    #[pymodule_export]
    use crate::pages::PageCursor;
    #[pymodule_export]
    use crate::response::Response;
    #[pymodule_export]
    use crate::stream::Body;
    #[pymodule_export]
    use crate::tables::advance_clock;

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::interpreter::refuse_a_second(module.py())?;
        crate::tables::add_tables(module)
    }
}
