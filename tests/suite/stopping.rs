//! The way down: what runs is finished, whichever thread it runs on.

use crate::support::client::{Client, request};
use crate::support::origin::{Gate, Origin, Step, answer};
use crate::support::{Freshet, HOST};

/// The kernel deals connections out to the threads: in so many rounds some follower has another than its leader.
const ROUNDS: usize = 12;

#[test]
fn stopping_finishes_a_fetch_whose_leader_left_for_a_follower_on_another_thread() {
    for _ in 0..ROUNDS {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::new(move |_| {
            let fields = [("content-type", "image/png"), ("cache-control", "max-age=60")];
            let bytes = answer("200 OK", &fields, "0123456789");
            let (first, rest) = bytes.split_at(bytes.len() - 5);
            vec![Step::Send(first.into()), Step::Pause(held.clone()), Step::Send(rest.into())]
        });
        let mut freshet = Freshet::before(&origin);
        let ask = || {
            let mut client: Client = freshet.client();
            client.send(request("GET", HOST, "/a.png", &[]));
            assert_eq!(client.head().unwrap().status, 200);
            client
        };
        let leader = ask();
        let mut follower = ask();
        drop(leader);
        let (proxy, app) = (freshet.app().proxy, freshet.app.take().unwrap());
        let stopping = std::thread::spawn(move || app.stop());
        crate::support::wait_until("no new connection is taken", || {
            std::net::TcpStream::connect(proxy).is_err()
        });
        gate.open();
        assert_eq!(follower.read(10), b"0123456789");
        stopping.join().unwrap();
    }
}
