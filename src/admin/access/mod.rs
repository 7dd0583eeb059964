//! Whose request it is, and what it may do: the key that it carries, by HTTP Basic or Bearer, or the cookie of a
//! session that was begun with one.
//!
//! Owns the keys, as hashes, the sessions, and the count of wrong keys. A key is never logged, printed or compared byte by byte:
//! its hash is compared with each one there is, to the end. Cost: one or two SHA-256, and tens of nanoseconds for
//! each key.
//!
//! `credentials.rs` reads what is presented, `guesses.rs` bounds wrong ones, `principal.rs` says what the bearer of
//! a right one may do, `sessions.rs` has who signed in.

mod credentials;
mod guesses;
mod principal;
mod sessions;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, Method, header};

use super::{AdminError, site};
use crate::clock::Moment;
use crate::config::{Account, Grant, NamedKey, PrivateKey, Scope, Scopes};
use crate::key::Endpoints;

pub(super) use principal::{Denial, Principal};
pub(super) use sessions::{COOKIE, Token};

use guesses::Guesses;
use sessions::Sessions;

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Who may call.
pub(super) struct Access {
    keys: Vec<(PrivateKey, Arc<Principal>)>,
    sessions: Sessions,
    guesses: Guesses,
}

impl Access {
    /// The private keys of the accounts, which look and purge, and the keys with scopes of their own.
    pub(super) fn new(accounts: &[Account], named: &[NamedKey], endpoints: &Endpoints) -> Access {
        let ids = accounts.iter().map(|account| account.id.as_str().into()).collect();
        let mut keys = Vec::new();
        for account in accounts {
            for (place, key) in account.private_keys.iter().enumerate() {
                let grant = Grant {
                    name: format!("private key {}", place + 1),
                    account: Some(account.id.clone()),
                    scopes: Scopes::of(&[Scope::Read, Scope::Purge]),
                    urls: None,
                };
                keys.extend(Principal::new(&grant, &ids, endpoints).map(|who| (key.clone(), who.into())));
            }
        }
        for NamedKey { grant, key } in named {
            keys.extend(Principal::new(grant, &ids, endpoints).map(|who| (key.clone(), who.into())));
        }
        Access { keys, sessions: Sessions::default(), guesses: Guesses::default() }
    }

    /// Who sends a request with this method and these fields. A key counts before a cookie. What a cookie would
    /// change needs the proof that a page of ours sends it, in a form that no form of another's can send.
    pub(super) fn identify(
        &self,
        method: &Method,
        headers: &HeaderMap,
        peer: IpAddr,
        now: Moment,
    ) -> Result<Arc<Principal>, AdminError> {
        if headers.contains_key(header::AUTHORIZATION) {
            return self.identify_by_key(headers, peer, now);
        }
        if let Some(token) = Token::of(headers) {
            site::check_is_ours(method, headers)?;
            let found = self.sessions.find(&token, now).ok_or(AdminError::SignedOut)?;
            return Ok(found.0);
        }
        // A challenge by Basic would make a browser ask for a password over a page that has its own sign-in.
        let by_page = headers.contains_key(SEC_FETCH_MODE);
        Err(if by_page { AdminError::SignedOut } else { AdminError::KeyMissing })
    }

    /// The bearer of the key that these fields carry.
    pub(super) fn identify_by_key(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
        now: Moment,
    ) -> Result<Arc<Principal>, AdminError> {
        let presented = credentials::presented(headers).ok_or(AdminError::KeyMissing)?;
        self.guesses.checked(peer, now, || presented.iter().find_map(|secret| self.find(secret)))
    }

    /// Begins a session of the bearer of this key.
    pub(super) fn sign_in(&self, secret: &str, peer: IpAddr, now: Moment) -> Result<Token, AdminError> {
        let principal = self.guesses.checked(peer, now, || self.find(secret))?;
        tracing::info!(key = principal.name(), %peer, "signed in");
        self.sessions.begin(principal, now).ok_or(AdminError::Late)
    }

    /// Ends a session.
    pub(super) fn sign_out(&self, token: &Token) {
        self.sessions.end(token);
    }

    /// How long a session lasts from now on.
    pub(super) fn lasts(&self, token: &Token, now: Moment) -> Option<Duration> {
        self.sessions.find(token, now).map(|(_, lasts)| lasts)
    }

    fn find(&self, secret: &str) -> Option<Arc<Principal>> {
        let presented = PrivateKey::from_secret(secret);
        let mut found = None;
        for (key, principal) in &self.keys {
            if key.matches(&presented) {
                found = Some(principal);
            }
        }
        found.cloned()
    }
}
