//! Cache-Control of responses and of requests, read into plain values (RFC 9111 §5.2, RFC 5861, RFC 8246).
//!
//! Owns the reading alone. Invariants: what can't be read is taken as the stricter case: a broken lifetime
//! is zero (§4.2.1), a broken field list stands for the whole response, a broken permission is none.
//! Cost: one pass over the field's lines, O(number of directives).

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, HeaderName, header};

use super::list;

/// Largest number of seconds that is told apart; more count as this many (RFC 9111 §1.2.2).
pub(super) const DELTA_SECONDS_MAX: u64 = 1 << 31;

/// What a response says to a shared cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    /// `no-store` (§5.2.2.5).
    pub no_store: bool,
    /// `no-cache` (§5.2.2.4).
    pub no_cache: Scope,
    /// `private` (§5.2.2.7).
    pub private: Scope,
    /// `public` (§5.2.2.9).
    pub public: bool,
    /// `must-revalidate` (§5.2.2.2).
    pub must_revalidate: bool,
    /// `proxy-revalidate` (§5.2.2.8).
    pub proxy_revalidate: bool,
    /// `must-understand` (§5.2.2.3).
    pub must_understand: bool,
    /// `no-transform` (§5.2.2.6).
    pub no_transform: bool,
    /// `immutable` (RFC 8246).
    pub immutable: bool,
    /// `max-age` (§5.2.2.1), zero if broken.
    pub max_age: Option<Duration>,
    /// `s-maxage` (§5.2.2.10), zero if broken.
    pub s_maxage: Option<Duration>,
    /// `stale-while-revalidate` (RFC 5861 §3).
    pub stale_while_revalidate: Option<Duration>,
    /// `stale-if-error` (RFC 5861 §4).
    pub stale_if_error: Option<Duration>,
}

/// How far `no-cache` or `private` reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Not said.
    #[default]
    Nothing,
    /// The named fields.
    Fields(Vec<HeaderName>),
    /// The whole response.
    Whole,
}

impl Scope {
    /// The wider of both: the whole, or the fields of both.
    pub(super) fn widen(&mut self, other: Scope) {
        match (&mut *self, other) {
            (Scope::Fields(mine), Scope::Fields(more)) => mine.extend(more),
            (Scope::Whole, _) | (_, Scope::Nothing) => {}
            (_, other) => *self = other,
        }
    }

    /// The scope of an argument's field names; the whole where they can't be read, or there are none.
    pub(super) fn of_fields(names: &[u8]) -> Scope {
        let names: Result<Vec<_>, _> =
            names.split(|b| *b == b',').map(|name| HeaderName::from_bytes(name.trim_ascii())).collect();
        names.map_or(Scope::Whole, Scope::Fields)
    }

    /// The fields that are named.
    pub fn fields(&self) -> &[HeaderName] {
        match self {
            Scope::Fields(names) => names,
            Scope::Nothing | Scope::Whole => &[],
        }
    }
}

impl ResponseDirectives {
    /// Reads every Cache-Control line. Of a repeated lifetime the first counts (§4.2.1).
    pub fn read(headers: &HeaderMap) -> ResponseDirectives {
        let mut read = ResponseDirectives::default();
        for Directive { name, argument } in directives(headers) {
            let bare = argument == Argument::Absent;
            match name.as_slice() {
                b"no-store" => read.no_store = true,
                b"no-cache" => read.no_cache.widen(argument.scope()),
                b"private" => read.private.widen(argument.scope()),
                b"must-revalidate" => read.must_revalidate = true,
                b"proxy-revalidate" => read.proxy_revalidate = true,
                b"no-transform" => read.no_transform = true,
                b"public" => read.public |= bare,
                b"must-understand" => read.must_understand |= bare,
                b"immutable" => read.immutable |= bare,
                b"max-age" => first(&mut read.max_age, argument.lifetime()),
                b"s-maxage" => first(&mut read.s_maxage, argument.lifetime()),
                b"stale-while-revalidate" => first(&mut read.stale_while_revalidate, argument.lifetime()),
                b"stale-if-error" => first(&mut read.stale_if_error, argument.lifetime()),
                _ => {}
            }
        }
        read
    }
}

/// What a request asks of a cache (§5.2.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// `no-cache`: not without asking the origin.
    pub no_cache: bool,
    /// `no-store`: keep nothing of this.
    pub no_store: bool,
    /// `only-if-cached`: 504 rather than asking the origin.
    pub only_if_cached: bool,
    /// `max-age`: no older than this.
    pub max_age: Option<Duration>,
    /// `max-stale`: this long past its lifetime; without an argument, however long.
    pub max_stale: Option<Duration>,
    /// `min-fresh`: fresh for this long still.
    pub min_fresh: Option<Duration>,
    /// `stale-if-error`: this long past its lifetime in place of an error (RFC 5861 §4).
    pub stale_if_error: Option<Duration>,
}

impl RequestDirectives {
    /// Reads every Cache-Control line. Pragma is not read: RFC 9111 §5.4 retired it.
    pub fn read(headers: &HeaderMap) -> RequestDirectives {
        let mut read = RequestDirectives::default();
        for Directive { name, argument } in directives(headers) {
            match name.as_slice() {
                b"no-cache" => read.no_cache = true,
                b"no-store" => read.no_store = true,
                b"only-if-cached" => read.only_if_cached = true,
                b"max-age" => first(&mut read.max_age, argument.lifetime()),
                b"max-stale" if argument == Argument::Absent => first(&mut read.max_stale, Duration::MAX),
                b"max-stale" => first(&mut read.max_stale, argument.lifetime()),
                b"min-fresh" => read.min_fresh = read.min_fresh.or(argument.seconds()),
                b"stale-if-error" => first(&mut read.stale_if_error, argument.lifetime()),
                _ => {}
            }
        }
        read
    }
}

fn first(slot: &mut Option<Duration>, value: Duration) {
    slot.get_or_insert(value);
}

/// Seconds in decimal digits, nothing else (RFC 9111 §1.2.2); more than can be told apart are the most.
pub(super) fn delta_seconds(digits: &[u8]) -> Option<Duration> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds =
        digits.iter().fold(0_u64, |sum, digit| (sum * 10 + u64::from(digit - b'0')).min(DELTA_SECONDS_MAX));
    Some(Duration::from_secs(seconds))
}

struct Directive<'a> {
    name: Vec<u8>,
    argument: Argument<'a>,
}

#[derive(PartialEq, Eq)]
enum Argument<'a> {
    Absent,
    Text(Cow<'a, [u8]>),
    Broken,
}

impl Argument<'_> {
    fn seconds(&self) -> Option<Duration> {
        match self {
            Argument::Text(text) => delta_seconds(text),
            Argument::Absent | Argument::Broken => None,
        }
    }

    /// Invalid freshness information is stale (§4.2.1).
    fn lifetime(&self) -> Duration {
        self.seconds().unwrap_or(Duration::ZERO)
    }

    fn scope(&self) -> Scope {
        match self {
            Argument::Text(names) => Scope::of_fields(names),
            Argument::Absent | Argument::Broken => Scope::Whole,
        }
    }
}

/// `name`, `name=token` and `name="quoted"`, of all lines in order; names in lower case (§5.2).
fn directives(headers: &HeaderMap) -> impl Iterator<Item = Directive<'_>> {
    list::field_members(headers, &header::CACHE_CONTROL).filter(|member| !member.is_empty()).map(directive)
}

fn directive(member: &[u8]) -> Directive<'_> {
    let Some(equals) = member.iter().position(|b| *b == b'=') else {
        return Directive { name: member.to_ascii_lowercase(), argument: Argument::Absent };
    };
    let (name, text) = (&member[..equals], &member[equals + 1..]);
    let argument = match text {
        // The grammar has no blank beside the equals sign.
        _ if name.trim_ascii().len() != name.len() => Argument::Broken,
        [b'"', inside @ ..] if list::closing_quote(inside).is_some_and(|end| end + 1 == inside.len()) => {
            Argument::Text(unescape(&inside[..inside.len() - 1]))
        }
        token if list::is_token(token) => Argument::Text(Cow::Borrowed(token)),
        _ => Argument::Broken,
    };
    Directive { name: name.trim_ascii().to_ascii_lowercase(), argument }
}

/// The text of a quoted string's inside (RFC 9110 §5.6.4).
fn unescape(inside: &[u8]) -> Cow<'_, [u8]> {
    if !inside.contains(&b'\\') {
        return Cow::Borrowed(inside);
    }
    let mut text = Vec::with_capacity(inside.len());
    let mut bytes = inside.iter();
    while let Some(byte) = bytes.next() {
        text.extend(if *byte == b'\\' { bytes.next() } else { Some(byte) });
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::semantics::table;

    /// What was read, in a fixed order, for the tables.
    fn shown(read: &ResponseDirectives) -> String {
        let scope = |name: &str, scope: &Scope| match scope {
            Scope::Nothing => None,
            Scope::Whole => Some(name.to_owned()),
            Scope::Fields(fields) => Some(format!("{name}:{}", fields.join_names())),
        };
        let flag = |name: &str, set: bool| set.then(|| name.to_owned());
        let time = |name: &str, time: Option<Duration>| time.map(|t| format!("{name}={}", t.as_secs()));
        let parts = [
            flag("no-store", read.no_store),
            scope("no-cache", &read.no_cache),
            scope("private", &read.private),
            flag("public", read.public),
            flag("must-revalidate", read.must_revalidate),
            flag("proxy-revalidate", read.proxy_revalidate),
            flag("must-understand", read.must_understand),
            flag("no-transform", read.no_transform),
            flag("immutable", read.immutable),
            time("max-age", read.max_age),
            time("s-maxage", read.s_maxage),
            time("swr", read.stale_while_revalidate),
            time("sie", read.stale_if_error),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    trait JoinNames {
        fn join_names(&self) -> String;
    }

    impl JoinNames for Vec<HeaderName> {
        fn join_names(&self) -> String {
            self.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(",")
        }
    }

    fn lines(text: &str) -> HeaderMap {
        let lines = text.split(" // ").map(|line| HeaderValue::from_bytes(line.as_bytes()).unwrap());
        lines.map(|line| (header::CACHE_CONTROL, line)).collect()
    }

    #[test]
    fn response_directives_are_read_as_stated_and_strictly_where_broken() {
        for [value, expected] in table::rows(
            r#"
            max-age=3600                              | max-age=3600
            MaX-aGe=3600                              | max-age=3600
            max-age=003600                            | max-age=3600
            max-age="3600"                            | max-age=3600
            max-age="36\00"                           | max-age=3600
            max-age=2147483648                        | max-age=2147483648
            max-age=99999999999                       | max-age=2147483648
            max-age=99999999999999999999999999        | max-age=2147483648
            max-age=1800, max-age=1                   | max-age=1800
            max-age=1 // max-age=1800                 | max-age=1
            max-age=a1                                | max-age=0
            max-age=1a                                | max-age=0
            max-age=-1                                | max-age=0
            max-age=+1                                | max-age=0
            max-age=3600.0                            | max-age=0
            max-age='3600'                            | max-age=0
            max-age="3600                             | max-age=0
            max-age="                                 | max-age=0
            max-age =3600                             | max-age=0
            max-age= 3600                             | max-age=0
            max-age                                   | max-age=0
            max-age=                                  | max-age=0
            max-age:3600                              |
            extension="max-age=3600", max-age=1       | max-age=1
            max-age=1, extension="max-age=3600"       | max-age=1
            foobar, max-age=3600                      | max-age=3600
            s-maxage=5, max-age=9                     | max-age=9 s-maxage=5
            public // s-maxage=5                      | public s-maxage=5
            , ,max-age=5,,                            | max-age=5
            No-StOrE                                  | no-store
            no-store=x                                | no-store
            extension="a, no-store                    | no-store
            no-cache                                  | no-cache
            no-cache="a, B"                           | no-cache:a,b
            no-cache=a                                | no-cache:a
            no-cache=""                               | no-cache
            no-cache="a b"                            | no-cache
            no-cache="a", no-cache                    | no-cache
            no-cache, no-cache="a"                    | no-cache
            no-cache="a", no-cache="b"                | no-cache:a,b
            private="x-user"                          | private:x-user
            private, max-age=3                        | private max-age=3
            public=1                                  |
            must-understand, no-store                 | no-store must-understand
            immutable, no-transform                   | no-transform immutable
            must-revalidate, proxy-revalidate         | must-revalidate proxy-revalidate
            stale-while-revalidate=7,stale-if-error=8 | swr=7 sie=8
            stale-if-error=x                          | sie=0
            "#,
        ) {
            assert_eq!(shown(&ResponseDirectives::read(&lines(value))), expected, "{value}");
        }
    }

    #[test]
    fn request_directives_are_read() {
        for [value, expected] in table::rows(
            r#"
            no-cache                        | no-cache
            No-Cache                        | no-cache
            no-cache="x"                    | no-cache
            No-Store                        | no-store
            only-if-cached                  | only-if-cached
            max-age=0                       | max-age=0
            max-age="9"                     | max-age=9
            max-age                         | max-age=0
            max-age=x                       | max-age=0
            max-age=-1                      | max-age=0
            max-age=9.5                     | max-age=0
            max-age=99999999999999999999    | max-age=2147483648
            max-age=1, max-age=9            | max-age=1
            max-age=9 // max-age=1          | max-age=9
            max-stale                       | max-stale=ever
            max-stale=7                     | max-stale=7
            max-stale=x                     | max-stale=0
            max-stale=1, max-stale          | max-stale=1
            min-fresh=9                     | min-fresh=9
            min-fresh=x                     |
            min-fresh                       |
            min-fresh=x, min-fresh=3        | min-fresh=3
            stale-if-error=60               | sie=60
            stale-if-error=x                | sie=0
            no-cache, max-age=0, no-store   | no-cache no-store max-age=0
            private, x=1, must-revalidate   |
            ,,                              |
            "#,
        ) {
            let read = RequestDirectives::read(&lines(value));
            let time = |name: &str, time: Option<Duration>| match time? {
                Duration::MAX => Some(format!("{name}=ever")),
                time => Some(format!("{name}={}", time.as_secs())),
            };
            let flag = |name: &str, set: bool| set.then(|| name.to_owned());
            let parts = [
                flag("no-cache", read.no_cache),
                flag("no-store", read.no_store),
                flag("only-if-cached", read.only_if_cached),
                time("max-age", read.max_age),
                time("max-stale", read.max_stale),
                time("min-fresh", read.min_fresh),
                time("sie", read.stale_if_error),
            ];
            assert_eq!(parts.into_iter().flatten().collect::<Vec<_>>().join(" "), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_within_bounds(
            bytes in proptest::collection::vec(
                prop_oneof![any::<u8>(), proptest::sample::select(b"max-age=, \"\\0189no-cache".to_vec())],
                0..200,
            )
        ) {
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
            let headers = HeaderMap::from_iter([(header::CACHE_CONTROL, value)]);
            let read = ResponseDirectives::read(&headers);
            let bound = Duration::from_secs(DELTA_SECONDS_MAX);
            for time in [read.max_age, read.s_maxage, read.stale_while_revalidate, read.stale_if_error] {
                prop_assert!(time.is_none_or(|time| time <= bound));
            }
            RequestDirectives::read(&headers);
        }

        #[test]
        fn what_follows_a_lifetime_is_read_whatever_stands_before_it(noise in "[ -~]{0,30}", n in 0_u64..1000) {
            let noise = noise.replace('"', "");
            let read = ResponseDirectives::read(&lines(&format!("{noise},s-maxage={n},no-store")));
            prop_assert!(read.no_store);
            prop_assert!(read.s_maxage.is_some());
        }
    }
}
