//! Who calls, and what it may do. Values; every refusal says which scope or which folder it would take.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::AdminError;
use crate::config::{Grant, PrivateKey, Scope, Scopes};
use crate::key::Endpoints;
use crate::target::{Bound, Target};

/// A caller whose key is known.
#[derive(Debug)]
pub(in crate::admin) struct Principal {
    name: Box<str>,
    /// The place of its account in the config; nothing: all accounts.
    account: Option<usize>,
    scopes: Scopes,
    /// Where it may purge; nothing: everywhere in its account.
    folders: Option<Box<[Folder]>>,
    /// The ids of all accounts, by place; empty where one has left the config.
    ids: Arc<[Box<str>]>,
    key: PrivateKey,
    revoked: AtomicBool,
}

/// A folder that a key is bound to.
#[derive(Debug)]
struct Folder {
    url: Box<str>,
    /// Nothing where the URL has no key of the account: it holds nothing then.
    bound: Option<Bound>,
}

/// Why a key may not do what its bearer asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::admin) enum Denial {
    /// It takes one of these scopes.
    Scope(&'static [Scope]),
    /// The key is bound to folders, and a target of this kind lies in none.
    Kind(&'static str),
    /// The target lies outside these folders.
    Outside(Vec<Box<str>>),
}

impl Denial {
    /// The rule's code, for answers.
    pub(in crate::admin) fn as_str(&self) -> &'static str {
        match self {
            Denial::Scope(_) => "scope_missing",
            Denial::Kind(_) => "target_unbound",
            Denial::Outside(_) => "outside_key",
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denial::Scope(scopes) => {
                let words: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
                write!(f, "This takes a key with the scope {}.", words.join(" or "))
            }
            Denial::Kind(kind) => write!(
                f,
                "This key is bound to folders: it purges by url, prefix, asset, folder and pattern, not by {kind}."
            ),
            Denial::Outside(folders) => {
                write!(f, "This key is bound to what lies below {}.", folders.join(" and "))
            }
        }
    }
}

impl From<Denial> for AdminError {
    fn from(denial: Denial) -> AdminError {
        AdminError::Denied(denial)
    }
}

impl Principal {
    /// The bearer of a key. Nothing where its account is none of `ids` any more.
    pub(super) fn new(
        grant: &Grant,
        key: &PrivateKey,
        ids: &Arc<[Box<str>]>,
        endpoints: &Endpoints,
    ) -> Option<Principal> {
        let account = match &grant.account {
            None => None,
            Some(id) => Some(ids.iter().position(|known| **known == **id)?),
        };
        let folder = |url: &String| {
            let bound = account.and_then(|account| Bound::parse(url, account, endpoints).ok());
            if bound.is_none() {
                tracing::warn!(
                    key = grant.name,
                    url,
                    "the key is bound to a URL that has no folder: it opens nothing"
                );
            }
            Folder { url: url.as_str().into(), bound }
        };
        let folders = grant.urls.as_ref().map(|urls| urls.iter().map(folder).collect());
        let name = grant.name.as_str().into();
        let (ids, key, revoked) = (Arc::clone(ids), key.clone(), AtomicBool::new(false));
        Some(Principal { name, account, scopes: grant.scopes, folders, ids, key, revoked })
    }

    /// What the history calls its key.
    pub(in crate::admin) fn name(&self) -> &str {
        &self.name
    }

    /// What it may do.
    pub(in crate::admin) fn scopes(&self) -> Scopes {
        self.scopes
    }

    /// The place of its own account; nothing for an operator's.
    pub(in crate::admin) fn own_account(&self) -> Option<usize> {
        self.account
    }

    /// The places of the accounts that there are.
    pub(in crate::admin) fn all_accounts(&self) -> impl Iterator<Item = usize> {
        (0..self.ids.len()).filter(|place| !self.ids[*place].is_empty())
    }

    /// The key that it was known by.
    pub(super) fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// Its key is taken away: from now on its sessions are none.
    pub(super) fn revoke(&self) {
        self.revoked.store(true, Ordering::SeqCst);
    }

    /// Whether its key was taken away.
    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::SeqCst)
    }

    /// The URLs of the folders that it is bound to.
    pub(in crate::admin) fn urls(&self) -> Option<Vec<&str>> {
        self.folders.as_ref().map(|folders| folders.iter().map(|folder| &*folder.url).collect())
    }

    /// The account that a call is about: the one named, else the key's own, else the only one there is. Another
    /// account than the key's own is as unknown as nobody's.
    pub(in crate::admin) fn account(&self, named: Option<&str>) -> Result<usize, AdminError> {
        match self.accounts(named)? {
            Some(account) => Ok(account),
            None => {
                let mut all = self.all_accounts();
                let only = all.next().filter(|_| all.next().is_none());
                only.ok_or(AdminError::AccountMissing)
            }
        }
    }

    /// The same for a call that may be about all accounts: nothing means all, which an operator's key alone gets.
    pub(in crate::admin) fn accounts(&self, named: Option<&str>) -> Result<Option<usize>, AdminError> {
        let Some(named) = named else { return Ok(self.account) };
        let found = self.ids.iter().position(|id| **id == *named && !id.is_empty());
        let allowed = found.filter(|found| self.account.is_none_or(|own| own == *found));
        allowed.map(Some).ok_or(AdminError::AccountUnknown)
    }

    /// Refuses who has not the scope.
    pub(in crate::admin) fn require(&self, scope: Scope) -> Result<(), Denial> {
        match scope {
            Scope::Read => self.require_one_of(&[Scope::Read]),
            Scope::Purge => self.require_one_of(&[Scope::Purge]),
            Scope::Operator => self.require_one_of(&[Scope::Operator]),
        }
    }

    /// Refuses who has none of the scopes.
    pub(in crate::admin) fn require_one_of(&self, scopes: &'static [Scope]) -> Result<(), Denial> {
        if scopes.iter().any(|scope| self.scopes.has(*scope)) { Ok(()) } else { Err(Denial::Scope(scopes)) }
    }

    /// Refuses a target that the key may not purge: without the scope, beyond one account, or outside its folders.
    /// The target is one of the account that [`Principal::account`] said.
    pub(in crate::admin) fn may_purge(&self, target: &Target) -> Result<(), Denial> {
        self.require(Scope::Purge)?;
        let kind = match target {
            Target::Host(_) | Target::Everything => return self.require(Scope::Operator),
            Target::Tag(_) => Some("tag"),
            Target::Transformation(_) => Some("transformation"),
            Target::Url(_)
            | Target::Prefix(_)
            | Target::Asset(_)
            | Target::Folder(_)
            | Target::Pattern(_)
            | Target::Tree(_) => None,
        };
        match kind.filter(|_| self.folders.is_some()) {
            Some(kind) => Err(Denial::Kind(kind)),
            None => self.holds(target),
        }
    }

    /// Refuses to show what the target covers: without the scope, or outside the key's folders.
    pub(in crate::admin) fn may_see(&self, target: &Target) -> Result<(), Denial> {
        self.require(Scope::Read)?;
        self.holds(target)
    }

    /// Refuses what lies outside the key's folders, where it is bound to any.
    fn holds(&self, target: &Target) -> Result<(), Denial> {
        let Some(folders) = &self.folders else { return Ok(()) };
        let holds = |folder: &Folder| folder.bound.as_ref().is_some_and(|bound| bound.holds(target));
        if folders.iter().any(holds) {
            return Ok(());
        }
        Err(Denial::Outside(folders.iter().map(|folder| folder.url.clone()).collect()))
    }
}
