//! MongoDB Atlas and Keycloak on loopback, for tests.
//!
//! [`Sandbox::start`] plays the token endpoints, a few API paths with the servers' own error bodies, their limits,
//! and on command every fault a network can have. Each test takes a [`Space`] of its own: two listeners (HTTP and
//! HTTPS), settings, a clock, and a report of every request that came. README.md beside this crate has the settings.
//!
//! ```
//! let sandbox = svctoken_sandbox::Sandbox::start();
//! let space = sandbox
//!     .create_space(&serde_json::json!({ "expires_in": 60 }))
//!     .expect("the settings are known ones");
//! // … point the program under test at space.http() or space.https() with sandbox.ca_pem() …
//! assert_eq!(space.report()["token_requests"], 0);
//! ```

mod admin;
mod assertion;
mod atlas;
mod client_authentication;
mod client_certificate;
mod connection;
mod date;
mod der;
mod echo;
mod form;
mod http;
mod incoming;
mod keycloak;
mod listener;
mod peer;
mod proxy;
mod route;
mod rules;
mod sandbox;
mod settings;
mod space;
mod state;
mod tls;
mod tokens;
mod wire;

pub use sandbox::Sandbox;
pub use settings::SettingsError;
pub use space::{Issued, Space, UnknownCounter, Waited};
