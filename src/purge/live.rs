//! Requests whose sweeps have not ended, target by target.
//!
//! No lock of its own: it lies in the purger's state. A request is live from its first fence to the end of its last
//! sweep. Bounded by [`limits::PURGES_LIVE_MAX`] sweeps; the counts of a request are those of its targets.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::micros;
use super::record::{Purge, Update};
use super::request::{Counts, RequestId, Status};
use crate::clock::Moment;
use crate::limits;

#[derive(Debug, Default)]
pub(super) struct Live {
    requests: HashMap<RequestId, LiveRequest>,
    /// Sweeps that were ordered and have not ended, of requests that are no longer live too.
    sweeps: usize,
}

#[derive(Debug)]
pub(super) struct LiveRequest {
    pub(super) account: usize,
    began: Moment,
    targets: Box<[LiveTarget]>,
}

#[derive(Clone, Debug, Default)]
struct LiveTarget {
    /// One, and one more for each retry.
    sweeps: u32,
    counts: Counts,
}

/// Whom a fence is raised for, and who is to be told when its sweep has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fence {
    /// A target of a live request.
    Counted,
    /// A retry of a request whose sweeps have ended: it stays completed, with the counts that it has.
    Repeated,
}

impl Live {
    pub(super) fn has_room_for(&self, targets: usize) -> bool {
        self.sweeps + targets <= limits::PURGES_LIVE_MAX
    }

    /// Requests.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn get(&self, id: RequestId) -> Option<&LiveRequest> {
        self.requests.get(&id)
    }

    /// Enters a request; its fences follow.
    pub(super) fn begin(&mut self, id: RequestId, account: usize, targets: usize, began: Moment) {
        let targets = vec![LiveTarget::default(); targets].into();
        let before = self.requests.insert(id, LiveRequest { account, began, targets });
        assert!(before.is_none(), "an id is new for a new request");
    }

    /// Enters a fence over one of its targets.
    pub(super) fn raise(&mut self, id: RequestId, target: usize) -> Fence {
        self.sweeps += 1;
        match self.requests.get_mut(&id) {
            Some(request) => {
                request.targets[target].sweeps += 1;
                Fence::Counted
            }
            None => Fence::Repeated,
        }
    }

    /// A sweep has ended. What is to be recorded, where it was the request's last one; then it is no longer live.
    pub(super) fn swept(
        &mut self,
        id: RequestId,
        target: usize,
        fence: Fence,
        counts: Counts,
        now: Moment,
    ) -> Option<Update> {
        self.sweeps -= 1;
        if fence == Fence::Repeated {
            return None;
        }
        let Entry::Occupied(mut entry) = self.requests.entry(id) else {
            unreachable!("a request is live until its last sweep ends, and each sweep ends once");
        };
        let swept = &mut entry.get_mut().targets[target];
        assert!(swept.sweeps > 0, "each sweep ends once");
        swept.sweeps -= 1;
        swept.counts = swept.counts.plus(counts);
        if entry.get().status() == Status::Pending {
            return None;
        }
        let request = entry.remove();
        let counts = request.targets.iter().map(|target| target.counts).collect();
        let swept_us = micros(now.since(request.began));
        Some(Update { swept: Some((counts, swept_us)), ..Update::default() })
    }
}

impl LiveTarget {
    fn status(&self) -> Status {
        if self.sweeps > 0 { Status::Pending } else { Status::Completed }
    }
}

impl LiveRequest {
    fn status(&self) -> Status {
        let pending = self.targets.iter().any(|target| target.status() == Status::Pending);
        if pending { Status::Pending } else { Status::Completed }
    }

    /// The sum over its targets, as far as their sweeps have ended.
    pub(super) fn counts(&self) -> Counts {
        self.targets.iter().fold(Counts::default(), |sum, target| sum.plus(target.counts))
    }

    /// Enters how far it is into its record.
    pub(super) fn show(&self, purge: &mut Purge) {
        assert!(purge.targets.len() == self.targets.len(), "the record is this request's");
        for (shown, target) in purge.targets.iter_mut().zip(&self.targets) {
            (shown.status, shown.counts) = (target.status(), target.counts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn every_sweep_takes_room_until_it_ends_also_one_that_repeats_what_is_over() {
        let now = Clock::manual(0).now();
        let mut live = Live::default();
        assert!(
            live.has_room_for(limits::PURGES_LIVE_MAX) && !live.has_room_for(limits::PURGES_LIVE_MAX + 1)
        );
        let id = RequestId::random().unwrap();
        live.begin(id, 0, 1, now);
        assert_eq!(live.raise(id, 0), Fence::Counted);
        assert!(
            live.has_room_for(limits::PURGES_LIVE_MAX - 1) && !live.has_room_for(limits::PURGES_LIVE_MAX)
        );
        let counts = Counts { entries: 1, bytes: 2, shared: false };
        let ended = live.swept(id, 0, Fence::Counted, counts, now).unwrap();
        assert_eq!(ended.swept, Some((Box::new([counts]) as Box<[_]>, 0)));
        assert!(live.get(id).is_none());

        let repeated = live.raise(id, 0);
        assert_eq!(repeated, Fence::Repeated);
        assert!(!live.has_room_for(limits::PURGES_LIVE_MAX));
        assert_eq!(live.swept(id, 0, repeated, counts, now), None);
        assert!(live.has_room_for(limits::PURGES_LIVE_MAX));
    }
}
