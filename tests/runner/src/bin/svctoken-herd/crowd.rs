//! Processes that are all there, and ask at once.

use serde_json::{Value, json};

use crate::{CLIENT_SECRET, Place, Process};

const LIFETIME_MS: u64 = 3_600_000;

/// A situation that many processes meet at once.
pub(crate) struct Herd {
    pub(crate) about: &'static str,
    server_takes_ms: u64,
    secret: &'static str,
    /// What each process gets: no error, or this one.
    error: Option<&'static str>,
    /// How often the token they share comes to its end, and all ask again.
    expiries: u64,
}

pub(crate) const HERDS: &[Herd] = &[
    Herd {
        about: "P1: a cold cache, and then the moment of expiry, with a server that takes 1 s",
        server_takes_ms: 1000,
        secret: CLIENT_SECRET,
        error: None,
        expiries: 1,
    },
    Herd {
        about: "P9: a wrong secret",
        server_takes_ms: 300,
        secret: "mdb_sa_sk_wrongwrongwrongwrongwrongwrongwrong",
        error: Some("client_refused"),
        expiries: 0,
    },
];

impl Herd {
    pub(crate) fn settings(&self) -> Value {
        let slow = json!({ "delay_ms": self.server_takes_ms });
        let rules = json!([{ "method": "POST", "path": "/api/oauth/token", "do": slow }]);
        json!({ "expires_in": LIFETIME_MS / 1000, "rules": rules })
    }
}

pub(crate) fn run(herd: &Herd, place: &Place<'_>, processes: usize) -> Result<u64, String> {
    let mut herded = (0..processes).map(|index| place.start(index)).collect::<Result<Vec<_>, _>>()?;
    // All are up before the first asks.
    for process in &mut herded {
        process.make_client(herd.secret)?;
    }
    let mut token = all_ask(herd, &mut herded, "first")?;
    place.expect_token_requests(1)?;
    for expiry in 1..=herd.expiries {
        // The same moment for all, who have their token from the same request.
        for process in &mut herded {
            process.tell(&["advance", &LIFETIME_MS.to_string()])?;
        }
        let next = all_ask(herd, &mut herded, &format!("after expiry {expiry}"))?;
        if next == token {
            return Err("a token that has ended was handed out".to_owned());
        }
        token = next;
        place.expect_token_requests(1 + expiry)?;
    }
    for process in herded {
        process.quit()?;
    }
    place.token_requests()
}

/// All ask, and then all wait; gives the one token that they get, if they do.
fn all_ask(herd: &Herd, herded: &mut [Process<'_>], call: &str) -> Result<Option<Value>, String> {
    for process in herded.iter_mut() {
        process.tell(&["get_token", call, "a"])?;
    }
    let mut tokens = Vec::new();
    for process in herded {
        let answer = process.wait(call)?;
        let got = answer.fields.get("name").and_then(Value::as_str);
        if got != herd.error {
            let message = answer.fields.get("message");
            return Err(format!("a process got {got:?} instead of {:?}: {message:?}", herd.error));
        }
        tokens.push(answer.fields.get("token").cloned());
    }
    if tokens.iter().any(|token| *token != tokens[0]) {
        return Err("the processes have different tokens".to_owned());
    }
    Ok(tokens.swap_remove(0))
}
