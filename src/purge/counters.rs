//! What is counted of purges, for scrapers. Numbers alone; no lock.

use super::wish::{Named, Wish};
use crate::telemetry::Labelled;
use crate::telemetry::histogram::Histogram;

/// Targets by kind, and how long purges took. Repetitions of one and the same purge count once.
#[derive(Debug)]
pub struct Counters {
    /// Their fences stood.
    pub accepted: Labelled,
    /// Their sweeps have ended.
    pub completed: Labelled,
    /// Those of requests that were not accepted, and purged nothing.
    pub refused: Labelled,
    /// From the call to the last of a request's fences standing.
    pub visible: Histogram,
    /// From the call to the end of the last of a request's sweeps.
    pub swept: Histogram,
}

impl Default for Counters {
    fn default() -> Counters {
        let by_kind = || Labelled::new(&Named::KINDS);
        Counters {
            accepted: by_kind(),
            completed: by_kind(),
            refused: by_kind(),
            visible: Histogram::default(),
            swept: Histogram::default(),
        }
    }
}

impl Counters {
    /// What was wished for is not purged.
    pub fn refuse(&self, wishes: &[Wish]) {
        wishes.iter().for_each(|wish| self.refused.increment(wish.named.kind()));
    }
}
