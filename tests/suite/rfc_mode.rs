//! `http = "rfc"` row by row: the request, what the origin saw, and the answer.

use crate::support::client::Answer;
use crate::support::origin::{Gate, Origin, Step, answer};
use crate::support::table::run;
use crate::support::{Freshet, HOST, wait_until};

#[test]
fn end_to_end_fields_and_every_method_reach_the_origin() {
    run(r#"
        route http = "rfc"
        answer 200 // cache-control: max-age=60 :: body
        GET /a // cookie: a=b // user-agent: u // accept: text/html // x-a: 1 // x-request-id: r | GET /a // cookie: a=b // user-agent: u // accept: text/html // x-a: 1 // x-request-id: r | 200
        GET /a                       | -          | 200 // cache-status: Freshet; hit…
        GET /b // connection: x-b // x-b: 1 // te: trailers // proxy-authorization: x // upgrade: h2c // if-none-match: "x" | GET /b // !x-b // !te // !proxy-authorization // !upgrade // !connection // !if-none-match | 200
        answer 204
        OPTIONS /a                   | OPTIONS /a | 204 // cache-status: Freshet; fwd=method; fwd-status=204
        GET /a                       | -          | 200 // cache-status: Freshet; hit…
        PATCH /x                     | PATCH /x   | 204
        M-SEARCH /a                  | M-SEARCH /a | 204
        TRACE /a                     | -          | 405 // allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS
        answer 200 // cache-control: max-age=60 :: new
        GET /a                       | GET /a     | 200 :: new
    "#);
}

#[test]
fn an_unsafe_success_invalidates_its_url_and_those_that_it_names() {
    run(r#"
        route http = "rfc"
        answer 200 // cache-control: max-age=60 :: old
        GET /a | GET /a | 200
        GET /b | GET /b | 200
        GET /c | GET /c | 200
        GET /d | GET /d | 200
        answer 500 // location: /a
        POST /b | POST /b | 500
        GET /a | - | 200 :: old
        GET /b | - | 200 :: old
        answer 303 // location: /a // content-location: http://img.test/b
        POST /c | POST /c | 303
        answer 200 // cache-control: max-age=60 :: new
        GET /a | GET /a | 200 :: new
        GET /b | GET /b | 200 :: new
        GET /c | GET /c | 200 :: new
        GET /d | -      | 200 :: old
        answer 200 // location: http://other.test/d
        DELETE /x | DELETE /x | 200
        GET /d | -      | 200 :: old
        # Another name of the same account is the same origin.
        answer 201 // location: http://alias.test/pictures/d
        POST /x | POST /x | 201
        answer 200 // cache-control: max-age=60 :: new
        GET /d | GET /d | 200 :: new
    "#);
}

#[test]
fn parts_are_stored_and_answer_what_they_hold() {
    run(r#"
        route http = "rfc"
        answer 206 // cache-control: max-age=60 // content-range: bytes 2-5/10 // etag: "a" :: 2345
        GET /a // range: bytes=2-5          | GET /a // range: bytes=2-5  | 206 // content-range: bytes 2-5/10 // content-length: 4 // cache-status: Freshet; fwd=uri-miss; fwd-status=206; stored; ttl=60 :: 2345
        GET /a // range: bytes=2-5          | -                           | 206 // content-range: bytes 2-5/10 // cache-status: Freshet; hit; ttl=60 :: 2345
        GET /a // range: bytes=3-4          | -                           | 206 // content-range: bytes 3-4/10 :: 34
        GET /a // range: bytes=3-4 // if-range: "a" | -                   | 206 :: 34
        GET /a // range: bytes=20-          | -                           | 416 // content-range: bytes */10
        GET /a // range: bytes=3-4 // if-none-match: "a" | -              | 304 // etag: "a"
        # What it lacks of the whole lies on both sides: the whole is asked for.
        answer 200 // cache-control: max-age=60 // etag: "a" :: 0123456789
        GET /a                              | GET /a // !range // !if-range | 200 // cache-status: Freshet; fwd=partial; fwd-status=200; stored; ttl=60 :: 0123456789
        GET /a // range: bytes=-1           | -                           | 206 // content-range: bytes 9-9/10 :: 9
    "#);
}

#[test]
fn an_incomplete_response_is_never_served_as_complete() {
    run(r#"
        route http = "rfc"
        answer 206 // cache-control: max-age=60 // content-range: bytes 0-4/10 :: 01234
        GET /a // range: bytes=0-4  | GET /a // range: bytes=0-4  | 206 :: 01234
        # Without a strong validator nothing is combined with it: the rest is asked for, and the whole taken.
        answer 200 // cache-control: max-age=60 :: abcdefghij
        GET /a                      | GET /a // range: bytes=5- // !if-range | 200 // cache-status: Freshet; fwd=partial… :: abcdefghij
        answer 206 // cache-control: max-age=60 // content-range: bytes 0-4/10 // etag: "a" :: 01234
        GET /b // range: bytes=0-4  | GET /b // range: bytes=0-4  | 206
        answer 200 :: ten-bytes!
        HEAD /b                     | HEAD /b                     | 200
        answer 503 :: down
        GET /b                      | GET /b                      | 503 :: down
        answer hang up
        GET /b                      | GET /b                      | 502
        GET /b // range: bytes=5-6  | GET /b                      | 502
        GET /b // range: bytes=1-2  | -                           | 206 :: 12
        answer 503 :: down
        clock 61
        GET /b // range: bytes=0-4  | GET /b                      | 503 :: down
        # One that was not asked for is no answer; one without its place is passed on and not stored.
        answer 206 // cache-control: max-age=60 // content-range: bytes 0-4/10 :: 01234
        GET /c                      | GET /c                      | 502
        answer 206 // cache-control: max-age=60 // content-type: multipart/byteranges; boundary=x :: --x--
        GET /c // range: bytes=0-1,4-5 | GET /c // range: bytes=0-1,4-5 | 206 // cache-status: Freshet; fwd=uri-miss; fwd-status=206; detail=part :: --x--
        answer 206 // cache-control: max-age=60 // content-range: bytes 4-9/10 :: 01234
        GET /d // range: bytes=4-9  | GET /d // range: bytes=4-9  | 206 // cache-status: Freshet; fwd=uri-miss; fwd-status=206; detail=part :: 01234
        GET /d // range: bytes=4-9  | GET /d // range: bytes=4-9  | 206
    "#);
}

#[test]
fn a_part_without_a_strong_validator_is_not_completed_by_the_rest() {
    let origin = Origin::new(|seen| {
        let part = |place| [("cache-control", "max-age=60"), ("content-range", place)];
        let bytes = match seen.field("range") {
            Some("bytes=0-4") => answer("206 Partial Content", &part("bytes 0-4/10"), "01234"),
            Some(_) => answer("206 Partial Content", &part("bytes 5-9/10"), "fghij"),
            None => answer("200 OK", &[("cache-control", "max-age=60")], "abcdefghij"),
        };
        vec![Step::Send(bytes)]
    });
    let freshet = Freshet::with(&origin, "[[routes]]\nhttp = \"rfc\"\n");
    freshet.get_with("/a", &[("range", "bytes=0-4")]);
    for _ in 0..2 {
        let whole = freshet.get("/a");
        assert_eq!((whole.status, whole.text()), (200, "abcdefghij".into()));
    }
    let asked: Vec<_> = origin.seen().iter().map(|seen| seen.field("range").map(str::to_owned)).collect();
    assert_eq!(asked, [Some("bytes=0-4".into()), Some("bytes=5-".into()), None]);
}

#[test]
fn parts_of_one_strong_validator_are_combined() {
    run(r#"
        route http = "rfc"
        answer 206 // cache-control: max-age=60 // content-range: bytes 0-4/10 // etag: "a" // x: 1 // y: 1 :: 01234
        GET /a // range: bytes=0-4  | GET /a // range: bytes=0-4  | 206 :: 01234
        answer 206 // cache-control: max-age=90 // content-range: bytes 5-9/10 // etag: "a" // x: 2 :: 56789
        GET /a                      | GET /a // range: bytes=5- // if-range: "a" | 200 // content-length: 10 // x: 2 // y: 1 // !content-range // cache-status: Freshet; fwd=partial; fwd-status=206; stored; ttl=90 :: 0123456789
        GET /a                      | -                           | 200 // x: 2 // y: 1 // cache-status: Freshet; hit; ttl=90 :: 0123456789
        GET /a // range: bytes=4-5  | -                           | 206 :: 45
    "#);
    run(r#"
        route http = "rfc"
        answer 206 // cache-control: max-age=60 // content-range: bytes 6-9/10 // etag: "a" :: 6789
        GET /a // range: bytes=-4   | GET /a // range: bytes=-4   | 206 :: 6789
        answer 206 // cache-control: max-age=60 // content-range: bytes 4-5/10 // etag: "a" :: 45
        GET /a // range: bytes=4-7  | GET /a // range: bytes=4-5 // if-range: "a" | 206 // content-range: bytes 4-7/10 // content-length: 4 :: 4567
        GET /a // range: bytes=4-   | -                           | 206 // content-range: bytes 4-9/10 :: 456789
        answer 206 // cache-control: max-age=60 // content-range: bytes 0-3/10 // etag: "a" :: 0123
        GET /a                      | GET /a // range: bytes=0-3  | 200 // content-length: 10 :: 0123456789
    "#);
}

#[test]
fn what_is_not_a_part_of_the_same_is_asked_for_anew() {
    run(r#"
        route http = "rfc"
        answer 206 // cache-control: max-age=60 // content-range: bytes 0-4/10 // etag: "a" :: 01234
        GET /a // range: bytes=0-4 | GET /a | 206 :: 01234
        # Another version, which the origin sends whole.
        answer 200 // cache-control: max-age=60 // etag: "b" :: abcdefghij
        GET /a                     | GET /a // range: bytes=5- | 200 :: abcdefghij
        GET /a // range: bytes=0-4 | - | 206 // etag: "b" :: abcde
    "#);
    // The origin ignores If-Range, or answers another range than it was asked for: nothing is combined.
    for wrong in [
        "206 Partial Content\r\ncontent-range: bytes 5-9/10\r\netag: \"b\"",
        "206 Partial Content\r\ncontent-range: bytes 5-9/10\r\netag: W/\"a\"",
        "206 Partial Content\r\ncontent-range: bytes 5-9/10",
        "206 Partial Content\r\ncontent-range: bytes 4-8/10\r\netag: \"a\"",
        "206 Partial Content\r\ncontent-range: bytes 5-9/11\r\netag: \"a\"",
        "416 Range Not Satisfiable\r\ncontent-range: bytes */5\r\netag: \"a\"",
    ] {
        let origin = Origin::new(move |seen| {
            let text = match (seen.number, seen.field("range")) {
                (0, _) => "206 Partial Content\r\ncontent-range: bytes 0-4/10\r\netag: \"a\"\r\ncontent-length: 5\r\ncache-control: max-age=60\r\n\r\n01234".to_owned(),
                (_, Some(_)) => format!("{wrong}\r\ncontent-length: 5\r\ncache-control: max-age=60\r\n\r\nXXXXX"),
                _ => "200 OK\r\ncontent-length: 10\r\ncache-control: max-age=60\r\n\r\nabcdefghij".to_owned(),
            };
            vec![Step::Send(format!("HTTP/1.1 {text}").into_bytes())]
        });
        let freshet = Freshet::with(&origin, "[[routes]]\nhttp = \"rfc\"\n");
        freshet.get_with("/a", &[("range", "bytes=0-4")]);
        let whole = freshet.get("/a");
        assert_eq!((whole.status, whole.text()), (200, "abcdefghij".into()), "{wrong}");
        assert_eq!(origin.count(), 3, "{wrong}");
        assert_eq!(freshet.get("/a").text(), "abcdefghij", "{wrong}");
    }
}

#[test]
fn a_completion_that_breaks_off_is_not_stored_and_not_framed_as_complete() {
    let origin = Origin::new(|seen| {
        match seen.number {
        0 => vec![Step::Send(b"HTTP/1.1 206 P\r\ncontent-range: bytes 0-4/10\r\netag: \"a\"\r\ncontent-length: 5\r\ncache-control: max-age=60\r\n\r\n01234".into())],
        1 => vec![
            Step::Send(b"HTTP/1.1 206 P\r\ncontent-range: bytes 5-9/10\r\netag: \"a\"\r\ntransfer-encoding: chunked\r\ncache-control: max-age=60\r\n\r\n3\r\n567\r\n0\r\n\r\n".into()),
        ],
        2 => vec![
            Step::Send(b"HTTP/1.1 206 P\r\ncontent-range: bytes 5-9/10\r\netag: \"a\"\r\ncontent-length: 5\r\ncache-control: max-age=60\r\n\r\n56".into()),
            Step::Close,
        ],
        _ => vec![Step::Send(b"HTTP/1.1 206 P\r\ncontent-range: bytes 5-9/10\r\netag: \"a\"\r\ncontent-length: 5\r\ncache-control: max-age=60\r\n\r\n56789".into())],
    }
    });
    let freshet = Freshet::with(&origin, "[[routes]]\nhttp = \"rfc\"\n");
    freshet.get_with("/a", &[("range", "bytes=0-4")]);
    for what in ["chunks that end too soon", "a connection that ends too soon"] {
        let mut client = freshet.client();
        client.send(crate::support::client::request("GET", HOST, "/a", &[]));
        if let Some(answer) = client.answer(false) {
            assert!(!answer.complete, "{what}: {answer:?}");
        }
    }
    let whole = freshet.get("/a");
    assert_eq!((whole.status, whole.text(), whole.complete), (200, "0123456789".into(), true));
    assert!(freshet.get("/a").is_hit());
}

#[test]
fn a_part_that_is_completed_streams_as_it_arrives() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(move |seen| {
        match seen.number {
        0 => vec![Step::Send(b"HTTP/1.1 206 P\r\ncontent-range: bytes 0-4/10\r\netag: \"a\"\r\ncontent-length: 5\r\ncache-control: max-age=60\r\n\r\n01234".into())],
        _ => vec![
            Step::Send(b"HTTP/1.1 206 P\r\ncontent-range: bytes 5-9/10\r\netag: \"a\"\r\ncontent-length: 5\r\ncache-control: max-age=60\r\n\r\n56".into()),
            Step::Pause(held.clone()),
            Step::Send(b"789".into()),
        ],
    }
    });
    let freshet = Freshet::with(&origin, "[[routes]]\nhttp = \"rfc\"\n");
    freshet.get_with("/a", &[("range", "bytes=0-4")]);
    let mut client = freshet.client();
    client.send(crate::support::client::request("GET", HOST, "/a", &[]));
    assert_eq!(client.head().unwrap().status, 200);
    assert_eq!(client.read(7), b"0123456", "what is held, and what has come");
    gate.open();
    assert_eq!(client.read(3), b"789");
}

#[test]
fn several_ranges_are_answered_from_what_is_stored_and_cost_no_more_than_the_whole() {
    run(r#"
        answer 200 // content-type: image/png // cache-control: max-age=60 :: 0123456789
        GET /a // range: bytes=0-1,4-5        | GET /a // !range | 200 :: 0123456789
        GET /a // range: bytes=0-1,20-30      | - | 206 // content-range: bytes 0-1/10 :: 01
        GET /a // range: bytes=20-,30-        | - | 416
        GET /a // range: bytes=0-,0-,0-       | - | 200 :: 0123456789
        GET /a // range: bytes=0-5,2-6,4-7    | - | 200 :: 0123456789
        GET /a // range: bytes=0-0,2-2,4-4,6-6,8-8,0-0,2-2,4-4,6-6,8-8,0-0,2-2,4-4,6-6,8-8,0-0,2-2 | - | 200 :: 0123456789
        HEAD /a // range: bytes=0-1,4-5       | - | 200 // content-length: 10
    "#);
    let origin = Origin::new(|_| crate::support::origin::image("0123456789"));
    let freshet = Freshet::before(&origin);
    freshet.get("/a.jpg");
    for (range, parts) in [
        ("bytes=0-1,4-5", vec![("0-1", "01"), ("4-5", "45")]),
        ("bytes=8-,0-0,-1", vec![("8-9", "89"), ("0-0", "0"), ("9-9", "9")]),
    ] {
        let answer = freshet.get_with("/a.jpg", &[("range", range)]);
        assert_eq!((answer.status, answer.field("content-range")), (206, None), "{range}");
        let kind = answer.field("content-type").unwrap().to_owned();
        let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
        let expected: String = parts
            .iter()
            .map(|(place, body)| {
                format!(
                    "--{boundary}\r\nContent-Type: image/jpeg\r\nContent-Range: bytes {place}/10\r\n\r\n{body}\r\n"
                )
            })
            .collect();
        assert_eq!(answer.text(), format!("{expected}--{boundary}--\r\n"), "{range}");
        assert_eq!(answer.field("content-length"), Some(&*answer.body.len().to_string()));
        assert!(answer.is_hit());
    }
}

#[test]
fn head_on_what_is_stale_renews_it_or_ends_it() {
    run(r#"
        route http = "rfc"
        answer 200 // cache-control: max-age=10 // etag: "a" // x: 1 :: body
        GET /a  | GET /a  | 200
        HEAD /a | -       | 200 // content-length: 4 // cache-status: Freshet; hit…
        clock 20
        answer 200 // cache-control: max-age=100 // etag: "a" // x: 2 // content-length: 4
        HEAD /a | HEAD /a // !if-none-match | 200 // cache-status: Freshet; fwd=stale; fwd-status=200; stored
        GET /a  | -       | 200 // x: 2 // cache-status: Freshet; hit; ttl=100 :: body
        clock 200
        answer 200 // cache-control: max-age=100 // etag: "b" // content-length: 5
        HEAD /a | HEAD /a | 200 // cache-status: Freshet; fwd=stale; fwd-status=200; detail=head
        answer 200 // cache-control: max-age=100 // etag: "b" :: other
        GET /a  | GET /a // !if-none-match | 200 // cache-status: Freshet; fwd=uri-miss… :: other
        clock 200
        answer 410 // content-length: 0
        HEAD /a | HEAD /a | 410
        answer 200 // cache-control: max-age=100 :: third
        GET /a  | GET /a // !if-none-match | 200 // cache-status: Freshet; fwd=uri-miss… :: third
        HEAD /n | HEAD /n | 200
        GET /n  | GET /n  | 200 // cache-status: Freshet; fwd=uri-miss… :: third
    "#);
}

#[test]
fn conditional_requests_are_answered_from_the_store_and_from_a_full_fetch() {
    run(r#"
        route http = "rfc"
        answer 200 // cache-control: max-age=60 // etag: "a" // last-modified: Tue, 14 Nov 2023 00:00:00 GMT // x: 1 :: body
        GET /a // if-none-match: "a"  | GET /a // !if-none-match | 304 // etag: "a" // cache-control: max-age=60 // !x // !content-length // cache-status: Freshet; fwd=uri-miss; fwd-status=200; stored; ttl=60
        GET /a // if-none-match: "z", W/"a" | - | 304
        GET /a // if-none-match: "z"  | - | 200 :: body
        GET /a // if-modified-since: Tue, 14 Nov 2023 00:00:01 GMT | - | 304
        GET /a // if-modified-since: Mon, 13 Nov 2023 00:00:00 GMT | - | 200 :: body
        GET /a // range: bytes=0-1 // if-range: Tue, 14 Nov 2023 00:00:00 GMT | - | 206 :: bo
        GET /a // range: bytes=0-1 // if-range: "z" | - | 200 :: body
        clock 61
        answer 304 // etag: "a" // cache-control: max-age=60 // x: 2
        GET /a // if-none-match: "a"  | GET /a // if-none-match: "a" // if-modified-since: Tue, 14 Nov 2023 00:00:00 GMT | 304 // cache-status: Freshet; fwd=stale; fwd-status=304; stored; ttl=60
        GET /a                        | - | 200 // x: 2 :: body
    "#);
}

#[test]
fn what_may_be_shared_and_for_whom_is_as_the_response_says() {
    run(r#"
        route http = "rfc"
        answer 200 // cache-control: max-age=60 :: mine
        GET /a // authorization: x | GET /a // authorization: x | 200 // cache-status: Freshet; fwd=uri-miss; fwd-status=200; detail=authorization
        answer 200 // cache-control: max-age=60, public :: ours
        GET /b // authorization: x | GET /b | 200 // cache-status: Freshet; fwd=uri-miss; fwd-status=200; stored; ttl=60
        GET /b                     | -      | 200 :: ours
        answer 200 // cache-control: s-maxage=60 :: ours
        GET /c // authorization: x | GET /c | 200 // cache-status: Freshet; fwd=uri-miss; fwd-status=200; stored; ttl=60
        answer 200 // cache-control: max-age=60, private="x-secret", no-cache="x-old" // x-secret: 1 // x-old: 2 // x-new: 3 :: body
        GET /d                     | GET /d | 200 // x-secret: 1 // x-old: 2 // x-new: 3
        GET /d                     | -      | 200 // !x-secret // !x-old // x-new: 3 // cache-status: Freshet; hit…
        answer 299 // cache-control: max-age=60 :: odd
        GET /e                     | GET /e | 299
        GET /e                     | -      | 299 // cache-status: Freshet; hit…
        answer 299 // cache-control: max-age=60, must-understand, no-store :: odd
        GET /f                     | GET /f | 299 // cache-status: Freshet; fwd=uri-miss; fwd-status=299; detail=must-understand
        answer 200 // cache-control: max-age=60, must-understand, no-store :: known
        GET /g                     | GET /g | 200 // cache-status: Freshet; fwd=uri-miss; fwd-status=200; stored; ttl=60
        answer 200 // cache-control: max-age=60 // set-cookie: a=b :: body
        GET /h                     | GET /h | 200
        GET /h                     | -      | 200 // set-cookie: a=b // cache-status: Freshet; hit…
        answer 503 // cache-control: max-age=60 :: down
        GET /i                     | GET /i | 503
        GET /i                     | -      | 503 // cache-status: Freshet; hit…
    "#);
}

#[test]
fn a_url_has_sixteen_variants_at_most_and_the_oldest_leaves() {
    let rows: String = (0..17).map(|n| format!("GET /a // x: {n} | GET /a // x: {n} | 200\n")).collect();
    run(&format!(
        "route http = \"rfc\"
        answer 200 // cache-control: max-age=60 // vary: X :: body
        {rows}
        GET /a // x: 1 | - | 200 // cache-status: Freshet; hit…
        GET /a // x: 16 | - | 200 // cache-status: Freshet; hit…
        GET /a // x: 0 | GET /a // x: 0 | 200 // cache-status: Freshet; fwd=vary-miss…
        GET /a // x: 1 | GET /a // x: 1 | 200 // cache-status: Freshet; fwd=vary-miss…"
    ));
}

/// Several requests at once, of which the origin holds the first back until all have come to Freshet.
fn at_once(freshet: &Freshet, gate: &Gate, joined: u64, requests: &[&[(&str, &str)]]) -> Vec<Answer> {
    std::thread::scope(|scope| {
        let clients: Vec<_> =
            requests.iter().map(|fields| scope.spawn(|| freshet.get_with("/a", fields))).collect();
        wait_until("all that may share a fetch wait for it", || {
            freshet.app().metrics().joined.get() == joined
        });
        gate.wait_for(requests.len() - usize::try_from(joined).unwrap());
        gate.open();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    })
}

#[test]
fn requests_for_one_part_share_a_fetch_and_those_for_other_parts_do_not() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(move |seen| {
        let (place, body) = match seen.field("range") {
            Some("bytes=0-1") => ("0-1", "01"),
            _ => ("4-5", "45"),
        };
        let head =
            format!("content-range: bytes {place}/10\r\ncontent-length: 2\r\ncache-control: max-age=60");
        vec![
            Step::Pause(held.clone()),
            Step::Send(format!("HTTP/1.1 206 P\r\n{head}\r\n\r\n{body}").into_bytes()),
        ]
    });
    let freshet = Freshet::with(&origin, "[[routes]]\nhttp = \"rfc\"\n");
    let (one, other) = (&[("range", "bytes=0-1")][..], &[("range", "bytes=4-5")][..]);
    let answers = at_once(&freshet, &gate, 2, &[one, other, one, one]);
    let texts: Vec<_> = answers.iter().map(|answer| (answer.status, answer.text())).collect();
    let expected = ["01", "45", "01", "01"].map(|text| (206, text.to_owned()));
    assert_eq!(texts, expected);
    assert_eq!(origin.count(), 2);
}

#[test]
fn head_under_way_when_its_url_is_purged_renews_nothing() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(move |seen| {
        let head = "HTTP/1.1 200 OK\r\netag: \"a\"\r\ncontent-length: 4\r\ncache-control: max-age=10\r\n\r\n";
        match &*seen.method {
            "HEAD" => vec![Step::Pause(held.clone()), Step::Send(head.into())],
            _ => vec![Step::Send(format!("{head}bod{}", seen.number).into_bytes())],
        }
    });
    let freshet = Freshet::with(&origin, "[[routes]]\nhttp = \"rfc\"\n");
    freshet.get("/a");
    freshet.clock.advance(std::time::Duration::from_secs(20));
    let mut client = freshet.client();
    client.send(crate::support::client::request("HEAD", HOST, "/a", &[]));
    gate.wait_for(1);
    assert_eq!(freshet.purge("http://img.test/a").status, 201);
    gate.open();
    assert_eq!(client.answer(true).unwrap().status, 200);
    let fetched = freshet.get("/a");
    assert_eq!((fetched.is_hit(), fetched.text()), (false, "bod2".into()));
}

#[test]
fn range_on_a_miss_is_answered_before_the_whole_has_come() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(move |_| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncache-control: max-age=60\r\ncontent-length: 10\r\n\r\n";
        vec![
            Step::Send(format!("{head}01234").into_bytes()),
            Step::Pause(held.clone()),
            Step::Send(b"56789".into()),
        ]
    });
    let freshet = Freshet::before(&origin);
    let part = freshet.get_with("/a", &[("range", "bytes=1-3")]);
    assert_eq!(
        (part.status, part.text(), part.field("content-range")),
        (206, "123".into(), Some("bytes 1-3/10"))
    );
    gate.open();
    let whole = freshet.get("/a");
    assert_eq!(whole.text(), "0123456789");
    assert_eq!((origin.count(), origin.seen()[0].field("range")), (1, None));
}

#[test]
fn a_part_in_chunks_that_brings_less_than_it_states_is_passed_on_and_not_stored() {
    let origin = Origin::new(|_| {
        let head = "HTTP/1.1 206 P\r\ncontent-range: bytes 4-9/10\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked";
        vec![Step::Send(format!("{head}\r\n\r\n5\r\n01234\r\n0\r\n\r\n").into_bytes())]
    });
    let freshet = Freshet::with(&origin, "[[routes]]\nhttp = \"rfc\"\n");
    for count in 1..=2 {
        let part = freshet.get_with("/a", &[("range", "bytes=4-9")]);
        assert_eq!((part.status, part.text(), part.is_hit()), (206, "01234".into(), false));
        assert_eq!(origin.count(), count);
    }
}
