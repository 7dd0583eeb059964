//! HTTP/2 in clear, by prior knowledge (RFC 9113 §3.3): told from HTTP/1.1 by the first bytes, which wait no longer than
//! a head does.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::outlet::Outlet;
use crate::cache::Extent;

/// What a client's connection begins with (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads as far as it takes to know whether the preface comes, and says so. What was read is read again.
pub async fn read<S: AsyncRead + Unpin>(mut socket: S) -> io::Result<(Rewound<S>, bool)> {
    let (mut first, mut count) = ([0; PREFACE.len()], 0);
    while count < PREFACE.len() && first[..count] == PREFACE[..count] {
        match socket.read(&mut first[count..]).await? {
            0 => break,
            more => count += more,
        }
    }
    let is_preface = first == *PREFACE;
    Ok((Rewound { first, place: 0, end: count, socket }, is_preface))
}

/// A socket whose first bytes come again.
pub struct Rewound<S> {
    first: [u8; PREFACE.len()],
    place: usize,
    end: usize,
    socket: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.place == self.end {
            return Pin::new(&mut self.socket).poll_read(context, buffer);
        }
        let end = self.end.min(self.place + buffer.remaining());
        buffer.put_slice(&self.first[self.place..end]);
        self.place = end;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

impl<S: Outlet> Outlet for Rewound<S> {
    fn takes_pages(&self) -> bool {
        self.socket.takes_pages()
    }

    fn poll_send_before(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_send_before(context, bytes)
    }

    fn poll_send_pages(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        extent: &Extent,
        from: u64,
        bytes: usize,
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_send_pages(context, extent, from, bytes)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn the_preface_is_known_in_any_pieces_and_nothing_is_lost() {
        let http2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes";
        let table =
            [(http2, true), ("PRI * HTTP/1.1\r\nhost: a\r\n\r\n", false), ("GET / HTTP/1.1\r\n\r\n", false)];
        for (text, expected) in table.into_iter().chain([("PUT", false), ("", false)]) {
            for piece in [1, 7, 64] {
                let (mut client, server) = tokio::io::duplex(256);
                let writing = async {
                    for bytes in text.as_bytes().chunks(piece) {
                        client.write_all(bytes).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                    drop(client);
                };
                let reading = async {
                    let (mut socket, is_preface) = read(server).await.unwrap();
                    let mut all = String::new();
                    socket.read_to_string(&mut all).await.unwrap();
                    (all, is_preface)
                };
                let ((), (all, is_preface)) = tokio::join!(writing, reading);
                assert_eq!((&*all, is_preface), (text, expected), "in pieces of {piece}");
            }
        }
    }
}
