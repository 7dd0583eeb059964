//! Hostile clients: what is refused, with which status, and that nothing of it reaches the origin.

use crate::support::origin::{Origin, image};
use crate::support::{Freshet, HOST};

#[test]
fn refused_requests_never_reach_the_origin() {
    let origin = Origin::new(|_| image("body"));
    let freshet = Freshet::before(&origin);
    let h = "Host: img.test\r\n";
    let long = "a".repeat(9000);
    #[rustfmt::skip]
    let table: Vec<(&str, u16, String)> = vec![
        // (what is wrong, status, the request)
        ("no host",                    400, "GET /a HTTP/1.1\r\n\r\n".into()),
        ("two hosts",                  400, format!("GET /a HTTP/1.1\r\n{h}{h}\r\n")),
        ("empty host",                 400, "GET /a HTTP/1.1\r\nHost:\r\n\r\n".into()),
        ("host with a user",           400, "GET /a HTTP/1.1\r\nHost: u@img.test\r\n\r\n".into()),
        ("host with a path",           400, "GET /a HTTP/1.1\r\nHost: img.test/x\r\n\r\n".into()),
        ("unknown host",               421, "GET /a HTTP/1.1\r\nHost: other.test\r\n\r\n".into()),
        ("metadata service",           421, "GET /a HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n".into()),
        ("path of no endpoint",        404, "GET /elsewhere/a HTTP/1.1\r\nHost: alias.test\r\n\r\n".into()),
        ("absolute, other host",       400, format!("GET http://other.test/a HTTP/1.1\r\n{h}\r\n")),
        ("absolute, a user",           400, format!("GET http://u@img.test/a HTTP/1.1\r\n{h}\r\n")),
        ("absolute, other scheme",     400, format!("GET ftp://img.test/a HTTP/1.1\r\n{h}\r\n")),
        ("asterisk",                   400, format!("GET * HTTP/1.1\r\n{h}\r\n")),
        ("authority",                  400, format!("GET a:80 HTTP/1.1\r\n{h}\r\n")),
        ("a bare word",                400, format!("GET foo HTTP/1.1\r\n{h}\r\n")),
        ("an exclamation mark",        400, format!("GET ! HTTP/1.1\r\n{h}\r\n")),
        ("dot segment",                400, format!("GET /a/../b HTTP/1.1\r\n{h}\r\n")),
        ("escaped dot segment",        400, format!("GET /a/%2e%2E/b HTTP/1.1\r\n{h}\r\n")),
        ("backslash",                  400, format!("GET /a\\b HTTP/1.1\r\n{h}\r\n")),
        ("escaped NUL",                400, format!("GET /a%00b HTTP/1.1\r\n{h}\r\n")),
        ("broken escape",              400, format!("GET /a%2 HTTP/1.1\r\n{h}\r\n")),
        ("GET with a body",            400, format!("GET /a HTTP/1.1\r\n{h}Content-Length: 5\r\n\r\nhello")),
        ("HEAD with a body",           400, format!("HEAD /a HTTP/1.1\r\n{h}Content-Length: 5\r\n\r\nhello")),
        ("GET with a coding",          400, format!("GET /a HTTP/1.1\r\n{h}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
        ("length and coding",          400, format!("GET /a HTTP/1.1\r\n{h}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
        ("two lengths",                400, format!("GET /a HTTP/1.1\r\n{h}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello")),
        ("signed length",              400, format!("GET /a HTTP/1.1\r\n{h}Content-Length: +5\r\n\r\nhello")),
        ("odd coding",                 400, format!("POST /p/a HTTP/1.1\r\n{h}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n")),
        ("coding before chunked",      400, format!("POST /p/a HTTP/1.1\r\n{h}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")),
        ("coding twice",               400, format!("POST /p/a HTTP/1.1\r\n{h}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
        ("Connection: Host",           400, format!("GET /a HTTP/1.1\r\n{h}Connection: Host\r\n\r\n")),
        ("Connection: Authorization",  400, format!("GET /a HTTP/1.1\r\n{h}Connection: close, authorization\r\n\r\n")),
        ("expectation",                417, format!("GET /a HTTP/1.1\r\n{h}Expect: x\r\n\r\n")),
        ("long target",                414, format!("GET /{long} HTTP/1.1\r\n{h}\r\n")),
        ("long field",                 431, format!("GET /a HTTP/1.1\r\n{h}X: {long}{long}\r\n\r\n")),
        ("many fields",                431, format!("GET /a HTTP/1.1\r\n{h}{}\r\n", "X: 1\r\n".repeat(100))),
        ("control character",          400, format!("GET /a HTTP/1.1\r\n{h}X: a\x07b\r\n\r\n")),
        ("bare CR",                    400, format!("GET /a HTTP/1.1\r\n{h}X: a\rb\r\n\r\n")),
        ("space before the colon",     400, format!("GET /a HTTP/1.1\r\n{h}X : a\r\n\r\n")),
        ("folded field",               400, format!("GET /a HTTP/1.1\r\n{h}X: a\r\n b\r\n\r\n")),
        ("TRACE",                      405, format!("TRACE /a HTTP/1.1\r\n{h}\r\n")),
        ("CONNECT",                    405, format!("CONNECT img.test:80 HTTP/1.1\r\n{h}\r\n")),
    ];
    for (what, status, request) in table {
        let mut client = freshet.client();
        client.send(&request);
        let answer = client.answer(false).unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert!(answer.body.len() < 200, "{what}: {}", answer.text());
        if !matches!(status, 404 | 405 | 421) {
            assert!(client.is_closed(), "{what}: the connection stays open");
        }
    }
    assert_eq!(origin.connections(), 0, "{:?}", origin.seen());
    assert_eq!(freshet.get("/a").status, 200, "and then a good request works");
}

#[test]
fn fat_get_smuggles_nothing() {
    // Its length passed on without its bytes would make the origin take the next request for them.
    let origin = Origin::new(|seen| image(format!("you asked {}", seen.target)));
    let freshet = Freshet::before(&origin);
    let smuggled = "GET /admin HTTP/1.1\r\nX: y";
    let mut client = freshet.client();
    client.send(format!(
        "GET /a HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n{smuggled}",
        smuggled.len()
    ));
    assert_eq!(client.answer(false).unwrap().status, 400);
    let next = freshet.get_with("/b", &[("x", "GET /admin HTTP/1.0")]);
    assert_eq!(next.text(), "you asked /b");
    assert!(origin.seen().iter().all(|seen| seen.target == "/b"), "{:?}", origin.seen());
}

#[test]
fn fields_that_are_no_part_of_the_key_never_reach_the_origin() {
    #[rustfmt::skip]
    const NAMES: [&str; 64] = [
        "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-scheme", "x-forwarded-server",
        "x-forwarded-for", "x-forwarded-prefix", "x-forwarded-ssl", "x-forwarded-by", "x-forwarded", "forwarded",
        "x-host", "x-http-host-override", "x-original-host", "x-original-url", "x-rewrite-url", "x-override-url",
        "x-url-scheme", "x-http-method-override", "x-http-method", "x-method-override", "x-wap-profile", "x-real-ip",
        "x-client-ip", "true-client-ip", "cf-connecting-ip", "x-remote-addr", "x-proxy-url", "x-request-uri",
        "x-original-uri", "x-forwarded-path", "x-amz-website-redirect-location", "x-amz-server-side-encryption",
        "x-oss-x-oss-process", "x-trace-id", "x-request-id", "traceparent", "cdn-loop", "front-end-https", "base-url",
        "cookie", "authorization", "range", "if-range", "if-none-match", "if-match", "if-modified-since", "user-agent",
        "x_forwarded_for", "accept-language", "accept-charset", "accept-encoding", "te", "proxy-authorization",
        "upgrade", "origin", "referer", "cache-control", "pragma", "max-forwards", "save-data", "dpr", "width", "content-type",
    ];
    let origin = Origin::new(|_| image("body"));
    let freshet = Freshet::before(&origin);
    for (at, name) in NAMES.iter().enumerate() {
        let target = format!("/{at}.jpg");
        let odd = freshet.get_with(&target, &[(name, "canary")]);
        assert_eq!(odd.status, 200, "{name}");
        let plain = freshet.get(&target);
        assert!(plain.is_hit() && plain.text() == odd.text(), "{name}: {plain:?}");
    }
    for seen in origin.seen() {
        assert!(!format!("{seen:?}").contains("canary"), "{seen:?}");
        assert_eq!(seen.field("host"), Some(&*origin.address.to_string()), "{seen:?}");
        assert!(seen.field("via").is_some_and(|via| via.starts_with("1.1 freshet-")), "{seen:?}");
    }
}

#[test]
fn control_plane_is_not_on_the_data_plane() {
    let origin = Origin::new(|_| image("body"));
    let freshet = Freshet::before(&origin);
    let answer = freshet.client().request("POST", HOST, "/v1/files/purge", &[]);
    assert_eq!(answer.status, 405);
    // What the admin port has at these paths is an image's path here, of which the origin is asked, and nothing else.
    for path in [
        "/v1/session",
        "/v1/keys",
        "/v1/purges",
        "/v1/debug/audit",
        "/openapi.json",
        "/healthz",
        "/readyz",
        "/version",
        "/metrics",
        "/",
    ] {
        let answer = freshet.client().request("DELETE", HOST, path, &[("authorization", "Bearer x")]);
        assert_eq!(answer.status, 405, "{path}");
        assert_eq!(freshet.client().request("GET", "other.test", path, &[]).status, 421, "{path}");
    }
    assert_eq!(freshet.client().request("POST", HOST, "/invalidate", &[]).status, 405);
    let answer = freshet.admin("GET", "/a.jpg", crate::support::KEY, "");
    assert_eq!(answer.status, 404, "{answer:?}");
    assert_eq!(origin.count(), 0);
}

#[test]
fn loop_is_detected_in_one_hop() {
    // The origin is Freshet itself: a listener that relays to it, so that its port is known beforehand.
    let relay = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let account = crate::support::account(&format!(
        "{{ url = \"http://{}\", host = \"img.test\" }}",
        relay.local_addr().unwrap()
    ));
    let freshet = Freshet::start(&account.replace("\"{", "{").replace("}\"", "}").replace("\\\"", "\""));
    let proxy = freshet.app().proxy;
    std::thread::spawn(move || {
        for socket in relay.incoming().map_while(Result::ok) {
            let onward = std::net::TcpStream::connect(proxy).unwrap();
            let (mut from, mut to) = (socket.try_clone().unwrap(), onward.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let (mut from, mut to) = (onward, socket);
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
    });
    assert_eq!(freshet.get("/a.png").status, 508);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::new(|seen| image(&seen.target));
    let freshet = Freshet::before(&origin);
    let mut client = freshet.client();
    let requests: String =
        (0..100).map(|at| format!("GET /{at}.jpg HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).collect();
    client.send(requests);
    for at in 0..100 {
        assert_eq!(client.answer(false).unwrap().text(), format!("/{at}.jpg"));
    }
}

#[test]
fn slow_but_steady_client_outlives_the_idle_time_out() {
    let body: Vec<u8> = (0..1_500_000u32).map(|at| (at >> 6) as u8).collect();
    let sent = body.clone();
    let origin = Origin::new(move |_| image(&sent));
    let freshet = Freshet::with(&origin, "[proxy]\nidle_timeout = \"200ms\"\n");
    freshet.get("/a.png");
    let mut client = freshet.client();
    socket2::SockRef::from(&client.socket).set_recv_buffer_size(16 * 1024).unwrap();
    client.send(crate::support::client::request("GET", HOST, "/a.png", &[]));
    assert!(client.head().unwrap().is_hit());
    let mut got = Vec::new();
    while got.len() < body.len() {
        got.extend(client.read(50_000.min(body.len() - got.len())));
        std::thread::sleep(std::time::Duration::from_millis(50)); // This is the client, and it is slow.
    }
    assert_eq!(got, body);
}

#[test]
fn upload_may_take_longer_than_the_origin_has_for_its_answer() {
    let origin = Origin::new(|_| image("done"));
    let routes = "[fetch]\nfirst_byte_timeout = \"200ms\"\n[[routes]]\nmethods = [\"POST\"]\n";
    let freshet = Freshet::with(&origin, routes);
    let mut client = freshet.client();
    client.send(format!("POST /a HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 10\r\n\r\n"));
    for byte in b"0123456789" {
        client.send([*byte]);
        std::thread::sleep(std::time::Duration::from_millis(50)); // This is the client, and it is slow.
    }
    assert_eq!(client.answer(false).unwrap().text(), "done");
    assert_eq!(origin.seen()[0].body, b"0123456789");
}
