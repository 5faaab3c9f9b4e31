//! Answer lines.

use crate::loud;
use std::fmt::Display;
use svctoken::{Error, LogEvent, Stats};
use svctoken_runner::line::{encode, pair};

pub(crate) struct Answer(String);

impl Answer {
    pub(crate) fn ok() -> Self {
        Self("ok".to_owned())
    }

    pub(crate) fn broken(why: &str) -> Self {
        Self("broken".to_owned()).with("message", why)
    }

    pub(crate) fn error(error: &Error) -> Self {
        loud::show_error(error);
        let mut answer = Self("error".to_owned())
            .with("code", error.code().number())
            .with("name", error.code().name())
            .with("message", error)
            .with("stage", error.stage().name());
        if let Some(status) = error.status() {
            answer = answer.with("status", status);
        }
        if let Some(code) = error.oauth_error() {
            answer = answer.with("oauth_error", code);
        }
        if let Some(description) = error.oauth_error_description() {
            answer = answer.with("oauth_error_description", description);
        }
        if let Some(code) = error.api_error_code() {
            answer = answer.with("api_error_code", code);
        }
        if let Some(time) = error.retry_after() {
            answer = answer.with("retry_after_ms", time.as_millis());
        }
        answer
    }

    pub(crate) fn with(mut self, key: &str, value: impl Display) -> Self {
        self.0.push('\t');
        self.0.push_str(&pair(key, &value.to_string()));
        self
    }

    /// A field whose value need not be UTF-8.
    pub(crate) fn with_bytes(mut self, key: &str, value: &[u8]) -> Self {
        self.0.push_str(&format!("\t{}={}", encode(key.as_bytes()), encode(value)));
        self
    }

    pub(crate) fn line(mut self) -> String {
        self.0.push('\n');
        self.0
    }
}

pub(crate) fn of_stats(stats: &Stats) -> Answer {
    stats.entries().into_iter().fold(Answer::ok(), |answer, (name, count)| answer.with(name, count))
}

pub(crate) fn of_events(events: &[LogEvent]) -> Answer {
    events.iter().enumerate().fold(Answer::ok(), |answer, (number, event)| {
        let answer = answer
            .with(&format!("{number}.severity"), event.severity().name())
            .with(&format!("{number}.name"), event.name())
            .with(&format!("{number}.message"), event.message());
        event.fields().iter().fold(answer, |answer, (name, value)| answer.with(&format!("{number}.{name}"), value))
    })
}
