//! What waits for the disk: of changes that are about to be acknowledged, or of those that a failing disk did not
//! take. Bounded by the ledger, which gives up the oldest rows, never what [`Standing`] holds.
//!
//! [`Standing`]: super::standing::Standing

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::quota::Month;
use super::record::{Age, Record, Update};
use super::request::RequestId;
use super::standing::Effect;

/// All that waits. It may be written twice.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    /// New rows, oldest first.
    rows: BTreeMap<Age, Record>,
    /// Of `rows`, each one's microseconds.
    ages: HashMap<RequestId, u64>,
    /// Bytes of the texts in `rows`.
    bytes: usize,
    /// What was learned of rows on the disk.
    updates: HashMap<RequestId, Update>,
    /// One of `updates` can't wait for others.
    updates_press: bool,
    /// One of them tells of a sweep, which can wait for a moment; a measurement can for good.
    has_sweeps: bool,
    /// Totals that changed.
    pub(super) charges: BTreeSet<(Box<str>, Month)>,
    /// Some word on an allowance changed.
    pub(super) words: bool,
    /// Some stored key came or went.
    pub(super) keys: bool,
}

impl Unwritten {
    pub(super) fn push(&mut self, record: Record) {
        self.bytes += record.text_bytes();
        self.ages.insert(record.id, record.created_at_us);
        self.rows.insert(record.age(), record);
    }

    /// Notes which part of what counts is another one than on the disk.
    pub(super) fn mark(&mut self, effect: &Effect) {
        match effect {
            Effect::Charge { account, month, .. } | Effect::Reset { account, month } => {
                self.charges.insert((account.clone(), *month));
            }
            Effect::Word { .. } => self.words = true,
            Effect::Key { .. } => self.keys = true,
        }
    }

    /// Enters what was learned of a row, here or on the disk. Those of rows that were given up would pile up while the
    /// disk takes nothing; so over `updates_max` one is lost.
    pub(super) fn update(&mut self, id: RequestId, update: Update, updates_max: usize) {
        if let Some(at_us) = self.ages.get(&id) {
            let record = self.rows.get_mut(&(*at_us, id)).expect("`ages` names what `rows` has");
            return update.apply(record);
        }
        if self.updates.len() < updates_max || self.updates.contains_key(&id) {
            self.updates_press |= update.presses();
            self.has_sweeps |= update.swept.is_some();
            self.updates.entry(id).or_default().merge(update);
        }
    }

    /// Gives the oldest row up.
    pub(super) fn drop_oldest(&mut self) {
        if let Some((_, record)) = self.rows.pop_first() {
            self.bytes -= record.text_bytes();
            self.ages.remove(&record.id);
        }
    }

    /// The record, where it waits here.
    pub(super) fn find(&self, id: RequestId) -> Option<&Record> {
        self.rows.get(&(*self.ages.get(&id)?, id))
    }

    /// A record of the disk, with what was learned of it.
    pub(super) fn updated(&self, mut record: Record) -> Record {
        if let Some(update) = self.updates.get(&record.id) {
            update.apply(&mut record);
        }
        record
    }

    /// The rows that are older than `before`, newest first.
    pub(super) fn older(&self, before: Option<Age>) -> impl Iterator<Item = &Record> {
        let older = match before {
            Some(before) => self.rows.range(..before),
            None => self.rows.range(..),
        };
        older.rev().map(|(_, record)| record)
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Record> {
        self.rows.values()
    }

    pub(super) fn updates(&self) -> impl Iterator<Item = (RequestId, &Update)> {
        self.updates.iter().map(|(id, update)| (*id, update))
    }

    pub(super) fn rows_len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether something has to be written now.
    pub(super) fn presses(&self) -> bool {
        !self.rows.is_empty() || self.updates_press || !self.charges.is_empty() || self.words || self.keys
    }

    /// Whether the end of a sweep waits.
    pub(super) fn has_sweeps(&self) -> bool {
        self.has_sweeps
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.presses() && self.updates.is_empty()
    }
}
