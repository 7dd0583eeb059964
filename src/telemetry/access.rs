//! The access log: a line for each request whose answer has ended, in a file or on standard output.
//!
//! A request that is to have a line is chosen when its head is there (`sample`); its [`Line`] is made when its answer's body
//! has ended, and handed to the thread that writes (`access/writer.rs`), which nobody waits for: where it can't follow,
//! lines are dropped and counted. Nothing that a client sends can break a line or make one long (`access/line.rs`).

mod line;
mod writer;

use std::io;

pub use line::{Line, masked};

use super::sample::Sample;
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
