//! What is spoken on a client's connection: TLS or not, HTTP/1.1 or HTTP/2.
//!
//! By port and by ALPN alone. Nothing is guessed from what comes, but for HTTP/2 in clear where that is switched on: it
//! begins with words that no other protocol has (`preface.rs`). Each wait here is one of [`Guarded`]'s: a handshake,
//! and a preface, are due with the first head.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderValue, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::connection::{Guarded, Phase, Times};
use super::express::Express;
use super::interim::{Interim, Interjecting};
use super::listener::{Current, Place, stopped};
use super::outlet::Outlet;
use super::pipeline::Answering;
use super::{http2, preface};
use crate::limits::{LAST_HANDSHAKES_TIME, REQUEST_HEAD_BYTES_MAX};
use crate::telemetry::trail::Ending;
use crate::tls::{Protocols, Store};

/// A connection ended otherwise than as its protocol says.
pub type Ended = Result<(), Box<dyn Error + Send + Sync>>;

/// An answer on its way.
pub struct Given {
    /// The answer.
    pub answering: Answering,
    /// Writes the request's line, if it is to have one.
    pub ending: Option<Box<Ending>>,
    /// Whether the client is to connect anew for its next request.
    pub is_last: bool,
}

/// A client's visit: who it is, what serves it, and until when.
pub struct Visit {
    pub(super) peer: IpAddr,
    /// Each request is answered by the config of its moment; the connection's own bounds are those of its beginning.
    pub(super) current: Current,
    pub(super) times: Times,
    http2: bool,
    http2_cleartext: bool,
    pub(super) phase: Phase,
    pub(super) stop: watch::Receiver<bool>,
    /// Whether it is sent to TLS where the config says so.
    pub(super) is_redirected: bool,
    _place: Place,
}

impl Visit {
    /// Of a client that came just now, until `stop` turns true and its running answers were given. It keeps its place
    /// among the connections.
    pub fn new(peer: IpAddr, current: Current, stop: watch::Receiver<bool>, place: Place) -> Visit {
        let proxy = current.load();
        let (phase, times) = (Phase::new(proxy.metrics.clone()), Times::of(&proxy.config));
        let (http2, http2_cleartext) = (proxy.config.http2, proxy.config.http2_cleartext);
        drop(proxy);
        Visit {
            peer,
            current,
            times,
            http2,
            http2_cleartext,
            phase,
            stop,
            is_redirected: false,
            _place: place,
        }
    }

    /// The answer to a request whose head was complete at `begun`.
    pub(super) fn answer(&self, request: Request<Incoming>, interim: &Interim, begun: Instant) -> Given {
        let proxy = self.current.load();
        let ending = proxy.ending(&request, self.peer, begun);
        let trail = ending.as_deref().map(Ending::trail);
        let answering = match proxy.redirect.filter(|_| self.is_redirected) {
            None => proxy.answer(request, self.peer, interim, begun.into_std(), trail),
            Some(port) => Answering::AtOnce(Some(proxy.redirect(&request, port, trail))),
        };
        Given { answering, ending, is_last: proxy.is_leaving() }
    }

    fn guard(&self, socket: TcpStream) -> io::Result<Guarded<TcpStream>> {
        socket.set_nodelay(true)?;
        Ok(Guarded::new(socket, self.phase.clone(), self.times))
    }
}

/// Serves a connection in clear; its requests are sent to TLS where `is_redirected` and the config say so.
pub async fn serve_clear(socket: TcpStream, is_redirected: bool, mut visit: Visit) {
    visit.is_redirected = is_redirected;
    let peer = visit.peer;
    let ended = match visit.guard(socket) {
        Ok(guarded) if visit.http2_cleartext => Box::pin(by_preface(guarded, visit)).await,
        Ok(guarded) => http1(guarded, visit).await,
        Err(error) => Err(error.into()),
    };
    log(peer, ended);
}

/// Serves a connection over TLS.
pub async fn serve_tls(socket: TcpStream, store: Arc<Store>, visit: Visit) {
    let peer = visit.peer;
    log(peer, by_handshake(socket, &store, visit).await);
}

fn log(peer: IpAddr, ended: Ended) {
    if let Err(error) = ended {
        tracing::debug!(error, %peer, "a client's connection ended early");
    }
}

/// The same as [`stopped`] and a moment more, for who has just come.
async fn stopped_late(stop: &mut watch::Receiver<bool>) {
    stopped(stop).await;
    tokio::time::sleep(LAST_HANDSHAKES_TIME).await;
}

async fn by_handshake(socket: TcpStream, store: &Store, mut visit: Visit) -> Ended {
    let protocols = if visit.http2 { Protocols::Http2 } else { Protocols::Http1 };
    let guarded = visit.guard(socket)?;
    let stream = tokio::select! {
        stream = store.acceptor(protocols).accept(guarded) => stream?,
        () = stopped_late(&mut visit.stop) => return Ok(()), // It has asked for nothing yet.
    };
    let speaks_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    match speaks_http2 {
        true => Box::pin(http2::serve(stream, visit)).await,
        false => Box::pin(http1(stream, visit)).await,
    }
}

async fn by_preface(guarded: Guarded<TcpStream>, mut visit: Visit) -> Ended {
    let (stream, speaks_http2) = tokio::select! {
        read = preface::read(guarded) => read?,
        () = stopped_late(&mut visit.stop) => return Ok(()),
    };
    match speaks_http2 {
        true => http2::serve(stream, visit).await,
        false => http1(stream, visit).await,
    }
}

/// Serves HTTP/1.1 on a stream.
pub(super) async fn http1(stream: impl Outlet, visit: Visit) -> Ended {
    let (mut express, mut stop) = (Express::new(stream, &visit), visit.stop.clone());
    tokio::select! {
        biased; // A client that has always something to ask does not hide the stop.
        () = stopped(&mut stop) => {}
        is_hypers = express.serve() => {
            if !is_hypers? {
                return Ok(express.shutdown().await?);
            }
        }
    }
    let interim = Interim::default();
    let service = service_fn(|request| {
        let begun = visit.phase.busy();
        let Given { answering, mut ending, is_last } = visit.answer(request, &interim, begun);
        let phase = visit.phase.clone();
        async move {
            let mut reply = answering.await;
            if is_last {
                reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            phase.answered(begun);
            if let Some(ending) = &mut ending {
                ending.answered(&reply);
            }
            Ok::<_, Infallible>(reply.map(|body| body.ending(phase, ending)))
        }
    });
    let serving = http1::Builder::new()
        .header_read_timeout(None) // `Guarded` has it.
        .max_header_size(REQUEST_HEAD_BYTES_MAX)
        .auto_date_header(true)
        .serve_connection(TokioIo::new(Interjecting::new(express, interim.clone())), service);
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        ended = &mut serving => return Ok(ended?),
        () = stopped(&mut stop) => {}
    }
    if visit.phase.awaits_head() {
        // hyper would close it, and a request that is on its way would get no answer.
        tokio::select! {
            ended = &mut serving => return Ok(ended?),
            () = tokio::time::sleep(LAST_HANDSHAKES_TIME) => {}
        }
    }
    serving.as_mut().graceful_shutdown();
    Ok(serving.await?)
}
