//! Why a URL has no key. Values alone.

use std::fmt;

use crate::config::AuthorityError;

/// Why a URL has no key: the rule that it broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// No account has an endpoint on the host (421, RFC 9110 §7.4).
    UnknownHost,
    /// The host has endpoints, and the path lies below none of them (404).
    UnknownPath,
    /// Path and query are longer than `limits.rs` allows.
    TooLong,
    /// The text does not begin with `http://` or `https://`.
    Scheme,
    /// What stands before the path is no host with an optional port.
    Authority(AuthorityError),
    /// The path does not begin with `/` (RFC 9112 §3.2.1).
    PathStart,
    /// A segment is `.` or `..`, plain or escaped.
    DotSegment,
    /// A `\` stands in it, which some origins read as `/`.
    Backslash,
    /// A byte below 0x20, or 0x7F.
    ControlCharacter,
    /// `%00`.
    EscapedNul,
    /// A `%` that two hex digits do not follow (RFC 3986 §2.1).
    BrokenEscape,
    /// In a pattern, `%2C` or `%3A` behind a `*`, where only the `*` could tell what it stands for.
    PatternEscape,
}

impl KeyError {
    /// The rule's code, for logs, labels and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyError::UnknownHost => "unknown-host",
            KeyError::UnknownPath => "unknown-path",
            KeyError::TooLong => "too-long",
            KeyError::Scheme => "scheme",
            KeyError::Authority(_) => "authority",
            KeyError::PathStart => "path-start",
            KeyError::DotSegment => "dot-segment",
            KeyError::Backslash => "backslash",
            KeyError::ControlCharacter => "control-character",
            KeyError::EscapedNul => "escaped-nul",
            KeyError::BrokenEscape => "broken-escape",
            KeyError::PatternEscape => "pattern-escape",
        }
    }

    /// The rule as a sentence, for the one who sent the URL.
    pub fn message(self) -> &'static str {
        match self {
            KeyError::UnknownHost => "no account has a URL endpoint on this host",
            KeyError::UnknownPath => "the path lies below no account's URL endpoint",
            KeyError::TooLong => "path and query are too long",
            KeyError::Scheme => "a URL begins with `http://` or `https://`",
            KeyError::Authority(error) => error.as_str(),
            KeyError::PathStart => "the path must begin with `/`",
            KeyError::DotSegment => "a path segment must not be `.` or `..`, plain or escaped",
            KeyError::Backslash => "a backslash is not allowed; as a plain character it is `%5C`",
            KeyError::ControlCharacter => "control characters are not allowed",
            KeyError::EscapedNul => "`%00` is not allowed",
            KeyError::BrokenEscape => {
                "two hex digits must follow every `%`; as a plain character it is `%25`"
            }
            KeyError::PatternEscape => {
                "behind a `*`, nobody can tell whether `%2C` or `%3A` belongs to a transformation; put a `*` in its place"
            }
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for KeyError {}
