//! A folder of URLs that whoever purges may be bound to, and which targets lie in it.
//!
//! A URL, a prefix and a pattern lie in it by the text of their keys; an asset and a folder by the texts of their
//! images, wherever `tr:` stands. What names no place, a tag as an example, lies in no folder. Pure.

use super::Target;
use crate::key::{Endpoints, KeyError};

/// A folder of an account's URLs: the text that the keys below it begin with, with the slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound(Box<str>);

impl Bound {
    /// The folder of this URL, whose last slash may be left out, if it is the account's.
    pub fn parse(url: &str, account: usize, endpoints: &Endpoints) -> Result<Bound, KeyError> {
        let (owner, prefix) = endpoints.parse_prefix(&format!("{}/", url.trim_end_matches('/')))?;
        super::owned_by(account, owner, Bound(prefix.as_str().into()))
    }

    /// Whether all that the target covers lies in the folder.
    pub fn holds(&self, target: &Target) -> bool {
        match target {
            Target::Url(key) => key.as_str().starts_with(&*self.0),
            Target::Prefix(prefix) => prefix.as_str().starts_with(&*self.0),
            Target::Asset(asset) => asset.as_str().starts_with(&*self.0),
            Target::Folder(folder) => folder.as_str().starts_with(&*self.0),
            Target::Tree(tree) => tree.as_str().starts_with(&*self.0),
            Target::Pattern(pattern) => pattern.fixed().starts_with(&*self.0),
            Target::Tag(_) | Target::Transformation(_) | Target::Host(_) | Target::Everything => false,
        }
    }
}
