//! The express lane: plain hits are answered here, below hyper, which hears nothing of them.
//!
//! Where hyper waits for a next request, what comes is looked at in the room that hyper has given for it. If it is a
//! plain request (`express/plain.rs`) and the store has what answers it, the answer goes straight to the socket
//! (`express/sending.rs`), in the very bytes that hyper would have sent, and the room is empty again. Anything else is left
//! where hyper finds it. So the lane answers no request that it can't answer well, and refuses none.
//!
//! Invariants:
//! - hyper has no byte of a request that is answered here, and an answer is begun only where all of hyper's own are with
//!   the socket: between two requests.
//! - So it must be known where a request ends that hyper is given. It gets heads of known length alone and one at a time
//!   (`Head::Whole`), what came behind them is held back, and the lane opens again when the answer is flushed. After a
//!   head whose end is not known here, or does not come into the room, the lane stays closed for the connection's life,
//!   and hyper has all of it.
//! - What is held back is one room's worth at most: until it is used, nothing more is read.
//!
//! A connection begins without hyper ([`Express::serve`]), and has none as long as it asks for plain hits: they share
//! the room of their thread, so that such a connection keeps none. From its first other request on it is hyper's, and
//! the lane works within hyper's reads.
//!
//! No lock and no task. Costs a hit nothing of hyper's, and any other request a second reading of its head.

mod plain;
mod sending;
#[cfg(test)]
mod tests;

use std::cell::{Cell, OnceCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Proxy;
use super::outlet::Outlet;
use super::protocol::Visit;
use crate::cache::{Lookup, Stamp, Variant};
use crate::limits::EXPRESS_ROOM_BYTES;
use crate::semantics::cache_control::RequestDirectives;
use crate::semantics::cache_status::{CacheStatus, Outcome};
use crate::semantics::fields;
use crate::semantics::freshness::State;
use plain::{Head, Plain};
use sending::Sending;

thread_local! {
    /// Room for the heads of connections that hyper has not got, lent to one at a time.
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A client's stream with its express lane.
pub struct Express<'a, S> {
    stream: S,
    visit: &'a Visit,
    lane: Lane,
    /// What hyper is to read first.
    left: BytesMut,
    /// Bytes that came behind a request, or the part of a head that has come.
    held: BytesMut,
    /// Whether they are that part: more is needed.
    is_part: bool,
    /// The answer that is on its way.
    sending: Option<Sending>,
}

/// Who has the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lane {
    /// Whoever can answer what comes next.
    Open,
    /// hyper, until it has answered the request that it was given.
    Handed,
    /// hyper, for good.
    Closed,
}

impl<'a, S> Express<'a, S> {
    /// Of a stream that nothing was read of.
    pub fn new(stream: S, visit: &'a Visit) -> Express<'a, S> {
        Express {
            stream,
            visit,
            lane: Lane::Open,
            left: BytesMut::new(),
            held: BytesMut::new(),
            is_part: false,
            sending: None,
        }
    }

    /// What comes next: answered here, held until it is whole, or left in `buffer` for hyper. `from` is where it begins
    /// there.
    fn look_at(&mut self, buffer: &mut ReadBuf<'_>, from: usize) {
        let begun = Instant::now();
        let bytes = &buffer.filled()[from..];
        let length = {
            let mut room = plain::room();
            let head = match std::mem::take(&mut self.is_part) && !plain::may_be_whole(bytes) {
                true => Head::Part, // As hyper does: a head in many pieces is not read from its beginning for each.
                false => plain::read(bytes, &mut room),
            };
            match head {
                Head::Plain(request) => {
                    self.sending = self.visit.express(&request, begun);
                    request.length
                }
                Head::Whole(length) => length,
                Head::Part if buffer.remaining() > 0 => {
                    self.is_part = true;
                    0
                }
                Head::Part | Head::Other => {
                    self.lane = Lane::Closed;
                    self.visit.phase.head_is_here();
                    return;
                }
            }
        };
        self.hold(&buffer.filled()[from + length..]);
        if self.sending.is_some() {
            buffer.set_filled(from);
            return;
        }
        buffer.set_filled(from + length);
        self.visit.phase.head_is_here();
        if !self.is_part {
            self.lane = Lane::Handed;
        }
    }

    /// Holds bytes back, before those that are held.
    fn hold(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let mut held = BytesMut::with_capacity(bytes.len() + self.held.len());
            held.extend_from_slice(bytes);
            held.extend_from_slice(&self.held);
            self.held = held;
        }
    }

    /// Puts what is held into `buffer`, as far as it has room.
    fn put_held(&mut self, buffer: &mut ReadBuf<'_>) {
        let taken = self.held.len().min(buffer.remaining());
        buffer.put_slice(&self.held[..taken]);
        self.held.advance(taken);
        if self.held.is_empty() {
            self.held = BytesMut::new(); // An empty one may keep its memory.
        }
    }
}

impl<S: Outlet> Express<'_, S> {
    /// Answers plain hits until something comes that is none. Whether it is for hyper; otherwise the client has ended the
    /// connection. Whoever stops waiting loses nothing.
    pub async fn serve(&mut self) -> io::Result<bool> {
        poll_fn(|context| {
            let mut room = ROOM.take();
            room.resize(EXPRESS_ROOM_BYTES, 0);
            let mut buffer = ReadBuf::new(&mut room);
            let polled = Pin::new(&mut *self).poll_read(context, &mut buffer);
            self.left.extend_from_slice(buffer.filled());
            ROOM.set(room);
            polled.map_ok(|()| !self.left.is_empty())
        })
        .await
    }

    /// Sends what is left of the answer that is on its way.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(sending) = &mut self.sending {
            ready!(sending.poll(&mut self.stream, &self.visit.phase, context))?;
            self.sending = None;
        }
        Poll::Ready(Ok(()))
    }

    /// Next to a request that hyper has: an end of the stream is told, bytes wait.
    fn poll_beside(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() {
            return Poll::Pending; // Until hyper flushes its answer.
        }
        let from = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() == from {
            return Poll::Ready(Ok(()));
        }
        self.held.extend_from_slice(&buffer.filled()[from..]);
        buffer.set_filled(from);
        Poll::Pending
    }
}

impl<S: Outlet> AsyncRead for Express<'_, S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let express = self.get_mut();
        if !express.left.is_empty() {
            let taken = express.left.len().min(buffer.remaining());
            buffer.put_slice(&express.left[..taken]);
            express.left.advance(taken);
            if express.left.is_empty() {
                express.left = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        let from = buffer.filled().len();
        loop {
            ready!(express.poll_send(context))?;
            match express.lane {
                Lane::Closed if express.held.is_empty() => {
                    return Pin::new(&mut express.stream).poll_read(context, buffer);
                }
                Lane::Handed => return express.poll_beside(context, buffer),
                Lane::Open | Lane::Closed => {}
            }
            let reads = express.held.is_empty() || express.is_part;
            express.put_held(buffer);
            if reads {
                let before = buffer.filled().len();
                let polled = Pin::new(&mut express.stream).poll_read(context, buffer);
                if !polled.is_ready() {
                    express.hold(&buffer.filled()[from..]);
                    buffer.set_filled(from);
                }
                ready!(polled)?;
                if buffer.filled().len() == before {
                    // The end. hyper gets a part of a head before it, if there is one.
                    express.lane = Lane::Closed;
                    return Poll::Ready(Ok(()));
                }
            }
            if express.lane == Lane::Open {
                express.look_at(buffer, from);
            }
            if buffer.filled().len() > from {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: Outlet> AsyncWrite for Express<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        debug_assert!(self.sending.is_none(), "hyper writes of requests that it was given");
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        debug_assert!(self.sending.is_none(), "hyper writes of requests that it was given");
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when its own buffer is empty: with the answer's body dropped, the request is over. That the phase says,
    /// by not being busy: a byte that has come since then, beside the answer's last ones, has begun a head.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        if self.lane == Lane::Handed && !self.visit.phase.is_busy() {
            self.lane = Lane::Open;
            if !self.held.is_empty() {
                context.waker().wake_by_ref(); // hyper was told to wait for them.
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?; // hyper, asked to end, knows nothing of it.
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Visit {
    /// The answer to a plain request whose head was complete at `begun`, if it is a plain hit.
    fn express(&self, request: &Plain<'_, '_>, begun: Instant) -> Option<Sending> {
        let proxy = self.current.load();
        if self.is_redirected && proxy.redirect.is_some() {
            return None;
        }
        let sending = Sending::made(|head| proxy.express(request, begun, head))?;
        self.phase.begin_answer();
        self.phase.answered(begun);
        Some(sending)
    }
}

impl Proxy {
    /// Answers a plain request whose head was complete at `begun`, if the store has all that it takes; writes the answer's
    /// head to `out`. What needs a line of its own, or more than what is stored, is hyper's.
    fn express(&self, request: &Plain<'_, '_>, begun: Instant, out: &mut Vec<u8>) -> Option<Arc<Variant>> {
        if self.is_leaving() || self.keeps_lines() || !self.endpoints.knows(request.host) {
            return None;
        }
        let located = self.endpoints.locate(request.host, request.path, request.query).ok()?;
        let policy = &self.routes.get(located.route).policy;
        if policy.browser.is_some() || (policy.request_directives && request.has_directives) {
            return None;
        }
        let forwarded: OnceCell<HeaderMap> = OnceCell::new();
        let forwarded = || forwarded.get_or_init(|| fields::cacheable_request(&request.fields(), policy));
        let found = self.cache.look_up_by(&located.key, |variant| variant.selects_by(forwarded));
        located.key.recycle();
        let Lookup::Found(variant) = found else { return None };
        let now = self.cache.clock().at(begun.into_std());
        let is_fresh = matches!(variant.state(now, &RequestDirectives::default()), State::Fresh { .. });
        if !is_fresh || variant.body().part().is_some() || variant.status() != StatusCode::OK {
            return None;
        }
        variant.count_hit();
        let (age, freshness) = (variant.age_at(now), variant.freshness(now));
        let (ttl, age) = (Some(freshness.ttl(age)), freshness.age(age));
        let request_id = self.lasting.request_ids.name_by(request.request_id);
        let cache_status = CacheStatus { outcome: Outcome::Hit, ttl, detail: None };
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        variant.write_answer(&Stamp { age, cache_status, request_id: request_id.as_bytes() }, out);
        out.extend_from_slice(b"content-length: ");
        out.extend_from_slice(itoa::Buffer::new().format(variant.body().bytes()).as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        self.metrics.requests.increment();
        self.metrics.hits.increment();
        Some(variant)
    }
}
