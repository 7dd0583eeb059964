//! The description of the admin listener's calls against the calls: schemathesis calls each of them as it is described, in
//! ways that a person would not think of, and checks every answer against the description.
//!
//! `tests/clients/fetch` installs it. Where it did not run, the test is skipped and says so; in CI (the variable `CI` is
//! set) it fails.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::binary::Binary;

const KEY: &str = "operator_test_0123456789abcdef";

const CONFIG: &str = r#"
[proxy]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[ledger]
path = ":memory:"
[[accounts]]
id = "demo"
url_endpoints = ["http://127.0.0.1:8080/demo"]
origin = "demo"
private_keys = ["private_test_0123456789abcdef"]
[[keys]]
name = "all"
key = "operator_test_0123456789abcdef"
scopes = ["operator"]
"#;

#[test]
fn every_call_keeps_to_its_description() {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let installed = clients.join(".cache/schemathesis");
    if !installed.join("fetched").exists() {
        assert!(std::env::var_os("CI").is_none(), "schemathesis is not there: run tests/clients/fetch");
        // Not `eprintln!`: the harness keeps what a test that passes prints with that.
        let said = writeln!(std::io::stderr(), "skipped, schemathesis is not there: run tests/clients/fetch");
        return said.expect("standard error can be written to");
    }
    let work = tempfile::tempdir().unwrap();
    let config = work.path().join("config.toml");
    std::fs::write(&config, CONFIG).unwrap();
    let server = Binary::start(&config);
    // Wrong keys apart, and slowly: one address may try ten a second, and beyond that right ones are refused, too.
    let all_but_keys = ["--checks", "all", "--exclude-checks", "ignored_auth"];
    let keys = ["--checks", "ignored_auth", "--phases", "examples", "--rate-limit", "3/s"];
    for arguments in [&all_but_keys[..], &keys] {
        let Output { status, stdout, stderr } = Command::new("python3")
            .args(["-m", "schemathesis.cli", "--config-file"])
            .arg(clients.join("schemathesis.toml"))
            .args(["run", &format!("http://{}/openapi.json", server.admin)])
            .args(arguments)
            .current_dir(work.path())
            .env("PYTHONPATH", &installed)
            .env("FRESHET_KEY", KEY)
            .output()
            .unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{status}\n{stdout}{stderr}--- the server's log\n{}", server.log());
    }
}
