//! Which fields go on: to the store, to a client, to the origin (RFC 9110 §7.6.1, RFC 9111 §3.1).
//!
//! Pure. Invariants: no hop-by-hop field passes in either direction; nothing that frames a message is
//! stored; in image mode a cacheable fetch carries nothing of the client's but a reduced Accept and the hints that the route names, so nothing
//! outside the key and the variant can change what is stored. Cost: O(number of fields).

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::cache_control::ResponseDirectives;
use super::policy::{Forwarding, Policy, SetCookie};
use super::{accept, date, hints, list};

/// The field that names a request.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Fields of one connection alone. Fields whose names start with `proxy-` are others.
const HOP_BY_HOP: [&str; 7] =
    ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings"];

/// Fields that Connection must not name: dropping them would change who is asked, what was said, or to
/// whom it may be said (RFC 9110 §7.6.1).
const NEVER_HOP_BY_HOP: [&str; 28] = [
    "age",
    "authorization",
    "cache-control",
    "cdn-cache-control",
    "cdn-loop",
    "content-encoding",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expires",
    "forwarded",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "range",
    "set-cookie",
    "vary",
    "via",
    "x-forwarded-for",
];

/// A request's Connection names a field that is no connection's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForbiddenConnectionOption;

/// Refuses a request that wants end-to-end fields dropped on its way.
pub fn check_connection(request: &HeaderMap) -> Result<(), ForbiddenConnectionOption> {
    let mut options = list::field_members(request, &header::CONNECTION);
    if options.any(is_never_hop_by_hop) { Err(ForbiddenConnectionOption) } else { Ok(()) }
}

fn is_never_hop_by_hop(option: &[u8]) -> bool {
    NEVER_HOP_BY_HOP.iter().any(|name| option.eq_ignore_ascii_case(name.as_bytes()))
}

/// The fields that are not of one connection. What an origin's Connection names of
/// `NEVER_HOP_BY_HOP` stays: a dropped `Cache-Control: private` would be stored.
pub fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<_> = list::field_members(headers, &header::CONNECTION)
        .filter(|option| !is_never_hop_by_hop(option))
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .collect();
    let kept = headers.iter().filter(|(name, _)| {
        let text = name.as_str();
        !HOP_BY_HOP.contains(&text) && !text.starts_with("proxy-") && !named.contains(name)
    });
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The fields of a response to store and to replay (RFC 9111 §3.1). The age is counted anew for each use,
/// the length taken from the body; Date is added where it can't be read (RFC 9110 §6.6.1).
pub fn stored(
    headers: &HeaderMap,
    directives: &ResponseDirectives,
    policy: &Policy,
    response_wall: SystemTime,
) -> HeaderMap {
    let mut fields = end_to_end(headers);
    fields.remove(header::CONTENT_LENGTH);
    fields.remove(header::AGE);
    for name in directives.no_cache.fields().iter().chain(directives.private.fields()) {
        fields.remove(name);
    }
    if policy.set_cookie != SetCookie::Store {
        fields.remove(header::SET_COOKIE);
    }
    if date::field(&fields, header::DATE, response_wall).is_none() {
        fields.insert(header::DATE, date::format(response_wall));
    }
    harden(&mut fields, policy);
    fields
}

/// A browser is not to guess a type that its sender did not mean (`nosniff`); and what holds scripts when it is
/// opened by itself, as an SVG does, is opened in a sandbox, unless its origin has a policy of its own for it.
fn harden(fields: &mut HeaderMap, policy: &Policy) {
    if !policy.hardened {
        return;
    }
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let kind = fields.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
    let is_document = kind.is_some_and(|kind| {
        let essence = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        essence.ends_with(b"+xml") || [&b"text/html"[..], b"text/xml", b"application/xml"].contains(&essence)
    });
    if is_document && !fields.contains_key(header::CONTENT_SECURITY_POLICY) {
        fields.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    }
}

/// The fields that `no-cache` and `private` keep out of the store: the client that the response was made for gets
/// them all the same (RFC 9111 §5.2.2.4, §5.2.2.7).
pub fn withheld(headers: &HeaderMap, directives: &ResponseDirectives, policy: &Policy) -> HeaderMap {
    let named = [directives.no_cache.fields(), directives.private.fields()].concat();
    if named.is_empty() {
        return HeaderMap::new();
    }
    let passed = end_to_end(headers).into_iter();
    let mut last = None;
    let mut withheld = HeaderMap::new();
    for (name, value) in passed {
        last = name.or(last);
        let name = last.as_ref().filter(|name| named.contains(name));
        withheld.extend(name.map(|name| (name.clone(), value)));
    }
    if policy.set_cookie == SetCookie::Strip {
        withheld.remove(header::SET_COOKIE);
    }
    withheld
}

/// The same fields with values of their own, in one allocation. As they arrive, values are slices of a
/// connection's read buffer: stored so, a few bytes would keep many thousand.
pub fn detached(fields: &HeaderMap) -> HeaderMap {
    let mut bytes = Vec::with_capacity(fields.values().map(HeaderValue::len).sum());
    fields.values().for_each(|value| bytes.extend_from_slice(value.as_bytes()));
    let bytes = Bytes::from(bytes);
    let mut own = HeaderMap::with_capacity(fields.keys_len());
    let mut from = 0;
    for (name, value) in fields {
        let slice = bytes.slice(from..from + value.len());
        from += value.len();
        own.append(name, HeaderValue::from_maybe_shared(slice).expect("these bytes were a value before"));
    }
    own
}

/// The fields of a response that is passed on and not stored. A length that is repeated, or stands beside a
/// transfer coding, is repaired or dropped (RFC 9112 §6.3).
pub fn forwarded(headers: &HeaderMap, policy: &Policy) -> HeaderMap {
    let mut fields = end_to_end(headers);
    fields.remove(header::CONTENT_LENGTH);
    if let Some(length) = content_length(headers) {
        fields.insert(header::CONTENT_LENGTH, length.into());
    }
    if policy.set_cookie == SetCookie::Strip {
        fields.remove(header::SET_COOKIE);
    }
    harden(&mut fields, policy);
    fields
}

/// What a client is told of a cached answer: the route's own Cache-Control in place of the origin's, if it has
/// one. A lifetime of the route's own begins at the client, so Age and Date, which would end it early, and Expires
/// go. Errors keep what their origin says: a browser is not to keep one for longer.
pub fn tell(fields: &mut HeaderMap, status: StatusCode, policy: &Policy) {
    let Some(value) = policy.browser.as_ref().filter(|_| status.as_u16() < 400) else { return };
    fields.insert(header::CACHE_CONTROL, value.clone());
    for name in [header::EXPIRES, header::PRAGMA, header::AGE, header::DATE] {
        fields.remove(name);
    }
}

/// The one length that a response states. Nothing where a transfer coding frames it, or lengths differ.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return None;
    }
    let mut members = list::field_members(headers, &header::CONTENT_LENGTH);
    let length = members.next()?;
    let same = length.iter().all(u8::is_ascii_digit) && members.all(|other| other == length);
    std::str::from_utf8(length).ok().filter(|_| same)?.parse().ok()
}

/// The fields of a fetch whose answer may be stored: what a variant may be selected by, and no more.
/// Look-ups take these fields too. Host, Via and the validators of a stored response are the caller's.
pub fn cacheable_request(client: &HeaderMap, policy: &Policy) -> HeaderMap {
    let mut fields = match policy.forwarding {
        Forwarding::Reduced => HeaderMap::new(),
        Forwarding::EndToEnd => passed_request(client),
    };
    // The client's own validators would bring a 304 that says nothing of what is to be stored.
    fields.remove(header::IF_NONE_MATCH);
    fields.remove(header::IF_MODIFIED_SINCE);
    if !policy.parts {
        fields.remove(header::RANGE);
        fields.remove(header::IF_RANGE);
    }
    if policy.forwarding == Forwarding::Reduced || !policy.formats.is_empty() {
        fields.insert(header::ACCEPT, accept::reduce(client, &policy.formats));
    }
    hints::reduce(client, &policy.hints, &mut fields);
    fields
}

/// The fields of a request that is passed on and not cached: all end-to-end ones but those that are made
/// anew (Host, framing, Expect) and names with `_`, which some origins read as `-`.
pub fn passed_request(client: &HeaderMap) -> HeaderMap {
    let fields = end_to_end(client).into_iter();
    let mut last = None;
    let mut passed = HeaderMap::new();
    for (name, value) in fields {
        // The map gives a name once, before the first of its values.
        last = name.or(last);
        let Some(name) = &last else { continue };
        let made_anew = [header::HOST, header::CONTENT_LENGTH, header::EXPECT].contains(name);
        if !made_anew && !name.as_str().contains('_') {
            passed.append(name, value);
        }
    }
    passed
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::semantics::table;

    fn assert_fields(found: &HeaderMap, expected: &str, case: &str) {
        assert_eq!(table::shown(found), table::shown(&table::headers(expected)), "{case}");
    }

    #[test]
    fn detached_fields_are_the_same_in_memory_of_their_own() {
        let arrived = Bytes::from("a // b".repeat(1000));
        let mut fields = HeaderMap::new();
        for range in [0..1, 5..6, 11..12] {
            fields.append("x", HeaderValue::from_maybe_shared(arrived.slice(range)).unwrap());
        }
        fields.insert("y", HeaderValue::from_static(""));
        let own = detached(&fields);
        assert_eq!(own, fields);
        drop(fields);
        assert!(arrived.is_unique(), "a stored value keeps the buffer that it arrived in");
    }

    #[test]
    fn hop_by_hop_fields_and_those_that_connection_names_do_not_pass() {
        for [headers, expected] in table::rows(
            "
            Connection: a, b // A: 1 // B: 2 // C: 3                 | C: 3
            Connection: a // Connection: B // A: 1 // B: 2 // C: 3   | C: 3
            Connection: close // A: 1 // A: 2                        | A: 1 // A: 2
            Connection: Cache-Control // Cache-Control: private      | Cache-Control: private
            Connection: Set-Cookie, VARY // Set-Cookie: a // Vary: b | Set-Cookie: a // Vary: b
            Connection: ü, , x y // A: 1                             | A: 1
            Keep-Alive: 1 // A: 1                                    | A: 1
            Proxy-Authenticate: 1 // Proxy-Connection: 1             |
            Proxy-Authorization: 1 // Proxy-Authentication-Info: 1   |
            TE: trailers // Trailer: a // Transfer-Encoding: chunked |
            Upgrade: h2c // HTTP2-Settings: a // A: 1                | A: 1
            WWW-Authenticate: 1 // Strict-Transport-Security: 1      | WWW-Authenticate: 1 // Strict-Transport-Security: 1
            ",
        ) {
            assert_fields(&end_to_end(&table::headers(headers)), expected, headers);
        }
    }

    #[test]
    fn stored_fields_are_what_may_be_replayed() {
        let wall = UNIX_EPOCH + Duration::from_secs(table::NOW);
        for [policy, headers, expected] in table::rows(
            r#"
            image | Date: @-5 // Content-Length: 5 // Age: 7 // A: 1               | Date: @-5 // A: 1
            image | A: 1                                                           | Date: @0 // A: 1
            image | Date: foo                                                      | Date: @0
            image | Date: @0 // Set-Cookie: a=b                                    | Date: @0
            rfc   | Date: @0 // Set-Cookie: a=b // Set-Cookie: c=d                 | Date: @0 // Set-Cookie: a=b // Set-Cookie: c=d
            rfc   | Date: @0 // Cache-Control: no-cache="a, B" // A: 1 // B: 2 // C: 3 | Date: @0 // Cache-Control: no-cache="a, B" // C: 3
            rfc   | Date: @0 // Cache-Control: private="a" // A: 1 // B: 2         | Date: @0 // Cache-Control: private="a" // B: 2
            rfc   | Date: @0 // Connection: A // A: 1                              | Date: @0
            rfc   | Date: @0 // CDN-Cache-Control: foo                             | Date: @0 // CDN-Cache-Control: foo
            rfc   | Date: @0 // Transfer-Encoding: chunked // Content-Type: a/b    | Date: @0 // Content-Type: a/b
            "#,
        ) {
            let policy =
                if policy == "image" { Policy { hardened: false, ..Policy::image() } } else { Policy::rfc() };
            let headers = table::headers(headers);
            let directives = ResponseDirectives::read(&headers);
            assert_fields(&stored(&headers, &directives, &policy, wall), expected, &table::shown(&headers));
        }
    }

    #[test]
    fn passed_responses_have_one_length_or_none() {
        let mut policy = Policy { hardened: false, ..Policy::image() };
        for [headers, expected] in table::rows(
            "
            Content-Length: 5                                 | Content-Length: 5
            Content-Length: 005                               | Content-Length: 5
            Content-Length: 5, 5                              | Content-Length: 5
            Content-Length: 5 // Content-Length: 5            | Content-Length: 5
            Content-Length: 5, 6                              |
            Content-Length: +5                                |
            Content-Length: 99999999999999999999              |
            Content-Length: 5 // Transfer-Encoding: chunked   |
            Set-Cookie: a=b // Age: 3                         | Set-Cookie: a=b // Age: 3
            ",
        ) {
            assert_fields(&forwarded(&table::headers(headers), &policy), expected, headers);
        }
        policy.set_cookie = SetCookie::Strip;
        assert_fields(&forwarded(&table::headers("Set-Cookie: a=b // A: 1"), &policy), "A: 1", "strip");
    }

    #[test]
    fn browsers_take_a_picture_for_what_it_says_it_is() {
        let hardened =
            |fields: &str, policy: &Policy| table::shown(&forwarded(&table::headers(fields), policy));
        for [fields, expected] in table::rows(
            "
            Content-Type: image/png                  | Content-Type: image/png // X-Content-Type-Options: nosniff
            Content-Type: IMAGE/SVG+XML; charset=x   | Content-Type: IMAGE/SVG+XML; charset=x // X-Content-Type-Options: nosniff // Content-Security-Policy: sandbox
            Content-Type: text/html                  | Content-Type: text/html // X-Content-Type-Options: nosniff // Content-Security-Policy: sandbox
            Content-Type: image/svg+xml // Content-Security-Policy: script-src 'none' | Content-Type: image/svg+xml // Content-Security-Policy: script-src 'none' // X-Content-Type-Options: nosniff
            ETag: \"a\"                              | ETag: \"a\" // X-Content-Type-Options: nosniff
            ",
        ) {
            assert_eq!(hardened(fields, &Policy::image()), table::shown(&table::headers(expected)), "{fields}");
            assert_eq!(hardened(fields, &Policy::rfc()), table::shown(&table::headers(fields)), "{fields}");
        }
    }

    #[test]
    fn a_client_is_told_the_routes_own_cache_control_but_of_errors() {
        let stored =
            "Cache-Control: max-age=9 // Expires: @9 // Date: @0 // Age: 3 // Pragma: a // ETag: \"a\"";
        for [browser, status, expected] in table::rows(
            r#"
            no-cache   | 200 | Cache-Control: no-cache // ETag: "a"
            max-age=60 | 206 | Cache-Control: max-age=60 // ETag: "a"
            max-age=60 | 304 | Cache-Control: max-age=60 // ETag: "a"
            max-age=60 | 301 | Cache-Control: max-age=60 // ETag: "a"
            max-age=60 | 404 | as it came
            max-age=60 | 503 | as it came
            origin     | 200 | as it came
            "#,
        ) {
            let browser = (browser != "origin").then(|| HeaderValue::from_str(browser).unwrap());
            let policy = Policy { browser, ..Policy::image() };
            let mut fields = table::headers(stored);
            tell(&mut fields, StatusCode::from_bytes(status.as_bytes()).unwrap(), &policy);
            let expected = if expected == "as it came" { stored } else { expected };
            assert_fields(&fields, expected, status);
        }
    }

    #[test]
    fn what_is_withheld_from_the_store_is_the_leaders_alone() {
        for [headers, expected] in table::rows(
            r#"
            Cache-Control: private="a, B" // A: 1 // B: 2 // C: 3     | A: 1 // B: 2
            Cache-Control: no-cache="a" // A: 1 // A: 2               | A: 1 // A: 2
            Cache-Control: private="a", no-cache="b" // A: 1 // B: 2  | A: 1 // B: 2
            Cache-Control: private="connection" // Connection: A // A: 1 |
            Cache-Control: max-age=1 // A: 1                          |
            "#,
        ) {
            let headers = table::headers(headers);
            let directives = ResponseDirectives::read(&headers);
            assert_fields(
                &withheld(&headers, &directives, &Policy::rfc()),
                expected,
                &table::shown(&headers),
            );
        }
    }

    #[test]
    fn a_cacheable_fetch_carries_what_its_policy_lets_through() {
        let all = "Host: evil // Cookie: s=1 // X-Forwarded-Host: canary // Forwarded: a // X_A: 1 \
                   // Authorization: a // Range: bytes=0-1 // If-None-Match: \"a\" // If-Modified-Since: @0 \
                   // Accept: image/webp,*/* // Accept-Language: de // User-Agent: b // Content-Length: 5 \
                   // Connection: c // C: 1 // TE: trailers // Expect: 100-continue // X-Original-URL: /x";
        let client = table::headers(all);
        assert_fields(&cacheable_request(&client, &Policy::image()), "Accept: image/webp,*/*", "image");
        assert_fields(&cacheable_request(&HeaderMap::new(), &Policy::image()), "Accept: */*", "image");
        let passed = "Cookie: s=1 // X-Forwarded-Host: canary // Forwarded: a // Authorization: a \
                      // Accept-Language: de // User-Agent: b // X-Original-URL: /x";
        let rfc = format!("{passed} // Accept: image/webp,*/* // Range: bytes=0-1");
        assert_fields(&cacheable_request(&client, &Policy::rfc()), &rfc, "rfc");
        let with_validators = format!("{rfc} // If-None-Match: \"a\" // If-Modified-Since: @0");
        assert_fields(&passed_request(&client), &with_validators, "passed");
        let whole = Policy { parts: false, formats: vec![accept::Format::Avif], ..Policy::rfc() };
        assert_fields(&cacheable_request(&client, &whole), &format!("{passed} // Accept: */*"), "whole");
        let twice = table::headers("A: 1 // A: 2");
        assert_fields(&passed_request(&twice), "A: 1 // A: 2", "repeated fields");
    }

    #[test]
    fn err_connection_names_an_end_to_end_field() {
        for option in
            NEVER_HOP_BY_HOP.iter().chain(&["Host", "close, Content-Length", "x // Connection: HOST"])
        {
            let request = table::headers(&format!("Connection: {option}"));
            assert_eq!(check_connection(&request), Err(ForbiddenConnectionOption), "{option}");
        }
        for option in ["close", "keep-alive", "upgrade, HTTP2-Settings", "TE", "x-foo", "", "hosts"] {
            assert_eq!(
                check_connection(&table::headers(&format!("Connection: {option}"))),
                Ok(()),
                "{option}"
            );
        }
    }
}
