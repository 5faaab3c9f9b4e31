//! What processes tell each other about one identity: its token, a hold, a failure. Times are of the boot clock.

use std::time::Duration;

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::clock::BootTime;
use crate::error::{Error, ErrorCode, Stage};
use crate::grant::{FailureClass, Granted, Lifetime};
use crate::secret::Secret;
use crate::token::governor::{Hold, Remembered};

#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) token: Option<Found>,
    pub(crate) hold: Option<Hold>,
    pub(crate) failure: Option<Remembered>,
}

/// A token that another process, or this one, has put into the record.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) text: Secret,
    pub(crate) refresh_token: Option<Secret>,
    pub(crate) scope: Option<String>,
    pub(crate) begin: BootTime,
    pub(crate) lifetime: Duration,
}

impl Found {
    pub(crate) fn of(granted: &Granted, begin: BootTime) -> Option<Found> {
        let Lifetime::Lasts(lifetime) = granted.lifetime else { return None };
        let Granted { access_token, refresh_token, scope, lifetime: _ } = granted.clone();
        Some(Found { text: access_token, refresh_token, scope, begin, lifetime })
    }

    /// Whether its age lies within its life: one of the future is of another boot, or nobody's.
    pub(crate) fn is_alive(&self, now: BootTime) -> bool {
        self.begin <= now && now.since(self.begin) < self.lifetime
    }

    pub(crate) fn granted(&self) -> Granted {
        let Found { text, refresh_token, scope, begin: _, lifetime } = self.clone();
        Granted { access_token: text, refresh_token, scope, lifetime: Lifetime::Lasts(lifetime) }
    }
}

impl Record {
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let token = self.token.as_ref().map(|token| {
            json!({
                "text": token.text.reveal(),
                "refresh_token": token.refresh_token.as_ref().map(Secret::reveal),
                "scope": token.scope,
                "begin": token.begin.as_nanoseconds(),
                "lifetime": nanoseconds(token.lifetime),
            })
        });
        let hold =
            self.hold.map(|hold| json!({ "until": hold.until.as_nanoseconds(), "length": nanoseconds(hold.length) }));
        let failure = self.failure.as_ref().map(failure_to_json);
        Zeroizing::new(json!({ "token": token, "hold": hold, "failure": failure }).to_string().into_bytes())
    }

    /// `None` for what is not a record; a part that cannot be read is not there.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Record> {
        let json: Value = serde_json::from_slice(bytes).ok()?;
        let part = |name: &str| json.get(name).and_then(Value::as_object);
        Some(Record {
            token: part("token").and_then(token_of),
            hold: part("hold").and_then(hold_of),
            failure: part("failure").and_then(failure_of),
        })
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn time(json: &Map<String, Value>, name: &str) -> Option<BootTime> {
    json.get(name)?.as_u64().map(BootTime::from_nanoseconds)
}

fn duration(json: &Map<String, Value>, name: &str) -> Option<Duration> {
    json.get(name)?.as_u64().map(Duration::from_nanos)
}

fn text(json: &Map<String, Value>, name: &str) -> Option<String> {
    json.get(name)?.as_str().map(Into::into)
}

fn token_of(json: &Map<String, Value>) -> Option<Found> {
    let token = text(json, "text")?;
    crate::config::header::check_access_token(&token).ok()?;
    Some(Found {
        text: Secret::new(token),
        refresh_token: text(json, "refresh_token").map(Secret::new),
        scope: text(json, "scope"),
        begin: time(json, "begin")?,
        lifetime: duration(json, "lifetime")?,
    })
}

fn hold_of(json: &Map<String, Value>) -> Option<Hold> {
    Some(Hold { until: time(json, "until")?, length: duration(json, "length")?, generation: 0 })
}

const CLASSES: [(FailureClass, &str); 4] = [
    (FailureClass::Refused, "refused"),
    (FailureClass::Wrong, "wrong"),
    (FailureClass::Limit, "limit"),
    (FailureClass::Transient, "transient"),
];

fn failure_to_json(failure: &Remembered) -> Value {
    let error = &failure.error;
    let class = CLASSES.iter().find(|(class, _)| *class == failure.class).map(|(_, name)| *name);
    json!({
        "class": class,
        "until": failure.until.as_nanoseconds(),
        "until_with_token": failure.until_with_token.as_nanoseconds(),
        "times": failure.times,
        "code": error.code().number(),
        "stage": error.stage().name(),
        "what": error.what(),
        "next_step": error.next_step(),
        "status": error.status(),
        "oauth_error": error.oauth_error(),
        "oauth_error_description": error.oauth_error_description(),
        "retry_after": error.retry_after().map(nanoseconds),
    })
}

fn failure_of(json: &Map<String, Value>) -> Option<Remembered> {
    let class = text(json, "class")?;
    let code = ErrorCode::from_number(json.get("code")?.as_u64()?)?;
    let stage = Stage::from_name(json.get("stage")?.as_str()?)?;
    let mut error = Error::new(code, stage, text(json, "what")?)
        .with_oauth(text(json, "oauth_error"), text(json, "oauth_error_description"))
        .with_retry_after(duration(json, "retry_after"));
    if let Some(next_step) = text(json, "next_step") {
        error = error.with_next_step(next_step);
    }
    if let Some(status) = json.get("status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok()) {
        error = error.with_status(status);
    }
    Some(Remembered {
        error,
        class: CLASSES.iter().find(|(_, name)| *name == class).map(|(class, _)| *class)?,
        until: time(json, "until")?,
        until_with_token: time(json, "until_with_token")?,
        times: json.get("times")?.as_u64()?.try_into().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was_and_what_is_none_is_none() {
        let error = Error::new(ErrorCode::ClientRefused, Stage::TokenAnswer, "refused")
            .with_status(401)
            .with_oauth(Some("invalid_client".into()), None)
            .with_retry_after(Some(Duration::from_secs(30)))
            .with_next_step("Look.");
        let at = |seconds| BootTime::ZERO + Duration::from_secs(seconds);
        let record = Record {
            token: Some(Found {
                text: Secret::new("a.token".into()),
                refresh_token: Some(Secret::new("of the session".into())),
                scope: Some("s".into()),
                begin: at(5),
                lifetime: Duration::from_secs(60),
            }),
            hold: Some(Hold { until: at(7), length: Duration::from_secs(2), generation: 0 }),
            failure: Some(Remembered {
                error,
                class: FailureClass::Refused,
                until: at(8),
                until_with_token: at(9),
                times: 3,
            }),
        };
        let back = Record::from_bytes(&record.to_bytes()).expect("a record");
        assert_eq!(back.to_bytes(), record.to_bytes());
        let failure = back.failure.expect("there");
        assert_eq!(format!("{:?}", failure.error), format!("{:?}", record.failure.expect("there").error));
        let token = back.token.expect("there");
        assert!(token.is_alive(at(5)) && token.is_alive(at(64)) && !token.is_alive(at(65)) && !token.is_alive(at(4)));
        for nothing in ["", "[]", "null", "{}", r#"{"token":{"text":"a b","begin":1,"lifetime":1}}"#, r#"{"token":7}"#]
        {
            assert!(Record::from_bytes(nothing.as_bytes()).is_none_or(|record| record.token.is_none()), "{nothing}");
        }
    }
}
