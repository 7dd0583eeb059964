//! Attacks by frames of HTTP/2 (RFC 9113 §10.5): each ends, by a GOAWAY or a close, within its bound, and others are
//! served meanwhile. All time-outs but a row's own are long, so that nothing else can have ended it.

use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::http2::{
    CONTINUATION, Client, DATA, END_HEADERS, END_STREAM, HEADERS, PACE, PING, PREFACE, PRIORITY, RST_STREAM,
    Raw, SETTINGS, WINDOW_UPDATE, fields, frame, get,
};
use crate::support::origin::{Origin, PATIENCE, image};
use crate::support::{Freshet, HOST};

/// The client's setting of its streams' windows.
const INITIAL_WINDOW_SIZE: u16 = 4;
/// Frames of a flood; it must end long before.
const FLOOD: u32 = 200_000;
/// How long a row's own time-out is, and what the machine may add to it.
const SHORT: Duration = Duration::from_millis(400);
const SLACK: Duration = Duration::from_secs(5);

/// A server of this config before an origin that has a large picture, which is stored, and small ones.
fn freshet(proxy: &str) -> (Origin, Freshet) {
    let large = vec![7; 8 << 20];
    let origin =
        Origin::new(move |seen| if seen.target == "/big.png" { image(&large) } else { image("fine") });
    let freshet = Freshet::with(&origin, &format!("[proxy]\nhttp2_cleartext = true\n{proxy}"));
    for target in ["/big.png", "/hit.png"] {
        assert_eq!(freshet.get(target).status, 200);
    }
    (origin, freshet)
}

/// Does this while others are served.
fn attack(freshet: &Freshet, what: &str, attack: impl FnOnce()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut client = Client::connect(freshet.app().proxy);
            let mut served = 0;
            while !over.load(Ordering::SeqCst) || served < 2 {
                let began = Instant::now();
                assert_eq!(client.request("GET", HOST, "/hit.png", &[]).text(), "fine", "{what}");
                assert!(freshet.get("/hit.png").is_hit(), "{what}");
                assert!(began.elapsed() < SLACK, "{what}: others wait for {:?}", began.elapsed());
                served += 1;
                std::thread::sleep(PACE);
            }
        });
        let attacked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(attack));
        over.store(true, Ordering::SeqCst);
        others.join().unwrap();
        attacked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// Sends one frame after the other until the connection ends; how many were sent.
fn flood(raw: &mut Raw, mut next: impl FnMut(u32) -> Vec<u8>) -> u32 {
    // What comes is read away, so that it is not our reading that ends it.
    let mut socket = raw.socket.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = [0; 65536];
        while !matches!(socket.read(&mut bytes), Ok(0) | Err(_)) {}
    });
    let mut sent = 0;
    while sent < FLOOD && raw.socket.write_all(&next(sent)).is_ok() {
        sent += 1;
    }
    assert!(sent < FLOOD, "nothing ended it");
    reader.join().unwrap();
    sent
}

/// A stream's number for its place.
fn odd(number: u32) -> u32 {
    2 * number + 1
}

type Flood = fn(u32) -> Vec<u8>;

#[test]
fn floods_of_frames_end_the_connection() {
    #[rustfmt::skip]
    let table: [(&str, Flood); 10] = [
        ("streams that are reset at once", |n| [frame(HEADERS, END_HEADERS | END_STREAM, odd(n), &get("/hit.png")), frame(RST_STREAM, 0, odd(n), &[0, 0, 0, 8])].concat()),
        ("streams that are malformed",     |n| frame(HEADERS, END_HEADERS | END_STREAM, odd(n), &fields(&[(":method", "GET")]))),
        ("fields that go on for ever",     |n| if n == 0 { frame(HEADERS, END_STREAM, 1, &get("/hit.png")) } else { frame(CONTINUATION, 0, 1, &fields(&[("x", "y")])) }),
        ("empty pieces of fields",         |n| if n == 0 { frame(HEADERS, END_STREAM, 1, &get("/hit.png")) } else { frame(CONTINUATION, 0, 1, &[]) }),
        ("empty pieces of a body",         |n| if n == 0 { frame(HEADERS, END_HEADERS, 1, &fields(&[(":method", "POST"), (":scheme", "http"), (":authority", HOST), (":path", "/a")])) } else { frame(DATA, 0, 1, &[]) }),
        ("settings",                       |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])),
        ("empty settings",                 |_| frame(SETTINGS, 0, 0, &[])),
        ("pings",                          |_| frame(PING, 0, 0, b"ping-and")),
        ("priorities",                     |n| frame(PRIORITY, 0, odd(n % 1000), &[0, 0, 0, 0, 1])),
        ("updates of windows",             |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
    ];
    let (origin, freshet) = freshet("");
    let before = origin.count();
    for (what, next) in table {
        attack(&freshet, what, || {
            let mut raw = Raw::connect(freshet.app().proxy, &[]);
            let sent = flood(&mut raw, next);
            assert!(sent > 1, "{what}: {sent}");
        });
    }
    assert_eq!(origin.count(), before, "the origin saw nothing of it");
}

#[test]
fn resets_that_wait_until_a_request_is_answered_are_bounded_too() {
    let (_origin, freshet) = freshet("");
    let mut raw = Raw::connect(freshet.app().proxy, &[]);
    let mut stream = 1;
    // Each is accepted, and reset when its answer has begun: h2 counts none of these.
    let ended = loop {
        assert!(stream < FLOOD, "nothing ended it");
        if raw.socket.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/big.png"))).is_err()
            || raw.until(|frame| frame.kind == HEADERS && frame.stream == stream).is_none()
            || raw.socket.write_all(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])).is_err()
        {
            break stream;
        }
        stream += 2;
    };
    assert!(ended > 100, "a browser that leaves a page resets as much: {ended}");
    assert_eq!(freshet.get("/hit.png").status, 200);
}

#[test]
fn fields_that_are_too_long_are_refused_or_end_the_connection() {
    let (origin, freshet) = freshet("");
    let before = origin.count();
    let base = [(":method", "GET"), (":scheme", "http"), (":authority", HOST), (":path", "/hit.png")];
    // Of 17 000 bytes, and of 100 000, both in pieces as large as frames may be.
    for (bytes, what) in [(17_000, "a list that is too long"), (100_000, "one that is much too long")] {
        attack(&freshet, what, || {
            let value = "y".repeat(bytes);
            let list = fields(&[&base[..], &[("x", &*value)]].concat());
            let mut raw = Raw::connect(freshet.app().proxy, &[]);
            let pieces: Vec<&[u8]> = list.chunks(16_000).collect();
            for (number, piece) in pieces.iter().enumerate() {
                let kind = if number == 0 { HEADERS } else { CONTINUATION };
                let flags = if number + 1 == pieces.len() { END_HEADERS } else { 0 };
                let flags = if number == 0 { flags | END_STREAM } else { flags };
                if raw.socket.write_all(&frame(kind, flags, 1, piece)).is_err() {
                    break; // It was ended already.
                }
            }
            let answer = raw.until(|frame| frame.stream == 1 && frame.kind != WINDOW_UPDATE);
            let is_served = answer.is_some_and(|answer| answer.payload.first() == Some(&0x88));
            assert!(!is_served, "{what}");
        });
    }
    assert_eq!(origin.count(), before, "the origin saw nothing of it");
}

/// What a slow client does after its first bytes.
#[derive(Clone, Copy)]
enum Then {
    /// Nothing, but that it reads what comes.
    Waits,
    /// Sends these bytes again and again.
    Drips(&'static [u8]),
    /// Reads nothing of what comes.
    ReadsNothing,
}
use Then::{Drips, ReadsNothing, Waits};

#[test]
fn each_slow_attack_is_ended_by_its_own_time_out() {
    let settings = |window: u32| {
        let entry = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &window.to_be_bytes()].concat();
        [PREFACE, &frame(SETTINGS, 0, 0, &entry)].concat()
    };
    let ask = |stream, path: &str| frame(HEADERS, END_HEADERS | END_STREAM, stream, &get(path));
    let open = settings(65_535);
    let head = get("/hit.png");
    const ONE_BYTE: &[u8] = &[0, 0, 4, WINDOW_UPDATE, 0, 0, 0, 0, 1, 0, 0, 0, 1];
    #[rustfmt::skip]
    let table: Vec<(&str, &str, Vec<u8>, Then)> = vec![
        // (what the client does, the time-out, its first bytes, what it does then)
        ("connects",                              "header_timeout", vec![],                                            Waits),
        ("sends half a preface",                  "header_timeout", PREFACE[..20].to_vec(),                            Waits),
        ("sends a preface and no settings",       "header_timeout", PREFACE.to_vec(),                                  Waits),
        ("sends a preface byte by byte",          "header_timeout", vec![],                                            Drips(b"PRI ")),
        ("sends half a frame's head",             "header_timeout", [&open[..], &[0, 0, 8, PING]].concat(),            Waits),
        ("sends half of its fields",              "header_timeout", [&open[..], &frame(HEADERS, END_STREAM, 1, &head[..20])].concat(), Waits),
        ("sends its fields byte by byte",         "header_timeout", [&open[..], &[0, 0x40, 0, HEADERS, END_STREAM | END_HEADERS, 0, 0, 0, 1]].concat(), Drips(b"y")),
        ("asks for nothing",                      "idle_timeout",   open.clone(),                                      Waits),
        ("pings and asks for nothing",            "idle_timeout",   open.clone(),                                      Drips(&[0, 0, 8, PING, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])),
        ("gives its stream no window",            "write_timeout",  [&settings(0)[..], &ask(1, "/big.png")].concat(),  Waits),
        ("gives its stream one byte at a time",   "write_timeout",  [&settings(0)[..], &ask(1, "/big.png")].concat(),  Drips(ONE_BYTE)),
        ("gives its connection no window",        "write_timeout",  [&settings(1 << 24)[..], &ask(1, "/big.png")].concat(), Waits),
        ("gives many streams no window",          "write_timeout",  [&settings(0)[..], &(0..99).flat_map(|n| ask(odd(n), "/big.png")).collect::<Vec<_>>()].concat(), Waits),
        ("reads nothing of a large answer",       "write_timeout",  [&settings(1 << 24)[..], &frame(WINDOW_UPDATE, 0, 0, &[1, 0, 0, 0]), &ask(1, "/big.png")].concat(), ReadsNothing),
    ];
    std::thread::scope(|scope| {
        for (what, time_out, first, then) in table {
            scope.spawn(move || assert_ended(what, time_out, &first, then));
        }
    });
}

fn assert_ended(what: &str, time_out: &str, first: &[u8], then: Then) {
    let line = |name: &str| match name == time_out {
        true => format!("{name} = \"{}ms\"\n", SHORT.as_millis()),
        false => format!("{name} = \"60s\"\n"),
    };
    let times: String =
        ["header_timeout", "idle_timeout", "body_timeout", "write_timeout"].map(line).concat();
    let (_origin, freshet) = freshet(&times);
    attack(&freshet, what, || {
        let began = Instant::now();
        let mut raw = Raw::silent(freshet.app().proxy);
        raw.send(first);
        go_on(&raw, then, what);
        let lasted = began.elapsed();
        assert!(lasted >= SHORT, "{what}: it was ended after {lasted:?}, by something else than {time_out}");
        assert!(
            lasted < SHORT + freshet::limits::HTTP2_GOODBYE + SLACK,
            "{what}: it was ended after {lasted:?}"
        );
    });
}

/// Goes on as `then` says until the server has ended the connection.
fn go_on(raw: &Raw, then: Then, what: &str) {
    let (end, socket) = (Instant::now() + PATIENCE, &raw.socket);
    // A read that brings nothing in time is the pace.
    socket.set_read_timeout(Some(PACE)).unwrap();
    let mut bytes = vec![0; 65536];
    loop {
        assert!(Instant::now() < end, "{what}: nothing ended it in {PATIENCE:?}");
        let read = match then {
            ReadsNothing => {
                std::thread::sleep(PACE); // It does nothing, slowly.
                Ok(1)
            }
            Waits => Read::read(&mut &*socket, &mut bytes),
            Drips(_) => {
                std::thread::sleep(PACE);
                Read::read(&mut &*socket, &mut bytes)
            }
        };
        match read {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_reset) => return,
        }
        let sent = match then {
            Waits => Ok(()),
            Drips(bytes) => Write::write_all(&mut &*socket, bytes),
            // What was sent before the end may be read for long after it; bytes that come after it are answered by a
            // reset.
            ReadsNothing => Write::write_all(&mut &*socket, &frame(PING, 1, 0, b"an-empty")),
        };
        if sent.is_err() {
            return;
        }
    }
}

#[test]
fn a_stream_that_stalls_ends_without_those_beside_it() {
    let (_origin, freshet) = freshet("write_timeout = \"400ms\"\n");
    let mut raw = Raw::connect(freshet.app().proxy, &[(INITIAL_WINDOW_SIZE, 0)]);
    // The connection's window is large; the second stream has its whole answer asked for, piece by piece.
    raw.send(&frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 24).to_be_bytes()));
    raw.ask(1, "/big.png");
    raw.ask(3, "/big.png");
    raw.send(&frame(WINDOW_UPDATE, 0, 3, &100_000_u32.to_be_bytes()));
    let (mut body, mut was_told) = (0, false);
    while body < 8 << 20 {
        let piece = raw.until(|frame| {
            was_told |= frame.kind == 7;
            frame.kind == DATA
        });
        let piece = piece.expect("the answer that is taken is cut off");
        assert_eq!(piece.stream, 3);
        body += piece.payload.len();
        if body < 8 << 20 {
            let taken = u32::try_from(piece.payload.len()).unwrap();
            raw.send(&frame(WINDOW_UPDATE, 0, 3, &taken.to_be_bytes()));
        }
        if !was_told && body > 1 << 20 {
            std::thread::sleep(PACE); // Until the other one's time is over.
        }
    }
    assert!(was_told, "no GOAWAY for the stream that stalled");
    assert!(raw.until(|frame| frame.stream == 1 && frame.kind == DATA).is_none(), "then the connection ends");
}
