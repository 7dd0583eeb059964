//! A wall clock that jumps, by Debian's libfaketime: freshness goes by the monotonic clock, so nothing stored dies of it, or
//! lives for ever.

use std::path::Path;
use std::process::Command;

use crate::support::binary::Binary;
use crate::support::client::Client;
use crate::support::origin::{Origin, Step, answer};
use crate::support::{HOST, KEY, account};

fn library() -> Option<std::path::PathBuf> {
    let places = ["x86_64-linux-gnu", "aarch64-linux-gnu"];
    let found =
        places.iter().map(|place| Path::new("/usr/lib").join(place).join("faketime/libfaketimeMT.so.1"));
    let found = found.into_iter().find(|path| path.exists());
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "CI installs libfaketime");
    found
}

#[test]
fn a_clock_that_jumps_makes_nothing_stale_or_immortal_and_purges_work_on() {
    let Some(library) = library() else {
        return eprintln!("skipped: it needs libfaketime (Debian: libfaketime)");
    };
    let fields = [("content-type", "image/png"), ("cache-control", "max-age=600")];
    let origin = Origin::new(move |_| vec![Step::Send(answer("200 OK", &fields, "picture"))]);
    let folder = tempfile::tempdir().unwrap();
    let (config, offset) = (folder.path().join("config.toml"), folder.path().join("offset"));
    let text = format!(
        "[proxy]\nlisten = \"127.0.0.1:0\"\nthreads = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n{}",
        account(&format!("http://{}", origin.address))
    );
    std::fs::write(&config, text).unwrap();
    let jump = |by: &str| std::fs::write(&offset, format!("{by}\n")).unwrap();
    jump("+0");
    let mut command = Command::new(env!("CARGO_BIN_EXE_freshet"));
    command.args(["serve", "--config"]).arg(&config);
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &offset);
    command.envs([("FAKETIME_NO_CACHE", "1"), ("DONT_FAKE_MONOTONIC", "1")]);
    let binary = Binary::run(command, &config);
    let mut client = Client::connect(binary.proxy);
    assert_eq!(client.request("GET", HOST, "/a.png", &[]).status, 200);
    // A refusal is made now, and has its own date.
    let year = || {
        let refused = Client::connect(binary.proxy).request("GET", "none.test", "/", &[]);
        refused.field("date").unwrap()[12..16].parse::<u32>().unwrap()
    };
    let now = year();
    for by in ["+1h", "+400d", "-1h", "-1d", "+0"] {
        jump(by);
        let got = client.request("GET", HOST, "/a.png", &[]);
        assert!(got.is_hit(), "{by}: {}", got.cache_status());
        let age: u64 = got.field("age").unwrap().parse().unwrap();
        assert!(age < 600, "{by}: {age}");
        let path = format!("/purged{by}.png");
        client.request("GET", HOST, &path, &[]);
        let body = serde_json::json!({ "url": format!("http://{HOST}{path}") }).to_string();
        let admin = binary.admin.to_string();
        let mut desk = Client::connect(binary.admin);
        desk.send(format!(
            "POST /v1/files/purge HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let purged = desk.answer(false).unwrap();
        assert_eq!(purged.status, 201, "{by}: {}", purged.text());
        assert!(!client.request("GET", HOST, &path, &[]).is_hit(), "{by}");
    }
    assert_eq!(origin.seen().len(), 1 + 2 * 5);
    jump("+400d");
    // hyper renews its date once a second.
    crate::support::wait_until("the process sees the jump", || year() > now);
    assert_eq!(binary.terminate(), Some(0));
}
