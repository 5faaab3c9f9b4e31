//! Which client secret is used, and when another is looked for.
//!
//! A token and a record belong to an identity, and the secret is a part of that: who has no secret, or another, must
//! neither find nor open what it brought. So a client whose secret changes goes over to the identity of the next one, as a
//! new process would come to it: it finds the token that others have fetched with it already, or one of all fetches it.
//! Nothing of the old identity is taken along or thrown away: who still has the old secret keeps its token, and so does
//! this client until the next secret has brought one.
//!
//! A file is looked at by every call that has no fresh token, which costs one system call. A command or a function is
//! asked when the first token is needed, and when the server has refused the secret it gave. The second secret is tried
//! when the first is refused; and before a token is requested with either, it is looked for one of the other's.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::background;
use crate::clock::{self, BootTime};
use crate::config::identity::Identity;
use crate::config::secret_source::{FileStamp, SecretSource};
use crate::config::settings::GrantSettings;
use crate::error::{Error, ErrorCode, Result, Stage};
use crate::fork::{Owned, PerProcess};
use crate::http::HttpClient;
use crate::log::Log;
use crate::secret::Secret;
use crate::stats::TokenCounts;
use crate::store::Store;
use crate::token::errand::Errand;
use crate::token::governor::Remembered;
use crate::token::{Account, Directory, Minting, Shared, Slot, Token};
use crate::wait::Wait;

/// While the server refuses what a command or a function gave, it is asked again after so long.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// For so long after a failure of a command or a function its error is told without asking it.
const FAILURE_MEMORY: Duration = Duration::from_secs(1);
/// For so long other processes do not try the first secret while the second works.
const REFUSAL_OF_FIRST: Duration = Duration::from_secs(3600);
const SECOND: &str = "client_secret_2";

/// A secret in use, and what hangs on it.
pub(crate) struct InUse {
    pub(crate) settings: Arc<GrantSettings>,
    /// `None` where tokens are kept in memory only.
    pub(crate) shared: Option<Arc<Shared>>,
    pub(crate) slot: Arc<Slot>,
    /// The option it came from.
    option: &'static str,
}

impl InUse {
    fn has(&self, secret: &Secret) -> bool {
        self.secret() == Some(secret)
    }

    fn secret(&self) -> Option<&Secret> {
        self.settings.credential.proof.secret()
    }
}

/// What a client mints with, whichever secret is in use.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) http: Arc<Owned<HttpClient>>,
    pub(crate) log: Log,
}

/// A client's secrets: the one in use, and where others come from.
pub(crate) struct Secrets {
    /// What does not change; its secret is the one that was known when the client was made, or empty.
    template: Arc<GrantSettings>,
    directory: Directory,
    account: Arc<Account>,
    store: Option<Arc<Store>>,
    current: ArcSwapOption<InUse>,
    books: PerProcess<Mutex<Books>>,
}

#[derive(Default)]
struct Books {
    /// What the source gave last, and the second secret; made when they are needed.
    first: Option<Arc<InUse>>,
    second: Option<Arc<InUse>>,
    /// When the file was read last.
    stamp: Option<FileStamp>,
    asked: Option<BootTime>,
    /// The refusal for which the source was asked last, by the end of its memory.
    asked_for: Option<BootTime>,
    /// What the source said instead of giving a secret, and until when it is not asked again.
    failure: Option<(Error, BootTime)>,
    /// The refusal of the second secret after which the first was thought of again.
    reconsidered: Option<BootTime>,
    /// The source is asked, or the next secret's first token is fetched.
    errand: Option<Arc<Errand>>,
    /// Added to the counters of the secret in use: what was counted before.
    carried: TokenCounts,
    /// Of the first secret, while it is not known whether the second works.
    refusal_to_tell: Option<Remembered>,
    /// Whence the secrets came that were put in use, and of which it was not said yet.
    changes: Vec<&'static str>,
}

thread_local! {
    /// Whose source this thread asks.
    static ASKED_HERE: Cell<*const Secrets> = const { Cell::new(std::ptr::null()) };
}

impl Secrets {
    pub(crate) fn new(template: Arc<GrantSettings>, directory: Directory, store: Option<Store>) -> Secrets {
        let account = Account::of(&template);
        let store = store.map(Arc::new);
        let (current, books) = (ArcSwapOption::const_empty(), PerProcess::new());
        let secrets = Secrets { template, directory, account, store, current, books };
        if !secrets.is_slow() {
            secrets.current.store(Some(secrets.in_use_of(secrets.template.clone(), secrets.option())));
        }
        secrets
    }

    pub(crate) fn template(&self) -> &GrantSettings {
        &self.template
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The slot of the only secret there will ever be.
    pub(crate) fn only_slot(&self) -> Option<Arc<Slot>> {
        self.known().filter(|_| self.never_changes()).map(|in_use| in_use.slot.clone())
    }

    fn never_changes(&self) -> bool {
        let has_one_value = matches!(self.template.secret_source, None | Some(SecretSource::Value(_)));
        has_one_value && self.template.second_secret.is_none()
    }

    /// The secret in use, if there is one yet.
    pub(crate) fn known(&self) -> Option<Arc<InUse>> {
        self.current.load_full()
    }

    /// The token, if nothing is to be done about it.
    pub(crate) fn fresh(&self) -> Option<Token> {
        self.current.load().as_ref()?.slot.fresh()
    }

    /// As [`Slot::without_waiting`], of the secret in use.
    pub(crate) fn without_waiting(&self, refreshing: bool) -> Option<Token> {
        self.current.load().as_ref()?.slot.without_waiting(refreshing)
    }

    pub(crate) fn counts(&self) -> TokenCounts {
        let books = self.books();
        let books = lock(&books);
        self.known().map(|in_use| TokenCounts::of(&in_use.slot.counters)).unwrap_or_default().plus(books.carried)
    }

    pub(crate) fn minting(&self, in_use: &InUse, tools: &Tools) -> Minting {
        Minting {
            settings: in_use.settings.clone(),
            directory: self.directory.clone(),
            http: tools.http.clone(),
            account: self.account.clone(),
            shared: in_use.shared.clone(),
            log: tools.log.clone(),
        }
    }

    /// The secret in use; where none is known yet, the source is asked.
    pub(crate) fn in_use(self: &Arc<Secrets>, tools: &Tools, wait: &Wait) -> Result<Arc<InUse>> {
        loop {
            if let Some(in_use) = self.known() {
                return Ok(in_use);
            }
            let errand = {
                let books = self.books();
                let mut books = lock(&books);
                let now = clock::now();
                match (&books.errand, &books.failure) {
                    _ if self.known().is_some() => continue,
                    (Some(errand), _) => errand.clone(),
                    (None, Some((error, until))) if now < *until => {
                        return Err(error.clone().with_retry_after(Some(until.since(now))));
                    }
                    (None, _) => self.send(&mut books, None, tools)?,
                }
            };
            let told = self.wait_for(&errand, wait);
            // The second secret may do where the source fails.
            if self.known().is_none() {
                told?;
            }
        }
    }

    /// The token, waiting for one where that is due, and going over to another secret where the server refuses this one
    /// or the file has changed.
    pub(crate) fn get(self: &Arc<Secrets>, tools: &Tools, wait: &Wait) -> Result<Token> {
        if self.never_changes() {
            let in_use = self.in_use(tools, wait)?;
            return in_use.slot.get(&self.minting(&in_use, tools), wait);
        }
        loop {
            let in_use = self.in_use(tools, wait)?;
            self.say_changes(tools);
            if let Some(token) = in_use.slot.fresh() {
                return Ok(token);
            }
            if self.read_file(&in_use, tools) {
                continue;
            }
            if let Some(errand) = self.errand() {
                if let Some(token) = in_use.slot.living() {
                    return Ok(token);
                }
                // What it brings is there sooner than another token with this secret.
                if self.wait_for(&errand, wait).is_ok() && !self.is_current(&in_use) {
                    continue;
                }
            }
            if self.find_others_token(&in_use, tools, wait) {
                continue;
            }
            let got = in_use.slot.get(&self.minting(&in_use, tools), wait);
            let Some(refusal) = self.refusal(&in_use) else {
                if got.is_ok() {
                    self.tell_refusal(&in_use);
                }
                return got;
            };
            let is_served = got.as_ref().is_ok_and(|token| !token.is_condemned());
            match self.after(&refusal, &in_use, is_served, tools, wait) {
                Ok(true) => {}
                Ok(false) => return got,
                Err(error) => return got.map_err(|_| error),
            }
        }
    }

    /// Forgets the tokens of all secrets that are known, and what failed before. The error says why other processes may
    /// still find something.
    pub(crate) fn clear(self: &Arc<Secrets>, tools: &Tools, wait: &Wait) -> Result<()> {
        {
            let books = self.books();
            let mut books = lock(&books);
            (books.asked, books.asked_for, books.failure, books.refusal_to_tell) = (None, None, None, None);
        }
        self.directory.forget();
        let in_use = self.in_use(tools, wait)?;
        let others = {
            let books = self.books();
            let mut books = lock(&books);
            [self.first(&mut books)?, self.second(&mut books)?]
        };
        let others = others.into_iter().flatten().filter(|other| !Arc::ptr_eq(other, &in_use));
        let mut cleared = Ok(());
        for each in others.chain([in_use.clone()]) {
            self.account.forget_failures(&each.settings);
            each.slot.clear();
            cleared = cleared.and(each.shared.as_ref().map_or(Ok(()), |shared| shared.clear()));
        }
        cleared.map_err(|why| Error::new(ErrorCode::Cache, Stage::Argument, why))
    }

    /// Reads a file that has changed. True: another secret is in use.
    fn read_file(self: &Arc<Secrets>, in_use: &Arc<InUse>, tools: &Tools) -> bool {
        let Some(SecretSource::File(file)) = &self.template.secret_source else { return false };
        let books = self.books();
        let mut books = lock(&books);
        if !self.is_current(in_use) {
            return true;
        }
        let stamp = file.stamp();
        if stamp.is_some() && stamp == books.stamp {
            return false;
        }
        let read = file.read().and_then(|(stamp, secret)| Ok((stamp, self.given(&mut books, &secret)?)));
        match read {
            Ok((stamp, first)) => {
                (books.stamp, books.failure) = (stamp, None);
                // While the second secret works, the first was refused: another one is the better.
                let is_news = !Arc::ptr_eq(&first, in_use) && self.refusal(&first).is_none() && in_use.option != SECOND;
                is_news && self.go_over(&mut books, in_use, first, tools)
            }
            Err(error) => {
                // Someone is writing it. Whether that is so is asked by every call, and said once.
                books.stamp = stamp;
                let is_news = books.failure.replace((error.clone(), clock::now())).is_none();
                drop(books);
                if is_news {
                    tools.log.secret_unavailable(self.option(), &error);
                }
                false
            }
        }
    }

    /// Finds another secret after the server refused this one. True: it may be in use by now.
    fn after(
        self: &Arc<Secrets>,
        refusal: &Remembered,
        in_use: &Arc<InUse>,
        is_served: bool,
        tools: &Tools,
        wait: &Wait,
    ) -> Result<bool> {
        let errand = {
            let books = self.books();
            let mut books = lock(&books);
            if !self.is_current(in_use) {
                return Ok(!is_served);
            }
            if in_use.option == SECOND && books.reconsidered.replace(refusal.until) != Some(refusal.until) {
                self.reconsider_first(&mut books);
            }
            match &books.errand {
                Some(errand) => errand.clone(),
                None if self.is_to_be_asked(&books, refusal) => {
                    books.asked_for = Some(refusal.until);
                    self.send(&mut books, Some(in_use.clone()), tools)?
                }
                None => match self.another(&mut books, in_use)? {
                    Some(next) => {
                        self.go_over(&mut books, in_use, next, tools);
                        return Ok(!is_served);
                    }
                    None => {
                        let failure = books.failure.clone();
                        return failure.map_or(Ok(false), |(error, _)| Err(self.in_context(error)));
                    }
                },
            }
        };
        if is_served {
            return Ok(false);
        }
        match self.wait_for(&errand, wait) {
            _ if !self.is_current(in_use) => Ok(true),
            // Asked just now, it gave the same secret.
            Ok(()) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn is_to_be_asked(&self, books: &Books, refusal: &Remembered) -> bool {
        let is_news = books.asked_for != Some(refusal.until);
        let is_time = books.asked.is_none_or(|asked| clock::now().since(asked) >= ASK_AGAIN);
        self.is_slow() && (is_news || is_time)
    }

    /// The second secret was refused: the others' word of the first was given while the second worked.
    fn reconsider_first(&self, books: &mut Books) {
        if let Ok(Some(first)) = self.first(books) {
            first.slot.forget_refusal();
            if let Some(shared) = &first.shared {
                shared.forget_refusal();
            }
        }
    }

    /// Another secret that the server is not known to refuse.
    fn another(&self, books: &mut Books, in_use: &InUse) -> Result<Option<Arc<InUse>>> {
        let candidates = [self.first(books)?, self.second(books)?];
        let another = |other: &Arc<InUse>| other.secret() != in_use.secret() && self.refusal(other).is_none();
        Ok(candidates.into_iter().flatten().find(another))
    }

    /// Puts `next` in use: at once where this secret has no good token, and else when it has brought one. True: at once.
    fn go_over(self: &Arc<Secrets>, books: &mut Books, in_use: &Arc<InUse>, next: Arc<InUse>, tools: &Tools) -> bool {
        if in_use.slot.living().is_none() || next.slot.living().is_some() {
            self.put(books, next, TokenCounts::default());
            return true;
        }
        if books.errand.is_none() {
            let (secrets, tools) = (self.clone(), tools.clone());
            let minting = self.minting(&next, &tools);
            let errand = Errand::new();
            let landing = errand.clone();
            let begun = background::spawn("svctoken-secret", move || {
                let before = TokenCounts::of(&next.slot.counters);
                let wait = Wait::of("timeout", minting.settings.retry_window);
                let got = catch_unwind(AssertUnwindSafe(|| next.slot.get(&minting, &wait).map(drop)));
                let worked = matches!(got, Ok(Ok(())));
                {
                    let books = secrets.books();
                    let mut books = lock(&books);
                    if worked {
                        let counted = TokenCounts::of(&next.slot.counters).minus(before);
                        secrets.put(&mut books, next.clone(), counted);
                    }
                    books.errand = None;
                }
                if worked {
                    secrets.tell_refusal(&next);
                }
                landing.end(Ok(()));
                secrets.say_changes(&tools);
            });
            // Without a thread the present token is served until it ends.
            books.errand = begun.is_ok().then_some(errand);
        }
        false
    }

    /// `counted`: what of its counters is this client's already.
    fn put(&self, books: &mut Books, next: Arc<InUse>, counted: TokenCounts) {
        let counts = |in_use: &Arc<InUse>| TokenCounts::of(&in_use.slot.counters);
        let before = self.known();
        if let Some(before) = &before {
            books.carried = books.carried.plus(counts(before)).minus(counts(&next)).plus(counted);
            books.refusal_to_tell = match (before.option, next.option) {
                (first, SECOND) if first != SECOND => self.refusal(before),
                _ => None,
            };
        }
        if before.is_some() {
            books.changes.push(next.option);
        }
        self.current.store(Some(next));
    }

    /// Logs which secrets were put in use. Not by who has the lock: a hook may call the client, which wants it.
    fn say_changes(&self, tools: &Tools) {
        let changes = std::mem::take(&mut lock(&self.books()).changes);
        changes.into_iter().for_each(|option| tools.log.secret_changed(option));
    }

    /// Sends someone to ask the source. `refused`: the server refuses what it gave last.
    fn send(self: &Arc<Secrets>, books: &mut Books, refused: Option<Arc<InUse>>, tools: &Tools) -> Result<Arc<Errand>> {
        let errand = Errand::new();
        let (secrets, landing, tools) = (self.clone(), errand.clone(), tools.clone());
        let work = move || {
            ASKED_HERE.set(Arc::as_ptr(&secrets));
            let answer = catch_unwind(AssertUnwindSafe(|| secrets.ask()));
            ASKED_HERE.set(std::ptr::null());
            let answer = answer.unwrap_or_else(|payload| Err(Error::panic(&*payload)));
            landing.end(secrets.answered(answer, refused, &tools));
        };
        let begun = match self.template.secret_source {
            Some(SecretSource::Callback(_)) => background::spawn_for_host("svctoken-secret", work),
            _ => background::spawn("svctoken-secret", work),
        };
        begun.map_err(|error| {
            let what = format!("no thread to ask {}: {error}", self.option());
            Error::new(ErrorCode::Internal, Stage::Waiting, what)
        })?;
        books.errand = Some(errand.clone());
        Ok(errand)
    }

    /// Enters what the source said.
    fn answered(self: &Arc<Secrets>, answer: Result<Secret>, refused: Option<Arc<InUse>>, tools: &Tools) -> Result<()> {
        let books = self.books();
        let mut books = lock(&books);
        let now = clock::now();
        (books.asked, books.errand) = (Some(now), None);
        let given = answer.and_then(|secret| self.given(&mut books, &secret));
        books.failure = given.as_ref().err().map(|error| (error.clone(), now + FAILURE_MEMORY));
        let next = match (&given, &refused) {
            (Ok(first), None) => Some(first.clone()),
            // Where the source fails, the second secret may still do.
            (_, Some(refused)) => self.another(&mut books, refused)?,
            (Err(_), None) => self.second(&mut books)?,
        };
        match (next, &refused) {
            (Some(next), Some(refused)) => {
                self.go_over(&mut books, refused, next, tools);
            }
            (Some(next), None) => self.put(&mut books, next, TokenCounts::default()),
            (None, _) => {}
        }
        drop(books);
        given
            .map(drop)
            .inspect_err(|error| tools.log.secret_unavailable(self.option(), error))
            .map_err(|error| if refused.is_some() { self.in_context(error) } else { error })
    }

    fn in_context(&self, error: Error) -> Error {
        error.while_doing("looking for another client secret, because the server refuses the present one")
    }

    /// Looks for a token of the other secret before one is requested with this. True: there was one, and it is in use.
    fn find_others_token(&self, in_use: &Arc<InUse>, tools: &Tools, wait: &Wait) -> bool {
        if self.template.second_secret.is_none() || in_use.slot.is_alive() {
            return false;
        }
        let look = |in_use: &InUse| {
            in_use.slot.living().is_some()
                || in_use.shared.as_ref().is_some_and(|shared| in_use.slot.look(shared, &tools.log, wait))
        };
        let others = {
            let books = self.books();
            let mut books = lock(&books);
            [self.first(&mut books), self.second(&mut books)]
        };
        if look(in_use) {
            return false;
        }
        let others = others.into_iter().filter_map(Result::ok).flatten();
        let Some(other) = others.filter(|other| !Arc::ptr_eq(other, in_use)).find(|other| look(other)) else {
            return false;
        };
        let books = self.books();
        let mut books = lock(&books);
        if self.is_current(in_use) {
            self.put(&mut books, other, TokenCounts::default());
        }
        true
    }

    /// The second secret works: the other processes need not try the first.
    fn tell_refusal(&self, in_use: &InUse) {
        if in_use.option != SECOND {
            return;
        }
        let (refusal, first) = {
            let books = self.books();
            let mut books = lock(&books);
            (books.refusal_to_tell.take(), self.first(&mut books))
        };
        if let (Some(refusal), Ok(Some(first))) = (refusal, first)
            && let Some(shared) = &first.shared
        {
            shared.refused(&refusal, clock::now() + REFUSAL_OF_FIRST);
        }
    }

    fn refusal(&self, in_use: &InUse) -> Option<Remembered> {
        self.account.refusal(&in_use.settings).or_else(|| in_use.slot.refusal())
    }

    /// The option that is the source.
    fn option(&self) -> &'static str {
        self.template.secret_source.as_ref().map_or("client_secret", SecretSource::option)
    }

    fn is_slow(&self) -> bool {
        self.template.secret_source.as_ref().is_some_and(SecretSource::is_slow)
    }

    fn ask(&self) -> Result<Secret> {
        let without = || Error::configuration("there is no client secret");
        self.template.secret_source.as_ref().ok_or_else(without)?.ask()
    }

    /// What is under way to another secret.
    fn errand(&self) -> Option<Arc<Errand>> {
        lock(&self.books()).errand.clone()
    }

    fn is_current(&self, in_use: &Arc<InUse>) -> bool {
        self.current.load().as_ref().is_some_and(|current| Arc::ptr_eq(current, in_use))
    }

    /// What the source gave last.
    fn first(&self, books: &mut Books) -> Result<Option<Arc<InUse>>> {
        let known = self.template.credential.proof.secret().filter(|secret| !secret.reveal().is_empty());
        if let (None, Some(secret)) = (&books.first, known) {
            self.given(books, secret)?;
        }
        Ok(books.first.clone())
    }

    fn second(&self, books: &mut Books) -> Result<Option<Arc<InUse>>> {
        let Some(secret) = &self.template.second_secret else { return Ok(None) };
        if books.second.is_none() {
            let settings = Arc::new(self.template.with_secret(SECOND, secret)?);
            books.second = Some(self.in_use_of(settings, SECOND));
        }
        Ok(books.second.clone())
    }

    /// Enters that the source gave this secret.
    fn given(&self, books: &mut Books, secret: &Secret) -> Result<Arc<InUse>> {
        let option = self.option();
        // In a forked child only what is in use is known.
        let known = [books.first.clone(), self.known().filter(|in_use| in_use.option == option)];
        let known = known.into_iter().flatten().find(|in_use| in_use.has(secret));
        let first = match known {
            Some(first) => first,
            None => self.in_use_of(Arc::new(self.template.with_secret(option, secret)?), option),
        };
        books.first = Some(first.clone());
        Ok(first)
    }

    fn in_use_of(&self, settings: Arc<GrantSettings>, option: &'static str) -> Arc<InUse> {
        let identity = Identity::of(&settings);
        let shared = self.store.clone().map(|store| Arc::new(Shared::new(store, &settings, identity)));
        Arc::new(InUse { settings, shared, slot: Slot::of(identity), option })
    }

    fn wait_for(&self, errand: &Errand, wait: &Wait) -> Result<()> {
        if std::ptr::eq(ASKED_HERE.get(), self) {
            let what = "client_secret_callback calls the client that waits for its answer";
            return Err(Error::argument(what).with_next_step("Ask another client, or none."));
        }
        errand.wait(wait, &format!("waiting for {}", self.option()))
    }

    fn books(&self) -> Arc<Owned<Mutex<Books>>> {
        self.books.get(Mutex::default)
    }
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}
