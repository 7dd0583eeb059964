//! One origin: its connections, their reuse, and one exchange of request and response.
//!
//! Owns the idle connections of one origin and the bound on all of them. Invariants:
//! - A connection is reused after its request was sent and its response read to the end, and then only; and not where
//!   anything came on it since (`origin_connection.rs`).
//! - GET and HEAD are sent again at most once: on a new connection, after a reused one ended before the
//!   first byte of a response (RFC 9110 §9.2.2, RFC 9112 §9.3.1). No other method is ever sent twice.
//! - Every wait has an end: for a place, a connection, the head, each piece of the body, and the whole.
//!
//! Lock: `idle`, a leaf.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body::Body as _;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::body::{RequestBody, UploadEnd};
use super::dial;
use super::interim::Offers;
use super::origin_body::{Framing, Lease, OriginBody};
use super::origin_connection::Connection;
use super::resolver::{Name, Resolver};
use crate::cache::Failure;
use crate::config::{Fetch, OriginServer};
use crate::limits::{CONNECT_STAGGER, FETCH_QUEUE_MAX, INTERIM_RESPONSES_MAX};
use crate::telemetry::origins;
use crate::telemetry::trail::Trail;

/// One origin server.
pub struct Origin {
    server: OriginServer,
    limits: Fetch,
    tls: Option<TlsConnector>,
    name: Arc<Name>,
    health: Arc<origins::Origin>,
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

/// A request on its way to one origin, or to several, one after the other.
pub struct Outgoing {
    /// What is asked.
    pub ask: Ask,
    /// Its body, until it is sent.
    pub body: Option<RequestBody>,
    /// Whether it may be sent more than once.
    pub repeatable: bool,
    /// When all of it must be over.
    pub deadline: Instant,
}

/// Why an origin gave no answer.
#[derive(Debug)]
pub struct Unanswered {
    /// For what is decided by it.
    pub failure: Failure,
    /// For people.
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Unanswered {
    /// What the system, TLS or HTTP says of it.
    pub fn why(&self) -> String {
        self.cause.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    /// Whether it is for want of something in this process, of descriptors above all, and tells nothing of an origin.
    pub fn is_ours(&self) -> bool {
        const ENFILE: i32 = 23; // These two are so on every Unix.
        const EMFILE: i32 = 24;
        let error = self.cause.as_ref().and_then(|cause| cause.downcast_ref::<io::Error>());
        error.is_some_and(|error| {
            matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
                || matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory)
        })
    }
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Unanswered {
        Unanswered { failure, cause: None }
    }
}

impl Origin {
    /// An origin without a connection. `tls` is needed where the server speaks it; what the origin shows of itself goes
    /// to `health`.
    pub fn new(
        server: OriginServer,
        limits: Fetch,
        tls: Option<TlsConnector>,
        resolver: Arc<Resolver>,
        health: Arc<origins::Origin>,
    ) -> Arc<Origin> {
        let places = Arc::new(Semaphore::new(limits.connections_max));
        Arc::new(Origin {
            name: Name::new(resolver, &server.host, server.port),
            server,
            limits,
            tls,
            health,
            idle: Mutex::default(),
            reaping: AtomicBool::new(false),
            places,
            queued: AtomicUsize::new(0),
        })
    }

    /// What it has shown of itself.
    pub fn health(&self) -> &Arc<origins::Origin> {
        &self.health
    }

    /// A place among the connections; bounded in wait and in waiters.
    pub async fn place(&self, end: Instant) -> Result<OwnedSemaphorePermit, Failure> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        let queued = Queued::enter(&self.queued)?;
        let place = timeout_at(end, self.places.clone().acquire_owned()).await;
        drop(queued);
        place.ok().and_then(Result::ok).ok_or(Failure::Overloaded)
    }

    /// Sends a request and reads the response's head. The body follows as an [`OriginBody`], and `place` goes with it.
    /// Where nothing was sent, the request has its body still.
    pub async fn exchange(
        self: &Arc<Origin>,
        place: &mut Option<OwnedSemaphorePermit>,
        request: &mut Outgoing,
    ) -> Result<Response<OriginBody>, Unanswered> {
        let mut reuse = self.take_idle();
        loop {
            let reused = reuse.is_some();
            let mut connection = match reuse.take() {
                Some(connection) => connection,
                None => self.connect(request.deadline).await?,
            };
            let before = connection.received();
            let body = request.body.take().unwrap_or_default();
            let upload = body.upload_end();
            let sent = self.send(&mut connection, request, body, upload.as_ref()).await;
            match sent {
                Ok(response) => {
                    let owed = upload.is_some_and(|upload| !upload.is_reached());
                    let place = place.take().expect("one is taken before, and for one answer");
                    let lease = Lease { origin: self.clone(), connection, place, owed };
                    return Ok(self.accept(response, request, lease)?);
                }
                Err(Unanswered { failure: Failure::Incomplete, .. })
                    if reused && request.repeatable && connection.received() == before => {}
                Err(unanswered) => return Err(unanswered),
            }
        }
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

    async fn connect(&self, deadline: Instant) -> Result<Connection, Unanswered> {
        let end = deadline.min(Instant::now() + self.limits.connect_timeout);
        match timeout_at(end, self.dial()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => {
                tracing::debug!(%error, host = %self.server.host, port = self.server.port, "no connection to the origin");
                Err(Unanswered { failure: Failure::Connect, cause: Some(error.into()) })
            }
            Err(_) => Err(Failure::ConnectTimeout.into()),
        }
    }

    async fn dial(&self) -> io::Result<Connection> {
        let addresses = self.name.addresses().await?;
        let socket = dial::first_of(&addresses, TcpStream::connect, || sleep(CONNECT_STAGGER)).await?;
        let tls =
            self.tls.as_ref().zip(self.server.tls.as_ref()).map(|(tls, server)| (tls, server.name.clone()));
        Connection::over(socket, tls).await
    }

    /// One request on one connection, up to the response's head. An origin that takes no more of `body` without an
    /// answer has until the deadline.
    async fn send(
        &self,
        connection: &mut Connection,
        outgoing: &Outgoing,
        body: RequestBody,
        upload: Option<&UploadEnd>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let Outgoing { ask, deadline, .. } = outgoing;
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
            sleep(self.limits.first_byte_timeout).await;
        };
        tokio::select! {
            biased;
            () = interim.too_many.notified() => Err(Failure::BadResponse.into()),
            sent = connection.send(request) => match sent {
                Some(Ok(_)) if interim.is_too_many() => Err(Failure::BadResponse.into()),
                Some(Ok(response)) => Ok(response),
                Some(Err(error)) => Err(unanswered(error)),
                None => Err(Failure::Incomplete.into()),
            },
            () = late => Err(Failure::HeadTimeout.into()),
            () = sleep_until(*deadline) => Err(Failure::HeadTimeout.into()),
        }
    }

    /// The request target: the origin's base and the path below the endpoint, never joined to an authority.
    fn target(&self, path_and_query: &str) -> Result<Uri, Failure> {
        format!("{}{path_and_query}", self.server.base).parse().map_err(|_| Failure::BadResponse)
    }

    fn accept(
        &self,
        response: Response<Incoming>,
        request: &Outgoing,
        lease: Lease,
    ) -> Result<Response<OriginBody>, Failure> {
        let framing = Framing::of(&response, &request.ask.method)?;
        let idle_timeout = self.limits.idle_timeout;
        Ok(response.map(|incoming| OriginBody::new(incoming, framing, lease, idle_timeout, request.deadline)))
    }

    /// Takes a connection back whose response was read to the end.
    pub(super) fn give_back(self: Arc<Origin>, lease: Lease) {
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
            sleep(self.limits.keep_alive).await;
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

fn unanswered(error: hyper::Error) -> Unanswered {
    // What is no parse error: closed, reset or ended before a head was complete.
    let failure = if error.is_parse() { Failure::BadResponse } else { Failure::Incomplete };
    Unanswered { failure, cause: Some(error.into()) }
}
