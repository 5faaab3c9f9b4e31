//! From Python's values to the core's. What fits nowhere goes to the core as [`Value::Other`], which makes the error.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyMapping, PyString};
use svctoken::{Config, Environment, OPTIONS, OptionKind, SecretCallback, Value};

use crate::cancel::CancelToken;
use crate::error::Failure;

/// What a value is called in an error: `a str`, `an int`.
fn type_name(value: &Bound<'_, PyAny>) -> String {
    let name = value.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
    let article = if name.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U']) { "an" } else { "a" };
    format!("{article} {name}")
}

fn wrong_type(name: &str, expected: &str, got: &str) -> Failure {
    Failure::WrongType(format!("{name} must be {expected}, not {got}"))
}

/// A function of the host's, of which the client and the core hold one reference together.
pub(crate) type HostFunction = Arc<Py<PyAny>>;

/// Keyword arguments as options; `None` is as if it were not given. Beside them the function among them.
pub(crate) fn config(options: &Bound<'_, PyDict>) -> Result<(Config, Option<HostFunction>), Failure> {
    let (mut config, mut function) = (Config::default(), None);
    for (name, value) in options.iter().filter(|(_, value)| !value.is_none()) {
        let name = text(&name).unwrap_or_else(|got| got);
        let kind = OPTIONS.iter().find(|row| row.name == name).map(|row| row.kind);
        let value = match kind {
            Some(OptionKind::Callback) if value.is_callable() => {
                Value::Callback(secret_callback(function.insert(Arc::new(value.unbind())).clone()))
            }
            _ => option(kind, &value)?,
        };
        config.set(&name, value)?;
    }
    Ok((config, function))
}

fn option(kind: Option<OptionKind>, value: &Bound<'_, PyAny>) -> PyResult<Value> {
    let converted = match kind {
        Some(OptionKind::Text) => path_or_text(value)?.map(Value::Text),
        Some(OptionKind::Secret) => text(value).map(Value::Text),
        Some(OptionKind::Duration) => seconds(value)?.map(|seconds| Value::Milliseconds(seconds * 1000.0)),
        Some(OptionKind::Count) => number(value)?.map(Value::Number),
        Some(OptionKind::Flag) => value.extract().map(Value::Flag).map_err(|_| type_name(value)),
        Some(OptionKind::List) if value.is_instance_of::<PyString>() => text(value).map(Value::Text),
        Some(OptionKind::List) => texts(value)?.map(Value::List),
        Some(OptionKind::Pairs) => pairs(value)?.map(Value::Pairs),
        _ => Err(type_name(value)),
    };
    Ok(converted.unwrap_or_else(Value::Other))
}

/// Called on the core's thread. At the end of the interpreter, which cannot be attached to any more, it has no secret.
fn secret_callback(function: HostFunction) -> SecretCallback {
    SecretCallback::new(move || {
        let called = Python::try_attach(|py| {
            let answer = function.bind(py).call0().map_err(|error| format!("it raised {error}"))?;
            text(&answer).map_err(|got| format!("it returned {got}"))
        });
        called.unwrap_or_else(|| Err("the interpreter is ending".into()))
    })
}

/// `os.environ`. A name that is not UTF-8 is none of ours; a value that is not is the core's to judge.
pub(crate) fn environment(environ: &Bound<'_, PyAny>) -> PyResult<Environment> {
    let mut variables = Vec::new();
    for item in environ.call_method0("items")?.try_iter()? {
        let (name, value): (Bound<'_, PyAny>, OsString) = item?.extract()?;
        if let Ok(name) = text(&name) {
            variables.push((name, value));
        }
    }
    Ok(Environment::from_pairs(variables))
}

/// A text, or what the value is called.
fn text(value: &Bound<'_, PyAny>) -> Result<String, String> {
    let text = value.cast::<PyString>().map_err(|_| type_name(value))?;
    text.to_str().map(str::to_owned).map_err(|_| "a str with lone surrogates".to_owned())
}

/// As [`text`]; a `pathlib.Path` is good for the name of a file, too.
fn path_or_text(value: &Bound<'_, PyAny>) -> PyResult<Result<String, String>> {
    if value.hasattr("__fspath__")? {
        return Ok(text(&value.call_method0("__fspath__")?));
    }
    Ok(text(value))
}

fn texts(value: &Bound<'_, PyAny>) -> PyResult<Result<Vec<String>, String>> {
    if value.is_instance_of::<PyBytes>() || value.cast::<PyMapping>().is_ok() {
        return Ok(Err(type_name(value)));
    }
    let Ok(items) = value.try_iter() else {
        return Ok(Err(type_name(value)));
    };
    let items = items.collect::<PyResult<Vec<_>>>()?;
    let texts = items.iter().map(|item| text(item).map_err(|got| format!("{} holding {got}", type_name(value))));
    Ok(texts.collect())
}

/// A number other than a bool, which Python counts among its ints. Beyond a float's range it is infinite.
fn number(value: &Bound<'_, PyAny>) -> PyResult<Result<f64, String>> {
    if value.is_instance_of::<PyBool>() {
        return Ok(Err(type_name(value)));
    }
    match value.extract::<f64>() {
        Ok(number) => Ok(Ok(number)),
        Err(error) if error.is_instance_of::<PyTypeError>(value.py()) => Ok(Err(type_name(value))),
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => {
            Ok(Ok(if value.lt(0)? { f64::NEG_INFINITY } else { f64::INFINITY }))
        }
        Err(error) => Err(error),
    }
}

/// Seconds as a number or a `datetime.timedelta`.
fn seconds(value: &Bound<'_, PyAny>) -> PyResult<Result<f64, String>> {
    if value.hasattr("total_seconds")? {
        return number(&value.call_method0("total_seconds")?);
    }
    number(value)
}

/// An argument that is a length of time; one not above zero comes out as zero, which the core refuses.
pub(crate) fn time(name: &str, value: &Bound<'_, PyAny>) -> Result<Duration, Failure> {
    let seconds = seconds(value)?.map_err(|got| wrong_type(name, "a number of seconds or a timedelta", &got))?;
    Ok(svctoken::duration_of_milliseconds(seconds * 1000.0).unwrap_or_default())
}

/// An argument that is a text.
pub(crate) fn text_argument(name: &str, value: &Bound<'_, PyAny>) -> Result<String, Failure> {
    text(value).map_err(|got| wrong_type(name, "a str", &got))
}

/// What `__fspath__` gave, which may be bytes that are no text.
pub(crate) fn path(value: &Bound<'_, PyAny>) -> Result<PathBuf, Failure> {
    match value.cast::<PyBytes>() {
        Ok(bytes) => Ok(OsStr::from_bytes(bytes.as_bytes()).into()),
        Err(_) => Ok(value.extract::<PathBuf>()?),
    }
}

/// An argument that is true or false.
pub(crate) fn flag(name: &str, value: &Bound<'_, PyAny>) -> Result<bool, Failure> {
    value.extract().map_err(|_| wrong_type(name, "a bool", &type_name(value)))
}

/// An argument that is a count; what is too large is the largest there is, and what is negative 0, which the
/// core refuses.
pub(crate) fn size(name: &str, value: &Bound<'_, PyAny>) -> Result<u64, Failure> {
    if value.is_instance_of::<PyBool>() || !value.is_instance_of::<PyInt>() {
        return Err(wrong_type(name, "an int", &type_name(value)));
    }
    match value.extract::<u64>() {
        Ok(size) => Ok(size),
        _ if value.gt(0)? => Ok(u64::MAX),
        _ => Ok(0),
    }
}

/// An argument that is a [`CancelToken`].
pub(crate) fn cancel(value: &Bound<'_, PyAny>) -> Result<svctoken::CancelToken, Failure> {
    match value.cast::<CancelToken>() {
        Ok(token) => Ok(token.get().core.clone()),
        Err(_) => Err(wrong_type("cancel", "a svctoken.CancelToken", &type_name(value))),
    }
}

/// An argument of names with values.
pub(crate) fn pairs_argument(name: &str, value: &Bound<'_, PyAny>) -> Result<Vec<(String, String)>, Failure> {
    pairs(value)?.map_err(|got| wrong_type(name, "a mapping or a list of pairs, of texts and numbers", &got))
}

/// A mapping or an iterable of pairs. `None` is left out, a list repeats its name.
fn pairs(value: &Bound<'_, PyAny>) -> PyResult<Result<Vec<(String, String)>, String>> {
    let is_mapping = value.cast::<PyMapping>().is_ok();
    let source = if is_mapping { value.call_method0("items")? } else { value.clone() };
    let iterator = source.try_iter();
    let (false, Ok(items)) = (value.is_instance_of::<PyString>() || value.is_instance_of::<PyBytes>(), iterator) else {
        return Ok(Err(type_name(value)));
    };
    let mut pairs = Vec::new();
    for item in items {
        let item = item?;
        let Ok((name, value)) = item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>() else {
            return Ok(Err(format!("{} holding {}", type_name(&source), type_name(&item))));
        };
        if let Err(got) = add_pair(&mut pairs, &name, &value)? {
            return Ok(Err(got));
        }
    }
    Ok(Ok(pairs))
}

fn add_pair(
    pairs: &mut Vec<(String, String)>,
    name: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
) -> PyResult<Result<(), String>> {
    let name = match text(name) {
        Ok(name) => name,
        Err(got) => return Ok(Err(format!("with {got} as a name"))),
    };
    let repeats = !value.is_instance_of::<PyString>() && !value.is_instance_of::<PyBytes>();
    let values = match value.try_iter() {
        Ok(values) if repeats => values.collect::<PyResult<Vec<_>>>()?,
        _ => vec![value.clone()],
    };
    for value in values.iter().filter(|value| !value.is_none()) {
        match scalar(value)? {
            Ok(text) => pairs.push((name.clone(), text)),
            Err(got) => return Ok(Err(format!("{got} at {name:?}"))),
        }
    }
    Ok(Ok(()))
}

fn scalar(value: &Bound<'_, PyAny>) -> PyResult<Result<String, String>> {
    if let Ok(flag) = value.extract::<bool>() {
        return Ok(Ok(flag.to_string()));
    }
    // By the base type's repr: an IntEnum's own says its name.
    let py = value.py();
    if value.is_instance_of::<PyInt>() {
        return py.get_type::<PyInt>().call_method1("__repr__", (value,))?.extract().map(Ok);
    }
    if value.is_instance_of::<PyFloat>() {
        return py.get_type::<PyFloat>().call_method1("__repr__", (value,))?.extract().map(Ok);
    }
    Ok(text(value))
}
