//! The pages of a list.

use std::ffi::c_char;
use std::mem::MaybeUninit;

use svctoken_core::{Client, PageCursor};

use crate::boundary::{call, given, text, value};
use crate::client::svctoken_client;
use crate::error::{svctoken_code, svctoken_error};
use crate::options::svctoken_options;
use crate::response::svctoken_response;

/// The pages of a list, asked for one after the other. Used by one thread at a time. It needs neither its client nor its
/// options any more.
pub struct svctoken_pages {
    client: Client,
    url: String,
    options: svctoken_options,
    cursor: PageCursor,
}

/// Begins to read the pages of a list; nothing is sent before svctoken_pages_next. `url` and the options, which may be
/// NULL, are those of a GET request without a body; the query is the first page's only, as a link brings its own, and
/// the timeout is each page's.
///
/// `*pages` is to be freed with svctoken_pages_free.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_pages_new(
    client: Option<&svctoken_client>,
    url: *const c_char,
    options: Option<&svctoken_options>,
    pages: Option<&mut MaybeUninit<Option<Box<svctoken_pages>>>>,
    error: Option<&mut MaybeUninit<Option<Box<svctoken_error>>>>,
) -> svctoken_code {
    call(error, || {
        let (client, slot) = (given(client, "client")?.core().clone(), given(pages, "pages")?);
        let url = text(url, "url")?.into();
        let options = options.cloned().unwrap_or_default();
        let cursor = options.cursor()?;
        slot.write(Some(Box::new(svctoken_pages { client, url, options, cursor })));
        Ok(())
    })
}

/// Asks for the next page and reads it whole: the answer to the URL, and then those that each page names as its next, by
/// a Link header (RFC 8288) or by "links" in its JSON body, as Atlas does. Blocks, at most for the timeout.
///
/// `*response` becomes the page, an answer of any status, which is to be freed with svctoken_response_free; or NULL where
/// there is none: after the last page, after one whose status is not 200 to 299, and after an error. The items are in the
/// body, in Atlas's as the array "results".
///
/// Fails as svctoken_client_request does, with SVCTOKEN_ORIGIN_REFUSED for a link to another origin than the first page's,
/// with SVCTOKEN_BAD_ANSWER for one that is no URL or leads to a page that was read, and with SVCTOKEN_ANSWER_TOO_LARGE
/// when there are more pages than svctoken_options_set_max_pages says.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_pages_next(
    pages: Option<&mut svctoken_pages>,
    response: Option<&mut MaybeUninit<Option<Box<svctoken_response>>>>,
    error: Option<&mut MaybeUninit<Option<Box<svctoken_error>>>>,
) -> svctoken_code {
    call(error, || {
        let (pages, slot) = (given(pages, "pages")?, given(response, "response")?);
        let svctoken_pages { client, url, options, cursor } = pages;
        let request = options.apply(client.request("GET", url.as_str()))?;
        let page = request.send_page(cursor)?;
        slot.write(page.map(|page| Box::new(svctoken_response::new(page))));
        Ok(())
    })
}

/// Frees pages; NULL is allowed. The responses stay.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_pages_free(pages: Option<Box<svctoken_pages>>) {
    value((), || drop(pages));
}
