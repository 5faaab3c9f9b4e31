//! Calls that end later: each has a number, runs on a thread of ours, and comes back through the one thread-safe
//! function of its environment, which `index.js` turns into the settling of a promise. Log events come the same way.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use napi::bindgen_prelude::{Buffer, Either, Either8, External, FnArgs, Function};
use napi::threadsafe_function::{ThreadsafeCallContext, ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status};
use napi_derive::napi;
use svctoken::{CancelToken, ErrorCode, LogEvent, Response, StreamingResponse};

use crate::cancel::Cancels;
use crate::client::TokenFacts;
use crate::error::{ErrorFacts, Failure, caught, guarded};
use crate::log::EventFacts;
use crate::pool::Pool;
use crate::question::Questions;
use crate::stream::NativeStream;

/// More requests at once than this wait for each other.
pub(crate) static REQUESTS: Pool = Pool::new("svctoken-call", 256);
/// Apart from the requests, which may be waiting for the very token; one thread at most for each client.
pub(crate) static TOKEN_WAITS: Pool = Pool::new("svctoken-token", 1024);

/// An answer of the API.
#[napi(object, object_from_js = false)]
pub(crate) struct ResponseFacts {
    pub status: u32,
    pub attempts: u32,
    pub url: String,
    /// One `name: value` a line.
    pub headers: String,
    pub body: Buffer,
    /// What the Content-Type names.
    pub charset: Option<String>,
    /// The body's text, where it is not in UTF-8 and the core reads its charset: so do not all versions of Node.js.
    pub text: Option<String>,
    /// The error a status of 400 or above stands for.
    pub error: Option<ErrorFacts>,
    /// Where the body is to be read as it comes.
    pub stream: Option<External<NativeStream>>,
}

/// What a call came to.
pub(crate) enum Outcome {
    Token(TokenFacts),
    Response(Response),
    Stream(Box<StreamingResponse>, CancelToken),
    Read(usize),
    Revoked(bool),
    Introspected(String),
    Done,
}

/// What an environment is told.
enum Message {
    /// A call has ended.
    Settled { call: u32, outcome: Result<Outcome, Failure> },
    /// A client has something for its log.
    Logged { client: u32, event: EventFacts },
    /// A client needs its secret.
    AskedSecret { client: u32, question: u32 },
    /// A call needs the next bytes of its body, or the first.
    AskedBody { call: u32, question: u32, begins: bool },
    /// A download has come so far, and goes on when that was heard.
    Progressed { call: u32, question: u32, progress: ProgressFacts },
}

/// How far a download has come, in bytes.
#[napi(object, object_from_js = false)]
pub(crate) struct ProgressFacts {
    pub received: f64,
    pub total: Option<f64>,
}

type Told = Either8<TokenFacts, ResponseFacts, bool, String, f64, ErrorFacts, EventFacts, ProgressFacts>;
/// What it is, the number of the call or the client, what there is to say of it, and the question to be answered.
type Telling = FnArgs<(&'static str, u32, Option<Told>, Option<u32>)>;
type Tell = ThreadsafeFunction<Message, (), Telling, Status, false, true>;

/// The calls in progress of one environment (the main thread or a worker).
pub(crate) struct Calls(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    tell: Mutex<Tell>,
    pub(crate) cancels: Cancels,
    pub(crate) questions: Questions,
}

/// The environment has ended, and nobody waits any more.
impl Drop for Calls {
    fn drop(&mut self) {
        self.0.cancels.cancel_all();
        self.0.questions.end();
    }
}

impl Shared {
    /// Runs `work` on a thread of the pool, at the latest when it is `due`, and settles the call with what it returns.
    pub(crate) fn run(
        self: &Arc<Shared>,
        pool: &'static Pool,
        call: u32,
        due: Instant,
        work: impl FnOnce() -> Result<Outcome, Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        let shared = self.clone();
        start(pool, due, move || shared.settle(call, caught(work))).inspect_err(|_| self.cancels.forget(call))
    }

    /// Ends a call; its promise is settled when the environment comes to it.
    pub(crate) fn settle(&self, call: u32, outcome: Result<Outcome, Failure>) {
        self.cancels.forget(call);
        self.send(Message::Settled { call, outcome });
    }

    /// Hands a log event to the listeners of a client, when the environment comes to it.
    pub(crate) fn log(&self, client: u32, event: &LogEvent) {
        self.send(Message::Logged { client, event: event.into() });
    }

    /// Has the client's function called, which answers the question by its number.
    pub(crate) fn ask_secret(&self, client: u32, question: u32) {
        self.send(Message::AskedSecret { client, question });
    }

    /// Has a call's body read, which answers the question by its number.
    pub(crate) fn ask_body(&self, call: u32, question: u32, begins: bool) {
        self.send(Message::AskedBody { call, question, begins });
    }

    /// Has the function of a call called that is told of its progress, which answers the question by its number.
    pub(crate) fn progressed(&self, call: u32, question: u32, received: u64, total: Option<u64>) {
        let progress = ProgressFacts { received: received as f64, total: total.map(|total| total as f64) };
        self.send(Message::Progressed { call, question, progress });
    }

    fn send(&self, message: Message) {
        // Any other status than success says that the environment is ending.
        let _ = self.function().call(message, ThreadsafeFunctionCallMode::NonBlocking);
    }

    fn function(&self) -> MutexGuard<'_, Tell> {
        self.tell.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `work`, which must not panic, on a thread of ours, at the latest when it is `due`.
pub(crate) fn start(pool: &'static Pool, due: Instant, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    pool.run(Box::new(work), due)
        .map_err(|error| Failure::Own(ErrorCode::Internal, format!("no thread for the call: {error}")))
}

/// Makes the environment's calls. Each ends by `tell('kept', call, result)` or `tell('failed', call, error)`;
/// `tell('logged', client, event)` brings a log event. To be answered by the question's number are
/// `tell('asked_secret', client, undefined, question)`, `tell('asked_body', call, begins, question)` and
/// `tell('progressed', call, progress, question)`. Alone, it keeps no process alive.
#[napi(catch_unwind)]
pub(crate) fn create_calls(
    #[napi(
        ts_arg_type = "(what: 'kept' | 'failed' | 'logged' | 'asked_secret' | 'asked_body' | 'progressed', number: number, value?: TokenFacts | ResponseFacts | boolean | string | number | ErrorFacts | EventFacts | ProgressFacts, question?: number) => void"
    )]
    tell: Function<'_, Telling, ()>,
) -> napi::Result<External<Calls>> {
    let tell =
        tell.build_threadsafe_function::<Message>().callee_handled::<false>().weak::<true>().build_callback(telling)?;
    Ok(External::new(Calls(Arc::new(Shared {
        tell: Mutex::new(tell),
        cancels: Cancels::default(),
        questions: Questions::default(),
    }))))
}

/// Says whether calls are in progress: if so, the process is kept alive.
#[napi(catch_unwind)]
pub(crate) fn keep_alive(env: Env, calls: &External<Calls>, in_progress: bool) -> napi::Result<()> {
    let mut settle = calls.0.function();
    #[expect(deprecated, reason = "a clone counts threads; whether the event loop waits is another question")]
    if in_progress { settle.refer(&env) } else { settle.unref(&env) }
}

/// Ends a call early, if it has not ended. Its promise is the caller's to settle.
#[napi]
pub(crate) fn cancel(calls: &External<Calls>, call: u32) -> Either<ErrorFacts, ()> {
    guarded(|| {
        calls.0.cancels.cancel(call);
        Ok(())
    })
}

/// Runs on the environment's own thread.
fn telling(context: ThreadsafeCallContext<Message>) -> napi::Result<Telling> {
    Ok(match context.value {
        Message::Settled { call, outcome } => match outcome.and_then(|outcome| caught(|| Ok(value_of(outcome)))) {
            Ok(value) => ("kept", call, value, None),
            Err(failure) => ("failed", call, Some(Either8::F(failure.into())), None),
        },
        Message::Logged { client, event } => ("logged", client, Some(Either8::G(event)), None),
        Message::AskedSecret { client, question } => ("asked_secret", client, None, Some(question)),
        Message::AskedBody { call, question, begins } => ("asked_body", call, Some(Either8::C(begins)), Some(question)),
        Message::Progressed { call, question, progress } => {
            ("progressed", call, Some(Either8::H(progress)), Some(question))
        }
    }
    .into())
}

fn value_of(outcome: Outcome) -> Option<Told> {
    match outcome {
        Outcome::Token(token) => Some(Either8::A(token)),
        Outcome::Response(response) => Some(Either8::B(facts(response))),
        Outcome::Stream(response, cancel) => Some(Either8::B(facts_of_stream(*response, cancel))),
        Outcome::Read(count) => Some(Either8::E(count as f64)),
        Outcome::Revoked(revoked) => Some(Either8::C(revoked)),
        Outcome::Introspected(json) => Some(Either8::D(json)),
        Outcome::Done => None,
    }
}

fn text(response: &Response) -> Option<String> {
    let is_utf8 = response.charset().is_none_or(|charset| charset == "utf-8");
    if is_utf8 { None } else { response.text().ok().map(Cow::into_owned) }
}

fn facts(response: Response) -> ResponseFacts {
    let mut headers = String::new();
    for (name, value) in response.headers() {
        headers.push_str(name);
        headers.push_str(": ");
        headers.push_str(&value);
        headers.push('\n');
    }
    ResponseFacts {
        status: response.status().into(),
        attempts: response.attempts(),
        url: response.url().into(),
        headers,
        error: response.error().map(ErrorFacts::from),
        text: text(&response),
        charset: response.charset(),
        body: response.into_body().into(),
        stream: None,
    }
}

fn facts_of_stream(response: StreamingResponse, cancel: CancelToken) -> ResponseFacts {
    let (head, body) = response.into_parts();
    ResponseFacts { stream: Some(External::new(NativeStream::new(body, cancel))), ..facts(head) }
}
