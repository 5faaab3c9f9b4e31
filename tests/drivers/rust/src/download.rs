//! Answers downloaded to a file.

use std::ops::ControlFlow;
use std::sync::Mutex;

use crate::Broken;
use crate::fields::{take, take_number};
use svctoken::{Error, RequestBuilder, Response};

pub(crate) struct Download {
    path: String,
    stop: Option<u64>,
}

impl Download {
    /// Takes its fields out of the request's; `None` if it has none.
    pub(crate) fn take(pairs: &mut Vec<(String, Vec<u8>)>) -> Result<Option<Self>, Broken> {
        let (path, stop) = (take(pairs, "download")?, take_number(pairs, "progress_stop")?);
        Ok(path.map(|path| Self { path, stop }))
    }

    /// Downloads, and puts what the first and the last call of the progress function said into `told`.
    pub(crate) fn run(
        &self,
        request: RequestBuilder<'_>,
        told: &mut Vec<(&'static str, String)>,
    ) -> Result<Response, Error> {
        let calls = Mutex::new(Vec::new());
        let progress = |received: u64, total: Option<u64>| {
            let total = total.map_or("-".to_owned(), |total| total.to_string());
            calls.lock().expect("nobody panics").push(format!("{received}/{total}"));
            if self.stop.is_some_and(|stop| received >= stop) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let response = request.on_progress(progress).download(&self.path);
        let calls = calls.into_inner().expect("nobody panics");
        if let (Some(first), Some(last)) = (calls.first(), calls.last()) {
            told.extend([("progress_first", first.clone()), ("progress_last", last.clone())]);
        }
        response
    }
}
