//! Sockets, TLS and names, each wait of theirs cancellable. Knows no HTTP.

pub(crate) mod resolver;
pub(crate) mod tcp;
pub(crate) mod tls;
