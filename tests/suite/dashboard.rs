//! The dashboard in a real browser, against the real binary: `tests/browser/*.mjs` are the checks, this starts a server
//! and a browser for each group of them, so that none sees what another purges.
//!
//! `tests/browser/fetch` installs what drives the browser; the browser is the system's `chromium`. Where one of them is
//! missing the test is skipped and says so; in CI (the variable `CI` is set) it fails. Pictures of every view are kept
//! in `target/screenshots`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::binary::Binary;
use crate::support::origin::{Origin, Seen, Step, answer};

/// `support.mjs` knows these accounts and keys. The host is nobody's: the checks connect to the proxy, and name it.
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
id = "demo"
private_keys = ["private_demo_0123456789abcdef"]
url_endpoints = ["http://img.test/demo"]
origin = "demo"
[[accounts]]
id = "small"
private_keys = ["private_small_0123456789abcdef"]
url_endpoints = ["http://img.test/small"]
purges_per_month = 3
origin = "demo"
[[accounts]]
id = "wild"
private_keys = ["private_wild_0123456789abcdef"]
url_endpoints = ["http://img.test/wild"]
origin = "http://ORIGIN"
[[keys]]
name = "operator"
key = "operator_0123456789abcdef"
scopes = ["operator"]
[[keys]]
name = "reader"
key = "reader_0123456789abcdef"
account = "demo"
scopes = ["read"]
"#;

/// A picture that would run a script where it is a document of its own.
const SVG: &str = r#"<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30" onload="document.title='pwned'">
<script>document.title = 'pwned'; document.documentElement.setAttribute('data-ran', 'script')</script>
<rect width="40" height="30" fill="teal"/></svg>"#;

#[test]
fn people_sign_in_and_purge_in_a_browser() {
    run(&["session", "purging"]);
}

#[test]
fn people_inspect_look_back_and_operate_in_a_browser() {
    run(&["inspect", "history", "operator"]);
}

#[test]
fn nobody_else_does_anything_by_the_dashboard() {
    run(&["security"]);
}

#[test]
fn every_view_is_usable_in_light_dark_and_on_a_phone() {
    run(&["look"]);
}

/// Runs these groups of checks.
fn run(groups: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let chromium = chromium();
    let missing = match &chromium {
        None => Some("chromium is not there: install it (Debian: chromium)"),
        Some(_) if !folder.join(".cache/fetched").exists() => {
            Some("playwright-core is not there: run tests/browser/fetch")
        }
        Some(_) => None,
    };
    if let Some(missing) = missing {
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        // Not `eprintln!`: the harness keeps what a test that passes prints with that.
        let said = writeln!(std::io::stderr(), "skipped, {missing}");
        return said.expect("standard error can be written to");
    }
    let origin = Origin::new(wild);
    let work = tempfile::tempdir().unwrap();
    let config = work.path().join("config.toml");
    std::fs::write(&config, CONFIG.replace("ORIGIN", &origin.address.to_string())).unwrap();
    let server = Binary::start(&config);
    let target = Path::new(env!("CARGO_BIN_EXE_freshet")).parent().and_then(Path::parent).unwrap();
    let Output { status, stdout, stderr } = Command::new("node")
        .arg(folder.join("run.mjs"))
        .args(groups)
        .env("FRESHET_ADMIN", server.admin.to_string())
        .env("FRESHET_PROXY", server.proxy.to_string())
        .env("FRESHET_CHROMIUM", chromium.unwrap())
        .env("FRESHET_SCREENSHOTS", target.join("screenshots"))
        .output()
        .unwrap_or_else(|error| panic!("node: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(
        status.success() && stdout.ends_with(" passed, 0 failed\n"),
        "{groups:?}: {status}\n{stdout}{stderr}--- the server's log\n{}",
        server.log()
    );
}

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|file| file.exists())
}

/// An origin of hostile pictures: `…/tag/NAME/…` has the tag NAME, `…/hex/DIGITS/…` the one whose bytes those are.
fn wild(seen: &Seen) -> Vec<Step> {
    let segments: Vec<_> = seen.target.split(['/', '?']).collect();
    let after = |name: &str| segments.iter().skip_while(|segment| **segment != name).nth(1).copied();
    let tag = match (after("tag"), after("hex")) {
        (Some(tag), _) => tag.to_owned(),
        (None, Some(digits)) => bytes(digits),
        (None, None) => "none".to_owned(),
    };
    let fields =
        [("content-type", "image/svg+xml"), ("cache-control", "max-age=3600"), ("cache-tag", tag.as_str())];
    vec![Step::Send(answer("200 OK", &fields, SVG))]
}

/// The text of these hexadecimal digits; what no field can carry, and what parts tags, is left out.
fn bytes(digits: &str) -> String {
    let pairs = digits.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok());
    let text = pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).map(char::from);
    text.filter(|c| c.is_ascii_graphic() && *c != ',').collect()
}
