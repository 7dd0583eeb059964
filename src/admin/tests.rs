//! The contract row by row over a real socket, and the listener's bounds.
//!
//! `golden/answers.txt` has every answer with all its fields; a change of it is a change of the API. Written anew
//! by `UPDATE_GOLDEN=1 cargo test admin`.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::config::{Grant, PrivateKey, Scope, Scopes};
use crate::purge::tests::{
    FEBRUARY_2024, Fences, account, degraded_purger, forgetful_purger, purger_in_memory,
};
use crate::target::Target;
use crate::telemetry::{NotReady, Readiness};

pub(super) const URL: &str = "http://127.0.0.1:8080/demo/a/b.jpg";
pub(super) const KEY: &str = "Authorization: Basic cHJpdmF0ZV9kZW1vOg==\r\n";

pub(super) struct Listening {
    pub(super) address: SocketAddr,
    pub(super) fences: Fences,
    pub(super) clock: Clock,
    pub(super) readiness: Readiness,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

pub(super) async fn listen(limit: Option<u64>) -> Listening {
    let (fences, clock) = (Fences::default(), Clock::manual(FEBRUARY_2024));
    let accounts = accounts(limit);
    let purger = purger_in_memory(&accounts, &fences, &clock);
    listen_with(&accounts, purger, fences, clock, Times::default()).await
}

fn accounts(limit: Option<u64>) -> [Account; 2] {
    [account("demo", limit), account("other", None)]
}

/// A key of each kind beside the accounts' private ones; its text is its name.
fn keys() -> [NamedKey; 4] {
    let key = |name: &str, account: Option<&str>, scope, urls: Option<&[&str]>| {
        let urls = urls.map(|urls| urls.iter().map(|url| (*url).to_owned()).collect());
        let account = account.map(str::to_owned);
        let grant = Grant { name: name.into(), account, scopes: Scopes::of(&[scope]), urls };
        NamedKey { grant, key: PrivateKey::from_secret(name) }
    };
    [
        key("operator", None, Scope::Operator, None),
        key("reader", Some("demo"), Scope::Read, None),
        key("purger", Some("demo"), Scope::Purge, None),
        key("bound", Some("demo"), Scope::Purge, Some(&["http://127.0.0.1:8080/demo/photos/"])),
    ]
}

pub(super) async fn listen_with(
    accounts: &[Account],
    purger: Purger,
    fences: Fences,
    clock: Clock,
    times: Times,
) -> Listening {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = config::Admin { listen: address, hosts: Vec::new(), tls: None };
    let cache = Cache::new(1 << 20, clock.clone());
    let endpoints = Arc::new(Endpoints::new(accounts));
    let admin =
        Admin { times, ..Admin::new(&config, accounts, &keys(), endpoints, purger, cache, clock.clone()) };
    let readiness = admin.telemetry.readiness.clone();
    let (stop, stopped) = oneshot::channel();
    let served = tokio::spawn(serve(listener, Arc::new(admin), None, async {
        let _ = stopped.await;
    }));
    Listening { address, fences, clock, readiness, stop: Some(stop), served }
}

impl Listening {
    /// One request on a connection of its own; `head` without Host, which is added.
    pub(super) async fn send(&self, request_line: &str, fields: &str, body: &str) -> String {
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let host = format!("Host: {}\r\nConnection: close\r\n", self.address);
        self.send_raw(&format!("{request_line} HTTP/1.1\r\n{host}{fields}{length}\r\n{body}")).await
    }

    pub(super) async fn send_raw(&self, bytes: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn purge(&self, url: &str) -> String {
        self.send("POST /v1/files/purge", KEY, &format!(r#"{{"url": "{url}"}}"#)).await
    }
}

pub(super) fn status_of(answer: &str) -> &str {
    answer.get(9..12).unwrap_or("none")
}

pub(super) fn body_of(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// The 24 digits of an accepted purge.
fn id_of(answer: &str) -> &str {
    let body = body_of(answer);
    body.strip_prefix(r#"{"requestId":""#).and_then(|rest| rest.strip_suffix(r#""}"#)).unwrap_or_else(|| {
        panic!("no exact success: {answer}");
    })
}

/// An answer as the golden file has it: fields in order of their names, without what changes from run to run.
pub(super) fn golden(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.split("\r\n").collect();
    let status = lines.remove(0);
    lines.retain(|line| !line.starts_with("date:"));
    lines.sort_unstable();
    let mut text = format!("{status}\n");
    for line in lines {
        writeln!(text, "{line}").unwrap();
    }
    let body = match body.find(r#"{"requestId":""#) {
        Some(0) => body.replace(id_of(answer), "<24 hex digits>"),
        _ => body.to_owned(),
    };
    writeln!(text, "\n{body}").unwrap();
    text
}

#[tokio::test]
async fn every_answer_is_the_golden_one() {
    let mut answers = String::new();
    let mut add = |name: &str, answer: &str| {
        write!(answers, "# {name}\n{}\n", golden(answer)).unwrap();
    };
    let here = listen(Some(2)).await;
    let accepted = here.purge(URL).await;
    add("a purge is accepted", &accepted);
    let status_line = format!("GET /v1/files/purge/{}", id_of(&accepted));
    add("a purge is pending", &here.send(&status_line, KEY, "").await);
    here.fences.end_sweep(12, 34_567, false);
    add("a purge is completed", &here.send(&status_line, KEY, "").await);
    add(
        "a purge is another account's",
        &here.send(&status_line, "Authorization: Basic private_other\r\n", "").await,
    );
    here.purge(&format!("{URL}?second")).await;
    here.fences.end_sweep(0, 0, true);
    add("the allowance is used up", &here.purge(&format!("{URL}?third")).await);

    let purge = "POST /v1/files/purge";
    let body = &format!(r#"{{"url": "{URL}"}}"#);
    add("no key", &here.send(purge, "", body).await);
    add("a wrong key", &here.send(purge, "Authorization: Basic wrong\r\n", body).await);
    for _ in 1..limits::AUTH_FAILURES_MAX {
        here.send(purge, "Authorization: Basic wrong\r\n", body).await;
    }
    add("too many wrong keys", &here.send(purge, "Authorization: Basic wrong\r\n", body).await);
    here.clock.advance(limits::AUTH_FAILURES_TIME);
    add("no JSON", &here.send(purge, KEY, "url=x").await);
    add("no url", &here.send(purge, KEY, "{}").await);
    add("a url that is no text", &here.send(purge, KEY, r#"{"url": 7}"#).await);
    add("an unknown mode", &here.send(purge, KEY, &format!(r#"{{"url": "{URL}", "mode": "now"}}"#)).await);
    add(
        "an unknown target",
        &here.send(purge, KEY, &format!(r#"{{"url": "{URL}", "target": "all"}}"#)).await,
    );
    add("no tag", &here.send(purge, KEY, r#"{"target": "tag"}"#).await);
    add("an empty tag", &here.send(purge, KEY, r#"{"target": "tag", "tag": ""}"#).await);
    add(
        "an asset with a wildcard",
        &here.send(purge, KEY, &format!(r#"{{"url": "{URL}*", "target": "asset"}}"#)).await,
    );
    add("a key that may not purge", &here.send(purge, "Authorization: Bearer reader\r\n", body).await);
    add("a key that may purge elsewhere", &here.send(purge, "Authorization: Bearer bound\r\n", body).await);
    add(
        "a key that is bound, and a tag",
        &here.send(purge, "Authorization: Bearer bound\r\n", r#"{"target": "tag", "tag": "t"}"#).await,
    );
    add("a key of all accounts", &here.send(purge, "Authorization: Bearer operator\r\n", body).await);
    add(
        "another account than the key's",
        &here.send(purge, KEY, &format!(r#"{{"url": "{URL}", "account": "other"}}"#)).await,
    );
    add(
        "an audit by a key that may not look",
        &here.send("GET /v1/debug/audit", "Authorization: Bearer purger\r\n", "").await,
    );
    add("an audit", &here.send("GET /v1/debug/audit", KEY, "").await);
    add("an audit without a key", &here.send("GET /v1/debug/audit", "", "").await);
    add(
        "a body that is too large",
        &here.send(purge, &format!("{KEY}Content-Length: 1048577\r\n"), "").await,
    );
    add(
        "an id that was never given",
        &here.send("GET /v1/files/purge/00112233445566778899aabb", KEY, "").await,
    );
    add("an unknown path", &here.send("GET /v1", KEY, "").await);
    add("purge with GET", &here.send("GET /v1/files/purge", KEY, "").await);
    add("status with DELETE", &here.send("DELETE /v1/files/purge/x", KEY, "").await);
    add(
        "another site's page",
        &here.send(purge, &format!("{KEY}Sec-Fetch-Site: cross-site\r\n"), body).await,
    );
    add(
        "another host",
        &here.send_raw("GET /healthz HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n").await,
    );
    add("no host", &here.send_raw("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n").await);
    add("health", &here.send("GET /healthz", "", "").await);

    let (fences, clock) = (Fences::default(), Clock::manual(FEBRUARY_2024));
    let accounts = accounts(None);
    let purger = degraded_purger(&accounts, &fences, &clock).await;
    let degraded = listen_with(&accounts, purger.clone(), fences, clock, Times::default()).await;
    add("health with a full disk", &degraded.send("GET /healthz", "", "").await);
    assert_eq!(status_of(&degraded.purge(&format!("{URL}?degraded")).await), "201");
    purger.close();
    add("a purge at the end", &degraded.purge(&format!("{URL}?late")).await);
    add("a status at the end", &degraded.send("GET /v1/files/purge/00112233445566778899aabb", KEY, "").await);

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin/golden/answers.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &answers).unwrap();
    }
    assert_eq!(answers, std::fs::read_to_string(path).unwrap());
}

#[tokio::test]
async fn health_says_how_many_rows_of_the_history_a_full_disk_has_cost() {
    let (fences, clock) = (Fences::default(), Clock::manual(FEBRUARY_2024));
    let accounts = accounts(None);
    let purger = forgetful_purger(&accounts, &fences, &clock, 5, 2).await;
    let here = listen_with(&accounts, purger, fences, clock, Times::default()).await;
    let health = here.send("GET /healthz", "", "").await;
    let expected = "the disk is full; purges work and their record waits in memory";
    assert_eq!(
        body_of(&health),
        format!(r#"{{"status":"degraded","ledger":"{expected}","rows_dropped":3}}"#)
    );
}

#[tokio::test]
async fn readiness_says_no_for_as_long_as_a_reason_stands_and_a_full_disk_is_none() {
    let here = listen(None).await;
    here.readiness.hold(NotReady::Draining);
    let answer = here.send("GET /readyz", "", "").await;
    assert_eq!(
        (status_of(&answer), body_of(&answer)),
        ("503", r#"{"status":"not_ready","reasons":["draining"]}"#)
    );
    assert!(answer.to_lowercase().contains("retry-after: 1\r\n"), "{answer}");
    let metrics = here.send("GET /metrics", "", "").await;
    assert!(metrics.contains("\nfreshet_ready 0"), "{metrics}");
    here.readiness.release(NotReady::Draining);
    assert_eq!(status_of(&here.send("GET /readyz", "", "").await), "200");

    let (fences, clock) = (Fences::default(), Clock::manual(FEBRUARY_2024));
    let accounts = accounts(None);
    let purger = degraded_purger(&accounts, &fences, &clock).await;
    let degraded = listen_with(&accounts, purger, fences, clock, Times::default()).await;
    let answer = degraded.send("GET /readyz", "", "").await;
    assert_eq!(status_of(&answer), "200");
    assert!(body_of(&answer).contains(r#""ledger":"the disk is full;"#), "{answer}");
    let metrics = degraded.send("GET /metrics", "", "").await;
    assert!(metrics.contains("\nfreshet_ledger_degraded 1"), "{metrics}");
}

#[tokio::test]
async fn a_refused_url_says_which_rule_it_breaks() {
    let here = listen(None).await;
    let endpoints = Endpoints::new(&accounts(None));
    for url in [
        "http://elsewhere.test/x.jpg",
        "http://127.0.0.1:8080/demo/images*",
        "http://127.0.0.1:8080/other/x.jpg",
    ] {
        let Err(refusal) = Target::parse(url, 0, &endpoints) else { panic!("{url} can be purged") };
        let answer = here.purge(url).await;
        assert_eq!(status_of(&answer), "400", "{url}");
        let expected = serde_json::json!({
            "message": "The URL is not valid for cache purging.",
            "help": refusal.to_string(),
            "reason": refusal.as_str(),
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(body_of(&answer)).unwrap(), expected, "{url}");
    }
    assert_eq!(here.fences.count(), 0);
}

#[tokio::test]
async fn members_that_are_not_known_and_any_content_type_are_let_pass() {
    let here = listen(None).await;
    let body = format!(r#"{{"mod": "soft", "url": "{URL}", "deep": [[[{{}}]]]}}"#);
    for content_type in ["", "Content-Type: application/json\r\n", "Content-Type: text/plain\r\n"] {
        let answer = here.send("POST /v1/files/purge", &format!("{KEY}{content_type}"), &body).await;
        assert_eq!(status_of(&answer), "201", "{content_type}");
    }
}

#[tokio::test]
async fn a_clients_retry_shares_the_id() {
    let here = listen(None).await;
    let first = here.purge(URL).await;
    let body = format!(r#"{{"url": "{URL}"}}"#);
    let retry =
        here.send("POST /v1/files/purge", &format!("{KEY}X-Stainless-Retry-Count: 1\r\n"), &body).await;
    assert_eq!(id_of(&first), id_of(&retry));
    assert_ne!(id_of(&first), id_of(&here.purge(URL).await));
    assert_eq!(here.fences.count(), 3);
}

#[tokio::test]
async fn paths_are_exact() {
    let here = listen(None).await;
    let body = format!(r#"{{"url": "{URL}"}}"#);
    for path in
        ["//v1/files/purge", "/v1/files/purge/", "/%761/files/purge", "/v1/files/./purge", "/V1/files/purge"]
    {
        let answer = here.send(&format!("POST {path}"), KEY, &body).await;
        assert_eq!(status_of(&answer), "404", "{path}");
    }
    assert_eq!(status_of(&here.send("GET /v1/files/purge/%ff", KEY, "").await), "400");
    assert_eq!(status_of(&here.send("OPTIONS /v1/files/purge", KEY, "").await), "405");
    assert_eq!(here.fences.count(), 0);
}

#[tokio::test]
async fn two_hosts_and_a_head_that_is_too_large_are_refused() {
    let here = listen(None).await;
    let twice =
        format!("GET /healthz HTTP/1.1\r\nHost: {0}\r\nHost: {0}\r\nConnection: close\r\n\r\n", here.address);
    assert_eq!(status_of(&here.send_raw(&twice).await), "400");
    let large = format!(
        "GET /healthz HTTP/1.1\r\nHost: {}\r\nX: {}\r\n\r\n",
        here.address,
        "x".repeat(limits::ADMIN_HEAD_BYTES_MAX)
    );
    assert_eq!(status_of(&here.send_raw(&large).await), "431");
}

#[tokio::test]
async fn a_chunked_body_is_bounded_while_it_comes() {
    let here = listen(None).await;
    let mut stream = TcpStream::connect(here.address).await.unwrap();
    let head = format!(
        "POST /v1/files/purge HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{KEY}Transfer-Encoding: chunked\r\n\r\n",
        here.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let (mut reads, mut writes) = stream.split();
    let mut start = [0; 12];
    let sends = async {
        // Never ended: the answer has to come in the middle of it.
        for _ in 0..=limits::ADMIN_BODY_BYTES_MAX / 0x10000 {
            if writes.write_all(chunk.as_bytes()).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = sends => {}
        read = reads.read_exact(&mut start) => { read.unwrap(); }
    }
    assert_eq!(&start, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_connection_over_the_bound_is_closed_and_the_others_are_served() {
    let here = listen(None).await;
    let ask = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", here.address);
    let mut held = Vec::new();
    for _ in 0..limits::ADMIN_CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(here.address).await.unwrap();
        stream.write_all(ask.as_bytes()).await.unwrap();
        // Its answer is the proof that it was taken.
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200");
        held.push(stream);
    }
    let mut over = TcpStream::connect(here.address).await.unwrap();
    let mut nothing = Vec::new();
    let _ = over.write_all(ask.as_bytes()).await;
    let _ = over.read_to_end(&mut nothing).await;
    assert!(nothing.is_empty());
    held[0].write_all(ask.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn stop_closes_the_listener_and_idle_connections_and_ends_running_answers() {
    let mut here = listen(None).await;
    let ask = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", here.address);
    let mut idle = TcpStream::connect(here.address).await.unwrap();
    idle.write_all(ask.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    idle.read_exact(&mut start).await.unwrap();

    // This one's answer runs: its body has not come whole. Its 100 is the proof that it is being read.
    let body = format!(r#"{{"url": "{URL}"}}"#);
    let mut running = TcpStream::connect(here.address).await.unwrap();
    let head = format!(
        "POST /v1/files/purge HTTP/1.1\r\nHost: {}\r\n{KEY}Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        here.address,
        body.len()
    );
    running.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    running.read_exact(&mut interim).await.unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100"));

    here.stop.take().unwrap().send(()).unwrap();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    running.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    running.read_to_string(&mut answer).await.unwrap();
    assert_eq!(status_of(&answer), "201");
    (&mut here.served).await.unwrap();
    assert!(TcpStream::connect(here.address).await.is_err());
}

/// Each time is the only short one of its listener, so each connection ends for its own reason.
#[tokio::test]
async fn what_does_not_come_in_its_time_ends_the_connection() {
    let (short, long) = (Duration::from_millis(20), Duration::from_secs(600));
    let times = Times { header: long, body: long, request: long, connection: long };
    let with = async |times| {
        let (fences, clock, accounts) = (Fences::default(), Clock::manual(FEBRUARY_2024), accounts(None));
        let purger = purger_in_memory(&accounts, &fences, &clock);
        listen_with(&accounts, purger, fences, clock, times).await
    };
    let half_a_body = |here: &Listening| {
        let fields = format!("Host: {}\r\nConnection: close\r\n{KEY}Content-Length: 9\r\n", here.address);
        format!("POST /v1/files/purge HTTP/1.1\r\n{fields}\r\n{{")
    };
    let here = with(Times { body: short, ..times }).await;
    assert_eq!(status_of(&here.send_raw(&half_a_body(&here)).await), "408");
    let here = with(Times { request: short, ..times }).await;
    assert_eq!(status_of(&here.send_raw(&half_a_body(&here)).await), "503");
    let here = with(Times { header: short, ..times }).await;
    assert_eq!(here.send_raw("GET /healthz HTTP/1.1\r\n").await, "");
    let here = with(Times { connection: short, ..times }).await;
    let keeps_alive = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", here.address);
    assert_eq!(status_of(&here.send_raw(&keeps_alive).await), "200");
}
