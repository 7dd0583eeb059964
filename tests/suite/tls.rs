//! TLS towards clients: which certificate they are shown, how it is replaced, what is spoken, and what is not waited for.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use tokio_rustls::rustls::HandshakeKind;

use crate::support::binary::Binary;
use crate::support::client::Client;
use crate::support::origin::{Origin, PATIENCE, image};
use crate::support::tls::{Made, client, connect, get, section};
use crate::support::{Freshet, HOST, account, wait_until};

/// The certificate that is shown to a client that asks for this name.
fn shown(freshet: &Freshet, name: &str) -> Vec<u8> {
    let mut stream = connect(freshet.app().tls.unwrap(), name, &client(false, &[]));
    stream.conn.complete_io(&mut stream.sock).unwrap();
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn a_name_gets_its_certificate_and_every_other_one_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let first = Made::new(folder.path(), "first", &["first.test"]);
    let second = Made::new(folder.path(), "second", &["img.test", "*.cdn.test", "img.shop.test"]);
    let third = Made::new(folder.path(), "third", &["special.cdn.test", "*.shop.test", "img.test"]);
    let origin = Origin::new(|_| image("body"));
    let freshet = Freshet::with(&origin, &section(&[&first, &second, &third]));
    #[rustfmt::skip]
    let table = [
        // (name, whose certificate)
        ("first.test",       &first),
        ("img.test",         &second), // The third has it too.
        ("IMG.test",         &second),
        ("a.cdn.test",       &second),
        ("special.cdn.test", &third),
        ("a.shop.test",      &third),
        ("img.shop.test",    &second),
        ("a.b.cdn.test",     &first),  // A wildcard stands for one label.
        ("cdn.test",         &first),
        ("unknown.test",     &first),
        ("127.0.0.1",        &first),  // An address is no name: none is asked for.
    ];
    for (name, expected) in table {
        assert!(shown(&freshet, name) == expected.der, "{name} got another certificate");
    }
}

#[test]
fn certificates_are_replaced_while_an_open_connection_lives_on() {
    let folder = tempfile::tempdir().unwrap();
    let old = Made::new(folder.path(), "img", &["img.test"]);
    let origin = Origin::new(|_| image("body"));
    let freshet = Freshet::with(&origin, &section(&[&old]));
    let mut open = connect(freshet.app().tls.unwrap(), "img.test", &client(false, &["http/1.1"]));
    assert!(get(&mut open, "/a.png", "body").starts_with("HTTP/1.1 200"));

    let new = Made::new(folder.path(), "new", &["img.test"]);
    fs::rename(&new.certificate, &old.certificate).unwrap();
    fs::rename(&new.key, &old.key).unwrap();
    wait_until("the new certificate is shown", || shown(&freshet, "img.test") == new.der);
    assert!(get(&mut open, "/a.png", "body").contains("Freshet; hit"), "the first connection lives");
}

#[test]
fn a_client_that_comes_back_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let made = Made::new(folder.path(), "img", &["img.test"]);
    let origin = Origin::new(|_| image("body"));
    let freshet = Freshet::with(&origin, &section(&[&made]));
    for is_old in [false, true] {
        let config = client(is_old, &["http/1.1"]);
        let mut first = connect(freshet.app().tls.unwrap(), "img.test", &config);
        get(&mut first, "/a.png", "body"); // Its ticket has come with the answer at the latest.
        assert_eq!(first.conn.handshake_kind(), Some(HandshakeKind::Full));
        let mut second = connect(freshet.app().tls.unwrap(), "img.test", &config);
        get(&mut second, "/a.png", "body");
        assert_eq!(second.conn.handshake_kind(), Some(HandshakeKind::Resumed), "TLS 1.2: {is_old}");
    }
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    if !crate::support::has("openssl", &["version"], "openssl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = Made::new(folder.path(), "img", &["img.test"]);
    let origin = Origin::new(|_| image("body"));
    let freshet = Freshet::with(&origin, &section(&[&made]));
    let address = freshet.app().tls.unwrap().to_string();
    #[rustfmt::skip]
    let table = [
        // (switch, whether a handshake is made)
        ("-tls1_3", true),
        ("-tls1_2", true),
        ("-tls1_1", false),
        ("-tls1",   false),
    ];
    for (version, is_spoken) in table {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &address, "-servername", "img.test", version])
            .args(["-cipher", "DEFAULT@SECLEVEL=0", "-alpn", "h2,http/1.1"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.success(), is_spoken, "{version}: {said}");
        assert_eq!(said.contains("ALPN protocol: h2"), is_spoken, "{version}: {said}");
    }
}

#[test]
fn a_stapled_answer_of_the_issuer_is_sent() {
    if !crate::support::has("openssl", &["version"], "openssl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = Made::new(folder.path(), "img", &["img.test"]);
    // OCSPResponse of status tryLater (RFC 6960 §4.2.1): the least that a client can read.
    let ocsp = folder.path().join("img.der");
    fs::write(&ocsp, [0x30, 0x03, 0x0a, 0x01, 0x03]).unwrap();
    let entry = made.entry().replace(" }", &format!(", ocsp = {ocsp:?} }}"));
    let origin = Origin::new(|_| image("body"));
    let tls = format!("[tls]\nlisten = \"127.0.0.1:0\"\ncertificates = [{entry}]\n");
    let freshet = Freshet::with(&origin, &tls);
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &freshet.app().tls.unwrap().to_string(), "-status"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("OCSP response:") && said.contains("trylater"), "{said}");
}

#[test]
fn what_is_not_tls_is_closed_and_what_stalls_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let made = Made::new(folder.path(), "img", &["img.test"]);
    let origin = Origin::new(|_| image("body"));
    let short = "[proxy]\nheader_timeout = \"300ms\"\n";
    let freshet = Freshet::with(&origin, &format!("{short}{}", section(&[&made])));
    // The first bytes of a ClientHello: a record of 512 bytes is said to follow.
    let hello: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
    #[rustfmt::skip]
    let table: [(&str, &[u8]); 4] = [
        ("HTTP in clear", b"GET / HTTP/1.1\r\nHost: img.test\r\n\r\n"),
        ("HTTP/2 in clear", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
        ("nothing", b""),
        ("half a hello", hello),
    ];
    for (what, bytes) in table {
        let mut socket = TcpStream::connect(freshet.app().tls.unwrap()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        // It ends, by an alert and a close, or by a reset where bytes were not read.
        let ended = socket.read_to_end(&mut answer);
        assert!(ended.is_ok() || ended.unwrap_err().kind() == std::io::ErrorKind::ConnectionReset, "{what}");
        assert!(!answer.starts_with(b"HTTP"), "{what}: {answer:?}");
    }
    let mut stream = connect(freshet.app().tls.unwrap(), "img.test", &client(false, &[]));
    assert!(get(&mut stream, "/a.png", "body").starts_with("HTTP/1.1 200"), "others are served");
}

#[test]
fn handshakes_count_among_the_connections() {
    let folder = tempfile::tempdir().unwrap();
    let made = Made::new(folder.path(), "img", &["img.test"]);
    let origin = Origin::new(|_| image("body"));
    let few = "[proxy]\nconnections_max = 1\n";
    let freshet = Freshet::with(&origin, &format!("{few}{}", section(&[&made])));
    let stalled = TcpStream::connect(freshet.app().tls.unwrap()).unwrap();
    wait_until("the stalled handshake has its place", || freshet.get("/a.png").status == 503);
    let mut one_more = TcpStream::connect(freshet.app().tls.unwrap()).unwrap();
    one_more.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(matches!(one_more.read(&mut [0; 16]), Ok(0) | Err(_)), "it is closed");
    drop(stalled);
    wait_until("the place is free", || freshet.get("/a.png").status == 200);
}

#[test]
fn what_comes_in_clear_is_sent_to_tls_and_what_is_warmed_is_fetched_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let made = Made::new(folder.path(), "img", &["img.test"]);
    let origin = Origin::new(|_| image("body"));
    let freshet = Freshet::with(&origin, &format!("{}redirect = true\n", section(&[&made])));
    let port = freshet.app().tls.unwrap().port();
    #[rustfmt::skip]
    let table = [
        // (method, host, target, status, location)
        ("GET",  HOST,           "/a.png?tr=w-1", 308, Some(format!("https://img.test:{port}/a.png?tr=w-1"))),
        ("HEAD", "IMG.test:80",  "//x%2fy",       308, Some(format!("https://img.test:{port}//x%2fy"))),
        ("POST", HOST,           "/a.png",        308, Some(format!("https://img.test:{port}/a.png"))),
        ("GET",  "evil.test",    "/a.png",        421, None),
        ("GET",  HOST,           "/a\\b",         400, None),
    ];
    for (method, host, target, status, location) in table {
        let answer = freshet.client().request(method, host, target, &[]);
        assert_eq!(
            (answer.status, answer.field("location")),
            (status, location.as_deref()),
            "{method} {target}"
        );
        assert!(answer.field("x-request-id").is_some(), "{method} {target}");
    }
    assert_eq!(origin.count(), 0, "nothing was fetched");

    let mut stream = connect(freshet.app().tls.unwrap(), "img.test", &client(false, &[]));
    get(&mut stream, "/a.png", "body");
    get(&mut stream, "/a.png", "body");
    let members = serde_json::json!({ "targets": [{ "url": "http://img.test/a.png" }], "warm": true });
    let accepted = freshet.admin("POST", "/v1/purges", crate::support::KEY, &members.to_string());
    assert_eq!(accepted.status, 201, "{}", accepted.text());
    wait_until("it is fetched again", || origin.count() == 2);
    wait_until("it is stored", || freshet.app().figures().entries == 1);
    assert!(get(&mut stream, "/a.png", "body").contains("Freshet; hit"));
}

#[test]
fn the_admin_listener_speaks_tls_and_the_command_line_trusts_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    for names in [&["purge.test"][..], &["*.purge.test"], &["127.0.0.1"]] {
        let made = Made::new(folder.path(), "admin", names);
        let config = folder.path().join("config.toml");
        // The command reads from the config where the listener is: the port must be known before.
        let admin = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = format!(
            "[proxy]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"{admin}\"\ntls = {}\n\
             [ledger]\npath = \":memory:\"\n{}",
            made.entry(),
            account("http://127.0.0.1:9")
        );
        fs::write(&config, text).unwrap();
        let server = Binary::start(&config);
        for command in [&["status"][..], &["purge", "http://img.test/a.png"]] {
            let output = Command::new(env!("CARGO_BIN_EXE_freshet"))
                .args(command)
                .args(["--key", crate::support::KEY, "--config"])
                .arg(&config)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{names:?} {command:?}: {said}\n{}", server.log());
        }
        let mut clear = Client::connect(server.admin);
        clear.send(format!("GET /healthz HTTP/1.1\r\nhost: {admin}\r\n\r\n"));
        assert!(clear.answer(false).is_none(), "nothing is said in clear");
    }
}

#[test]
fn another_config_brings_other_certificates_or_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let old = Made::new(folder.path(), "old", &["img.test"]);
    let new = Made::new(folder.path(), "new", &["img.test"]);
    let origin = Origin::new(|_| image("body"));
    let text = |tls: &str| format!("{tls}\n{}", account(&format!("http://{}", origin.address)));
    let freshet = Freshet::start(&text(&section(&[&old])));
    let next = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let read = next.clone();
    freshet.app().reload_by(move || crate::support::read(&read.lock().unwrap()));
    let reload = |tls: String| {
        text(&tls).clone_into(&mut next.lock().unwrap());
        freshet.app().reload()
    };
    let mut open = connect(freshet.app().tls.unwrap(), "img.test", &client(false, &["http/1.1"]));
    get(&mut open, "/a.png", "body");

    let reloaded = reload(format!("{}redirect = true\n", section(&[&new]))).unwrap();
    assert_eq!(reloaded.changed, ["tls.certificates", "tls.redirect"]);
    assert!(shown(&freshet, "img.test") == new.der);
    let location = format!("https://img.test:{}/a.png", freshet.app().tls.unwrap().port());
    assert_eq!(freshet.get("/a.png").field("location"), Some(&*location));

    fs::write(&old.key, "no key").unwrap();
    assert!(reload(section(&[&old])).is_err());
    assert!(shown(&freshet, "img.test") == new.der);
    assert_eq!(freshet.get("/a.png").status, 308);

    // Whether TLS is spoken at all is known from the start.
    let reloaded = reload(String::new()).unwrap();
    assert_eq!(reloaded.at_start, ["tls.certificates", "tls.listen"]);
    assert!(shown(&freshet, "img.test") == new.der);
    assert!(get(&mut open, "/a.png", "body").contains("Freshet; hit"), "the first connection lives");
}

#[test]
fn a_client_that_takes_nothing_of_an_answer_over_tls_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let made = Made::new(folder.path(), "img", &["img.test"]);
    let large = vec![7; 8 << 20];
    let origin =
        Origin::new(move |seen| if seen.target == "/big.png" { image(&large) } else { image("body") });
    let times = "header_timeout = \"60s\"\nidle_timeout = \"60s\"\nwrite_timeout = \"300ms\"";
    let config = format!("[proxy]\nconnections_max = 1\n{times}\n{}", section(&[&made]));
    let freshet = Freshet::with(&origin, &config);
    let mut stream = connect(freshet.app().tls.unwrap(), "img.test", &client(false, &["http/1.1"]));
    stream.write_all(b"GET /big.png HTTP/1.1\r\nHost: img.test\r\n\r\n").unwrap();
    wait_until("it has the one place", || origin.count() == 1 && freshet.get("/a.png").status == 503);
    wait_until("the place is free", || freshet.get("/a.png").status == 200);
    assert!(stream.read_to_end(&mut Vec::new()).is_err(), "its answer was cut off");
}
