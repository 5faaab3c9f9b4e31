//! The tokens a space has issued.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::settings::Settings;

/// Below this a token could not be told from others.
const SHORTEST: usize = 32;

/// Who a token is for. Atlas's clients have no realm.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner<'a> {
    pub(crate) realm: Option<&'a str>,
    pub(crate) client: &'a str,
}

pub(crate) struct Issued {
    /// 1 for the first token of the space.
    pub(crate) ordinal: u64,
    text: String,
    realm: Option<String>,
    client: String,
    pub(crate) issued_ms: u64,
    pub(crate) expires_ms: u64,
    pub(crate) revoked: bool,
}

impl Issued {
    pub(crate) fn owner(&self) -> Owner<'_> {
        Owner { realm: self.realm.as_deref(), client: &self.client }
    }

    pub(crate) fn lives(&self, now_ms: u64) -> bool {
        !self.revoked && now_ms < self.expires_ms
    }
}

#[derive(Default)]
pub(crate) struct Tokens {
    issued: Vec<Issued>,
    by_text: HashMap<String, usize>,
    most_living: usize,
}

impl Tokens {
    /// Issues a token that ends `lifetime_ms` after `now_ms`, and gives its ordinal.
    pub(crate) fn issue(&mut self, owner: Owner<'_>, length: usize, now_ms: u64, lifetime_ms: u64) -> u64 {
        let ordinal = self.issued.len() as u64 + 1;
        let text = token_text(owner, ordinal, length.max(SHORTEST), now_ms);
        self.by_text.insert(text.clone(), self.issued.len());
        self.issued.push(Issued {
            ordinal,
            text,
            realm: owner.realm.map(Into::into),
            client: owner.client.into(),
            issued_ms: now_ms,
            expires_ms: now_ms.saturating_add(lifetime_ms),
            revoked: false,
        });
        self.most_living = self.most_living.max(self.living(now_ms));
        ordinal
    }

    /// The token of that ordinal.
    pub(crate) fn text(&self, ordinal: u64) -> &str {
        &self.issued[ordinal as usize - 1].text
    }

    pub(crate) fn find(&self, text: &str) -> Option<&Issued> {
        self.by_text.get(text).map(|index| &self.issued[*index])
    }

    pub(crate) fn living(&self, now_ms: u64) -> usize {
        self.issued.iter().filter(|token| token.lives(now_ms)).count()
    }

    pub(crate) fn most_living(&self) -> usize {
        self.most_living
    }

    /// The youngest living token of one owner.
    pub(crate) fn living_of(&self, owner: Owner<'_>, now_ms: u64) -> Option<&Issued> {
        self.issued.iter().rev().find(|token| token.owner() == owner && token.lives(now_ms))
    }

    pub(crate) fn count_living_of(&self, owner: Owner<'_>, now_ms: u64) -> usize {
        self.issued.iter().filter(|token| token.owner() == owner && token.lives(now_ms)).count()
    }

    /// Whether a living token was revoked.
    pub(crate) fn revoke(&mut self, text: &str, now_ms: u64) -> bool {
        let Some(index) = self.by_text.get(text) else { return false };
        let token = &mut self.issued[*index];
        let lived = token.lives(now_ms);
        token.revoked = true;
        lived
    }

    pub(crate) fn revoke_all(&mut self) {
        for token in &mut self.issued {
            token.revoked = true;
        }
    }
}

/// A text of exactly `length` characters that looks like a JWT where there is room for one. Nothing is signed.
fn token_text(owner: Owner<'_>, ordinal: u64, length: usize, now_ms: u64) -> String {
    // The standard hasher is keyed at random: tokens of two spaces or two runs never collide.
    let unique = format!("{:016x}{ordinal:08x}", RandomState::new().build_hasher().finish());
    let header = json!({ "alg": "ES512", "typ": "JWT" });
    let claims = json!({
        "iss": owner.realm.unwrap_or("svctoken-sandbox"),
        "aud": "api://admin",
        "sub": owner.client,
        "cid": owner.client,
        "actorId": owner.client,
        "iat": now_ms / 1000,
        "jti": unique,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut text = format!("{}.{}.", part(&header), part(&claims));
    if text.len() >= length {
        text = unique;
    }
    // Filler that differs along its length, so that a cut or doubled piece is not mistaken for the whole.
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = ordinal;
    while text.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push(char::from(alphabet[(state >> 58) as usize]));
    }
    text
}

/// The body of a successful token answer.
pub(crate) fn token_answer(
    settings: &Settings,
    expires_in: &Value,
    token: &str,
    server_fields: &[(&str, Value)],
) -> Value {
    let mut answer = Map::new();
    answer.insert("access_token".into(), token.into());
    if expires_in != "omit" {
        answer.insert("expires_in".into(), expires_in.clone());
    }
    if let Some(token_type) = &settings.token_type {
        answer.insert("token_type".into(), token_type.as_str().into());
    }
    answer.extend(server_fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    answer.extend(settings.token_fields.clone());
    Value::Object(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner<'_> = Owner { realm: None, client: "mdb_sa_id_0123456789abcdef01234567" };

    #[test]
    fn token_texts_have_the_length_asked_for_and_are_unique() {
        let mut tokens = Tokens::default();
        for length in [32, 33, 100, 700, 20_000] {
            let (first, second) = (tokens.issue(OWNER, length, 0, 1), tokens.issue(OWNER, length, 0, 1));
            let (first, second) = (tokens.text(first), tokens.text(second));
            assert_eq!((first.len(), second.len()), (length, length));
            assert_ne!(first, second);
            assert!(first.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{first}");
        }
        assert_eq!(token_text(OWNER, 1, 700, 0).split('.').count(), 3);
    }

    #[test]
    fn a_token_lives_until_its_end_or_its_revocation() {
        let mut tokens = Tokens::default();
        let first = tokens.issue(OWNER, 64, 1_000, 500);
        let text = tokens.text(first).to_owned();
        tokens.issue(OWNER, 64, 1_000, 5_000);
        assert_eq!((tokens.living(1_499), tokens.living(1_500)), (2, 1));
        assert!(tokens.revoke(&text, 1_499));
        assert!(!tokens.revoke(&text, 1_499));
        assert_eq!((tokens.living(1_499), tokens.most_living()), (1, 2));
    }
}
