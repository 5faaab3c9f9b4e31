//! Who asks at a token, revoke or introspection endpoint.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::assertion::{Unchecked, Used};
use crate::client_certificate;
use crate::form;
use crate::http::Request;
use crate::settings::{AuthMethod, Client, Encoding};

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal<'a> {
    NoCredentials,
    /// An Authorization header that is not Basic, not base64, or without a colon.
    Unreadable,
    UnknownClient,
    /// Of this client.
    WrongSecret(&'a Client),
    /// The assertion, or the method, is not the client's; the text says why.
    WrongAssertion(&'static str),
    WrongCertificate(&'static str),
}

/// `client_secret_basic`.
pub(crate) fn by_basic<'a>(clients: &'a [Client], request: &Request) -> Result<&'a Client, Refusal<'a>> {
    let header = request.header("authorization").ok_or(Refusal::NoCredentials)?;
    let (scheme, credentials) = header.split_once(' ').ok_or(Refusal::Unreadable)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Refusal::Unreadable);
    }
    let decoded = STANDARD.decode(credentials.trim()).map_err(|_| Refusal::Unreadable)?;
    let colon = decoded.iter().position(|byte| *byte == b':').ok_or(Refusal::Unreadable)?;
    let (id, secret) = (&decoded[..colon], &decoded[colon + 1..]);
    let client = clients
        .iter()
        .find(|client| read(client.encoding, id).is_some_and(|id| id == client.id.as_bytes()))
        .ok_or(Refusal::UnknownClient)?;
    check_secret(client, read(client.encoding, secret).as_deref())
}

/// `client_secret_post`.
pub(crate) fn by_post<'a>(clients: &'a [Client], request: &Request) -> Result<&'a Client, Refusal<'a>> {
    let id = request.form_value("client_id").ok_or(Refusal::NoCredentials)?;
    let client = clients.iter().find(|client| client.id == id).ok_or(Refusal::UnknownClient)?;
    let secret = request.form_value("client_secret");
    check_secret(client, secret.as_deref().map(str::as_bytes))
}

/// `client_secret_jwt` and `private_key_jwt`; `audiences` are the server's names, `now` in seconds since 1970.
pub(crate) fn by_assertion<'a>(
    clients: &'a [Client],
    request: &Request,
    audiences: &[String],
    now: i64,
    used: &mut Used,
) -> Result<&'a Client, Refusal<'a>> {
    let wrong = Refusal::WrongAssertion;
    let value = |name: &str| request.form_value(name);
    if value("client_assertion_type").as_deref() != Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer") {
        return Err(wrong("Parameter client_assertion_type has a wrong value"));
    }
    let text = value("client_assertion").ok_or(Refusal::NoCredentials)?;
    let assertion = Unchecked::read(&text).ok_or(wrong("The assertion is no signed JWT"))?;
    let subject = assertion.subject().ok_or(wrong("The assertion has no sub"))?;
    if value("client_id").is_some_and(|id| id != subject) || value("client_secret").is_some() {
        return Err(wrong("The assertion is not the only and the same proof"));
    }
    let client = clients.iter().find(|client| client.id == subject).ok_or(Refusal::UnknownClient)?;
    assertion.check(client, audiences, now, used).map(|()| client).map_err(wrong)
}

/// `tls_client_auth` and `self_signed_tls_client_auth`: `shown` is the certificate that TLS has verified. None: the
/// client that is named does not authenticate so.
pub(crate) fn by_certificate<'a>(
    clients: &'a [Client],
    request: &Request,
    shown: Option<&[u8]>,
) -> Option<Result<&'a Client, Refusal<'a>>> {
    let id = request.form_value("client_id")?;
    let client = clients.iter().find(|client| client.id == id)?;
    if !matches!(client.auth_method, Some(AuthMethod::TlsClientAuth | AuthMethod::SelfSignedTlsClientAuth)) {
        return None;
    }
    Some(match shown {
        Some(shown) if client_certificate::is_of(client, shown) => Ok(client),
        Some(_) => Err(Refusal::WrongCertificate("The certificate is not the client's")),
        None => Err(Refusal::WrongCertificate("No certificate was shown")),
    })
}

fn check_secret<'a>(client: &'a Client, given: Option<&[u8]>) -> Result<&'a Client, Refusal<'a>> {
    let given = given.ok_or(Refusal::WrongSecret(client))?;
    let right = client.secrets().any(|secret| secret.as_bytes() == given);
    if right && client.auth_method.is_none() { Ok(client) } else { Err(Refusal::WrongSecret(client)) }
}

fn read(encoding: Encoding, text: &[u8]) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Raw => Some(text.to_vec()),
        Encoding::Form => form::decode(text),
        Encoding::Strict => form::is_encoded(text).then(|| form::decode(text))?,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "+ % : & space ü";
    const ENCODED: &str = "%2B+%25+%3A+%26+space+%C3%BC";

    fn basic(encoding: Encoding, credentials: &str) -> Result<(), &'static str> {
        let clients: [Client; 1] = [serde_json::from_value(serde_json::json!({
            "id": "mdb_sa_1",
            "secret": SECRET,
            "secret_2": "two",
            "encoding": format!("{encoding:?}").to_lowercase(),
        }))
        .expect("settings of a client")];
        let request = Request {
            headers: vec![("authorization".into(), format!("Basic {}", STANDARD.encode(credentials)))],
            ..Request::default()
        };
        by_basic(&clients, &request).map(|_| ()).map_err(|refusal| match refusal {
            Refusal::NoCredentials => "no credentials",
            Refusal::Unreadable => "unreadable",
            Refusal::UnknownClient => "unknown client",
            Refusal::WrongSecret(_) => "wrong secret",
            Refusal::WrongAssertion(why) | Refusal::WrongCertificate(why) => why,
        })
    }

    #[test]
    fn each_encoding_takes_its_own_form_and_refuses_the_other() {
        let (raw, encoded) = (format!("mdb_sa_1:{SECRET}"), format!("mdb_sa_1:{ENCODED}"));
        assert_eq!(basic(Encoding::Form, &encoded), Ok(()));
        assert_eq!(basic(Encoding::Form, &raw), Err("wrong secret"));
        assert_eq!(basic(Encoding::Strict, &encoded), Ok(()));
        assert_eq!(basic(Encoding::Strict, &raw), Err("wrong secret"));
        assert_eq!(basic(Encoding::Raw, &raw), Ok(()));
        assert_eq!(basic(Encoding::Raw, &encoded), Err("wrong secret"));
    }

    #[test]
    fn an_underscore_written_as_percent_5f_is_another_id_to_raw_alone() {
        assert_eq!(basic(Encoding::Raw, "mdb%5Fsa%5F1:two"), Err("unknown client"));
        assert_eq!(basic(Encoding::Form, "mdb%5Fsa%5F1:two"), Ok(()));
        assert_eq!(basic(Encoding::Strict, "mdb%5Fsa%5F1:two"), Ok(()));
    }

    #[test]
    fn both_secrets_serve_and_what_is_no_credential_is_told_apart() {
        assert_eq!(basic(Encoding::Raw, "mdb_sa_1:two"), Ok(()));
        assert_eq!(basic(Encoding::Raw, "mdb_sa_1:three"), Err("wrong secret"));
        assert_eq!(basic(Encoding::Raw, "nobody:two"), Err("unknown client"));
        assert_eq!(basic(Encoding::Raw, "no colon"), Err("unreadable"));
        assert_eq!(by_basic(&[], &Request::default()), Err(Refusal::NoCredentials));
    }
}
