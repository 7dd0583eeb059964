//! Slow attacks, each ended by the time-out that is for it, while others are served. All other times are long, so that
//! nothing else can have ended it.

use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::client::{Client, request};
use crate::support::origin::{Origin, PATIENCE, image};
use crate::support::{Freshet, HOST};

/// How long the time-out of a row is.
const SHORT: Duration = Duration::from_millis(400);
/// What the machine may add to it.
const SLACK: Duration = Duration::from_secs(3);
/// Between two bytes of a client that sends, or takes, one at a time.
const PACE: Duration = Duration::from_millis(20);

/// What the attacker does after its first bytes.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// Nothing: it waits.
    Waits,
    /// Sends these bytes, one at a time, again and again.
    Drips(&'static str),
    /// Reads nothing.
    ReadsNothing,
    /// Reads one byte at a time.
    Sips,
}
use Then::{Drips, ReadsNothing, Sips, Waits};

#[test]
fn each_slow_attack_is_ended_by_its_own_time_out_and_others_are_served() {
    let big = request("GET", HOST, "/big.png", &[]);
    let post = |framing: &str| format!("POST /a HTTP/1.1\r\nHost: {HOST}\r\n{framing}\r\n\r\n");
    let drip = post("Content-Length: 100000");
    #[rustfmt::skip]
    let table: Vec<(&str, &str, &str, Then)> = vec![
        // (what the client does, the time-out, its first bytes, what it does then)
        ("connects",                            "proxy.header_timeout", "",                              Waits),
        ("begins another protocol",             "proxy.header_timeout", "PRI * H",                       Waits),
        ("sends half a head",                   "proxy.header_timeout", "GET /a HTTP/1.1\r\nHost: im",   Waits),
        ("sends a head byte by byte",           "proxy.header_timeout", "GET /a HTTP/1.1\r\n",           Drips("X: y\r\n")),
        ("sends empty lines",                   "proxy.header_timeout", "",                              Drips("\r\n")),
        ("sends no body",                       "proxy.body_timeout",   &drip,                           Waits),
        ("sends chunk extensions for ever",     "proxy.body_timeout",   "POST /a HTTP/1.1\r\nHost: img.test\r\nTransfer-Encoding: chunked\r\n\r\n3;", Drips("x")),
        ("sends a body byte by byte",           "fetch.total_timeout",  &drip,                           Drips("x")),
        ("reads nothing of a large answer",     "proxy.write_timeout",  &big,                            ReadsNothing),
        ("reads a large answer byte by byte",   "proxy.write_timeout",  &big,                            Sips),
        ("asks no more",                        "proxy.idle_timeout",   "GET /a HTTP/1.1\r\nHost: img.test\r\n\r\n", Waits),
    ];
    std::thread::scope(|scope| {
        // All at once: each has a server of its own, and most of what they do is to wait.
        for (what, time_out, first, then) in table {
            scope.spawn(move || assert_ended(what, time_out, first, then));
        }
    });
}

/// Tells the others that the attack is over.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn assert_ended(what: &str, time_out: &str, first: &str, then: Then) {
    let large = vec![7; 8 << 20];
    let origin =
        Origin::new(move |seen| if seen.target == "/big.png" { image(&large) } else { image("fine") });
    let freshet = Freshet::with(&origin, &times(time_out));
    for target in ["/big.png", "/hit.png"] {
        assert_eq!(freshet.get(target).status, 200, "{what}");
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut served = 0;
            while !over.load(Ordering::SeqCst) {
                let began = Instant::now();
                assert!(
                    freshet.get("/hit.png").is_hit() && freshet.get(&format!("/{served}.png")).status == 200,
                    "{what}"
                );
                assert!(began.elapsed() < SLACK, "{what}: others wait for {:?}", began.elapsed());
                served += 1;
                std::thread::sleep(PACE);
            }
            served
        });
        let _over = Over(&over); // Also where this panics: the scope waits for the others.
        let began = Instant::now(); // A connection's first head is due from its start.
        let mut attacker = freshet.client();
        attacker.send(first);
        go_on(&mut attacker, then, what);
        let lasted = began.elapsed();
        over.store(true, Ordering::SeqCst);
        assert!(others.join().unwrap() > 1, "{what}: nobody else was served");
        assert!(lasted >= SHORT, "{what}: it was ended after {lasted:?}, by something else than {time_out}");
        assert!(lasted < SHORT + SLACK, "{what}: it was ended by {time_out} after {lasted:?}");
    });
}

/// A config in which one time-out is short.
fn times(short: &str) -> String {
    let section = |section: &str, names: &[&str]| {
        let line = |name: &&str| match format!("{section}.{name}") == short {
            true => format!("{name} = \"{}ms\"\n", SHORT.as_millis()),
            false => format!("{name} = \"60s\"\n"),
        };
        format!("[{section}]\n{}", names.iter().map(line).collect::<String>())
    };
    let proxy = section("proxy", &["header_timeout", "idle_timeout", "body_timeout", "write_timeout"]);
    let fetch = section("fetch", &["total_timeout", "first_byte_timeout", "idle_timeout"]);
    format!("{proxy}{fetch}[[routes]]\nmethods = [\"POST\"]\n")
}

/// Goes on as `then` says until the server has ended the connection.
fn go_on(attacker: &mut Client, then: Then, what: &str) {
    let end = Instant::now() + PATIENCE;
    // A read that brings nothing in time is the pace.
    let socket = &attacker.socket;
    socket.set_read_timeout(Some(PACE)).unwrap();
    let mut drip = match then {
        Drips(bytes) => bytes.bytes().cycle(),
        _ => "".bytes().cycle(),
    };
    loop {
        assert!(Instant::now() < end, "{what}: nothing ended it in {PATIENCE:?}");
        let mut bytes = [0; 65536];
        let read = match then {
            ReadsNothing => {
                std::thread::sleep(PACE); // It does nothing, slowly.
                Ok(1)
            }
            Sips => {
                std::thread::sleep(PACE);
                Read::read(&mut &*socket, &mut bytes[..1])
            }
            Waits | Drips(_) => Read::read(&mut &*socket, &mut bytes),
        };
        match read {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_reset) => return,
        }
        let sent = match then {
            Waits => Ok(()),
            Drips(_) => Write::write_all(&mut &*socket, &[drip.next().unwrap()]),
            // What was sent before the end may be read for long after it; a byte that comes after it is answered by a
            // reset. Until then it is the beginning of a next request.
            ReadsNothing | Sips => Write::write_all(&mut &*socket, b"\n"),
        };
        if sent.is_err() {
            return;
        }
    }
}
