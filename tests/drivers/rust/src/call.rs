//! Calls, each on a thread of its own.

use crate::Broken;
use crate::answer::Answer;
use crate::client::RECEIVED;
use crate::download::Download;
use crate::fields::{Fields, milliseconds, number, take, text};
use crate::loud;
use crate::stream::{Streaming, memory};
use crate::upload::Upload;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use svctoken::{CallOptions, CancelToken, Client, Error, RequestBuilder, Token};

pub(crate) struct Call {
    thread: JoinHandle<Answer>,
    cancel: CancelToken,
}

impl Call {
    pub(crate) fn start(cancel: CancelToken, work: impl FnOnce() -> Result<Answer, Error> + Send + 'static) -> Self {
        let thread = std::thread::spawn(move || {
            let start = Instant::now();
            let answer = work().unwrap_or_else(|error| Answer::error(&error));
            answer.with("elapsed_ms", start.elapsed().as_secs_f64() * 1000.0)
        });
        Self { thread, cancel }
    }

    pub(crate) fn cancel(&self) {
        self.cancel.cancel();
    }

    pub(crate) fn wait(self) -> Answer {
        self.thread.join().unwrap_or_else(|_| Answer::broken("the call panicked; standard error says where"))
    }
}

pub(crate) fn get_token(client: Client, fields: Fields) -> Result<Call, Broken> {
    with_token(client, fields, |token| Answer::ok().with("token", token.as_str()))
}

pub(crate) fn get_token_info(client: Client, fields: Fields) -> Result<Call, Broken> {
    with_token(client, fields, |token| {
        let answer = Answer::ok()
            .with("token", token.as_str())
            .with("token_type", token.token_type())
            .with("expires_in_ms", token.expires_in().as_millis());
        match token.scope() {
            Some(scope) => answer.with("scope", scope),
            None => answer,
        }
    })
}

pub(crate) fn introspect(client: Client, fields: Fields) -> Result<Call, Broken> {
    let (options, token) = options_and_token(fields)?;
    let cancel = options.cancel.clone().unwrap_or_default();
    Ok(Call::start(cancel, move || {
        let answer = client.introspect_with(token.as_deref(), &options)?;
        loud::show(&answer);
        Ok(Answer::ok().with("body", answer))
    }))
}

pub(crate) fn revoke(client: Client, fields: Fields) -> Result<Call, Broken> {
    let options = options(fields)?;
    let cancel = options.cancel.clone().unwrap_or_default();
    Ok(Call::start(cancel, move || Ok(Answer::ok().with("result", client.revoke_with(&options)?))))
}

fn with_token(client: Client, fields: Fields, answer: fn(&Token) -> Answer) -> Result<Call, Broken> {
    let options = options(fields)?;
    loud::show(&options);
    let cancel = options.cancel.clone().unwrap_or_default();
    Ok(Call::start(cancel, move || {
        let token = client.get_token_with(&options)?;
        loud::show(&token);
        Ok(answer(&token))
    }))
}

fn options(fields: Fields) -> Result<CallOptions, Broken> {
    match options_and_token(fields)? {
        (options, None) => Ok(options),
        (_, Some(_)) => Err(Broken("this call takes no token".to_owned())),
    }
}

fn options_and_token(mut fields: Fields) -> Result<(CallOptions, Option<String>), Broken> {
    let mut options = CallOptions { cancel: Some(CancelToken::new()), ..CallOptions::default() };
    let mut token = None;
    while let Some((key, value)) = fields.pair()? {
        match key.as_str() {
            "timeout" => options.timeout = Some(milliseconds(&text(value)?)?),
            "token" => token = Some(text(value)?),
            _ => return Err(Broken(format!("unknown field {key}"))),
        }
    }
    Ok((options, token))
}

pub(crate) fn request(client: Client, mut fields: Fields) -> Result<Call, Broken> {
    let (method, url) = (fields.word()?, fields.word()?);
    let mut pairs = Vec::new();
    while let Some(pair) = fields.pair()? {
        pairs.push(pair);
    }
    let then = take(&mut pairs, "then")?.unwrap_or_default();
    let upload = Upload::take(&mut pairs)?;
    let download = Download::take(&mut pairs)?;
    let measured = (upload.is_some() || download.is_some()) && pairs.iter().any(|(key, _)| key == "measure");
    let streaming = Streaming::take(&mut pairs)?;
    let parts = pairs.into_iter().map(|(key, value)| Part::read(&key, value)).collect::<Result<Vec<_>, _>>()?;
    let call = move |cancel: CancelToken| {
        let request = client.request(method, url).cancel(&cancel);
        let request = parts.into_iter().fold(request, |request, part| part.add_to(request));
        let request = match &upload {
            Some(upload) => upload.add_to(request, &cancel),
            None => request,
        };
        loud::show(&request);
        if let Some(streaming) = streaming {
            return streaming.run(request, &then, &cancel);
        }
        let mut told = Vec::new();
        let response = match download {
            Some(download) => match download.run(request, &mut told) {
                Err(error) => {
                    return Ok(told
                        .into_iter()
                        .fold(Answer::error(&error), |answer, (name, value)| answer.with(name, value)));
                }
                Ok(response) => response,
            },
            None => request.send()?,
        };
        loud::show(&response);
        if let Some(error) = response.error() {
            loud::show_error(&error);
        }
        let response = if then == "check" { response.error_for_status()? } else { response };
        let answer = Answer::ok()
            .with("status", response.status())
            .with("attempts", response.attempts())
            .with("url", response.url())
            .with_bytes("body", response.body());
        let answer = told.into_iter().fold(answer, |answer, (name, value)| answer.with(name, value));
        let answer = match RECEIVED.load(Ordering::SeqCst) {
            0 => answer,
            count => answer.with("received", count),
        };
        let answer = if then == "text" { answer.with("text", response.text()?) } else { answer };
        Ok(response.headers().fold(answer, |answer, (name, value)| answer.with(&format!("header.{name}"), value)))
    };
    let cancel = CancelToken::new();
    Ok(Call::start(cancel.clone(), move || {
        if !measured {
            return call(cancel);
        }
        let begin = memory("VmRSS");
        let answer = call(cancel).unwrap_or_else(|error| Answer::error(&error));
        Ok(answer.with("growth_kib", memory("VmHWM").saturating_sub(begin)))
    }))
}

/// One thing a caller gives to a request.
pub(crate) enum Part {
    Timeout(Duration),
    Accept(String),
    MaxResponseBytes(u64),
    IdleTimeout(Duration),
    MaxAttempts(u64),
    Idempotent(bool),
    Json(serde_json::Value),
    Body(Vec<u8>),
    ContentType(String),
    Query(String, String),
    Header(String, String),
    Form(String, String),
}

impl Part {
    pub(crate) fn read(key: &str, value: Vec<u8>) -> Result<Self, Broken> {
        if key == "body" {
            return Ok(Self::Body(value));
        }
        let value = text(value)?;
        Ok(match (key, key.split_once('.')) {
            ("timeout", _) => Self::Timeout(milliseconds(&value)?),
            ("accept", _) => Self::Accept(value),
            ("max_response_bytes", _) => Self::MaxResponseBytes(number(&value)?),
            ("idle_timeout", _) => Self::IdleTimeout(milliseconds(&value)?),
            ("max_attempts", _) => Self::MaxAttempts(number(&value)?),
            ("idempotent", _) => Self::Idempotent(value == "true"),
            ("json", _) => Self::Json(serde_json::from_str(&value).map_err(|error| Broken(error.to_string()))?),
            ("content_type", _) => Self::ContentType(value),
            (_, Some(("query", name))) => Self::Query(name.to_owned(), value),
            (_, Some(("header", name))) => Self::Header(name.to_owned(), value),
            (_, Some(("form", name))) => Self::Form(name.to_owned(), value),
            _ => return Err(Broken(format!("unknown field {key}"))),
        })
    }

    pub(crate) fn add_to(self, request: RequestBuilder<'_>) -> RequestBuilder<'_> {
        match self {
            Self::Timeout(timeout) => request.timeout(timeout),
            Self::Accept(accept) => request.accept(accept),
            Self::MaxResponseBytes(limit) => request.max_response_bytes(limit),
            Self::IdleTimeout(timeout) => request.idle_timeout(timeout),
            Self::MaxAttempts(count) => request.max_attempts(count),
            Self::Idempotent(idempotent) => request.idempotent(idempotent),
            Self::Json(value) => request.json(&value),
            Self::Body(bytes) => request.body(bytes),
            Self::ContentType(name) => request.content_type(name),
            Self::Query(name, value) => request.query(name, value),
            Self::Header(name, value) => request.header(name, value),
            Self::Form(name, value) => request.form(name, value),
        }
    }
}
