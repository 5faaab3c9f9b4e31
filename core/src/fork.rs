//! State of one process, replaced in a forked child.
//!
//! A child that reuses its parent's connection reads the parent's answers, and one that takes a lock its parent's
//! threads held waits for ever. So everything with sockets, locks or threads hangs off a [`PerProcess`], which looks
//! at the process id before it touches anything, and forgets what belongs to the parent without closing it.

use std::mem;
use std::ops::Deref;
use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};

pub(crate) struct PerProcess<T> {
    cell: ArcSwapOption<Owned<T>>,
}

/// A value and the process that made it.
pub(crate) struct Owned<T> {
    process: u32,
    value: T,
}

impl<T> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> PerProcess<T> {
    pub(crate) const fn new() -> PerProcess<T> {
        PerProcess { cell: ArcSwapOption::const_empty() }
    }

    /// This process's value, made by `make` when there is none yet. Takes no lock; costs a `getpid`.
    pub(crate) fn get(&self, make: impl Fn() -> T) -> Arc<Owned<T>> {
        let process = std::process::id();
        loop {
            let found = self.cell.load();
            if let Some(owned) = found.as_ref().filter(|owned| owned.process == process) {
                return owned.clone();
            }
            let made = Arc::new(Owned { process, value: make() });
            let before = self.cell.compare_and_swap(&found, Some(made.clone()));
            if same(&before, &found) {
                // The parent's value must not be dropped here: that would shut what the parent still uses.
                mem::forget(Guard::into_inner(found));
                mem::forget(Guard::into_inner(before));
                return made;
            }
        }
    }
}

/// A value with a socket that one call holds: a forked child can neither use nor close what is its parent's.
pub(crate) struct Held<T> {
    process: u32,
    value: Option<T>,
}

impl<T> Held<T> {
    pub(crate) fn new(value: T) -> Held<T> {
        Held { process: std::process::id(), value: Some(value) }
    }

    /// `None` in a child of the process that made it.
    pub(crate) fn get(&mut self) -> Option<&mut T> {
        if self.process == std::process::id() { self.value.as_mut() } else { None }
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            mem::forget(self.value.take());
        }
    }
}

fn same<T>(a: &Option<Arc<T>>, b: &Option<Arc<T>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        let owned = self.cell.swap(None);
        if owned.as_ref().is_some_and(|owned| owned.process != std::process::id()) {
            mem::forget(owned);
        }
    }
}
