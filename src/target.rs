//! What a purge names, which keys that covers, and why a URL names nothing.
//!
//! A URL names itself; a `*` as its last character makes it a plain prefix, with no segment boundary, which
//! `wildcard.rs` may refuse as too wide. `%2A` is a character like others. No locks; O(length).

mod refusal;
#[cfg(test)]
mod tests;
mod wildcard;

pub use refusal::Refusal;

use std::fmt;

use crate::key::{Endpoints, Key, KeyError, KeyPrefix};

/// What a purge names. A kind more is a variant here, and the arms that the compiler then asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// One URL, with all variants of its resource.
    Url(Key),
    /// Every URL with this beginning.
    Prefix(KeyPrefix),
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

    /// Whether the purge removes what is stored under `key`.
    pub fn covers(&self, key: &Key) -> bool {
        match self {
            Target::Url(named) => named == key,
            Target::Prefix(prefix) => prefix.covers(key),
        }
    }

    /// The id of the account that it lies in.
    pub fn account(&self) -> &str {
        match self {
            Target::Url(key) => key.account(),
            Target::Prefix(prefix) => prefix.account(),
        }
    }

    /// The canonical text: a key, or what keys begin with (without a `*`).
    pub fn as_str(&self) -> &str {
        match self {
            Target::Url(key) => key.as_str(),
            Target::Prefix(prefix) => prefix.as_str(),
        }
    }

    /// The canonical URL, a prefix with its `*`: [`Target::parse`] makes the same target of it. Nothing where
    /// the account is unknown.
    pub fn url(&self, endpoints: &Endpoints) -> Option<String> {
        match self {
            Target::Url(key) => endpoints.url_of(key),
            Target::Prefix(prefix) => endpoints.url_of_prefix(prefix).map(|url| url + "*"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wildcard = if matches!(self, Target::Prefix(_)) { "*" } else { "" };
        write!(f, "{}{wildcard}", self.as_str())
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
