//! ImageKit's real clients, unmodified, against the real binary: `tests/clients/*` are the suites, this starts a
//! server for each and runs it. A server of its own for each, since each uses an account's allowance up.
//!
//! `tests/clients/fetch` installs the clients. Where it did not run, a test is skipped and says so; in CI (the
//! variable `CI` is set) it fails.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::binary::Binary;

/// The endpoints name a host that is nobody's: the suites connect to the port that the server chose, and name it.
const CONFIG: &str = r#"
[proxy]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[fetch] # The demo origin draws and encodes while the machine does much else: slow is no failure here.
first_byte_timeout = "2m"
total_timeout = "3m"

[ledger]
path = ":memory:"
[[accounts]]
id = "large"
private_keys = ["private_large_0123456789abcdef"]
url_endpoints = ["http://img.test/large"]
origin = "demo"
[[accounts]]
id = "small"
private_keys = ["private_small_0123456789abcdef"]
url_endpoints = ["http://img.test/small"]
purges_per_month = 2
origin = "demo"
"#;

/// What the suites want to know beside the server's addresses.
const ACCOUNTS: [(&str, &str); 4] = [
    ("FRESHET_BASE", "http://img.test/large"),
    ("FRESHET_KEY", "private_large_0123456789abcdef"),
    ("FRESHET_SMALL_BASE", "http://img.test/small"),
    ("FRESHET_SMALL_KEY", "private_small_0123456789abcdef"),
];

#[test]
fn npm_imagekit_nodejs_7_works_unchanged() {
    run("node7", "node", "node7.mjs");
}

#[test]
fn pypi_imagekitio_5_works_unchanged() {
    run("python5", "python3", "python5.py");
}

#[test]
fn pypi_imagekitio_4_works_unchanged() {
    run("python4", "python3", "python4.py");
}

/// Runs the suite `script` of the client that was fetched as `client`.
fn run(client: &str, interpreter: &str, script: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    if !folder.join(".cache").join(client).join("fetched").exists() {
        assert!(std::env::var_os("CI").is_none(), "{client} is not there: run tests/clients/fetch");
        // Not `eprintln!`: the harness keeps what a test that passes prints with that.
        let said = writeln!(std::io::stderr(), "skipped, {client} is not there: run tests/clients/fetch");
        return said.expect("standard error can be written to");
    }
    let work = tempfile::tempdir().unwrap();
    let config = work.path().join("config.toml");
    std::fs::write(&config, CONFIG).unwrap();
    let server = Binary::start(&config);
    let Output { status, stdout, stderr } = Command::new(interpreter)
        .arg(folder.join(script))
        .envs(ACCOUNTS)
        .env("FRESHET_ADMIN", format!("http://{}", server.admin))
        .env("FRESHET_PROXY", server.proxy.to_string())
        .output()
        .unwrap_or_else(|error| panic!("{interpreter}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(
        status.success() && stdout.ends_with(" passed, 0 failed\n"),
        "{script}: {status}\n{stdout}{stderr}--- the server's log\n{}",
        server.log()
    );
}
