//! What a shared HTTP cache must do, and what a good one does, row by row over real sockets, with a route
//! that keeps to the RFCs (`http = "rfc"`).
//!
//! The rows are in the `.txt` files here, a family each. A case is a claim and its steps:
//!
//! ```text
//! ! what max-age said is over                                   ! required  ? optional  . a choice
//!   GET         | Cache-Control: max-age=2 // ~A: 1 | miss      request | the origin's answer | expected
//!   +3 GET B: 1 |                                   | miss      three seconds later
//! ```
//!
//! - Fields are parted by `//`. `@5` is the date in five seconds, `@@5` the same as RFC 850 writes it, `%path`
//!   the case's path; `/x` or `?x` before the fields is appended to it.
//! - The origin answers 200 with a body of its own for each step, if nothing else stands there: a status,
//!   `*body TEXT`, `*early 103 NAME: VALUE`, or `*close` without an answer. 304 stands for 304 to a
//!   request that is conditional on what the step before said, and for a failure to another.
//! - Expected is where the answer comes from, and with it status, body, and how often the origin was asked:
//!   `miss`, `hit` (or `hit 2`: with what the second step stored), `renewed` (by a 304), `own 502`, `any`. What
//!   the origin said reached the client, but for fields marked `~`. More may follow: a status, `*body TEXT`,
//!   `NAME: VALUE`, `!NAME`, `NAME > NUMBER`, `early …`, `refreshed` (behind the answer), and what the origin
//!   `saw`: `saw NAME: VALUE`, `saw !NAME`, `saw METHOD`.
//! - `for A ;; B` repeats the case below it with `$1` as A, then B; `A :: B` gives `$1` and `$2`.
//! - `!~ claim -- reason`: Freshet declines it; the steps say what it does instead.
//!
//! Required cases and choices must hold. Of the optional ones, `OPTIONAL_MIN` must.

mod run;
mod table;

use run::Bench;
use table::{Case, Kind, cases};

/// Cases that HTTP demands, with those that Freshet declines.
const REQUIRED: usize = 160;
/// Cases that HTTP allows.
const OPTIONAL: usize = 105;
/// How many of them must hold.
const OPTIONAL_MIN: usize = 100;

fn table() -> Vec<Case> {
    let families = [
        ("freshness", include_str!("freshness.txt")),
        ("cache_control", include_str!("cache_control.txt")),
        ("age", include_str!("age.txt")),
        ("expires", include_str!("expires.txt")),
        ("directives", include_str!("directives.txt")),
        ("heuristic", include_str!("heuristic.txt")),
        ("status", include_str!("status.txt")),
        ("stale", include_str!("stale.txt")),
        ("vary", include_str!("vary.txt")),
        ("conditional", include_str!("conditional.txt")),
        ("authorization", include_str!("authorization.txt")),
        ("invalidation", include_str!("invalidation.txt")),
        ("partial", include_str!("partial.txt")),
        ("fields", include_str!("fields.txt")),
        ("interim", include_str!("interim.txt")),
        ("targeted", include_str!("targeted.txt")),
        ("request", include_str!("request.txt")),
        ("other", include_str!("other.txt")),
    ];
    families.into_iter().flat_map(|(family, text)| cases(family, text)).collect()
}

#[derive(Clone, Copy, Default)]
struct Count {
    held: usize,
    all: usize,
}

impl Count {
    fn add(&mut self, held: bool) {
        self.all += 1;
        self.held += usize::from(held);
    }
}

#[test]
fn freshet_does_what_the_table_says() {
    let bench = Bench::new(table());
    let mut broken = Vec::new();
    let mut totals = <[Count; 3]>::default();
    let mut lines = Vec::new();
    let mut family = ("", <[Count; 3]>::default());
    let line = |(name, [required, optional, choice]): &(&str, [Count; 3])| {
        format!(
            "{name:<14} required {:>3} of {:>3}, optional {:>3} of {:>3}, choices {:>2} of {:>2}",
            required.held, required.all, optional.held, optional.all, choice.held, choice.all
        )
    };
    for (number, case) in bench.cases.iter().enumerate() {
        if case.family != family.0 {
            lines.push(line(&std::mem::replace(&mut family, (case.family, Default::default()))));
        }
        let outcome = bench.run(number);
        let held = outcome.is_ok() && case.declined.is_none();
        totals[case.kind as usize].add(held);
        family.1[case.kind as usize].add(held);
        let name = format!("{:?}, {}: {}", case.kind, case.family, case.claim);
        match (outcome, &case.declined) {
            (Ok(()), None) => {}
            (Ok(()), Some(why)) => lines.push(format!("  declined: {name}\n    {why}")),
            (Err(wrong), declined) => {
                lines.push(format!("  fails: {name}\n    {wrong}"));
                if case.kind != Kind::Optional || declined.is_some() {
                    broken.push(format!("{name}: {wrong}"));
                }
            }
        }
    }
    lines.push(line(&family));
    lines.push(line(&("all", totals)));
    println!("{}", lines[1..].join("\n"));
    let count = |kind: Kind, declined: bool| {
        let cases = bench.cases.iter();
        cases.filter(|case| case.kind == kind && (declined || case.declined.is_none())).count()
    };
    assert_eq!((count(Kind::Required, true), count(Kind::Optional, true)), (REQUIRED, OPTIONAL));
    let optional = totals[Kind::Optional as usize].held;
    assert!(optional >= OPTIONAL_MIN, "{optional} of {OPTIONAL} optional cases hold");
    assert!(broken.is_empty(), "{} cases do not hold:\n{}", broken.len(), broken.join("\n"));
}

/// A judge that takes everything would prove nothing.
#[test]
fn what_does_not_hold_is_noticed() {
    let stored = "  GET | Cache-Control: max-age=9 // A: 1 // *body x | miss\n";
    #[rustfmt::skip]
    let steps = [
        "  GET | | miss",                      "  GET | | renewed",              "  GET | | own 200",
        "  GET | | hit 2",                     "  GET | | hit // 404",           "  GET | | hit // *body y",
        "  GET | | hit // A: 2",               "  GET | | hit // !A",            "  GET | | hit // Age > 0",
        "  GET | | hit // early 103",          "  GET | | hit // saw GET",       "  GET /other | | hit",
        "  GET /other | | miss // saw A: 1",   "  GET /other | | miss // saw !host", "  GET /other | | miss // saw PUT",
        "  GET /other | | own 200",            "  GET /other | 404 | miss // 200", "  +9 GET | 304 | renewed",
    ];
    let texts = steps.map(|step| format!("! wrong: {step}\n{stored}{step}\n"));
    let bench = Bench::new(texts.iter().flat_map(|text| cases("wrong", text)).collect());
    for (number, case) in bench.cases.iter().enumerate() {
        assert!(bench.run(number).is_err(), "{}", case.claim);
    }
}
