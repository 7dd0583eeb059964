//! Members of field values that are lists (RFC 9110 §5.6.1), with quoted strings kept whole.
//!
//! Owns nothing; borrows. Invariants: a member never holds a separator outside a quoted string, and is
//! trimmed; empty members are given too, the caller knows whether they count. Cost: one pass.

use http::{HeaderMap, HeaderName};

/// Members of one value between `separator`s.
pub(super) fn members(value: &[u8], separator: u8) -> Members<'_> {
    Members { rest: Some(value), separator, quotes: true }
}

/// Members of all lines of a field, between commas.
pub(super) fn field_members<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    headers.get_all(name).into_iter().flat_map(|line| members(line.as_bytes(), b','))
}

/// Whether these bytes are a token (RFC 9110 §5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    let special = b"!#$%&'*+-.^_`|~";
    !bytes.is_empty() && bytes.iter().all(|b| b.is_ascii_alphanumeric() || special.contains(b))
}

/// Iterator of [`members`].
pub(super) struct Members<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
    /// Whether a quotation mark still opens a string. An unclosed one would hide what follows it, a
    /// `no-store` for instance: from there on, marks are plain characters (and no byte is searched twice).
    quotes: bool,
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        let end = self.member_end(rest);
        if end < rest.len() {
            self.rest = Some(&rest[end + 1..]);
        }
        Some(rest[..end].trim_ascii())
    }
}

impl Members<'_> {
    fn member_end(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at] == self.separator {
                return at;
            }
            if bytes[at] == b'"' && self.quotes {
                match closing_quote(&bytes[at + 1..]) {
                    Some(length) => at += length + 1,
                    None => self.quotes = false,
                }
            }
            at += 1;
        }
        bytes.len()
    }
}

/// Where the quoted string whose inside starts `bytes` is closed (RFC 9110 §5.6.4).
pub(super) fn closing_quote(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::table;

    #[test]
    fn ok_members_are_split_outside_quotes() {
        for [value, expected] in table::rows(
            r#"
            a, b            | a.b
            a,b,,c          | a.b..c
            "a,b", c        | "a,b".c
            "a\",b", c      | "a\",b".c
            "a, no-store    | "a.no-store
            x="1,2" , y     | x="1,2".y
            "#,
        ) {
            let found: Vec<_> =
                members(value.as_bytes(), b',').map(|m| std::str::from_utf8(m).unwrap()).collect();
            assert_eq!(found.join("."), expected, "{value}");
        }
    }
}
