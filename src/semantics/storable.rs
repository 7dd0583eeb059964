//! Whether a response may be stored (RFC 9111 §3), and why not.
//!
//! Pure; cost O(number of fields). A response that passes here may still be refused by the caller for what
//! only the body shows: it is cut, or too large.

use http::{HeaderMap, Method, StatusCode, header};

use super::cache_control::{RequestDirectives, Scope};
use super::freshness::{Stated, heuristically_cacheable};
use super::policy::{ContentTypes, Policy, SetCookie};
use super::{RequestFacts, list};

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotStorable {
    /// The request's method is not GET.
    Method,
    /// The status is interim, or one that the route doesn't store.
    Status,
    /// A part that nobody asked for, or one whose place can't be read.
    Part,
    /// A 304 to a request that held no stored response.
    UnaskedNotModified,
    /// The request said `no-store`, and the route honours it.
    RequestNoStore,
    /// The response said `no-store`.
    NoStore,
    /// The response said `private`.
    Private,
    /// The response said `must-understand`, and its status is not one that is understood.
    NotUnderstood,
    /// The response sets a cookie.
    SetCookie,
    /// The request was authorised, and the response doesn't say that others may have it.
    Authorization,
    /// `Vary: *`.
    VaryStar,
    /// Vary names a field that the route forbids, or none that can be read.
    VaryForbidden,
    /// Vary names more fields, or the request's are longer, than is kept.
    VaryTooLarge,
    /// The content type is not one that the route stores.
    ContentType,
    /// Only the end of the connection would tell that the body is whole.
    CloseDelimited,
    /// Neither a lifetime nor a validator.
    NoFreshness,
    /// Stale from the start, and without a validator.
    NeverUsable,
    /// It is in more groups than are kept, so that a purge might miss it.
    TooManyGroups,
}

impl NotStorable {
    /// For logs, metrics and the detail of Cache-Status; a token.
    pub fn as_str(self) -> &'static str {
        match self {
            NotStorable::Method => "method",
            NotStorable::Status => "status",
            NotStorable::Part => "part",
            NotStorable::UnaskedNotModified => "unasked-304",
            NotStorable::RequestNoStore => "request-no-store",
            NotStorable::NoStore => "no-store",
            NotStorable::Private => "private",
            NotStorable::NotUnderstood => "must-understand",
            NotStorable::SetCookie => "set-cookie",
            NotStorable::Authorization => "authorization",
            NotStorable::VaryStar => "vary-star",
            NotStorable::VaryForbidden => "vary-forbidden",
            NotStorable::VaryTooLarge => "vary-too-large",
            NotStorable::ContentType => "content-type",
            NotStorable::CloseDelimited => "close-delimited",
            NotStorable::NoFreshness => "no-freshness",
            NotStorable::NeverUsable => "never-usable",
            NotStorable::TooManyGroups => "too-many-groups",
        }
    }
}

/// Whether a final response may be stored, Vary and body framing apart.
pub fn storable(
    req: &RequestFacts<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    stated: &Stated,
    policy: &Policy,
) -> Result<(), NotStorable> {
    let directives = &stated.directives;
    if req.method != Method::GET {
        return Err(NotStorable::Method);
    }
    status_allowed(status, policy)?;
    if policy.request_directives && RequestDirectives::read(req.headers).no_store {
        return Err(NotStorable::RequestNoStore);
    }
    // A cache that understands the status ignores the no-store beside must-understand (§5.2.2.3).
    if directives.must_understand && !understood(status) {
        return Err(NotStorable::NotUnderstood);
    }
    if directives.no_store && !directives.must_understand {
        return Err(NotStorable::NoStore);
    }
    if directives.private == Scope::Whole {
        return Err(NotStorable::Private);
    }
    if policy.set_cookie == SetCookie::Bypass && cookie_would_be_kept(headers, stated) {
        return Err(NotStorable::SetCookie);
    }
    // §3.5.
    let shared = directives.public || directives.must_revalidate || directives.s_maxage.is_some();
    if req.headers.contains_key(header::AUTHORIZATION) && !shared {
        return Err(NotStorable::Authorization);
    }
    content_type_allowed(status, headers, policy)?;
    lifetime_or_validator(status, headers, stated, policy)
}

fn status_allowed(status: StatusCode, policy: &Policy) -> Result<(), NotStorable> {
    match status {
        StatusCode::NOT_MODIFIED => Err(NotStorable::UnaskedNotModified),
        StatusCode::PARTIAL_CONTENT if !policy.parts => Err(NotStorable::Part),
        status if policy.statuses.allow(status) => Ok(()),
        _ => Err(NotStorable::Status),
    }
}

/// Whether the body's end can be told from a lost connection (RFC 9112 §6.3). `headers` as received.
pub fn delimited(status: StatusCode, headers: &HeaderMap, policy: &Policy) -> Result<(), NotStorable> {
    let framed = headers.contains_key(header::CONTENT_LENGTH)
        || headers.contains_key(header::TRANSFER_ENCODING)
        || status == StatusCode::NO_CONTENT;
    if framed || policy.close_delimited { Ok(()) } else { Err(NotStorable::CloseDelimited) }
}

/// Statuses whose caching rules are kept here (RFC 9110 §15).
fn understood(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200..=206 | 300..=303 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505)
}

/// A Set-Cookie that `no-cache="set-cookie"` or `private="set-cookie"` names is left out anyway.
fn cookie_would_be_kept(headers: &HeaderMap, stated: &Stated) -> bool {
    let directives = &stated.directives;
    let mut named = directives.no_cache.fields().iter().chain(directives.private.fields());
    headers.contains_key(header::SET_COOKIE) && !named.any(|name| name == header::SET_COOKIE)
}

fn content_type_allowed(status: StatusCode, headers: &HeaderMap, policy: &Policy) -> Result<(), NotStorable> {
    if policy.content_types == ContentTypes::Any || !status.is_success() {
        return Ok(());
    }
    // Of several types a client may believe any: all must be images.
    let is_image = |kind: &[u8]| kind.get(..6).is_some_and(|kind| kind.eq_ignore_ascii_case(b"image/"));
    let mut kinds = list::field_members(headers, &header::CONTENT_TYPE).map(is_image);
    if kinds.next() == Some(true) && kinds.all(|image| image) {
        Ok(())
    } else {
        Err(NotStorable::ContentType)
    }
}

/// The last two conditions of §3, and this cache's own: it stores nothing that it could neither use nor
/// validate.
fn lifetime_or_validator(
    status: StatusCode,
    headers: &HeaderMap,
    stated: &Stated,
    policy: &Policy,
) -> Result<(), NotStorable> {
    let told = stated.lifetime.is_some() || stated.directives.no_cache == Scope::Whole;
    let cacheable = stated.lifetime.is_some() || stated.directives.public || heuristically_cacheable(status);
    let validator = headers.contains_key(header::ETAG) || headers.contains_key(header::LAST_MODIFIED);
    let explicit = policy.explicit_errors && status.as_u16() >= 400;
    let may_be_kept = if explicit { told } else { told || validator };
    if policy.gives_lifetime(status) || cacheable && may_be_kept {
        return Ok(());
    }
    Err(NotStorable::NoFreshness)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::semantics::{plan, table};

    fn outcome(status: &str, req_fields: &str, headers: &str, method: &str, policy: &Policy) -> &'static str {
        let (method, req_fields) =
            (Method::from_bytes(method.as_bytes()).unwrap(), table::headers(req_fields));
        let req = RequestFacts { method: &method, headers: &req_fields };
        let wall = UNIX_EPOCH + Duration::from_secs(table::NOW);
        let status = StatusCode::from_bytes(status.as_bytes()).unwrap();
        match plan(&req, status, &table::headers(headers), policy, wall, Duration::ZERO) {
            Ok(_) => "stored",
            Err(reason) => reason.as_str(),
        }
    }

    #[test]
    fn rfc_mode_stores_what_rfc_9111_allows() {
        for [status, request, headers, expected] in table::rows(
            r#"
            200 |                   | Cache-Control: max-age=60                               | stored
            200 |                   | Date: @0                                                | no-freshness
            200 |                   | ETag: "a"                                               | stored
            200 |                   | Last-Modified: @-1000                                   | stored
            200 |                   | Expires: 0                                              | never-usable
            200 |                   | Expires: 0 // ETag: "a"                                 | stored
            200 |                   | Expires: 0 // ETag: a                                   | never-usable
            200 |                   | Cache-Control: max-age=0                                | never-usable
            200 |                   | Cache-Control: max-age=60 // Age: 60                    | never-usable
            200 |                   | Cache-Control: max-age=0, stale-if-error=60             | stored
            200 |                   | Cache-Control: public                                   | no-freshness
            200 |                   | Cache-Control: max-age=10000, no-store // Expires: @10000 | no-store
            200 |                   | Cache-Control: No-StOrE                                 | no-store
            200 |                   | Cache-Control: private, max-age=3600                    | private
            200 |                   | Cache-Control: private="a", max-age=3600                | stored
            200 |                   | Cache-Control: no-cache, max-age=3600                   | never-usable
            200 |                   | Cache-Control: no-cache // ETag: "a"                    | stored
            200 |                   | Cache-Control: no-cache="a", max-age=3600               | stored
            200 |                   | Cache-Control: max-age=60 // Set-Cookie: a=b            | stored
            200 |                   | Cache-Control: max-age=60 // Pragma: no-cache           | stored
            200 |                   | Cache-Control: max-age=60 // Vary: *                    | vary-star
            200 |                   | Cache-Control: max-age=60 // Vary: Cookie               | stored
            200 |                   | CDN-Cache-Control: private // Cache-Control: max-age=9  | private
            200 |                   | CDN-Cache-Control: no-store // Cache-Control: max-age=9 | no-store
            200 |                   | CDN-Cache-Control: max-age=9 // Cache-Control: no-store | stored
            200 |                   | CDN-Cache-Control: max-age="9" // Cache-Control: no-store | no-store
            200 |                   | CDN-Cache-Control: max-age=9, & // Cache-Control: no-store | no-store
            200 | Authorization: x  | Expires: @3600                                          | authorization
            200 | Authorization: x  | Cache-Control: max-age=3600                             | authorization
            200 | Authorization: x  | Cache-Control: max-age=3600, public                     | stored
            200 | Authorization: x  | Cache-Control: max-age=3600, must-revalidate            | stored
            200 | Authorization: x  | Cache-Control: s-maxage=3600                            | stored
            200 | Authorization: x  | Cache-Control: max-age=3600, proxy-revalidate           | authorization
            200 | Cache-Control: no-store | Cache-Control: max-age=3600                       | request-no-store
            200 | Cookie: a=b       | Cache-Control: max-age=3600                             | stored
            203 |                   | Cache-Control: max-age=60                               | stored
            204 |                   | Cache-Control: max-age=60                               | stored
            299 |                   | Cache-Control: max-age=60                               | stored
            302 |                   | Cache-Control: max-age=60                               | stored
            307 |                   | Cache-Control: max-age=60                               | stored
            400 |                   | Cache-Control: max-age=60                               | stored
            404 |                   | Cache-Control: max-age=60                               | stored
            499 |                   | Cache-Control: max-age=60                               | stored
            503 |                   | Cache-Control: max-age=60                               | stored
            599 |                   | Cache-Control: max-age=60                               | stored
            599 |                   | Last-Modified: @-1000                                   | no-freshness
            599 |                   | Last-Modified: @-1000 // Cache-Control: public          | stored
            201 |                   | ETag: "a"                                               | no-freshness
            412 |                   | Cache-Control: max-age=60                               | status
            416 |                   | Cache-Control: max-age=60                               | status
            431 |                   | Cache-Control: max-age=60                               | status
            103 |                   | Cache-Control: max-age=60                               | status
            304 |                   | Cache-Control: max-age=60                               | unasked-304
            206 |                   | Cache-Control: max-age=60 // Content-Range: bytes 0-4/9 | part
            206 | Range: bytes=0-4  | Cache-Control: max-age=60 // Content-Range: bytes 0-4/9 | stored
            206 | Range: bytes=0-4  | Cache-Control: max-age=60                               | part
            206 | Range: bytes=0-4  | Cache-Control: max-age=60 // Content-Range: bytes 0-4/* | part
            299 |                   | Cache-Control: max-age=60, must-understand, no-store    | must-understand
            200 |                   | Cache-Control: max-age=60, must-understand, no-store    | stored
            200 |                   | Cache-Control: max-age=60, must-understand              | stored
            "#,
        ) {
            assert_eq!(
                outcome(status, request, headers, "GET", &Policy::rfc()),
                expected,
                "{status} {request} {headers}"
            );
        }
    }

    #[test]
    fn image_mode_stores_images_and_short_negative_answers() {
        for [status, headers, expected] in table::rows(
            r#"
            200 | Content-Type: image/avif // Cache-Control: max-age=60                         | stored
            200 | content-type: IMAGE/PNG; x=1 // Expires: @60                                  | stored
            203 | Content-Type: image/avif // Cache-Control: max-age=60                         | stored
            200 | Content-Type: text/html // Cache-Control: max-age=60                          | content-type
            200 | Content-Type: imagex/png // Cache-Control: max-age=60                         | content-type
            200 | Content-Type: text/html, image/png // Cache-Control: max-age=60               | content-type
            200 | Content-Type: image/png, text/html // Cache-Control: max-age=60               | content-type
            200 | Content-Type: image/png // Content-Type: text/html // Cache-Control: max-age=60 | content-type
            200 | Content-Type: image // Cache-Control: max-age=60                              | content-type
            200 | Cache-Control: max-age=60                                                     | content-type
            200 | Content-Type: image/png                                                       | no-freshness
            200 | Content-Type: image/png // ETag: "a"                                          | stored
            200 | Content-Type: image/png // Last-Modified: @-86400                             | stored
            404 | Content-Type: text/html // Last-Modified: @-86400                             | no-freshness
            410 | ETag: "a"                                                                     | no-freshness
            200 | Content-Type: image/png // ETag: "a" // Cache-Control: no-cache               | stored
            200 | Content-Type: image/png // Cache-Control: max-age=60 // Set-Cookie: a=b       | set-cookie
            200 | Content-Type: image/png // Cache-Control: max-age=60, no-cache="set-cookie" // Set-Cookie: a=b | stored
            200 | Content-Type: image/png // Cache-Control: max-age=60 // Vary: Accept          | stored
            200 | Content-Type: image/png // Cache-Control: max-age=60 // Vary: Accept, Cookie  | vary-forbidden
            200 | Content-Type: image/png // Cache-Control: max-age=60 // Vary: User-Agent      | vary-forbidden
            200 | Content-Type: image/png // Cache-Control: max-age=60 // Vary: Authorization   | vary-forbidden
            301 | Cache-Control: max-age=60                                                     | stored
            308 | Cache-Control: max-age=60                                                     | stored
            302 | Cache-Control: max-age=60                                                     | status
            404 | Cache-Control: max-age=60 // Content-Type: text/html                          | stored
            410 | Cache-Control: max-age=60                                                     | stored
            404 | Content-Type: text/html                                                       | no-freshness
            206 | Content-Type: image/png // Cache-Control: max-age=60                          | part
            400 | Cache-Control: max-age=60                                                     | status
            401 | Cache-Control: max-age=60                                                     | status
            403 | Cache-Control: max-age=60                                                     | status
            405 | Cache-Control: max-age=60                                                     | status
            414 | Cache-Control: max-age=60                                                     | status
            416 | Cache-Control: max-age=60                                                     | status
            421 | Cache-Control: max-age=60                                                     | status
            429 | Cache-Control: max-age=60                                                     | status
            500 | Cache-Control: max-age=60                                                     | status
            503 | Cache-Control: max-age=60                                                     | status
            "#,
        ) {
            let framed = format!("Content-Length: 9 // {headers}");
            assert_eq!(outcome(status, "", &framed, "GET", &Policy::image()), expected, "{status} {headers}");
        }
    }

    #[test]
    fn only_get_is_stored_and_only_delimited_bodies_in_image_mode() {
        let head = "Content-Type: image/png // Cache-Control: max-age=60, no-store";
        assert_eq!(outcome("200", "", head, "HEAD", &Policy::rfc()), "method");
        assert_eq!(outcome("200", "", head, "POST", &Policy::rfc()), "method");
        assert_eq!(outcome("200", "", head, "get", &Policy::rfc()), "method");
        let head = "Content-Type: image/png // Cache-Control: max-age=60";
        assert_eq!(outcome("200", "", head, "GET", &Policy::image()), "close-delimited");
        let chunked = format!("{head} // Transfer-Encoding: chunked");
        assert_eq!(outcome("200", "", &chunked, "GET", &Policy::image()), "stored");
        assert_eq!(outcome("200", "", head, "GET", &Policy::rfc()), "stored");
        let framed = format!("Content-Length: 1 // {head}");
        assert_eq!(outcome("200", "Cache-Control: no-store", &framed, "GET", &Policy::image()), "stored");
    }

    #[test]
    fn route_lifetimes_make_silent_responses_storable() {
        let mut policy = Policy::image();
        policy.error_lifetime = Some(Duration::from_secs(2));
        assert_eq!(outcome("404", "", "Content-Length: 0", "GET", &policy), "stored");
        assert_eq!(outcome("500", "", "Content-Length: 0", "GET", &policy), "status");
        let silent = "Content-Length: 1 // Content-Type: image/png";
        assert_eq!(outcome("200", "", silent, "GET", &policy), "no-freshness");
        policy.lifetime_default = Some(Duration::from_secs(2));
        assert_eq!(outcome("200", "", silent, "GET", &policy), "stored");
    }
}
