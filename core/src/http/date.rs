//! Dates of HTTP, and Retry-After, which may be one.

use std::time::{Duration, SystemTime};

use crate::clock;
use crate::http::HeaderMap;

/// A few thousand years, which no clock of any language overflows.
const LONGEST_RETRY_AFTER: u64 = 100_000_000_000;

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
pub(crate) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    http_date(headers.get("date")?.to_str().ok()?)
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
    use crate::http::HeaderValue;

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
