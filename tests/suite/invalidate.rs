//! The draft "An HTTP Cache Invalidation API", as a content management system that knows nothing of Freshet uses it.

use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::origin::{Origin, Step, answer, image};
use crate::support::{Freshet, KEY, wait_until};

const KEYS: &str = "[[keys]]\nname = \"operator\"\nkey = \"operator_0123456789abcdef\"\nscopes = [\"operator\"]\n\
    [[keys]]\nname = \"bound\"\nkey = \"bound_0123456789abcdef\"\naccount = \"test\"\nscopes = [\"purge\"]\n\
    urls = [\"http://img.test/photos/\"]\n\
    [[keys]]\nname = \"reader\"\nkey = \"reader_0123456789abcdef\"\naccount = \"test\"\nscopes = [\"read\"]\n";
const OPERATOR: &str = "operator_0123456789abcdef";

fn invalidate_as(freshet: &Freshet, key: &str, event: &Value) -> Answer {
    let (admin, event) = (freshet.app().admin, event.to_string());
    let mut client = Client::connect(admin);
    client.send(format!(
        "POST /invalidate HTTP/1.1\r\nhost: {admin}\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{event}",
        event.len()
    ));
    client.answer(false).expect("the admin listener answers")
}

fn invalidate(freshet: &Freshet, event: &Value) -> Answer {
    invalidate_as(freshet, KEY, event)
}

/// Stores these, and sees that they are.
fn store(freshet: &Freshet, targets: &[&str]) {
    for target in targets {
        freshet.get(target);
        assert!(freshet.get(target).is_hit(), "{target}");
    }
}

fn assert_gone(freshet: &Freshet, all: &[&str], gone: &[&str], what: &Value) {
    for target in all {
        assert_eq!(!freshet.get(target).is_hit(), gone.contains(target), "{what}: {target}");
    }
}

#[test]
fn uri_and_prefix_select_what_the_draft_says() {
    let origin = Origin::new(|seen| image(&seen.target));
    let freshet = Freshet::before(&origin);
    #[rustfmt::skip]
    let all = ["/foo/bar", "/foo/bar/", "/foo/bar/baz", "/foo/bar/baz/bat", "/foo/bar?baz", "/foo/barbaz", "/foo/BAR/baz", "/foo/b%2Ar"];
    #[rustfmt::skip]
    let table: [(&str, &str, &[&str]); 12] = [
        // type         selector                               selects
        ("uri",         "http://img.test/foo/bar",             &all[..1]),
        ("uri",         "HTTPS://IMG.test:80/fo%6f/./x/../bar", &all[..1]),
        ("uri",         "http://img.test/../foo/bar",          &all[..1]),
        ("uri",         "http://alias.test/pictures/foo/bar",  &all[..1]),
        ("uri",         "http://img.test/foo/bar?baz",         &all[4..5]),
        ("uri",         "http://img.test/foo/b*r",             &all[7..]),
        ("uri",         "http://img.test/foo/bar*",            &[]),
        ("uri-prefix",  "http://img.test/foo/bar",             &all[..5]),
        ("uri-prefix",  "http://alias.test/pictures/foo/bar",  &all[..5]),
        ("uri-prefix",  "http://img.test/foo/bar/",            &all[1..4]),
        ("uri-prefix",  "http://img.test/foo/bar?b",           &all[4..5]),
        ("uri-prefix",  "http://img.test/foo",                 &all),
    ];
    for (kind, selector, selected) in table {
        for purge in [true, false] {
            store(&freshet, &all);
            let event = json!({ "type": kind, "selectors": [selector], "purge": purge, "unknown": {} });
            let done = invalidate(&freshet, &event);
            assert_eq!(done.status, 200, "{event}: {}", done.text());
            assert_gone(&freshet, &all, selected, &event);
        }
    }
    assert!(freshet.app().audit().is_clean());
}

#[test]
fn with_purge_all_is_removed_before_the_answer() {
    let origin = Origin::new(|seen| image(&seen.target));
    let freshet = Freshet::before(&origin);
    let all: Vec<String> = (0..50).map(|at| format!("/many/{at}.png")).collect();
    all.iter().for_each(|target| drop(freshet.get(target)));
    assert_eq!(freshet.app().figures().entries, 50);
    let event = json!({ "type": "uri-prefix", "selectors": ["http://img.test/many"], "purge": true });
    assert_eq!(invalidate(&freshet, &event).status, 200);
    assert_eq!(freshet.app().figures().entries, 0);
}

#[test]
fn without_purge_what_is_selected_is_asked_about_and_not_fetched_whole() {
    let origin = Origin::new(|seen| match seen.field("if-none-match") {
        Some(_) => vec![Step::Send("HTTP/1.1 304 Not Modified\r\netag: \"v1\"\r\n\r\n".into())],
        None => {
            let fields = [("content-type", "image/png"), ("cache-control", "max-age=60"), ("etag", "\"v1\"")];
            vec![Step::Send(answer("200 OK", &fields, "version 1"))]
        }
    });
    let freshet = Freshet::before(&origin);
    store(&freshet, &["/p/a.png"]);
    assert_eq!(
        invalidate(&freshet, &json!({ "type": "uri-prefix", "selectors": ["http://img.test/p"] })).status,
        200
    );
    assert!(!freshet.get("/p/a.png").is_hit());
    assert_eq!(origin.seen()[1].field("if-none-match"), Some("\"v1\""));
}

#[test]
fn group_selects_by_the_names_that_the_origin_gave() {
    let origin = Origin::new(|seen| {
        let group = if seen.target.starts_with("/s") { "\"scripts\"" } else { "\"styles\"" };
        let fields =
            [("content-type", "image/png"), ("cache-control", "max-age=60"), ("cache-groups", group)];
        vec![Step::Send(answer("200 OK", &fields, seen.number.to_string()))]
    });
    let freshet = Freshet::with(&origin, KEYS);
    let all = ["/s.png", "/t.png"];
    for (key, selectors, groups, gone) in [
        (KEY, json!(["http://img.test:80"]), json!(["scripts"]), &all[..1]),
        (KEY, json!(["http://img.test", "https://alias.test:443"]), json!(["scripts", "styles"]), &all[..]),
        (OPERATOR, json!(["http://img.test:80"]), json!(["styles"]), &all[1..]),
    ] {
        store(&freshet, &all);
        let event = json!({ "type": "group", "selectors": selectors, "groups": groups, "purge": true });
        let done = invalidate_as(&freshet, key, &event);
        assert_eq!(done.status, 200, "{event}: {}", done.text());
        assert_gone(&freshet, &all, gone, &event);
    }
}

#[test]
fn origin_is_an_operators_alone() {
    let origin = Origin::new(|seen| image(&seen.target));
    let freshet = Freshet::with(&origin, KEYS);
    let all = ["/a.png", "/b/c.png"];
    store(&freshet, &all);
    let event = json!({ "type": "origin", "selectors": ["http://alias.test:80"], "purge": true });
    let refused = invalidate(&freshet, &event);
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.text().contains("scope_missing"), "{}", refused.text());
    assert_gone(&freshet, &all, &[], &event);
    assert_eq!(invalidate_as(&freshet, OPERATOR, &event).status, 200);
    wait_until("all is gone", || freshet.app().figures().entries == 0);
}

#[test]
fn event_that_is_refused_in_one_selector_does_nothing_and_says_why() {
    let origin = Origin::new(|seen| image(&seen.target));
    let freshet = Freshet::with(&origin, KEYS);
    let all = ["/photos/a.png", "/b.png"];
    store(&freshet, &all);
    let (good, bound, reader) =
        ("http://img.test/b.png", "bound_0123456789abcdef", "reader_0123456789abcdef");
    let photo = "http://img.test/photos/a.png";
    #[rustfmt::skip]
    let table = [
        // key     event                                                                                   status  reason
        (KEY,      json!({ "type": "uri", "selectors": [good, "http://other.test/x"] }),                   400, "outside-account"),
        (KEY,      json!({ "type": "uri-prefix", "selectors": [good, "http://img.test/"] }),               400, "folder-root"),
        (KEY,      json!({ "type": "group", "selectors": ["http://other.test"], "groups": ["g"] }),        400, "origin_unknown"),
        (KEY,      json!({ "type": "group", "selectors": ["http://img.test/"], "groups": ["g"] }),         400, "origin_unknown"),
        (KEY,      json!({ "type": "uri", "selectors": good }),                                            400, "selectors_missing"),
        (KEY,      json!({ "selectors": [good] }),                                                         400, "type_missing"),
        (KEY,      json!({ "type": "regex", "selectors": [good] }),                                        501, "type_unsupported"),
        (KEY,      json!([]),                                                                              400, "event_not_json"),
        (bound,    json!({ "type": "uri", "selectors": [photo, good] }),                                   403, "outside_key"),
        (bound,    json!({ "type": "uri-prefix", "selectors": ["http://img.test/photos"] }),               403, "outside_key"),
        (bound,    json!({ "type": "group", "selectors": ["http://img.test"], "groups": ["g"] }),          403, "target_unbound"),
        (reader,   json!({ "type": "uri", "selectors": [good] }),                                          403, "scope_missing"),
        ("wrong",  json!({ "type": "uri", "selectors": [good] }),                                          403, "key_unknown"),
        (OPERATOR, json!({ "type": "uri", "selectors": ["http://img.test/b.png"], "account": "nobody" }),  400, "account_unknown"),
    ];
    for (key, event, status, reason) in table {
        let refused = invalidate_as(&freshet, key, &event);
        let problem: Value = serde_json::from_slice(&refused.body).unwrap();
        assert_eq!(
            (refused.status, problem["reason"].as_str()),
            (status, Some(reason)),
            "{event}: {problem}"
        );
        assert_eq!(refused.field("content-type"), Some("application/problem+json"));
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        assert_gone(&freshet, &all, &[], &event);
    }
    let event = json!({ "type": "uri", "selectors": [good, "http://other.test/x", photo, "nonsense"] });
    let problem: Value = serde_json::from_slice(&invalidate(&freshet, &event).body).unwrap();
    let refused: Vec<&Value> =
        problem["selectors"].as_array().unwrap().iter().map(|one| &one["selector"]).collect();
    assert_eq!(refused, ["http://other.test/x", "nonsense"], "each is told");
    let many: Vec<&str> = std::iter::repeat_n(good, 101).collect();
    assert_eq!(invalidate(&freshet, &json!({ "type": "uri", "selectors": many })).status, 400);
    let inside = json!({ "type": "uri-prefix", "selectors": ["http://img.test/photos/"], "purge": true });
    assert_eq!(invalidate_as(&freshet, bound, &inside).status, 200);
    assert_gone(&freshet, &all, &all[..1], &inside);
}
