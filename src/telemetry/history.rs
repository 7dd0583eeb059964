//! The last hours in steps of ten seconds: what the plots of an overview show.
//!
//! A ring of samples, bounded by `HISTORY_SAMPLES`. Who has a clock ticks it, once a second or so; a step is closed
//! by the first tick after its end, and has what was counted since the last one. Steps in which nobody ticked are
//! empty. Lock: `ring`, a leaf, taken by ticks and by readers, never by a request.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;

use super::Metrics;
use super::histogram::Counts;
use crate::clock::Moment;
use crate::limits::{HISTORY_SAMPLES, HISTORY_STEP};

/// What is not counted but looked at, when a step ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauges {
    /// Keys stored.
    pub entries: u64,
    /// Their weight in bytes.
    pub bytes: u64,
    /// Purge requests since the start.
    pub purges: u64,
}

/// What was counted in one step, and how things stood at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Requests that were answered.
    pub requests: u64,
    /// Those that were hits.
    pub hits: u64,
    /// Bytes of bodies sent.
    pub bytes_sent: u64,
    /// Those that came from the store.
    pub bytes_from_cache: u64,
    /// Half of the answers took no longer, in microseconds; 0 without any.
    pub p50_us: u64,
    /// 99 of a hundred took no longer.
    pub p99_us: u64,
    /// Keys stored at its end.
    pub entries: u64,
    /// Their weight in bytes.
    pub bytes: u64,
    /// Purge requests.
    pub purges: u64,
}

/// See the module.
pub struct History {
    begun: Moment,
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    samples: VecDeque<Sample>,
    /// Steps closed since the beginning, kept or not.
    closed: u64,
    /// The sums so far, at the end of the last one.
    sums: Sample,
    latency: Counts,
}

impl History {
    /// Without a step.
    pub fn new(now: Moment) -> History {
        History { begun: now, ring: Mutex::default() }
    }

    /// Closes the steps that have ended.
    pub fn tick(&self, now: Moment, metrics: &Metrics, gauges: Gauges) {
        let ended = self.ended(now);
        let ring = &mut *self.ring.lock();
        if ended <= ring.closed {
            return;
        }
        let empty = Sample { entries: gauges.entries, bytes: gauges.bytes, ..Sample::default() };
        for _ in 0..(ended - ring.closed - 1).min(HISTORY_SAMPLES as u64) {
            ring.push(empty);
        }
        let latency = metrics.latency.counts();
        let times = latency.since(&ring.latency);
        let sums = Sample {
            requests: metrics.requests.get(),
            hits: metrics.hits.get(),
            bytes_sent: metrics.bytes_sent.get(),
            bytes_from_cache: metrics.bytes_from_cache.get(),
            purges: gauges.purges,
            ..empty
        };
        let before = std::mem::replace(&mut ring.sums, sums);
        ring.push(Sample {
            requests: sums.requests - before.requests,
            hits: sums.hits - before.hits,
            bytes_sent: sums.bytes_sent - before.bytes_sent,
            bytes_from_cache: sums.bytes_from_cache - before.bytes_from_cache,
            purges: sums.purges - before.purges,
            p50_us: times.percentile(50).unwrap_or(0),
            p99_us: times.percentile(99).unwrap_or(0),
            ..sums
        });
        ring.latency = latency;
        ring.closed = ended;
    }

    /// The last `count` samples that there are, the oldest first, and how long ago the first of them began.
    pub fn last(&self, count: usize, now: Moment) -> (Vec<Sample>, Duration) {
        let ring = self.ring.lock();
        let samples: Vec<_> =
            ring.samples.iter().skip(ring.samples.len().saturating_sub(count)).copied().collect();
        let steps = u32::try_from(ring.closed - samples.len() as u64).unwrap_or(u32::MAX);
        let began = self.begun.plus(HISTORY_STEP.saturating_mul(steps));
        (samples, now.since(began))
    }

    /// Steps that have ended.
    fn ended(&self, now: Moment) -> u64 {
        now.since(self.begun).as_secs() / HISTORY_STEP.as_secs()
    }
}

impl Ring {
    fn push(&mut self, sample: Sample) {
        if self.samples.len() == HISTORY_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn each_step_has_what_was_counted_in_it() {
        let (clock, metrics) = (Clock::manual(1_700_000_000), Metrics::default());
        let history = History::new(clock.now());
        let answer = |us, hit| {
            metrics.requests.increment();
            metrics.hits.add(u64::from(hit));
            metrics.bytes_sent.add(100);
            metrics.bytes_from_cache.add(if hit { 100 } else { 0 });
            metrics.latency.record(Duration::from_micros(us));
        };
        let tick = |after_s, entries, purges| {
            clock.advance(Duration::from_secs(after_s));
            history.tick(clock.now(), &metrics, Gauges { entries, bytes: entries * 10, purges });
        };
        tick(9, 1, 0);
        assert_eq!(history.last(9, clock.now()).0, [], "no step has ended");
        answer(4, true);
        answer(9, false);
        tick(1, 2, 3);
        answer(7, true);
        tick(31, 5, 4);

        let (samples, ago) = history.last(9, clock.now());
        let quiet = Sample { entries: 5, bytes: 50, ..Sample::default() };
        let first = Sample {
            requests: 2,
            hits: 1,
            bytes_sent: 200,
            bytes_from_cache: 100,
            p50_us: 4,
            p99_us: 9,
            entries: 2,
            bytes: 20,
            purges: 3,
        };
        let last = Sample {
            requests: 1,
            hits: 1,
            bytes_sent: 100,
            bytes_from_cache: 100,
            p50_us: 7,
            p99_us: 7,
            entries: 5,
            bytes: 50,
            purges: 1,
        };
        assert_eq!(samples, [first, quiet, quiet, last]);
        assert_eq!(ago, Duration::from_secs(41));
        assert_eq!(history.last(1, clock.now()), (vec![last], Duration::from_secs(11)));
    }

    #[test]
    fn the_oldest_samples_leave() {
        let (clock, metrics) = (Clock::manual(1_700_000_000), Metrics::default());
        let history = History::new(clock.now());
        for at in 0..HISTORY_SAMPLES as u64 + 5 {
            clock.advance(HISTORY_STEP);
            history.tick(clock.now(), &metrics, Gauges { entries: at, ..Gauges::default() });
        }
        let (samples, ago) = history.last(usize::MAX, clock.now());
        assert_eq!((samples.len(), samples[0].entries), (HISTORY_SAMPLES, 5));
        assert_eq!(ago, HISTORY_STEP * HISTORY_SAMPLES as u32);
        clock.advance(Duration::from_secs(1 << 30));
        history.tick(clock.now(), &metrics, Gauges::default());
        let (samples, ago) = history.last(usize::MAX, clock.now());
        assert_eq!((samples.len(), samples[0].entries), (HISTORY_SAMPLES, 0), "years without a tick");
        assert!(ago < HISTORY_STEP * (HISTORY_SAMPLES as u32 + 1));
    }
}
