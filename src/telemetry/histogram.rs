//! How long things took: a log-linear histogram of microseconds.
//!
//! Below 16 µs each has a bucket; above, each power of two has 16, so that what is told is at most a sixteenth too
//! long. What takes over two minutes counts as that. Of fixed size; recording is one relaxed addition in a shard of
//! the thread, and allocates nothing. Invariant: a bucket only grows.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::shards::Shards;

/// Buckets of a power of two, as a power of two.
const FINENESS: u32 = 4;
const FINE: u64 = 1 << FINENESS;
/// The highest power of two that has buckets: 2^26 µs is 67 s.
const POWER_MAX: u32 = 26;
/// The powers of two, in microseconds, that scrapers are told the counts within: 16 µs to 67 s. Each ends a bucket.
const BOUNDS: RangeInclusive<u32> = FINENESS..=POWER_MAX;
const BUCKETS: usize = ((POWER_MAX - FINENESS + 2) as usize) << FINENESS;

/// See the module.
#[derive(Debug)]
pub struct Histogram(Shards<[AtomicU64; BUCKETS]>);

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram(Shards::new(|| std::array::from_fn(|_| AtomicU64::new(0))))
    }
}

impl Histogram {
    /// Counts a time.
    pub fn record(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.own()[bucket(us)].fetch_add(1, Ordering::Relaxed);
    }

    /// What has been counted so far.
    pub fn counts(&self) -> Counts {
        let mut counts = vec![0; BUCKETS].into_boxed_slice();
        for shard in self.0.all() {
            for (sum, count) in counts.iter_mut().zip(shard) {
                *sum += count.load(Ordering::Relaxed);
            }
        }
        Counts(counts)
    }
}

/// A histogram's counts at one moment, or between two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts(Box<[u64]>);

impl Default for Counts {
    fn default() -> Counts {
        Counts(vec![0; BUCKETS].into())
    }
}

impl Counts {
    /// What was counted after `earlier`, a moment of the same histogram.
    pub fn since(&self, earlier: &Counts) -> Counts {
        Counts(self.0.iter().zip(&earlier.0).map(|(now, before)| now.saturating_sub(*before)).collect())
    }

    /// So many within each of `BOUNDS`, in seconds, and above all of them (infinity), each time once; and the sum of the
    /// times, taken as the middle of their buckets: a sixteenth off at most.
    pub fn in_seconds(&self) -> (Vec<(f64, u64)>, f64) {
        let (mut buckets, mut from) = (Vec::new(), 0);
        for power in BOUNDS {
            let to = bucket(1 << power);
            buckets.push(((1_u64 << power) as f64 / 1e6, self.0[from..to].iter().sum()));
            from = to;
        }
        buckets.push((f64::INFINITY, self.0[from..].iter().sum()));
        let middle = |at: usize| {
            let shortest = if at == 0 { 0 } else { longest(at - 1) + 1 };
            (shortest + longest(at) + 1) as f64 / 2.0
        };
        let sum_us: f64 = self.0.iter().enumerate().map(|(at, count)| *count as f64 * middle(at)).sum();
        (buckets, sum_us / 1e6)
    }

    /// How many times it has.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The time that so many of a hundred did not exceed, in microseconds: the bucket's longest. Nothing without any.
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let rank = (self.total() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let at = self.0.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(longest(at))
    }
}

fn bucket(us: u64) -> usize {
    let us = us.min((2 << POWER_MAX) - 1);
    if us < FINE {
        return us as usize;
    }
    let power = us.ilog2();
    ((power - FINENESS + 1) as usize) << FINENESS | (us >> (power - FINENESS) & (FINE - 1)) as usize
}

/// The longest time of a bucket, in microseconds.
fn longest(bucket: usize) -> u64 {
    let (octave, place) = (bucket as u64 >> FINENESS, bucket as u64 & (FINE - 1));
    match octave.checked_sub(1) {
        None => place,
        Some(shift) => ((FINE + place + 1) << shift) - 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_bucket_has_its_longest_time_and_the_next_one_has_what_is_longer() {
        for at in 0..BUCKETS {
            assert_eq!(bucket(longest(at)), at);
            assert_eq!(bucket(longest(at) + 1), (at + 1).min(BUCKETS - 1));
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert!(longest(BUCKETS - 1) > 120_000_000);
    }

    #[test]
    fn scrapers_are_told_every_time_once_below_its_bound() {
        let histogram = Histogram::default();
        for us in [0, 15, 16, 31, 32, 1000, 67_108_863, 67_108_864, u64::MAX] {
            histogram.record(Duration::from_micros(us));
        }
        let (buckets, sum) = histogram.counts().in_seconds();
        assert_eq!(buckets[..3], [(0.000_016, 2), (0.000_032, 2), (0.000_064, 1)]);
        assert_eq!(buckets[6], (0.001_024, 1));
        assert_eq!(buckets[buckets.len() - 2..], [(67.108_864, 1), (f64::INFINITY, 2)]);
        assert_eq!(buckets.iter().map(|(_, count)| count).sum::<u64>(), 9);
        assert!((67.1 * 2.0..400.0).contains(&sum), "{sum}");
    }

    proptest! {
        #[test]
        fn the_sum_is_a_sixteenth_off_at_most(times in prop::collection::vec(16..60_000_000_u64, 1..50)) {
            let histogram = Histogram::default();
            times.iter().for_each(|us| histogram.record(Duration::from_micros(*us)));
            let (exact, told) = (times.iter().sum::<u64>() as f64 / 1e6, histogram.counts().in_seconds().1);
            prop_assert!((told - exact).abs() <= exact / 16.0, "{told} for {exact}");
        }

        #[test]
        fn percentile_is_that_of_the_sorted_list_or_a_sixteenth_more(
            mut times in prop::collection::vec(prop_oneof![0..20u64, 0..2000u64, 0..100_000_000u64], 1..200),
            percent in 0..=100u64,
        ) {
            let histogram = Histogram::default();
            times.iter().for_each(|us| histogram.record(Duration::from_micros(*us)));
            times.sort_unstable();
            let rank = (times.len() as u64 * percent).div_ceil(100).max(1);
            let exact = times[rank as usize - 1];
            let told = histogram.counts().percentile(percent).unwrap();
            prop_assert!(exact <= told && told <= exact + exact / FINE, "{told} for {exact}");
        }
    }

    #[test]
    fn what_is_counted_between_two_moments_is_their_difference() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_micros(3));
        let before = histogram.counts();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| histogram.record(Duration::from_micros(9)));
            }
        });
        let between = histogram.counts().since(&before);
        assert_eq!((between.total(), between.percentile(1), between.percentile(99)), (3, Some(9), Some(9)));
        assert_eq!(Counts::default().percentile(50), None);
    }
}
