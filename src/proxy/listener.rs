//! One listener of the data plane: accepts, guards and serves connections until it is told to stop.
//!
//! Each serving thread has one, on the port that all of them share, so a connection stays on its core. The
//! bound on connections is common to all.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Proxy;
use super::connection::{Guarded, Phase, Times};
use super::interim::Interim;
use crate::limits::{ACCEPT_BACKLOG, REQUEST_HEAD_BYTES_MAX, SEND_BUFFER_BYTES};
use crate::telemetry::trail::Ending;

/// Pause after an accept that failed for want of descriptors or memory, so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Binds `count` listeners to one address. A port that another process holds is an error even where it
/// would share: the first one binds alone.
pub fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<std::net::TcpListener>> {
    let alone = bind_one(address)?;
    if count == 1 {
        return Ok(vec![alone]);
    }
    let address = alone.local_addr()?;
    drop(alone);
    (0..count).map(|_| bind_with(address, true)).collect()
}

/// Binds a listener that shares its port with nobody.
pub fn bind_one(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    bind_with(address, false)
}

fn bind_with(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?; // Accepted sockets inherit it.
    socket.bind(&address.into())?;
    socket.listen(ACCEPT_BACKLOG)?;
    Ok(socket.into())
}

/// Serves until `stop` turns true; then accepts no more, and returns when every running answer was given.
pub async fn serve(listener: TcpListener, proxy: Arc<Proxy>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((socket, peer)) => {
                failing = false;
                match Place::take(&proxy.connections, proxy.config.connections_max) {
                    Some(place) => {
                        proxy.metrics.connections_accepted.increment();
                        let connection = connection(socket, peer, proxy.clone(), stop.clone());
                        connections.spawn(async move {
                            connection.await;
                            drop(place);
                        });
                    }
                    None => {
                        proxy.metrics.connections_refused.increment();
                        refuse(socket).await;
                    }
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "connections can't be accepted now");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(socket: TcpStream, peer: SocketAddr, proxy: Arc<Proxy>, mut stop: watch::Receiver<bool>) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, %peer, "a connection ended before it began");
        return;
    }
    let phase = Phase::new(proxy.metrics.clone());
    let interim = Interim::default();
    let guarded = Guarded::new(socket, phase.clone(), Times::of(&proxy.config), interim.clone());
    let service = service_fn(|request| {
        let begun = phase.busy();
        let mut ending = proxy.ending(&request, peer.ip(), begun);
        let trail = ending.as_deref().map(Ending::trail);
        let answer = proxy.answer(request, peer.ip(), &interim, begun.into_std(), trail);
        let phase = phase.clone();
        async move {
            let reply = answer.await;
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
        .serve_connection(TokioIo::new(guarded), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = stopped(&mut stop) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "a client's connection ended early");
    }
}

/// Waits until `stop` turns true, or its sender is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await; // Either way no more is to be served.
}

/// Tells one client too many to come back, as far as its socket takes it at once.
async fn refuse(mut socket: TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
        cache-control: no-store\r\ncache-status: Freshet; detail=connections-max\r\ncontent-length: 0\r\n\r\n";
    // A new socket's buffer takes these bytes without a wait; a client that is gone needs no answer.
    let _ = tokio::time::timeout(ACCEPT_PAUSE, socket.write_all(ANSWER)).await;
}

/// One of the connections that may be open at once.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>, most: usize) -> Option<Place> {
        let before = open.fetch_add(1, Ordering::Relaxed);
        let place = Place(open.clone());
        (before < most).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
