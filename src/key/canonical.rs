//! The canonical bytes of a path and of a query, and no more than the rules below: image services carry whole
//! URLs in their paths, and sign what they were sent.
//!
//! | what                                             | canonical                          | opaque     |
//! |--------------------------------------------------|------------------------------------|------------|
//! | escaped unreserved character (RFC 3986 §6.2.2.2) | decoded                            | as it is   |
//! | any other escape (RFC 3986 §6.2.2.1)             | its hex digits in upper case       | as it is   |
//! | `%2C`, `%3A` in a segment `tr:…`, a value `tr=…` | decoded                            | as it is   |
//! | `*`                                              | `%2A`                              | as it is   |
//! | `%` without two hex digits                       | refused                            | as it is   |
//! | empty query                                      | dropped                            | as it is   |
//! | not ASCII; what no request line can carry        | escaped                            | escaped    |
//! | dot segment, `\`, control character, `%00`       | refused                            | refused    |
//!
//! Every decision looks at the text written so far and never ahead, but for the two digits of an escape. So
//! what is written for a text begins with what is written for each of its beginnings, unless one ends inside
//! an escape: the law that purges by prefix stand on. One pass; plain bytes are copied in runs.

use std::borrow::Cow;

use super::{KeyError, TRANSFORMATION};
use crate::config::Urls;

/// A byte that is not copied as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Special {
    /// Ends a segment or a parameter.
    Separator,
    /// `%`.
    Escape,
    /// `*`.
    Star,
    /// Not ASCII, or what the `http` crate refuses in a request target (`tests.rs` compares every byte).
    Unsendable,
    /// `\`.
    Backslash,
    /// Below 0x20, or 0x7F.
    Control,
}

/// Path or query: where their rules differ.
pub(super) struct Part {
    separator: u8,
    /// What a segment or a parameter begins with inside which `%2C` and `%3A` are decoded.
    transformation: &'static str,
    special: [Option<Special>; 256],
}

/// The path, from its first `/`.
pub(super) static PATH: Part =
    Part { separator: b'/', transformation: TRANSFORMATION, special: table(b'/', b" #<>?`") };
/// The query, after its `?`.
pub(super) static QUERY: Part =
    Part { separator: b'&', transformation: "tr=", special: table(b'&', b" \"#<>") };

const fn table(separator: u8, unsendable: &[u8]) -> [Option<Special>; 256] {
    let mut table = [None; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            0..0x20 | 0x7F => Some(Special::Control),
            0x80.. => Some(Special::Unsendable),
            b'%' => Some(Special::Escape),
            b'*' => Some(Special::Star),
            b'\\' => Some(Special::Backslash),
            other if other == separator => Some(Special::Separator),
            _ => None,
        };
        byte += 1;
    }
    let mut at = 0;
    while at < unsendable.len() {
        table[unsendable[at] as usize] = Some(Special::Unsendable);
        at += 1;
    }
    table
}

/// What a `*` is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Star {
    /// A character like others.
    Plain,
    /// In a pattern: any run of characters.
    Wild,
}

/// Appends `text` to `out` in its canonical form.
pub(super) fn write(text: &str, part: &Part, urls: Urls, out: &mut String) -> Result<(), KeyError> {
    write_on(text, part, urls, Star::Plain, out.len(), out)
}

/// The same for a text whose every `*` is a wildcard, of which one stands for several side by side. `piece` is
/// where the segment or parameter begins in `out` that it goes on with.
pub(super) fn write_pattern(
    text: &str,
    part: &Part,
    urls: Urls,
    piece: usize,
    out: &mut String,
) -> Result<(), KeyError> {
    write_on(text, part, urls, Star::Wild, piece, out)
}

fn write_on(
    text: &str,
    part: &Part,
    urls: Urls,
    star: Star,
    mut piece: usize, // Start of the segment or parameter that is being written.
    out: &mut String,
) -> Result<(), KeyError> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let is_special = |byte: &u8| part.special[usize::from(*byte)].is_some();
        let plain = rest.iter().position(is_special).unwrap_or(rest.len());
        if plain > 0 {
            out.push_str(&text[at..at + plain]);
            at += plain;
        }
        let Some(&byte) = bytes.get(at) else { break };
        at += match part.special[usize::from(byte)] {
            Some(Special::Separator) => {
                part.check(&out[piece..])?;
                out.push(char::from(byte));
                piece = out.len();
                1
            }
            Some(Special::Escape) => write_escape(&text[at..], part, urls, star, piece, out)?,
            Some(Special::Star) if star == Star::Wild && out.ends_with('*') => 1,
            Some(Special::Star) if star == Star::Plain && urls == Urls::Canonical => push_escaped(byte, out),
            Some(Special::Unsendable) => push_escaped(byte, out),
            Some(Special::Backslash) => return Err(KeyError::Backslash),
            Some(Special::Control) => return Err(KeyError::ControlCharacter),
            Some(Special::Star) | None => {
                out.push(char::from(byte));
                1
            }
        };
    }
    part.check(&out[piece..])
}

/// Writes the escape that `text` begins with and returns how many bytes of `text` that took.
fn write_escape(
    text: &str,
    part: &Part,
    urls: Urls,
    star: Star,
    piece: usize,
    out: &mut String,
) -> Result<usize, KeyError> {
    let byte = match (escaped_byte(text.as_bytes()), urls) {
        (Some(0), _) => return Err(KeyError::EscapedNul),
        (Some(_), Urls::Opaque) => {
            out.push_str(&text[..3]);
            return Ok(3);
        }
        (Some(byte), Urls::Canonical) => byte,
        (None, Urls::Opaque) => {
            out.push('%');
            return Ok(1);
        }
        (None, Urls::Canonical) => return Err(KeyError::BrokenEscape),
    };
    let may_join_steps = matches!(byte, b',' | b':');
    let joins_steps = may_join_steps && out[piece..].starts_with(part.transformation);
    if may_join_steps && !joins_steps && star == Star::Wild && out[piece..].contains('*') {
        return Err(KeyError::PatternEscape);
    }
    if is_unreserved(byte) || joins_steps {
        out.push(char::from(byte));
    } else {
        push_escaped(byte, out);
    }
    Ok(3)
}

impl Part {
    /// Judges one written segment or parameter.
    fn check(&self, piece: &str) -> Result<(), KeyError> {
        if self.separator == b'/' && is_dot_segment(piece) { Err(KeyError::DotSegment) } else { Ok(()) }
    }
}

/// A path in its canonical form, borrowed where it has it already.
pub(super) fn path(text: &str) -> Result<Cow<'_, str>, KeyError> {
    let stays = |byte: u8| matches!(PATH.special[usize::from(byte)], None | Some(Special::Separator));
    if text.bytes().all(stays) {
        return text.split('/').try_for_each(|segment| PATH.check(segment)).map(|()| Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    write(text, &PATH, Urls::Canonical, &mut out)?;
    Ok(Cow::Owned(out))
}

/// `text` with its escapes decoded, for counting and reading; bytes that are no UTF-8 are replaced.
pub(crate) fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some(&first) = rest.first() {
        let (byte, taken) = escaped_byte(rest).map_or((first, 1), |byte| (byte, 3));
        bytes.push(byte);
        rest = &rest[taken..];
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// The byte that an escape at the start of `bytes` stands for.
fn escaped_byte(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(*high)? << 4 | digit(*low)?)
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 §3.3, also where the dots are escaped.
fn is_dot_segment(segment: &str) -> bool {
    let after_dot = |text: &str| -> Option<usize> {
        let escaped = text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("%2e"));
        if escaped { Some(3) } else { text.starts_with('.').then_some(1) }
    };
    let Some(first) = after_dot(segment) else { return false };
    let rest = &segment[first..];
    rest.is_empty() || after_dot(rest) == Some(rest.len())
}

/// Writes one byte of the input as an escape; returns 1, the bytes taken.
fn push_escaped(byte: u8, out: &mut String) -> usize {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(HEX[usize::from(byte >> 4)]));
    out.push(char::from(HEX[usize::from(byte & 0xF)]));
    1
}
