//! Request smuggling by a body that is promised to the origin and never sent: the exploit, step by step, before a real
//! nginx. Without Freshet it works; the first test shows that, so that the others mean something.
//!
//! 1. `GET /a` with `Content-Length: N`: passed on without its body, it leaves the connection owing N bytes.
//! 2. `GET /b` with a field whose value is a request: its first N bytes are eaten as that body, and what follows is
//!    the request that nginx sees. Whoever asked for `/b` gets `/admin`, and a cache stores it under `/b`.
//!
//! Where nginx is not installed, these tests are skipped and say so; in CI (the variable `CI` is set) they fail.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::client::Client;
use crate::support::{Freshet, HOST, account, wait_until};

/// A running nginx with a folder of its own; killed when it is dropped.
struct Nginx {
    process: Child,
    folder: tempfile::TempDir,
    address: SocketAddr,
}

impl Nginx {
    /// Nothing where there is no nginx, and this is not CI.
    fn start() -> Option<Nginx> {
        let program = ["/usr/sbin/nginx", "nginx"].into_iter().find(|program| {
            Command::new(program)
                .arg("-v")
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        });
        let Some(program) = program else {
            assert!(std::env::var_os("CI").is_none(), "nginx is missing: install it (Debian: nginx-light)");
            // Straight to standard error: the harness would keep it to itself.
            let _ = writeln!(std::io::stderr(), "skipped: nginx is missing (Debian: nginx-light)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        // It can't be told to take any free port and say which: another process may take this one first.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = folder.path().join("nginx.conf");
        fs::write(&config, config_at(address, folder.path())).unwrap();
        let mut command = Command::new(program);
        command
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&config)
            .arg("-e")
            .arg(folder.path().join("errors"));
        let process =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut nginx = Nginx { process, folder, address };
        wait_until("nginx listens", || TcpStream::connect(address).is_ok());
        assert!(nginx.process.try_wait().unwrap().is_none(), "{}", nginx.log("errors"));
        Some(nginx)
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    fn freshet(&self) -> Freshet {
        let routes = "[proxy]\nbody_timeout = \"300ms\"\n[[routes]]\nmethods = [\"POST\"]\n";
        Freshet::start(&format!("{routes}{}", account(&format!("http://{}", self.address))))
    }

    /// Asks for `/b` in every way, and for others after it: each must be answered as what it is.
    fn assert_nothing_was_smuggled(&self, freshet: &Freshet, what: &str) {
        for at in 0..3 {
            for target in ["/b", &format!("/{}-{at}", what.replace(' ', "-"))] {
                let answer = freshet.get_with(target, &[("x", "GET /admin HTTP/1.0")]);
                assert_eq!((answer.status, answer.text()), (200, format!("you asked {target}")), "{what}");
            }
        }
        assert!(!self.log("access").contains("/admin"), "{what}: {}", self.log("access"));
        assert!(!self.log("access").contains("/smuggled"), "{what}: {}", self.log("access"));
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill(); // It may have ended on its own.
        let _ = self.process.wait();
    }
}

fn config_at(address: SocketAddr, folder: &Path) -> String {
    let folder = folder.display();
    let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {folder}/{name};\n"))
        .collect();
    format!(
        "daemon off; master_process off; pid {folder}/pid;
         events {{ worker_connections 64; }}
         http {{
             {folders} access_log {folder}/access; keepalive_timeout 60s; default_type image/png;
             add_header Cache-Control max-age=60;
             server {{
                 listen {address};
                 location / {{ return 200 'you asked $uri'; }}
                 location /admin {{ return 200 'SECRET-ADMIN'; }}
             }}
         }}\n"
    )
}

#[test]
fn without_freshet_the_exploit_works() {
    let Some(nginx) = Nginx::start() else { return };
    let host = nginx.address;
    let before = format!("GET /b HTTP/1.1\r\nhost: {host}\r\nx: ");
    let mut naive = Client::connect(host);
    naive.send(format!("GET /a HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\n\r\n", before.len()));
    assert_eq!(naive.answer(false).unwrap().text(), "you asked /a");
    naive.send(format!("{before}GET /admin HTTP/1.0\r\n\r\n"));
    assert_eq!(naive.answer(false).unwrap().text(), "SECRET-ADMIN", "what a client that asked for /b gets");
}

#[test]
fn body_that_is_promised_for_others_smuggles_nothing() {
    let Some(nginx) = Nginx::start() else { return };
    let freshet = nginx.freshet();
    let chunk = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    #[rustfmt::skip]
    let table = [
        // (what comes, its head's first line, its fields, its body, the status of its answer)
        ("a fat GET",              "GET /a",  "content-length: 29",         "x".repeat(29),             400),
        ("a GET without its body", "GET /a",  "content-length: 29",         String::new(),              400),
        ("a fat HEAD",             "HEAD /a", "content-length: 29",         "x".repeat(29),             400),
        ("a GET in chunks",        "GET /a",  "transfer-encoding: chunked", format!("{:x}\r\n{chunk}\r\n0\r\n\r\n", chunk.len()), 400),
        ("a GET in no chunks",     "GET /a",  "transfer-encoding: chunked", String::new(),              400),
        ("a POST",                 "POST /a", "content-length: 34",         chunk.to_owned(),           200),
        ("a POST in chunks",       "POST /a", "transfer-encoding: chunked", format!("{:x}\r\n{chunk}\r\n0\r\n\r\n", chunk.len()), 200),
        ("a POST, lengths",        "POST /a", "content-length: 0\r\ncontent-length: 34", chunk.to_owned(), 400),
    ];
    for (what, line, fields, body, status) in table {
        freshet.get("/warm"); // A connection to use again.
        let mut client = freshet.client();
        client.send(format!("{line} HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n\r\n{body}"));
        assert_eq!(
            client.answer(line.starts_with("HEAD")).map(|answer| answer.status),
            Some(status),
            "{what}"
        );
        nginx.assert_nothing_was_smuggled(&freshet, what);
    }
}

#[test]
fn connection_that_is_owed_a_body_is_not_used_again() {
    let Some(nginx) = Nginx::start() else { return };
    let freshet = nginx.freshet();
    for (what, sent) in [("a body that never comes", ""), ("half a body", "GET /smugg")] {
        for leaves in [false, true] {
            freshet.get("/warm");
            let mut client = freshet.client();
            client.send(format!("POST /a HTTP/1.1\r\nHost: {HOST}\r\ncontent-length: 34\r\n\r\n{sent}"));
            // nginx answers before it has the body; the client may leave, or wait.
            if leaves {
                drop(client);
            } else {
                let answer =
                    client.answer(false).expect("the origin's answer, or that the body was too slow");
                assert!([200, 408].contains(&answer.status), "{what}: {answer:?}");
                nginx.assert_nothing_was_smuggled(&freshet, what);
                assert!(client.answer(false).is_none(), "{what}: its connection ends");
            }
            nginx.assert_nothing_was_smuggled(&freshet, what);
        }
    }
}
