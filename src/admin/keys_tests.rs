//! Keys that are made and taken away while the process runs, over a real socket.

use serde_json::{Value, json};

use super::tests::{Listening, URL, body_of, listen, listen_with, status_of};
use super::*;
use crate::purge::tests::{FEBRUARY_2024, Fences, account, purger_in_memory};

const OPERATOR: &str = "Authorization: Bearer operator\r\n";

impl Listening {
    async fn make(&self, members: &Value) -> (String, Value) {
        let answer = self.send("POST /v1/keys", OPERATOR, &members.to_string()).await;
        (status_of(&answer).to_owned(), serde_json::from_str(body_of(&answer)).unwrap())
    }

    async fn purge_with(&self, key: &str) -> String {
        let body = format!(r#"{{"url": "{URL}"}}"#);
        let answer =
            self.send("POST /v1/files/purge", &format!("Authorization: Bearer {key}\r\n"), &body).await;
        status_of(&answer).to_owned()
    }
}

#[tokio::test]
async fn a_key_is_made_listed_used_and_taken_away() {
    let here = listen(None).await;
    let (status, made) = here.make(&json!({ "name": "cms", "account": "demo", "scopes": ["purge"] })).await;
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert_eq!(status, "201");
    assert_eq!(secret.len(), "freshet_".len() + 43, "256 bits");
    let expected = json!({
        "id": id, "name": "cms", "account": "demo", "scopes": ["purge"], "urls": null, "source": "made",
        "created_at": "2024-02-15T12:26:40.000Z", "created_by": "operator",
    });
    let mut with_secret = expected.clone();
    with_secret["secret"] = secret.into();
    assert_eq!(made, with_secret);

    let listed = here.send("GET /v1/keys", OPERATOR, "").await;
    assert!(!listed.contains(secret) && !listed.contains("sha256"), "{listed}");
    let listed: Value = serde_json::from_str(body_of(&listed)).unwrap();
    let keys = listed["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 7, "two private keys, four of the config, and the new one");
    assert_eq!(keys[6], expected);
    assert_eq!(keys[0]["name"], "private key 1");
    assert!(keys[..6].iter().all(|key| key["source"] == "config" && key["created_at"].is_null()), "{keys:?}");

    assert_eq!(here.purge_with(secret).await, "201");
    let gone = here.send(&format!("DELETE /v1/keys/{id}"), OPERATOR, "").await;
    assert_eq!((status_of(&gone), body_of(&gone)), ("204", ""));
    assert_eq!(here.purge_with(secret).await, "403");
    let again = here.send(&format!("DELETE /v1/keys/{id}"), OPERATOR, "").await;
    assert_eq!(status_of(&again), "404");
}

#[tokio::test]
async fn sessions_of_a_key_that_is_taken_away_end_with_it_and_others_do_not() {
    let here = listen(None).await;
    let (_, made) = here.make(&json!({ "name": "second", "scopes": ["operator"] })).await;
    let mut cookies = Vec::new();
    for key in [made["secret"].as_str().unwrap(), "reader"] {
        let body = json!({ "key": key }).to_string();
        let answer = here.send("POST /v1/session", "Content-Type: application/json\r\n", &body).await;
        let (_, rest) = answer.split_once("set-cookie: ").unwrap();
        cookies.push(format!("Cookie: {}\r\n", rest.split(';').next().unwrap()));
    }
    for cookie in &cookies {
        assert_eq!(status_of(&here.send("GET /v1/session", cookie, "").await), "200");
    }
    let gone = here.send(&format!("DELETE /v1/keys/{}", made["id"].as_str().unwrap()), OPERATOR, "").await;
    assert_eq!(status_of(&gone), "204");
    assert_eq!(status_of(&here.send("GET /v1/session", &cookies[0], "").await), "401");
    assert_eq!(status_of(&here.send("GET /v1/session", &cookies[1], "").await), "200");
}

#[tokio::test]
async fn a_made_key_is_bound_as_one_of_the_config_is() {
    let here = listen(None).await;
    let photos = json!(["http://127.0.0.1:8080/demo/photos"]);
    let (_, made) =
        here.make(&json!({ "name": "b", "account": "demo", "scopes": ["purge"], "urls": photos })).await;
    assert_eq!(made["urls"], photos);
    assert_eq!(here.purge_with(made["secret"].as_str().unwrap()).await, "403", "a/b.jpg is outside");
}

#[tokio::test]
async fn keys_are_an_operators_alone_and_each_rule_is_told() {
    let here = listen(None).await;
    for key in ["reader", "purger", "bound", "private_demo"] {
        for request in ["GET /v1/keys", "POST /v1/keys", "DELETE /v1/keys/config-1"] {
            let answer = here.send(request, &format!("Authorization: Bearer {key}\r\n"), "").await;
            assert_eq!(status_of(&answer), "403", "{key} {request}");
        }
    }
    let of_config = here.send("DELETE /v1/keys/config-1", OPERATOR, "").await;
    assert_eq!(status_of(&of_config), "409");
    let demo = |scopes: Value| json!({ "name": "a", "account": "demo", "scopes": scopes });
    let bound = |url: &str| json!({ "name": "a", "account": "demo", "scopes": ["purge"], "urls": [url] });
    #[rustfmt::skip]
    let table = [
        // members                                                         at          reason
        (json!([]),                                                        Value::Null,      "body_not_json"),
        (json!({ "scopes": ["operator"] }),                                json!("name"),    "key_invalid"),
        (json!({ "name": 7, "scopes": ["operator"] }),                     json!("name"),    "member_not_text"),
        (json!({ "name": "a\u{7}", "scopes": ["operator"] }),              json!("name"),    "key_invalid"),
        (demo(json!([])),                                                  json!("scopes"),  "key_invalid"),
        (demo(json!(["write"])),                                           json!("scopes"),  "scope_unknown"),
        (demo(json!("read")),                                              json!("scopes"),  "member_not_texts"),
        (demo(json!(["operator"])),                                        json!("account"), "key_invalid"),
        (json!({ "name": "a", "scopes": ["read"] }),                       json!("account"), "key_invalid"),
        (json!({ "name": "a", "account": "nobody", "scopes": ["read"] }),  json!("account"), "key_invalid"),
        (bound("http://127.0.0.1:8080/other/"),                            json!("urls"),    "key_invalid"),
        (bound("http://127.0.0.1:8080/demo/a*"),                           json!("urls"),    "key_invalid"),
        (json!({ "name": "a", "scopes": ["operator"], "note": "n".repeat(1025) }), Value::Null, "note_too_long"),
    ];
    for (members, at, reason) in table {
        let (status, answer) = here.make(&members).await;
        assert_eq!(
            (&*status, &answer["at"], answer["reason"].as_str()),
            ("400", &at, Some(reason)),
            "{members}: {answer}"
        );
    }
    let listed: Value =
        serde_json::from_str(body_of(&here.send("GET /v1/keys", OPERATOR, "").await)).unwrap();
    assert_eq!(listed["keys"].as_array().unwrap().len(), 6, "nothing was made");
}

/// What a second start has is what the ledger has; a key whose account has left the config opens nothing.
#[tokio::test]
async fn made_keys_last_over_a_restart_and_end_with_their_account() {
    let (fences, clock) = (Fences::default(), Clock::manual(FEBRUARY_2024));
    let both = [account("demo", None), account("other", None)];
    let purger = purger_in_memory(&both, &fences, &clock);
    let start = async |accounts: &[Account]| {
        listen_with(accounts, purger.clone(), fences.clone(), clock.clone(), Times::default()).await
    };
    let here = start(&both).await;
    let (_, of_demo) = here.make(&json!({ "name": "d", "account": "demo", "scopes": ["purge"] })).await;
    let (_, of_other) = here.make(&json!({ "name": "o", "account": "other", "scopes": ["read"] })).await;
    let secrets = [of_demo, of_other].map(|made| made["secret"].as_str().unwrap().to_owned());
    let who = async |here: &Listening, secret: &str| {
        let answer = here.send("GET /v1/session", &format!("Authorization: Bearer {secret}\r\n"), "").await;
        status_of(&answer).to_owned()
    };
    let again = start(&both).await;
    for secret in &secrets {
        assert_eq!(who(&again, secret).await, "200");
    }
    let without_other = start(&both[..1]).await;
    assert_eq!(who(&without_other, &secrets[0]).await, "200");
    assert_eq!(who(&without_other, &secrets[1]).await, "403");
    let listed = without_other.send("GET /v1/keys", OPERATOR, "").await;
    assert!(
        body_of(&listed).contains(r#""name":"o","account":"other""#),
        "it can still be taken away: {listed}"
    );
}

/// Tokens are compared as hashes: neither how much of a wrong one is right nor its length shows in what is answered.
#[tokio::test]
async fn a_secret_is_its_whole_text() {
    let here = listen(None).await;
    let (_, made) = here.make(&json!({ "name": "c", "account": "demo", "scopes": ["purge"] })).await;
    let secret = made["secret"].as_str().unwrap();
    for wrong in [&secret[..50], &secret[8..], &secret.to_uppercase(), &format!("{secret}x")] {
        assert_eq!(here.purge_with(wrong).await, "403", "{wrong}");
    }
    assert_eq!(here.purge_with(secret).await, "201");
}
