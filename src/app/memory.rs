//! The process's memory, watched: near the most that it may have, stored images are given up before the kernel ends it.
//!
//! `cache.max_bytes` bounds what is stored; clients and fetches take more. What is measured is the process's resident
//! memory and the file of large bodies, which is not in it; the allocator gives back what was freed within some ten seconds, so a step is followed by a pause.

use std::time::{Duration, Instant};

use crate::cache::Cache;
use crate::limits::{MEMORY_REFUSE_PERCENT, MEMORY_SHED_PERCENT, MEMORY_SHED_STEP_PERCENT};
use crate::proxy::Pressure;
use crate::telemetry::process;

/// Between two steps.
const PAUSE: Duration = Duration::from_secs(2);

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verdict {
    shed: bool,
    refuse: bool,
}

fn judge(used_bytes: u64, most_bytes: u64) -> Verdict {
    let over = |percent: u64| u128::from(used_bytes) * 100 >= u128::from(most_bytes) * u128::from(percent);
    Verdict { shed: over(MEMORY_SHED_PERCENT), refuse: over(MEMORY_REFUSE_PERCENT) }
}

/// See the module.
pub(super) struct Watch {
    shed_at: Option<Instant>,
}

impl Watch {
    pub(super) fn new() -> Watch {
        Watch { shed_at: None }
    }

    /// Looks, and does what is to be done. Nothing where the system doesn't tell.
    pub(super) fn look(&mut self, cache: &Cache, most_bytes: Option<u64>, pressure: &Pressure) {
        let (Some(resident), Some(most)) = (process::resident_bytes(), most_bytes) else { return };
        let used = resident + cache.file_bytes();
        let verdict = judge(used, most);
        if pressure.refuse(verdict.refuse) != verdict.refuse {
            match verdict.refuse {
                true => {
                    tracing::error!(used, most, "too little memory: new connections and fetches are refused")
                }
                false => {
                    tracing::info!(used, most, "memory is there again: connections and fetches are taken")
                }
            }
        }
        if verdict.shed && self.shed_at.is_none_or(|at| at.elapsed() >= PAUSE) {
            let step = cache.figures().bytes * MEMORY_SHED_STEP_PERCENT / 100;
            let freed = cache.shed(step);
            tracing::warn!(used, most, freed, "memory is short: stored images are given up");
            self.shed_at = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_images_are_given_up_at_95_percent_and_new_work_is_refused_at_98() {
        let verdict = |shed, refuse| Verdict { shed, refuse };
        #[rustfmt::skip]
        let table = [
            (0, verdict(false, false)), (949, verdict(false, false)), (950, verdict(true, false)),
            (979, verdict(true, false)), (980, verdict(true, true)), (u64::MAX, verdict(true, true)),
        ];
        for (used, expected) in table {
            assert_eq!(judge(used, 1000), expected, "{used} of 1000");
        }
    }
}
