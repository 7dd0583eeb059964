//! What a request's head is, as far as the express lane goes: plain, at least of known length, or neither. Pure.
//!
//! A plain request is a GET of a path in letters that no parser reads otherwise, with nothing in it that an answer
//! from the store could depend on but the fields that a variant is selected by. The parser is the one that hyper
//! has, with the same settings, so a head that is complete here is complete there, at the same byte.

use std::mem::MaybeUninit;

use http::{HeaderMap, HeaderName, HeaderValue};
use httparse::{Header, Request, Status};

use crate::limits::{REQUEST_FIELDS_MAX, TARGET_BYTES_MAX};

/// Room for the fields of a head; one with more is not read here.
pub type Room<'a> = [MaybeUninit<Header<'a>>; REQUEST_FIELDS_MAX];

/// Room that is not filled yet.
pub fn room<'a>() -> Room<'a> {
    [const { MaybeUninit::uninit() }; REQUEST_FIELDS_MAX]
}

/// What begins a connection's unread bytes.
pub enum Head<'a, 'r> {
    /// A plain request.
    Plain(Plain<'a, 'r>),
    /// Another one, of a length that is known: it has no body, and asks for no other end of the connection than HTTP/1.1
    /// has by itself.
    Whole(usize),
    /// One that has not come whole.
    Part,
    /// Anything else: it is too large to be read at a glance, what follows it may be its body, or it is none.
    Other,
}

/// A plain request.
pub struct Plain<'a, 'r> {
    /// The one Host.
    pub host: &'a str,
    /// The target's path.
    pub path: &'a str,
    /// What follows its `?`.
    pub query: Option<&'a str>,
    /// Its own X-Request-Id, if it has one.
    pub request_id: Option<&'a [u8]>,
    /// Whether it says anything to a cache: some routes honour that.
    pub has_directives: bool,
    /// The head's length, in bytes.
    pub length: usize,
    fields: &'r [Header<'a>],
}

impl Plain<'_, '_> {
    /// All its fields.
    pub fn fields(&self) -> HeaderMap {
        let field = |field: &Header<'_>| {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_bytes(field.value).ok()?))
        };
        let mut fields = HeaderMap::with_capacity(self.fields.len());
        for (name, value) in self.fields.iter().filter_map(field) {
            fields.append(name, value);
        }
        fields
    }
}

/// Whether there is an empty line, which ends a head.
pub fn may_be_whole(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|two| two == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

/// Reads the head that `bytes` begin with. Costs one pass over it.
pub fn read<'a, 'r>(bytes: &'a [u8], room: &'r mut Room<'a>) -> Head<'a, 'r> {
    let mut request = Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, room) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Head::Part,
        Err(_) => return Head::Other,
    };
    let fields: &'r [Header<'a>] = request.headers;
    let (Some(method), Some(target), Some(1)) = (request.method, request.path, request.version) else {
        return Head::Other;
    };
    if method != "GET" && method != "HEAD" {
        return Head::Other;
    }
    let (mut host, mut request_id) = (None, None);
    let (mut is_plain, mut has_directives) = (method == "GET", false);
    for field in fields {
        match Meaning::of(field.name.as_bytes()) {
            Meaning::None => {}
            Meaning::Host => is_plain &= host.replace(field.value).is_none(),
            Meaning::RequestId => is_plain &= request_id.replace(field.value).is_none(),
            Meaning::Directive => has_directives = true,
            Meaning::Own => is_plain = false,
            Meaning::Connection if field.value.eq_ignore_ascii_case(b"keep-alive") => {}
            Meaning::Connection | Meaning::Framing => return Head::Other,
        }
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let host = host.and_then(|host| std::str::from_utf8(host).ok());
    match host {
        Some(host) if is_plain && is_clear(target) => {
            Head::Plain(Plain { host, path, query, request_id, has_directives, length, fields })
        }
        _ => Head::Whole(length),
    }
}

/// What a request's field means to the express lane.
enum Meaning {
    /// Nothing, unless a variant is selected by it.
    None,
    Host,
    RequestId,
    /// What it asks of caches.
    Directive,
    /// An answer of its own may be due: 304, a part, an error.
    Own,
    Connection,
    /// How the request ends, or what comes before its answer.
    Framing,
}

impl Meaning {
    fn of(name: &[u8]) -> Meaning {
        let known: (&[u8], Meaning) = match name.len() {
            3 => (b"via", Meaning::Own),
            4 => (b"host", Meaning::Host),
            5 => (b"range", Meaning::Own),
            6 if name[0] | 0x20 == b'p' => (b"pragma", Meaning::Directive),
            6 => (b"expect", Meaning::Framing),
            7 => (b"upgrade", Meaning::Framing),
            10 => (b"connection", Meaning::Connection),
            12 => (b"x-request-id", Meaning::RequestId),
            13 if name[0] | 0x20 == b'c' => (b"cache-control", Meaning::Directive),
            13 => (b"if-none-match", Meaning::Own),
            14 => (b"content-length", Meaning::Framing),
            17 if name[0] | 0x20 == b't' => (b"transfer-encoding", Meaning::Framing),
            17 => (b"if-modified-since", Meaning::Own),
            _ => return Meaning::None,
        };
        if name.eq_ignore_ascii_case(known.0) { known.1 } else { Meaning::None }
    }
}

/// Whether a target is a path in letters of RFC 3986 alone (§3.3, §3.4), of no unusual length: then the URI that hyper
/// makes of it has the same path and query.
fn is_clear(target: &str) -> bool {
    const CLEAR: [bool; 256] = {
        let (mut table, mut at) = ([false; 256], 0);
        let marks = b"-._~!$&'()*+,;=:@/?%";
        while at < 256 {
            table[at] = (at as u8).is_ascii_alphanumeric();
            at += 1;
        }
        at = 0;
        while at < marks.len() {
            table[marks[at] as usize] = true;
            at += 1;
        }
        table
    };
    target.starts_with('/')
        && target.len() <= TARGET_BYTES_MAX
        && target.bytes().all(|byte| CLEAR[usize::from(byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(head: &str) -> &'static str {
        match read(head.as_bytes(), &mut room()) {
            Head::Plain(plain) => {
                assert_eq!(plain.length, head.find("\r\n\r\n").unwrap() + 4);
                "plain"
            }
            Head::Whole(length) => {
                assert_eq!(length, head.find("\r\n\r\n").unwrap() + 4);
                "whole"
            }
            Head::Part => "part",
            Head::Other => "other",
        }
    }

    #[test]
    fn a_head_is_plain_where_nothing_in_it_asks_for_more_than_what_is_stored() {
        let table = [
            ("GET /a HTTP/1.1", "Host: a", "plain"),
            ("GET /a/b%20c,d:e@f;g=1?h=(i)&j=*!~$'+-._/?", "Host: a", "plain"),
            ("GET /a", "hOST: a\r\nAccept: b\r\nCookie: c\r\nUser-Agent: d\r\nReferer: e", "plain"),
            ("GET /a", "Host: a\r\nConnection: Keep-Alive", "plain"),
            ("GET /a", "Host: a\r\nX-Request-ID: 7", "plain"),
            ("GET /a", "Host: a\r\nCache-Control: no-cache\r\nPragma: no-cache", "plain"),
            ("GET /a", "Host: a\r\nIf-None-Matcx: b\r\nVix: c\r\nRangf: d", "plain"),
            // Answers of their own.
            ("HEAD /a", "Host: a", "whole"),
            ("GET /a", "Host: a\r\nRange: bytes=0-1", "whole"),
            ("GET /a", "Host: a\r\nIF-NONE-MATCH: *", "whole"),
            ("GET /a", "Host: a\r\nIf-Modified-Since: x", "whole"),
            ("GET /a", "Host: a\r\nVia: 1.1 x", "whole"),
            ("GET /a", "Host: a\r\nX-Request-ID: 7\r\nX-Request-ID: 8", "whole"),
            ("GET /a", "Accept: b", "whole"),
            ("GET /a", "Host: a\r\nHost: a", "whole"),
            ("GET /a", "Host: \u{e4}", "plain"), // No endpoint has it.
            ("GET /a\"b", "Host: a", "whole"),
            ("GET /a{b}", "Host: a", "whole"),
            ("GET /a#b", "Host: a", "whole"),
            ("GET http://a/b", "Host: a", "whole"),
            ("GET *", "Host: a", "whole"),
            // What follows may belong to it, or it ends the connection.
            ("GET /a", "Host: a\r\nContent-Length: 0", "other"),
            ("GET /a", "Host: a\r\nTransfer-Encoding: chunked", "other"),
            ("GET /a", "Host: a\r\nExpect: 100-continue", "other"),
            ("GET /a", "Host: a\r\nUpgrade: h2c", "other"),
            ("GET /a", "Host: a\r\nConnection: close", "other"),
            ("GET /a", "Host: a\r\nConnection: keep-alive, host", "other"),
            ("POST /a", "Host: a", "other"),
            ("get /a", "Host: a", "other"),
            ("PURGE /a", "Host: a", "other"),
            ("GET /a HTTP/1.0", "Host: a", "other"),
            ("GET  /a HTTP/1.1", "Host: a", "other"),
            ("GET /a", "Host : a", "other"),
            ("GET /a", "Host: a\r\n folded", "other"),
        ];
        for (line, fields, expected) in table {
            let version = if line.contains(" HTTP/") { "" } else { " HTTP/1.1" };
            let head = format!("{line}{version}\r\n{fields}\r\n\r\nGET /next HTTP/1.1\r\n");
            assert_eq!(is(&head), expected, "{head}");
        }
    }

    #[test]
    fn a_head_that_has_not_come_is_a_part_and_one_that_is_too_large_is_not_read() {
        let head = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(is(&head[..end]), "part", "{end}");
            assert!(!may_be_whole(&head.as_bytes()[..end]), "{end}");
        }
        assert_eq!(
            is(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(TARGET_BYTES_MAX))),
            "whole"
        );
        let fields = "A: b\r\n".repeat(REQUEST_FIELDS_MAX);
        assert_eq!(is(&format!("GET /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n")), "other");
    }

    #[test]
    fn fields_come_with_all_their_lines() {
        let mut room = room();
        let Head::Plain(plain) =
            read(b"GET /a?b HTTP/1.1\r\nHost: a\r\nAccept: 1\r\naccept: \xe4\r\n\r\n", &mut room)
        else {
            panic!("it is plain")
        };
        assert_eq!((plain.host, plain.path, plain.query), ("a", "/a", Some("b")));
        let fields = plain.fields();
        assert_eq!(
            fields.get_all("accept").iter().map(HeaderValue::as_bytes).collect::<Vec<_>>(),
            [&b"1"[..], b"\xe4"]
        );
        assert_eq!((&fields["host"], fields.len()), (&HeaderValue::from_static("a"), 3));
    }
}
