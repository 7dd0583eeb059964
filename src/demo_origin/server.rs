//! The demo origin's listener: connections, deadlines, and the way from an async thread to a blocking one.
//!
//! Owns the connections' tasks, and joins them when it stops. Bounds: connections by a semaphore; pictures in
//! work by another, one a core, whose permit moves into the work, so that clients who leave free no place early.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::answer::{self, Answerer};
use super::refusal::Refusal;
use crate::clock::Clock;
use crate::limits;

/// How long the listener rests after the system refused it a connection, such as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What every connection shares.
pub struct Shared {
    answerer: Arc<Answerer>,
    work: Arc<Semaphore>,
    requests: Arc<AtomicU64>,
    clock: Clock,
}

impl Shared {
    /// Works on as many pictures at once as there are cores; counts answers in `requests`.
    pub fn new(answerer: Answerer, requests: Arc<AtomicU64>, clock: Clock) -> Shared {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Shared { answerer: Arc::new(answerer), work: Arc::new(Semaphore::new(cores)), requests, clock }
    }

    async fn answer(&self, req: Request<Incoming>, client: SocketAddr) -> Response<Bytes> {
        let local = client.ip().to_canonical().is_loopback();
        let res = match collect(req, local).await {
            Ok(req) => self.work_on(req, local).await,
            Err(refusal) => answer::refuse(&refusal),
        };
        self.requests.fetch_add(1, Ordering::Relaxed);
        res
    }

    async fn work_on(&self, req: Request<Bytes>, local: bool) -> Response<Bytes> {
        let (answerer, clock) = (self.answerer.clone(), self.clock.clone());
        let permit = self.work.clone().acquire_owned().await.expect("nobody closes this semaphore");
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            answerer.answer(&req, local, clock.wall())
        });
        // A decoder that panics on a file ends its own task alone.
        work.await.unwrap_or_else(|error| answer::refuse(&Refusal::Internal(error.to_string())))
    }
}

/// A request with its body. Only the body of a PUT that will be heard is read; hyper closes the connection on what
/// is left unread.
async fn collect(req: Request<Incoming>, local: bool) -> Result<Request<Bytes>, Refusal> {
    let (head, body) = req.into_parts();
    if head.method != Method::PUT || !local {
        return Ok(Request::from_parts(head, Bytes::new()));
    }
    // A length that is announced is refused before the body is sent; one that is not, once it is passed.
    if body.size_hint().lower() > limits::DEMO_BODY_BYTES_MAX as u64 {
        return Err(Refusal::BodyTooLarge);
    }
    let whole = Limited::new(body, limits::DEMO_BODY_BYTES_MAX).collect();
    match tokio::time::timeout(limits::DEMO_BODY_TIME, whole).await {
        Ok(Ok(whole)) => Ok(Request::from_parts(head, whole.to_bytes())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::BodyTooLarge),
        Ok(Err(_)) | Err(_) => Err(Refusal::BodyIncomplete),
    }
}

/// Accepts until `stop`, then lets running answers finish, for a bounded time.
pub async fn serve(listener: TcpListener, shared: Shared, stop: impl Future<Output = ()>) {
    let shared = Arc::new(shared);
    let places = Arc::new(Semaphore::new(limits::DEMO_CONNECTIONS_MAX));
    let (stopping, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            // Both waits inside are cancel safe: a connection is lost by neither.
            accepted = accept(&listener, &places) => match accepted {
                Ok((stream, client, place)) => {
                    connections.spawn(converse(stream, client, place, shared.clone(), stopped.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "the demo origin cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop((listener, stopping));
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits::DEMO_DRAIN_TIME, drained).await.is_err() {
        connections.shutdown().await;
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.expect("nobody closes this semaphore");
    let (stream, client) = listener.accept().await?;
    Ok((stream, client, place))
}

/// One connection, to its end; `stopped` closes when no further request is to be read.
async fn converse(
    stream: TcpStream,
    client: SocketAddr,
    _place: OwnedSemaphorePermit,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<()>,
) {
    // Heads and bodies go out in separate writes; without this the second would wait for the client's ACK.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|req| {
        let shared = shared.clone();
        async move { Ok::<_, std::convert::Infallible>(shared.answer(req, client).await.map(Full::new)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::DEMO_HEAD_TIME)
        .max_buf_size(limits::REQUEST_HEAD_BYTES_MAX)
        .max_headers(limits::REQUEST_FIELDS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %client, "a connection of the demo origin ended early");
    }
}
