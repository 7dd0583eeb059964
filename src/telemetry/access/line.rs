//! A line of the access log: JSON, or Apache's Common or Combined form.
//!
//! What a client sent is cut to a length and escaped: control characters, quotes, bytes that are no UTF-8. Never in
//! it: Authorization, cookies, or the value of a query parameter that signs (`ik-s`). A text that was cut ends with `…`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::config::AccessForm;
use crate::limits::{ACCESS_FIELD_BYTES_MAX, ACCESS_TARGET_BYTES_MAX};

/// Query parameters whose values are secrets: ImageKit's signature of a URL.
const SIGNATURES: [&str; 1] = ["ik-s"];

/// What is told of a request and its answer. Texts of the client's are as they came.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// When the request's head was complete.
    pub time: SystemTime,
    /// The other end of its connection.
    pub client: IpAddr,
    /// The method.
    pub method: &'a str,
    /// Path and query.
    pub target: &'a [u8],
    /// As in `HTTP/1.1`.
    pub protocol: &'static str,
    /// The answer's status; 499 where the client left before there was one.
    pub status: u16,
    /// Bytes of the answer's body that were handed over to be sent.
    pub bytes: u64,
    /// Whether the body broke off, or its client left.
    pub aborted: bool,
    /// From the request's head to the end of the answer's body.
    pub duration: Duration,
    /// From asking the origin to its answer's head, where this request had it asked.
    pub origin: Option<Duration>,
    /// How it counts: hit, miss, pass, error.
    pub outcome: Option<&'static str>,
    /// The answer's own Cache-Status.
    pub cache_status: Option<&'a str>,
    /// The account that the URL belongs to, if it is one's.
    pub account: Option<&'a str>,
    /// The request's name.
    pub request_id: Option<&'a str>,
    /// The Host field.
    pub host: Option<&'a [u8]>,
    /// The User-Agent field.
    pub user_agent: Option<&'a [u8]>,
    /// The Referer field.
    pub referer: Option<&'a [u8]>,
}

/// A line as JSON; null is what there is none of.
#[derive(Serialize)]
struct Object<'a> {
    time: String,
    client: IpAddr,
    method: Cow<'a, str>,
    target: Cow<'a, str>,
    protocol: &'static str,
    status: u16,
    bytes: u64,
    aborted: bool,
    duration_us: u64,
    origin_us: Option<u64>,
    outcome: Option<&'static str>,
    hit: bool,
    forwarded: Option<&'a str>,
    forwarded_status: Option<u16>,
    stored: bool,
    collapsed: bool,
    detail: Option<&'a str>,
    account: Option<&'a str>,
    request: Option<&'a str>,
    host: Option<Cow<'a, str>>,
    user_agent: Option<Cow<'a, str>>,
    referer: Option<Cow<'a, str>>,
}

impl<'a> Line<'a> {
    /// The line, with its end.
    pub fn text(&self, form: AccessForm) -> String {
        match form {
            AccessForm::Json => self.json(),
            AccessForm::Common => self.common(false),
            AccessForm::Combined => self.common(true),
        }
    }

    fn json(&self) -> String {
        let field = |bytes: Option<&'a [u8]>| bytes.map(|bytes| text(bytes, ACCESS_FIELD_BYTES_MAX));
        let status = self.cache_status.unwrap_or_default();
        let parameter =
            |name: &str| status.split("; ").find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let has = |name: &str| status.split("; ").any(|part| part == name);
        let object = Object {
            time: humantime::format_rfc3339_micros(self.time).to_string(),
            client: self.client,
            method: text(self.method.as_bytes(), ACCESS_FIELD_BYTES_MAX),
            target: without_signatures(text(self.target, ACCESS_TARGET_BYTES_MAX)),
            protocol: self.protocol,
            status: self.status,
            bytes: self.bytes,
            aborted: self.aborted,
            duration_us: micros(self.duration),
            origin_us: self.origin.map(micros),
            outcome: self.outcome,
            hit: has("hit"),
            forwarded: parameter("fwd"),
            forwarded_status: parameter("fwd-status").and_then(|status| status.parse().ok()),
            stored: has("stored"),
            collapsed: has("collapsed"),
            detail: parameter("detail"),
            account: self.account,
            request: self.request_id,
            host: field(self.host),
            user_agent: field(self.user_agent),
            referer: field(self.referer).map(without_signatures),
        };
        let mut line = ascii(&serde_json::to_string(&object).expect("it is made of texts and numbers"));
        line.push('\n');
        line
    }

    /// `host - - [time] "request" status bytes`, and in the combined form `"referer" "user agent"`.
    fn common(&self, combined: bool) -> String {
        let mut line = format!("{} - - [{}] \"", self.client, apache_time(self.time));
        quote(&text(self.method.as_bytes(), ACCESS_FIELD_BYTES_MAX), &mut line);
        line.push(' ');
        quote(&without_signatures(text(self.target, ACCESS_TARGET_BYTES_MAX)), &mut line);
        let _ = write!(line, " {}\" {} {}", self.protocol, self.status, self.bytes);
        if combined {
            for field in [self.referer, self.user_agent] {
                line.push_str(" \"");
                let shown = field.map_or(Cow::Borrowed("-"), |field| text(field, ACCESS_FIELD_BYTES_MAX));
                quote(&without_signatures(shown), &mut line);
                line.push('"');
            }
        }
        line.push('\n');
        line
    }
}

/// JSON in visible ASCII: what some terminal or reader takes for a line's end, a command, or another direction of writing
/// stands escaped.
fn ascii(json: &str) -> String {
    let mut line = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        match c {
            ' '..='~' => line.push(c),
            c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(line, "\\u{unit:04x}");
            }),
        }
    }
    line
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// So many bytes of it at most, as a text.
fn text(bytes: &[u8], most: usize) -> Cow<'_, str> {
    match bytes.get(..most) {
        Some(cut) if bytes.len() > most => {
            let mut cut = String::from_utf8_lossy(cut).into_owned();
            cut.push('…');
            cut.into()
        }
        _ => String::from_utf8_lossy(bytes),
    }
}

/// Escapes what would end a quoted text, or a line, as Apache does: `\xHH`.
fn quote(text: &str, line: &mut String) {
    for c in text.chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            ' '..='~' => line.push(c),
            c => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(line, "\\x{byte:02x}");
                }
            }
        }
    }
}

/// A text with the values of signing parameters masked, wherever a query stands in it.
fn without_signatures(text: Cow<'_, str>) -> Cow<'_, str> {
    let masked = match masked(&text) {
        Cow::Owned(masked) => Some(masked),
        Cow::Borrowed(_) => None,
    };
    masked.map_or(text, Cow::Owned)
}

/// The same for a URL, or a path and its query. A name counts decoded: `ik%2Ds` signs as `ik-s` does.
pub fn masked(url: &str) -> Cow<'_, str> {
    // A query could stand in a query, and an image service takes whole URLs in its path: each piece is looked at.
    let is_end = |c: char| matches!(c, '?' | '&' | ';' | '#');
    let signs = |piece: &str| {
        piece.split_once('=').is_some_and(|(name, _)| {
            SIGNATURES.iter().any(|signature| decoded(name).eq_ignore_ascii_case(signature))
        })
    };
    // A signed URL that is itself escaped, as in `?url=https%3A…%26ik-s%3D…`.
    let hides = |piece: &str| {
        let plain = decoded(piece).to_ascii_lowercase();
        SIGNATURES.iter().any(|signature| {
            plain.match_indices(signature).any(|(at, found)| {
                plain[at + found.len()..].starts_with('=') && plain[..at].ends_with(is_end)
            })
        })
    };
    if !url.split(is_end).any(|piece| signs(piece) || hides(piece)) {
        return Cow::Borrowed(url);
    }
    let mut shown = String::with_capacity(url.len());
    for piece in url.split_inclusive(is_end) {
        let (body, end) = match piece.chars().next_back() {
            Some(last) if is_end(last) => piece.split_at(piece.len() - last.len_utf8()),
            _ => (piece, ""),
        };
        match body.split_once('=') {
            Some((name, _)) if hides(body) && !signs(body) => {
                // A whole URL stands in the value, escaped: nobody who reads the log needs it.
                shown.push_str(name);
                shown.push_str("=***");
            }
            Some((name, _)) if signs(body) => {
                shown.push_str(name);
                shown.push_str("=***");
            }
            _ => shown.push_str(body),
        }
        shown.push_str(end);
    }
    Cow::Owned(shown)
}

/// A name without percent-escapes, as often as it takes: what is escaped twice is decoded by somebody behind us.
fn decoded(name: &str) -> String {
    let mut name = name.to_owned();
    for _ in 0..3 {
        let once = once_decoded(&name);
        if once == name {
            break;
        }
        name = once;
    }
    name
}

fn once_decoded(name: &str) -> String {
    let bytes = name.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        let byte = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        plain.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// As in `10/Oct/2000:13:55:36 +0000`, in UTC.
fn apache_time(time: SystemTime) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = humantime::format_rfc3339_seconds(time.max(UNIX_EPOCH)).to_string();
    // 2000-10-10T13:55:36Z
    let month = text.get(5..7).and_then(|month| month.parse::<usize>().ok()).unwrap_or(1);
    let part = |from, to| text.get(from..to).unwrap_or_default();
    let month = MONTHS.get(month.saturating_sub(1)).unwrap_or(&"Jan");
    format!("{}/{month}/{}:{} +0000", part(8, 10), part(0, 4), part(11, 19))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const PLAIN: Line<'static> = Line {
        time: UNIX_EPOCH,
        client: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        method: "GET",
        target: b"/a.png?tr=w-300",
        protocol: "HTTP/1.1",
        status: 200,
        bytes: 10,
        aborted: false,
        duration: Duration::from_micros(42),
        origin: None,
        outcome: Some("hit"),
        cache_status: Some("Freshet; hit; ttl=60; detail=stale-while-revalidate"),
        account: Some("demo"),
        request_id: Some("r-1"),
        host: Some(b"img.test"),
        user_agent: None,
        referer: None,
    };

    fn parsed(line: &Line<'_>) -> Value {
        let text = line.text(AccessForm::Json);
        assert!(text.trim_end().bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text}");
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        serde_json::from_str(text.strip_suffix('\n').unwrap()).unwrap()
    }

    #[test]
    fn each_form_of_a_line() {
        let forwarded = "Freshet; fwd=uri-miss; fwd-status=200; stored; collapsed; ttl=60";
        let line = Line {
            time: UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_042),
            cache_status: Some(forwarded),
            outcome: Some("miss"),
            origin: Some(Duration::from_millis(3)),
            referer: Some(b"http://x.test/"),
            user_agent: Some(b"curl/8"),
            ..PLAIN
        };
        let expected = serde_json::json!({
            "time": "2023-11-14T22:13:20.000042Z", "client": "127.0.0.1", "method": "GET",
            "target": "/a.png?tr=w-300", "protocol": "HTTP/1.1", "status": 200, "bytes": 10, "aborted": false,
            "duration_us": 42, "origin_us": 3000, "outcome": "miss", "hit": false, "forwarded": "uri-miss",
            "forwarded_status": 200, "stored": true, "collapsed": true, "detail": null, "account": "demo",
            "request": "r-1", "host": "img.test", "user_agent": "curl/8", "referer": "http://x.test/",
        });
        assert_eq!(parsed(&line), expected);
        let hit = parsed(&PLAIN);
        assert_eq!(
            (&hit["hit"], &hit["detail"], &hit["forwarded"]),
            (&Value::Bool(true), &"stale-while-revalidate".into(), &Value::Null)
        );
        let common = "127.0.0.1 - - [14/Nov/2023:22:13:20 +0000] \"GET /a.png?tr=w-300 HTTP/1.1\" 200 10";
        assert_eq!(line.text(AccessForm::Common), format!("{common}\n"));
        assert_eq!(line.text(AccessForm::Combined), format!("{common} \"http://x.test/\" \"curl/8\"\n"));
        assert!(PLAIN.text(AccessForm::Combined).ends_with(" 200 10 \"-\" \"-\"\n"));
    }

    #[test]
    fn a_signature_is_masked_however_its_name_is_written() {
        for (url, expected) in [
            ("/a.png", "/a.png"),
            ("/a.png?ik-t=1&x-ik-s=2&ik-sx=3", "/a.png?ik-t=1&x-ik-s=2&ik-sx=3"),
            ("/a.png?ik-s=abc", "/a.png?ik-s=***"),
            ("/a.png?ik-t=1&ik-s=abc=d&tr=w-3", "/a.png?ik-t=1&ik-s=***&tr=w-3"),
            ("/a.png?ik%2ds=abc&IK-S=def", "/a.png?ik%2ds=***&IK-S=***"),
            ("/a.png?%69k%252Ds=abc", "/a.png?%69k%252Ds=***"),
            ("/b?u=https%3A%2F%2Fi%2Fa.jpg%3Fik-t%3D1%26ik-s%3Dabc&w=3", "/b?u=***&w=3"),
            ("/b?u=https%253A%252F%252Fi%252Fa.jpg%253FIK-S%253Dabc", "/b?u=***"),
            ("/b?u=https%3A%2F%2Fi%2Fa.jpg%3Fik-sx%3D1", "/b?u=https%3A%2F%2Fi%2Fa.jpg%3Fik-sx%3D1"),
            (
                "https://x.test/b?u=https://y.test/c?ik-s=abc#f",
                "https://x.test/b?u=https://y.test/c?ik-s=***#f",
            ),
            ("/a.png?ik-s=", "/a.png?ik-s=***"),
            ("/ä?ik-s=ö&ü", "/ä?ik-s=***&ü"),
        ] {
            assert_eq!(masked(url), expected, "{url}");
        }
    }

    /// A quoted text ends at its quote, and holds nothing but printable ASCII.
    fn is_one_line_of_common(line: &str, quoted: usize) -> bool {
        let Some(body) = line.strip_suffix('\n') else { return false };
        let (mut quotes, mut escaped) = (0, false);
        for c in body.chars() {
            quotes += usize::from(c == '"' && !escaped);
            escaped = c == '\\' && !escaped;
        }
        body.chars().all(|c| (' '..='~').contains(&c)) && quotes == 2 * quoted && !escaped
    }

    proptest! {
        #[test]
        fn any_bytes_make_one_line_that_parses_and_is_bounded(
            target in prop::collection::vec(any::<u8>(), 0..9000),
            field in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\'), Just(b'\n')], 0..2000),
        ) {
            let line = Line {
                target: &target,
                host: Some(&field),
                user_agent: Some(&field),
                referer: Some(&field),
                ..PLAIN
            };
            let object = parsed(&line);
            for (name, bytes, most) in [
                ("target", &target, ACCESS_TARGET_BYTES_MAX),
                ("referer", &field, ACCESS_FIELD_BYTES_MAX),
                ("user_agent", &field, ACCESS_FIELD_BYTES_MAX),
            ] {
                let shown = object[name].as_str().unwrap();
                prop_assert_eq!(shown.ends_with('…') && bytes.len() > most, bytes.len() > most);
            }
            prop_assert!(is_one_line_of_common(&line.text(AccessForm::Common), 1));
            prop_assert!(is_one_line_of_common(&line.text(AccessForm::Combined), 3));
            for form in [AccessForm::Json, AccessForm::Common, AccessForm::Combined] {
                // A byte is four at most in a quoted text (\xHH), nine where it is none of UTF-8; six in JSON.
                let most = 1000 + 12 * (ACCESS_TARGET_BYTES_MAX + 3 * ACCESS_FIELD_BYTES_MAX);
                prop_assert!(line.text(form).len() < most);
            }
        }
    }
}
