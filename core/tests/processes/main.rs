//! Processes that share one token in the file store: what they do when one of them dies, sleeps, is refused or finds
//! the store spoilt.

mod child;
mod machine;
mod revoke;
mod shared;
mod store;
