//! A stored body, or one on its way to be stored: pieces in the heap, or an extent of the memory file.
//!
//! Invariants: immutable; a body is filed once, when it is about to be stored and is long enough ([`Filing`]); what is
//! renewed keeps its extent, and readers of the flight that brought it keep its pieces. No locks. A body in one piece
//! costs nothing beside it: most of millions are.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::pages::{Draft, Extent, Pages};
use crate::limits::{PAGED_BODY_BYTES_MIN, PAGED_READ_BYTES};
use crate::semantics::range::Part;

/// A body or a part of one, in pieces of about `CHUNK_BYTES`, one piece where it is shorter; or in an extent.
#[derive(Clone, Debug)]
pub struct Body(Kept);

#[derive(Clone, Debug)]
enum Kept {
    /// A whole, in one piece, which may be empty.
    One(Bytes),
    /// Anything else. All in one variant: `Bytes` has no room for the mark of a third one.
    Many(Arc<Many>),
}

#[derive(Debug)]
struct Many {
    bytes: u64,
    matter: Matter,
    /// Its place in the whole; nothing where it is the whole.
    part: Option<Part>,
}

#[derive(Clone, Debug)]
enum Matter {
    Pieces(Box<[Bytes]>),
    Extent(Arc<Extent>),
}

/// Where a body's bytes are.
#[derive(Clone, Copy, Debug)]
pub enum Storage<'a> {
    /// In the heap: pieces, in order; none of them is empty.
    Pieces(&'a [Bytes]),
    /// In the memory file.
    Extent(&'a Extent),
}

/// How far a reader has come, so that it doesn't look for its piece from the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bookmark {
    piece: usize,
    /// Where that piece begins.
    start: u64,
}

impl Body {
    /// The body made of `pieces`.
    pub fn new(mut pieces: Vec<Bytes>) -> Body {
        if pieces.len() <= 1 {
            return Body(Kept::One(pieces.pop().unwrap_or_default()));
        }
        let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
        Body::many(bytes, Matter::Pieces(pieces.into()), None)
    }

    fn many(bytes: u64, matter: Matter, part: Option<Part>) -> Body {
        Body(Kept::Many(Arc::new(Many { bytes, matter, part })))
    }

    /// The same bytes, as a part of a longer body.
    ///
    /// # Panics
    /// If the part has another length.
    pub fn placed(self, part: Part) -> Body {
        assert_eq!(part.range.end - part.range.start, self.bytes(), "a part has the length that it states");
        if part.range == (0..part.complete) {
            return self;
        }
        let matter = match &self.0 {
            Kept::One(piece) => {
                Matter::Pieces([piece.clone()].into_iter().filter(|piece| !piece.is_empty()).collect())
            }
            Kept::Many(many) => many.matter.clone(),
        };
        Body::many(self.bytes(), matter, Some(part))
    }

    /// Its place in the whole; nothing where it is the whole.
    pub fn part(&self) -> Option<&Part> {
        match &self.0 {
            Kept::One(_) => None,
            Kept::Many(many) => many.part.as_ref(),
        }
    }

    /// The length of the whole, in bytes.
    pub fn complete_bytes(&self) -> u64 {
        self.part().map_or(self.bytes(), |part| part.complete)
    }

    /// Its length in bytes.
    pub fn bytes(&self) -> u64 {
        match &self.0 {
            Kept::One(piece) => piece.len() as u64,
            Kept::Many(many) => many.bytes,
        }
    }

    /// Where its bytes are.
    pub fn storage(&self) -> Storage<'_> {
        match &self.0 {
            Kept::One(piece) if piece.is_empty() => Storage::Pieces(&[]),
            Kept::One(piece) => Storage::Pieces(std::slice::from_ref(piece)),
            Kept::Many(many) => match &many.matter {
                Matter::Pieces(pieces) => Storage::Pieces(pieces),
                Matter::Extent(extent) => Storage::Extent(extent),
            },
        }
    }

    /// Its extent; nothing where it is in the heap.
    pub fn extent(&self) -> Option<&Extent> {
        match self.storage() {
            Storage::Pieces(_) => None,
            Storage::Extent(extent) => Some(extent),
        }
    }

    /// Whether it was found that it can't be read any more.
    pub fn is_lost(&self) -> bool {
        self.extent().is_some_and(Extent::is_lost)
    }

    /// The next bytes of `range`, whose start moves behind them; nothing at its end. `bookmark` is the range's own. A
    /// slice of a piece costs nothing; of an extent at most `PAGED_READ_BYTES` are copied. After an error the body is
    /// [lost](Body::is_lost).
    pub fn next(&self, range: &mut Range<u64>, bookmark: &mut Bookmark) -> Option<io::Result<Bytes>> {
        if range.is_empty() {
            return None;
        }
        match self.storage() {
            Storage::Pieces(pieces) => next_of(pieces, range, bookmark).map(Ok),
            Storage::Extent(extent) => {
                let end = range.end.min(range.start + PAGED_READ_BYTES);
                let read = extent.read_at(range.start..end);
                range.start = end;
                Some(read)
            }
        }
    }

    /// All of it, in order.
    pub fn read(&self) -> impl Iterator<Item = io::Result<Bytes>> + '_ {
        let (mut range, mut bookmark) = (0..self.bytes(), Bookmark::default());
        std::iter::from_fn(move || self.next(&mut range, &mut bookmark))
    }

    /// What it takes in memory beside its handle, in bytes.
    pub fn weight(&self) -> usize {
        let Kept::Many(many) = &self.0 else { return usize::try_from(self.bytes()).unwrap_or(usize::MAX) };
        let matter = match &many.matter {
            Matter::Pieces(pieces) => {
                let bytes = usize::try_from(many.bytes).unwrap_or(usize::MAX);
                bytes + pieces.len() * PIECE_OVERHEAD_BYTES
            }
            Matter::Extent(extent) => extent.weight() + size_of::<Extent>() + COUNTED_OVERHEAD_BYTES,
        };
        size_of::<Many>() + matter
    }
}

impl Default for Body {
    fn default() -> Body {
        Body(Kept::One(Bytes::new()))
    }
}

/// The next slice of `range`; moves its start, and the place of the piece that it lies in.
fn next_of(pieces: &[Bytes], range: &mut Range<u64>, bookmark: &mut Bookmark) -> Option<Bytes> {
    if range.start < bookmark.start {
        *bookmark = Bookmark::default(); // Parts come in any order.
    }
    loop {
        let current = pieces.get(bookmark.piece)?;
        let end = bookmark.start + current.len() as u64;
        if range.start < end {
            let from = usize::try_from(range.start - bookmark.start).ok()?;
            let to = usize::try_from(range.end.min(end) - bookmark.start).ok()?;
            range.start = range.end.min(end);
            return Some(current.slice(from..to));
        }
        *bookmark = Bookmark { piece: bookmark.piece + 1, start: end };
    }
}

/// A body on its way to where it is stored, a piece at a time, so that a thread with others to serve can turn to them.
pub struct Filing {
    body: Body,
    /// Gone where the body stays in the heap.
    draft: Option<Draft>,
    /// Pieces that are written.
    written: usize,
}

impl Filing {
    /// Begins; a body below `PAGED_BODY_BYTES_MIN`, or one that is filed already, stays where it is.
    pub fn of(body: Body, pages: &Arc<Pages>) -> Filing {
        let is_long = body.bytes() >= PAGED_BODY_BYTES_MIN && body.extent().is_none();
        let draft = if is_long { pages.begin(body.bytes()) } else { None };
        Filing { body, draft, written: 0 }
    }

    /// Writes a piece; whether there are more.
    pub fn step(&mut self) -> bool {
        let (Some(draft), Storage::Pieces(pieces)) = (&mut self.draft, self.body.storage()) else {
            return false;
        };
        let Some(piece) = pieces.get(self.written) else { return false };
        if let Err(error) = draft.write(piece) {
            tracing::debug!(%error, bytes = self.body.bytes(), "a body stays in the heap");
            self.draft = None;
            return false;
        }
        self.written += 1;
        self.written < pieces.len()
    }

    /// The body as it is to be stored, after the last step.
    pub fn finish(self) -> Body {
        let Some(draft) = self.draft else { return self.body };
        let extent = Matter::Extent(Arc::new(draft.finish()));
        Body::many(self.body.bytes(), extent, self.body.part().cloned())
    }
}

/// What the allocator takes for a block beside its bytes, on average.
pub const BLOCK_OVERHEAD_BYTES: usize = 16;
/// A piece's handle, its count of readers, and two blocks.
const PIECE_OVERHEAD_BYTES: usize = size_of::<Bytes>() + 24 + 2 * BLOCK_OVERHEAD_BYTES;
/// The count of a block's owners, and the block.
const COUNTED_OVERHEAD_BYTES: usize = 16 + BLOCK_OVERHEAD_BYTES;

#[cfg(test)]
mod tests;
