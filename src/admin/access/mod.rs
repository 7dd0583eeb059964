//! Whose request it is, and what it may do: the key that it carries, by HTTP Basic or Bearer.
//!
//! Owns the keys, as hashes, and the count of wrong ones. A key is never logged, printed or compared byte by byte:
//! its hash is compared with each one there is, to the end. Cost: one or two SHA-256, and tens of nanoseconds for
//! each key.
//!
//! `credentials.rs` reads what is presented, `guesses.rs` bounds wrong ones, `principal.rs` says what the bearer of
//! a right one may do.

mod credentials;
mod guesses;
mod principal;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;

use super::AdminError;
use crate::clock::Moment;
use crate::config::{Account, Grant, NamedKey, PrivateKey, Scope, Scopes};
use crate::key::Endpoints;

pub(super) use principal::{Denial, Principal};

use guesses::Guesses;

/// Who may call.
pub(super) struct Access {
    keys: Vec<(PrivateKey, Arc<Principal>)>,
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
        Access { keys, guesses: Guesses::default() }
    }

    /// The bearer of the key that these fields carry.
    pub(super) fn identify(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
        now: Moment,
    ) -> Result<Arc<Principal>, AdminError> {
        let presented = credentials::presented(headers).ok_or(AdminError::KeyMissing)?;
        self.guesses.checked(peer, now, || presented.iter().find_map(|secret| self.find(secret)))
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
