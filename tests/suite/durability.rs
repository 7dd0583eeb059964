//! The real binary, killed: no acknowledged charge is lost and none is invented.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use freshet::cache::Cache;
use freshet::clock::Clock;
use freshet::config::{self, Config};
use freshet::key::Endpoints;
use freshet::purge::{
    AllowanceChange, Attempt, By, Change, Door, Filter, Progress, Purger, Record, RequestId, StoredKey,
    Submission, Warm, Wish,
};

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

/// Names the config to the child below.
const CHILDS_CONFIG: &str = "FRESHET_TEST_CHILDS_CONFIG";
const CHANGES_ROUNDS: usize = 15;

/// A process of its own for the test after it, and nothing in a run of all tests: it purges several targets at once,
/// changes the allowance, adds and removes keys, and says what was acknowledged, until it is killed.
#[test]
fn child_that_makes_changes_until_it_is_killed() {
    let Some(config) = std::env::var_os(CHILDS_CONFIG) else { return };
    let purger = open_ledger(Path::new(&config));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let by = || By { key: "child".into(), door: Door::Api };
    for n in 0_u64.. {
        let said = runtime.block_on(async {
            match n % 4 {
                0 | 2 => {
                    let wishes: Vec<_> =
                        (0..1 + n % 7).map(|m| Wish::url(format!("http://img.test/{n}/{m}.jpg"))).collect();
                    let (wishes, warm) = (&wishes[..], Some(Warm::default()));
                    let (account, attempt, note) = (0, Attempt::First, Some(format!("no {n}").into()));
                    let purge = Submission { account, wishes, attempt, by: by(), note, warm };
                    purger.submit(purge).await.unwrap().id
                }
                1 => {
                    let change = AllowanceChange { limit: Some(Some(1_000_000 + n)), reset: false };
                    purger.change_allowance(0, change, by(), None).await.unwrap().id
                }
                _ => match purger.stored_keys().pop() {
                    Some(key) if n % 8 == 3 => purger.remove_key(&key.id, by(), None).await.unwrap().id,
                    _ => {
                        let id: Box<str> = RequestId::random().unwrap().to_string().into();
                        let (name, value) = (id.clone(), serde_json::json!({ "hash": n }));
                        let key = StoredKey { id, name, account: None, value };
                        purger.add_key(key, by(), None).await.unwrap().id
                    }
                },
            }
        });
        writeln!(std::io::stdout(), "acknowledged {said}").unwrap();
    }
}

/// The whole history, page by page, newest first.
async fn history(purger: &Purger) -> Vec<Record> {
    let (mut records, mut cursor) = (Vec::new(), None);
    loop {
        let page = purger.list(Filter { limit: 100, cursor, ..Filter::default() }).await.unwrap();
        records.extend(page.records);
        cursor = page.next;
        if cursor.is_none() {
            return records;
        }
    }
}

#[test]
fn kill_at_any_moment_leaves_each_change_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..CHANGES_ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "durability::child_that_makes_changes_until_it_is_killed", "--nocapture"])
            .env(CHILDS_CONFIG, &config)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut enough = 3 + round * 11 % 29;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            // Among what a test's harness says.
            let line = line.unwrap();
            let Some(id) = line.split_once("acknowledged ").and_then(|(_, id)| RequestId::parse(id)) else {
                continue;
            };
            acknowledged.push(id);
            enough = enough.saturating_sub(1);
            if enough == 0 {
                child.kill().unwrap(); // What it has said is still read to the end.
            }
        }
        child.wait().unwrap();

        let purger = open_ledger(&config);
        let records = runtime.block_on(history(&purger));
        let ids: BTreeSet<RequestId> = records.iter().map(|record| record.id).collect();
        assert_eq!(ids.len(), records.len(), "round {round}: no row comes twice");
        assert!(acknowledged.iter().all(|id| ids.contains(id)), "round {round}: an acknowledged row is lost");
        assert!(records.len() <= acknowledged.len() + 1 + round, "round {round}: one a process is under way");
        // What counts is what the rows say, all of them and nothing else.
        let charged: usize = records.iter().filter_map(Record::purge).map(|purge| purge.targets.len()).sum();
        assert_eq!(purger.allowance(0).used, charged as u64, "round {round}");
        let limit = records.iter().find_map(|record| match &record.change {
            Change::Allowance(change) => change.split_once(" → ").and_then(|(_, limit)| limit.parse().ok()),
            _ => None,
        });
        assert_eq!(purger.allowance(0).limit, limit.or(Some(1_000_000)), "round {round}");
        let mut keys = BTreeSet::new();
        for record in records.iter().rev() {
            let Change::Key(change) = &record.change else { continue };
            match change.split_once(' ').unwrap() {
                (name, "added") => assert!(keys.insert(name.to_owned())),
                (name, _) => assert!(keys.remove(name)),
            }
        }
        let stored: BTreeSet<_> =
            purger.stored_keys().into_iter().map(|key| key.name.into_string()).collect();
        assert_eq!(stored, keys, "round {round}");
        purger.close();
    }
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

/// Whether a test can have mounts of its own; says so where it can't.
fn can_mount() -> bool {
    let alone = Command::new("unshare").args(["-m", "true"]).status();
    let can = alone.is_ok_and(|status| status.success());
    if !can {
        let said = writeln!(
            std::io::stderr(),
            "skipped, a disk of its own needs root and `unshare` (Debian: util-linux)"
        );
        said.unwrap();
    }
    can
}

#[test]
fn ledger_on_a_read_only_disk_is_a_clear_error_at_start_and_is_left_as_it_is() {
    if !can_mount() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let config = write_config(folder.path());
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("purges.redb", "disk/purges.redb")).unwrap();
    let start = || {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c"]);
        command.arg(
            "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && exec \"$2\" --config \"$3\"",
        );
        command.arg("sh").arg(&disk).arg(env!("CARGO_BIN_EXE_freshet")).arg(&config);
        command.stdin(Stdio::null()).output().unwrap()
    };
    let listed =
        || -> Vec<_> { std::fs::read_dir(&disk).unwrap().map(|entry| entry.unwrap().file_name()).collect() };
    for what in ["there is none yet", "there is one"] {
        let before = listed();
        let output = start();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains("ledger.path"), "{what}: {error}");
        assert!(error.contains("Read-only file system"), "{what}: {error}");
        assert_eq!(listed(), before, "{what}");
        assert_eq!(Binary::start(&config).terminate(), Some(0), "and where it is writable, it starts");
    }
    assert_eq!(listed(), ["purges.redb"], "nothing was taken for damaged");
}

#[test]
fn full_disk_stops_no_purge_and_is_shown_until_it_has_room() {
    if !can_mount() {
        return;
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
