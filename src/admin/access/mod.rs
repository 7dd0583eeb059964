//! Whose request it is, and what it may do: the key that it carries, by HTTP Basic or Bearer, or the cookie of a
//! session that was begun with one.
//!
//! Owns the keys, as hashes, the sessions, and the count of wrong keys. A key is never logged, printed or compared byte by byte:
//! its hash is compared with each one there is, to the end. Cost: one or two SHA-256, and tens of nanoseconds for
//! each key.
//!
//! `ring.rs` has the keys, `credentials.rs` reads what is presented, `guesses.rs` bounds wrong ones, `principal.rs` says what the bearer of
//! a right one may do, `sessions.rs` has who signed in.

mod credentials;
mod guesses;
mod principal;
mod ring;
mod sessions;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName, Method, header};

use super::{AdminError, site};
use crate::clock::Moment;
use crate::config::{Account, Grant, GrantError, NamedKey, Scopes};
use crate::key::Endpoints;
use crate::purge::Purger;
use crate::target::Bound;

pub(super) use principal::{Denial, Principal};
pub(super) use ring::{Card, Made};
pub(super) use sessions::{COOKIE, Token};

use guesses::Guesses;
use ring::Ring;
use sessions::Sessions;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Who may call.
pub(super) struct Access {
    ring: Ring,
    accounts: ArcSwap<Vec<Account>>,
    sessions: Sessions,
    guesses: Guesses,
}

impl Access {
    /// By the keys of the config; those that the ledger has come by [`Access::renew`].
    pub(super) fn new(accounts: &[Account], named: &[NamedKey], endpoints: &Endpoints) -> Access {
        Access {
            ring: Ring::new(accounts, named, endpoints),
            accounts: ArcSwap::from_pointee(accounts.to_vec()),
            sessions: Sessions::default(),
            guesses: Guesses::default(),
        }
    }

    /// All keys, without their secrets.
    pub(super) fn cards(&self) -> Vec<Card> {
        self.ring.cards()
    }

    /// Whether the config has a key with this id.
    pub(super) fn is_of_config(&self, id: &str) -> bool {
        self.ring.is_of_config(id)
    }

    /// What a new key may do, by the rules of the config, if every folder of it is one of its account.
    pub(super) fn grant(
        &self,
        name: String,
        account: Option<String>,
        scopes: Scopes,
        urls: Option<Vec<String>>,
        endpoints: &Endpoints,
    ) -> Result<Grant, GrantError> {
        let accounts = self.accounts.load();
        let grant = Grant::new(name, account, scopes, urls, &accounts)?;
        let whose = |id: &String| accounts.iter().position(|account| account.id == *id);
        if let (Some(account), Some(urls)) = (grant.account.as_ref().and_then(whose), &grant.urls)
            && let Some(url) = urls.iter().find(|url| Bound::parse(url, account, endpoints).is_err())
        {
            return Err(GrantError::Url(url.clone()));
        }
        Ok(grant)
    }

    /// Goes by the keys of another config from now on. Who has signed in by one that is there still stays so, and may do
    /// what it may now.
    pub(super) fn take_over(
        &self,
        accounts: &[Account],
        named: &[NamedKey],
        purger: &Purger,
        endpoints: &Endpoints,
    ) {
        self.accounts.store(Arc::new(accounts.to_vec()));
        let before = self.ring.take_over(accounts, named, purger, endpoints);
        self.sessions.know_again(|principal| self.ring.again(principal));
        // Only now: a session is never looked up whose bearer is revoked and not yet known again.
        before.iter().for_each(|principal| principal.revoke());
    }

    /// Has from now on the made keys that the ledger has, and no other.
    pub(super) fn renew(&self, purger: &Purger, endpoints: &Endpoints) {
        self.ring.renew(purger, endpoints);
        self.sessions.forget_revoked();
    }

    /// Refuses a made key and its sessions from now on.
    pub(super) fn revoke(&self, id: &str) {
        self.ring.revoke(id);
        self.sessions.forget_revoked();
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
        let by_page = headers.contains_key(SEC_FETCH_SITE);
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
        self.ring.find(secret)
    }
}
