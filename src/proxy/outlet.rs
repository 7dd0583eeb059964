//! Where an answer leaves by: a stream that may take a stored body's pages as they are.
//!
//! A socket takes them by `sendfile`: nothing is copied, neither here nor in the kernel. Who can't (TLS makes other bytes
//! of them, other systems have another call) says so, and gets copies. No locks.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::cache::Extent;

/// See the module.
pub trait Outlet: AsyncRead + AsyncWrite + Unpin {
    /// Whether it takes pages.
    fn takes_pages(&self) -> bool {
        false
    }

    /// Sends what stands before the body, which follows at once: the kernel waits for it and makes full packets.
    fn poll_send_before(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write(context, bytes)
    }

    /// Sends of a stored body, `from` its byte `from` on, no more than `bytes`.
    ///
    /// # Errors
    /// Of kind `Unsupported` where it takes no pages.
    fn poll_send_pages(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        _extent: &Extent,
        _from: u64,
        _bytes: usize,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Outlet for TlsStream<S> {}

#[cfg(test)]
impl Outlet for tokio::io::DuplexStream {}

#[cfg(not(target_os = "linux"))]
impl Outlet for TcpStream {}

#[cfg(target_os = "linux")]
impl Outlet for TcpStream {
    fn takes_pages(&self) -> bool {
        true
    }

    fn poll_send_before(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        use rustix::net::SendFlags;
        poll_socket(&self, context, || {
            Ok(rustix::net::send(&*self, bytes, SendFlags::MORE | SendFlags::NOSIGNAL)?)
        })
    }

    fn poll_send_pages(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        extent: &Extent,
        from: u64,
        bytes: usize,
    ) -> Poll<io::Result<usize>> {
        poll_socket(&self, context, || {
            let mut place = extent.start() + from;
            match rustix::fs::sendfile(&*self, extent.file(), Some(&mut place), bytes)? {
                0 => Err(extent.lose(io::ErrorKind::UnexpectedEof.into())),
                sent => Ok(sent),
            }
        })
    }
}

/// Calls `send` when the socket takes bytes.
#[cfg(target_os = "linux")]
fn poll_socket(
    socket: &TcpStream,
    context: &mut Context<'_>,
    send: impl Fn() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        std::task::ready!(socket.poll_write_ready(context))?;
        match socket.try_io(tokio::io::Interest::WRITABLE, &send) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            sent => return Poll::Ready(sent),
        }
    }
}
