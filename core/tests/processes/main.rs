//! Processes that share one token in the file store or on a Redis: what they do when one of them dies, sleeps, is
//! refused or finds the store spoilt, and when many are killed at any moment.

mod child;
mod discovery;
mod kills;
mod machine;
mod preset;
mod redis_server;
mod redis_store;
mod revoke;
mod secrets;
mod shared;
mod staged;
mod store;
