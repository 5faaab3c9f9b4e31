//! Where a redirect leads, and whether it is followed. Pure.

use crate::config::url::{Scheme, Url};
use crate::error::{Error, ErrorCode, Result, Stage};
use crate::http::{Answer, Method};

/// As many redirects of one call are followed.
const MOST: u32 = 5;

/// What goes to another origin: nothing that could be meant for the first one alone.
pub(crate) const HARMLESS_HEADERS: [&str; 3] = ["accept", "range", "user-agent"];

/// Whether a status says where else to go, and for one method or another that is followed.
pub(crate) fn is_redirect(status: u16) -> bool {
    matches!(status, 301..=303 | 307 | 308)
}

/// A request that was redirected.
pub(crate) struct Redirected<'a> {
    pub(crate) method: &'a Method,
    pub(crate) url: &'a Url,
    pub(crate) has_body: bool,
    /// The request can be sent as it was.
    pub(crate) repeatable: bool,
    /// How many redirects were followed before.
    pub(crate) followed: u32,
    /// Whether plain http may be spoken with other machines.
    pub(crate) allow_http: bool,
}

impl Redirected<'_> {
    /// Where the request goes next; `None` where the answer is no redirect, or none for this method, and so the
    /// caller's.
    ///
    /// Fails with `redirect_refused` where the method would have been redirected, but the target may not be followed.
    pub(crate) fn target(&self, answer: &Answer) -> Result<Option<Url>> {
        let reads = [Method::GET, Method::HEAD].contains(self.method);
        let is_for_this_method = match answer.status {
            301..=303 => reads && self.repeatable,
            307 | 308 => self.repeatable,
            _ => false,
        };
        let mut locations = answer.headers.get_all("location").iter();
        let (true, Some(location)) = (is_for_this_method, locations.next()) else { return Ok(None) };
        let refused = |why: String| {
            let what = format!("{} redirected the request, which was not followed: {why}", self.url.origin);
            Error::new(ErrorCode::RedirectRefused, Stage::Answer, what).with_status(answer.status)
        };
        if locations.next().is_some() {
            return Err(refused("the answer has two locations".into()));
        }
        if self.followed >= MOST {
            return Err(refused(format!("it is the {}. redirect of one call", MOST + 1)));
        }
        let text = std::str::from_utf8(location.as_bytes()).unwrap_or("\u{fffd}");
        let target = self.url.follow(text).map_err(|why| refused(format!("the location {why}")))?;
        if target.origin == self.url.origin {
            return Ok(Some(target));
        }
        let plain = target.origin.scheme == Scheme::Http;
        if plain && self.url.origin.scheme == Scheme::Https {
            return Err(refused(format!("it leads from https to {}", target.origin)));
        }
        if !target.is_safe() && !self.allow_http {
            return Err(refused(format!("it leads to {}, which is plain http", target.origin)));
        }
        if !reads || self.has_body {
            let what = if self.has_body { format!("a {} and its body", self.method) } else { self.method.to_string() };
            return Err(refused(format!("{what} may not go to another origin, {}", target.origin)));
        }
        Ok(Some(target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeaderMap, HeaderValue};

    fn answer(status: u16, locations: &[&str]) -> Answer {
        let mut headers = HeaderMap::new();
        for location in locations {
            headers.append("location", HeaderValue::from_bytes(location.as_bytes()).expect("sendable"));
        }
        Answer::whole(status, headers, Vec::new())
    }

    fn url(text: &str) -> Url {
        Url::parse(text).expect("valid")
    }

    /// A first request without a body.
    fn redirected<'a>(method: &'a Method, url: &'a Url) -> Redirected<'a> {
        Redirected { method, url, has_body: false, repeatable: true, followed: 0, allow_http: false }
    }

    /// Where it leads: a URL, `answer`, or `refused`.
    fn led(method: &Method, from: &str, status: u16, location: &str) -> String {
        match redirected(method, &url(from)).target(&answer(status, &[location])) {
            Ok(Some(url)) => url.to_string(),
            Ok(None) => "answer".into(),
            Err(error) => {
                assert_eq!((error.code(), error.status()), (ErrorCode::RedirectRefused, Some(status)));
                "refused".into()
            }
        }
    }

    const HERE: &str = "https://a.example/one/two?q=1";

    #[test]
    fn which_statuses_redirect_which_methods() {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let reads = [Method::GET, Method::HEAD].contains(&method);
            for status in 200..600 {
                let followed = match status {
                    301..=303 => reads,
                    307 | 308 => true,
                    _ => false,
                };
                let expected = if followed { "https://a.example/new" } else { "answer" };
                assert_eq!(led(&method, HERE, status, "/new"), expected, "{method} {status}");
                let elsewhere = match (followed, reads) {
                    (true, true) => "https://b.example/new",
                    (true, false) => "refused",
                    (false, _) => "answer",
                };
                assert_eq!(led(&method, HERE, status, "https://b.example/new"), elsewhere, "{method} {status}");
            }
        }
    }

    #[test]
    fn p07_https_never_becomes_http_and_http_stays_on_this_machine() {
        assert_eq!(led(&Method::GET, HERE, 302, "http://a.example/"), "refused");
        assert_eq!(led(&Method::GET, HERE, 302, "http://localhost/"), "refused");
        let local = "http://127.0.0.1:1/";
        assert_eq!(led(&Method::GET, local, 302, "http://127.0.0.1:2/"), "http://127.0.0.1:2/");
        assert_eq!(led(&Method::GET, local, 302, "http://b.example/"), "refused");
        assert_eq!(led(&Method::GET, local, 302, "https://b.example/"), "https://b.example/");
        let (from, target) = (url(local), answer(302, &["http://b.example/"]));
        let redirected = Redirected { allow_http: true, ..redirected(&Method::GET, &from) };
        assert!(redirected.target(&target).expect("allowed").is_some());
    }

    #[test]
    fn five_are_followed_and_two_locations_are_none() {
        let from = url(HERE);
        let target = |followed, locations: &[&str]| {
            let redirected = Redirected { followed, ..redirected(&Method::GET, &from) };
            redirected.target(&answer(302, locations)).map_err(|error| error.code())
        };
        assert!(target(4, &["/x"]).expect("the fifth").is_some());
        assert_eq!(target(5, &["/x"]), Err(ErrorCode::RedirectRefused));
        assert_eq!(target(0, &["/x", "/x"]), Err(ErrorCode::RedirectRefused));
        assert_eq!(target(0, &[]), Ok(None));
    }

    #[test]
    fn p07_a_body_goes_to_no_other_origin() {
        let from = url(HERE);
        let redirected = Redirected { has_body: true, ..redirected(&Method::GET, &from) };
        assert!(redirected.target(&answer(307, &["/x"])).expect("the same origin").is_some());
        let error = redirected.target(&answer(307, &["https://b.example/x"])).expect_err("another origin");
        assert!(error.what().contains("GET and its body"), "{error}");
    }

    #[test]
    fn what_cannot_be_sent_again_is_not_followed_with_its_body() {
        let from = url(HERE);
        for (method, status) in [(Method::PUT, 307), (Method::GET, 302), (Method::GET, 308)] {
            let redirected = Redirected { has_body: true, repeatable: false, ..redirected(&method, &from) };
            for location in ["/x", "https://b.example/x"] {
                assert_eq!(redirected.target(&answer(status, &[location])).expect("the caller's answer"), None);
            }
        }
    }
}
