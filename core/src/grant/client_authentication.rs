//! How the client proves itself at the token endpoint (RFC 6749 section 2.3.1).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::settings::{AuthEncoding, AuthMethod, GrantSettings};
use crate::config::url::form_encode;
use crate::grant::TokenRequest;
use crate::secret::Secret;

/// Adds the client's authentication to a request whose form is `form`.
pub(crate) fn add_to(settings: &GrantSettings, mut form: String) -> TokenRequest {
    let (client_id, client_secret) = (&settings.credential.client_id, settings.credential.client_secret.reveal());
    match settings.auth_method {
        AuthMethod::ClientSecretBasic => {
            let mut pair = encode(client_id, settings.auth_encoding);
            pair.push(':');
            pair.push_str(&encode(client_secret, settings.auth_encoding));
            let pair = Secret::new(pair);
            let authorization = Secret::new(format!("Basic {}", STANDARD.encode(pair.reveal())));
            TokenRequest { authorization: Some(authorization), body: Secret::new(form) }
        }
        AuthMethod::ClientSecretPost => {
            for (name, value) in [("client_id", client_id.as_str()), ("client_secret", client_secret)] {
                form.push('&');
                form.push_str(name);
                form.push('=');
                form_encode(value, &mut form);
            }
            TokenRequest { authorization: None, body: Secret::new(form) }
        }
    }
}

/// The secret in every form a request can hold it in.
pub(crate) fn forms_of_secret(settings: &GrantSettings) -> Vec<Secret> {
    let secret = settings.credential.client_secret.reveal();
    let encoded = encode(secret, AuthEncoding::Form);
    let basic = add_to(settings, String::new()).authorization;
    let basic = basic.iter().filter_map(|header| header.reveal().strip_prefix("Basic "));
    basic.map(str::to_owned).chain([encoded, secret.to_owned()]).map(Secret::new).collect()
}

/// Whether form and raw encoding send different bytes for this credential.
pub(crate) fn encodings_differ(settings: &GrantSettings) -> bool {
    let credential = &settings.credential;
    settings.auth_method == AuthMethod::ClientSecretBasic
        && [credential.client_id.as_str(), credential.client_secret.reveal()]
            .into_iter()
            .any(|text| encode(text, AuthEncoding::Form) != text)
}

fn encode(text: &str, encoding: AuthEncoding) -> String {
    match encoding {
        AuthEncoding::Raw => text.into(),
        AuthEncoding::Form => {
            let mut encoded = String::with_capacity(text.len());
            form_encode(text, &mut encoded);
            encoded
        }
    }
}
