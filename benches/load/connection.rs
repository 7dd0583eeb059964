//! A client's connection that never blocks: one exchange at a time, and every byte of the answer compared, or counted.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use bytes::{Buf, Bytes};

/// Longest head of an answer that is taken, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes read at once of an answer that is only counted, until its head is complete.
const HEAD_READ_BYTES: usize = 4096;

/// One connection, kept alive.
pub struct Connection {
    socket: TcpStream,
    /// What the socket has not taken yet of the request.
    unsent: Bytes,
    /// What has come of the answer's head.
    head: Vec<u8>,
    /// Bytes of the body that are still to come, where the head is complete.
    left: Option<usize>,
    /// What they must be; nothing: whatever they are, and they are not copied out of the kernel.
    expected: Option<Bytes>,
    status: u16,
    since: Instant,
}

/// How an exchange came on.
pub enum Progress {
    /// Not at all.
    None,
    /// A little.
    Some,
    /// It is done.
    Done { status: u16, since: Instant },
}

impl Connection {
    /// Connects.
    pub fn open(to: &str) -> io::Result<Connection> {
        let socket = TcpStream::connect(to)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let (unsent, head) = (Bytes::new(), Vec::new());
        Ok(Connection { socket, unsent, head, left: None, expected: None, status: 0, since: Instant::now() })
    }

    /// Begins an exchange that counts from `since`.
    pub fn begin(&mut self, request: Bytes, expected: Option<Bytes>, since: Instant) -> io::Result<()> {
        self.unsent = request;
        self.expected = expected;
        self.since = since;
        self.head.clear();
        self.left = None;
        self.send().map(drop)
    }

    fn send(&mut self) -> io::Result<bool> {
        let before = self.unsent.len();
        while !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(bytes) => self.unsent.advance(bytes),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(self.unsent.len() < before)
    }

    /// Goes on with the exchange; an error ends the connection.
    pub fn poll(&mut self, buffer: &mut [u8]) -> io::Result<Progress> {
        let mut progress = self.send()?;
        loop {
            let bytes = match self.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(if progress { Progress::Some } else { Progress::None });
                }
                Err(error) => return Err(error),
            };
            progress = true;
            let body_at = match self.left {
                Some(_) => 0,
                None => match self.take_head(&buffer[..bytes])? {
                    Some(at) => at,
                    None => continue,
                },
            };
            let left = self.left.as_mut().expect("the head is complete");
            let body = &buffer[body_at..bytes];
            *left = left.checked_sub(body.len()).ok_or_else(|| wrong("more bytes than were announced"))?;
            if let Some(expected) = &mut self.expected {
                if expected.len() < body.len() || expected[..body.len()] != *body {
                    return Err(wrong("other bytes than the origin's"));
                }
                expected.advance(body.len());
            }
            if *left == 0 {
                if self.expected.as_ref().is_some_and(|expected| !expected.is_empty()) {
                    return Err(wrong("fewer bytes than the origin's"));
                }
                return Ok(Progress::Done { status: self.status, since: self.since });
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match (&self.expected, self.left) {
            (Some(_), _) => self.socket.read(buffer),
            (None, None) => self.socket.read(&mut buffer[..HEAD_READ_BYTES]),
            (None, Some(_)) => discard(&mut self.socket, buffer),
        }
    }

    /// Takes bytes of the head; where they complete it, the place where the body begins in them.
    fn take_head(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(end) = memchr::memmem::find(&self.head, b"\r\n\r\n") else {
            return if self.head.len() > HEAD_BYTES_MAX { Err(wrong("a long head")) } else { Ok(None) };
        };
        let head = std::str::from_utf8(&self.head[..end]).map_err(|_| wrong("a head that is no text"))?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        self.status = status.ok_or_else(|| wrong("no status line"))?;
        let length = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        self.left = Some(length.ok_or_else(|| wrong("no Content-Length"))?);
        Ok(Some(end + 4 - before))
    }
}

/// Takes as many bytes off a socket as the buffer would hold, and throws them away: a client that is busy copying would be
/// measured with the server (tcp(7), `MSG_TRUNC`).
#[cfg(target_os = "linux")]
fn discard(socket: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let (_, bytes) = rustix::net::recv(socket, buffer, rustix::net::RecvFlags::TRUNC)?;
    Ok(bytes)
}

#[cfg(not(target_os = "linux"))]
fn discard(socket: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    socket.read(buffer)
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
