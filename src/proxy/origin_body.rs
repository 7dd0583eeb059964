//! A response's body on its way from an origin, and how its end is known.
//!
//! Invariant: its connection goes back to its origin when the body was read to the end, and then only; dropped before
//! that, it is closed. No lock.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::origin::Origin;
use super::origin_connection::Connection;
use crate::cache::Failure;
use crate::telemetry::origins;

/// How the end of a body is known (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none, or its length is known.
    Length(u64),
    /// By its last chunk.
    Chunked,
    /// By the connection's end, which a crash looks like too.
    Close,
}

impl Framing {
    pub(super) fn of(response: &Response<Incoming>, method: &Method) -> Result<Framing, Failure> {
        let status = response.status();
        // 101 answers an Upgrade, which is never sent; over 599 is no status (RFC 9110 §15).
        if status.is_informational() || status.as_u16() > 599 {
            return Err(Failure::BadResponse);
        }
        let codings = response.headers().get_all(header::TRANSFER_ENCODING);
        let coded = codings.iter().next().is_some();
        if coded && !codings.iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
            return Err(Failure::BadResponse); // A coding that we did not ask for by TE (RFC 9112 §6.1).
        }
        let bodiless =
            *method == Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        if bodiless {
            return Ok(Framing::Length(0));
        }
        match response.body().size_hint().exact() {
            Some(bytes) => Ok(Framing::Length(bytes)),
            None if coded => Ok(Framing::Chunked),
            None => Ok(Framing::Close),
        }
    }
}

/// What a body holds of its origin until it was read to the end.
pub(super) struct Lease {
    pub origin: Arc<Origin>,
    pub connection: Connection,
    pub place: OwnedSemaphorePermit,
    /// Whether the origin had not been sent all of the request when it answered.
    pub owed: bool,
}

/// A response's body on its way. Dropped before its end, its connection is closed.
pub struct OriginBody {
    incoming: Incoming,
    framing: Framing,
    lease: Option<Lease>,
    health: Arc<origins::Origin>,
    deadline: Instant,
    idle_timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl OriginBody {
    /// A body that must make progress in every `idle_timeout`, and end by `deadline`.
    pub(super) fn new(
        incoming: Incoming,
        framing: Framing,
        lease: Lease,
        idle_timeout: Duration,
        deadline: Instant,
    ) -> OriginBody {
        let health = lease.origin.health().clone();
        let mut body =
            OriginBody { incoming, framing, lease: Some(lease), health, deadline, idle_timeout, timer: None };
        if body.incoming.is_end_stream() {
            body.release();
        }
        body
    }

    /// Where what becomes of it is noted.
    pub fn health(&self) -> &origins::Origin {
        &self.health
    }

    /// How its end is known.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether all of it was read.
    pub fn is_complete(&self) -> bool {
        self.incoming.is_end_stream()
    }

    /// The next piece; nothing after the last. Trailers are dropped (RFC 9110 §6.5.1). Cancelling it is
    /// safe.
    pub async fn next(&mut self) -> Option<Result<Bytes, Failure>> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The next piece, if it has arrived; nothing also at the end.
    pub async fn at_once(&mut self) -> Option<Result<Bytes, Failure>> {
        poll_fn(|context| match self.poll_next(context) {
            Poll::Ready(piece) => Poll::Ready(piece),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    /// [`OriginBody::next`], to be polled.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        if self.lease.is_some() && Instant::now() >= self.deadline {
            return Poll::Ready(Some(Err(Failure::BodyTimeout)));
        }
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) else {
                return self.poll_timeout(context);
            };
            self.timer = None;
            let Some(frame) = frame else {
                self.release();
                return Poll::Ready(None);
            };
            let piece = match frame.map(Frame::into_data) {
                Ok(Ok(piece)) if piece.is_empty() => continue,
                Ok(Ok(piece)) => piece,
                Ok(Err(_trailers)) => continue,
                Err(error) => {
                    tracing::debug!(%error, "the origin's body broke off");
                    return Poll::Ready(Some(Err(Failure::Incomplete)));
                }
            };
            if self.incoming.is_end_stream() {
                self.release();
            }
            return Poll::Ready(Some(Ok(piece)));
        }
    }

    fn poll_timeout(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        let (idle_timeout, deadline) = (self.idle_timeout, self.deadline);
        let timer = self.timer.get_or_insert_with(|| {
            let end = deadline.min(Instant::now() + idle_timeout);
            Box::pin(tokio::time::sleep_until(end))
        });
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Some(Err(Failure::BodyTimeout)))
    }

    fn release(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.origin.clone().give_back(lease);
        }
    }

    /// What is known of the length.
    pub fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
