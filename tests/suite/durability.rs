//! The real binary, killed: no acknowledged charge is lost and none is invented.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use freshet::cache::Cache;
use freshet::clock::Clock;
use freshet::config::{self, Config};
use freshet::key::Endpoints;
use freshet::purge::{Progress, Purger, RequestId};

use crate::support::KEY;
use crate::support::binary::Binary;
use crate::support::client::Client;

const ROUNDS: usize = 50;

fn write_config(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("config.toml");
    let text = format!(
        "[proxy]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[ledger]\npath = \"purges.redb\"\n\
         [[accounts]]\nid = \"test\"\nprivate_keys = [\"{KEY}\"]\nurl_endpoints = [\"http://img.test\"]\n\
         purges_per_month = 1_000_000\norigin = \"http://127.0.0.1:9\"\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

fn read_config(path: &Path) -> Config {
    config::load(Some(path)).unwrap().0
}

fn open_ledger(path: &Path) -> Purger {
    let config = read_config(path);
    let endpoints = Arc::new(Endpoints::new(&config.accounts));
    let cache = Cache::new(config.cache.max_bytes, Clock::system());
    Purger::open(&config.accounts, endpoints, &config.ledger, cache, Clock::system()).unwrap()
}

#[test]
fn kill_at_any_moment_loses_no_acknowledged_charge_and_invents_none() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (sent, urls) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let acknowledged = Mutex::new(Vec::<String>::new());
    for round in 0..ROUNDS {
        let mut binary = Binary::start(&config);
        let admin = binary.admin;
        let enough = acknowledged.lock().unwrap().len() + 1 + round * 7 % 23;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some(id) = purge_one(admin, &urls, &sent) {
                        acknowledged.lock().unwrap().push(id);
                    }
                });
            }
            // Killed with four purges on their way, wherever they are.
            crate::support::wait_until("some are acknowledged", || {
                acknowledged.lock().unwrap().len() >= enough
            });
            binary.kill();
        });
        let purger = open_ledger(&config);
        let used = purger.allowance(0).used;
        let ids = acknowledged.lock().unwrap();
        let (least, most) = (ids.len() as u64, sent.load(Ordering::SeqCst) as u64);
        assert!(
            (least..=most).contains(&used),
            "round {round}: {least} acknowledged, {used} charged, {most} sent"
        );
        for id in ids.iter() {
            let progress = runtime.block_on(purger.status(0, RequestId::parse(id).unwrap()));
            assert!(matches!(progress, Progress::Known(..)), "round {round}: {id} is lost");
        }
        purger.close();
    }
}

/// Purges one URL of its own; its id, if it was acknowledged.
fn purge_one(admin: SocketAddr, urls: &AtomicUsize, sent: &AtomicUsize) -> Option<String> {
    use base64::Engine;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{KEY}:"));
    let body = format!("{{\"url\": \"http://img.test/{}.jpg\"}}", urls.fetch_add(1, Ordering::SeqCst));
    let socket = std::net::TcpStream::connect(admin).ok()?;
    let mut client = Client::over(socket);
    let request = format!(
        "POST /v1/files/purge HTTP/1.1\r\nhost: {admin}\r\nauthorization: Basic {basic}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    sent.fetch_add(1, Ordering::SeqCst);
    client.socket.write_all(request.as_bytes()).ok()?;
    let answer = client.answer(false).filter(|answer| answer.complete)?;
    assert_eq!(answer.status, 201, "{answer:?}");
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    Some(body["requestId"].as_str().unwrap().to_owned())
}

#[test]
fn sigterm_lets_running_answers_finish_and_exits_with_success() {
    use crate::support::origin::{Gate, Origin, Step, answer};
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(move |_| {
        let bytes =
            answer("200 OK", &[("content-type", "image/png"), ("cache-control", "max-age=9")], "0123456789");
        let (first, rest) = bytes.split_at(bytes.len() - 5);
        vec![Step::Send(first.into()), Step::Pause(held.clone()), Step::Send(rest.into())]
    });
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path());
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("127.0.0.1:9", &origin.address.to_string())).unwrap();
    let binary = Binary::start(&config);
    let proxy = binary.proxy;
    let mut client = Client::connect(proxy);
    client.send(crate::support::client::request("GET", "img.test", "/a.png", &[]));
    assert_eq!(client.head().unwrap().status, 200);
    let exit = std::thread::spawn(move || binary.terminate());
    crate::support::wait_until("no new connection is taken", || std::net::TcpStream::connect(proxy).is_err());
    gate.open();
    assert_eq!(client.read(10), b"0123456789");
    assert_eq!(exit.join().unwrap(), Some(0));
}

#[test]
fn second_server_on_the_same_port_or_ledger_is_refused_with_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path());
    let first = Binary::start(&config);
    let second = Command::new(env!("CARGO_BIN_EXE_freshet")).arg("--config").arg(&config).output().unwrap();
    let error = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && error.contains("ledger.path"), "{error}");

    let text = std::fs::read_to_string(&config).unwrap();
    let taken = text.replacen("127.0.0.1:0", &first.proxy.to_string(), 1).replace("purges.redb", ":memory:");
    std::fs::write(&config, taken).unwrap();
    let third = Command::new(env!("CARGO_BIN_EXE_freshet")).arg("--config").arg(&config).output().unwrap();
    let error = String::from_utf8_lossy(&third.stderr).into_owned();
    assert!(!third.status.success() && error.contains("another process listens there"), "{error}");
}

#[test]
fn full_disk_stops_no_purge_and_is_shown_until_it_has_room() {
    let alone = Command::new("unshare").args(["-m", "true"]).status();
    if !alone.is_ok_and(|status| status.success()) {
        let said = writeln!(
            std::io::stderr(),
            "skipped, a small disk needs root and `unshare` (Debian: util-linux)"
        );
        return said.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let config = write_config(folder.path());
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("purges.redb", "disk/purges.redb")).unwrap();
    let mut command = Command::new("unshare");
    command.args([
        "-m",
        "sh",
        "-c",
        "mount -t tmpfs -o size=4m tmpfs \"$1\" && exec \"$2\" --config \"$3\"",
        "sh",
    ]);
    command.arg(&disk).arg(env!("CARGO_BIN_EXE_freshet")).arg(&config);
    let server = Binary::run(command, &config);
    let (sent, urls) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let purge = || purge_one(server.admin, &urls, &sent).expect("every purge is accepted");
    let health =
        || Client::connect(server.admin).request("GET", &server.admin.to_string(), "/healthz", &[]).text();
    purge();
    assert_eq!(health(), r#"{"status":"ok"}"#);

    let filler = std::path::PathBuf::from(format!("/proc/{}/root{}/filler", server.pid(), disk.display()));
    let mut file = std::fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    for _ in 0..1000 {
        purge();
        if health().contains("degraded") {
            break;
        }
    }
    assert!(health().contains("the disk is full"), "{}", health());
    (0..20).for_each(|_| drop(purge()));
    drop(file); // Open, it would keep its room.
    std::fs::remove_file(&filler).unwrap();
    crate::support::wait_until("the disk takes writes again", || health() == r#"{"status":"ok"}"#);
    purge();
}
