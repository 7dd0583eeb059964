//! The warmings' fetches: in the order in which their requests' sweeps ended, hottest first, paced, bounded.
//!
//! One task runs them, started and ended by `app`; a purge waits for none of them. Each warming has its pace, at most
//! [`limits::WARM_FETCHES_MAX`] fetches under way, and [`limits::WARMINGS_RUNNING_MAX`] warmings run at once. A fetch
//! ends with its task, so that dropping [`Purger::run_warmings`] leaves nothing behind. Whatever has not ended then is
//! cancelled by [`Purger::close`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tokio::task::{JoinError, JoinSet};

use super::Purger;
use super::record::Update;
use super::request::RequestId;
use super::warming::{Fetched, WarmState, Work};
use crate::clock::Moment;
use crate::key::Key;
use crate::limits;

/// Fetches what was purged, as a client would.
pub trait Fetcher: Send + Sync {
    /// Asks for what is stored under `key` for requests with these fields. Dropped, it ends.
    fn warm(&self, key: Key, fields: HeaderMap) -> Pin<Box<dyn Future<Output = Fetched> + Send>>;
}

/// What came of an order to end a warming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It has ended.
    Now,
    /// It had ended before, or the account has no such request.
    NothingToCancel,
}

impl Purger {
    /// Runs warmings for as long as it is polled.
    pub async fn run_warmings(&self, fetcher: Arc<dyn Fetcher>) {
        self.run_warmings_within(limits::WARM_FETCH_TIME, fetcher).await;
    }

    /// A test makes the time of a fetch short.
    pub(super) async fn run_warmings_within(&self, fetch_time: Duration, fetcher: Arc<dyn Fetcher>) {
        let mut running = JoinSet::new();
        loop {
            while running.len() < limits::WARMINGS_RUNNING_MAX {
                let Some(work) = self.0.state.lock().warmings.start_next() else { break };
                running.spawn(self.clone().run_warming(work, fetch_time, Arc::clone(&fetcher)));
            }
            tokio::select! {
                () = self.0.warmings_ready.notified() => {}
                Some(_) = running.join_next() => {}
            }
        }
    }

    /// Ends a warming; of this account, where one is given. What was fetched stays.
    pub fn cancel_warming(&self, account: Option<usize>, id: RequestId) -> Cancelled {
        let state = &mut *self.0.state.lock();
        if !state.warmings.has(id, account) {
            return Cancelled::NothingToCancel;
        }
        self.0.end_warming(state, id, WarmState::Cancelled);
        Cancelled::Now
    }

    pub(super) fn cancel_all_warming(&self) {
        let state = &mut *self.0.state.lock();
        for id in state.warmings.ids() {
            self.0.end_warming(state, id, WarmState::Cancelled);
        }
    }

    async fn run_warming(self, work: Work, fetch_time: Duration, fetcher: Arc<dyn Fetcher>) {
        let (id, mut goes_on) = (work.id, work.goes_on.clone());
        tokio::select! {
            () = self.fetch_all(work, fetch_time, fetcher) => {
                self.0.end_warming(&mut self.0.state.lock(), id, WarmState::Done);
            }
            // Nobody says anything else than that it is over.
            _ = goes_on.changed() => {}
        }
    }

    async fn fetch_all(&self, work: Work, fetch_time: Duration, fetcher: Arc<dyn Fetcher>) {
        let mut fetches = JoinSet::new();
        let mut pace = Pace::new(work.warm.per_second());
        for hot in work.hottest {
            loop {
                let wait = pace.wait(self.0.clock.now());
                if wait.is_zero() && fetches.len() < limits::WARM_FETCHES_MAX {
                    break;
                }
                tokio::select! {
                    Some(fetched) = fetches.join_next() => self.count(work.id, fetched),
                    // Under a manual clock the time may pass and the pace may not.
                    () = tokio::time::sleep(wait), if !wait.is_zero() => {}
                }
            }
            pace.take(self.0.clock.now());
            fetches.spawn(tokio::time::timeout(fetch_time, fetcher.warm(hot.key, hot.fields)));
        }
        while let Some(fetched) = fetches.join_next().await {
            self.count(work.id, fetched);
        }
    }

    fn count(&self, id: RequestId, fetched: Result<Result<Fetched, tokio::time::error::Elapsed>, JoinError>) {
        // A fetch that panicked has said so.
        let fetched = fetched.ok().and_then(Result::ok).unwrap_or(Fetched::Failed);
        self.0.state.lock().warmings.fetched(id, fetched);
    }
}

impl super::Shared {
    fn end_warming(&self, state: &mut super::State, id: RequestId, end: WarmState) {
        if let Some(progress) = state.warmings.end(id, end) {
            // Under the lock: whoever finds it no longer in the table asks the ledger after this.
            self.ledger.update(id, Update { warm: Some(progress), ..Update::default() });
        }
    }
}

/// So many a second, evenly; what was late is not made up for.
struct Pace {
    interval: Duration,
    next: Option<Moment>,
}

impl Pace {
    fn new(per_second: u32) -> Pace {
        Pace { interval: Duration::from_secs(1) / per_second, next: None }
    }

    /// How long the next one has to wait.
    fn wait(&self, now: Moment) -> Duration {
        self.next.map_or(Duration::ZERO, |next| next.since(now))
    }

    fn take(&mut self, now: Moment) {
        self.next = Some(now.plus(self.interval));
    }
}
