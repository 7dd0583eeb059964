//! The durable record of purges: one thread that owns the database and writes in groups.
//!
//! Calls wait in a queue; the thread takes all that wait, writes them in ONE transaction (a purge's row and its
//! charge together), then answers each. A purge costs a share of one sync of the disk. Completions of sweeps ride
//! with the next group and nobody waits for them.
//!
//! A disk that is full or fails refuses no purge. What it did not take stays in memory, bounded by
//! [`Bounds`]: beyond it the oldest rows are given up and counted, charges never. The call is answered, [`Health`]
//! says so, and the thread closes the database, opens it again (redb asks for that) and repeats the write after a
//! pause. Only purges acknowledged while degraded are lost by a kill; all others are on the disk.
//!
//! Invariants: commands are handled in the order of the queue, so a completion comes after its row, and an empty
//! [`Ledger::record`] is answered after everything before it. `totals` is what the disk has, or will have when
//! `unwritten` is written. The queue holds at most [`limits::LEDGER_QUEUE_MAX`] calls (each has a place) and one
//! completion for each live purge (`Purger` bounds them).
//!
//! Locks: the queue's, held for a push or a take alone; the caller of [`Ledger::record`] may hold the purger's.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::quota::Month;
use super::request::{Counts, Record, RequestId};
use super::storage::{Check, LedgerError, Medium, Storage, Totals, Unwritten, with_sources};
use super::unix_ms;
use crate::clock::{Clock, Moment};
use crate::limits;

/// Whether the ledger keeps what it acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Every acknowledged purge is on the disk.
    Durable,
    /// Purges work, and their record waits in memory for the disk.
    Degraded(Trouble),
}

/// Why the ledger waits for its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no room.
    DiskFull,
    /// The file system takes no writes.
    ReadOnly,
    /// The bytes that were read are not those that were written.
    Damaged,
    /// Another process has taken the file.
    InUse,
    /// Any other error of the disk or the database.
    Failing,
}

impl Trouble {
    /// A sentence for those who look after the disk; without paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Trouble::DiskFull => "the disk is full; purges work and their record waits in memory",
            Trouble::ReadOnly => "the disk is read-only; purges work and their record waits in memory",
            Trouble::Damaged => "the ledger's file is damaged; purges work and their record waits in memory",
            Trouble::InUse => "another process uses the file; purges work and their record waits in memory",
            Trouble::Failing => "the disk fails; purges work and their record waits in memory",
        }
    }
}

impl From<&LedgerError> for Trouble {
    fn from(error: &LedgerError) -> Trouble {
        match error {
            LedgerError::Disk(error) => match error.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Trouble::DiskFull,
                std::io::ErrorKind::ReadOnlyFilesystem => Trouble::ReadOnly,
                _ => Trouble::Failing,
            },
            LedgerError::Damaged(_) | LedgerError::Panicked | LedgerError::Newer { .. } => Trouble::Damaged,
            LedgerError::InUse(_) => Trouble::InUse,
            LedgerError::Database(_) => Trouble::Failing,
        }
    }
}

/// Counters of the ledger since the start, and what waits now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerFigures {
    /// Groups that were written.
    pub commits: u64,
    /// Rows that wait in memory for the disk.
    pub rows_unwritten: u64,
    /// Rows given up since the disk took none for too long. Their charges are kept.
    pub rows_dropped: u64,
}

/// The pauses and bounds of the thread; a test makes them small.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) retry_pause: Duration,
    pub(super) prune_pause: Duration,
    pub(super) rows_max: usize,
    pub(super) bytes_max: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            retry_pause: limits::LEDGER_RETRY_PAUSE,
            prune_pause: limits::LEDGER_PRUNE_PAUSE,
            rows_max: limits::LEDGER_PENDING_MAX,
            bytes_max: limits::LEDGER_PENDING_BYTES_MAX,
        }
    }
}

/// The ledger's handle. Its thread ends at [`Ledger::close`].
#[derive(Debug)]
pub(super) struct Ledger {
    shared: Arc<Shared>,
    /// One permit for each call that the queue may hold.
    places: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The right to put one call into the queue.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Something came into the queue.
    came: Condvar,
    health: watch::Sender<Health>,
    commits: AtomicU64,
    rows_unwritten: AtomicU64,
    rows_dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    commands: Vec<Command>,
    closing: bool,
}

#[derive(Debug)]
enum Command {
    Record(Vec<Record>, Place, oneshot::Sender<()>),
    Complete(RequestId, Counts),
    Find(RequestId, Place, oneshot::Sender<Lookup>),
}

/// What the ledger knows of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// Its record.
    Found(Record),
    /// It was never given out, or is older than what is kept.
    Unknown,
    /// The disk can't be read now, or the ledger is closed.
    Unreadable,
}

impl Ledger {
    /// Opens the medium and starts the thread. Returns the charges so far, too.
    pub(super) fn open(
        medium: Medium,
        keep: Duration,
        bounds: Bounds,
        clock: Clock,
    ) -> Result<(Ledger, Totals), LedgerError> {
        let storage = Storage::open(&medium, Check::Full, unix_ms(&clock) / 1000)?;
        let totals = storage.totals()?;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            came: Condvar::new(),
            health: watch::Sender::new(Health::Durable),
            commits: AtomicU64::new(0),
            rows_unwritten: AtomicU64::new(0),
            rows_dropped: AtomicU64::new(0),
        });
        let now = clock.now();
        let writer = Writer {
            shared: Arc::clone(&shared),
            medium,
            storage: Some(storage),
            totals: totals.clone(),
            unwritten: Unwritten::default(),
            retry_at: None,
            prune_at: now,
            keep,
            bounds,
            clock,
        };
        let builder = std::thread::Builder::new().name("ledger".to_owned());
        let thread = builder.spawn(move || writer.run()).map_err(LedgerError::Disk)?;
        let places = Arc::new(Semaphore::new(limits::LEDGER_QUEUE_MAX));
        Ok((Ledger { shared, places, thread: Mutex::new(Some(thread)) }, totals))
    }

    /// Waits for a place in the queue; none after [`Ledger::close`]. Whoever stops waiting has changed nothing.
    pub(super) async fn place(&self) -> Option<Place> {
        let permit = Arc::clone(&self.places).acquire_owned().await.ok()?;
        Some(Place { _permit: permit })
    }

    /// Records purges and charges each to its account and month; no records ask for an answer after all that was
    /// recorded before. The answer comes when they are durable, or kept in memory for a failing disk. Never
    /// waits.
    pub(super) fn record(&self, place: Place, records: Vec<Record>) -> oneshot::Receiver<()> {
        let (answer, answered) = oneshot::channel();
        self.shared.push(Command::Record(records, place, answer));
        answered
    }

    /// Notes that a purge's sweeps have ended. Never waits.
    pub(super) fn complete(&self, id: RequestId, counts: Counts) {
        self.shared.push(Command::Complete(id, counts));
    }

    /// Looks a request up, after all that was recorded before.
    pub(super) async fn find(&self, id: RequestId) -> Lookup {
        let Some(place) = self.place().await else { return Lookup::Unreadable };
        let (answer, answered) = oneshot::channel();
        self.shared.push(Command::Find(id, place, answer));
        answered.await.unwrap_or(Lookup::Unreadable)
    }

    /// Changes of the health.
    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    pub(super) fn figures(&self) -> LedgerFigures {
        LedgerFigures {
            commits: self.shared.commits.load(Ordering::Relaxed),
            rows_unwritten: self.shared.rows_unwritten.load(Ordering::Relaxed),
            rows_dropped: self.shared.rows_dropped.load(Ordering::Relaxed),
        }
    }

    /// Takes no further calls, writes what waits, closes the database and joins the thread. Blocks for as long
    /// as the disk does.
    pub(super) fn close(&self) {
        self.places.close();
        self.shared.queue.lock().closing = true;
        self.shared.came.notify_one();
        if let Some(thread) = self.thread.lock().take() {
            // The thread catches the database's panics; one of its own was printed when it happened.
            let _ = thread.join();
        }
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.shared.queue.lock().commands.len()
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn push(&self, command: Command) {
        let mut queue = self.queue.lock();
        // After the end nobody would answer: the sender is dropped here, and its receiver learns of it.
        if !queue.closing {
            queue.commands.push(command);
            self.came.notify_one();
        }
    }

    /// All that waits; where nothing does, the first that comes within `patience`.
    fn take(&self, patience: Duration) -> Queue {
        let mut queue = self.queue.lock();
        if queue.commands.is_empty() && !queue.closing {
            self.came.wait_for(&mut queue, patience);
        }
        Queue { commands: mem::take(&mut queue.commands), closing: queue.closing }
    }
}

/// The thread: it alone has the database.
struct Writer {
    shared: Arc<Shared>,
    medium: Medium,
    /// Nothing while it can't be opened.
    storage: Option<Storage>,
    totals: Totals,
    unwritten: Unwritten,
    /// Set while degraded.
    retry_at: Option<Moment>,
    prune_at: Moment,
    keep: Duration,
    bounds: Bounds,
    clock: Clock,
}

impl Writer {
    fn run(mut self) {
        loop {
            let Queue { commands, closing } = self.shared.take(self.patience());
            let mut recorded = Vec::new();
            let mut finds = Vec::new();
            for command in commands {
                match command {
                    Command::Record(records, place, answer) => {
                        self.accept(records);
                        recorded.push((place, answer));
                    }
                    Command::Complete(id, counts) => self.complete(id, counts),
                    Command::Find(id, place, answer) => finds.push((id, place, answer)),
                }
            }
            if closing || self.may_write() {
                self.write();
            }
            self.keep_bounds();
            // Who stopped waiting needs no answer.
            for (_place, answer) in recorded {
                let _ = answer.send(());
            }
            for (id, _place, answer) in finds {
                let _ = answer.send(self.find(id));
            }
            if closing {
                return self.close();
            }
            self.prune_if_due();
        }
    }

    /// How long to wait where nothing comes.
    fn patience(&self) -> Duration {
        self.retry_at.unwrap_or(self.prune_at).since(self.clock.now())
    }

    fn may_write(&self) -> bool {
        self.retry_at.is_none_or(|retry_at| self.clock.now() >= retry_at)
    }

    fn accept(&mut self, records: Vec<Record>) {
        for record in records {
            let charge = (record.account.clone(), Month::containing(record.at_unix_ms / 1000));
            *self.totals.entry(charge.clone()).or_insert(0) += 1;
            self.unwritten.charges.insert(charge);
            self.unwritten.push(record);
        }
    }

    fn complete(&mut self, id: RequestId, counts: Counts) {
        // Rows that were given up would let their counts pile up while the disk takes nothing.
        if self.unwritten.swept.len() < self.bounds.rows_max {
            self.unwritten.swept.insert(id, counts);
        }
    }

    fn write(&mut self) {
        if self.unwritten.is_empty() && self.retry_at.is_none() {
            return;
        }
        match self.try_write() {
            Ok(()) => {
                self.unwritten = Unwritten::default();
                self.retry_at = None;
                self.shared.commits.fetch_add(1, Ordering::Relaxed);
                self.shared.rows_unwritten.store(0, Ordering::Relaxed);
                self.tell(Health::Durable, None);
            }
            Err(error) => self.fail(&error),
        }
    }

    fn try_write(&mut self) -> Result<(), LedgerError> {
        let storage = match self.storage.take() {
            Some(storage) => storage,
            None => self.reopen(Check::Trust)?,
        };
        let written = storage.write(&self.unwritten, &self.totals);
        self.storage = Some(storage);
        written
    }

    /// The disk did not take a write, or gave wrong bytes. The database must be closed; it is opened again at
    /// once, so that what it has can be read, and written to after a pause.
    fn fail(&mut self, error: &LedgerError) {
        self.storage = None;
        self.retry_at = Some(self.clock.now().plus(self.bounds.retry_pause));
        self.tell(Health::Degraded(Trouble::from(error)), Some(error));
        let check = match error {
            LedgerError::Damaged(_) | LedgerError::Panicked => Check::Full,
            _ => Check::Trust,
        };
        // A failure is not told: the next attempt to write will meet it again.
        self.storage = self.reopen(check).ok();
    }

    /// Opens the database again. It may be a new one, where the old was damaged or its file removed: then every
    /// charge has to be written again, and that is cheap enough to be done always.
    fn reopen(&mut self, check: Check) -> Result<Storage, LedgerError> {
        let storage = Storage::open(&self.medium, check, unix_ms(&self.clock) / 1000)?;
        self.unwritten.charges.extend(self.totals.keys().cloned());
        Ok(storage)
    }

    /// One log line for each change.
    fn tell(&self, health: Health, error: Option<&LedgerError>) {
        let before = self.shared.health.send_replace(health);
        match (before, health) {
            (Health::Durable, Health::Degraded(trouble)) => {
                let error = error.map(|error| with_sources(error)).unwrap_or_default();
                tracing::error!(error, "ledger: {}", trouble.as_str());
            }
            (Health::Degraded(_), Health::Durable) => {
                let dropped = self.shared.rows_dropped.load(Ordering::Relaxed);
                tracing::info!(rows_dropped = dropped, "ledger: the disk takes writes again");
            }
            (Health::Durable, Health::Durable) | (Health::Degraded(_), Health::Degraded(_)) => {}
        }
    }

    fn keep_bounds(&mut self) {
        while self.unwritten.rows.len() > self.bounds.rows_max || self.unwritten.bytes > self.bounds.bytes_max
        {
            self.unwritten.drop_oldest();
            self.shared.rows_dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.shared.rows_unwritten.store(self.unwritten.rows.len() as u64, Ordering::Relaxed);
    }

    fn find(&mut self, id: RequestId) -> Lookup {
        if let Some(record) = self.unwritten.find(id) {
            return Lookup::Found(record);
        }
        let Some(storage) = &self.storage else { return Lookup::Unreadable };
        match storage.find(id) {
            Ok(Some(record)) => Lookup::Found(self.unwritten.with_counts(record)),
            Ok(None) => Lookup::Unknown,
            Err(error) => {
                self.fail(&error);
                Lookup::Unreadable
            }
        }
    }

    fn prune_if_due(&mut self) {
        let now = self.clock.now();
        if self.retry_at.is_some() || now < self.prune_at {
            return;
        }
        let before_unix_ms =
            unix_ms(&self.clock).saturating_sub(u64::try_from(self.keep.as_millis()).unwrap_or(u64::MAX));
        let first_kept = Month::containing(before_unix_ms / 1000);
        let Some(storage) = &self.storage else { return };
        match storage.prune(before_unix_ms) {
            Ok(removed) => {
                self.totals.retain(|(_, month), _| *month >= first_kept);
                let more = removed == limits::LEDGER_PRUNE_ROWS;
                self.prune_at = if more { now } else { now.plus(self.bounds.prune_pause) };
            }
            Err(error) => self.fail(&error),
        }
    }

    fn close(self) {
        if !self.unwritten.is_empty() {
            tracing::error!(
                rows = self.unwritten.rows.len(),
                charges = self.unwritten.charges.len(),
                "ledger: the disk took no writes to the end; what waited in memory is lost"
            );
        }
        // Dropping the database closes it; what it held was durable before.
    }
}
