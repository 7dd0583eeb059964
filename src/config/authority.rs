//! `host[:port]` in its one canonical spelling, for endpoints, for the Host field and for purged URLs alike.
//!
//! Pure; cost O(length).

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A host with its port, canonical: lower case, the default ports 80 and 443 and one trailing dot dropped
/// (RFC 9110 §4.2.3; both ports whatever the scheme, since the scheme is no part of a key).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Authority(Box<str>);

/// Why a text is no authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorityError {
    /// There is no host.
    Empty,
    /// `user@` or `user:password@` stands before the host.
    UserInfo,
    /// The host holds a character that no host name has, or a label is empty or over 63 bytes.
    Host,
    /// The port is no number from 1 to 65535.
    Port,
}

impl AuthorityError {
    /// The rule that was broken, as a sentence's end.
    pub fn as_str(self) -> &'static str {
        match self {
            AuthorityError::Empty => "the host is missing",
            AuthorityError::UserInfo => "a user name before the host is not allowed",
            AuthorityError::Host => "the host is not a valid name or address",
            AuthorityError::Port => "the port must be a number from 1 to 65535",
        }
    }
}

impl Authority {
    /// Reads `host`, `host:port`, `[ipv6]` or `[ipv6]:port`.
    pub fn parse(text: &str) -> Result<Authority, AuthorityError> {
        Authority::canonical(text).map(|text| Authority(text.into()))
    }

    /// The canonical spelling of what [`Authority::parse`] reads; the text itself where it is spelled so.
    pub fn canonical(text: &str) -> Result<Cow<'_, str>, AuthorityError> {
        if text.contains('@') {
            return Err(AuthorityError::UserInfo);
        }
        let (host, port) = split_port(text)?;
        let canonical = canonical_host(host)?;
        let number = match port {
            None | Some("") => None,
            Some(digits) => Some(parse_port(digits)?).filter(|port| *port != 80 && *port != 443),
        };
        Ok(match (canonical, number) {
            (Cow::Borrowed(name), Some(_)) if is_spelled_so(text, name, port) => text.into(),
            (host, None) => host,
            (host, Some(number)) => format!("{host}:{number}").into(),
        })
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host alone, without a port; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        match self.0.rfind(':') {
            Some(colon) if !self.0.ends_with(']') => &self.0[..colon],
            _ => &self.0,
        }
    }
}

/// An authority is found by its canonical text: both hash and compare alike.
impl Borrow<str> for Authority {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `text` is the name, a colon, and the port without zeros before it: nothing else was dropped.
fn is_spelled_so(text: &str, name: &str, port: Option<&str>) -> bool {
    port.is_some_and(|digits| !digits.starts_with('0') && text.len() == name.len() + 1 + digits.len())
}

fn split_port(text: &str) -> Result<(&str, Option<&str>), AuthorityError> {
    let after_host = if text.starts_with('[') {
        text.find(']').ok_or(AuthorityError::Host)? + 1
    } else {
        text.find(':').unwrap_or(text.len())
    };
    let (host, rest) = text.split_at(after_host);
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err(AuthorityError::Host),
    }
}

fn parse_port(digits: &str) -> Result<u16, AuthorityError> {
    if digits.len() > 5 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AuthorityError::Port);
    }
    digits.parse().ok().filter(|port| *port != 0).ok_or(AuthorityError::Port)
}

fn canonical_host(host: &str) -> Result<Cow<'_, str>, AuthorityError> {
    if let Some(inside) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = inside.parse().map_err(|_| AuthorityError::Host)?;
        return Ok(format!("[{address}]").into());
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_lower = !name.bytes().any(|byte| byte.is_ascii_uppercase());
    let name = if is_lower { Cow::Borrowed(name) } else { name.to_ascii_lowercase().into() };
    if name.is_empty() {
        return Err(AuthorityError::Empty);
    }
    let label_is_valid = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(allowed)
    };
    if name.len() > 253 || !name.split('.').all(label_is_valid) {
        return Err(AuthorityError::Host);
    }
    // A name of digits and dots that is no address would be read as one by some resolvers.
    let numeric = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if numeric && name.parse::<Ipv4Addr>().is_err() {
        return Err(AuthorityError::Host);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_spellings_of_one_host_are_one_authority() {
        #[rustfmt::skip]
        let table = [
            ("a.test",            "a.test"),
            ("A.Test",            "a.test"),
            ("a.test.",           "a.test"),
            ("a.test:80",         "a.test"),
            ("a.test:443",        "a.test"),
            ("a.test:",           "a.test"),
            ("a.test.:8080",      "a.test:8080"),
            ("a.test:08080",      "a.test:8080"),
            ("127.0.0.1:8080",    "127.0.0.1:8080"),
            ("[::1]:8080",        "[::1]:8080"),
            ("[0:0::0:1]:80",     "[::1]"),
            ("a_b.test",          "a_b.test"),
        ];
        for (text, canonical) in table {
            let authority = Authority::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
            assert_eq!(authority.as_str(), canonical, "{text}");
            assert_eq!(Authority::parse(canonical).as_ref(), Ok(&authority), "{text} is not a fixed point");
        }
        assert_eq!(Authority::parse("[::1]:8080").map(|a| a.host().to_owned()), Ok("[::1]".to_owned()));
        assert_eq!(Authority::parse("[::1]").map(|a| a.host().to_owned()), Ok("[::1]".to_owned()));
        assert_eq!(Authority::parse("h.test:81").map(|a| a.host().to_owned()), Ok("h.test".to_owned()));
    }

    #[test]
    fn err_each_names_its_rule() {
        #[rustfmt::skip]
        let table = [
            ("",              AuthorityError::Empty),
            (".",             AuthorityError::Empty),
            (":80",           AuthorityError::Empty),
            ("user@a.test",   AuthorityError::UserInfo),
            ("a..test",       AuthorityError::Host),
            ("a.test..",      AuthorityError::Host),
            ("a test",        AuthorityError::Host),
            ("a.test/x",      AuthorityError::Host),
            ("a\u{e9}.test",  AuthorityError::Host),
            ("1.2.3",         AuthorityError::Host),
            ("[::1",          AuthorityError::Host),
            ("[::1]x",        AuthorityError::Host),
            ("a.test:0",      AuthorityError::Port),
            ("a.test:65536",  AuthorityError::Port),
            ("a.test:+80",    AuthorityError::Port),
            ("a.test:80:80",  AuthorityError::Port),
        ];
        for (text, error) in table {
            assert_eq!(Authority::parse(text), Err(error), "{text}");
        }
    }
}
