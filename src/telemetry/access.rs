//! The access log: a line for each request whose answer has ended, in a file or on standard output.
//!
//! A request that is to have a line is chosen when its head is there (`sample`); its [`Line`] is made when its answer's body
//! has ended, and handed to the thread that writes (`access/writer.rs`), which nobody waits for: where it can't follow,
//! lines are dropped and counted. Nothing that a client sends can break a line or make one long (`access/line.rs`).

mod line;
mod writer;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

pub use line::{Line, masked};

use super::shards::Shards;
use crate::config::{AccessForm, AccessLog as Settings};
use writer::Writer;

/// A running access log.
#[derive(Debug)]
pub struct AccessLog {
    form: AccessForm,
    sample: Sample,
    writer: Writer,
}

impl AccessLog {
    /// Starts it; nothing where it is off. An error where its file can't be opened.
    pub fn start(settings: &Settings) -> io::Result<Option<AccessLog>> {
        let Some(form) = settings.form else { return Ok(None) };
        let writer = Writer::start(settings.path.clone())?;
        Ok(Some(AccessLog { form, sample: Sample::new(settings.sample), writer }))
    }

    /// Whether the request that has just come is to have a line. Costs an addition in a shard of the thread.
    pub fn chooses(&self) -> bool {
        self.sample.next()
    }

    /// Writes a line, by and by.
    pub fn write(&self, line: &Line<'_>) {
        self.writer.write(line.text(self.form));
    }

    /// Opens its file anew, by and by: a tool that rotates logs has moved it away.
    pub fn reopen(&self) {
        self.writer.reopen();
    }

    /// Lines that were written, and lines that were dropped since the writer could not follow, or its file failed.
    pub fn counts(&self) -> (u64, u64) {
        self.writer.counts()
    }

    /// Writes what waits, and ends the thread. What comes after it is dropped.
    pub fn close(&self) {
        self.writer.close();
    }
}

/// Chooses a share of all, evenly: with 0.25 every fourth of a thread's.
#[derive(Debug)]
struct Sample {
    /// Of 2^32.
    share: u64,
    sums: Shards<AtomicU64>,
}

impl Sample {
    fn new(share: f64) -> Sample {
        let share = (share.clamp(0.0, 1.0) * (1_u64 << 32) as f64).ceil() as u64;
        Sample { share, sums: Shards::new(AtomicU64::default) }
    }

    /// Whether the sum of shares has passed a whole number.
    fn next(&self) -> bool {
        if self.share == 1 << 32 {
            return true;
        }
        let before = self.sums.own().fetch_add(self.share, Ordering::Relaxed);
        (before >> 32) != (before.wrapping_add(self.share) >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_chosen_evenly() {
        for (share, of, expected) in [(1.0, 100, 100), (0.0, 100, 0), (0.25, 100, 25), (0.001, 10_000, 10)] {
            let sample = Sample::new(share);
            assert_eq!((0..of).filter(|_| sample.next()).count(), expected, "{share}");
        }
    }
}
