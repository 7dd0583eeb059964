//! What each key of a route does: row by row, the request, what the origin saw, and the answer.

use std::time::Duration;

use crate::support::origin::{Origin, Step, answer};
use crate::support::table::run;
use crate::support::{Freshet, wait_until};

#[test]
fn ignored_parameters_are_neither_in_the_key_nor_at_the_origin_nor_in_a_purge() {
    run(r#"
        route match = "^/p/"
        route ignore_query = ["utm_*", "fbclid"]
        answer 200 // content-type: image/png // cache-control: max-age=60 :: one
        GET /p/a.png?utm_source=x&tr=w-9&fbclid=1 | GET /p/a.png?tr=w-9        | 200 // cache-status: Freshet; fwd=uri-miss… :: one
        GET /p/a.png?tr=w-9                       | -                          | 200 // cache-status: Freshet; hit… :: one
        GET /p/a.png?tr=w-9&utm_medium=y          | -                          | 200 // cache-status: Freshet; hit… :: one
        GET /p/a.png?tr=w-9&UTM_medium=y          | GET /p/a.png?tr=w-9&UTM_medium=y | 200 :: one
        GET /a.png?utm_source=x                   | GET /a.png?utm_source=x    | 200 :: one
        GET /p/b.png?utm_source=x                 | GET /p/b.png               | 200 :: one
        answer 200 // content-type: image/png // cache-control: max-age=60 :: two
        purge http://img.test/p/a.png?utm_campaign=z&tr=w-9
        GET /p/a.png?tr=w-9                       | GET /p/a.png?tr=w-9        | 200 :: two
        GET /p/b.png                              | -                          | 200 :: one
        purge http://img.test/p/b.png?utm_*
        GET /p/b.png?fbclid=3                     | GET /p/b.png               | 200 :: two
        GET /p/a.png?tr=w-9                       | -                          | 200 :: two
    "#);
}

#[test]
fn lifetimes_of_a_route_bound_what_the_origin_states() {
    run(r#"
        route lifetimes = { default = "100s", minimum = "10s", maximum = "1000s", negative = "20s" }
        answer 200 // content-type: image/png :: silent
        GET /silent  | GET /silent  | 200 // cache-status: Freshet; fwd=uri-miss; fwd-status=200; stored; ttl=100
        answer 200 // content-type: image/png // cache-control: max-age=1 :: short
        GET /short   | GET /short   | 200 // cache-status: Freshet; fwd=uri-miss; fwd-status=200; stored; ttl=10
        answer 200 // content-type: image/png // cache-control: max-age=99999 :: long
        GET /long    | GET /long    | 200 // cache-status: Freshet; fwd=uri-miss; fwd-status=200; stored; ttl=1000
        answer 200 // content-type: image/png // cache-control: no-store :: no
        GET /no      | GET /no      | 200 // cache-status: Freshet; fwd=uri-miss; fwd-status=200; detail=no-store
        answer 404 :: gone
        GET /gone    | GET /gone    | 404 // cache-status: Freshet; fwd=uri-miss; fwd-status=404; stored; ttl=20
        answer 404 // cache-control: max-age=3600 :: gone
        GET /lost    | GET /lost    | 404 // cache-status: Freshet; fwd=uri-miss; fwd-status=404; stored; ttl=20
        answer 500 :: oops
        GET /oops    | GET /oops    | 500
        GET /oops    | GET /oops    | 500
    "#);
}

#[test]
fn errors_that_state_no_lifetime_have_the_routes_short_one_with_rfc_too() {
    run(r#"
        route http = "rfc"
        route lifetimes = { negative = "5s" }
        answer 503 :: down
        GET /a | GET /a | 503 // cache-status: Freshet; fwd=uri-miss; fwd-status=503; stored; ttl=5
        GET /a | -      | 503 // cache-status: Freshet; hit; ttl=5
        answer 404 // cache-control: max-age=60 :: gone
        GET /b | GET /b | 404 // cache-status: Freshet; fwd=uri-miss; fwd-status=404; stored; ttl=60
        answer 400 :: no
        GET /c | GET /c | 400 // cache-status: Freshet; fwd=uri-miss; fwd-status=400; detail=no-freshness
        answer 503 // cache-control: no-store :: down
        GET /d | GET /d | 503 // cache-status: Freshet; fwd=uri-miss; fwd-status=503; detail=no-store
        clock 6
        answer 200 // cache-control: max-age=60 :: up
        GET /a | GET /a | 200 :: up
    "#);
}

#[test]
fn grace_stands_in_while_the_origin_is_down_and_not_where_the_origin_forbids_it() {
    run(r#"
        route grace = "1h"
        answer 200 // content-type: image/png // cache-control: max-age=10 :: kept
        GET /a | GET /a | 200 :: kept
        answer 200 // content-type: image/png // cache-control: max-age=10, must-revalidate :: strict
        GET /b | GET /b | 200 :: strict
        answer 200 // content-type: image/png // cache-control: s-maxage=10 :: shared
        GET /c | GET /c | 200 :: shared
        answer 200 // content-type: image/png // cache-control: max-age=10, proxy-revalidate :: proxy
        GET /d | GET /d | 200 :: proxy
        answer 200 // content-type: image/png // cache-control: max-age=10, stale-if-error=5 :: brief
        GET /e | GET /e | 200 :: brief
        clock 20
        answer 503 :: down
        GET /a | GET /a | 200 // age: 20 // cache-status: Freshet; hit; ttl=-10; detail=server-error :: kept
        GET /b | GET /b | 503 :: down
        GET /c | GET /c | 503 :: down
        GET /d | GET /d | 503 :: down
        GET /e | GET /e | 503 :: down
        answer hang up
        GET /a | GET /a | 200 // cache-status: Freshet; hit; ttl=-10; detail=incomplete :: kept
        GET /b | GET /b | 502 // cache-control: no-store
        HEAD /a | HEAD /a | 200 // cache-status: Freshet; hit… // content-length: 4
        clock 3700
        GET /a | GET /a | 502
        answer 200 // content-type: image/png // cache-control: max-age=10 :: new
        GET /a | GET /a | 200 // cache-status: Freshet; fwd=stale; fwd-status=200; stored; ttl=10 :: new
    "#);
}

#[test]
fn request_directives_count_where_a_route_says_so_and_nowhere_else() {
    run(r#"
        answer 200 // content-type: image/png // cache-control: max-age=60 :: body
        GET /a | GET /a | 200
        GET /a // cache-control: no-cache       | - | 200 // cache-status: Freshet; hit…
        GET /a // cache-control: max-age=0      | - | 200 // cache-status: Freshet; hit…
        GET /a // pragma: no-cache              | - | 200 // cache-status: Freshet; hit…
        GET /b // cache-control: only-if-cached | GET /b // !cache-control | 200
    "#);
    run(r#"
        route request_directives = true
        answer 200 // content-type: image/png // cache-control: max-age=60 // etag: "a" :: body
        GET /a // cache-control: only-if-cached | - | 504 // cache-status: Freshet; detail=only-if-cached // cache-control: no-store
        GET /a                                  | GET /a | 200
        GET /a // cache-control: only-if-cached | - | 200 // cache-status: Freshet; hit…
        clock 20
        GET /a // cache-control: max-age=30     | - | 200 // age: 20 // cache-status: Freshet; hit…
        GET /a // cache-control: min-fresh=30   | - | 200 // cache-status: Freshet; hit…
        answer 304 // etag: "a" // cache-control: max-age=60
        GET /a // cache-control: max-age=10     | GET /a // if-none-match: "a" | 200 // cache-status: Freshet; fwd=request; fwd-status=304; stored; ttl=60 :: body
        GET /a // cache-control: min-fresh=61   | GET /a // if-none-match: "a" | 200 // cache-status: Freshet; fwd=request; fwd-status=304… :: body
        GET /a // cache-control: no-cache       | GET /a // if-none-match: "a" | 200 // cache-status: Freshet; fwd=request; fwd-status=304… :: body
        GET /a                                  | - | 200 // cache-status: Freshet; hit; ttl=60 :: body
        answer 200 // content-type: image/png // cache-control: max-age=60 // etag: "b" :: other
        GET /a // cache-control: no-store       | GET /a // !if-none-match | 200 // cache-status: Freshet; fwd=bypass; fwd-status=200; detail=request-no-store :: other
        GET /a                                  | - | 200 // cache-status: Freshet; hit… :: body
        GET /c // cache-control: no-store       | GET /c | 200 :: other
        HEAD /c // cache-control: no-store      | HEAD /c | 200 // content-length: 5 // cache-status: Freshet; fwd=bypass…
        GET /c                                  | GET /c | 200 // cache-status: Freshet; fwd=uri-miss…
        clock 70
        answer hang up
        GET /a // cache-control: stale-if-error=60 | GET /a | 200 // cache-status: Freshet; hit; ttl=-10; detail=incomplete :: body
        GET /a // cache-control: stale-if-error=5  | GET /a | 502
        GET /a // cache-control: only-if-cached | - | 504
        answer 503 :: down
        GET /a // cache-control: max-stale=5    | GET /a | 503
    "#);
}

#[test]
fn a_client_may_take_what_is_stale_for_as_long_as_it_says() {
    run(r#"
        route request_directives = true
        answer 200 // content-type: image/png // cache-control: max-age=60 :: body
        GET /a | GET /a | 200
        answer 200 // content-type: image/png // cache-control: max-age=60, must-revalidate :: strict
        GET /b | GET /b | 200
        clock 70
        answer hang up
        GET /b // cache-control: max-stale=60, only-if-cached | - | 504
        GET /a // cache-control: max-stale=5, only-if-cached  | - | 504
    "#);
    let origin = Origin::new(|seen| {
        let fields = [("content-type", "image/png"), ("cache-control", "max-age=10")];
        vec![Step::Send(answer("200 OK", &fields, format!("body {}", seen.number)))]
    });
    let freshet = Freshet::with(&origin, "[[routes]]\nrequest_directives = true\n");
    freshet.get("/a.png");
    freshet.clock.advance(Duration::from_secs(15));
    let stale = freshet.get_with("/a.png", &[("cache-control", "max-stale=10")]);
    assert_eq!((stale.text(), stale.is_hit()), ("body 0".into(), true));
    wait_until("it is refreshed behind that answer", || freshet.get("/a.png").text() == "body 1");
}

#[test]
fn set_cookie_is_bypassed_stripped_or_stored() {
    run(r#"
        answer 200 // content-type: image/png // cache-control: max-age=60 // set-cookie: a=b :: body
        GET /a | GET /a | 200 // set-cookie: a=b // cache-status: Freshet; fwd=uri-miss; fwd-status=200; detail=set-cookie
        GET /a | GET /a | 200 // set-cookie: a=b
    "#);
    run(r#"
        route set_cookie = "strip"
        answer 200 // content-type: image/png // cache-control: max-age=60 // set-cookie: a=b :: body
        GET /a | GET /a | 200 // !set-cookie
        GET /a | -      | 200 // !set-cookie // cache-status: Freshet; hit…
    "#);
    run(r#"
        route set_cookie = "store"
        answer 200 // content-type: image/png // cache-control: max-age=60 // set-cookie: a=b :: body
        GET /a | GET /a | 200 // set-cookie: a=b
        GET /a | -      | 200 // set-cookie: a=b // cache-status: Freshet; hit…
    "#);
}

#[test]
fn targeted_fields_count_in_the_routes_order() {
    run(r#"
        route targeted_fields = ["freshet-cache-control", "cdn-cache-control"]
        answer 200 // content-type: image/png // cache-control: no-store // cdn-cache-control: max-age=9 :: body
        GET /a | GET /a | 200 // cache-status: Freshet; fwd=uri-miss; fwd-status=200; stored; ttl=9
        answer 200 // content-type: image/png // cdn-cache-control: max-age=9 // freshet-cache-control: max-age=90 :: body
        GET /b | GET /b | 200 // cache-status: Freshet; fwd=uri-miss; fwd-status=200; stored; ttl=90
        answer 200 // content-type: image/png // cdn-cache-control: max-age=9 // freshet-cache-control: max-age="1" :: body
        GET /c | GET /c | 200 // cache-status: Freshet; fwd=uri-miss; fwd-status=200; stored; ttl=9
        answer 200 // content-type: image/png // cache-control: max-age=8 // cdn-cache-control: :: body
        GET /d | GET /d | 200 // cache-status: Freshet; fwd=uri-miss; fwd-status=200; stored; ttl=8
    "#);
}

#[test]
fn formats_and_hints_are_reduced_for_the_origin_and_for_the_variant_alike() {
    run(r#"
        route formats = ["webp", "jxl"]
        route hints = ["DPR", "save-data"]
        answer 200 // content-type: image/png // cache-control: max-age=60 // vary: Accept, DPR, Save-Data, Width :: body
        GET /a // accept: image/avif,image/webp,*/*;q=0.8 // dpr: 1.75 // width: 300 | GET /a // accept: image/webp,*/* // dpr: 2 // !width // !save-data | 200
        GET /a // accept: image/webp // dpr: 2.0 // width: 600                       | - | 200 // cache-status: Freshet; hit…
        GET /a // accept: image/webp // dpr: 2.1                                     | GET /a // accept: image/webp,*/* // dpr: 3 | 200 // cache-status: Freshet; fwd=vary-miss…
        GET /a // accept: image/webp // dpr: 2 // save-data: on                      | GET /a // dpr: 2 // save-data: on | 200 // cache-status: Freshet; fwd=vary-miss…
        GET /a // accept: image/jxl // dpr: x                                        | GET /a // accept: image/jxl,*/* // !dpr | 200 // cache-status: Freshet; fwd=vary-miss…
        GET /a // accept: image/png                                                  | GET /a // accept: */* // !dpr | 200 // cache-status: Freshet; fwd=vary-miss…
        GET /a                                                                       | - | 200 // cache-status: Freshet; hit…
    "#);
    run(r#"
        answer 200 // content-type: image/png // cache-control: max-age=60 // vary: DPR :: body
        GET /a // dpr: 2 | GET /a // !dpr | 200
        GET /a // dpr: 3 | -              | 200 // cache-status: Freshet; hit…
    "#);
}

#[test]
fn vary_forbids_storing_on_the_names_of_the_route() {
    run(r#"
        route vary_forbidden = ["accept"]
        answer 200 // content-type: image/png // cache-control: max-age=60 // vary: Accept :: body
        GET /a | GET /a | 200 // cache-status: Freshet; fwd=uri-miss; fwd-status=200; detail=vary-forbidden
        answer 200 // content-type: image/png // cache-control: max-age=60 // vary: Cookie :: body
        GET /b | GET /b | 200 // cache-status: Freshet; fwd=uri-miss; fwd-status=200; stored; ttl=60
    "#);
}

#[test]
fn browsers_are_told_what_the_route_says_on_hits_misses_and_304s() {
    run(r#"
        route browser = "no-cache"
        answer 200 // content-type: image/png // cache-control: max-age=60 // etag: "a" // expires: Tue, 14 Nov 2033 00:00:00 GMT :: body
        GET /a                         | GET /a | 200 // cache-control: no-cache // etag: "a" // !expires
        clock 30
        GET /a                         | -      | 200 // cache-control: no-cache // !age
        GET /a // if-none-match: "a"   | -      | 304 // cache-control: no-cache // etag: "a"
        GET /a // range: bytes=0-1     | -      | 206 // cache-control: no-cache :: bo
        clock 31
        answer 304 // etag: "a" // cache-control: max-age=60
        GET /a                         | GET /a // if-none-match: "a" | 200 // cache-control: no-cache :: body
        HEAD /a                        | -      | 200 // cache-control: no-cache
        answer 200 // content-type: image/png // cache-control: private :: mine
        GET /b                         | GET /b | 200 // cache-control: private
        answer 404 // cache-control: max-age=5 :: gone
        GET /c                         | GET /c | 404 // cache-control: max-age=5
    "#);
    run(r#"
        route browser = "max-age=60, immutable"
        answer 200 // content-type: image/png // cache-control: max-age=9999 // date: Tue, 14 Nov 2023 22:13:20 GMT :: body
        GET /a | GET /a | 200 // cache-control: max-age=60, immutable
        clock 5000
        GET /a | - | 200 // cache-control: max-age=60, immutable // !age // cache-status: Freshet; hit; ttl=4999
    "#);
    run(r#"
        answer 200 // content-type: image/png // cache-control: max-age=60 :: body
        GET /a | GET /a | 200 // cache-control: max-age=60
        GET /a | -      | 200 // cache-control: max-age=60
    "#);
}

#[test]
fn image_mode_lets_nothing_of_the_client_through_but_accept() {
    run(r#"
        answer 200 // content-type: image/png // cache-control: max-age=60 :: 0123456789
        GET /a // cookie: a=b // user-agent: u // authorization: x // x-forwarded-host: evil // range: bytes=0-1 // if-range: "x" | GET /a // accept: */* // !cookie // !user-agent // !authorization // !x-forwarded-host // !range // !if-range | 200 :: 0123456789
        GET /b // range: bytes=0-1   | GET /b // !range | 206 // content-range: bytes 0-1/10 :: 01
        GET /b // range: bytes=8-    | -                | 206 :: 89
        POST /a                      | -                | 405 // allow: GET, HEAD
        TRACE /a                     | -                | 405
    "#);
}

#[test]
fn every_answer_names_its_request_and_says_how_it_was_handled() {
    run(r#"
        answer 200 // content-type: image/png // cache-control: max-age=60 // x-request-id: origin :: body
        GET /a // x-request-id: mine-1       | GET /a // !x-request-id | 200 // x-request-id: mine-1 // cache-status: Freshet; fwd…
        GET /a // x-request-id: mine-2       | - | 200 // x-request-id: mine-2 // cache-status: Freshet; hit…
        GET /a // x-request-id: mine-3 // range: bytes=9- | - | 416 // x-request-id: mine-3 // cache-status: Freshet; hit…
        DELETE /a // x-request-id: mine-4    | - | 405 // x-request-id: mine-4 // cache-status: Freshet; detail=method
        GET /../a // x-request-id: mine-5    | - | 400 // x-request-id: mine-5 // cache-status: Freshet; detail=dot-segment
        answer hang up
        GET /b // x-request-id: mine-6       | GET /b | 502 // x-request-id: mine-6 // cache-status: Freshet; detail=incomplete
    "#);
    let origin = Origin::new(|_| vec![Step::Close]);
    let freshet = Freshet::before(&origin);
    let error = freshet.get_with("/a.png", &[("x-request-id", "bad id")]);
    let name = error.field("x-request-id").unwrap();
    assert!(!name.contains(' ') && error.text().ends_with(&format!("Request: {name}\n")), "{error:?}");
    assert_ne!(freshet.get("/a.png").field("x-request-id"), Some(name), "another request has another name");
}

#[test]
fn refresh_that_fails_is_not_tried_again_at_every_hit() {
    let origin = Origin::new(|seen| match seen.number {
        0 => {
            let fields =
                [("content-type", "image/png"), ("cache-control", "max-age=1, stale-while-revalidate=600")];
            vec![Step::Send(answer("200 OK", &fields, "body"))]
        }
        1..=2 => vec![Step::Send(answer("503 Service Unavailable", &[], "down"))],
        _ => {
            let fields =
                [("content-type", "image/png"), ("cache-control", "max-age=1, stale-while-revalidate=600")];
            vec![Step::Send(answer("200 OK", &fields, "new"))]
        }
    });
    let freshet = Freshet::before(&origin);
    let stale = || {
        let answer = freshet.get("/a.png");
        assert_eq!((answer.text(), answer.is_hit()), ("body".into(), true), "{answer:?}");
    };
    let at_rest = |fetches| {
        wait_until("the refresh has ended", || {
            origin.count() == fetches && freshet.app().figures().flights == 0
        })
    };
    freshet.get("/a.png");
    freshet.clock.advance(Duration::from_secs(2));
    stale();
    at_rest(2);
    for _ in 0..5 {
        stale();
    }
    at_rest(2);
    freshet.clock.advance(Duration::from_secs(6));
    stale();
    at_rest(3);
    stale();
    at_rest(3);
    freshet.clock.advance(Duration::from_secs(6));
    stale();
    wait_until("the origin is back", || freshet.get("/a.png").text() == "new");
    // What was stored anew is refreshed as soon as it is stale: the pause was for the failure.
    freshet.clock.advance(Duration::from_secs(2));
    freshet.get("/a.png");
    at_rest(5);
}

#[test]
fn request_is_named_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(); // Dropped: nobody listens.
    let sections = format!(
        "[proxy]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[ledger]\npath = \":memory:\"\n\
         [log]\nformat = \"json\"\n{}",
        crate::support::account(&format!("http://{closed}"))
    );
    std::fs::write(&config, sections).unwrap();
    let binary = crate::support::binary::Binary::start(&config);
    let mut client = crate::support::client::Client::connect(binary.proxy);
    let failed = client.request("GET", crate::support::HOST, "/a.png", &[("x-request-id", "trace-me-7")]);
    assert_eq!(failed.status, 502);
    wait_until("the log names it", || binary.log().contains("\"request\":\"trace-me-7\""));
}

#[test]
fn client_for_whom_there_is_no_place_is_told_so_and_closed() {
    let origin = Origin::new(|_| crate::support::origin::image("body"));
    let freshet = Freshet::with(&origin, "[proxy]\nconnections_max = 1\n");
    let mut first = freshet.client();
    assert_eq!(first.request("GET", crate::support::HOST, "/a.png", &[]).status, 200);
    let mut second = freshet.client();
    let refused = second.answer(false).unwrap();
    assert_eq!((refused.status, refused.field("cache-control")), (503, Some("no-store")));
    assert_eq!(refused.cache_status(), "Freshet; detail=connections-max");
    assert!(second.is_closed());
    assert!(
        first.request("GET", crate::support::HOST, "/a.png", &[]).is_hit(),
        "the first one has its place still"
    );
}
