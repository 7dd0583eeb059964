//! Why a URL can't be purged: one variant for each rule, with what the rule saw. Values alone.

use std::fmt;

use super::tag::TagError;
use super::wildcard::{CHARACTERS_MIN, LEVELS_MIN};
use crate::key::KeyError;

/// Why a URL names no target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The URL is empty.
    UrlMissing,
    /// The text is no URL that a request could have.
    Url(KeyError),
    /// The URL lies below none of the account's endpoints.
    OutsideAccount {
        /// Those endpoints.
        endpoints: Box<[Box<str>]>,
    },
    /// A `*` stands elsewhere than at the end, or in a fragment.
    WildcardPlace {
        /// Where, counted in characters from 1.
        character: usize,
    },
    /// A wildcard where an asset is named, which needs none.
    AssetWildcard,
    /// The text is no tag.
    Tag(TagError),
    /// The wildcard names a folder that is never purged as a whole.
    WildcardFolder {
        /// The folder.
        folder: &'static str,
    },
    /// The wildcard reaches too far.
    WildcardWide {
        /// The path before the `*`, below the endpoint.
        path: Box<str>,
        /// How many levels it has.
        levels: usize,
        /// How many characters it has that count.
        characters: usize,
    },
}

impl Refusal {
    /// The rule's code, for answers, logs and labels.
    pub fn as_str(&self) -> &'static str {
        match self {
            Refusal::UrlMissing => "url-missing",
            Refusal::Url(error) => error.as_str(),
            Refusal::OutsideAccount { .. } => "outside-account",
            Refusal::WildcardPlace { .. } => "wildcard-place",
            Refusal::AssetWildcard => "asset-wildcard",
            Refusal::Tag(error) => error.as_str(),
            Refusal::WildcardFolder { .. } => "wildcard-folder",
            Refusal::WildcardWide { .. } => "wildcard-wide",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::UrlMissing => f.write_str("the URL is empty"),
            Refusal::Url(error) => error.fmt(f),
            Refusal::OutsideAccount { endpoints } => {
                let endpoints = endpoints.join("`, `");
                write!(f, "the URL lies below no URL endpoint of this account: `{endpoints}`")
            }
            Refusal::WildcardPlace { character } => write!(
                f,
                "the `*` at character {character} is out of place: a wildcard is the last character of a URL \
                 without a fragment; as a plain character it is `%2A`"
            ),
            Refusal::AssetWildcard => f.write_str(
                "an asset is named by the URL of its image, without a wildcard: all its transformations are meant",
            ),
            Refusal::Tag(error) => error.fmt(f),
            Refusal::WildcardFolder { folder } => write!(
                f,
                "a wildcard over the whole folder `/{folder}` is never allowed; name something inside it, such \
                 as `/{folder}/name*`"
            ),
            Refusal::WildcardWide { path, levels, characters } => write!(
                f,
                "the path `{path}` has {} and {}; a wildcard needs at least {LEVELS_MIN} levels, \
                 {CHARACTERS_MIN} characters or a complete file name such as `/name.jpg*`",
                counted(*levels, "level"),
                counted(*characters, "character"),
            ),
        }
    }
}

impl std::error::Error for Refusal {}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
