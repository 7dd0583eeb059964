//! Validators: answering a client's conditional request, asking the origin, and what a 304 renews
//! (RFC 9110 §8.8, §13; RFC 9111 §3.2, §4.3).
//!
//! Pure; entity tags are compared as bytes, since they may hold any of 0x80 to 0xFF. An entity tag that
//! breaks the grammar is no validator. Cost: O(length of the fields).

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::{RequestFacts, date, fields};

/// What a stored response can be compared by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validators {
    etag: Option<HeaderValue>,
    last_modified: Option<(HeaderValue, SystemTime)>,
    /// Date, or when the response came.
    sent_at: SystemTime,
}

/// How a client's conditional request is answered from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With the stored response: it is not what the client has, or the client didn't ask so.
    Stored,
    /// With 304: the client has it.
    NotModified,
}

impl Answer {
    /// For logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Answer::Stored => "stored",
            Answer::NotModified => "not-modified",
        }
    }
}

impl Validators {
    /// Reads a response's fields; it came at `response_wall`.
    pub fn read(headers: &HeaderMap, response_wall: SystemTime) -> Validators {
        let etag = headers.get(header::ETAG);
        let last_modified = headers.get(header::LAST_MODIFIED);
        let dated = |value: &HeaderValue| Some((value.clone(), date::parse(value, response_wall)?));
        Validators {
            etag: etag.filter(|value| Tag::read(value.as_bytes()).is_some()).cloned(),
            last_modified: last_modified.and_then(dated),
            sent_at: date::field(headers, header::DATE, response_wall)
                .unwrap_or(date::whole_seconds(response_wall)),
        }
    }

    /// Whether the origin can't be asked about the response.
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }

    fn tag(&self) -> Option<Tag<'_>> {
        Tag::read(self.etag.as_ref()?.as_bytes())
    }

    /// Answers `req`, for a stored response of `status` (RFC 9110 §13.2, RFC 9111 §4.3.2). If-Match and
    /// If-Unmodified-Since are the origin's to judge.
    pub fn answer(&self, req: &RequestFacts<'_>, status: StatusCode, now: SystemTime) -> Answer {
        if !matches!(*req.method, Method::GET | Method::HEAD) || !status.is_success() {
            return Answer::Stored;
        }
        let held = if req.headers.contains_key(header::IF_NONE_MATCH) {
            req.headers.get_all(header::IF_NONE_MATCH).iter().any(|line| self.any_matches(line.as_bytes()))
        } else {
            // Several dates are none (RFC 9110 §13.1.3).
            let mut lines = req.headers.get_all(header::IF_MODIFIED_SINCE).into_iter();
            let since = lines.next().and_then(|value| date::parse(value, now));
            let changed_at = self.last_modified.as_ref().map_or(self.sent_at, |(_, at)| *at);
            lines.next().is_none() && since.is_some_and(|since| changed_at <= since)
        };
        if held { Answer::NotModified } else { Answer::Stored }
    }

    /// Weak comparison with each tag of an If-None-Match line (RFC 9110 §13.1.2).
    fn any_matches(&self, line: &[u8]) -> bool {
        if line.trim_ascii() == b"*" {
            return true;
        }
        let Some(own) = self.tag() else { return false };
        let mut rest = line;
        loop {
            rest = rest.trim_ascii_start();
            if let Some(after) = rest.strip_prefix(b",") {
                rest = after;
                continue;
            }
            match Tag::split(rest) {
                Some((tag, _)) if tag.opaque == own.opaque => return true,
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
    }

    /// Whether If-Range allows parts of the stored response: strong comparison (RFC 9110 §13.1.5).
    pub(super) fn allow_parts(&self, if_range: &HeaderValue, now: SystemTime) -> bool {
        if let Some(tag) = Tag::read(if_range.as_bytes()) {
            return self.tag().is_some_and(|own| own == tag && !tag.weak);
        }
        let Some((_, modified)) = &self.last_modified else { return false };
        // A date is strong if the response was made at least a second after it (RFC 9110 §8.8.2.2).
        let settled = self.sent_at.duration_since(*modified).is_ok_and(|age| age >= Duration::from_secs(1));
        settled && date::parse(if_range, now) == Some(*modified)
    }

    /// Makes `request` ask the origin whether the stored response still holds, with all validators there
    /// are (RFC 9111 §4.3.1), in place of the client's own.
    pub fn ask(&self, request: &mut HeaderMap) {
        request.remove(header::IF_NONE_MATCH);
        request.remove(header::IF_MODIFIED_SINCE);
        if let Some(etag) = &self.etag {
            request.insert(header::IF_NONE_MATCH, etag.clone());
        }
        if let Some((value, _)) = &self.last_modified {
            request.insert(header::IF_MODIFIED_SINCE, value.clone());
        }
    }

    /// Whether a 304 with `update`'s validators speaks of this response (RFC 9111 §4.3.4).
    ///
    /// One without any is accepted, which is laxer than the letter: the request named this response alone,
    /// so the 304 can mean no other.
    pub(super) fn confirmed_by(&self, update: &Validators) -> bool {
        match (update.tag(), &update.last_modified) {
            (Some(tag), _) if tag.weak => self.tag().is_some_and(|own| own.opaque == tag.opaque),
            (Some(tag), _) => self.tag() == Some(tag),
            (None, Some((_, at))) => self.last_modified.as_ref().is_some_and(|(_, own)| own == at),
            (None, None) => true,
        }
    }

    /// The entity tag, if it is a strong one: what two parts must share to be combined (RFC 9111 §3.4).
    pub fn strong_tag(&self) -> Option<&HeaderValue> {
        self.etag.as_ref().filter(|_| self.tag().is_some_and(|tag| !tag.weak))
    }

    /// Whether a HEAD's 200 describes this response: nothing that it names differs (RFC 9111 §4.3.5).
    pub(super) fn described_by(&self, update: &Validators) -> bool {
        let same_tag = update.etag.is_none() || update.etag == self.etag;
        let modified = |validators: &Validators| validators.last_modified.as_ref().map(|(_, at)| *at);
        same_tag && (update.last_modified.is_none() || modified(update) == modified(self))
    }
}

/// `"opaque"` or `W/"opaque"` (RFC 9110 §8.8.3).
#[derive(Clone, Copy, PartialEq, Eq)]
struct Tag<'a> {
    weak: bool,
    opaque: &'a [u8],
}

impl<'a> Tag<'a> {
    /// Bytes that are one tag and nothing else.
    fn read(bytes: &'a [u8]) -> Option<Tag<'a>> {
        let (tag, rest) = Tag::split(bytes.trim_ascii())?;
        rest.is_empty().then_some(tag)
    }

    /// A tag at the start of `bytes`, and what follows it.
    fn split(bytes: &'a [u8]) -> Option<(Tag<'a>, &'a [u8])> {
        let (weak, quoted) = match bytes.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, bytes),
        };
        let inside = quoted.strip_prefix(b"\"")?;
        let end = inside.iter().position(|b| *b == b'"')?;
        let opaque = &inside[..end];
        let allowed = |b: &u8| matches!(b, 0x21 | 0x23..=0x7E | 0x80..);
        opaque.iter().all(allowed).then_some((Tag { weak, opaque }, &inside[end + 1..]))
    }
}

/// The stored fields that a 304 carries (RFC 9110 §15.4.5); Last-Modified where there is no entity tag.
pub fn not_modified_fields(stored: &HeaderMap) -> HeaderMap {
    const CARRIED: [HeaderName; 6] = [
        header::CACHE_CONTROL,
        header::CONTENT_LOCATION,
        header::DATE,
        header::ETAG,
        header::EXPIRES,
        header::VARY,
    ];
    let last_modified = (!stored.contains_key(header::ETAG)).then_some(header::LAST_MODIFIED);
    let mut carried = HeaderMap::new();
    for name in CARRIED.into_iter().chain(last_modified) {
        for value in stored.get_all(&name) {
            carried.append(&name, value.clone());
        }
    }
    carried
}

/// Stored fields, renewed by those of a 304 or of a HEAD's answer (RFC 9111 §3.2). What describes the
/// stored body stays; Date is the update's, for the age is counted from it.
pub(super) fn renewed(stored: &HeaderMap, update: &HeaderMap, response_wall: SystemTime) -> HeaderMap {
    const OF_THE_BODY: [HeaderName; 4] =
        [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::CONTENT_TYPE, header::CONTENT_RANGE];
    let mut fields = stored.clone();
    fields.insert(header::DATE, date::format(response_wall));
    let update = fields::end_to_end(update);
    for name in update.keys().filter(|name| !OF_THE_BODY.contains(name) && *name != header::AGE) {
        fields.remove(name);
        for value in update.get_all(name) {
            fields.append(name, value.clone());
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::semantics::table;

    fn wall() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(table::NOW)
    }

    fn validators(headers: &str) -> Validators {
        Validators::read(&table::headers(headers), wall())
    }

    #[test]
    fn a_client_gets_304_for_what_it_has() {
        for [stored, request, expected] in table::rows(
            r#"
            ETag: "abc"              | If-None-Match: "abc"                                 | not-modified
            ETag: "abc"              | If-None-Match: W/"abc"                               | not-modified
            ETag: W/"abc"            | If-None-Match: "abc"                                 | not-modified
            ETag: W/"abc"            | If-None-Match: W/"abc"                               | not-modified
            ETag: "abc"              | If-None-Match: "abc", "1", "2"                       | not-modified
            ETag: "abc"              | If-None-Match: "1", "abc", "2"                       | not-modified
            ETag: "abc"              | If-None-Match: "1","2" ,W/"abc"                      | not-modified
            ETag: "abc"              | If-None-Match: "1" // If-None-Match: "abc"           | not-modified
            ETag: "a,b"              | If-None-Match: "x", "a,b"                            | not-modified
            ETag: "abcdefü"          | If-None-Match: "abcdefü"                             | not-modified
            ETag: "abc"              | If-None-Match: *                                     | not-modified
            Date: @0                 | If-None-Match: *                                     | not-modified
            ETag: ""                 | If-None-Match: ""                                    | not-modified
            ETag: "abc"              | If-None-Match: "abd"                                 | stored
            ETag: "abc"              | If-None-Match: "ABC"                                 | stored
            ETag: "abc"              | If-None-Match: abc                                   | stored
            ETag: abc                | If-None-Match: abc                                   | stored
            ETag: abc                | If-None-Match: "abc"                                 | stored
            ETag: w/"abc"            | If-None-Match: w/"abc"                               | stored
            ETag: W\"abc"            | If-None-Match: W\"abc"                               | stored
            ETag: "b"                | If-None-Match: "a,"b"                                | stored
            ETag: "abc"              | If-None-Match:                                       | stored
            Date: @0                 | If-None-Match: "abc"                                 | stored
            ETag: "abc" // Last-Modified: @-5000 | If-None-Match: "abc" // If-Modified-Since: @-9000 | not-modified
            ETag: "abc" // Last-Modified: @-5000 | If-None-Match: "x" // If-Modified-Since: @-1      | stored
            Last-Modified: @-3000    | If-None-Match: "x" // If-Modified-Since: @-1         | stored
            Last-Modified: @-3000    | If-Modified-Since: @-3000                            | not-modified
            Last-Modified: @-3000    | If-Modified-Since: @-2000                            | not-modified
            Last-Modified: @-3000    | If-Modified-Since: @-3001                            | stored
            Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT | If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT | not-modified
            Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT | If-Modified-Since: Sun Nov  6 08:49:37 1994 | not-modified
            Last-Modified: @-3000    | If-Modified-Since: foo                               | stored
            Last-Modified: @-3000    | If-Modified-Since: @0 // If-Modified-Since: @0       | stored
            Date: @-9                | If-Modified-Since: @-9                               | not-modified
            Date: @-9                | If-Modified-Since: @-3000                            | stored
            ETag: "abc"              | Range: bytes=0-                                      | stored
            "#,
        ) {
            let request = table::headers(request);
            let req = RequestFacts { method: &Method::GET, headers: &request };
            let answer = validators(stored).answer(&req, StatusCode::OK, wall());
            assert_eq!(answer.as_str(), expected, "{stored} asked with {request:?}");
        }
    }

    #[test]
    fn only_get_and_head_of_a_success_are_answered_with_304() {
        let request = table::headers("If-None-Match: *");
        for (method, status, expected) in [
            (Method::GET, 200, Answer::NotModified),
            (Method::HEAD, 203, Answer::NotModified),
            (Method::POST, 200, Answer::Stored),
            (Method::GET, 404, Answer::Stored),
            (Method::GET, 301, Answer::Stored),
        ] {
            let req = RequestFacts { method: &method, headers: &request };
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(validators("ETag: \"a\"").answer(&req, status, wall()), expected, "{method} {status}");
        }
    }

    #[test]
    fn the_origin_is_asked_with_all_validators_and_not_with_the_clients() {
        for [stored, expected] in table::rows(
            r#"
            ETag: W/"a" // Last-Modified: @-9 | if-modified-since: @-9 // if-none-match: W/"a"
            ETag: "a"                         | if-none-match: "a"
            Last-Modified: @-9                | if-modified-since: @-9
            ETag: a // Last-Modified: foo     |
            "#,
        ) {
            let mut request = table::headers("If-None-Match: \"client\" // If-Modified-Since: @-1");
            validators(stored).ask(&mut request);
            assert_eq!(table::shown(&request), table::shown(&table::headers(expected)), "{stored}");
            assert_eq!(validators(stored).is_empty(), expected.is_empty());
        }
    }

    #[test]
    fn a_304_is_used_for_the_response_that_it_names_alone() {
        for [stored, update, expected] in table::rows(
            r#"
            ETag: "a"                       | ETag: "a"                         | confirmed
            ETag: "a"                       | ETag: "b"                         | other
            ETag: W/"a"                     | ETag: "a"                         | other
            ETag: "a"                       | ETag: W/"a"                       | confirmed
            ETag: W/"a"                     | ETag: W/"b"                       | other
            ETag: "a" // Last-Modified: @-9 | ETag: "a" // Last-Modified: @-1   | confirmed
            ETag: "a" // Last-Modified: @-9 | Last-Modified: @-9                | confirmed
            ETag: "a" // Last-Modified: @-9 | Last-Modified: @-8                | other
            ETag: "a"                       | Last-Modified: @-8                | other
            Last-Modified: @-9              | ETag: "a"                         | other
            ETag: "a"                       | Date: @0                          | confirmed
            "#,
        ) {
            let found =
                if validators(stored).confirmed_by(&validators(update)) { "confirmed" } else { "other" };
            assert_eq!(found, expected, "{stored} by {update}");
        }
    }

    #[test]
    fn a_304_renews_what_does_not_describe_the_stored_body() {
        for [stored, update, expected] in table::rows(
            r#"
            Test-Header: A                | Date: @0                            | date: @0 // test-header: A
            Test-Header: A                | Test-Header: B // Date: @0          | date: @0 // test-header: B
            X: 1 // X: 2                  | X: 3 // Date: @0                    | date: @0 // x: 3
            X: 1                          | X: 3 // X: 4 // Date: @0            | date: @0 // x: 3 // x: 4
            Content-Foo: A                | Content-Foo: B // Date: @0          | content-foo: B // date: @0
            Cache-Control: max-age=1      | Cache-Control: max-age=9 // Date: @0 | cache-control: max-age=9 // date: @0
            Expires: @1                   | Expires: @9 // Date: @0             | date: @0 // expires: @9
            Content-Type: a/b             | Content-Type: c/d // Date: @0       | content-type: a/b // date: @0
            Content-Encoding: gzip        | Content-Encoding: br // Date: @0    | content-encoding: gzip // date: @0
            Content-Range: bytes 0-1/9    | Content-Range: bytes 2-3/9 // Date: @0 | content-range: bytes 0-1/9 // date: @0
            A: 1                          | Content-Length: 10 // Date: @0      | a: 1 // date: @0
            A: 1                          | Age: 10 // Date: @0                 | a: 1 // date: @0
            A: 1                          | Connection: B // B: 2 // Date: @0   | a: 1 // date: @0
            A: 1                          | Upgrade: h2c // TE: x // Date: @0   | a: 1 // date: @0
            Date: @-90                    | A: 1                                | a: 1 // date: @0
            Date: @-90                    | Date: @-5                           | date: @-5
            "#,
        ) {
            let found = renewed(&table::headers(stored), &table::headers(update), wall());
            assert_eq!(table::shown(&found), table::shown(&table::headers(expected)), "{stored} by {update}");
        }
    }

    #[test]
    fn a_304_carries_the_fields_that_rfc_9110_names() {
        let stored = table::headers(
            "Cache-Control: max-age=1 // Content-Location: /a // Date: @0 // ETag: \"a\" // Expires: @1 // Vary: a \
             // Vary: b // Last-Modified: @-1 // Content-Type: image/png // X: 1",
        );
        let carried = table::shown(&not_modified_fields(&stored));
        let expected = "Cache-Control: max-age=1 // Content-Location: /a // Date: @0 // ETag: \"a\" // Expires: @1 \
                        // Vary: a // Vary: b";
        assert_eq!(carried, table::shown(&table::headers(expected)));
        let undated = table::headers("Last-Modified: @-1 // X: 1");
        assert_eq!(
            table::shown(&not_modified_fields(&undated)),
            table::shown(&table::headers("Last-Modified: @-1"))
        );
    }
}
