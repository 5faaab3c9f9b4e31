//! Tokens given up before their end: revoked at the server, or forgotten.
//!
//! What another thread has read from the record, or a flight brings that left before, may be the very token that was
//! dropped, so its place is not emptied: what is there knows the token, and from when on others may follow.

use std::sync::Arc;

use crate::clock::{self, BootTime};
use crate::config::settings::GrantSettings;
use crate::config::url::Url;
use crate::error::{Error, Result, Stage};
use crate::grant::revocation::{self, Kind, NotRevoked};
use crate::secret::Secret;
use crate::token::exchange::{as_read, send, stamp};
use crate::token::governor::Remembered;
use crate::token::life::{Life, State};
use crate::token::{LiveToken, Minting, Slot, Token, lock};
use crate::wait::Wait;

/// How a token was given up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dropped {
    pub(super) at: BootTime,
    /// The server may not have revoked it: the next revocation is of this one again.
    in_doubt: bool,
}

impl Slot {
    /// Revokes the token in memory, or where there is none the record's, and drops it from both by compare. False if
    /// there is none.
    ///
    /// Nothing is dropped if the server says that it did not revoke it, or was never asked. Where it may have, the token
    /// is dropped as well.
    pub(crate) fn revoke(&self, minting: &Minting, wait: &Wait) -> Result<bool> {
        let Minting { settings, directory, shared, log, .. } = minting;
        if settings.revocation_url.is_none() && !directory.is_discovered() {
            return Err(Error::configuration("there is no revocation_url, so no token can be revoked")
                .with_next_step("Give revocation_url, or use a preset that knows it: atlas or keycloak."));
        }
        let origin = settings.revocation_url.as_ref().map_or(settings.server.origin(), |url| &url.origin);
        let doing = format!("revoking a token at {origin}");
        if let (None, Some(shared)) = (self.to_revoke(), shared) {
            self.look(shared, log, wait);
        }
        wait.check().map_err(|stop| stop.into_error(Stage::Waiting, &doing))?;
        let Some(token) = self.to_revoke() else { return Ok(false) };
        let resolved = minting.resolve(wait).map_err(|failure| failure.error.while_doing(&doing))?;
        let Some(url) = &resolved.settings.revocation_url else {
            return Err(resolved.has_no("revocation_endpoint", "revocation_url"));
        };
        let revoked = token.revoke(minting, &resolved.settings, url, wait);
        if let Err(NotRevoked { error, in_doubt: false }) = revoked {
            return Err(error.while_doing(&doing));
        }
        self.drop_token(token.text.reveal(), revoked.is_err());
        if let Some(shared) = shared
            && let Err(why) = shared.drop_token(token.text.reveal())
        {
            shared.complain(log, &why);
        }
        revoked.map_err(|failed| failed.error.while_doing(&doing))?;
        log.token_revoked(&url.origin);
        Ok(true)
    }

    fn to_revoke(&self) -> Option<Revocable> {
        let current = self.current.load();
        let alive = current.life.state(clock::now()) != State::Ended;
        let in_doubt = current.dropped.is_some_and(|dropped| dropped.in_doubt);
        (alive || in_doubt)
            .then(|| Revocable { text: current.text.clone(), refresh_token: current.refresh_token.clone() })
    }

    fn drop_token(&self, text: &str, in_doubt: bool) {
        let progress = self.progress();
        let mut progress = lock(&progress);
        let current = self.current.load();
        if current.is(text) {
            let dropped = Some(Dropped { at: clock::now(), in_doubt });
            let life = Life::dropped(current.life.begin);
            progress.revoked = Some(current.generation);
            self.current.store(Arc::new(LiveToken { successor: false, dropped, ..current.with_life(life) }));
        }
    }

    /// Whether it was revoked here: its refusal is no news.
    pub(crate) fn was_revoked(&self, token: &Token) -> bool {
        lock(&self.progress()).revoked == Some(token.generation())
    }

    /// Forgets the token, the hold, and failures but those for which the server asked for time. Only a token that was
    /// requested later comes in its place, or that of a request under way.
    pub(crate) fn clear(&self) {
        let progress = self.progress();
        let mut progress = lock(&progress);
        progress.failure = progress.failure.take().filter(Remembered::is_the_servers_wish);
        progress.hold = None;
        let life = Life::dropped(clock::now());
        self.current.store(Arc::new(LiveToken { life, ..LiveToken::none() }));
    }
}

/// What there is to revoke.
struct Revocable {
    text: Secret,
    refresh_token: Option<Secret>,
}

impl Revocable {
    fn revoke(
        &self,
        minting: &Minting,
        settings: &GrantSettings,
        url: &Url,
        wait: &Wait,
    ) -> std::result::Result<(), NotRevoked> {
        request(minting, settings, url, &self.text, Kind::AccessToken, wait)?;
        let Some(session) = &self.refresh_token else { return Ok(()) };
        // The access token is gone, whatever becomes of the session: the next call is about both again.
        request(minting, settings, url, session, Kind::RefreshToken, wait)
            .map_err(|failed| NotRevoked { in_doubt: true, ..failed })
    }
}

fn request(
    minting: &Minting,
    settings: &GrantSettings,
    url: &Url,
    token: &Secret,
    kind: Kind,
    wait: &Wait,
) -> std::result::Result<(), NotRevoked> {
    let clock = minting.account.server_clock();
    let request = stamp(clock).and_then(|stamp| revocation::request(settings, token.reveal(), kind, &stamp));
    let request = request.map_err(|error| NotRevoked { error, in_doubt: false })?;
    let answer = send(&request, url, settings, &minting.http, wait).map_err(|error| {
        // What has begun to leave may have arrived.
        let in_doubt = matches!(error.stage(), Stage::Sending | Stage::Receiving);
        NotRevoked { error, in_doubt }
    })?;
    revocation::read_answer(&as_read(&answer, clock), &request, settings, token.reveal())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::identity::Identity;
    use crate::crypto::sha256;
    use crate::grant::{Granted, Lifetime};
    use crate::token::flight::Progress;
    use crate::token::record::Found;

    const HOUR: Duration = Duration::from_secs(3600);

    fn slot(name: &str) -> Arc<Slot> {
        Slot::of(Identity::of_bytes(sha256(name.as_bytes())))
    }

    fn grant(slot: &Slot, text: &str, began: BootTime) -> Arc<LiveToken> {
        let lifetime = Lifetime::Lasts(HOUR);
        let access_token = Secret::new(text.into());
        let granted = Granted { access_token, refresh_token: None, scope: None, lifetime };
        slot.adopt(&mut Progress::default(), granted, began)
    }

    fn found(text: &str, begin: BootTime) -> Found {
        Found { text: Secret::new(text.into()), refresh_token: None, scope: None, begin, lifetime: HOUR }
    }

    fn served(slot: &Slot) -> Option<String> {
        slot.fresh().map(|token| token.as_str().to_owned())
    }

    #[test]
    fn a_token_is_dropped_by_its_own_text_alone() {
        let slot = slot("dropped by compare");
        grant(&slot, "first", clock::now());
        slot.drop_token("another", false);
        assert_eq!(served(&slot).as_deref(), Some("first"));
        slot.drop_token("first", false);
        assert!(slot.fresh().is_none() && slot.to_revoke().is_none());
        grant(&slot, "second", clock::now());
        slot.drop_token("first", false);
        assert_eq!(served(&slot).as_deref(), Some("second"));
    }

    #[test]
    fn what_another_thread_has_read_before_does_not_bring_a_dropped_token_back() {
        let slot = slot("read before");
        let begin = clock::now();
        grant(&slot, "first", begin);
        slot.drop_token("first", false);
        let later = clock::now();
        for (stale, begin) in [("first", begin), ("first", later), ("older", begin)] {
            assert!(slot.put(&found(stale, begin)).is_none() && slot.fresh().is_none(), "{stale}");
        }
        assert!(slot.put(&found("second", later)).is_some(), "another's token is good");
        assert_eq!(served(&slot).as_deref(), Some("second"));
        slot.clear();
        assert!(slot.put(&found("second", later)).is_none() && slot.fresh().is_none());
    }

    #[test]
    fn a_flight_that_left_before_brings_no_dropped_token_back_and_one_that_left_later_is_believed() {
        let slot = slot("on its way");
        let before = clock::now();
        grant(&slot, "first", before);
        slot.drop_token("first", false);
        let brought = grant(&slot, "first", before);
        assert!(brought.life.state(clock::now()) == State::Ended && slot.fresh().is_none());
        grant(&slot, "first", clock::now() + Duration::from_millis(1));
        assert_eq!(served(&slot).as_deref(), Some("first"), "the server says that it is good again");
    }

    #[test]
    fn a_token_in_doubt_is_the_next_to_be_revoked_until_another_comes() {
        let slot = slot("in doubt");
        grant(&slot, "first", clock::now());
        slot.drop_token("first", true);
        assert!(slot.fresh().is_none());
        assert_eq!(slot.to_revoke().map(|token| token.text.reveal().to_owned()).as_deref(), Some("first"));
        grant(&slot, "second", clock::now());
        assert_eq!(slot.to_revoke().map(|token| token.text.reveal().to_owned()).as_deref(), Some("second"));
    }

    #[test]
    fn the_refusal_of_a_revoked_token_opens_no_hold() {
        let slot = slot("no hold");
        grant(&slot, "first", clock::now());
        let first = slot.fresh().expect("granted");
        slot.drop_token("first", false);
        assert!(slot.was_revoked(&first));
        assert_eq!(slot.hold(&first), crate::token::Refusal::NoNews);
    }

    #[test]
    fn a_forked_child_does_not_revive_a_dropped_token() {
        let slot = slot("forked after it was dropped");
        // Without a lock of its own yet, as in a child.
        let life = Life::new(clock::now(), HOUR, 0.5);
        let granted = found("first", clock::now()).granted();
        let dropped = Some(Dropped { at: clock::now(), in_doubt: false });
        let token = LiveToken { dropped, ..LiveToken::new(granted, Life::dropped(life.begin)) };
        slot.current.store(Arc::new(token));
        slot.progress();
        assert!(slot.current.load().life == Life::dropped(life.begin));
    }
}
