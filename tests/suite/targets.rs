//! What purges name, and what becomes of it: assets, tags, soft purges, and names at the edges of the rules.

use serde_json::json;

use crate::support::client::request;
use crate::support::origin::{Gate, Origin, Seen, Step, answer, image};
use crate::support::{Freshet, HOST, KEY, wait_until};

/// How a small origin names what it serves.
fn grouped(seen: &Seen) -> Vec<Step> {
    let groups = if seen.target.contains("summer") { "\"summer\", \"all\"" } else { "\"all\"" };
    let fields = [("content-type", "image/png"), ("cache-control", "max-age=60"), ("cache-groups", groups)];
    vec![Step::Send(answer("200 OK", &fields, format!("{} {}", seen.target, seen.number)))]
}

#[test]
fn asset_purges_every_transformation_of_an_image_and_nothing_else() {
    let origin = Origin::new(|seen| image(format!("{} {}", seen.target, seen.number)));
    let freshet = Freshet::before(&origin);
    let (inside, outside) = (
        [
            "/p/a.jpg",
            "/p/a.jpg?tr=w-9",
            "/tr:w-9/p/a.jpg",
            "/p/tr:w-9/a.jpg?v=2&ik-s=x",
            "/p/tr:h-1:w-2/a.jpg",
        ],
        ["/p/a.jpg.webp", "/p/b.jpg", "/q/a.jpg", "/p/a.jp", "/p/a.jpg/x"],
    );
    for target in inside.iter().chain(&outside) {
        freshet.get(target);
        assert!(freshet.get(target).is_hit());
    }
    freshet.purge_by_and_wait(&json!({ "target": "asset", "url": "http://img.test/p/a.jpg?tr=h-5" }));
    outside.iter().for_each(|target| assert!(freshet.get(target).is_hit(), "{target}"));
    inside.iter().for_each(|target| assert!(!freshet.get(target).is_hit(), "{target}"));
    let refused = freshet.purge_by(KEY, &json!({ "target": "asset", "url": "http://img.test/p/q/a*" }));
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("asset-wildcard"), "{}", refused.text());
}

#[test]
fn folder_transformation_and_pattern_purge_what_they_name_and_nothing_else() {
    let origin = Origin::new(|seen| image(format!("{} {}", seen.target, seen.number)));
    let freshet = Freshet::before(&origin);
    let url = |path: &str| format!("http://{HOST}{path}");
    let targets = [
        "/p/q/a.jpg",
        "/p/tr:n-hero,w-9/q/a.jpg",
        "/tr:w-9/p/q/deep/b.jpg?v=2",
        "/p/b.jpg?tr=w-9%3An-hero",
        "/p/qq/a.jpg",
        "/p/tr:n-heroes/a.jpg",
    ];
    for (members, named) in [
        (json!({ "target": "folder", "url": url("/p/q") }), &[0, 1, 2][..]),
        (json!({ "target": "folder", "url": url("/p/tr:h-1/q/deep/") }), &[2]),
        (json!({ "target": "transformation", "transformation": "hero" }), &[1, 3]),
        (json!({ "target": "transformation", "transformation": "n-heroes" }), &[5]),
        (json!({ "target": "pattern", "url": url("/p/*/a.jpg") }), &[0, 1, 4, 5]),
        (json!({ "target": "pattern", "url": url("/*/deep/*.jpg?v=2") }), &[]),
        (json!({ "target": "pattern", "url": url("/p/b.jpg?tr=*") }), &[3]),
    ] {
        for target in targets {
            freshet.get(target);
            assert!(freshet.get(target).is_hit());
        }
        if named.is_empty() {
            let refused = freshet.purge_by(KEY, &members);
            assert_eq!(refused.status, 400);
            assert!(refused.text().contains("pattern-wide"), "{}", refused.text());
            continue;
        }
        freshet.purge_by_and_wait(&members);
        for (at, target) in targets.iter().enumerate() {
            assert_eq!(freshet.get(target).is_hit(), !named.contains(&at), "{target} {members}");
        }
    }
    assert!(freshet.app().audit().is_clean());
}

#[test]
fn tag_purges_what_its_origin_named_so_and_nothing_else() {
    let origin = Origin::new(grouped);
    let freshet = Freshet::before(&origin);
    for target in ["/summer/a.png", "/summer/b.png", "/winter/a.png"] {
        freshet.get(target);
        assert!(freshet.get(target).is_hit());
    }
    freshet.purge_by_and_wait(&json!({ "target": "tag", "tag": "summer" }));
    assert!(!freshet.get("/summer/a.png").is_hit() && !freshet.get("/summer/b.png").is_hit());
    assert!(freshet.get("/winter/a.png").is_hit());
}

#[test]
fn tag_purge_during_a_fetch_that_turns_out_to_have_the_tag_is_not_undone() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(move |seen| match seen.number {
        0 => [vec![Step::Pause(held.clone())], grouped(seen)].concat(),
        _ => grouped(seen),
    });
    let freshet = Freshet::before(&origin);
    let mut early = freshet.client();
    early.send(request("GET", HOST, "/summer/a.png", &[]));
    gate.wait_for(1);
    let accepted = freshet.purge_by(KEY, &json!({ "target": "tag", "tag": "summer" }));
    assert_eq!(accepted.status, 201);
    // Nobody knows yet whether the fetch has the tag: who comes now does not join it.
    assert_eq!(freshet.get("/summer/a.png").text(), "/summer/a.png 1");
    gate.open();
    assert_eq!(early.answer(false).unwrap().text(), "/summer/a.png 0");
    let hit = freshet.get("/summer/a.png");
    assert!(hit.is_hit());
    assert_eq!(hit.text(), "/summer/a.png 1", "what the purge overtook is not stored");
    wait_until("the fence has retired", || freshet.app().figures().fences == 0);
    assert!(freshet.app().audit().is_clean());
}

#[test]
fn soft_purge_is_asked_about_before_it_is_served_and_not_fetched_whole() {
    let origin = Origin::new(|seen| match seen.field("if-none-match") {
        Some(_) => vec![Step::Send("HTTP/1.1 304 Not Modified\r\netag: \"v1\"\r\n\r\n".into())],
        None => {
            let fields = [("content-type", "image/png"), ("cache-control", "max-age=60"), ("etag", "\"v1\"")];
            vec![Step::Send(answer("200 OK", &fields, "version 1"))]
        }
    });
    let freshet = Freshet::before(&origin);
    freshet.get("/a.png");
    freshet.purge_by_and_wait(&json!({ "url": "http://img.test/a.png", "mode": "stale" }));
    let asked = freshet.get("/a.png");
    assert_eq!((asked.text(), asked.is_hit()), ("version 1".into(), false), "{}", asked.cache_status());
    assert_eq!(origin.count(), 2);
    assert!(freshet.get("/a.png").is_hit(), "the origin has confirmed it: it is fresh again");
    assert_eq!(origin.count(), 2);
}

#[test]
fn soft_purge_leaves_what_stale_while_revalidate_allows() {
    let origin = Origin::new(|seen| {
        let fields =
            [("content-type", "image/png"), ("cache-control", "max-age=60, stale-while-revalidate=60")];
        vec![Step::Send(answer("200 OK", &fields, format!("version {}", seen.number)))]
    });
    let freshet = Freshet::before(&origin);
    freshet.get("/a.png");
    freshet.purge_by_and_wait(&json!({ "url": "http://img.test/a.png", "mode": "stale" }));
    let stale = freshet.get("/a.png");
    assert_eq!((stale.text(), stale.is_hit()), ("version 0".into(), true), "{}", stale.cache_status());
    wait_until("one refresh ran behind it", || freshet.get("/a.png").text() == "version 1");
    assert_eq!(origin.count(), 2);
}

#[test]
fn success_of_an_unsafe_method_purges_the_groups_that_it_names() {
    let origin = Origin::new(|seen| match seen.method.as_str() {
        "POST" => {
            vec![Step::Send("HTTP/1.1 204 No Content\r\ncache-group-invalidation: \"summer\"\r\n\r\n".into())]
        }
        _ => grouped(seen),
    });
    let freshet = Freshet::with(&origin, "[[routes]]\nmethods = [\"POST\"]\n");
    for target in ["/summer/a.png", "/winter/a.png"] {
        freshet.get(target);
        assert!(freshet.get(target).is_hit());
    }
    let posted = freshet.client().request("POST", HOST, "/elsewhere", &[("content-length", "0")]);
    assert_eq!(posted.status, 204);
    assert!(!freshet.get("/summer/a.png").is_hit());
    assert!(freshet.get("/winter/a.png").is_hit());
}

#[test]
fn purges_of_odd_names_are_exact_in_effect_and_counted_truly() {
    let origin = Origin::new(|seen| image(format!("{} {}", seen.target, seen.number)));
    let freshet = Freshet::before(&origin);
    let long = format!("/long/{}.jpg", "x".repeat(8000));
    let odd = "/odd/a!$&'()+,;=:@-._~%25%20%2F%3F%23.jpg?q=!$&'()+,;=:@-._~/?%25&tr=w-1";
    for target in [&long, odd, "/deep/er/a.jpg", "/deep/er/est/b.jpg"] {
        freshet.get(target);
        assert!(freshet.get(target).is_hit(), "{target}");
    }
    // (what is purged, variants removed)
    let near = format!("http://img.test{}", &long[..long.len() - 1]);
    for (url, removed) in [
        (near.as_str(), 0),
        (&format!("http://img.test{long}"), 1),
        (&format!("http://img.test{odd}"), 1),
        ("http://img.test/never/stored.jpg", 0),
        ("http://img.test/deep/er/*", 2),
        ("http://img.test/deep/er/*", 0),
        ("http://img.test/deep/er/est/*", 0),
    ] {
        assert_eq!(counts(&freshet, url), (removed, "own".into()), "{url}");
    }
    for (url, reason) in [("http://img.test/*", "wildcard-wide"), ("*", "scheme"), ("", "url_missing")] {
        let refused = freshet.purge(url);
        assert_eq!(refused.status, 400, "{url}");
        assert!(refused.text().contains(reason), "{url}: {}", refused.text());
    }
    for target in [&long, odd, "/deep/er/a.jpg"] {
        assert!(!freshet.get(target).is_hit(), "{target}");
    }
}

/// Purges; what the answer to its status tells: variants removed, and whether they are its own.
fn counts(freshet: &Freshet, url: &str) -> (u64, String) {
    let accepted = freshet.purge(url);
    assert_eq!(accepted.status, 201, "{}", accepted.text());
    let body: serde_json::Value = serde_json::from_slice(&accepted.body).unwrap();
    let path = format!("/v1/files/purge/{}", body["requestId"].as_str().unwrap());
    let status = || freshet.admin("GET", &path, KEY, "");
    wait_until("the purge is Completed", || status().text() == r#"{"status":"Completed"}"#);
    let status = status();
    let field = |name| status.field(name).unwrap().to_owned();
    (field("freshet-purged-entries").parse().unwrap(), field("freshet-purged-counts"))
}
