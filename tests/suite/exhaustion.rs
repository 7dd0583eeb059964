//! The real binary with 256 descriptors, and clients that want more: nobody is cut off who is in, nothing spins, origins
//! and the admin listener are reached, and when the clients leave all is as before.
//!
//! Needs `prlimit` (Debian: util-linux). Where it is missing the test is skipped and says so; in CI it fails.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::support::binary::Binary;
use crate::support::client::{Client, request};
use crate::support::origin::{Origin, image};
use crate::support::{HOST, wait_until};

const DESCRIPTORS: u64 = 256;
const CLIENTS: usize = 1000;
/// More than the admin listener's share and what is kept for origins together.
const ADMIN_CLIENTS: usize = 300;

/// CPU time that a process has used, in seconds.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let ticks = |at: usize| rest.split_ascii_whitespace().nth(at).unwrap().parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0 // Fields 14 and 15 of proc(5); Linux counts in hundredths for users.
}

/// Asserts that the process is idle: not a wait for a state, but the time over which its use is measured.
fn assert_idle(pid: u32, while_what: &str) {
    let before = cpu_seconds(pid);
    std::thread::sleep(Duration::from_secs(1));
    let used = cpu_seconds(pid) - before;
    assert!(used < 0.3, "it used {used} s of CPU in a second while {while_what}");
}

fn hold(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| TcpStream::connect(address).unwrap()).collect()
}

/// Nothing where the connection is closed without an answer.
fn health(admin: SocketAddr) -> Option<u16> {
    let mut client = Client::connect(admin);
    client.send(request("GET", &admin.to_string(), "/healthz", &[]));
    client.answer(false).map(|answer| answer.status)
}

#[test]
fn few_descriptors_and_many_clients_are_survived() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "prlimit is missing: install it (Debian: util-linux)");
        let said = writeln!(std::io::stderr(), "skipped: prlimit is missing (Debian: util-linux)");
        return said.unwrap();
    }
    let own = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    assert!(
        own > 3 * CLIENTS as u64,
        "this test holds {CLIENTS} connections, and others run beside it: {own}"
    );
    let origin = Origin::new(|seen| image(seen.target.clone()));
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    let text = format!(
        "[proxy]\nlisten = \"127.0.0.1:0\"\nthreads = 2\nheader_timeout = \"5m\"\nidle_timeout = \"5m\"\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n[ledger]\npath = \"purges.redb\"\n\
         [[accounts]]\nid = \"a\"\nprivate_keys = [\"0123456789abcdef\"]\nurl_endpoints = [\"http://{HOST}\"]\n\
         origin = \"http://{}\"\n",
        origin.address
    );
    fs::write(&config, text).unwrap();
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={DESCRIPTORS}")).arg(env!("CARGO_BIN_EXE_freshet"));
    command.args(["serve", "--config"]).arg(&config);
    let server = Binary::run(command, &config);
    let mut inside = Client::connect(server.proxy);
    assert_eq!(inside.request("GET", HOST, "/hit.png", &[]).status, 200);

    let clients = hold(server.proxy, CLIENTS);
    let refused = || Client::connect(server.proxy).answer(false).map(|answer| answer.status);
    wait_until("one more is refused", || {
        let next = Client::connect(server.proxy);
        next.socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut byte = [0];
        next.socket.peek(&mut byte).is_ok_and(|bytes| bytes > 0)
    });
    assert_eq!(refused(), Some(503));
    assert_idle(server.pid(), "clients take every place");
    for at in 0..20 {
        let answer = inside.request("GET", HOST, &format!("/{at}.png"), &[]);
        assert_eq!((answer.status, answer.text()), (200, format!("/{at}.png")), "the origin is reached");
    }
    assert!(inside.request("GET", HOST, "/hit.png", &[]).is_hit());
    assert_eq!(health(server.admin), Some(200), "so is the admin listener");

    let admins = hold(server.admin, ADMIN_CLIENTS);
    wait_until("there are no descriptors left, or admin has its bound", || {
        let open = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count() as u64;
        open == DESCRIPTORS || server.log().contains("admin: no connection can be accepted")
    });
    assert_idle(server.pid(), "there is no descriptor left");
    assert!(inside.request("GET", HOST, "/hit.png", &[]).is_hit(), "who is in is answered");

    drop((clients, admins));
    wait_until("admin answers again", || health(server.admin) == Some(200));
    wait_until("a new client is served", || {
        let mut next = Client::connect(server.proxy);
        next.send(request("GET", HOST, "/new.png", &[]));
        next.answer(false).is_some_and(|answer| answer.status == 200 && answer.text() == "/new.png")
    });
    assert!(inside.request("GET", HOST, "/hit.png", &[]).is_hit());
}
