//! What a purge would remove: counted, and nothing changed or charged.
//!
//! The store is walked on a blocking thread, one walk at a time in the process; others wait for their turn. A walk ends
//! soon after the caller went away. Cost: one step for each stored key under the targets, in slices between which hits go
//! first. What two of the targets cover is counted with each of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Allowance, PurgeError, Purger, Shared, Wish};
use crate::cache::Survey;
use crate::limits;
use crate::target::{Refusal, Target};

/// Counts what a purge of a target would find, and names so many of its keys, for as long as the last argument says
/// yes: [`crate::cache::Cache::survey`].
pub(super) type Surveyor = Box<dyn Fn(&Target, usize, &dyn Fn() -> bool) -> Survey + Send + Sync>;

/// What a purge would do.
#[derive(Debug)]
pub struct DryRun {
    /// Of each wish, in their order.
    pub targets: Vec<Result<Found, Refusal>>,
    /// The URLs of the first keys that it would remove, [`limits::DRY_RUN_KEYS_MAX`] at most.
    pub urls: Vec<String>,
    /// What may be purged this month; nothing of it was used.
    pub allowance: Allowance,
}

/// What a purge of one target would find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it covers, in canonical form.
    pub covers: String,
    /// Variants.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl DryRun {
    /// Variants, over all targets.
    pub fn entries(&self) -> u64 {
        self.found().map(|found| found.entries).sum()
    }

    /// Their bytes, over all targets.
    pub fn bytes(&self) -> u64 {
        self.found().map(|found| found.bytes).sum()
    }

    fn found(&self) -> impl Iterator<Item = &Found> {
        self.targets.iter().flatten()
    }
}

impl Purger {
    /// Judges the wishes, and counts what a purge of those that can be purged would find.
    ///
    /// # Panics
    /// Where `account` is no index of the accounts that the purger was made with.
    pub async fn dry_run(&self, account: usize, wishes: &[Wish]) -> Result<DryRun, PurgeError> {
        if wishes.is_empty() {
            return Err(PurgeError::NoTargets);
        }
        if wishes.len() > limits::PURGE_TARGETS_MAX {
            return Err(PurgeError::TooManyTargets);
        }
        let judged = self.judge(account, wishes);
        let turn = Arc::clone(&self.0.dry_runs).acquire_owned().await;
        let turn = turn.map_err(|_| PurgeError::Unavailable)?;
        // Whoever leaves ends the walk, and the walk holds the turn to its end.
        let waits = Waits(Arc::new(AtomicBool::new(true)));
        let (shared, still_waits) = (Arc::clone(&self.0), Arc::clone(&waits.0));
        let walk = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            shared.walk(judged, &|| still_waits.load(Ordering::Relaxed))
        });
        let (targets, urls) = walk.await.map_err(|_| PurgeError::Unavailable)?;
        drop(waits);
        Ok(DryRun { targets, urls, allowance: self.allowance(account) })
    }
}

type Walked = (Vec<Result<Found, Refusal>>, Vec<String>);

impl Shared {
    fn walk(&self, judged: Vec<Result<Target, Refusal>>, goes_on: &dyn Fn() -> bool) -> Walked {
        let mut keys = Vec::new();
        let mut seen = HashSet::new();
        let mut count = |target: Target| {
            let survey = (self.survey)(&target, limits::DRY_RUN_KEYS_MAX, goes_on);
            keys.extend(survey.keys.into_iter().filter(|key| seen.insert(key.clone())));
            keys.truncate(limits::DRY_RUN_KEYS_MAX);
            Found { covers: target.to_string(), entries: survey.entries, bytes: survey.bytes }
        };
        let targets = judged.into_iter().map(|judged| judged.map(&mut count)).collect();
        (targets, keys.iter().filter_map(|key| self.roster.load().endpoints.url_of(key)).collect())
    }
}

/// Says no when it is dropped.
struct Waits(Arc<AtomicBool>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
