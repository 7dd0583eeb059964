//! What earlier versions of the tables held, brought over within the transaction that makes the new ones: after a kill
//! in the midst the old ones are there as they were.

use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::error::LedgerError;
use super::record::{Change, Purge, Record, TargetRecord};
use super::request::{By, Counts, Door, RequestId, Status};
use crate::target::Mode;

/// Version 1, one URL a request: id → account, URL, target, unix ms, completed, entries, bytes, counts are shared.
type Row1 = (&'static str, &'static str, &'static str, u64, bool, u64, u64, bool);
pub(super) const REQUESTS_1: TableDefinition<&[u8; RequestId::BYTES], Row1> =
    TableDefinition::new("requests");
/// Version 1: (unix ms, request id), the rows by age.
pub(super) const BY_AGE_1: TableDefinition<(u64, &[u8; RequestId::BYTES]), ()> =
    TableDefinition::new("requests_by_age");

/// Gives each row of version 1 to `insert` and removes its tables. Charges are where they were. Returns how many rows
/// there were.
pub(super) fn from_1(
    transaction: &WriteTransaction,
    mut insert: impl FnMut(Record) -> Result<(), LedgerError>,
) -> Result<u64, LedgerError> {
    let mut rows = 0;
    for entry in transaction.open_table(REQUESTS_1)?.iter()? {
        let (id, row) = entry?;
        let (account, url, described, at_unix_ms, _, entries, bytes, shared) = row.value();
        let counts = Counts { entries, bytes, shared };
        let target = target_of_1(url, described, counts);
        insert(Record {
            id: RequestId::from_bytes(*id.value()),
            account: Some(account.into()),
            // Its only door, and which key it was is not told.
            by: By { key: "private key".into(), door: Door::Imagekit },
            note: None,
            created_at_us: at_unix_ms.saturating_mul(1000),
            change: Change::Purge(Purge {
                targets: Box::new([target]),
                visible_us: None,
                acknowledged_us: None,
                swept_us: None,
                warm: None,
            }),
        })?;
        rows += 1;
    }
    transaction.delete_table(REQUESTS_1)?;
    transaction.delete_table(BY_AGE_1)?;
    Ok(rows)
}

/// `described` was the target's canonical text, with a mark where the purge was soft. A key has no blank in it.
fn target_of_1(url: &str, described: &str, counts: Counts) -> TargetRecord {
    let (covers, mode) = match described.strip_suffix(" (stale)") {
        Some(covers) => (covers, Mode::Stale),
        None => (described, Mode::Delete),
    };
    let kind = match covers.split_once(' ') {
        Some((kind @ ("asset" | "tag"), _)) => kind,
        _ => "url",
    };
    // The process that swept has ended, and with it what it had stored.
    TargetRecord {
        kind: kind.into(),
        text: url.into(),
        covers: covers.into(),
        mode,
        status: Status::Completed,
        counts,
    }
}
