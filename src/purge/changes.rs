//! Changes that an operator makes while the process runs: allowances, and the stored keys. Each is a row of the history.
//!
//! As a purge is, each is one critical section over the purger's state, and the disk is waited for after it: the memory
//! and the ledger have them in the same order, and a client that goes away leaves nothing or the whole.

use std::collections::BTreeMap;
use std::fmt;

use super::Purger;
use super::ledger::{Entry, Kept};
use super::record::{Change, Record};
use super::request::{By, RequestId};
use super::standing::{Effect, StoredKey, Word};
use crate::limits;

/// What becomes of an allowance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllowanceChange {
    /// Purges a month from now on, or no limit; left out, it stays as it is. It counts before the config's number until that
    /// one changes.
    pub limit: Option<Option<u64>>,
    /// Whether this month's count begins anew.
    pub reset: bool,
}

/// What was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Its row of the history.
    pub id: RequestId,
    /// Whether a kill could undo it.
    pub kept: Kept,
}

/// Why nothing was changed, but where `Unavailable` says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeError {
    /// Nothing was to be changed.
    Nothing,
    /// A note over [`limits::NOTE_BYTES_MAX`].
    NoteTooLong,
    /// There is a stored key with this id.
    KeyTaken,
    /// There is no stored key with this id.
    KeyUnknown,
    /// There are [`limits::STORED_KEYS_MAX`] stored keys.
    TooManyKeys,
    /// A key over [`limits::STORED_KEY_BYTES_MAX`].
    KeyTooLarge,
    /// There are no random numbers, or the process is about to end; then it may have taken place unrecorded.
    Unavailable,
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangeError::Nothing => f.write_str("nothing was to be changed"),
            ChangeError::NoteTooLong => write!(f, "the note is longer than {} bytes", limits::NOTE_BYTES_MAX),
            ChangeError::KeyTaken => f.write_str("there is a stored key with this id"),
            ChangeError::KeyUnknown => f.write_str("there is no stored key with this id"),
            ChangeError::TooManyKeys => {
                write!(f, "there are {} stored keys already", limits::STORED_KEYS_MAX)
            }
            ChangeError::KeyTooLarge => {
                write!(f, "the key takes more than {} bytes", limits::STORED_KEY_BYTES_MAX)
            }
            ChangeError::Unavailable => f.write_str("changes are not accepted now"),
        }
    }
}

impl std::error::Error for ChangeError {}

/// What a change comes to, once it has been found possible.
struct Plan {
    account: Option<Box<str>>,
    change: Change,
    effects: Vec<Effect>,
}

impl Purger {
    /// Raises, lowers, lifts or resets an account's allowance, from now on and over restarts.
    ///
    /// # Panics
    /// Where `account` is no index of the accounts that the purger was made with.
    pub async fn change_allowance(
        &self,
        account: usize,
        change: AllowanceChange,
        by: By,
        note: Option<Box<str>>,
    ) -> Result<Changed, ChangeError> {
        if change == AllowanceChange::default() {
            return Err(ChangeError::Nothing);
        }
        let roster = self.0.roster.load_full();
        let id = &roster.accounts[account];
        self.change(by, note, |state, now_us| {
            let before = state.quota.allowance(account, now_us / 1000);
            let (mut effects, mut said) = (Vec::new(), Vec::new());
            if let Some(limit) = change.limit {
                said.push(format!("limit {} → {}", or_none(before.limit), or_none(limit)));
                let word = Some(Word { limit, against: roster.limits_configured[account] });
                effects.push(Effect::Word { account: id.clone(), word });
                state.quota.set_limit(account, limit);
            }
            if change.reset {
                said.push(format!("used {} → 0", before.used));
                effects.push(Effect::Reset { account: id.clone(), month: before.month });
                state.quota.reset(account, before.month);
            }
            let change = Change::Allowance(said.join(", ").into());
            Ok(Plan { account: Some(id.clone()), change, effects })
        })
        .await
    }

    /// The keys that were made at run time, by their ids.
    pub fn stored_keys(&self) -> Vec<StoredKey> {
        self.0.state.lock().keys.values().cloned().collect()
    }

    /// Keeps a key. Its name alone stands in the history.
    pub async fn add_key(
        &self,
        key: StoredKey,
        by: By,
        note: Option<Box<str>>,
    ) -> Result<Changed, ChangeError> {
        let value_bytes = serde_json::to_vec(&key.value).map_or(usize::MAX, |json| json.len());
        if key.id.len() + key.name.len() + value_bytes > limits::STORED_KEY_BYTES_MAX {
            return Err(ChangeError::KeyTooLarge);
        }
        self.change(by, note, |state, _| {
            if state.keys.contains_key(&key.id) {
                return Err(ChangeError::KeyTaken);
            }
            if state.keys.len() >= limits::STORED_KEYS_MAX {
                return Err(ChangeError::TooManyKeys);
            }
            state.keys.insert(key.id.clone(), key.clone());
            let change = Change::Key(format!("{} added", key.name).into());
            let effects = vec![Effect::Key { id: key.id.clone(), key: Some(key.clone()) }];
            Ok(Plan { account: key.account.clone(), change, effects })
        })
        .await
    }

    /// Forgets a key.
    pub async fn remove_key(&self, id: &str, by: By, note: Option<Box<str>>) -> Result<Changed, ChangeError> {
        self.change(by, note, |state, _| {
            let key = state.keys.remove(id).ok_or(ChangeError::KeyUnknown)?;
            let change = Change::Key(format!("{} removed", key.name).into());
            let effects = vec![Effect::Key { id: key.id, key: None }];
            Ok(Plan { account: key.account, change, effects })
        })
        .await
    }

    /// `plan` changes the memory, or refuses and changes nothing.
    async fn change(
        &self,
        by: By,
        note: Option<Box<str>>,
        plan: impl FnOnce(&mut super::State, u64) -> Result<Plan, ChangeError>,
    ) -> Result<Changed, ChangeError> {
        let began = self.0.clock.now();
        if note.as_ref().is_some_and(|note| note.len() > limits::NOTE_BYTES_MAX) {
            return Err(ChangeError::NoteTooLong);
        }
        let id = RequestId::random().map_err(|_| ChangeError::Unavailable)?;
        // Leaving here leaves nothing behind.
        let place = self.0.ledger.place().await.ok_or(ChangeError::Unavailable)?;
        let recorded = {
            let state = &mut *self.0.state.lock();
            let created_at_us = state.stamp(&self.0.clock);
            let Plan { account, change, effects } = plan(state, created_at_us)?;
            let record = Record { id, account, by, note, created_at_us, change };
            // Under the lock: the ledger has changes of one thing in the order in which they were made.
            self.0.ledger.record(place, Entry { record: Some((record, began)), effects })
        };
        // Leaving here leaves the whole change.
        let kept = recorded.await.map_err(|_| ChangeError::Unavailable)?;
        Ok(Changed { id, kept })
    }
}

fn or_none(limit: Option<u64>) -> String {
    limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string())
}

/// The numbers that count when accounts come: the operator's word where it was set against the config's number as it is, and the
/// config's elsewhere. The second value takes back the words that no longer count.
pub(super) fn limits_at_start(
    accounts: &[Box<str>],
    configured: &[Option<u64>],
    words: &BTreeMap<Box<str>, Word>,
) -> (Vec<Option<u64>>, Vec<Effect>) {
    let mut taken_back = Vec::new();
    let mut counting = configured.to_vec();
    for (id, number) in accounts.iter().zip(&mut counting) {
        match words.get(id) {
            Some(word) if word.against == *number => *number = word.limit,
            Some(_) => taken_back.push(Effect::Word { account: id.clone(), word: None }),
            None => {}
        }
    }
    (counting, taken_back)
}
