//! A client's connection with every time-out that hyper lacks: for a head, between requests, and for an
//! answer that the client does not take.
//!
//! Wraps the socket, below hyper. No lock. On the way of a hit that goes straight through it costs two
//! reads of the clock: a timer is armed when the socket makes it wait, and left armed when it need not fire.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::config;
use crate::limits::CLIENT_BYTES_PER_SECOND_MIN;

/// What a connection is doing; told by the listener, read by the socket's wrapper.
#[derive(Clone)]
pub struct Phase(Arc<AtomicU8>);

const WAITING: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;

impl Phase {
    /// A new connection: its first head is due.
    pub fn new() -> Phase {
        Phase(Arc::new(AtomicU8::new(HEAD)))
    }

    /// A request's head is complete.
    pub fn busy(&self) {
        self.0.store(BUSY, Ordering::Relaxed);
    }

    /// Its answer is handed over.
    pub fn waiting(&self) {
        self.0.store(WAITING, Ordering::Relaxed);
    }

    fn is(&self, phase: u8) -> bool {
        self.0.load(Ordering::Relaxed) == phase
    }
}

/// A socket that gives up on a client that is too slow, by an error of kind `TimedOut`.
pub struct Guarded<S> {
    socket: S,
    phase: Phase,
    times: Times,
    /// When the head began, or the wait for the next one.
    since: Instant,
    /// Whether `since` is a wait's beginning.
    waits: bool,
    blocked: Option<Blocked>,
    read_deadline: Option<Instant>,
    write_deadline: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// How long a client may take.
#[derive(Clone, Copy)]
pub struct Times {
    header: Duration,
    idle: Duration,
    write: Duration,
}

impl Times {
    /// As the config says.
    pub fn of(proxy: &config::Proxy) -> Times {
        Times { header: proxy.header_timeout, idle: proxy.idle_timeout, write: proxy.write_timeout }
    }
}

/// An answer that the socket did not take at once.
struct Blocked {
    since: Instant,
    progress: Instant,
    bytes: u64,
}

impl<S> Guarded<S> {
    /// Guards a socket that was accepted just now.
    pub fn new(socket: S, phase: Phase, times: Times) -> Guarded<S> {
        Guarded {
            socket,
            phase,
            times,
            since: Instant::now(),
            waits: false,
            blocked: None,
            read_deadline: None,
            write_deadline: None,
            timer: None,
        }
    }

    /// After the socket gave bytes: they may begin a head.
    fn has_read(&mut self) {
        self.read_deadline = None;
        if self.phase.is(WAITING) {
            self.phase.0.store(HEAD, Ordering::Relaxed);
            self.since = Instant::now();
            self.waits = false;
            self.blocked = None;
        }
    }

    /// While the socket gives none.
    fn waits_to_read(&mut self) {
        if self.phase.is(BUSY) {
            self.read_deadline = None;
        } else if self.phase.is(HEAD) {
            self.read_deadline = Some(self.since + self.times.header);
        } else {
            if !self.waits {
                (self.waits, self.since) = (true, Instant::now());
            }
            self.read_deadline = Some(self.since + self.times.idle);
        }
    }

    /// After the socket took bytes.
    fn has_written(&mut self, bytes: usize) {
        self.write_deadline = None;
        if let Some(blocked) = &mut self.blocked {
            blocked.progress = Instant::now();
            blocked.bytes += bytes as u64;
        }
    }

    /// While it takes none: some progress in every `write`, and a least rate over the whole answer.
    fn waits_to_write(&mut self) {
        let now = Instant::now();
        let blocked = self.blocked.get_or_insert(Blocked { since: now, progress: now, bytes: 0 });
        let earned = Duration::from_secs(blocked.bytes / CLIENT_BYTES_PER_SECOND_MIN);
        let deadline = (blocked.progress + self.times.write).min(blocked.since + self.times.write + earned);
        self.write_deadline = Some(deadline);
    }

    /// Arms the timer; an error where a deadline has passed.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let deadlines = self.read_deadline.into_iter().chain(self.write_deadline);
        let Some(deadline) = deadlines.min() else { return Ok(()) };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(context).is_ready() {
            if deadline <= Instant::now() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            timer.as_mut().reset(deadline);
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(context, buffer);
        if polled.is_ready() {
            if buffer.filled().len() > before {
                self.has_read();
            }
            return polled;
        }
        self.waits_to_read();
        self.check(context)?;
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> Guarded<S> {
    fn written(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Ready(Ok(bytes)) => {
                self.has_written(bytes);
                polled
            }
            Poll::Ready(Err(_)) => polled,
            Poll::Pending => {
                self.waits_to_write();
                self.check(context)?;
                Poll::Pending
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.written(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.written(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
