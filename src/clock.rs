//! Time: wall time for HTTP dates, monotonic time for ages and deadlines, and a manual clock for tests.
//!
//! The only file that reads the system's clocks (timers are tokio's). An age is a difference of two
//! [`Moment`]s, so a step of the wall clock makes no entry older, younger or immortal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in monotonic time, in microseconds; `BEGINNING_US` is when the clock was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

/// So much lies before the beginning of a clock: 142 years, for what was old when it came.
const BEGINNING_US: u64 = 1 << 52;

impl Moment {
    /// Time from `earlier` to this moment; zero where `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The moment `by` earlier; the earliest of all where that was even earlier.
    pub fn before(self, by: Duration) -> Moment {
        Moment(self.0.saturating_sub(micros(by)))
    }

    /// This moment, `by` later.
    pub fn plus(self, by: Duration) -> Moment {
        Moment(self.0.saturating_add(micros(by)))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Where time comes from. Cheap to clone; clones share a manual clock's hands.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { start: Instant },
    Manual(Arc<Hands>),
}

#[derive(Debug)]
struct Hands {
    unix_seconds: u64,
    elapsed_us: AtomicU64,
}

impl Clock {
    /// The system's clocks.
    pub fn system() -> Clock {
        Clock(Source::System { start: Instant::now() })
    }

    /// A clock that stands at `unix_seconds` until it is [advanced](Clock::advance).
    pub fn manual(unix_seconds: u64) -> Clock {
        let hands = Hands { unix_seconds, elapsed_us: AtomicU64::new(0) };
        Clock(Source::Manual(Arc::new(hands)))
    }

    /// Monotonic now. Costs one read of the clock.
    pub fn now(&self) -> Moment {
        match &self.0 {
            Source::System { start } => Moment(micros(start.elapsed()).saturating_add(BEGINNING_US)),
            Source::Manual(hands) => Moment(hands.elapsed_us.load(Ordering::SeqCst) + BEGINNING_US),
        }
    }

    /// The same for a reading of the system's clock that somebody has already made; costs none.
    pub fn at(&self, reading: Instant) -> Moment {
        match &self.0 {
            Source::System { start } => {
                Moment(micros(reading.saturating_duration_since(*start)).saturating_add(BEGINNING_US))
            }
            Source::Manual(_) => self.now(),
        }
    }

    /// Wall time, for dates and calendar months. May jump.
    pub fn wall(&self) -> SystemTime {
        match &self.0 {
            Source::System { .. } => SystemTime::now(),
            Source::Manual(hands) => {
                let elapsed = Duration::from_micros(hands.elapsed_us.load(Ordering::SeqCst));
                UNIX_EPOCH + Duration::from_secs(hands.unix_seconds) + elapsed
            }
        }
    }

    /// Moves a manual clock forward, both its wall time and its monotonic time.
    ///
    /// # Panics
    /// On the system's clock, which nobody moves.
    pub fn advance(&self, by: Duration) {
        let Source::Manual(hands) = &self.0 else { panic!("only a manual clock can be advanced") };
        hands.elapsed_us.fetch_add(micros(by), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advancing_moves_both_hands_of_every_clone() {
        let clock = Clock::manual(1_700_000_000);
        let (clone, before) = (clock.clone(), clock.now());
        clock.advance(Duration::from_secs(90));
        assert_eq!(clone.now().since(before), Duration::from_secs(90));
        assert_eq!(clone.wall(), UNIX_EPOCH + Duration::from_secs(1_700_000_090));
        assert_eq!(before.since(clone.now()), Duration::ZERO);
    }
}
