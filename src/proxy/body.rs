//! Bodies on their way: a client's to the origin, and an answer's to the client.
//!
//! Nothing is copied here: an answer's pieces are shared with the store, or with the flight that they come
//! from.

use std::collections::VecDeque;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

use super::connection::Phase;
use super::origin_body::OriginBody;
use crate::cache::{self, Bookmark, Failure, Reader};
use crate::limits::REQUEST_BODY_BYTES_MAX;
use crate::telemetry::trail::Ending;

/// Why a body ended early; the connection that carries it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The fetch that it comes from failed.
    Fetch(Failure),
    /// The client's body did, see [`Fault`].
    Client(Fault),
    /// What is stored of it can't be read.
    Stored,
}

impl std::fmt::Display for BodyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BodyError::Fetch(failure) => write!(f, "the fetch failed: {}", failure.as_str()),
            BodyError::Client(fault) => write!(f, "the client's body failed: {}", fault.as_str()),
            BodyError::Stored => f.write_str("the stored body can't be read"),
        }
    }
}

impl std::error::Error for BodyError {}

/// What was wrong with a client's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// Nothing.
    None = 0,
    /// It broke off, or its framing is invalid.
    Broken = 1,
    /// It is longer than `REQUEST_BODY_BYTES_MAX`.
    TooLarge = 2,
    /// It made no progress in time.
    TooSlow = 3,
}

impl Fault {
    /// For log fields.
    pub fn as_str(self) -> &'static str {
        match self {
            Fault::None => "none",
            Fault::Broken => "broken",
            Fault::TooLarge => "too-large",
            Fault::TooSlow => "too-slow",
        }
    }
}

/// A body for the origin.
#[derive(Default)]
pub enum RequestBody {
    /// None.
    #[default]
    Empty,
    /// A client's, bounded in size and time.
    Client(ClientBody),
}

impl RequestBody {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        matches!(self, RequestBody::Empty)
    }

    /// The end of a client's body.
    pub fn upload_end(&self) -> Option<UploadEnd> {
        match self {
            RequestBody::Empty => None,
            RequestBody::Client(body) => Some(UploadEnd(body.state.clone())),
        }
    }
}

/// A client's body on its way to the origin.
pub struct ClientBody {
    incoming: Incoming,
    bytes: usize,
    idle_timeout: Duration,
    deadline: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    state: Arc<UploadState>,
}

/// What others know of a [`ClientBody`] that was given away.
struct UploadState {
    fault: AtomicU8,
    is_over: AtomicBool,
    ended: Notify,
}

/// The end of a client's body, however it came.
pub struct UploadEnd(Arc<UploadState>);

impl UploadEnd {
    /// Waits for it.
    pub async fn reached(&self) {
        self.0.ended.notified().await;
    }

    /// Whether it has come.
    pub fn is_reached(&self) -> bool {
        self.0.is_over.load(Ordering::Relaxed)
    }
}

/// Tells what went wrong with a [`ClientBody`] that was given away.
pub struct FaultReport(Arc<UploadState>);

impl FaultReport {
    /// What went wrong so far.
    pub fn fault(&self) -> Fault {
        match self.0.fault.load(Ordering::Relaxed) {
            1 => Fault::Broken,
            2 => Fault::TooLarge,
            3 => Fault::TooSlow,
            _ => Fault::None,
        }
    }
}

impl ClientBody {
    /// A body that must make progress in every `idle_timeout`, and end by `deadline`.
    pub fn new(incoming: Incoming, idle_timeout: Duration, deadline: Instant) -> (ClientBody, FaultReport) {
        let fault = AtomicU8::new(Fault::None as u8);
        let state = Arc::new(UploadState { fault, is_over: AtomicBool::new(false), ended: Notify::new() });
        let report = FaultReport(state.clone());
        (ClientBody { incoming, bytes: 0, idle_timeout, deadline, timer: None, state }, report)
    }

    fn fail<T>(&self, fault: Fault) -> Poll<Option<Result<T, BodyError>>> {
        self.state.fault.store(fault as u8, Ordering::Relaxed);
        Poll::Ready(Some(Err(BodyError::Client(fault))))
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        self.state.ended.notify_one(); // hyper drops a body when it has sent it, or gives it up.
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = match self.get_mut() {
            RequestBody::Empty => return Poll::Ready(None),
            RequestBody::Client(body) => body,
        };
        loop {
            let Poll::Ready(frame) = Pin::new(&mut body.incoming).poll_frame(context) else {
                let end = body.deadline.min(Instant::now() + body.idle_timeout);
                let timer = body.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
                ready!(timer.as_mut().poll(context));
                return body.fail(Fault::TooSlow);
            };
            body.timer = None;
            let piece = match frame.map(|frame| frame.map(Frame::into_data)) {
                None => return Poll::Ready(None),
                Some(Ok(Ok(piece))) => piece,
                Some(Ok(Err(_trailers))) => continue, // Dropped: RFC 9110 §6.5.1.
                Some(Err(_)) => return body.fail(Fault::Broken),
            };
            body.bytes += piece.len();
            if body.bytes > REQUEST_BODY_BYTES_MAX {
                return body.fail(Fault::TooLarge);
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Empty => true,
            RequestBody::Client(body) => body.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Empty => SizeHint::with_exact(0),
            RequestBody::Client(body) => body.incoming.size_hint(),
        }
    }
}

/// An answer's body. When it is dropped, read or not, its connection waits for the next request.
pub struct ReplyBody {
    source: Source,
    /// An error that waits until what came before it has been flushed.
    broken: Option<BodyError>,
    phase: Option<Phase>,
    /// Writes the request's line, if it is to have one. Apart, so that a hit without one moves nothing of it.
    ending: Option<Box<Ending>>,
}

/// A piece of an answer that is put together.
pub enum Segment {
    /// Of our own.
    Text(Bytes),
    /// Of a stored body.
    Stored(Range<u64>),
}

impl Segment {
    fn bytes(&self) -> u64 {
        match self {
            Segment::Text(text) => text.len() as u64,
            Segment::Stored(range) => range.end - range.start,
        }
    }
}

enum Source {
    Empty,
    Text(Bytes),
    Stored { body: cache::Body, range: Range<u64>, bookmark: Bookmark },
    Several { body: cache::Body, segments: VecDeque<Segment>, bookmark: Bookmark, left: u64 },
    Shared { reader: Reader, left: Option<u64> },
    Passed(Box<OriginBody>),
}

impl Source {
    /// Whether its bytes are the store's.
    fn is_stored(&self) -> bool {
        matches!(self, Source::Stored { .. } | Source::Several { .. })
    }

    /// Whether it waits for nobody but the client.
    fn is_at_hand(&self) -> bool {
        matches!(self, Source::Empty | Source::Text(_)) || self.is_stored()
    }
}

impl ReplyBody {
    /// No body.
    pub fn empty() -> ReplyBody {
        Source::Empty.into()
    }

    /// A text of our own.
    pub fn text(text: impl Into<Bytes>) -> ReplyBody {
        Source::Text(text.into()).into()
    }

    /// A part of a stored body, or all of it.
    pub fn stored(body: cache::Body, range: Range<u64>) -> ReplyBody {
        assert!(range.start <= range.end && range.end <= body.bytes(), "a range lies within its body");
        Source::Stored { body, range, bookmark: Bookmark::default() }.into()
    }

    /// Texts and parts of a stored body, one after the other.
    pub fn several(body: cache::Body, segments: Vec<Segment>) -> ReplyBody {
        let left = segments.iter().map(Segment::bytes).sum();
        Source::Several { body, segments: segments.into(), bookmark: Bookmark::default(), left }.into()
    }

    /// Adds a line to a text of our own; other bodies stay as they are.
    pub fn add_line(&mut self, line: &str) {
        if let Source::Text(text) = &mut self.source {
            *text = [text, line.as_bytes()].concat().into();
        }
    }

    /// A body that others read too; `left` is its length where it is known.
    pub fn shared(reader: Reader, left: Option<u64>) -> ReplyBody {
        Source::Shared { reader, left }.into()
    }

    /// An origin's body that is not kept.
    pub fn passed(body: OriginBody) -> ReplyBody {
        Source::Passed(Box::new(body)).into()
    }

    /// Tells `phase` when the body is done with, and `ending` how.
    pub fn ending(mut self, phase: Phase, ending: Option<Box<Ending>>) -> ReplyBody {
        (self.phase, self.ending) = (Some(phase), ending);
        self
    }
}

impl From<Source> for ReplyBody {
    fn from(source: Source) -> ReplyBody {
        ReplyBody { source, broken: None, phase: None, ending: None }
    }
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        if let Some(phase) = &self.phase {
            phase.waiting(self.source.is_at_hand());
        }
        let is_complete = self.ending.is_some() && self.is_end_stream();
        if let Some(ending) = self.ending.as_mut().filter(|_| is_complete) {
            ending.complete();
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        if let Some(broken) = body.broken.take() {
            return Poll::Ready(Some(Err(broken)));
        }
        let piece = match &mut body.source {
            Source::Empty => None,
            Source::Text(text) if text.is_empty() => None,
            Source::Text(text) => Some(Ok(std::mem::take(text))),
            Source::Stored { body, range, bookmark } => next_stored(body, range, bookmark),
            Source::Several { body, segments, bookmark, left } => {
                let piece = next_of_several(body, segments, bookmark);
                let bytes = piece.as_ref().and_then(|piece| piece.as_ref().ok()).map_or(0, Bytes::len);
                *left = left.saturating_sub(bytes as u64);
                piece
            }
            Source::Shared { left: Some(0), .. } => None,
            Source::Shared { reader, left } => match ready!(reader.poll_next(context)) {
                Some(Ok(piece)) => {
                    if let Some(left) = left {
                        *left = left.saturating_sub(piece.len() as u64);
                    }
                    Some(Ok(piece))
                }
                // An end before the length that was promised is not an end.
                None if left.is_some() => Some(Err(BodyError::Fetch(Failure::Incomplete))),
                None => None,
                Some(Err(failure)) => Some(Err(BodyError::Fetch(failure))),
            },
            Source::Passed(body) => {
                ready!(body.poll_next(context)).map(|piece| piece.map_err(BodyError::Fetch))
            }
        };
        match piece {
            None => {
                if let Some(ending) = &mut body.ending {
                    ending.complete();
                }
                Poll::Ready(None)
            }
            Some(Ok(piece)) => {
                if let Some(phase) = &body.phase {
                    phase.sent(piece.len(), body.source.is_stored());
                }
                if let Some(ending) = &mut body.ending {
                    ending.sent(piece.len());
                }
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Some(Err(error)) => {
                // hyper drops what it has not written yet when a body fails; where one has nothing for now, it
                // writes first.
                body.broken = Some(error);
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Text(text) => text.is_empty(),
            Source::Stored { range, .. } => range.is_empty(),
            Source::Several { left, .. } => *left == 0,
            Source::Shared { left, .. } => *left == Some(0),
            Source::Passed(body) => body.is_complete(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Text(text) => SizeHint::with_exact(text.len() as u64),
            Source::Stored { range, .. } => SizeHint::with_exact(range.end - range.start),
            Source::Several { left, .. } | Source::Shared { left: Some(left), .. } => {
                SizeHint::with_exact(*left)
            }
            Source::Shared { left: None, .. } => SizeHint::default(),
            Source::Passed(body) => body.size_hint(),
        }
    }
}

/// The next text, or bytes of a part.
fn next_of_several(
    body: &cache::Body,
    segments: &mut VecDeque<Segment>,
    bookmark: &mut Bookmark,
) -> Option<Result<Bytes, BodyError>> {
    loop {
        match segments.front_mut()? {
            Segment::Text(text) => {
                let text = std::mem::take(text);
                segments.pop_front();
                return Some(Ok(text));
            }
            Segment::Stored(range) => {
                if let Some(bytes) = next_stored(body, range, bookmark) {
                    return Some(bytes);
                }
                segments.pop_front();
            }
        }
    }
}

/// The next bytes of `range`; moves its start. Never waits: what is stored is in memory.
fn next_stored(
    body: &cache::Body,
    range: &mut Range<u64>,
    bookmark: &mut Bookmark,
) -> Option<Result<Bytes, BodyError>> {
    body.next(range, bookmark).map(|bytes| bytes.map_err(|_told_by_the_extent| BodyError::Stored))
}
