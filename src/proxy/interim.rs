//! Interim responses (1xx) on their way from an origin to a client. hyper's server can't send them, so they
//! are written below it, and above TLS. Over HTTP/2 there are none.
//!
//! Invariants:
//! - Responses are taken for a request that waits for its head, between [`Interim::open`] and the drop of what
//!   it gives, and for no other: an offer knows its request.
//! - They are written where hyper is between two messages: before the head of the answer, and after all bytes
//!   of the one before it ([`Interjecting`]). Where that can't be, they are dropped, which is no fault.
//!
//! Lock: `state`, a leaf; wakers are called after it. A hit takes none: it costs one load for each write.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::INTERIM_BYTES_MAX;
use crate::semantics::fields;

/// A client's connection, as far as interim responses are concerned. Clones are of the same one.
#[derive(Clone, Default)]
pub struct Interim(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Whether there are bytes to write.
    waiting: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Requests that were opened; the last one's number while it is open.
    opened: u64,
    is_open: bool,
    bytes: Vec<u8>,
    connection: Option<Waker>,
}

/// A request that waits for its head.
pub struct Open {
    interim: Interim,
    request: u64,
}

/// Where its interim responses go.
#[derive(Clone)]
pub struct Offers {
    interim: Interim,
    request: u64,
}

/// Opens for the request at hand, where its client takes interim responses.
pub async fn open(interim: Option<&Interim>) -> Option<Open> {
    match interim {
        Some(interim) => Some(interim.open().await),
        None => None,
    }
}

impl Interim {
    /// Takes interim responses from here on, for the request at hand. Called in the connection's task.
    pub async fn open(&self) -> Open {
        let connection = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
        let mut state = self.0.state.lock();
        state.opened += 1;
        state.is_open = true;
        state.connection = Some(connection);
        Open { interim: self.clone(), request: state.opened }
    }

    /// What is to be written now.
    pub fn take(&self) -> Option<Vec<u8>> {
        if !self.0.waiting.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.0.state.lock();
        self.0.waiting.store(false, Ordering::Release);
        Some(std::mem::take(&mut state.bytes))
    }
}

impl Open {
    /// For the fetch that answers this request.
    pub fn offers(&self) -> Offers {
        Offers { interim: self.interim.clone(), request: self.request }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.interim.0.state.lock();
        state.is_open = false;
        state.connection = None;
    }
}

impl Offers {
    /// Passes an origin's interim response on. 100 and 101 are of the origin's connection alone (RFC 9110
    /// §15.2).
    pub fn offer(&self, status: StatusCode, headers: &HeaderMap) {
        if matches!(status, StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS) {
            return;
        }
        let response = written(status, headers);
        let shared = &self.interim.0;
        let mut state = shared.state.lock();
        let is_for_it = state.is_open && state.opened == self.request;
        if !is_for_it || state.bytes.len() + response.len() > INTERIM_BYTES_MAX {
            return;
        }
        state.bytes.extend_from_slice(&response);
        shared.waiting.store(true, Ordering::Release);
        let connection = state.connection.clone();
        drop(state);
        if let Some(connection) = connection {
            connection.wake();
        }
    }
}

fn written(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let reason = status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
    for (name, value) in &fields::end_to_end(headers) {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// A connection into which they are written.
pub struct Interjecting<S> {
    socket: S,
    interim: Interim,
    /// Interim responses that are being written.
    early: Bytes,
    /// Whether hyper has nothing left of what it has begun to write: it flushes the socket when its own
    /// buffer is empty, and encodes nothing between that and the next request's turn (its `pipeline_flush`
    /// stays off).
    between: bool,
}

impl<S> Interjecting<S> {
    /// Into this one, where `interim` has some.
    pub fn new(socket: S, interim: Interim) -> Interjecting<S> {
        Interjecting { socket, interim, early: Bytes::new(), between: true }
    }
}

impl<S: AsyncWrite + Unpin> Interjecting<S> {
    /// Writes the interim responses that wait. In the midst of a message they are dropped.
    fn write_interim(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(bytes) = self.interim.take()
            && self.between
        {
            self.early = [&self.early, &*bytes].concat().into();
        }
        while !self.early.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_write(context, &self.early))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                bytes => self.early.advance(bytes),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Interjecting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Interjecting<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.write_interim(context))?;
        self.between = false;
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.write_interim(context))?;
        self.between = false;
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.between = true;
        ready!(self.write_interim(context))?;
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn hints() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("link", HeaderValue::from_static("</a.css>"));
        headers.insert("keep-alive", HeaderValue::from_static("timeout=4"));
        headers
    }

    #[tokio::test]
    async fn offers_are_taken_while_their_request_waits_and_no_longer() {
        let interim = Interim::default();
        assert_eq!(interim.take(), None);
        let first = interim.open().await;
        let late = first.offers();
        late.offer(StatusCode::EARLY_HINTS, &hints());
        late.offer(StatusCode::CONTINUE, &hints());
        let expected = b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n".to_vec();
        assert_eq!(interim.take(), Some(expected.clone()));
        assert_eq!(interim.take(), None);
        late.offer(StatusCode::EARLY_HINTS, &hints());
        drop(first);
        assert_eq!(interim.take(), Some(expected.clone()), "it goes before the head that is ready now");
        late.offer(StatusCode::EARLY_HINTS, &hints());
        assert_eq!(interim.take(), None);
        let second = interim.open().await;
        late.offer(StatusCode::EARLY_HINTS, &hints());
        assert_eq!(interim.take(), None, "an offer of the request before");
        second.offers().offer(StatusCode::EARLY_HINTS, &hints());
        assert_eq!(interim.take(), Some(expected));
    }

    #[tokio::test]
    async fn what_waits_is_bounded() {
        let interim = Interim::default();
        let open = interim.open().await;
        for _ in 0..INTERIM_BYTES_MAX {
            open.offers().offer(StatusCode::EARLY_HINTS, &hints());
        }
        let bytes = interim.take().unwrap().len();
        assert!(bytes <= INTERIM_BYTES_MAX && bytes > INTERIM_BYTES_MAX / 2, "{bytes}");
    }

    #[tokio::test]
    async fn interim_responses_go_between_messages_and_never_into_one() {
        let (client, server) = tokio::io::duplex(8);
        let interim = Interim::default();
        let mut connection = Interjecting::new(server, interim.clone());
        let open = interim.open().await;
        let reading = tokio::spawn(async move {
            let (mut client, mut text) = (client, String::new());
            client.read_to_string(&mut text).await.unwrap();
            text
        });

        // The socket takes a part of a message; the rest is hyper's still.
        let taken = connection.write(b"message one.").await.unwrap();
        assert!(taken < 12, "{taken}");
        open.offers().offer(StatusCode::EARLY_HINTS, &HeaderMap::new());
        connection.write_all(&b"message one."[taken..]).await.unwrap();
        connection.flush().await.unwrap();
        open.offers().offer(StatusCode::PROCESSING, &HeaderMap::new());
        connection.flush().await.unwrap();
        open.offers().offer(StatusCode::EARLY_HINTS, &HeaderMap::new());
        drop(open);
        connection.write_all(b"message two.").await.unwrap();
        drop(connection);
        let expected =
            "message one.HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nmessage two.";
        assert_eq!(reading.await.unwrap(), expected);
    }
}
