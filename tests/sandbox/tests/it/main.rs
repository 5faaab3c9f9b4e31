//! The sandbox driven with raw sockets, since what it promises is bytes. Every read has a time limit.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod actions;
mod admin;
mod api;
mod atlas_token;
mod connections;
mod keycloak;
mod program;
mod support;
mod uploads;
