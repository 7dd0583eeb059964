//! The durable record of changes: one thread that owns the database and writes in groups.
//!
//! Calls wait in a queue; the thread takes all that wait, writes them in ONE transaction (a change's row and its
//! effects together), then answers each. A purge costs a share of one sync of the disk. While several calls share a
//! transaction, the next ones gather for a moment ([`Bounds`]'s `gather`); one that comes alone is written at once. What
//! is learned of a purge afterwards rides with the next group and nobody waits for it; without one, the end of a warming is
//! written at once, the ends of sweeps together after a pause.
//!
//! A disk that is full or fails refuses no purge. What it did not take stays in memory, bounded by
//! [`Bounds`]: beyond it the oldest rows are given up and counted, what [`Standing`] holds never. The call is answered, [`Health`]
//! says so, and the thread closes the database, opens it again (redb asks for that) and repeats the write after a
//! pause. Only changes acknowledged while degraded are lost by a kill; all others are on the disk.
//!
//! Invariants: commands are handled in the order of the queue, so an update comes after its row, and an empty
//! [`Ledger::record`] is answered after everything before it. `standing` is what the disk has, or will have when
//! `unwritten` is written. The queue holds at most [`limits::LEDGER_QUEUE_MAX`] calls (each has a place), and two
//! updates for each live purge (`Purger` bounds them). A look at the history takes a slice of it, of bounded work,
//! so that purges are written between two of them.
//!
//! Locks: the queue's, held for a push or a take alone; the caller of [`Ledger::record`] may hold the purger's.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::error::LedgerError;
use super::health::{Health, LedgerFigures};
use super::record::{Age, Record, Update};
use super::request::RequestId;
use super::standing::{Effect, Standing};
use super::storage::{Check, Medium, Storage};
use super::unix_us;
use super::writer::{Bounds, Writer};
use crate::clock::{Clock, Moment};
use crate::limits;

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

/// What the handle and the thread share.
#[derive(Debug)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    /// Something came into the queue.
    came: Condvar,
    pub(super) health: watch::Sender<Health>,
    pub(super) commits: AtomicU64,
    pub(super) rows_unwritten: AtomicU64,
    pub(super) rows_dropped: AtomicU64,
}

/// What waits for the thread.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) commands: Vec<Command>,
    /// Nothing comes any more.
    pub(super) closing: bool,
    wakes: Wakes,
}

/// What wakes the thread where it waits. The end always does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Wakes {
    /// Whatever comes.
    #[default]
    Everything,
    /// All but the end of a sweep: the thread looks for those by itself soon.
    AllButSweeps,
    /// Nothing else: calls gather.
    Nothing,
}

/// A call of the handle.
#[derive(Debug)]
pub(super) enum Command {
    Record(Entry, Place, oneshot::Sender<Kept>),
    Apply(Effect),
    Update(RequestId, Update),
    Find(Vec<RequestId>, Place, oneshot::Sender<Vec<Option<Record>>>),
    Scan(Scan, Place, oneshot::Sender<Slice>),
}

/// What is to be durable together, before it is acknowledged.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// The row, and when its call came: what is written and how long it took is measured from there.
    pub(super) record: Option<(Record, Moment)>,
    pub(super) effects: Vec<Effect>,
}

/// Where a change is, when it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// On the disk.
    OnDisk,
    /// In memory, for a disk that fails.
    InMemory,
}

/// A look at the history.
pub(super) struct Scan {
    /// Where it begins: rows older than this one; none begins at the newest.
    pub(super) before: Option<Age>,
    /// Which rows are wanted.
    pub(super) wants: Box<dyn Fn(&Record) -> bool + Send>,
    /// How many of them are enough.
    pub(super) rows_max: usize,
}

/// What was found in a bounded part of the history.
#[derive(Debug)]
pub(super) struct Slice {
    /// Newest first.
    pub(super) records: Vec<Record>,
    /// The oldest row that was looked at; nothing where there is none beyond it.
    pub(super) end: Option<Age>,
}

/// The disk can't be read now, or the ledger is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

impl std::fmt::Debug for Scan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").field("before", &self.before).field("rows_max", &self.rows_max).finish()
    }
}

impl Ledger {
    /// Opens the medium and starts the thread. Returns what counts, too.
    pub(super) fn open(
        medium: Medium,
        keep: Duration,
        bounds: Bounds,
        clock: Clock,
    ) -> Result<(Ledger, Standing), LedgerError> {
        let storage = Storage::open(&medium, Check::Full, unix_us(&clock) / 1_000_000)?;
        let standing = storage.standing()?;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            came: Condvar::new(),
            health: watch::Sender::new(Health::Durable),
            commits: AtomicU64::new(0),
            rows_unwritten: AtomicU64::new(0),
            rows_dropped: AtomicU64::new(0),
        });
        let writer = Writer::new(Arc::clone(&shared), medium, storage, standing.clone(), keep, bounds, clock);
        let builder = std::thread::Builder::new().name("ledger".to_owned());
        let thread = builder.spawn(move || writer.run()).map_err(LedgerError::Disk)?;
        let places = Arc::new(Semaphore::new(limits::LEDGER_QUEUE_MAX));
        Ok((Ledger { shared, places, thread: Mutex::new(Some(thread)) }, standing))
    }

    /// Waits for a place in the queue; none after [`Ledger::close`]. Whoever stops waiting has changed nothing.
    pub(super) async fn place(&self) -> Option<Place> {
        let permit = Arc::clone(&self.places).acquire_owned().await.ok()?;
        Some(Place { _permit: permit })
    }

    /// Records a change with its effects; an empty entry asks for an answer after all that was recorded before. The
    /// answer comes when it is durable, or kept in memory for a failing disk. Never waits.
    pub(super) fn record(&self, place: Place, entry: Entry) -> oneshot::Receiver<Kept> {
        let (answer, answered) = oneshot::channel();
        self.shared.push(Command::Record(entry, place, answer));
        answered
    }

    /// Changes what counts, without a row and without an answer. Never waits; the caller bounds how many there are.
    pub(super) fn apply(&self, effect: Effect) {
        self.shared.push(Command::Apply(effect));
    }

    /// Notes what was learned of a purge. Never waits.
    pub(super) fn update(&self, id: RequestId, update: Update) {
        self.shared.push(Command::Update(id, update));
    }

    /// Looks records up, after all that was recorded before. What was never recorded, or is older than what is kept, is
    /// none.
    pub(super) async fn find(&self, ids: Vec<RequestId>) -> Result<Vec<Option<Record>>, Unreadable> {
        let place = self.place().await.ok_or(Unreadable)?;
        let (answer, answered) = oneshot::channel();
        self.shared.push(Command::Find(ids, place, answer));
        answered.await.map_err(|_| Unreadable)
    }

    /// Looks at a part of the history, after all that was recorded before.
    pub(super) async fn scan(&self, scan: Scan) -> Result<Slice, Unreadable> {
        let place = self.place().await.ok_or(Unreadable)?;
        let (answer, answered) = oneshot::channel();
        self.shared.push(Command::Scan(scan, place, answer));
        answered.await.map_err(|_| Unreadable)
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
        if queue.closing {
            return;
        }
        let wakes = match queue.wakes {
            Wakes::Everything => true,
            Wakes::AllButSweeps => !matches!(&command, Command::Update(_, update) if !update.presses()),
            Wakes::Nothing => false,
        };
        queue.commands.push(command);
        if wakes {
            self.came.notify_one();
        }
    }

    /// All that waits; where nothing does, what is there when something comes that `wakes`, or after `patience`.
    pub(super) fn take(&self, patience: Duration, wakes: Wakes) -> Queue {
        let mut queue = self.queue.lock();
        if queue.commands.is_empty() && !queue.closing {
            queue.wakes = wakes;
            self.came.wait_for(&mut queue, patience);
        }
        queue.take()
    }

    /// What comes within `time`; all at once at the end.
    pub(super) fn gather(&self, time: Duration) -> Queue {
        let mut queue = self.queue.lock();
        queue.wakes = Wakes::Nothing;
        self.came.wait_while_for(&mut queue, |queue| !queue.closing, time);
        queue.take()
    }
}

impl Queue {
    fn take(&mut self) -> Queue {
        self.wakes = Wakes::Everything;
        Queue { commands: mem::take(&mut self.commands), ..*self }
    }
}
