//! Callers that get tokens while others revoke them: what was revoked is never handed out to those who come later, and
//! what came meanwhile stays.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Client;
use crate::error::{Error, ErrorCode, Stage};
use crate::http::{Answer, HeaderMap, Outgoing};
use crate::simulation::servers::{builder, new_client_id, sleep};
use crate::simulation::{Random, Server, World, for_seeds};
use crate::wait::Wait;

const SECOND: Duration = Duration::from_secs(1);

thread_local! {
    /// What this thread asked the server to revoke.
    static ASKED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Books {
    random: Random,
    /// A client that asks again gets its living token again.
    same: bool,
    living: Option<String>,
    issued: u64,
    token_requests: u64,
    /// Tokens whose revocation has returned.
    gone: HashSet<String>,
    revocations: u64,
    in_doubt: u64,
}

/// The token endpoint's answer is made before it travels, and so may bring what is revoked on its way.
fn serve(books: &Arc<Mutex<Books>>) -> Server {
    let books = books.clone();
    Box::new(move |outgoing: &Outgoing<'_>, wait: &Wait| {
        let mut guard = lock(&books);
        let (there, back) = (guard.random.time(SECOND), guard.random.time(SECOND));
        let lost = guard.random.percent(20);
        drop(guard);
        let pause = |time| wait.sleep(time).map_err(|stop| stop.into_error(Stage::Receiving, "reading"));
        pause(there)?;
        let body = match outgoing.url.path_and_query.as_str() {
            "/token" => lock(&books).grant(),
            _ => {
                let form = String::from_utf8_lossy(outgoing.body.unwrap_or_default()).into_owned();
                let text = form.trim_start_matches("token=").split('&').next().unwrap_or_default().to_owned();
                lock(&books).living.take_if(|living| *living == text);
                ASKED.with_borrow_mut(|asked| asked.push(text));
                pause(back)?;
                if lost {
                    return Err(Error::new(ErrorCode::ConnectionLost, Stage::Receiving, "the connection broke"));
                }
                String::new()
            }
        };
        pause(back)?;
        Ok(Answer::whole(200, HeaderMap::new(), body.into_bytes()))
    })
}

impl Books {
    fn grant(&mut self) -> String {
        self.token_requests += 1;
        if !self.same || self.living.is_none() {
            self.issued += 1;
            self.living = Some(format!("token-{}", self.issued));
        }
        let text = self.living.as_deref().unwrap_or_default();
        format!(r#"{{"access_token": "{text}", "expires_in": 3600}}"#)
    }
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

fn get(client: &Client, books: &Mutex<Books>) {
    let gone = lock(books).gone.clone();
    let token = client.get_token().expect("the server grants");
    assert!(!gone.contains(token.as_str()), "{} was revoked before this call", token.as_str());
}

fn revoke(client: &Client, books: &Mutex<Books>) {
    let revoked = client.revoke();
    let asked = ASKED.take();
    let mut books = lock(books);
    match revoked {
        Ok(revoked) => assert_eq!(revoked, !asked.is_empty()),
        Err(error) => {
            assert_eq!(error.code(), ErrorCode::ConnectionLost);
            books.in_doubt += 1;
        }
    }
    books.revocations += asked.len() as u64;
    books.gone.extend(asked);
}

/// One world: how often a token was revoked, and how often in doubt.
fn run(seed: u64) -> (u64, u64) {
    let mut random = Random::new(!seed);
    let books = Arc::new(Mutex::new(Books {
        same: random.percent(50),
        random: Random::new(random.next()),
        living: None,
        issued: 0,
        token_requests: 0,
        gone: HashSet::new(),
        revocations: 0,
        in_doubt: 0,
    }));
    World::run(seed, serve(&books), |world| {
        let client = builder(&new_client_id()).revocation_url("http://127.0.0.1:1/revoke").build().expect("valid");
        for _ in 0..4 {
            let (client, books, mut random) = (client.clone(), books.clone(), Random::new(random.next()));
            world.spawn(move || {
                for _ in 0..15 {
                    sleep(random.time(SECOND * 3));
                    match random.below(8) {
                        0 => revoke(&client, &books),
                        1 if lock(&books).same => {
                            let living = lock(&books).living.clone().unwrap_or_default();
                            client.invalidate_token(&living);
                        }
                        _ => get(&client, &books),
                    }
                }
            });
        }
    });
    let books = lock(&books);
    if !books.same {
        assert!(books.token_requests <= 1 + books.revocations, "a token was dropped that nobody revoked");
    }
    (books.revocations, books.in_doubt)
}

#[test]
fn a_token_that_was_revoked_is_handed_out_to_nobody_who_comes_later() {
    let (mut revocations, mut in_doubt) = (0, 0);
    let worlds = for_seeds(150, |seed| {
        let counts = run(seed);
        (revocations, in_doubt) = (revocations + counts.0, in_doubt + counts.1);
    });
    println!("{worlds} worlds, {revocations} revocations, {in_doubt} in doubt");
    assert!(worlds < 100 || (revocations > 100 && in_doubt > 10), "{revocations} revocations, {in_doubt} in doubt");
}
