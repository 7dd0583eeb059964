//! A raw HTTP/1.1 client: sends the bytes that it is given, and says what came back, byte for byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::origin::PATIENCE;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The first word of the status line.
    pub version: String,
    pub status: u16,
    /// (lower-case name, value), in order.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the body ended as its framing says.
    pub complete: bool,
    /// The 1xx responses before it.
    pub interim: Vec<Answer>,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn cache_status(&self) -> &str {
        self.field("cache-status").unwrap_or_default()
    }

    pub fn is_hit(&self) -> bool {
        self.cache_status().starts_with("Freshet; hit")
    }
}

/// A connection.
pub struct Client {
    pub socket: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client::over(TcpStream::connect(address).unwrap())
    }

    pub fn over(socket: TcpStream) -> Client {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { socket, buffer: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a request with these fields beside Host, and reads its answer.
    pub fn request(&mut self, method: &str, host: &str, target: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(request(method, host, target, fields));
        self.answer(method == "HEAD").expect("the connection ended before an answer")
    }

    /// Reads one answer; nothing where the connection ended before its head was complete.
    pub fn answer(&mut self, bodiless: bool) -> Option<Answer> {
        let mut interim = Vec::new();
        let mut answer = loop {
            let head = self.head()?;
            if head.status >= 200 {
                break head;
            }
            interim.push(head);
        };
        answer.interim = interim;
        if bodiless || matches!(answer.status, 204 | 304) {
            return Some(answer);
        }
        if answer.field("transfer-encoding") == Some("chunked") {
            answer.complete = self.chunked(&mut answer.body).is_some();
        } else if let Some(length) = answer.field("content-length") {
            let length: usize = length.parse().unwrap();
            while self.buffer.len() < length && self.fill() {}
            answer.complete = self.buffer.len() >= length;
            answer.body = self.buffer.drain(..length.min(self.buffer.len())).collect();
        } else {
            while self.fill() {}
            answer.body = std::mem::take(&mut self.buffer);
        }
        Some(answer)
    }

    /// Reads a head alone.
    pub fn head(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end;
            }
            if !self.fill() {
                return None;
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.trim_end().split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (version, status) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        let fields = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Answer { version, status, fields, body: Vec::new(), complete: true, interim: Vec::new() })
    }

    /// Reads at least `count` bytes of what follows a head.
    pub fn read(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.fill(), "the connection ended after {} of {count} bytes", self.buffer.len());
        }
        self.buffer.drain(..count).collect()
    }

    /// Whether the server has closed the connection, and sent nothing more.
    pub fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !self.fill()
    }

    fn chunked(&mut self, body: &mut Vec<u8>) -> Option<()> {
        loop {
            let end = loop {
                if let Some(end) = self.buffer.windows(2).position(|bytes| bytes == b"\r\n") {
                    break end;
                }
                self.fill().then_some(())?;
            };
            let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
            let size = usize::from_str_radix(std::str::from_utf8(&line[..end]).ok()?, 16).ok()?;
            while self.buffer.len() < size + 2 {
                self.fill().then_some(())?;
            }
            body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
            if size == 0 {
                return Some(());
            }
        }
    }

    /// Reads more; false at the connection's end.
    fn fill(&mut self) -> bool {
        let mut bytes = [0; 65536];
        match self.socket.read(&mut bytes) {
            Ok(0) => false,
            Ok(count) => {
                self.buffer.extend(&bytes[..count]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => self.fill(),
            Err(error) => panic!("no bytes in {PATIENCE:?}: {error}"),
        }
    }
}

/// The bytes of a request without a body.
pub fn request(method: &str, host: &str, target: &str, fields: &[(&str, &str)]) -> String {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")
}
