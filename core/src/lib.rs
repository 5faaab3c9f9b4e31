//! Service-account tokens, and the requests made with them.
//!
//! A program that holds a service account's client id and secret calls [`Client::get_token`] and
//! [`Client::request`] and never thinks about tokens again.
//!
//! ```no_run
//! let client = svctoken::Client::atlas()?;
//! let token = client.get_token()?;
//! let r = client.request("GET", "/api/atlas/v2/groups").query("itemsPerPage", "100").send()?;
//! println!("{} {} {}", token.as_str().len(), r.status(), r.text()?);
//! # Ok::<(), svctoken::Error>(())
//! ```
#![forbid(unsafe_code)]

mod background;
mod client;
mod clock;
mod config;
mod crypto;
mod error;
mod fork;
mod grant;
mod http;
mod log;
mod net;
mod pages;
mod redirect;
mod registry;
mod request;
mod response;
mod retry;
mod secret;
#[cfg(test)]
mod simulation;
mod stats;
mod store;
pub mod testing;
mod token;
mod wait;

pub use client::{Client, ClientBuilder};
pub use config::environment::Environment;
pub use config::preset::Preset;
pub use config::{Config, OPTIONS, OptionKind, OptionRow, SecretCallback, Value, duration_of_milliseconds};
pub use error::{Error, ErrorCode, Result, Stage};
pub use http::{BodyQuestion, BodySource};
pub use log::{LogEvent, LogHook, Severity};
pub use pages::PageCursor;
pub use request::{AfterReceive, BeforeSend, Items, Pages, RequestBuilder};
pub use response::{Response, ResponseBody, StreamingResponse};
pub use serde_json;
pub use stats::Stats;
pub use token::Token;
pub use wait::{CallOptions, CancelToken, InterruptCheck};
