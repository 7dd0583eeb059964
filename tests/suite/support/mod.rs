//! The harness: a scripted origin, a whole Freshet in this process on ports of its own, a raw client, and a
//! clock that the test moves. Oracles are the answer, its Cache-Status, the figures, and what the origin saw.

pub mod binary;
pub mod client;
pub mod http2;
pub mod origin;
pub mod table;
pub mod terminal;
pub mod tls;
pub mod versions;

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use freshet::app::App;
use freshet::clock::Clock;
use freshet::config::{self, Config, ConfigError};

use client::{Answer, Client};
use origin::Origin;

/// The account's endpoint.
pub const HOST: &str = "img.test";
/// The account's key.
pub const KEY: &str = "private_test_0123456789";

/// A running Freshet before an origin. Stops when it is dropped.
pub struct Freshet {
    pub app: Option<App>,
    pub clock: Clock,
}

impl Freshet {
    /// With the defaults, before `origin`.
    pub fn before(origin: &Origin) -> Freshet {
        Freshet::with(origin, "")
    }

    /// With further sections of config.
    pub fn with(origin: &Origin, sections: &str) -> Freshet {
        Freshet::start(&format!("{sections}\n{}", account(&format!("http://{}", origin.address))))
    }

    /// With exactly these sections, beside ports of its own and a ledger in memory.
    pub fn start(sections: &str) -> Freshet {
        let clock = Clock::manual(1_700_000_000);
        let app = App::start(config(sections), clock.clone()).unwrap_or_else(|error| panic!("{error}"));
        Freshet { app: Some(app), clock }
    }

    pub fn app(&self) -> &App {
        self.app.as_ref().unwrap()
    }

    pub fn client(&self) -> Client {
        Client::connect(self.app().proxy)
    }

    pub fn get(&self, target: &str) -> Answer {
        self.get_with(target, &[])
    }

    pub fn get_with(&self, target: &str, fields: &[(&str, &str)]) -> Answer {
        self.client().request("GET", HOST, target, fields)
    }

    /// Purges through the API; returns the answer.
    pub fn purge(&self, url: &str) -> Answer {
        self.purge_as(KEY, url)
    }

    pub fn purge_as(&self, key: &str, url: &str) -> Answer {
        self.purge_by(key, &serde_json::json!({ "url": url }))
    }

    /// Purges what the members of the body name.
    pub fn purge_by(&self, key: &str, members: &serde_json::Value) -> Answer {
        self.admin("POST", "/v1/files/purge", key, &members.to_string())
    }

    /// A call of the admin listener.
    pub fn admin(&self, method: &str, path: &str, key: &str, body: &str) -> Answer {
        use base64::Engine;
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{key}:"));
        let mut client = Client::connect(self.app().admin);
        client.send(format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Basic {basic}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.app().admin,
            body.len()
        ));
        client.answer(false).expect("the admin listener answers")
    }

    /// Purges, expects it to be accepted, and waits until it is complete.
    pub fn purge_and_wait(&self, url: &str) {
        self.purge_by_and_wait(&serde_json::json!({ "url": url }));
    }

    /// The same for what the members of the body name.
    pub fn purge_by_and_wait(&self, members: &serde_json::Value) {
        let accepted = self.purge_by(KEY, members);
        assert_eq!(accepted.status, 201, "{}", accepted.text());
        let body: serde_json::Value = serde_json::from_slice(&accepted.body).unwrap();
        let path = format!("/v1/files/purge/{}", body["requestId"].as_str().unwrap());
        wait_until("the purge is Completed", || {
            self.admin("GET", &path, KEY, "").text() == r#"{"status":"Completed"}"#
        });
    }
}

impl Drop for Freshet {
    fn drop(&mut self) {
        if let Some(app) = self.app.take() {
            app.stop();
        }
    }
}

/// The account of the tests, before the origin at this URL.
pub fn account(origin: &str) -> String {
    format!(
        "[[accounts]]\nid = \"test\"\nprivate_keys = [\"{KEY}\"]\n\
         url_endpoints = [\"http://{HOST}\", \"http://alias.test/pictures\"]\norigin = \"{origin}\"\n"
    )
}

/// A config of these sections; ports, ledger and drain are the tests' own.
pub fn config(sections: &str) -> Config {
    read(sections).unwrap_or_else(|error| panic!("{error}"))
}

/// The same of sections that may be wrong.
pub fn read(sections: &str) -> Result<Config, ConfigError> {
    let mut text = sections.to_owned();
    for (section, lines) in [
        ("[proxy]", "listen = \"127.0.0.1:0\"\nthreads = 2"),
        ("[admin]", "listen = \"127.0.0.1:0\""),
        ("[ledger]", "path = \":memory:\""),
    ] {
        match text.contains(section) {
            true => text = text.replace(section, &format!("{section}\n{lines}")),
            false => text = format!("{section}\n{lines}\n{text}"),
        }
    }
    let sources = config::Sources { variable: &|_| None, folder: Path::new("/"), cores: 2 };
    config::parse(&text, "the test's config", &sources)
}

/// Waits for a state that must come: by asking again, never by a fixed sleep.
pub fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let end = std::time::Instant::now() + origin::PATIENCE;
    while !holds() {
        assert!(std::time::Instant::now() < end, "it never came to be that {what}");
        std::thread::yield_now();
    }
}

/// Whether a tool is there. Where it is not, the test is skipped and says so; in CI (the variable `CI` is set) it fails.
pub fn has(program: &str, arguments: &[&str], package: &str) -> bool {
    let mut command = std::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let is_there = command.status().is_ok();
    if !is_there {
        assert!(std::env::var_os("CI").is_none(), "{program} is missing: install it (Debian: {package})");
        // Straight to standard error: the harness would keep it to itself.
        let _ = writeln!(std::io::stderr(), "skipped: {program} is missing (Debian: {package})");
    }
    is_there
}
