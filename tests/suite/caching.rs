//! What is stored, how long it answers, and for whom.

use std::time::Duration;

use crate::support::origin::{Origin, Step, answer, image};
use crate::support::{Freshet, HOST};

/// Always the same response, with these fields.
fn origin_with(fields: &'static [(&'static str, &'static str)]) -> Origin {
    Origin::new(move |seen| vec![Step::Send(answer("200 OK", fields, format!("body {}", seen.number)))])
}

const FRESH: &[(&str, &str)] = &[
    ("content-type", "image/jpeg"),
    ("cache-control", "max-age=60"),
    ("etag", "\"v1\""),
    ("last-modified", "Tue, 14 Nov 2023 00:00:00 GMT"),
];

#[test]
fn second_request_is_a_hit_and_the_origin_is_not_asked() {
    let origin = origin_with(FRESH);
    let freshet = Freshet::before(&origin);
    let first = freshet.get("/a.jpg?tr=w-300,h-200");
    assert_eq!((first.status, first.text()), (200, "body 0".into()));
    assert!(first.cache_status().starts_with("Freshet; fwd=uri-miss; fwd-status=200"), "{first:?}");
    freshet.clock.advance(Duration::from_secs(7));
    let second = freshet.get("/a.jpg?tr=w-300,h-200");
    assert_eq!(second.text(), "body 0");
    assert_eq!(second.cache_status(), "Freshet; hit; ttl=53");
    assert_eq!((second.field("age"), second.field("etag")), (Some("7"), Some("\"v1\"")));
    assert_eq!(origin.count(), 1);
    assert_eq!((freshet.app().metrics().hits.get(), freshet.app().metrics().misses.get()), (1, 1));
}

#[test]
fn spellings_and_aliases_of_one_url_are_one_key_and_the_origin_sees_the_canonical_one() {
    let origin = origin_with(FRESH);
    let freshet = Freshet::before(&origin);
    freshet.get("//p/%7Eb.jpg?tr=w-400%2Ch-300%3Art-90");
    for (host, target) in [
        ("IMG.test.:80", "/p/~b.jpg?tr=w-400,h-300:rt-90"),
        ("alias.test", "/pictures/p/~b.jpg?tr=w-400,h-300:rt-90"),
    ] {
        let hit = freshet.client().request("GET", host, target, &[]);
        assert!(hit.is_hit(), "{host}{target}: {hit:?}");
    }
    let seen = origin.seen();
    assert_eq!((seen.len(), &*seen[0].target), (1, "/p/~b.jpg?tr=w-400,h-300:rt-90"));
}

#[test]
fn what_is_stale_is_asked_about_by_its_validators_and_a_304_renews_it() {
    let origin = Origin::new(|seen| {
        let renewed = answer("304 Not Modified", &[("cache-control", "max-age=30"), ("etag", "\"v1\"")], "");
        let renewed = String::from_utf8(renewed).unwrap().replace("content-length: 0\r\n", "");
        let bytes = if seen.number == 0 { answer("200 OK", FRESH, "body") } else { renewed.into_bytes() };
        vec![Step::Send(bytes)]
    });
    let freshet = Freshet::before(&origin);
    freshet.get("/a.jpg");
    freshet.clock.advance(Duration::from_secs(61));
    let renewed = freshet.get("/a.jpg");
    assert_eq!((renewed.status, renewed.text()), (200, "body".into()));
    assert!(renewed.cache_status().starts_with("Freshet; fwd=stale; fwd-status=304"), "{renewed:?}");
    let asked = &origin.seen()[1];
    assert_eq!(asked.field("if-none-match"), Some("\"v1\""));
    assert_eq!(asked.field("if-modified-since"), Some("Tue, 14 Nov 2023 00:00:00 GMT"));
    freshet.clock.advance(Duration::from_secs(29));
    assert!(freshet.get("/a.jpg").is_hit());
    freshet.clock.advance(Duration::from_secs(2));
    assert!(!freshet.get("/a.jpg").is_hit(), "the 304's own lifetime counts");
}

#[test]
fn a_client_that_has_it_gets_304_from_the_store_and_on_a_miss_too() {
    let origin = origin_with(FRESH);
    let freshet = Freshet::before(&origin);
    for _ in 0..2 {
        let answer = freshet.get_with("/a.jpg", &[("if-none-match", "W/\"v1\"")]);
        assert_eq!((answer.status, answer.field("etag")), (304, Some("\"v1\"")));
        assert_eq!(answer.field("content-length"), None);
    }
    let newer = freshet.get_with("/a.jpg", &[("if-none-match", "\"v0\"")]);
    assert_eq!((newer.status, newer.text()), (200, "body 0".into()));
    assert_eq!(origin.count(), 1);
    assert_eq!(origin.seen()[0].field("if-none-match"), None, "a fill is not conditional on a client's copy");
}

#[test]
fn head_is_answered_from_a_stored_get_and_stores_nothing_itself() {
    let origin = Origin::new(|seen| {
        let whole = answer("200 OK", FRESH, "0123456789");
        let body = if seen.method == "HEAD" { 10 } else { 0 };
        vec![Step::Send(whole[..whole.len() - body].to_vec())]
    });
    let freshet = Freshet::before(&origin);
    let head = freshet.client().request("HEAD", HOST, "/a.jpg", &[]);
    assert_eq!((head.status, head.field("content-length")), (200, Some("10")));
    assert_eq!(freshet.get("/a.jpg").text(), "0123456789");
    let head = freshet.client().request("HEAD", HOST, "/a.jpg", &[]);
    assert!(head.is_hit());
    assert_eq!((head.field("content-length"), head.field("etag")), (Some("10"), Some("\"v1\"")));
    let methods: Vec<_> = origin.seen().iter().map(|seen| seen.method.clone()).collect();
    assert_eq!(methods, ["HEAD", "GET"]);
}

#[test]
fn several_ranges_have_a_place_each_and_none_together() {
    let fields = &[FRESH, &[("content-range", "bytes 0-9/10")]].concat();
    let bytes = answer("200 OK", fields, "0123456789");
    let origin = Origin::new(move |_| vec![Step::Send(bytes.clone())]);
    let freshet = Freshet::before(&origin);
    freshet.get("/a.jpg");
    let parts = freshet.get_with("/a.jpg", &[("range", "bytes=0-0,2-3")]);
    assert_eq!((parts.status, parts.field("content-range")), (206, None));
    let boundary =
        parts.field("content-type").unwrap().strip_prefix("multipart/byteranges; boundary=").unwrap();
    let part = |place: &str, bytes: &str| {
        format!(
            "--{boundary}\r\nContent-Type: image/jpeg\r\nContent-Range: bytes {place}/10\r\n\r\n{bytes}\r\n"
        )
    };
    assert_eq!(parts.text(), format!("{}{}--{boundary}--\r\n", part("0-0", "0"), part("2-3", "23")));
}

#[test]
fn a_range_comes_from_the_whole_stored_or_arriving() {
    let origin = Origin::new(|_| vec![Step::Send(answer("200 OK", FRESH, "0123456789"))]);
    let freshet = Freshet::before(&origin);
    for what in ["on a miss", "on a hit"] {
        let part = freshet.get_with("/a.jpg", &[("range", "bytes=2-4")]);
        assert_eq!((part.status, part.text()), (206, "234".into()), "{what}");
        assert_eq!((part.field("content-range"), part.complete), (Some("bytes 2-4/10"), true), "{what}");
    }
    #[rustfmt::skip]
    let table = [
        ("bytes=-3",            206, "789",        Some("bytes 7-9/10")),
        ("bytes=8-",            206, "89",         Some("bytes 8-9/10")),
        ("bytes=5-100",         206, "56789",      Some("bytes 5-9/10")),
        ("bytes=10-",           416, "",           Some("bytes */10")),
        ("bytes=4-2",           200, "0123456789", None),
        ("lines=1-2",           200, "0123456789", None),
        ("bytes=99999999999999999999999-", 416, "", Some("bytes */10")),
    ];
    for (range, status, body, content_range) in table {
        let answer = freshet.get_with("/a.jpg", &[("range", range)]);
        let got = (answer.status, answer.text(), answer.field("content-range"));
        assert_eq!(got, (status, body.to_owned(), content_range), "{range}");
    }
    let changed = freshet.get_with("/a.jpg", &[("range", "bytes=2-4"), ("if-range", "\"v0\"")]);
    assert_eq!(changed.status, 200, "the client's part is of another version");
    let seen = origin.seen();
    assert_eq!((seen.len(), seen[0].field("range")), (1, None), "a fill asks for the whole");
}

#[test]
fn vary_on_accept_keeps_one_variant_for_each_class_of_browser() {
    let origin = Origin::new(|seen| {
        let fields = [("content-type", "image/webp"), ("cache-control", "max-age=60"), ("vary", "Accept")];
        vec![Step::Send(answer("200 OK", &fields, seen.field("accept").unwrap_or("none")))]
    });
    let freshet = Freshet::before(&origin);
    let get = |accept| freshet.get_with("/a.jpg", &[("accept", accept)]);
    let avif = get("text/html,image/avif,image/webp;q=0.9,*/*;q=0.5");
    let webp = get("image/webp,image/apng,*/*");
    assert_ne!(avif.text(), webp.text());
    assert!(get("image/webp,image/avif, image/png").is_hit(), "the same class in another spelling");
    assert!(get("image/webp").is_hit());
    assert!(get("image/avif,image/webp").is_hit());
    assert_eq!(origin.count(), 2);
    assert_eq!(freshet.app().figures().entries, 1, "the variants of one key are one resource");
    freshet.purge_and_wait("http://img.test/a.jpg");
    assert!(!get("image/webp").is_hit() && !get("image/avif").is_hit(), "a purge takes every variant");
}

#[test]
fn what_must_not_be_stored_is_asked_for_each_time() {
    #[rustfmt::skip]
    let table: [(&str, &[(&str, &str)]); 6] = [
        ("no-store",       &[("content-type", "image/png"), ("cache-control", "no-store")]),
        ("private",        &[("content-type", "image/png"), ("cache-control", "private, max-age=60")]),
        ("Vary: *",        &[("content-type", "image/png"), ("cache-control", "max-age=60"), ("vary", "*")]),
        ("Set-Cookie",     &[("content-type", "image/png"), ("cache-control", "max-age=60"), ("set-cookie", "a=b")]),
        ("no image",       &[("content-type", "text/html"), ("cache-control", "max-age=60")]),
        ("says nothing",   &[("content-type", "image/png")]),
    ];
    for (what, fields) in table {
        let origin = Origin::new(move |_| vec![Step::Send(answer("200 OK", fields, "body"))]);
        let freshet = Freshet::before(&origin);
        for _ in 0..2 {
            let answer = freshet.get("/a.png");
            assert_eq!(
                (answer.status, answer.text(), answer.is_hit()),
                (200, "body".into(), false),
                "{what}"
            );
        }
        assert_eq!((origin.count(), freshet.app().figures().entries), (2, 0), "{what}");
    }
}

#[test]
fn other_methods_are_refused_unless_a_route_passes_them() {
    let origin = Origin::new(|seen| match &*seen.method {
        "GET" => image("old"),
        _ => vec![Step::Send(answer("204 No Content", &[], ""))],
    });
    let route = "[[routes]]\nmatch = \"^/uploads/\"\nmethods = [\"PUT\"]\n";
    let freshet = Freshet::with(&origin, route);
    freshet.get("/uploads/a.jpg");
    for (method, target, allow) in [
        ("PUT", "/a.jpg", "GET, HEAD"),
        ("DELETE", "/uploads/a.jpg", "GET, HEAD, PUT"),
        ("PURGE", "/uploads/a.jpg", "GET, HEAD, PUT"),
        ("get", "/a.jpg", "GET, HEAD"),
    ] {
        let refused = freshet.client().request(method, HOST, target, &[]);
        assert_eq!((refused.status, refused.field("allow")), (405, Some(allow)), "{method} {target}");
    }
    assert_eq!(origin.count(), 1, "nothing of these reached the origin");
    assert!(freshet.get("/uploads/a.jpg").is_hit());

    let mut client = freshet.client();
    client.send(format!("PUT /uploads/a.jpg HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 3\r\n\r\nnew"));
    assert_eq!(client.answer(true).unwrap().status, 204);
    let put = &origin.seen()[1];
    assert_eq!((&*put.method, &*put.body), ("PUT", &b"new"[..]));
    assert!(
        !freshet.get("/uploads/a.jpg").is_hit(),
        "a success of an unsafe method invalidates (RFC 9111 §4.4)"
    );
}

#[test]
fn stale_while_revalidate_answers_at_once_and_refreshes_once() {
    let origin = Origin::new(|seen| {
        let fields =
            [("content-type", "image/png"), ("cache-control", "max-age=10, stale-while-revalidate=60")];
        vec![Step::Send(answer("200 OK", &fields, format!("body {}", seen.number)))]
    });
    let freshet = Freshet::before(&origin);
    freshet.get("/a.png");
    freshet.clock.advance(Duration::from_secs(20));
    let stale = freshet.get("/a.png");
    assert_eq!((stale.text(), stale.is_hit()), ("body 0".into(), true));
    crate::support::wait_until("the refresh is stored", || freshet.get("/a.png").text() == "body 1");
    assert_eq!(origin.count(), 2);
}

#[test]
fn refresh_that_brings_nothing_storable_ends_the_stale_answer() {
    let origin = Origin::new(|seen| {
        let fields = match seen.number {
            0 => [("content-type", "image/png"), ("cache-control", "max-age=1, stale-while-revalidate=600")],
            _ => [("content-type", "image/png"), ("cache-control", "no-store")],
        };
        vec![Step::Send(answer("200 OK", &fields, format!("body {}", seen.number)))]
    });
    let freshet = Freshet::before(&origin);
    freshet.get("/a.png");
    freshet.clock.advance(Duration::from_secs(5));
    assert_eq!(freshet.get("/a.png").text(), "body 0", "stale, and a refresh behind it");
    crate::support::wait_until("what was withdrawn is gone", || freshet.app().figures().entries == 0);
    assert_eq!(freshet.get("/a.png").text(), "body 2");
}

#[test]
fn invalidation_is_not_lost_when_its_client_leaves() {
    let gate = crate::support::origin::Gate::new();
    let held = gate.clone();
    let origin = Origin::new(move |seen| match &*seen.method {
        "GET" => image("old"),
        _ => vec![Step::Pause(held.clone()), Step::Send(answer("204 No Content", &[], ""))],
    });
    let freshet = Freshet::with(&origin, "[[routes]]\nmethods = [\"PUT\"]\n");
    freshet.get("/a.jpg");
    let mut client = freshet.client();
    client.send(format!("PUT /a.jpg HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 3\r\n\r\nnew"));
    gate.wait_for(1);
    drop(client);
    gate.open();
    crate::support::wait_until("what was stored is gone", || freshet.app().figures().entries == 0);
}

#[test]
fn head_falls_back_and_compares_as_get_does() {
    let origin = Origin::new(|seen| match (&*seen.method, &*seen.target) {
        ("HEAD", "/etag.png") => vec![Step::Send(answer("200 OK", FRESH, ""))],
        ("HEAD", "/part.png") => vec![Step::Send(answer("206 Partial Content", FRESH, ""))],
        ("HEAD", _) => vec![Step::Send(answer("503 Service Unavailable", &[], ""))],
        _ => {
            let fields = [("content-type", "image/png"), ("cache-control", "max-age=1, stale-if-error=600")];
            vec![Step::Send(answer("200 OK", &fields, "body"))]
        }
    });
    let freshet = Freshet::before(&origin);
    freshet.get("/a.png");
    freshet.clock.advance(Duration::from_secs(5));
    let head =
        |target, fields: &[(&str, &str)]| freshet.client().request("HEAD", HOST, target, fields).status;
    assert_eq!(head("/a.png", &[]), 200, "stale-if-error");
    assert_eq!(head("/other.png", &[]), 503);
    assert_eq!(head("/etag.png", &[("if-none-match", "\"v1\"")]), 304);
    assert_eq!(head("/part.png", &[]), 502, "a part that nobody asked for");
}
