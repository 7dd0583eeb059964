//! The ledger's tables in redb, and the life of its file: made, opened, moved aside where it is damaged.
//!
//! One transaction writes what a group of purges needs, and everything in it may be written twice: rows carry
//! their id, counts and charges are totals and no increments. That matters since a commit that reports an error may have
//! become durable all the same. After an I/O error redb refuses everything until the database was closed and
//! opened again; the ledger's thread does that. No lock of our own: one thread owns a [`Storage`].
//!
//! Cost: a transaction is one sync of the file (redb's one-phase commit, `Durability::Immediate`). Opening reads
//! the whole file once to check it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::backends::InMemoryBackend;
use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable, StorageError, Table,
    TableDefinition, TableError, WriteTransaction,
};

use super::quota::Month;
use super::request::{Counts, Record, RequestId, Status};
use crate::limits;

/// The version of the tables below. A file with a newer one was written by a newer Freshet.
const SCHEMA: u64 = 1;

/// `schema` → [`SCHEMA`].
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// (account, month) → purges charged.
const CHARGES: TableDefinition<(&str, u32), u64> = TableDefinition::new("charges");
/// Request id → account, URL, target, unix ms, completed, entries, bytes, counts are shared.
type Row<'row> = (&'row str, &'row str, &'row str, u64, bool, u64, u64, bool);
const REQUESTS: TableDefinition<&[u8; RequestId::BYTES], Row<'static>> = TableDefinition::new("requests");
/// (Unix ms, request id): the rows by age.
const BY_AGE: TableDefinition<(u64, &[u8; RequestId::BYTES]), ()> = TableDefinition::new("requests_by_age");

/// Purges charged, by account and month.
pub(super) type Totals = BTreeMap<(Box<str>, Month), u64>;

/// Where the tables lie.
#[derive(Clone, Debug)]
pub(super) enum Medium {
    /// In memory, gone with the process.
    Memory,
    /// In a file.
    File(PathBuf),
    /// In a disk that a test commands.
    #[cfg(test)]
    Disk(super::disk::Disk),
}

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
    /// Whether the file is to be moved aside.
    fn is_damage(&self) -> bool {
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

/// What waits to be written: of purges that are about to be acknowledged, or of those that a failing disk did
/// not take. Bounded by the ledger, which gives up the oldest rows, never a charge.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    /// New rows, oldest first.
    pub(super) rows: VecDeque<Record>,
    /// Bytes of the texts in `rows`.
    pub(super) bytes: usize,
    /// What sweeps removed, of rows here or on the disk; once for a request.
    pub(super) swept: HashMap<RequestId, Counts>,
    /// Totals that changed.
    pub(super) charges: BTreeSet<(Box<str>, Month)>,
}

impl Unwritten {
    pub(super) fn push(&mut self, record: Record) {
        self.bytes += text_bytes(&record);
        self.rows.push_back(record);
    }

    /// Gives the oldest row up.
    pub(super) fn drop_oldest(&mut self) {
        if let Some(record) = self.rows.pop_front() {
            self.bytes -= text_bytes(&record);
            self.swept.remove(&record.id);
        }
    }

    /// The record, where it waits here.
    pub(super) fn find(&self, id: RequestId) -> Option<Record> {
        let record = self.rows.iter().find(|record| record.id == id)?;
        Some(self.with_counts(record.clone()))
    }

    /// The record with the counts that wait for it.
    pub(super) fn with_counts(&self, mut record: Record) -> Record {
        if let Some(counts) = self.swept.get(&record.id) {
            record.status = Status::Completed;
            record.counts = *counts;
        }
        record
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.swept.is_empty() && self.charges.is_empty()
    }
}

fn text_bytes(record: &Record) -> usize {
    record.account.len() + record.url.len() + record.target.len()
}

/// How thoroughly a file is looked at when it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Every page; the check itself needs a commit.
    Full,
    /// What redb needs: after an I/O error it repairs, else it trusts.
    Trust,
}

/// An open database.
#[derive(Debug)]
pub(super) struct Storage {
    database: Database,
}

impl Storage {
    /// Opens the medium, making what is missing. A damaged file is moved aside and a new one made.
    pub(super) fn open(medium: &Medium, check: Check, unix_seconds: u64) -> Result<Storage, LedgerError> {
        let error = match Storage::try_open(medium, check) {
            Err(LedgerError::Disk(_)) if check == Check::Full => {
                // A full disk takes no commit of a check. Without one the ledger can be read at least.
                return Storage::open(medium, Check::Trust, unix_seconds);
            }
            Err(error) if error.is_damage() => error,
            other => return other,
        };
        let Medium::File(path) = medium else { return Err(error) };
        let aside = aside(path, unix_seconds);
        fs::rename(path, &aside).map_err(LedgerError::Disk)?;
        tracing::error!(
            ledger = %path.display(),
            moved_to = %aside.display(),
            error = %with_sources(&error),
            "the ledger is damaged; it was moved aside and a new one begins without what was in it"
        );
        Storage::try_open(medium, check)
    }

    fn try_open(medium: &Medium, check: Check) -> Result<Storage, LedgerError> {
        // Nothing is shared with the closure but the medium, which it reads alone.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let storage = Storage { database: open_database(medium, check)? };
            storage.ensure_schema()?;
            Ok(storage)
        }));
        opened.unwrap_or(Err(LedgerError::Panicked))
    }

    fn ensure_schema(&self) -> Result<(), LedgerError> {
        match self.read()?.open_table(META) {
            Ok(meta) => match meta.get("schema")?.map(|version| version.value()) {
                Some(SCHEMA) => Ok(()),
                Some(found) if found > SCHEMA => Err(LedgerError::Newer { found }),
                _ => Err(redb::Error::Corrupted("the version of the tables is missing".into()).into()),
            },
            Err(TableError::TableDoesNotExist(_)) => self.transact(|transaction| {
                transaction.open_table(META)?.insert("schema", SCHEMA)?;
                transaction.open_table(CHARGES)?;
                transaction.open_table(REQUESTS)?;
                transaction.open_table(BY_AGE)?;
                Ok(())
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// Every charge.
    pub(super) fn totals(&self) -> Result<Totals, LedgerError> {
        guarded(|| {
            let mut totals = Totals::new();
            for entry in self.read()?.open_table(CHARGES)?.iter()? {
                let (key, total) = entry?;
                let (account, month) = key.value();
                totals.insert((account.into(), Month::from_number(month)), total.value());
            }
            Ok(totals)
        })
    }

    /// Writes all that waits, in one transaction that is durable when this returns.
    pub(super) fn write(&self, unwritten: &Unwritten, totals: &Totals) -> Result<(), LedgerError> {
        self.transact(|transaction| {
            let mut requests = transaction.open_table(REQUESTS)?;
            let mut by_age = transaction.open_table(BY_AGE)?;
            for record in &unwritten.rows {
                insert(&mut requests, record)?;
                by_age.insert((record.at_unix_ms, record.id.as_bytes()), ())?;
            }
            for id in unwritten.swept.keys() {
                // A row that was given up, or left for its age, needs no counts.
                if let Some(record) = find(&requests, *id)? {
                    insert(&mut requests, &unwritten.with_counts(record))?;
                }
            }
            let mut charges = transaction.open_table(CHARGES)?;
            for charge in &unwritten.charges {
                let (account, month) = charge;
                let total = totals.get(charge).copied().unwrap_or(0);
                charges.insert((account.as_ref(), month.number()), total)?;
            }
            Ok(())
        })
    }

    /// The record of a request.
    pub(super) fn find(&self, id: RequestId) -> Result<Option<Record>, LedgerError> {
        guarded(|| find(&self.read()?.open_table(REQUESTS)?, id))
    }

    /// Removes rows from before `before_unix_ms`, at most [`limits::LEDGER_PRUNE_ROWS`], and charges from before
    /// its month. Returns how many rows left.
    pub(super) fn prune(&self, before_unix_ms: u64) -> Result<usize, LedgerError> {
        let first_kept = Month::containing(before_unix_ms / 1000);
        self.transact(|transaction| {
            let mut requests = transaction.open_table(REQUESTS)?;
            let mut by_age = transaction.open_table(BY_AGE)?;
            let mut removed = 0;
            while removed < limits::LEDGER_PRUNE_ROWS {
                let oldest = by_age.first()?.map(|(key, _)| {
                    let (at_unix_ms, id) = key.value();
                    (at_unix_ms, *id)
                });
                let Some((at_unix_ms, id)) = oldest.filter(|(at_unix_ms, _)| *at_unix_ms < before_unix_ms)
                else {
                    break;
                };
                by_age.remove((at_unix_ms, &id))?;
                if requests.remove(&id)?.is_none() {
                    return Err(redb::Error::Corrupted("a row by age has no request".into()).into());
                }
                removed += 1;
            }
            let mut charges = transaction.open_table(CHARGES)?;
            charges.retain(|(_, month), _| Month::from_number(month) >= first_kept)?;
            Ok(removed)
        })
    }

    fn read(&self) -> Result<ReadTransaction, LedgerError> {
        Ok(self.database.begin_read()?)
    }

    fn transact<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        guarded(|| {
            let transaction = self.database.begin_write()?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })
    }
}

/// A panic of the database becomes an error: the thread that owns it must go on, and the database is opened anew
/// after any error.
fn guarded<T>(work: impl FnOnce() -> Result<T, LedgerError>) -> Result<T, LedgerError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(LedgerError::Panicked))
}

fn open_database(medium: &Medium, check: Check) -> Result<Database, LedgerError> {
    let mut builder = Database::builder();
    builder.set_cache_size(limits::LEDGER_CACHE_BYTES);
    builder.set_check_integrity_on_open(check == Check::Full);
    let path = match medium {
        Medium::Memory => return Ok(builder.create_with_backend(InMemoryBackend::new())?),
        Medium::File(path) => path,
        #[cfg(test)]
        Medium::Disk(disk) => return Ok(builder.create_with_backend(disk.open())?),
    };
    let is_new = !path.try_exists().map_err(LedgerError::Disk)?;
    let database = builder.create(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            LedgerError::InUse(path.clone())
        }
        error => error.into(),
    })?;
    if is_new {
        // The file's name must outlive a power cut like its contents.
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new("."))).map_err(LedgerError::Disk)?;
        folder.sync_all().map_err(LedgerError::Disk)?;
    }
    Ok(database)
}

/// `<name>.corrupt-<unix seconds>`
fn aside(path: &Path, unix_seconds: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".corrupt-{unix_seconds}"));
    name.into()
}

fn insert(
    requests: &mut Table<'_, &'static [u8; RequestId::BYTES], Row<'static>>,
    record: &Record,
) -> Result<(), StorageError> {
    let Counts { entries, bytes, shared } = record.counts;
    let completed = record.status == Status::Completed;
    let row: Row<'_> =
        (&record.account, &record.url, &record.target, record.at_unix_ms, completed, entries, bytes, shared);
    requests.insert(record.id.as_bytes(), row)?;
    Ok(())
}

fn find(
    requests: &impl ReadableTable<&'static [u8; RequestId::BYTES], Row<'static>>,
    id: RequestId,
) -> Result<Option<Record>, LedgerError> {
    let row = requests.get(id.as_bytes())?;
    Ok(row.map(|row| {
        let (account, url, target, at_unix_ms, completed, entries, bytes, shared) = row.value();
        Record {
            id,
            account: account.into(),
            url: url.into(),
            target: target.into(),
            at_unix_ms,
            status: if completed { Status::Completed } else { Status::Pending },
            counts: Counts { entries, bytes, shared },
        }
    }))
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
