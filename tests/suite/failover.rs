//! Several origins of one account: who is asked, who is left out and for how long, and what no failover may do.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::support::client::Answer;
use crate::support::origin::{Gate, Origin, Seen, Step, answer, image};
use crate::support::{Freshet, HOST, KEY, wait_until};

/// `fetch.broken_time` of all tests here.
const BROKEN: Duration = Duration::from_secs(10);

/// Before these origins, in their order, with further sections of config.
fn before(origins: &[SocketAddr], sections: &str) -> Freshet {
    Freshet::start(&text(origins, sections))
}

fn text(origins: &[SocketAddr], sections: &str) -> String {
    let urls: Vec<_> = origins.iter().map(|address| format!("\"http://{address}\"")).collect();
    format!(
        "{sections}\n[[accounts]]\nid = \"test\"\nprivate_keys = [\"{KEY}\"]\nurl_endpoints = [\"http://{HOST}\"]\n\
         origins = [{}]\n",
        urls.join(", ")
    )
}

/// The same before other origins, and with other sections, while it runs; once.
fn reload(freshet: &Freshet, origins: &[SocketAddr], sections: &str) {
    let text = text(origins, sections);
    freshet.app().reload_by(move || crate::support::read(&text));
    freshet.app().reload().unwrap();
}

/// An address that refuses.
fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// An origin that ends connections without an answer while the flag is up, and else sends pictures of this text.
fn breakable(text: &'static str) -> (Origin, Arc<AtomicBool>) {
    let broken = Arc::new(AtomicBool::new(false));
    let is_broken = broken.clone();
    let origin = Origin::new(move |_| match is_broken.load(Ordering::SeqCst) {
        true => vec![Step::Close],
        false => image(text),
    });
    (origin, broken)
}

fn targets(origin: &Origin) -> Vec<String> {
    origin.seen().iter().map(|Seen { method, target, .. }| format!("{method} {target}")).collect()
}

/// What the overview says of each origin: state, fetches, failures.
fn told(freshet: &Freshet) -> Vec<(String, u64, u64)> {
    let answer = freshet.admin("GET", "/v1/overview", KEY, "");
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    let of = |origin: &Value| {
        let number = |name: &str| origin[name].as_u64().unwrap();
        (origin["state"].as_str().unwrap().to_owned(), number("fetches"), number("failures"))
    };
    body["origins"].as_array().unwrap().iter().map(of).collect()
}

fn is_text(answer: &Answer, text: &str) -> bool {
    answer.status == 200 && answer.complete && answer.text() == text
}

#[test]
fn first_that_is_down_is_left_out_for_its_time_and_then_used_again() {
    let ((first, broken), second) = (breakable("first"), Origin::new(|_| image("second")));
    let freshet = before(&[first.address, second.address], "");
    assert!(is_text(&freshet.get("/0.png"), "first"));
    broken.store(true, Ordering::SeqCst);
    let answer = freshet.get("/1.png");
    assert!(is_text(&answer, "second"), "{answer:?}");
    let asked = first.count();
    for at in 2..20 {
        assert!(is_text(&freshet.get(&format!("/{at}.png")), "second"));
    }
    assert_eq!(first.count(), asked, "it is left out");
    assert_eq!(told(&freshet)[0].0, "out");

    freshet.clock.advance(BROKEN);
    assert!(is_text(&freshet.get("/20.png"), "second"), "who tries it is answered all the same");
    assert_eq!(first.count(), asked + 1, "it was tried");
    assert!(is_text(&freshet.get("/21.png"), "second"));
    assert_eq!(first.count(), asked + 1, "and is left out again");

    broken.store(false, Ordering::SeqCst);
    freshet.clock.advance(BROKEN);
    for at in 22..25 {
        assert!(is_text(&freshet.get(&format!("/{at}.png")), "first"), "it is back");
    }
    let states: Vec<_> = told(&freshet).into_iter().map(|(state, ..)| state).collect();
    assert_eq!(states, ["ok", "ok"]);
}

#[test]
fn one_that_refuses_is_passed_over_by_every_method() {
    let second = Origin::new(|_| image("second"));
    let freshet = before(&[refusing(), second.address], "[[routes]]\nmethods = [\"POST\"]\n");
    let mut client = freshet.client();
    client.send(format!("POST /a.png HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 2\r\n\r\nhi"));
    assert!(is_text(&client.answer(false).unwrap(), "second"), "nothing of it was sent to the first");
    assert_eq!(second.seen()[0].body, b"hi");
    assert_eq!(client.request("HEAD", HOST, "/b.png", &[]).status, 200);
    assert!(is_text(&client.request("GET", HOST, "/c.png", &[]), "second"));
    assert_eq!(targets(&second), ["POST /a.png", "HEAD /b.png", "GET /c.png"]);
    assert_eq!(told(&freshet), [("out".into(), 1, 1), ("ok".into(), 3, 0)]);
}

#[test]
fn one_fetch_tries_an_origin_while_the_others_keep_to_the_rest() {
    let (gate, broken) = (Gate::new(), Arc::new(AtomicBool::new(true)));
    let (held, is_broken) = (gate.clone(), broken.clone());
    let first = Origin::new(move |_| match is_broken.load(Ordering::SeqCst) {
        true => vec![Step::Close],
        false => [vec![Step::Pause(held.clone())], image("first")].concat(),
    });
    let second = Origin::new(|_| image("second"));
    let freshet = before(&[first.address, second.address], "");
    assert!(is_text(&freshet.get("/a.png"), "second"));
    broken.store(false, Ordering::SeqCst);
    freshet.clock.advance(BROKEN);
    let asked = first.count();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..50)
            .map(|at| {
                scope.spawn({
                    let freshet = &freshet;
                    move || freshet.get(&format!("/{at}.png")).text()
                })
            })
            .collect();
        gate.wait_for(1);
        wait_until("the others are answered", || second.count() == 1 + 49);
        assert_eq!(first.count(), asked + 1, "one tries it");
        gate.open();
        let texts: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        assert_eq!(texts.iter().filter(|text| *text == "first").count(), 1);
        assert_eq!(texts.iter().filter(|text| *text == "second").count(), 49);
    });
    assert!(is_text(&freshet.get("/b.png"), "first"), "it answered, so it is back");
}

#[test]
fn post_that_was_sent_is_never_sent_again() {
    for end in [Step::Close, Step::Reset] {
        let (first, second) = (Origin::new(move |_| vec![end.clone()]), Origin::new(|_| image("second")));
        let freshet = before(&[first.address, second.address], "[[routes]]\nmethods = [\"POST\"]\n");
        let mut client = freshet.client();
        client.send(format!("POST /a.png HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 2\r\n\r\nhi"));
        assert_eq!(client.answer(false).unwrap().status, 502);
        assert_eq!(second.count(), 0);
        assert_eq!(told(&freshet)[0].0, "failing", "its client may have had a part in it: it stays in");
        assert!(is_text(&freshet.get("/a.png"), "second"), "GET may be sent again");
        assert_eq!(targets(&first), ["POST /a.png", "GET /a.png"]);
    }
}

#[test]
fn client_that_breaks_off_its_body_puts_no_origin_out() {
    let (first, second) = (Origin::new(|_| image("first")), Origin::new(|_| image("second")));
    let freshet = before(&[first.address, second.address], "[[routes]]\nmethods = [\"POST\"]\n");
    for _ in 0..3 {
        let mut client = freshet.client();
        client.send(format!("POST /a.png HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 9\r\n\r\nhi"));
        client.socket.shutdown(std::net::Shutdown::Write).unwrap();
        let answer = client.answer(false);
        assert!(answer.is_none_or(|answer| answer.status >= 400));
    }
    assert!(is_text(&freshet.get("/b.png"), "first"));
    assert_eq!(second.count(), 0);
}

#[test]
fn while_all_are_down_what_is_stored_stands_in_and_each_fetch_tries_one() {
    let ((first, first_broken), (second, second_broken)) = (breakable("first"), breakable("second"));
    let sections = "[[routes]]\nmatch = \"^/kept\"\ngrace = \"1h\"\n";
    let freshet = before(&[first.address, second.address], sections);
    assert!(is_text(&freshet.get("/kept.png"), "first"));
    assert!(is_text(&freshet.get("/other.png"), "first"));
    [&first_broken, &second_broken].into_iter().for_each(|broken| broken.store(true, Ordering::SeqCst));
    freshet.clock.advance(Duration::from_secs(61));
    assert_eq!(freshet.get("/other.png").status, 502, "both were asked");
    let total = || first.count() + second.count();
    for _ in 0..5 {
        let before = total();
        let answer = freshet.get("/kept.png");
        assert!(is_text(&answer, "first"), "stale: {answer:?}");
        assert_eq!(total(), before + 1, "one was tried");
    }
    assert_eq!(freshet.get("/new.png").status, 502);
    let states: Vec<_> = told(&freshet).into_iter().map(|(state, ..)| state).collect();
    assert_eq!(states, ["out", "out"]);
    // Whichever works again is found by the second fetch at the latest, and no clock has to move for it.
    second_broken.store(false, Ordering::SeqCst);
    let statuses = [freshet.get("/x.png").status, freshet.get("/y.png").status];
    assert!(statuses.contains(&200), "{statuses:?}");
    assert!(is_text(&freshet.get("/z.png"), "second"));
}

#[test]
fn origin_that_sends_no_head_in_time_is_passed_over_within_the_whole_time() {
    let never = Gate::new();
    let held = never.clone();
    let silent = move |_: &Seen| vec![Step::Pause(held.clone()), Step::Close];
    let (first, third) = (Origin::new(silent.clone()), Origin::new(silent));
    let second = Origin::new(|_| image("second"));
    let fetch = "[fetch]\nfirst_byte_timeout = \"1s\"\n";
    let freshet = before(&[first.address, second.address], fetch);
    assert!(is_text(&freshet.get("/a.png"), "second"));
    assert_eq!((first.count(), told(&freshet)[0].0.as_str()), (1, "out"));
    drop(freshet);

    // The whole time ends before the second one's: it is no longer waited for, and the third is not asked.
    let fetch = "[fetch]\nfirst_byte_timeout = \"1200ms\"\ntotal_timeout = \"2s\"\n";
    let freshet = before(&[first.address, third.address, second.address], fetch);
    assert_eq!(freshet.get("/a.png").status, 504);
    assert_eq!((first.count(), third.count(), second.count()), (2, 1, 1));
    let told = told(&freshet);
    assert_eq!((&*told[0].0, &*told[1].0), ("out", "failing"), "the second one had no time of its own");
    never.open();
}

#[test]
fn answer_that_breaks_off_behind_its_head_is_not_made_good_by_another_origin() {
    let first = Origin::new(|seen| match &*seen.target {
        "/a.png" => {
            let whole = answer(
                "200 OK",
                &[("content-type", "image/png"), ("cache-control", "max-age=60")],
                [b'a'; 100_000],
            );
            vec![Step::Send(whole[..50_000].to_vec()), Step::Close]
        }
        _ => image("first"),
    });
    let second = Origin::new(|_| image("second"));
    let freshet = before(&[first.address, second.address], "");
    let answer = freshet.get("/a.png");
    assert!(answer.status == 502 || !answer.complete, "{} {}", answer.status, answer.body.len());
    assert_eq!((second.count(), freshet.app().figures().entries), (0, 0));
    assert!(is_text(&freshet.get("/b.png"), "first"), "it answers, so it stays in");
}

#[test]
fn server_error_is_an_answer() {
    let first = Origin::new(|_| vec![Step::Send(answer("503 Service Unavailable", &[], "busy"))]);
    let second = Origin::new(|_| image("second"));
    let freshet = before(&[first.address, second.address], "");
    for _ in 0..3 {
        assert_eq!(freshet.get("/a.png").status, 503);
    }
    assert_eq!(
        (second.count(), told(&freshet)),
        (0, vec![("failing".into(), 3, 3), ("unknown".into(), 0, 0)])
    );
}

#[test]
fn head_that_is_no_http_goes_to_the_next_and_puts_nobody_out() {
    let first = Origin::new(|seen| match &*seen.target {
        "/bad.png" => vec![Step::Send(b"HTTP/1.1 200 OK\r\nbad field\r\n\r\n".to_vec()), Step::Close],
        _ => image("first"),
    });
    let second = Origin::new(|_| image("second"));
    let freshet = before(&[first.address, second.address], "");
    assert!(is_text(&freshet.get("/bad.png"), "second"));
    assert!(is_text(&freshet.get("/a.png"), "first"), "one URL puts no origin out");
}

#[test]
fn purge_during_a_failover_is_not_undone() {
    let gate = Gate::new();
    let held = gate.clone();
    let first = Origin::new(move |_| vec![Step::Pause(held.clone()), Step::Close]);
    let second = Origin::new(|seen| image(if seen.number == 0 { "old" } else { "new" }));
    let freshet = before(&[first.address, second.address], "");
    std::thread::scope(|scope| {
        let client = scope.spawn(|| freshet.get("/a.png"));
        gate.wait_for(1);
        let purged = freshet.purge(&format!("http://{HOST}/a.png")); // While the first one is asked.
        assert_eq!(purged.status, 201);
        gate.open();
        assert_eq!(client.join().unwrap().text(), "old", "it came before the purge");
    });
    let answer = freshet.get("/a.png");
    assert!(is_text(&answer, "new") && !answer.is_hit(), "{answer:?}");
}

#[test]
fn places_are_each_origins_own_and_who_waits_for_one_goes_on_when_its_origin_is_out() {
    let gate = Gate::new();
    let held = gate.clone();
    let first = Origin::new(move |_| vec![Step::Pause(held.clone()), Step::Close]);
    let second = Origin::new(|_| image("second"));
    let freshet = before(&[first.address, second.address], "[fetch]\nconnections_max = 1\n");
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..20)
            .map(|at| {
                scope.spawn({
                    let freshet = &freshet;
                    move || freshet.get(&format!("/{at}.png"))
                })
            })
            .collect();
        gate.wait_for(1);
        wait_until("the others wait", || freshet.app().metrics().fetches.get() == 20);
        assert_eq!(second.count(), 0);
        gate.open();
        clients.into_iter().for_each(|client| assert!(is_text(&client.join().unwrap(), "second")));
    });
    assert_eq!(first.count(), 1, "none of them asked it any more");
}

#[test]
fn who_finds_no_place_at_one_origin_goes_to_the_next() {
    let gate = Gate::new();
    let held = gate.clone();
    let first = Origin::new(move |_| [vec![Step::Pause(held.clone())], image("first")].concat());
    let second = Origin::new(|_| image("second"));
    let fetch = "[fetch]\nconnections_max = 1\nqueue_timeout = \"50ms\"\n";
    let freshet = before(&[first.address, second.address], fetch);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| freshet.get("/a.png"));
        gate.wait_for(1);
        assert!(is_text(&freshet.get("/b.png"), "second"));
        gate.open();
        assert!(is_text(&client.join().unwrap(), "first"));
    });
    // As soon as its place is free again: nothing is held against it.
    let at = std::cell::Cell::new(0);
    wait_until("it is asked again", || {
        at.set(at.get() + 1);
        is_text(&freshet.get(&format!("/{}.png", at.get())), "first")
    });
}

#[test]
fn reload_that_leaves_the_origins_keeps_who_is_left_out() {
    let ((first, broken), second) = (breakable("first"), Origin::new(|_| image("second")));
    let freshet = before(&[first.address, second.address], "");
    broken.store(true, Ordering::SeqCst);
    assert!(is_text(&freshet.get("/a.png"), "second"));
    broken.store(false, Ordering::SeqCst);
    reload(&freshet, &[first.address, second.address], "[proxy]\nidle_timeout = \"5s\"\n");
    assert!(is_text(&freshet.get("/b.png"), "second"));
    assert_eq!((first.count(), told(&freshet)[0].0.as_str()), (1, "out"));
}

#[test]
fn reload_adds_an_origin_that_is_asked_from_then_on() {
    let ((first, broken), second) = (breakable("first"), Origin::new(|_| image("second")));
    let freshet = before(&[first.address], "");
    assert!(is_text(&freshet.get("/a.png"), "first"));
    broken.store(true, Ordering::SeqCst);
    assert_eq!(freshet.get("/b.png").status, 502);
    assert_eq!(told(&freshet)[0].0, "failing", "there is no other");
    reload(&freshet, &[first.address, second.address], "");
    assert!(is_text(&freshet.get("/b.png"), "second"));
    let states: Vec<_> = told(&freshet).into_iter().map(|(state, ..)| state).collect();
    assert_eq!(states, ["out", "ok"]);
    assert!(freshet.get("/a.png").is_hit(), "what was stored stays");
}

#[test]
fn name_with_several_addresses_is_found_at_the_one_that_answers() {
    // localhost is ::1 and 127.0.0.1 on most systems, and this listens at one of them.
    let origin = Origin::new(|_| image("found"));
    let freshet =
        Freshet::start(&crate::support::account(&format!("http://localhost:{}", origin.address.port())));
    assert!(is_text(&freshet.get("/a.png"), "found"));
}
