//! What an error status stands for, by what Atlas, OAuth servers, RFC 9457 and gateways write into its answer. Pure.

use serde_json::Value;

use crate::error::{Error, ErrorCode, Stage};
use crate::http::{Answer, retry_after};
use crate::response::Asked;

/// A page for people says what it has to say in its head.
const LONGEST_SEARCH: usize = 64 * 1024;
const LONGEST_TEXT: usize = 300;

/// The error of a status of 400 or above.
pub(super) fn error_of(asked: &Asked, answer: &Answer) -> Option<Error> {
    let status = answer.status;
    if status < 400 {
        return None;
    }
    let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |name: &str| json.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let header = answer.headers.get("x-error-code").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let code = text("errorCode").or_else(|| text("error")).or(header);
    let description = text("detail").or_else(|| text("error_description"));
    let description = match (text("title"), description) {
        (Some(title), Some(detail)) => Some(format!("{title}: {detail}")),
        (title, detail) => detail.or(title).or_else(|| text("reason")).or_else(|| title_of_page(&answer.body)),
    };
    let tidy = |text: &str| tidy(asked, text);
    let mut what = format!("{} {}: the API answered {status}", asked.method, asked.url_without_query());
    if let Some(code) = &code {
        what.push_str(&format!(" {}", tidy(code)));
    }
    if let Some(description) = description {
        what.push_str(&format!(": {}", tidy(&description)));
    }
    for (field, problem) in wrong_fields(&json) {
        what.push_str(&format!("; {}: {}", tidy(field), tidy(problem)));
    }
    let oauth = (text("error").as_deref().map(tidy), text("error_description").as_deref().map(tidy));
    let error = Error::new(ErrorCode::HttpStatus, Stage::Answer, what)
        .with_status(status)
        .with_oauth(oauth.0, oauth.1)
        .with_api_error_code(code.clone().or_else(|| problem_type(&json)).as_deref().map(tidy))
        .with_retry_after(retry_after(&answer.headers));
    Some(match next_step(status, code.as_deref().unwrap_or_default(), asked.of_atlas()) {
        Some(next_step) => error.with_next_step(next_step),
        None => error,
    })
}

/// What a problem is called; `about:blank` says that its status tells as much (RFC 9457 section 4.2.1).
fn problem_type(json: &Value) -> Option<String> {
    let text = json.get("type").and_then(Value::as_str)?;
    (!text.is_empty() && text != "about:blank").then(|| text.to_owned())
}

/// At most 300 characters of a server's text, on one line and without the token.
fn tidy(asked: &Asked, text: &str) -> String {
    let mut text: String = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    text.retain(|c| !c.is_control());
    if let Some(token) = asked.authorization.to_str().ok().and_then(|value| value.strip_prefix("Bearer ")) {
        text = text.replace(token, "[token]");
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(LONGEST_TEXT).collect()
}

/// The title of a gateway's page.
fn title_of_page(body: &[u8]) -> Option<String> {
    let page = String::from_utf8_lossy(&body[..body.len().min(LONGEST_SEARCH)]);
    let lower = page.to_ascii_lowercase();
    let begin = lower.find("<title")?;
    let begin = begin + lower[begin..].find('>')? + 1;
    let title = page[begin..begin + lower[begin..].find("</title")?].trim();
    (lower.trim_start().starts_with('<') && !title.is_empty()).then(|| title.to_owned())
}

/// The fields of a request that Atlas found wrong, and why.
fn wrong_fields(json: &Value) -> impl Iterator<Item = (&str, &str)> {
    let fields = json.get("badRequestDetail").and_then(|detail| detail.get("fields")).and_then(Value::as_array);
    fields.into_iter().flatten().filter_map(|entry| {
        let text = |name: &str| entry.get(name).and_then(Value::as_str);
        Some((text("field")?, text("description")?))
    })
}

/// What the statuses and the codes of the Atlas API ask for.
fn next_step(status: u16, code: &str, of_atlas: bool) -> Option<&'static str> {
    Some(match (status, code) {
        (_, "RATE_LIMITED" | "RATE_LIMITED_TOKEN_BUCKET") | (429, _) => {
            "Wait as long as retry_after says, and ask less often."
        }
        (_, "GROUP_NOT_FOUND") => "Check the project's id, and that the service account is a member of the project.",
        (_, "VALIDATION_ERROR") => "Correct the fields the message names.",
        (_, "VERSION_GONE") => "This version of the resource was removed: ask for a newer one by accept.",
        (410, _) if of_atlas => "This version of the resource was removed: ask for a newer one by accept.",
        (410, _) => "The resource was removed for good: look for its successor.",
        (401, _) => {
            "A fresh token was refused too: check that the service account is a member of this resource's organization."
        }
        (403, _) => "Check the service account's roles, and the API's list of allowed addresses.",
        (406, _) if of_atlas => {
            "The resource is younger than the version asked for: ask for a newer one by accept, such as \
             application/vnd.atlas.2025-03-12+json."
        }
        (406, _) => {
            "The resource has none of the forms that accept asks for; Atlas wants a version, such as \
             application/vnd.atlas.2025-03-12+json."
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeaderMap, HeaderValue, Method};

    fn error_to(accept: &'static str, status: u16, body: &str) -> Error {
        let answer = Answer::whole(status, HeaderMap::new(), body.into());
        let asked = Asked {
            method: Method::GET,
            url: "https://a.example/p?secret=1".into(),
            authorization: HeaderValue::from_static("Bearer a.living.token"),
            accept: Some(HeaderValue::from_static(accept)),
        };
        error_of(&asked, &answer).expect("400 and above are errors")
    }

    fn what(status: u16, body: &str) -> String {
        let error = error_to("*/*", status, body);
        error.what().strip_prefix("GET https://a.example/p: the API answered ").expect("what was asked").to_owned()
    }

    #[test]
    fn p13_a_body_of_each_kind_tells_what_is_wrong() {
        let atlas = r#"{"detail":"No project.","error":404,"errorCode":"GROUP_NOT_FOUND","parameters":["x"],"reason":"Not Found"}"#;
        assert_eq!(what(404, atlas), "404 GROUP_NOT_FOUND: No project.");
        assert!(error_to("*/*", 404, atlas).next_step().contains("project's id"));
        assert_eq!(what(404, r#"{"detail":null,"errorCode":"X","reason":"Not Found"}"#), "404 X: Not Found");
        let fields = r#"{"errorCode":"VALIDATION_ERROR","badRequestDetail":{"fields":[{"field":"name","description":"is missing"}]}}"#;
        assert_eq!(what(400, fields), "400 VALIDATION_ERROR; name: is missing");
        let oauth = error_to("*/*", 403, r#"{"error":"insufficient_scope","error_description":"more"}"#);
        assert_eq!((oauth.oauth_error(), oauth.oauth_error_description()), (Some("insufficient_scope"), Some("more")));
        assert_eq!(what(500, r#"{"title":"Broken"}"#), "500: Broken");
        let problem = r#"{"type":"https://x.example/p","title":"No credit.","detail":"It is 30, and that costs 50."}"#;
        assert_eq!(what(403, problem), "403: No credit.: It is 30, and that costs 50.");
        let codes = [
            (atlas, Some("GROUP_NOT_FOUND")),
            (r#"{"error":"insufficient_scope"}"#, Some("insufficient_scope")),
            (problem, Some("https://x.example/p")),
            (r#"{"type":"about:blank","title":"Not Found"}"#, None),
            (r#"{"error":404,"type":7}"#, None),
            (r#"{"errorCode":"a.living.token"}"#, Some("[token]")),
        ];
        for (body, code) in codes {
            assert_eq!(error_to("*/*", 404, body).api_error_code(), code, "{body}");
        }
        let echo = r#"{"errorCode":"a.living\u0001.token","detail":"Bearer a.living.token is no good"}"#;
        assert_eq!(what(400, echo), "400 [token]: Bearer [token] is no good");
        for odd in ["", "<html>", "[]", "null", r#"{"errorCode":null,"detail":7,"badRequestDetail":null}"#] {
            assert_eq!(what(502, odd), "502", "{odd}");
        }
    }

    #[test]
    fn p13_of_a_gateways_page_the_title_is_told() {
        assert_eq!(what(502, "<html><head><TITLE>\n502 Bad\n Gateway</TITLE></head><h1>x"), "502: 502 Bad Gateway");
        assert_eq!(what(502, " <!doctype html><title lang=en>Down</title>"), "502: Down");
        for none in ["<title>", "<title>x", "<title></title>", "plain <title>x</title>", "<title x</title>"] {
            assert_eq!(what(502, none), "502", "{none}");
        }
        let long = format!("<title>{}</title>", "ü".repeat(1000));
        assert_eq!(what(502, &long).chars().count(), "502: ".len() + LONGEST_TEXT);
        assert_eq!(what(502, &format!("<{}<title>x</title>", "ü".repeat(LONGEST_SEARCH))), "502");
    }

    #[test]
    fn a_version_is_only_spoken_of_where_there_are_versions() {
        let atlas = "application/vnd.atlas.2023-01-01+json";
        assert!(error_to(atlas, 410, "").next_step().contains("newer one by accept"));
        assert!(!error_to("*/*", 410, "").next_step().contains("accept"));
        assert!(error_to(atlas, 406, "").next_step().contains("newer one by accept"));
        assert!(error_to("text/x", 406, "").next_step().contains("none of the forms"));
    }
}
