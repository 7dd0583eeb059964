//! A plain hit on its way to the socket: the head that was written for it, and a stored body.
//!
//! Nothing of the body is copied, but for one that is so short that a second slice would cost more than its copy, and a
//! large one where the stream takes no pages. The head stands in a block that its thread lends, and keeps where an answer
//! goes at once; one that waits for its client takes the block along. No locks.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};

use crate::cache::{Extent, Storage, Variant};
use crate::limits::{
    ANSWER_BLOCK_BYTES, EXPRESS_COPY_BYTES_MAX, EXPRESS_PAGES_BYTES_MAX, EXPRESS_SLICES_MAX, PAGED_READ_BYTES,
};
use crate::proxy::connection::Phase;
use crate::proxy::outlet::Outlet;

thread_local! {
    /// Room for a head, lent to one answer at a time.
    static BLOCK: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// An answer on its way.
pub struct Sending {
    /// The head, and all of a short body.
    block: Vec<u8>,
    head_bytes: usize,
    block_sent: usize,
    variant: Arc<Variant>,
    /// What the socket has not taken of the body, beside what is in the block.
    rest: Range<u64>,
    /// The piece that the rest begins in, and where that begins in the body.
    piece: usize,
    piece_start: u64,
    /// A copy of the rest's beginning, where pages can't be sent.
    copy: Bytes,
    /// Whether the system has refused to send pages: as a filter of its calls may.
    is_refused: bool,
    /// Whether the socket has taken all that it was given at once.
    at_once: bool,
}

impl Sending {
    /// Of the head that `make` writes, and the body of the variant that it gives, if it gives one.
    pub fn made(make: impl FnOnce(&mut Vec<u8>) -> Option<Arc<Variant>>) -> Option<Sending> {
        let mut block = BLOCK.take();
        block.clear();
        let Some(variant) = make(&mut block) else {
            BLOCK.set(block);
            return None;
        };
        let head_bytes = block.len();
        let mut rest = 0..variant.body().bytes();
        if let Storage::Pieces([piece]) = variant.body().storage()
            && piece.len() <= EXPRESS_COPY_BYTES_MAX
        {
            block.extend_from_slice(piece);
            rest.start = rest.end;
        }
        let (piece, piece_start, copy) = (0, 0, Bytes::new());
        Some(Sending {
            block,
            head_bytes,
            block_sent: 0,
            variant,
            rest,
            piece,
            piece_start,
            copy,
            is_refused: false,
            at_once: true,
        })
    }

    /// Sends on, until the socket has all. `phase` learns what was sent, and at the end that it is over.
    pub fn poll(
        &mut self,
        stream: &mut impl Outlet,
        phase: &Phase,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.block_sent < self.block.len() || !self.rest.is_empty() {
            let polled = self.poll_write(stream, context);
            self.at_once &= polled.is_ready();
            let polled = ready!(polled);
            if polled.as_ref().is_err_and(is_refusal) && !self.is_refused && stream.takes_pages() {
                self.is_refused = true;
                continue;
            }
            match polled? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                bytes => phase.sent(self.took(bytes), true),
            }
        }
        ready!(Pin::new(stream).poll_flush(context))?;
        phase.waiting(self.at_once);
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, stream: &mut impl Outlet, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let block = &self.block[self.block_sent..];
        if self.rest.is_empty() {
            return Pin::new(stream).poll_write(context, block);
        }
        let takes_pages = stream.takes_pages() && !self.is_refused;
        let mut slices = [IoSlice::new(&[]); EXPRESS_SLICES_MAX];
        let mut count = 0;
        if !block.is_empty() {
            slices[0] = IoSlice::new(block);
            count = 1;
        }
        match self.variant.body().storage() {
            Storage::Pieces(pieces) => {
                let mut from = (self.rest.start - self.piece_start) as usize;
                for piece in pieces[self.piece..].iter().take(EXPRESS_SLICES_MAX - count) {
                    slices[count] = IoSlice::new(&piece[from..]);
                    (count, from) = (count + 1, 0);
                }
            }
            Storage::Extent(_) if takes_pages && count == 1 => {
                return Pin::new(stream).poll_send_before(context, block);
            }
            Storage::Extent(extent) if takes_pages => {
                let bytes = (self.rest.end - self.rest.start).min(EXPRESS_PAGES_BYTES_MAX) as usize;
                return Pin::new(stream).poll_send_pages(context, extent, self.rest.start, bytes);
            }
            Storage::Extent(extent) => {
                if self.copy.is_empty() {
                    self.copy = copied(extent, &self.rest)?;
                }
                slices[count] = IoSlice::new(&self.copy);
                count += 1;
            }
        }
        Pin::new(stream).poll_write_vectored(context, &slices[..count])
    }

    /// Moves on by what the socket took; how much of that was body.
    fn took(&mut self, bytes: usize) -> usize {
        let of_block = bytes.min(self.block.len() - self.block_sent);
        let of_head = of_block.min(self.head_bytes.saturating_sub(self.block_sent));
        self.block_sent += of_block;
        let of_rest = bytes - of_block;
        self.rest.start += of_rest as u64;
        self.copy.advance(of_rest.min(self.copy.len()));
        if let Storage::Pieces(pieces) = self.variant.body().storage() {
            while let Some(piece) = pieces.get(self.piece)
                && self.rest.start >= self.piece_start + piece.len() as u64
            {
                self.piece_start += piece.len() as u64;
                self.piece += 1;
            }
        }
        bytes - of_head
    }
}

fn copied(extent: &Extent, rest: &Range<u64>) -> io::Result<Bytes> {
    extent.read_at(rest.start..rest.end.min(rest.start + PAGED_READ_BYTES))
}

/// Whether an error says of a call that it is not there, or not allowed, and nothing of the connection.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported)
}

impl Drop for Sending {
    fn drop(&mut self) {
        if self.block.capacity() <= 2 * ANSWER_BLOCK_BYTES {
            BLOCK.set(std::mem::take(&mut self.block));
        }
    }
}
