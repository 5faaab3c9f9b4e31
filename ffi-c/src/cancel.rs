//! Ending a call early.

use crate::boundary::value;
use svctoken_core::CancelToken;

/// Ends calls early, from another thread or a signal handler. May be used by several threads at once. Uses one
/// descriptor.
pub struct svctoken_cancel(pub(crate) CancelToken);

/// A cancel that was not triggered, to be freed with svctoken_cancel_free. NULL only in case of a bug.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_cancel_new() -> Option<Box<svctoken_cancel>> {
    value(None, || Some(Box::new(svctoken_cancel(CancelToken::new()))))
}

/// Ends every call whose options hold this cancel, now and later, with SVCTOKEN_CANCELLED; it cannot be undone.
/// Async-signal-safe: a signal handler may call it. NULL does nothing.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_cancel_trigger(cancel: Option<&svctoken_cancel>) {
    value((), || {
        if let Some(cancel) = cancel {
            cancel.0.cancel();
        }
    });
}

/// Frees a cancel; NULL is allowed. Not while a signal handler may still trigger it.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_cancel_free(cancel: Option<Box<svctoken_cancel>>) {
    value((), || drop(cancel));
}
