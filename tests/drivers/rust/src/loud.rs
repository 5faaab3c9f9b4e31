//! What a program might print of what it has, on standard error, for the runner to search for secrets.

use std::error::Error;
use std::fmt::Debug;

/// Whether the runner asked for it.
pub(crate) fn is_on() -> bool {
    std::env::var_os("SVCTOKEN_DRIVER_LOUD").is_some()
}

/// Shows a value in both forms that Rust has for debugging.
pub(crate) fn show(value: &dyn Debug) {
    if is_on() {
        eprintln!("{value:?}\n{value:#?}");
    }
}

/// Shows an error, and whatever is behind it, in every form.
pub(crate) fn show_error(error: &svctoken::Error) {
    show(error);
    let mut cause: Option<&dyn Error> = Some(error);
    while let (true, Some(error)) = (is_on(), cause) {
        eprintln!("{error}\n{error:#}\n{error:?}");
        cause = error.source();
    }
}

/// What svctoken and the libraries below it log, at every level.
struct Everything;

impl log::Log for Everything {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        // The README warns of this one, which svctoken cannot silence: at TRACE it has the bytes of every request.
        metadata.target() != "ureq_proto::util"
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            eprintln!("{} {} {}", record.level(), record.target(), record.args());
        }
    }

    fn flush(&self) {}
}

/// Logs everything from now on, if the runner asked for it.
pub(crate) fn log_everything() {
    if is_on() {
        log::set_logger(&Everything).expect("nobody else sets a logger here");
        log::set_max_level(log::LevelFilter::Trace);
    }
}
