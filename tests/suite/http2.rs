//! HTTP/2 with clients: the same answers as over HTTP/1.1, the same refusals, the same time-outs, and a way down.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use crate::support::binary::Binary;
use crate::support::http2::{
    Client, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, Raw, fields, frame, get,
};
use crate::support::origin::{Gate, Origin, PATIENCE, Step, answer, image};
use crate::support::tls::{Made, before, section};
use crate::support::{Freshet, HOST, account, has, wait_until};

const CLEAR: &str = "[proxy]\nhttp2_cleartext = true\n";

/// Fields that each answer has of its own, or that a version of HTTP has.
const OF_ITS_OWN: [&str; 6] =
    ["age", "connection", "date", "keep-alive", "x-request-id", "transfer-encoding"];

/// What curl got: the status line's version, the status, the fields that all answers share, and the body.
fn curl(arguments: &[&str], url: &str) -> (String, u16, BTreeSet<(String, String)>, Vec<u8>) {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--insecure", "--include", "--max-time", "20"])
        .args(arguments)
        .arg(url)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?} {url}: {}", String::from_utf8_lossy(&output.stderr));
    let end = output.stdout.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&output.stdout[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap().split(' ');
    let (version, status) = (words.next().unwrap().to_owned(), words.next().unwrap().parse().unwrap());
    let fields = lines.filter_map(|line| line.split_once(": "));
    // What is left of a lifetime depends on the second.
    let timeless = |value: &str| value.split("; ttl=").next().unwrap_or_default().to_owned();
    let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), timeless(value)));
    let shared = fields.filter(|(name, _)| !OF_ITS_OWN.contains(&&**name)).collect();
    (version, status, shared, output.stdout[end + 4..].to_vec())
}

/// An origin's answers: a picture, a part of which can be had; something that is not stored; nothing.
fn script(target: &str) -> Vec<Step> {
    let picture: Vec<u8> = (0..200_000_u32).map(|byte| (byte * 31 % 251) as u8).collect();
    let etag = ("etag", "\"v1\"");
    match target {
        "/a.jpg" => {
            let fields = [("content-type", "image/jpeg"), ("cache-control", "max-age=60"), etag];
            vec![Step::Send(answer("200 OK", &fields, picture))]
        }
        "/private.jpg" => {
            let fields =
                [("content-type", "image/jpeg"), ("cache-control", "private"), ("connection", "close")];
            vec![Step::Send(answer("200 OK", &fields, "private")), Step::Close]
        }
        _ => vec![Step::Send(answer("404 Not Found", &[("cache-control", "max-age=60")], "nothing"))],
    }
}

#[test]
fn every_protocol_of_client_and_origin_gives_the_same_bytes_and_fields() {
    if !has("curl", &["--version"], "curl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = Made::new(folder.path(), "img", &["img.test", "localhost"]);
    let origin = Origin::new(|seen| script(&seen.target));
    let secure = before(&made, origin.address);
    let mut answers = Vec::new();
    for (of, url) in [
        ("clear", format!("http://{}", origin.address)),
        ("TLS", format!("https://localhost:{}", secure.port())),
    ] {
        let config = folder.path().join("config.toml");
        let text = format!(
            "[proxy]\nlisten = \"127.0.0.1:0\"\nhttp2_cleartext = true\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [ledger]\npath = \":memory:\"\n{}{}",
            section(&[&made]),
            account(&url)
        );
        fs::write(&config, text).unwrap();
        let server = Binary::start_with(&config, &[("SSL_CERT_FILE", made.certificate.to_str().unwrap())]);
        let to = |port: u16, address: std::net::SocketAddr| format!("img.test:{port}:{address}");
        let (clear, tls) = (to(80, server.proxy), to(443, server.tls.unwrap()));
        #[rustfmt::skip]
        let clients = [
            // (version, scheme, switches)
            ("HTTP/1.1", "http",  vec!["--http1.1", "--connect-to", &clear]),
            ("HTTP/2",   "http",  vec!["--http2-prior-knowledge", "--connect-to", &clear]),
            ("HTTP/1.1", "https", vec!["--http1.1", "--connect-to", &tls]),
            ("HTTP/2",   "https", vec!["--http2", "--connect-to", &tls]),
        ];
        for more in [
            vec!["/a.jpg"],
            vec!["/a.jpg", "--head"],
            vec!["/a.jpg", "--range", "1000-2999"],
            vec!["/a.jpg", "--header", "If-None-Match: \"v1\""],
            vec!["/private.jpg"],
            vec!["/none.jpg"],
        ] {
            let (target, more) = more.split_first().unwrap();
            curl(&clients[0].2, &format!("http://img.test{target}")); // From then on it is stored, or never.
            for (version, scheme, switches) in &clients {
                let switches = [&switches[..], more].concat();
                let (spoken, status, fields, body) = curl(&switches, &format!("{scheme}://img.test{target}"));
                assert_eq!(&spoken, version, "{switches:?}");
                let hit = fields.iter().any(|(name, value)| name == "cache-status" && value.contains("hit"));
                assert_eq!(hit, *target != "/private.jpg", "{switches:?} {fields:?}");
                answers.push((
                    (target.to_owned(), more.to_vec()),
                    of,
                    switches.join(" "),
                    (status, fields, body),
                ));
            }
        }
    }
    for (what, origin, client, got) in &answers {
        let (_, _, _, expected) = answers.iter().find(|(other, ..)| other == what).unwrap();
        assert!(got == expected, "{what:?}, origin by {origin}, {client}: {:?} {:?}", got.0, got.1);
    }
}

#[test]
fn http2_is_spoken_where_the_config_says_so_alone() {
    if !has("curl", &["--version"], "curl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = Made::new(folder.path(), "img", &["img.test"]);
    let origin = Origin::new(|_| image("body"));
    let freshet = Freshet::with(&origin, &format!("[proxy]\nhttp2 = false\n{}", section(&[&made])));
    let to = format!("img.test:443:{}", freshet.app().tls.unwrap());
    let (version, status, ..) = curl(&["--http2", "--connect-to", &to], "https://img.test/a.png");
    assert_eq!((&*version, status), ("HTTP/1.1", 200));
    let mut raw = Raw::connect(freshet.app().proxy, &[]);
    raw.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = Vec::new();
    let _ = std::io::Read::read_to_end(&mut raw.socket, &mut text); // It may end by a reset.
    assert!(text.starts_with(b"HTTP/1.1 400") || text.is_empty(), "{text:?}");
}

/// Method, host, target, fields, and the status that is right.
type Asked<'a> = (&'a str, &'a str, &'a str, &'a [(&'a str, &'a str)], u16);

#[test]
fn a_request_is_refused_over_http2_as_over_http1() {
    let origin = Origin::new(|_| image("body"));
    let freshet = Freshet::with(&origin, CLEAR);
    let long = format!("/{}", "a".repeat(freshet::limits::TARGET_BYTES_MAX));
    let names: Vec<String> =
        (0..freshet::limits::REQUEST_FIELDS_MAX).map(|number| format!("x-{number}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "y")).collect();
    #[rustfmt::skip]
    let table: [Asked<'_>; 9] = [
        // (method, host, target, fields, status)
        ("GET",    HOST,        "/a.png",     &[],                       200),
        ("GET",    "evil.test", "/a.png",     &[],                       421),
        ("GET",    HOST,        "/a/../b",    &[],                       400),
        ("GET",    HOST,        &long,        &[],                       414),
        ("GET",    HOST,        "/a.png",     &many,                     431),
        ("GET",    HOST,        "/a.png",     &[("expect", "a-pony")],   417),
        ("POST",   HOST,        "/a.png",     &[],                       405),
        ("DELETE", HOST,        "/a.png",     &[],                       405),
        ("GET",    HOST,        "/a.png",     &[("via", "2 other")],     200),
    ];
    for (method, host, target, fields, status) in table {
        let of_http1 = freshet.client().request(method, host, target, fields);
        let of_http2 = Client::connect(freshet.app().proxy).request(method, host, target, fields);
        assert_eq!((of_http1.status, of_http2.status), (status, status), "{method} {host} {:.20}", target);
        assert_eq!(of_http2.version, "HTTP/2.0");
        assert_eq!(of_http1.field("cache-control"), of_http2.field("cache-control"));
        assert_eq!(of_http2.field("connection"), None);
    }
    let mut client = Client::connect(freshet.app().proxy);
    let with_body =
        Request::get(format!("http://{HOST}/a.png")).body(Full::new(Bytes::from_static(b"x"))).unwrap();
    assert_eq!(client.send(with_body).status, 400, "a GET has no body");
    let other_host = Request::get(format!("http://{HOST}/a.png")).header("host", "alias.test");
    assert_eq!(client.send(other_host.body(Full::default()).unwrap()).status, 400, "the two hosts differ");
    let same_host = Request::get(format!("http://{HOST}/a.png")).header("host", HOST);
    assert_eq!(client.send(same_host.body(Full::default()).unwrap()).status, 200, "the two hosts agree");
}

#[test]
fn frames_that_no_request_is_made_of_reset_their_stream_and_leave_the_connection() {
    let origin = Origin::new(|_| image("body"));
    let freshet = Freshet::with(&origin, CLEAR);
    let mut raw = Raw::connect(freshet.app().proxy, &[]);
    let base = [(":method", "GET"), (":scheme", "http"), (":authority", HOST), (":path", "/a.png")];
    #[rustfmt::skip]
    let table: [(&str, Vec<(&str, &str)>); 7] = [
        ("Connection",         [&base[..], &[("connection", "close")]].concat()),
        ("Transfer-Encoding",  [&base[..], &[("transfer-encoding", "chunked")]].concat()),
        ("Upgrade",            [&base[..], &[("upgrade", "h2c")]].concat()),
        ("TE",                 [&base[..], &[("te", "gzip")]].concat()),
        ("no path",            base[..3].to_vec()),
        ("no method",          base[1..].to_vec()),
        ("a body that is longer than it says", [&base[..], &[("content-length", "1")]].concat()),
    ];
    for (number, (what, list)) in table.iter().enumerate() {
        let stream = 2 * u32::try_from(number).unwrap() + 1;
        raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields(list)));
        let reset = raw.until(|frame| frame.stream == stream);
        let reset = reset.unwrap_or_else(|| panic!("{what}: the connection has ended"));
        assert_eq!((reset.kind, &*reset.payload), (RST_STREAM, &[0, 0, 0, 1][..]), "{what}: PROTOCOL_ERROR");
    }
    raw.ask(101, "/a.png");
    assert_eq!(raw.body(101), b"body");
    // A name that none can be is a fault of the compression's, which all streams share.
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 103, &fields(&[&base[..], &[("X-Y", "z")]].concat())));
    assert!(raw.end(), "the connection ends by a GOAWAY");
    assert_eq!(origin.count(), 1);
}

#[test]
fn the_server_as_a_whole_is_asked_by_an_asterisk_and_nothing_else() {
    let origin = Origin::new(|_| image("body"));
    let freshet = Freshet::with(&origin, CLEAR);
    let mut raw = Raw::connect(freshet.app().proxy, &[]);
    let ask =
        |method| fields(&[(":method", method), (":scheme", "http"), (":authority", HOST), (":path", "*")]);
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &ask("OPTIONS")));
    let options = raw.until(|frame| frame.kind == HEADERS).unwrap();
    assert_eq!(options.payload.first(), Some(&0x89), "204");
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &ask("GET")));
    let get = raw.until(|frame| frame.kind == HEADERS).unwrap();
    assert_eq!(get.payload.first(), Some(&0x8c), "400");
    let connect = fields(&[(":method", "CONNECT"), (":authority", "127.0.0.1:80")]);
    raw.send(&frame(HEADERS, END_HEADERS, 5, &connect));
    let refused = raw.until(|frame| frame.stream == 5).unwrap();
    assert!(refused.kind == HEADERS && refused.payload.first() != Some(&0x88), "{refused:?}");
    assert_eq!(origin.count(), 0);
}

#[test]
fn bodies_are_passed_on_with_a_length_or_without_and_one_that_stalls_is_given_up() {
    let origin = Origin::new(|seen| vec![Step::Send(answer("200 OK", &[], seen.body.clone()))]);
    let config =
        "[proxy]\nhttp2_cleartext = true\nbody_timeout = \"300ms\"\n[[routes]]\nmethods = [\"POST\"]\n";
    let freshet = Freshet::with(&origin, config);
    let mut client = Client::connect(freshet.app().proxy);
    let large = vec![b'x'; 300_000]; // More than a stream's window.
    let post = Request::post(format!("http://{HOST}/a")).body(Full::new(Bytes::from(large.clone()))).unwrap();
    let answered = client.send(post);
    assert_eq!(answered.status, 200);
    assert!(answered.body == large);

    let base = [(":method", "POST"), (":scheme", "http"), (":authority", HOST), (":path", "/b")];
    let mut raw = Raw::connect(freshet.app().proxy, &[]);
    raw.send(&frame(HEADERS, END_HEADERS, 1, &fields(&base)));
    raw.send(&frame(DATA, 0, 1, b"in two "));
    raw.send(&frame(DATA, END_STREAM, 1, b"pieces"));
    assert_eq!(raw.body(1), b"in two pieces");
    raw.send(&frame(HEADERS, END_HEADERS, 3, &fields(&base)));
    raw.send(&frame(DATA, 0, 3, b"and no more"));
    let refused = raw.until(|frame| frame.stream == 3 && frame.kind == HEADERS).unwrap();
    assert_ne!(refused.payload.first(), Some(&0x88));
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 5, &get("/c")));
    assert_eq!(raw.body(5), b"", "the connection lives");
    let seen = origin.seen();
    assert_eq!(seen[0].field("content-length"), Some("300000"));
    assert_eq!(seen[1].field("transfer-encoding"), Some("chunked"));
}

#[test]
fn cookies_reach_an_origin_as_one_field() {
    let origin = Origin::new(|_| image("body"));
    let config = format!("{CLEAR}[[routes]]\nhttp = \"rfc\"\nmethods = [\"POST\"]\n");
    let freshet = Freshet::with(&origin, &config);
    let request = Request::post(format!("http://{HOST}/a")).header("cookie", "a=1").header("cookie", "b=2");
    Client::connect(freshet.app().proxy).send(request.body(Full::default()).unwrap());
    let seen = origin.seen();
    let cookies: Vec<_> = seen[0].fields.iter().filter(|(name, _)| name == "cookie").collect();
    assert!(cookies.len() == 1 && cookies[0].1 == "a=1; b=2", "{cookies:?}");
}

#[test]
fn many_streams_share_one_fetch_and_a_broken_one_is_never_whole() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(move |seen| {
        let bytes =
            answer("200 OK", &[("content-type", "image/png"), ("cache-control", "max-age=60")], "0123456789");
        let (first, rest) = bytes.split_at(bytes.len() - 5);
        match &*seen.target {
            "/shared.png" => {
                vec![Step::Send(first.into()), Step::Pause(held.clone()), Step::Send(rest.into())]
            }
            _ => vec![Step::Send(first.into()), Step::Close],
        }
    });
    let freshet = Freshet::with(&origin, CLEAR);
    let mut client = Client::connect(freshet.app().proxy);
    let ask = |target: &str| Request::get(format!("http://{HOST}{target}")).body(Full::default()).unwrap();
    let answering: Vec<_> = (0..20).map(|_| client.start(ask("/shared.png"))).collect();
    gate.wait_for(1);
    gate.open();
    for answering in answering {
        let answer = client.finish(answering);
        assert_eq!((answer.status, answer.complete, &*answer.text()), (200, true, "0123456789"));
    }
    assert_eq!(origin.count(), 1);
    let broken = client.send(ask("/broken.png"));
    assert!(!broken.complete, "{broken:?}");
    assert_eq!(client.send(ask("/shared.png")).text(), "0123456789", "the connection lives");
    let metrics = freshet.app().metrics();
    assert_eq!(metrics.requests.get(), 22);
    assert!(metrics.bytes_sent.get() >= 21 * 10, "{}", metrics.bytes_sent.get());
}

#[test]
fn a_connection_without_streams_is_told_goodbye_and_closed() {
    let origin = Origin::new(|_| image("body"));
    let idle = Duration::from_millis(300);
    let config = "[proxy]\nhttp2_cleartext = true\nidle_timeout = \"300ms\"\n";
    let freshet = Freshet::with(&origin, config);
    let mut raw = Raw::connect(freshet.app().proxy, &[]);
    raw.ask(1, "/a.png");
    assert_eq!(raw.body(1), b"body");
    let began = Instant::now();
    assert!(raw.end(), "a GOAWAY comes before the end, though the client answers no ping");
    assert!(began.elapsed() + Duration::from_millis(50) >= idle, "after {:?}", began.elapsed());

    // A client that keeps the rules answers, and is closed at once.
    let mut client = Client::connect(freshet.app().proxy);
    assert_eq!(client.request("GET", HOST, "/a.png", &[]).status, 200);
}

#[test]
fn stopping_finishes_the_answers_of_both_versions() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(move |_| {
        let bytes = answer("200 OK", &[("content-type", "image/png")], "0123456789");
        let (first, rest) = bytes.split_at(bytes.len() - 5);
        vec![Step::Send(first.into()), Step::Pause(held.clone()), Step::Send(rest.into())]
    });
    let mut freshet = Freshet::with(&origin, CLEAR);
    let mut raw = Raw::connect(freshet.app().proxy, &[]);
    raw.ask(1, "/a.png");
    raw.until(|frame| frame.kind == DATA).unwrap();
    let (proxy, app) = (freshet.app().proxy, freshet.app.take().unwrap());
    let stopping = std::thread::spawn(move || app.stop());
    wait_until("no new connection is taken", || std::net::TcpStream::connect(proxy).is_err());
    raw.until(|frame| frame.kind == GOAWAY).expect("it is told");
    gate.open();
    let last = raw.until(|frame| frame.kind == DATA && frame.flags & END_STREAM != 0);
    assert!(last.is_some(), "the answer was cut off");
    stopping.join().unwrap();
}

#[test]
fn a_thousand_requests_by_h2load_are_all_answered_and_counted() {
    if !has("h2load", &["--version"], "nghttp2-client") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = Made::new(folder.path(), "img", &["img.test"]);
    let origin = Origin::new(|_| image(vec![7; 20_000]));
    let freshet = Freshet::with(&origin, &section(&[&made]));
    assert_eq!(freshet.get("/a.png").status, 200);
    let output = Command::new("h2load")
        .args([
            "--requests=1000",
            "--clients=4",
            "--max-concurrent-streams=50",
            "--header=:authority: img.test",
        ])
        .arg(format!("https://{}/a.png", freshet.app().tls.unwrap()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("1000 succeeded") && said.contains("1000 2xx"), "{said}");
    assert!(said.contains("Application protocol: h2"), "{said}");
    assert_eq!(freshet.app().metrics().hits.get(), 1000);
}
