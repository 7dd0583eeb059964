//! A plain hit on its way to the socket: the head that was written for it, and a stored body.
//!
//! Nothing of the body is copied. The head stands in a block that its thread lends, and keeps where an answer goes at
//! once; one that waits for its client takes the block along. No locks.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::cache::Variant;
use crate::limits::{ANSWER_BLOCK_BYTES, EXPRESS_COPY_BYTES_MAX, EXPRESS_SLICES_MAX};
use crate::proxy::connection::Phase;

thread_local! {
    /// Room for a head, lent to one answer at a time.
    static BLOCK: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// An answer on its way.
pub struct Sending {
    head: Vec<u8>,
    variant: Arc<Variant>,
    /// Bytes that the socket has taken of the head, and of the body.
    head_sent: usize,
    body_sent: u64,
    /// The body's piece that is next, and what was sent of it.
    piece: usize,
    piece_sent: usize,
    /// Whether the socket has taken all that it was given at once.
    at_once: bool,
}

impl Sending {
    /// Of the head that `make` writes, and the body of the variant that it gives, if it gives one.
    pub fn made(make: impl FnOnce(&mut Vec<u8>) -> Option<Arc<Variant>>) -> Option<Sending> {
        let mut head = BLOCK.take();
        head.clear();
        match make(&mut head) {
            Some(variant) => {
                let body = variant.body();
                let mut sending = Sending {
                    head,
                    variant: variant.clone(),
                    head_sent: 0,
                    body_sent: 0,
                    piece: 0,
                    piece_sent: 0,
                    at_once: true,
                };
                if let [piece] = body.pieces()
                    && piece.len() <= EXPRESS_COPY_BYTES_MAX
                {
                    sending.head.extend_from_slice(piece);
                    sending.body_sent = piece.len() as u64;
                    sending.piece = 1;
                }
                Some(sending)
            }
            None => {
                BLOCK.set(head);
                None
            }
        }
    }

    /// Sends on, until the socket has all. `phase` learns what was sent, and at the end that it is over.
    pub fn poll(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        phase: &Phase,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_complete() {
            let polled = self.poll_write(stream, context);
            self.at_once &= polled.is_ready();
            match ready!(polled)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                bytes => phase.sent(self.took(bytes), true),
            }
        }
        ready!(Pin::new(stream).poll_flush(context))?;
        phase.waiting(self.at_once);
        Poll::Ready(Ok(()))
    }

    fn is_complete(&self) -> bool {
        self.head_sent == self.head.len() && self.body_sent == self.variant.body().bytes()
    }

    fn poll_write(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.body_sent == self.variant.body().bytes() {
            return Pin::new(stream).poll_write(context, &self.head[self.head_sent..]);
        }
        let mut slices = [IoSlice::new(&[]); EXPRESS_SLICES_MAX];
        let mut count = 0;
        let head = &self.head[self.head_sent..];
        if !head.is_empty() {
            slices[0] = IoSlice::new(head);
            count = 1;
        }
        let mut from = self.piece_sent;
        for piece in self.variant.body().pieces()[self.piece..].iter().take(EXPRESS_SLICES_MAX - count) {
            slices[count] = IoSlice::new(&piece[from..]);
            (count, from) = (count + 1, 0);
        }
        Pin::new(stream).poll_write_vectored(context, &slices[..count])
    }

    /// Moves on by what the socket took; how much of that was body.
    fn took(&mut self, bytes: usize) -> usize {
        let of_head = bytes.min(self.head.len() - self.head_sent);
        self.head_sent += of_head;
        let of_body = bytes - of_head;
        self.body_sent += of_body as u64;
        self.piece_sent += of_body;
        while let Some(piece) = self.variant.body().pieces().get(self.piece)
            && self.piece_sent >= piece.len()
        {
            self.piece_sent -= piece.len();
            self.piece += 1;
        }
        of_body
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if self.head.capacity() <= ANSWER_BLOCK_BYTES {
            BLOCK.set(std::mem::take(&mut self.head));
        }
    }
}
