//! Who competes in what, and the targets.

use crate::contest::{Cache, Contest, Entry, How, Measure, Target};

const fn entry(label: &'static str, program: &'static str, what: &'static str) -> Entry {
    Entry { label, program, what, cache: Cache::Shared }
}

const fn minting(label: &'static str, program: &'static str, what: &'static str) -> Entry {
    Entry { label, program, what, cache: Cache::None }
}

const fn target(of: usize, to: usize, measure: Measure, at_most: f64) -> Target {
    Target { of, to, measure, at_most: Some(at_most) }
}

const fn compare(of: usize, to: usize, measure: Measure) -> Target {
    Target { of, to, measure, at_most: None }
}

use Measure::{Cpu, MoreCpu, Time};

pub(crate) const CONTESTS: &[Contest] = &[
    Contest {
        title: "A fresh token",
        how: How::Calls,
        tls: false,
        entries: &[
            entry("Rust: boot clock and ArcSwap load", "rust", "clock"),
            entry("Rust: get_token", "rust", "token"),
            entry("C: boot clock and copy", "c", "copy"),
            entry("C: svctoken_client_copy_token", "c", "token"),
            entry("Python: a method that returns an attribute", "python", "attribute"),
            entry("Python: requests-oauthlib, add_token", "python", "oauthlib_token"),
            entry("Python: get_token", "python", "token"),
            entry("Node: a cache by hand, awaited", "node", "cache"),
            entry("Node: await getToken", "node", "token"),
        ],
        targets: &[
            target(1, 0, Time, 1.5),
            target(3, 2, Time, 1.3),
            target(6, 4, Time, 2.2),
            target(6, 5, Time, 0.2),
            target(8, 7, Time, 1.3),
        ],
    },
    Contest { title: "A request over HTTP", how: How::Calls, tls: false, entries: REQUESTS, targets: HTTP_TARGETS },
    Contest { title: "A request over TLS", how: How::Calls, tls: true, entries: REQUESTS, targets: TLS_TARGETS },
    Contest {
        title: "8 MiB as a stream over HTTP",
        how: How::Calls,
        tls: false,
        entries: STREAMS,
        targets: STREAM_TARGETS,
    },
    Contest {
        title: "8 MiB as a stream over TLS",
        how: How::Calls,
        tls: true,
        entries: STREAMS,
        targets: STREAM_TARGETS,
    },
    Contest {
        title: "A process that gets a token",
        how: How::Processes,
        tls: true,
        entries: &[
            entry("Rust: nothing", "rust", "empty"),
            entry("Rust: a token from the shared file", "rust", "token"),
            minting("Rust: a token requested over TLS", "rust", "token"),
            entry("C: nothing, but svctoken is linked", "c", "empty"),
            entry("C: a token from the shared file", "c", "token"),
            minting("C: a token requested over TLS", "c", "token"),
            entry("Python: nothing", "python", "empty"),
            entry("Python: import svctoken", "python", "import"),
            entry("Python: a token from the shared file", "python", "token"),
            minting("Python: a token requested over TLS", "python", "token"),
            entry("Node: nothing", "node", "empty"),
            entry("Node: import svctoken", "node", "import"),
            entry("Node: a token from the shared file", "node", "token"),
            minting("Node: a token requested over TLS", "node", "token"),
        ],
        targets: &[
            compare(1, 0, MoreCpu),
            target(1, 2, Cpu, 1.0),
            compare(4, 3, MoreCpu),
            target(4, 5, Cpu, 1.0),
            target(7, 6, MoreCpu, 10.0),
            compare(8, 6, MoreCpu),
            target(8, 9, Cpu, 1.0),
            compare(11, 10, MoreCpu),
            compare(12, 10, MoreCpu),
            target(12, 13, Cpu, 1.0),
        ],
    },
    Contest {
        title: "A process that makes one request over TLS, its token in the shared file",
        how: How::Processes,
        tls: true,
        entries: &[
            entry("C: libcurl", "curl", "curl"),
            entry("C: svctoken", "c", "request"),
            entry("Python: pyreqwest", "python", "pyreqwest"),
            entry("Python: pycurl", "python", "pycurl"),
            entry("Python: requests-oauthlib", "python", "requests_oauthlib"),
            entry("Python: svctoken", "python", "request"),
            entry("Node: https", "node", "http"),
            entry("Node: fetch", "node", "fetch"),
            entry("Node: svctoken", "node", "request"),
        ],
        targets: &[
            target(1, 0, Cpu, 0.5),
            target(5, 2, Cpu, 0.5),
            compare(5, 3, Cpu),
            compare(5, 4, Cpu),
            target(8, 6, Cpu, 1.0),
            compare(8, 7, Cpu),
        ],
    },
];

const REQUESTS: &[Entry] = &[
    entry("Rust: a raw socket", "rust", "raw"),
    entry("Rust: ureq", "rust", "ureq"),
    entry("Rust: svctoken", "rust", "request"),
    entry("C: libcurl", "curl", "curl"),
    entry("C: svctoken", "c", "request"),
    entry("Python: pycurl", "python", "pycurl"),
    entry("Python: pyreqwest", "python", "pyreqwest"),
    entry("Python: httpx", "python", "httpx"),
    entry("Python: requests-oauthlib", "python", "requests_oauthlib"),
    entry("Python: svctoken", "python", "request"),
    entry("Node: http", "node", "http"),
    entry("Node: fetch", "node", "fetch"),
    entry("Node: svctoken", "node", "request"),
];

const HTTP_TARGETS: &[Target] = &[
    target(2, 0, Cpu, 2.1),
    compare(2, 1, Cpu),
    target(4, 3, Cpu, 0.65),
    target(9, 5, Cpu, 0.8),
    target(9, 5, Time, 1.0),
    compare(9, 6, Cpu),
    compare(9, 7, Cpu),
    target(9, 8, Cpu, 0.04),
    compare(12, 10, Cpu),
    target(12, 11, Cpu, 1.0),
];

const TLS_TARGETS: &[Target] = &[
    target(2, 0, Cpu, 2.1),
    target(2, 0, Time, 1.4),
    compare(2, 1, Cpu),
    target(4, 3, Cpu, 0.55),
    target(9, 5, Cpu, 0.8),
    target(9, 5, Time, 1.0),
    compare(9, 6, Cpu),
    compare(9, 7, Cpu),
    target(9, 8, Cpu, 0.04),
    compare(12, 10, Cpu),
    target(12, 11, Cpu, 1.0),
];

const STREAMS: &[Entry] = &[
    entry("Rust: ureq", "rust", "ureq_stream"),
    entry("Rust: svctoken", "rust", "stream"),
    entry("C: libcurl", "curl", "curl_stream"),
    entry("C: svctoken", "c", "stream"),
    entry("Python: pycurl", "python", "pycurl_stream"),
    entry("Python: requests", "python", "requests_stream"),
    entry("Python: httpx", "python", "httpx_stream"),
    entry("Python: svctoken", "python", "stream"),
    entry("Node: http", "node", "http_stream"),
    entry("Node: fetch", "node", "fetch_stream"),
    entry("Node: svctoken", "node", "stream"),
];

const STREAM_TARGETS: &[Target] = &[
    compare(1, 0, Time),
    target(3, 2, Time, 1.0),
    target(7, 4, Time, 1.0),
    compare(7, 5, Time),
    compare(7, 6, Time),
    target(10, 8, Time, 0.67),
    compare(10, 9, Time),
];
