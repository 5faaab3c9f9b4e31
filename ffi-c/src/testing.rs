//! For tests of programs that use the library.

use std::time::Duration;

use svctoken_core::testing;

use crate::boundary::value;
use crate::error::{SVCTOKEN_INVALID_ARGUMENT, SVCTOKEN_OK, SVCTOKEN_PANIC, svctoken_code};

/// Moves svctoken's clock forward for the whole process, by milliseconds that are not negative, as if so much time had
/// passed: tokens age, remembered failures end. Timeouts of calls in progress are not touched. Only for tests.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_testing_advance_clock(milliseconds: i64) -> svctoken_code {
    value(SVCTOKEN_PANIC, || match u64::try_from(milliseconds) {
        Ok(milliseconds) => {
            testing::advance_clock(Duration::from_millis(milliseconds));
            SVCTOKEN_OK
        }
        Err(_) => SVCTOKEN_INVALID_ARGUMENT,
    })
}
