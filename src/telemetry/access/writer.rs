//! The thread that writes lines, behind a bounded queue: whoever has a line never waits.
//!
//! Bounds: `ACCESS_QUEUE_LINES`, and `ACCESS_QUEUE_BYTES` of their text. A line over either is dropped and counted, as are those
//! that the file does not take. Lines that wait together go out together. Lock: `sender`, for a clone of nothing
//! but the moment of a hand-over or of the end.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use parking_lot::{Mutex, RwLock};

use crate::limits::{ACCESS_QUEUE_BYTES, ACCESS_QUEUE_LINES};

/// See the module.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// Nothing after the end.
    sender: RwLock<Option<SyncSender<Message>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Of the lines that wait.
    bytes: AtomicUsize,
    written: AtomicU64,
    dropped: AtomicU64,
    /// Whether the file is to be opened anew.
    moved: AtomicBool,
}

#[derive(Debug)]
enum Message {
    Line(String),
    /// Look at `moved`.
    Wake,
}

impl Writer {
    /// Appends to this file, or to standard output.
    pub(super) fn start(path: Option<PathBuf>) -> io::Result<Writer> {
        let out = Out::open(path.as_deref())?;
        let (sender, receiver) = sync_channel(ACCESS_QUEUE_LINES);
        let shared = Arc::new(Shared::default());
        let of_thread = shared.clone();
        let thread = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || run(&receiver, &of_thread, out, path.as_deref()))?;
        Ok(Writer { shared, sender: RwLock::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn write(&self, line: String) {
        let bytes = line.len();
        let waiting = self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = waiting + bytes <= ACCESS_QUEUE_BYTES;
        let sent = fits
            && self.sender.read().as_ref().is_some_and(|sender| sender.try_send(Message::Line(line)).is_ok());
        if !sent {
            self.shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn reopen(&self) {
        self.shared.moved.store(true, Ordering::Release);
        // Where the queue is full, the thread is awake.
        let _ = self.sender.read().as_ref().map(|sender| sender.try_send(Message::Wake));
    }

    pub(super) fn counts(&self) -> (u64, u64) {
        (self.shared.written.load(Ordering::Relaxed), self.shared.dropped.load(Ordering::Relaxed))
    }

    pub(super) fn close(&self) {
        *self.sender.write() = None;
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join(); // A panic of its own was printed when it happened.
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

fn run(receiver: &Receiver<Message>, shared: &Shared, mut out: Out, path: Option<&Path>) {
    let mut failing = false;
    let mut together = String::new();
    while let Ok(first) = receiver.recv() {
        let mut lines = 0;
        let mut next = Some(first);
        while let Some(message) = next {
            if let Message::Line(line) = message {
                together.push_str(&line);
                lines += 1;
            }
            next = if together.len() < BATCH_BYTES { receiver.try_recv().ok() } else { None };
        }
        if shared.moved.swap(false, Ordering::Acquire) {
            match Out::open(path) {
                Ok(opened) => out = opened,
                Err(error) => {
                    tracing::warn!(%error, "the access log can't be opened anew; it goes on in the old file")
                }
            }
        }
        let written = out.write(together.as_bytes());
        shared.bytes.fetch_sub(together.len(), Ordering::Relaxed);
        together.clear();
        match written {
            Ok(()) => {
                shared.written.fetch_add(lines, Ordering::Relaxed);
                failing = false;
            }
            Err(error) => {
                shared.dropped.fetch_add(lines, Ordering::Relaxed);
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "the access log can't be written; its lines are dropped");
                }
            }
        }
    }
}

/// Lines that go out at once stay below it, but for the last one.
const BATCH_BYTES: usize = 64 * 1024;

/// Where lines go.
enum Out {
    Standard,
    File(File),
}

impl Out {
    fn open(path: Option<&Path>) -> io::Result<Out> {
        match path {
            None => Ok(Out::Standard),
            Some(path) => Ok(Out::File(OpenOptions::new().create(true).append(true).open(path)?)),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Out::Standard => {
                let mut standard = io::stdout().lock();
                standard.write_all(bytes)?;
                standard.flush()
            }
            Out::File(file) => file.write_all(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_written_or_counted_as_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access");
        let writer = Arc::new(Writer::start(Some(path.clone())).unwrap());
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let writer = &writer;
                scope.spawn(move || (0..5000).for_each(|at| writer.write(format!("{thread} {at}\n"))));
            }
        });
        writer.close();
        writer.write("late\n".into());
        let (written, dropped) = writer.counts();
        assert_eq!(written + dropped, 20_001);
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count() as u64, written);
        assert!(text.lines().all(|line| line.split(' ').count() == 2) && !text.contains("late"));
    }

    #[test]
    fn a_queue_that_is_full_drops_and_never_waits() {
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer::start(Some(folder.path().join("access"))).unwrap();
        writer.write("x".repeat(ACCESS_QUEUE_BYTES + 1));
        assert_eq!(writer.counts().1, 1);
        assert_eq!(writer.shared.bytes.load(Ordering::Relaxed), 0);
        // A file that takes nothing: what comes is counted, and room is made for the next.
        let full = Writer::start(Some("/dev/full".into())).unwrap();
        full.write("line\n".into());
        full.close();
        assert_eq!(full.counts(), (0, 1));
    }

    #[test]
    fn after_a_rotation_lines_go_to_the_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let [path, moved] = ["access", "access.1"].map(|name| folder.path().join(name));
        let writer = Writer::start(Some(path.clone())).unwrap();
        writer.write("one\n".into());
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while writer.counts().0 < 1 {
            assert!(std::time::Instant::now() < end, "the line is never written");
            std::thread::yield_now();
        }
        std::fs::rename(&path, &moved).unwrap();
        writer.reopen();
        writer.write("two\n".into());
        writer.close();
        let read = |path| std::fs::read_to_string(path).unwrap();
        assert_eq!((read(&moved), read(&path)), ("one\n".into(), "two\n".into()));
    }
}
