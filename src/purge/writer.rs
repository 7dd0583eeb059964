//! The ledger's thread: it takes what waits in the queue, writes it in one transaction, and answers.
//!
//! A look at the history takes a slice of it, of bounded work, so that changes are written between two of them. The
//! discipline with a failing disk stands at the head of `ledger.rs`. No lock but the queue's, for a take.
//!
//! A transaction costs as much as a dozen calls do. So calls gather where the last one was shared: nobody can tell from one call
//! whether others are about to come, but where two have met, more will. Calls that come one after the other, each after the
//! answer of the one before, never meet, and never wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::error::{LedgerError, with_sources};
use super::health::{Health, Trouble};
use super::ledger::{Command, Entry, Kept, Queue, Scan, Shared, Slice, Unreadable, Wakes};
use super::quota::Month;
use super::record::{Record, Update};
use super::request::RequestId;
use super::standing::{Effect, Standing};
use super::storage::{Check, Medium, Older, Storage};
use super::unwritten::Unwritten;
use super::{micros, unix_us};
use crate::clock::{Clock, Moment};
use crate::limits;

/// The pauses and bounds of the thread; a test makes them small.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) gather: Duration,
    pub(super) sweeps_pause: Duration,
    pub(super) retry_pause: Duration,
    pub(super) prune_pause: Duration,
    pub(super) rows_max: usize,
    pub(super) bytes_max: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            gather: limits::LEDGER_GATHER,
            sweeps_pause: limits::LEDGER_SWEEPS_PAUSE,
            retry_pause: limits::LEDGER_RETRY_PAUSE,
            prune_pause: limits::LEDGER_PRUNE_PAUSE,
            rows_max: limits::LEDGER_PENDING_MAX,
            bytes_max: limits::LEDGER_PENDING_BYTES_MAX,
        }
    }
}

/// The thread: it alone has the database.
pub(super) struct Writer {
    shared: Arc<Shared>,
    medium: Medium,
    /// Nothing while it can't be opened.
    storage: Option<Storage>,
    standing: Standing,
    unwritten: Unwritten,
    /// Set while degraded.
    retry_at: Option<Moment>,
    prune_at: Moment,
    /// When the last transaction began, where several calls shared it.
    shared_at: Option<Moment>,
    /// When ends of sweeps are written, if nothing takes them along before; none where none is expected.
    sweeps_at: Option<Moment>,
    keep: Duration,
    bounds: Bounds,
    clock: Clock,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        medium: Medium,
        storage: Storage,
        standing: Standing,
        keep: Duration,
        bounds: Bounds,
        clock: Clock,
    ) -> Writer {
        let (storage, prune_at) = (Some(storage), clock.now());
        let (unwritten, retry_at, shared_at, sweeps_at) = (Unwritten::default(), None, None, None);
        Writer {
            shared,
            medium,
            storage,
            standing,
            unwritten,
            retry_at,
            prune_at,
            shared_at,
            sweeps_at,
            keep,
            bounds,
            clock,
        }
    }

    pub(super) fn run(mut self) {
        loop {
            let Queue { commands, closing, .. } = self.take();
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
            if closing || self.may_write() {
                self.write(closing, recorded.len());
            }
            let kept = if self.retry_at.is_some() { Kept::InMemory } else { Kept::OnDisk };
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

    /// What is to be done now, after a wait for it.
    fn take(&self) -> Queue {
        let wakes = self.sweeps_at.map_or(Wakes::Everything, |_| Wakes::AllButSweeps);
        let mut taken = self.shared.take(self.patience(), wakes);
        let records = taken.commands.iter().any(|command| matches!(command, Command::Record(..)));
        let time = self.gathering_time();
        if records && !taken.closing && !time.is_zero() && self.may_write() {
            let more = self.shared.gather(time);
            taken.commands.extend(more.commands);
            taken.closing = more.closing;
        }
        taken
    }

    /// How long to wait where nothing comes.
    fn patience(&self) -> Duration {
        let next = self.sweeps_at.map_or(self.prune_at, |sweeps_at| sweeps_at.min(self.prune_at));
        self.retry_at.unwrap_or(next).since(self.clock.now())
    }

    /// How long calls still gather for the next transaction.
    fn gathering_time(&self) -> Duration {
        let until = self.shared_at.map(|began| began.plus(self.bounds.gather));
        until.map_or(Duration::ZERO, |until| until.since(self.clock.now()))
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
        self.sweeps_at.get_or_insert_with(|| self.clock.now().plus(self.bounds.sweeps_pause));
        self.unwritten.update(id, update, self.bounds.rows_max);
    }

    /// Writes what can't wait, at the end all that there is. So many calls share it.
    fn write(&mut self, closing: bool, calls: usize) {
        let now = self.clock.now();
        let is_due = self.sweeps_at.take_if(|sweeps_at| *sweeps_at <= now).is_some();
        let swept = is_due && self.unwritten.has_sweeps();
        let waits = self.unwritten.presses() || swept || (closing && !self.unwritten.is_empty());
        if !waits && self.retry_at.is_none() {
            return;
        }
        self.shared_at = (calls > 1).then_some(now);
        match self.try_write() {
            Ok(()) => {
                self.unwritten = Unwritten::default();
                (self.retry_at, self.sweeps_at) = (None, None);
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
