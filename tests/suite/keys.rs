//! Keys that are made while the real binary runs: they outlive it, and what was taken away stays away.

use serde_json::{Value, json};

use crate::support::binary::Binary;
use crate::support::client::{Answer, Client};

const CONFIG: &str = "[proxy]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[ledger]\npath = \"keys.redb\"\n\
    [[accounts]]\nid = \"test\"\nprivate_keys = [\"private_test_0123456789\"]\nurl_endpoints = [\"http://img.test\"]\n\
    origin = \"http://127.0.0.1:9\"\n\
    [[keys]]\nname = \"operator\"\nkey = \"operator_0123456789abcdef\"\nscopes = [\"operator\"]\n";
const OPERATOR: &str = "operator_0123456789abcdef";

fn call(server: &Binary, method: &str, path: &str, key: &str, body: &str) -> Answer {
    let mut client = Client::connect(server.admin);
    client.send(format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}",
        server.admin,
        body.len()
    ));
    client.answer(false).expect("the admin listener answers")
}

fn make(server: &Binary, name: &str) -> (String, String) {
    let body = json!({ "name": name, "account": "test", "scopes": ["purge"] }).to_string();
    let made = call(server, "POST", "/v1/keys", OPERATOR, &body);
    assert_eq!(made.status, 201, "{}", made.text());
    let made: Value = serde_json::from_slice(&made.body).unwrap();
    let text = |member: &str| made[member].as_str().unwrap().to_owned();
    (text("id"), text("secret"))
}

#[test]
fn made_keys_outlive_the_process_and_what_was_taken_away_stays_away() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    std::fs::write(&config, CONFIG).unwrap();
    let first = Binary::start(&config);
    let (kept, taken) = (make(&first, "kept"), make(&first, "taken"));
    let gone = call(&first, "DELETE", &format!("/v1/keys/{}", taken.0), OPERATOR, "");
    assert_eq!(gone.status, 204, "{}", gone.text());
    let body = json!({ "url": "http://img.test/a.png" }).to_string();
    assert_eq!(call(&first, "POST", "/v1/files/purge", &kept.1, &body).status, 201);
    assert_eq!(call(&first, "POST", "/v1/files/purge", &taken.1, &body).status, 403);
    assert!(!first.log().contains(&kept.1), "a secret is logged");
    drop(first);

    let ledger = std::fs::read(folder.path().join("keys.redb")).unwrap();
    let secret = kept.1.as_bytes();
    assert!(!ledger.windows(secret.len()).any(|bytes| bytes == secret), "the ledger keeps a secret");
    let second = Binary::start(&config);
    assert_eq!(call(&second, "POST", "/v1/files/purge", &kept.1, &body).status, 201);
    assert_eq!(call(&second, "POST", "/v1/files/purge", &taken.1, &body).status, 403);
}
