//! The body of a request that is read while it is sent.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::{Arc, OnceLock};

use crate::error::{Error, ErrorCode, Result, Stage};
use crate::wait::{Event, Wait};

/// Where a request's body comes from while it is sent. Every [`Read`] is one that cannot go back.
///
/// What it does, it does on the thread of the call, and neither the call's timeout nor its cancel ends a read that
/// blocks: both are seen when it returns.
pub trait BodySource: Send {
    /// Fills the beginning of `buffer`, which is not empty, and says with how many bytes; 0 is the end. An error ends the
    /// call with `invalid_argument`, whose text has the error's.
    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Goes back to the first byte, so that the body can be sent again; `false`: it cannot, which is the default.
    fn rewind(&mut self) -> io::Result<bool> {
        Ok(false)
    }
}

impl<R: Read + Send> BodySource for R {
    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }
}

/// A file from its beginning.
pub(crate) struct WholeFile(pub(crate) File);

impl BodySource for WholeFile {
    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }

    fn rewind(&mut self) -> io::Result<bool> {
        // What has no beginning, such as a pipe, says so.
        Ok(Seek::rewind(&mut self.0).is_ok())
    }
}

/// The question for the next bytes of a body, which any thread may answer. The call waits for the answer within its
/// time, and its cancel ends the wait. Dropped, it is answered with an error.
pub struct BodyQuestion {
    question: Arc<Question>,
    begins: bool,
}

struct Question {
    answered: Option<Event>,
    answer: OnceLock<std::result::Result<Vec<u8>, String>>,
}

impl BodyQuestion {
    /// Whether it is for the first bytes: at the beginning, and where a body that can be repeated is sent again.
    pub fn begins(&self) -> bool {
        self.begins
    }

    /// Gives the next bytes, as many as there are; none is the end. Or says why there are none.
    pub fn answer(self, bytes: std::result::Result<Vec<u8>, String>) {
        self.question.answer(bytes);
    }
}

impl Drop for BodyQuestion {
    fn drop(&mut self) {
        self.question.answer(Err("nobody gave its next bytes".into()));
    }
}

impl Question {
    /// The first answer counts.
    fn answer(&self, bytes: std::result::Result<Vec<u8>, String>) {
        if self.answer.set(bytes).is_ok()
            && let Some(answered) = &self.answered
        {
            answered.set();
        }
    }
}

/// A body that is read while it is sent.
pub(crate) struct Upload<'a> {
    source: Source<'a>,
    length: Option<u64>,
    /// How many bytes were read of it since its beginning.
    count: u64,
    begun: bool,
}

pub(crate) enum Source<'a> {
    Read(Box<dyn BodySource + 'a>),
    Asked(Asked<'a>),
}

/// A source that is asked for its bytes, and what it gave and was not sent yet.
pub(crate) struct Asked<'a> {
    ask: Box<dyn FnMut(BodyQuestion) + Send + 'a>,
    repeatable: bool,
    /// The next question is for the first bytes.
    begins: bool,
    /// The last question with an answer, and how many of its bytes were read.
    given: Option<Arc<Question>>,
    taken: usize,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(ask: impl FnMut(BodyQuestion) + Send + 'a, repeatable: bool) -> Asked<'a> {
        Asked { ask: Box::new(ask), repeatable, begins: true, given: None, taken: 0 }
    }

    fn rewind(&mut self) -> bool {
        if self.repeatable {
            (self.begins, self.given) = (true, None);
        }
        self.repeatable
    }

    /// What was given and not read yet.
    fn left(&self) -> &[u8] {
        let answer = self.given.as_ref().and_then(|question| question.answer.get());
        answer.and_then(|answer| answer.as_deref().ok()).map_or(&[], |given| &given[self.taken..])
    }

    fn read(&mut self, buffer: &mut [u8], wait: &Wait) -> Result<usize> {
        if self.left().is_empty() {
            let question = Arc::new(Question { answered: Event::new(), answer: OnceLock::new() });
            let begins = std::mem::take(&mut self.begins);
            (self.ask)(BodyQuestion { question: question.clone(), begins });
            let answer = wait.until_set(question.answered.as_ref(), &question.answer);
            let answer = answer.map_err(|stop| stop.into_error(Stage::Sending, READING))?;
            if let Err(why) = answer {
                return Err(wrong(format!("could not be read: {why}")));
            }
            (self.given, self.taken) = (Some(question), 0);
        }
        let left = self.left();
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.taken += count;
        Ok(count)
    }
}

const READING: &str = "reading the request's body";

impl<'a> Upload<'a> {
    /// `length` is how many bytes the source has, where that is known; else it goes in chunks.
    pub(crate) fn new(source: Source<'a>, length: Option<u64>) -> Upload<'a> {
        Upload { source, length, count: 0, begun: false }
    }

    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether it is known to have no bytes.
    pub(crate) fn is_empty(&self) -> bool {
        self.length == Some(0)
    }

    /// Whether the body can be sent from its beginning, gone back to if need be.
    pub(crate) fn can_be_sent_again(&mut self) -> bool {
        if self.begun && self.rewind() {
            (self.begun, self.count) = (false, 0);
        }
        !self.begun
    }

    fn rewind(&mut self) -> bool {
        match &mut self.source {
            Source::Read(source) => source.rewind().unwrap_or(false),
            Source::Asked(asked) => asked.rewind(),
        }
    }

    /// Reads what there is, into a buffer that is not empty; 0 is the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8], wait: &Wait) -> Result<usize> {
        let Some(length) = self.length else { return self.read_source(buffer, wait) };
        let left = length - self.count;
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.read_source(&mut buffer[..most], wait)?;
        if count == 0 {
            return Err(wrong(format!("ended after {} of its {length} bytes", self.count)));
        }
        self.count += count as u64;
        // Before its last bytes are sent, so that a body that is cut off is never taken for a whole one.
        if self.count == length && self.read_source(&mut [0], wait)? > 0 {
            return Err(wrong(format!("has more than its {length} bytes")));
        }
        Ok(count)
    }

    /// Fails if a body that was said to have no bytes has one: nobody would read it.
    pub(crate) fn check_empty(&mut self, wait: &Wait) -> Result<()> {
        if !self.is_empty() {
            return Ok(());
        }
        let count = self.read_source(&mut [0], wait)?;
        self.begun = count > 0;
        if self.begun { Err(wrong("has more than its 0 bytes".into())) } else { Ok(()) }
    }

    /// Says that so many bytes are not wanted, as if they had been read; 0 is the end.
    pub(crate) fn skip(&mut self, most: usize) -> usize {
        let left = self.length.map_or(0, |length| length - self.count);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(most);
        self.count += count as u64;
        count
    }

    fn read_source(&mut self, buffer: &mut [u8], wait: &Wait) -> Result<usize> {
        self.begun = true;
        let in_time = || wait.check().map_err(|stop| stop.into_error(Stage::Sending, READING));
        in_time()?;
        let count = match &mut self.source {
            Source::Read(source) => read_some(source.as_mut(), buffer)?,
            Source::Asked(asked) => asked.read(buffer, wait)?,
        };
        in_time()?;
        Ok(count)
    }
}

fn read_some(source: &mut dyn BodySource, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match source.read_some(buffer) {
            Ok(count) if count <= buffer.len() => return Ok(count),
            Ok(count) => {
                return Err(wrong(format!("could not be read: its source gave {count} bytes for {}", buffer.len())));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(wrong(format!("could not be read: {error}"))),
        }
    }
}

fn wrong(what: String) -> Error {
    Error::new(ErrorCode::InvalidArgument, Stage::Sending, format!("the request's body {what}")).with_next_step(
        "Correct what the body is read from; the request was broken off, and its server may have part of it.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::{CallOptions, CancelToken};
    use std::time::Duration;

    fn minute() -> Wait {
        Wait::of("timeout", Duration::from_secs(60))
    }

    fn upload(bytes: &[u8], length: Option<u64>) -> Upload<'_> {
        Upload::new(Source::Read(Box::new(bytes)), length)
    }

    fn whole(upload: &mut Upload<'_>) -> Result<Vec<u8>> {
        let (mut body, mut buffer) = (Vec::new(), [0; 3]);
        loop {
            match upload.read(&mut buffer, &minute())? {
                0 => return Ok(body),
                count => body.extend_from_slice(&buffer[..count]),
            }
        }
    }

    #[test]
    fn a_body_has_the_length_it_was_said_to_have() {
        for (length, expected) in [
            (None, Ok(b"1234567".to_vec())),
            (Some(7), Ok(b"1234567".to_vec())),
            (Some(8), Err("the request's body ended after 7 of its 8 bytes")),
            (Some(6), Err("the request's body has more than its 6 bytes")),
        ] {
            let body = whole(&mut upload(b"1234567", length));
            assert_eq!(body.as_deref().map_err(Error::what), expected.as_deref().map_err(|text| *text), "{length:?}");
        }
    }

    #[test]
    fn a_body_without_bytes_has_none() {
        let mut empty = upload(b"", Some(0));
        assert!(empty.check_empty(&minute()).is_ok() && empty.can_be_sent_again());
        let error = upload(b"1", Some(0)).check_empty(&minute()).expect_err("it has one");
        assert_eq!(error.what(), "the request's body has more than its 0 bytes");
        let mut full = upload(b"1", Some(1));
        assert!(full.check_empty(&minute()).is_ok());
        assert_eq!(whole(&mut full).expect("a body"), b"1");
    }

    #[test]
    fn only_what_was_not_begun_or_can_go_back_is_sent_again() {
        let mut once = upload(b"1234567", None);
        assert!(once.can_be_sent_again() && once.can_be_sent_again());
        assert_eq!(once.read(&mut [0; 3], &minute()).expect("bytes"), 3);
        assert!(!once.can_be_sent_again());

        struct Repeating(io::Cursor<&'static [u8]>);
        impl BodySource for Repeating {
            fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0.read(buffer)
            }
            fn rewind(&mut self) -> io::Result<bool> {
                Seek::rewind(&mut self.0).map(|()| true)
            }
        }
        let source = Repeating(io::Cursor::new(b"1234567"));
        let mut again = Upload::new(Source::Read(Box::new(source)), Some(7));
        for _ in 0..2 {
            assert!(again.can_be_sent_again());
            assert_eq!(whole(&mut again).expect("a body"), b"1234567");
        }
    }

    #[test]
    fn p09_a_source_that_is_asked_is_waited_for_no_longer_than_the_call_lasts() {
        let cancel = CancelToken::new();
        let options = CallOptions { cancel: Some(cancel.clone()), ..CallOptions::default() };
        let wait = Wait::for_call(&options, Duration::from_secs(60));
        let mut open = None;
        let ask = |question| {
            open = Some(question);
            cancel.cancel();
        };
        let asked = Asked::new(ask, false);
        let error = Upload::new(Source::Asked(asked), None).read(&mut [0; 3], &wait).expect_err("cancelled");
        assert_eq!(error.code(), ErrorCode::Cancelled);
        assert!(open.is_some());
    }

    #[test]
    fn a_source_that_is_asked_answers_from_any_thread_with_any_number_of_bytes() {
        let mut answers = vec![Ok(Vec::new()), Ok(b"67".to_vec()), Ok(b"12345".to_vec())];
        let ask = move |question: BodyQuestion| {
            let answer = answers.pop().expect("no question after the end");
            std::thread::spawn(move || question.answer(answer));
        };
        let asked = Asked::new(ask, false);
        assert_eq!(whole(&mut Upload::new(Source::Asked(asked), None)).expect("a body"), b"1234567");

        let dropped = Asked::new(drop, false);
        let error = whole(&mut Upload::new(Source::Asked(dropped), None)).expect_err("nobody answers");
        assert_eq!(error.what(), "the request's body could not be read: nobody gave its next bytes");
        let failing = Asked::new(|question: BodyQuestion| question.answer(Err("no more paper".into())), false);
        let error = whole(&mut Upload::new(Source::Asked(failing), None)).expect_err("it fails");
        assert_eq!((error.code(), error.stage()), (ErrorCode::InvalidArgument, Stage::Sending));
        assert_eq!(error.what(), "the request's body could not be read: no more paper");
    }
    #[test]
    fn a_source_that_can_be_repeated_is_asked_from_the_beginning_again() {
        let mut left = Vec::new();
        let ask = move |question: BodyQuestion| {
            if question.begins() {
                left = vec![Vec::new(), b"67".to_vec(), b"12345".to_vec()];
            }
            question.answer(Ok(left.pop().expect("no question after the end")));
        };
        let mut upload = Upload::new(Source::Asked(Asked::new(ask, true)), None);
        assert_eq!(upload.read(&mut [0; 3], &minute()).expect("bytes"), 3);
        for _ in 0..2 {
            assert!(upload.can_be_sent_again());
            assert_eq!(whole(&mut upload).expect("a body"), b"1234567");
        }
    }
}
