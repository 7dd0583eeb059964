//! What a look shows: lines of text for a width, and the frame that replaces the last one. Pure.

use std::time::UNIX_EPOCH;

use serde_json::Value;

use super::Look;
use crate::command::output::{bytes, counted, grouped, list, micros, number, printable, seconds, text};

/// Cells of a plot.
const PLOT_CELLS: usize = 40;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The lines of a look, given the one before it, none wider than `width`.
pub fn lines(now: &Look, last: &Look, admin: &str, trouble: Option<&str>, width: usize) -> Vec<String> {
    let overview = &now.overview;
    let (totals, cache, series) = (&overview["totals"], &overview["cache"], &overview["series"]);
    let rate = Rate::between(&last.overview, overview);
    let step = number(series, "step_seconds").max(1);
    let requests = numbers(series, "requests");
    let hits = numbers(series, "hits");
    let per_second: Vec<u64> = requests.iter().map(|count| count / step).collect();
    let ratios = requests.iter().zip(&hits).map(|(all, hits)| (100 * hits).checked_div(*all).unwrap_or(0));
    let latency = &overview["latency_us"];
    let (sent, cached) = (rate.of("bytes_sent"), rate.of("bytes_from_cache"));
    let (used, max) = (number(cache, "bytes"), number(cache, "max_bytes"));
    let mut lines = vec![
        format!(
            "Freshet {} at {admin}, up {}",
            text(overview, "version"),
            seconds(unix(text(overview, "now")).saturating_sub(unix(text(overview, "started_at")))),
        ),
        trouble.map_or_else(String::new, |trouble| format!("! {trouble}")),
        row("requests", &format!("{}/s", grouped(rate.of("requests"))), &plot(&per_second, None)),
        row(
            "hit ratio",
            &percent(rate.of("hits"), rate.of("requests")),
            &plot(&ratios.collect::<Vec<_>>(), Some(100)),
        ),
        row(
            "latency",
            &micros(number(latency, "p50")),
            &format!("median; 99 % within {}", micros(number(latency, "p99"))),
        ),
        row(
            "traffic",
            &format!("{}/s", bytes(sent)),
            &format!("{} of it from the cache", percent(cached, sent)),
        ),
        row("memory", &bytes(used), &format!("{} of {}", bar(used, max), bytes(max))),
        row(
            "entries",
            &grouped(number(cache, "entries")),
            &format!(
                "{}, {}",
                counted(number(cache, "flights"), "fetch under way", "fetches under way"),
                counted(number(cache, "fences"), "fence", "fences"),
            ),
        ),
        row(
            "errors",
            &format!("{}/s", grouped(rate.of("errors"))),
            &format!("{} in all", grouped(number(totals, "errors"))),
        ),
    ];
    for origin in list(overview, "origins") {
        let what = match text(origin, "last_failure") {
            "" => text(origin, "address").to_owned(),
            failure => format!(
                "{}; last failure {failure} at {}",
                text(origin, "address"),
                text(origin, "last_failure_at")
            ),
        };
        lines.push(row(&format!("origin {}", text(origin, "account")), text(origin, "state"), &what));
    }
    lines.push(String::new());
    lines.push(format!("purges, {} being swept", number(&overview["purges"], "pending")));
    for purge in list(&now.purges, "purges") {
        let targets = list(purge, "targets");
        let first = targets.first().map_or("", |target| text(target, "text"));
        let more = match targets.len() {
            0 | 1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        lines.push(format!(
            "  {:<9} {}  {}, {}  {}{more}",
            text(purge, "status"),
            clock(text(purge, "created_at")),
            counted(number(purge, "matched"), "entry", "entries"),
            bytes(number(purge, "bytes")),
            first,
        ));
    }
    lines.into_iter().map(|line| printable(&line).chars().take(width).collect()).collect()
}

/// The bytes that put `lines` in the place of the last frame, at most `height` of them, the last of a terminal left
/// for the cursor.
pub fn frame(lines: &[String], height: usize, first: bool) -> String {
    let mut frame = String::from(if first { "\x1b[2J\x1b[H" } else { "\x1b[H" });
    for line in lines.iter().take(height.saturating_sub(1).max(1)) {
        frame.push_str(line);
        frame.push_str("\x1b[K\r\n");
    }
    frame.push_str("\x1b[J");
    frame
}

fn row(label: &str, value: &str, more: &str) -> String {
    format!("{label:<14} {value:>14}  {more}")
}

/// What grew between two looks, a second.
struct Rate<'a> {
    last: &'a Value,
    now: &'a Value,
    milliseconds: u64,
}

impl<'a> Rate<'a> {
    fn between(last: &'a Value, now: &'a Value) -> Rate<'a> {
        let at = |overview: &Value| humantime::parse_rfc3339(text(overview, "now")).ok();
        let between = at(now).zip(at(last)).and_then(|(now, last)| now.duration_since(last).ok());
        let milliseconds = between.map_or(0, |between| between.as_millis().try_into().unwrap_or(u64::MAX));
        Rate { last: &last["totals"], now: &now["totals"], milliseconds }
    }

    /// A server that was started anew meanwhile counts from 0.
    fn of(&self, member: &str) -> u64 {
        let grown = number(self.now, member).saturating_sub(number(self.last, member));
        (grown * 1_000).checked_div(self.milliseconds).unwrap_or(0)
    }
}

fn numbers(series: &Value, member: &str) -> Vec<u64> {
    list(series, member).iter().map(|number| number.as_u64().unwrap_or_default()).collect()
}

/// The newest of them, each as high as it is against `max`, or against the highest.
fn plot(numbers: &[u64], max: Option<u64>) -> String {
    let shown = &numbers[numbers.len().saturating_sub(PLOT_CELLS)..];
    let max = max.or_else(|| shown.iter().copied().max()).unwrap_or(0).max(1);
    let top = LEVELS.len() as u64 - 1;
    let level = |number: &u64| LEVELS[(number.min(&max) * top).div_ceil(max).min(top) as usize];
    shown.iter().map(level).collect()
}

/// How full something is.
fn bar(used: u64, max: u64) -> String {
    let cells = (used * 20).checked_div(max).unwrap_or(0).min(20) as usize;
    format!("{}{}", "█".repeat(cells), "░".repeat(20 - cells))
}

fn percent(part: u64, whole: u64) -> String {
    match (1_000 * part).checked_div(whole) {
        Some(tenths) => format!("{}.{} %", tenths / 10, tenths % 10),
        None => "–".into(),
    }
}

/// Seconds since 1970 of a time as the server writes it; 0 for another text.
fn unix(time: &str) -> u64 {
    let time = humantime::parse_rfc3339(time).ok();
    time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_secs())
}

/// Hours, minutes and seconds (UTC) of a time.
fn clock(time: &str) -> &str {
    time.get(11..19).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plot_shows_the_newest_against_the_highest() {
        assert_eq!(plot(&[0, 1, 50, 100], None), "▁▂▅█");
        assert_eq!(plot(&[0, 0], None), "▁▁");
        assert_eq!(plot(&[50], Some(100)), "▅");
        assert_eq!(plot(&[7; 100], None).chars().count(), PLOT_CELLS);
        assert_eq!((bar(0, 0), bar(256, 512)), ("░".repeat(20), "█".repeat(10) + &"░".repeat(10)));
        assert_eq!((&*percent(1, 0), &*percent(973, 1_000)), ("–", "97.3 %"));
    }

    #[test]
    fn rates_are_what_grew_a_second_and_lines_keep_to_the_width() {
        let overview = |now: &str, requests: u64, hits: u64| {
            json!({ "now": now, "started_at": "2026-01-01T00:00:00Z", "version": "1.2.3",
                "totals": { "requests": requests, "hits": hits, "bytes_sent": requests * 1024 },
                "cache": { "entries": 12_345, "bytes": 256, "max_bytes": 512 } })
        };
        let purges = json!({ "purges": [{ "status": "Completed", "created_at": "2026-01-01T00:00:01.000Z",
            "targets": [{ "text": "http://a/\u{1b}[2J" }, {}], "matched": 1, "bytes": 2048 }] });
        let last = Look { overview: overview("2026-01-01T00:02:00Z", 1_000, 0), purges: Value::Null };
        let now = Look { overview: overview("2026-01-01T00:02:02Z", 3_000, 1_900), purges };
        let shown = lines(&now, &last, "http://x", Some("no answer"), 200).join("\n");
        for part in [
            "Freshet 1.2.3 at http://x, up 2 min",
            "! no answer",
            "1\u{202f}000/s",
            "95.0 %",
            "12\u{202f}345",
            "Completed 00:00:01  1 entry, 2.00 KiB  http://a/\u{fffd}[2J and 1 more",
        ] {
            assert!(shown.contains(part), "{part} is not in\n{shown}");
        }
        assert!(lines(&now, &last, "http://x", None, 20).iter().all(|line| line.chars().count() <= 20));
        let again = lines(&last, &now, "http://x", None, 200).join("\n");
        assert!(again.contains(" 0/s"), "a server that was started anew counts from 0: {again}");
    }

    #[test]
    fn a_frame_fits_the_terminal() {
        let lines: Vec<String> = (0..50).map(|line| line.to_string()).collect();
        assert_eq!(frame(&lines, 24, true).matches("\r\n").count(), 23);
        assert!(frame(&lines, 24, false).starts_with("\x1b[H0\x1b[K"));
    }
}
