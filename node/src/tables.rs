//! The core's tables, from which the error class is made and against which the declarations are tested, and its clock.

use napi::bindgen_prelude::Either;
use napi_derive::napi;
use svctoken::{ErrorCode, OPTIONS, duration_of_milliseconds};

use crate::convert::camel_case;
use crate::error::{ErrorFacts, guarded};

/// A code of an error.
#[napi(object, object_from_js = false)]
pub(crate) struct ErrorCodeFacts {
    pub code: String,
    pub number: u32,
    pub meaning: String,
    pub next_step: String,
}

/// An option of a client.
#[napi(object, object_from_js = false)]
pub(crate) struct OptionFacts {
    /// Its name in JavaScript.
    pub name: String,
    pub kind: String,
    pub default: String,
    pub doc: String,
}

/// Every code, in the order of their numbers.
#[napi(catch_unwind)]
pub(crate) fn error_codes() -> Vec<ErrorCodeFacts> {
    let facts = |code: &ErrorCode| ErrorCodeFacts {
        code: code.name().into(),
        number: code.number(),
        meaning: code.meaning().into(),
        next_step: code.next_step().into(),
    };
    ErrorCode::ALL.iter().map(facts).collect()
}

/// Every option, in the order of the documentation.
#[napi(catch_unwind)]
pub(crate) fn options() -> Vec<OptionFacts> {
    let facts = |row: &svctoken::OptionRow| OptionFacts {
        name: camel_case(row.name),
        kind: format!("{:?}", row.kind),
        default: row.default.into(),
        doc: row.doc.into(),
    };
    OPTIONS.iter().map(facts).collect()
}

/// Moves the core's clock forward.
#[napi]
pub(crate) fn advance_clock(milliseconds: f64) -> Either<ErrorFacts, ()> {
    guarded(|| {
        if let Some(by) = duration_of_milliseconds(milliseconds) {
            svctoken::testing::advance_clock(by);
        }
        Ok(())
    })
}
