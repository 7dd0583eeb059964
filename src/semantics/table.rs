//! Text tables for the tests of this folder: one row per case, cells between `|`, the expected one last.

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::date;

/// The time at which responses of the tables come, in Unix seconds.
pub const NOW: u64 = 1_700_000_000;

/// The rows of a table; blank lines are none.
pub fn rows<const CELLS: usize>(text: &str) -> Vec<[&str; CELLS]> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            cells.try_into().unwrap_or_else(|cells| panic!("{CELLS} cells expected: {cells:?}"))
        })
        .collect()
}

/// Fields between ` // `; a value `@N` is the date N seconds after [`NOW`].
pub fn headers(text: &str) -> HeaderMap {
    let fields = text.split(" // ").map(str::trim).filter(|field| !field.is_empty());
    fields
        .map(|field| {
            let (name, value) = field.split_once(':').unwrap_or_else(|| panic!("no field: {field}"));
            (HeaderName::from_bytes(name.trim().as_bytes()).unwrap(), header_value(value.trim()))
        })
        .collect()
}

fn header_value(text: &str) -> HeaderValue {
    let Some(offset) = text.strip_prefix('@') else {
        return HeaderValue::from_bytes(text.as_bytes()).unwrap();
    };
    let seconds = NOW.checked_add_signed(offset.parse().unwrap()).unwrap();
    date::format(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Fields as text, in the order of their names.
pub fn shown(headers: &HeaderMap) -> String {
    let show = |(name, value): (&HeaderName, &HeaderValue)| {
        format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
    };
    let mut lines: Vec<_> = headers.iter().map(show).collect();
    lines.sort_by_key(|line| line.split(':').next().unwrap_or_default().to_owned());
    lines.join("\n")
}
