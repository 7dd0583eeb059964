//! A connection of HTTP/2 with every time-out and bound that h2 lacks. It stands below h2 and above TLS, and is told by
//! what passes; [`Streams`] judges.
//!
//! No lock. Two readings of the clock for what h2 reads at once, or writes.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

use super::frames::Frames;
use super::streams::{Streams, Verdict};

/// Bytes before a client's first frame (RFC 9113 §3.4).
const PREFACE: usize = 24;

/// Gives up on a client by an error: `TimedOut` where it is too slow, `ConnectionAborted` where it sends too much that
/// asks for nothing.
pub struct Watched<S> {
    socket: S,
    inbound: Frames,
    outbound: Frames,
    streams: Streams,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether something has gone since somebody looked: it may be waited for sooner than the timer knows.
    is_news: bool,
    /// Woken where the client is to be told goodbye.
    goodbye: Arc<Notify>,
}

impl<S> Watched<S> {
    /// Watches a connection whose preface has not been read.
    pub fn new(socket: S, streams: Streams, goodbye: Arc<Notify>) -> Watched<S> {
        let (inbound, outbound) = (Frames::after(PREFACE), Frames::after(0));
        Watched { socket, inbound, outbound, streams, timer: None, is_news: false, goodbye }
    }

    fn came(&mut self, bytes: &[u8]) -> io::Result<()> {
        let now = Instant::now();
        let (streams, mut is_fair) = (&mut self.streams, true);
        self.inbound.pass(bytes, |event| is_fair &= streams.came(event, now));
        if !is_fair {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "frames that ask for nothing"));
        }
        streams.paused(self.inbound.partial(), now);
        Ok(())
    }

    fn went<'a>(&mut self, slices: impl Iterator<Item = &'a [u8]>, taken: usize) {
        let (now, mut left) = (Instant::now(), taken);
        for slice in slices {
            let bytes = &slice[..left.min(slice.len())];
            left -= bytes.len();
            self.outbound.pass(bytes, |event| self.streams.went(event, now));
        }
        self.streams.has_sent(taken);
        self.is_news = true;
    }

    /// Does what is to be done now, and sees that it is woken when there will be something.
    fn look(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        self.is_news = false;
        loop {
            let now = Instant::now();
            let next = match self.streams.verdict(now) {
                Verdict::GoOn(next) => next,
                Verdict::SayGoodbye => {
                    self.streams.says_goodbye(now);
                    self.goodbye.notify_one();
                    continue;
                }
                Verdict::End(why) => return Err(io::Error::new(io::ErrorKind::TimedOut, why.as_str())),
            };
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
            if timer.deadline() != next {
                timer.as_mut().reset(next);
            }
            if timer.as_mut().poll(context).is_pending() {
                return Ok(());
            }
        }
    }

    fn looked<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_pending() {
            self.look(context)?;
        }
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.came(&buffer.filled()[before..])?;
        }
        self.looked(context, polled)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(context, bytes);
        if let Poll::Ready(Ok(taken)) = polled {
            self.went(std::iter::once(bytes), taken);
        }
        self.looked(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        if let Poll::Ready(Ok(taken)) = polled {
            self.went(slices.iter().map(|slice| &**slice), taken);
        }
        self.looked(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.socket).poll_flush(context);
        if self.is_news {
            self.look(context)?; // h2 reads no more of its own accord.
        }
        self.looked(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.socket).poll_shutdown(context);
        self.looked(context, polled)
    }
}
