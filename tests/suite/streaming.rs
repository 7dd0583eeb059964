//! Misses stream; many requests share one fetch; nobody waits for, or pays for, somebody else's slowness.

use std::sync::{Arc, Barrier};

use crate::support::origin::{Gate, Origin, Step, answer, image};
use crate::support::{Freshet, HOST, wait_until};

fn head(length: usize) -> Step {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncache-control: max-age=60\r\ncontent-length: {length}\r\n\r\n"
    );
    Step::Send(head.into_bytes())
}

/// Ten bytes, held in their middle.
fn held_in_its_middle(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::new(move |_| {
        vec![head(10), Step::Send(b"01234".into()), Step::Pause(gate.clone()), Step::Send(b"56789".into())]
    })
}

#[test]
fn first_bytes_reach_the_client_before_the_last_leave_the_origin() {
    let gate = Gate::new();
    let origin = held_in_its_middle(&gate);
    let freshet = Freshet::before(&origin);
    let mut client = freshet.client();
    client.send(crate::support::client::request("GET", HOST, "/a.png", &[]));
    assert_eq!(client.head().unwrap().status, 200);
    assert_eq!(client.read(5), b"01234");
    gate.open();
    assert_eq!(client.read(5), b"56789");
}

#[test]
fn thousand_clients_make_one_fetch_and_all_get_its_bytes() {
    const CLIENTS: usize = 1000;
    let gate = Gate::new();
    let body: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
    let (held, sent) = (gate.clone(), body.clone());
    let origin = Origin::new(move |_| {
        let (first, rest) = sent.split_at(1000);
        vec![head(sent.len()), Step::Send(first.into()), Step::Pause(held.clone()), Step::Send(rest.into())]
    });
    let freshet = Arc::new(Freshet::before(&origin));
    let barrier = Arc::new(Barrier::new(CLIENTS));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (freshet, barrier) = (freshet.clone(), barrier.clone());
            std::thread::Builder::new()
                .stack_size(256 * 1024)
                .spawn(move || {
                    let mut client = freshet.client();
                    barrier.wait();
                    client.request("GET", HOST, "/a.png", &[])
                })
                .unwrap()
        })
        .collect();
    gate.wait_for(1);
    gate.open();
    for client in clients {
        let answer = client.join().unwrap();
        assert!(answer.status == 200 && answer.complete && answer.body == body, "{:?}", answer.fields);
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn client_that_leaves_ends_no_fetch_that_is_to_be_stored() {
    let gate = Gate::new();
    let origin = held_in_its_middle(&gate);
    let freshet = Freshet::before(&origin);
    let mut leader = freshet.client();
    leader.send(crate::support::client::request("GET", HOST, "/a.png", &[]));
    leader.head().unwrap();
    let mut follower = freshet.client();
    follower.send(crate::support::client::request("GET", HOST, "/a.png", &[]));
    let joined = follower.head().unwrap();
    assert!(joined.cache_status().contains("collapsed"), "{joined:?}");
    drop(leader);
    gate.open();
    assert_eq!(follower.read(10), b"0123456789");
    assert!(freshet.get("/a.png").is_hit());
    assert_eq!(origin.count(), 1);
}

#[test]
fn object_over_the_limit_streams_through_unstored() {
    const LIMIT: &str = "[cache]\nobject_max_bytes = 100_000\n";
    let body: Vec<u8> = (0..300_000u32).map(|at| at as u8).collect();
    let known = body.clone();
    let known_length = Origin::new(move |_| image(&known));
    let chunks = body.clone();
    let unknown_length = Origin::new(move |_| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut steps = vec![Step::Send(head.into())];
        for chunk in chunks.chunks(10_000) {
            let mut bytes = format!("{:x}\r\n", chunk.len()).into_bytes();
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
            steps.push(Step::Send(bytes));
        }
        steps.push(Step::Send(b"0\r\n\r\n".into()));
        steps
    });
    for (what, origin) in [("known length", known_length), ("unknown length", unknown_length)] {
        let freshet = Freshet::with(&origin, LIMIT);
        for _ in 0..2 {
            let answer = freshet.get("/a.png");
            assert!(
                answer.complete && answer.body == body && !answer.is_hit(),
                "{what}: {:?}",
                answer.fields
            );
        }
        assert_eq!((origin.count(), freshet.app().figures().entries), (2, 0), "{what}");
    }
}

#[test]
fn only_reader_of_a_body_that_grew_over_the_limit_gets_all_of_it_however_slow() {
    let body: Vec<u8> = (0..32u32 << 20).map(|at| (at >> 8) as u8).collect();
    let (gate, sent) = (Gate::new(), body.clone());
    let held = gate.clone();
    let origin = Origin::new(move |_| {
        let mut steps = vec![Step::Send(CHUNKED.into())];
        for (at, chunk) in sent.chunks(1 << 20).enumerate() {
            let framed = [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
            steps.push(Step::Send(framed));
            if at == 20 {
                steps.push(Step::Pause(held.clone())); // Under the limit still: all of it was taken at once.
            }
        }
        steps.push(Step::Send(b"0\r\n\r\n".into()));
        steps
    });
    let freshet = Freshet::with(&origin, "[cache]\nobject_max_bytes = \"24MiB\"\n");
    let mut client = freshet.client();
    client.send(crate::support::client::request("GET", HOST, "/a.png", &[]));
    gate.wait_for(1);
    gate.open();
    // The client has read nothing, and lags by far more than the window, when it is known that nothing is stored.
    wait_until("storing is given up", || freshet.app().figures().tickets == 0);
    let answer = client.answer(false).unwrap();
    assert!(answer.complete && answer.body == body, "{} of {} bytes", answer.body.len(), body.len());
}

#[test]
fn a_whole_fetch_has_an_end_also_while_bytes_keep_coming() {
    let origin = Origin::new(|_| vec![head(1 << 40), Step::SendForEver(vec![7; 65536])]);
    let freshet =
        Freshet::with(&origin, "[cache]\nobject_max_bytes = 100_000\n[fetch]\ntotal_timeout = \"300ms\"\n");
    let mut client = freshet.client();
    client.send(crate::support::client::request("GET", HOST, "/a.png", &[]));
    assert_eq!(client.head().unwrap().status, 200);
    let mut socket = &client.socket;
    let (mut bytes, mut total) = ([0; 65536], 0);
    // At a client's pace there is always a next piece at hand. An answer without an end would keep a place of the
    // origin for ever.
    while let Ok(count @ 1..) = std::io::Read::read(&mut socket, &mut bytes) {
        total += count;
        assert!(total < 12 << 20, "it does not end");
        std::thread::sleep(std::time::Duration::from_millis(20)); // This is the client, and it is slow.
    }
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncache-control: max-age=60\r\n\
                       transfer-encoding: chunked\r\n\r\n";

#[test]
fn chunked_body_over_the_limit_that_comes_in_one_burst_is_not_stored() {
    let origin = Origin::new(|_| {
        let chunks = [format!("1f40\r\n{}\r\n0\r\n\r\n", "x".repeat(8000))].concat();
        vec![Step::Send([CHUNKED, &chunks].concat().into())]
    });
    let freshet = Freshet::with(&origin, "[cache]\nobject_max_bytes = 1024\n");
    assert_eq!(freshet.get("/a.png").body.len(), 8000);
    assert_eq!(freshet.app().figures().entries, 0);
}

#[test]
fn chunked_body_is_stored_whole() {
    let origin = Origin::new(|_| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n";
        vec![
            Step::Send(head.into()),
            Step::Send(b"5\r\n01234\r\n".into()),
            Step::Send(b"5;x=y\r\n56789\r\n0\r\nx-t: 1\r\n\r\n".into()),
        ]
    });
    let freshet = Freshet::before(&origin);
    assert_eq!(freshet.get("/a.png").text(), "0123456789");
    let hit = freshet.get("/a.png");
    assert_eq!(
        (hit.is_hit(), hit.text(), hit.field("content-length")),
        (true, "0123456789".into(), Some("10"))
    );
    assert_eq!(hit.field("x-t"), None, "trailers are dropped");
}

#[test]
fn requests_for_what_is_not_storable_do_not_wait_for_each_other() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(move |seen| {
        let fields = [("content-type", "image/png"), ("cache-control", "no-store")];
        let bytes = answer("200 OK", &fields, "body");
        // The first tells that the key is not storable; of the next, each is held until all have come.
        if seen.number == 0 {
            vec![Step::Send(bytes)]
        } else {
            vec![Step::Pause(held.clone()), Step::Send(bytes)]
        }
    });
    let freshet = Arc::new(Freshet::before(&origin));
    assert_eq!(freshet.get("/a.png").status, 200);
    let clients: Vec<_> = (0..5)
        .map(|_| {
            let freshet = freshet.clone();
            std::thread::spawn(move || freshet.get("/a.png").text())
        })
        .collect();
    gate.wait_for(5);
    gate.open();
    clients.into_iter().for_each(|client| assert_eq!(client.join().unwrap(), "body"));
}

#[test]
fn reader_that_takes_nothing_holds_nobody_back() {
    let body = vec![7u8; 8 << 20];
    let sent = body.clone();
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(move |_| {
        vec![
            head(sent.len()),
            Step::Send(sent[..100].into()),
            Step::Pause(held.clone()),
            Step::Send(sent[100..].into()),
        ]
    });
    let freshet = Freshet::before(&origin);
    let mut slow = freshet.client();
    slow.send(crate::support::client::request("GET", HOST, "/a.png", &[]));
    slow.head().unwrap();
    let mut quick = freshet.client();
    quick.send(crate::support::client::request("GET", HOST, "/a.png", &[]));
    quick.head().unwrap();
    gate.open();
    assert_eq!(quick.read(body.len()), body);
    assert!(freshet.get("/a.png").is_hit());
    assert_eq!(slow.read(body.len()), body, "and it can still read all of it");
}

#[test]
fn flights_and_tickets_are_gone_when_all_is_answered() {
    let origin = Origin::new(|_| image("body"));
    let freshet = Freshet::before(&origin);
    for at in 0..50 {
        freshet.get(&format!("/{at}.jpg"));
    }
    wait_until("no fetch is under way", || {
        let figures = freshet.app().figures();
        (figures.flights, figures.tickets) == (0, 0)
    });
    let figures = freshet.app().figures();
    assert_eq!((figures.entries, figures.indexed), (50, 50));
}

#[test]
fn request_waits_for_anothers_fetch_no_longer_than_an_origin_may_take() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(move |seen| match &*seen.target {
        "/slow.png" => vec![
            head(10),
            Step::Send(b"01234".into()),
            Step::Pause(held.clone()),
            Step::Send(b"56789".into()),
        ],
        _ => image("body"),
    });
    // One connection, and it is taken: the next fetch stands in the queue for it, and lands nowhere.
    let freshet = Arc::new(Freshet::with(
        &origin,
        "[fetch]\nconnections_max = 1\nfirst_byte_timeout = \"200ms\"\nidle_timeout = \"10s\"\n",
    ));
    let get = |target: &'static str| {
        let freshet = freshet.clone();
        std::thread::spawn(move || freshet.get(target).text())
    };
    let slow = get("/slow.png");
    gate.wait_for(1);
    let leader = get("/a.png");
    wait_until("the second fetch is begun", || freshet.app().metrics().fetches.get() == 2);
    let follower = get("/a.png");
    wait_until("it is joined", || freshet.app().metrics().joined.get() == 1);
    wait_until("the follower asks on its own", || freshet.app().metrics().fetches.get() == 3);
    gate.open();
    assert_eq!(slow.join().unwrap(), "0123456789");
    assert_eq!((leader.join().unwrap(), follower.join().unwrap()), ("body".into(), "body".into()));
}

#[test]
fn range_of_what_is_too_large_to_be_stored_comes_from_the_origin_and_not_with_the_whole() {
    let origin = Origin::new(|seen| match seen.field("range") {
        Some("bytes=5-9") => {
            let fields =
                [("content-type", "image/png"), ("content-range", "bytes 5-9/1000000"), ("etag", "\"a\"")];
            vec![Step::Send(answer("206 Partial Content", &fields, "56789"))]
        }
        _ => vec![head(1_000_000), Step::SendForEver(vec![7; 1000])],
    });
    let freshet = Freshet::with(&origin, "[cache]\nobject_max_bytes = 100_000\n");
    let part = freshet.get_with("/a.png", &[("range", "bytes=5-9"), ("if-range", "\"a\"")]);
    assert_eq!(
        (part.status, part.text(), part.field("content-range")),
        (206, "56789".into(), Some("bytes 5-9/1000000"))
    );
    assert_eq!(part.cache_status(), "Freshet; fwd=uri-miss; fwd-status=206; detail=too-large");
    let seen = origin.seen();
    assert_eq!((seen.len(), seen[0].field("range")), (2, None));
    assert_eq!(seen[1].field("if-range"), Some("\"a\""));
    assert_eq!(freshet.app().figures().entries, 0);
}
