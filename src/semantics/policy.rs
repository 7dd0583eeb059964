//! What a route sets: the values that turn RFC 9111's choices, and this product's, into decisions.
//!
//! Values alone. Two sets are complete: [`Policy::image`], safe before any image origin, and
//! [`Policy::rfc`], what RFC 9111 says and no more.

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode, header};

use super::accept::Format;
pub use crate::config::SetCookie;
use crate::config::{Hint, HttpMode, Route};

/// How responses of a route are stored and requests to its origin are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Fields that replace Cache-Control and Expires, the first valid one counts (RFC 9213 §2.2).
    pub targeted_fields: Vec<HeaderName>,
    /// Which final statuses may be stored.
    pub statuses: Statuses,
    /// Which representations may be stored.
    pub content_types: ContentTypes,
    /// What a Set-Cookie in a response means for storing it.
    pub set_cookie: SetCookie,
    /// Whether an error (4xx, 5xx) is stored only with a lifetime that it states.
    pub explicit_errors: bool,
    /// Lifetime from Last-Modified where a response states none (RFC 9111 §4.2.2).
    pub heuristic: Option<Heuristic>,
    /// Lifetime of successes and redirects that state none; goes before the heuristic.
    pub lifetime_default: Option<Duration>,
    /// Least lifetime of successes and redirects, whatever they state.
    pub lifetime_min: Option<Duration>,
    /// Greatest lifetime, whatever is stated.
    pub lifetime_max: Option<Duration>,
    /// Lifetime of 404, 410 and 5xx that state none and whose status may be stored.
    pub error_lifetime: Option<Duration>,
    /// Longest lifetime of 404 and 410, whatever they state.
    pub negative_lifetime_max: Option<Duration>,
    /// How long a stale response may stand in for an error where it states no `stale-if-error`.
    pub grace: Duration,
    /// Whether the client's Cache-Control counts. If it does, a client can drive load to the origin.
    pub request_directives: bool,
    /// Whether a body that only the connection's end delimits may be stored: a cut one looks complete.
    pub close_delimited: bool,
    /// Whether Range is passed on and a 206 that answers it is stored (RFC 9111 §3.3).
    pub parts: bool,
    /// Whether the answer to a POST may be stored for GETs (RFC 9110 §9.3.3).
    pub posts: bool,
    /// Names in Vary that forbid storing.
    pub vary_forbidden: Vec<HeaderName>,
    /// What a cacheable fetch carries of the client's fields.
    pub forwarding: Forwarding,
    /// Image formats that the origin makes on request: what is kept of Accept.
    pub formats: Vec<Format>,
    /// Client hints that a cacheable fetch carries, reduced.
    pub hints: Vec<Hint>,
    /// The Cache-Control that clients are told in place of the origin's.
    pub browser: Option<HeaderValue>,
    /// Whether browsers are told to take an answer for the picture that it says it is, and for nothing more.
    pub hardened: bool,
}

/// Statuses that may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statuses {
    /// 200, 203, 301, 308, 404 and 410: no error that a client's own odd request may have caused.
    Image,
    /// Every final status but those that speak of one request's fields alone.
    AnyFinal,
}

impl Statuses {
    /// Whether a response with this status may be stored. 206 and 304 have rules of their own.
    pub fn allow(self, status: StatusCode) -> bool {
        match self {
            Statuses::Image => matches!(status.as_u16(), 200 | 203 | 301 | 308 | 404 | 410),
            // 412, 416, 417 and 431 answer fields of one request: stored, they would answer the others.
            Statuses::AnyFinal => status.as_u16() >= 200 && !matches!(status.as_u16(), 412 | 416 | 417 | 431),
        }
    }
}

/// Representations that may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentTypes {
    /// `image/*` with 200 and 203, anything with redirects and errors; never judged by the URL's ending.
    Images,
    /// Anything.
    Any,
}

/// Lifetime from the time since Last-Modified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heuristic {
    /// Share of that time, in percent.
    pub percent: u32,
    /// Bound of the lifetime.
    pub lifetime_max: Duration,
}

/// What a cacheable fetch carries of the client's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// Accept alone, reduced to [`Policy::formats`]: what is not in the key doesn't reach the origin.
    Reduced,
    /// All end-to-end fields, without the client's own validators.
    EndToEnd,
}

impl Policy {
    /// The safe default for images.
    pub fn image() -> Policy {
        Policy {
            targeted_fields: vec![HeaderName::from_static("cdn-cache-control")],
            statuses: Statuses::Image,
            content_types: ContentTypes::Images,
            set_cookie: SetCookie::Bypass,
            explicit_errors: true,
            heuristic: Some(Heuristic { percent: 10, lifetime_max: Duration::from_secs(24 * 3600) }),
            lifetime_default: None,
            lifetime_min: None,
            lifetime_max: None,
            error_lifetime: None,
            negative_lifetime_max: Some(Duration::from_secs(10)),
            grace: Duration::ZERO,
            request_directives: false,
            close_delimited: false,
            parts: false,
            posts: false,
            vary_forbidden: vec![header::COOKIE, header::USER_AGENT, header::AUTHORIZATION],
            forwarding: Forwarding::Reduced,
            formats: vec![Format::Avif, Format::Webp],
            hints: Vec::new(),
            browser: None,
            hardened: true,
        }
    }

    /// RFC 9111 and no more.
    pub fn rfc() -> Policy {
        Policy {
            targeted_fields: vec![HeaderName::from_static("cdn-cache-control")],
            statuses: Statuses::AnyFinal,
            content_types: ContentTypes::Any,
            set_cookie: SetCookie::Store,
            explicit_errors: false,
            heuristic: Some(Heuristic { percent: 10, lifetime_max: Duration::from_secs(24 * 3600) }),
            lifetime_default: None,
            lifetime_min: None,
            lifetime_max: None,
            error_lifetime: None,
            negative_lifetime_max: None,
            grace: Duration::ZERO,
            request_directives: true,
            close_delimited: true,
            parts: true,
            posts: true,
            vary_forbidden: Vec::new(),
            forwarding: Forwarding::EndToEnd,
            formats: Vec::new(),
            hints: Vec::new(),
            browser: None,
            hardened: false,
        }
    }

    /// What a route says: its mode's set, changed by its own keys.
    pub fn of_route(route: &Route) -> Policy {
        let mut policy = match route.http {
            HttpMode::Image => Policy::image(),
            HttpMode::Rfc => Policy::rfc(),
        };
        let lifetimes = &route.lifetimes;
        policy.lifetime_default = lifetimes.default;
        policy.lifetime_min = lifetimes.minimum;
        policy.lifetime_max = lifetimes.maximum;
        policy.error_lifetime = lifetimes.negative;
        if lifetimes.negative.is_some() && route.http == HttpMode::Image {
            policy.negative_lifetime_max = lifetimes.negative;
        }
        policy.grace = route.grace.unwrap_or(policy.grace);
        policy.request_directives = route.request_directives.unwrap_or(policy.request_directives);
        policy.set_cookie = route.set_cookie.unwrap_or(policy.set_cookie);
        policy.hints = route.hints.clone();
        policy.browser = route.browser.clone();
        set(&mut policy.targeted_fields, &route.targeted_fields);
        set(&mut policy.formats, &route.formats);
        set(&mut policy.vary_forbidden, &route.vary_forbidden);
        policy
    }

    /// Whether the route gives a response a lifetime that states none.
    pub(super) fn gives_lifetime(&self, status: StatusCode) -> bool {
        self.own_lifetime(status).is_some() || (status.as_u16() < 400 && self.lifetime_min.is_some())
    }

    /// The route's own lifetime for a response that states none.
    pub(super) fn own_lifetime(&self, status: StatusCode) -> Option<Duration> {
        match status.as_u16() {
            404 | 410 | 500..=599 => self.error_lifetime,
            400.. => None,
            _ => self.lifetime_default,
        }
    }
}

fn set<T: Clone>(value: &mut Vec<T>, given: &Option<Vec<T>>) {
    if let Some(given) = given {
        value.clone_from(given);
    }
}
