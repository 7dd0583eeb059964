//! Patterns of keys: texts in which every `*` stands for any run of characters, an empty one too.
//!
//! A key is compared at both ends, and then piece by piece from the left, each piece at the first place where it stands:
//! what is left for the next ones is longest then, so that nothing is tried twice. O(length of the key and the pattern),
//! whatever both are.

use memchr::memmem;

use super::{Key, split_account};

/// A pattern of one account's keys.
///
/// It begins with the account's id and a `/`, so that it reaches no other account, and holds a `*` at least.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyPattern(Box<str>);

impl KeyPattern {
    pub(super) fn new(text: String) -> KeyPattern {
        assert!(fixed(&text).contains('/'), "endpoints.rs: a pattern begins as a key does");
        KeyPattern(text.into())
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The account's id.
    pub fn account(&self) -> &str {
        split_account(&self.0).0
    }

    /// What stands before the first `*`: all that it covers begins so.
    pub fn fixed(&self) -> &str {
        fixed(&self.0)
    }

    /// The path below the endpoint, from its first `/`, as it is written: up to the first `?`.
    pub fn path(&self) -> &str {
        super::split_query(split_account(&self.0).1).0
    }

    /// Whether `key` is one of those that it stands for.
    pub fn covers(&self, key: &Key) -> bool {
        matches(&self.0, &key.0)
    }
}

/// What stands before the first `*` of a pattern.
pub(crate) fn fixed(pattern: &str) -> &str {
    &pattern[..pattern.find('*').unwrap_or(pattern.len())]
}

/// Whether a pattern stands for a text.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    // Both ends before what lies between: most texts differ there, and a comparison costs least.
    let Some(text) = text.strip_prefix(first).and_then(|text| text.strip_suffix(last)) else { return false };
    let mut text = text.as_bytes();
    for piece in middle.split('*') {
        let Some(at) = memmem::find(text, piece.as_bytes()) else { return false };
        text = &text[at + piece.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, word by word: a `*` is nothing, or one character and a `*`.
    fn plain(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) if plain(rest, text) => true,
            ([b'*', ..], [_, more @ ..]) => plain(pattern, more),
            ([wanted, rest @ ..], [found, more @ ..]) => wanted == found && plain(rest, more),
            _ => false,
        }
    }

    #[test]
    fn a_star_is_any_run_of_characters_and_a_piece_is_used_once() {
        #[rustfmt::skip]
        let table = [
            // pattern      text            whether
            ("a/*",         "a/",           true),
            ("a/*",         "a",            false),
            ("a/*/c",       "a/b/c",        true),
            ("a/*/c",       "a/b/b/c",      true),
            ("a/*/c",       "a/c",          false),
            ("a/*/c",       "a/b/c?v",      false),
            ("a/*/c*",      "a/b/c?v",      true),
            ("a/**c",       "a/c",          true),
            ("a*bab",       "abab",         true),
            ("ab*ba",       "aba",          false),
            ("a*b*b",       "ab",           false),
            ("a*b*b",       "abb",          true),
            ("a",           "a",            true),
            ("a",           "ab",           false),
        ];
        for (pattern, text, whether) in table {
            assert_eq!(matches(pattern, text), whether, "{pattern} {text}");
        }
    }

    /// Backtracking would take the number of stars as an exponent, or at least the product of both lengths.
    #[test]
    fn the_cost_is_the_length_whatever_the_pattern() {
        let pattern = format!("a/{}b", "*a".repeat(4000));
        let text = format!("a/{}", "a".repeat(24_000));
        let started = std::time::Instant::now();
        for _ in 0..20 {
            assert!(!matches(&pattern, &text));
        }
        assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

        #[test]
        fn it_stands_for_what_its_definition_says(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(matches(&pattern, &text), plain(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
