//! Freshet's own calls over a real socket: every answer and every error with all its fields and members.
//!
//! `golden/calls.txt` has them; a change of it is a change of the API. Written anew by `UPDATE_GOLDEN=1 cargo test admin`.

use super::tests::{KEY, URL, body_of, golden, listen, status_of};
use super::*;

const OPERATOR: &str = "Authorization: Bearer operator\r\n";
const READER: &str = "Authorization: Bearer reader\r\n";
const BOUND: &str = "Authorization: Bearer bound\r\n";

/// Without what differs from run to run: ids, wherever they stand.
fn without_ids(text: &str) -> String {
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let (mut out, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let run = rest.bytes().take_while(|byte| is_hex(byte)).count();
        match run {
            24 => out += "<24 hex digits>",
            0 => out.push(first),
            _ => out += &rest[..run],
        }
        rest = &rest[run.max(if run == 0 { first.len_utf8() } else { 0 })..];
    }
    out
}

fn id_of(answer: &str) -> String {
    let body: serde_json::Value = serde_json::from_str(body_of(answer)).unwrap();
    body["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test]
async fn every_answer_of_freshets_own_calls_is_the_golden_one() {
    let mut answers = String::new();
    let mut add = |name: &str, answer: &str| {
        answers += &format!("# {name}\n{}\n", without_ids(&golden(answer)));
    };
    let here = listen(Some(4)).await;
    let purges = "POST /v1/purges";
    let two =
        format!(r#"{{"targets": ["{URL}", {{"target": "tag", "tag": "summer"}}], "note": "new logo"}}"#);
    let accepted = here.send(purges, KEY, &two).await;
    add("a purge of two targets is accepted", &accepted);
    let path = format!("/v1/purges/{}", id_of(&accepted));
    here.fences.end_sweep(12, 34_567, false);
    add("one of its targets is swept", &here.send(&format!("GET {path}"), KEY, "").await);
    here.fences.end_sweep(1, 100, true);
    add("it is completed", &here.send(&format!("GET {path}"), KEY, "").await);
    add(
        "it is another account's",
        &here.send(&format!("GET {path}"), "Authorization: Bearer private_other\r\n", "").await,
    );
    let dry =
        format!(r#"{{"targets": ["{URL}", "{URL}/*/x", "http://127.0.0.1:8080/demo/a*"], "dry_run": true}}"#);
    add("a dry run", &here.send(purges, KEY, &dry).await);
    let refused = format!(r#"{{"targets": ["{URL}", "http://127.0.0.1:8080/demo/a*"]}}"#);
    add("a target is refused", &here.send(purges, KEY, &refused).await);
    add(
        "a target is not the key's",
        &here.send(purges, BOUND, &format!(r#"{{"targets": ["{URL}"]}}"#)).await,
    );
    let everything = r#"{"targets": [{"target": "everything", "confirm": "everything"}]}"#;
    add("everything is not the account's", &here.send(purges, KEY, everything).await);
    let three = format!(r#"{{"targets": ["{URL}?1", "{URL}?2", "{URL}?3"]}}"#);
    add("the allowance does not hold them", &here.send(purges, KEY, &three).await);
    add(
        "a target without its member",
        &here.send(purges, KEY, r#"{"targets": ["x", {"target": "folder"}]}"#).await,
    );
    add("no targets", &here.send(purges, KEY, "{}").await);
    add("no JSON", &here.send(purges, KEY, "targets=x").await);
    let long = format!(r#"{{"targets": ["{URL}"], "note": "{}"}}"#, "x".repeat(limits::NOTE_BYTES_MAX + 1));
    add("a note that is too long", &here.send(purges, KEY, &long).await);
    add("no scope", &here.send(purges, READER, &two).await);
    add("no account", &here.send(purges, OPERATOR, &two).await);
    let other = format!(r#"{{"account": "nobody", "targets": ["{URL}"]}}"#);
    add("an unknown account", &here.send(purges, OPERATOR, &other).await);

    let allowance = r#"{"account": "demo", "limit": 9, "reset": true, "note": "a campaign"}"#;
    add("an allowance", &here.send("GET /v1/allowance", KEY, "").await);
    add("an allowance is changed", &here.send("PUT /v1/allowance", OPERATOR, allowance).await);
    add(
        "an allowance is not changed",
        &here.send("PUT /v1/allowance", OPERATOR, r#"{"account": "demo"}"#).await,
    );
    add("no operator", &here.send("PUT /v1/allowance", KEY, allowance).await);
    add("no limit", &here.send("GET /v1/allowance?account=other", OPERATOR, "").await);

    add("the history", &here.send("GET /v1/purges", KEY, "").await);
    add("a page of it", &here.send("GET /v1/purges?limit=1&kind=purge", KEY, "").await);
    add("an unknown status", &here.send("GET /v1/purges?status=done", KEY, "").await);
    add("an unknown cursor", &here.send("GET /v1/purges?cursor=x", KEY, "").await);
    add("too many rows", &here.send("GET /v1/purges?limit=201", KEY, "").await);
    add("an unknown purge", &here.send("GET /v1/purges/00112233445566778899aabb", KEY, "").await);
    add("a warming that never was is ended", &here.send(&format!("DELETE {path}/warm"), KEY, "").await);
    add("a table", &here.send("GET /v1/purges.csv", KEY, "").await);

    let escaped = "http%3A%2F%2F127.0.0.1%3A8080%2Fdemo%2Fa%2Fb.jpg";
    add("nothing is stored", &here.send(&format!("GET /v1/cache?url={escaped}"), KEY, "").await);
    add("no keys are stored", &here.send(&format!("GET /v1/cache/keys?prefix={escaped}"), KEY, "").await);
    add("no picture is stored", &here.send(&format!("GET /v1/cache/image?url={escaped}"), KEY, "").await);
    add("no url", &here.send("GET /v1/cache", KEY, "").await);
    add("another's url", &here.send("GET /v1/cache?url=http%3A%2F%2Felse.test%2Fx", KEY, "").await);
    add(
        "a place that is not the key's",
        &here.send(&format!("GET /v1/cache?url={escaped}"), BOUND, "").await,
    );

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin/golden/calls.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &answers).unwrap();
    }
    assert_eq!(answers, std::fs::read_to_string(path).unwrap());
}

/// A list of a hundred long URLs is taken, and a body of more than a mebibyte is not.
#[tokio::test]
async fn a_body_may_have_a_mebibyte() {
    let here = listen(None).await;
    let url = |at: usize| format!("\"{URL}?{at}={}\"", "x".repeat(8000));
    let targets: Vec<String> = (0..100).map(url).collect();
    let body = format!(r#"{{"targets": [{}]}}"#, targets.join(","));
    assert!(body.len() > 800_000 && body.len() < limits::ADMIN_BODY_BYTES_MAX);
    assert_eq!(status_of(&here.send("POST /v1/purges", KEY, &body).await), "201");
    let length = format!("{KEY}Content-Length: {}\r\n", limits::ADMIN_BODY_BYTES_MAX + 1);
    assert_eq!(status_of(&here.send("POST /v1/purges", &length, "").await), "413");
}
