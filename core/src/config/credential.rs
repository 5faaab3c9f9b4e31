//! The client's id and secret, and where the secret comes from.

use std::fs;

use crate::config::Config;
use crate::error::{Error, ErrorCode, Result, Stage};
use crate::secret::Secret;

/// What the client proves itself with.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    pub(crate) client_id: String,
    pub(crate) client_secret: Secret,
}

const ATLAS_ID: &str = "mdb_sa_id_";
const ATLAS_SECRET: &str = "mdb_sa_sk_";
/// A secret file larger than this is no secret.
const LARGEST_SECRET_FILE: u64 = 64 * 1024;

impl Credential {
    pub(crate) fn from_config(config: &Config) -> Result<Credential> {
        let client_id = config.client_id.clone().unwrap_or_default();
        if client_id.is_empty() {
            return Err(missing("client_id", "CLIENT_ID"));
        }
        if client_id.chars().any(char::is_control) {
            return Err(Error::configuration("client_id has a line break or another control character")
                .with_next_step("Remove it; often it comes from a file's or a shell's last line."));
        }
        let client_secret = match (&config.client_secret, &config.client_secret_file) {
            (Some(secret), _) => secret.clone(),
            (None, Some(path)) => read_file(path)?,
            (None, None) => return Err(missing("client_secret", "CLIENT_SECRET")),
        };
        if client_secret.reveal().is_empty() {
            return Err(missing("client_secret", "CLIENT_SECRET"));
        }
        if client_id.starts_with(ATLAS_SECRET) || client_secret.reveal().starts_with(ATLAS_ID) {
            return Err(Error::configuration("client_id and client_secret are swapped")
                .with_next_step("An Atlas id begins with mdb_sa_id_, a secret with mdb_sa_sk_."));
        }
        if client_secret.reveal().contains(['•', '…']) || client_secret.reveal().ends_with("****") {
            return Err(Error::configuration("client_secret is the masked form that a web page shows")
                .with_next_step("Use the secret itself; if it is lost, make a new one."));
        }
        if client_secret.reveal().chars().any(char::is_control) {
            return Err(Error::configuration("client_secret has a line break or another control character")
                .with_next_step("Remove it; often it comes from a file's or a shell's last line."));
        }
        Ok(Credential { client_id, client_secret })
    }
}

fn missing(option: &str, variable: &str) -> Error {
    Error::configuration(format!("{option} is missing or empty"))
        .with_next_step(format!("Give {option}, or set SVCTOKEN_{variable} (for Atlas: MONGODB_ATLAS_{variable})."))
}

fn read_file(path: &str) -> Result<Secret> {
    let unreadable = |why: String| {
        Error::new(
            ErrorCode::CredentialUnavailable,
            Stage::Configuration,
            format!("client_secret_file {path:?} cannot be read: {why}"),
        )
    };
    let metadata = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    if !metadata.is_file() {
        return Err(unreadable("it is not a file".into()));
    }
    if metadata.len() > LARGEST_SECRET_FILE {
        return Err(unreadable("it is larger than 64 KiB".into()));
    }
    let text = fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let one_line = text.strip_suffix('\n').unwrap_or(&text);
    let secret = one_line.strip_suffix('\r').unwrap_or(one_line);
    if secret.is_empty() {
        return Err(unreadable("it is empty".into()));
    }
    Ok(Secret::new(secret.into()))
}
