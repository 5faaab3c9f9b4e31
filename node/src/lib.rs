//! The native half of the npm package: translates between Node.js and the core, and holds no policy.
//!
//! Nothing here is public API: `index.js` is the package's face. Functions are free functions over handles, because a
//! method of a wrapped class costs eight times as much to call. A function that can fail returns [`error::ErrorFacts`]
//! in its value's place, of which `index.js` makes an error object.

mod call;
mod cancel;
mod client;
mod convert;
mod error;
mod log;
mod pages;
mod pool;
mod question;
mod request;
mod stream;
mod tables;
mod token_wait;
