//! What was changed: one request, and the history newest first, page by page.
//!
//! A record of the ledger is shown with what the purger knows of it meanwhile: how far a live request's sweeps are, and
//! a warming. What is not live is told by the ledger alone, and it is asked after the look at what lives, or once more:
//! a request leaves what lives and sends its last update under one lock, so that nothing is seen between the two.
//!
//! Cost: a page looks at [`limits::LIST_SLICES_MAX`] slices of the history at most, and the ledger's thread writes
//! between two of them. A page that found less than was wanted has a cursor all the same, to go on with.

use std::fmt;

use super::ledger::{Scan, Unreadable};
use super::record::{Age, Change, Kind, Purge, Record};
use super::request::{Counts, RequestId, Status};
use super::warming::WarmState;
use super::{Purger, State};
use crate::limits;

/// Which rows of the history are wanted. What is none is not asked for.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The account's place among those that the purger was made with.
    pub account: Option<usize>,
    /// Purges that are so far.
    pub status: Option<Status>,
    /// A part of the note, of a target's text, of the key's name, of the id, or of what was changed; small and capital
    /// letters are the same.
    pub text: Option<String>,
    /// The kind of change.
    pub kind: Option<Kind>,
    /// How many rows at most: 1 to [`limits::LIST_ROWS_MAX`].
    pub limit: usize,
    /// Where an earlier page ended.
    pub cursor: Option<Cursor>,
}

impl Default for Filter {
    fn default() -> Filter {
        let limit = limits::LIST_ROWS_DEFAULT;
        Filter { account: None, status: None, text: None, kind: None, limit, cursor: None }
    }
}

/// A part of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Newest first.
    pub records: Vec<Record>,
    /// Where to go on; nothing at the end of the history.
    pub next: Option<Cursor>,
}

/// A place in the history: after a row, whatever comes before it meanwhile. Its text means nothing to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(Age);

impl Cursor {
    /// Reads what is printed.
    pub fn parse(text: &str) -> Option<Cursor> {
        let (digits, id) = text.split_at_checked(16)?;
        let is_hex = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        let at_us = u64::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
        Some(Cursor((at_us, RequestId::parse(id)?)))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at_us, id) = self.0;
        write!(f, "{at_us:016x}{id}")
    }
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is the account's, and known.
    Known(Status, Counts),
    /// The account has no such request, or it is older than what the ledger keeps.
    Unknown,
    /// It is not live, and the ledger can't be read now.
    Unreadable,
}

impl Purger {
    /// How far a purge of this account is. Another account's is unknown. A live one is told without the ledger.
    pub async fn status(&self, account: usize, id: RequestId) -> Progress {
        if let Some(live) = self.0.state.lock().live.get(id) {
            let known = Progress::Known(Status::Pending, live.counts());
            return if live.account == account { known } else { Progress::Unknown };
        }
        match self.request(Some(account), id).await {
            Ok(record) => match record.as_ref().and_then(Record::purge) {
                Some(purge) => Progress::Known(purge.status(), purge.counts()),
                None => Progress::Unknown,
            },
            Err(Unreadable) => Progress::Unreadable,
        }
    }

    /// The record with this id, as far as it is now; of this account, where one is given.
    pub async fn request(&self, account: Option<usize>, id: RequestId) -> Result<Option<Record>, Unreadable> {
        let mut found: Vec<Record> = self.0.ledger.find(vec![id]).await?.into_iter().flatten().collect();
        self.bring_up_to_date(&mut found).await?;
        let account = account.map(|account| self.0.roster.load().accounts[account].clone());
        let mut found = found.into_iter();
        Ok(found.find(|record| account.is_none() || record.account == account))
    }

    /// A page of the history.
    pub async fn list(&self, filter: Filter) -> Result<Page, Unreadable> {
        let limit = filter.limit.clamp(1, limits::LIST_ROWS_MAX);
        let account = filter.account.map(|account| self.0.roster.load().accounts[account].clone());
        let text = filter.text.as_ref().map(|text| text.to_lowercase());
        let (kind, status) = (filter.kind, filter.status);
        let mut page = Page { records: Vec::new(), next: filter.cursor };
        let mut bytes = 0;
        for _ in 0..limits::LIST_SLICES_MAX {
            let (account, text) = (account.clone(), text.clone());
            let wants = Box::new(move |record: &Record| {
                account.as_ref().is_none_or(|account| record.account.as_ref() == Some(account))
                    && kind.is_none_or(|kind| record.kind() == kind)
                    && status.is_none_or(|status| may_have(record, status))
                    && text.as_ref().is_none_or(|text| has_text(record, text))
            });
            let rows_max = limit - page.records.len();
            let before = page.next.map(|cursor| cursor.0);
            let mut slice = self.0.ledger.scan(Scan { before, wants, rows_max }).await?;
            self.bring_up_to_date(&mut slice.records).await?;
            let has_status = |record: &Record| record.purge().map(Purge::status) == status;
            slice.records.retain(|record| status.is_none() || has_status(record));
            bytes += slice.records.iter().map(Record::text_bytes).sum::<usize>();
            page.records.extend(slice.records);
            page.next = slice.end.map(Cursor);
            if page.next.is_none() || page.records.len() >= limit || bytes >= limits::LIST_BYTES {
                break;
            }
        }
        Ok(page)
    }

    /// Enters what the purger knows into records of the ledger. What is gone from the purger was told to the ledger before,
    /// perhaps after the record was read: so it is read again. Meanwhile a request's sweeps may have ended, and then its
    /// warming, and nothing else: there are three rounds at most.
    pub(super) async fn bring_up_to_date(&self, records: &mut [Record]) -> Result<(), Unreadable> {
        let mut unsettled: Vec<_> = records.iter_mut().map(|record| (record, Gone::default())).collect();
        loop {
            {
                let state = self.0.state.lock();
                unsettled.retain_mut(|(record, gone)| !state.settle(record, gone));
            }
            if unsettled.is_empty() {
                return Ok(());
            }
            let ids = unsettled.iter().map(|(record, _)| record.id).collect();
            for ((record, _), again) in unsettled.iter_mut().zip(self.0.ledger.find(ids).await?) {
                if let Some(again) = again {
                    **record = again;
                }
            }
        }
    }
}

/// What of a request was gone from the purger before its record was read.
#[derive(Clone, Copy, Debug, Default)]
struct Gone {
    sweeps: bool,
    warming: bool,
}

impl State {
    /// Enters how far it is into a record. Not where the record tells of something that goes on, and that is gone now: then
    /// a newer one has to be read.
    fn settle(&self, record: &mut Record, gone: &mut Gone) -> bool {
        let id = record.id;
        let Some(purge) = record.purge_mut() else { return true };
        let before = *gone;
        if purge.status() == Status::Pending {
            match self.live.get(id) {
                Some(live) => live.show(purge),
                None => gone.sweeps = true,
            }
        }
        let warming = purge.warm.as_mut().filter(|warm| !warm.state.has_ended());
        if let Some(warm) = warming {
            match self.warmings.progress(id) {
                Some(progress) => *warm = progress,
                // It ended with the process that fetched.
                None if before.warming => warm.state = WarmState::Cancelled,
                None => gone.warming = true,
            }
        }
        if before.sweeps {
            // They ended with the process that swept.
            purge.targets.iter_mut().for_each(|target| target.status = Status::Completed);
        }
        (gone.sweeps, gone.warming) == (before.sweeps, before.warming)
    }
}

/// Whether a record of the ledger may turn out to have this status.
fn may_have(record: &Record, status: Status) -> bool {
    // What is pending there may have been completed meanwhile, or with the process.
    record.purge().is_some_and(|purge| status == Status::Completed || purge.status() == Status::Pending)
}

/// `text` is in lower case.
fn has_text(record: &Record, text: &str) -> bool {
    let has = |field: &str| field.to_lowercase().contains(text);
    let in_change = match &record.change {
        Change::Purge(purge) => purge.targets.iter().any(|target| has(&target.text)),
        Change::Allowance(change) | Change::Key(change) => has(change),
    };
    in_change
        || record.note.as_deref().is_some_and(has)
        || has(&record.by.key)
        || record.id.to_string().contains(text)
}
