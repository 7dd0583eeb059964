//! HTTP caching for a shared cache as pure functions of fields, policy and time.
//!
//! Nothing here reads a clock, opens a socket, spawns or locks. Decide once, at the fill: [`plan`] works out
//! at a response's head all that its hits need, [`renew`] does so for a 304; a hit then compares durations
//! and a few short values. RFC 9110, 9111, 9211, 9213, 5861, 8246 and 9875.
//!
//! A request's way through this folder:
//! 1. [`fields::check_connection`] refuses, [`fields::cacheable_request`] reduces; look-up and fetch see
//!    the reduced fields alone.
//! 2. On a hit: [`vary::Selection::matches`], [`freshness::Freshness::judge`],
//!    [`conditional::Validators::answer`], [`range::select`].
//! 3. On a miss: [`plan`] at the response's head. On a stale hit: [`conditional::Validators::ask`], then
//!    [`renew`] for a 304 and [`plan`] for anything else, or [`freshness::Freshness::usable_on_error`].
//! 4. An unsafe method: [`invalidate`], [`groups`]. Every answer: [`cache_status`].

pub mod accept;
pub mod cache_control;
pub mod cache_status;
pub mod conditional;
pub mod date;
pub mod fields;
pub mod freshness;
pub mod groups;
mod hints;
pub mod invalidate;
mod list;
mod part;
pub mod policy;
pub mod range;
pub mod storable;
mod targeted;
pub mod vary;

use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, StatusCode};

use crate::limits::{TAG_BYTES_MAX, TAGS_MAX};
use conditional::Validators;
use freshness::{Freshness, Stated};
use policy::Policy;
use range::Part;
use storable::NotStorable;
use vary::Selection;

/// A request as far as caching is concerned.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its fields: for [`plan`] those that [`fields::cacheable_request`] let through, without what the
    /// route adds for its origin; for conditions and ranges the client's own.
    pub headers: &'a HeaderMap,
}

/// All that the hits of a stored response need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    /// How long it may be used.
    pub freshness: Freshness,
    /// Which requests it answers.
    pub selection: Selection,
    /// The fields to store and to replay. Content-Length, a part's Content-Range and Age are made for each answer.
    pub fields: HeaderMap,
    /// The fields that are not stored, for the client that the response was made for.
    pub withheld: HeaderMap,
    /// The place of its body in the whole, for a 206.
    pub part: Option<Part>,
    /// The groups that it may be purged by, `TAGS_MAX` at most, in order, each once.
    pub groups: Vec<Box<str>>,
}

/// Decides at a response's head, as it was received, whether to store it and as what. It came at
/// `response_wall`, `response_delay` after its request was sent.
pub fn plan(
    req: &RequestFacts<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    policy: &Policy,
    response_wall: SystemTime,
    response_delay: Duration,
) -> Result<Fill, NotStorable> {
    if status == StatusCode::PARTIAL_CONTENT && !req.headers.contains_key(http::header::RANGE) {
        return Err(NotStorable::Part);
    }
    let age = freshness::initial_age(headers, response_wall, response_delay);
    let fill = fill(req, status, headers, policy, response_wall, age)?;
    storable::delimited(status, headers, policy)?;
    Ok(fill)
}

fn fill(
    req: &RequestFacts<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    policy: &Policy,
    response_wall: SystemTime,
    age_at_store: Duration,
) -> Result<Fill, NotStorable> {
    let stated = Stated::read(headers, policy, response_wall);
    storable::storable(req, status, headers, &stated, policy)?;
    let selection = Selection::new(headers, req.headers, policy)?;
    let part = Part::read(headers).filter(|_| status == StatusCode::PARTIAL_CONTENT);
    if status == StatusCode::PARTIAL_CONTENT && part.is_none() {
        return Err(NotStorable::Part);
    }
    let mut fields = fields::stored(headers, &stated.directives, policy, response_wall);
    if part.is_some() {
        fields.remove(http::header::CONTENT_RANGE); // With any other status it means nothing (RFC 9110 §14.4).
    }
    let fields = fields::detached(&fields);
    let validators = Validators::read(&fields, response_wall);
    let freshness = Freshness::new(status, headers, &stated, policy, response_wall, age_at_store);
    if validators.is_empty() && freshness.needs_validation_from_the_start() {
        return Err(NotStorable::NeverUsable);
    }
    let withheld = fields::withheld(headers, &stated.directives, policy);
    let mut groups = groups::of_response(headers);
    groups.sort_unstable();
    groups.dedup();
    groups.retain(|group| !group.is_empty());
    if groups.len() > TAGS_MAX || groups.iter().any(|group| group.len() > TAG_BYTES_MAX) {
        return Err(NotStorable::TooManyGroups);
    }
    Ok(Fill { freshness, selection, fields, withheld, part, groups })
}

/// Whether the answer to a POST may answer later GETs: it states its lifetime, and could be stored as an answer to a
/// GET with these fields (RFC 9110 §9.3.3). That its Content-Location is the URL itself, the caller sees.
pub fn answers_gets(
    req_headers: &HeaderMap,
    status: StatusCode,
    headers: &HeaderMap,
    policy: &Policy,
    response_wall: SystemTime,
) -> bool {
    let req = RequestFacts { method: &Method::GET, headers: req_headers };
    policy.posts
        && status == StatusCode::OK
        && Stated::read(headers, policy, response_wall).lifetime.is_some()
        && plan(&req, status, headers, policy, response_wall, Duration::ZERO).is_ok()
}

/// A stored response that the origin was asked about.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its fields, as [`Fill::fields`] gave them.
    pub fields: &'a HeaderMap,
    /// Its validators.
    pub validators: &'a Validators,
}

/// What the origin said of a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// 304 (RFC 9111 §4.3.3).
    NotModified,
    /// 206 with what a stored part lacks (RFC 9111 §3.4).
    Part,
    /// 200 to a HEAD, while the stored response has a body of this many bytes (RFC 9111 §4.3.5).
    Head {
        /// Length of the stored body.
        body_bytes: u64,
    },
}

/// What becomes of a stored response that the origin was asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Stored again, with its old body.
    Renewed(Box<Fill>),
    /// It answers the request at hand with these fields, and is stored no longer.
    Spent {
        /// The renewed fields.
        fields: HeaderMap,
        /// Why it is not stored again.
        reason: NotStorable,
    },
    /// The origin spoke of another response: this one is neither renewed nor used.
    Mismatch,
}

impl Renewal {
    /// For logs and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Renewal::Renewed(_) => "renewed",
            Renewal::Spent { .. } => "spent",
            Renewal::Mismatch => "mismatch",
        }
    }
}

/// Decides what a 304, a 206 or a HEAD's 200 with the fields `update` means for a stored response
/// (RFC 9111 §3.2, §3.4, §4.3.4, §4.3.5). `req_headers` as for [`plan`].
pub fn renew(
    req_headers: &HeaderMap,
    held: &Held<'_>,
    confirmation: Confirmation,
    update: &HeaderMap,
    policy: &Policy,
    response_wall: SystemTime,
    response_delay: Duration,
) -> Renewal {
    let stated_now = Validators::read(update, response_wall);
    let confirmed = match confirmation {
        Confirmation::NotModified => held.validators.confirmed_by(&stated_now),
        Confirmation::Part => {
            let tag = held.validators.strong_tag();
            tag.is_some() && tag == stated_now.strong_tag()
        }
        Confirmation::Head { body_bytes } => {
            let same_length = fields::content_length(update).is_none_or(|length| length == body_bytes);
            same_length && held.validators.described_by(&stated_now)
        }
    };
    if !confirmed {
        return Renewal::Mismatch;
    }
    let fields = conditional::renewed(held.fields, update, response_wall);
    // The stored fields have no Age of their own: the update's age alone counts.
    let age = freshness::initial_age(update, response_wall, response_delay);
    let req = RequestFacts { method: &Method::GET, headers: req_headers };
    match fill(&req, held.status, &fields, policy, response_wall, age) {
        Ok(fill) => Renewal::Renewed(Box::new(fill)),
        Err(reason) => Renewal::Spent { fields: fields::forwarded(&fields, policy), reason },
    }
}

#[cfg(test)]
mod table;

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn wall() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(table::NOW)
    }

    #[test]
    fn a_fill_holds_what_its_hits_need() {
        let request = table::headers("Accept: image/webp,*/*");
        let req = RequestFacts { method: &Method::GET, headers: &request };
        let response = table::headers(
            "Content-Type: image/webp // Content-Length: 9 // Cache-Control: max-age=60, stale-if-error=5 // Age: 3 \
             // Vary: Accept // ETag: \"a\" // Date: @-2 // Connection: x // X: 1",
        );
        let delay = Duration::from_millis(1500);
        let fill = plan(&req, StatusCode::OK, &response, &Policy::image(), wall(), delay).unwrap();
        assert_eq!(fill.freshness.lifetime, Duration::from_secs(60));
        assert_eq!(fill.freshness.age_at_store, Duration::from_millis(4500));
        assert_eq!(fill.freshness.stale_if_error, Duration::from_secs(5));
        assert!(fill.selection.matches(&request));
        assert!(!fill.selection.matches(&table::headers("Accept: */*")));
        let expected = "Content-Type: image/webp // Cache-Control: max-age=60, stale-if-error=5 // Vary: Accept \
                        // ETag: \"a\" // Date: @-2 // X-Content-Type-Options: nosniff";
        assert_eq!(table::shown(&fill.fields), table::shown(&table::headers(expected)));
        assert_eq!(fill.part, None);
    }

    #[test]
    fn an_answer_to_a_post_that_says_for_how_long_it_holds_may_answer_gets() {
        for [policy, status, headers, expected] in table::rows(
            "
            rfc   | 200 | Expires: @60                                | yes
            rfc   | 200 | Cache-Control: max-age=60                   | yes
            rfc   | 200 | Last-Modified: @-1000                       | no
            rfc   | 200 | Cache-Control: max-age=60, private          | no
            rfc   | 200 | Cache-Control: max-age=0                    | no
            rfc   | 201 | Cache-Control: max-age=60                   | no
            rfc   | 404 | Cache-Control: max-age=60                   | no
            image | 200 | Cache-Control: max-age=60 // Content-Type: image/png // Content-Length: 1 | no
            ",
        ) {
            let policy = if policy == "rfc" { Policy::rfc() } else { Policy::image() };
            let status = StatusCode::from_bytes(status.as_bytes()).unwrap();
            let answers = answers_gets(&HeaderMap::new(), status, &table::headers(headers), &policy, wall());
            assert_eq!(if answers { "yes" } else { "no" }, expected, "{status} {headers}");
        }
        let authorized = table::headers("Authorization: x");
        let headers = table::headers("Cache-Control: max-age=60");
        assert!(!answers_gets(&authorized, StatusCode::OK, &headers, &Policy::rfc(), wall()));
    }

    #[test]
    fn a_part_knows_its_place() {
        let request = table::headers("Range: bytes=-6");
        let req = RequestFacts { method: &Method::GET, headers: &request };
        let response = table::headers("Cache-Control: max-age=60 // Content-Range: bytes 4-9/10");
        let status = StatusCode::PARTIAL_CONTENT;
        let fill = plan(&req, status, &response, &Policy::rfc(), wall(), Duration::ZERO).unwrap();
        assert_eq!(fill.part, Some(Part { range: 4..10, complete: 10 }));
    }

    /// Lifetime and age of what is renewed, else the outcome and its reason.
    fn renewal(stored: &str, update: &str, confirmation: Confirmation, policy: &Policy) -> String {
        let fields = table::headers(stored);
        let validators = Validators::read(&fields, wall());
        let held = Held { status: StatusCode::OK, fields: &fields, validators: &validators };
        let update = table::headers(update);
        match renew(&HeaderMap::new(), &held, confirmation, &update, policy, wall(), Duration::ZERO) {
            Renewal::Renewed(fill) => {
                let freshness = fill.freshness;
                format!("{} {}", freshness.lifetime.as_secs(), freshness.age(Duration::ZERO))
            }
            Renewal::Spent { reason, .. } => format!("spent {}", reason.as_str()),
            other => other.as_str().to_owned(),
        }
    }

    #[test]
    fn a_304_renews_the_lifetime_or_ends_it() {
        let stored = r#"Content-Type: image/png // ETag: "a" // Cache-Control: max-age=2 // Date: @-50"#;
        for [update, expected] in table::rows(
            r#"
            ETag: "a" // Cache-Control: max-age=3600 // Date: @0  | 3600 0
            ETag: "a" // Date: @0                                 | 2 0
            ETag: "a"                                             | 2 0
            ETag: "a" // Age: 7 // Date: @-1                      | 2 7
            ETag: "a" // CDN-Cache-Control: max-age=9             | 9 0
            Date: @0                                              | 2 0
            ETag: "b" // Cache-Control: max-age=3600              | mismatch
            ETag: "a" // Cache-Control: no-store                  | spent no-store
            ETag: "a" // Cache-Control: private                   | spent private
            ETag: "a" // Set-Cookie: a=b                          | spent set-cookie
            ETag: "a" // Vary: *                                  | spent vary-star
            ETag: "a" // Content-Type: text/html                  | 2 0
            "#,
        ) {
            let found = renewal(stored, update, Confirmation::NotModified, &Policy::image());
            assert_eq!(found, expected, "{update}");
        }
    }

    #[test]
    fn a_part_is_combined_with_another_of_the_same_strong_tag_alone() {
        for [stored, update, expected] in table::rows(
            r#"
            ETag: "a"    | ETag: "a" // Cache-Control: max-age=9 // Content-Range: bytes 5-9/10  | 9 0
            ETag: "a"    | ETag: "b"                                                            | mismatch
            ETag: W/"a"  | ETag: W/"a"                                                          | mismatch
            ETag: "a"    | ETag: W/"a"                                                          | mismatch
            ETag: "a"    | Date: @0                                                             | mismatch
            ETag: a      | ETag: a                                                              | mismatch
            Last-Modified: @-900 | Last-Modified: @-900                                         | mismatch
            ETag: "a"    | ETag: "a" // Cache-Control: no-store                                 | spent no-store
            "#,
        ) {
            let stored = format!("{stored} // Cache-Control: max-age=2 // Date: @-50");
            assert_eq!(
                renewal(&stored, update, Confirmation::Part, &Policy::rfc()),
                expected,
                "{stored} {update}"
            );
        }
    }

    #[test]
    fn a_head_that_describes_the_stored_response_renews_it() {
        let stored =
            r#"Template-A: 1 // ETag: "a" // Last-Modified: @-9 // Cache-Control: max-age=2 // Date: @-50"#;
        for [update, expected] in table::rows(
            r#"
            Cache-Control: max-age=1000                          | 1000 0
            Content-Length: 10 // ETag: "a" // Template-A: 2     | 2 0
            Content-Length: 11 // ETag: "a"                      | mismatch
            ETag: W/"a"                                          | mismatch
            Last-Modified: @-8                                   | mismatch
            Last-Modified: @-9                                   | 2 0
            "#,
        ) {
            let found = renewal(stored, update, Confirmation::Head { body_bytes: 10 }, &Policy::rfc());
            assert_eq!(found, expected, "{update}");
        }
    }
}
