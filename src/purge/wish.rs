//! What a caller wants purged, in the words that it used. Values alone.

use std::borrow::Cow;

use crate::key::Endpoints;
use crate::target::{Mode, Refusal, Tag, Target};

/// One thing to be purged: one request, one row, one charge.
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

    /// The same wish has the same one: the text itself for a URL that is removed, which most wishes are.
    pub(super) fn identity(&self) -> Cow<'a, str> {
        let kind = match self.named {
            Named::Url(url) if self.mode == Mode::Delete => return Cow::Borrowed(url),
            Named::Url(_) => "url",
            Named::Asset(_) => "asset",
            Named::Tag(_) => "tag",
        };
        Cow::Owned(format!("{} {kind} {}", self.mode.as_str(), self.text()))
    }

    /// What it comes to, for the account with this index.
    pub fn target(&self, account: usize, id: &str, endpoints: &Endpoints) -> Result<Target, Refusal> {
        match self.named {
            Named::Url(url) => Target::parse(url, account, endpoints),
            Named::Asset(url) => Target::parse_asset(url, account, endpoints),
            Named::Tag(name) => Tag::new(id, name).map(Target::Tag).map_err(Refusal::Tag),
        }
    }
}
