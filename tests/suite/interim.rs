//! Interim responses: to whom they go, and where they stand between the others. What is stored of them:
//! `conformance/interim.txt`.

use crate::support::client::request;
use crate::support::origin::{Gate, Origin, Step, answer};
use crate::support::{Freshet, HOST};

const FIELDS: &[(&str, &str)] = &[("content-type", "image/jpeg"), ("cache-control", "max-age=60")];

/// Hints before every answer, which is a body of this many bytes.
fn hinting(bytes: usize) -> Origin {
    Origin::new(move |seen| {
        let hints = format!("HTTP/1.1 103 Early Hints\r\nlink: <{}.css>\r\n\r\n", seen.target);
        let answer = answer("200 OK", FIELDS, "x".repeat(bytes));
        vec![Step::Send([hints.as_bytes(), &answer].concat())]
    })
}

#[test]
fn hints_reach_the_client_before_the_origin_has_an_answer() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(move |_| {
        let hints = b"HTTP/1.1 103 Early Hints\r\nlink: <a.css>\r\n\r\n".to_vec();
        vec![Step::Send(hints), Step::Pause(held.clone()), Step::Send(answer("200 OK", FIELDS, "body"))]
    });
    let freshet = Freshet::before(&origin);
    let mut client = freshet.client();
    client.send(request("GET", HOST, "/a.jpg", &[]));
    let early = client.head().unwrap();
    assert_eq!((early.status, early.field("link")), (103, Some("<a.css>")));
    gate.open();
    let last = client.answer(false).unwrap();
    assert_eq!((last.status, last.text(), last.interim.len()), (200, "body".into(), 0));
}

#[test]
fn a_client_of_http_1_0_gets_none() {
    let origin = hinting(4);
    let freshet = Freshet::before(&origin);
    let mut client = freshet.client();
    client.send(format!("GET /a.jpg HTTP/1.0\r\nHost: {HOST}\r\n\r\n"));
    let answer = client.answer(false).unwrap();
    assert_eq!((answer.status, answer.text(), answer.interim.len()), (200, "xxxx".into(), 0));
}

#[test]
fn each_pipelined_request_gets_its_own_before_its_answer() {
    let origin = hinting(4);
    let freshet = Freshet::before(&origin);
    let mut client = freshet.client();
    let targets = ["/a.jpg", "/b.jpg", "/c.jpg"];
    client.send(targets.map(|target| request("GET", HOST, target, &[])).concat());
    for target in targets {
        let answer = client.answer(false).unwrap();
        assert_eq!((answer.status, answer.text()), (200, "xxxx".into()));
        assert_eq!(answer.interim.len(), 1, "{target}");
        assert_eq!(answer.interim[0].field("link"), Some(&*format!("<{target}.css>")));
    }
}

#[test]
fn none_stands_within_an_answer_that_its_client_is_slow_to_take() {
    const BYTES: usize = 8 << 20; // More than the sockets' buffers hold.
    let origin = hinting(BYTES);
    let freshet = Freshet::before(&origin);
    let mut client = freshet.client();
    client.send(request("GET", HOST, "/a.jpg", &[]));
    client.send(request("GET", HOST, "/b.jpg", &[]));
    for _ in 0..2 {
        let answer = client.answer(false).unwrap();
        assert_eq!((answer.status, answer.complete), (200, true));
        assert!(answer.body.len() == BYTES && answer.body.iter().all(|byte| *byte == b'x'));
        assert!(answer.interim.iter().all(|early| early.status == 103));
    }
}
