//! Broken origins: never a wrong body framed as whole, nothing stored, and the next request tries again.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::origin::{Gate, Origin, Step, answer, image};
use crate::support::{Freshet, HOST, account};

const TIMES: &str =
    "[fetch]\nconnect_timeout = \"500ms\"\nfirst_byte_timeout = \"300ms\"\nidle_timeout = \"300ms\"\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncache-control: max-age=60\r\n";

/// What an origin does with a request.
type Mode = Box<dyn Fn() -> Vec<Step> + Send + Sync>;

#[test]
fn broken_answer_is_never_whole_and_never_stored() {
    let ok = |rest: &str| vec![Step::Send(format!("{OK}{rest}").into())];
    let closing = |rest: &str| vec![Step::Send(format!("{OK}{rest}").into()), Step::Close];
    let raw = |bytes: &str| vec![Step::Send(bytes.into()), Step::Close];
    let never = Gate::new();
    #[rustfmt::skip]
    let modes: Vec<(&str, u16, Mode)> = vec![
        // (what the origin does, status, its steps); 200 is a whole head whose body then breaks off.
        ("closes before its length",      200, Box::new(move || closing("content-length: 50\r\n\r\nshort"))),
        ("closes after a chunk",          200, Box::new(move || closing("transfer-encoding: chunked\r\n\r\n5\r\nshort\r\n"))),
        ("closes within a chunk",         200, Box::new(move || closing("transfer-encoding: chunked\r\n\r\n50\r\nshort"))),
        ("closes before the last line",   200, Box::new(move || closing("transfer-encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\n"))),
        ("sends a broken chunk",          502, Box::new(move || ok("transfer-encoding: chunked\r\n\r\nzz\r\nshort\r\n"))),
        ("stops within the body",         200, { let never = never.clone(); Box::new(move || {
            let mut steps = ok("content-length: 50\r\n\r\nshort"); steps.push(Step::Pause(never.clone())); steps }) }),
        ("never answers",                 504, { let never = never.clone(); Box::new(move || vec![Step::Pause(never.clone())]) }),
        ("closes at once",                502, Box::new(|| vec![Step::Close])),
        ("resets at once",                502, Box::new(|| vec![Step::Reset])),
        ("sends garbage",                 502, Box::new(move || raw("\x16\x03\x01garbage\r\n\r\n"))),
        ("speaks HTTP/0.9",               502, Box::new(move || raw("<html>hello</html>"))),
        ("sends an invalid status",       502, Box::new(move || raw("HTTP/1.1 999 Odd\r\ncontent-length: 2\r\n\r\nhi"))),
        ("switches protocols unasked",    502, Box::new(move || raw("HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"))),
        ("sends a part unasked",          502, Box::new(move || raw("HTTP/1.1 206 Part\r\ncontent-type: image/png\r\ncontent-range: bytes 0-1/9\r\ncontent-length: 2\r\n\r\nhi"))),
        ("says not modified unasked",     502, Box::new(move || raw("HTTP/1.1 304 Not Modified\r\n\r\n"))),
        ("sends two lengths",             502, Box::new(move || ok("content-length: 2\r\ncontent-length: 3\r\n\r\nhi!"))),
        ("sends a signed length",         502, Box::new(move || ok("content-length: +2\r\n\r\nhi"))),
        ("uses an unknown coding",        502, Box::new(move || ok("transfer-encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"))),
        ("sends a NUL in a field",        502, Box::new(move || ok("x-bad: a\0b\r\ncontent-length: 2\r\n\r\nhi"))),
        ("folds a field",                 502, Box::new(move || ok("x-bad: a\r\n b\r\ncontent-length: 2\r\n\r\nhi"))),
        ("sends 150 fields",              502, Box::new(move || ok(&format!("{}content-length: 2\r\n\r\nhi", "x-many: 1\r\n".repeat(150))))),
        ("sends a field of 40 kB",        502, Box::new(move || ok(&format!("x-long: {}\r\ncontent-length: 2\r\n\r\nhi", "a".repeat(40_000))))),
        ("sends interim answers on end",  502, Box::new(move || raw(&"HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000)))),
    ];
    for (what, status, steps) in modes {
        let served = AtomicUsize::new(0);
        // Some modes are tried twice, when a connection is new: broken is what `broken` says it is.
        let broken = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let mended = broken.clone();
        let origin = Origin::new(move |_| {
            served.fetch_add(1, Ordering::SeqCst);
            if broken.load(Ordering::SeqCst) { steps() } else { image("whole") }
        });
        let freshet = Freshet::with(&origin, TIMES);
        let answer = freshet.get("/a.png");
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert!(status != 200 || !answer.complete, "{what}: a broken body is framed as whole: {answer:?}");
        if status != 200 {
            assert_eq!(answer.field("cache-control"), Some("no-store"), "{what}");
            assert!(!answer.text().contains("garbage") && !answer.text().contains("hi"), "{what} is quoted");
        }
        assert_eq!(freshet.app().figures().entries, 0, "{what}");
        mended.store(false, Ordering::SeqCst);
        let next = freshet.get("/a.png");
        assert_eq!((next.status, next.text()), (200, "whole".into()), "{what}, and then it works");
        assert!(freshet.get("/a.png").is_hit(), "{what}, and then it is stored");
    }
    never.open();
}

#[test]
fn odd_but_usable_answers_are_repaired() {
    #[rustfmt::skip]
    let table = [
        ("length and coding",  "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncache-control: max-age=9\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        ("one length twice",   "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncache-control: max-age=9\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nhi"),
        ("no reason",          "HTTP/1.1 200 \r\ncontent-type: image/png\r\ncache-control: max-age=9\r\ncontent-length: 2\r\n\r\nhi"),
        ("interim answers",    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncache-control: max-age=9\r\ncontent-length: 2\r\n\r\nhi"),
        ("HTTP/1.0",           "HTTP/1.0 200 OK\r\ncontent-type: image/png\r\ncache-control: max-age=9\r\ncontent-length: 2\r\n\r\nhi"),
        ("hop-by-hop fields",  "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncache-control: max-age=9\r\nconnection: close, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nproxy-authenticate: Basic\r\nupgrade: h2c\r\ntrailer: x\r\ncontent-length: 2\r\n\r\nhi"),
    ];
    for (what, bytes) in table {
        let origin = Origin::new(move |_| vec![Step::Send(bytes.into()), Step::Close]);
        let freshet = Freshet::before(&origin);
        let mut client = freshet.client();
        for hit in [false, true] {
            let answer = client.request("GET", HOST, "/a.png", &[]);
            assert_eq!(
                (answer.status, answer.text(), answer.complete),
                (200, "hi".into(), true),
                "{what}: {answer:?}"
            );
            assert_eq!(answer.is_hit(), hit, "{what}: {answer:?}");
            for gone in ["x-hop", "keep-alive", "proxy-authenticate", "upgrade", "trailer", "connection"] {
                assert_eq!(answer.field(gone), None, "{what}: {answer:?}");
            }
        }
    }
}

#[test]
fn body_that_ends_with_its_connection_is_delivered_and_not_stored() {
    let origin = Origin::new(|_| vec![Step::Send(format!("{OK}\r\nall of it").into()), Step::Close]);
    let freshet = Freshet::before(&origin);
    for _ in 0..2 {
        assert_eq!(freshet.get("/a.png").text(), "all of it");
    }
    assert_eq!((origin.count(), freshet.app().figures().entries), (2, 0));
}

#[test]
fn origin_that_refuses_is_a_502() {
    let freed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let freshet = Freshet::start(&account(&format!("http://{freed}")));
    let answer = freshet.get("/a.png");
    assert_eq!((answer.status, answer.field("cache-control")), (502, Some("no-store")));
    assert!(
        !answer.text().contains(&freed.port().to_string()),
        "an error names no address: {}",
        answer.text()
    );
}

#[test]
fn get_is_sent_again_once_when_a_reused_connection_has_ended() {
    // Every connection dies silently after its first answer: the origin's idle time-out, at its worst.
    let origin = Origin::new(|seen| {
        let mut steps = image(format!("{}", seen.number));
        steps.push(Step::Close);
        steps
    });
    let freshet = Freshet::before(&origin);
    let mut client = freshet.client();
    for at in 0..200 {
        let answer = client.request("GET", HOST, &format!("/{at}.png"), &[]);
        assert_eq!(answer.status, 200, "{at}: {answer:?}");
    }
}

#[test]
fn other_methods_are_never_sent_twice() {
    let origin = Origin::new(|seen| match &*seen.method {
        "GET" => image("body"),
        _ => vec![Step::Close],
    });
    let freshet = Freshet::with(&origin, "[[routes]]\nmethods = [\"POST\"]\n");
    freshet.get("/a.png"); // Leaves a connection to reuse.
    let mut client = freshet.client();
    client.send(format!("POST /a.png HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 2\r\n\r\nhi"));
    assert_eq!(client.answer(false).unwrap().status, 502);
    assert_eq!(origin.seen().iter().filter(|seen| seen.method == "POST").count(), 1);
}

#[test]
fn server_error_reaches_all_who_wait_for_it_and_is_not_stored() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(move |_| {
        let fields = [("cache-control", "max-age=60"), ("set-cookie", "a=b")];
        vec![Step::Pause(held.clone()), Step::Send(answer("500 Internal Server Error", &fields, "oops"))]
    });
    let freshet = Freshet::before(&origin);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..20).map(|_| scope.spawn(|| freshet.get("/a.png"))).collect();
        gate.wait_for(1);
        crate::support::wait_until("all have come", || {
            freshet.app().metrics().requests.get() == 0 && gate_is_shared(&freshet)
        });
        gate.open();
        clients.into_iter().for_each(|client| assert_eq!(client.join().unwrap().status, 500));
    });
    assert!(origin.count() <= 20);
    assert_eq!(freshet.app().figures().entries, 0);
}

fn gate_is_shared(freshet: &Freshet) -> bool {
    freshet.app().figures().flights == 1
}
