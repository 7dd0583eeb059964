//! What was purged is fetched again: what was asked for, how far it is, and which of it waits.
//!
//! Values, and the table of warmings that have not ended; it has no lock of its own, it lies in the purger's state. A
//! warming is in the table from its request's acceptance to its end; its record is written then, so one that the ledger
//! has as waiting or running, and that is not in the table, ended with its process. Bounded by
//! [`limits::WARMINGS_MAX`]: a purge over it takes place, and its warming is cancelled from the start.

use std::collections::{HashMap, HashSet, VecDeque};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::request::RequestId;
use crate::cache::Hot;
use crate::limits;

/// What of a purge is to be fetched again, and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warm {
    max: usize,
    per_second: u32,
}

impl Default for Warm {
    fn default() -> Warm {
        Warm { max: limits::WARM_KEYS_DEFAULT, per_second: limits::WARM_PER_SECOND_DEFAULT }
    }
}

impl Warm {
    /// At most `max` of what is purged, so many a second. Nothing outside of 1 to [`limits::WARM_KEYS_MAX`], and of 1 to
    /// [`limits::WARM_PER_SECOND_MAX`].
    pub fn new(max: usize, per_second: u32) -> Option<Warm> {
        let fits = (1..=limits::WARM_KEYS_MAX).contains(&max)
            && (1..=limits::WARM_PER_SECOND_MAX).contains(&per_second);
        fits.then_some(Warm { max, per_second })
    }

    pub(super) fn max(self) -> usize {
        self.max
    }

    pub(super) fn per_second(self) -> u32 {
        self.per_second
    }
}

/// How far a warming is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WarmProgress {
    /// Where it stands.
    pub state: WarmState,
    /// How much is to be fetched; 0 before the sweeps have ended.
    pub planned: u64,
    /// How much came.
    pub done: u64,
    /// How much did not.
    pub failed: u64,
}

/// The life of a warming.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarmState {
    /// For the request's sweeps, or for others' warmings.
    #[default]
    Waiting,
    /// It fetches.
    Running,
    /// All was fetched, or tried.
    Done,
    /// Somebody ended it, or the process ended, or there were too many.
    Cancelled,
}

impl WarmState {
    /// The word for it, in calls and records.
    pub fn as_str(self) -> &'static str {
        match self {
            WarmState::Waiting => "waiting",
            WarmState::Running => "running",
            WarmState::Done => "done",
            WarmState::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will come of it.
    pub fn has_ended(self) -> bool {
        matches!(self, WarmState::Done | WarmState::Cancelled)
    }
}

/// Warmings that have not ended.
#[derive(Debug, Default)]
pub(super) struct Warmings {
    by_id: HashMap<RequestId, Warming>,
    /// Those whose sweeps have ended, in this order.
    ready: VecDeque<RequestId>,
}

#[derive(Debug)]
struct Warming {
    account: usize,
    warm: Warm,
    progress: WarmProgress,
    hottest: Vec<Hot>,
    /// Dropped with the warming: that ends its fetches.
    goes_on: watch::Sender<()>,
}

/// A warming's work.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) id: RequestId,
    pub(super) warm: Warm,
    /// Hottest first.
    pub(super) hottest: Vec<Hot>,
    /// Fails when the warming was cancelled.
    pub(super) goes_on: watch::Receiver<()>,
}

impl Warmings {
    /// Enters a warming, where there is room for it.
    pub(super) fn begin(&mut self, id: RequestId, account: usize, warm: Warm) -> WarmProgress {
        let progress = WarmProgress::default();
        if self.by_id.len() >= limits::WARMINGS_MAX {
            return WarmProgress { state: WarmState::Cancelled, ..progress };
        }
        let goes_on = watch::Sender::new(());
        self.by_id.insert(id, Warming { account, warm, progress, hottest: Vec::new(), goes_on });
        progress
    }

    /// How far it is; nothing where it has ended, or there was none.
    pub(super) fn progress(&self, id: RequestId) -> Option<WarmProgress> {
        self.by_id.get(&id).map(|warming| warming.progress)
    }

    /// Adds what one of the request's sweeps removed, and keeps the hottest.
    pub(super) fn gather(&mut self, id: RequestId, hottest: Vec<Hot>) {
        let Some(warming) = self.by_id.get_mut(&id).filter(|_| !hottest.is_empty()) else { return };
        warming.hottest.extend(hottest);
        warming.hottest.sort_by_key(|hot| std::cmp::Reverse(hot.hits));
        // Two targets may cover one variant, and what was fetched between their sweeps is removed twice.
        let mut seen = HashSet::new();
        warming.hottest.retain(|hot| seen.insert((hot.key.clone(), format!("{:?}", hot.fields))));
        warming.hottest.truncate(warming.warm.max);
    }

    /// The request's sweeps have ended. Its end, where nothing is to be fetched.
    pub(super) fn ready(&mut self, id: RequestId) -> Option<WarmProgress> {
        let warming = self.by_id.get_mut(&id)?;
        warming.progress.planned = warming.hottest.len() as u64;
        if warming.hottest.is_empty() {
            return self.end(id, WarmState::Done);
        }
        self.ready.push_back(id);
        None
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The work that has waited longest; it runs from now on.
    pub(super) fn start_next(&mut self) -> Option<Work> {
        while let Some(id) = self.ready.pop_front() {
            let Some(warming) = self.by_id.get_mut(&id) else { continue };
            warming.progress.state = WarmState::Running;
            let hottest = std::mem::take(&mut warming.hottest);
            return Some(Work { id, warm: warming.warm, hottest, goes_on: warming.goes_on.subscribe() });
        }
        None
    }

    /// Counts a fetch of it.
    pub(super) fn fetched(&mut self, id: RequestId, fetched: Fetched) {
        let Some(warming) = self.by_id.get_mut(&id) else { return };
        match fetched {
            Fetched::Done => warming.progress.done += 1,
            Fetched::Failed => warming.progress.failed += 1,
        }
        let WarmProgress { planned, done, failed, .. } = warming.progress;
        assert!(done + failed <= planned, "each is fetched once");
    }

    /// Takes it out of the table, with what is to be recorded; nothing where it has ended before.
    pub(super) fn end(&mut self, id: RequestId, state: WarmState) -> Option<WarmProgress> {
        assert!(state.has_ended(), "what goes on stays in the table");
        self.by_id.remove(&id).map(|warming| WarmProgress { state, ..warming.progress })
    }

    /// Whether this account, where one is given, has it.
    pub(super) fn has(&self, id: RequestId, account: Option<usize>) -> bool {
        let warming = self.by_id.get(&id);
        warming.is_some_and(|warming| account.is_none_or(|account| account == warming.account))
    }

    /// All that have not ended.
    pub(super) fn ids(&self) -> Vec<RequestId> {
        self.by_id.keys().copied().collect()
    }
}

/// What became of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// An answer came, whole, and it is no error.
    Done,
    /// None came, or an error.
    Failed,
}
