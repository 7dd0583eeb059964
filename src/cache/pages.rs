//! A memory file whose extents hold large bodies, so that a socket can be given their pages without a copy.
//!
//! The file (`memfd_create`) has no name and no disk below it. Its pages are the system's shared memory: `free` and
//! `Shmem` show them, the control group counts them, the process's resident set doesn't ([`Pages::real_bytes`] does).
//! Where the system gives no such file, or one that does not take what is counted for it, nothing is stored here, and
//! bodies stay in the heap.
//!
//! Invariants:
//! - **A page that holds a body is never written again.** What `sendfile` has queued in a socket are the pages
//!   themselves, not copies, and how long they are queued is the client's affair. So an extent is written once, before
//!   anyone has it, and each gets a place where nothing was before: the file only grows. When an extent's last owner
//!   drops it, a hole is punched there: its pages leave the file, those that a socket holds live on in it, unchanged.
//! - **No two extents share a page, however large the system makes pages.** A hole in a part of a large page would have
//!   the kernel zero that part where it stands, under the socket. So places are multiples of `STEP_BYTES`, and a hole
//!   is as long as its place.
//! - What an extent takes is its length in whole pages; [`Pages::new`] tries it out.
//!
//! Locks: none here; the kernel has one for the file, held while a body is written or a hole is punched, not while one
//! is read or sent. Cost of 200 KiB, on the machine of `docs/performance.md`: 80 µs to write (a copy, and 50 new pages),
//! 28 µs to drop, 40 µs to read, 26 µs to send; linear in the length. The same at an offset of 4 TiB, and within a
//! tenth at 4 EiB, where the kernel's tree of pages is deepest.
//!
//! Why nothing finds its way back to a place: 2^63 bytes are 4·10^12 places, 140 years of 1000 a second; a table of free
//! ones would save nothing, since what is not written takes no memory but 600 bytes of the kernel's tree for each
//! extent that lives.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use rustix::buffer::spare_capacity;

use crate::limits::PAGED_BODY_BYTES_MIN;

/// What `/proc/PID/fd` shows of the file: `/memfd:freshet-bodies (deleted)`. `benches/load/process.py` and
/// `scripts/soak` look for it.
pub const FILE_NAME: &str = "freshet-bodies";

/// Places are multiples of this, in bytes: of the largest page that Linux puts into such a file on its own.
const STEP_BYTES: u64 = 2 * 1024 * 1024;

/// What the kernel takes for an extent beside its pages: nodes of the file's tree.
const TREE_BYTES: usize = 600;

/// See the module.
#[derive(Debug)]
pub struct Pages {
    file: Option<File>,
    /// Where nothing has been written yet.
    next: AtomicU64,
}

impl Pages {
    /// An empty file; none where the system gives no usable one, which the log tells.
    pub fn new() -> Arc<Pages> {
        match Pages::tried() {
            Ok(pages) => pages,
            Err(error) => {
                tracing::info!(%error, "no memory file: large bodies are kept in the heap, and copied for each answer");
                Pages::none()
            }
        }
    }

    /// No file: it stores nothing.
    pub fn none() -> Arc<Pages> {
        Arc::new(Pages { file: None, next: AtomicU64::new(0) })
    }

    /// A file that was seen to take what is counted for it, and to give it back.
    fn tried() -> io::Result<Arc<Pages>> {
        // A write behind that limit would end the process (SIGXFSZ).
        let (bytes_max, _) = rlimit::Resource::FSIZE.get()?;
        if bytes_max != rlimit::INFINITY {
            return Err(io::Error::other("the size of files is limited (RLIMIT_FSIZE)"));
        }
        let pages = Arc::new(Pages { file: Some(open()?), next: AtomicU64::new(0) });
        let mut draft = pages.begin(PAGED_BODY_BYTES_MIN).expect("there is a file with room");
        draft.write(&vec![1; PAGED_BODY_BYTES_MIN as usize])?;
        let extent = draft.finish();
        let (taken, counted) = (pages.real_bytes(), extent.room_bytes());
        drop(extent);
        match (taken == counted, pages.real_bytes()) {
            (true, 0) => Ok(pages),
            (true, _) => Err(io::Error::other("it gives nothing back")),
            // As where all files are made of pages of 2 MiB (transparent_hugepage/shmem_enabled).
            (false, _) => Err(io::Error::other(format!("{counted} bytes take {taken} of it"))),
        }
    }

    /// A place for a body of so many bytes; nothing where there is no file.
    pub fn begin(self: &Arc<Pages>, bytes: u64) -> Option<Draft> {
        self.file.as_ref()?;
        let place_bytes = bytes.max(1).checked_next_multiple_of(STEP_BYTES)?;
        let end = |start: u64| start.checked_add(place_bytes).filter(|end| i64::try_from(*end).is_ok());
        let start = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, end).ok()?;
        let extent = Extent { pages: self.clone(), start, bytes, is_lost: AtomicBool::new(false) };
        Some(Draft { extent, written: 0 })
    }

    /// Stores a body; nothing where that can't be, for want of a file or of memory.
    pub fn store(self: &Arc<Pages>, pieces: &[Bytes]) -> Option<Extent> {
        let mut draft = self.begin(pieces.iter().map(|piece| piece.len() as u64).sum())?;
        pieces.iter().try_for_each(|piece| draft.write(piece)).ok()?;
        Some(draft.finish())
    }

    /// Bytes of memory that the file takes now, as the system tells; 0 where there is none.
    pub fn real_bytes(&self) -> u64 {
        let metadata = self.file.as_ref().map(File::metadata);
        metadata.and_then(Result::ok).map_or(0, |metadata| metadata.blocks() * 512)
    }
}

/// An extent that is being written; dropped, it gives back what it has.
pub struct Draft {
    extent: Extent,
    written: u64,
}

impl Draft {
    /// Writes the next piece. After an error the draft is of no use.
    pub fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        assert!(
            self.written + piece.len() as u64 <= self.extent.bytes,
            "a body has the length that was told"
        );
        self.extent.file().write_all_at(piece, self.extent.start + self.written)?;
        self.written += piece.len() as u64;
        Ok(())
    }

    /// The extent, which nobody writes any more.
    pub fn finish(self) -> Extent {
        assert_eq!(self.written, self.extent.bytes, "a body has the length that was told");
        self.extent
    }
}

/// A body in the file. Its pages are given back when it is dropped.
#[derive(Debug)]
pub struct Extent {
    pages: Arc<Pages>,
    start: u64,
    bytes: u64,
    is_lost: AtomicBool,
}

impl Extent {
    /// The body's length.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file, for `sendfile`.
    pub fn file(&self) -> &File {
        self.pages.file.as_ref().expect("only a file has extents")
    }

    /// Where in the file the body begins.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// A copy of a part of the body. Waits for nothing but memory. After an error the extent is
    /// [lost](Extent::is_lost).
    pub fn read_at(&self, range: Range<u64>) -> io::Result<Bytes> {
        assert!(range.start <= range.end && range.end <= self.bytes, "a range lies within its body");
        let bytes = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut read = Vec::with_capacity(bytes);
        while read.len() < bytes {
            let at = self.start + range.start + read.len() as u64;
            match rustix::io::pread(self.file(), spare_capacity(&mut read), at) {
                Ok(0) => return Err(self.lose(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(self.lose(error.into())),
            }
        }
        read.truncate(bytes);
        Ok(read.into())
    }

    /// Says that it can't be read: whoever looks it up finds nothing, and fetches it again. Returns the error.
    pub fn lose(&self, error: io::Error) -> io::Error {
        if !self.is_lost.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, start = self.start, bytes = self.bytes, "a stored body can't be read");
        }
        error
    }

    /// Whether it was found that it can't be read.
    pub fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// What it takes of memory, in bytes: whole pages, and what the kernel finds them by.
    pub fn weight(&self) -> usize {
        usize::try_from(self.room_bytes()).unwrap_or(usize::MAX).saturating_add(TREE_BYTES)
    }

    fn room_bytes(&self) -> u64 {
        self.bytes.next_multiple_of(rustix::param::page_size() as u64)
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        let place_bytes = self.bytes.max(1).next_multiple_of(STEP_BYTES);
        // Its place is never used again, punched or not.
        if let Err(error) = punch(self.file(), self.start, place_bytes) {
            tracing::error!(%error, bytes = self.bytes, "a stored body's memory could not be given back");
        }
    }
}

#[cfg(target_os = "linux")]
fn open() -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    // Linux before 6.3 does not know NOEXEC_SEAL; a later one may insist on it (vm.memfd_noexec).
    let file = memfd_create(FILE_NAME, MemfdFlags::CLOEXEC | MemfdFlags::NOEXEC_SEAL)
        .or_else(|_| memfd_create(FILE_NAME, MemfdFlags::CLOEXEC))?;
    Ok(file.into())
}

#[cfg(not(target_os = "linux"))]
fn open() -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn punch(file: &File, start: u64, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    Ok(fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, start, bytes)?)
}

#[cfg(not(target_os = "linux"))]
fn punch(_: &File, _: u64, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests;
