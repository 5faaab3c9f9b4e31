//! In place of `redis` in a build without that cargo feature: a store of which there is none.

use std::time::Duration;

use rustls::pki_types::CertificateDer;

use crate::config::redis_address::RedisAddress;
use crate::store::{Content, Kept, Tried, Which};
use crate::wait::Wait;

pub(crate) enum RedisStore {}

pub(crate) enum Lock {}

impl RedisStore {
    pub(crate) fn at(address: &RedisAddress, _: &[CertificateDer<'static>]) -> Result<RedisStore, String> {
        Err(format!("{address} needs the cargo feature redis, without which this was built"))
    }

    pub(crate) fn read(&self, _: &str, _: &Wait) -> Result<Option<Kept>, String> {
        match *self {}
    }

    pub(crate) fn replace(&self, _: &str, content: &Content, _: Option<&[u8]>, _: &Wait) -> Result<bool, String> {
        let _ = content.kept_for;
        match *self {}
    }

    pub(crate) fn try_lock(&self, _: &str, _: Which, _: Duration, _: &Wait) -> Result<Tried, String> {
        match *self {}
    }

    pub(crate) fn enter(&self, _: &str, _: u32, _: Duration, _: &Wait) -> Result<Option<Duration>, String> {
        match *self {}
    }
}
