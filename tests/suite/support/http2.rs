//! Two clients of HTTP/2 in clear: one that writes the frames that it is told to, and hyper's, which keeps the rules.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::client::Answer;
use super::origin::PATIENCE;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frames, and flags.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields as literals that nobody remembers (RFC 7541 §6.2.2), without Huffman's code.
pub fn fields(list: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in list {
        bytes.push(0);
        for text in [name, value] {
            length(text.len(), &mut bytes);
            bytes.extend(text.bytes());
        }
    }
    bytes
}

/// A number of seven bits, or of more (RFC 7541 §5.1).
fn length(number: usize, bytes: &mut Vec<u8>) {
    if number < 127 {
        return bytes.push(number as u8);
    }
    bytes.push(127);
    let mut rest = number - 127;
    while rest >= 128 {
        bytes.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    bytes.push(rest as u8);
}

/// The fields of a GET.
pub fn get(path: &str) -> Vec<u8> {
    fields(&[(":method", "GET"), (":scheme", "http"), (":authority", super::HOST), (":path", path)])
}

/// A connection whose every frame is the test's.
pub struct Raw {
    pub socket: TcpStream,
    buffer: Vec<u8>,
}

impl Raw {
    /// Sends the preface, and these settings.
    pub fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Raw {
        let mut raw = Raw::silent(address);
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        raw.send(PREFACE);
        raw.send(&frame(SETTINGS, 0, 0, &payload));
        raw
    }

    /// Sends nothing.
    pub fn silent(address: SocketAddr) -> Raw {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Raw { socket, buffer: Vec::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// Asks for a path on a stream.
    pub fn ask(&mut self, stream: u32, path: &str) {
        self.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &get(path)));
    }

    /// The next frame; nothing at the connection's end.
    pub fn next(&mut self) -> Option<Frame> {
        self.fill(9)?;
        let head: Vec<u8> = self.buffer.drain(..9).collect();
        let size = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        self.fill(size)?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let payload = self.buffer.drain(..size).collect();
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Reads on until such a frame comes; nothing where the connection ends before.
    pub fn until(&mut self, mut is_it: impl FnMut(&Frame) -> bool) -> Option<Frame> {
        loop {
            let next = self.next()?;
            if is_it(&next) {
                return Some(next);
            }
        }
    }

    /// Reads to the connection's end. Whether a GOAWAY came before it.
    pub fn end(&mut self) -> bool {
        let mut was_told = false;
        while let Some(frame) = self.next() {
            was_told |= frame.kind == GOAWAY;
        }
        was_told
    }

    /// Reads one answer of status 200 to its end: its body's bytes.
    pub fn body(&mut self, stream: u32) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let frame = self.until(|frame| frame.stream == stream).expect("the answer ended early");
            match frame.kind {
                HEADERS => assert_eq!(frame.payload.first(), Some(&0x88), "the status is another than 200"),
                DATA => body.extend(&frame.payload),
                WINDOW_UPDATE => {}
                kind => panic!("a frame of kind {kind} in an answer"),
            }
            if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
                return body;
            }
        }
    }

    fn fill(&mut self, count: usize) -> Option<()> {
        while self.buffer.len() < count {
            let mut bytes = [0; 65536];
            match self.socket.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.buffer.extend(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("no bytes in {PATIENCE:?}")
                }
                Err(_reset) => return None,
            }
        }
        Some(())
    }
}

/// hyper's client.
pub struct Client {
    handle: tokio::runtime::Handle,
    sender: SendRequest<Full<Bytes>>,
    /// Its thread ends with it.
    _running: tokio::sync::oneshot::Sender<()>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (sender, connection) = runtime.block_on(async {
            let socket = tokio::net::TcpStream::connect(address).await.unwrap();
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap()
        });
        let (_running, stopped) = tokio::sync::oneshot::channel::<()>();
        let handle = runtime.handle().clone();
        std::thread::spawn(move || {
            runtime.spawn(connection);
            let _ = runtime.block_on(stopped); // Its sender is dropped, and sends nothing.
        });
        Client { handle, sender, _running }
    }

    /// Asks `host` for a target.
    pub fn request(&mut self, method: &str, host: &str, target: &str, fields: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("http://{host}{target}"));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::default()).unwrap())
    }

    /// Sends a request, and reads its answer.
    pub fn send(&mut self, request: Request<Full<Bytes>>) -> Answer {
        let answering = self.start(request);
        self.finish(answering)
    }

    /// Sends a request, and reads its answer beside other ones.
    pub fn start(&mut self, request: Request<Full<Bytes>>) -> tokio::task::JoinHandle<Answer> {
        let answering = self.sender.send_request(request);
        self.handle.spawn(async move {
            let (head, mut body) = answering.await.expect("an answer").into_parts();
            let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let fields = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
            let (version, status) = (format!("{:?}", head.version), head.status.as_u16());
            let mut answer =
                Answer { version, status, fields, body: Vec::new(), complete: true, interim: Vec::new() };
            while let Some(frame) = body.frame().await {
                match frame {
                    Ok(frame) => answer.body.extend(frame.into_data().unwrap_or_default()),
                    Err(_) => {
                        answer.complete = false;
                        break;
                    }
                }
            }
            answer
        })
    }

    /// Waits for an answer that was started.
    pub fn finish(&self, answering: tokio::task::JoinHandle<Answer>) -> Answer {
        let answer = self.handle.block_on(async { tokio::time::timeout(PATIENCE, answering).await });
        answer.expect("no answer in time").unwrap()
    }
}

/// A pause between two looks of a client that does something slowly.
pub const PACE: Duration = Duration::from_millis(20);
