//! Origins that take no more of a request's body: every wait has an end, and the connection's place is free after it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::support::client::Client;
use crate::support::{Freshet, HOST, account, wait_until};

/// More than the sockets' buffers hold.
const BODY_BYTES: usize = 1024 * 1024;
/// Each connection of such an origin takes so many bytes, answers, and takes no more.
struct Stalling {
    address: SocketAddr,
    /// Its connections, for as long as it lives.
    _connections: mpsc::Receiver<TcpStream>,
}

impl Stalling {
    /// What a request of this method is answered by, if by anything.
    fn new(answer: fn(&str) -> Option<&'static str>) -> Stalling {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.set_tcp_mss(536).unwrap(); // By large segments the sender's own buffer would hold all of it.
        socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        socket.listen(16).unwrap();
        let listener = TcpListener::from(socket);
        let address = listener.local_addr().unwrap();
        let (sender, _connections) = mpsc::channel();
        std::thread::spawn(move || {
            for mut socket in listener.incoming().map_while(Result::ok) {
                let mut bytes = [0; 512];
                let Ok(count) = socket.read(&mut bytes) else { continue };
                let method =
                    String::from_utf8_lossy(&bytes[..count]).split(' ').next().unwrap_or_default().to_owned();
                if let Some(answer) = answer(&method) {
                    let _ = socket.write_all(answer.as_bytes());
                }
                if sender.send(socket).is_err() {
                    return;
                }
            }
        });
        Stalling { address, _connections }
    }

    /// One place, so that whoever keeps it keeps all others out.
    fn freshet(&self) -> Freshet {
        let config = "[fetch]\nconnections_max = 1\ntotal_timeout = \"1s\"\nidle_timeout = \"500ms\"\n\
                      first_byte_timeout = \"500ms\"\nkeep_alive = \"0s\"\n[[routes]]\nmethods = [\"POST\"]\n";
        Freshet::start(&format!("{config}{}", account(&format!("http://{}", self.address))))
    }
}

fn post(freshet: &Freshet) -> Client {
    let mut client = freshet.client();
    client.send(format!("POST /a HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {BODY_BYTES}\r\n\r\n"));
    let body = vec![b'x'; BODY_BYTES];
    // As much of it as is taken; nobody waits for the rest.
    client.socket.set_nonblocking(true).unwrap();
    let (mut sent, end) = (0, Instant::now() + Duration::from_millis(300));
    while sent < body.len() && Instant::now() < end {
        match Write::write(&mut &client.socket, &body[sent..]) {
            Ok(count) => sent += count,
            Err(_would_block) => std::thread::yield_now(),
        }
    }
    client.socket.set_nonblocking(false).unwrap();
    client
}

/// How many sockets of this process are connected to `address`. The origin can't tell by itself: the end of a connection
/// stands behind what it does not read.
fn connections_to(address: SocketAddr) -> usize {
    let SocketAddr::V4(address) = address else { panic!("loopback has IPv4") };
    let peer = format!("{:08X}:{:04X}", u32::from_le_bytes(address.ip().octets()), address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().skip(1).map(|row| row.split_ascii_whitespace().collect::<Vec<_>>());
    // The inode is 0 where no process holds the socket any more.
    rows.filter(|row| row[2] == peer && row[9] != "0").count()
}

const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 4\r\n\r\nfine";

#[test]
fn origin_that_takes_nothing_of_a_body_is_given_up() {
    let origin = Stalling::new(|method| (method == "GET").then_some(FINE));
    let freshet = origin.freshet();
    let began = Instant::now();
    let mut client = post(&freshet);
    let answer = client.answer(false).expect("an answer, after a time");
    assert_eq!(answer.status, 504, "{answer:?}");
    assert_eq!(freshet.get("/b.png").text(), "fine", "the place is free");
    wait_until("the connection is closed", || connections_to(origin.address) == 0);
    assert!(began.elapsed() < Duration::from_secs(6), "after {:?}", began.elapsed());
}

#[test]
fn upload_that_nobody_takes_is_given_up_after_its_client() {
    let origin = Stalling::new(|method| (method == "GET").then_some(FINE));
    let freshet = origin.freshet();
    let began = Instant::now();
    let client = post(&freshet);
    wait_until("it is on its way", || connections_to(origin.address) == 1);
    drop(client);
    wait_until("the connection is closed", || connections_to(origin.address) == 0);
    assert!(began.elapsed() < Duration::from_secs(6), "after {:?}", began.elapsed());
    wait_until("the place is free", || freshet.get("/b.png").status == 200);
}

#[test]
fn early_answer_to_a_body_that_is_taken_no_further_keeps_no_place() {
    let origin = Stalling::new(|_| Some(FINE));
    let freshet = origin.freshet();
    let began = Instant::now();
    let mut client = post(&freshet);
    let answer = client.answer(false).expect("the origin's answer");
    assert_eq!((answer.status, answer.text()), (200, "fine".into()));
    assert_eq!(freshet.get("/b.png").text(), "fine", "the place is free");
    wait_until("the connection is closed", || connections_to(origin.address) == 0);
    assert!(began.elapsed() < Duration::from_secs(6), "after {:?}", began.elapsed());
}
