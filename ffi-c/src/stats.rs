//! Counters.

use std::ffi::{CString, c_char};
use std::mem::MaybeUninit;

use svctoken_core::Stats;

use crate::boundary::{c_string, value};

/// What a client had done when svctoken_client_get_stats was called. May be read by several threads at once.
pub struct svctoken_stats(Vec<(CString, u64)>);

impl svctoken_stats {
    pub(crate) fn new(stats: Stats) -> svctoken_stats {
        svctoken_stats(stats.entries().into_iter().map(|(name, count)| (c_string(name), count)).collect())
    }
}

/// How many counters there are; a later version may have more. 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_stats_count(stats: Option<&svctoken_stats>) -> usize {
    value(0, || stats.map_or(0, |stats| stats.0.len()))
}

/// The counter at `index`, counted from 0: its name, NUL-terminated and valid until svctoken_stats_free, and its value.
/// False, and nothing written, if there is none or an argument is NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_stats_at(
    stats: Option<&svctoken_stats>,
    index: usize,
    name: Option<&mut MaybeUninit<*const c_char>>,
    count: Option<&mut MaybeUninit<u64>>,
) -> bool {
    value(false, || {
        let (Some(stats), Some(name), Some(count)) = (stats, name, count) else { return false };
        let Some(counter) = stats.0.get(index) else { return false };
        name.write(counter.0.as_ptr());
        count.write(counter.1);
        true
    })
}

/// Frees counters; NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_stats_free(stats: Option<Box<svctoken_stats>>) {
    value((), || drop(stats));
}
