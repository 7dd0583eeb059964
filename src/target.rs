//! What a purge names, which keys that covers, and why a URL names nothing.
//!
//! A URL names itself; a `*` as its last character makes it a plain prefix, with no segment boundary, which
//! `wildcard.rs` may refuse as too wide. `%2A` is a character like others. `tag.rs` has the names that origins
//! give their responses, `bound.rs` folders that a purge may have to lie in. No locks; O(length).

mod bound;
mod refusal;
mod tag;
#[cfg(test)]
mod tests;
mod wildcard;

pub use bound::Bound;
pub use refusal::Refusal;
pub use tag::{Tag, TagError, Tags};

use std::fmt;

use crate::config::Authority;
use crate::key::{Endpoints, Key, KeyError, KeyPrefix};

/// What a purge names. A kind more is a variant here, and the arms that the compiler then asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// One URL, with all variants of its resource.
    Url(Key),
    /// Every URL with this beginning.
    Prefix(KeyPrefix),
    /// An image with all its transformations, in the path or in the query, signed or versioned.
    Asset(AssetName),
    /// Every response that its origin gave this tag.
    Tag(Tag),
    /// All that the accounts have which have an endpoint on one host. Aliases share their keys, so what is
    /// reached by another host too is purged as well.
    Host(HostAccounts),
    /// All that is stored.
    Everything,
}

/// What becomes of what a purge names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// It is gone, and never served again.
    #[default]
    Delete,
    /// It is stale: its origin is asked before it is served, or behind it where `stale-while-revalidate` says so.
    Stale,
}

impl Mode {
    /// The word for it, in calls, logs and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Delete => "delete",
            Mode::Stale => "stale",
        }
    }
}

/// The text that all keys of one image share: its key without transformations and query.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AssetName(Box<str>);

impl AssetName {
    /// The asset of a key.
    pub fn of(key: &Key) -> AssetName {
        AssetName(key.asset().into())
    }

    /// Account and path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The ids of the accounts that have an endpoint on one host; one at least.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostAccounts(Box<[Box<str>]>);

impl HostAccounts {
    /// In the config's order.
    pub fn ids(&self) -> &[Box<str>] {
        &self.0
    }
}

impl Target {
    /// Reads the URL of a purge by the account with the index `account`; the whole of it counts as one URL,
    /// blanks at its ends too.
    pub fn parse(url: &str, account: usize, endpoints: &Endpoints) -> Result<Target, Refusal> {
        if url.is_empty() {
            return Err(Refusal::UrlMissing);
        }
        let Some(prefix) = wildcard::split(url)? else {
            let located = endpoints.parse_url(url);
            let key = located.and_then(|located| owned_by(account, located.account, located.key));
            return key.map(Target::Url).map_err(|error| refusal(error, account, endpoints));
        };
        let prefix = endpoints
            .parse_prefix(prefix)
            .and_then(|(owner, prefix)| owned_by(account, owner, prefix))
            .map_err(|error| refusal(error, account, endpoints))?;
        wildcard::judge(prefix.path())?;
        Ok(Target::Prefix(prefix))
    }

    /// The image of the URL of a purge by the account with the index `account`, with all its transformations.
    pub fn parse_asset(url: &str, account: usize, endpoints: &Endpoints) -> Result<Target, Refusal> {
        match Target::parse(url, account, endpoints)? {
            Target::Url(key) => Ok(Target::Asset(AssetName::of(&key))),
            _ => Err(Refusal::AssetWildcard),
        }
    }

    /// All of the accounts that have an endpoint on `host`; nothing where no account has.
    pub fn host(host: &Authority, endpoints: &Endpoints) -> Option<Target> {
        let ids = endpoints.accounts_on(host);
        (!ids.is_empty()).then_some(Target::Host(HostAccounts(ids)))
    }

    /// Whether the purge names what is stored under `key` with these `tags`.
    pub fn covers(&self, key: &Key, tags: &Tags) -> bool {
        match self {
            Target::Url(named) => named == key,
            Target::Prefix(prefix) => prefix.covers(key),
            Target::Asset(asset) => key.asset() == *asset.0,
            Target::Tag(tag) => tags.contains(tag),
            Target::Host(accounts) => accounts.0.iter().any(|id| **id == *key.account()),
            Target::Everything => true,
        }
    }

    /// The canonical URL, a prefix with its `*`: [`Target::parse`] makes the same target of it. Nothing where
    /// the account is unknown, or the target is neither URL nor prefix.
    pub fn url(&self, endpoints: &Endpoints) -> Option<String> {
        match self {
            Target::Url(key) => endpoints.url_of(key),
            Target::Prefix(prefix) => endpoints.url_of_prefix(prefix).map(|url| url + "*"),
            Target::Asset(_) | Target::Tag(_) | Target::Host(_) | Target::Everything => None,
        }
    }
}

/// The canonical text, for people and records: a key, a prefix with its `*`, or the kind and its name.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Url(key) => f.write_str(key.as_str()),
            Target::Prefix(prefix) => write!(f, "{}*", prefix.as_str()),
            Target::Asset(asset) => write!(f, "asset {}", asset.0),
            Target::Tag(tag) => write!(f, "tag {}", tag.as_str()),
            Target::Host(accounts) => write!(f, "accounts {}", accounts.0.join(" ")),
            Target::Everything => f.write_str("everything"),
        }
    }
}

/// Another account's URLs are as unknown as nobody's: a refusal tells nothing about them.
fn owned_by<T>(account: usize, owner: usize, named: T) -> Result<T, KeyError> {
    if owner == account { Ok(named) } else { Err(KeyError::UnknownPath) }
}

fn refusal(error: KeyError, account: usize, endpoints: &Endpoints) -> Refusal {
    match error {
        KeyError::UnknownHost | KeyError::UnknownPath => {
            Refusal::OutsideAccount { endpoints: endpoints.of_account(account).into() }
        }
        error => Refusal::Url(error),
    }
}
