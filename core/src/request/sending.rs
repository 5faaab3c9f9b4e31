//! A call in progress: tries, what a 401 means, and redirects.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use crate::client::Client;
use crate::config::url::Url;
use crate::crypto;
use crate::error::{ErrorCode, Result, Stage};
use crate::fork::Owned;
use crate::http::{
    Answer, Broken, HeaderMap, HeaderName, HeaderValue, HttpClient, Method, Outgoing, Reading, header_names,
};
use crate::log::Outcome;
use crate::redirect::{self, HARMLESS_HEADERS, Redirected};
use crate::request::body::Payload;
use crate::response::Asked;
use crate::retry::Policy;
use crate::token::Token;
use crate::wait::{Stop, Wait};

/// How long a token that is too fresh is given to become known everywhere.
const REPLICA_LAG: Duration = Duration::from_millis(250);

/// RFC 9745.
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
/// RFC 8594.
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// What is sent, and where.
pub(super) struct Target<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Payload<'a>,
}

pub(super) struct Sending<'a> {
    client: &'a Client,
    http: Arc<Owned<HttpClient>>,
    target: Target<'a>,
    wait: &'a Wait,
    reading: Reading,
    policy: Policy,
    /// The token sent last, or to be sent.
    token: Token,
    /// It was when it was sent.
    too_fresh: bool,
    /// The body sent last waited until the server wanted it, or was to.
    expects_continue: bool,
    /// An idle connection has turned out to be dead.
    needs_new_connection: bool,
    /// No redirect has led to another origin: after that the token is never sent, even if the next leads back.
    with_token: bool,
    /// How many requests left, or would have, had there been a connection.
    sends: u32,
    /// Sends that the policy counts.
    tries: u32,
    redirects: u32,
}

impl<'a> Sending<'a> {
    /// Gets the token; fails if there is none.
    pub(super) fn begin(
        client: &'a Client,
        target: Target<'a>,
        wait: &'a Wait,
        reading: Reading,
        policy: Policy,
    ) -> Result<Sending<'a>> {
        Ok(Sending {
            client,
            http: client.http(),
            target,
            expects_continue: false,
            needs_new_connection: false,
            wait,
            reading,
            policy,
            token: client.token(wait)?,
            too_fresh: false,
            with_token: true,
            sends: 0,
            tries: 0,
            redirects: 0,
        })
    }

    /// The answer, the number of requests it took, and what it is the answer to.
    pub(super) fn run(mut self) -> Result<(Answer, u32, Asked)> {
        loop {
            let answer = if self.with_token { self.answer()? } else { self.send()? };
            self.tell_of_deprecation(&answer);
            // Asked only where it matters: to answer, a body goes back to its beginning.
            let repeatable = !redirect::is_redirect(answer.status) || self.target.body.can_be_sent_again();
            let redirected = Redirected {
                method: &self.target.method,
                url: &self.target.url,
                has_body: !self.target.body.is_empty(),
                repeatable,
                followed: self.redirects,
                allow_http: self.client.settings().allow_http,
            };
            match redirected.target(&answer).map_err(|error| error.while_doing(&self.doing()))? {
                Some(url) => self.follow(answer.status, url),
                None => {
                    let asked = Asked {
                        url: self.target.url.text(),
                        authorization: self.token.header(),
                        accept: self.target.headers.get(header_names::ACCEPT).cloned(),
                        method: self.target.method,
                    };
                    return Ok((answer, self.sends, asked));
                }
            }
        }
    }

    fn tell_of_deprecation(&self, answer: &Answer) {
        let text = |name: HeaderName| answer.headers.get(name).and_then(|value| value.to_str().ok());
        let (deprecation, sunset) = (text(DEPRECATION), text(SUNSET));
        if deprecation.is_some() || sunset.is_some() {
            let path = self.target.url.path_and_query.split('?').next().unwrap_or_default();
            self.client.deprecated(path, deprecation, sunset);
        }
    }

    fn follow(&mut self, status: u16, url: Url) {
        self.redirects += 1;
        // It is no failure of the server's.
        self.tries -= 1;
        self.client.counters().redirect();
        if url.origin != self.target.url.origin {
            self.with_token = false;
            self.http = self.client.http_for_strangers();
            let all = mem::take(&mut self.target.headers);
            for name in HARMLESS_HEADERS {
                for value in all.get_all(name) {
                    self.target.headers.append(name, value.clone());
                }
            }
        }
        self.client.log().redirect_followed(status, &url.origin, self.with_token);
        self.target.url = url;
    }

    /// The answer after the 401 rule. At most three sends, tries aside: the first, one of its token's successor, and one
    /// of a token that is too fresh to be known everywhere.
    fn answer(&mut self) -> Result<Answer> {
        let mut answer = self.send()?;
        let mut too_fresh = self.too_fresh;
        if answer.status == 401 && self.client.was_revoked(&self.token) {
            too_fresh = false;
        }
        let mut replaced = false;
        if answer.status == 401 && !too_fresh {
            self.client.condemn(&self.token, self.wait);
            // The next call gets another token.
            if !self.target.body.can_be_sent_again() {
                return Ok(answer);
            }
            // Without a successor the refusal is the caller's answer: it tells more than "no token" would.
            match self.client.token(self.wait) {
                Ok(successor) if successor.generation() != self.token.generation() => self.token = successor,
                Err(error) if error.code() == ErrorCode::Cancelled => return Err(error),
                _ => return Ok(answer),
            }
            replaced = true;
            answer = self.resend("replaced")?;
            too_fresh = self.too_fresh;
        }
        if answer.status == 401 && too_fresh {
            if !self.target.body.can_be_sent_again() || self.wait.sleep(REPLICA_LAG).is_err() {
                return Ok(answer);
            }
            answer = self.resend("too_fresh")?;
        }
        match answer.status {
            // However long this answer took: the token was new when it was sent, and a newer one would fare no better.
            401 if replaced || too_fresh => self.client.hold(&self.token),
            401 => {}
            _ if replaced => self.client.accepted(&self.token),
            _ => {}
        }
        Ok(answer)
    }

    fn resend(&mut self, reason: &'static str) -> Result<Answer> {
        self.count_resend(401, reason);
        self.send()
    }

    fn count_resend(&mut self, status: u16, reason: &'static str) {
        self.client.counters().resend();
        self.client.log().request_resent(status, reason, self.sends + 1);
        // What these statuses bring about is no failure of the server's.
        self.tries -= 1;
    }

    /// The answer after as many tries as the policy allows.
    fn send(&mut self) -> Result<Answer> {
        loop {
            let happened = self.exchange_with_or_without_expectation();
            // What ended one idle connection, without a word, will have ended the others too.
            self.needs_new_connection |= matches!(&happened, Err(broken) if broken.progress.reused);
            let left = self.wait.remaining();
            let pause = self.policy.pause(&happened, self.tries, left, crypto::random_fraction);
            let Some(pause) = pause.filter(|_| self.target.body.can_be_sent_again()) else {
                return self.final_outcome(happened);
            };
            let outcome = match &happened {
                Ok(answer) => Outcome::Status(answer.status),
                Err(broken) => Outcome::Error(broken.error.code()),
            };
            self.client.log().request_retried(&self.target.url.origin, outcome, self.tries + 1, pause);
            match self.wait.sleep(pause) {
                Ok(()) => {}
                Err(stop @ Stop::Cancelled) => {
                    let doing = format!("waiting before the request is tried again: {}", self.doing());
                    return Err(stop.into_error(Stage::Waiting, &doing));
                }
                Err(Stop::TimedOut(_)) => return self.final_outcome(happened),
            }
            if self.with_token {
                // The pause may have been longer than the rest of the token's life.
                match self.client.token(self.wait) {
                    Ok(token) => self.token = token,
                    Err(error) if error.code() == ErrorCode::Cancelled => return Err(error),
                    Err(_) => return self.final_outcome(happened),
                }
            }
            self.client.counters().retry();
        }
    }

    /// A server that cannot say that it wants the body says so, and gets it without being asked.
    fn exchange_with_or_without_expectation(&mut self) -> std::result::Result<Answer, Broken> {
        let happened = self.exchange();
        let unmet = matches!(&happened, Ok(answer) if answer.status == 417);
        if !(unmet && self.expects_continue && self.target.body.can_be_sent_again()) {
            return happened;
        }
        self.count_resend(417, "expectation_failed");
        self.exchange()
    }

    fn exchange(&mut self) -> std::result::Result<Answer, Broken> {
        self.sends += 1;
        self.tries += 1;
        self.too_fresh = self.token.is_too_fresh();
        let target = &mut self.target;
        if self.with_token {
            target.headers.insert(header_names::AUTHORIZATION, self.token.header());
        }
        self.expects_continue = target.body.is_large() && self.http.may_expect_continue(&target.url.origin);
        if self.expects_continue {
            target.headers.insert(header_names::EXPECT, HeaderValue::from_static("100-continue"));
        } else {
            target.headers.remove(header_names::EXPECT);
        }
        let headers = mem::take(&mut target.headers);
        let (body, upload) = target.body.parts();
        // Where nobody was asked, what is gone of a stream when it finds its connection closed may never come back.
        let new_connection = self.needs_new_connection
            || upload.as_ref().is_some_and(|upload| !self.expects_continue && !upload.is_empty());
        let outgoing = Outgoing { method: target.method.clone(), url: &target.url, headers, body, new_connection };
        let happened = self.http.send_with(&outgoing, upload, self.wait, self.reading);
        target.headers = outgoing.headers;
        happened
    }

    fn final_outcome(&self, happened: std::result::Result<Answer, Broken>) -> Result<Answer> {
        happened.map_err(|broken| broken.error.while_doing(&self.doing()))
    }

    /// What is being done, for errors. A query may hold what is not for their texts.
    fn doing(&self) -> String {
        let Target { method, url, .. } = &self.target;
        let path = url.path_and_query.split('?').next().unwrap_or_default();
        let times = if self.tries > 1 { format!(", {} times", self.tries) } else { String::new() };
        format!("{method} {}{path}{times}", url.origin)
    }
}
