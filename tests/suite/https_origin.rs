//! An origin over HTTPS: its certificate is checked against the system's roots, and its name.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::binary::Binary;
use crate::support::client::Client;
use crate::support::origin::{Origin, image};

/// An origin that proves to be `localhost`; where it is, and its certificate in PEM.
fn https_origin() -> (SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = made.cert.pem();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key);
    let config = Arc::new(config.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), socket);
            let mut request = [0; 4096];
            // A client that does not trust us ends the handshake: then there is nothing to answer.
            if stream.read(&mut request).is_ok_and(|bytes| bytes > 0) {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncache-control: max-age=60\r\ncontent-length: 6\r\n";
                let _ = stream.write_all(format!("{head}connection: close\r\n\r\nsecret").as_bytes());
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    (address, pem)
}

fn write_config(folder: &Path, origin: &str) -> std::path::PathBuf {
    write_account(folder, &format!("origin = \"{origin}\""))
}

fn write_account(folder: &Path, origins: &str) -> std::path::PathBuf {
    let path = folder.join("config.toml");
    let text = format!(
        "[proxy]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[ledger]\npath = \":memory:\"\n\
         [[accounts]]\nid = \"a\"\nprivate_keys = [\"0123456789abcdef\"]\nurl_endpoints = [\"http://img.test\"]\n\
         {origins}\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn https_origin_is_trusted_by_certificate_and_name_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let (address, pem) = https_origin();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, pem).unwrap();
    let trusted = [("SSL_CERT_FILE", roots.to_str().unwrap())];
    #[rustfmt::skip]
    let table = [
        // (what, the origin's host, its roots, status)
        ("known certificate and name",  "localhost",  &trusted[..], 200),
        ("another name",                "127.0.0.1",  &trusted[..], 502),
        ("unknown certificate",         "localhost",  &[][..],      502),
    ];
    for (what, host, environment, status) in table {
        let config = write_config(folder.path(), &format!("https://{host}:{}", address.port()));
        let server = Binary::start_with(&config, environment);
        let answer = Client::connect(server.proxy).request("GET", "img.test", "/a.png", &[]);
        assert_eq!(answer.status, status, "{what}: {answer:?}\n{}", server.log());
        assert_eq!(answer.text() == "secret", status == 200, "{what}");
    }
}

#[test]
fn https_origin_with_roots_of_its_own_is_trusted_by_these_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (address, pem) = https_origin();
    let (_, other) = https_origin();
    let port = address.port();
    std::fs::write(folder.path().join("right.pem"), pem).unwrap();
    std::fs::write(folder.path().join("wrong.pem"), other).unwrap();
    let url = |host: &str| format!("url = \"https://{host}:{port}\"");
    #[rustfmt::skip]
    let table = [
        // (what, the origin, status, what the log says)
        ("known certificate and name",  format!("{}, roots = \"right.pem\"", url("localhost")),  200, ""),
        ("another certificate",         format!("{}, roots = \"wrong.pem\"", url("localhost")),  502, "invalid peer certificate"),
        ("another name",                format!("{}, roots = \"right.pem\"", url("127.0.0.1")),  502, "invalid peer certificate"),
        ("a name that is told",         format!("{}, roots = \"right.pem\", server_name = \"localhost\"", url("127.0.0.1")), 200, ""),
    ];
    for (what, origin, status, said) in table {
        let config = write_account(folder.path(), &format!("origin = {{ {origin} }}"));
        let server = Binary::start(&config);
        let answer = Client::connect(server.proxy).request("GET", "img.test", "/a.png", &[]);
        assert_eq!(answer.status, status, "{what}: {answer:?}\n{}", server.log());
        assert!(server.log().contains(said), "{what}: {}", server.log());
    }
}

#[test]
fn https_origin_with_wrong_roots_is_passed_over_and_the_log_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let (address, _) = https_origin();
    let (_, other) = https_origin();
    std::fs::write(folder.path().join("wrong.pem"), other).unwrap();
    let second = Origin::new(|_| image("second"));
    let origins = format!(
        "origins = [{{ url = \"https://localhost:{}\", roots = \"wrong.pem\" }}, \"http://{}\"]",
        address.port(),
        second.address
    );
    let server = Binary::start(&write_account(folder.path(), &origins));
    for target in ["/a.png", "/b.png"] {
        let answer = Client::connect(server.proxy).request("GET", "img.test", target, &[]);
        assert_eq!((answer.status, answer.text()), (200, "second".into()));
    }
    let log = server.log();
    let said: Vec<_> = log.lines().filter(|line| line.contains("left out")).collect();
    assert_eq!(said.len(), 1, "once: {log}");
    for expected in ["https://localhost", "invalid peer certificate", "connect"] {
        assert!(said[0].contains(expected), "{expected}: {}", said[0]);
    }
}

#[test]
fn https_origin_without_roots_is_a_clear_error_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let config = write_config(folder.path(), "https://localhost");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_freshet"))
        .arg("--config")
        .arg(&config)
        .env("SSL_CERT_FILE", &empty)
        .env("SSL_CERT_DIR", folder.path().join("no-folder"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("no root certificates"), "{error}");
}
