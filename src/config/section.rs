//! One TOML table, read key by key: what is missing gets its default, what is wrong or unknown is a problem.
//!
//! A wrong value is reported and replaced by the default, so that one run reports every problem.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;

/// Where problems are collected, with the text that their lines are counted in.
pub struct Problems<'a> {
    pub text: &'a str,
    pub list: Vec<Problem>,
}

impl Problems<'_> {
    /// Reports a problem of the bytes at `offset`.
    pub fn add(&mut self, offset: usize, key: &str, value: &str, rule: impl Display) {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        self.list.push(Problem { line, key: key.into(), value: value.into(), rule: rule.to_string() });
    }

    /// Reports a problem of a value, which is shown as it stands in the file.
    pub fn of(&mut self, value: &Value<'_>, key: &str, rule: impl Display) {
        let shown = self.text.get(value.span()).unwrap_or("…").to_owned();
        self.add(value.span().start, key, &shown, rule);
    }

    /// Reports a problem of a value that is not to be shown.
    pub fn of_secret(&mut self, value: &Value<'_>, key: &str, rule: impl Display) {
        self.add(value.span().start, key, "…", rule);
    }
}

/// A value and where it stands.
pub type Value<'a> = Spanned<DeValue<'a>>;

/// A table being read.
pub struct Section<'a> {
    table: Option<&'a DeTable<'a>>,
    path: String,
    known: Vec<&'static str>,
    /// Where the table begins, for problems of what it lacks.
    pub offset: usize,
}

impl<'a> Section<'a> {
    /// The table named `path`; none where the file lacks it, and every key then has its default.
    pub fn new(table: Option<&'a DeTable<'a>>, path: impl Into<String>, offset: usize) -> Section<'a> {
        Section { table, path: path.into(), known: Vec::new(), offset }
    }

    /// Whether the file has it.
    pub fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// The full name of a key.
    pub fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) }
    }

    /// The value of a key, as it stands.
    pub fn take(&mut self, name: &'static str) -> Option<&'a Value<'a>> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        let table = self.table?;
        table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value)
    }

    /// A sub-table.
    pub fn section(&mut self, name: &'static str, problems: &mut Problems<'_>) -> Section<'a> {
        let key = self.key(name);
        let Some(value) = self.take(name) else { return Section::new(None, key, self.offset) };
        let table = value.get_ref().as_table();
        if table.is_none() {
            problems.of(value, &key, format!("must be a table: [{key}]"));
        }
        Section::new(table, key, value.span().start)
    }

    /// The tables of an array of tables.
    pub fn sections(&mut self, name: &'static str, problems: &mut Problems<'_>) -> Vec<Section<'a>> {
        let Some(value) = self.take(name) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            problems.of_secret(value, name, format!("must be an array of tables: [[{name}]]"));
            return Vec::new();
        };
        let tables = array.iter().enumerate().map(|(at, value)| (format!("{name}[{at}]"), value));
        let mut sections = Vec::new();
        for (key, value) in tables {
            match value.get_ref().as_table() {
                Some(table) => sections.push(Section::new(Some(table), key, value.span().start)),
                None => problems.of_secret(value, &key, format!("must be a table: [[{name}]]")),
            }
        }
        sections
    }

    /// Whatever `parse` makes of a string, or its rule as a problem.
    pub fn parsed<T, E: Display>(
        &mut self,
        name: &'static str,
        problems: &mut Problems<'_>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let key = self.key(name);
        let value = self.take(name)?;
        let Some(text) = value.get_ref().as_str() else {
            problems.of(value, &key, "must be a string");
            return None;
        };
        parse(text).map_err(|rule| problems.of(value, &key, rule)).ok()
    }

    /// An address with a port.
    pub fn address(&mut self, name: &'static str, default: &str, problems: &mut Problems<'_>) -> SocketAddr {
        let parse = |text: &str| {
            text.parse()
                .map_err(|_| "must be an address and a port, as in \"127.0.0.1:8080\" or \"[::1]:8080\"")
        };
        let default = default.parse().expect("defaults are literals that tests read");
        self.parsed(name, problems, parse).unwrap_or(default)
    }

    /// A whole number in a range.
    pub fn integer(
        &mut self,
        name: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
        problems: &mut Problems<'_>,
    ) -> u64 {
        let key = self.key(name);
        let Some(value) = self.take(name) else { return default };
        let parsed = whole_number(value).filter(|number| range.contains(number));
        parsed.unwrap_or_else(|| {
            problems.of(
                value,
                &key,
                format!("must be a whole number from {} to {}", range.start(), range.end()),
            );
            default
        })
    }

    /// A share, from 0 to 1.
    pub fn share(&mut self, name: &'static str, default: f64, problems: &mut Problems<'_>) -> f64 {
        let key = self.key(name);
        let Some(value) = self.take(name) else { return default };
        let float = value.get_ref().as_float().and_then(|float| float.as_str().replace('_', "").parse().ok());
        let number = float.or_else(|| whole_number(value).map(|number| number as f64));
        number.filter(|share| (0.0..=1.0).contains(share)).unwrap_or_else(|| {
            problems.of(value, &key, "must be a number from 0 to 1, as in 0.01");
            default
        })
    }

    /// A length of time, as in `"10s"`.
    pub fn duration(
        &mut self,
        name: &'static str,
        default: &str,
        range: RangeInclusive<&str>,
        problems: &mut Problems<'_>,
    ) -> Duration {
        let time = self.optional_duration(name, range, problems);
        time.unwrap_or_else(|| parse_duration(default).expect("defaults are literals"))
    }

    /// A length of time, where one is given.
    pub fn optional_duration(
        &mut self,
        name: &'static str,
        range: RangeInclusive<&str>,
        problems: &mut Problems<'_>,
    ) -> Option<Duration> {
        let literal = |text: &str| parse_duration(text).expect("ranges are literals");
        let (low, high) = (literal(range.start()), literal(range.end()));
        let rule = format!(
            "must be a time from \"{}\" to \"{}\", as in \"500ms\", \"10s\", \"2m\", \"1h\" or \"7d\"",
            range.start(),
            range.end()
        );
        let parse =
            |text: &str| parse_duration(text).filter(|time| (low..=high).contains(time)).ok_or(rule.as_str());
        self.parsed(name, problems, parse)
    }

    /// `true` or `false`, where one is given.
    pub fn optional_boolean(&mut self, name: &'static str, problems: &mut Problems<'_>) -> Option<bool> {
        let key = self.key(name);
        let value = self.take(name)?;
        let boolean = value.get_ref().as_bool();
        if boolean.is_none() {
            problems.of(value, &key, "must be true or false");
        }
        boolean
    }

    /// A size, as in `"512MiB"`, or a number of bytes.
    pub fn bytes(
        &mut self,
        name: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
        problems: &mut Problems<'_>,
    ) -> u64 {
        let key = self.key(name);
        let Some(value) = self.take(name) else { return default };
        let number = whole_number(value).or_else(|| value.get_ref().as_str().and_then(parse_bytes));
        number.filter(|bytes| range.contains(bytes)).unwrap_or_else(|| {
            let rule = format!(
                "must be a size from {} to {} bytes, as in \"512MiB\", \"2GiB\" or a number of bytes",
                range.start(),
                range.end()
            );
            problems.of(value, &key, rule);
            default
        })
    }

    /// Reports what the table holds beside the keys that were asked for.
    pub fn finish(self, problems: &mut Problems<'_>) {
        for (key, _) in self.table.into_iter().flatten() {
            if !self.known.contains(&&**key.get_ref()) {
                let rule = format!("unknown key; known here: {}", self.known.join(", "));
                let full = self.key(key.get_ref());
                // Never shown: a mistyped name may have a secret for its value.
                problems.add(key.span().start, &full, "…", rule);
            }
        }
    }
}

fn whole_number(value: &Value<'_>) -> Option<u64> {
    let integer = value.get_ref().as_integer()?;
    u64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
}

/// Reads `"500ms"`, `"10s"`, `"2m"`, `"1h"`, `"7d"`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

/// Reads `"512MiB"` and the like; units of 1024 and of 1000.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_and_err_durations_and_sizes() {
        #[rustfmt::skip]
        let durations = [
            ("500ms", Some(500)), ("10s", Some(10_000)), ("2m", Some(120_000)), ("1h", Some(3_600_000)),
            ("7d", Some(604_800_000)), ("0s", Some(0)), ("10 s", Some(10_000)), ("10", None), ("s", None),
            ("-1s", None), ("1.5s", None), ("10S", None), ("18446744073709551615d", None),
        ];
        for (text, milliseconds) in durations {
            assert_eq!(parse_duration(text), milliseconds.map(Duration::from_millis), "{text}");
        }
        #[rustfmt::skip]
        let sizes = [
            ("512MiB", Some(536_870_912)), ("1GiB", Some(1 << 30)), ("10kB", Some(10_000)), ("5B", Some(5)),
            ("512", None), ("MiB", None), ("1.5GiB", None), ("99999999TiB", None),
        ];
        for (text, bytes) in sizes {
            assert_eq!(parse_bytes(text), bytes, "{text}");
        }
    }
}
