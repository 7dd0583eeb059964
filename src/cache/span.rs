//! What a fence names: texts in one of four orders, exactly, by their beginning or by a pattern.
//!
//! Every text begins with an account's id and `/` (but the empty one, which names all), so that a comparison of
//! texts never leaves an account. Values alone; O(length).

use std::sync::Arc;

use crate::key::{AssetPlace, AssetText, any_transformation_name, pattern_fixed, pattern_matches};
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
    /// Each named transformation of a key, behind its account.
    Transformation = 3,
}

impl Order {
    /// All of them, each at its own number.
    pub const ALL: [Order; 4] = [Order::Url, Order::Asset, Order::Tag, Order::Transformation];
}

/// How far a span's text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// It is the whole.
    Exact,
    /// It is the beginning.
    Prefix,
    /// It is a pattern of the whole, with a `*` for any run of characters. In the order of URLs alone.
    Pattern,
}

impl Reach {
    /// All of them, each at its own number.
    pub const ALL: [Reach; 3] = [Reach::Exact, Reach::Prefix, Reach::Pattern];
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

/// Bytes that two texts begin with alike, eight at a time as long as they can.
pub fn common_prefix(left: &str, right: &str) -> usize {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let words = left.chunks_exact(8).zip(right.chunks_exact(8)).take_while(|(a, b)| a == b).count() * 8;
    words + left[words..].iter().zip(&right[words..]).take_while(|(a, b)| a == b).count()
}

impl Span {
    /// The spans of a target: one, but of a host one for each account, and of a tree one for each way to go on.
    pub fn of(target: &Target) -> Vec<Span> {
        let span = |order, reach, text: &str| Span { order, reach, text: text.into() };
        match target {
            Target::Url(key) => vec![span(Order::Url, Reach::Exact, key.as_str())],
            Target::Prefix(prefix) => vec![span(Order::Url, Reach::Prefix, prefix.as_str())],
            Target::Asset(asset) => vec![span(Order::Asset, Reach::Exact, asset.as_str())],
            Target::Folder(folder) => vec![span(Order::Asset, Reach::Prefix, folder.as_str())],
            Target::Tag(tag) => vec![span(Order::Tag, Reach::Exact, tag.as_str())],
            Target::Transformation(transformation) => {
                vec![span(Order::Transformation, Reach::Exact, transformation.as_str())]
            }
            Target::Pattern(pattern) => vec![match pattern.as_str().strip_suffix('*') {
                // Nothing else is wild in it: a plain beginning, which costs less.
                Some(beginning) if beginning.len() == pattern.fixed().len() => {
                    span(Order::Url, Reach::Prefix, beginning)
                }
                _ => span(Order::Url, Reach::Pattern, pattern.as_str()),
            }],
            Target::Tree(tree) if tree.is_prefix() => vec![span(Order::Url, Reach::Prefix, tree.as_str())],
            Target::Tree(tree) => {
                let below = |mark| span(Order::Url, Reach::Prefix, &format!("{}{mark}", tree.as_str()));
                vec![span(Order::Url, Reach::Exact, tree.as_str()), below('/'), below('?')]
            }
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
            Order::Transformation => {
                let Some(wanted) = self.text.strip_prefix(subject.account()) else { return false };
                any_transformation_name(subject.key, |name| match self.reach {
                    Reach::Prefix => name.starts_with(wanted),
                    Reach::Exact | Reach::Pattern => name == wanted,
                })
            }
        }
    }

    /// Whether it names a text of its own order.
    pub fn names(&self, text: &str) -> bool {
        match self.reach {
            Reach::Exact => *self.text == *text,
            Reach::Prefix => text.starts_with(&*self.text),
            Reach::Pattern => pattern_matches(&self.text, text),
        }
    }

    /// What all texts begin with that it names.
    pub fn fixed(&self) -> &str {
        match self.reach {
            Reach::Exact | Reach::Prefix => &self.text,
            Reach::Pattern => pattern_fixed(&self.text),
        }
    }

    /// Whether it certainly names all that another one names: another order's where it names whole accounts, and
    /// in its own order what a comparison of the texts shows.
    pub fn contains(&self, other: &Span) -> bool {
        if self.order != other.order && !self.names_accounts() {
            return false;
        }
        match self.reach {
            Reach::Prefix => other.fixed().starts_with(&*self.text),
            Reach::Exact | Reach::Pattern => self.reach == other.reach && self.text == other.text,
        }
    }

    /// Bytes that all texts begin with alike that either of the two names.
    pub fn alike(&self, other: &Span) -> usize {
        common_prefix(self.fixed(), other.fixed())
    }

    /// Whether it names an asset, in the order of assets.
    pub fn names_asset(&self, asset: &AssetText<'_>) -> bool {
        match self.reach {
            Reach::Prefix => asset.starts_with(self.text.as_bytes()),
            Reach::Exact | Reach::Pattern => asset.is(self.text.as_bytes()),
        }
    }

    /// Whether the index leads a sweep to what it names and to nothing else.
    pub fn is_led_to(&self) -> bool {
        matches!(self.order, Order::Url | Order::Asset) && self.reach != Reach::Pattern
    }

    /// Whether it names all keys of whole accounts, and so whatever lies there in any order.
    pub fn names_accounts(&self) -> bool {
        self.order == Order::Url
            && self.reach == Reach::Prefix
            && account(&self.text).len() == self.text.len()
    }
}
