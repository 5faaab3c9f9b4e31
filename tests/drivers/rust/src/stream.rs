//! Answers read as streams.

use crate::Broken;
use crate::answer::Answer;
use crate::fields::take_number;
use crate::loud;
use svctoken::{CancelToken, Error, RequestBuilder};

/// How an answer is read that is read as a stream.
pub(crate) struct Streaming {
    /// How much is asked for at once.
    size: usize,
    /// So many bytes, and then it is dropped.
    stop_after: u64,
    /// So many bytes, and then the call is cancelled, and read on.
    cancel_after: u64,
    /// The body is compared with what it should be instead of kept, and memory is measured meanwhile.
    measure: bool,
}

impl Streaming {
    /// Takes its fields out of the request's; `None` if it has none.
    pub(crate) fn take(pairs: &mut Vec<(String, Vec<u8>)>) -> Result<Option<Self>, Broken> {
        let mut taken = |name| take_number(pairs, name);
        let (stop_after, cancel_after) = (taken("stop_after")?, taken("cancel_after")?);
        let measure = taken("measure")?.is_some();
        let size = taken("stream")?.map(|size| size as usize);
        let (stop_after, cancel_after) = (stop_after.unwrap_or(u64::MAX), cancel_after.unwrap_or(u64::MAX));
        Ok(size.map(|size| Self { size, stop_after, cancel_after, measure }))
    }

    pub(crate) fn run(&self, request: RequestBuilder<'_>, then: &str, cancel: &CancelToken) -> Result<Answer, Error> {
        let mut response = request.send_streaming()?;
        loud::show(&response);
        if let Some(error) = response.error() {
            loud::show_error(&error);
        }
        if then == "check" {
            response = response.error_for_status()?;
        }
        let pattern: Vec<u8> = (0..self.size + 251).map(|index| (index % 251) as u8).collect();
        let (mut body, mut buffer) = (Vec::new(), vec![0; self.size]);
        let (mut streamed, mut matches) = (0, true);
        let begin = if self.measure { memory("VmRSS") } else { 0 };
        let more = |answer: Answer, streamed: u64, matches: bool| match self.measure {
            true => answer
                .with("streamed", streamed)
                .with("matches", matches)
                .with("growth_kib", memory("VmHWM").saturating_sub(begin)),
            false => answer,
        };
        while streamed < self.stop_after {
            let count = match response.read_some(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if self.measure => return Ok(more(Answer::error(&error), streamed, matches)),
                Err(error) => return Ok(Answer::error(&error).with("streamed", streamed)),
            };
            if self.measure {
                let place = (streamed % 251) as usize;
                matches = matches && buffer[..count] == pattern[place..place + count];
            } else {
                body.extend_from_slice(&buffer[..count]);
            }
            streamed += count as u64;
            if streamed >= self.cancel_after {
                cancel.cancel();
            }
        }
        let answer = Answer::ok()
            .with("status", response.status())
            .with("attempts", response.attempts())
            .with("url", response.url())
            .with_bytes("body", &body);
        let answer = more(answer, streamed, matches);
        Ok(response.headers().fold(answer, |answer, (name, value)| answer.with(&format!("header.{name}"), value)))
    }
}

/// A number of `/proc/self/status`, in KiB; the peak is forgotten when the present is asked.
pub(crate) fn memory(name: &str) -> u64 {
    if name == "VmRSS" {
        std::fs::write("/proc/self/clear_refs", "5").expect("Linux");
    }
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with(name)).expect("every process has memory");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of KiB")
}
