use serde_json::json;

use crate::support::{ACCEPT, Answer, Connection, setup};

const GROUPS: &str = "/api/atlas/v2/groups";

fn assert_error(answer: &Answer, status: u16, code: &str) {
    let body = answer.json();
    assert_eq!((answer.status, answer.header("content-type")), (status, Some("application/json")), "{answer:?}");
    assert_eq!((&body["error"], &body["errorCode"]), (&json!(status), &json!(code)));
    assert!(body["detail"].is_string() && body["reason"].is_string() && body["parameters"].is_array(), "{body}");
}

fn names(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let results = answer.json()["results"].as_array().unwrap().clone();
    results.iter().map(|project| project["name"].as_str().unwrap().to_owned()).collect()
}

fn link(answer: &Answer, rel: &str) -> Option<String> {
    let body = answer.json();
    let found = body["links"].as_array().unwrap().iter().find(|link| link["rel"] == rel)?;
    Some(found["href"].as_str().unwrap().to_owned())
}

#[test]
fn pages_follow_absolute_links_to_the_end() {
    let setup = setup(json!({ "projects": 5 }));
    let mut connection = setup.connect();
    let bearer = connection.bearer();
    let headers = [("Authorization", bearer.as_str()), ACCEPT];
    let mut path = format!("{GROUPS}?itemsPerPage=2");
    let mut seen = Vec::new();
    loop {
        let page = connection.get(&path, &headers);
        assert_eq!(page.header("content-type"), Some("application/vnd.atlas.2023-01-01+json;charset=utf-8"));
        assert_eq!(page.json()["totalCount"], 5);
        assert!(link(&page, "self").is_some());
        seen.extend(names(&page));
        match link(&page, "next") {
            Some(next) => path = next.strip_prefix("http://sandbox.test").expect("an absolute link").to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, ["project-1", "project-2", "project-3", "project-4", "project-5"]);

    let uncounted = connection.get(&format!("{GROUPS}?includeCount=false&pageNum=9"), &headers);
    assert_eq!((names(&uncounted).len(), uncounted.json().get("totalCount")), (0, None));
    for wrong in ["pageNum=0", "itemsPerPage=501", "itemsPerPage=x"] {
        assert_error(&connection.get(&format!("{GROUPS}?{wrong}"), &headers), 400, "VALIDATION_ERROR");
    }
}

#[test]
fn links_follow_the_scheme() {
    let setup = setup(json!({}));
    let mut connection = setup.connect_tls();
    let bearer = connection.bearer();
    let page = connection.get(&format!("{GROUPS}?itemsPerPage=1"), &[("Authorization", &bearer), ACCEPT]);
    assert!(link(&page, "next").unwrap().starts_with("https://sandbox.test/api/atlas/v2/groups?"));
}

#[test]
fn projects_are_created_and_found() {
    let setup = setup(json!({}));
    let mut connection = setup.connect();
    let bearer = connection.bearer();
    let headers = [("Authorization", bearer.as_str()), ACCEPT, ("Content-Type", "application/json")];
    let created = connection.exchange("POST", GROUPS, &headers, br#"{"name":"new","orgId":"o"}"#);
    assert_eq!(created.status, 201, "{created:?}");
    let id = created.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(connection.get(&format!("{GROUPS}/{id}"), &headers).json()["name"], "new");
    assert_eq!(names(&connection.get(GROUPS, &headers)).len(), 4);
    assert_error(&connection.get(&format!("{GROUPS}/0"), &headers), 404, "GROUP_NOT_FOUND");

    for body in [&br#"{"name":"new"}"#[..], b"{", b"[]"] {
        let refused = connection.exchange("POST", GROUPS, &headers, body);
        assert_error(&refused, 400, "VALIDATION_ERROR");
        assert!(refused.json()["badRequestDetail"]["fields"][0]["description"].is_string());
    }
    assert_error(&connection.exchange("DELETE", GROUPS, &headers, b""), 405, "UNEXPECTED_ERROR");
}

#[test]
fn a_version_must_be_named_and_exist() {
    let setup = setup(json!({}));
    let mut connection = setup.connect();
    let bearer = connection.bearer();
    for (accept, status) in [
        ("application/vnd.atlas.2023-01-01+json", 200),
        ("application/vnd.atlas.2099-12-31+json", 200),
        ("text/html, application/vnd.atlas.2025-03-12+json;q=0.5", 200),
        ("application/vnd.atlas.2022-12-31+json", 406),
        ("application/vnd.atlas.2025-3-12+json", 406),
        ("application/vnd.atlas.2025-03-12+csv", 406),
        ("application/vnd.atlas.preview+json", 406),
        ("application/json", 406),
        ("*/*", 406),
    ] {
        let answer = connection.get(GROUPS, &[("Authorization", &bearer), ("Accept", accept)]);
        assert_eq!(answer.status, status, "{accept}");
    }
    assert_error(&connection.get(GROUPS, &[("Authorization", &bearer)]), 406, "INVALID_VERSION_DATE");
}

#[test]
fn tokens_that_are_missing_or_invalid_are_401() {
    let setup = setup(json!({}));
    let mut connection = setup.connect();
    let bearer = connection.bearer();
    assert_error(&connection.get(GROUPS, &[ACCEPT]), 401, "UNEXPECTED_ERROR");
    assert_error(&connection.get(GROUPS, &[ACCEPT, ("Authorization", "Bearer x")]), 401, "UNEXPECTED_ERROR");
    let basic = bearer.replace("Bearer", "Basic");
    assert_error(&connection.get(GROUPS, &[ACCEPT, ("Authorization", &basic)]), 401, "UNEXPECTED_ERROR");
    let lower = bearer.replace("Bearer", "bearer");
    assert_eq!(connection.get(GROUPS, &[ACCEPT, ("Authorization", &lower)]).status, 200);
}

#[test]
fn the_paths_with_a_fixed_refusal() {
    let setup = setup(json!({}));
    let mut connection = setup.connect();
    let bearer = connection.bearer();
    let mut get = |path: &str| connection.get(path, &[("Authorization", &bearer)]);
    assert_error(&get("/api/atlas/v2/forbidden"), 403, "USER_UNAUTHORIZED");
    assert_error(&get("/api/atlas/v2/not-a-member"), 401, "UNEXPECTED_ERROR");
    assert_error(&get("/api/atlas/v2/nothing"), 404, "RESOURCE_NOT_FOUND");
    let limited = get("/api/atlas/v2/limited");
    assert_error(&limited, 429, "RATE_LIMITED_TOKEN_BUCKET");
    assert_eq!(limited.json()["parameters"], json!(["/api/atlas/v2/limited", "2", 10, "5", 60]));
    let limits = ["retry-after", "ratelimit-limit", "ratelimit-remaining"].map(|name| limited.header(name));
    assert_eq!(limits, [Some("2"), Some("10"), Some("0")]);
    assert_eq!(get("/elsewhere").status, 404);
}

#[test]
fn echo_gives_back_what_came() {
    let setup = setup(json!({}));
    let mut connection = setup.connect();
    let bearer = connection.bearer();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        let answer = connection.exchange(method, "/echo/x?a=1", &[("Authorization", &bearer), ("X-A", "b")], b"\xff!");
        let body = answer.json();
        assert_eq!(
            (&body["method"], &body["path"], &body["query"]),
            (&json!(method), &json!("/echo/x"), &json!("a=1"))
        );
        assert_eq!((&body["body"], &body["body_base64"]), (&json!("\u{fffd}!"), &json!("/yE=")));
        assert!(body["headers"].as_array().unwrap().contains(&json!(["x-a", "b"])));
    }
    assert_eq!(connection.get("/echo", &[]).status, 401);
    assert_eq!(connection.get("/echo?anonymous=1", &[]).status, 200);
    let head = connection.exchange("HEAD", "/echo?anonymous=1", &[], b"");
    assert!(head.header("content-length").unwrap().parse::<usize>().unwrap() > 0);
    assert_eq!(connection.get("/echo?anonymous=1", &[]).status, 200, "the answer to HEAD had a body");
}

#[test]
fn bytes_are_counted_up() {
    let setup = setup(json!({}));
    let mut connection = setup.connect();
    for length in [0, 1, 300, 100_000] {
        let answer = connection.get(&format!("/bytes/{length}?anonymous=1"), &[]);
        let expected: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        assert!(answer.body == expected, "{length}");
    }
    assert_eq!(connection.get("/bytes/5", &[]).status, 401);
    assert_eq!(connection.get("/bytes/many?anonymous=1", &[]).status, 404);
}

#[test]
fn bodies_come_by_length_in_chunks_and_after_a_continue() {
    let setup = setup(json!({}));
    let mut connection = setup.connect();
    let echoed = |connection: &mut Connection| connection.read_answer("POST").json()["body"].clone();
    connection.send(
        b"POST /echo?anonymous=1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
          3\r\nabc\r\n2;extension\r\nde\r\n0\r\nTrailer: x\r\n\r\n",
    );
    assert_eq!(echoed(&mut connection), "abcde");

    connection.send(b"POST /echo?anonymous=1 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(connection.read_head().unwrap().status, 100);
    connection.send(b"hi");
    assert_eq!(echoed(&mut connection), "hi");

    connection.send(b"POST /echo?anonymous=1 HTTP/1.1\r\nContent-Length: 1\r\n\r\na");
    connection.send(b"POST /echo?anonymous=1 HTTP/1.1\r\nContent-Length: 1\r\n\r\nb");
    assert_eq!((echoed(&mut connection), echoed(&mut connection)), (json!("a"), json!("b")));
}

#[test]
fn what_is_no_request_is_refused_and_not_counted() {
    let setup = setup(json!({}));
    let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(65 * 1024));
    for (bytes, status) in [
        ("\x16\x03\x01 hello\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("GET / HTTP/2\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nContent-Length: 67108865\r\n\r\n", 413),
        (&long, 431),
    ] {
        let mut connection = setup.connect();
        connection.send(bytes.as_bytes());
        let answer = connection.read_answer("GET");
        assert_eq!((answer.status, answer.header("connection")), (status, Some("close")));
        connection.assert_closed();
    }
    assert_eq!(setup.space.report()["requests"], json!(0));
}

#[test]
fn connections_live_until_the_client_says_close() {
    let setup = setup(json!({}));
    let mut connection = setup.connect();
    for _ in 0..3 {
        assert_eq!(connection.get("/echo?anonymous=1", &[]).header("connection"), None);
    }
    assert_eq!(connection.get("/echo?anonymous=1", &[("Connection", "close")]).header("connection"), Some("close"));
    connection.assert_closed();
    let report = setup.space.report();
    assert_eq!((&report["connections"], &report["requests"]), (&json!(1), &json!(4)));
    assert_eq!(report["open_connections"], 0, "who sees the end must find it in the report");
}

#[test]
fn the_date_follows_the_clock_of_the_space() {
    let setup = setup(json!({ "date_offset_s": -4_102_444_800_i64 }));
    let mut connection = setup.connect();
    let year = |connection: &mut Connection| {
        let answer = connection.get("/echo?anonymous=1", &[]);
        answer.header("date").unwrap().split(' ').nth(3).unwrap().parse::<i32>().unwrap()
    };
    let before = year(&mut connection);
    assert!(before < 1970, "{before}");
    setup.space.advance(std::time::Duration::from_secs(40 * 365 * 86_400));
    assert!((39..=40).contains(&(year(&mut connection) - before)));
}
