//! All keys: those of the config, and those that were made while the process ran, which the ledger keeps.
//!
//! The ledger's list is the truth of the made ones: [`Ring::renew`] makes this one like it, under the lock, so that two
//! renewals never undo each other. Locks: one, held for a look at every key or for a renewal, over the purger's own.

use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Principal;
use crate::config::{Account, Grant, NamedKey, PrivateKey, Scope, Scopes};
use crate::key::Endpoints;
use crate::purge::{Purger, StoredKey};

/// A key, as it is listed.
#[derive(Clone, Debug)]
pub(in crate::admin) struct Card {
    /// Its name in calls.
    pub(in crate::admin) id: Box<str>,
    /// What it may do.
    pub(in crate::admin) grant: Grant,
    /// Nothing of a key of the config.
    pub(in crate::admin) made: Option<Made>,
}

/// How a key came to be.
#[derive(Clone, Debug)]
pub(in crate::admin) struct Made {
    /// When (RFC 3339).
    pub(in crate::admin) at: String,
    /// By whose key.
    pub(in crate::admin) by: String,
}

/// What the ledger keeps of a key beside its names.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// In hex.
    sha256: String,
    scopes: Vec<String>,
    urls: Option<Vec<String>>,
    created_at: String,
    created_by: String,
}

/// See the module.
pub(super) struct Ring(RwLock<Keys>);

struct Keys {
    /// Of the accounts, by place; empty where one has left the config.
    ids: Arc<[Box<str>]>,
    entries: Vec<Entry>,
}

struct Entry {
    card: Card,
    key: PrivateKey,
    /// Nothing where its account has left the config.
    principal: Option<Arc<Principal>>,
}

impl Ring {
    /// The keys of the config: the private keys of the accounts, which look and purge, and the named ones.
    pub(super) fn new(accounts: &[Account], named: &[NamedKey], endpoints: &Endpoints) -> Ring {
        Ring(RwLock::new(Keys::of_config(accounts, named, endpoints)))
    }

    /// Has from now on the keys of another config, and the made ones as they are by it. Returns whoever was known by a key
    /// before, for the caller to revoke once [`Ring::again`] has said who that is now.
    pub(super) fn take_over(
        &self,
        accounts: &[Account],
        named: &[NamedKey],
        purger: &Purger,
        endpoints: &Endpoints,
    ) -> Vec<Arc<Principal>> {
        let mut keys = self.0.write();
        let before = std::mem::replace(&mut *keys, Keys::of_config(accounts, named, endpoints));
        keys.renew(purger, endpoints);
        before.entries.into_iter().filter_map(|entry| entry.principal).collect()
    }

    /// The bearer of the same key, as it is known now.
    pub(super) fn again(&self, principal: &Principal) -> Option<Arc<Principal>> {
        let keys = self.0.read();
        keys.entries.iter().find(|entry| entry.key.matches(principal.key()))?.principal.clone()
    }

    /// The bearer of this secret.
    pub(super) fn find(&self, secret: &str) -> Option<Arc<Principal>> {
        let presented = PrivateKey::from_secret(secret);
        let mut found = None;
        for entry in &self.0.read().entries {
            if entry.key.matches(&presented) {
                found.clone_from(&entry.principal);
            }
        }
        found
    }

    /// All keys, those of the config first.
    pub(super) fn cards(&self) -> Vec<Card> {
        self.0.read().entries.iter().map(|entry| entry.card.clone()).collect()
    }

    /// Whether the config has a key with this id.
    pub(super) fn is_of_config(&self, id: &str) -> bool {
        self.0.read().entries.iter().any(|entry| *entry.card.id == *id && entry.card.made.is_none())
    }

    /// Takes a made key out, at once; the ledger may still have it.
    pub(super) fn revoke(&self, id: &str) {
        self.0.write().entries.retain(|entry| {
            let goes = entry.card.made.is_some() && *entry.card.id == *id;
            if goes {
                entry.revoke();
            }
            !goes
        });
    }

    /// Has from now on the made keys that the ledger has, and no other.
    pub(super) fn renew(&self, purger: &Purger, endpoints: &Endpoints) {
        self.0.write().renew(purger, endpoints);
    }
}

impl Keys {
    /// The private keys of the accounts, which look and purge, and the named ones.
    fn of_config(accounts: &[Account], named: &[NamedKey], endpoints: &Endpoints) -> Keys {
        let id = |account: &Account| if account.is_absent() { "".into() } else { account.id.as_str().into() };
        let ids: Arc<[Box<str>]> = accounts.iter().map(id).collect();
        let private = accounts.iter().flat_map(|account| {
            account.private_keys.iter().enumerate().map(|(place, key)| {
                let grant = Grant {
                    name: format!("private key {}", place + 1),
                    account: Some(account.id.clone()),
                    scopes: Scopes::of(&[Scope::Read, Scope::Purge]),
                    urls: None,
                };
                (grant, key.clone())
            })
        });
        let named = named.iter().map(|named| (named.grant.clone(), named.key.clone()));
        let entries = private.chain(named).enumerate().map(|(place, (grant, key))| {
            let principal = Principal::new(&grant, &key, &ids, endpoints).map(Arc::new);
            let card = Card { id: format!("config-{}", place + 1).into(), grant, made: None };
            Entry { card, key, principal }
        });
        Keys { entries: entries.collect(), ids }
    }

    /// See [`Ring::renew`].
    fn renew(&mut self, purger: &Purger, endpoints: &Endpoints) {
        let Keys { ids, entries } = self;
        let stored = purger.stored_keys();
        entries.retain(|entry| {
            let stays = entry.card.made.is_none() || stored.iter().any(|stored| stored.id == entry.card.id);
            if !stays {
                entry.revoke();
            }
            stays
        });
        for stored in stored {
            if entries.iter().any(|entry| entry.card.id == stored.id) {
                continue;
            }
            match Entry::read(&stored, ids, endpoints) {
                Some(entry) => entries.push(entry),
                None => {
                    tracing::warn!(id = %stored.id, name = %stored.name, "a stored key can't be read: it opens nothing")
                }
            }
        }
    }
}

impl Entry {
    fn read(stored: &StoredKey, ids: &Arc<[Box<str>]>, endpoints: &Endpoints) -> Option<Entry> {
        let kept: Kept = serde_json::from_value(stored.value.clone()).ok()?;
        let scopes: Option<Vec<Scope>> = kept.scopes.iter().map(|word| Scope::parse(word)).collect();
        let grant = Grant {
            name: stored.name.to_string(),
            account: stored.account.as_ref().map(ToString::to_string),
            scopes: Scopes::of(&scopes?),
            urls: kept.urls,
        };
        // A key of no account that is no operator's would be one of all accounts.
        if grant.account.is_none() != grant.scopes.has(Scope::Operator) {
            return None;
        }
        let made = Some(Made { at: kept.created_at, by: kept.created_by });
        let key = PrivateKey::from_hex(&kept.sha256)?;
        let principal = Principal::new(&grant, &key, ids, endpoints).map(Arc::new);
        Some(Entry { card: Card { id: stored.id.clone(), grant, made }, key, principal })
    }

    fn revoke(&self) {
        if let Some(principal) = &self.principal {
            principal.revoke();
        }
    }
}

impl Card {
    /// What the ledger is to keep of a made key with this secret.
    pub(in crate::admin) fn stored(&self, secret: &str) -> Option<StoredKey> {
        let made = self.made.as_ref()?;
        let kept = Kept {
            sha256: PrivateKey::from_secret(secret).to_hex(),
            scopes: self.grant.scopes.words().into_iter().map(str::to_owned).collect(),
            urls: self.grant.urls.clone(),
            created_at: made.at.clone(),
            created_by: made.by.clone(),
        };
        Some(StoredKey {
            id: self.id.clone(),
            name: self.grant.name.as_str().into(),
            account: self.grant.account.as_deref().map(Into::into),
            value: serde_json::to_value(kept).unwrap_or(Value::Null),
        })
    }
}
