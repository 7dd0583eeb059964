//! The ledger's tables in redb, and the life of its file: made, opened, moved aside where it is damaged.
//!
//! One transaction writes what a group of changes needs, and everything in it may be written twice: rows carry
//! their id, counts and charges are totals and no increments, words and keys are written whole. That matters since a commit that reports an error may have
//! become durable all the same. After an I/O error redb refuses everything until the database was closed and
//! opened again; the ledger's thread does that. No lock of our own: one thread owns a [`Storage`].
//!
//! Cost: a transaction is one sync of the file (redb's one-phase commit, `Durability::Immediate`). Opening reads
//! the whole file once to check it, and the first time writes it anew where an older version's tables are in it
//! (`migration.rs`).

use std::fs::{self, File};
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::backends::InMemoryBackend;
use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition,
    TableError, WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{LedgerError, with_sources};
use super::migration;
use super::quota::Month;
use super::record::{Age, Record};
use super::request::RequestId;
use super::standing::Standing;
use super::unwritten::Unwritten;
use crate::limits;

/// The version of the tables below. A file with a newer one was written by a newer Freshet.
pub(super) const SCHEMA: u64 = 2;

/// `schema` → [`SCHEMA`].
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// (account, month) → purges charged.
const CHARGES: TableDefinition<(&str, u32), u64> = TableDefinition::new("charges");
/// (Unix µs, id) → a record as JSON: the history, oldest first.
type HistoryKey = (u64, &'static [u8; RequestId::BYTES]);
const HISTORY: TableDefinition<HistoryKey, &[u8]> = TableDefinition::new("history");
/// Id → Unix µs: where a record stands in the history.
type Id = &'static [u8; RequestId::BYTES];
const IDS: TableDefinition<Id, u64> = TableDefinition::new("ids");
/// Account → the operator's word on its allowance, as JSON.
const WORDS: TableDefinition<&str, &[u8]> = TableDefinition::new("allowances");
/// Id → a stored key as JSON.
const KEYS: TableDefinition<&str, &[u8]> = TableDefinition::new("keys");

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

/// How thoroughly a file is looked at when it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Every page; the check itself needs a commit.
    Full,
    /// What redb needs: after an I/O error it repairs, else it trusts.
    Trust,
}

/// A part of the history.
#[derive(Debug)]
pub(super) struct Older {
    /// Newest first. One that can't be read has its place alone.
    pub(super) rows: Vec<(Age, Option<Record>)>,
    /// There are none beyond them.
    pub(super) ended: bool,
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
        let found = match self.read()?.open_table(META) {
            Ok(meta) => meta.get("schema")?.map(|version| version.value()),
            Err(TableError::TableDoesNotExist(_)) => Some(0),
            Err(error) => return Err(error.into()),
        };
        match found {
            Some(SCHEMA) => Ok(()),
            Some(found @ 0..SCHEMA) => self.transact(|transaction| {
                transaction.open_table(META)?.insert("schema", SCHEMA)?;
                transaction.open_table(CHARGES)?;
                transaction.open_table(WORDS)?;
                transaction.open_table(KEYS)?;
                let mut history = History::open(transaction)?;
                if found == 1 {
                    let rows = migration::from_1(transaction, |record| history.insert(&record))?;
                    tracing::info!(rows, "ledger: its rows were brought over from an older version's tables");
                }
                Ok(())
            }),
            Some(found) => Err(LedgerError::Newer { found }),
            None => Err(redb::Error::Corrupted("the version of the tables is missing".into()).into()),
        }
    }

    /// What counts now.
    pub(super) fn standing(&self) -> Result<Standing, LedgerError> {
        guarded(|| {
            let transaction = self.read()?;
            let mut standing = Standing::default();
            for entry in transaction.open_table(CHARGES)?.iter()? {
                let (key, total) = entry?;
                let (account, month) = key.value();
                standing.totals.insert((account.into(), Month::from_number(month)), total.value());
            }
            for entry in transaction.open_table(WORDS)?.iter()? {
                let (account, word) = entry?;
                if let Some(word) = decoded(word.value()) {
                    standing.words.insert(account.value().into(), word);
                }
            }
            for entry in transaction.open_table(KEYS)?.iter()? {
                let (id, key) = entry?;
                if let Some(key) = decoded(key.value()) {
                    standing.keys.insert(id.value().into(), key);
                }
            }
            Ok(standing)
        })
    }

    /// Writes all that waits, in one transaction that is durable when this returns.
    pub(super) fn write(&self, unwritten: &Unwritten, standing: &Standing) -> Result<(), LedgerError> {
        self.transact(|transaction| {
            let mut history = History::open(transaction)?;
            for record in unwritten.rows() {
                history.insert(record)?;
            }
            for (id, update) in unwritten.updates() {
                // A row that was given up, or left for its age, needs none.
                if let Some(mut record) = find(&history.ids, &history.rows, id)? {
                    update.apply(&mut record);
                    history.replace(&record)?;
                }
            }
            let mut charges = transaction.open_table(CHARGES)?;
            for charge in &unwritten.charges {
                let (account, month) = charge;
                let total = standing.totals.get(charge).copied().unwrap_or(0);
                charges.insert((account.as_ref(), month.number()), total)?;
            }
            // Whole, since there are few: what left is in no list of what waits.
            if unwritten.words {
                replace(&mut transaction.open_table(WORDS)?, &standing.words)?;
            }
            if unwritten.keys {
                replace(&mut transaction.open_table(KEYS)?, &standing.keys)?;
            }
            Ok(())
        })
    }

    /// The record with this id.
    pub(super) fn find(&self, id: RequestId) -> Result<Option<Record>, LedgerError> {
        guarded(|| {
            let transaction = self.read()?;
            find(&transaction.open_table(IDS)?, &transaction.open_table(HISTORY)?, id)
        })
    }

    /// The rows that are older than `before`, newest first: at most [`limits::LEDGER_SLICE_ROWS`], and no more after
    /// [`limits::LEDGER_SLICE_BYTES`] of them.
    pub(super) fn older(&self, before: Option<Age>) -> Result<Older, LedgerError> {
        guarded(|| {
            let rows = self.read()?.open_table(HISTORY)?;
            let end = before
                .as_ref()
                .map_or(Bound::Unbounded, |(at_us, id)| Bound::Excluded((*at_us, id.as_bytes())));
            let mut records = Vec::new();
            let mut bytes = 0;
            for row in rows.range::<HistoryRange<'_>>((Bound::Unbounded, end))?.rev() {
                if records.len() >= limits::LEDGER_SLICE_ROWS || bytes >= limits::LEDGER_SLICE_BYTES {
                    return Ok(Older { rows: records, ended: false });
                }
                let (age, json) = row?;
                let (at_us, id) = age.value();
                bytes += json.value().len();
                records.push(((at_us, RequestId::from_bytes(*id)), decoded(json.value())));
            }
            Ok(Older { rows: records, ended: true })
        })
    }

    /// Removes rows from before `before_unix_us`, at most [`limits::LEDGER_PRUNE_ROWS`], and charges from before
    /// its month. Returns how many rows left.
    pub(super) fn prune(&self, before_unix_us: u64) -> Result<usize, LedgerError> {
        let first_kept = Month::containing(before_unix_us / 1_000_000);
        self.transact(|transaction| {
            let mut history = History::open(transaction)?;
            let mut removed = 0;
            while removed < limits::LEDGER_PRUNE_ROWS && history.remove_oldest(before_unix_us)? {
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

/// A key of the history with a life of its own, for ranges.
type HistoryRange<'key> = (u64, &'key [u8; RequestId::BYTES]);

/// The two tables of the history, in a transaction that writes. They always have the same ids.
struct History<'transaction> {
    rows: Table<'transaction, HistoryKey, &'static [u8]>,
    ids: Table<'transaction, Id, u64>,
}

impl<'transaction> History<'transaction> {
    fn open(transaction: &'transaction WriteTransaction) -> Result<History<'transaction>, LedgerError> {
        Ok(History { rows: transaction.open_table(HISTORY)?, ids: transaction.open_table(IDS)? })
    }

    fn insert(&mut self, record: &Record) -> Result<(), LedgerError> {
        self.ids.insert(record.id.as_bytes(), record.created_at_us)?;
        self.replace(record)
    }

    /// Writes a record that is there once more. It keeps its place, so no page of `ids` is written.
    fn replace(&mut self, record: &Record) -> Result<(), LedgerError> {
        self.rows.insert((record.created_at_us, record.id.as_bytes()), encoded(record).as_slice())?;
        Ok(())
    }

    /// Whether there was one from before `before_unix_us`.
    fn remove_oldest(&mut self, before_unix_us: u64) -> Result<bool, LedgerError> {
        let oldest = self.rows.first()?.map(|(key, _)| {
            let (at_us, id) = key.value();
            (at_us, *id)
        });
        let Some((at_us, id)) = oldest.filter(|(at_us, _)| *at_us < before_unix_us) else { return Ok(false) };
        self.rows.remove((at_us, &id))?;
        if self.ids.remove(&id)?.is_none() {
            return Err(redb::Error::Corrupted("a row of the history has no id".into()).into());
        }
        Ok(true)
    }
}

fn find(
    ids: &impl ReadableTable<Id, u64>,
    rows: &impl ReadableTable<HistoryKey, &'static [u8]>,
    id: RequestId,
) -> Result<Option<Record>, LedgerError> {
    let Some(at_us) = ids.get(id.as_bytes())? else { return Ok(None) };
    let Some(json) = rows.get((at_us.value(), id.as_bytes()))? else {
        return Err(redb::Error::Corrupted("an id has no row in the history".into()).into());
    };
    Ok(decoded(json.value()))
}

/// Makes the table the map.
fn replace<T: Serialize>(
    table: &mut Table<'_, &'static str, &'static [u8]>,
    map: &std::collections::BTreeMap<Box<str>, T>,
) -> Result<(), LedgerError> {
    table.retain(|name, _| map.contains_key(name))?;
    for (name, value) in map {
        table.insert(name.as_ref(), encoded(value).as_slice())?;
    }
    Ok(())
}

fn encoded(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("records are structs of texts and numbers, with texts as keys")
}

/// Nothing where the JSON is none of ours. redb's checks have passed, so it is one row that went wrong: the rest is
/// not given up for it.
fn decoded<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    serde_json::from_slice(json)
        .inspect_err(|error| tracing::error!(%error, "ledger: a row can't be read and is passed over"))
        .ok()
}
