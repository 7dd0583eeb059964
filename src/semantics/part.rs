//! Parts of a response (206): their place in the whole, what they answer, and what completes them (RFC 9111 §3.3, §3.4).
//!
//! Pure. Invariants: a part is not empty and lies within its whole; a completion leaves no gap. Cost: O(1), and
//! O(ranges) for several.

use std::ops::Range;

use http::{HeaderMap, HeaderValue, header};

use super::range::{Selected, Spec, number};

/// The place of a 206's body in the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The bytes that the body holds.
    pub range: Range<u64>,
    /// The length of the whole.
    pub complete: u64,
}

impl Part {
    /// Reads Content-Range. Nothing where the length is unknown (`*`), or the numbers don't fit each other:
    /// the RFC forbids to combine such a part, and nothing else can be done with it (§14.4).
    pub fn read(headers: &HeaderMap) -> Option<Part> {
        let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
        let (unit, place) = text.split_once(' ')?;
        let (range, complete) = place.split_once('/')?;
        let Spec::Closed(first, last) = Spec::parse(range.as_bytes())? else { return None };
        let complete = number(complete.as_bytes())?;
        (unit.eq_ignore_ascii_case("bytes") && last < complete)
            .then(|| Part { range: first..last + 1, complete })
    }

    /// Whether a request for `wanted` can be answered from this part (RFC 9111 §3.3).
    pub fn covers(&self, wanted: &Range<u64>) -> bool {
        self.range.start <= wanted.start && wanted.end <= self.range.end
    }

    /// Whether it holds all that a request selects of the whole. That nothing can be selected is known of it too.
    pub fn answers(&self, selected: &Selected) -> bool {
        match selected {
            Selected::Full => false,
            Selected::Single(range) => self.covers(range),
            Selected::Several(ranges) => ranges.iter().all(|range| self.covers(range)),
            Selected::Unsatisfiable => true,
        }
    }

    /// What is to be asked for so that it and this part answer a request. Nothing where two gaps would be left, or
    /// one between the two: they are not combined (RFC 9111 §3.4).
    pub fn completed_for(&self, selected: &Selected) -> Option<Completion> {
        let wanted = match selected {
            Selected::Full => 0..self.complete,
            Selected::Single(range) => range.clone(),
            Selected::Several(_) | Selected::Unsatisfiable => return None,
        };
        let held = &self.range;
        let union = held.start.min(wanted.start)..held.end.max(wanted.end);
        let missing = match (union.start < held.start, held.end < union.end) {
            (true, false) if held.start <= wanted.end => union.start..held.start,
            (false, true) if wanted.start <= held.end => held.end..union.end,
            _ => return None,
        };
        Some(Completion { missing, combined: Part { range: union, complete: self.complete } })
    }
}

/// A part's completion by another part beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// What the origin is asked for.
    pub missing: Range<u64>,
    /// What is held then.
    pub combined: Part,
}

impl Completion {
    /// The value of Range that asks for what is missing; open where that is the rest.
    pub fn range(&self) -> HeaderValue {
        let Range { start, end } = self.missing;
        let text = match end == self.combined.complete {
            true => format!("bytes={start}-"),
            false => format!("bytes={start}-{}", end - 1),
        };
        HeaderValue::try_from(text).expect("digits and marks are a field value")
    }

    /// Whether `part` is what was missing.
    pub fn is(&self, part: &Part) -> bool {
        part.range == self.missing && part.complete == self.combined.complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::range::{content_range, content_range_unsatisfied, ranges};
    use crate::semantics::table;

    #[test]
    fn content_range_is_read_as_it_is_written_and_only_if_it_fits() {
        assert_eq!(content_range(&(0..2), 11), "bytes 0-1/11");
        assert_eq!(content_range_unsatisfied(11), "bytes */11");
        for [value, expected] in table::rows(
            "
            bytes 4-9/10                    | 4..10/10
            BYTES 0-0/1                     | 0..1/1
            bytes 4-10/10                   | none
            bytes 4-9/*                     | none
            bytes */10                      | none
            bytes 9-4/10                    | none
            bytes -5/10                     | none
            bytes 4-/10                     | none
            items 4-9/10                    | none
            bytes 0-18446744073709551615/18446744073709551615 | none
            ",
        ) {
            let part = Part::read(&table::headers(&format!("Content-Range: {value}")));
            let shown = part.as_ref().map(|p| format!("{}..{}/{}", p.range.start, p.range.end, p.complete));
            assert_eq!(shown.as_deref().unwrap_or("none"), expected, "{value}");
            if let Some(part) = part {
                assert_eq!(content_range(&part.range, part.complete), value.to_lowercase());
            }
        }
        let part = Part { range: 4..10, complete: 10 };
        assert!(part.covers(&(4..10)) && part.covers(&(6..9)));
        assert!(!part.covers(&(3..5)) && !part.covers(&(9..11)));
    }

    #[test]
    fn a_part_answers_what_it_holds_and_is_completed_where_one_gap_is_left() {
        for [held, request, expected] in table::rows(
            "
            0-4/10 | bytes=0-4     | held
            0-4/10 | bytes=1-2     | held
            0-4/10 | bytes=0-1,3-4 | held
            0-4/10 | bytes=10-     | held
            4-9/10 | bytes=-6      | held
            4-9/10 | bytes=5-      | held
            0-4/10 | bytes=0-1,5-6 | whole
            0-4/10 | bytes=        | bytes=5- 0..10
            0-4/10 | bytes=5-9     | bytes=5- 0..10
            0-4/10 | bytes=5-6     | bytes=5-6 0..7
            0-4/10 | bytes=2-6     | bytes=5-6 0..7
            0-4/10 | bytes=-1      | whole
            0-4/10 | bytes=6-7     | whole
            5-9/10 | bytes=        | bytes=0-4 0..10
            5-9/10 | bytes=3-      | bytes=3-4 3..10
            5-9/10 | bytes=0-4     | bytes=0-4 0..10
            5-9/10 | bytes=0-3     | whole
            3-5/10 | bytes=        | whole
            3-5/10 | bytes=2-6     | whole
            3-5/10 | bytes=2-3     | bytes=2-2 2..6
            ",
        ) {
            let part = Part::read(&table::headers(&format!("Content-Range: bytes {held}"))).unwrap();
            let selected = ranges(request.as_bytes(), part.complete);
            let found = match part.completed_for(&selected) {
                _ if part.answers(&selected) => "held".to_owned(),
                None => "whole".to_owned(),
                Some(completion) => {
                    let range = &completion.combined.range;
                    assert!(completion.combined.answers(&selected) || *range == (0..part.complete));
                    format!("{} {}..{}", completion.range().to_str().unwrap(), range.start, range.end)
                }
            };
            assert_eq!(found, expected, "{held} asked for {request}");
        }
    }
}
