//! How far a list has been read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use napi::bindgen_prelude::{Either, External};
use napi_derive::napi;
use svctoken::PageCursor;

use crate::error::{ErrorFacts, caught, guarded};

/// A cursor, shared with the request that is in progress for its next page.
#[derive(Clone)]
pub(crate) struct Pages(Arc<Mutex<PageCursor>>);

impl Pages {
    pub(crate) fn lock(&self) -> MutexGuard<'_, PageCursor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Before the first page of a list.
#[napi]
pub(crate) fn create_pages(max_pages: Option<f64>, member: Option<String>) -> Either<ErrorFacts, External<Pages>> {
    guarded(|| {
        let cursor = PageCursor::new(max_pages.map(|count| count as u64), member)?;
        Ok(External::new(Pages(Arc::new(Mutex::new(cursor)))))
    })
}

/// Where the next page is, when a page has come; none after the last.
#[napi]
pub(crate) fn next_page(pages: &External<Pages>) -> Either<ErrorFacts, Option<String>> {
    guarded(|| Ok(pages.lock().next_url()?))
}

/// The member of a page's object that holds its items.
#[napi]
pub(crate) fn items_member(pages: &External<Pages>) -> Either<ErrorFacts, String> {
    guarded(|| Ok(pages.lock().member().into()))
}

/// The error of a page, of that status, that has no items.
#[napi]
pub(crate) fn no_items(pages: &External<Pages>, status: u32) -> ErrorFacts {
    let status = u16::try_from(status).unwrap_or_default();
    caught(|| Ok(pages.lock().no_items(status))).map_or_else(ErrorFacts::from, ErrorFacts::from)
}
