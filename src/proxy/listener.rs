//! One listener of the data plane: accepts connections, and has them served until it is told to stop.
//!
//! Each serving thread has one for each port that all of them share, so a connection stays on its core. The
//! bound on connections is common to all. What is spoken on a connection is `protocol.rs`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Proxy;
use super::protocol::{self, Visit};
use crate::limits::{ACCEPT_BACKLOG, LAST_HANDSHAKES_TIME, SEND_BUFFER_BYTES};
use crate::tls::Store;

/// Pause after an accept that failed for want of descriptors or memory, so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Binds `count` listeners to one address. A port that another process holds is an error even where it would share: the
/// first one binds alone. But for `beside`: then another process may listen there, if it shares, and may come later.
pub fn bind(address: SocketAddr, count: usize, beside: bool) -> io::Result<Vec<std::net::TcpListener>> {
    if beside {
        let first = bind_with(address, true)?;
        let address = first.local_addr()?;
        let others = (1..count).map(|_| bind_with(address, true));
        return std::iter::once(Ok(first)).chain(others).collect();
    }
    let alone = bind_with(address, false)?;
    if count == 1 {
        return Ok(vec![alone]);
    }
    let address = alone.local_addr()?;
    drop(alone);
    (0..count).map(|_| bind_with(address, true)).collect()
}

/// `count` handles of a listener that was bound elsewhere.
pub fn share(listener: std::net::TcpListener, count: usize) -> io::Result<Vec<std::net::TcpListener>> {
    listener.set_nonblocking(true)?;
    let others: io::Result<Vec<_>> = (1..count).map(|_| listener.try_clone()).collect();
    let mut all = others?;
    all.push(listener);
    Ok(all)
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

/// The data plane by the config of the moment.
pub type Current = Arc<ArcSwap<Proxy>>;

/// How clients come in.
#[derive(Clone)]
pub enum Entrance {
    /// In clear.
    Clear,
    /// In clear, from this process: nothing is redirected to TLS.
    Private,
    /// By TLS alone.
    Tls(Arc<Store>),
}

/// Serves until `stop` turns true; then accepts no more, and returns when every running answer was given.
pub async fn serve(
    listener: TcpListener,
    entrance: Entrance,
    current: Current,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let mut failing = false;
    let mut last_handshakes = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop), if last_handshakes.is_none() => {
                let beside = current.load().config.hand_over;
                if !beside || !turn_away(&listener) {
                    break;
                }
                last_handshakes = Some(Instant::now() + LAST_HANDSHAKES_TIME);
                continue;
            }
            () = until(last_handshakes) => break,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((socket, peer)) => {
                failing = false;
                let proxy = current.load_full();
                let place = Place::take(&proxy.lasting.connections, proxy.config.connections_max);
                let visit = |place| {
                    proxy.metrics.connections_accepted.increment();
                    Visit::new(peer.ip().to_canonical(), current.clone(), stop.clone(), place)
                };
                match (&entrance, place.filter(|_| !proxy.pressure().refuses())) {
                    (Entrance::Tls(store), Some(place)) => {
                        connections.spawn(protocol::serve_tls(socket, store.clone(), visit(place)));
                    }
                    (Entrance::Clear, Some(place)) => {
                        connections.spawn(protocol::serve_clear(socket, true, visit(place)));
                    }
                    (Entrance::Private, Some(place)) => {
                        connections.spawn(protocol::serve_clear(socket, false, visit(place)));
                    }
                    (_, None) => {
                        proxy.metrics.connections_refused.increment();
                        // Over TLS it could be told so after a handshake alone.
                        if !matches!(entrance, Entrance::Tls(_)) {
                            refuse(socket).await;
                        }
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

/// Asks the kernel to begin no connection more by this listener: who knocks is not answered, knocks again a second later,
/// and comes to the process that listens beside this one, or to nobody. Connections that have begun come still; closing
/// the listener before they are accepted would reset them. Whether the kernel does it.
fn turn_away(listener: &TcpListener) -> bool {
    #[cfg(target_os = "linux")]
    {
        use socket2::SockFilter;
        /// Of the TCP header: byte 13 has the flags; of these SYN alone begins a connection.
        const PROGRAM: [(u16, u8, u8, u32); 5] = [
            (0x30, 0, 0, 13),     // ldb [13]
            (0x54, 0, 0, 0x12),   // and SYN | ACK
            (0x15, 0, 1, 0x02),   // jeq SYN
            (0x06, 0, 0, 0),      // ret 0: dropped
            (0x06, 0, 0, 0xffff), // ret all of it
        ];
        let program = PROGRAM.map(|(code, jt, jf, k)| SockFilter::new(code, jt, jf, k));
        let attached = SockRef::from(listener).attach_filter(&program);
        if let Err(error) = &attached {
            tracing::debug!(%error, "the listener can't turn connections away");
        }
        attached.is_ok()
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// Waits until a time, for ever without one.
async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// Waits until `stop` turns true, or its sender is gone.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
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
pub struct Place(Arc<AtomicUsize>);

impl Place {
    /// One more of `most`, if there is one.
    pub(super) fn take(open: &Arc<AtomicUsize>, most: usize) -> Option<Place> {
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
