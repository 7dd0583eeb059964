//! Byte ranges (RFC 9110 §14): which bytes of a stored response a request gets.
//!
//! Pure. Invariants: every range that is given lies within the response and is not empty; together they
//! hold no more bytes than the response, and there are at most `RANGES_MAX`: asking is never cheaper than
//! answering (§17.15). Cost: O(length of the field), and sorting at most `RANGES_MAX`.

use std::ops::Range;
use std::time::SystemTime;

use http::{HeaderValue, Method, StatusCode, header};

use super::conditional::Validators;
pub use super::part::{Completion, Part};
use super::{RequestFacts, list};
use crate::limits::RANGES_MAX;

/// What a request gets of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    /// All of it: no range was asked for, or the field is one to ignore.
    Full,
    /// One part, with 206.
    Single(Range<u64>),
    /// Parts in the order asked for, with 206 and `multipart/byteranges`.
    Several(Vec<Range<u64>>),
    /// Nothing, with 416: no range asked for holds a byte.
    Unsatisfiable,
}

impl Selected {
    /// For logs and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Selected::Full => "full",
            Selected::Single(_) => "single",
            Selected::Several(_) => "several",
            Selected::Unsatisfiable => "unsatisfiable",
        }
    }
}

/// Judges Range and If-Range of a request that would be answered with `status` and `complete` bytes
/// (RFC 9110 §13.2.2, §14.2). Conditions on the whole response come first, see [`Validators::answer`].
pub fn select(
    req: &RequestFacts<'_>,
    status: StatusCode,
    validators: &Validators,
    complete: u64,
    now: SystemTime,
) -> Selected {
    if *req.method != Method::GET || status != StatusCode::OK {
        return Selected::Full;
    }
    let mut lines = req.headers.get_all(header::RANGE).into_iter();
    let (Some(range), None) = (lines.next(), lines.next()) else { return Selected::Full };
    let mut conditions = req.headers.get_all(header::IF_RANGE).iter();
    if !conditions.all(|condition| validators.allow_parts(condition, now)) {
        return Selected::Full;
    }
    ranges(range.as_bytes(), complete)
}

pub(super) fn ranges(value: &[u8], complete: u64) -> Selected {
    let Some(asked) = parse(value) else { return Selected::Full };
    let held: Vec<_> = asked.iter().filter_map(|spec| spec.within(complete)).collect();
    match held.as_slice() {
        // A suffix of nothing is satisfiable, but no Content-Range can name it (§14.1.2, §14.4).
        [] if asked.iter().any(|spec| matches!(spec, Spec::Suffix(1..))) => Selected::Full,
        [] => Selected::Unsatisfiable,
        [single] => Selected::Single(single.clone()),
        several if costs_too_much(several, complete) => Selected::Full,
        _ => Selected::Several(held),
    }
}

/// More than two that overlap, or more bytes than the response has (§14.2 allows to ignore these).
fn costs_too_much(ranges: &[Range<u64>], complete: u64) -> bool {
    let bytes = ranges.iter().fold(0_u64, |sum, range| sum.saturating_add(range.end - range.start));
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable_by_key(|range| range.start);
    let (mut end, mut overlaps) = (0, 0);
    for range in sorted {
        overlaps += usize::from(range.start < end);
        end = end.max(range.end);
    }
    overlaps > 1 || bytes > complete
}

/// One range of a Range field, or of a Content-Range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spec {
    /// `first-last`, both included.
    Closed(u64, u64),
    /// `first-`.
    Open(u64),
    /// `-length`.
    Suffix(u64),
}

impl Spec {
    /// The bytes that it names of `complete`, if any.
    fn within(self, complete: u64) -> Option<Range<u64>> {
        let range = match self {
            Spec::Closed(first, last) => first..last.saturating_add(1).min(complete),
            Spec::Open(first) => first..complete,
            Spec::Suffix(length) => complete.saturating_sub(length)..complete,
        };
        (range.start < range.end).then_some(range)
    }

    pub(super) fn parse(text: &[u8]) -> Option<Spec> {
        let dash = text.iter().position(|b| *b == b'-')?;
        let (first, last) = (&text[..dash], &text[dash + 1..]);
        match (first, last) {
            ([], length) => Some(Spec::Suffix(number(length)?)),
            (first, []) => Some(Spec::Open(number(first)?)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Spec::Closed(first, last))
            }
        }
    }
}

/// The whole field, or nothing: one invalid range makes all of it invalid (§14.1.1, §14.2).
fn parse(value: &[u8]) -> Option<Vec<Spec>> {
    let equals = value.iter().position(|b| *b == b'=')?;
    if !value[..equals].trim_ascii().eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut specs = Vec::new();
    for member in list::members(&value[equals + 1..], b',').filter(|member| !member.is_empty()) {
        if specs.len() == RANGES_MAX {
            return None;
        }
        specs.push(Spec::parse(member)?);
    }
    (!specs.is_empty()).then_some(specs)
}

/// Digits alone; a number that doesn't fit lies past every end, as the largest that fits does.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let more = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(digits.iter().fold(0, more))
}

/// Content-Range of a 206, or of one part of it (RFC 9110 §14.4).
///
/// # Panics
/// If `range` is empty, which no range from this file is.
pub fn content_range(range: &Range<u64>, complete: u64) -> HeaderValue {
    assert!(range.start < range.end && range.end <= complete, "a part lies within the whole");
    let text = format!("bytes {}-{}/{complete}", range.start, range.end - 1);
    HeaderValue::try_from(text).expect("digits and marks are a field value")
}

/// Content-Range of a 416.
pub fn content_range_unsatisfied(complete: u64) -> HeaderValue {
    HeaderValue::try_from(format!("bytes */{complete}")).expect("digits and marks are a field value")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;
    use crate::semantics::table;

    fn wall() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(table::NOW)
    }

    fn shown(selected: &Selected) -> String {
        let print = |range: &Range<u64>| format!("{}..{}", range.start, range.end);
        match selected {
            Selected::Single(range) => print(range),
            Selected::Several(ranges) => ranges.iter().map(print).collect::<Vec<_>>().join(" "),
            other => other.as_str().to_owned(),
        }
    }

    #[test]
    fn ranges_are_selected_of_what_is_there() {
        for [value, complete, expected] in table::rows(
            "
            bytes=0-1                             | 11  | 0..2
            bytes=1-                              | 11  | 1..11
            bytes=-1                              | 11  | 10..11
            bytes=0-0                             | 11  | 0..1
            bytes=10-10                           | 11  | 10..11
            bytes=0-99                            | 11  | 0..11
            bytes=-99                             | 11  | 0..11
            BYTES=0-1                             | 11  | 0..2
            bytes = 0-1                           | 11  | 0..2
            bytes=00-01                           | 11  | 0..2
            bytes=0-18446744073709551615          | 11  | 0..11
            bytes=0-99999999999999999999999       | 11  | 0..11
            bytes=-99999999999999999999999        | 11  | 0..11
            bytes=-18446744073709551615           | 11  | 0..11
            bytes=18446744073709551615-           | 11  | unsatisfiable
            bytes=99999999999999999999999-        | 11  | unsatisfiable
            bytes=11-                             | 11  | unsatisfiable
            bytes=18446744073709551620-           | 11  | unsatisfiable
            bytes=11-12                           | 11  | unsatisfiable
            bytes=-0                              | 11  | unsatisfiable
            bytes=11-, -0                         | 11  | unsatisfiable
            bytes=0-                              | 0   | unsatisfiable
            bytes=-5                              | 0   | full
            bytes=0-1,3-4                         | 11  | 0..2 3..5
            bytes= 3-4 , ,0-1                     | 11  | 3..5 0..2
            bytes=0-1,20-                         | 11  | 0..2
            bytes=0-3,2-5                         | 11  | 0..4 2..6
            bytes=0-3,2-5,4-6                     | 11  | full
            bytes=0-1,0-1,0-1                     | 11  | full
            bytes=0-,0-                           | 11  | full
            bytes=0-10,0-0                        | 11  | full
            bytes=0-5,6-10                        | 11  | 0..6 6..11
            bytes=2-1                             | 11  | full
            bytes=0-1,2-1                         | 11  | full
            bytes=a-1                             | 11  | full
            bytes=0-1x                            | 11  | full
            bytes=0 -1                            | 11  | full
            bytes=+0-1                            | 11  | full
            bytes=--1                             | 11  | full
            bytes=-                               | 11  | full
            bytes=0                               | 11  | full
            bytes=                                | 11  | full
            bytes=,                               | 11  | full
            bytes                                 | 11  | full
            items=0-1                             | 11  | full
            bytes=0-1;2-3                         | 11  | full
            ",
        ) {
            assert_eq!(shown(&ranges(value.as_bytes(), complete.parse().unwrap())), expected, "{value}");
        }
    }

    #[test]
    fn more_ranges_than_are_allowed_are_ignored() {
        let list = |count: usize| (0..count).map(|n| format!("{0}-{0}", 2 * n)).collect::<Vec<_>>().join(",");
        let select = |count| ranges(format!("bytes={}", list(count)).as_bytes(), 10_000);
        assert!(matches!(select(RANGES_MAX), Selected::Several(found) if found.len() == RANGES_MAX));
        assert_eq!(select(RANGES_MAX + 1), Selected::Full);
    }

    #[test]
    fn range_counts_for_get_and_200_and_where_if_range_holds_strongly() {
        for [method, status, stored, request, expected] in table::rows(
            r#"
            GET  | 200 | ETag: "a"                         | Range: bytes=0-1                        | 0..2
            GET  | 200 | ETag: "a"                         | A: 1                                    | full
            HEAD | 200 | ETag: "a"                         | Range: bytes=0-1                        | full
            GET  | 404 | ETag: "a"                         | Range: bytes=0-1                        | full
            GET  | 200 | ETag: "a"                         | Range: bytes=0-1 // Range: bytes=0-1    | full
            GET  | 200 | ETag: "a"                         | If-Range: "a"                           | full
            GET  | 200 | ETag: "a"                         | Range: bytes=0-1 // If-Range: "a"       | 0..2
            GET  | 200 | ETag: "a"                         | Range: bytes=0-1 // If-Range: "b"       | full
            GET  | 200 | ETag: W/"a"                       | Range: bytes=0-1 // If-Range: W/"a"     | full
            GET  | 200 | ETag: "a"                         | Range: bytes=0-1 // If-Range: W/"a"     | full
            GET  | 200 | ETag: W/"a"                       | Range: bytes=0-1 // If-Range: "a"       | full
            GET  | 200 | ETag: "a"                         | Range: bytes=0-1 // If-Range: "a", "b"  | full
            GET  | 200 | ETag: "a"                         | Range: bytes=0-1 // If-Range: *         | full
            GET  | 200 | Last-Modified: @-9 // Date: @-8   | Range: bytes=0-1 // If-Range: @-9       | 0..2
            GET  | 200 | Last-Modified: @-9 // Date: @-9   | Range: bytes=0-1 // If-Range: @-9       | full
            GET  | 200 | Last-Modified: @-9 // Date: @0    | Range: bytes=0-1 // If-Range: @-8       | full
            GET  | 200 | ETag: "a"                         | Range: bytes=0-1 // If-Range: @-8       | full
            GET  | 200 | ETag: "a"                         | Range: bytes=0-1 // If-Range: foo       | full
            "#,
        ) {
            let (method, request) = (Method::from_bytes(method.as_bytes()).unwrap(), table::headers(request));
            let req = RequestFacts { method: &method, headers: &request };
            let validators = Validators::read(&table::headers(stored), wall());
            let status = StatusCode::from_bytes(status.as_bytes()).unwrap();
            let found = select(&req, status, &validators, 11, wall());
            assert_eq!(shown(&found), expected, "{method} {status} {stored} {request:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_select_within_bounds(
            bytes in proptest::collection::vec(
                prop_oneof![any::<u8>(), proptest::sample::select(b"bytes=-,0123456789 ".to_vec())], 0..80),
            lead in any::<bool>(),
            complete in prop_oneof![0_u64..40, any::<u64>()],
        ) {
            let value = [if lead { &b"bytes="[..] } else { b"" }, &bytes[..]].concat();
            let found = match ranges(&value, complete) {
                Selected::Single(range) => vec![range],
                Selected::Several(ranges) => ranges,
                Selected::Full | Selected::Unsatisfiable => return Ok(()),
            };
            prop_assert!(found.len() <= RANGES_MAX);
            let bytes: u128 = found.iter().map(|range| u128::from(range.end - range.start)).sum();
            prop_assert!(bytes <= u128::from(complete));
            for range in found {
                prop_assert!(range.start < range.end && range.end <= complete);
                content_range(&range, complete);
            }
        }

        #[test]
        fn a_printed_range_selects_itself(first in any::<u64>(), length in 1_u64.., complete in 1_u64..) {
            let (first, last) = (first % complete, (first % complete).saturating_add(length - 1));
            let found = ranges(format!("bytes={first}-{last}").as_bytes(), complete);
            prop_assert_eq!(found, Selected::Single(first..last.saturating_add(1).min(complete)));
        }
    }
}
