//! The members of a JSON object, taken out one by one, so that what is left over is an error.

use serde_json::{Map, Value};

const VERBS: [&str; 25] = [
    "client",
    "get_token",
    "get_token_info",
    "revoke",
    "introspect",
    "request",
    "pages",
    "items",
    "wait",
    "cancel",
    "invalidate_token",
    "clear_cache",
    "stats",
    "describe",
    "events",
    "close",
    "advance_ms",
    "await",
    "release",
    "settings",
    "sandbox",
    "expect_sandbox",
    "expect_files",
    "repeat",
    "write",
];

pub(super) struct Fields {
    what: &'static str,
    members: Map<String, Value>,
}

impl Fields {
    pub(super) fn of(what: &'static str, value: Value) -> Result<Self, String> {
        match value {
            Value::Object(members) => Ok(Self { what, members }),
            other => Err(format!("{what} is an object, not {other}")),
        }
    }

    /// The one member that says what a step does; a second one is left over, and so an error.
    pub(super) fn verb(&self) -> Result<&'static str, String> {
        let verb = VERBS.into_iter().find(|verb| self.members.contains_key(*verb));
        verb.ok_or_else(|| format!("{} does nothing that is known", self.what))
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.members.shift_remove(key)
    }

    pub(super) fn text(&mut self, key: &str) -> Result<String, String> {
        self.optional_text(key)?.ok_or_else(|| format!("{key:?} is missing in {}", self.what))
    }

    pub(super) fn optional_text(&mut self, key: &str) -> Result<Option<String>, String> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("{key:?} is a text, not {other}")),
        }
    }

    pub(super) fn optional_texts(&mut self, key: &str) -> Result<Vec<String>, String> {
        let wrong = || format!("{key:?} is a list of texts");
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                items.into_iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
            }
            Some(_) => Err(wrong()),
        }
    }

    pub(super) fn optional_number(&mut self, key: &str) -> Result<Option<u64>, String> {
        match self.take(key) {
            None => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| format!("{key:?} is a whole number, not {value}")),
        }
    }

    pub(super) fn optional_flag(&mut self, key: &str) -> Result<bool, String> {
        match self.take(key) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| format!("{key:?} is true or false, not {value}")),
        }
    }

    pub(super) fn optional_object(&mut self, key: &str) -> Result<Map<String, Value>, String> {
        match self.take(key) {
            None => Ok(Map::new()),
            Some(Value::Object(members)) => Ok(members),
            Some(other) => Err(format!("{key:?} is an object, not {other}")),
        }
    }

    pub(super) fn optional_text_map(&mut self, key: &str) -> Result<Vec<(String, String)>, String> {
        self.take(key).map_or(Ok(Vec::new()), |value| text_map(key, value))
    }

    pub(super) fn end(self) -> Result<(), String> {
        match self.members.keys().next() {
            None => Ok(()),
            Some(key) => Err(format!("unknown or second key {key:?} in {}", self.what)),
        }
    }
}

pub(super) fn text_map(key: &str, value: Value) -> Result<Vec<(String, String)>, String> {
    let wrong = || format!("{key:?} is an object of texts");
    let Value::Object(members) = value else {
        return Err(wrong());
    };
    members.into_iter().map(|(name, value)| Ok((name, value.as_str().ok_or_else(wrong)?.to_owned()))).collect()
}
