//! Why the ledger can't be opened or used: redb's errors sorted by what is to be done about them.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use super::storage::SCHEMA;

/// Why the ledger can't be opened or used.
#[derive(Debug)]
pub enum LedgerError {
    /// Another process has the file open.
    InUse(PathBuf),
    /// A newer Freshet wrote the file.
    Newer {
        /// The version of the file's tables.
        found: u64,
    },
    /// The bytes are no ledger, or no longer.
    Damaged(Box<redb::Error>),
    /// The database panicked on what it read, which a damaged file can make it do.
    Panicked,
    /// The disk refuses.
    Disk(io::Error),
    /// Any other answer of the database.
    Database(Box<redb::Error>),
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LedgerError::InUse(path) => {
                write!(f, "another process uses the ledger {}", path.display())
            }
            LedgerError::Newer { found } => write!(
                f,
                "a newer version wrote the ledger (its tables have version {found}, this program knows {SCHEMA})"
            ),
            LedgerError::Damaged(_) => f.write_str("the ledger is damaged"),
            LedgerError::Panicked => f.write_str("the ledger is damaged: the database panicked on it"),
            LedgerError::Disk(_) => f.write_str("the disk under the ledger refuses"),
            LedgerError::Database(_) => f.write_str("the ledger's database refuses"),
        }
    }
}

impl std::error::Error for LedgerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LedgerError::InUse(_) | LedgerError::Newer { .. } | LedgerError::Panicked => None,
            LedgerError::Damaged(source) | LedgerError::Database(source) => Some(source),
            LedgerError::Disk(source) => Some(source),
        }
    }
}

impl LedgerError {
    /// Whether another process has it, which may end.
    pub fn is_in_use(&self) -> bool {
        matches!(self, LedgerError::InUse(_))
    }

    /// Whether the file is to be moved aside.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self, LedgerError::Damaged(_) | LedgerError::Panicked)
    }
}

impl<E: Into<redb::Error>> From<E> for LedgerError {
    fn from(error: E) -> LedgerError {
        match error.into() {
            // redb reports a foreign file as invalid data, and a cut one as an end that it did not expect.
            redb::Error::Io(error)
                if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
            {
                LedgerError::Damaged(Box::new(redb::Error::Io(error)))
            }
            redb::Error::Io(error) => LedgerError::Disk(error),
            redb::Error::PreviousIo => LedgerError::Disk(io::Error::other("an earlier operation failed")),
            error @ (redb::Error::Corrupted(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TableDoesNotExist(_)) => LedgerError::Damaged(Box::new(error)),
            error => LedgerError::Database(Box::new(error)),
        }
    }
}

/// The error and what caused it, in one line.
pub(super) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}
