//! The name of a request: in its answer, in the body of an error of ours, and in the log.
//!
//! A client's own X-Request-Id is kept where it is one short token, so that it names the request in its logs and
//! in ours. Lock-free; costs one short text.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::limits::REQUEST_ID_BYTES_MAX;

/// The field that names a request.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

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
    pub fn name(&self, client: &HeaderMap) -> HeaderValue {
        let mut lines = client.get_all(X_REQUEST_ID).iter();
        match (lines.next(), lines.next()) {
            (Some(own), None) if is_sane(own.as_bytes()) => own.clone(),
            _ => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                made(&self.process, number)
            }
        }
    }
}

/// `process-number`, the number in hex. Costs one allocation: it is made for every request.
fn made(process: &str, mut number: u64) -> HeaderValue {
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
    HeaderValue::from_bytes(&text[at..]).expect("made of letters, digits and hyphens")
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
            assert_eq!(ids.name(&client) == own, kept, "{own}");
        }
        let mut twice = HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::from_static("a"))]);
        twice.append(X_REQUEST_ID, HeaderValue::from_static("a"));
        assert_ne!(ids.name(&twice), "a");
        assert_ne!(ids.name(&HeaderMap::new()), ids.name(&HeaderMap::new()));
    }

    #[test]
    fn a_made_name_is_the_process_and_a_number_and_is_kept_where_it_comes_back() {
        for (process, number, expected) in
            [("7f3a", 1, "7f3a-1"), ("7f3a", 0x1af, "7f3a-1af"), ("p", 0, "p-0")]
        {
            assert_eq!(made(process, number), expected);
        }
        let longest = made(&"x".repeat(200), u64::MAX);
        assert_eq!(longest.len(), REQUEST_ID_BYTES_MAX);
        assert!(is_sane(longest.as_bytes()));
    }
}
