//! The access log: a line for each request, with what became of it; nothing that a client sends breaks one, and no
//! secret is in it.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::client::Client;
use crate::support::origin::{Gate, Origin, Step, answer};
use crate::support::{Freshet, HOST, KEY, http2, wait_until};

/// A Freshet with an access log in a folder of its own.
struct Logged {
    freshet: Freshet,
    folder: TempDir,
}

impl Logged {
    fn before(origin: &Origin, access: &str, more: &str) -> Logged {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access").display().to_string();
        let log = format!("[log]\naccess = \"{access}\"\naccess_path = \"{path}\"\n{more}\n");
        Logged { freshet: Freshet::with(origin, &log), folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("access")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap()
    }

    /// The lines, as soon as there are so many.
    fn lines(&self, count: usize) -> Vec<String> {
        wait_until("the lines are written", || self.text().matches('\n').count() >= count);
        let text = self.text();
        assert!(text.ends_with('\n') && text.lines().count() == count, "{count} lines are none of\n{text}");
        text.lines().map(str::to_owned).collect()
    }

    fn objects(&self, count: usize) -> Vec<Value> {
        self.lines(count).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn images() -> Origin {
    Origin::new(|seen| {
        let fields = [("content-type", "image/png"), ("cache-control", "max-age=60")];
        vec![Step::Send(match &*seen.target {
            "/page.html" => {
                answer("200 OK", &[("content-type", "text/html"), ("cache-control", "no-store")], "page")
            }
            _ => answer("200 OK", &fields, "0123456789"),
        })]
    })
}

#[test]
fn each_request_has_a_line_with_what_became_of_it() {
    let origin = images();
    let logged = Logged::before(&origin, "json", "");
    let freshet = &logged.freshet;
    freshet.get_with("/a.png?tr=w-300", &[("x-request-id", "mine"), ("user-agent", "test/1")]);
    freshet.get("/a.png?tr=w-300");
    freshet.get_with("/a.png?tr=w-300", &[("range", "bytes=2-4")]);
    freshet.client().request("HEAD", HOST, "/a.png?tr=w-300", &[]);
    freshet.get("/page.html");
    freshet.client().request("GET", "nobody.test", "/x", &[]);
    freshet.client().request("POST", HOST, "/x", &[]);

    let lines = logged.objects(7);
    let of = |name: &str| -> Vec<Value> { lines.iter().map(|line| line[name].clone()).collect() };
    assert_eq!(of("outcome"), ["miss", "hit", "hit", "hit", "pass", "error", "error"]);
    assert_eq!(of("status"), [200, 200, 206, 200, 200, 421, 405]);
    assert_eq!(of("method"), ["GET", "GET", "GET", "HEAD", "GET", "GET", "POST"]);
    let texts = lines[5]["bytes"].as_u64().unwrap().min(lines[6]["bytes"].as_u64().unwrap());
    assert!(texts > 10, "errors have texts: {lines:?}");
    assert_eq!(of("bytes")[..5], [10, 10, 3, 0, 4]);
    assert_eq!(of("hit"), [false, true, true, true, false, false, false]);
    assert_eq!(of("aborted"), [false; 7]);
    assert_eq!(of("account")[4..], [json!("test"), json!(null), json!("test")]);
    assert_eq!(of("detail")[4..], [json!("no-store"), json!("unknown-host"), json!("method")]);
    let asked: Vec<_> = of("origin_us").iter().map(Value::is_u64).collect();
    assert_eq!(asked, [true, false, false, false, true, false, false]);
    let first = &lines[0];
    for (name, expected) in [
        ("client", json!("127.0.0.1")),
        ("target", json!("/a.png?tr=w-300")),
        ("protocol", json!("HTTP/1.1")),
        ("host", json!(HOST)),
        ("request", json!("mine")),
        ("user_agent", json!("test/1")),
        ("referer", json!(null)),
        ("forwarded", json!("uri-miss")),
        ("forwarded_status", json!(200)),
        ("stored", json!(true)),
        ("collapsed", json!(false)),
        ("time", json!("2023-11-14T22:13:20.000000Z")),
    ] {
        assert_eq!(first[name], expected, "{name}: {first}");
    }
    assert!(first["duration_us"].as_u64().is_some_and(|us| us < 60_000_000), "{first}");
}

#[test]
fn a_stream_of_http2_has_a_line_as_a_request_of_http1_has() {
    let origin = images();
    let logged = Logged::before(&origin, "json", "[proxy]\nhttp2_cleartext = true");
    let mut client = http2::Client::connect(logged.freshet.app().proxy);
    client.request("GET", HOST, "/a.png", &[]);
    client.request("GET", HOST, "/a.png", &[]);
    let lines = logged.objects(2);
    let of = |name: &str| [&lines[0][name], &lines[1][name]];
    assert_eq!(of("protocol"), ["HTTP/2.0"; 2]);
    assert_eq!(of("outcome"), ["miss", "hit"]);
    assert_eq!((of("host"), of("bytes")), ([&json!(HOST); 2], [&json!(10); 2]));
    assert_eq!(of("target"), ["/a.png"; 2]);
}

#[test]
fn common_and_combined_are_apaches() {
    let origin = images();
    for (form, more) in [("common", ""), ("combined", " \"http://x.test/?q=\\\"\" \"a \\\\ b\"")] {
        let logged = Logged::before(&origin, form, "");
        let fields = [("referer", "http://x.test/?q=\""), ("user-agent", "a \\ b")];
        logged.freshet.get_with("/a.png", &fields);
        let expected = "127.0.0.1 - - [14/Nov/2023:22:13:20 +0000] \"GET /a.png HTTP/1.1\" 200 10";
        assert_eq!(logged.lines(1), [format!("{expected}{more}")]);
    }
}

#[test]
fn no_secret_stands_in_a_line() {
    let origin = images();
    for form in ["json", "combined"] {
        let logged = Logged::before(&origin, form, "");
        let secrets = [
            ("authorization", "Bearer token-secret"),
            ("cookie", "a=cookie-secret"),
            ("x-api-key", "field-secret"),
        ];
        logged.freshet.get_with("/a.png?ik-t=17&ik-s=signature-secret&tr=w-9", &secrets);
        logged.freshet.get_with(
            "/a.png?ik%2Ds=signature-secret",
            &[("referer", "http://x.test/?ik-s=signature-secret")],
        );
        let lines = logged.lines(2).join("\n");
        assert!(!lines.contains("secret"), "{lines}");
        assert!(lines.contains("/a.png?ik-t=17&ik-s=***&tr=w-9"), "{lines}");
    }
}

#[test]
fn hostile_bytes_make_one_line_a_request() {
    let origin = images();
    for form in ["json", "common", "combined"] {
        let logged = Logged::before(&origin, form, "");
        let long = "x".repeat(5000);
        let hostile: [&[u8]; 5] = [
            b"GET /a.png?\"'\\<> HTTP/1.1\r\nHost: img.test\r\nUser-Agent: \" - 200 \\\r\n\r\n",
            b"GET /\xff\xfe\xc3\xa4.png HTTP/1.1\r\nHost: img.test\r\nUser-Agent: \xff\x80\t\xe2\x80\xa8\r\n\r\n",
            b"GET /a%0a%0dSet-Cookie.png HTTP/1.1\r\nHost: img.test\r\nReferer: {\"status\":200}\r\n\r\n",
            b"GET http://user:password@img.test/a.png HTTP/1.1\r\nHost: img.test\r\n\r\n",
            b"CONNECT user:password@img.test:80 HTTP/1.1\r\nHost: img.test\r\n\r\n",
        ];
        for bytes in hostile {
            let mut client = logged.freshet.client();
            client.send(bytes);
            client.answer(false);
        }
        logged.freshet.get_with(&format!("/{long}.png"), &[("user-agent", &long)]);
        // What is no request at all for hyper has no line: some of these are refused before they are one.
        let count = logged.freshet.app().metrics().requests.get() as usize;
        assert!(count >= 3, "{count}");
        for line in logged.lines(count) {
            assert!(line.len() < 4000 && !line.contains("password"), "{line}");
            assert!(line.chars().all(|c| !c.is_control()), "{line:?}");
            if form == "json" {
                assert!(serde_json::from_str::<Value>(&line).unwrap().is_object());
            }
        }
    }
}

#[test]
fn a_line_comes_when_the_body_has_ended_and_says_if_it_broke_off() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(move |_| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncache-control: max-age=60\r\n\
                    content-length: 10\r\n\r\n01234";
        vec![Step::Send(head.into()), Step::Pause(held.clone()), Step::Close]
    });
    let logged = Logged::before(&origin, "json", "");
    let mut client = logged.freshet.client();
    client.send(crate::support::client::request("GET", HOST, "/a.png", &[]));
    client.head().unwrap();
    client.read(5);
    assert_eq!(logged.text(), "", "the body has not ended");
    gate.open();
    assert!(client.is_closed());
    let lines = logged.objects(1);
    let expected = [json!(200), json!(5), json!(true), json!("miss")];
    assert_eq!(["status", "bytes", "aborted", "outcome"].map(|name| lines[0][name].clone()), expected);
}

#[test]
fn a_client_that_leaves_before_its_answer_has_a_line_too() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(move |_| {
        vec![
            Step::Pause(held.clone()),
            Step::Send(answer("200 OK", &[("content-type", "image/png")], "late")),
        ]
    });
    let logged = Logged::before(&origin, "json", "");
    let mut client = logged.freshet.client();
    client.send(crate::support::client::request("GET", HOST, "/a.png", &[]));
    gate.wait_for(1);
    drop(client);
    let lines = logged.objects(1);
    gate.open();
    let expected = [json!(499), json!(0), json!(true), json!(null), json!("test")];
    assert_eq!(
        ["status", "bytes", "aborted", "outcome", "account"].map(|name| lines[0][name].clone()),
        expected
    );
}

#[test]
fn a_share_of_requests_has_lines_and_none_where_it_is_off() {
    let origin = images();
    let logged = Logged::before(&origin, "json", "access_sample = 0.0");
    let off = Logged::before(&origin, "off", "");
    let half = Logged::before(&origin, "json", "access_sample = 0.5");
    for logged in [&logged, &off, &half] {
        let mut client = logged.freshet.client(); // One connection is one thread's: its every second request.
        for _ in 0..10 {
            client.request("GET", HOST, "/a.png", &[]);
        }
    }
    assert_eq!(half.lines(5).len(), 5);
    assert_eq!(logged.text(), "");
    assert!(!off.path().exists());
}

#[test]
fn after_a_rotation_the_lines_go_on_in_a_new_file() {
    let origin = images();
    let logged = Logged::before(&origin, "json", "");
    logged.freshet.get("/one.png");
    logged.lines(1);
    let moved = logged.folder.path().join("access.1");
    std::fs::rename(logged.path(), &moved).unwrap();
    logged.freshet.app().reopen_access_log();
    wait_until("the file is opened anew", || logged.path().exists());
    logged.freshet.get("/two.png");
    assert_eq!(logged.objects(1)[0]["target"], "/two.png");
    assert!(std::fs::read_to_string(moved).unwrap().contains("/one.png"));
    let metrics = logged.freshet.admin("GET", "/metrics", KEY, "").text();
    assert!(metrics.contains("freshet_access_log_lines_total{result=\"written\"} 2\n"), "{metrics}");
    assert!(metrics.contains("freshet_access_log_lines_total{result=\"dropped\"} 0\n"), "{metrics}");
}

/// A disk that takes none: requests are answered all the same, and what is lost is counted.
#[test]
fn lines_that_the_disk_does_not_take_are_counted_and_hold_up_nobody() {
    let origin = images();
    let freshet = Freshet::with(&origin, "[log]\naccess = \"json\"\naccess_path = \"/dev/full\"\n");
    for _ in 0..5 {
        assert_eq!(freshet.get("/a.png").status, 200);
    }
    wait_until("the lines are counted as dropped", || {
        let metrics = freshet.admin("GET", "/metrics", KEY, "").text();
        metrics.contains("freshet_access_log_lines_total{result=\"dropped\"} 5\n")
    });
}

/// What the server has not written when it stops is written before it ends.
#[test]
fn stopping_loses_no_line() {
    let origin = images();
    let mut logged = Logged::before(&origin, "json", "");
    let mut client = Client::connect(logged.freshet.app().proxy);
    for _ in 0..100 {
        client.request("GET", HOST, "/a.png", &[]);
    }
    logged.freshet.app.take().unwrap().stop();
    assert_eq!(logged.text().lines().count(), 100);
}

/// A client that takes its answer slowly, or leaves amid it: the line has what was handed over, and says so.
#[test]
fn a_client_that_leaves_amid_an_answer_is_told_of_as_aborted() {
    let body = "x".repeat(8 << 20);
    let origin = Origin::new(move |_| {
        let fields = [("content-type", "image/png"), ("cache-control", "max-age=60")];
        vec![Step::Send(answer("200 OK", &fields, &body))]
    });
    let logged = Logged::before(&origin, "json", "");
    assert_eq!(logged.freshet.get("/a.png").body.len(), 8 << 20);
    let mut client = logged.freshet.client();
    client.send(crate::support::client::request("GET", HOST, "/a.png", &[]));
    client.socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.socket.read_exact(&mut [0; 1000]).unwrap();
    client.socket.flush().unwrap();
    drop(client); // Unread bytes: the connection is reset.
    let lines = logged.objects(2);
    assert_eq!((&lines[0]["aborted"], &lines[0]["bytes"]), (&json!(false), &json!(8 << 20)));
    assert_eq!((&lines[1]["aborted"], &lines[1]["outcome"]), (&json!(true), &json!("hit")));
    assert!(lines[1]["bytes"].as_u64().unwrap() < 8 << 20, "{}", lines[1]);
}
