//! The lane by itself, and beside hyper: the same bytes, in the same order, and nothing that is not its own.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;

use super::*;
use crate::cache::{Cache, Commit};
use crate::clock::Clock;
use crate::config::{self, Origin, Sources};
use crate::key::Endpoints;
use crate::proxy::connection::Guarded;
use crate::proxy::listener::Place;
use crate::proxy::protocol::http1;
use crate::semantics::RequestFacts;
use crate::semantics::policy::Policy;
use crate::target::Tags;

const NOW: u64 = 1_700_000_000;

struct World {
    clock: Clock,
    cache: Arc<Cache>,
    endpoints: Arc<Endpoints>,
    current: Arc<ArcSwap<Proxy>>,
    stop: watch::Sender<bool>,
}

impl World {
    /// An account at `http://img.test`, whose origin is never reached.
    fn new(sections: &str) -> World {
        let text = format!(
            "{sections}\n[[accounts]]\nid = \"a\"\nprivate_keys = [\"0123456789abcdef\"]\n\
             url_endpoints = [\"http://img.test\"]\norigin = \"http://127.0.0.1:9\"\n"
        );
        let sources = Sources { variable: &|_| None, folder: Path::new("/"), cores: 1 };
        let config = config::parse(&text, "the test's config", &sources).unwrap();
        let endpoints = Arc::new(Endpoints::with_routes(&config.accounts, &config.routes));
        let Origin::Servers(servers) = config.accounts[0].origin.clone() else { panic!() };
        let clock = Clock::manual(NOW);
        let cache = Cache::new(1 << 24, clock.clone());
        let origins = vec![servers];
        let proxy =
            Proxy::new(&config, endpoints.clone(), cache.clone(), origins, None, Arc::default(), "test");
        let current = Arc::new(ArcSwap::new(proxy));
        World { clock, cache, endpoints, current, stop: watch::channel(false).0 }
    }

    fn with(path: &str, fields: &[(&str, &str)], body: &[u8]) -> World {
        let world = World::new("");
        world.store(path, fields, body);
        world
    }

    /// Stores what an origin would have sent to a GET without fields.
    fn store(&self, path: &str, fields: &[(&str, &str)], body: &[u8]) {
        let key = self.endpoints.parse_url(&format!("http://img.test{path}")).unwrap().key;
        let asked = fields::cacheable_request(&HeaderMap::new(), &Policy::image());
        let request = RequestFacts { method: &Method::GET, headers: &asked };
        let mut response = HeaderMap::new();
        let always = [("content-type", "image/png"), ("cache-control", "max-age=600")];
        for (name, value) in always.iter().chain(fields) {
            let value = HeaderValue::from_str(value).unwrap();
            response.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
        }
        response.insert("content-length", body.len().into());
        let at = UNIX_EPOCH + Duration::from_secs(NOW);
        let plan =
            crate::semantics::plan(&request, StatusCode::OK, &response, &Policy::image(), at, Duration::ZERO)
                .expect("it is storable");
        let (mut lead, _reader) = self.cache.fetch_alone(&key, &asked);
        lead.learn(Tags::default());
        for piece in body.chunks(crate::limits::CHUNK_BYTES) {
            lead.append(Bytes::copy_from_slice(piece));
        }
        let mut filing = self.cache.filing(lead.body());
        while filing.step() {}
        let (tags, body) = (Tags::default(), filing.finish());
        let variant = self.cache.variant(&lead, StatusCode::OK, &plan, tags, body, self.cache.now());
        assert_eq!(self.cache.commit(&lead, variant), Commit::Stored);
        lead.finish(Ok(()));
    }

    fn visit(&self) -> Visit {
        let place = Place::take(&Arc::default(), 1).unwrap();
        Visit::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.current.clone(), self.stop.subscribe(), place)
    }

    /// Serves a connection as a listener does.
    async fn serve(stream: impl Outlet, visit: Visit) {
        let guarded = Guarded::new(stream, visit.phase.clone(), visit.times);
        http1(guarded, visit).await.unwrap();
    }

    fn hits(&self) -> u64 {
        self.current.load().metrics.hits.get()
    }

    /// All that a connection answers to these requests, before it refuses one and ends.
    async fn answers(&self, requests: &str) -> Vec<u8> {
        let (mut client, server) = tokio::io::duplex(1 << 15);
        client.write_all(format!("{requests}{}", get("/../", "")).as_bytes()).await.unwrap();
        let mut answers = Vec::new();
        let ((), read) = tokio::join!(World::serve(server, self.visit()), client.read_to_end(&mut answers));
        read.unwrap();
        let refusal = b"HTTP/1.1 400 ";
        let end = answers.windows(refusal.len()).rposition(|bytes| bytes == refusal);
        answers.truncate(end.expect("the last one is refused"));
        answers
    }
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: img.test\r\nx-request-id: r\r\n{fields}\r\n")
}

/// What hyper makes the same answer of: the lane does not know what this asks of the connection.
const HYPERS: &str = "connection: keep-alive, x-nothing\r\n";

/// What hyper gets to read of a connection, with all that came to its client until then.
async fn read(express: &mut Express<'_, DuplexStream>) -> Vec<u8> {
    let mut room = vec![0; 8192];
    let count = express.read(&mut room).await.unwrap();
    room.truncate(count);
    room
}

#[tokio::test]
async fn a_plain_hit_is_answered_before_hyper_and_anything_else_is_left_whole_for_it() {
    let world = World::with("/a.png", &[], b"body");
    let visit = world.visit();
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let mut express = Express::new(server, &visit);
    let head = "HEAD /a.png HTTP/1.1\r\nhost: img.test\r\n\r\n";
    let all =
        [&get("/a.png", ""), &get("/a.png", "accept: x\r\n"), head, &get("/a.png", ""), &get("/b.png", "")];
    client.write_all(all.concat().as_bytes()).await.unwrap();
    assert_eq!(read(&mut express).await, head.as_bytes());
    assert_eq!(world.hits(), 2);
    // What is behind it waits until it is answered.
    visit.phase.busy();
    let mut room = [0; 64];
    let mut nothing = ReadBuf::new(&mut room);
    std::future::poll_fn(|context| {
        assert!(Pin::new(&mut express).poll_read(context, &mut nothing).is_pending());
        assert!(Pin::new(&mut express).poll_flush(context).is_ready(), "not the answer's: it is not over");
        assert!(Pin::new(&mut express).poll_read(context, &mut nothing).is_pending());
        Poll::Ready(())
    })
    .await;
    assert_eq!(world.hits(), 2);
    visit.phase.waiting(true);
    express.flush().await.unwrap();
    assert_eq!(read(&mut express).await, get("/b.png", "").as_bytes());
    assert_eq!(world.hits(), 3);
    let mut answers = vec![0; 1 << 16];
    let count = client.read(&mut answers).await.unwrap();
    let answers = String::from_utf8(answers[..count].to_vec()).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 3, "{answers}");
    assert!(answers.ends_with("content-length: 4\r\n\r\nbody"), "{answers}");
}

#[tokio::test]
async fn what_may_be_a_body_is_never_read_as_a_request() {
    let world = World::with("/a.png", &[], b"body");
    let inside = get("/a.png", "");
    for head in [
        format!("POST /a.png HTTP/1.1\r\nhost: img.test\r\ncontent-length: {}\r\n\r\n", inside.len()),
        format!("GET /a.png HTTP/1.1\r\nhost: img.test\r\ncontent-length: {}\r\n\r\n", inside.len()),
        "PUT /a.png HTTP/1.1\r\nhost: img.test\r\ntransfer-encoding: chunked\r\n\r\n".into(),
        "GET /a.png HTTP/1.1\r\nhost: img.test\r\nupgrade: x\r\n\r\n".into(),
        "GET /a.png HTTP/1.1\r\nhost: img.test\r\nconnection: close\r\n\r\n".into(),
        format!("{:c<1$}", "GET /a.png HTTP/1.1\r\nhost: img.test\r\ncookie: ", EXPRESS_ROOM_BYTES),
    ] {
        let visit = world.visit();
        let (mut client, server) = tokio::io::duplex(1 << 16);
        let mut express = Express::new(server, &visit);
        for piece in [&head, &inside, &inside] {
            client.write_all(piece.as_bytes()).await.unwrap();
            assert_eq!(read(&mut express).await, piece.as_bytes(), "for the connection's life: {head}");
        }
    }
    assert_eq!(world.hits(), 0);
}

#[tokio::test]
async fn a_plain_hit_is_one_in_whatever_pieces_it_comes() {
    let world = World::with("/a.png", &[], b"body");
    let request = get("/a.png", "");
    for piece in [1, 7, 40] {
        let visit = world.visit();
        let (mut client, server) = tokio::io::duplex(1 << 16);
        let writing = async {
            for bytes in request.as_bytes().chunks(piece) {
                client.write_all(bytes).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
        };
        let reading = async {
            // As where HTTP/2 may be spoken: the first bytes are read for that.
            let (stream, _) = crate::proxy::preface::read(server).await.unwrap();
            Express::new(stream, &visit).read(&mut [0; 8192]).await.unwrap()
        };
        let ((), left) = tokio::join!(writing, reading);
        assert_eq!(left, 0, "nothing is left for hyper: {piece}");
    }
    assert_eq!(world.hits(), 3);
    // A part that its client ends with is hyper's to judge.
    let visit = world.visit();
    let (mut client, server) = tokio::io::duplex(1 << 16);
    client.write_all(&request.as_bytes()[..30]).await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read(&mut Express::new(server, &visit)).await, request.as_bytes()[..30]);
}

#[tokio::test]
async fn what_needs_more_than_the_store_has_is_hypers() {
    let vary = [("vary", "accept")];
    let route = "[[routes]]\nmatch = \"^/own/\"\nbrowser = \"max-age=1\"\n[[routes]]\nmatch = \"^/rfc/\"\nhttp = \"rfc\"\n";
    let world = World::new(route);
    for path in ["/a.png", "/own/a.png", "/rfc/a.png"] {
        world.store(path, &[], b"body");
    }
    world.store("/vary.png", &vary, b"body");
    world.store("/old.png", &[("age", "599")], b"body");
    let mut hits = 0;
    for (path, fields, is_plain) in [
        ("/a.png", "", true),
        ("/a.png?", "cache-control: no-cache\r\n", true),
        ("//a.png", "", true),
        ("/a.png?x", "", false),
        ("/missing.png", "", false),
        ("/own/a.png", "", false),
        ("/rfc/a.png", "", true),
        ("/rfc/a.png", "cache-control: no-cache\r\n", false),
        ("/rfc/a.png", "pragma: no-cache\r\n", false),
        ("/vary.png", "accept: */*\r\n", true),
        ("/vary.png", "accept: image/avif\r\n", false),
        ("/old.png", "", true),
        ("/../a.png", "", false),
    ] {
        let visit = world.visit();
        let (mut client, server) = tokio::io::duplex(1 << 16);
        let mut express = Express::new(server, &visit);
        client.write_all(get(path, fields).as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let left = read(&mut express).await;
        assert_eq!(left.is_empty(), is_plain, "{path} {fields}");
        hits += u64::from(is_plain);
        assert_eq!(world.hits(), hits);
    }
    world.clock.advance(Duration::from_secs(2));
    let visit = world.visit();
    let (mut client, server) = tokio::io::duplex(1 << 16);
    client.write_all(get("/old.png", "").as_bytes()).await.unwrap();
    assert!(!read(&mut Express::new(server, &visit)).await.is_empty(), "it is stale");
    world.current.load().leave();
    let (mut client, server) = tokio::io::duplex(1 << 16);
    client.write_all(get("/a.png", "").as_bytes()).await.unwrap();
    assert!(!read(&mut Express::new(server, &visit)).await.is_empty(), "its answer is the connection's last");
}

#[tokio::test]
async fn an_answer_that_its_client_takes_slowly_is_whole_even_where_the_connection_is_asked_to_end() {
    let body: Vec<u8> = (0..3 * crate::limits::CHUNK_BYTES + 5).map(|at| (at % 251) as u8).collect();
    let world = World::with("/a.png", &[], &body);
    let (mut client, server) = tokio::io::duplex(1000);
    client.write_all(get("/a.png", "").as_bytes()).await.unwrap();
    let serving = tokio::spawn(World::serve(server, world.visit()));
    let mut answer = vec![0; 1000];
    client.read_exact(&mut answer).await.unwrap();
    world.stop.send_replace(true);
    client.read_to_end(&mut answer).await.unwrap();
    serving.await.unwrap();
    let start = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    assert!(answer[start..] == body, "{} of {} bytes", answer.len() - start, body.len());
    assert_eq!(world.current.load().metrics.bytes_sent.get(), body.len() as u64);
}

#[tokio::test]
async fn a_large_body_goes_to_a_socket_as_pages_and_is_the_same_to_a_client_that_stops_and_goes_on() {
    let body: Vec<u8> = (0..9 * crate::limits::SEND_BUFFER_BYTES + 5).map(|at| (at % 251) as u8).collect();
    let world = World::with("/a.png", &[], &body);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    assert_eq!(server.takes_pages(), cfg!(target_os = "linux"));
    client
        .write_all([get("/a.png", ""), get("/a.png", ""), get("/../", "")].concat().as_bytes())
        .await
        .unwrap();
    let serving = tokio::spawn(World::serve(server, world.visit()));
    let mut answers = vec![0; 1000];
    client.read_exact(&mut answers).await.unwrap();
    // Purged while its pages wait in the socket, with something else stored after it.
    while world.hits() == 0 {
        tokio::task::yield_now().await;
    }
    world.cache.shed(u64::MAX);
    world.store("/b.png", &[], &vec![0; body.len()]);
    client.read_to_end(&mut answers).await.unwrap();
    serving.await.unwrap();
    let start = answers.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    assert!(answers[start..].starts_with(&body));
}

/// hyper's answer waits in its own buffer for a client that does not read when the next bytes come: they begin a head
/// while the answer's body is dropped already.
#[tokio::test]
async fn what_comes_while_hypers_answer_is_being_flushed_is_answered() {
    let body = vec![b'x'; 60 * 1024];
    for part in [1, 10, get("/a.png", "").len()] {
        let world = World::with("/a.png", &[], &body);
        let (mut client, server) = tokio::io::duplex(1000);
        let ranged = get("/a.png", "range: bytes=0-\r\n");
        client.write_all(ranged.as_bytes()).await.unwrap();
        let serving = tokio::spawn(World::serve(server, world.visit()));
        let mut answers = vec![0; 500];
        client.read_exact(&mut answers).await.unwrap();
        let next = get("/a.png", "");
        client.write_all(&next.as_bytes()[..part]).await.unwrap();
        for _ in 0..50 {
            tokio::task::yield_now().await; // hyper reads beside its answer.
        }
        let rest = [&next.as_bytes()[part..], get("/../", "").as_bytes()].concat();
        client.write_all(&rest).await.unwrap(); // It has room for as much.
        let patience = Duration::from_secs(60);
        let read = tokio::time::timeout(patience, client.read_to_end(&mut answers)).await;
        read.expect("the second request is seen").unwrap();
        serving.await.unwrap();
        let answers = String::from_utf8_lossy(&answers);
        assert_eq!(answers.matches("HTTP/1.1 20").count(), 2, "{part}");
        assert!(answers.contains("HTTP/1.1 400 "));
    }
}

/// A response's own fields, beside what makes it storable.
fn stored_fields() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = "etag|vary|server|age|cache-status|x-[a-c]|link|content-language|last-modified|date|expires";
    let value = "[!-~]([ -~]{0,20}[!-~])?";
    prop::collection::vec((name, value), 0..8).prop_map(|mut pairs| {
        for (name, value) in &mut pairs {
            match &**name {
                "vary" => *value = "accept".into(),
                "age" => *value = "7".into(),
                _ => {}
            }
        }
        pairs
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Also in one go: each after the other, pipelined.
    #[test]
    fn the_lane_and_hyper_send_the_same_bytes(pairs in stored_fields(), length in 0..3000usize, large: bool, accept in "\\*/\\*|image/webp") {
        let body = vec![b'x'; if large { 300 * length } else { length }];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fields: Vec<_> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
            let world = World::with("/a.png", &fields, &body);
            world.clock.advance(Duration::from_secs(9));
            let plain = get("/a.png", &format!("accept: {accept}\r\n"));
            let hypers = get("/a.png", &format!("accept: {accept}\r\n{HYPERS}"));
            let own = world.answers(&plain).await;
            let other = world.answers(&hypers).await;
            prop_assume!(world.hits() == 2);
            prop_assert!(own == other, "{} {}", String::from_utf8_lossy(&own), String::from_utf8_lossy(&other));
            let head = "HEAD /a.png HTTP/1.1\r\nhost: img.test\r\nx-request-id: r\r\n\r\n";
            let headed = world.answers(head).await;
            let mixed = [&*plain, &plain, head, &plain, &hypers, &plain].concat();
            let expected = [&*own, &own, &headed, &own, &own, &own].concat();
            prop_assert!(world.answers(&mixed).await == expected);
            Ok(())
        })?;
    }
}
