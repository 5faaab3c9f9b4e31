//! The fields of a command line: words first, then `key=value`.

use crate::Broken;
use std::collections::VecDeque;
use std::time::Duration;
use svctoken_runner::line::{decode, split_pair};

pub(crate) struct Fields(VecDeque<String>);

impl Fields {
    pub(crate) fn read(line: &str) -> Result<Self, Broken> {
        Ok(Self(line.split('\t').map(str::to_owned).collect()))
    }

    /// The next field, as a word.
    pub(crate) fn word(&mut self) -> Result<String, Broken> {
        let field = self.0.pop_front().ok_or_else(|| Broken("a field is missing".to_owned()))?;
        let bytes = decode(&field).ok_or_else(|| Broken(format!("{field} is not percent-encoded")))?;
        text(bytes)
    }

    /// The next field, as a pair; `None` at the end.
    pub(crate) fn pair(&mut self) -> Result<Option<(String, Vec<u8>)>, Broken> {
        let Some(field) = self.0.pop_front() else { return Ok(None) };
        split_pair(&field).map(Some).ok_or_else(|| Broken(format!("{field} is not key=value")))
    }
}

/// Takes the pair of that name out of the others.
pub(crate) fn take(pairs: &mut Vec<(String, Vec<u8>)>, name: &str) -> Result<Option<String>, Broken> {
    let place = pairs.iter().position(|(key, _)| key == name);
    place.map(|index| text(pairs.remove(index).1)).transpose()
}

/// As [`take`], a number.
pub(crate) fn take_number(pairs: &mut Vec<(String, Vec<u8>)>, name: &str) -> Result<Option<u64>, Broken> {
    take(pairs, name)?.map(|value| number(&value)).transpose()
}

/// Rust's texts are UTF-8, so others cannot be handed over.
pub(crate) fn text(bytes: Vec<u8>) -> Result<String, Broken> {
    String::from_utf8(bytes).map_err(|_| not_expressible())
}

pub(crate) fn not_expressible() -> Broken {
    Broken("not expressible".to_owned())
}

pub(crate) fn milliseconds(text: &str) -> Result<Duration, Broken> {
    let ms: f64 = text.parse().map_err(|_| Broken(format!("{text} is no number of milliseconds")))?;
    // A negative time cannot be handed over: Duration has none.
    Duration::try_from_secs_f64(ms / 1000.0).map_err(|_| not_expressible())
}

pub(crate) fn number(text: &str) -> Result<u64, Broken> {
    text.parse().map_err(|_| Broken(format!("{text} is no number")))
}
