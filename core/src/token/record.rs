//! What processes tell each other about one identity: its token, a hold, a failure. Times are written as of an epoch: the
//! machine's start where one boot writes and reads, the writing itself where machines share nothing but its age.

use std::cmp::max;
use std::time::Duration;

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::clock::BootTime;
use crate::error::{Error, ErrorCode, Stage};
use crate::grant::{FailureClass, Granted, Lifetime};
use crate::secret::Secret;
use crate::token::governor::{Hold, Remembered};

/// How long what a server says of itself is believed: servers move seldom, and one that has moved is noticed by its
/// silence.
pub(crate) const METADATA_KEPT_FOR: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) token: Option<Found>,
    pub(crate) hold: Option<Hold>,
    pub(crate) failure: Option<Remembered>,
    pub(crate) metadata: Option<Noted>,
}

/// What a server said of itself: the part of the document that is read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Noted {
    pub(crate) document: Value,
    pub(crate) read: BootTime,
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
    /// How long anything in it is of use from now on.
    pub(crate) fn lasts(&self, now: BootTime) -> Duration {
        let token = self.token.as_ref().map(|token| token.begin + token.lifetime);
        let hold = self.hold.map(|hold| hold.until);
        let failure = self.failure.as_ref().map(|failure| max(failure.until, failure.until_with_token));
        let metadata = self.metadata.as_ref().map(|noted| noted.read + METADATA_KEPT_FOR);
        [token, hold, failure, metadata].into_iter().flatten().map(|end| end.since(now)).max().unwrap_or_default()
    }

    /// With times as of `epoch`. Whoever reads it is told for how long it was to be kept.
    pub(crate) fn to_bytes(&self, epoch: BootTime, kept_for: Duration) -> Zeroizing<Vec<u8>> {
        let time = |time: BootTime| time.as_nanoseconds().saturating_sub(epoch.as_nanoseconds());
        let token = self.token.as_ref().map(|token| {
            json!({
                "text": token.text.reveal(),
                "refresh_token": token.refresh_token.as_ref().map(Secret::reveal),
                "scope": token.scope,
                "begin": time(token.begin),
                "lifetime": nanoseconds(token.lifetime),
            })
        });
        let hold = self.hold.map(|hold| json!({ "until": time(hold.until), "length": nanoseconds(hold.length) }));
        let failure = self.failure.as_ref().map(|failure| failure_to_json(failure, time));
        let metadata =
            self.metadata.as_ref().map(|noted| json!({ "document": noted.document, "read": time(noted.read) }));
        let kept_for = nanoseconds(kept_for);
        let record =
            json!({ "kept_for": kept_for, "token": token, "hold": hold, "failure": failure, "metadata": metadata });
        Zeroizing::new(record.to_string().into_bytes())
    }

    /// `None` for what is not a record; a part that cannot be read is not there. `epoch` tells from when times count, of
    /// how long it was to be kept.
    pub(crate) fn from_bytes(bytes: &[u8], epoch: impl FnOnce(Duration) -> BootTime) -> Option<Record> {
        let json: Value = serde_json::from_slice(bytes).ok()?;
        let epoch = epoch(duration(json.as_object()?, "kept_for")?);
        let part = |name: &str| Some(Part { fields: json.get(name)?.as_object()?, epoch });
        Some(Record {
            token: part("token").and_then(|part| token_of(&part)),
            hold: part("hold").and_then(|part| hold_of(&part)),
            failure: part("failure").and_then(|part| failure_of(&part)),
            metadata: part("metadata").and_then(|part| {
                Some(Noted { document: part.fields.get("document")?.clone(), read: part.time("read")? })
            }),
        })
    }
}

struct Part<'a> {
    fields: &'a Map<String, Value>,
    epoch: BootTime,
}

impl Part<'_> {
    fn time(&self, name: &str) -> Option<BootTime> {
        let time = self.fields.get(name)?.as_i64()?;
        Some(BootTime::from_nanoseconds(time.saturating_add(self.epoch.as_nanoseconds())))
    }

    fn duration(&self, name: &str) -> Option<Duration> {
        duration(self.fields, name)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.fields.get(name)?.as_str().map(Into::into)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn duration(json: &Map<String, Value>, name: &str) -> Option<Duration> {
    json.get(name)?.as_u64().map(Duration::from_nanos)
}

fn token_of(part: &Part<'_>) -> Option<Found> {
    let token = part.text("text")?;
    crate::config::header::check_access_token(&token).ok()?;
    Some(Found {
        text: Secret::new(token),
        refresh_token: part.text("refresh_token").map(Secret::new),
        scope: part.text("scope"),
        begin: part.time("begin")?,
        lifetime: part.duration("lifetime")?,
    })
}

fn hold_of(part: &Part<'_>) -> Option<Hold> {
    Some(Hold { until: part.time("until")?, length: part.duration("length")?, generation: 0 })
}

const CLASSES: [(FailureClass, &str); 4] = [
    (FailureClass::Refused, "refused"),
    (FailureClass::Wrong, "wrong"),
    (FailureClass::Limit, "limit"),
    (FailureClass::Transient, "transient"),
];

fn failure_to_json(failure: &Remembered, time: impl Fn(BootTime) -> i64) -> Value {
    let error = &failure.error;
    let class = CLASSES.iter().find(|(class, _)| *class == failure.class).map(|(_, name)| *name);
    json!({
        "class": class,
        "until": time(failure.until),
        "until_with_token": time(failure.until_with_token),
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

fn failure_of(part: &Part<'_>) -> Option<Remembered> {
    let class = part.text("class")?;
    let code = ErrorCode::from_number(part.fields.get("code")?.as_u64()?)?;
    let stage = Stage::from_name(&part.text("stage")?)?;
    let mut error = Error::new(code, stage, part.text("what")?)
        .with_oauth(part.text("oauth_error"), part.text("oauth_error_description"))
        .with_retry_after(part.duration("retry_after"));
    if let Some(next_step) = part.text("next_step") {
        error = error.with_next_step(next_step);
    }
    let status = part.fields.get("status").and_then(Value::as_u64);
    if let Some(status) = status.and_then(|status| u16::try_from(status).ok()) {
        error = error.with_status(status);
    }
    Some(Remembered {
        error,
        class: CLASSES.iter().find(|(_, name)| *name == class).map(|(class, _)| *class)?,
        until: part.time("until")?,
        until_with_token: part.time("until_with_token")?,
        times: part.fields.get("times")?.as_u64()?.try_into().ok()?,
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
            metadata: Some(Noted { document: json!({"issuer": "https://a.example"}), read: at(4) }),
        };
        let written = record.to_bytes(BootTime::ZERO, Duration::ZERO);
        let back = Record::from_bytes(&written, |_| BootTime::ZERO).expect("a record");
        assert_eq!(back.to_bytes(BootTime::ZERO, Duration::ZERO), written);
        assert_eq!(back.metadata, record.metadata);
        let failure = back.failure.expect("there");
        assert_eq!(format!("{:?}", failure.error), format!("{:?}", record.failure.expect("there").error));
        let token = back.token.expect("there");
        assert!(token.is_alive(at(5)) && token.is_alive(at(64)) && !token.is_alive(at(65)) && !token.is_alive(at(4)));
        for nothing in [
            "",
            "[]",
            "null",
            "{}",
            r#"{"kept_for":1,"token":{"text":"a b","begin":1,"lifetime":1}}"#,
            r#"{"kept_for":1,"token":7}"#,
        ] {
            let record = Record::from_bytes(nothing.as_bytes(), |_| BootTime::ZERO);
            assert!(record.is_none_or(|record| record.token.is_none()), "{nothing}");
        }
    }

    #[test]
    fn p06_a_machine_that_started_after_the_token_was_minted_reads_its_age_all_the_same() {
        let at = |seconds| BootTime::ZERO + Duration::from_secs(seconds);
        let lifetime = Duration::from_secs(3600);
        let token = Found {
            text: Secret::new("a.token".into()),
            refresh_token: None,
            scope: None,
            begin: at(10_000),
            lifetime,
        };
        let record = Record { token: Some(token), ..Record::default() };
        let written = at(10_060);
        assert_eq!(record.lasts(written), Duration::from_secs(3540));
        let bytes = record.to_bytes(written, record.lasts(written));
        // Read 29 minutes after it was minted, by a machine that has been up for a minute.
        let left = Duration::from_secs(31 * 60);
        let epoch = |kept_for: Duration| at(60) - (kept_for - left);
        let read = Record::from_bytes(&bytes, epoch).and_then(|record| record.token).expect("a token");
        assert!(read.begin < BootTime::ZERO && read.begin > BootTime::NEVER);
        assert!(read.is_alive(at(60)) && read.is_alive(at(60 + 31 * 60 - 1)) && !read.is_alive(at(60 + 31 * 60)));
    }
}
