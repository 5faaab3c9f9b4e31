//! The claims about the fresh path, and about threads, that only a Rust program can check.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use svctoken::Client;
use svctoken_sandbox::{Sandbox, Space};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise, handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn client(space: &Space) -> Client {
    Client::builder()
        .environment(svctoken::Environment::from_pairs([("", "")]))
        .client_id("mdb_sa_id_0123456789abcdef01234567")
        .client_secret("mdb_sa_sk_sandboxsandboxsandboxsandboxsandbox")
        .base_url(space.http())
        .atlas()
        .expect("valid options")
}

fn space(sandbox: &Sandbox) -> Arc<Space> {
    sandbox.create_space(&json!({})).expect("known settings")
}

#[test]
fn the_fresh_path_does_not_allocate() {
    let sandbox = Sandbox::start();
    let space = space(&sandbox);
    let client = client(&space);
    client.get_token().expect("a token");
    let before = ALLOCATIONS.with(Cell::get);
    for _ in 0..1000 {
        let token = client.get_token().expect("a token");
        assert!(!token.as_str().is_empty());
    }
    assert_eq!(ALLOCATIONS.with(Cell::get), before);
}

#[test]
fn p08_no_thread_of_ours_outlives_its_answer() {
    let sandbox = Sandbox::start();
    let space = space(&sandbox);
    let client = client(&space);
    let r = client.request("GET", "/echo").send().expect("an answer");
    assert_eq!(r.status(), 200);
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let ours = threads_named(&["svctoken-mint", "svctoken-name"]);
        if ours.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "still there: {ours:?}");
        std::thread::yield_now();
    }
}

fn threads_named(names: &[&str]) -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux").flatten();
    let comm = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    comm.map(|name| name.trim().to_string()).filter(|name| names.contains(&name.as_str())).collect()
}
