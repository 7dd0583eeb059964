//! Reduces client hints (DPR, Width, Save-Data) to a few values each, for the origin and for the variant alike.
//!
//! A picture for a denser or wider screen fits: values are rounded up. So what clients send makes a bounded
//! number of variants, and none gets a picture that is too small. Invariant: a reduced value is one of the
//! tables below, whatever the client sent; what can't be read counts as not sent. Cost: O(length of the value).

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::Hint;

const DPR: HeaderName = HeaderName::from_static("dpr");
const WIDTH: HeaderName = HeaderName::from_static("width");
const SAVE_DATA: HeaderName = HeaderName::from_static("save-data");

/// Densities in thousandths, and how they are written.
const DENSITIES: [(u32, &str); 5] = [(1000, "1"), (1500, "1.5"), (2000, "2"), (3000, "3"), (4000, "4")];
/// Widths in pixels.
const WIDTHS: [(u32, &str); 12] = [
    (160, "160"),
    (320, "320"),
    (480, "480"),
    (640, "640"),
    (800, "800"),
    (1080, "1080"),
    (1280, "1280"),
    (1600, "1600"),
    (1920, "1920"),
    (2560, "2560"),
    (3200, "3200"),
    (3840, "3840"),
];

/// Puts the hints that a route names into `fields`, reduced, in place of the client's.
pub(super) fn reduce(client: &HeaderMap, hints: &[Hint], fields: &mut HeaderMap) {
    for hint in hints {
        let (name, value) = match hint {
            Hint::Dpr => (DPR, number(client, &DPR, 3).map(|density| step(density, &DENSITIES))),
            Hint::Width => (WIDTH, number(client, &WIDTH, 0).map(|width| step(width, &WIDTHS))),
            Hint::SaveData => (SAVE_DATA, saves_data(client).then_some("on")),
        };
        fields.remove(&name);
        if let Some(value) = value {
            fields.insert(name, HeaderValue::from_static(value));
        }
    }
}

/// The least step that is not less than `value`, else the last.
fn step(value: u32, steps: &[(u32, &'static str)]) -> &'static str {
    let at = steps.partition_point(|(step, _)| *step < value).min(steps.len() - 1);
    steps[at].1
}

/// A positive decimal number of one line, times ten to the `places`; further places are cut.
fn number(client: &HeaderMap, name: &HeaderName, places: u32) -> Option<u32> {
    let mut lines = client.get_all(name).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    let text = line.to_str().ok()?.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.len() <= 9 && text.bytes().all(|digit| digit.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let mut fraction = fraction.bytes().map(|digit| u32::from(digit - b'0'));
    let whole: u32 = whole.parse().ok()?;
    let number = (0..places).fold(whole, |number, _| {
        number.saturating_mul(10).saturating_add(fraction.next().unwrap_or_default())
    });
    (number > 0).then_some(number)
}

fn saves_data(client: &HeaderMap) -> bool {
    client.get_all(&SAVE_DATA).iter().any(|line| line.as_bytes().trim_ascii().eq_ignore_ascii_case(b"on"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::table;

    #[test]
    fn hints_are_rounded_up_to_a_few_values_and_what_cant_be_read_is_not_sent() {
        const ALL: [Hint; 3] = [Hint::Dpr, Hint::Width, Hint::SaveData];
        for [client, expected] in table::rows(
            "
            DPR: 1                       | DPR: 1
            DPR: 1.0                     | DPR: 1
            DPR: 0.75                    | DPR: 1
            DPR: 1.001                   | DPR: 1.5
            DPR: 1.25                    | DPR: 1.5
            DPR: 1.5                     | DPR: 1.5
            DPR: 2.625                   | DPR: 3
            DPR: 99                      | DPR: 4
            DPR: 999999999               | DPR: 4
            DPR: 9999999999              |
            DPR: 0                       |
            DPR: -1                      |
            DPR: 2x                      |
            DPR: .5                      |
            DPR:                         |
            DPR: 1 // DPR: 2             |
            Width: 1                     | Width: 160
            Width: 320                   | Width: 320
            Width: 321                   | Width: 480
            Width: 320.5                 | Width: 320
            Width: 100000                | Width: 3840
            Width: abc                   |
            Save-Data: on                | Save-Data: on
            Save-Data: ON                | Save-Data: on
            Save-Data: off               |
            Save-Data: 1                 |
            DPR: 2 // Width: 500 // Save-Data: on | DPR: 2 // Width: 640 // Save-Data: on
            Viewport-Width: 5            |
            ",
        ) {
            let mut fields = HeaderMap::new();
            reduce(&table::headers(client), &ALL, &mut fields);
            assert_eq!(table::shown(&fields), table::shown(&table::headers(expected)), "{client}");
        }
        let mut none = HeaderMap::new();
        reduce(&table::headers("DPR: 2 // Save-Data: on"), &[Hint::Width], &mut none);
        assert!(none.is_empty(), "what no route names is not let through");
    }
}
