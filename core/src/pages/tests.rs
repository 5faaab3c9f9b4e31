use serde_json::json;

use super::*;
use crate::http::{Answer, HeaderMap, HeaderValue, Method};
use crate::response::Asked;

const HERE: &str = "https://api.example/list/all?page=1";

fn url(text: &str) -> Url {
    Url::parse(text).expect("valid")
}

fn answer(at: &str, status: u16, headers: &[(&'static str, &str)], body: &str) -> Response {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("sendable"));
    }
    let asked = Asked {
        method: Method::GET,
        url: at.into(),
        authorization: HeaderValue::from_static("Bearer x"),
        accept: None,
    };
    Response::new(Answer::whole(status, map, body.as_bytes().to_vec()), 1, asked)
}

fn atlas(at: &str, next: &str) -> Response {
    let body = json!({"links": [{"href": at, "rel": "self"}, {"href": next, "rel": "next"}], "results": []});
    answer(at, 200, &[("content-type", "application/vnd.atlas.2023-01-01+json")], &body.to_string())
}

fn linked(at: &str, next: &str) -> Response {
    answer(at, 200, &[("link", &format!("<{next}>; rel=\"next\""))], "")
}

fn cursor() -> PageCursor {
    PageCursor::new(None, None).expect("valid")
}

/// Where the page after `page`, asked for at `asked`, is: a URL, `end`, or the name of the error.
fn after(asked: &str, page: &Response) -> String {
    let mut cursor = cursor();
    cursor.came(&url(asked), page);
    match cursor.next_url() {
        Ok(next) => next.unwrap_or_else(|| "end".into()),
        Err(error) => error.code().name().into(),
    }
}

#[test]
fn the_next_page_is_on_the_same_origin_whatever_way_that_is_written() {
    let cases = [
        ("https://api.example/list/all?page=2", "https://api.example/list/all?page=2"),
        ("HTTPS://API.example:443/list?page=2", "https://api.example/list?page=2"),
        ("//api.example/list?page=2", "https://api.example/list?page=2"),
        ("/list?page=2", "https://api.example/list?page=2"),
        ("?page=2", "https://api.example/list/all?page=2"),
        ("../other", "https://api.example/other"),
        ("/list?page=2#top", "https://api.example/list?page=2"),
    ];
    for (next, expected) in cases {
        assert_eq!(after(HERE, &linked(HERE, next)), expected, "{next}");
        assert_eq!(after(HERE, &atlas(HERE, next)), expected, "{next}");
    }
}

#[test]
fn p07_no_next_link_leads_to_another_origin() {
    let elsewhere = [
        "https://evil.example/",
        "//evil.example/",
        "https://api.example.evil.example/",
        "https://evil.example/https://api.example/",
        "https://evil.example?https://api.example/",
        "https://api.example:444/",
        "https://api.example:8443/list",
        "http://api.example/list",
        "http://api.example:443/list",
        "https://www.api.example/",
        "https://api.example./x.evil",
        "https://xn--pi-jia.example/",
        "https://127.0.0.1/",
        "https://[::1]/",
    ];
    for next in elsewhere {
        // A host that no parser takes is refused as well, only by another name.
        let codes = ["origin_refused", "bad_answer"];
        for page in [linked(HERE, next), atlas(HERE, next)] {
            let code = after(HERE, &page);
            assert!(codes.contains(&code.as_str()), "{next}: {code}");
        }
    }
    let disputed = [
        "https://api.example@evil.example/",
        "https://user:password@api.example/",
        "https://api.example:443@evil.example/",
        "https://api.example\\@evil.example/",
        "https:\\\\evil.example/",
        "\\\\evil.example/",
        "/\\evil.example/",
        "\\/evil.example/",
        "///evil.example/",
        "https:///evil.example/",
        "https:evil.example/",
        "https:/evil.example/",
        "https://api.example:/list",
        "https://api.example:0/",
        "https://api.example:65536/",
        "https://api.example:443:444/",
        "https://api.example:+443/",
        "https:// api.example/",
        "https://evil.example /",
        " https://api.example/2",
        "https://api.example/2 ",
        "https://api.example/a b",
        "https://api.ex\u{e4}mple/",
        "https://api.example\u{3002}evil.example/",
        "https://\u{ff41}pi.example/",
        "https://api%2eexample/",
        "https://api.example%00.evil.example/",
        "https://api.example%2f@evil.example/",
        "https://[api.example]/",
        "https://[::1/",
        "https://",
        "ftp://api.example/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:application/json,[]",
        "https://api.example//evil.example/",
        "/..//evil.example/",
        "#",
        "",
    ];
    for next in disputed {
        for page in [linked(HERE, next), atlas(HERE, next)] {
            assert_eq!(after(HERE, &page), "bad_answer", "{next}");
        }
    }
    for next in ["https://api.example/\t2", "https://api.example/\n2", "https://evil.example\r/"] {
        assert_eq!(after(HERE, &atlas(HERE, next)), "bad_answer", "{next:?}");
    }
}

/// As a parser would take it that is more lenient than ours: slashes of both kinds, and the host after the last `@`.
fn could_lead_elsewhere(url: &str) -> bool {
    let rest = url.replace('\\', "/");
    let rest = rest.strip_prefix("https://").unwrap_or("");
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().is_none_or(|host| host.strip_suffix(":443").unwrap_or(host) != "api.example")
}

#[test]
fn p07_whatever_a_link_is_made_of_it_stays_or_is_refused() {
    const PIECES: [&str; 16] = [
        "https://",
        "HTTP://",
        "//",
        "/",
        "\\",
        "@",
        ":",
        ":443",
        "?",
        "#",
        " ",
        ".",
        "..",
        "%2f",
        "api.example",
        "evil.example",
    ];
    let (mut followed, mut refused) = (0, 0);
    for number in 0..PIECES.len().pow(4) {
        let piece = |place: u32| PIECES[number / PIECES.len().pow(place) % PIECES.len()];
        let next = [piece(0), piece(1), piece(2), piece(3)].concat();
        let next = after(HERE, &linked(HERE, &next));
        match next.starts_with("https://") {
            true if could_lead_elsewhere(&next) => panic!("{number}: {next}"),
            true => followed += 1,
            false => refused += 1,
        }
    }
    assert!(followed > 1000 && refused > 1000, "{followed} followed, {refused} refused");
}

#[test]
fn p07_an_error_shows_nothing_of_the_link_but_its_origin() {
    let mut cursor = cursor();
    cursor.came(&url(HERE), &linked(HERE, "https://evil.example/path?secret=1"));
    let error = cursor.next_url().expect_err("another origin");
    assert!(error.what().contains("leads to https://evil.example") && !error.what().contains("secret"), "{error}");
    assert!(error.what().contains("GET https://api.example/list/all:") && !error.what().contains("page=1"), "{error}");
    let mut cursor = self::cursor();
    cursor.came(&url(HERE), &linked(HERE, "https://user:sesame@api.example/"));
    assert!(!cursor.next_url().expect_err("a user").to_string().contains("sesame"));
}

#[test]
fn p07_a_page_of_another_origin_names_no_further_one() {
    for next in ["https://api.example/2", "https://other.example/2", "/2"] {
        assert_eq!(after(HERE, &linked("https://other.example/list", next)), "origin_refused", "{next}");
    }
    assert_eq!(after(HERE, &answer("https://other.example/list", 200, &[], "")), "end");
    assert_eq!(after(HERE, &linked("https://api.example/moved/1", "2")), "https://api.example/moved/2");
}

#[test]
fn a_header_wins_and_only_json_of_a_good_status_is_read() {
    let body = r#"{"links":[{"href":"/body","rel":"next"}]}"#;
    let next = |status, headers: &[(&'static str, &str)], body: &str| after(HERE, &answer(HERE, status, headers, body));
    let json = ("content-type", "application/json");
    assert_eq!(next(200, &[json], body), "https://api.example/body");
    assert_eq!(next(200, &[json, ("link", "</header>; rel=next")], body), "https://api.example/header");
    assert_eq!(next(200, &[json, ("link", "</header>; rel=prev")], body), "https://api.example/body");
    let two = [("link", "</1>; rel=prev"), ("link", "</header>; rel=next")];
    assert_eq!(next(200, &two, ""), "https://api.example/header");
    assert_eq!(next(200, &[("content-type", "text/html")], body), "end");
    assert_eq!(next(200, &[], body), "end");
    assert_eq!(next(200, &[json], ""), "end");
    assert_eq!(next(200, &[json], "{\"links\":"), "bad_answer");
    for status in [199, 300, 304, 400, 404, 500] {
        assert_eq!(next(status, &[json, ("link", "</header>; rel=next")], body), "end", "{status}");
    }
}

#[test]
fn a_page_that_was_read_is_not_asked_for_again() {
    let mut cursor = cursor();
    cursor.came(&url("https://a.example/1"), &linked("https://a.example/1", "/2"));
    assert_eq!(cursor.next_url().expect("another").as_deref(), Some("https://a.example/2"));
    cursor.came(&url("https://a.example/2"), &linked("https://a.example/2", "/3"));
    cursor.came(&url("https://a.example/3"), &linked("https://a.example/3", "https://A.example:443/1#x"));
    let error = cursor.next_url().expect_err("a circle");
    assert_eq!((error.code(), error.status()), (ErrorCode::BadAnswer, Some(200)));
    assert!(error.what().contains("read before"), "{error}");
    assert!(matches!(cursor.next_url(), Ok(None)), "it fails once");
    assert!(matches!(cursor.begin(), Ok(Turn::End)));
    assert_eq!(after(HERE, &linked(HERE, "?page=1")), "bad_answer");
    // The page that a redirect led to was read as well.
    assert_eq!(after(HERE, &linked("https://api.example/moved", "/moved")), "bad_answer");
}

#[test]
fn more_pages_than_allowed_are_an_error_after_the_last_allowed_one() {
    let mut cursor = PageCursor::new(Some(2), None).expect("valid");
    cursor.came(&url("https://a.example/1"), &linked("https://a.example/1", "/2"));
    assert!(cursor.next_url().expect("the second").is_some());
    cursor.came(&url("https://a.example/2"), &linked("https://a.example/2", "/3"));
    let error = cursor.next_url().expect_err("the third");
    assert_eq!(error.code(), ErrorCode::AnswerTooLarge);
    assert!(error.to_string().contains("max_pages"), "{error}");
    let mut cursor = self::cursor();
    for page in 1..1000 {
        cursor
            .came(&url(&format!("https://a.example/{page}")), &linked("https://a.example/", &format!("/{}", page + 1)));
        assert!(cursor.next_url().expect("the default is a thousand").is_some(), "{page}");
    }
    cursor.came(&url("https://a.example/1000"), &linked("https://a.example/", "/1001"));
    assert_eq!(cursor.next_url().expect_err("one more").code(), ErrorCode::AnswerTooLarge);
    let mut exact = PageCursor::new(Some(1), None).expect("valid");
    exact.came(&url(HERE), &answer(HERE, 200, &[], ""));
    assert!(matches!(exact.next_url(), Ok(None)));
    assert_eq!(PageCursor::new(Some(0), None).expect_err("none").code(), ErrorCode::InvalidArgument);
}

#[test]
fn items_are_the_array_or_the_member_of_the_page() {
    let items = |member: Option<&str>, status, body: &str| {
        let cursor = PageCursor::new(None, member.map(Into::into)).expect("valid");
        cursor.items(&answer(HERE, status, &[], body)).map_err(|error| error.code())
    };
    assert_eq!(items(None, 200, r#"{"results":[1,{"a":2}]}"#), Ok(vec![json!(1), json!({"a": 2})]));
    assert_eq!(items(Some("data"), 200, r#"{"results":[1],"data":[]}"#), Ok(vec![]));
    assert_eq!(items(None, 200, "[1,2]"), Ok(vec![json!(1), json!(2)]));
    for body in ["{}", r#"{"results":{}}"#, "null", "7", "x", ""] {
        assert_eq!(items(None, 200, body), Err(ErrorCode::BadAnswer), "{body}");
    }
    assert_eq!(items(None, 404, r#"{"results":[1]}"#), Err(ErrorCode::HttpStatus));
}
