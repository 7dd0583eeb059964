//! How long a stored response may be used, worked out once when it is stored (RFC 9111 §4.2, RFC 5861).
//!
//! A hit adds the time that the response has been stored to `age_at_store` and compares durations: no date
//! and no wall clock has a part in it, so a clock that jumps makes nothing immortal. Invariants: nothing is
//! negative; sums saturate; where stale use is forbidden both stale windows are zero. Cost of a hit: O(1).

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};

use super::cache_control::{DELTA_SECONDS_MAX, RequestDirectives, ResponseDirectives, Scope, delta_seconds};
use super::policy::Policy;
use super::{date, list, targeted};

const SECONDS_MAX: Duration = Duration::from_secs(DELTA_SECONDS_MAX);

/// What the cache may rely on of a response's statements: one source alone (RFC 9213 §2.2).
#[derive(Clone, Debug)]
pub struct Stated {
    /// Of the targeted field that counts, else of Cache-Control.
    pub directives: ResponseDirectives,
    /// The lifetime that it states; zero where it can't be read.
    pub lifetime: Option<Duration>,
}

impl Stated {
    /// Reads a response's head, which came at `response_wall`. RFC 9111 §4.2.1, in its order.
    pub fn read(headers: &HeaderMap, policy: &Policy, response_wall: SystemTime) -> Stated {
        let targeted = targeted::directives(headers, &policy.targeted_fields);
        let expires = if targeted.is_some() { None } else { expires(headers, response_wall) };
        let directives = targeted.unwrap_or_else(|| ResponseDirectives::read(headers));
        let lifetime = directives.s_maxage.or(directives.max_age).or(expires);
        Stated { directives, lifetime: lifetime.map(|lifetime| lifetime.min(SECONDS_MAX)) }
    }
}

/// Expires less Date; an invalid Expires, "0" above all, is in the past (RFC 9111 §5.3).
fn expires(headers: &HeaderMap, response_wall: SystemTime) -> Option<Duration> {
    let expires = date::parse(headers.get(header::EXPIRES)?, response_wall);
    let from = sent_at(headers, response_wall);
    Some(expires.and_then(|at| at.duration_since(from).ok()).unwrap_or_default())
}

/// Date, or the time of arrival where there is none that can be read (RFC 9110 §6.6.1).
fn sent_at(headers: &HeaderMap, response_wall: SystemTime) -> SystemTime {
    date::field(headers, header::DATE, response_wall).unwrap_or(date::whole_seconds(response_wall))
}

/// The age of a response when it is stored: `corrected_initial_age` of RFC 9111 §4.2.3.
///
/// Of a repeated or listed Age the first member counts; one that is no number is ignored (§5.1).
pub(super) fn initial_age(headers: &HeaderMap, response_wall: SystemTime, delay: Duration) -> Duration {
    // A date has whole seconds, so the arrival is counted in them too: a response sent and received
    // within one second has no apparent age.
    let arrived = date::whole_seconds(response_wall);
    let apparent = arrived.duration_since(sent_at(headers, response_wall)).unwrap_or_default();
    let stated = list::field_members(headers, &header::AGE).next().and_then(delta_seconds);
    apparent.max(stated.unwrap_or_default().saturating_add(delay))
}

/// What a hit needs to know of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// How long the response is fresh, counted from its origin's making it.
    pub lifetime: Duration,
    /// Its age when it was stored.
    pub age_at_store: Duration,
    /// How long past its lifetime it may be served while one refresh runs behind it.
    pub stale_while_revalidate: Duration,
    /// How long past its lifetime it may stand in for an error.
    pub stale_if_error: Duration,
    /// Stale use is forbidden (`must-revalidate`, `proxy-revalidate`, `s-maxage`).
    pub must_revalidate: bool,
    /// Never used without asking the origin (`no-cache`).
    pub validate_always: bool,
}

/// What a stored response is good for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Served as it is, for `ttl` still.
    Fresh {
        /// What is left of its lifetime.
        ttl: Duration,
    },
    /// Served at once, and one refresh behind it.
    StaleWhileRevalidate,
    /// Not served before the origin was asked.
    Stale,
}

impl State {
    /// For logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Fresh { .. } => "fresh",
            State::StaleWhileRevalidate => "stale-while-revalidate",
            State::Stale => "stale",
        }
    }
}

impl Freshness {
    /// Works out what `stated` means under `policy` for a response that passed `storable`.
    pub fn new(
        status: StatusCode,
        headers: &HeaderMap,
        stated: &Stated,
        policy: &Policy,
        response_wall: SystemTime,
        age_at_store: Duration,
    ) -> Freshness {
        let directives = &stated.directives;
        let negative = status == StatusCode::NOT_FOUND || status == StatusCode::GONE;
        let error = status.as_u16() >= 400;
        let lifetime = stated
            .lifetime
            .or_else(|| policy.own_lifetime(status))
            .or_else(|| heuristic(status, headers, directives, policy, response_wall))
            .unwrap_or_default();
        let least = policy.lifetime_min.filter(|_| !error).unwrap_or_default();
        let bound = policy.negative_lifetime_max.filter(|_| negative).unwrap_or(SECONDS_MAX);
        let bound = bound.min(policy.lifetime_max.unwrap_or(SECONDS_MAX));
        // s-maxage speaks as proxy-revalidate does (RFC 9111 §5.2.2.10).
        let must_revalidate =
            directives.must_revalidate || directives.proxy_revalidate || directives.s_maxage.is_some();
        let validate_always = directives.no_cache == Scope::Whole;
        let window = |time: Option<Duration>| {
            if must_revalidate || validate_always { Duration::ZERO } else { time.unwrap_or_default() }
        };
        Freshness {
            lifetime: lifetime.max(least).min(bound),
            age_at_store,
            stale_while_revalidate: window(directives.stale_while_revalidate),
            stale_if_error: window(directives.stale_if_error.or(Some(policy.grace))),
            must_revalidate,
            validate_always,
        }
    }

    /// What the response is good for, `resident` after it was stored.
    pub fn judge(&self, resident: Duration) -> State {
        self.judge_for(resident, &RequestDirectives::default())
    }

    /// The same for a client whose directives are honoured (RFC 9111 §5.2.1). A stale response that the
    /// client accepts with `max-stale` is refreshed behind it, as if the origin had allowed it.
    pub fn judge_for(&self, resident: Duration, wanted: &RequestDirectives) -> State {
        if self.validate_always || wanted.no_cache {
            return State::Stale;
        }
        let age = self.age_at(resident);
        let lifetime = self.lifetime.min(wanted.max_age.unwrap_or(Duration::MAX));
        let needed = age.saturating_add(wanted.min_fresh.unwrap_or_default());
        if needed < lifetime {
            return State::Fresh { ttl: lifetime.saturating_sub(age) };
        }
        let accepted = wanted.max_stale.filter(|_| !self.must_revalidate);
        // A client that names how fresh it wants a response does not want the origin's stale window.
        let window = match (accepted, wanted.max_age.or(wanted.min_fresh)) {
            (Some(time), _) => time,
            (None, Some(_)) => Duration::ZERO,
            (None, None) => self.stale_while_revalidate,
        };
        if window > Duration::ZERO && age < lifetime.saturating_add(window) {
            return State::StaleWhileRevalidate;
        }
        State::Stale
    }

    /// Whether it may stand in for 500, 502, 503, 504, a lost connection or a time-out (RFC 5861 §4).
    pub fn usable_on_error(&self, resident: Duration, wanted: &RequestDirectives) -> bool {
        let accepted = wanted.stale_if_error.filter(|_| !self.must_revalidate).unwrap_or_default();
        let window = self.stale_if_error.max(accepted);
        !self.validate_always && self.age_at(resident) < self.lifetime.saturating_add(window)
    }

    /// The same, with a lifetime that ends at this age, if it has not ended before: somebody who may say so has
    /// called the response stale.
    pub fn ended(self, age: Duration) -> Freshness {
        Freshness { lifetime: self.lifetime.min(age), ..self }
    }

    /// Age, in whole seconds: the field of a response from the store (RFC 9111 §5.1).
    pub fn age(&self, resident: Duration) -> u64 {
        self.age_at(resident).as_secs().min(DELTA_SECONDS_MAX)
    }

    /// Seconds of its lifetime that are left, negative past it (RFC 9211 §2.4).
    pub fn ttl(&self, resident: Duration) -> i64 {
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let age = self.age_at(resident);
        seconds(self.lifetime.saturating_sub(age)) - seconds(age.saturating_sub(self.lifetime))
    }

    /// Whether no look-up could ever use it without the origin.
    pub(super) fn needs_validation_from_the_start(&self) -> bool {
        let window = self.stale_while_revalidate.max(self.stale_if_error);
        self.validate_always || self.age_at_store >= self.lifetime.saturating_add(window)
    }

    fn age_at(&self, resident: Duration) -> Duration {
        self.age_at_store.saturating_add(resident)
    }
}

/// Statuses whose responses may have a lifetime that they don't state (RFC 9110 §15.1).
pub(super) fn heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// A share of the time since Last-Modified (RFC 9111 §4.2.2).
fn heuristic(
    status: StatusCode,
    headers: &HeaderMap,
    directives: &ResponseDirectives,
    policy: &Policy,
    response_wall: SystemTime,
) -> Option<Duration> {
    let rule = policy.heuristic?;
    let explicit = policy.explicit_errors && status.as_u16() >= 400;
    if explicit || (!directives.public && !heuristically_cacheable(status)) {
        return None;
    }
    let modified = date::field(headers, header::LAST_MODIFIED, response_wall)?;
    let since = sent_at(headers, response_wall).duration_since(modified).ok()?;
    Some((since.saturating_mul(rule.percent) / 100).min(rule.lifetime_max))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::semantics::table;

    fn wall() -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(table::NOW * 1000 + 700)
    }

    fn freshness(status: u16, headers: &str, policy: &Policy) -> Freshness {
        let (headers, status) = (table::headers(headers), StatusCode::from_u16(status).unwrap());
        let stated = Stated::read(&headers, policy, wall());
        let age = initial_age(&headers, wall(), Duration::ZERO);
        Freshness::new(status, &headers, &stated, policy, wall(), age)
    }

    #[test]
    fn lifetime_and_age_are_what_the_response_states() {
        for [status, headers, expected] in table::rows(
            "
            200 | Cache-Control: max-age=3600                                            | 3600 0
            200 | Cache-Control: max-age=3600, s-maxage=1                                | 1 0
            200 | Cache-Control: s-maxage=3600 // Cache-Control: max-age=1               | 3600 0
            200 | Cache-Control: max-age=3600 // Expires: @-10000 // Date: @0            | 3600 0
            200 | Cache-Control: max-age=3600 // Expires: 0                              | 3600 0
            200 | Cache-Control: max-age=0 // Expires: @10000                            | 0 0
            200 | Cache-Control: max-age=x // Expires: @10000                            | 0 0
            200 | Expires: @600 // Date: @0                                              | 600 0
            200 | Expires: @600                                                          | 600 0
            200 | Expires: @600 // Date: foo                                             | 600 0
            200 | Expires: @0 // Date: @0                                                | 0 0
            200 | Expires: @-600 // Date: @0                                             | 0 0
            200 | Expires: @300 // Date: @400                                            | 0 0
            200 | Expires: 0 // Date: @0                                                 | 0 0
            200 | Expires: Thu, 18 Aug 2050 02:01:18 UTC                                 | 0 0
            200 | Expires: THU, 18 AUG 2050 02:01:18 gMT // Date: @0                     | 844400878 0
            200 | Expires: @10 // Date: @-10 // Age: 25                                  | 20 25
            200 | Expires: @20 // Date: @10 // Age: 15                                   | 10 15
            200 | Cache-Control: max-age=60 // Date: @-40                                | 60 40
            200 | Cache-Control: max-age=60 // Date: @40                                 | 60 0
            200 | Cache-Control: max-age=60 // Age: 7200                                 | 60 7200
            200 | Cache-Control: max-age=60 // Age: 99999999999                          | 60 2147483648
            200 | Cache-Control: max-age=60 // Age: abc                                  | 60 0
            200 | Cache-Control: max-age=60 // Age: -7200                                | 60 0
            200 | Cache-Control: max-age=60 // Age: 7200.0                               | 60 0
            200 | Cache-Control: max-age=60 // Age: 7200,0                               | 60 7200
            200 | Cache-Control: max-age=60 // Age: 0, 7200                              | 60 0
            200 | Cache-Control: max-age=60 // Age: 7200 // Age: 0                       | 60 7200
            200 | Cache-Control: max-age=60 // Age: x // Age: 7                          | 60 0
            200 | CDN-Cache-Control: max-age=3600 // Cache-Control: max-age=1            | 3600 0
            200 | CDN-Cache-Control: max-age=1 // Cache-Control: max-age=3600            | 1 0
            200 | CDN-Cache-Control: max-age=9 // Expires: 0                             | 9 0
            200 | CDN-Cache-Control: foo // Expires: @10000                              | 0 0
            200 | CDN-Cache-Control: max-age =9 // Cache-Control: max-age=1              | 1 0
            200 | Last-Modified: @-86400 // Date: @0                                     | 8640 0
            200 | Last-Modified: @-86400                                                 | 8640 0
            200 | Last-Modified: @-86400000                                              | 86400 0
            200 | Last-Modified: @100                                                    | 0 0
            200 | Last-Modified: foo                                                     | 0 0
            200 | Pragma: no-cache // Last-Modified: @-1000                              | 100 0
            203 | Last-Modified: @-1000                                                  | 100 0
            204 | Last-Modified: @-1000                                                  | 100 0
            404 | Last-Modified: @-1000                                                  | 100 0
            405 | Last-Modified: @-1000                                                  | 100 0
            410 | Last-Modified: @-1000                                                  | 100 0
            414 | Last-Modified: @-1000                                                  | 100 0
            501 | Last-Modified: @-1000                                                  | 100 0
            201 | Last-Modified: @-1000                                                  | 0 0
            202 | Last-Modified: @-1000                                                  | 0 0
            403 | Last-Modified: @-1000                                                  | 0 0
            502 | Last-Modified: @-1000                                                  | 0 0
            503 | Last-Modified: @-1000                                                  | 0 0
            599 | Last-Modified: @-1000                                                  | 0 0
            599 | Last-Modified: @-1000 // Cache-Control: public                         | 100 0
            404 | Cache-Control: max-age=3600                                            | 3600 0
            ",
        ) {
            let found = freshness(status.parse().unwrap(), headers, &Policy::rfc());
            let shown = format!("{} {}", found.lifetime.as_secs(), found.age(Duration::ZERO));
            assert_eq!(shown, expected, "{status} {headers}");
        }
    }

    #[test]
    fn a_response_is_fresh_then_usable_stale_then_stale() {
        for [cache_control, resident, expected] in table::rows(
            "
            max-age=10                                       | 0  | fresh 10 ttl=10
            max-age=10                                       | 9  | fresh 1 ttl=1
            max-age=10                                       | 10 | stale ttl=0
            max-age=10                                       | 11 | stale ttl=-1
            max-age=10, stale-while-revalidate=5             | 10 | stale-while-revalidate ttl=0
            max-age=10, stale-while-revalidate=5             | 14 | stale-while-revalidate ttl=-4
            max-age=10, stale-while-revalidate=5             | 15 | stale ttl=-5
            max-age=10, stale-if-error=5                     | 14 | stale on-error ttl=-4
            max-age=10, stale-if-error=5                     | 15 | stale ttl=-5
            max-age=10, stale-if-error=5, must-revalidate    | 14 | stale ttl=-4
            max-age=10, stale-if-error=5, proxy-revalidate   | 14 | stale ttl=-4
            s-maxage=10, stale-if-error=5                    | 14 | stale ttl=-4
            s-maxage=10, stale-while-revalidate=5            | 11 | stale ttl=-1
            max-age=10, must-revalidate                      | 5  | fresh 5 ttl=5
            max-age=10, no-cache                             | 0  | stale ttl=10
            max-age=10, no-cache, stale-if-error=5           | 0  | stale ttl=10
            max-age=10, no-cache=\"a\"                       | 0  | fresh 10 ttl=10
            max-age=99999999999                              | 60 | fresh 2147483588 ttl=2147483588
            ",
        ) {
            let found = freshness(200, &format!("Cache-Control: {cache_control}"), &Policy::image());
            let resident = Duration::from_secs(resident.parse().unwrap());
            let none = RequestDirectives::default();
            let state = match found.judge(resident) {
                State::Fresh { ttl } => format!("fresh {}", ttl.as_secs()),
                State::Stale if found.usable_on_error(resident, &none) => "stale on-error".to_owned(),
                state => state.as_str().to_owned(),
            };
            let shown = format!("{state} ttl={}", found.ttl(resident));
            assert_eq!(shown, expected, "{cache_control} after {resident:?}");
        }
    }

    #[test]
    fn a_clients_directives_narrow_or_widen_what_it_is_given() {
        for [response, request, resident, expected] in table::rows(
            "
            max-age=3600                        | max-age=0                | 3   | stale
            max-age=3600                        | max-age=1                | 3   | stale
            max-age=3600                        | max-age=9                | 3   | fresh
            max-age=1500                        | min-fresh=2000           | 0   | stale
            max-age=1500                        | min-fresh=1000           | 0   | fresh
            max-age=3600                        | no-cache                 | 0   | stale
            max-age=1                           | max-stale=1000           | 3   | stale-while-revalidate
            max-age=1                           | max-stale                | 999 | stale-while-revalidate
            max-age=1                           | max-stale=2              | 3   | stale
            max-age=1, must-revalidate          | max-stale=1000           | 3   | stale
            max-age=9, stale-while-revalidate=9 | max-age=2                | 5   | stale
            max-age=9                           | max-age=2, max-stale=9   | 5   | stale-while-revalidate
            max-age=9                           | foo                      | 5   | fresh
            ",
        ) {
            let found = freshness(200, &format!("Cache-Control: {response}"), &Policy::rfc());
            let wanted = RequestDirectives::read(&table::headers(&format!("Cache-Control: {request}")));
            let state = found.judge_for(Duration::from_secs(resident.parse().unwrap()), &wanted);
            assert_eq!(state.as_str(), expected, "{response} for {request}");
        }
    }

    #[test]
    fn a_client_may_accept_what_is_stale_in_place_of_an_error() {
        for [response, request, resident, expected] in table::rows(
            "
            max-age=10                        | stale-if-error=5        | 14 | usable
            max-age=10                        | stale-if-error=5        | 15 | error
            max-age=10                        | stale-if-error=x        | 10 | error
            max-age=10                        | no-cache                | 9  | usable
            max-age=10, stale-if-error=20     | stale-if-error=5        | 29 | usable
            max-age=10, stale-if-error=2      | stale-if-error=5        | 14 | usable
            max-age=10, must-revalidate       | stale-if-error=5        | 14 | error
            max-age=10, proxy-revalidate      | stale-if-error=5        | 14 | error
            s-maxage=10                       | stale-if-error=5        | 14 | error
            max-age=10, no-cache              | stale-if-error=5        | 0  | error
            ",
        ) {
            let found = freshness(200, &format!("Cache-Control: {response}"), &Policy::rfc());
            let wanted = RequestDirectives::read(&table::headers(&format!("Cache-Control: {request}")));
            let usable = found.usable_on_error(Duration::from_secs(resident.parse().unwrap()), &wanted);
            assert_eq!(if usable { "usable" } else { "error" }, expected, "{response} for {request}");
        }
    }

    #[test]
    fn a_least_and_a_greatest_lifetime_hold_whatever_is_stated_but_what_must_be_asked_about() {
        let seconds = Duration::from_secs;
        let policy =
            Policy { lifetime_min: Some(seconds(10)), lifetime_max: Some(seconds(100)), ..Policy::rfc() };
        for [status, headers, expected] in table::rows(
            "
            200 | Cache-Control: max-age=1                           | 10
            200 | Cache-Control: max-age=0                           | 10
            200 | Cache-Control: max-age=x                           | 10
            200 | Expires: 0                                         | 10
            200 | Date: @0                                           | 10
            200 | Cache-Control: max-age=50                          | 50
            200 | Cache-Control: max-age=1000                        | 100
            200 | Last-Modified: @-86400                             | 100
            301 | Cache-Control: max-age=1                           | 10
            404 | Cache-Control: max-age=1                           | 1
            404 | Cache-Control: max-age=1000                        | 100
            503 | Cache-Control: max-age=1                           | 1
            ",
        ) {
            let found = freshness(status.parse().unwrap(), headers, &policy);
            assert_eq!(found.lifetime, seconds(expected.parse().unwrap()), "{status} {headers}");
        }
        assert_eq!(freshness(200, "Cache-Control: no-cache", &policy).judge(Duration::ZERO), State::Stale);
    }

    #[test]
    fn route_lifetimes_stand_in_where_nothing_is_stated_and_negative_answers_are_capped() {
        let seconds = Duration::from_secs;
        let mut policy = Policy::image();
        assert_eq!(freshness(404, "Cache-Control: max-age=3600", &policy).lifetime, seconds(10));
        assert_eq!(freshness(410, "Cache-Control: max-age=5", &policy).lifetime, seconds(5));
        assert_eq!(freshness(404, "Date: @0", &policy).lifetime, seconds(0));
        policy.error_lifetime = Some(seconds(3));
        policy.lifetime_default = Some(seconds(900));
        policy.grace = seconds(60);
        assert_eq!(freshness(404, "Date: @0", &policy).lifetime, seconds(3));
        assert_eq!(freshness(200, "Date: @0", &policy).lifetime, seconds(900));
        assert_eq!(freshness(200, "Cache-Control: max-age=1", &policy).lifetime, seconds(1));
        assert_eq!(freshness(200, "Date: @0", &policy).stale_if_error, seconds(60));
        assert_eq!(freshness(200, "Cache-Control: stale-if-error=1", &policy).stale_if_error, seconds(1));
        assert_eq!(freshness(200, "Cache-Control: must-revalidate", &policy).stale_if_error, seconds(0));
    }

    #[test]
    fn delay_is_part_of_the_age_and_no_sum_overflows() {
        let headers = table::headers("Age: 5");
        assert_eq!(initial_age(&headers, wall(), Duration::from_secs(2)), Duration::from_secs(7));
        assert_eq!(initial_age(&headers, wall(), Duration::MAX), Duration::MAX);
        assert_eq!(initial_age(&headers, UNIX_EPOCH - Duration::from_secs(9), Duration::ZERO).as_secs(), 5);
        let found = freshness(200, "Cache-Control: max-age=9, stale-while-revalidate=9", &Policy::rfc());
        assert_eq!(found.judge(Duration::MAX), State::Stale);
        assert_eq!(found.age(Duration::MAX), DELTA_SECONDS_MAX);
        assert!(found.ttl(Duration::MAX) < 0);
    }
}
