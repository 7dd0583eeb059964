//! HTTP dates (RFC 9110 §5.6.7): the three forms read, the preferred one written.
//!
//! Pure: `now` is needed for the century of a two-digit year alone. Cost O(1): a date has a bounded length.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};

/// Longest spelling: `Wednesday, 06-Nov-94 08:49:37 GMT`, and room for outer blanks.
const DATE_BYTES_MAX: usize = 64;
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
/// The last second of the year 9999, the last that the preferred form can write.
const UNIX_SECONDS_MAX: u64 = 253_402_300_799;

/// Reads a date. Letters in any case, since a cache should match them so (RFC 9111 §4.2).
pub fn parse(value: &HeaderValue, now: SystemTime) -> Option<SystemTime> {
    let text = value.to_str().ok()?.trim();
    if text.len() > DATE_BYTES_MAX {
        return None;
    }
    let text = usual_case(text);
    let text = in_preferred_form(&text, now).unwrap_or(text);
    httpdate::parse_http_date(&text).ok().or_else(|| with_its_weekday(&text))
}

/// Reads a date whose weekday is another day's: it says nothing that the date does not say.
fn with_its_weekday(text: &str) -> Option<SystemTime> {
    let rest = text.get(3..)?;
    if !DAYS.iter().any(|day| day[..3] == text[..3]) {
        return None;
    }
    DAYS.iter().find_map(|day| httpdate::parse_http_date(&format!("{}{rest}", &day[..3])).ok())
}

/// The date in the first line of a field.
pub fn field(headers: &HeaderMap, name: HeaderName, now: SystemTime) -> Option<SystemTime> {
    parse(headers.get(name)?, now)
}

/// Writes a date in whole seconds; what the form can't write becomes the nearest that it can.
pub fn format(at: SystemTime) -> HeaderValue {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().min(UNIX_SECONDS_MAX);
    let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
    HeaderValue::try_from(text).expect("a date is printable ASCII")
}

/// Without the part of a second that an HTTP date can't hold.
pub(super) fn whole_seconds(at: SystemTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

fn usual_case(text: &str) -> String {
    let mut usual = text.to_ascii_lowercase();
    if usual.ends_with("gmt") {
        usual.replace_range(usual.len() - 3.., "GMT");
    }
    let mut after_letter = false;
    usual
        .chars()
        .map(|letter| {
            let shown = if after_letter { letter } else { letter.to_ascii_uppercase() };
            after_letter = letter.is_ascii_alphabetic();
            shown
        })
        .collect()
}

/// `Sunday, 06-Nov-94 08:49:37 GMT` in the preferred form. A two-digit year that seems more than 50 years
/// ahead is the latest past one with these digits (RFC 9110 §5.6.7).
fn in_preferred_form(text: &str, now: SystemTime) -> Option<String> {
    let (day_name, rest) = text.split_once(", ")?;
    let (date, time) = rest.split_once(' ')?;
    let [day, month, year] = date.split('-').collect::<Vec<_>>().try_into().ok()?;
    if !DAYS.contains(&day_name) || year.len() != 2 {
        return None;
    }
    let year: u64 = year.parse().ok()?;
    let this_year: u64 = format(now).to_str().ok()?.get(12..16)?.parse().ok()?;
    let latest = this_year + 50;
    let year = latest - (latest - year) % 100;
    Some(format!("{}, {day} {month} {year} {time}", &day_name[..3]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::table;

    #[test]
    fn dates_are_read_in_three_forms_and_nothing_else() {
        let now = UNIX_EPOCH + Duration::from_secs(table::NOW);
        for [text, expected] in table::rows(
            "
            Sun, 06 Nov 1994 08:49:37 GMT    | 784111777
            Sunday, 06-Nov-94 08:49:37 GMT   | 784111777
            Sun Nov  6 08:49:37 1994         | 784111777
            SUN, 06 nov 1994 08:49:37 gMT    | 784111777
            SUNDAY, 06-NOV-94 08:49:37 gmt   | 784111777
            sun nov  6 08:49:37 1994         | 784111777
            Thu, 18 Aug 2050 02:01:18 GMT    | 2544400878
            Wednesday, 01-Jan-70 00:00:00 GMT| 3155760000
            Saturday, 01-Jan-77 00:00:00 GMT | 220924800
            Thu, 01 Jan 1970 00:00:00 GMT    | 0
            Mon, 01 Jan 1970 00:00:00 GMT    | 0
            Thu Aug  8 02:01:18 2050         | 2543536878
            Foo, 01 Jan 1970 00:00:00 GMT    | invalid
            Thu, 18 Aug 2050 02:01:18 UTC    | invalid
            Thu, 18 Aug 50 02:01:18 GMT      | invalid
            Thu 18 Aug 2050 02:01:18 GMT     | invalid
            Thu, 18  Aug  2050 02:01:18 GMT  | invalid
            Thu, 18-Aug-2050 02:01:18 GMT    | invalid
            Thu, 18-Aug-50 02:01:18 GMT      | invalid
            Thu, 18 Aug 2050 02.01.18 GMT    | invalid
            Thu, 18 Aug 2050 2:01:18 GMT     | invalid
            Thu, 31 Feb 2050 02:01:18 GMT    | invalid
            Mon, 01 Jan 1900 00:00:00 GMT    | invalid
            0                                | invalid
            -1                               | invalid
            foo                              | invalid
            Thursday, --- GMT                | invalid
                                             | invalid
            ",
        ) {
            let value = HeaderValue::from_str(text).unwrap();
            let read = parse(&value, now).map(|at| at.duration_since(UNIX_EPOCH).unwrap().as_secs());
            assert_eq!(read.map_or("invalid".to_owned(), |at| at.to_string()), expected, "{text}");
        }
    }

    #[test]
    fn a_date_is_read_back_as_it_was_written_and_no_time_is_unwritable() {
        let now = UNIX_EPOCH + Duration::from_secs(table::NOW);
        for seconds in [0, 784_111_777, table::NOW, UNIX_SECONDS_MAX] {
            let at = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(parse(&format(at), now), Some(at));
        }
        assert_eq!(format(UNIX_EPOCH - Duration::from_secs(9)), "Thu, 01 Jan 1970 00:00:00 GMT");
        let far = UNIX_EPOCH + Duration::from_secs(UNIX_SECONDS_MAX + 9);
        assert_eq!(format(far), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
