//! Whether the ledger is as good as its word, and its counters. Values alone.

use super::error::LedgerError;

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
