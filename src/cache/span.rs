//! What a fence names: keys in one of three orders, exactly or by their beginning.
//!
//! Every text begins with an account's id and `/` (but the empty one, which names all), so that a comparison of
//! texts never leaves an account. Values alone; O(length).

use std::sync::Arc;

use crate::key::{AssetPlace, AssetText};
use crate::target::{Tags, Target};

/// What a span's text is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Order {
    /// A key, as its URL is written.
    Url = 0,
    /// The asset of a key.
    Asset = 1,
    /// Each tag of a response.
    Tag = 2,
}

impl Order {
    /// All of them, each at its own number.
    pub const ALL: [Order; 3] = [Order::Url, Order::Asset, Order::Tag];
}

/// How far a span's text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// It is the whole.
    Exact,
    /// It is the beginning.
    Prefix,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// What the text is compared with.
    pub order: Order,
    /// How far it goes.
    pub reach: Reach,
    /// The text.
    pub text: Arc<str>,
}

/// What a span judges: a key, and the tags of its response where they are known.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The key's text.
    pub key: &'a str,
    /// Nothing before the response's head has come.
    pub tags: Option<&'a Tags>,
}

impl<'a> Subject<'a> {
    /// What is stored, or fetched as far as its head, under `key`.
    pub fn known(key: &'a str, tags: &'a Tags) -> Subject<'a> {
        Subject { key, tags: Some(tags) }
    }

    /// The account's id and `/`.
    pub fn account(&self) -> &'a str {
        account(self.key)
    }
}

/// The beginning of a span's or a key's text that names its account; empty where it names none.
pub fn account(text: &str) -> &str {
    text.find('/').map_or("", |slash| &text[..=slash])
}

impl Span {
    /// The spans of a target: one for each account that it names.
    pub fn of(target: &Target) -> Vec<Span> {
        let span = |order, reach, text: &str| Span { order, reach, text: text.into() };
        match target {
            Target::Url(key) => vec![span(Order::Url, Reach::Exact, key.as_str())],
            Target::Prefix(prefix) => vec![span(Order::Url, Reach::Prefix, prefix.as_str())],
            Target::Asset(asset) => vec![span(Order::Asset, Reach::Exact, asset.as_str())],
            Target::Tag(tag) => vec![span(Order::Tag, Reach::Exact, tag.as_str())],
            Target::Host(accounts) => {
                accounts.ids().iter().map(|id| span(Order::Url, Reach::Prefix, &format!("{id}/"))).collect()
            }
            Target::Everything => vec![span(Order::Url, Reach::Prefix, "")],
        }
    }

    /// Whether it names the subject. Of a response whose tags are not known yet, every tag may be one.
    pub fn covers(&self, subject: Subject<'_>) -> bool {
        match self.order {
            Order::Url => self.names(subject.key),
            Order::Asset => self.names_asset(&AssetPlace::of(subject.key).within(subject.key.as_bytes())),
            Order::Tag => match subject.tags {
                None => subject.account() == account(&self.text),
                Some(tags) => tags.as_slice().iter().any(|tag| self.names(tag.as_str())),
            },
        }
    }

    /// Whether it names a text of its own order.
    pub fn names(&self, text: &str) -> bool {
        match self.reach {
            Reach::Exact => *self.text == *text,
            Reach::Prefix => text.starts_with(&*self.text),
        }
    }

    /// Whether it names an asset, in the order of assets.
    pub fn names_asset(&self, asset: &AssetText<'_>) -> bool {
        match self.reach {
            Reach::Exact => asset.is(self.text.as_bytes()),
            Reach::Prefix => asset.starts_with(self.text.as_bytes()),
        }
    }

    /// Whether it names all keys of whole accounts, and so whatever lies there in any order.
    pub fn names_accounts(&self) -> bool {
        self.order == Order::Url
            && self.reach == Reach::Prefix
            && account(&self.text).len() == self.text.len()
    }
}
