//! From one process to the next: no connection is refused, no answer is cut, and one process alone has the ledger.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::binary::Binary;
use crate::support::client::{Client, request};
use crate::support::origin::{Gate, Origin, Step, answer};
use crate::support::{HOST, account, wait_until};

fn write(folder: &Path, name: &str, proxy: &str, origin: &Origin) -> PathBuf {
    let path = folder.join(name);
    let account = account(&format!("http://{}", origin.address));
    let text = format!(
        "[proxy]\nthreads = 2\n{proxy}\n[admin]\nlisten = \"127.0.0.1:0\"\n[ledger]\npath = \"purges.redb\"\n{account}"
    );
    std::fs::write(&path, text).unwrap();
    path
}

fn origin() -> Origin {
    let fields = [("content-type", "image/png"), ("cache-control", "max-age=600")];
    Origin::new(move |_| vec![Step::Send(answer("200 OK", &fields, "picture"))])
}

/// One request on a connection of its own; nothing where it was refused, or got no answer.
fn asks(proxy: SocketAddr) -> Option<()> {
    let mut client = Client::over(TcpStream::connect(proxy).ok()?);
    let fields = [("connection", "close")];
    std::io::Write::write_all(&mut client.socket, request("GET", HOST, "/a.png", &fields).as_bytes()).ok()?;
    client.answer(false).filter(|got| got.status == 200 && got.text() == "picture").map(drop)
}

#[test]
fn a_handed_listener_outlives_the_process_and_who_came_meanwhile_is_served_by_the_next() {
    let (origin, folder) = (origin(), tempfile::tempdir().unwrap());
    // Of no use here, and no harm: what is done to a listener would outlive the process.
    let settings = "listen = \"127.0.0.1:9\"\nhand_over = true";
    let config = write(folder.path(), "config.toml", settings, &origin);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let first = Binary::start_on(&listener, &config);
    assert_eq!(first.proxy, address);
    assert_eq!(asks(address), Some(()));
    assert_eq!(first.terminate(), Some(0));

    let mut between = Client::connect(address);
    between.send(request("GET", HOST, "/a.png", &[]));
    let second = Binary::start_on(&listener, &config);
    assert_eq!(between.answer(false).unwrap().text(), "picture");
    assert_eq!(second.terminate(), Some(0));
}

/// Needs SO_REUSEPORT and socket filters as Linux has them.
#[cfg(target_os = "linux")]
#[test]
fn a_process_that_takes_over_begins_when_the_earlier_one_has_ended_and_nobody_is_refused() {
    let (origin, folder) = (origin(), tempfile::tempdir().unwrap());
    let settings = |address: &str| format!("listen = \"{address}\"\nhand_over = true");
    let config = write(folder.path(), "first.toml", &settings("127.0.0.1:0"), &origin);
    let first = Binary::start(&config);
    let proxy = first.proxy;
    let config = write(folder.path(), "second.toml", &settings(&proxy.to_string()), &origin);

    let (done, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    assert_eq!(asks(proxy), Some(()), "after {} answers", answered.load(Ordering::SeqCst));
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let more = |than: usize| {
            wait_until("requests are answered", || answered.load(Ordering::SeqCst) > than + 20);
            answered.load(Ordering::SeqCst)
        };
        more(0);
        let next = scope.spawn(|| Binary::start(&config));
        let log = config.with_extension("log");
        wait_until("it waits for the ledger", || {
            std::fs::read_to_string(&log).is_ok_and(|log| log.contains("another process has the ledger"))
        });
        assert_eq!(first.terminate(), Some(0));
        let second = next.join().unwrap();
        assert_eq!(second.proxy, proxy);
        more(answered.load(Ordering::SeqCst));
        done.store(true, Ordering::SeqCst);
        second
    });
}

#[test]
fn who_waits_for_the_ledger_ends_when_it_is_told_to() {
    let (origin, folder) = (origin(), tempfile::tempdir().unwrap());
    let settings = "listen = \"127.0.0.1:0\"\nhand_over = true";
    let _first = Binary::start(&write(folder.path(), "first.toml", settings, &origin));
    let (config, log) =
        (write(folder.path(), "second.toml", settings, &origin), folder.path().join("waiting.log"));
    let mut waiting = std::process::Command::new(env!("CARGO_BIN_EXE_freshet"))
        .args(["serve", "--config"])
        .arg(&config)
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    wait_until("it waits for the ledger", || {
        std::fs::read_to_string(&log).unwrap().contains("another process has the ledger")
    });
    let told = std::process::Command::new("kill").args(["-TERM", &waiting.id().to_string()]).status();
    assert!(told.unwrap().success());
    assert_eq!(waiting.wait().unwrap().code(), Some(0));
}

#[test]
fn a_port_that_another_process_has_is_an_error_where_it_is_not_handed_over() {
    let (origin, folder) = (origin(), tempfile::tempdir().unwrap());
    let first = Binary::start(&write(folder.path(), "first.toml", "listen = \"127.0.0.1:0\"", &origin));
    let config = write(folder.path(), "second.toml", &format!("listen = \"{}\"", first.proxy), &origin);
    let ended = std::process::Command::new(env!("CARGO_BIN_EXE_freshet"))
        .args(["serve", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(told.contains("another process listens there"), "{told}");
}

/// Downloads that run are finished, an idle connection is closed, and the exit is clean.
#[test]
fn terminated_under_load_it_cuts_no_answer_and_says_close_before() {
    const DOWNLOADS: usize = 8;
    let gate = Gate::new();
    let held = gate.clone();
    let body = "0123456789".repeat(20_000);
    let whole = body.clone();
    let origin = Origin::new(move |_| {
        let fields = [("content-type", "image/png"), ("cache-control", "max-age=600")];
        let bytes = answer("200 OK", &fields, &whole);
        let (first, rest) = bytes.split_at(bytes.len() / 2);
        vec![Step::Send(first.into()), Step::Pause(held.clone()), Step::Send(rest.into())]
    });
    let folder = tempfile::tempdir().unwrap();
    let settings = "listen = \"127.0.0.1:0\"\nlame_duck = \"1s\"";
    let binary = Binary::start(&write(folder.path(), "config.toml", settings, &origin));
    let downloads: Vec<Client> = (0..DOWNLOADS)
        .map(|number| {
            let mut client = Client::connect(binary.proxy);
            client.send(request("GET", HOST, &format!("/{number}.png"), &[]));
            client
        })
        .collect();
    gate.wait_for(DOWNLOADS);
    let (mut idle, mut asking) = (Client::connect(binary.proxy), Client::connect(binary.proxy));
    idle.request("OPTIONS", HOST, "*", &[]);
    binary.signal("TERM");
    // In the time in which it still accepts, an answer says that it is the connection's last one.
    wait_until_closing(&mut asking, binary.proxy);
    let ready = Client::connect(binary.admin).request("GET", &binary.admin.to_string(), "/readyz", &[]);
    let draining = r#"{"status":"not_ready","reasons":["draining"]}"#;
    assert_eq!((ready.status, &*ready.text()), (503, draining));
    assert!(idle.is_closed());
    wait_until("no new connection is taken", || TcpStream::connect(binary.proxy).is_err());
    gate.open();
    for mut download in downloads {
        let got = download.answer(false).unwrap();
        assert!(got.complete && got.text() == body, "{} of {} bytes", got.body.len(), body.len());
    }
    assert_eq!(binary.wait(), Some(0));
}

fn wait_until_closing(client: &mut Client, proxy: SocketAddr) {
    loop {
        let got = client.request("OPTIONS", HOST, "*", &[]);
        assert_eq!(got.status, 204);
        if got.field("connection") == Some("close") {
            assert!(client.is_closed());
            // A new one is taken still.
            assert_eq!(Client::connect(proxy).request("OPTIONS", HOST, "*", &[]).status, 204);
            return;
        }
    }
}
