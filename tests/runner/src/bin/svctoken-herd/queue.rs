//! Short programs that come one after another, a few at a time: each makes a client, calls once and ends.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::{CLIENT_SECRET, Place};

/// As many as a small machine runs at once without every start taking long.
const AT_ONCE: usize = 10;

/// What every program does, and what all together may cost.
pub(crate) struct Queue {
    pub(crate) about: &'static str,
    call: &'static [&'static str],
    /// What the call returns.
    returns: fn(&Value) -> bool,
    most_token_requests: u64,
}

pub(crate) const QUEUES: &[Queue] = &[
    Queue {
        about: "P1: short programs that get a token",
        call: &["get_token", "c", "a"],
        returns: |fields| fields["token"].is_string(),
        most_token_requests: 1,
    },
    Queue {
        // A hold lasts a minute, then two, then four: a token is replaced at the end of each, and nobody waits as long.
        about: "P3: short programs that call what none of them may see",
        call: &["request", "c", "a", "GET", "/api/atlas/v2/not-a-member"],
        returns: |fields| fields["status"] == 401,
        most_token_requests: 3,
    },
];

pub(crate) fn run(queue: &Queue, place: &Place<'_>, programs: usize) -> Result<u64, String> {
    let next = AtomicUsize::new(0);
    let tokens = std::thread::scope(|scope| {
        let server = || {
            let mut tokens = HashSet::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= programs {
                    return Ok::<_, String>(tokens);
                }
                tokens.extend(one(queue, place, index)?);
            }
        };
        let servers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(server)).collect();
        let served = servers.into_iter().map(|server| server.join().expect("it does not panic"));
        served.collect::<Result<Vec<_>, _>>()
    })?;
    let tokens: HashSet<String> = tokens.into_iter().flatten().collect();
    match place.token_requests()? {
        requests if requests > queue.most_token_requests => {
            Err(format!("{requests} token requests instead of at most {}", queue.most_token_requests))
        }
        _ if tokens.len() > 1 => Err(format!("{} tokens were handed out", tokens.len())),
        requests => Ok(requests),
    }
}

/// One program's life; gives the token if it got one.
fn one(queue: &Queue, place: &Place<'_>, index: usize) -> Result<Option<String>, String> {
    let mut program = place.start(index)?;
    program.make_client(CLIENT_SECRET)?;
    program.tell(queue.call)?;
    let answer = program.wait("c")?;
    let fields = Value::Object(answer.fields);
    if answer.outcome != "ok" || !(queue.returns)(&fields) {
        return Err(format!("program {index}: {} {fields}", answer.outcome));
    }
    program.quit()?;
    Ok(fields["token"].as_str().map(str::to_owned))
}
