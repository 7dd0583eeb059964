//! An account's origin: its connections, their reuse, and one exchange of request and response.
//!
//! Owns the idle connections of one origin and the bound on all of them. Invariants:
//! - A connection is reused after its request was sent and its response read to the end, and then only; and not where
//!   anything came on it since (`origin_connection.rs`).
//! - GET and HEAD are sent again at most once: on a new connection, after a reused one ended before the
//!   first byte of a response (RFC 9110 §9.2.2, RFC 9112 §9.3.1). No other method is ever sent twice.
//! - Every wait has an end: for a place, a connection, the head, each piece of the body, and the whole.
//!
//! Lock: `idle`, a leaf.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, timeout};
use tokio_rustls::TlsConnector;

use super::body::{RequestBody, UploadEnd};
use super::interim::Offers;
use super::origin_connection::Connection;
use crate::cache::Failure;
use crate::config::{Fetch, OriginServer};
use crate::limits::{FETCH_QUEUE_MAX, INTERIM_RESPONSES_MAX};
use crate::telemetry::trail::Trail;

/// One origin server.
pub struct Origin {
    server: OriginServer,
    limits: Fetch,
    tls: Option<TlsConnector>,
    idle: Mutex<Vec<Idle>>,
    reaping: AtomicBool,
    places: Arc<Semaphore>,
    queued: AtomicUsize,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

/// What is asked of an origin: the rest of its request is the same for all.
pub struct Ask {
    /// The method.
    pub method: Method,
    /// Canonical path and query below the endpoint, beginning with `/`.
    pub path_and_query: String,
    /// End-to-end fields; Host and framing are added here.
    pub fields: HeaderMap,
    /// Where interim responses go; nothing where nobody waits for them.
    pub interim: Option<Offers>,
    /// Who keeps what is learned of the request that it is for.
    pub trail: Option<Arc<Trail>>,
}

impl Origin {
    /// An origin without a connection. `tls` is needed where the server speaks it.
    pub fn new(server: OriginServer, limits: Fetch, tls: Option<TlsConnector>) -> Arc<Origin> {
        let places = Arc::new(Semaphore::new(limits.connections_max));
        Arc::new(Origin {
            server,
            limits,
            tls,
            idle: Mutex::default(),
            reaping: AtomicBool::new(false),
            places,
            queued: AtomicUsize::new(0),
        })
    }

    /// Sends a request and reads the response's head. The body follows as an [`OriginBody`].
    pub async fn exchange(
        self: &Arc<Origin>,
        ask: Ask,
        body: RequestBody,
    ) -> Result<Response<OriginBody>, Failure> {
        let deadline = Instant::now() + self.limits.total_timeout;
        let place = self.place().await?;
        let repeatable = body.is_empty() && (ask.method == Method::GET || ask.method == Method::HEAD);
        let mut body = Some(body);
        let mut reuse = self.take_idle();
        loop {
            let reused = reuse.is_some();
            let mut connection = match reuse.take() {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let before = connection.received();
            let body = body.take().unwrap_or_default();
            let upload = body.upload_end();
            let sent = self.send(&mut connection, &ask, body, upload.as_ref(), deadline).await;
            match sent {
                Ok(response) => {
                    let owed = upload.is_some_and(|upload| !upload.is_reached());
                    let lease = Lease { origin: self.clone(), connection, place, owed };
                    return self.accept(response, &ask.method, lease, deadline);
                }
                Err(Failure::Incomplete) if reused && repeatable && connection.received() == before => {}
                Err(failure) => return Err(failure),
            }
        }
    }

    /// A place among the connections; bounded in wait and in waiters.
    async fn place(&self) -> Result<OwnedSemaphorePermit, Failure> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        let queued = Queued::enter(&self.queued)?;
        let place = timeout(self.limits.queue_timeout, self.places.clone().acquire_owned()).await;
        drop(queued);
        place.ok().and_then(Result::ok).ok_or(Failure::Overloaded)
    }

    fn take_idle(&self) -> Option<Connection> {
        self.drop_expired(&mut self.idle.lock());
        loop {
            let Idle { connection, .. } = self.idle.lock().pop()?;
            if connection.is_reusable() {
                return Some(connection);
            }
        }
    }

    fn drop_expired(&self, idle: &mut Vec<Idle>) {
        idle.retain(|idle| {
            idle.since.elapsed() < self.limits.keep_alive && !idle.connection.sender.is_closed()
        });
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        match timeout(self.limits.connect_timeout, self.dial()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => {
                tracing::debug!(%error, host = %self.server.host, port = self.server.port, "no connection to the origin");
                Err(Failure::Connect)
            }
            Err(_) => Err(Failure::ConnectTimeout),
        }
    }

    async fn dial(&self) -> io::Result<Connection> {
        let addresses = tokio::net::lookup_host((self.server.host.as_str(), self.server.port)).await?;
        let mut error = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(socket) => {
                    let tls = self.tls.as_ref().map(|tls| (tls, &*self.server.host));
                    return Connection::over(socket, tls).await;
                }
                Err(refused) => error = refused,
            }
        }
        Err(error)
    }

    /// One request on one connection, up to the response's head. An origin that takes no more of `body` without an
    /// answer has until `deadline`.
    async fn send(
        &self,
        connection: &mut Connection,
        ask: &Ask,
        body: RequestBody,
        upload: Option<&UploadEnd>,
        deadline: Instant,
    ) -> Result<Response<Incoming>, Failure> {
        let states_no_bytes = !body.is_empty() && body.size_hint().exact() == Some(0);
        let mut request = Request::new(body);
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = self.target(&ask.path_and_query)?;
        *request.headers_mut() = ask.fields.clone();
        let fields = request.headers_mut();
        // hyper frames the body that it is given; a length of the client's would be a promise to the origin
        // that nobody keeps.
        fields.remove(header::CONTENT_LENGTH);
        fields.remove(header::TRANSFER_ENCODING);
        if states_no_bytes {
            fields.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0")); // RFC 9110 §8.6.
        }
        fields.insert(header::HOST, self.server.host_field.clone());
        for (name, value) in &self.server.headers {
            fields.insert(name, value.clone());
        }
        let interim = Arc::new(Interim::default());
        interim.count_in(&mut request, ask.interim.clone());
        let late = async {
            if let Some(upload) = upload {
                upload.reached().await; // The client has limits of its own.
            }
            tokio::time::sleep(self.limits.first_byte_timeout).await;
        };
        tokio::select! {
            biased;
            () = interim.too_many.notified() => Err(Failure::BadResponse),
            sent = connection.sender.send_request(request) => match sent {
                Ok(_) if interim.is_too_many() => Err(Failure::BadResponse),
                Ok(response) => Ok(response),
                Err(error) => Err(failure_of(&error)),
            },
            () = late => Err(Failure::HeadTimeout),
            () = tokio::time::sleep_until(deadline) => Err(Failure::HeadTimeout),
        }
    }

    /// The request target: the origin's base and the path below the endpoint, never joined to an authority.
    fn target(&self, path_and_query: &str) -> Result<Uri, Failure> {
        format!("{}{path_and_query}", self.server.base).parse().map_err(|_| Failure::BadResponse)
    }

    fn accept(
        self: &Arc<Origin>,
        response: Response<Incoming>,
        method: &Method,
        lease: Lease,
        deadline: Instant,
    ) -> Result<Response<OriginBody>, Failure> {
        let framing = Framing::of(&response, method)?;
        let (parts, incoming) = response.into_parts();
        let mut body = OriginBody {
            incoming,
            framing,
            lease: Some(lease),
            deadline,
            idle_timeout: self.limits.idle_timeout,
            timer: None,
        };
        if body.incoming.is_end_stream() {
            body.release();
        }
        Ok(Response::from_parts(parts, body))
    }

    /// Takes a connection back whose response was read to the end.
    fn give_back(self: Arc<Origin>, lease: Lease) {
        tokio::spawn(async move {
            let Lease { mut connection, place, owed, .. } = lease;
            // hyper reads the end of the response; extra bytes after it close the connection. Where the origin answered
            // before it had the request's body, what is left of that goes on for a while, for the client's sake.
            let ready = timeout(self.limits.idle_timeout, connection.sender.ready()).await;
            // An origin that is owed bytes of a request may take the next one for them.
            let reusable = matches!(ready, Ok(Ok(()))) && !owed && !self.limits.keep_alive.is_zero();
            if reusable {
                self.idle.lock().push(Idle { connection, since: Instant::now() });
            }
            drop(place);
            if reusable && !self.reaping.swap(true, Ordering::AcqRel) {
                self.reap().await;
            }
        });
    }

    /// Closes what stayed idle for too long; ends when nothing is idle.
    async fn reap(&self) {
        loop {
            tokio::time::sleep(self.limits.keep_alive).await;
            let mut idle = self.idle.lock();
            self.drop_expired(&mut idle);
            if idle.is_empty() {
                // Under the lock: whoever gives a connection back after this sees the flag down.
                self.reaping.store(false, Ordering::Release);
                return;
            }
        }
    }
}

struct Queued<'a>(&'a AtomicUsize);

impl Queued<'_> {
    fn enter(queued: &AtomicUsize) -> Result<Queued<'_>, Failure> {
        let guard = Queued(queued);
        let before = queued.fetch_add(1, Ordering::Relaxed);
        if before < FETCH_QUEUE_MAX { Ok(guard) } else { Err(Failure::Overloaded) }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The 1xx responses before a final one.
#[derive(Default)]
struct Interim {
    count: AtomicUsize,
    too_many: Notify,
}

impl Interim {
    fn count_in(self: &Arc<Interim>, request: &mut Request<RequestBody>, offers: Option<Offers>) {
        let interim = self.clone();
        hyper::ext::on_informational(request, move |response| {
            match interim.count.fetch_add(1, Ordering::Relaxed).cmp(&INTERIM_RESPONSES_MAX) {
                std::cmp::Ordering::Less => {
                    if let Some(offers) = &offers {
                        offers.offer(response.status(), response.headers());
                    }
                }
                std::cmp::Ordering::Equal => interim.too_many.notify_one(),
                std::cmp::Ordering::Greater => {}
            }
        });
    }

    fn is_too_many(&self) -> bool {
        self.count.load(Ordering::Relaxed) > INTERIM_RESPONSES_MAX
    }
}

fn failure_of(error: &hyper::Error) -> Failure {
    if error.is_parse() {
        return Failure::BadResponse;
    }
    Failure::Incomplete // Closed, reset or ended before a head was complete.
}

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
    fn of(response: &Response<Incoming>, method: &Method) -> Result<Framing, Failure> {
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
struct Lease {
    origin: Arc<Origin>,
    connection: Connection,
    place: OwnedSemaphorePermit,
    /// Whether the origin had not been sent all of the request when it answered.
    owed: bool,
}

/// A response's body on its way. Dropped before its end, its connection is closed.
pub struct OriginBody {
    incoming: Incoming,
    framing: Framing,
    lease: Option<Lease>,
    deadline: Instant,
    idle_timeout: std::time::Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl OriginBody {
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
