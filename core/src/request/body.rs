//! What a request carries: bytes, JSON, a form, or what is read while it is sent.

use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::config::url;
use crate::error::{Error, Result};
use crate::http::{Asked, BodyQuestion, BodySource, Source, Upload, WholeFile};
use crate::request::RequestBuilder;

/// A body beyond this waits for the server to want it, as does every stream.
const LARGE_BODY: usize = 1024 * 1024;

/// The body of a request in the making.
#[derive(Default)]
pub(super) struct RequestBody<'a> {
    content: Option<Content<'a>>,
    form: Vec<(String, String)>,
    pub(super) content_type: Option<String>,
}

enum Content<'a> {
    Bytes(Cow<'a, [u8]>),
    File(PathBuf),
    Stream(Upload<'a>),
}

impl<'a> RequestBody<'a> {
    pub(super) fn is_some(&self) -> bool {
        self.content.is_some() || !self.form.is_empty()
    }

    /// Makes the form the body.
    pub(super) fn write_form(&mut self) -> Result<()> {
        if self.form.is_empty() {
            return Ok(());
        }
        if self.content.is_some() {
            return Err(Error::argument("a form and another body exclude each other: a request has one body"));
        }
        let pairs = self.form.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        self.content = Some(Content::Bytes(url::form_body(pairs).into_bytes().into()));
        self.content_type.get_or_insert_with(|| "application/x-www-form-urlencoded".into());
        Ok(())
    }

    /// The body, ready to be sent; a file is opened.
    pub(super) fn begin(&mut self) -> Result<Payload<'a>> {
        match self.content.take() {
            None => Ok(Payload::Empty),
            Some(Content::Bytes(bytes)) => Ok(Payload::Bytes(bytes)),
            Some(Content::Stream(upload)) => Ok(Payload::Stream(upload)),
            Some(Content::File(path)) => open(&path).map(Payload::Stream),
        }
    }
}

/// A body, ready to be sent.
pub(super) enum Payload<'a> {
    Empty,
    Bytes(Cow<'a, [u8]>),
    Stream(Upload<'a>),
}

impl<'a> Payload<'a> {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Payload::Empty)
    }

    /// Whether it should wait for the server to want it (RFC 9110 section 10.1.1).
    pub(super) fn is_large(&self) -> bool {
        match self {
            Payload::Empty => false,
            Payload::Bytes(bytes) => bytes.len() > LARGE_BODY,
            Payload::Stream(upload) => !upload.is_empty(),
        }
    }

    /// Whether the same can be sent again, gone back to the beginning if need be.
    pub(super) fn can_be_sent_again(&mut self) -> bool {
        match self {
            Payload::Empty | Payload::Bytes(_) => true,
            Payload::Stream(upload) => upload.can_be_sent_again(),
        }
    }

    /// Bytes, or a stream in their place.
    pub(super) fn parts(&mut self) -> (Option<&[u8]>, Option<&mut Upload<'a>>) {
        match self {
            Payload::Empty => (None, None),
            Payload::Bytes(bytes) => (Some(bytes), None),
            Payload::Stream(upload) => (None, Some(upload)),
        }
    }
}

fn open(path: &Path) -> Result<Upload<'static>> {
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
    let cannot = |why: &str| Error::argument(format!("the body's file {} cannot be read: {why}", path.display()));
    let (metadata, file) = opened.map_err(|error| cannot(&error.to_string()))?;
    if metadata.is_dir() {
        return Err(cannot("it is a folder"));
    }
    // What is no regular file, such as a pipe, has no length.
    let length = metadata.is_file().then_some(metadata.len());
    Ok(Upload::new(Source::Read(Box::new(WholeFile(file))), length))
}

impl<'a> RequestBuilder<'a> {
    /// A JSON body, with its Content-Type.
    pub fn json(self, value: &serde_json::Value) -> Self {
        self.body(value.to_string().into_bytes()).content_type("application/json")
    }

    /// A body of bytes; no Content-Type is sent unless one is given.
    pub fn body(mut self, bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        self.body.content = Some(Content::Bytes(bytes.into()));
        self
    }

    /// A body that is read from a file while it is sent, in memory that does not grow; no Content-Type is sent unless one
    /// is given. The file is opened by `send`, its length is that of then, and it is read anew where the request is sent
    /// again.
    ///
    /// As to the server and the call's time, see [`body_from`](RequestBuilder::body_from).
    pub fn body_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.body.content = Some(Content::File(path.into()));
        self
    }

    /// A body that is read from `source` while it is sent, in memory that does not grow; no Content-Type is sent unless
    /// one is given. With `length`, how many bytes that are, the server is told, and more or fewer are
    /// `invalid_argument`; without, the body goes in chunks (RFC 9112 section 7.1), which some servers do not take.
    ///
    /// The server is asked first whether it wants the body (`Expect: 100-continue`, as for every body over 1 MiB) and
    /// given 1 s to say so; if it says nothing, it is not asked again for 5 minutes, and gets each body that is read over a
    /// new connection. A server that answers with 300 or above before it has the whole body gets no more of it; that is
    /// seen when the source gives bytes to send. Sent again, after a 401 or by the rules of retries and redirects, is only
    /// what was not begun to be read, or can [go back](BodySource::rewind); else the answer or error is the caller's.
    ///
    /// The call's timeout covers the sending too: give a large body enough.
    pub fn body_from(self, source: impl BodySource + 'a, length: Option<u64>) -> Self {
        self.body_stream(Source::Read(Box::new(source)), length)
    }

    /// As [`body_from`](RequestBuilder::body_from), of a source that is asked for its next bytes and may answer later,
    /// from another thread. One that is `repeatable` can be asked for the first bytes again, which the question says.
    pub fn body_asked(self, ask: impl FnMut(BodyQuestion) + Send + 'a, length: Option<u64>, repeatable: bool) -> Self {
        self.body_stream(Source::Asked(Asked::new(ask, repeatable)), length)
    }

    fn body_stream(mut self, source: Source<'a>, length: Option<u64>) -> Self {
        self.body.content = Some(Content::Stream(Upload::new(source, length)));
        self
    }

    /// Adds a field to a form body (`application/x-www-form-urlencoded`), after those there are. Not beside another body.
    pub fn form(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.body.form.push((name.into(), value.into()));
        self
    }

    /// The body's Content-Type. Default: that of `json` or `form`.
    pub fn content_type(mut self, value: impl Into<String>) -> Self {
        self.body.content_type = Some(value.into());
        self
    }
}
