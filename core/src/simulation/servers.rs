//! The servers of a world: a token endpoint that keeps books of all it did, and an API that knows its tokens.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{self, BootTime};
use crate::error::{Error, ErrorCode, Result, Stage};
use crate::http::{Answer, HeaderMap, HeaderValue, Outgoing};
use crate::simulation::{Server, World, here};
use crate::wait::Wait;
use crate::{Client, ClientBuilder, Environment};

/// What a token endpoint does about one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Play {
    /// A new token; `None`: of a lifetime nobody can use.
    Grant(Option<Duration>),
    /// The last token once more, if it lives.
    Same(Duration),
    /// 401 invalid_client.
    Refuse,
    /// 400 invalid_scope.
    Wrong,
    /// 403, too many tokens.
    Limit,
    /// 503 or 429, with or without a Retry-After in seconds.
    Unavailable(u16, Option<u64>),
    /// 200 and a page for people.
    Page,
    /// The connection breaks.
    Lose,
}

/// A token as the server knows it.
#[derive(Clone, Debug)]
pub(super) struct Issued {
    pub(super) text: String,
    pub(super) lifetime: Option<Duration>,
    /// When its request came; from here its life counts.
    pub(super) begin: BootTime,
    /// When its answer left, by the monotonic clock.
    pub(super) answered: Duration,
    /// Its life was over before its answer left.
    pub(super) late: bool,
    pub(super) condemned: u32,
    /// When it was handed out again.
    pub(super) again: Option<BootTime>,
    pub(super) revoked: bool,
    /// For which identity.
    pub(super) scope: String,
}

impl Issued {
    pub(super) fn ends(&self) -> BootTime {
        self.begin + self.lifetime.unwrap_or_default()
    }

    pub(super) fn lives(&self, now: BootTime) -> bool {
        now < self.ends()
    }

    /// Whether a library keeps it after its answer.
    pub(super) fn is_kept(&self) -> bool {
        self.lifetime.is_some() && !self.late
    }
}

/// What the servers saw.
#[derive(Default)]
pub(super) struct Books {
    pub(super) tokens: Vec<Issued>,
    /// When token requests came.
    pub(super) requests: Vec<BootTime>,
    /// The scopes for which a token request is being answered.
    pub(super) under_way: Vec<String>,
    /// When token requests ended, by the monotonic clock.
    pub(super) ended: Vec<Duration>,
    /// The last answer's, by scope.
    pub(super) retry_after: HashMap<String, Duration>,
    /// API requests, and those answered 200.
    pub(super) api_requests: u64,
    pub(super) api_accepted: u64,
    /// What must not be and was.
    pub(super) wrongs: Vec<String>,
}

impl Books {
    pub(super) fn wrong(&mut self, what: String) {
        self.wrongs.push(format!("at {:?}: {what}", clock::now()));
    }

    /// The token that callers who come now find, if all is well: the last that could be kept and whose answer left
    /// before this moment.
    pub(super) fn current(&self, scope: &str) -> Option<&Issued> {
        let now = awake();
        self.of(scope).rfind(|token| token.answered < now)
    }

    /// The tokens of a scope that could be kept.
    pub(super) fn of(&self, scope: &str) -> impl DoubleEndedIterator<Item = &Issued> {
        self.tokens.iter().filter(move |token| token.scope == scope && token.is_kept())
    }

    pub(super) fn by_text(&mut self, text: &str) -> Option<&mut Issued> {
        self.tokens.iter_mut().rfind(|token| token.text == text)
    }
}

type TokenPlan = Box<dyn FnMut() -> (Duration, Play) + Send>;
type ApiPlan = Box<dyn FnMut(&Issued) -> (Duration, u16) + Send>;

/// What the servers do is decided by two functions, which may change their mind from request to request.
pub(super) struct Servers {
    books: Mutex<Books>,
    /// How long an answer takes, and what it is.
    token_plan: Mutex<TokenPlan>,
    /// The same for a request with a token that lives; dead and revoked ones get a 401.
    api_plan: Mutex<ApiPlan>,
}

impl Servers {
    pub(super) fn new(
        token_plan: impl FnMut() -> (Duration, Play) + Send + 'static,
        api_plan: impl FnMut(&Issued) -> (Duration, u16) + Send + 'static,
    ) -> Arc<Servers> {
        Arc::new(Servers {
            books: Mutex::default(),
            token_plan: Mutex::new(Box::new(token_plan)),
            api_plan: Mutex::new(Box::new(api_plan)),
        })
    }

    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn serve(self: &Arc<Servers>) -> Server {
        let servers = self.clone();
        Box::new(move |outgoing, wait| match outgoing.url.path_and_query.as_str() {
            "/token" => servers.token_request(outgoing, wait),
            _ => servers.api_request(outgoing, wait),
        })
    }

    fn token_request(&self, outgoing: &Outgoing<'_>, wait: &Wait) -> Result<Answer> {
        let begin = clock::now();
        let scope = scope_of(outgoing);
        {
            let mut books = self.books();
            if books.under_way.contains(&scope) {
                books.wrong("two token requests at once".into());
            }
            books.under_way.push(scope.clone());
            books.requests.push(begin);
        }
        let (latency, play) = (self.token_plan.lock().expect("no plan panics"))();
        let slept = wait.sleep(latency);
        let mut books = self.books();
        books.under_way.retain(|other| *other != scope);
        books.ended.push(awake());
        books.retry_after.remove(&scope);
        slept.map_err(|stop| stop.into_error(Stage::Receiving, "reading"))?;
        if let Play::Unavailable(_, Some(seconds)) = play {
            books.retry_after.insert(scope.clone(), Duration::from_secs(seconds));
        }
        match play {
            Play::Grant(lifetime) => Ok(books.grant(scope, lifetime, begin)),
            Play::Same(lifetime) => Ok(books.grant_again(scope, lifetime, begin)),
            Play::Refuse => Ok(answer(401, None, r#"{"error": "invalid_client"}"#.into())),
            Play::Wrong => Ok(answer(400, None, r#"{"error": "invalid_scope"}"#.into())),
            Play::Limit => Ok(answer(403, None, LIMIT.into())),
            Play::Unavailable(status, retry_after) => Ok(answer(status, retry_after, String::new())),
            Play::Page => Ok(answer(200, None, "<html>".into())),
            Play::Lose => Err(Error::new(ErrorCode::ConnectionLost, Stage::Receiving, "the connection broke")),
        }
    }

    fn api_request(&self, outgoing: &Outgoing<'_>, wait: &Wait) -> Result<Answer> {
        let now = clock::now();
        let header = outgoing.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let text = header.strip_prefix("Bearer ").unwrap_or_default();
        let (latency, status) = {
            let mut books = self.books();
            books.api_requests += 1;
            let Some(token) = books.by_text(text).cloned() else {
                books.wrong(format!("a request with {header:?}"));
                return Ok(answer(401, None, String::new()));
            };
            match token.lives(now) && !token.revoked {
                true => (self.api_plan.lock().expect("no plan panics"))(&token),
                false => (Duration::ZERO, 401),
            }
        };
        wait.sleep(latency).map_err(|stop| stop.into_error(Stage::Receiving, "reading"))?;
        self.books().api_accepted += u64::from(status == 200);
        Ok(answer(status, None, String::new()))
    }
}

const LIMIT: &str = r#"{"error": "access_denied", "error_description": "Access Token limit reached"}"#;

impl Books {
    fn grant(&mut self, scope: String, lifetime: Option<Duration>, begin: BootTime) -> Answer {
        let text = format!("token-{}", self.tokens.len());
        self.issue(text, scope, lifetime, begin)
    }

    fn grant_again(&mut self, scope: String, lifetime: Duration, begin: BootTime) -> Answer {
        let now = clock::now();
        match self.tokens.iter_mut().rfind(|token| token.scope == scope && token.is_kept()) {
            Some(token) if token.lives(now) => {
                (token.condemned, token.again) = (0, Some(now));
                granted(&token.text, Some(lifetime))
            }
            Some(token) => {
                let text = token.text.clone();
                self.issue(text, scope, Some(lifetime), begin)
            }
            None => self.grant(scope, Some(lifetime), begin),
        }
    }

    fn issue(&mut self, text: String, scope: String, lifetime: Option<Duration>, begin: BootTime) -> Answer {
        let late = lifetime.is_some_and(|lifetime| begin + lifetime <= clock::now());
        let answer = granted(&text, lifetime);
        let answered = awake();
        self.tokens.push(Issued {
            text,
            lifetime,
            begin,
            answered,
            late,
            condemned: 0,
            again: None,
            revoked: false,
            scope,
        });
        answer
    }
}

fn granted(text: &str, lifetime: Option<Duration>) -> Answer {
    let seconds = lifetime.unwrap_or_default().as_secs_f64();
    answer(200, None, format!(r#"{{"access_token": "{text}", "token_type": "bearer", "expires_in": {seconds}}}"#))
}

fn answer(status: u16, retry_after: Option<u64>, body: String) -> Answer {
    let mut headers = HeaderMap::new();
    if let Some(seconds) = retry_after {
        headers.insert("retry-after", HeaderValue::from(seconds));
    }
    Answer::whole(status, headers, body.into_bytes())
}

fn scope_of(outgoing: &Outgoing<'_>) -> String {
    let form = String::from_utf8_lossy(outgoing.body.unwrap_or_default()).into_owned();
    form.split_once("scope=").map(|(_, scope)| scope.to_string()).unwrap_or_default()
}

pub(super) fn world() -> Arc<World> {
    here().expect("in a world").world
}

/// How long this world has been awake.
pub(super) fn awake() -> Duration {
    world().awake()
}

pub(super) fn sleep(time: Duration) {
    let _ = Wait::of("simulation", Duration::MAX).sleep(time);
}

/// A client_id that no other world has: tokens and budgets are shared in the whole process.
pub(super) fn new_client_id() -> String {
    static MADE: AtomicU64 = AtomicU64::new(0);
    format!("client-{}", MADE.fetch_add(1, Ordering::Relaxed))
}

/// Options of a client of these servers. The client is to be made when its world begins and to be kept until that ends:
/// what no client holds may be dropped by another test, whose clock is another.
pub(super) fn builder(client_id: &str) -> ClientBuilder {
    Client::builder()
        .environment(Environment::from_pairs([("", "")]))
        .client_id(client_id)
        .client_secret("secret")
        .token_url("http://127.0.0.1:1/token")
        .base_url("http://127.0.0.1:1")
}
