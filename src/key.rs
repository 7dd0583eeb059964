//! URL → key, and its asset: the one function that requests and purges share.
//!
//! A key's text is the account's id, the canonical path below the endpoint, which starts with `/`, and
//! `?query` where there is one: `demo/photos/2024/harbour.jpg?tr=w-300,h-200`. An id has no `/`, so that
//! `demo/` begins no other account's keys; a path has no bare `?`, so that the text tells its parts.
//!
//! Invariants: a key's text is ASCII, a fixed point of `canonical.rs`, and from its path on a request
//! target that any origin's parser accepts. Scheme, host, alias and fragment are no part of it.
//!
//! `canonical.rs` has the rules for bytes, `endpoints.rs` decides whose a URL is, `asset.rs` finds a key's asset in
//! it, `named.rs` its named transformations; `remade.rs` says whose keys another config changes; `pattern.rs` has texts that stand for many keys. No locks; everything here is O(length).

mod asset;
mod canonical;
mod endpoints;
mod error;
#[cfg(test)]
pub(crate) mod examples;
mod named;
mod pattern;
mod remade;
mod spare;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use asset::{AssetPlace, AssetText, of as asset_of};
pub(crate) use canonical::decoded;
pub use endpoints::{Endpoints, Located};
pub use error::KeyError;
pub(crate) use named::{NAME as TRANSFORMATION_NAME, any_name as any_transformation_name};
pub use pattern::KeyPattern;
pub(crate) use pattern::{fixed as pattern_fixed, matches as pattern_matches};
pub use remade::{Making, remade};

use std::borrow::Cow;
use std::fmt;

/// What a path segment begins with that holds a transformation.
pub(crate) const TRANSFORMATION: &str = "tr:";

/// What an image is stored under.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// The key of a text that was one before: what the store has.
    pub(crate) fn stored(text: &str) -> Key {
        Key(text.to_owned())
    }

    /// The whole text; keys sort by it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The account's id.
    pub fn account(&self) -> &str {
        split_account(&self.0).0
    }

    /// The path below the endpoint, from its first `/`.
    pub fn path(&self) -> &str {
        split_query(self.path_and_query()).0
    }

    /// What follows the first `?`.
    pub fn query(&self) -> Option<&str> {
        split_query(self.path_and_query()).1
    }

    /// Gives the memory of the text back, for the next key that is made on this thread. A request that was
    /// answered from the store needs its key no longer, so that many hits share one allocation.
    pub fn recycle(self) {
        spare::give(self.0);
    }

    /// What the origin is asked for, after its base.
    pub fn path_and_query(&self) -> &str {
        split_account(&self.0).1
    }

    /// The key without its `tr:` segments and its query: all transformations, signatures and versions of an
    /// image share it. Allocates only where something is left out in the middle.
    pub fn asset(&self) -> Cow<'_, str> {
        asset::of(&self.0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the keys of all URLs begin with that begin with one text and lie below one endpoint.
///
/// It holds at least the account's id and a `/`, so that it reaches no other account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyPrefix(Box<str>);

impl KeyPrefix {
    /// The whole text, without a `*`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The account's id.
    pub fn account(&self) -> &str {
        split_account(&self.0).0
    }

    /// The path below the endpoint, as far as the prefix goes, from its first `/`.
    pub fn path(&self) -> &str {
        split_query(split_account(&self.0).1).0
    }

    /// Whether `key` begins with it.
    pub fn covers(&self, key: &Key) -> bool {
        key.0.starts_with(&*self.0)
    }
}

fn split_account(text: &str) -> (&str, &str) {
    text.split_at(text.find('/').expect("a key is made with a path: endpoints.rs, `Owner::text`"))
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    }
}
