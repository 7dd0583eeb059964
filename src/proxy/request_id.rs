//! The name of a request: in its answer, in the body of an error of ours, and in the log.
//!
//! A client's own X-Request-Id is kept where it is one short token, so that it names the request in its logs and
//! in ours. Lock-free; no allocation before it is put into a field.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderValue};

use crate::limits::REQUEST_ID_BYTES_MAX;
use crate::semantics::fields::X_REQUEST_ID;

/// Makes names that no other request of this process has.
pub struct RequestIds {
    /// Tells the process's names from others'.
    process: String,
    next: AtomicU64,
}

impl RequestIds {
    /// Names of the process `instance`.
    pub fn new(instance: &str) -> RequestIds {
        RequestIds { process: instance.to_owned(), next: AtomicU64::new(1) }
    }

    /// The name of a request with the fields of `client`.
    pub fn name(&self, client: &HeaderMap) -> RequestName {
        let mut lines = client.get_all(X_REQUEST_ID).iter();
        match (lines.next(), lines.next()) {
            (Some(own), None) => self.name_by(Some(own.as_bytes())),
            _ => self.name_by(None),
        }
    }

    /// The name of a request that has the one field, or none that counts.
    pub fn name_by(&self, own: Option<&[u8]>) -> RequestName {
        match own {
            Some(own) if is_sane(own) => RequestName::new(own),
            _ => RequestName::made(&self.process, self.next.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// The name of a request: a short token, held in place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestName {
    bytes: [u8; REQUEST_ID_BYTES_MAX],
    length: u8,
}

impl RequestName {
    fn new(token: &[u8]) -> RequestName {
        let mut bytes = [0; REQUEST_ID_BYTES_MAX];
        bytes[..token.len()].copy_from_slice(token);
        RequestName {
            bytes,
            length: u8::try_from(token.len()).expect("limits.rs: REQUEST_ID_BYTES_MAX fits"),
        }
    }

    /// `process-number`, the number in hex; made for every request, so without a formatter.
    fn made(process: &str, mut number: u64) -> RequestName {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; REQUEST_ID_BYTES_MAX];
        let mut at = text.len();
        loop {
            at -= 1;
            text[at] = HEX[(number & 15) as usize];
            number >>= 4;
            if number == 0 {
                break;
            }
        }
        at -= 1;
        text[at] = b'-';
        let process = &process.as_bytes()[..process.len().min(at)];
        at -= process.len();
        text[at..at + process.len()].copy_from_slice(process);
        RequestName::new(&text[at..])
    }

    /// The token.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("a token is ASCII")
    }

    /// The same, unread.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The token as the value of a field. Costs one allocation.
    pub fn value(&self) -> HeaderValue {
        HeaderValue::from_str(self.as_str()).expect("a token is a field value")
    }
}

/// A token (RFC 9110 §5.6.2) of no more than `REQUEST_ID_BYTES_MAX`: it goes into logs and bodies as it is.
fn is_sane(name: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    (1..=REQUEST_ID_BYTES_MAX).contains(&name.len()) && name.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_name_is_kept_where_it_is_one_short_token() {
        let ids = RequestIds::new("p");
        let longest = "x".repeat(REQUEST_ID_BYTES_MAX);
        let too_long = "x".repeat(REQUEST_ID_BYTES_MAX + 1);
        for (own, kept) in [
            ("7f-a.B_1", true),
            (&*longest, true),
            (&*too_long, false),
            ("", false),
            ("a b", false),
            ("a\"b", false),
            ("a/b", false),
            ("a,b", false),
        ] {
            let client = HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::from_str(own).unwrap())]);
            assert_eq!(ids.name(&client).as_str() == own, kept, "{own}");
        }
        let mut twice = HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::from_static("a"))]);
        twice.append(X_REQUEST_ID, HeaderValue::from_static("a"));
        assert_ne!(ids.name(&twice).as_str(), "a");
        let none = HeaderMap::new();
        assert_ne!(ids.name(&none).as_str(), ids.name(&none).as_str());
    }

    #[test]
    fn a_made_name_is_the_process_and_a_number_and_is_kept_where_it_comes_back() {
        for (process, number, expected) in
            [("7f3a", 1, "7f3a-1"), ("7f3a", 0x1af, "7f3a-1af"), ("p", 0, "p-0")]
        {
            assert_eq!(RequestName::made(process, number).value(), expected);
        }
        let longest = RequestName::made(&"x".repeat(200), u64::MAX);
        assert_eq!(longest.as_str().len(), REQUEST_ID_BYTES_MAX);
        assert!(is_sane(longest.as_str().as_bytes()));
    }
}
