//! The data plane over a socket, with its cache at hand.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{Proxy, listener};
use crate::cache::{Cache, Failure, Lookup};
use crate::clock::Clock;
use crate::config::{self, Origin, Sources};
use crate::key::Endpoints;

/// Reads a head, and answers.
async fn answer(socket: &mut TcpStream, text: &str) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert!(socket.read_buf(&mut head).await.unwrap() > 0, "it asks before it closes");
    }
    socket.write_all(text.as_bytes()).await.unwrap();
}

#[test]
fn every_failure_has_a_place_among_those_that_are_counted() {
    assert_eq!(Failure::ALL.map(Failure::as_str), crate::telemetry::table::FAILURES);
}

#[tokio::test]
async fn variant_counts_what_it_answers_and_goes_on_when_it_is_renewed() {
    let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = format!(
        "[[accounts]]\nid = \"a\"\nprivate_keys = [\"0123456789abcdef\"]\n\
         url_endpoints = [\"http://img.test\"]\norigin = \"http://{}\"\n",
        origin.local_addr().unwrap()
    );
    let sources = Sources { variable: &|_| None, folder: Path::new("/"), cores: 1 };
    let config = config::parse(&text, "the test's config", &sources).unwrap();
    let endpoints = Arc::new(Endpoints::new(&config.accounts));
    let key = endpoints.parse_url("http://img.test/a.png").unwrap().key;
    let Origin::Servers(servers) = config.accounts[0].origin.clone() else { panic!() };
    let clock = Clock::manual(1_700_000_000);
    let cache = Cache::new(1 << 20, clock.clone());
    let proxy = Proxy::new(&config, endpoints, cache.clone(), vec![servers], None, Arc::default(), "test");
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(front.local_addr().unwrap()).await.unwrap();
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(listener::serve(front, listener::Entrance::Clear, Arc::new(ArcSwap::new(proxy)), stopped));
    tokio::spawn(async move {
        let (mut socket, _) = origin.accept().await.unwrap();
        let fields = "content-type: image/png\r\ncache-control: max-age=60\r\netag: \"v1\"\r\n";
        answer(&mut socket, &format!("HTTP/1.1 200 OK\r\n{fields}content-length: 4\r\n\r\nbody")).await;
        answer(&mut socket, &format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n")).await;
        answer(&mut socket, "").await; // There is no third request.
    });

    let hits = || match cache.look_up(&key, &HeaderMap::new()) {
        Lookup::Found(variant) => variant.hits(),
        other => panic!("{other:?}"),
    };
    #[rustfmt::skip]
    let steps = [
        // method, after s, Cache-Status has,   hits
        ("GET",  0,         "fwd=uri-miss",     0),
        ("GET",  1,         "Freshet; hit",     1),
        ("HEAD", 1,         "Freshet; hit",     2),
        ("GET",  60,        "fwd-status=304",   2),
        ("GET",  1,         "Freshet; hit",     3),
    ];
    for (method, after, status, expected) in steps {
        clock.advance(Duration::from_secs(after));
        let request = format!("{method} /a.png HTTP/1.1\r\nhost: img.test\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let (mut answer, end) = (Vec::new(), if method == "HEAD" { "\r\n\r\n" } else { "\r\n\r\nbody" });
        while !answer.ends_with(end.as_bytes()) {
            assert!(client.read_buf(&mut answer).await.unwrap() > 0);
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains(status), "{answer}");
        assert_eq!((hits(), hits()), (expected, expected), "a look-up counts none: {answer}");
    }
}
