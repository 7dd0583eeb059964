//! Whether new requests should be sent here, and why not.
//!
//! A bit for each reason; clones share them. No lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Why no new requests should be sent here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum NotReady {
    /// Not all listeners and threads run yet.
    Starting = 1,
    /// The process ends: running answers are finished.
    Draining = 2,
    /// New work is refused for want of room.
    Overloaded = 4,
}

impl NotReady {
    /// All of them.
    pub const ALL: [NotReady; 3] = [NotReady::Starting, NotReady::Draining, NotReady::Overloaded];

    /// The word for it, in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            NotReady::Starting => "starting",
            NotReady::Draining => "draining",
            NotReady::Overloaded => "overloaded",
        }
    }
}

/// What stands against readiness: nothing at first.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

impl Readiness {
    /// From now on `reason` stands against it.
    pub fn hold(&self, reason: NotReady) {
        self.0.fetch_or(reason as u8, Ordering::Relaxed);
    }

    /// From now on it doesn't.
    pub fn release(&self, reason: NotReady) {
        self.0.fetch_and(!(reason as u8), Ordering::Relaxed);
    }

    /// What stands against it now; nothing where it is ready.
    pub fn reasons(&self) -> Vec<NotReady> {
        let bits = self.0.load(Ordering::Relaxed);
        NotReady::ALL.into_iter().filter(|reason| bits & *reason as u8 != 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_while_no_reason_stands_against_it() {
        let readiness = Readiness::default();
        let other = readiness.clone();
        assert_eq!(readiness.reasons(), []);
        other.hold(NotReady::Draining);
        other.hold(NotReady::Draining);
        other.hold(NotReady::Starting);
        assert_eq!(readiness.reasons(), [NotReady::Starting, NotReady::Draining]);
        readiness.release(NotReady::Starting);
        readiness.release(NotReady::Overloaded);
        assert_eq!(other.reasons(), [NotReady::Draining]);
    }
}
