//! Where a server's endpoints are, as it says itself: asked once, remembered in this process for all clients of that
//! issuer, and kept in the record for other processes.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde_json::Value;

use crate::clock::{self, BootTime};
use crate::config::credential::Proof;
use crate::config::issuer::Issuer;
use crate::config::settings::{GrantSettings, Server};
use crate::config::url::{Scheme, Url};
use crate::error::{Error, ErrorCode, Stage};
use crate::fork::{Owned, PerProcess};
use crate::grant::discovery::{Found, Metadata, locations, nowhere, read_answer, read_document, redirected_too_often};
use crate::grant::{Failure, FailureClass};
use crate::http::HttpClient;
use crate::registry::Registry;
use crate::token::Minting;
use crate::token::exchange::{as_read, failure_of_network, get};
use crate::token::record::{METADATA_KEPT_FOR, Noted, Record};
use crate::wait::{Event, Wait};

/// While metadata cannot be read again, the old is used for so long between two tries.
const NOT_AGAIN_WITHIN: Duration = Duration::from_secs(60);
const MOST_REDIRECTS: u32 = 3;

/// How a client knows where its server's endpoints are.
#[derive(Clone)]
pub(crate) enum Directory {
    Given(Url),
    Discovered(Arc<Discovery>),
}

/// What is known of one issuer in this process.
pub(crate) struct Discovery {
    issuer: Issuer,
    /// A forked child goes on with its parent's.
    known: ArcSwapOption<Known>,
    current: PerProcess<Mutex<Option<Arc<Reading>>>>,
}

/// Metadata that was read.
pub(crate) struct Known {
    metadata: Metadata,
    noted: Noted,
    /// From then on it is to be read again; until that succeeds it is better than nothing.
    good_until: BootTime,
}

impl Known {
    /// When it was read.
    pub(crate) fn read(&self) -> BootTime {
        self.noted.read
    }
}

/// The settings with what the server says of itself filled in.
pub(crate) struct Resolved {
    pub(crate) settings: Arc<GrantSettings>,
    pub(crate) token_url: Url,
    /// What it was filled in from.
    pub(crate) known: Option<Arc<Known>>,
}

impl Resolved {
    /// The error of a server that names no such endpoint, or none that can be used.
    pub(crate) fn has_no(&self, endpoint: &str, option: &str) -> Error {
        let what = format!("the metadata of the server at {} names no usable {endpoint}", self.token_url.origin);
        Error::configuration(what).with_next_step(format!("Give {option}, if the server has one."))
    }

    /// For the record.
    pub(crate) fn noted(&self) -> Option<&Noted> {
        self.known.as_ref().map(|known| &known.noted)
    }
}

/// By issuer, and by whom else than the platform's authorities its answers are believed.
static DISCOVERIES: Registry<(Issuer, Option<String>), Discovery> = Registry::new();

impl Directory {
    pub(crate) fn of(settings: &GrantSettings, ca_file: Option<&str>) -> Directory {
        match &settings.server {
            Server::TokenUrl(url) => Directory::Given(url.clone()),
            Server::Issuer(issuer) => {
                let make = || Discovery::new(issuer.clone());
                let key = (issuer.clone(), ca_file.map(Into::into));
                let discovery = DISCOVERIES.get(key, make, |discovery| discovery.known.load().is_some());
                Directory::Discovered(discovery)
            }
        }
    }

    /// Whether nothing has to be asked, because it is known here or to those who wrote the record.
    pub(crate) fn is_known_with(&self, record: &Record) -> bool {
        match self {
            Directory::Given(_) => true,
            Directory::Discovered(discovery) => discovery.is_known_with(record),
        }
    }

    pub(crate) fn is_discovered(&self) -> bool {
        matches!(self, Directory::Discovered(_))
    }

    /// The token endpoint, where it is known.
    pub(crate) fn token_url(&self) -> Option<String> {
        match self {
            Directory::Given(url) => Some(url.to_string()),
            Directory::Discovered(discovery) => {
                let known = discovery.known.load();
                known.as_ref().map(|known| known.metadata.endpoints(false).token.to_string())
            }
        }
    }

    /// Forgets what was read.
    pub(crate) fn forget(&self) {
        if let Directory::Discovered(discovery) = self {
            discovery.known.store(None);
        }
    }

    /// The server may have moved: what is known of it is to be read again.
    pub(crate) fn distrust(&self, known: &Arc<Known>) {
        if let Directory::Discovered(discovery) = self {
            discovery.use_until(known, clock::now());
        }
    }
}

impl Minting {
    /// Where to ask and how, without asking for that, as far as it is known: the lock of the record may be held.
    pub(crate) fn resolved(&self) -> Option<Result<Resolved, Failure>> {
        match &self.directory {
            Directory::Given(url) => Some(Ok(self.as_given(url))),
            Directory::Discovered(discovery) => discovery.known.load_full().map(|known| self.with(known)),
        }
    }

    /// Where to ask and how; the server tells where it was not given and is not known.
    pub(crate) fn resolve(&self, wait: &Wait) -> Result<Resolved, Failure> {
        let discovery = match &self.directory {
            Directory::Given(url) => return Ok(self.as_given(url)),
            Directory::Discovered(discovery) => discovery,
        };
        if let Some(known) = discovery.good() {
            return self.with(known);
        }
        if let Some(shared) = &self.shared
            && let Ok(record) = shared.read(wait)
            && discovery.is_known_with(&record)
            && let Some(known) = discovery.good()
        {
            return self.with(known);
        }
        match discovery.read(self, wait) {
            Ok(known) => {
                if let Some(shared) = &self.shared {
                    shared.discovered(&known.noted);
                }
                self.with(known)
            }
            Err(failure) => match discovery.known.load_full() {
                Some(old) => {
                    discovery.use_until(&old, clock::now() + NOT_AGAIN_WITHIN);
                    self.log.metadata_kept(&discovery.issuer.text, &failure.error);
                    self.with(old)
                }
                None => Err(failure),
            },
        }
    }

    fn as_given(&self, url: &Url) -> Resolved {
        Resolved { settings: self.settings.clone(), token_url: url.clone(), known: None }
    }

    fn with(&self, known: Arc<Known>) -> Result<Resolved, Failure> {
        let mut settings = GrantSettings::clone(&self.settings);
        let credential = &mut settings.credential;
        let endpoints = known.metadata.endpoints(credential.certificate.is_some()).clone();
        if let Proof::ClientSecretBasic { secret, .. } = &credential.proof
            && settings.auth_method_by_metadata
            && known.metadata.takes_post_alone
        {
            credential.proof = Proof::ClientSecretPost { secret: secret.clone() };
        }
        if credential.proof.is_certificate() && endpoints.token.origin.scheme != Scheme::Https {
            let method = credential.proof.method();
            let what =
                format!("the token_endpoint {} is plain http, and auth_method {method} wants TLS", endpoints.token);
            return Err(Failure { class: FailureClass::Wrong, error: Error::configuration(what) });
        }
        settings.server = Server::TokenUrl(endpoints.token.clone());
        settings.revocation_url = settings.revocation_url.or(endpoints.revocation);
        settings.introspection_url = settings.introspection_url.or(endpoints.introspection);
        Ok(Resolved { settings: Arc::new(settings), token_url: endpoints.token, known: Some(known) })
    }
}

impl Discovery {
    fn new(issuer: Issuer) -> Discovery {
        Discovery { issuer, known: ArcSwapOption::empty(), current: PerProcess::new() }
    }

    /// The metadata, if it need not be read again.
    fn good(&self) -> Option<Arc<Known>> {
        self.known.load_full().filter(|known| clock::now() < known.good_until)
    }

    fn is_known_with(&self, record: &Record) -> bool {
        if self.good().is_none()
            && let Some(noted) = &record.metadata
        {
            self.adopt(noted);
        }
        self.good().is_some()
    }

    /// Takes over what another process has read, if that was later, and in this boot.
    fn adopt(&self, noted: &Noted) {
        let is_later = self.known.load().as_ref().is_none_or(|known| known.noted.read < noted.read);
        if !is_later || noted.read > clock::now() {
            return;
        }
        let read = noted.document.as_object().map(|document| read_document(document, &self.issuer));
        if let Some(Ok(metadata)) = read {
            self.keep(metadata, noted.clone());
        }
    }

    fn keep(&self, metadata: Metadata, noted: Noted) -> Arc<Known> {
        let good_until = noted.read + METADATA_KEPT_FOR;
        let known = Arc::new(Known { metadata, noted, good_until });
        self.known.store(Some(known.clone()));
        known
    }

    fn use_until(&self, known: &Arc<Known>, good_until: BootTime) {
        let changed = Known { metadata: known.metadata.clone(), noted: known.noted.clone(), good_until };
        self.known.compare_and_swap(known, Some(Arc::new(changed)));
    }

    /// Reads the metadata, or waits for another caller who does.
    fn read(&self, minting: &Minting, wait: &Wait) -> Result<Arc<Known>, Failure> {
        let current = self.current.get(Mutex::default);
        loop {
            match self.turn(&current) {
                Turn::Known(known) => return Ok(known),
                Turn::Ours(reader) => return reader.ended(self.ask(minting, wait)),
                Turn::Theirs(reading) => {
                    let outcome = wait.until_set(reading.done.as_ref(), &reading.outcome).map_err(|stop| {
                        let doing = format!("waiting for the metadata of {}", self.issuer.text);
                        failure_of_network(stop.into_error(Stage::Waiting, &doing))
                    })?;
                    if let Some(outcome) = outcome {
                        return outcome.clone();
                    }
                }
            }
        }
    }

    fn turn<'a>(&self, current: &'a Owned<Mutex<Option<Arc<Reading>>>>) -> Turn<'a> {
        let mut reading = lock(current);
        if let Some(known) = self.good() {
            return Turn::Known(known);
        }
        if let Some(theirs) = &*reading {
            return Turn::Theirs(theirs.clone());
        }
        let ours = Arc::new(Reading { done: Event::new(), outcome: OnceLock::new() });
        *reading = Some(ours.clone());
        Turn::Ours(Reader { current, reading: ours })
    }

    fn ask(&self, minting: &Minting, wait: &Wait) -> Result<Arc<Known>, Failure> {
        let Minting { settings, http, log, .. } = minting;
        let began = clock::now();
        let (metadata, document) = find(&self.issuer, settings, http, wait).map_err(|failure| {
            let doing = format!("reading the metadata of {}", self.issuer.text);
            Failure { error: failure.error.while_doing(&doing), ..failure }
        })?;
        let known = self.keep(metadata, Noted { document, read: began });
        log.metadata_read(&self.issuer.text, clock::now().since(began));
        Ok(known)
    }
}

enum Turn<'a> {
    Known(Arc<Known>),
    Ours(Reader<'a>),
    Theirs(Arc<Reading>),
}

/// One caller's reading, for which others wait.
struct Reading {
    done: Option<Event>,
    /// `None`: what ended it was that caller's own, and nothing to the others.
    outcome: OnceLock<Option<Result<Arc<Known>, Failure>>>,
}

/// Whoever reads, until the others are told.
struct Reader<'a> {
    current: &'a Mutex<Option<Arc<Reading>>>,
    reading: Arc<Reading>,
}

impl Reader<'_> {
    fn ended(self, outcome: Result<Arc<Known>, Failure>) -> Result<Arc<Known>, Failure> {
        let own = |failure: &Failure| matches!(failure.error.code(), ErrorCode::Timeout | ErrorCode::Cancelled);
        let told = Some(outcome.clone()).filter(|outcome| !outcome.as_ref().is_err_and(own));
        let _ = self.reading.outcome.set(told);
        outcome
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        *lock(self.current) = None;
        // Where a panic ended it.
        let _ = self.reading.outcome.set(None);
        if let Some(done) = &self.reading.done {
            done.set();
        }
    }
}

fn lock(current: &Mutex<Option<Arc<Reading>>>) -> MutexGuard<'_, Option<Arc<Reading>>> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks for the metadata at one place after the other.
fn find(
    issuer: &Issuer,
    settings: &GrantSettings,
    http: &HttpClient,
    wait: &Wait,
) -> Result<(Metadata, Value), Failure> {
    let look = |place| look_at(place, issuer, settings, http, wait);
    let [first, second] = locations(issuer);
    let nothing = match look(first)? {
        Ok(found) => return Ok(found),
        Err(nothing) => nothing,
    };
    look(second)?.map_err(|second| nowhere([nothing, second]))
}

/// The metadata at one place, or that there is nothing, or why it cannot be known.
fn look_at(
    mut url: Url,
    issuer: &Issuer,
    settings: &GrantSettings,
    http: &HttpClient,
    wait: &Wait,
) -> Result<Result<(Metadata, Value), Failure>, Failure> {
    for _ in 0..=MOST_REDIRECTS {
        let answer = get(&url, settings, http, wait).map_err(|error| match error.code() {
            ErrorCode::AnswerTooLarge => {
                let error = Error::new(ErrorCode::BadAnswer, Stage::Receiving, error.what())
                    .with_next_step("Check issuer: no metadata is so large.");
                Failure { class: FailureClass::Wrong, error }
            }
            _ => failure_of_network(error),
        })?;
        match read_answer(&as_read(&answer, None), &url, issuer)? {
            Found::Metadata(metadata, document) => return Ok(Ok((*metadata, document))),
            Found::Nothing(failure) => return Ok(Err(failure)),
            Found::Moved(target) => url = target,
        }
    }
    Err(redirected_too_often(&url))
}
