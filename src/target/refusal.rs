//! Why a URL can't be purged: one variant for each rule, with what the rule saw. Values alone.

use std::fmt;

use super::pattern::LITERALS_MIN;
use super::tag::TagError;
use super::transformation::TransformationError;
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
    /// A prefix is named without the `*` at its end.
    PrefixWildcard,
    /// A wildcard where a folder is named, which needs none.
    FolderWildcard,
    /// A folder's URL has a query.
    FolderQuery,
    /// The folder is the whole endpoint.
    FolderRoot,
    /// The text is no tag.
    Tag(TagError),
    /// The text is no name of a transformation.
    Transformation(TransformationError),
    /// A pattern has no `*`.
    PatternWildcard,
    /// A `*` of a pattern stands before the path below the endpoint, or a fragment follows it.
    PatternPlace {
        /// Where, counted in characters from 1.
        character: usize,
    },
    /// The pattern reaches too far.
    PatternWide {
        /// The path, with its `*`, below the endpoint.
        path: Box<str>,
        /// How many characters it has that count.
        characters: usize,
    },
    /// No account has an endpoint on the host.
    HostUnknown,
    /// What is wide is purged only where it is named twice.
    ConfirmMissing {
        /// What the confirmation has to say.
        expected: Box<str>,
    },
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
            Refusal::PrefixWildcard => "prefix-wildcard",
            Refusal::FolderWildcard => "folder-wildcard",
            Refusal::FolderQuery => "folder-query",
            Refusal::FolderRoot => "folder-root",
            Refusal::Tag(error) => error.as_str(),
            Refusal::Transformation(error) => error.as_str(),
            Refusal::PatternWildcard => "pattern-wildcard",
            Refusal::PatternPlace { .. } => "pattern-place",
            Refusal::PatternWide { .. } => "pattern-wide",
            Refusal::HostUnknown => "host-unknown",
            Refusal::ConfirmMissing { .. } => "confirm-missing",
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
            Refusal::PrefixWildcard => {
                f.write_str("a prefix ends in a `*`; without one, a URL is named as `url`")
            }
            Refusal::FolderWildcard => {
                f.write_str("a folder is named by its URL, without a wildcard: all that lies below it is meant")
            }
            Refusal::FolderQuery => f.write_str("a folder is named by its path alone; leave the query out"),
            Refusal::FolderRoot => f.write_str(
                "the URL is the endpoint itself; name a folder below it, such as `/photos/`",
            ),
            Refusal::Tag(error) => error.fmt(f),
            Refusal::Transformation(error) => error.fmt(f),
            Refusal::PatternWildcard => {
                f.write_str("a pattern has a `*` in its path; without one, a URL is named as `url`")
            }
            Refusal::PatternPlace { character } => write!(
                f,
                "the `*` at character {character} is out of place: in a pattern it stands in the path below the \
                 endpoint, or behind it, and no fragment follows"
            ),
            Refusal::PatternWide { path, characters } => write!(
                f,
                "the pattern `{path}` begins with no whole folder and has {}; it needs a folder before its first \
                 `*`, such as `/folder/*`, or {LITERALS_MIN} characters beside its `*`",
                counted(*characters, "character"),
            ),
            Refusal::HostUnknown => {
                f.write_str("no account has a URL endpoint on this host; name the host of an endpoint")
            }
            Refusal::ConfirmMissing { expected } => {
                write!(f, "a purge as wide as this is confirmed: say `{expected}` as `confirm`, too")
            }
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
