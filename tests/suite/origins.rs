//! Origins that refuse, end their connections, or answer with errors. The many ways to send a broken answer are in
//! `broken_origins.rs`.

use crate::support::origin::{Gate, Origin, Step, answer, image};
use crate::support::{Freshet, HOST, account};

#[test]
fn origin_that_refuses_is_a_502() {
    let freed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let freshet = Freshet::start(&account(&format!("http://{freed}")));
    let answer = freshet.get("/a.png");
    assert_eq!((answer.status, answer.field("cache-control")), (502, Some("no-store")));
    assert!(
        !answer.text().contains(&freed.port().to_string()),
        "an error names no address: {}",
        answer.text()
    );
}

#[test]
fn get_is_sent_again_once_when_a_reused_connection_has_ended() {
    // Every connection dies silently after its first answer: the origin's idle time-out, at its worst.
    let origin = Origin::new(|seen| {
        let mut steps = image(format!("{}", seen.number));
        steps.push(Step::Close);
        steps
    });
    let freshet = Freshet::before(&origin);
    let mut client = freshet.client();
    for at in 0..200 {
        let answer = client.request("GET", HOST, &format!("/{at}.png"), &[]);
        assert_eq!(answer.status, 200, "{at}: {answer:?}");
    }
}

#[test]
fn other_methods_are_never_sent_twice() {
    let origin = Origin::new(|seen| match &*seen.method {
        "GET" => image("body"),
        _ => vec![Step::Close],
    });
    let freshet = Freshet::with(&origin, "[[routes]]\nmethods = [\"POST\"]\n");
    freshet.get("/a.png"); // Leaves a connection to reuse.
    let mut client = freshet.client();
    client.send(format!("POST /a.png HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 2\r\n\r\nhi"));
    assert_eq!(client.answer(false).unwrap().status, 502);
    assert_eq!(origin.seen().iter().filter(|seen| seen.method == "POST").count(), 1);
}

#[test]
fn server_error_reaches_all_who_wait_for_it_and_is_not_stored() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(move |_| {
        let fields = [("cache-control", "max-age=60"), ("set-cookie", "a=b")];
        vec![Step::Pause(held.clone()), Step::Send(answer("500 Internal Server Error", &fields, "oops"))]
    });
    let freshet = Freshet::before(&origin);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..20).map(|_| scope.spawn(|| freshet.get("/a.png"))).collect();
        gate.wait_for(1);
        crate::support::wait_until("all have come", || freshet.app().metrics().joined.get() == 19);
        gate.open();
        clients.into_iter().for_each(|client| assert_eq!(client.join().unwrap().status, 500));
    });
    assert_eq!(origin.count(), 1);
    assert_eq!(freshet.app().figures().entries, 0);
}

#[test]
fn what_comes_on_a_connection_that_waits_answers_nobody() {
    // Bytes after an answer, but later: the connection waits for its next request by then, and is given it.
    let forged =
        answer("200 OK", &[("content-type", "image/png"), ("cache-control", "max-age=60")], "forged");
    for round in 0..50 {
        let gate = Gate::new();
        let (held, forged) = (gate.clone(), forged.clone());
        let sent = Gate::new();
        let done = sent.clone();
        let origin = Origin::new(move |seen| {
            let mut steps = image("fine");
            if seen.number == 0 {
                steps.extend([
                    Step::Pause(held.clone()),
                    Step::Send(forged.clone()),
                    Step::Pause(done.clone()),
                ]);
            }
            steps
        });
        let freshet = Freshet::before(&origin);
        assert_eq!(freshet.get("/a.png").text(), "fine");
        gate.open();
        sent.wait_for(1);
        let next = freshet.get("/b.png");
        assert_eq!((next.status, next.text()), (200, "fine".into()), "round {round}: {next:?}");
        sent.open();
    }
}
