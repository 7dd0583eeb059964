//! A purge that was acknowledged is never undone by a race. Races are driven by gates in the origin.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::client::request;
use crate::support::origin::{Gate, Origin, Step, answer, image};
use crate::support::{Freshet, HOST, wait_until};

const FIELDS: [(&str, &str); 3] =
    [("content-type", "image/png"), ("cache-control", "max-age=60, stale-if-error=600"), ("etag", "\"v1\"")];

/// Serves the version that holds when the request arrives; the first answer waits at the gate, its head
/// before it or behind it.
fn versioned(gate: &Gate, head_first: bool) -> (Origin, Arc<AtomicUsize>) {
    let (gate, version) = (gate.clone(), Arc::new(AtomicUsize::new(1)));
    let current = version.clone();
    let origin = Origin::new(move |seen| {
        let bytes = answer("200 OK", &FIELDS, format!("version {}", current.load(Ordering::SeqCst)));
        if seen.number > 0 {
            return vec![Step::Send(bytes)];
        }
        let held = if head_first { bytes.len() - 3 } else { 0 };
        vec![Step::Send(bytes[..held].into()), Step::Pause(gate.clone()), Step::Send(bytes[held..].into())]
    });
    (origin, version)
}

#[test]
fn purge_during_fetch_is_not_stored_and_not_joined() {
    for head_first in [false, true] {
        for target in ["http://img.test/p/q/a.png", "http://img.test/p/q/*"] {
            let gate = Gate::new();
            let (origin, version) = versioned(&gate, head_first);
            let freshet = Freshet::before(&origin);
            let mut early = freshet.client();
            early.send(request("GET", HOST, "/p/q/a.png", &[]));
            gate.wait_for(1);
            version.store(2, Ordering::SeqCst);
            assert_eq!(freshet.purge(target).status, 201);
            // Begun after the acknowledgement: a new fetch, though the old one is still under way.
            assert_eq!(freshet.get("/p/q/a.png").text(), "version 2", "{target} {head_first}");
            gate.open();
            assert_eq!(early.answer(false).unwrap().text(), "version 1", "who came before gets an answer");
            wait_until("the old fetch is over", || freshet.app().figures().tickets == 0);
            let after = freshet.get("/p/q/a.png");
            assert_eq!((after.text(), after.is_hit()), ("version 2".into(), true), "{target} {head_first}");
            wait_until("the fence has retired", || freshet.app().figures().fences == 0);
            assert_eq!(freshet.app().metrics().not_stored_purged.get(), 1);
        }
    }
}

/// A POST's answer may answer GETs from then on (RFC 9110 §9.3.3), and it makes invalid what is older: its own fence
/// is no reason to store what another one covers.
#[test]
fn purge_during_a_post_outlives_its_answer_which_invalidates_and_is_else_stored() {
    for (head_first, purged) in [(false, false), (false, true), (true, true)] {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::new(move |seen| {
            let fields = [
                ("content-type", "image/png"),
                ("cache-control", "max-age=60"),
                ("content-location", "/p/q/a.png"),
            ];
            let bytes = answer("200 OK", &fields, format!("{} {}", seen.method, seen.number));
            if seen.method == "GET" {
                return vec![Step::Send(bytes)];
            }
            let first = if head_first { bytes.len() - 3 } else { 0 };
            vec![
                Step::Send(bytes[..first].into()),
                Step::Pause(held.clone()),
                Step::Send(bytes[first..].into()),
            ]
        });
        let freshet = Freshet::with(&origin, "[[routes]]\nhttp = \"rfc\"\n");
        assert_eq!(freshet.get("/p/q/a.png").text(), "GET 0");
        let mut poster = freshet.client();
        poster.send(request("POST", HOST, "/p/q/a.png", &[("content-length", "0")]));
        gate.wait_for(1);
        if purged {
            assert_eq!(freshet.purge("http://img.test/p/q/*").status, 201);
        }
        gate.open();
        assert_eq!(poster.answer(false).unwrap().text(), "POST 1", "who posted gets an answer");
        wait_until("the POST is over", || freshet.app().figures().tickets == 0);
        let after = freshet.get("/p/q/a.png");
        let expected = if purged { ("GET 2", false) } else { ("POST 1", true) };
        assert_eq!((&*after.text(), after.is_hit()), expected, "{head_first} {purged}");
    }
}

#[test]
fn fence_outlives_the_fetch_that_it_covers() {
    let gate = Gate::new();
    let (origin, _) = versioned(&gate, true);
    let freshet = Freshet::before(&origin);
    let mut early = freshet.client();
    early.send(request("GET", HOST, "/p/q/a.png", &[]));
    gate.wait_for(1);
    freshet.purge_and_wait("http://img.test/p/q/a.png"); // Completed: the first sweep is over.
    freshet.purge_and_wait("http://img.test/p/other/b.png");
    wait_until("the other purge's fence has retired", || freshet.app().figures().fences == 1);
    gate.open();
    early.answer(false).unwrap();
    wait_until("the fence has retired", || freshet.app().figures().fences == 0);
    assert!(!freshet.get("/p/q/a.png").is_hit());
}

#[test]
fn purge_during_revalidation_is_not_undone_by_its_304() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(move |seen| match seen.number {
        0 => vec![Step::Send(answer("200 OK", &FIELDS, "version 1"))],
        1 => {
            assert_eq!(seen.field("if-none-match"), Some("\"v1\""));
            let not_modified =
                "HTTP/1.1 304 Not Modified\r\netag: \"v1\"\r\ncache-control: max-age=60\r\n\r\n";
            vec![Step::Pause(held.clone()), Step::Send(not_modified.into())]
        }
        _ => {
            assert_eq!(seen.field("if-none-match"), None, "what was purged is no base");
            vec![Step::Send(answer("200 OK", &FIELDS, "version 2"))]
        }
    });
    let freshet = Freshet::before(&origin);
    freshet.get("/a.png");
    freshet.clock.advance(Duration::from_secs(61));
    let mut early = freshet.client();
    early.send(request("GET", HOST, "/a.png", &[]));
    gate.wait_for(1);
    freshet.purge_and_wait("http://img.test/a.png");
    gate.open();
    assert_eq!(early.answer(false).unwrap().text(), "version 1");
    assert_eq!(freshet.get("/a.png").text(), "version 2");
}

#[test]
fn stale_if_error_serves_what_is_there_and_nothing_that_was_purged() {
    let origin = Origin::new(|seen| match seen.number {
        0 => vec![Step::Send(answer("200 OK", &FIELDS, "version 1"))],
        _ => vec![Step::Send(answer("503 Service Unavailable", &[], "down"))],
    });
    let freshet = Freshet::before(&origin);
    freshet.get("/a.png");
    freshet.clock.advance(Duration::from_secs(61));
    let stood_in = freshet.get("/a.png");
    assert_eq!((stood_in.status, stood_in.text()), (200, "version 1".into()));
    assert!(stood_in.is_hit(), "{stood_in:?}");
    freshet.purge_and_wait("http://img.test/a.png");
    let down = freshet.get("/a.png");
    assert_eq!(down.status, 503, "{down:?}");
}

#[test]
fn wildcard_purges_what_begins_so_and_nothing_else() {
    let origin = Origin::new(|seen| image(format!("{} {}", seen.target, seen.number)));
    let freshet = Freshet::before(&origin);
    let (inside, outside) = (
        ["/p/2024/a.jpg", "/p/2024/b.jpg?tr=w-9", "/p/2024/deep/er/c.jpg"],
        ["/p/2023/a.jpg", "/p/2024.jpg", "/tr:w-9/p/2024/a.jpg", "/q/p/2024/a.jpg"],
    );
    for target in inside.iter().chain(&outside) {
        freshet.get(target);
        assert!(freshet.get(target).is_hit());
    }
    freshet.purge_and_wait("http://img.test/p/2024/*");
    wait_until("the fence has retired", || freshet.app().figures().fences == 0);
    let figures = freshet.app().figures();
    assert_eq!((figures.entries, figures.indexed), (outside.len() as u64, outside.len()));
    outside.iter().for_each(|target| assert!(freshet.get(target).is_hit(), "{target}"));
    inside.iter().for_each(|target| assert!(!freshet.get(target).is_hit(), "{target}"));
}

#[test]
fn fence_holds_while_nothing_is_swept_yet() {
    // Ten thousand entries take the sweeper a while; the first request after the answer is a miss already.
    let origin = Origin::new(|seen| image(format!("{}", seen.number)));
    let freshet = Freshet::before(&origin);
    let mut client = freshet.client();
    for at in 0..2000 {
        client.request("GET", HOST, &format!("/many/files/{at:05}.jpg"), &[]);
    }
    assert_eq!(freshet.purge("http://img.test/many/files/*").status, 201);
    for at in [0, 999, 1999] {
        assert!(!client.request("GET", HOST, &format!("/many/files/{at:05}.jpg"), &[]).is_hit());
    }
    wait_until("the fence has retired", || freshet.app().figures().fences == 0);
    let figures = freshet.app().figures();
    assert_eq!((figures.entries, figures.indexed), (3, 3), "what was fetched after the purge stays");
}

#[test]
fn purge_of_what_was_never_stored_is_a_purge() {
    let origin = Origin::new(|_| image("body"));
    let freshet = Freshet::before(&origin);
    for url in ["http://img.test/never/stored/at-all.jpg", "http://img.test/never/stored/*"] {
        freshet.purge_and_wait(url);
        freshet.purge_and_wait(url);
    }
    wait_until("the fences have retired", || freshet.app().figures().fences == 0);
    assert_eq!(origin.count(), 0);
}
