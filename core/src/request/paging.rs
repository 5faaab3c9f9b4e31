//! The pages of a list, asked for one after the other.

use std::fmt;
use std::iter::FusedIterator;
use std::vec;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::pages::{PageCursor, Turn};
use crate::request::RequestBuilder;
use crate::response::Response;

impl<'a> RequestBuilder<'a> {
    /// The pages of a list: the answer to this GET request, and then those that each page names as its next, by a `Link`
    /// header (RFC 8288) or by `links` in its JSON body, as Atlas does. Every page is an answer of any status; there is
    /// none after one that is not 200 to 299.
    ///
    /// A page is asked for when the iterator is, with this request's headers and options, `timeout` being each page's;
    /// the query is the first's only, as a link brings its own. After an error the iterator ends. To stop before the end,
    /// drop it.
    ///
    /// Beside what [`send`](RequestBuilder::send) fails with: `origin_refused` for a link to another origin than the first
    /// page's, `bad_answer` for one that is no URL or leads to a page that was read, `answer_too_large` when there are more
    /// than [`max_pages`](Pages::max_pages), and `invalid_argument` for a request that is no GET or has a body.
    pub fn pages(self) -> Pages<'a> {
        Pages { request: self, max_pages: None, member: None, cursor: None, has_ended: false }
    }

    /// The items on the [`pages`](RequestBuilder::pages) of a list, one after the other: the elements of a page that is a
    /// JSON array, or of its member `results`. Fails as `pages` does, with `http_status` on a page whose status is 400 or
    /// above, and with `bad_answer` on one that has no such array.
    pub fn items(self) -> Items<'a> {
        Items { pages: self.pages(), current: Vec::new().into_iter() }
    }

    /// Sends the request for the next page of a list; for bindings. The first time that is this request, and later the same
    /// without its query for the page that the cursor has come to. `None` after the last page, and after an error.
    pub fn send_page(mut self, cursor: &mut PageCursor) -> Result<Option<Response>> {
        match cursor.begin()? {
            Turn::First => {}
            Turn::Url(url) => {
                self.target = url.into();
                self.query.clear();
            }
            Turn::End => return Ok(None),
        }
        self.check_paged()?;
        let asked = self.url(self.client.settings())?;
        let page = self.send()?;
        cursor.came(&asked, &page);
        Ok(Some(page))
    }

    fn check_paged(&self) -> Result<()> {
        if self.method != "GET" {
            return Err(Error::argument(format!("pages are asked for by GET, not by {:?}", self.method)));
        }
        if self.body.is_some() {
            return Err(Error::argument("pages are asked for without a body"));
        }
        Ok(())
    }

    /// The same request for the next page; a body is not taken along.
    fn again(&self) -> RequestBuilder<'a> {
        RequestBuilder {
            query: self.query.clone(),
            headers: self.headers.clone(),
            default_headers: self.default_headers.clone(),
            accept: self.accept.clone(),
            max_response_bytes: self.max_response_bytes,
            max_attempts: self.max_attempts,
            options: self.options.clone(),
            ..RequestBuilder::new(self.client, self.method.clone(), self.target.clone())
        }
    }
}

/// The pages of a list: see [`RequestBuilder::pages`].
#[must_use = "pages are asked for when the iterator is"]
pub struct Pages<'a> {
    request: RequestBuilder<'a>,
    max_pages: Option<u64>,
    member: Option<String>,
    cursor: Option<PageCursor>,
    has_ended: bool,
}

impl Pages<'_> {
    /// How many pages are read at most, 1 or more: if there are more, that is an error after the last of them. Default:
    /// 1000.
    pub fn max_pages(mut self, count: u64) -> Self {
        self.max_pages = Some(count);
        self
    }

    fn page(&mut self) -> Result<Option<Response>> {
        let cursor = match &mut self.cursor {
            Some(cursor) => cursor,
            None => {
                self.request.check_paged()?;
                self.cursor.insert(PageCursor::new(self.max_pages, self.member.take())?)
            }
        };
        let page = self.request.again().send_page(cursor);
        // It was waited for before the first page only.
        self.request.options.began = None;
        page
    }
}

impl Iterator for Pages<'_> {
    type Item = Result<Response>;

    fn next(&mut self) -> Option<Result<Response>> {
        if self.has_ended {
            return None;
        }
        let page = self.page().transpose();
        self.has_ended = !matches!(page, Some(Ok(_)));
        page
    }
}

impl FusedIterator for Pages<'_> {}

impl fmt::Debug for Pages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("request", &self.request).finish_non_exhaustive()
    }
}

/// The items of a list: see [`RequestBuilder::items`].
#[must_use = "pages are asked for when the iterator is"]
#[derive(Debug)]
pub struct Items<'a> {
    pages: Pages<'a>,
    current: vec::IntoIter<Value>,
}

impl Items<'_> {
    /// As [`Pages::max_pages`].
    pub fn max_pages(mut self, count: u64) -> Self {
        self.pages = self.pages.max_pages(count);
        self
    }

    /// The member of a page's JSON object that holds its items. Default: `results`.
    pub fn member(mut self, name: impl Into<String>) -> Self {
        self.pages.member = Some(name.into());
        self
    }

    fn turn(&mut self, page: &Response) -> Result<()> {
        if let Some(cursor) = &self.pages.cursor {
            self.current = cursor.items(page).inspect_err(|_| self.pages.has_ended = true)?.into_iter();
        }
        Ok(())
    }
}

impl Iterator for Items<'_> {
    type Item = Result<Value>;

    fn next(&mut self) -> Option<Result<Value>> {
        loop {
            if let Some(item) = self.current.next() {
                return Some(Ok(item));
            }
            let page = match self.pages.next()? {
                Ok(page) => page,
                Err(error) => return Some(Err(error)),
            };
            if let Err(error) = self.turn(&page) {
                return Some(Err(error));
            }
        }
    }
}

impl FusedIterator for Items<'_> {}
