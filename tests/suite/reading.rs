//! The calls that show what is stored, over the whole server: exact bodies, pages, pictures, and no look that counts.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::origin::{Origin, Seen, Step, answer};
use crate::support::{Freshet, KEY, account};

/// Pictures but below `/text/`; with a tag, a validator and variants below `/p/`.
fn pictures(seen: &Seen) -> Vec<Step> {
    let mut fields = vec![("content-type", "image/webp"), ("cache-control", "max-age=60")];
    if seen.target.starts_with("/p/") {
        fields.extend([("vary", "Accept"), ("cache-tag", "summer"), ("etag", "\"v1\"")]);
        fields.push(("last-modified", "Tue, 14 Nov 2023 22:13:20 GMT"));
        fields.push(("age", "5"));
    }
    if seen.target.starts_with("/svg/") {
        fields[0] = ("content-type", "image/svg+xml");
    }
    vec![Step::Send(answer("200 OK", &fields, format!("{} as a picture", seen.target)))]
}

/// A read of the admin listener, its parameters encoded.
fn read(freshet: &Freshet, path: &str, parameters: &[(&str, &str)]) -> Answer {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    freshet.admin("GET", &format!("{path}?{query}"), KEY, "")
}

fn body(answer: &Answer) -> Value {
    assert_eq!(answer.field("content-type"), Some("application/json"));
    serde_json::from_slice(&answer.body).unwrap()
}

fn show(freshet: &Freshet, url: &str) -> Value {
    let answer = read(freshet, "/v1/cache", &[("url", url)]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    body(&answer)
}

#[test]
fn a_url_is_shown_with_its_variants_and_its_images_transformations() {
    let origin = Origin::new(pictures);
    let freshet = Freshet::before(&origin);
    freshet.get_with("/p/a.jpg?tr=w-9", &[("accept", "image/avif")]);
    freshet.clock.advance(Duration::from_secs(2));
    freshet.get_with("/p/a.jpg?tr=w-9", &[]);
    freshet.get_with("/p/a.jpg?tr=w-9", &[]);
    freshet.get("/p/tr:w-9/a.jpg");
    freshet.get("/p/b.jpg");
    freshet.clock.advance(Duration::from_secs(1));

    let mut shown = show(&freshet, "http://alias.test/pictures/p/a.jpg?tr=w-9");
    for variant in shown["variants"].as_array_mut().unwrap() {
        assert!(variant["weight"].as_u64().unwrap() > variant["bytes"].as_u64().unwrap());
        variant.as_object_mut().unwrap().remove("weight");
        variant.as_object_mut().unwrap().remove("epoch");
    }
    for key in shown["transformations"].as_array_mut().unwrap() {
        assert!(key["weight"].as_u64().unwrap() > key["bytes"].as_u64().unwrap());
        key.as_object_mut().unwrap().remove("weight");
    }
    let variant = |age: u64, stored_at: &str, hits: u64, accept: &str| {
        json!({
            "status": 200, "content_type": "image/webp", "bytes": 28, "age_seconds": age, "lifetime_seconds": 60,
            "fresh": true, "stale_by_purge": false, "hits": hits, "stored_at": stored_at, "etag": "\"v1\"",
            "last_modified": "Tue, 14 Nov 2023 22:13:20 GMT", "tags": ["summer"], "selected_by": { "accept": accept },
        })
    };
    let expected = json!({
        "url": "http://img.test/p/a.jpg?tr=w-9",
        "key": "test/p/a.jpg?tr=w-9",
        "asset": "test/p/a.jpg",
        "stored": true,
        "variants": [
            variant(6, "2023-11-14T22:13:22.000Z", 1, "*/*"),
            variant(8, "2023-11-14T22:13:20.000Z", 0, "image/avif,*/*"),
        ],
        "transformations": [
            { "url": "http://img.test/p/a.jpg?tr=w-9", "variants": 2, "bytes": 56, "hits": 1 },
            { "url": "http://img.test/p/tr:w-9/a.jpg", "variants": 1, "bytes": 28, "hits": 0 },
        ],
        "next": null,
    });
    assert_eq!(shown, expected);
    assert_eq!(origin.count(), 4, "nothing was fetched for the look");
}

#[test]
fn nothing_is_shown_of_what_is_purged_or_was_never_there() {
    let origin = Origin::new(pictures);
    let freshet = Freshet::before(&origin);
    let url = "http://img.test/q/a.jpg";
    assert_eq!(show(&freshet, url)["stored"], json!(false));
    freshet.get("/q/a.jpg");
    assert_eq!(show(&freshet, url)["stored"], json!(true));
    assert_eq!(freshet.purge(url).status, 201);
    let shown = show(&freshet, url);
    assert_eq!(
        [&shown["stored"], &shown["variants"], &shown["transformations"]],
        [&json!(false), &json!([]), &json!([])]
    );
    freshet.get("/q/a.jpg");
    freshet.purge_by_and_wait(&json!({ "url": url, "mode": "stale" }));
    let variant = &show(&freshet, url)["variants"][0];
    assert_eq!(
        [&variant["fresh"], &variant["stale_by_purge"], &variant["lifetime_seconds"]],
        [&json!(false), &json!(true), &json!(60)]
    );
}

#[test]
fn keys_come_in_pages_that_a_cursor_joins() {
    let origin = Origin::new(pictures);
    let freshet = Freshet::before(&origin);
    for at in 0..7 {
        freshet.get(&format!("/q/{at}.jpg"));
    }
    freshet.get("/r/a.jpg");
    for limit in ["1", "3", "7", "1000"] {
        let (mut urls, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut parameters = vec![("prefix", "http://img.test/q/"), ("limit", limit)];
            parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page = body(&read(&freshet, "/v1/cache/keys", &parameters));
            let keys = page["keys"].as_array().unwrap();
            assert!(keys.len() <= limit.parse().unwrap());
            urls.extend(keys.iter().map(|key| key["url"].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => break,
            }
        }
        let expected: Vec<String> = (0..7).map(|at| format!("http://img.test/q/{at}.jpg")).collect();
        assert_eq!(urls, expected, "{limit} a page");
    }
    let whole = body(&read(&freshet, "/v1/cache/keys", &[("prefix", "http://img.test*")]));
    assert_eq!(whole["keys"].as_array().unwrap().len(), 8);
}

#[test]
fn a_picture_is_shown_as_it_is_stored_and_can_do_nothing() {
    let origin = Origin::new(pictures);
    let freshet = Freshet::before(&origin);
    freshet.get("/p/a.jpg");
    freshet.get("/svg/a.svg");
    for (target, kind) in [("/p/a.jpg", "image/webp"), ("/svg/a.svg", "image/svg+xml")] {
        let picture = read(&freshet, "/v1/cache/image", &[("url", &format!("http://img.test{target}"))]);
        assert_eq!((picture.status, picture.text()), (200, format!("{target} as a picture")));
        assert_eq!(picture.field("content-type"), Some(kind));
        assert_eq!(picture.field("content-length"), Some(&*picture.body.len().to_string()));
        assert_eq!(picture.field("x-content-type-options"), Some("nosniff"));
        assert_eq!(picture.field("cache-control"), Some("no-store"));
        assert_eq!(picture.field("cross-origin-resource-policy"), Some("same-origin"));
        let policy = picture.field("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("sandbox"), "{policy}");
    }
    let second = read(&freshet, "/v1/cache/image", &[("url", "http://img.test/p/a.jpg"), ("variant", "1")]);
    assert_eq!((second.status, &body(&second)["reason"]), (404, &json!("not_stored")));
}

#[test]
fn what_is_no_whole_picture_is_not_shown_as_one() {
    let origin = Origin::new(|seen| {
        let (status, kind) = match &*seen.target {
            "/page" => ("200 OK", "text/html"),
            _ => ("404 Not Found", "image/png"),
        };
        vec![Step::Send(answer(
            status,
            &[("content-type", kind), ("cache-control", "max-age=60")],
            "<script>",
        ))]
    });
    let sections =
        format!("{}\n[[routes]]\nhttp = \"rfc\"\n", account(&format!("http://{}", origin.address)));
    let freshet = Freshet::start(&sections);
    for target in ["/page", "/missing"] {
        freshet.get(target);
        let url = format!("http://img.test{target}");
        assert_eq!(show(&freshet, &url)["stored"], json!(true), "{target}");
        let refused = read(&freshet, "/v1/cache/image", &[("url", &url)]);
        assert_eq!((refused.status, &body(&refused)["reason"]), (404, &json!("not_picture")), "{target}");
    }
}

#[test]
fn a_look_counts_no_hit_and_no_request() {
    let origin = Origin::new(pictures);
    let freshet = Freshet::before(&origin);
    freshet.get("/p/a.jpg");
    for _ in 0..5 {
        read(&freshet, "/v1/cache/image", &[("url", "http://img.test/p/a.jpg")]);
        read(&freshet, "/v1/cache/keys", &[("prefix", "http://img.test/")]);
        assert_eq!(show(&freshet, "http://img.test/p/a.jpg")["variants"][0]["hits"], json!(0));
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn what_can_not_be_read_is_refused_with_its_place_and_the_rule() {
    let origin = Origin::new(pictures);
    let other = "\n[[accounts]]\nid = \"other\"\nprivate_keys = [\"private_other_0123456789\"]\n\
                 url_endpoints = [\"http://other.test\"]\norigin = \"demo\"\n";
    let freshet = Freshet::with(&origin, other);
    freshet.get("/q/a.jpg");
    let cursor = |text: &str| {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
    };
    let (elsewhere, below, slashless) = (cursor("other/a"), cursor("test/r/a.jpg"), cursor("x"));
    let url = ("url", "http://img.test/q/a.jpg");
    let prefix = ("prefix", "http://img.test/q/");
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, &'a str);
    #[rustfmt::skip]
    let table: &[Row<'_>] = &[
        // call             parameters                                       at         reason
        ("/v1/cache",       &[],                                             "url",     "parameter_missing"),
        ("/v1/cache",       &[("url", "")],                                  "url",     "parameter_missing"),
        ("/v1/cache",       &[url, url],                                     "url",     "parameter_twice"),
        ("/v1/cache",       &[("url", "/q/a.jpg")],                          "url",     "scheme"),
        ("/v1/cache",       &[("url", "http://other.test/a")],               "url",     "outside-account"),
        ("/v1/cache",       &[("url", "http://nobody.test/a")],              "url",     "outside-account"),
        ("/v1/cache",       &[("url", "http://img.test/q/abc/*")],           "url",     "url_wildcard"),
        ("/v1/cache",       &[url, ("limit", "0")],                          "limit",   "parameter_not_in_range"),
        ("/v1/cache",       &[url, ("limit", "1001")],                       "limit",   "parameter_not_in_range"),
        ("/v1/cache",       &[url, ("cursor", &below)],                      "cursor",  "cursor_unknown"),
        ("/v1/cache",       &[url, ("cursor", &slashless)],                  "cursor",  "cursor_unknown"),
        ("/v1/cache",       &[url, ("cursor", "%")],                         "cursor",  "cursor_unknown"),
        ("/v1/cache/keys",  &[],                                             "prefix",  "parameter_missing"),
        ("/v1/cache/keys",  &[("prefix", "http://other.test/")],             "prefix",  "outside-account"),
        ("/v1/cache/keys",  &[("prefix", "http://img.test/../")],            "prefix",  "dot-segment"),
        ("/v1/cache/keys",  &[prefix, ("limit", "1001")],                    "limit",   "parameter_not_in_range"),
        ("/v1/cache/keys",  &[prefix, ("cursor", &elsewhere)],               "cursor",  "cursor_unknown"),
        ("/v1/cache/image", &[url, ("variant", "16")],                       "variant", "parameter_not_in_range"),
    ];
    for (path, parameters, at, reason) in table {
        let refused = read(&freshet, path, parameters);
        let body = body(&refused);
        assert_eq!(
            (refused.status, &body["at"], &body["reason"]),
            (400, &json!(at), &json!(reason)),
            "{path} {parameters:?}"
        );
        assert!(!body["help"].as_str().unwrap().is_empty(), "{path} {parameters:?}");
    }
    for path in ["/v1/cache", "/v1/cache/keys", "/v1/cache/image"] {
        let refused = freshet.admin("GET", &format!("{path}?url=http://img.test/q/a.jpg"), "wrong", "");
        assert_eq!(refused.status, 403, "{path}");
    }
}
