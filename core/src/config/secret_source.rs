//! Where a client secret comes from, and may come from again: a value, a file, a command, a function of the host's.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use crate::config::environment::Environment;
use crate::config::secret_command::SecretCommand;
use crate::config::{Config, file};
use crate::error::{Error, ErrorCode, Result, Stage};
use crate::secret::Secret;

/// A secret file larger than this is no secret, nor is such an output.
pub(crate) const LARGEST_SECRET: usize = 64 * 1024;
/// As much of a host's own words as an error holds.
const LONGEST_REASON: usize = 300;

/// A function that returns a client secret, or says why it has none.
#[derive(Clone)]
pub struct SecretCallback(Arc<dyn Fn() -> std::result::Result<String, String> + Send + Sync>);

impl SecretCallback {
    /// The function's error becomes part of an error's message, so it should hold no secret.
    pub fn new<E: fmt::Display>(
        function: impl Fn() -> std::result::Result<String, E> + Send + Sync + 'static,
    ) -> SecretCallback {
        SecretCallback(Arc::new(move || function().map_err(|error| error.to_string())))
    }
}

impl fmt::Debug for SecretCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[function]")
    }
}

/// Where the client secret comes from.
#[derive(Clone, Debug)]
pub(crate) enum SecretSource {
    /// Given, or read from the environment: never another.
    Value(Secret),
    File(SecretFile),
    Command(Arc<SecretCommand>),
    Callback(SecretCallback),
}

impl SecretSource {
    /// The one source that was given; `None` if none was.
    pub(crate) fn from_config(config: &Config, environment: &Environment) -> Result<Option<SecretSource>> {
        let value = config.client_secret.clone().map(SecretSource::Value);
        let file = config.client_secret_file.clone().map(|path| SecretSource::File(SecretFile { path }));
        let command = match &config.client_secret_command {
            Some(words) => Some(SecretSource::Command(Arc::new(SecretCommand::new(words, environment.variables())?))),
            None => None,
        };
        let callback = config.client_secret_callback.clone().map(SecretSource::Callback);
        let mut given = [value, file, command, callback].into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(one), Some(other)) => {
                let what = format!("{} and {} are both given", one.option(), other.option());
                Err(Error::configuration(what)
                    .with_next_step("Leave one of them out; a second secret is client_secret_2."))
            }
            (source, _) => Ok(source),
        }
    }

    pub(crate) fn option(&self) -> &'static str {
        match self {
            SecretSource::Value(_) => "client_secret",
            SecretSource::File(_) => "client_secret_file",
            SecretSource::Command(_) => "client_secret_command",
            SecretSource::Callback(_) => "client_secret_callback",
        }
    }

    /// Whether it takes time to ask it, so that it is asked when a token is needed, and not by everybody.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(self, SecretSource::Command(_) | SecretSource::Callback(_))
    }

    /// Asks a slow source. Blocks: a command for its time limit at most, a function for as long as it likes.
    pub(crate) fn ask(&self) -> Result<Secret> {
        match self {
            SecretSource::Value(secret) => Ok(secret.clone()),
            SecretSource::File(file) => file.read().map(|(_, secret)| secret),
            SecretSource::Command(command) => command.run().map_err(|why| {
                let what = format!("client_secret_command {:?} gave no secret: {why}", command.program());
                Error::new(ErrorCode::CredentialUnavailable, Stage::Waiting, what).with_next_step(
                    "Run the command by hand, without a shell: it has to print the secret and nothing else, and exit \
                     with 0. Its error output is not kept.",
                )
            }),
            SecretSource::Callback(callback) => {
                let answer = (callback.0)().map_err(|why| why.chars().take(LONGEST_REASON).collect::<String>());
                match answer {
                    Ok(secret) if !secret.is_empty() => Ok(Secret::new(secret)),
                    Ok(_) => Err("it returned an empty text".into()),
                    Err(why) => Err(why),
                }
                .map_err(|why| {
                    let what = format!("client_secret_callback gave no secret: {why}");
                    Error::new(ErrorCode::CredentialUnavailable, Stage::Waiting, what)
                        .with_next_step("Correct the function, or what it asks.")
                })
            }
        }
    }
}

/// Without the line break that an editor or a command leaves at the end.
pub(crate) fn one_line(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// A file that holds a secret.
#[derive(Clone, Debug)]
pub(crate) struct SecretFile {
    path: String,
}

/// What changes when a file is written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStamp([i128; 4]);

impl SecretFile {
    /// `None` if it cannot be told.
    pub(crate) fn stamp(&self) -> Option<FileStamp> {
        fs::metadata(&self.path).ok().map(|metadata| stamp_of(&metadata))
    }

    /// The secret, and the stamp the file had before it was read.
    pub(crate) fn read(&self) -> Result<(Option<FileStamp>, Secret)> {
        const OPTION: &str = "client_secret_file";
        let stamp = self.stamp();
        let bytes = file::read(OPTION, &self.path)?;
        let unreadable = |why: &str| file::unreadable(OPTION, &self.path, why);
        let text = std::str::from_utf8(&bytes).map_err(|error| unreadable(&error.to_string()))?;
        match one_line(text) {
            "" => Err(unreadable("it is empty")),
            secret => Ok((stamp, Secret::new(secret.into()))),
        }
    }
}

/// A file replaced by another of the same size within one tick of the clock has another number.
fn stamp_of(metadata: &fs::Metadata) -> FileStamp {
    let time = |seconds: i64, nanoseconds: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    FileStamp([
        i128::from(metadata.ino()),
        i128::from(metadata.len()),
        time(metadata.mtime(), metadata.mtime_nsec()),
        time(metadata.ctime(), metadata.ctime_nsec()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_line_break_at_the_end_is_left_out() {
        for (text, secret) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), (" a \n", " a "), ("\n", "")]
        {
            assert_eq!(one_line(text), secret, "{text:?}");
        }
    }

    #[test]
    fn p07_debug_of_a_function_and_its_source_shows_nothing() {
        let callback = SecretCallback::new(|| Ok::<_, String>("hidden".into()));
        assert_eq!(format!("{:?}", SecretSource::Callback(callback)), "Callback([function])");
    }

    #[test]
    fn p13_a_function_that_gives_nothing_is_named_and_its_words_are_bounded() {
        let asked = |answer: std::result::Result<&'static str, String>| {
            let callback = SecretCallback::new(move || answer.clone().map(String::from));
            SecretSource::Callback(callback).ask()
        };
        assert_eq!(asked(Ok("a secret")).expect("given").reveal(), "a secret");
        for answer in [Ok(""), Err("the vault is sealed".into()), Err("x".repeat(10_000))] {
            let error = asked(answer).expect_err("none");
            assert_eq!(error.code(), ErrorCode::CredentialUnavailable);
            assert!(error.what().starts_with("client_secret_callback") && error.what().len() < 400, "{error}");
        }
    }
}
