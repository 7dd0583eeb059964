//! Chooses a share of all that comes, evenly: with 0.25 every fourth of a thread's.

use std::sync::atomic::{AtomicU64, Ordering};

use super::shards::Shards;

/// See the module.
#[derive(Debug)]
pub struct Sample {
    /// Of 2^32.
    share: u64,
    sums: Shards<AtomicU64>,
}

impl Sample {
    /// A share from 0 to 1.
    pub fn new(share: f64) -> Sample {
        let share = (share.clamp(0.0, 1.0) * (1_u64 << 32) as f64).ceil() as u64;
        Sample { share, sums: Shards::new(AtomicU64::default) }
    }

    /// Whether the next one is chosen: where the sum of shares has passed a whole number. Costs an addition in a shard of
    /// the thread.
    pub fn next(&self) -> bool {
        if self.share == 1 << 32 {
            return true;
        }
        let before = self.sums.own().fetch_add(self.share, Ordering::Relaxed);
        (before >> 32) != (before.wrapping_add(self.share) >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_chosen_evenly() {
        for (share, of, expected) in [(1.0, 100, 100), (0.0, 100, 0), (0.25, 100, 25), (0.001, 10_000, 10)] {
            let sample = Sample::new(share);
            assert_eq!((0..of).filter(|_| sample.next()).count(), expected, "{share}");
        }
    }
}
