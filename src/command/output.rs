//! Two readers: a person at a terminal gets words, a program that reads a pipe gets one JSON value a line.

use std::io::IsTerminal;

use serde_json::Value;

/// Who reads standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A person.
    Person,
    /// A program, which gets one JSON value a line.
    Program,
}

impl Reader {
    /// A person, where standard output is a terminal and JSON was not asked for.
    pub fn of_output(json: bool) -> Reader {
        if !json && std::io::stdout().is_terminal() { Reader::Person } else { Reader::Program }
    }
}

/// Writes lines for a person. What others have written can't steer the terminal.
pub fn show(lines: &str) {
    lines.lines().for_each(|line| super::say(printable(line)));
}

/// One line without control characters.
pub fn printable(line: &str) -> String {
    line.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}

/// A string member, or nothing of it.
pub fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// A number member, or 0.
pub fn number(value: &Value, member: &str) -> u64 {
    value.get(member).and_then(Value::as_u64).unwrap_or_default()
}

/// The elements of a list member.
pub fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value.get(member).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// `1 entry`, `2 entries`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

/// `12 345 678`, with narrow spaces.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `512 B`, `1.2 MiB`.
pub fn bytes(count: u64) -> String {
    indicatif::HumanBytes(count).to_string()
}

/// `85 µs`, `1.2 ms`, `3.4 s`.
pub fn micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

/// `45 s`, `3 min`, `2 h`, `5 d`: the greatest unit of which there are two, rounded down.
pub fn seconds(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        let table =
            [(0, "0"), (999, "999"), (1_000, "1\u{202f}000"), (12_345_678, "12\u{202f}345\u{202f}678")];
        for (number, expected) in table {
            assert_eq!(grouped(number), expected);
        }
        let entries = [0, 1, 2].map(|count| counted(count, "entry", "entries"));
        assert_eq!(entries, ["0 entries", "1 entry", "2 entries"]);
        assert_eq!((&*micros(999), &*micros(1_250), &*micros(3_400_000)), ("999 µs", "1.2 ms", "3.4 s"));
        assert_eq!(
            (&*seconds(119), &*seconds(120), &*seconds(7_199), &*seconds(172_800)),
            ("119 s", "2 min", "119 min", "2 d")
        );
    }
}
