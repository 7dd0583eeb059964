//! What counts now, beside the history: purges charged, the word of operators on allowances, the stored keys.
//!
//! Values alone. The ledger's thread has them as the disk has them, or will have when what waits is written; none of
//! it is ever given up. All of it is small: two months and a word for an account, [`limits::STORED_KEYS_MAX`] keys.
//!
//! [`limits::STORED_KEYS_MAX`]: crate::limits::STORED_KEYS_MAX

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::quota::Month;

/// Purges charged, by account and month.
pub(super) type Totals = BTreeMap<(Box<str>, Month), u64>;

/// All of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    pub(super) totals: Totals,
    /// By account.
    pub(super) words: BTreeMap<Box<str>, Word>,
    /// By their ids.
    pub(super) keys: BTreeMap<Box<str>, StoredKey>,
}

/// An operator's word on how often an account may purge. It counts until the config's number is another one than it
/// was set against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Word {
    /// Purges a month, or no limit.
    pub(super) limit: Option<u64>,
    /// The config's number then.
    pub(super) against: Option<u64>,
}

/// A key that was made at run time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKey {
    /// Its name in calls; no other stored key has it.
    pub id: Box<str>,
    /// Its name for people, which the history has.
    pub name: Box<str>,
    /// The id of the account that it belongs to; none where it is for all.
    pub account: Option<Box<str>>,
    /// What the control plane keeps of it, a hash in the place of the secret.
    pub value: Value,
}

/// A change of what counts. Applied twice it is applied once, but for a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// So many purges more.
    Charge { account: Box<str>, month: Month, purges: u64 },
    /// The account begins the month anew.
    Reset { account: Box<str>, month: Month },
    /// The operator's word, or none any more.
    Word { account: Box<str>, word: Option<Word> },
    /// A key comes, or one goes.
    Key { id: Box<str>, key: Option<StoredKey> },
}

impl Standing {
    pub(super) fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Charge { account, month, purges } => {
                let total = self.totals.entry((account, month)).or_insert(0);
                *total = total.saturating_add(purges);
            }
            Effect::Reset { account, month } => drop(self.totals.insert((account, month), 0)),
            Effect::Word { account, word } => put(&mut self.words, account, word),
            Effect::Key { id, key } => put(&mut self.keys, id, key),
        }
    }
}

fn put<T>(map: &mut BTreeMap<Box<str>, T>, name: Box<str>, value: Option<T>) {
    match value {
        Some(value) => drop(map.insert(name, value)),
        None => drop(map.remove(&name)),
    }
}
