//! The pages of a list: which request comes next, and what is on a page. Pure.

mod link;

use std::collections::HashSet;
use std::fmt;
use std::mem;

use serde_json::Value;

use crate::config::url::{Origin, Url};
use crate::error::{Error, ErrorCode, Result, Stage};
use crate::response::Response;

/// As many pages of one list are read unless the caller says otherwise: enough for half a million items of Atlas, and an
/// end to a server that always has another page.
const MAX_PAGES: u64 = 1000;
/// The member of Atlas's pages that holds their items.
const MEMBER: &str = "results";

const ASK_YOURSELF: &str = "Ask for the pages by URLs of your own, and tell whoever runs the API.";

/// How far a list has been read; for bindings, which send the pages' requests by
/// [`RequestBuilder::send_page`](crate::RequestBuilder::send_page). In Rust
/// [`RequestBuilder::pages`](crate::RequestBuilder::pages) does it.
pub struct PageCursor {
    most: u64,
    member: String,
    read: u64,
    /// What was asked for, and what answered.
    seen: HashSet<String>,
    next: Next,
}

enum Next {
    First,
    Url(String),
    Failed(Error),
    End,
}

/// What is to be sent for the next page.
pub(crate) enum Turn {
    /// The request as the caller made it.
    First,
    /// The same for this URL, which has its own query.
    Url(String),
    End,
}

impl PageCursor {
    /// Before the first page. `max_pages` is 1 or more, by default 1000; `member` is the member of a page's JSON object
    /// that holds its items, by default `results`. Fails with `invalid_argument`.
    pub fn new(max_pages: Option<u64>, member: Option<String>) -> Result<PageCursor> {
        if max_pages == Some(0) {
            return Err(Error::argument("max_pages must be 1 or more"));
        }
        Ok(PageCursor {
            most: max_pages.unwrap_or(MAX_PAGES),
            member: member.unwrap_or_else(|| MEMBER.into()),
            read: 0,
            seen: HashSet::new(),
            next: Next::First,
        })
    }

    /// Where the next page is; `None` before the first page and after the last. Fails, once, with what keeps the next
    /// page from being asked for.
    pub fn next_url(&mut self) -> Result<Option<String>> {
        match &self.next {
            Next::Url(url) => Ok(Some(url.clone())),
            Next::First | Next::End => Ok(None),
            Next::Failed(error) => {
                let error = error.clone();
                self.next = Next::End;
                Err(error)
            }
        }
    }

    /// The member of a page's JSON object that holds its items.
    pub fn member(&self) -> &str {
        &self.member
    }

    /// The items of a page: its JSON array, or the one that is the member of its JSON object.
    ///
    /// Fails with `http_status` if its status is 400 or above, and with `bad_answer` if it has no such array.
    pub fn items(&self, page: &Response) -> Result<Vec<Value>> {
        if let Some(error) = page.error() {
            return Err(error);
        }
        let items = match page.json()? {
            Value::Object(mut members) => members.remove(&self.member),
            other => Some(other),
        };
        match items {
            Some(Value::Array(items)) => Ok(items),
            _ => Err(self.no_items(page.status())),
        }
    }

    /// The error of a page, of that status, that has no items.
    pub fn no_items(&self, status: u16) -> Error {
        let what = format!("the page is neither a JSON array nor a JSON object with an array {:?}", self.member);
        Error::new(ErrorCode::BadAnswer, Stage::Answer, what)
            .with_status(status)
            .with_next_step("Name the member that holds the items, or read the pages themselves.")
    }

    /// Begins the next page: until it has come, there is none after it.
    pub(crate) fn begin(&mut self) -> Result<Turn> {
        match mem::replace(&mut self.next, Next::End) {
            Next::First => Ok(Turn::First),
            Next::Url(url) => Ok(Turn::Url(url)),
            Next::Failed(error) => Err(error),
            Next::End => Ok(Turn::End),
        }
    }

    /// Notes a page that was asked for at `asked`, and what it says of the next one.
    pub(crate) fn came(&mut self, asked: &Url, page: &Response) {
        self.read += 1;
        self.seen.insert(asked.to_string());
        self.seen.insert(page.url().into());
        self.next = match self.after(&asked.origin, page) {
            Ok(Some(url)) => Next::Url(url),
            Ok(None) => Next::End,
            Err(error) => Next::Failed(error),
        };
    }

    /// The URL of the page after this one, which was asked for at `origin`: of that origin, and of no page before.
    fn after(&self, origin: &Origin, page: &Response) -> Result<Option<String>> {
        if !page.is_ok() {
            return Ok(None);
        }
        let path = page.url().split('?').next().unwrap_or_default();
        let failed = |code, what: String| {
            Error::new(code, Stage::Answer, format!("GET {path}: the answer {what}"))
                .with_status(page.status())
                .with_next_step(ASK_YOURSELF)
        };
        let bad = |what| failed(ErrorCode::BadAnswer, what);
        let Some(reference) = link::next(page).map_err(bad)? else { return Ok(None) };
        let answered = Url::parse(page.url()).map_err(|why| bad(format!("came from a URL that {why}")))?;
        let url = answered
            .follow(&reference)
            .map_err(|why| bad(format!("has a link to a next page, which is not asked for: it {why}")))?;
        if answered.origin != *origin {
            let what = format!("came by a redirect from {origin} and may not say what is asked for there next");
            return Err(failed(ErrorCode::OriginRefused, what));
        }
        if url.origin != *origin {
            let what = format!("has a link to a next page, which is not asked for: it leads to {}", url.origin);
            return Err(failed(ErrorCode::OriginRefused, what));
        }
        let url = url.to_string();
        if self.seen.contains(&url) {
            return Err(bad("has a link to a next page, which was read before".into()));
        }
        if self.read >= self.most {
            let error = failed(ErrorCode::AnswerTooLarge, format!("is page {}, and there are more", self.read));
            return Err(error.with_next_step("Raise max_pages, ask for larger pages, or stop after those you need."));
        }
        Ok(Some(url))
    }
}

impl fmt::Debug for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageCursor").field("read", &self.read).field("most", &self.most).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
