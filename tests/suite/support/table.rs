//! Scripts of rows: a request, what the origin saw of it, and the answer.
//!
//! ```text
//! route http = "rfc"                                a line of the one [[routes]] section
//! answer 200 // etag: "a" :: 0123456789             what the origin answers from now on
//! clock 61                                          seconds
//! GET /a // range: bytes=0-1 | GET /a // range: bytes=0-1 | 206 // content-range: bytes 0-1/10 :: 01
//! ```
//! Of a row, `-` says that the origin saw nothing; a field `!name` must be absent; a value that ends with `…` is the
//! beginning of one. What is not named may be anything. `answer hang up` closes the connection.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::origin::{Origin, Seen, Step};
use super::{Freshet, HOST};

/// Runs a script from its first line to its last, on a Freshet of its own.
pub fn run(script: &str) {
    let lines = || script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<_> = lines().filter_map(|line| line.strip_prefix("route ")).collect();
    let config = if keys.is_empty() { String::new() } else { format!("[[routes]]\n{}\n", keys.join("\n")) };
    let answer = Arc::new(Mutex::new(String::new()));
    let current = answer.clone();
    let origin = Origin::new(move |seen| vec![step(&current.lock().unwrap(), seen)]);
    let freshet = Freshet::with(&origin, &config);
    for line in lines().filter(|line| !line.starts_with("route ")) {
        if let Some(text) = line.strip_prefix("answer ") {
            *answer.lock().unwrap() = text.to_owned();
        } else if let Some(seconds) = line.strip_prefix("clock ") {
            freshet.clock.advance(Duration::from_secs(seconds.parse().unwrap()));
        } else if let Some(url) = line.strip_prefix("purge ") {
            freshet.purge_and_wait(url);
        } else {
            let hangs_up = *answer.lock().unwrap() == "hang up";
            row(line, &origin, &freshet, hangs_up);
        }
    }
}

/// An origin that hangs up on a connection that was used before is asked once more.
fn row(line: &str, origin: &Origin, freshet: &Freshet, hangs_up: bool) {
    let cells: Vec<_> = line.split(" | ").map(str::trim).collect();
    let [request, seen, answer] = cells[..] else { panic!("three cells expected: {line}") };
    let before = origin.count();
    let (words, fields) = head(request);
    let (method, target) = words.split_once(' ').unwrap_or_else(|| panic!("no request: {line}"));
    let got = freshet.client().request(method, HOST, target, &fields);
    let at_origin: Vec<_> = origin.seen().into_iter().skip(before).collect();
    match (seen, &at_origin[..]) {
        ("-", []) => {}
        ("-", _) => panic!("{line}\nthe origin saw {at_origin:?}"),
        (_, [one, again @ ..]) if again.is_empty() || hangs_up && again.len() == 1 => {
            let (words, fields) = head(seen);
            assert_eq!(words, format!("{} {}", one.method, one.target), "{line}");
            compare(&fields, |name| one.field(name).map(str::to_owned), line);
        }
        (_, several) => panic!("{line}\nthe origin saw {several:?}"),
    }
    let (answer, body) =
        answer.split_once(" ::").map_or((answer, None), |(head, body)| (head, Some(body.trim())));
    let (status, fields) = head(answer);
    assert_eq!(status, got.status.to_string(), "{line}\n{got:?}");
    compare(&fields, |name| got.field(name).map(str::to_owned), &format!("{line}\n{got:?}"));
    assert!(got.complete, "{line}\nthe body broke off");
    if let Some(body) = body {
        assert_eq!(got.text(), body, "{line}");
    }
}

/// The words before the first ` // `, and the fields after it.
fn head(text: &str) -> (&str, Vec<(&str, &str)>) {
    let mut parts = text.split(" // ").map(str::trim);
    let words = parts.next().unwrap();
    let fields = parts.map(|field| field.split_once(':').unwrap_or((field, "")));
    (words, fields.map(|(name, value)| (name.trim(), value.trim())).collect())
}

fn compare(expected: &[(&str, &str)], found: impl Fn(&str) -> Option<String>, case: &str) {
    for (name, value) in expected {
        match (name.strip_prefix('!'), value.strip_suffix('…')) {
            (Some(absent), _) => assert_eq!(found(absent), None, "{absent}: {case}"),
            (None, None) => assert_eq!(found(name).as_deref(), Some(*value), "{name}: {case}"),
            (None, Some(beginning)) => {
                let found = found(name).unwrap_or_default();
                assert!(found.starts_with(beginning), "{name}: {found} does not begin so: {case}");
            }
        }
    }
}

fn step(answer: &str, seen: &Seen) -> Step {
    if answer == "hang up" {
        return Step::Close;
    }
    let (answer, body) = answer.split_once(" ::").map_or((answer, ""), |(head, body)| (head, body.trim()));
    let (status, fields) = head(answer);
    let mut text = format!("HTTP/1.1 {status} Whatever\r\n");
    for (name, value) in fields {
        text += &format!("{name}: {value}\r\n");
    }
    if !matches!(status, "204" | "304") && !answer.contains("content-length:") {
        text += &format!("content-length: {}\r\n", body.len());
    }
    text += "\r\n";
    if seen.method != "HEAD" {
        text += body;
    }
    Step::Send(text.into_bytes())
}
