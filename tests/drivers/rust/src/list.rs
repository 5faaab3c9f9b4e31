//! Lists, page by page and item by item.

use std::sync::atomic::Ordering;

use crate::Broken;
use crate::answer::Answer;
use crate::call::{Call, Part};
use crate::client::RECEIVED;
use crate::fields::{Fields, number, text};
use crate::loud;
use svctoken::{CancelToken, Client, Error, RequestBuilder};

/// What a list takes beside what a request does.
#[derive(Default)]
struct Asked {
    url: String,
    parts: Vec<Part>,
    max_pages: Option<u64>,
    take: Option<u64>,
    member: Option<String>,
}

impl Asked {
    fn read(mut fields: Fields) -> Result<Self, Broken> {
        let mut asked = Self { url: fields.word()?, ..Self::default() };
        while let Some((key, value)) = fields.pair()? {
            match key.as_str() {
                "max_pages" => asked.max_pages = Some(number(&text(value)?)?),
                "take" => asked.take = Some(number(&text(value)?)?),
                "member" => asked.member = Some(text(value)?),
                _ => asked.parts.push(Part::read(&key, value)?),
            }
        }
        Ok(asked)
    }

    fn most(&self) -> usize {
        self.take.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX))
    }

    fn request<'a>(&mut self, client: &'a Client, cancel: &CancelToken) -> RequestBuilder<'a> {
        let request = client.request("GET", self.url.clone()).cancel(cancel);
        std::mem::take(&mut self.parts).into_iter().fold(request, |request, part| part.add_to(request))
    }
}

/// The answer, or the error with how many came before it.
fn outcome(answer: Answer, error: Option<Error>, count: usize) -> Answer {
    error.map_or(answer, |error| Answer::error(&error)).with("count", count)
}

pub(crate) fn pages(client: Client, fields: Fields) -> Result<Call, Broken> {
    let mut asked = Asked::read(fields)?;
    let cancel = CancelToken::new();
    Ok(Call::start(cancel.clone(), move || {
        let (max_pages, most) = (asked.max_pages, asked.most());
        let pages = asked.request(&client, &cancel).pages();
        let pages = max_pages.into_iter().fold(pages, |pages, count| pages.max_pages(count));
        loud::show(&pages);
        let (mut answer, mut urls, mut failed) = (Answer::ok(), Vec::new(), None);
        for page in pages.take(most) {
            match page {
                Ok(page) => {
                    loud::show(&page);
                    urls.push(page.url().to_owned());
                    answer = Answer::ok().with("status", page.status()).with_bytes("body", page.body());
                }
                Err(error) => failed = Some(error),
            }
        }
        let answer = answer.with("urls", urls.join(" "));
        let answer = match RECEIVED.load(Ordering::SeqCst) {
            0 => answer,
            count => answer.with("received", count),
        };
        Ok(outcome(answer, failed, urls.len()))
    }))
}

pub(crate) fn items(client: Client, fields: Fields) -> Result<Call, Broken> {
    let mut asked = Asked::read(fields)?;
    let cancel = CancelToken::new();
    Ok(Call::start(cancel.clone(), move || {
        let (max_pages, member, most) = (asked.max_pages, asked.member.take(), asked.most());
        let items = asked.request(&client, &cancel).items();
        let items = max_pages.into_iter().fold(items, |items, count| items.max_pages(count));
        let items = member.into_iter().fold(items, |items, name| items.member(name));
        loud::show(&items);
        let (mut found, mut failed) = (Vec::new(), None);
        for item in items.take(most) {
            match item {
                Ok(item) => found.push(item),
                Err(error) => failed = Some(error),
            }
        }
        let count = found.len();
        Ok(outcome(Answer::ok().with("body", serde_json::Value::from(found)), failed, count))
    }))
}
