//! The method PURGE on the images' port: as plugins of content management systems send it, and as nobody should.

use std::process::Command;

use crate::support::client::{Answer, Client};
use crate::support::origin::{Origin, answer, image};
use crate::support::{Freshet, HOST, KEY};

/// On, with a key for each kind of caller.
const ON: &str = "[proxy]\npurge_method = true\n\
    [[keys]]\nname = \"reader\"\nkey = \"reader_0123456789abcdef\"\naccount = \"test\"\nscopes = [\"read\"]\n\
    [[keys]]\nname = \"bound\"\nkey = \"bound_0123456789abcdef\"\naccount = \"test\"\nscopes = [\"purge\"]\n\
    urls = [\"http://img.test/photos/\"]\n\
    [[keys]]\nname = \"operator\"\nkey = \"operator_0123456789abcdef\"\nscopes = [\"operator\"]\n";

/// Names and values.
type Fields<'a> = &'a [(&'a str, &'a str)];

fn basic(key: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{key}:")))
}

fn purge(freshet: &Freshet, host: &str, target: &str, fields: &[(&str, &str)]) -> Answer {
    let bearer = format!("Bearer {KEY}");
    let fields = [&[("authorization", &*bearer)], fields].concat();
    freshet.client().request("PURGE", host, target, &fields)
}

/// Stores these, and sees that they are.
fn store(freshet: &Freshet, targets: &[&str]) {
    for target in targets {
        freshet.get(target);
        assert!(freshet.get(target).is_hit(), "{target}");
    }
}

fn reason_of(answer: &Answer) -> String {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    body["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn purge_is_no_method_here_unless_the_config_says_so() {
    let origin = Origin::new(|seen| image(&seen.method));
    let freshet = Freshet::before(&origin);
    store(&freshet, &["/a.png"]);
    assert_eq!(purge(&freshet, HOST, "/a.png", &[]).status, 405);
    assert!(freshet.get("/a.png").is_hit());
    let passed = Freshet::with(&origin, "[[routes]]\nhttp = \"rfc\"\n");
    assert_eq!(
        purge(&passed, HOST, "/a.png", &[]).text(),
        "PURGE",
        "a route that passes every method passes it"
    );
}

#[test]
fn purge_removes_its_url_by_either_scheme_and_is_neither_passed_on_nor_stored() {
    let origin = Origin::new(|seen| image(format!("{} {}", seen.method, seen.target)));
    let freshet = Freshet::with(&origin, &format!("{ON}[[routes]]\nhttp = \"rfc\"\n"));
    for authorization in [basic(KEY), format!("Bearer {KEY}"), format!("Basic {KEY}")] {
        store(&freshet, &["/a.png", "/a.png?v=2", "/b.png"]);
        let fields = [("authorization", &*authorization)];
        let mut client = freshet.client();
        let purged = client.request("PURGE", HOST, "/a.png", &fields);
        assert_eq!(purged.status, 200, "{purged:?}");
        assert_eq!(purged.field("content-type"), Some("application/json"));
        assert_eq!(purged.field("cache-control"), Some("no-store"));
        assert_eq!(purged.cache_status(), "Freshet; detail=purge");
        let body: serde_json::Value = serde_json::from_slice(&purged.body).unwrap();
        let id = body["id"].as_str().unwrap();
        assert_eq!(body, serde_json::json!({ "id": id }));
        let status = freshet.admin("GET", &format!("/v1/files/purge/{id}"), KEY, "");
        assert_eq!(status.status, 200, "it is a purge like others");
        let after = client.request("GET", HOST, "/a.png", &[]);
        assert!(!after.is_hit() && after.text() == "GET /a.png", "{after:?}");
        assert!(freshet.get("/a.png?v=2").is_hit() && freshet.get("/b.png").is_hit());
    }
    for seen in origin.seen() {
        assert_eq!(seen.method, "GET", "{seen:?}");
        assert_eq!(seen.field("authorization"), None, "{seen:?}");
    }
}

#[test]
fn purge_takes_aliases_absolute_targets_and_a_star_at_the_end() {
    let origin = Origin::new(|seen| image(&seen.target));
    let freshet = Freshet::with(&origin, ON);
    let all = ["/p/a.png", "/p/a.png?tr=w-9", "/p/b.png"];
    let check = |host: &str, target: &str, gone: &[&str]| {
        store(&freshet, &all);
        let purged = purge(&freshet, host, target, &[]);
        assert_eq!(purged.status, 200, "{host} {target}: {purged:?}");
        for stored in all {
            assert_eq!(!freshet.get(stored).is_hit(), gone.contains(&stored), "{host} {target}: {stored}");
        }
    };
    check("alias.test", "/pictures/p/a.png", &["/p/a.png"]);
    check("ALIAS.test:80", "/pictures/p/a.png?tr=w-9", &["/p/a.png?tr=w-9"]);
    check(HOST, "http://img.test/p/a.png", &["/p/a.png"]);
    check(HOST, "/p/a.png*", &["/p/a.png", "/p/a.png?tr=w-9"]);
    check(HOST, "/p/a.png?t*", &["/p/a.png?tr=w-9"]);
}

#[test]
fn purge_reads_target_name_and_mode_from_fields() {
    let origin = Origin::new(|seen| {
        let fields = [("content-type", "image/png"), ("cache-control", "max-age=60"), ("cache-tag", "news")];
        let fields = if seen.target.starts_with("/n") { &fields[..] } else { &fields[..2] };
        vec![crate::support::origin::Step::Send(answer("200 OK", fields, seen.number.to_string()))]
    });
    let freshet = Freshet::with(&origin, ON);
    let all = ["/n/a.png", "/n/a.png?tr=n-hero", "/tr:w-9/n/a.png", "/n/b.png", "/m/a.png"];
    #[rustfmt::skip]
    let table: [(&str, Fields<'_>, &[&str]); 7] = [
        // target          fields                                                              gone
        ("/n/a.png",       &[("freshet-target", "asset")],                                     &all[..3]),
        ("/n/",            &[("freshet-target", "folder")],                                    &all[..4]),
        ("/n/a*",          &[("freshet-target", "prefix")],                                    &all[..2]),
        ("/n/*.png",       &[("freshet-target", "pattern")],                                   &[all[0], all[3]]),
        ("/",              &[("freshet-target", "tag"), ("freshet-name", "news")],             &[all[0], all[1], all[3]]),
        ("/x",             &[("freshet-target", "transformation"), ("freshet-name", "hero")],  &all[1..2]),
        ("/m/a.png",       &[("freshet-mode", "stale")],                                       &all[4..]),
    ];
    for (target, fields, gone) in table {
        store(&freshet, &all);
        let purged = purge(&freshet, HOST, target, fields);
        assert_eq!(purged.status, 200, "{fields:?}: {purged:?}");
        for stored in all {
            assert_eq!(!freshet.get(stored).is_hit(), gone.contains(&stored), "{fields:?}: {stored}");
        }
    }
}

#[test]
fn purge_that_is_refused_says_why_and_purges_nothing() {
    let origin = Origin::new(|seen| image(&seen.target));
    let freshet = Freshet::with(&origin, ON);
    store(&freshet, &["/a.png", "/photos/a.png"]);
    let key = |key: &str| format!("Bearer {key}");
    let (mine, reader, bound) = (key(KEY), key("reader_0123456789abcdef"), key("bound_0123456789abcdef"));
    #[rustfmt::skip]
    let table: [(&str, &str, Fields<'_>, u16, &str); 10] = [
        // host        target      fields                                                                   status  reason
        (HOST,         "/a.png",   &[],                                                                     401, "key_missing"),
        (HOST,         "/a.png",   &[("cookie", "freshet_session=x"), ("sec-fetch-site", "same-origin")],   401, "key_missing"),
        (HOST,         "/a.png",   &[("authorization", "Bearer wrong")],                                    403, "key_unknown"),
        (HOST,         "/a.png",   &[("authorization", &reader)],                                           403, "scope_missing"),
        (HOST,         "/a.png",   &[("authorization", &bound)],                                            403, "outside_key"),
        (HOST,         "/*",       &[("authorization", &mine)],                                             400, "wildcard-wide"),
        (HOST,         "/x",       &[("authorization", &mine), ("freshet-target", "everything")],           400, "target_unknown"),
        (HOST,         "/x",       &[("authorization", &mine), ("freshet-target", "tag")],                  400, "name_missing"),
        (HOST,         "/a.png",   &[("authorization", &mine), ("freshet-mode", "now")],                    400, "mode_unknown"),
        ("other.test", "/a.png",   &[("authorization", &mine)],                                             421, ""),
    ];
    for (host, target, fields, status, reason) in table {
        let refused = freshet.client().request("PURGE", host, target, fields);
        assert_eq!((refused.status, &*reason_of(&refused)), (status, reason), "{fields:?}: {refused:?}");
        assert_eq!(refused.field("www-authenticate").is_some(), status == 401);
    }
    assert!(freshet.get("/a.png").is_hit());
    let allowed = freshet.client().request("PURGE", HOST, "/photos/a.png", &[("authorization", &*bound)]);
    assert_eq!(allowed.status, 200, "{allowed:?}");
    let lower = freshet.client().request("purge", HOST, "/a.png", &[("authorization", &*mine)]);
    assert_eq!(lower.status, 405, "methods are case-sensitive");
}

#[test]
fn purge_with_a_body_is_refused_and_ends_the_connection() {
    let origin = Origin::new(|seen| image(&seen.target));
    let freshet = Freshet::with(&origin, ON);
    store(&freshet, &["/a.png"]);
    for (framing, body) in
        [("content-length: 5", "GET /"), ("transfer-encoding: chunked", "5\r\nGET /\r\n0\r\n\r\n")]
    {
        let mut client = freshet.client();
        client.send(format!(
            "PURGE /a.png HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {KEY}\r\n{framing}\r\n\r\n{body}"
        ));
        let refused = client.answer(false).unwrap();
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(client.is_closed());
    }
    assert!(freshet.get("/a.png").is_hit());
    let mut client = freshet.client();
    client.send(format!(
        "PURGE /a.png HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {KEY}\r\ncontent-length: 0\r\n\r\n"
    ));
    assert_eq!(client.answer(false).unwrap().status, 200, "an empty body is none");
}

#[test]
fn guessing_a_key_is_bounded_on_both_ports_together() {
    let origin = Origin::new(|seen| image(&seen.target));
    let freshet = Freshet::with(&origin, ON);
    let wrong = [("authorization", "Bearer wrong")];
    let statuses: Vec<u16> = (0..12)
        .map(|guess| match guess % 2 {
            0 => freshet.client().request("PURGE", HOST, "/a.png", &wrong).status,
            _ => freshet.admin("GET", "/v1/debug/audit", "wrong", "").status,
        })
        .collect();
    assert_eq!(statuses[..10], [403; 10]);
    assert_eq!(statuses[10..], [429; 2]);
    assert_eq!(purge(&freshet, HOST, "/a.png", &[]).status, 429, "not even a right one");
    freshet.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(purge(&freshet, HOST, "/a.png", &[]).status, 200);
}

#[test]
fn operators_key_purges_in_the_account_that_the_url_belongs_to() {
    let origin = Origin::new(|seen| image(&seen.target));
    let other = "[[accounts]]\nid = \"other\"\nprivate_keys = [\"private_other_0123456789\"]\n\
                 url_endpoints = [\"http://other.test\"]\norigin = \"demo\"\n";
    let freshet = Freshet::with(&origin, &format!("{ON}{other}"));
    store(&freshet, &["/a.png"]);
    let operator = [("authorization", "Bearer operator_0123456789abcdef")];
    assert_eq!(freshet.client().request("PURGE", "other.test", "/a.png", &operator).status, 200);
    assert!(freshet.get("/a.png").is_hit());
    assert_eq!(freshet.client().request("PURGE", HOST, "/a.png", &operator).status, 200);
    assert!(!freshet.get("/a.png").is_hit());
    let others = [("authorization", "Bearer private_other_0123456789")];
    let refused = freshet.client().request("PURGE", HOST, "/a.png", &others);
    assert_eq!((refused.status, &*reason_of(&refused)), (400, "account_unknown"));
}

/// What plugins run, or do by a library: `curl -X PURGE -u KEY: URL`, with the Host of an alias where the server is
/// called by its address.
#[test]
fn curl_purges() {
    let origin = Origin::new(|seen| image(&seen.target));
    let freshet = Freshet::with(&origin, ON);
    store(&freshet, &["/a.png"]);
    let url = format!("http://{}/pictures/a.png", freshet.app().proxy);
    let output = Command::new("curl")
        .args(["--noproxy", "*", "-sS", "-m", "20", "-w", " %{http_code}", "-X", "PURGE"])
        .args(["-u", &format!("{KEY}:"), "-H", "Host: alias.test", &url])
        .output();
    let Ok(output) = output else {
        assert!(std::env::var_os("CI").is_none(), "curl is not there");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.starts_with("{\"id\":\"") && said.ends_with("\"} 200"), "{said}");
    assert!(!freshet.get("/a.png").is_hit());
}

#[test]
fn purge_is_no_method_of_the_admin_port() {
    let origin = Origin::new(|seen| image(&seen.target));
    let freshet = Freshet::with(&origin, ON);
    let mut admin = Client::connect(freshet.app().admin);
    let host = freshet.app().admin.to_string();
    let answer = admin.request("PURGE", &host, "/a.png", &[("authorization", &basic(KEY))]);
    assert_eq!(answer.status, 404, "{answer:?}");
}
