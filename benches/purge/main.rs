//! What a purge costs: until it is visible, behind it, and in what it needs in memory; against what it must cost.
//!
//! Goals: one table for 100 000, 1 000 000 and 5 000 000 entries, each figure beside its bar, and what a user of
//! moka alone would do for the same. Every size, and every figure of memory, has a process of its own. No goal: the
//! purge API over a socket, or the ledger.
//! Run: `cargo bench --bench purge`, which takes 4 GB and half an hour; `FRESHET_PURGE_ENTRIES=1000000` has one size
//! alone. Once under `cargo test --benches`, with few entries: then the bars mean nothing.

#[path = "../support/mod.rs"]
mod support;

mod hits;
mod moka_alone;
mod parts;
mod visible;
mod world;

use std::process::{Command, Stdio};

/// Chosen by measurement: an entry takes less with it (`docs/performance.md`).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// One line of the table for one size; what it must be is text, since some bars hold between figures.
pub struct Figure {
    name: String,
    bar: String,
    value: String,
    kept: bool,
}

impl Figure {
    /// A figure that must not be over `most`, written with `digits` after the point.
    pub fn at_most(name: &str, unit: &str, most: f64, value: f64, digits: usize) -> Figure {
        let (bar, value_text) = (format!("≤ {most} {unit}"), format!("{value:.digits$}"));
        Figure { name: name.into(), bar, value: value_text, kept: value <= most }
    }

    /// A figure that must not be under `least`.
    pub fn at_least(name: &str, unit: &str, least: f64, value: f64) -> Figure {
        let (bar, value_text) = (format!("≥ {least} {unit}"), format!("{value:.0}"));
        Figure { name: name.into(), bar, value: value_text, kept: value >= least }
    }

    /// A figure without a bar.
    pub fn told(name: &str, value: String) -> Figure {
        Figure { name: name.into(), bar: "".into(), value, kept: true }
    }
}

/// What a process of its own measures.
const PARTS: [&str; 11] = [
    "visible",
    "hits",
    "check",
    "index-flat",
    "index-folders",
    "index-path",
    "index-scattered",
    "memory",
    "map",
    "moka-memory",
    "moka",
];

fn main() {
    if let Ok(part) = std::env::var("FRESHET_PURGE_PART") {
        let (part, entries) = part.split_once(' ').expect("a part and a number");
        return measure(part, entries.parse().expect("a number"));
    }
    let real = std::env::args().any(|argument| argument == "--bench");
    let sizes: Vec<usize> = match std::env::var("FRESHET_PURGE_ENTRIES") {
        Ok(entries) => vec![entries.parse().expect("a number")],
        Err(_) if real => vec![100_000, 1_000_000, 5_000_000],
        Err(_) => vec![2_000],
    };
    let columns: Vec<Vec<[String; 3]>> = sizes.iter().map(|entries| column(*entries)).collect();
    let heads: Vec<String> = sizes.iter().map(|entries| format!("{entries} entries")).collect();
    println!("| figure | bar | {} |", heads.join(" | "));
    println!("|---|---|{}", "---|".repeat(sizes.len()));
    for (at, [name, bar, _]) in columns[0].iter().enumerate() {
        let values: Vec<&str> = columns.iter().map(|column| column[at][2].as_str()).collect();
        println!("| {name} | {bar} | {} |", values.join(" | "));
    }
}

/// All figures of one size: name, bar, value.
fn column(entries: usize) -> Vec<[String; 3]> {
    let only = std::env::var("FRESHET_PURGE_ONLY").ok();
    let mut lines = Vec::new();
    for part in PARTS.iter().filter(|part| only.as_ref().is_none_or(|only| part.starts_with(only.as_str()))) {
        let output = Command::new(std::env::current_exe().expect("it runs"))
            .env("FRESHET_PURGE_PART", format!("{part} {entries}"))
            .stderr(Stdio::inherit())
            .output()
            .expect("it starts again");
        assert!(output.status.success(), "{part} at {entries}");
        let text = String::from_utf8(output.stdout).expect("it is printed below");
        lines.extend(text.lines().filter_map(|line| {
            let mut parts = line.split('\t').map(String::from);
            Some([parts.next()?, parts.next()?, parts.next()?])
        }));
    }
    lines
}

fn measure(part: &str, entries: usize) {
    let figures = match part {
        "visible" => visible::figures(entries),
        "hits" => hits::figures(entries),
        "check" => parts::check(),
        "memory" => parts::memory(entries),
        "map" => parts::map(entries),
        "moka-memory" => parts::moka_memory(entries),
        "moka" => moka_alone::figures(entries),
        index => parts::index(index.trim_start_matches("index-"), entries),
    };
    for Figure { name, bar, value, kept } in figures {
        let missed = if kept { "" } else { " **missed**" };
        println!("{name}\t{bar}\t{value}{missed}");
    }
}
