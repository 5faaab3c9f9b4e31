//! Which requests have pages; what pages are is in the scenarios.

use svctoken::{Client, ErrorCode};

fn client() -> Client {
    Client::builder().access_token("ready").base_url("http://127.0.0.1:9").build().expect("valid")
}

#[test]
fn only_a_get_without_a_body_has_pages_and_others_fail_once_before_any_network() {
    let client = client();
    let get = || client.request("GET", "/");
    for (request, named) in [
        (client.request("POST", "/"), "GET"),
        (client.request("HEAD", "/"), "GET"),
        (get().body(&b"x"[..]), "body"),
        (get().form("a", "b"), "body"),
        (get().json(&svctoken::serde_json::json!({})), "body"),
    ] {
        let mut pages = request.pages();
        let error = pages.next().expect("an end by error").expect_err("no pages");
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert!(error.what().contains(named), "{error}");
        assert!(pages.next().is_none());
    }
    let error = get().items().max_pages(0).next().expect("an end by error").expect_err("none allowed");
    assert!(error.code() == ErrorCode::InvalidArgument && error.what().contains("max_pages"), "{error}");
    assert_eq!(client.stats().requests, 0);
}

#[test]
fn p07_pages_show_no_query() {
    let client = client();
    let shown = format!("{:?}", client.request("GET", "/list").query("key", "sesame").items());
    assert!(shown.contains("/list") && !shown.contains("sesame"), "{shown}");
}
