//! What a purge names, which keys that covers, and why a URL names nothing.
//!
//! A URL names itself; a `*` as its last character makes it a plain prefix, with no segment boundary, which
//! `wildcard.rs` may refuse as too wide; in a pattern every `*` is a wildcard, which `pattern.rs` judges. `%2A` is a
//! character like others. `tag.rs` has the names that origins give their responses, `transformation.rs` those that
//! transformations have, `tree.rs` what lies below a URL by whole segments, `bound.rs` folders that a purge may have to lie in. No locks; O(length).

mod bound;
#[cfg(test)]
mod cover_tests;
mod pattern;
mod refusal;
mod tag;
#[cfg(test)]
mod tests;
mod transformation;
mod tree;
#[cfg(test)]
mod wide_tests;
mod wildcard;

pub use bound::Bound;
pub use refusal::Refusal;
pub use tag::{Tag, TagError, Tags};
pub use transformation::{Transformation, TransformationError};
pub use tree::TreeName;

use std::fmt;

use crate::config::Authority;
use crate::key::{Endpoints, Key, KeyError, KeyPattern, KeyPrefix, decoded};

/// What a purge names. A kind more is a variant here, and the arms that the compiler then asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// One URL, with all variants of its resource.
    Url(Key),
    /// Every URL with this beginning.
    Prefix(KeyPrefix),
    /// An image with all its transformations, in the path or in the query, signed or versioned.
    Asset(AssetName),
    /// All images below a folder, with all their transformations, wherever these stand in the path.
    Folder(FolderName),
    /// Every response that its origin gave this tag.
    Tag(Tag),
    /// Every image made by this named transformation.
    Transformation(Transformation),
    /// Every URL whose canonical text the pattern stands for.
    Pattern(KeyPattern),
    /// A URL, and all that lies below it by whole segments.
    Tree(TreeName),
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

/// What the assets below one folder begin with: its key without transformations and query, and a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FolderName(Box<str>);

impl FolderName {
    /// The folder of a key: the key is the folder's own, with or without the slash.
    fn of(key: &Key) -> FolderName {
        let asset = key.asset();
        let slash = if asset.ends_with('/') { "" } else { "/" };
        FolderName([&*asset, slash].concat().into())
    }

    /// Account and path, with the slash at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a whole endpoint: no level of it has a name.
    fn is_root(&self) -> bool {
        !self.0.split('/').skip(1).any(|segment| wildcard::is_level(&decoded(segment)))
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

    /// The URLs with this beginning, named with the `*` behind it, by the account with the index `account`.
    pub fn parse_prefix(url: &str, account: usize, endpoints: &Endpoints) -> Result<Target, Refusal> {
        match Target::parse(url, account, endpoints)? {
            Target::Prefix(prefix) => Ok(Target::Prefix(prefix)),
            _ => Err(Refusal::PrefixWildcard),
        }
    }

    /// All images below the folder of this URL, whose last slash may be left out, of the account with the index
    /// `account`.
    pub fn parse_folder(url: &str, account: usize, endpoints: &Endpoints) -> Result<Target, Refusal> {
        if url.contains('*') {
            return Err(Refusal::FolderWildcard);
        }
        let Target::Url(key) = Target::parse(url, account, endpoints)? else {
            return Err(Refusal::FolderWildcard);
        };
        if key.query().is_some() {
            return Err(Refusal::FolderQuery);
        }
        let folder = FolderName::of(&key);
        if folder.is_root() { Err(Refusal::FolderRoot) } else { Ok(Target::Folder(folder)) }
    }

    /// The URLs that a URL with `*` in its path stands for, of the account with the index `account`.
    pub fn parse_pattern(url: &str, account: usize, endpoints: &Endpoints) -> Result<Target, Refusal> {
        if url.is_empty() {
            return Err(Refusal::UrlMissing);
        }
        pattern::place(url)?;
        let parsed = endpoints
            .parse_pattern(url)
            .and_then(|(owner, parsed)| owned_by(account, owner, parsed))
            .map_err(|error| refusal(error, account, endpoints))?;
        pattern::is_below(url, &parsed)?;
        pattern::judge(&parsed)?;
        Ok(Target::Pattern(parsed))
    }

    /// The URL and all that lies below it, of the account with the index `account`; a `*` is a character like others.
    pub fn parse_tree(url: &str, account: usize, endpoints: &Endpoints) -> Result<Target, Refusal> {
        if url.is_empty() {
            return Err(Refusal::UrlMissing);
        }
        let tree = TreeName::parse(url, endpoints).and_then(|(owner, tree)| owned_by(account, owner, tree));
        tree.map_err(|error| refusal(error, account, endpoints))?.judge().map(Target::Tree)
    }

    /// All of the accounts that have an endpoint on `host`; nothing where no account has.
    pub fn host(host: &Authority, endpoints: &Endpoints) -> Option<Target> {
        Target::accounts(endpoints.accounts_on(host))
    }

    /// All of these accounts; nothing where there are none.
    pub fn accounts(ids: Box<[Box<str>]>) -> Option<Target> {
        (!ids.is_empty()).then_some(Target::Host(HostAccounts(ids)))
    }

    /// Whether the purge names what is stored under `key` with these `tags`.
    pub fn covers(&self, key: &Key, tags: &Tags) -> bool {
        match self {
            Target::Url(named) => named == key,
            Target::Prefix(prefix) => prefix.covers(key),
            Target::Asset(asset) => key.asset() == *asset.0,
            Target::Folder(folder) => key.asset().starts_with(&*folder.0),
            Target::Tag(tag) => tags.contains(tag),
            Target::Transformation(transformation) => transformation.covers(key),
            Target::Pattern(pattern) => pattern.covers(key),
            Target::Tree(tree) => tree.covers(key),
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
            Target::Asset(_)
            | Target::Folder(_)
            | Target::Tag(_)
            | Target::Transformation(_)
            | Target::Pattern(_)
            | Target::Tree(_)
            | Target::Host(_)
            | Target::Everything => None,
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
            Target::Folder(folder) => write!(f, "folder {}", folder.0),
            Target::Tag(tag) => write!(f, "tag {}", tag.as_str()),
            Target::Transformation(transformation) => write!(f, "transformation {}", transformation.as_str()),
            Target::Pattern(pattern) => write!(f, "pattern {}", pattern.as_str()),
            Target::Tree(tree) => write!(f, "tree {}", tree.as_str()),
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
