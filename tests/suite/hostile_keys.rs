//! Hostile clients and what is stored: nobody makes an answer that others get, and nothing is stored under a key
//! that the origin was not asked for. What is refused outright is in `gate.rs`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::support::origin::{Origin, Seen, Step, answer, image};
use crate::support::{Freshet, HOST};

/// An origin whose answer's body is the request line and fields that it saw.
fn echo(fields: &'static [(&'static str, &'static str)]) -> Origin {
    Origin::new(move |seen| vec![Step::Send(answer("200 OK", fields, shown(seen)))])
}

fn shown(seen: &Seen) -> String {
    format!("{} {} {:?}", seen.method, seen.target, seen.fields)
}

const FRESH: &[(&str, &str)] = &[("content-type", "image/png"), ("cache-control", "max-age=60")];

#[test]
fn query_is_opaque_and_its_key_is_what_the_origin_is_asked_for() {
    let origin = echo(FRESH);
    let freshet = Freshet::before(&origin);
    let queries = [
        "a=1;b=2",
        "a=1&b=2",
        "a=1&a=2",
        "a=2&a=1",
        "a=1",
        "utm_source=x%26a=9",
        "utm_source=x&a=9",
        "a=1+2",
        "a=1%202",
        "a=1%2B2",
        "a",
        "a=",
        "&a=1",
        "a=1&",
        "?a=1",
        "a[]=1",
        "a%5B%5D=1",
        "b=2;a=1",
    ];
    for (at, query) in queries.iter().enumerate() {
        let target = format!("/i?{query}");
        assert!(!freshet.get(&target).is_hit(), "{query} is another query's key");
        assert_eq!(origin.seen()[at].target, target, "and the origin is asked for exactly this");
        assert!(freshet.get(&target).is_hit(), "{query}");
    }
    assert_eq!(origin.count(), queries.len());
}

#[test]
fn spellings_share_a_key_where_the_origin_sees_the_same_bytes_and_only_there() {
    let origin = echo(FRESH);
    let freshet = Freshet::before(&origin);
    #[rustfmt::skip]
    let spellings = [
        // (what is sent, what the origin sees; nothing where it is refused)
        ("/p/a.png",              Some("/p/a.png")),
        ("/p/%61.png",            Some("/p/a.png")),
        ("/p/a%2Epng",            Some("/p/a.png")),
        ("//p/a.png",             Some("/p/a.png")),
        ("/p//a.png",             Some("/p//a.png")),
        ("/p/A.png",              Some("/p/A.png")),
        ("/p%2fa.png",            Some("/p%2Fa.png")),
        ("/p%2Fa.png",            Some("/p%2Fa.png")),
        ("/p/a.png?",             Some("/p/a.png")),
        ("/p/a.png/",             Some("/p/a.png/")),
        ("/p/a.png#x",            Some("/p/a.png")), // RFC 9112 §3.2 knows no fragment; cut off, it is in no key.
        ("/p/%c3%a9.png",         Some("/p/%C3%A9.png")),
        ("/p/é.png",              Some("/p/%C3%A9.png")),
        ("/p/e%CC%81.png",        Some("/p/e%CC%81.png")), // Another normal form of é: another key.
        ("/p/./a.png",            None),
        ("/p/x/../a.png",         None),
        ("/p/%2e/a.png",          None),
        ("/p/x/%2E./a.png",       None),
        ("/p\\a.png",             None),
        ("/p/%5ca.png",           Some("/p/%5Ca.png")),
        ("/p/a.png%00",           None),
        ("/p/a.png%0d%0aX: y",    None),
        ("/p/a.png%0d%0aX:y",     Some("/p/a.png%0D%0AX:y")), // Escaped it ends no line.
        ("/p/a%2.png",            None),
    ];
    let mut bodies = HashMap::new();
    for (spelling, expected) in spellings {
        let asked = origin.count();
        let answer = freshet.get(spelling);
        let Some(expected) = expected else {
            assert_eq!((answer.status, origin.count()), (400, asked), "{spelling}: {answer:?}");
            continue;
        };
        assert_eq!(answer.status, 200, "{spelling}: {answer:?}");
        let first = bodies.entry(expected).or_insert_with(|| answer.text());
        assert_eq!(*first, answer.text(), "{spelling}");
        assert!(first.starts_with(&format!("GET {expected} ")), "{spelling}: {first}");
        assert!(origin.count() == asked || origin.seen()[asked].target == expected, "{spelling}");
    }
    assert_eq!(origin.count(), bodies.len(), "one fetch for each: {bodies:#?}");
}

#[test]
fn absolute_target_is_the_same_key_and_its_root_is_a_path_as_any() {
    let origin = echo(FRESH);
    let freshet = Freshet::before(&origin);
    for (absolute, target) in [
        ("http://img.test/a.png?b", "/a.png?b"),
        ("http://IMG.test:80/b.png", "/b.png"),
        ("http://img.test/", "/"),
        ("http://img.test", "/"),
    ] {
        freshet.get(target);
        assert_eq!(origin.seen().last().unwrap().target, target);
        assert!(freshet.get(absolute).is_hit(), "{absolute}");
    }
}

#[test]
fn random_accepts_make_at_most_four_fetches() {
    let vary: &[(&str, &str)] = &[FRESH[0], FRESH[1], ("vary", "Accept, Accept-Encoding")];
    let fields = [vary[0], vary[1], vary[2]];
    let origin = Origin::new(move |_| vec![Step::Send(answer("200 OK", &fields, "body"))]);
    let freshet = Freshet::before(&origin);
    let mut client = freshet.client();
    let mut runner = TestRunner::deterministic();
    let accept = prop::collection::vec(
        prop_oneof![
            "image/(avif|webp|png|\\*)(;q=[01](\\.[0-9]{1,3})?)?",
            "[!-~]{0,20}",
            "\\*/\\*",
            "image/AVIF ; q = 1"
        ],
        0..6,
    );
    let encoding =
        prop::collection::vec("(gzip|br|zstd|identity|\\*|[a-z]{1,9})(;q=[01](\\.[0-9]{1,3})?)?", 0..6);
    for _ in 0..1000 {
        let mut value = |strategy: &dyn Fn(&mut TestRunner) -> Vec<String>| strategy(&mut runner).join(", ");
        let accept = value(&|runner| accept.new_tree(runner).unwrap().current());
        let encoding = value(&|runner| encoding.new_tree(runner).unwrap().current());
        let answer =
            client.request("GET", HOST, "/a.png", &[("accept", &accept), ("accept-encoding", &encoding)]);
        assert_eq!(answer.status, 200, "{accept} {encoding}: {answer:?}");
    }
    assert!(origin.count() <= 4, "{} fetches", origin.count());
    assert_eq!(freshet.app().figures().indexed, 1);
}

#[test]
fn variants_are_bounded_whatever_vary_names_and_a_purge_takes_all() {
    let fields =
        [FRESH[0], FRESH[1], ("vary", "Accept-Language, X-Forwarded-Host, Accept, DPR, Origin, Referer")];
    let origin = Origin::new(move |_| vec![Step::Send(answer("200 OK", &fields, vec![b'x'; 10_000]))]);
    let freshet = Freshet::before(&origin);
    let mut client = freshet.client();
    for at in 0..2000 {
        let (language, host) = (format!("x-{at}"), format!("{at}.test"));
        let varied = [
            ("accept-language", &*language),
            ("x-forwarded-host", &host),
            ("origin", &host),
            ("dpr", &language),
        ];
        assert_eq!(client.request("GET", HOST, "/a.png", &varied).status, 200);
    }
    let figures = freshet.app().figures();
    assert!(figures.indexed == 1 && figures.bytes < 17 * 12_000, "{figures:?}");
    assert!(origin.count() <= 16, "{} fetches", origin.count());
    freshet.purge_and_wait("http://img.test/a.png");
    assert_eq!(freshet.app().figures().indexed, 0);
}

#[test]
fn no_error_status_is_stored_but_404_and_410_that_say_how_long() {
    // 405, 414 and 501 are cacheable by RFC 9110 §15.1: a client's own odd request would answer everybody.
    let origin = Origin::new(|seen| {
        let status = format!("{} Status", &seen.target[1..4]);
        let first = seen.target.ends_with('?') || seen.number % 2 == 0;
        match first {
            true => vec![Step::Send(answer(&status, FRESH, "error"))],
            false => image("fine"),
        }
    });
    let freshet = Freshet::before(&origin);
    let mut client = freshet.client();
    let statuses = (400..=451).chain(500..=511).chain([302, 303, 307, 201, 202, 205, 226]);
    for status in statuses.filter(|status| ![404, 410].contains(status)) {
        let target = format!("/{status}.png");
        let first = client.request("GET", HOST, &target, &[]);
        assert_eq!(first.status, status, "{first:?}");
        let second = client.request("GET", HOST, &target, &[]);
        assert_eq!((second.status, second.text()), (200, "fine".into()), "after {status}");
    }
    // And our own are for nobody else.
    for refused in ["/a%00", "/..", "/elsewhere/../x"] {
        assert_eq!(freshet.get(refused).field("cache-control"), Some("no-store"), "{refused}");
    }
}

#[test]
fn odd_request_that_is_refused_leaves_its_url_as_it_was() {
    let origin = Origin::new(|_| image("fine"));
    let freshet = Freshet::before(&origin);
    let long = "a".repeat(17_000);
    #[rustfmt::skip]
    let table = [
        (431, format!("X: {long}\r\n")),
        (431, "X: 1\r\n".repeat(70)),
        (400, "X: a\x07\r\n".into()),
        (400, "Content-Length: 1\r\n".into()),
        (400, "Connection: host\r\n".into()),
        (417, "Expect: much\r\n".into()),
    ];
    for (at, (status, fields)) in table.iter().enumerate() {
        let target = format!("/{at}.png");
        let mut client = freshet.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n"));
        assert_eq!(client.answer(false).unwrap().status, *status, "{at}");
        let plain = freshet.get(&target);
        assert_eq!((plain.status, plain.text()), (200, "fine".into()), "{at}");
    }
    // A range, a condition, and a part of the origin's own: what is stored is the whole.
    for (at, field) in ["range", "if-match", "if-unmodified-since", "if-none-match"].iter().enumerate() {
        let target = format!("/odd-{at}.png");
        freshet.get_with(&target, &[(field, "bytes=0-0")]);
        assert_eq!(freshet.get(&target).text(), "fine", "{field}");
    }
}

#[test]
fn many_ranges_cost_no_more_than_the_whole() {
    let body: Vec<u8> = (0..1_000_000u32).map(|at| at as u8).collect();
    let sent = body.clone();
    let origin = Origin::new(move |_| {
        let fields = [FRESH[0], FRESH[1], ("etag", "W/\"weak\"")];
        vec![Step::Send(answer("200 OK", &fields, &sent))]
    });
    let freshet = Freshet::before(&origin);
    assert_eq!(freshet.get("/a.png").body, body);
    let overlapping = format!("bytes={}", vec!["0-"; 1000].join(","));
    let tiny = format!(
        "bytes={}",
        (0..1000).map(|at| format!("{}-{}", at * 2, at * 2)).collect::<Vec<_>>().join(",")
    );
    #[rustfmt::skip]
    let table = [
        // (Range, If-Range, statuses that are right)
        (&*overlapping,                              None,                Some(200)),
        (&*tiny,                                     None,                Some(200)),
        ("bytes=-18446744073709551615",              None,                None),
        ("bytes=-18446744073709551616",              None,                None),
        ("bytes=18446744073709551615-",              None,                Some(416)),
        ("bytes=18446744073709551614-18446744073709551615", None,         Some(416)),
        ("bytes=0-18446744073709551615",             None,                None),
        ("bytes=-0",                                 None,                Some(416)),
        ("bytes=0-0",                                Some("W/\"weak\""),  Some(200)), // RFC 9110 §13.1.5: strong alone.
    ];
    for (range, if_range, status) in table {
        let fields: Vec<_> =
            [("range", range)].into_iter().chain(if_range.map(|value| ("if-range", value))).collect();
        let began = Instant::now();
        let answer = freshet.get_with("/a.png", &fields);
        assert!(began.elapsed() < Duration::from_secs(2), "{range:.40}: {:?}", began.elapsed());
        assert!(status.is_none_or(|status| answer.status == status), "{range:.40}: {:?}", answer.fields);
        assert!(
            matches!(answer.status, 200 | 206 | 416) && answer.complete,
            "{range:.40}: {:?}",
            answer.fields
        );
        assert!(
            answer.body.len() <= body.len() + body.len() / 10,
            "{range:.40}: {} bytes",
            answer.body.len()
        );
        assert!(answer.status == 416 || answer.body == body, "{range:.40}");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn cookie_and_credentials_of_one_client_reach_no_other() {
    let origin = Origin::new(|seen| {
        let fields = [
            FRESH[0],
            FRESH[1],
            ("set-cookie", "session=victim"),
            ("connection", "x-secret"),
            ("x-secret", "1"),
        ];
        let plain = [FRESH[0], FRESH[1], ("x-public", "1")];
        let fields: &[_] = if seen.target.contains("cookie") { &fields } else { &plain };
        vec![Step::Send(answer("200 OK", fields, shown(seen)))]
    });
    let freshet = Freshet::before(&origin);
    assert_eq!(freshet.get("/cookie.png").field("set-cookie"), Some("session=victim"));
    assert!(!freshet.get("/cookie.png").is_hit(), "an answer that sets a cookie is one client's own");
    let secrets = [("authorization", "Basic secret"), ("cookie", "session=secret"), ("x-api-key", "secret")];
    let first = freshet.get_with("/a.png", &secrets);
    assert!(!first.text().contains("secret"), "the origin got it, and could answer by it: {}", first.text());
    let second = freshet.get("/a.png");
    assert!(second.is_hit() && second.text() == first.text(), "{second:?}");
}

#[test]
fn coded_body_is_delivered_as_it_is() {
    // Nothing is decoded: no small body becomes a large one.
    let bomb = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xed, 0xc1, 1, 1];
    let fields = [
        FRESH[0],
        ("cache-control", "max-age=60, no-transform"),
        ("content-encoding", "gzip"),
        ("etag", "\"v\""),
    ];
    let origin = Origin::new(move |_| vec![Step::Send(answer("200 OK", &fields, bomb))]);
    let freshet = Freshet::before(&origin);
    for hit in [false, true] {
        let answer = freshet.get("/a.svg");
        assert_eq!((answer.is_hit(), &*answer.body, answer.field("etag")), (hit, &bomb[..], Some("\"v\"")));
        assert_eq!(answer.field("content-encoding"), Some("gzip"));
    }
}
