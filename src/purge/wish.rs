//! What a caller wants purged, in the words that it used. Values alone.

use crate::key::Endpoints;
use crate::target::{Mode, Refusal, Tag, Target};

/// One thing to be purged: one target of a request, one charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish<'a> {
    /// What is named.
    pub named: Named<'a>,
    /// What becomes of it.
    pub mode: Mode,
}

/// How something is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    /// By its URL, or by the beginning of its URL and a `*`.
    Url(&'a str),
    /// By the URL of any of its transformations: all of them are meant.
    Asset(&'a str),
    /// By a tag that its origin gave it.
    Tag(&'a str),
}

impl Named<'_> {
    /// The word for the way in which it is named, in calls and records.
    pub fn kind(&self) -> &'static str {
        match self {
            Named::Url(_) => "url",
            Named::Asset(_) => "asset",
            Named::Tag(_) => "tag",
        }
    }
}

impl<'a> Wish<'a> {
    /// That what the URL names is removed.
    pub fn url(url: &'a str) -> Wish<'a> {
        Wish { named: Named::Url(url), mode: Mode::Delete }
    }

    /// The URL or the tag, as it was given.
    pub fn text(&self) -> &'a str {
        match self.named {
            Named::Url(text) | Named::Asset(text) | Named::Tag(text) => text,
        }
    }

    /// What it comes to, for the account with this index.
    pub(super) fn target(&self, account: usize, id: &str, endpoints: &Endpoints) -> Result<Target, Refusal> {
        match self.named {
            Named::Url(url) => Target::parse(url, account, endpoints),
            Named::Asset(url) => Target::parse_asset(url, account, endpoints),
            Named::Tag(name) => Tag::new(id, name).map(Target::Tag).map_err(Refusal::Tag),
        }
    }
}
