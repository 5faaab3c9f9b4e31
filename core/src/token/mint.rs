//! One flight's work: token requests until a token, an end of patience, or a reason to give up. The only place where
//! credential, grant and http meet.

use std::cmp::min;
use std::time::{Duration, SystemTime};

use crate::clock::{self, BootTime};
use crate::config::settings::GrantSettings;
use crate::crypto;
use crate::error::{Error, ErrorCode, Stage};
use crate::grant::{self, Failure, FailureClass, Granted, TokenAnswer, TokenRequest};
use crate::http::{HeaderMap, HeaderValue, HttpClient, Method, Outgoing};
use crate::log::Reason;
use crate::stats::TokenCounters;
use crate::token::governor::{NotYet, Remembered};
use crate::token::record::Found;
use crate::token::shared::{InHand, Turn};
use crate::token::{LOOK_AGAIN, Minting, governor};
use crate::wait::Wait;

/// A few thousand years, which no clock of any language overflows.
const LONGEST_RETRY_AFTER: u64 = 100_000_000_000;
/// Larger answers are no token answers.
const LARGEST_ANSWER: u64 = 1024 * 1024;

/// What came of a flight that did not fail.
pub(crate) enum Minted {
    /// A token, and the moment from which its life counts.
    Token(Granted, BootTime),
    /// One that another process has minted.
    Found(Found),
    /// Another process is minting, and the caller is in no hurry.
    Elsewhere,
    /// Another process has failed, or the machine's budget is used up.
    NotYet(Remembered),
}

/// Requests a token, again where that may help, taking turns with the other processes of a store.
///
/// Without a store the first attempt is entered in the account's ledger by whoever started the flight.
pub(crate) fn mint(
    minting: &Minting,
    counters: &TokenCounters,
    reason: Reason,
    in_hand: InHand,
) -> Result<Minted, Failure> {
    let Minting { settings, http, shared, log, .. } = minting;
    // The flight is nobody's call: the client's timeout bounds how long it is tried again, and an attempt once begun
    // has its whole token_timeout. Otherwise a timeout shorter than the server's answer would never see a token.
    let trying = Wait::of("timeout", settings.retry_window);
    let mut attempts = 0;
    loop {
        let lock = match shared.as_ref().map(|shared| shared.take_turn(settings, in_hand, &trying)) {
            None => None,
            Some(Turn::Ours(lock)) => lock,
            Some(Turn::Found(found)) => {
                log.token_found((found.begin + found.lifetime).since(clock::now()));
                return Ok(Minted::Found(found));
            }
            Some(Turn::Elsewhere) => return Ok(Minted::Elsewhere),
            Some(Turn::NotYet(remembered)) => return Ok(Minted::NotYet(remembered)),
        };
        attempts += 1;
        let began = clock::now();
        log.token_requested(&settings.token_url.origin, reason, attempts);
        let failure = match attempt(settings, http, counters) {
            Ok(granted) => {
                let lifetime = granted.lifetime.kept();
                log.token_received(&settings.token_url.origin, lifetime, clock::now().since(began));
                if let (Some(shared), Some(token)) = (shared, Found::of(&granted, began))
                    && let Err(why) = shared.granted(token)
                {
                    log.cache_unavailable(&why);
                }
                return Ok(Minted::Token(granted, began));
            }
            Err(failure) => failure,
        };
        let fraction = crypto::random_fraction();
        let pause = governor::next_attempt(&failure, attempts, settings.max_attempts, trying.remaining(), fraction);
        log.token_request_failed(&failure.error, pause);
        // Before the lock is free, so that the next process reads it instead of trying the same.
        if let Some(shared) = shared {
            shared.attempt_failed(&failure, pause, fraction);
        }
        drop(lock);
        let again = pause.is_some_and(|pause| trying.sleep(pause).is_ok())
            && (shared.is_some() || wait_for_budget(minting, &trying));
        if !again {
            return Err(in_context(failure, settings, attempts));
        }
    }
}

/// Enters another attempt in the account's ledger, waiting for its turn if the time allows.
fn wait_for_budget(minting: &Minting, trying: &Wait) -> bool {
    loop {
        match minting.account.enter(&minting.settings, false) {
            Ok(()) => return true,
            Err(NotYet { worth_waiting: Some(time), .. }) if time < trying.remaining() => {
                if trying.sleep(min(time, LOOK_AGAIN)).is_err() {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
}

fn in_context(failure: Failure, settings: &GrantSettings, attempts: u32) -> Failure {
    let mut doing = format!("requesting a token from {}", settings.token_url.origin);
    if attempts > 1 {
        doing.push_str(&format!(", {attempts} times"));
    }
    Failure { error: failure.error.while_doing(&doing), ..failure }
}

fn attempt(settings: &GrantSettings, http: &HttpClient, counters: &TokenCounters) -> Result<Granted, Failure> {
    let request = TokenRequest::build(settings);
    let outgoing = Outgoing {
        method: Method::POST,
        url: &settings.token_url,
        headers: headers(settings, &request).map_err(|error| Failure { class: FailureClass::Wrong, error })?,
        body: Some(request.body.reveal().as_bytes()),
    };
    counters.token_request();
    let wait = Wait::of("token_timeout", settings.token_timeout);
    let answer = http.send(&outgoing, &wait, LARGEST_ANSWER).map_err(failure_of_network)?;
    let read = TokenAnswer {
        status: answer.status,
        body: &answer.body,
        retry_after: retry_after(&answer.headers),
        redirects_to: (300..400)
            .contains(&answer.status)
            .then(|| answer.headers.get("location").and_then(|location| location.to_str().ok()))
            .flatten(),
        clock_ahead: date(&answer.headers).map(|date| seconds_after(date, clock::wall())),
    };
    grant::read_answer(&read, settings)
}

fn headers(settings: &GrantSettings, request: &TokenRequest) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    headers.insert("accept", HeaderValue::from_static("application/json"));
    headers.insert("cache-control", HeaderValue::from_static("no-cache"));
    headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
    let text = |option: &str, text: &str| {
        HeaderValue::from_str(text).map_err(|_| Error::configuration(format!("{option} cannot stand in a header")))
    };
    headers.insert("user-agent", text("user_agent", &settings.user_agent)?);
    if let Some(authorization) = &request.authorization {
        let mut value = text("client_secret", authorization.reveal())?;
        value.set_sensitive(true);
        headers.insert("authorization", value);
    }
    Ok(headers)
}

/// What the network did to a token request: nearly all of it may go away by itself.
fn failure_of_network(error: Error) -> Failure {
    let class = match error.code() {
        ErrorCode::AnswerTooLarge => {
            let error = Error::new(ErrorCode::BadTokenAnswer, Stage::Receiving, error.what());
            return Failure { class: FailureClass::Wrong, error };
        }
        ErrorCode::TlsFailed if error.may_pass() => FailureClass::Transient,
        ErrorCode::TlsFailed | ErrorCode::InvalidArgument | ErrorCode::InvalidConfiguration => FailureClass::Wrong,
        _ => FailureClass::Transient,
    };
    Failure { class, error }
}

/// Retry-After (RFC 9110 section 10.2.3): seconds, or a date against the answer's own Date, as our clock may be wrong.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("retry-after")?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(LONGEST_RETRY_AFTER).min(LONGEST_RETRY_AFTER)));
    }
    let until = http_date(value)?;
    let now = date(headers).unwrap_or_else(clock::wall);
    Some(until.duration_since(now).unwrap_or_default())
}

/// The answer's Date.
fn date(headers: &HeaderMap) -> Option<SystemTime> {
    http_date(headers.get("date")?.to_str().ok()?)
}

fn seconds_after(later: SystemTime, earlier: SystemTime) -> i64 {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    later.duration_since(earlier).map_or_else(|before| -seconds(before.duration()), seconds)
}

/// An IMF-fixdate (RFC 9110 section 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<SystemTime> {
    let mut parts = text.split_once(", ")?.1.split([' ', ':']);
    let mut number = || parts.next()?.parse::<i64>().ok();
    let day = number()?;
    let month = parts.next()?;
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let mut number = || parts.next()?.parse::<i64>().ok();
    let (year, hour, minute, second) = (number()?, number()?, number()?, number()?);
    let in_range = (1970..10_000).contains(&year) && (1..=31).contains(&day) && (0..24).contains(&hour);
    if !in_range || !(0..60).contains(&minute) || !(0..=60).contains(&second) {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// In the Gregorian calendar, with March as the year's first month so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    days - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(pairs: &[(&'static str, &'static str)]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        retry_after(&headers).map(|duration| duration.as_secs())
    }

    #[test]
    fn p09_retry_after_is_read_in_both_forms() {
        assert_eq!(parsed(&[("retry-after", "120")]), Some(120));
        assert_eq!(parsed(&[("retry-after", "99999999999999999999999999")]), Some(100_000_000_000));
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(parsed(&[("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT"), date]), Some(60));
        assert_eq!(parsed(&[("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT"), date]), Some(0));
        for wrong in ["", "-1", "soon", "1.5", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(parsed(&[("retry-after", wrong)]), None, "{wrong}");
        }
    }

    #[test]
    fn dates_are_counted_right() {
        let seconds =
            |text| http_date(text).and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok()).map(|d| d.as_secs());
        assert_eq!(seconds("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(seconds("Thu, 29 Feb 2024 12:00:00 GMT"), Some(1_709_208_000));
        assert_eq!(seconds("Mon, 5 Aug 2024 00:00:00 GMT"), Some(1_722_816_000));
    }
}
