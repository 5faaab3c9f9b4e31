//! Whether a text shows a secret: whole or in part, plain or encoded.

use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use base64::prelude::*;
use serde_json::Value;
use std::collections::{BTreeSet, HashSet};

/// As much of a secret as may not be shown. Shorter parts are the common words and digits of any text.
const PART: usize = 12;

/// Secrets below this length are too common a text to be called leaked.
const SHORTEST: usize = 8;

/// The secrets of a run.
#[derive(Debug, Default)]
pub struct Secrets {
    known: BTreeSet<String>,
    /// Every part of every form of them.
    parts: HashSet<[u8; PART]>,
    /// Forms that have no such part.
    short: Vec<Vec<u8>>,
    /// Parts of texts that may be shown.
    public: HashSet<[u8; PART]>,
}

impl Secrets {
    /// Adds a text that nothing may show.
    pub fn add(&mut self, secret: &str) {
        if secret.len() < SHORTEST || !self.known.insert(secret.to_owned()) {
            return;
        }
        for form in forms(secret) {
            self.parts.extend(parts(&form));
            if form.len() < PART {
                self.short.push(form);
            }
        }
    }

    /// Adds a text that may be shown, even if a secret has a part in common with it: a client's id, an address.
    pub fn add_public(&mut self, text: &str) {
        if text.len() >= SHORTEST {
            forms(text).iter().for_each(|form| self.public.extend(parts(form)));
        }
    }

    /// Adds a private key, as PEM or JWK: not the words around it, which all keys have.
    pub fn add_key(&mut self, text: &str) {
        if let Ok(Value::Object(jwk)) = serde_json::from_str(text) {
            let private = ["d", "p", "q", "dp", "dq", "qi"];
            private.iter().filter_map(|name| jwk.get(*name)?.as_str()).for_each(|number| self.add(number));
            return;
        }
        let digits = |line: &&str| !line.contains("-----") && !line.contains(": ");
        text.lines().filter(digits).for_each(|line| self.add(line));
    }

    /// Adds what the requests of a sandbox's report carried: Basic credentials, tokens, secrets and assertions in forms.
    pub fn add_carried(&mut self, report: &Value) {
        for request in report["log"].as_array().into_iter().flatten() {
            if let Some(value) = request["headers"]["authorization"].as_str() {
                let credentials = value.split_once(' ').map_or(value, |(_, credentials)| credentials);
                self.add(credentials);
                let pair = BASE64_STANDARD.decode(credentials).ok().and_then(|pair| String::from_utf8(pair).ok());
                if let Some((_, secret)) = pair.as_deref().and_then(|pair| pair.split_once(':')) {
                    self.add(secret);
                }
            }
            for parameter in request["body"].as_str().unwrap_or_default().split('&') {
                if let Some(("client_secret" | "client_assertion" | "token", secret)) = parameter.split_once('=') {
                    self.add(secret);
                }
            }
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.known.len()
    }

    /// The first part of a secret that the text shows.
    pub fn find_in(&self, text: &str) -> Option<String> {
        let text = text.as_bytes();
        let long = parts(text).find(|part| self.parts.contains(part) && !self.public.contains(part));
        let shown = long.map(|part| part.to_vec());
        let shown = shown.or_else(|| {
            self.short.iter().find(|form| text.windows(form.len()).any(|part| part == form.as_slice())).cloned()
        });
        shown.map(|part| String::from_utf8_lossy(&part).into_owned())
    }
}

fn parts(text: &[u8]) -> impl Iterator<Item = [u8; PART]> + '_ {
    text.array_windows::<PART>().copied()
}

/// A secret as it stands, as JSON escapes it, percent-encoded both ways, and in the base64 of any text around it.
fn forms(secret: &str) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::from([secret.as_bytes().to_vec()]);
    forms.insert(Value::from(secret).to_string().trim_matches('"').as_bytes().to_vec());
    let percent = |hex: fn(u8) -> String| -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        secret.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { hex(byte) }).collect()
    };
    let upper = percent(|byte| format!("%{byte:02X}"));
    forms.insert(upper.replace("%20", "+").into_bytes());
    forms.insert(upper.into_bytes());
    forms.insert(percent(|byte| format!("%{byte:02x}")).into_bytes());
    for alphabet in [&STANDARD, &URL_SAFE] {
        let base64 = GeneralPurpose::new(alphabet, NO_PAD);
        for before in 0..3 {
            let text = base64.encode([&[0; 2][..before], secret.as_bytes()].concat());
            // The outer characters hold bits of the neighbours.
            let begin = [0, 2, 3][before];
            let end = text.len() - usize::from(!(before + secret.len()).is_multiple_of(3));
            forms.insert(text.as_bytes()[begin..end].to_vec());
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SECRET: &str = "mdb_sa_sk_Q7/x+ 4fü&\"k\\9dLm3v";

    fn found(text: &str) -> Option<String> {
        let mut secrets = Secrets::default();
        secrets.add(SECRET);
        secrets.add("short-sec");
        secrets.add_public("mdb_sa_sk_Q7 is how they begin");
        secrets.add_public("");
        secrets.find_in(text)
    }

    #[test]
    fn a_secret_is_found_in_every_form_and_in_parts() {
        let shown = [
            SECRET.to_owned(),
            format!("{SECRET:?}"),
            json!({"a": SECRET}).to_string(),
            "… /x+ 4fü&\"k\\ …".to_owned(),
            "sk_Q7%2Fx%2B%204f%C3%BC".to_owned(),
            "Q7%2fx%2b%204f%c3%bc".to_owned(),
            "sk_Q7%2Fx%2B+4f%C3%BC".to_owned(),
            BASE64_STANDARD.encode(SECRET),
            BASE64_STANDARD.encode(format!("id:{SECRET}")),
            BASE64_URL_SAFE_NO_PAD.encode(format!("an id:{SECRET}!")),
            BASE64_STANDARD.encode(format!("a:{}", &SECRET[8..24])),
            "it is short-sec, isn't it?".to_owned(),
        ];
        for text in shown {
            assert!(found(&text).is_some(), "{text}");
        }
    }

    #[test]
    fn what_everybody_knows_is_no_secret() {
        for text in ["", "mdb_sa_sk_Q7", "x+ 4fü&\"k", "short-se", &BASE64_STANDARD.encode("mdb_sa_sk_")] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn of_a_key_the_numbers_are_secret_and_the_words_are_not() {
        let mut secrets = Secrets::default();
        secrets.add_key(
            "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\nAwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----\n",
        );
        secrets.add_key(r#"{"kty":"EC-with-a-long-name","d":"private-number"}"#);
        assert_eq!(secrets.count(), 3);
        for shown in ["AgEAMBMGByqGSM", "HBG0wawIBAQQg", "private-numbe"] {
            assert!(secrets.find_in(shown).is_some(), "{shown}");
        }
        assert_eq!(secrets.find_in("-----BEGIN PRIVATE KEY----- EC-with-a-long-name"), None);
    }

    #[test]
    fn what_requests_carried_is_secret() {
        let mut secrets = Secrets::default();
        let headers = json!({"authorization": "Basic aWQ6c2VjcmV0LXNlY3JldA==", "accept": "application/json"});
        let body = "grant_type=client_credentials&client_secret=another-secret&client_assertion=signed.statement\
                    &token=the-token-itself";
        secrets.add_carried(&json!({"log": [{"headers": headers, "body": body}]}));
        assert_eq!(secrets.count(), 5);
        assert!(secrets.find_in("Basic aWQ6c2VjcmV0LXNlY3JldA==").is_some());
        assert!(secrets.find_in("secret-secre").is_some() && secrets.find_in("another-secre").is_some());
        assert!(secrets.find_in("signed.statem").is_some());
        assert!(secrets.find_in("the-token-it").is_some());
        assert_eq!(secrets.find_in("client_credentials application/json"), None);
    }
}
