//! One connection to an origin: the socket, hyper's driver of it, and whether it may be used again.
//!
//! Invariants: a connection that is dropped is closed, whatever its driver waits for; one on which something came while
//! it waited, or that has ended, is known before a request goes out on it. No lock.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::body::RequestBody;
use crate::limits::{RESPONSE_FIELDS_MAX, RESPONSE_HEAD_BYTES_MAX};

/// See the module.
pub struct Connection {
    /// Where requests go in.
    pub sender: SendRequest<RequestBody>,
    received: Arc<AtomicU64>,
    socket: Arc<TcpStream>,
    driver: AbortHandle,
}

impl Connection {
    /// Speaks HTTP over a new socket, over TLS where it is given, to the server of that name.
    pub async fn over(
        socket: TcpStream,
        tls: Option<(&TlsConnector, ServerName<'static>)>,
    ) -> io::Result<Connection> {
        socket.set_nodelay(true)?;
        let socket = Arc::new(socket);
        let Some((tls, name)) = tls else { return speak_http(Shared(socket.clone()), socket).await };
        speak_http(tls.connect(name, Shared(socket.clone())).await?, socket).await
    }

    /// Bytes that it has brought so far, as HTTP sees them.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Whether the next request may go out on it: hyper is ready, and nothing has come that nobody asked for.
    ///
    /// What came is read by hyper too, but when its task runs next. A request may be there before that: it would be
    /// sent first, and what came would be its answer. So the socket itself is asked. Over TLS what came may be
    /// harmless (a session ticket); then a connection more is made.
    pub fn is_reusable(&self) -> bool {
        let asked = SockRef::from(&*self.socket).peek(&mut [MaybeUninit::uninit()]);
        let quiet = asked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        quiet && self.sender.is_ready()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort(); // It may be stuck in a body that the origin takes no further.
    }
}

async fn speak_http<S>(stream: S, socket: Arc<TcpStream>) -> io::Result<Connection>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let received = Arc::new(AtomicU64::new(0));
    let counted = Counted { stream, received: received.clone() };
    let handshake = http1::Builder::new()
        .max_headers(RESPONSE_FIELDS_MAX)
        .max_header_size(RESPONSE_HEAD_BYTES_MAX)
        .handshake(TokioIo::new(counted));
    let (sender, driver) = handshake.await.map_err(io::Error::other)?;
    let driver = tokio::spawn(async move {
        if let Err(error) = driver.await {
            tracing::debug!(%error, "a connection to the origin ended");
        }
    });
    Ok(Connection { sender, received, socket, driver: driver.abort_handle() })
}

/// A socket that its [`Connection`] may ask about while hyper's driver reads and writes it.
struct Shared(Arc<TcpStream>);

impl AsyncRead for Shared {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            match self.0.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(drop)),
            }
        }
    }
}

impl Shared {
    fn poll_with(
        &self,
        context: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match write(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncWrite for Shared {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_with(context, |socket| socket.try_write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // A socket keeps nothing back.
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.0).shutdown(std::net::Shutdown::Write))
    }
}

/// Counts what a stream brings.
struct Counted<S> {
    stream: S,
    received: Arc<AtomicU64>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.received.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
