//! How the client proves itself at the token endpoint (RFC 6749 section 2.3.1, RFC 7523 section 2.2, RFC
//! 8705 section 2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::credential::{AuthEncoding, Credential, Proof};
use crate::config::settings::GrantSettings;
use crate::config::url::form_encode;
use crate::error::{Error, ErrorCode, Result, Stage};
use crate::grant::TokenRequest;
use crate::grant::assertion::{self, Stamp};
use crate::secret::Secret;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Adds the client's authentication to a request whose form is `form`.
pub(crate) fn add_to(settings: &GrantSettings, form: String, stamp: &Stamp) -> Result<TokenRequest> {
    let Credential { client_id, proof, .. } = &settings.credential;
    let assertion = match proof {
        Proof::ClientSecretBasic { secret, encoding } => {
            let authorization = Some(basic(client_id, secret, *encoding));
            return Ok(TokenRequest { authorization, body: Secret::new(form), assertion: None });
        }
        Proof::ClientSecretPost { secret } => {
            let body = with_parameters(form, &[("client_id", client_id), ("client_secret", secret.reveal())]);
            return Ok(TokenRequest { authorization: None, body, assertion: None });
        }
        Proof::TlsClientAuth | Proof::SelfSignedTlsClientAuth => {
            let body = with_parameters(form, &[("client_id", client_id)]);
            return Ok(TokenRequest { authorization: None, body, assertion: None });
        }
        Proof::ClientSecretJwt { secret, assertion } => assertion::make(client_id, assertion, stamp, |message| {
            assertion.algorithm.sign_with_secret(secret.reveal().as_bytes(), message)
        }),
        Proof::PrivateKeyJwt { key, assertion } => {
            assertion::make(client_id, assertion, stamp, |message| key.sign(assertion.algorithm, message))
        }
    };
    let assertion = assertion.ok_or_else(no_signature)?;
    let body = with_parameters(
        form,
        &[
            // Not needed by RFC 7523, and wanted by some servers.
            ("client_id", client_id),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion.reveal()),
        ],
    );
    Ok(TokenRequest { authorization: None, body, assertion: Some(assertion) })
}

/// Keys are tried when they are read; what can fail later is the machine.
fn no_signature() -> Error {
    Error::new(
        ErrorCode::Internal,
        Stage::Sending,
        "the assertion could not be signed: the machine gave no random bytes",
    )
}

fn basic(client_id: &str, secret: &Secret, encoding: AuthEncoding) -> Secret {
    let mut pair = encode(client_id, encoding);
    pair.push(':');
    pair.push_str(&encode(secret.reveal(), encoding));
    let pair = Secret::new(pair);
    Secret::new(format!("Basic {}", STANDARD.encode(pair.reveal())))
}

fn with_parameters(mut form: String, parameters: &[(&str, &str)]) -> Secret {
    for (name, value) in parameters {
        form.push('&');
        form.push_str(name);
        form.push('=');
        form_encode(value, &mut form);
    }
    Secret::new(form)
}

/// What the client proves itself with, in every form in which a request holds it or a server may repeat it.
pub(crate) fn forms_of_proof(settings: &GrantSettings, request: &TokenRequest) -> Vec<Secret> {
    let mut forms = Vec::new();
    if let Some(basic) = request.authorization.as_ref().and_then(|header| header.reveal().strip_prefix("Basic ")) {
        forms.push(basic.to_owned());
    }
    if let Some(secret) = settings.credential.proof.secret() {
        forms.extend([encode(secret.reveal(), AuthEncoding::Form), secret.reveal().to_owned()]);
    }
    if let Some(assertion) = &request.assertion {
        forms.push(assertion.reveal().to_owned());
        // The claims and the signature.
        forms.extend(assertion.reveal().split('.').skip(1).map(str::to_owned));
    }
    forms.into_iter().map(Secret::new).collect()
}

/// Whether form and raw encoding send different bytes for this credential; if so, which of them is in use.
pub(crate) fn disputed_encoding(settings: &GrantSettings) -> Option<AuthEncoding> {
    let Credential { client_id, proof: Proof::ClientSecretBasic { secret, encoding }, .. } = &settings.credential
    else {
        return None;
    };
    let differs = |text: &str| encode(text, AuthEncoding::Form) != text;
    (differs(client_id) || differs(secret.reveal())).then_some(*encoding)
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
