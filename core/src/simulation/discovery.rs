//! Callers whose server is known by its issuer: it is asked once for all of them and then once a day, noticed when it
//! moves, and missed by nobody while it is silent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, ErrorCode, Stage};
use crate::http::{Answer, HeaderMap, Outgoing};
use crate::simulation::servers::{new_client_id, sleep};
use crate::simulation::{Server, World};
use crate::wait::Wait;
use crate::{CallOptions, Client, ClientBuilder, Environment};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A server that tells where its token endpoint is.
struct Books {
    issuer: String,
    token_path: &'static str,
    /// The metadata is silent.
    silent: bool,
    /// There is nothing at the token endpoint.
    gone: bool,
    /// Nobody is at this path.
    down: Option<&'static str>,
    takes: Duration,
    /// Requests by path.
    seen: HashMap<String, u32>,
}

impl Books {
    fn new() -> Arc<Mutex<Books>> {
        // An issuer of its own: what is known of one is shared in the whole process.
        let issuer = format!("http://127.0.0.1:1/{}", new_client_id());
        let seen = HashMap::new();
        Arc::new(Mutex::new(Books {
            issuer,
            token_path: "/token",
            silent: false,
            gone: false,
            down: None,
            takes: SECOND,
            seen,
        }))
    }

    fn answer(&mut self, path: &str) -> Result<(u16, String), Error> {
        let place = if path.contains("/.well-known/") { "metadata" } else { path };
        *self.seen.entry(place.into()).or_default() += 1;
        let nobody = || Err(Error::new(ErrorCode::ConnectFailed, Stage::Connecting, "nobody is there"));
        match place {
            "metadata" if self.silent => nobody(),
            path if self.down == Some(path) => nobody(),
            "metadata" => {
                let Books { issuer, token_path, .. } = self;
                let endpoint = format!("http://127.0.0.1:1{token_path}");
                Ok((200, format!(r#"{{"issuer": "{issuer}", "token_endpoint": "{endpoint}"}}"#)))
            }
            path if path == self.token_path && !self.gone => {
                let number = self.seen.values().sum::<u32>();
                Ok((200, format!(r#"{{"access_token": "token-{number}", "expires_in": 3600}}"#)))
            }
            _ => Ok((404, String::new())),
        }
    }
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seen(books: &Mutex<Books>, place: &str) -> u32 {
    lock(books).seen.get(place).copied().unwrap_or_default()
}

fn serve(books: &Arc<Mutex<Books>>) -> Server {
    let books = books.clone();
    Box::new(move |outgoing: &Outgoing<'_>, wait: &Wait| {
        let takes = lock(&books).takes;
        wait.sleep(takes).map_err(|stop| stop.into_error(Stage::Receiving, "reading"))?;
        let (status, body) = lock(&books).answer(&outgoing.url.path_and_query)?;
        Ok(Answer::whole(status, HeaderMap::new(), body.into_bytes()))
    })
}

fn builder(books: &Mutex<Books>) -> ClientBuilder {
    let builder = Client::builder().environment(Environment::from_pairs([("", "")])).client_id(new_client_id());
    builder.client_secret("secret").issuer(&lock(books).issuer)
}

/// Gets a token where none is left.
fn get_next(client: &Client) -> Result<(), Error> {
    sleep(HOUR);
    client.get_token().map(|_| ())
}

#[test]
fn one_caller_asks_for_all_identities_of_an_issuer() {
    let books = Books::new();
    World::run(1, serve(&books), |world| {
        let scopes = ["a", "b", "c"].map(|scope| builder(&books).scope(scope).build().expect("valid"));
        for caller in 0..30 {
            let client = scopes[caller % scopes.len()].clone();
            world.spawn(move || assert!(client.get_token().is_ok()));
        }
        sleep(SECOND * 10);
        assert_eq!((seen(&books, "metadata"), seen(&books, "/token")), (1, 3));
    });
}

#[test]
fn p09_a_caller_without_patience_harms_no_other_who_waits_for_what_it_asked() {
    let books = Books::new();
    lock(&books).takes = SECOND * 5;
    World::run(1, serve(&books), |world| {
        let client = builder(&books).token_timeout(SECOND * 12).max_attempts(1).build().expect("valid");
        let impatient = client.clone();
        let options = CallOptions { timeout: Some(SECOND), ..CallOptions::default() };
        world.spawn(move || {
            let error = impatient.introspect_with(Some("a"), &options).expect_err("no time");
            assert_eq!(error.code(), ErrorCode::Timeout);
        });
        sleep(SECOND / 2);
        client.get_token().expect("asked again by this one");
        assert_eq!(seen(&books, "metadata"), 1, "the one broken off was never answered");
    });
}

#[test]
fn a_server_is_asked_again_after_a_day() {
    let books = Books::new();
    World::run(1, serve(&books), |_| {
        let client = builder(&books).build().expect("valid");
        for hour in 1..=50 {
            get_next(&client).expect("a token");
            assert_eq!(seen(&books, "metadata"), 1 + (hour - 1) / 24, "after {hour} h");
        }
    });
}

#[test]
fn p04_a_server_that_does_not_tell_again_is_served_with_what_it_told_before() {
    let books = Books::new();
    World::run(1, serve(&books), |_| {
        let client = builder(&books).build().expect("valid");
        client.get_token().expect("a token");
        lock(&books).silent = true;
        for _ in 0..30 {
            get_next(&client).expect("a token all the same");
        }
        let asked = seen(&books, "metadata");
        assert!((2..=8).contains(&asked), "asked {asked} times, once for each token request since it is a day old");
        lock(&books).silent = false;
        get_next(&client).expect("a token");
        get_next(&client).expect("a token");
        assert_eq!(seen(&books, "metadata"), asked + 1);
    });
}

#[test]
fn a_server_that_has_moved_is_found_within_the_same_call() {
    let books = Books::new();
    World::run(1, serve(&books), |_| {
        let client = builder(&books).max_attempts(1).build().expect("valid");
        client.get_token().expect("a token");
        lock(&books).token_path = "/moved";
        get_next(&client).expect("a token from elsewhere");
        assert_eq!((seen(&books, "/token"), seen(&books, "metadata"), seen(&books, "/moved")), (2, 2, 1));
    });
}

#[test]
fn a_server_that_answers_404_where_it_says_it_is_is_asked_once_and_no_second_time() {
    let books = Books::new();
    World::run(1, serve(&books), |_| {
        let client = builder(&books).build().expect("valid");
        client.get_token().expect("a token");
        sleep(HOUR);
        lock(&books).gone = true;
        let error = client.get_token().expect_err("404");
        assert_eq!((error.code(), error.status()), (ErrorCode::OauthError, Some(404)));
        assert_eq!((seen(&books, "/token"), seen(&books, "metadata")), (2, 2));
        assert!(client.get_token().is_err());
        assert_eq!(seen(&books, "/token"), 2, "remembered as ever");
    });
}

#[test]
fn a_server_that_nobody_reaches_any_more_is_asked_whether_it_has_moved_and_tried_again_as_ever() {
    let books = Books::new();
    World::run(1, serve(&books), |_| {
        let client = builder(&books).build().expect("valid");
        client.get_token().expect("a token");
        lock(&books).down = Some("/token");
        sleep(HOUR);
        assert_eq!(client.get_token().expect_err("nobody").code(), ErrorCode::ConnectFailed);
        assert_eq!((seen(&books, "/token"), seen(&books, "metadata")), (4, 2), "three attempts, and one look");
        lock(&books).token_path = "/moved";
        client.get_token().expect("a token from elsewhere");
        assert_eq!((seen(&books, "/token"), seen(&books, "metadata"), seen(&books, "/moved")), (5, 3, 1));
    });
}
