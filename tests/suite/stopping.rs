//! The way down: what runs is finished, whichever thread it runs on.

use crate::support::client::{Client, request};
use crate::support::origin::{Gate, Origin, Step, answer};
use crate::support::{Freshet, HOST};

const FETCHES: usize = 12;

#[test]
fn stopping_finishes_fetches_whose_leader_left_for_followers_on_other_threads() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(move |_| {
        let fields = [("content-type", "image/png"), ("cache-control", "max-age=60")];
        let bytes = answer("200 OK", &fields, "0123456789");
        let (first, rest) = bytes.split_at(bytes.len() - 5);
        vec![Step::Send(first.into()), Step::Pause(held.clone()), Step::Send(rest.into())]
    });
    let mut freshet = Freshet::before(&origin);
    let ask = |target: &str| {
        let mut client: Client = freshet.client();
        client.send(request("GET", HOST, target, &[]));
        assert_eq!(client.head().unwrap().status, 200);
        client
    };
    let targets: Vec<String> = (0..FETCHES).map(|at| format!("/{at}.png")).collect();
    let leaders: Vec<Client> = targets.iter().map(|target| ask(target)).collect();
    let followers: Vec<Client> = targets.iter().map(|target| ask(target)).collect();
    drop(leaders);
    let (proxy, app) = (freshet.app().proxy, freshet.app.take().unwrap());
    let stopping = std::thread::spawn(move || app.stop());
    crate::support::wait_until("no new connection is taken", || std::net::TcpStream::connect(proxy).is_err());
    gate.open();
    for mut follower in followers {
        assert_eq!(follower.read(10), b"0123456789");
    }
    stopping.join().unwrap();
}
