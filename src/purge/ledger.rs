//! The durable record of changes: one thread that owns the database and writes in groups.
//!
//! Calls wait in a queue; the thread takes all that wait, writes them in ONE transaction (a change's row and its
//! effects together), then answers each. A purge costs a share of one sync of the disk. What is learned of a purge
//! afterwards rides with the next group and nobody waits for it.
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

use super::error::{LedgerError, with_sources};
use super::quota::Month;
use super::record::{Age, Record, Update};
use super::request::RequestId;
use super::standing::{Effect, Standing};
use super::storage::{Check, Medium, Older, Storage};
use super::unix_us;
use super::unwritten::Unwritten;
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
        let now = clock.now();
        let writer = Writer {
            shared: Arc::clone(&shared),
            medium,
            storage: Some(storage),
            standing: standing.clone(),
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
    standing: Standing,
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
            let mut looks = Vec::new();
            for command in commands {
                match command {
                    Command::Record(entry, place, answer) => {
                        let came = entry.record.as_ref().map(|(record, came)| (record.id, *came));
                        self.accept(entry);
                        recorded.push((came, place, answer));
                    }
                    Command::Apply(effect) => self.apply(effect),
                    Command::Update(id, update) => self.update(id, update),
                    look @ (Command::Find(..) | Command::Scan(..)) => looks.push(look),
                }
            }
            let wrote = (closing || self.may_write()).then(|| self.write(closing));
            let kept = if self.retry_at.is_some() { Kept::InMemory } else { Kept::OnDisk };
            debug_assert!(kept == Kept::InMemory || wrote.is_some(), "what is not in memory was written");
            self.keep_bounds();
            let now = self.clock.now();
            for (came, _place, answer) in recorded {
                if let Some((id, came)) = came {
                    let acknowledged_us = Some(micros(now.since(came)));
                    self.update(id, Update { acknowledged_us, ..Update::default() });
                }
                let _ = answer.send(kept); // Who stopped waiting needs no answer.
            }
            for look in looks {
                self.look(look);
            }
            if closing {
                return self.close();
            }
            self.prune_if_due();
        }
    }

    /// Answers what changes nothing. Where the disk can't be read the sender is dropped, and its receiver learns of it.
    fn look(&mut self, command: Command) {
        match command {
            Command::Find(ids, _place, answer) => {
                let found: Result<Vec<_>, Unreadable> = ids.into_iter().map(|id| self.find(id)).collect();
                if let Ok(found) = found {
                    let _ = answer.send(found);
                }
            }
            Command::Scan(scan, _place, answer) => {
                if let Ok(slice) = self.scan(&scan) {
                    let _ = answer.send(slice);
                }
            }
            Command::Record(..) | Command::Apply(_) | Command::Update(..) => {
                unreachable!("`run` hands over what looks, and nothing else")
            }
        }
    }

    /// How long to wait where nothing comes.
    fn patience(&self) -> Duration {
        self.retry_at.unwrap_or(self.prune_at).since(self.clock.now())
    }

    fn may_write(&self) -> bool {
        self.retry_at.is_none_or(|retry_at| self.clock.now() >= retry_at)
    }

    fn accept(&mut self, entry: Entry) {
        for effect in entry.effects {
            self.apply(effect);
        }
        if let Some((record, _)) = entry.record {
            self.unwritten.push(record);
        }
    }

    fn apply(&mut self, effect: Effect) {
        self.unwritten.mark(&effect);
        self.standing.apply(effect);
    }

    fn update(&mut self, id: RequestId, update: Update) {
        self.unwritten.update(id, update, self.bounds.rows_max);
    }

    /// Writes what can't wait, at the end all that there is.
    fn write(&mut self, closing: bool) {
        let waits = if closing { !self.unwritten.is_empty() } else { self.unwritten.presses() };
        if !waits && self.retry_at.is_none() {
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
        let written = storage.write(&self.unwritten, &self.standing);
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

    /// Opens the database again. It may be a new one, where the old was damaged or its file removed: then all that counts
    /// has to be written again, and that is cheap enough to be done always.
    fn reopen(&mut self, check: Check) -> Result<Storage, LedgerError> {
        let storage = Storage::open(&self.medium, check, unix_us(&self.clock) / 1_000_000)?;
        self.unwritten.charges.extend(self.standing.totals.keys().cloned());
        (self.unwritten.words, self.unwritten.keys) = (true, true);
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
        let (rows_max, bytes_max) = (self.bounds.rows_max, self.bounds.bytes_max);
        while self.unwritten.rows_len() > rows_max || self.unwritten.bytes() > bytes_max {
            self.unwritten.drop_oldest();
            self.shared.rows_dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.shared.rows_unwritten.store(self.unwritten.rows_len() as u64, Ordering::Relaxed);
    }

    fn find(&mut self, id: RequestId) -> Result<Option<Record>, Unreadable> {
        if let Some(record) = self.unwritten.find(id) {
            return Ok(Some(record.clone()));
        }
        let found = self.storage.as_ref().ok_or(Unreadable)?.find(id);
        let found = found.map_err(|error| self.could_not_read(&error))?;
        Ok(found.map(|record| self.unwritten.updated(record)))
    }

    /// Goes through what waits and what is on the disk together, newest first, until enough is found or one of the two
    /// slices ends before its table does.
    fn scan(&mut self, scan: &Scan) -> Result<Slice, Unreadable> {
        let on_disk = self.storage.as_ref().ok_or(Unreadable)?.older(scan.before);
        let Older { rows, ended } = on_disk.map_err(|error| self.could_not_read(&error))?;
        let mut on_disk = rows.into_iter().peekable();
        let mut waiting = self.unwritten.older(scan.before).take(limits::LEDGER_SLICE_ROWS).peekable();
        let (mut records, mut looked_at, mut end) = (Vec::new(), 0, scan.before);
        loop {
            let disks = on_disk.peek().map(|(age, _)| *age);
            let waits = waiting.peek().map(|record| record.age());
            let Some(age) = disks.max(waits).filter(|_| disks.is_some() || ended) else {
                return Ok(Slice { records, end: end.filter(|_| !ended) });
            };
            if records.len() == scan.rows_max || looked_at == limits::LEDGER_SLICE_ROWS {
                return Ok(Slice { records, end });
            }
            // A write that failed may be on the disk all the same: then a row is in both, and what waits is newer.
            let disks = on_disk.next_if(|(disks, _)| *disks == age).and_then(|(_, record)| record);
            let waits = waiting.next_if(|waits| waits.age() == age).cloned();
            let record = waits.or_else(|| disks.map(|record| self.unwritten.updated(record)));
            (looked_at, end) = (looked_at + 1, Some(age));
            records.extend(record.filter(|record| (scan.wants)(record)));
        }
    }

    fn could_not_read(&mut self, error: &LedgerError) -> Unreadable {
        self.fail(error);
        Unreadable
    }

    fn prune_if_due(&mut self) {
        let now = self.clock.now();
        if self.retry_at.is_some() || now < self.prune_at {
            return;
        }
        let before_unix_us = unix_us(&self.clock).saturating_sub(micros(self.keep));
        let first_kept = Month::containing(before_unix_us / 1_000_000);
        let Some(storage) = &self.storage else { return };
        match storage.prune(before_unix_us) {
            Ok(removed) => {
                self.standing.totals.retain(|(_, month), _| *month >= first_kept);
                let more = removed == limits::LEDGER_PRUNE_ROWS;
                self.prune_at = if more { now } else { now.plus(self.bounds.prune_pause) };
            }
            Err(error) => self.fail(&error),
        }
    }

    fn close(self) {
        if !self.unwritten.is_empty() {
            tracing::error!(
                rows = self.unwritten.rows_len(),
                charges = self.unwritten.charges.len(),
                "ledger: the disk took no writes to the end; what waited in memory is lost"
            );
        }
        // Dropping the database closes it; what it held was durable before.
    }
}

/// A measured time, for records.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
