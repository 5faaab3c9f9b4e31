//! Log events.

use std::ffi::{CString, c_char, c_void};
use std::mem::MaybeUninit;
use std::ptr::null;
use std::sync::Arc;

use svctoken_core::{LogEvent, LogHook, Severity};

use crate::boundary::{UserData, c_string, value};

/// How much a log event matters: the larger, the more.
pub type svctoken_log_severity = u32;

/// For those who look for something.
pub const SVCTOKEN_LOG_DEBUG: svctoken_log_severity = 1;

/// A token came, or was revoked.
pub const SVCTOKEN_LOG_INFO: svctoken_log_severity = 2;

/// Something failed or was refused; the message says what svctoken does about it.
pub const SVCTOKEN_LOG_WARNING: svctoken_log_severity = 3;

/// Something worth a log line, without a secret or a token in it. Its texts are UTF-8, NUL-terminated and borrowed: valid,
/// like the event, until the callback returns.
pub struct svctoken_log_event {
    severity: svctoken_log_severity,
    name: CString,
    message: CString,
    fields: Vec<(CString, CString)>,
}

impl svctoken_log_event {
    fn new(event: &LogEvent) -> svctoken_log_event {
        svctoken_log_event {
            severity: match event.severity() {
                Severity::Debug => SVCTOKEN_LOG_DEBUG,
                Severity::Info => SVCTOKEN_LOG_INFO,
                Severity::Warning => SVCTOKEN_LOG_WARNING,
            },
            name: c_string(event.name()),
            message: c_string(event.message()),
            fields: event.fields().iter().map(|(name, value)| (c_string(name), c_string(value))).collect(),
        }
    }
}

/// What svctoken_config_set_log takes, and where the rules for it stand.
pub type svctoken_log_callback = Option<extern "C" fn(event: &svctoken_log_event, user_data: *mut c_void)>;

pub(crate) fn hook(callback: extern "C" fn(&svctoken_log_event, *mut c_void), user_data: UserData) -> LogHook {
    Arc::new(move |event: &LogEvent| callback(&svctoken_log_event::new(event), user_data.pointer()))
}

/// One of the SVCTOKEN_LOG_ constants; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_log_event_severity(event: Option<&svctoken_log_event>) -> svctoken_log_severity {
    value(0, || event.map_or(0, |event| event.severity))
}

/// What kind of event it is, such as "token_received". NULL for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_log_event_name(event: Option<&svctoken_log_event>) -> *const c_char {
    value(null(), || event.map_or(null(), |event| event.name.as_ptr()))
}

/// A sentence for people. NULL for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_log_event_message(event: Option<&svctoken_log_event>) -> *const c_char {
    value(null(), || event.map_or(null(), |event| event.message.as_ptr()))
}

/// How many facts the event has beside its message; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_log_event_field_count(event: Option<&svctoken_log_event>) -> usize {
    value(0, || event.map_or(0, |event| event.fields.len()))
}

/// The fact at `index`, counted from 0: its name and its value, a text. Times are whole milliseconds, and their names end
/// in "_ms". False, and nothing written, if there is none or an argument is NULL.
#[unsafe(no_mangle)]
pub extern "C" fn svctoken_log_event_field_at(
    event: Option<&svctoken_log_event>,
    index: usize,
    name: Option<&mut MaybeUninit<*const c_char>>,
    text: Option<&mut MaybeUninit<*const c_char>>,
) -> bool {
    value(false, || {
        let (Some(event), Some(name), Some(text)) = (event, name, text) else { return false };
        let Some(field) = event.fields.get(index) else { return false };
        name.write(field.0.as_ptr());
        text.write(field.1.as_ptr());
        true
    })
}
