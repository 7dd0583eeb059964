//! A client's connection with every time-out that hyper lacks: for a head, between requests, and for an
//! answer that the client does not take.
//!
//! Wraps the socket, below hyper and below TLS, whose handshake is due with the first head. No lock. On the way of a hit that goes straight through it costs two reads
//! of the clock, at its head's end and its answer's beginning, which make its latency too: a timer is armed when
//! the socket makes it wait, and left armed when it need not fire; and when a head began is asked only where it does
//! not come at once. Invariant: an armed timer fires within `idle_timeout` of its arming, so that the wait for a next
//! request, which hyper does not tell of by a read, is looked at in time.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::outlet::Outlet;
use super::pace::Pace;
use crate::cache::Extent;
use crate::config;
use crate::telemetry::Metrics;

/// What a connection is doing, and since when; told by the listener, read by the socket's wrapper.
#[derive(Clone)]
pub struct Phase(Arc<Current>);

struct Current {
    phase: AtomicU8,
    /// In milliseconds after `start`; `UNTIMED` until somebody asks.
    since: AtomicU64,
    start: Instant,
    metrics: Arc<Metrics>,
}

const WAITING: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;

/// Of a phase that has begun just now.
const UNTIMED: u64 = u64::MAX;

impl Phase {
    /// A new connection: its first head is due.
    pub fn new(metrics: Arc<Metrics>) -> Phase {
        let (phase, since) = (AtomicU8::new(HEAD), AtomicU64::new(0));
        Phase(Arc::new(Current { phase, since, start: Instant::now(), metrics }))
    }

    /// Of the streams of a connection: their counts are the same, and what they do is no phase of the connection's.
    pub fn of_streams(&self) -> Phase {
        Phase::new(self.0.metrics.clone())
    }

    /// A request's head is complete: now.
    pub fn busy(&self) -> Instant {
        self.begin_answer();
        Instant::now()
    }

    /// The same, for who knows the time.
    pub fn begin_answer(&self) {
        self.0.phase.store(BUSY, Ordering::Relaxed);
    }

    /// The head of the answer is handed over, to a request whose head was complete at `begun`.
    pub fn answered(&self, begun: Instant) {
        let now = Instant::now();
        self.0.metrics.latency.record(now.saturating_duration_since(begun));
        self.0.since.store(self.ms_at(now), Ordering::Relaxed);
    }

    /// Some of the answer's body is handed over.
    pub fn sent(&self, bytes: usize, from_cache: bool) {
        self.0.metrics.bytes_sent.add(bytes as u64);
        if from_cache {
            self.0.metrics.bytes_from_cache.add(bytes as u64);
        }
    }

    /// The whole answer is handed over: now, or with its head, but for the time that the socket took for it.
    pub fn waiting(&self, with_its_head: bool) {
        if !with_its_head {
            self.0.since.store(self.ms_at(Instant::now()), Ordering::Relaxed);
        }
        self.0.phase.store(WAITING, Ordering::Relaxed);
    }

    /// A head begins. hyper reads on until it is complete, or there is nothing to read: then somebody asks since
    /// when it is due.
    fn begin_head(&self) {
        self.0.since.store(UNTIMED, Ordering::Relaxed);
        self.0.phase.store(HEAD, Ordering::Relaxed);
    }

    /// A head is there that the socket was not asked for: it came with the one before it.
    pub fn head_is_here(&self) {
        if self.is_waiting() {
            self.begin_head();
        }
    }

    /// Whether all that was asked for is answered.
    pub fn is_waiting(&self) -> bool {
        self.is(WAITING)
    }

    /// Whether a request waits for its answer, or for the rest of it.
    pub fn is_busy(&self) -> bool {
        self.is(BUSY)
    }

    /// Whether a head is due, or is coming.
    pub fn awaits_head(&self) -> bool {
        self.is(HEAD)
    }

    fn ms_at(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.0.start).as_millis()).unwrap_or(UNTIMED - 1)
    }

    fn is(&self, phase: u8) -> bool {
        self.0.phase.load(Ordering::Relaxed) == phase
    }

    /// Since when it does what it does.
    pub fn since(&self) -> Instant {
        if self.0.since.load(Ordering::Relaxed) == UNTIMED {
            self.0.since.store(self.ms_at(Instant::now()), Ordering::Relaxed);
        }
        self.0.start + Duration::from_millis(self.0.since.load(Ordering::Relaxed))
    }
}

/// A socket that gives up on a client that is too slow, by an error of kind `TimedOut`.
pub struct Guarded<S> {
    socket: S,
    phase: Phase,
    times: Times,
    /// Since the socket did not take at once what it was given.
    blocked: Option<Pace>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// How long a client may take.
#[derive(Clone, Copy)]
pub struct Times {
    pub(super) header: Duration,
    pub(super) idle: Duration,
    pub(super) write: Duration,
}

impl Times {
    /// As the config says.
    pub fn of(proxy: &config::Proxy) -> Times {
        Times { header: proxy.header_timeout, idle: proxy.idle_timeout, write: proxy.write_timeout }
    }
}

impl<S> Guarded<S> {
    /// Guards a socket that was accepted just now.
    pub fn new(socket: S, phase: Phase, times: Times) -> Guarded<S> {
        Guarded { socket, phase, times, blocked: None, timer: None }
    }

    /// After the socket gave bytes: they may begin a head.
    fn has_read(&mut self) {
        if self.phase.is_waiting() {
            self.phase.begin_head();
            self.blocked = None;
        }
    }

    /// Until when the socket may give none, and when to look again at the latest.
    fn read_deadline(&self) -> (Instant, Instant) {
        if self.phase.is(HEAD) {
            let since = self.phase.since();
            return (since + self.times.header, since + self.times.header.min(self.times.idle));
        }
        let deadline = self.idle_deadline();
        (deadline, deadline)
    }

    /// The same between a head's end and the next one's beginning.
    fn idle_deadline(&self) -> Instant {
        // The last answer is handed over when hyper has it, which may be long before the socket has it.
        let written = !self.blocked.as_ref().is_some_and(Pace::waits);
        if self.phase.is_waiting() && written {
            let since = self.phase.since();
            return self.blocked.as_ref().map_or(since, |blocked| since.max(blocked.progress()))
                + self.times.idle;
        }
        // Busy: no deadline, but a time to look again. hyper polls no read of its own accord when the answer
        // is given and the wait for the next request begins.
        Instant::now() + self.times.idle
    }

    /// After the socket took bytes.
    fn has_written(&mut self, bytes: usize) {
        if let Some(blocked) = &mut self.blocked {
            blocked.took(bytes, Instant::now());
        }
    }

    /// Until when it may take none, and when to look again at the latest.
    fn write_deadline(&mut self) -> (Instant, Instant) {
        let now = Instant::now();
        let blocked = self.blocked.get_or_insert_with(|| Pace::new(now));
        blocked.wait(now);
        let deadline = blocked.deadline(self.times.write).unwrap_or(now);
        (deadline, deadline.min(now + self.times.idle))
    }

    /// Waits until `deadline` at the longest; an error where it has passed. Reading and writing share the
    /// timer: whichever is polled compares its own deadline, so one that the other has armed only wakes it.
    fn wait(
        &mut self,
        (deadline, look_again): (Instant, Instant),
        context: &mut Context<'_>,
    ) -> io::Result<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(look_again)));
        if timer.deadline() > look_again {
            timer.as_mut().reset(look_again);
        }
        while timer.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            if deadline <= now {
                return Err(io::ErrorKind::TimedOut.into());
            }
            timer.as_mut().reset(deadline.min(now + self.times.idle));
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
        if self.phase.is_busy()
            && let Some(timer) = &mut self.timer
            && timer.as_mut().poll(context).is_pending()
        {
            // It fires in time, whatever it was armed for, and then this is looked at again.
            return Poll::Pending;
        }
        let deadline = self.read_deadline();
        self.wait(deadline, context)?;
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
                let deadline = self.write_deadline();
                self.wait(deadline, context)?;
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

impl<S: Outlet> Outlet for Guarded<S> {
    fn takes_pages(&self) -> bool {
        self.socket.takes_pages()
    }

    fn poll_send_before(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_send_before(context, bytes);
        self.written(context, polled)
    }

    fn poll_send_pages(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        extent: &Extent,
        from: u64,
        bytes: usize,
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_send_pages(context, extent, from, bytes);
        self.written(context, polled)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// The steps: the first head is waited for, so that its time-out, which is long, is armed; it comes; hyper reads
    /// once while the answer is made; the answer is handed over, and hyper reads no more.
    #[tokio::test]
    async fn a_connection_that_asks_no_more_is_ended_though_a_longer_time_out_was_armed() {
        let (mut client, server) = tokio::io::duplex(64);
        let (long, idle) = (Duration::from_secs(600), Duration::from_millis(20));
        let times = Times { header: long, idle, write: long };
        let phase = Phase::new(Arc::default());
        let mut guarded = Guarded::new(server, phase.clone(), times);
        let mut byte = [0];
        std::future::poll_fn(|context| {
            let polled = Pin::new(&mut guarded).poll_read(context, &mut ReadBuf::new(&mut byte));
            assert!(polled.is_pending(), "the head has not come");
            Poll::Ready(())
        })
        .await;
        client.write_all(b"x").await.unwrap();
        guarded.read_exact(&mut byte).await.unwrap();
        let begun = phase.busy();
        let reading = tokio::spawn(async move { guarded.read(&mut [0]).await });
        tokio::task::yield_now().await; // The one read.
        phase.answered(begun);
        phase.waiting(true);
        let ended =
            tokio::time::timeout(long / 10, reading).await.expect("the idle time-out ends it").unwrap();
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
