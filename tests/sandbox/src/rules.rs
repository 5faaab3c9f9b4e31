//! Scripted faults: which requests a rule is for, and what is done to their answers.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::http::{Body, Response};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    method: Option<String>,
    /// Exact, or a prefix when it ends in `*`.
    #[serde(default)]
    path: Option<String>,
    /// Whether the request has `Expect: 100-continue`.
    #[serde(default)]
    expects: Option<bool>,
    #[serde(default)]
    nth: Option<Vec<u64>>,
    #[serde(default)]
    times: Option<u64>,
    #[serde(rename = "do")]
    action: Arc<Action>,
}

impl Rule {
    fn matches(&self, method: &str, path: &str, expects: bool) -> bool {
        let method_fits = self.method.as_ref().is_none_or(|wanted| wanted == method);
        let path_fits = self.path.as_ref().is_none_or(|wanted| match wanted.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => path == wanted,
        });
        method_fits && path_fits && self.expects.is_none_or(|wanted| wanted == expects)
    }
}

/// The rules of a space with what they have seen so far.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Vec<Rule>")]
pub(crate) struct RuleBook(Vec<CountedRule>);

#[derive(Debug)]
struct CountedRule {
    rule: Rule,
    matched: u64,
    applied: u64,
}

impl From<Vec<Rule>> for RuleBook {
    fn from(rules: Vec<Rule>) -> Self {
        RuleBook(rules.into_iter().map(|rule| CountedRule { rule, matched: 0, applied: 0 }).collect())
    }
}

impl RuleBook {
    /// The action for this request. Every rule counts the request it matches, so that `nth` means the same number
    /// whatever rules stand before it.
    pub(crate) fn choose(&mut self, method: &str, path: &str, expects: bool) -> Option<Arc<Action>> {
        let mut chosen = None;
        for counted in &mut self.0 {
            if !counted.rule.matches(method, path, expects) {
                continue;
            }
            counted.matched += 1;
            let due = counted.rule.nth.as_ref().is_none_or(|nth| nth.contains(&counted.matched))
                && counted.rule.times.is_none_or(|times| counted.applied < times);
            if due && chosen.is_none() {
                counted.applied += 1;
                chosen = Some(Arc::clone(&counted.rule.action));
            }
        }
        chosen
    }
}

/// What is done to an answer. The default does nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Action {
    pub(crate) delay_ms: Option<u64>,
    pub(crate) hold: Option<String>,
    pub(crate) mint_first: bool,
    status: Option<u16>,
    headers: Vec<(String, String)>,
    body: Option<String>,
    #[serde(deserialize_with = "from_base64")]
    body_base64: Option<Vec<u8>>,
    body_size: Option<u64>,
    pub(crate) content_length: Option<u64>,
    pub(crate) chunked: bool,
    html: bool,
    raw: Option<String>,
    #[serde(deserialize_with = "from_base64")]
    raw_base64: Option<Vec<u8>>,
    pub(crate) reset: Option<Cut>,
    pub(crate) close: Option<Close>,
    pub(crate) stall: Option<Cut>,
    pub(crate) drip_ms: Option<u64>,
    pub(crate) http_1_0: bool,
    /// As much of the body is read before anything else is done.
    pub(crate) body_bytes: Option<u64>,
    pub(crate) hold_body: Option<HoldBody>,
    pub(crate) r#continue: Option<Continue>,
}

/// A pause in the middle of reading a body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HoldBody {
    pub(crate) after_bytes: u64,
    pub(crate) gate: String,
}

/// What is said to `Expect: 100-continue` in place of a bare 100.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Continue {
    Omit,
    Headers,
    EarlyHints,
    Late,
}

/// Where an answer is cut off.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cut {
    BeforeAnswer,
    AfterHead,
    AfterBodyBytes(u64),
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Close {
    BeforeAnswer,
    AfterAnswer,
}

impl Action {
    /// Bytes that stand in for the whole answer.
    pub(crate) fn raw(&self) -> Option<&[u8]> {
        self.raw_base64.as_deref().or(self.raw.as_deref().map(str::as_bytes))
    }

    /// The answer when it does not come from the normal handler.
    pub(crate) fn scripted(&self) -> Option<Response> {
        if self.html {
            let page = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
                        <center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n";
            return Some(
                Response::new(self.status.unwrap_or(502), Body::from(page))
                    .header("Content-Type", "text/html; charset=utf-8"),
            );
        }
        self.status.map(|status| Response::new(status, Body::default()))
    }

    /// Puts the rule's headers and body into an answer, whoever made it. A header that the rule names replaces every
    /// header of that name; named twice, it is sent twice.
    pub(crate) fn amend(&self, response: &mut Response) {
        if let Some(text) = &self.body {
            response.body = Body::from(text.as_str());
            if !response.has_header("content-type") {
                let json = text.starts_with(['{', '[']);
                let media_type = if json { "application/json" } else { "text/plain; charset=utf-8" };
                response.headers.push(("Content-Type".into(), media_type.into()));
            }
        }
        if let Some(bytes) = &self.body_base64 {
            response.body = Body::Bytes(bytes.clone());
        }
        if let Some(size) = self.body_size {
            response.body = Body::Fill(size);
        }
        response.headers.retain(|(name, _)| !self.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)));
        response.headers.extend(self.headers.iter().cloned());
    }
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| STANDARD.decode(text).map_err(D::Error::custom)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn book(rules: serde_json::Value) -> RuleBook {
        RuleBook::deserialize(&rules).expect("well-formed rules")
    }

    fn statuses(book: &mut RuleBook, requests: &[(&str, &str)]) -> Vec<Option<u16>> {
        requests
            .iter()
            .map(|(method, path)| book.choose(method, path, false).and_then(|action| action.status))
            .collect()
    }

    #[test]
    fn nth_counts_every_matching_request_even_those_another_rule_took() {
        let mut book = book(json!([
            { "path": "/a", "nth": [1], "do": { "status": 501 } },
            { "path": "/a", "nth": [2], "do": { "status": 502 } },
        ]));
        assert_eq!(statuses(&mut book, &[("GET", "/a"); 3]), [Some(501), Some(502), None]);
    }

    #[test]
    fn times_counts_what_was_applied_and_the_first_match_wins() {
        let mut book = book(json!([
            { "path": "/a*", "times": 2, "do": { "status": 501 } },
            { "method": "POST", "do": { "status": 502 } },
        ]));
        let requests = [("POST", "/abc"), ("GET", "/b"), ("GET", "/a"), ("POST", "/a"), ("GET", "/a")];
        assert_eq!(statuses(&mut book, &requests), [Some(501), None, Some(501), Some(502), None]);
    }

    #[test]
    fn a_misspelt_action_is_refused() {
        let rule = json!({ "do": { "dleay_ms": 1 } });
        let error = Rule::deserialize(&rule).expect_err("dleay_ms is not an action").to_string();
        assert!(error.contains("dleay_ms"), "{error}");
    }
}
