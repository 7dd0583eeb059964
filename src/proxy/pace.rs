//! How fast a client takes what it is sent, and until when it may go on so: some progress in every `write_timeout`, and
//! a least rate over all that it was waited for. Pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::CLIENT_BYTES_PER_SECOND_MIN;

/// Of something that a client did not take at once.
pub struct Pace {
    /// When it last took some.
    progress: Instant,
    bytes: u64,
    /// Whether it takes nothing just now; and since when, or when it did so last.
    waits: bool,
    since: Instant,
    /// How long it took nothing before that, in all.
    waited: Duration,
}

impl Pace {
    /// Of what begins now.
    pub fn new(now: Instant) -> Pace {
        Pace { progress: now, bytes: 0, waits: false, since: now, waited: Duration::ZERO }
    }

    /// The client takes nothing now.
    pub fn wait(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.waits, true) {
            self.since = now;
        }
    }

    /// It may take something again.
    pub fn go_on(&mut self, now: Instant) {
        if std::mem::take(&mut self.waits) {
            self.waited += now.saturating_duration_since(self.since);
        }
    }

    /// It has taken something.
    pub fn took(&mut self, bytes: usize, now: Instant) {
        self.go_on(now);
        self.progress = now;
        self.bytes += bytes as u64;
    }

    /// Whether it takes nothing just now.
    pub fn waits(&self) -> bool {
        self.waits
    }

    /// When it last took some.
    pub fn progress(&self) -> Instant {
        self.progress
    }

    /// Until when it may take nothing, while it is waited for.
    pub fn deadline(&self, write_timeout: Duration) -> Option<Instant> {
        let earned = Duration::from_secs(self.bytes / CLIENT_BYTES_PER_SECOND_MIN);
        let left = (write_timeout + earned).saturating_sub(self.waited);
        self.waits.then(|| self.since + left.min(write_timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_given_up_where_it_takes_nothing_for_the_time_out_or_too_little_in_all() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut pace = Pace::new(start);
        assert_eq!(pace.deadline(10 * second), None, "nobody waits for it");
        pace.wait(start + second);
        assert_eq!(pace.deadline(10 * second), Some(start + 11 * second));
        pace.took(1, start + 9 * second);
        pace.wait(start + 9 * second);
        assert_eq!(pace.deadline(10 * second), Some(start + 11 * second), "8 of 10 seconds were waited for");
        pace.took(4 * 1024, start + 10 * second);
        assert!(!pace.waits());
        pace.wait(start + 60 * second);
        assert_eq!(pace.deadline(10 * second), Some(start + 65 * second), "9 of 14 seconds were waited for");
        pace.took(1024 * 1024, start + 61 * second);
        pace.wait(start + 70 * second);
        assert_eq!(pace.deadline(10 * second), Some(start + 80 * second), "some progress in each time-out");
    }
}
