//! An origin's idle time-out that equals its clients' pace: the connection is closed just as the next request is sent on
//! it, again and again. No GET may fail by that, and nothing else may be sent twice (RFC 9110 §9.2.2).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::support::client::Client;
use crate::support::origin::PATIENCE;
use crate::support::{Freshet, HOST, account};

const CLIENTS: usize = 4;
const TIMES: [Duration; 3] = [Duration::from_millis(1), Duration::from_millis(2), Duration::from_millis(4)];
/// Over all times and clients.
const GETS: usize = 10_000;
const POSTS: usize = 1200;

/// An origin that closes a connection which has waited for `idle` after an answer. Sockets' own time-outs are too coarse
/// for it. Ends when it is dropped.
struct Hasty {
    address: SocketAddr,
    /// How often each target came.
    requests: Arc<Mutex<HashMap<String, usize>>>,
    connections: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
}

impl Hasty {
    fn new(idle: Duration) -> Hasty {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (stop, stopped) = oneshot::channel();
        let address = listener.local_addr().unwrap();
        let hasty =
            Hasty { address, requests: Arc::default(), connections: Arc::default(), stop: Some(stop) };
        let (requests, connections) = (hasty.requests.clone(), hasty.connections.clone());
        let accept = async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((socket, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(socket, idle, requests.clone()));
            }
        };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! { () = accept => {}, _ = stopped => {} }
            });
        });
        hasty
    }
}

impl Drop for Hasty {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

/// Ends with the connection, by whichever side.
async fn serve(
    socket: TcpStream,
    idle: Duration,
    requests: Arc<Mutex<HashMap<String, usize>>>,
) -> Option<()> {
    socket.set_nodelay(true).ok()?;
    let mut socket = BufReader::new(socket);
    let mut patience = PATIENCE;
    loop {
        let mut line = String::new();
        timeout(patience, socket.read_line(&mut line)).await.ok()?.ok().filter(|bytes| *bytes > 0)?;
        let target = line.split(' ').nth(1)?.to_owned();
        let mut length = 0;
        while line.trim_end() != "" {
            line.clear();
            socket.read_line(&mut line).await.ok()?;
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        socket.read_exact(&mut vec![0; length]).await.ok()?;
        *requests.lock().unwrap().entry(target).or_default() += 1;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 4\r\n\r\nfine";
        socket.get_mut().write_all(answer).await.ok()?;
        patience = idle;
    }
}

/// Sends `count` requests in all, each client one every `pace`; the statuses of the answers.
fn drive(freshet: &Freshet, method: &str, count: usize, pace: Duration) -> Vec<u16> {
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| scope.spawn(move || send(freshet.client(), method, client, count / CLIENTS, pace)))
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

fn send(mut client: Client, method: &str, number: usize, count: usize, pace: Duration) -> Vec<u16> {
    (0..count)
        .map(|at| {
            std::thread::sleep(pace); // This is the client's own pace.
            let target = format!("/{number}-{at}.png");
            match method {
                "GET" => client.request("GET", HOST, &target, &[]).status,
                _ => {
                    client.send(format!(
                        "{method} {target} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\nhi"
                    ));
                    client.answer(false).expect("an answer, whatever became of it").status
                }
            }
        })
        .collect()
}

#[test]
fn ten_thousand_gets_and_no_error() {
    for pace in TIMES {
        let origin = Hasty::new(pace);
        let freshet = Freshet::start(&account(&format!("http://{}", origin.address)));
        let count = GETS.div_ceil(TIMES.len() * CLIENTS) * CLIENTS;
        let statuses = drive(&freshet, "GET", count, pace);
        let errors = statuses.iter().filter(|status| **status != 200).count();
        assert_eq!((statuses.len(), errors), (count, 0), "at {pace:?}");
        let connections = origin.connections.load(Ordering::SeqCst);
        assert!(connections > count / 20, "{connections} connections: there was no race at {pace:?}");
        let requests = origin.requests.lock().unwrap();
        assert!(requests.len() == count && requests.values().all(|times| *times <= 2), "at {pace:?}");
    }
}

#[test]
fn a_post_arrives_once_or_not_at_all() {
    for pace in TIMES {
        let origin = Hasty::new(pace);
        let routes = "[[routes]]\nmethods = [\"POST\"]\n";
        let freshet = Freshet::start(&format!("{routes}{}", account(&format!("http://{}", origin.address))));
        let statuses = drive(&freshet, "POST", POSTS / TIMES.len(), pace);
        assert!(statuses.iter().all(|status| [200, 502].contains(status)), "at {pace:?}: {statuses:?}");
        let fine = statuses.iter().filter(|status| **status == 200).count();
        let requests = origin.requests.lock().unwrap();
        assert!(requests.values().all(|times| *times == 1), "at {pace:?}: {requests:?}");
        assert!(fine <= requests.len() && fine > 0, "at {pace:?}: {fine} of {}", requests.len());
    }
}
