//! What must hold of identities whatever the options are, over option sets drawn at random.

use std::time::Duration;

use crate::ClientBuilder;
use crate::config::environment::Environment;
use crate::config::identity::Identity;
use crate::config::preset::Preset;
use crate::config::settings::TokenSource;
use crate::simulation::{Random, for_seeds};

/// Texts that differ little, or only in where one ends and the next begins.
const TEXTS: [&str; 8] = ["a", "b", "ab", "a b", "b a", "scope", "scopea", "a&scope=b"];
/// Of parameters that have no option of their own.
const NAMES: [&str; 4] = ["a", "b", "ab", "a b"];
const SECRETS: [&str; 2] = [
    "a secret that is long enough for HS512, which is 64 bytes of them: 01",
    "another of that length, for HS512 wants 64 bytes of entropy: 0123",
];
const METHODS: [&str; 3] = ["client_secret_basic", "client_secret_post", "client_secret_jwt"];
const ALGORITHMS: [&str; 3] = ["HS256", "HS384", "HS512"];
const URLS: [&str; 4] =
    ["https://a.example/token", "https://a.example/token2", "https://b.example/token", "https://a.example:444/token"];

/// What could change the token, as it is after all defaults.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    client_id: &'static str,
    secret: &'static str,
    token_url: &'static str,
    method: &'static str,
    encoding: &'static str,
    algorithm: &'static str,
    key_id: Option<&'static str>,
    audience_of_assertion: Option<&'static str>,
    scope: Option<&'static str>,
    audience: Option<&'static str>,
    resource: Vec<&'static str>,
    extra: Vec<(&'static str, &'static str)>,
}

fn maybe(random: &mut Random) -> Option<&'static str> {
    random.percent(60).then(|| random.pick(&TEXTS))
}

fn some(random: &mut Random) -> Vec<&'static str> {
    (0..random.below(3)).map(|_| random.pick(&TEXTS)).collect()
}

impl Asked {
    fn draw(random: &mut Random) -> Asked {
        let mut asked = Asked {
            client_id: "a",
            secret: SECRETS[0],
            token_url: URLS[0],
            method: METHODS[0],
            encoding: "form",
            algorithm: ALGORITHMS[0],
            key_id: None,
            audience_of_assertion: None,
            scope: None,
            audience: None,
            resource: Vec::new(),
            extra: Vec::new(),
        };
        for field in 0..FIELDS {
            asked.draw_again(field, random);
        }
        asked.without_what_the_method_ignores()
    }

    fn draw_again(&mut self, field: u64, random: &mut Random) {
        match field {
            0 => self.client_id = random.pick(&TEXTS),
            1 => self.secret = random.pick(&SECRETS),
            2 => self.token_url = random.pick(&URLS),
            3 => self.method = random.pick(&METHODS),
            4 => self.encoding = random.pick(&["form", "raw"]),
            5 => self.algorithm = random.pick(&ALGORITHMS),
            6 => self.key_id = maybe(random),
            7 => self.audience_of_assertion = maybe(random),
            8 => self.scope = maybe(random),
            9 => self.audience = maybe(random),
            10 => self.resource = some(random),
            _ => self.extra = (0..random.below(3)).map(|_| (random.pick(&NAMES), random.pick(&TEXTS))).collect(),
        }
    }

    /// An option of another method is refused, so that none of it is left.
    fn without_what_the_method_ignores(mut self) -> Asked {
        if self.method != "client_secret_basic" {
            self.encoding = "form";
        }
        if self.method != "client_secret_jwt" {
            (self.algorithm, self.key_id, self.audience_of_assertion) = (ALGORITHMS[0], None, None);
        }
        self
    }

    /// As options: in any order, defaults given or not, with others that cannot change the token.
    fn identity(&self, random: &mut Random) -> Identity {
        let mut builder = ClientBuilder::new();
        let mut fields: Vec<u64> = (0..FIELDS).collect();
        while !fields.is_empty() {
            let field = fields.swap_remove(random.below(fields.len() as u64) as usize);
            builder = self.give(field, builder, random);
            builder = match random.below(8) {
                0 => builder.timeout(Duration::from_secs(1 + random.below(9))),
                1 => builder.base_url("https://c.example"),
                2 => builder.mint_budget(1 + random.below(9)),
                3 => builder.headers([("x-a", random.pick(&TEXTS))]),
                4 => builder.cache(random.pick(&["memory", "file:/nowhere", "redis://localhost"])),
                5 => builder.revocation_url("https://a.example/revoke"),
                _ => builder,
            };
        }
        let environment = Environment::from_pairs([("", "")]);
        let settings = Preset::Plain.resolve(builder.config, &environment).expect("valid");
        match &settings.tokens {
            TokenSource::Grant(grant) => Identity::of(grant),
            TokenSource::Ready(_) => panic!("no ready token was given"),
        }
    }

    fn give(&self, field: u64, builder: ClientBuilder, random: &mut Random) -> ClientBuilder {
        let by_default = random.percent(50);
        match field {
            0 => builder.client_id(self.client_id),
            1 => builder.client_secret(self.secret),
            2 => builder.token_url(self.token_url),
            3 if self.method == METHODS[0] && by_default => builder,
            3 => builder.auth_method(self.method),
            4 if self.method != METHODS[0] || (self.encoding == "form" && by_default) => builder,
            4 => builder.auth_encoding(self.encoding),
            5 if self.method != "client_secret_jwt" || (self.algorithm == ALGORITHMS[0] && by_default) => builder,
            5 => builder.signing_alg(self.algorithm),
            6 => self.key_id.into_iter().fold(builder, |builder, key_id| builder.key_id(key_id)),
            7 => self.audience_of_assertion.into_iter().fold(builder, |builder, to| builder.assertion_audience(to)),
            8 => self.scope.into_iter().fold(builder, |builder, scope| builder.scope(scope)),
            9 => self.audience.into_iter().fold(builder, |builder, audience| builder.audience(audience)),
            10 if self.resource.is_empty() => builder,
            10 => builder.resource(self.resource.clone()),
            _ if self.extra.is_empty() => builder,
            _ => builder.extra_params(self.extra.clone()),
        }
    }
}

const FIELDS: u64 = 12;

#[test]
fn p14_identities_are_the_same_exactly_where_the_token_would_be() {
    let (mut same, mut different) = (0, 0);
    let cases = for_seeds(3000, |seed| {
        let random = &mut Random::new(seed);
        let one = Asked::draw(random);
        let mut other = one.clone();
        if random.percent(80) {
            other.draw_again(random.below(FIELDS), random);
        }
        let other = other.without_what_the_method_ignores();
        let identities = (one.identity(random), other.identity(random));
        assert_eq!(identities.0 == identities.1, one == other, "{one:?}\n{other:?}");
        *if one == other { &mut same } else { &mut different } += 1;
    });
    assert!(cases < 100 || (same > cases / 10 && different > cases / 10), "{same} and {different} of {cases}");
}
