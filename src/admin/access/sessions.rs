//! Sessions of browsers: who has signed in by a key and not out again.
//!
//! A token is 256 random bits. It is kept, and looked up, by its SHA-256: how long the look-up takes tells about the
//! hash, which nobody can choose, and a picture of this table signs nobody in. Sessions are in memory alone, so that a
//! restart ends all. Invariant: a session whose key was taken away is never found, whatever the order in which it was
//! entered and the key was taken (`Principal::is_revoked` is asked at every look-up).
//!
//! One lock, held for one look-up, or for one walk over all where one is entered or a key is taken away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, header};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::Principal;
use crate::clock::Moment;
use crate::limits;

/// The cookie's name.
pub(in crate::admin) const COOKIE: &str = "freshet_session";

/// What a browser keeps of its session.
pub(in crate::admin) struct Token(String);

impl Token {
    fn random() -> Option<Token> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).ok()?;
        Some(Token(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The cookie's value.
    pub(in crate::admin) fn as_str(&self) -> &str {
        &self.0
    }

    fn hash(&self) -> Hash {
        Hash(Sha256::digest(self.0.as_bytes()).into())
    }

    /// The cookie that these fields carry. Two are none: a page of another port on this host may have set one.
    pub(in crate::admin) fn of(headers: &HeaderMap) -> Option<Token> {
        let fields = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
        let cookies = fields.flat_map(|field| field.split(';'));
        let mut values = cookies.filter_map(|cookie| match cookie.trim().split_once('=') {
            Some((COOKIE, value)) => Some(value),
            _ => None,
        });
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        Some(Token(value.to_owned()))
    }
}

/// The SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Hash([u8; 32]);

/// All sessions.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<Hash, Session>>);

struct Session {
    principal: Arc<Principal>,
    begun: Moment,
    used: Moment,
}

impl Session {
    /// How long it lasts if nobody uses it from `now` on: nothing where it has ended.
    fn lasts(&self, now: Moment) -> Option<Duration> {
        let idle = limits::SESSION_IDLE_TIME.checked_sub(now.since(self.used))?;
        let all = limits::SESSION_TIME.checked_sub(now.since(self.begun))?;
        Some(idle.min(all)).filter(|left| !left.is_zero() && !self.principal.is_revoked())
    }
}

impl Sessions {
    /// Begins one. Nothing where there are no random numbers.
    pub(super) fn begin(&self, principal: Arc<Principal>, now: Moment) -> Option<Token> {
        let token = Token::random()?;
        let mut sessions = self.0.lock();
        sessions.retain(|_, session| session.lasts(now).is_some());
        let of_key = |session: &&Session| Arc::ptr_eq(&session.principal, &principal);
        if sessions.values().filter(of_key).count() >= limits::SESSIONS_OF_KEY_MAX {
            end_idlest(&mut sessions, |session| of_key(&session));
        } else if sessions.len() >= limits::SESSIONS_MAX {
            end_idlest(&mut sessions, |_| true);
        }
        sessions.insert(token.hash(), Session { principal, begun: now, used: now });
        assert!(sessions.len() <= limits::SESSIONS_MAX, "one leaves before one too many comes");
        Some(token)
    }

    /// Who has this session, and how long it lasts from now on. Finding it is using it.
    pub(super) fn find(&self, token: &Token, now: Moment) -> Option<(Arc<Principal>, Duration)> {
        let mut sessions = self.0.lock();
        let hash = token.hash();
        let session = sessions.get_mut(&hash)?;
        if session.lasts(now).is_none() {
            sessions.remove(&hash);
            return None;
        }
        session.used = now;
        Some((Arc::clone(&session.principal), session.lasts(now)?))
    }

    /// Ends one, if it is there.
    pub(super) fn end(&self, token: &Token) {
        self.0.lock().remove(&token.hash());
    }

    /// Takes whoever each session's bearer is by now; it ends where that is nobody.
    pub(super) fn know_again(&self, again: impl Fn(&Principal) -> Option<Arc<Principal>>) {
        self.0.lock().retain(|_, session| {
            let known = again(&session.principal);
            let stays = known.is_some();
            session.principal = known.unwrap_or_else(|| Arc::clone(&session.principal));
            stays
        });
    }

    /// Forgets those whose key was taken away.
    pub(super) fn forget_revoked(&self) {
        self.0.lock().retain(|_, session| !session.principal.is_revoked());
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

fn end_idlest(sessions: &mut HashMap<Hash, Session>, counts: impl Fn(&Session) -> bool) {
    let idlest =
        sessions.iter().filter(|(_, session)| counts(session)).min_by_key(|(_, session)| session.used);
    if let Some(hash) = idlest.map(|(hash, _)| *hash) {
        sessions.remove(&hash);
    }
}
