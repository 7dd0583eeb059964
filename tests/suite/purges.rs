//! Freshet's own calls about purges, over the whole server: what is asked for, tried, listed, exported and refused.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::origin::{Origin, image};
use crate::support::{Freshet, KEY, account, wait_until};

const OPERATOR: &str = "operator_test_0123456789";
/// One that may purge below a folder, and look at nothing.
const BOUND: &str = "bound_test_0123456789";

fn start(origin: &Origin, per_month: &str) -> Freshet {
    let account = account(&format!("http://{}", origin.address));
    Freshet::start(&format!(
        "{account}{per_month}\n[[keys]]\nname = \"ops\"\nkey = \"{OPERATOR}\"\nscopes = [\"operator\"]\n\
         [[keys]]\nname = \"cms\"\nkey = \"{BOUND}\"\naccount = \"test\"\nscopes = [\"purge\"]\n\
         urls = [\"http://img.test/shop/\"]\n"
    ))
}

fn origin() -> Origin {
    Origin::new(|seen| image(format!("{} {}", seen.target, seen.number)))
}

fn call(freshet: &Freshet, key: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = freshet.admin(method, path, key, &body);
    assert_eq!(answer.field("cache-control"), Some("no-store"));
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{}", answer.text())))
}

fn create(freshet: &Freshet, body: Value) -> (u16, Value) {
    call(freshet, KEY, "POST", "/v1/purges", &body)
}

fn get(freshet: &Freshet, path: &str) -> Value {
    let (status, body) = call(freshet, KEY, "GET", path, &Value::Null);
    assert_eq!(status, 200, "{path}: {body}");
    body
}

/// The purge, once it is Completed.
fn completed(freshet: &Freshet, id: &str) -> Value {
    let path = format!("/v1/purges/{id}");
    wait_until("the purge is Completed", || get(freshet, &path)["status"] == "Completed");
    get(freshet, &path)
}

#[test]
fn one_call_purges_all_its_targets_and_is_one_row_with_its_counts() {
    let (origin, urls) = (origin(), ["/p/a.jpg", "/p/a.jpg?tr=w-9", "/q/b.jpg", "/r/c.jpg"]);
    let freshet = start(&origin, "purges_per_month = 10");
    for url in urls {
        freshet.get(url);
        assert!(freshet.get(url).is_hit());
    }
    let targets = json!([{ "target": "asset", "url": "http://img.test/p/a.jpg" }, "http://img.test/q/b.jpg"]);
    let (status, accepted) = create(&freshet, json!({ "targets": targets, "note": "new logo" }));
    assert_eq!(status, 201, "{accepted}");
    let id = accepted["id"].as_str().unwrap();
    let mut purge = completed(&freshet, id);
    assert!(purge["bytes"].as_u64().unwrap() > 0 && purge["targets"][0]["bytes"].as_u64().unwrap() > 0);
    for (of, member) in [("", "bytes"), ("/targets/0", "bytes"), ("/targets/1", "bytes")] {
        purge.pointer_mut(of).unwrap().as_object_mut().unwrap().remove(member);
    }
    let covers = ["asset test/p/a.jpg", "test/q/b.jpg"];
    let expected = json!({
        "id": id, "kind": "purge", "account": "test", "status": "Completed", "mode": "delete", "note": "new logo",
        "door": "api", "by": "private key 1", "created_at": "2023-11-14T22:13:20.000Z",
        "targets": [
            { "target": "asset", "text": "http://img.test/p/a.jpg", "covers": covers[0], "status": "Completed",
              "matched": 2, "shared": false },
            { "target": "url", "text": "http://img.test/q/b.jpg", "covers": covers[1], "status": "Completed",
              "matched": 1, "shared": false },
        ],
        "matched": 3, "shared": false, "visible_us": 0, "acknowledged_us": 0, "swept_us": 0, "warm": null,
    });
    assert_eq!(purge, expected);
    let allowance = get(&freshet, "/v1/allowance");
    let expected = json!({ "account": "test", "limit": 10, "used": 2, "left": 8, "resets_at": "2023-12-01T00:00:00.000Z" });
    assert_eq!(allowance, expected);
}

#[test]
fn one_refused_target_stops_all_and_each_has_its_verdict() {
    let origin = origin();
    let freshet = start(&origin, "");
    freshet.get("/p/a.jpg");
    let body = json!({ "targets": ["http://img.test/p/a.jpg", "http://img.test/p*", "http://else.test/x"] });
    let (status, refused) = create(&freshet, body);
    assert_eq!((status, &refused["reason"]), (400, &json!("target_refused")));
    let verdicts: Vec<_> =
        refused["targets"].as_array().unwrap().iter().map(|target| &target["verdict"]).collect();
    assert_eq!(verdicts, ["accepted", "refused", "refused"]);
    assert_eq!(refused["targets"][0]["covers"], "test/p/a.jpg");
    assert_eq!(refused["targets"][1]["reason"], "wildcard-wide");
    assert_eq!(refused["targets"][2]["reason"], "outside-account");
    assert!(refused["targets"][1]["help"].as_str().unwrap().contains("levels"));
    assert!(freshet.get("/p/a.jpg").is_hit(), "nothing was purged");
    assert_eq!(get(&freshet, "/v1/allowance")["used"], 0);
    let (status, wrong) = create(&freshet, json!({ "targets": ["http://img.test/a", { "target": "tag" }] }));
    assert_eq!(
        (status, &wrong["reason"], &wrong["at"]),
        (400, &json!("tag_missing"), &json!("targets[1].tag"))
    );
}

#[test]
fn a_dry_run_counts_what_would_go_and_changes_nothing() {
    let origin = origin();
    let freshet = start(&origin, "purges_per_month = 3");
    for url in ["/p/q/a.jpg", "/p/q/b.jpg", "/r/c.jpg"] {
        freshet.get(url);
    }
    let body = json!({ "targets": ["http://img.test/p/q*", "http://img.test/p*"], "dry_run": true });
    let (status, found) = create(&freshet, body);
    assert_eq!((status, &found["dry_run"], &found["matched"]), (200, &json!(true), &json!(2)), "{found}");
    assert_eq!(found["keys"], json!(["http://img.test/p/q/a.jpg", "http://img.test/p/q/b.jpg"]));
    assert_eq!(
        (&found["targets"][0]["verdict"], &found["targets"][0]["matched"]),
        (&json!("accepted"), &json!(2))
    );
    assert_eq!(found["targets"][0]["bytes"], found["bytes"]);
    let refused = &found["targets"][1];
    assert_eq!(
        (&refused["verdict"], &refused["reason"], refused.get("matched")),
        (&json!("refused"), &json!("wildcard-wide"), None)
    );
    assert_eq!((&found["allowance"]["used"], &found["allowance"]["left"]), (&json!(0), &json!(3)));
    assert!(freshet.get("/p/q/a.jpg").is_hit());
    assert_eq!(get(&freshet, "/v1/purges")["purges"], json!([]));
}

#[test]
fn a_call_over_the_allowance_purges_nothing_and_an_operator_raises_it() {
    let origin = origin();
    let freshet = start(&origin, "purges_per_month = 2");
    let three = json!({ "targets": ["http://img.test/1", "http://img.test/2", "http://img.test/3"] });
    freshet.get("/1");
    let (status, over) = create(&freshet, three.clone());
    assert_eq!(
        (status, &over["reason"], &over["allowance"]["left"]),
        (429, &json!("allowance_used_up"), &json!(2))
    );
    assert!(freshet.get("/1").is_hit());
    let raise = json!({ "limit": 5, "note": "a campaign" });
    assert_eq!(call(&freshet, KEY, "PUT", "/v1/allowance", &raise).0, 403);
    let (status, raised) = call(&freshet, OPERATOR, "PUT", "/v1/allowance", &raise);
    assert_eq!((status, &raised["limit"]), (200, &json!(5)));
    assert_eq!(create(&freshet, three).0, 201);
    let (_, reset) =
        call(&freshet, OPERATOR, "PUT", "/v1/allowance", &json!({ "limit": null, "reset": true }));
    assert_eq!((&reset["limit"], &reset["used"], &reset["left"]), (&json!(null), &json!(0), &json!(null)));
    let history = get(&freshet, "/v1/purges?kind=allowance");
    let changes: Vec<_> = history["purges"].as_array().unwrap().iter().map(|row| &row["change"]).collect();
    assert_eq!(changes, ["limit 5 → none, used 3 → 0", "limit 2 → 5"]);
    assert_eq!(
        (&history["purges"][1]["by"], &history["purges"][1]["note"]),
        (&json!("ops"), &json!("a campaign"))
    );
    #[rustfmt::skip]
    let table = [
        (json!({}),                     "limit",   "nothing_to_change"),
        (json!({ "limit": -1 }),        "limit",   "limit_not_number"),
        (json!({ "limit": "5" }),       "limit",   "limit_not_number"),
        (json!({ "limit": 1u64 << 53 }), "limit",  "limit_not_number"),
        (json!({ "reset": 1 }),         "reset",   "reset_not_boolean"),
        (json!({ "limit": 1, "note": 7 }), "note", "note_not_text"),
    ];
    for (body, at, reason) in table {
        let (status, refused) = call(&freshet, OPERATOR, "PUT", "/v1/allowance", &body);
        assert_eq!((status, &refused["at"], &refused["reason"]), (400, &json!(at), &json!(reason)), "{body}");
    }
}

#[test]
fn the_history_is_filtered_and_paged_newest_first() {
    let origin = origin();
    let freshet = start(&origin, "");
    for at in 0..5 {
        freshet.clock.advance(Duration::from_secs(1));
        let note = if at % 2 == 0 { "Even" } else { "odd" };
        create(&freshet, json!({ "targets": [format!("http://img.test/{at}.jpg")], "note": note }));
    }
    let texts = |page: &Value| -> Vec<String> {
        let rows = page["purges"].as_array().unwrap().iter();
        rows.map(|row| row["targets"][0]["text"].as_str().unwrap().replace("http://img.test/", "")).collect()
    };
    for limit in [1, 2, 5, 200] {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = get(&freshet, &format!("/v1/purges?limit={limit}{cursor}"));
            assert!(page["purges"].as_array().unwrap().len() <= limit);
            all.extend(texts(&page));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(all, ["4.jpg", "3.jpg", "2.jpg", "1.jpg", "0.jpg"], "{limit} a page");
    }
    assert_eq!(texts(&get(&freshet, "/v1/purges?text=EVEN")), ["4.jpg", "2.jpg", "0.jpg"]);
    assert_eq!(texts(&get(&freshet, "/v1/purges?text=3.JPG")), ["3.jpg"]);
    wait_until("all are Completed", || texts(&get(&freshet, "/v1/purges?status=Pending")).is_empty());
    assert_eq!(texts(&get(&freshet, "/v1/purges?status=Completed&account=test&kind=purge")).len(), 5);
    assert_eq!(get(&freshet, "/v1/purges?kind=key")["purges"], json!([]));
    #[rustfmt::skip]
    let table = [
        ("limit=0",         "parameter_not_in_range"),
        ("limit=201",       "parameter_not_in_range"),
        ("status=pending",  "status_unknown"),
        ("kind=purges",     "kind_unknown"),
        ("cursor=x",        "cursor_unknown"),
        ("account=other",   "account_unknown"),
    ];
    for (query, reason) in table {
        let (status, refused) = call(&freshet, KEY, "GET", &format!("/v1/purges?{query}"), &Value::Null);
        assert_eq!((status, &refused["reason"]), (400, &json!(reason)), "{query}");
    }
}

#[test]
fn the_history_is_exported_as_a_table_that_runs_nowhere() {
    let origin = origin();
    let freshet = start(&origin, "");
    let targets = json!(["http://img.test/a,b.jpg", { "target": "tag", "tag": "summer" }]);
    let (_, purge) = create(&freshet, json!({ "targets": targets, "note": "=HYPERLINK(\"x\")" }));
    completed(&freshet, purge["id"].as_str().unwrap());
    freshet.clock.advance(Duration::from_secs(1));
    call(&freshet, OPERATOR, "PUT", "/v1/allowance", &json!({ "limit": 5 }));
    let table = freshet.admin("GET", "/v1/purges.csv", KEY, "");
    assert_eq!(
        (table.status, table.field("content-type")),
        (200, Some("text/csv; charset=utf-8; header=present"))
    );
    assert_eq!(table.field("content-disposition"), Some("attachment; filename=\"purges.csv\""));
    let rows = get(&freshet, "/v1/purges");
    let ids: Vec<_> =
        rows["purges"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    let expected = format!(
        "created_at,id,kind,account,status,mode,targets,note,door,by,matched,bytes,shared,visible_us,acknowledged_us,\
         swept_us,change\r\n\
         2023-11-14T22:13:21.000Z,{},allowance,test,,,,,api,ops,,,,,,,limit none → 5\r\n\
         2023-11-14T22:13:20.000Z,{},purge,test,Completed,delete,\"url http://img.test/a,b.jpg\ntag summer\",\
         \"'=HYPERLINK(\"\"x\"\")\",api,private key 1,0,0,false,0,0,0,\r\n",
        ids[0], ids[1]
    );
    assert_eq!(table.text(), expected);
    let filtered = freshet.admin("GET", "/v1/purges.csv?kind=purge", KEY, "").text();
    assert_eq!(filtered.matches("\r\n").count(), 2);
}

#[test]
fn an_export_goes_on_over_many_pages() {
    let origin = origin();
    let freshet = start(&origin, "");
    let mut client = Client::connect(freshet.app().admin);
    let count = 450;
    for at in 0..count {
        freshet.clock.advance(Duration::from_millis(1));
        let body = format!("{{\"targets\": [\"http://img.test/{at}.jpg\"]}}");
        client.send(format!(
            "POST /v1/purges HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n{body}",
            freshet.app().admin,
            body.len()
        ));
        let accepted: Answer = client.answer(false).unwrap();
        assert_eq!(accepted.status, 201, "{}", accepted.text());
    }
    let table = freshet.admin("GET", "/v1/purges.csv?limit=1", KEY, "");
    assert!(table.complete);
    let text = table.text();
    let numbers: Vec<usize> = text
        .lines()
        .filter_map(|line| line.split("img.test/").nth(1)?.split(".jpg").next()?.parse().ok())
        .collect();
    assert_eq!(numbers, (0..count).rev().collect::<Vec<_>>());
}

#[test]
fn what_is_purged_is_fetched_again_if_wanted_and_the_warming_can_be_ended() {
    let origin = origin();
    let freshet = start(&origin, "");
    for _ in 0..2 {
        freshet.get("/p/a.jpg");
    }
    let (status, purge) = create(&freshet, json!({ "targets": ["http://img.test/p/a.jpg"], "warm": true }));
    assert_eq!(status, 201);
    let id = purge["id"].as_str().unwrap();
    let path = format!("/v1/purges/{id}");
    wait_until("it is warm", || get(&freshet, &path)["warm"]["state"] == "done");
    assert_eq!(
        get(&freshet, &path)["warm"],
        json!({ "state": "done", "planned": 1, "done": 1, "failed": 0 })
    );
    assert!(freshet.get("/p/a.jpg").is_hit());
    let (status, ended) = call(&freshet, KEY, "DELETE", &format!("{path}/warm"), &Value::Null);
    assert_eq!((status, &ended["warm"]["state"]), (200, &json!("done")), "what has ended stays as it is");
    let unknown = "/v1/purges/00112233445566778899aabb";
    for (method, path) in
        [("GET", unknown.to_owned()), ("DELETE", format!("{unknown}/warm")), ("GET", "/v1/purges/x".into())]
    {
        let (status, refused) = call(&freshet, KEY, method, &path, &Value::Null);
        assert_eq!((status, &refused["reason"]), (404, &json!("purge_unknown")), "{method} {path}");
    }
}

#[test]
fn a_key_does_what_its_scopes_and_folders_allow_and_no_more() {
    let origin = origin();
    let freshet = start(&origin, "");
    let shop = json!({ "targets": ["http://img.test/shop/a.jpg"] });
    let (status, purge) = call(&freshet, BOUND, "POST", "/v1/purges", &shop);
    assert_eq!((status, &purge["by"]), (201, &json!("cms")));
    let id = purge["id"].as_str().unwrap();
    assert_eq!(call(&freshet, BOUND, "GET", &format!("/v1/purges/{id}"), &Value::Null).0, 200);
    let outside = json!({ "targets": ["http://img.test/shop/a.jpg", "http://img.test/news/a.jpg"] });
    let (status, denied) = call(&freshet, BOUND, "POST", "/v1/purges", &outside);
    assert_eq!((status, &denied["reason"]), (403, &json!("target_denied")));
    assert_eq!(denied["targets"][0]["verdict"], "accepted");
    assert_eq!(denied["targets"][1]["reason"], "outside_key");
    for path in ["/v1/purges", "/v1/purges.csv", "/v1/allowance", "/v1/cache?url=http://img.test/shop/a.jpg"]
    {
        assert_eq!(call(&freshet, BOUND, "GET", path, &Value::Null).0, 403, "{path}");
    }
    let everything = json!({ "targets": [{ "target": "everything", "confirm": "everything" }] });
    let (status, denied) = create(&freshet, everything.clone());
    assert_eq!((status, &denied["targets"][0]["reason"]), (403, &json!("scope_missing")));
    let (status, purge) = call(&freshet, OPERATOR, "POST", "/v1/purges", &everything);
    assert_eq!((status, &purge["by"]), (201, &json!("ops")), "{purge}");
}
