//! Rows of the history as they are told. Values alone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use utoipa::ToSchema;

use crate::purge::{By, Change, Purge, Record, RequestId, Status, TargetRecord, WarmProgress, Wish};
use crate::target::{Mode, Target};

/// A row of the history.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum RowShown {
    Purge(PurgeShown),
    Change(ChangeShown),
}

/// A purge.
#[derive(Serialize, ToSchema)]
pub(super) struct PurgeShown {
    #[schema(pattern = "^[0-9a-f]{24}$", example = "30e079d067c24646a837ee70")]
    pub id: String,
    /// `purge`
    pub kind: &'static str,
    /// The account's id.
    pub account: Option<Box<str>>,
    /// Pending while what it covers is still being removed from memory; nobody is served it in either state.
    #[schema(pattern = "^(Pending|Completed)$")]
    pub status: &'static str,
    #[schema(pattern = "^(delete|stale)$")]
    pub mode: &'static str,
    pub note: Option<Box<str>>,
    /// By which it came: `imagekit`, `api`, `dashboard`, `purge_method`, `ietf`.
    pub door: &'static str,
    /// The name of the key.
    pub by: Box<str>,
    /// When it was accepted (RFC 3339).
    #[schema(format = DateTime)]
    pub created_at: String,
    /// In the order in which they were given.
    pub targets: Vec<TargetShown>,
    /// Responses that it removed, or made stale.
    pub matched: u64,
    /// Bytes of memory that they took.
    pub bytes: u64,
    /// Whether a wider purge is counted in these figures.
    pub shared: bool,
    /// From the call to the moment from which nobody is served what it covers.
    pub visible_us: Option<u64>,
    /// From the call to its record being on disk.
    pub acknowledged_us: Option<u64>,
    /// From the call to the end of its removal from memory.
    pub swept_us: Option<u64>,
    /// How far it is fetched again, if that was asked for.
    pub warm: Option<WarmShown>,
}

/// A target of a purge.
#[derive(Serialize, ToSchema)]
pub(super) struct TargetShown {
    /// How it was named: `url`, `prefix`, `asset`, …
    pub target: Box<str>,
    /// The text that named it.
    pub text: Box<str>,
    /// What it covers, in canonical form.
    pub covers: Box<str>,
    #[schema(pattern = "^(Pending|Completed)$")]
    pub status: &'static str,
    /// Responses that it removed, or made stale.
    pub matched: u64,
    /// Bytes of memory that they took.
    pub bytes: u64,
    /// Whether a wider purge is counted in these figures.
    pub shared: bool,
}

/// How far what was purged is fetched again.
#[derive(Serialize, ToSchema)]
pub(super) struct WarmShown {
    #[schema(pattern = "^(waiting|running|done|cancelled)$")]
    state: &'static str,
    /// How much is to be fetched; 0 before the removal has ended.
    planned: u64,
    /// How much came.
    done: u64,
    /// How much did not.
    failed: u64,
}

/// An operator's change: of an allowance, or of the keys.
#[derive(Serialize, ToSchema)]
pub(super) struct ChangeShown {
    #[schema(pattern = "^[0-9a-f]{24}$")]
    pub id: String,
    #[schema(pattern = "^(allowance|key)$")]
    pub kind: &'static str,
    /// The account's id; null where it is about all.
    pub account: Option<Box<str>>,
    /// The name of the key.
    pub by: Box<str>,
    /// By which it came.
    pub door: &'static str,
    pub note: Option<Box<str>>,
    /// When it was made (RFC 3339).
    #[schema(format = DateTime)]
    pub created_at: String,
    /// What was, and what is.
    #[schema(example = "limit 1000 → 2000")]
    pub change: Box<str>,
}

impl RowShown {
    pub(super) fn of(record: &Record) -> RowShown {
        match &record.change {
            Change::Purge(purge) => RowShown::Purge(PurgeShown::with(record, purge)),
            Change::Allowance(change) | Change::Key(change) => RowShown::Change(ChangeShown {
                id: record.id.to_string(),
                kind: record.kind().as_str(),
                account: record.account.clone(),
                by: record.by.key.clone(),
                door: record.by.door.as_str(),
                note: record.note.clone(),
                created_at: created_at(record),
                change: change.clone(),
            }),
        }
    }
}

impl PurgeShown {
    /// A purge's record.
    pub(super) fn of(record: &Record) -> Option<PurgeShown> {
        record.purge().map(|purge| PurgeShown::with(record, purge))
    }

    fn with(record: &Record, purge: &Purge) -> PurgeShown {
        let counts = purge.counts();
        PurgeShown {
            id: record.id.to_string(),
            kind: record.kind().as_str(),
            account: record.account.clone(),
            status: purge.status().as_str(),
            mode: purge.mode().as_str(),
            note: record.note.clone(),
            door: record.by.door.as_str(),
            by: record.by.key.clone(),
            created_at: created_at(record),
            targets: purge.targets.iter().map(TargetShown::of).collect(),
            matched: counts.entries,
            bytes: counts.bytes,
            shared: counts.shared,
            visible_us: purge.visible_us,
            acknowledged_us: purge.acknowledged_us,
            swept_us: purge.swept_us,
            warm: purge.warm.as_ref().map(WarmShown::of),
        }
    }

    /// What is known of a purge that was just accepted, where its record can't be read.
    pub(super) fn accepted<'a>(
        id: RequestId,
        account: &str,
        targets: impl Iterator<Item = (&'a Wish, &'a Target)>,
        by: &By,
        note: Option<Box<str>>,
        wall: SystemTime,
    ) -> PurgeShown {
        let mut mode = Mode::default();
        let shown = |(wish, target): (&Wish, &Target)| {
            mode = wish.mode;
            TargetShown {
                target: wish.named.kind().into(),
                text: wish.text().into(),
                covers: target.to_string().into(),
                status: Status::Pending.as_str(),
                matched: 0,
                bytes: 0,
                shared: false,
            }
        };
        let targets = targets.map(shown).collect();
        PurgeShown {
            id: id.to_string(),
            kind: "purge",
            account: Some(account.into()),
            status: Status::Pending.as_str(),
            mode: mode.as_str(),
            note,
            door: by.door.as_str(),
            by: by.key.clone(),
            created_at: date(wall.duration_since(UNIX_EPOCH).unwrap_or_default()),
            targets,
            matched: 0,
            bytes: 0,
            shared: false,
            visible_us: None,
            acknowledged_us: None,
            swept_us: None,
            warm: None,
        }
    }
}

impl TargetShown {
    fn of(target: &TargetRecord) -> TargetShown {
        TargetShown {
            target: target.kind.clone(),
            text: target.text.clone(),
            covers: target.covers.clone(),
            status: target.status.as_str(),
            matched: target.counts.entries,
            bytes: target.counts.bytes,
            shared: target.counts.shared,
        }
    }
}

impl WarmShown {
    fn of(warm: &WarmProgress) -> WarmShown {
        let WarmProgress { state, planned, done, failed } = *warm;
        WarmShown { state: state.as_str(), planned, done, failed }
    }
}

fn created_at(record: &Record) -> String {
    date(Duration::from_micros(record.created_at_us))
}

/// RFC 3339, to a millisecond. The years after 9999 have no such date, and are not told apart.
pub(super) fn date(since_1970: Duration) -> String {
    let most = Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_millis(UNIX_EPOCH + since_1970.min(most)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_whatever_the_time() {
        #[rustfmt::skip]
        let table = [
            (Duration::ZERO,                         "1970-01-01T00:00:00.000Z"),
            (Duration::from_micros(1_709_164_800_001_999), "2024-02-29T00:00:00.001Z"),
            (Duration::from_micros(u64::MAX),        "9999-12-31T23:59:59.000Z"),
        ];
        for (time, expected) in table {
            assert_eq!(date(time), expected);
        }
    }
}
