//! The asset of a key: its text without `tr:` segments and query.
//!
//! An asset is found in its key's text and compared there, so that an index in the order of assets holds no
//! copies. Almost always it is two slices of the text, before and after one run of `tr:` segments; where such
//! segments stand in several places, it is put together, by whoever compares it or once for all. No locks; O(length).

use std::borrow::Cow;
use std::cmp::Ordering;

use super::TRANSFORMATION;
use crate::limits::KEY_BYTES_MAX;

/// Where in a key's text its asset stands: 6 bytes, worked out once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AssetPlace {
    /// The asset is `text[..from]` and `text[to..end]`; where `from` is beyond `to`, it is scattered.
    from: u16,
    to: u16,
    end: u16,
}

/// An asset, ready to be compared.
pub(crate) enum AssetText<'a> {
    /// Slices of a key's text, one after the other.
    Slices(&'a [u8], &'a [u8]),
    /// Put together.
    Whole(String),
}

impl AssetPlace {
    /// Finds the asset of a key, given by its text.
    pub fn of(text: &str) -> AssetPlace {
        assert!(text.len() <= KEY_BYTES_MAX, "endpoints.rs makes no longer key");
        let place = |at: usize| u16::try_from(at).expect("limits.rs: KEY_BYTES_MAX is below 65 536");
        let bytes = text.as_bytes();
        let end = memchr::memchr(b'?', bytes).unwrap_or(bytes.len());
        let path = memchr::memchr(b'/', bytes).expect("a key has a path");
        if memchr::memchr(b':', &bytes[path..end]).is_none() {
            return AssetPlace { from: place(end), to: place(end), end: place(end) }; // No `tr:`, so all of it.
        }
        let mut run: Option<(usize, usize)> = None;
        let mut at = path;
        while at < end {
            let next = memchr::memchr(b'/', &bytes[at + 1..end]).map_or(end, |slash| at + 1 + slash);
            if bytes[at + 1..next].starts_with(TRANSFORMATION.as_bytes()) {
                run = match run {
                    None => Some((at, next)),
                    Some((from, to)) if to == at => Some((from, next)),
                    Some(_) => return AssetPlace { from: 1, to: 0, end: place(end) },
                };
            }
            at = next;
        }
        match run {
            None => AssetPlace { from: place(end), to: place(end), end: place(end) },
            // Nothing else is there: the path of what is left is `/`.
            Some((from, to)) if from == path && to == end => {
                AssetPlace { from: place(path + 1), to: place(end), end: place(end) }
            }
            Some((from, to)) => AssetPlace { from: place(from), to: place(to), end: place(end) },
        }
    }

    /// The place of a text that is an asset, or the beginning of one, as a whole.
    pub fn whole(text: &str) -> AssetPlace {
        let end = u16::try_from(text.len()).expect("limits.rs: KEY_BYTES_MAX is below 65 536");
        AssetPlace { from: end, to: end, end }
    }

    /// The asset of a key, whole and behind it, where it is scattered: then the place is one in both together, and
    /// a comparison puts nothing together.
    pub fn behind(self, key: &str) -> Option<(AssetPlace, String)> {
        let AssetText::Whole(asset) = self.within(key.as_bytes()) else { return None };
        let place = |at: usize| u16::try_from(at).expect("limits.rs: two keys are below 65 536");
        Some((AssetPlace { from: 0, to: place(key.len()), end: place(key.len() + asset.len()) }, asset))
    }

    /// The asset of the key that it was found in.
    pub fn within(self, key: &[u8]) -> AssetText<'_> {
        let (from, to, end) = (usize::from(self.from), usize::from(self.to), usize::from(self.end));
        if from > to {
            return AssetText::Whole(gathered(&String::from_utf8_lossy(&key[..end])));
        }
        AssetText::Slices(&key[..from], &key[to..end])
    }
}

impl AssetText<'_> {
    fn slices(&self) -> (&[u8], &[u8]) {
        match self {
            AssetText::Slices(head, tail) => (head, tail),
            AssetText::Whole(text) => (text.as_bytes(), b""),
        }
    }

    /// By bytes.
    pub fn order(&self, other: &AssetText<'_>) -> Ordering {
        let ((a_head, a_tail), (b_head, b_tail)) = (self.slices(), other.slices());
        if a_head.len() <= b_head.len() {
            order(a_head, a_tail, b_head, b_tail)
        } else {
            order(b_head, b_tail, a_head, a_tail).reverse()
        }
    }

    /// Whether it begins with `text`.
    pub fn starts_with(&self, text: &[u8]) -> bool {
        let (head, tail) = self.slices();
        match text.split_at_checked(head.len()) {
            None => head.starts_with(text),
            Some((in_head, in_tail)) => head == in_head && tail.starts_with(in_tail),
        }
    }

    /// Whether it is `text`.
    pub fn is(&self, text: &[u8]) -> bool {
        let (head, tail) = self.slices();
        head.len() + tail.len() == text.len() && self.starts_with(text)
    }
}

/// The order of two texts in two slices each, the first of which has the shorter head.
fn order(a_head: &[u8], a_tail: &[u8], b_head: &[u8], b_tail: &[u8]) -> Ordering {
    let (b_first, b_second) = b_head.split_at(a_head.len());
    a_head.cmp(b_first).then_with(|| {
        let shared = a_tail.len().min(b_second.len());
        let (a_second, a_third) = a_tail.split_at(shared);
        // A tail that ends within the other's head is a beginning of it: the shorter text comes first.
        a_second.cmp(b_second).then_with(|| a_third.cmp(b_tail))
    })
}

/// The asset of a key, as text.
pub(crate) fn of(key: &str) -> Cow<'_, str> {
    match AssetPlace::of(key).within(key.as_bytes()) {
        AssetText::Whole(text) => Cow::Owned(text),
        AssetText::Slices(head, b"") => Cow::Borrowed(&key[..head.len()]),
        AssetText::Slices(head, tail) => {
            let tail_at = key.find('?').unwrap_or(key.len()) - tail.len();
            Cow::Owned([&key[..head.len()], &key[tail_at..tail_at + tail.len()]].concat())
        }
    }
}

/// A key's text without query, put together without its `tr:` segments.
fn gathered(text: &str) -> String {
    let mut asset = String::with_capacity(text.len());
    for (at, segment) in text.split('/').filter(|segment| !segment.starts_with(TRANSFORMATION)).enumerate() {
        if at > 0 {
            asset.push('/');
        }
        asset.push_str(segment);
    }
    asset
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, word by word.
    fn plain(key: &str) -> String {
        let text = key.split('?').next().unwrap();
        let (account, path) = text.split_at(text.find('/').unwrap());
        let segments = path.split('/').skip(1).filter(|segment| !segment.starts_with("tr:"));
        let path: Vec<&str> = segments.collect();
        format!("{account}/{}", path.join("/"))
    }

    #[test]
    fn an_asset_is_its_key_without_transformations_and_query() {
        #[rustfmt::skip]
        let table = [
            // key                                  asset
            ("a/b/c.jpg",                           "a/b/c.jpg"),
            ("a/b/c.jpg?tr=w-1",                    "a/b/c.jpg"),
            ("a/tr:w-1/b/c.jpg",                    "a/b/c.jpg"),
            ("a/b/tr:w-1/c.jpg?ik-s=1",             "a/b/c.jpg"),
            ("a/b/tr:w-1/tr:h-1/c.jpg",             "a/b/c.jpg"),
            ("a/tr:w-1/b/tr:h-1/c.jpg?v=/tr:x",     "a/b/c.jpg"),
            ("a/b/c.jpg/tr:w-1",                    "a/b/c.jpg"),
            ("a/tr:w-1",                            "a/"),
            ("a/tr:w-1/tr:h-1",                     "a/"),
            ("a/tr:w-1/",                           "a/"),
            ("a/b/?tr:w-1/c",                       "a/b/"),
            ("a/b//c.jpg",                          "a/b//c.jpg"),
            ("a/str:w-1/c.jpg",                     "a/str:w-1/c.jpg"),
        ];
        for (key, asset) in table {
            assert_eq!(of(key), asset, "{key}");
            assert!(AssetPlace::of(key).within(key.as_bytes()).is(asset.as_bytes()), "{key}");
        }
    }

    fn keys() -> impl Strategy<Value = String> {
        "a(/(tr:[xy]|[xyz]{0,2})){1,5}(\\?[x/]{0,3}(tr:x)?)?"
    }

    proptest! {
        #[test]
        fn assets_compare_as_their_texts_do(left in keys(), right in keys()) {
            let (left_plain, right_plain) = (plain(&left), plain(&right));
            prop_assert_eq!(of(&left), left_plain.as_str());
            let left = AssetPlace::of(&left).within(left.as_bytes());
            let right = AssetPlace::of(&right).within(right.as_bytes());
            prop_assert_eq!(left.order(&right), left_plain.as_bytes().cmp(right_plain.as_bytes()));
            prop_assert_eq!(left.is(right_plain.as_bytes()), left_plain == right_plain);
            for end in 0..=right_plain.len() {
                let begins = left_plain.starts_with(&right_plain[..end]);
                prop_assert_eq!(left.starts_with(&right_plain.as_bytes()[..end]), begins);
            }
        }
    }
}
