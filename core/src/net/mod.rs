//! Sockets, TLS, names and ways through proxies, each wait of theirs cancellable. Of HTTP it knows only CONNECT.

mod proxy;
pub(crate) mod resolver;
pub(crate) mod stream;
pub(crate) mod tcp;
pub(crate) mod tls;
pub(crate) mod tunnel;
