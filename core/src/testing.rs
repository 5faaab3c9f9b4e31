//! For tests of programs that use svctoken.

use std::time::Duration;

/// Moves svctoken's clock forward for this whole process, as if so much time had passed: tokens age, remembered
/// failures end. Timeouts of calls in progress are not touched. Only for tests.
pub fn advance_clock(by: Duration) {
    crate::clock::advance(by);
}
