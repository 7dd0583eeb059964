//! Broken origins, one row a way to be broken: on a miss, on a revalidation, and with fifty requests that share the
//! fetch. Never a wrong body framed as whole, nothing of it stored, and the next request gets the right bytes.
//!
//! Where a connection must not be used again, what follows the answer is a forged second one: used again, the next
//! request would be answered by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::client::{Answer, Client};
use crate::support::origin::{Gate, Origin, Step, answer};
use crate::support::{Freshet, HOST, wait_until};

/// What a client gets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// An error of Freshet's own with this status.
    Error(u16),
    /// A head, and a body that breaks off; or 502, where it was broken before the head was sent on.
    Broken,
    /// The body "fine" with this status, whole, and stored.
    Stored(u16),
    /// The same, and not stored.
    Unstored(u16),
    /// The stored body "whole", confirmed.
    Confirmed,
}
use Outcome::{Broken, Confirmed, Error, Stored, Unstored};

/// One way to be broken.
struct Mode {
    what: &'static str,
    steps: Vec<Step>,
    on_a_miss: Outcome,
    on_a_revalidation: Outcome,
    /// Whether the answer to a request on a reused connection is a silence that GET is sent again after.
    silent: bool,
    /// Whether Freshet has to wait for a time-out to notice.
    hangs: bool,
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncache-control: max-age=60\r\n";
const FORGED: &str = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncache-control: max-age=60\r\ncontent-length: 6\r\n\r\nforged";
/// Fields of one connection, or of a trailer: never relayed.
const GONE: [&str; 7] =
    ["x-hop", "keep-alive", "proxy-authenticate", "upgrade", "trailer", "connection", "set-cookie"];
const FOLLOWERS: usize = 50;

/// The table. `never` is a gate that stays closed until the test is over.
fn modes(never: &Gate) -> Vec<Mode> {
    let good = |rest: &str| format!("{OK}{rest}");
    let many = "x-many: 1\r\n".repeat(150);
    let long = |bytes| format!("x-long: {}\r\n", "a".repeat(bytes));
    let chunked = "transfer-encoding: chunked\r\n";
    #[rustfmt::skip]
    let table: Vec<(&'static str, Outcome, String)> = vec![
        // (what the origin does, what the client gets, the bytes). The connection ends after all of them.
        ("ends before its length",      Broken,        good("content-length: 50\r\n\r\nshort")),
        ("ends after a chunk",          Broken,        good(&format!("{chunked}\r\n5\r\nshort\r\n"))),
        ("ends within a chunk",         Broken,        good(&format!("{chunked}\r\n50\r\nshort"))),
        ("ends before the last line",   Broken,        good(&format!("{chunked}\r\n5\r\nshort\r\n0\r\n"))),
        ("ends its body by closing",    Unstored(200), good("\r\nfine")),
        ("goes on after its length",    Stored(200),   good(&format!("content-length: 4\r\n\r\nfine{FORGED}"))),
        ("states length and coding",    Stored(200),   good(&format!("content-length: 9\r\n{chunked}\r\n4\r\nfine\r\n0\r\n\r\n"))),
        ("states two lengths",          Error(502),    good("content-length: 4\r\ncontent-length: 5\r\n\r\nfine!")),
        ("states a signed length",      Error(502),    good("content-length: +4\r\n\r\nfine")),
        ("states its length twice",     Stored(200),   good("content-length: 4\r\ncontent-length: 4\r\n\r\nfine")),
        ("states a list of lengths",    Stored(200),   good("content-length: 4, 4\r\n\r\nfine")),
        ("codes by gzip alone",         Error(502),    good("transfer-encoding: gzip\r\n\r\nfine")),
        ("codes by gzip and chunks",    Error(502),    good("transfer-encoding: gzip, chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n")),
        ("speaks 1.0 and chunks",       Error(502),    good(&format!("{chunked}\r\n4\r\nfine\r\n0\r\n\r\n")).replace("/1.1", "/1.0")),
        ("speaks 1.0",                  Stored(200),   good("content-length: 4\r\n\r\nfine").replace("/1.1", "/1.0")),
        ("sends a body with 204",       Unstored(204), format!("HTTP/1.1 204 No Content\r\n\r\n{FORGED}")),
        ("sends a body with 304",       Error(502),    format!("HTTP/1.1 304 Not Modified\r\n\r\n{FORGED}")),
        ("sends interim answers",       Stored(200),   format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n{}", good("content-length: 4\r\n\r\nfine"))),
        ("sends 10 000 of them",        Error(502),    "HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000)),
        ("switches protocols unasked",  Error(502),    format!("HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n{FORGED}")),
        ("sends status 099",            Error(502),    good("content-length: 4\r\n\r\nfine").replace("200 OK", "099 Low")),
        ("sends status 999",            Error(502),    good("content-length: 4\r\n\r\nfine").replace("200 OK", "999 High")),
        ("gives no reason",             Stored(200),   good("content-length: 4\r\n\r\nfine").replace("200 OK", "200")),
        ("gives an odd reason",         Stored(200),   good("content-length: 4\r\n\r\nfine").replace("200 OK", "200 \u{fc}ber: \"<b>\"")),
        ("speaks HTTP/0.9",             Error(502),    "<html>fine</html>".into()),
        ("ends lines by LF alone",      Stored(200),   good("content-length: 4\r\n\r\nfine").replace("\r\n", "\n")),
        ("sends a bare CR",             Error(502),    good("x-bad: a\rset-cookie: b\r\ncontent-length: 4\r\n\r\nfine")),
        ("sends a NUL",                 Error(502),    good("x-bad: a\0b\r\ncontent-length: 4\r\n\r\nfine")),
        ("folds a field",               Error(502),    good("x-bad: a\r\n b\r\ncontent-length: 4\r\n\r\nfine")),
        ("puts a blank before a colon", Error(502),    good("content-length : 4\r\n\r\nfine")),
        ("sends 150 fields",            Error(502),    good(&format!("{many}content-length: 4\r\n\r\nfine"))),
        ("sends a field of 300 kB",     Error(502),    good(&format!("{}content-length: 4\r\n\r\nfine", long(300_000)))),
        ("sends a field of 500 kB",     Error(502),    good(&format!("{}content-length: 4\r\n\r\nfine", long(500_000)))),
        ("sends hop-by-hop fields",     Stored(200),   good("connection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=9\r\nproxy-authenticate: Basic\r\nupgrade: h2c\r\ntrailer: x\r\ncontent-length: 4\r\n\r\nfine")),
        ("closes and says so",          Stored(200),   good("connection: close\r\ncontent-length: 4\r\n\r\nfine")),
        ("sends trailers",              Stored(200),   good(&format!("{chunked}trailer: set-cookie\r\n\r\n4\r\nfine\r\n0\r\nset-cookie: a=b\r\ncontent-length: 9\r\n\r\n"))),
        ("ends chunks by LF alone",     Broken,        good(&format!("{chunked}\r\n4\nfine\n0\n\n"))),
        ("ends at once",                Error(502),    String::new()),
        // Beyond what RFC 9112 leads one to expect.
        ("sends a size that is none",   Broken,        good(&format!("{chunked}\r\nzz\r\nfine\r\n"))),
        ("sends a size that overflows", Broken,        good(&format!("{chunked}\r\nfffffffffffffffff\r\nfine\r\n"))),
        ("states an empty length",      Error(502),    good("content-length:\r\n\r\nfine")),
        ("states a negative length",    Error(502),    good("content-length: -4\r\n\r\nfine")),
        ("states a length of 2^64",     Error(502),    good("content-length: 18446744073709551616\r\n\r\nfine")),
        ("sends a part unasked",        Error(502),    good("content-range: bytes 0-3/9\r\ncontent-length: 4\r\n\r\nfine").replace("200 OK", "206 Part")),
        ("speaks TLS",                  Error(502),    "\x15\x03\x01\0\x02\x02\x28".into()),
        ("speaks HTTP/2",               Error(502),    "HTTP/2.0 200 OK\r\ncontent-length: 4\r\n\r\nfine".into()),
    ];
    let mode = |what, outcome, steps| Mode {
        what,
        steps,
        on_a_miss: outcome,
        on_a_revalidation: if what == "sends a body with 304" { Confirmed } else { outcome },
        silent: matches!(what, "ends at once" | "resets at once"),
        hangs: false,
    };
    let mut modes: Vec<_> = table
        .into_iter()
        .map(|(what, outcome, bytes)| mode(what, outcome, vec![Step::Send(bytes.into()), Step::Close]))
        .collect();
    let short = || Step::Send(good("content-length: 50\r\n\r\nshort").into());
    modes.push(mode("resets at once", Error(502), vec![Step::Reset]));
    modes.push(mode("resets within the body", Broken, vec![short(), Step::Reset]));
    let held = |what, outcome, steps| Mode { hangs: true, ..mode(what, outcome, steps) };
    modes.push(held("never answers", Error(504), vec![Step::Pause(never.clone())]));
    let head = || Step::Send(OK[..40].into());
    modes.push(held("stops within the head", Error(504), vec![head(), Step::Pause(never.clone())]));
    modes.push(held("stops within the body", Broken, vec![short(), Step::Pause(never.clone())]));
    assert!(modes.len() > 41);
    modes
}

/// An origin that can be broken and mended, and a Freshet before it.
struct Stage {
    mode: Mode,
    broken: Arc<AtomicBool>,
    origin: Origin,
    freshet: Freshet,
}

impl Stage {
    /// `before`: what a broken answer waits for.
    fn set(mode: Mode, before: Option<Gate>) -> Stage {
        let broken = Arc::new(AtomicBool::new(true));
        let (is_broken, steps) = (broken.clone(), mode.steps.clone());
        let origin = Origin::new(move |_| match is_broken.load(Ordering::SeqCst) {
            true => before.iter().cloned().map(Step::Pause).chain(steps.clone()).collect(),
            false => whole(),
        });
        // What only a time-out tells is waited for; nothing else is to depend on the machine's speed.
        let times = "[fetch]\nfirst_byte_timeout = \"300ms\"\nidle_timeout = \"300ms\"\n";
        let freshet = Freshet::with(&origin, if mode.hangs { times } else { "" });
        Stage { mode, broken, origin, freshet }
    }

    fn store(&self, target: &str) {
        self.broken.store(false, Ordering::SeqCst);
        assert_eq!(self.freshet.get(target).text(), "whole");
        self.broken.store(true, Ordering::SeqCst);
    }

    fn check(&self, outcome: Outcome, answer: &Answer) {
        let what = self.mode.what;
        let got = (answer.status, answer.complete, &*answer.text());
        assert_eq!(answer.version, "HTTP/1.1", "{what}: {answer:?}");
        assert!(GONE.iter().all(|name| answer.field(name).is_none()), "{what}: {answer:?}");
        match outcome {
            Error(status) => {
                assert_eq!(answer.status, status, "{what}: {answer:?}");
                assert_eq!(answer.field("cache-control"), Some("no-store"), "{what}: {answer:?}");
                let quotes =
                    ["fine", "forged", "x-", "127.0.0.1"].iter().any(|text| answer.text().contains(text));
                assert!(!quotes && answer.body.len() < 100, "{what}: it says too much: {answer:?}");
            }
            Broken => {
                let broken = answer.status == 200 && !answer.complete;
                assert!(broken || answer.status == 502, "{what}: framed as whole: {answer:?}");
            }
            Stored(status) | Unstored(status) => {
                let body = if status == 204 { "" } else { "fine" };
                assert_eq!(got, (status, true, body), "{what}: {answer:?}");
            }
            Confirmed => assert_eq!(got, (200, true, "whole"), "{what}: {answer:?}"),
        }
    }

    /// The origin is mended: what a client gets now, on the same connection where that goes on, and what is stored.
    fn check_next(&self, target: &str, outcome: Outcome, mut client: Client) {
        let what = self.mode.what;
        self.broken.store(false, Ordering::SeqCst);
        let asked = self.origin.count();
        if outcome == Broken {
            client = self.freshet.client();
        }
        let stored = match outcome {
            Stored(_) => "fine",
            _ => "whole",
        };
        let mut get = || client.request("GET", HOST, target, &[]);
        let next = get();
        assert_eq!(
            (next.status, next.complete, &*next.text()),
            (200, true, stored),
            "{what}, and then: {next:?}"
        );
        let is_hit = matches!(outcome, Stored(_) | Confirmed);
        assert!(GONE.iter().all(|name| next.field(name).is_none()), "{what}, and then: {next:?}");
        assert_eq!(next.is_hit(), is_hit, "{what}, and then: {next:?}");
        // One request: what is left of the broken connection is never used, not even to be sent again after.
        assert_eq!(
            self.origin.count() - asked,
            usize::from(!is_hit),
            "{what}, and then: {:?}",
            self.origin.seen()
        );
        let hit = get();
        assert!(hit.is_hit() && hit.text() == stored, "{what}, and then it is stored: {hit:?}");
        for at in 0..3 {
            let other = format!("/other-{at}.png");
            assert_eq!(
                client.request("GET", HOST, &other, &[]).text(),
                "whole",
                "{what}, and then another URL"
            );
        }
    }
}

/// What the origin sends when it is not broken.
fn whole() -> Vec<Step> {
    let cache_control = "max-age=60";
    let fields = [("content-type", "image/png"), ("cache-control", cache_control), ("etag", "\"v1\"")];
    vec![Step::Send(answer("200 OK", &fields, "whole"))]
}

#[test]
fn on_a_miss() {
    let never = Gate::new();
    for mode in modes(&never) {
        let (outcome, stage) = (mode.on_a_miss, Stage::set(mode, None));
        let mut client = stage.freshet.client();
        let answer = client.request("GET", HOST, "/a.png", &[]);
        stage.check(outcome, &answer);
        assert_eq!(stage.origin.count(), 1, "{}: sent again", stage.mode.what);
        let entries = usize::from(matches!(outcome, Stored(_)));
        assert_eq!(stage.freshet.app().figures().indexed, entries, "{}", stage.mode.what);
        if outcome == Broken && answer.status == 200 {
            assert!(client.is_closed(), "{}: the broken body's connection goes on", stage.mode.what);
        }
        stage.check_next("/a.png", outcome, client);
    }
    never.open();
}

#[test]
fn on_a_revalidation() {
    let never = Gate::new();
    for mode in modes(&never) {
        let (outcome, stage) = (mode.on_a_revalidation, Stage::set(mode, None));
        stage.store("/a.png");
        stage.freshet.clock.advance(Duration::from_secs(61));
        let mut client = stage.freshet.client();
        let answer = client.request("GET", HOST, "/a.png", &[]);
        stage.check(outcome, &answer);
        // The connection that brought the stored response is used again: it may have ended meanwhile, so GET is sent
        // again where not a byte came, and then only.
        let sent = 2 + usize::from(stage.mode.silent);
        assert_eq!(stage.origin.count(), sent, "{}: {:?}", stage.mode.what, stage.origin.seen());
        stage.check_next("/a.png", outcome, client);
    }
    never.open();
}

#[test]
fn with_fifty_that_share_the_fetch() {
    let never = Gate::new();
    for mode in modes(&never) {
        let gate = Gate::new();
        let (outcome, stage) = (mode.on_a_miss, Stage::set(mode, Some(gate.clone())));
        let mut clients: Vec<_> = (0..=FOLLOWERS).map(|_| stage.freshet.client()).collect();
        for client in &mut clients {
            client.send(crate::support::client::request("GET", HOST, "/a.png", &[]));
        }
        if !stage.mode.hangs {
            let joined = || stage.freshet.app().metrics().joined.get() == FOLLOWERS as u64;
            wait_until("all but one share the fetch of that one", joined);
        }
        gate.open();
        for client in &mut clients {
            let answer = client.answer(outcome == Unstored(204));
            stage.check(outcome, &answer.unwrap_or_else(|| panic!("{}: no answer", stage.mode.what)));
        }
        let alone = matches!(outcome, Unstored(_));
        // Those that waited for as long as an answer may take ask on their own.
        let most = if alone || stage.mode.hangs { 1 + FOLLOWERS } else { 1 };
        assert!(stage.origin.count() <= most, "{}: {} requests", stage.mode.what, stage.origin.count());
        stage.check_next("/a.png", outcome, clients.remove(0));
    }
    never.open();
}

#[test]
fn what_is_stale_stands_in_for_an_error_and_never_for_half_a_body() {
    let never = Gate::new();
    for mode in modes(&never).into_iter().filter(|mode| !mode.hangs) {
        let (what, outcome, steps) = (mode.what, mode.on_a_revalidation, mode.steps);
        let origin = Origin::new(move |seen| match seen.number {
            0 => {
                let fields =
                    [("content-type", "image/png"), ("cache-control", "max-age=60, stale-if-error=600")];
                vec![Step::Send(answer("200 OK", &fields, "stale"))]
            }
            _ => steps.clone(),
        });
        let freshet = Freshet::before(&origin);
        assert_eq!(freshet.get("/a.png").text(), "stale");
        freshet.clock.advance(Duration::from_secs(61));
        let answer = freshet.get("/a.png");
        match outcome {
            Error(_) => {
                assert_eq!(
                    (answer.status, answer.complete, &*answer.text()),
                    (200, true, "stale"),
                    "{what}: {answer:?}"
                );
                assert!(answer.is_hit(), "{what}: {answer:?}");
            }
            Broken => assert!(!answer.complete || answer.text() == "stale", "{what}: {answer:?}"),
            Stored(_) | Unstored(_) | Confirmed => assert_ne!(answer.text(), "forged", "{what}: {answer:?}"),
        }
    }
}
