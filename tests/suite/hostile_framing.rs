//! Hostile clients and the framing of messages: one request is one request to everybody on its way, or it is refused,
//! its connection closed, and not a byte of it reaches the origin. More of what is refused is in `gate.rs`.

use crate::support::client::{Answer, Client};
use crate::support::origin::{Origin, Step, answer, image};
use crate::support::{Freshet, HOST, wait_until};

const PASSES: &str = "[proxy]\nbody_timeout = \"300ms\"\n[[routes]]\nmethods = [\"POST\", \"PUT\"]\n";
const H: &str = "Host: img.test\r\n";

/// What the origin is to have seen of a row's bytes.
#[derive(Clone, Copy)]
enum Reaches {
    /// Not a connection.
    Nothing,
    /// One request, with this body.
    Body(&'static str),
    /// A request that was never complete, if any.
    NothingWhole,
}
use Reaches::{Body, Nothing, NothingWhole};

/// Every answer on the connection until it ends or nothing more is to come.
fn answers(client: &mut Client, most: usize) -> Vec<Answer> {
    (0..most).map_while(|_| client.answer(false)).collect()
}

#[test]
fn badly_framed_requests_are_refused_and_closed() {
    let post = |rest: &str| format!("POST /a HTTP/1.1\r\n{H}{rest}");
    let get = |rest: &str| format!("GET /a HTTP/1.1\r\n{H}{rest}");
    let chunked = |rest: &str| post(&format!("Transfer-Encoding: chunked\r\n\r\n{rest}"));
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: img.test\r\n\r\n";
    #[rustfmt::skip]
    let table: Vec<(&str, u16, Reaches, String)> = vec![
        // (what is wrong, status or 0 for none, what reaches the origin, the bytes)
        ("GET: length and coding",    400, Nothing,      get(&format!("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"))),
        ("GET: coding and length",    400, Nothing,      get(&format!("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{smuggled}"))),
        ("GET: lengths differ",       400, Nothing,      get("Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello")),
        ("lengths differ",            400, Nothing,      post("Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")),
        ("a list of lengths",         400, Nothing,      post("Content-Length: 3, 3\r\n\r\nabc")),
        ("a signed length",           400, Nothing,      post("Content-Length: +3\r\n\r\nabc")),
        ("a negative length",         400, Nothing,      post("Content-Length: -1\r\n\r\nabc")),
        ("a hexadecimal length",      400, Nothing,      post("Content-Length: 0x3\r\n\r\nabc")),
        ("an empty length",           400, Nothing,      post("Content-Length:\r\n\r\nabc")),
        ("a length with a blank",     400, Nothing,      post("Content-Length: 3 3\r\n\r\nabc")),
        ("a length of 2^64",          400, Nothing,      post("Content-Length: 18446744073709551616\r\n\r\nabc")),
        ("coding xchunked",           400, Nothing,      post("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n")),
        ("coding identity",           400, Nothing,      post("Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc")),
        ("coding after a tab",        400, Nothing,      post("Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n")),
        ("coding with a comma after", 400, Nothing,      post("Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n")),
        ("coding with one before",    400, Nothing,      post("Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n")),
        ("chunked, identity",         400, Nothing,      post("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n")),
        ("chunked twice in a line",   400, Nothing,      post("Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n")),
        ("chunked twice in two",      400, Nothing,      post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
        ("gzip, chunked",             400, Nothing,      post("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")),
        ("gzip",                      400, Nothing,      post("Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n")),
        ("an empty coding",           400, Nothing,      post("Transfer-Encoding:\r\n\r\n0\r\n\r\n")),
        ("a blank before the colon",  400, Nothing,      post("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n")),
        ("a folded coding",           400, Nothing,      post("Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n")),
        ("a coding in 1.0",           400, Nothing,      chunked("0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0")),
        ("size 0x3",                  400, NothingWhole, chunked("0x3\r\nabc\r\n0\r\n\r\n")),
        ("a blank before the size",   400, NothingWhole, chunked(" 3\r\nabc\r\n0\r\n\r\n")),
        ("a negative size",           400, NothingWhole, chunked("-1\r\nabc\r\n0\r\n\r\n")),
        ("no size",                   400, NothingWhole, chunked("\r\nabc\r\n0\r\n\r\n")),
        ("a size that overflows",     400, NothingWhole, chunked("10000000000000003\r\nabc\r\n0\r\n\r\n")),
        ("a size that ends with LF",  400, NothingWhole, chunked("3\nabc\n0\n\n")),
        ("a chunk longer than said",  400, NothingWhole, chunked("3\r\nabcdef\r\n0\r\n\r\n")),
        ("a chunk with no end",       400, NothingWhole, chunked("3\r\nabc0\r\n\r\n")),
        ("a bare CR in an extension", 400, NothingWhole, chunked("3;a\rb\r\nabc\r\n0\r\n\r\n")),
        ("a bare LF in an extension", 400, NothingWhole, chunked("3;a\nb\r\nabc\r\n0\r\n\r\n")),
        ("extensions of 20 kB",       400, NothingWhole, chunked(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(20_000)))),
        ("trailers of 20 kB",         400, NothingWhole, chunked(&format!("3\r\nabc\r\n0\r\nx: {}\r\n\r\n", "x".repeat(20_000)))),
        ("Connection: Host",          400, Nothing,      post("Connection: Host\r\nContent-Length: 0\r\n\r\n")),
        ("Connection: Content-Length", 400, Nothing,     post("Connection: content-length\r\nContent-Length: 3\r\n\r\nabc")),
        ("Connection: Authorization", 400, Nothing,      get("Connection: Authorization\r\n\r\n")),
        ("Connection: Cache-Control", 400, Nothing,      get("Connection: keep-alive, Cache-Control\r\n\r\n")),
        ("Connection: Cookie",        400, Nothing,      get("Connection: Cookie\r\n\r\n")),
        ("an expectation",            417, Nothing,      post("Expect: x\r\nContent-Length: 3\r\n\r\nabc")),
        ("one beside 100-continue",   417, Nothing,      post("Expect: 100-continue, x\r\nContent-Length: 3\r\n\r\nabc")),
        ("a NUL",                     400, Nothing,      get("X: a\0b\r\n\r\n")),
        ("a field without a name",    400, Nothing,      get(": x\r\n\r\n")),
        ("a field without a colon",   400, Nothing,      get("X\r\n\r\n")),
        ("a blank before the fields", 400, Nothing,      "GET /a HTTP/1.1\r\n X: 1\r\nHost: img.test\r\n\r\n".into()),
        ("version 0.9",               400, Nothing,      "GET /a\r\n\r\n".into()),
        ("version 1.2",               400, Nothing,      format!("GET /a HTTP/1.2\r\n{H}\r\n")),
        ("version 2.0",               400, Nothing,      format!("GET /a HTTP/2.0\r\n{H}\r\n")),
        ("HTTP/2 by its preface",       0, Nothing,      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into()),
        ("two blanks in its line",    400, Nothing,      format!("GET  /a HTTP/1.1\r\n{H}\r\n")),
        ("a body too large",          413, NothingWhole, post(&format!("Content-Length: 1048577\r\n\r\n{}", "x".repeat(1_048_577)))),
    ];
    // An origin of its own for what may begin to arrive there: at the other one nobody must even knock.
    let (quiet, partly) = (Origin::new(|_| image("body")), Origin::new(|_| image("body")));
    let (freshet, passing) = (Freshet::with(&quiet, PASSES), Freshet::with(&partly, PASSES));
    for (what, status, reaches, request) in &table {
        let (freshet, origin) = match reaches {
            Nothing => (&freshet, &quiet),
            NothingWhole | Body(_) => (&passing, &partly),
        };
        let mut client = freshet.client();
        client.send(request);
        let answers = answers(&mut client, 2);
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, if *status == 0 { vec![] } else { vec![*status] }, "{what}: {answers:?}");
        assert!(client.is_closed(), "{what}: the connection stays open");
        let quotes = |answer: &Answer| answer.body.len() >= 200 || answer.text().contains("smuggled");
        assert!(!answers.iter().any(quotes), "{what}: {answers:?}");
        assert_eq!(origin.count(), 0, "{what}: {:?}", origin.seen().last());
        assert_eq!(quiet.connections(), 0, "{what}: the origin was connected to");
    }
    for freshet in [freshet, passing] {
        assert_eq!(freshet.get("/a").status, 200, "and then a good request works");
    }
}

#[test]
fn oddly_framed_requests_are_made_anew_for_the_origin() {
    let post = |rest: &str| format!("POST /a HTTP/1.1\r\n{H}{rest}");
    #[rustfmt::skip]
    let table: Vec<(&str, Reaches, String)> = vec![
        ("a length with zeros before it", Body("abc"), post("Content-Length: 003\r\n\r\nabc")),
        ("a length twice",                Body("abc"), post("Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc")),
        ("no length",                     Body(""),    post("\r\n")),
        ("a length of 0",                 Body(""),    post("Content-Length: 0\r\n\r\n")),
        ("a body that looks like more",   Body("GET /smuggled HTTP/1.1\r\n\r\n"), post("Content-Length: 26\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n")),
        ("chunks",                        Body("abc"), post("Transfer-Encoding: Chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")),
        ("chunks and a length",           Body("abc"), post("Content-Length: 30\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")),
        ("extensions",                    Body("abc"), post("Transfer-Encoding: chunked\r\n\r\n3;name=\"v\";b\r\nabc\r\n0;x\r\n\r\n")),
        ("trailers",                      Body("abc"), post("Transfer-Encoding: chunked\r\nTrailer: host\r\n\r\n3\r\nabc\r\n0\r\nHost: evil.test\r\nAuthorization: x\r\nContent-Length: 9\r\n\r\n")),
        ("hop-by-hop fields",             Body("abc"), post("Connection: close, x-hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nProxy-Authorization: x\r\nProxy-Connection: x\r\nTE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nContent-Length: 3\r\n\r\nabc")),
        ("names with underscores",        Body("abc"), post("X_Forwarded_For: 1\r\nContent_Length: 9\r\nContent-Length: 3\r\n\r\nabc")),
        ("version 1.0",                   Body("abc"), post("Content-Length: 3\r\n\r\nabc").replace("HTTP/1.1", "HTTP/1.0")),
        ("lines that end with LF",        Body("abc"), post("Content-Length: 3\r\n\r\nabc").replace("\r\n", "\n")),
        ("empty lines before it",         Body("abc"), format!("\r\n{}", post("Content-Length: 3\r\n\r\nabc"))),
    ];
    for (what, reaches, request) in table {
        let Body(expected) = reaches else { unreachable!() };
        let origin = Origin::new(|_| image("done"));
        let freshet = Freshet::with(&origin, PASSES);
        let mut client = freshet.client();
        client.send(&request);
        let answer = client.answer(false).unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!((answer.status, answer.text()), (200, "done".into()), "{what}: {answer:?}");
        // Whatever follows is another request, and a good one.
        if !request.contains("close") && !request.contains("HTTP/1.0") && !what.contains("and a length") {
            assert_eq!(client.request("GET", HOST, "/next", &[]).status, 200, "{what}");
        }
        let seen = &origin.seen()[0];
        let got = (&*seen.method, &*seen.target, &*seen.version, &*seen.body);
        assert_eq!(got, ("POST", "/a", "HTTP/1.1", expected.as_bytes()), "{what}: {seen:?}");
        let hosts: Vec<_> = seen.fields.iter().filter(|(name, _)| name == "host").collect();
        assert_eq!(hosts.len(), 1, "{what}: {seen:?}");
        let framings =
            seen.fields.iter().filter(|(name, _)| name == "content-length" || name == "transfer-encoding");
        assert_eq!(framings.count(), 1, "{what}: {seen:?}");
        assert!(
            seen.field("content-length").is_none_or(|length| length == expected.len().to_string()),
            "{what}: {seen:?}"
        );
        for gone in [
            "connection",
            "x-hop",
            "keep-alive",
            "proxy-authorization",
            "proxy-connection",
            "te",
            "upgrade",
            "http2-settings",
            "trailer",
            "x_forwarded_for",
            "content_length",
            "authorization",
            "expect",
        ] {
            assert_eq!(seen.field(gone), None, "{what}: {seen:?}");
        }
        assert!(origin.seen().iter().all(|seen| seen.target != "/smuggled"), "{what}: {:?}", origin.seen());
    }
}

#[test]
fn body_of_a_request_that_is_refused_is_no_request() {
    // Unread, it would be the next request on the connection (RFC 9112 §9.3).
    let origin = Origin::new(|_| image("body"));
    let freshet = Freshet::before(&origin); // It passes no POST.
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: img.test\r\n\r\n";
    let late = |bytes: &str| format!("POST /a HTTP/1.1\r\n{H}Content-Length: {}\r\n\r\n", bytes.len());
    let large = format!("{smuggled}{}", "x".repeat(300_000));
    for (what, head, body) in [
        ("at once", String::new(), late(smuggled) + smuggled),
        ("later", late(smuggled), smuggled.to_owned()),
        ("large", String::new(), late(&large) + &large),
        (
            "in chunks",
            String::new(),
            format!("POST /a HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n2f\r\n{smuggled}\r\n0\r\n\r\n"),
        ),
    ] {
        let mut client = freshet.client();
        client.send(&head);
        if !head.is_empty() {
            assert_eq!(client.answer(false).map(|answer| answer.status), Some(405), "{what}");
        }
        // The connection may be closed by now, and this refused.
        let _ = std::io::Write::write_all(&mut &client.socket, body.as_bytes());
        let _ = client.socket.shutdown(std::net::Shutdown::Write);
        let statuses: Vec<_> = answers(&mut client, 3).iter().map(|answer| answer.status).collect();
        assert!(statuses.iter().all(|status| *status == 405) && statuses.len() < 2, "{what}: {statuses:?}");
    }
    assert_eq!(origin.connections(), 0, "{:?}", origin.seen());
}

#[test]
fn methods_that_are_not_taken_are_405_with_what_is() {
    let origin = Origin::new(|_| image("body"));
    let freshet = Freshet::with(&origin, "[[routes]]\nmatch = \"^/up/\"\nmethods = [\"PUT\"]\n");
    #[rustfmt::skip]
    let table = [
        ("TRACE",    "/a",            "GET, HEAD",      false),
        ("CONNECT",  "img.test:443",  "GET, HEAD",      true),
        ("CONNECT",  "evil.test:80",  "GET, HEAD",      true),
        ("CONNECT",  "/a",            "GET, HEAD",      true),
        ("PURGE",    "/a",            "GET, HEAD",      false),
        ("BREW",     "/up/a",         "GET, HEAD, PUT", false),
        ("get",      "/a",            "GET, HEAD",      false),
        ("OPTIONS",  "/a",            "GET, HEAD",      false),
        ("POST",     "/up/a",         "GET, HEAD, PUT", false),
        ("PROPFIND", "/a",            "GET, HEAD",      false),
    ];
    for (method, target, allow, closes) in table {
        let mut client = freshet.client();
        let refused = client.request(method, HOST, target, &[]);
        assert_eq!(
            (refused.status, refused.field("allow")),
            (405, Some(allow)),
            "{method} {target}: {refused:?}"
        );
        match closes {
            true => assert!(client.is_closed(), "{method} {target}: bytes for a tunnel would be requests"),
            false => assert_eq!(client.request("OPTIONS", HOST, "*", &[]).status, 204, "{method} {target}"),
        }
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn http_1_0_client_gets_what_it_understands() {
    let origin = Origin::new(|seen| match &*seen.target {
        "/chunked.png" => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ntransfer-encoding: chunked\r\n\r\n";
            vec![Step::Send(format!("{head}4\r\nbody\r\n0\r\n\r\n").into())]
        }
        _ => vec![Step::Send(answer("200 OK", &[("content-type", "image/png")], "body"))],
    });
    let freshet = Freshet::with(&origin, PASSES);
    for (target, fields) in
        [("/a.png", ""), ("/chunked.png", ""), ("/chunked.png", "Connection: keep-alive\r\n")]
    {
        let mut client = freshet.client();
        client.send(format!("GET {target} HTTP/1.0\r\n{H}Expect: 100-continue\r\n{fields}\r\n"));
        let answer = client.answer(false).unwrap();
        assert_eq!(
            (answer.status, answer.text(), answer.complete),
            (200, "body".into(), true),
            "{target}: {answer:?}"
        );
        assert_eq!(answer.field("transfer-encoding"), None, "{target}: {answer:?}");
    }
    assert!(origin.seen().iter().all(|seen| seen.version == "HTTP/1.1"), "{:?}", origin.seen());
}

#[test]
fn an_expected_interim_answer_is_given_before_a_body_and_nowhere_else() {
    let origin = Origin::new(|_| image("done"));
    let freshet = Freshet::with(&origin, PASSES);
    let get = freshet.get_with("/a.png", &[("expect", "100-continue")]);
    assert_eq!((get.status, get.text()), (200, "done".into()), "GET has no body to wait for");
    let mut client = freshet.client();
    client.send(format!("POST /a HTTP/1.1\r\n{H}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"));
    assert_eq!(client.head().map(|head| head.status), Some(100));
    client.send("abc");
    assert_eq!(client.answer(false).map(|answer| answer.text()), Some("done".into()));
    let seen = origin.seen();
    assert!(seen.iter().all(|seen| seen.field("expect").is_none()) && seen[1].body == b"abc", "{seen:?}");
}

#[test]
fn what_an_origin_switches_to_is_not_relayed() {
    let switching = "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\nsecret";
    let origin = Origin::new(move |_| vec![Step::Send(switching.into())]);
    let freshet = Freshet::with(&origin, PASSES);
    for method in ["GET", "POST"] {
        let fields = [("connection", "upgrade"), ("upgrade", "h2c"), ("content-length", "0")];
        let mut client = freshet.client();
        let answer = client.request(method, HOST, "/a", &fields);
        assert_eq!(answer.status, 502, "{method}: {answer:?}");
        assert!(!answer.text().contains("secret"));
    }
    wait_until("no fetch is under way", || freshet.app().figures().tickets == 0);
}
