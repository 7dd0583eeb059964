//! Tags: names that an origin gives its responses, by which many are purged at once.
//!
//! A tag belongs to an account: its text is the account's id, `/`, and the name as the origin wrote it, so that
//! no account's tag is another's. Values alone.

use std::fmt;
use std::sync::Arc;

use crate::limits::{TAG_BYTES_MAX, TAGS_MAX};

/// One tag of one account. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

/// Why a text is no tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagError {
    /// It is empty.
    Empty,
    /// It has more than `TAG_BYTES_MAX` bytes.
    TooLong,
    /// It holds a control character or one outside ASCII, which no field can name.
    Character,
}

impl TagError {
    /// The rule's code, for answers, logs and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            TagError::Empty => "tag-empty",
            TagError::TooLong => "tag-too-long",
            TagError::Character => "tag-character",
        }
    }
}

impl fmt::Display for TagError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TagError::Empty => f.write_str("the tag is empty"),
            TagError::TooLong => write!(f, "the tag is longer than {TAG_BYTES_MAX} bytes"),
            TagError::Character => f.write_str("the tag holds a character that is not printable ASCII"),
        }
    }
}

impl std::error::Error for TagError {}

impl Tag {
    /// The tag `name` of the account with this id. Case counts (RFC 9875 §2: a group's name is compared as it is).
    pub fn new(account: &str, name: &str) -> Result<Tag, TagError> {
        if name.is_empty() {
            return Err(TagError::Empty);
        }
        if name.len() > TAG_BYTES_MAX {
            return Err(TagError::TooLong);
        }
        if !name.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(TagError::Character);
        }
        Ok(Tag([account, "/", name].concat().into()))
    }

    /// The account's id, `/`, and the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The account's id.
    pub fn account(&self) -> &str {
        self.0.split_once('/').map_or("", |(account, _)| account)
    }

    /// The name, as the origin writes it.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

/// The tags of one response: sorted, each once, `TAGS_MAX` at most. One word where there are none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tags(Option<triomphe::ThinArc<(), Tag>>);

impl Tags {
    /// None.
    pub const NONE: &Tags = &Tags(None);

    /// These, and nothing where there are more than `TAGS_MAX`: what can't be purged by all its tags is not to
    /// be stored.
    pub fn new(tags: impl IntoIterator<Item = Tag>) -> Option<Tags> {
        let mut tags: Vec<Tag> = tags.into_iter().take(TAGS_MAX * 2).collect();
        tags.sort_unstable();
        tags.dedup();
        match tags.len() {
            0 => Some(Tags(None)),
            1..=TAGS_MAX => Some(Tags(Some(triomphe::ThinArc::from_header_and_iter((), tags.into_iter())))),
            _ => None,
        }
    }

    /// In order.
    pub fn as_slice(&self) -> &[Tag] {
        self.0.as_ref().map_or(&[], |tags| &tags.slice)
    }

    /// Whether `tag` is one of them.
    pub fn contains(&self, tag: &Tag) -> bool {
        self.as_slice().binary_search(tag).is_ok()
    }

    /// Those of both, whatever their number: what a renewal had and has.
    pub fn with(&self, others: &Tags) -> Tags {
        if others.0.is_none() || self == others {
            return self.clone();
        }
        let mut all: Vec<Tag> = self.as_slice().iter().chain(others.as_slice()).cloned().collect();
        all.sort_unstable();
        all.dedup();
        Tags(Some(triomphe::ThinArc::from_header_and_iter((), all.into_iter())))
    }

    /// Bytes on the heap, for the weight of an entry; texts that responses share are counted for each.
    pub fn heap_bytes(&self) -> usize {
        let counts = 2 * size_of::<usize>();
        self.as_slice().iter().map(|tag| size_of::<Tag>() + counts + tag.0.len()).sum::<usize>()
            + self.0.as_ref().map_or(0, |_| counts)
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_a_tag_is_its_accounts() {
        let tag = Tag::new("demo", "summer sale/2024").unwrap();
        assert_eq!((tag.account(), tag.name()), ("demo", "summer sale/2024"));
        assert_ne!(tag, Tag::new("other", "summer sale/2024").unwrap());
        assert_ne!(Tag::new("a", "x").unwrap(), Tag::new("a", "X").unwrap());
    }

    #[test]
    fn err_a_tag_is_printable_and_bounded() {
        for (name, error) in [
            ("", TagError::Empty),
            ("a\nb", TagError::Character),
            ("ä", TagError::Character),
            (&"x".repeat(TAG_BYTES_MAX + 1), TagError::TooLong),
        ] {
            assert_eq!(Tag::new("demo", name), Err(error), "{name}");
        }
    }

    #[test]
    fn tags_are_a_bounded_set() {
        let tags = |names: &[&str]| Tags::new(names.iter().map(|name| Tag::new("a", name).unwrap())).unwrap();
        assert_eq!(tags(&["b", "a", "b"]), tags(&["a", "b"]));
        assert!(tags(&["b", "a"]).contains(&Tag::new("a", "b").unwrap()));
        assert!(!tags(&[]).contains(&Tag::new("a", "b").unwrap()));
        assert_eq!(tags(&["a", "c"]).with(&tags(&["b", "c"])), tags(&["a", "b", "c"]));
        let many = (0..=TAGS_MAX).map(|at| Tag::new("a", &at.to_string()).unwrap());
        assert_eq!(Tags::new(many), None);
    }
}
