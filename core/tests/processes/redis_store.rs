//! One token for the fleet: the same protocol on a Redis, and a Redis to which everything happens.

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::child::Child;
use crate::machine::{Machine, tell};
use crate::redis_server::{RedisServer, forward, relay, serve_each};
use crate::shared::{all_get, gates};
use crate::staged::can;

/// A server of tokens, and a Redis.
struct Fleet {
    machine: Machine,
    redis: RedisServer,
    cache: String,
}

impl Fleet {
    fn new(settings: &Value) -> Option<Fleet> {
        Fleet::with(settings, &[])
    }

    fn with(settings: &Value, redis_options: &[&str]) -> Option<Fleet> {
        let redis = RedisServer::start(redis_options)?;
        let cache = redis.url();
        Some(Fleet { machine: Machine::new(settings), redis, cache })
    }

    fn child(&self, options: &[(&str, &str)]) -> Child {
        self.machine.child(&[&[("cache", self.cache.as_str())], options].concat())
    }

    fn children(&self, count: usize, options: &[(&str, &str)]) -> Vec<Child> {
        (0..count).map(|_| self.child(options)).collect()
    }

    fn token_requests(&self) -> u64 {
        self.machine.token_requests()
    }

    /// The next process mints once more, and those after it share that token.
    fn costs_one_mint(&self, what: &str) {
        let before = self.token_requests();
        let token = self.child(&[]).token();
        assert_eq!(self.token_requests(), before + 1, "{what}");
        assert_eq!(self.child(&[]).token(), token, "{what}: the store is mended");
        assert_eq!(self.token_requests(), before + 1, "{what}");
    }

    /// Processes get tokens all the same, each its own, in time, and are told why.
    fn is_not_used(&self, cache: &str, options: &[(&str, &str)]) {
        for _ in 0..2 {
            let before = self.token_requests();
            let mut child = self.machine.child(&[&[("cache", cache)], options].concat());
            let began = Instant::now();
            assert_eq!(child.token(), child.token());
            assert!(began.elapsed() < Duration::from_secs(5), "{cache}: {:?}", began.elapsed());
            assert_eq!(complaints(&mut child), 1, "{cache}");
            assert_eq!(self.token_requests(), before + 1, "{cache}");
        }
    }
}

fn complaints(child: &mut Child) -> usize {
    child.ask("events").matches("cache_unavailable").count()
}

/// So short that what a dead or stopped holder costs is soon over.
const SHORT_ATTEMPT: [(&str, &str); 1] = [("token_timeout", "1.5")];

/// A token that another machine has got meanwhile is looked for every so often; this is longer.
const LATE: Duration = Duration::from_millis(300);

#[test]
fn p01_a_fleet_that_starts_cold_makes_one_token_request() {
    let rules = json!([{ "method": "POST", "path": "/api/oauth/token", "do": { "delay_ms": 500 } }]);
    let Some(fleet) = Fleet::new(&json!({ "rules": rules })) else { return };
    let mut children = fleet.children(20, &[]);
    all_get(&mut children);
    assert_eq!(fleet.token_requests(), 1);
    assert_eq!(children.iter_mut().map(complaints).sum::<usize>(), 0);
}

#[test]
fn p01_a_holder_that_died_or_sleeps_is_passed_by() {
    for signal in [Signal::SIGKILL, Signal::SIGSTOP] {
        let Some(fleet) = Fleet::new(&gates(&[(1, "first")])) else { return };
        let mut others = fleet.children(8, &SHORT_ATTEMPT);
        let mut holder = fleet.child(&SHORT_ATTEMPT);
        holder.say("get");
        fleet.machine.await_token_requests(1);
        holder.signal(signal);
        let began = Instant::now();
        let token = all_get(&mut others);
        assert!(began.elapsed() < Duration::from_secs(6), "{signal}: {:?}", began.elapsed());
        assert_eq!(fleet.token_requests(), 2, "{signal}");
        if signal == Signal::SIGSTOP {
            // As if its lock had ended, and another had it.
            let lock = fleet.redis.keys(":lock").pop().expect("the holder's");
            fleet.redis.tell("SET", &[&lock, "another's", "PX", "60000"]);
            fleet.machine.space.release("first");
            holder.signal(Signal::SIGCONT);
            holder.token();
            assert_eq!(fleet.redis.ask::<String>("GET", &[&lock]), "another's", "unlocked by who did not hold it");
            assert_eq!(fleet.child(&SHORT_ATTEMPT).token(), token, "the later token stays in the record");
            assert_eq!(fleet.token_requests(), 2);
        }
    }
}

#[test]
fn p01_at_the_moment_of_expiry_one_asks_for_the_next_token() {
    let Some(fleet) = Fleet::new(&json!({ "expires_in": 6 })) else { return };
    let mut children = fleet.children(10, &[]);
    let first = all_get(&mut children);
    let rules = json!([{ "method": "POST", "path": "/api/oauth/token", "do": { "delay_ms": 500 } }]);
    fleet.machine.space.patch(&json!({ "expires_in": 3600, "rules": rules })).expect("known settings");
    // What is waited for is the end of the token's life.
    thread::sleep(Duration::from_secs(6));
    assert_ne!(all_get(&mut children), first);
    assert_eq!(fleet.token_requests(), 2);
}

/// Runs `what` on a machine of its own as far as a network tells: its loopback is nobody else's, and on it these ports
/// lead here.
fn on_a_machine<T: Send>(ports: [u16; 2], what: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let (sender, listeners) = channel();
        let machine = scope.spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("root may");
            assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("iproute2").success());
            for port in ports {
                // A listener stays in the network it was made in.
                let listener = TcpListener::bind(("127.0.0.1", port)).expect("nobody else's");
                sender.send((port, listener)).expect("it waits");
            }
            drop(sender);
            what()
        });
        for (port, listener) in listeners {
            serve_each(listener, move |stream| forward(stream, port, Duration::ZERO));
        }
        machine.join().expect("no panic")
    })
}

#[test]
fn p01_three_machines_with_one_redis_make_one_token_request() {
    let rules = json!([{ "method": "POST", "path": "/api/oauth/token", "do": { "delay_ms": 500 } }]);
    let Some(fleet) = Fleet::new(&json!({ "rules": rules })) else { return };
    if !can("exec unshare --net \"$0\" \"$@\"") {
        return;
    }
    let server: u16 =
        fleet.machine.space.http().rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let ports = [fleet.redis.port(), server];
    let machine = || on_a_machine(ports, || fleet.children(5, &[]));
    let mut children: Vec<Child> = (0..3).flat_map(|_| machine()).collect();
    let networks: HashSet<_> = children
        .iter()
        .map(|child| fs::read_link(format!("/proc/{}/ns/net", child.id())))
        .map(|link| link.expect("ours"))
        .collect();
    assert_eq!(networks.len(), 3);
    all_get(&mut children);
    assert_eq!(fleet.token_requests(), 1);
    assert_eq!(children.iter_mut().map(complaints).sum::<usize>(), 0);
}

#[test]
fn p02_scopes_of_one_account_share_its_budget_and_a_refusal_is_everybodys() {
    let Some(fleet) = Fleet::new(&json!({})) else { return };
    let get = |scope| fleet.child(&[("scope", scope), ("mint_budget", "2"), ("timeout", "2")]).ask("get");
    assert!(get("a").starts_with("token "));
    assert!(get("b").starts_with("token "));
    assert_eq!(get("c"), "error rate_limited");
    assert!(get("b").starts_with("token "), "a token that is there costs nothing");
    assert_eq!(fleet.token_requests(), 2);
    for _ in 0..5 {
        assert_eq!(
            fleet.child(&[("client_secret", "mdb_sa_sk_wrongwrongwrongwrong")]).ask("get"),
            "error client_refused"
        );
    }
    assert_eq!(fleet.token_requests(), 3);
}

#[test]
fn p02_a_spoilt_ledger_delays_nobody() {
    let Some(fleet) = Fleet::new(&json!({})) else { return };
    let get = |scope: &str| fleet.child(&[("scope", scope), ("mint_budget", "2"), ("timeout", "5")]).ask("get");
    assert!(get("first").starts_with("token "));
    let ledger = fleet.redis.keys(".ledger").pop().expect("a ledger");
    fleet.redis.tell("SET", &[&ledger, "no ledger"]);
    assert!(get("second").starts_with("token "));
    fleet.redis.tell("ZADD", &[&ledger, "1e15", "a", "1e300", "b", "inf", "c"]);
    assert!(get("third").starts_with("token "), "entries of the future are nobody's");
    assert_eq!(get("fourth"), "error rate_limited", "two are entered since");
}

#[test]
fn p03_a_token_refused_everywhere_is_replaced_once() {
    let Some(fleet) = Fleet::new(&json!({})) else { return };
    let mut children = fleet.children(8, &[]);
    all_get(&mut children);
    // A token younger than that is taken for one that is not known everywhere yet.
    thread::sleep(Duration::from_millis(5100));
    fleet.machine.space.revoke_tokens();
    children.iter_mut().for_each(|child| child.say("request /echo"));
    assert!(children.iter().all(|child| child.hear() == "200"));
    all_get(&mut children);
    assert_eq!(fleet.token_requests(), 2);
}

#[test]
fn p03_a_hold_is_everybodys_and_opened_by_whoever_sees_the_second_refusal() {
    let Some(fleet) = Fleet::new(&json!({})) else { return };
    let (mut first, mut second) = (fleet.child(&[]), fleet.child(&[]));
    let refused = first.token();
    assert_eq!(second.token(), refused);
    assert_eq!(first.ask(&format!("invalidate {refused}")), "true");
    assert_eq!(second.ask(&format!("invalidate {refused}")), "true");
    let successor = first.token();
    assert_eq!(second.token(), successor);
    assert_eq!(second.ask(&format!("invalidate {successor}")), "false", "opens a hold");
    let told = Instant::now();
    // Told on a thread of its own.
    let mut held = false;
    while !held && told.elapsed() < Duration::from_secs(10) {
        let mut another = fleet.child(&[]);
        assert_eq!(another.token(), successor);
        held = another.ask(&format!("invalidate {successor}")) == "false";
    }
    assert!(held, "in a hold nothing is condemned");
    assert_eq!(fleet.token_requests(), 2);
}

#[test]
fn p06_machines_whose_clocks_started_at_other_times_tell_a_tokens_age_alike() {
    let Some(fleet) = Fleet::new(&json!({})) else { return };
    let first = fleet.child(&[]).token();
    thread::sleep(LATE);
    let cache = [("cache", fleet.cache.as_str())];
    for started in ["1000000 s earlier", "just now"] {
        let up = fs::read_to_string("/proc/uptime").expect("Linux");
        let up = up.split('.').next().expect("seconds");
        let offset = if started == "just now" { format!("-{up}") } else { "1000000".into() };
        let before = format!("exec unshare -T --boottime {offset} \"$0\" \"$@\"");
        if !can(&before) {
            return;
        }
        let mut elsewhere = fleet.machine.child_after(&before, &cache);
        assert_eq!(elsewhere.token(), first, "{started}");
        let left: u64 = elsewhere.ask("left").parse().expect("seconds");
        assert!((3580..=3600).contains(&left), "{started}: {left} s of 3600");
    }
    assert_eq!(fleet.token_requests(), 1);
}

#[test]
fn p15_what_is_kept_tells_nothing_and_is_believed_from_its_own_identity_only() {
    let Some(fleet) = Fleet::new(&json!({})) else { return };
    let first = fleet.child(&[]).token();
    let record = fleet.redis.record();
    let kept: Vec<u8> = fleet.redis.ask("GET", &[&record]);
    let secrets = [first.as_str(), "mdb_sa_sk_sandbox", "mdb_sa_id_0123456789abcdef01234567"];
    let everything = [kept.clone(), fleet.redis.keys("").concat().into_bytes()].concat();
    for secret in secrets {
        assert!(!everything.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
    }
    let keep = |content: &[u8]| {
        let arguments: [&[u8]; 4] = [record.as_bytes(), content, b"PX", b"3600000"];
        fleet.redis.ask::<redis::Value>("SET", &arguments);
    };
    for position in [0, 17, 18, 49, 50, kept.len() / 2, kept.len() - 1] {
        let mut content: Vec<u8> = fleet.redis.ask("GET", &[&record]);
        // The record that was minted since may have fewer digits.
        let position = position.min(content.len() - 1);
        content[position] ^= 1;
        keep(&content);
        fleet.costs_one_mint(&format!("byte {position} of {}", kept.len()));
    }
    keep(b"");
    fleet.costs_one_mint("an empty record");
    fleet.redis.tell("DEL", &[&record]);
    fleet.redis.tell("RPUSH", &[&record, "a list"]);
    let cache = fleet.cache.clone();
    fleet.is_not_used(&cache, &[]);
    fleet.redis.tell("DEL", &[&record]);
    let ours = fleet.child(&[]).token();
    let other = fleet.child(&[("scope", "other")]).token();
    let theirs = fleet.redis.keys("").into_iter().find(|key| *key != record).expect("a second record");
    keep(&fleet.redis.ask::<Vec<u8>>("GET", &[&theirs]));
    let token = fleet.child(&[]).token();
    assert!(token != other && token != ours, "a record of another identity is nobody's");
}

#[test]
fn p15_an_older_record_put_back_is_not_taken_for_a_newer_one() {
    let Some(fleet) = Fleet::new(&json!({})) else { return };
    let mut first = fleet.child(&[]);
    let old = first.token();
    let record = fleet.redis.record();
    let content: Vec<u8> = fleet.redis.ask("GET", &[&record]);
    thread::sleep(LATE);
    assert_eq!(first.ask(&format!("invalidate {old}")), "true");
    let newer = first.token();
    let mut second = fleet.child(&[]);
    assert_eq!(second.token(), newer);
    let arguments: [&[u8]; 4] = [record.as_bytes(), &content, b"PX", b"3500000"];
    fleet.redis.ask::<redis::Value>("SET", &arguments);
    assert_eq!(second.ask(&format!("invalidate {newer}")), "true");
    let newest = second.token();
    assert!(newest != old && newest != newer);
    assert_eq!(fleet.token_requests(), 3);
    assert_eq!(fleet.child(&[]).token(), newest);
}

#[test]
fn p15_a_redis_that_was_killed_fails_nobody_and_is_used_again_when_it_is_back() {
    let Some(mut fleet) = Fleet::new(&json!({})) else { return };
    let mut children = fleet.children(10, &[]);
    let token = all_get(&mut children);
    fleet.redis.kill();
    assert_eq!(all_get(&mut children), token, "what lives is served");
    let cache = fleet.cache.clone();
    fleet.is_not_used(&cache, &[]);
    let alone = fleet.token_requests();
    fleet.redis.run();
    // Those who know it as gone leave it alone for a while; a new process does not know.
    let again = fleet.child(&[]).token();
    assert_eq!(fleet.child(&[]).token(), again);
    assert_eq!(fleet.token_requests(), alone + 1);
    tell(&format!("killed and started again: {} token requests for 14 processes", fleet.token_requests()));
}

#[test]
fn p15_a_redis_that_is_frozen_or_slow_fails_nobody_in_time() {
    let Some(fleet) = Fleet::new(&json!({})) else { return };
    fleet.redis.signal(Signal::SIGSTOP);
    let cache = fleet.cache.clone();
    fleet.is_not_used(&cache, &[]);
    let mut children = fleet.children(50, &[]);
    let mints = |children: &mut [Child]| {
        let before = fleet.token_requests();
        let began = Instant::now();
        children.iter_mut().for_each(|child| child.say("get"));
        children.iter().for_each(|child| drop(child.hear_token()));
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
        fleet.token_requests() - before
    };
    tell(&format!("frozen: {} token requests for 50 processes", mints(&mut children)));
    fleet.redis.signal(Signal::SIGCONT);
    let port = fleet.redis.port();
    let slow = relay(move |stream| forward(stream, port, Duration::from_secs(2)));
    let slow = format!("redis://127.0.0.1:{slow}");
    let mut children: Vec<Child> =
        (0..50).map(|_| fleet.machine.child(&[("cache", &slow), ("scope", "slow")])).collect();
    tell(&format!("slow: {} token requests for 50 processes", mints(&mut children)));
}

#[test]
fn p15_a_redis_that_was_emptied_costs_one_mint() {
    let Some(fleet) = Fleet::new(&json!({})) else { return };
    let mut children = fleet.children(5, &[]);
    let token = all_get(&mut children);
    fleet.redis.tell("FLUSHALL", &[]);
    assert_eq!(all_get(&mut children), token);
    fleet.costs_one_mint("emptied");
}

#[test]
fn p15_a_redis_that_cannot_be_written_is_still_read() {
    let Some(fleet) = Fleet::new(&json!({})) else { return };
    let token = fleet.child(&[]).token();
    let cache = fleet.cache.clone();
    fleet.redis.tell("REPLICAOF", &["127.0.0.1", "1"]);
    assert_eq!(fleet.child(&[]).token(), token, "a replica");
    fleet.is_not_used(&cache, &[("scope", "new")]);
    fleet.redis.tell("REPLICAOF", &["NO", "ONE"]);
    fleet.redis.tell("CONFIG", &["SET", "maxmemory", "1"]);
    assert_eq!(fleet.child(&[]).token(), token, "without memory");
    fleet.is_not_used(&cache, &[("scope", "new")]);
}

#[test]
fn p15_only_the_right_password_is_let_in() {
    let Some(fleet) = Fleet::with(&json!({}), &["--requirepass", "p@ss word"]) else { return };
    let port = fleet.redis.port();
    fleet.is_not_used(&format!("redis://127.0.0.1:{port}"), &[]);
    fleet.is_not_used(&format!("redis://:wrong@127.0.0.1:{port}"), &[]);
    let right = format!("redis://default:p%40ss%20word@127.0.0.1:{port}/3");
    let child = || fleet.machine.child(&[("cache", &right)]);
    let before = fleet.token_requests();
    assert_eq!(child().token(), child().token());
    assert_eq!(fleet.token_requests(), before + 1);
}

#[test]
fn p15_a_redis_is_reached_over_tls_and_only_with_a_certificate_that_is_trusted() {
    let machine = Machine::new(&json!({}));
    let [certificate, key] = machine.sandbox.other_server_pem();
    let pems = [("certificate", certificate.as_str()), ("key", key), ("authority", machine.sandbox.ca_pem())];
    let [certificate, key, authority] = pems.map(|(name, pem)| {
        let path = machine.folder.join(name);
        fs::write(&path, pem).expect("ours");
        path.display().to_string()
    });
    let tls = ["--port", "0", "--tls-port", "PORT", "--tls-auth-clients", "no"];
    let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-ca-cert-file", &authority];
    let Some(fleet) = Fleet::with(&json!({}), &[&tls[..], &files[..]].concat()) else { return };
    let cache = format!("rediss://localhost:{}", fleet.redis.port());
    fleet.is_not_used(&cache, &[]);
    let before = fleet.token_requests();
    let child = || fleet.machine.child(&[("cache", &cache), ("ca_file", &authority)]);
    assert_eq!(child().token(), child().token());
    assert_eq!(fleet.token_requests(), before + 1);
}

#[test]
fn p15_what_is_no_redis_fails_nobody() {
    let Some(fleet) = Fleet::new(&json!({})) else { return };
    let answers: [&'static [u8]; 6] = [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"+OK\r\n",
        b"$99999999999\r\n",
        b"*2\r\n:1\r\n",
        b"*1\r\n*1\r\n*1\r\n",
    ];
    for answer in answers {
        let port = relay(move |mut stream| {
            let mut buffer = [0; 4096];
            while let Ok(1..) = stream.read(&mut buffer) {
                let _ = stream.write_all(answer);
                if answer.is_empty() {
                    break;
                }
            }
        });
        fleet.is_not_used(&format!("redis://127.0.0.1:{port}"), &[]);
    }
    let endless = relay(|mut stream| while stream.write_all(&[b'$'; 4096]).is_ok() {});
    fleet.is_not_used(&format!("redis://127.0.0.1:{endless}"), &[]);
}

#[test]
fn what_is_revoked_or_forgotten_leaves_the_redis_for_all() {
    let Some(fleet) = Fleet::new(&json!({})) else { return };
    let revoke = format!("{}/api/oauth/revoke", fleet.machine.space.http());
    let options = [("revocation_url", revoke.as_str())];
    let first = fleet.child(&[]).token();
    assert_eq!(fleet.child(&options).ask("revoke"), "true");
    assert_eq!(fleet.child(&options).ask("revoke"), "false");
    assert_eq!(fleet.token_requests(), 1, "none was requested in order to be revoked");
    let mut second = fleet.child(&[]);
    let token = second.token();
    assert_ne!(token, first);
    assert_eq!(second.ask("clear"), "done");
    let next = fleet.child(&[]).token();
    assert!(next != token && second.token() == next);
    assert_eq!(fleet.token_requests(), 3);
}
