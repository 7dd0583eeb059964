//! Sessions over a real socket: what a browser sends, and what pages of others may make it send.

use super::tests::{KEY, Listening, URL, body_of, golden, listen, status_of};
use super::*;

const JSON: &str = "Content-Type: application/json\r\n";
const OURS: &str = "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\n";

impl Listening {
    async fn sign_in(&self, key: &str, fields: &str) -> String {
        self.send("POST /v1/session", &format!("{JSON}{fields}"), &format!(r#"{{"key": "{key}"}}"#)).await
    }

    /// The field with the cookie of a new session.
    async fn cookie_of(&self, key: &str) -> String {
        format!("Cookie: freshet_session={}\r\n", token_of(&self.sign_in(key, "").await))
    }
}

fn token_of(answer: &str) -> &str {
    let (_, rest) = answer.split_once("set-cookie: freshet_session=").expect("a cookie is set");
    rest.split(';').next().unwrap()
}

#[tokio::test]
async fn every_answer_of_a_session_is_the_golden_one() {
    let here = listen(None).await;
    let mut answers = String::new();
    let mut add = |name: &str, answer: &str| {
        answers += &format!("# {name}\n{}\n", golden(answer));
    };
    let signed_in = here.sign_in("private_demo", OURS).await;
    let token = token_of(&signed_in).to_owned();
    add("signed in", &signed_in.replace(&token, "<43 characters>"));
    let cookie = format!("Cookie: freshet_session={token}\r\n");
    let who = "GET /v1/session";
    add("who is it", &here.send(who, &cookie, "").await);
    let operator = here.cookie_of("operator").await;
    add("who is the operator", &here.send(who, &operator, "").await);
    let bound = here.cookie_of("bound").await;
    add("who is bound", &here.send(who, &bound, "").await);
    add("who, by its key", &here.send(who, KEY, "").await);
    let by_tls = here.sign_in("private_demo", "X-Forwarded-Proto: https\r\n").await;
    add("signed in by TLS", &by_tls.replace(token_of(&by_tls), "<43 characters>"));
    add("signed out", &here.send("DELETE /v1/session", &format!("{cookie}{OURS}"), "").await);
    add("who is it after that", &here.send(who, &cookie, "").await);
    add("a page that never signed in", &here.send(who, OURS, "").await);
    add("nobody", &here.send(who, "", "").await);
    add("a wrong key", &here.sign_in("wrong", OURS).await);
    add("no key", &here.send("POST /v1/session", JSON, "{}").await);
    add("a form", &here.send("POST /v1/session", "", r#"{"key": "private_demo"}"#).await);
    add("another method", &here.send("PUT /v1/session", JSON, "{}").await);

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin/golden/session.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &answers).unwrap();
    }
    assert_eq!(answers, std::fs::read_to_string(path).unwrap());
}

#[tokio::test]
async fn a_cookie_purges_with_the_proof_that_our_page_sends_it_and_not_without() {
    let here = listen(None).await;
    let cookie = here.cookie_of("private_demo").await;
    let body = format!(r#"{{"url": "{URL}"}}"#);
    let own = format!("Origin: http://{}\r\n", here.address);
    let other_port = format!("Origin: http://{}:1\r\n", here.address.ip());
    #[rustfmt::skip]
    let table = [
        // fields                                                          status
        (format!("{JSON}{OURS}"),                                          "201"),
        (format!("{JSON}{own}"),                                           "201"),
        (format!("{JSON}{own}{OURS}"),                                     "201"),
        (JSON.to_owned(),                                                  "403"),
        (OURS.to_owned(),                                                  "415"),
        (format!("Content-Type: text/plain\r\n{OURS}"),                    "415"),
        (format!("{JSON}Sec-Fetch-Site: same-site\r\n{other_port}"),       "403"),
        (format!("{JSON}Sec-Fetch-Site: same-site\r\n"),                   "403"),
        (format!("{JSON}Sec-Fetch-Site: cross-site\r\nOrigin: null\r\n"),  "403"),
        (format!("{JSON}Origin: http://evil.test\r\n"),                    "403"),
        (format!("{JSON}Origin: null\r\n"),                                "403"),
    ];
    for (fields, status) in table {
        let answer = here.send("POST /v1/files/purge", &format!("{cookie}{fields}"), &body).await;
        assert_eq!(status_of(&answer), status, "{fields}");
        assert!(!answer.to_ascii_lowercase().contains("access-control"), "{answer}");
    }
}

#[tokio::test]
async fn a_rebound_name_reaches_nothing_with_a_valid_cookie() {
    let here = listen(None).await;
    let cookie = here.cookie_of("private_demo").await;
    for request in ["GET /v1/session", "DELETE /v1/session", "POST /v1/files/purge"] {
        let head =
            format!("{request} HTTP/1.1\r\nHost: evil.test:{}\r\nConnection: close\r\n", here.address.port());
        let answer = here.send_raw(&format!("{head}{cookie}{JSON}{OURS}Content-Length: 0\r\n\r\n")).await;
        assert_eq!(status_of(&answer), "421", "{request}");
    }
    assert_eq!(status_of(&here.send("GET /v1/session", &cookie, "").await), "200");
}

#[tokio::test]
async fn wrong_keys_at_sign_in_count_among_the_guesses_of_the_address() {
    let here = listen(None).await;
    for guess in 0..limits::AUTH_FAILURES_MAX {
        let answer = if guess % 2 == 0 {
            here.sign_in("wrong", "").await
        } else {
            here.send("GET /v1/session", "Authorization: Bearer wrong\r\n", "").await
        };
        assert_eq!(status_of(&answer), "403");
    }
    assert_eq!(status_of(&here.sign_in("private_demo", "").await), "429");
    here.clock.advance(limits::AUTH_FAILURES_TIME);
    assert_eq!(status_of(&here.sign_in("private_demo", "").await), "204");
}

#[tokio::test]
async fn a_new_sign_in_ends_the_session_that_it_replaces() {
    let here = listen(None).await;
    let first = here.cookie_of("private_demo").await;
    let second = here.sign_in("operator", &first).await;
    assert_eq!(status_of(&here.send("GET /v1/session", &first, "").await), "401");
    let second = format!("Cookie: freshet_session={}\r\n", token_of(&second));
    assert!(body_of(&here.send("GET /v1/session", &second, "").await).contains("operator"));
}

/// The token stands in no answer but the one that gives it, and the key in none.
#[tokio::test]
async fn neither_key_nor_token_is_told_again() {
    let here = listen(None).await;
    let cookie = here.cookie_of("private_demo").await;
    let token = cookie.trim_end().split_once('=').unwrap().1.to_owned();
    let fields = format!("{cookie}{KEY}{JSON}{OURS}");
    for request in [
        "GET /v1/session",
        "DELETE /v1/session",
        "GET /healthz",
        "GET /nowhere",
        "POST /v1/files/purge",
        "PUT /",
    ] {
        for answer in [here.send(request, &fields, "").await, here.send(request, &cookie, "").await] {
            assert!(!answer.contains(&token) && !answer.contains("private_demo"), "{request}: {answer}");
        }
    }
}
