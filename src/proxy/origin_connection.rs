//! One connection to an origin: the socket, hyper's driver of it, and whether it may be used again.
//!
//! Invariants: a connection that is dropped is closed, whatever its driver waits for; one on which something came while
//! it waited, or that has ended, is known before a request goes out on it; a request that no driver takes is not waited
//! for. No lock.

use std::future::ready;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{self, Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::body::RequestBody;
use crate::limits::{RESPONSE_FIELDS_MAX, RESPONSE_HEAD_BYTES_MAX};

/// See the module.
pub struct Connection {
    /// Where requests go in, by [`Connection::send`].
    pub sender: SendRequest<RequestBody>,
    received: Arc<AtomicU64>,
    socket: Arc<TcpStream>,
    driver: JoinHandle<()>,
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

    /// Sends a request and reads the head of its response; nothing where the request was lost. Once on each connection
    /// that has ended.
    ///
    /// A request may be handed over in the very moment in which the connection ends, on another thread. Then it can stay
    /// in hyper's channel, where nobody takes it and nobody says so (hyperium/hyper#4122).
    pub async fn send(&mut self, request: Request<RequestBody>) -> Option<hyper::Result<Response<Incoming>>> {
        let mut sending = pin!(self.sender.send_request(request));
        tokio::select! {
            biased;
            sent = &mut sending => return Some(sent),
            _ = &mut self.driver => {}
        }
        tokio::select! {
            biased;
            sent = sending => Some(sent),
            () = ready(()) => None,
        }
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
    Ok(Connection { sender, received, socket, driver })
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
            task::ready!(self.0.poll_read_ready(context))?;
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
            task::ready!(self.0.poll_write_ready(context))?;
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Barrier;
    use std::time::Duration;

    use http::Uri;
    use tokio::time::timeout;

    use super::*;

    const TIMES: u32 = 10_000;
    const PATIENCE: Duration = Duration::from_secs(10);

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    /// The driver runs on one thread, the request is handed over on another, later and later until it comes too late, and
    /// back: so most come at about the end.
    #[test]
    fn request_at_a_connections_end_is_never_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (give, take) = std::sync::mpsc::channel::<Connection>();
        let both = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = runtime();
                for _ in 0..TIMES {
                    runtime.block_on(async {
                        let socket = TcpStream::connect(address).await.unwrap();
                        SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap(); // It leaves nothing behind.
                        let connection = Connection::over(socket, None).await.unwrap();
                        let (_server, _) = listener.accept().unwrap();
                        let driver = connection.driver.abort_handle();
                        give.send(connection).unwrap();
                        both.wait();
                        driver.abort();
                        while !driver.is_finished() {
                            tokio::task::yield_now().await;
                        }
                    });
                }
            });
            let runtime = runtime();
            let mut delay: u32 = 0;
            for at in 0..TIMES {
                let mut connection = take.recv().unwrap();
                let mut request = Request::new(RequestBody::default());
                *request.uri_mut() = Uri::from_static("/");
                both.wait();
                for _ in 0..delay {
                    std::hint::spin_loop();
                }
                let is_late = connection.sender.is_closed();
                let sent = runtime.block_on(async { timeout(PATIENCE, connection.send(request)).await });
                let sent = sent.unwrap_or_else(|_| panic!("request {at} is waited for"));
                assert!(!matches!(sent, Some(Ok(_))), "nobody is there to answer it");
                let step = at % 20;
                delay = if is_late { delay.saturating_sub(step) } else { delay + step };
            }
        });
    }
}
