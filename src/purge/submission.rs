//! A purge is accepted: parse, reserve, publish, hand over; then the disk alone is waited for.
//!
//! [`Shared::begin`] is one critical section over the purger's state, and waits for nothing but locks. Before it a
//! client that goes away leaves nothing; after it a whole purge, whose end needs nobody who waits.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::ledger::{Entry, Kept, Place};
use super::live::Fence;
use super::recent::Identity;
use super::record::{Change, Purge, Record, TargetRecord};
use super::request::{Attempt, By, Counts, RequestId, Status};
use super::roster::Roster;
use super::standing::Effect;
use super::warming::Warm;
use super::wish::Wish;
use super::{Month, PurgeError, Purger, RefusedTarget, Shared, State, micros};
use crate::cache::{OnSwept, Removed};
use crate::clock::Moment;
use crate::limits;
use crate::target::{Refusal, Target};

/// What one call wants purged: one request, with a charge for each of its targets.
#[derive(Clone, Debug)]
pub struct Submission<'a> {
    /// The place of the account that it belongs to, and is charged to, among those that the purger was made with.
    pub account: usize,
    /// The targets: 1 to [`limits::PURGE_TARGETS_MAX`].
    pub wishes: &'a [Wish],
    /// Whether the client says that it repeats itself.
    pub attempt: Attempt,
    /// Who asks.
    pub by: By,
    /// A line for the history, of [`limits::NOTE_BYTES_MAX`] at most.
    pub note: Option<Box<str>>,
    /// Whether what is purged is fetched again.
    pub warm: Option<Warm>,
}

/// What was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The request's name; that of a retry is the first attempt's.
    pub id: RequestId,
}

/// What the wishes come to.
struct Parsed {
    targets: Vec<Target>,
    /// The accounts that they were parsed by, or earlier ones.
    by: Arc<Roster>,
}

/// What [`Shared::begin`] leaves to be waited for.
type Begun = (RequestId, oneshot::Receiver<Kept>, Option<Unanswered>);

impl Purger {
    /// Purges what is wished for, all or none. When it returns, no request that is received later is answered with what
    /// they cover, and the record is durable, or [`Purger::health`] says that it is not.
    ///
    /// # Panics
    /// Where `account` is no index of the accounts that the purger was made with.
    pub async fn submit(&self, submission: Submission<'_>) -> Result<Accepted, PurgeError> {
        let wishes = submission.wishes;
        let (id, recorded, unanswered) =
            self.accept(submission).await.inspect_err(|_| self.0.counters.refuse(wishes))?;
        // Leaving here leaves the whole purge, and `unanswered` ends the time in which it may be shared.
        let recorded = recorded.await;
        drop(unanswered);
        recorded.map_err(|_| PurgeError::Unavailable)?;
        Ok(Accepted { id })
    }

    async fn accept(&self, submission: Submission<'_>) -> Result<Begun, PurgeError> {
        let began = self.0.clock.now();
        let roster = self.0.roster.load_full();
        let parsed = Parsed { targets: self.0.parse(&submission)?, by: roster };
        let fresh_id = RequestId::random().map_err(|_| PurgeError::Unavailable)?;
        // Leaving here leaves nothing behind.
        let place = self.0.ledger.place().await.ok_or(PurgeError::Unavailable)?;
        self.0.begin(submission, parsed, fresh_id, began, place)
    }

    /// What each wish comes to, or why it can't be purged. Changes nothing.
    ///
    /// # Panics
    /// Where `account` is no index of the accounts that the purger was made with.
    pub fn judge(&self, account: usize, wishes: &[Wish]) -> Vec<Result<Target, Refusal>> {
        self.0.judged(account, wishes)
    }
}

impl Shared {
    pub(super) fn judged(&self, account: usize, wishes: &[Wish]) -> Vec<Result<Target, Refusal>> {
        let roster = self.roster.load();
        let id = &roster.accounts[account];
        wishes.iter().map(|wish| wish.target(account, id, &roster.endpoints)).collect()
    }

    /// All or nothing: every target is judged, so that a list is mended in one go.
    fn parse(&self, submission: &Submission<'_>) -> Result<Vec<Target>, PurgeError> {
        let Submission { account, wishes, .. } = *submission;
        if wishes.is_empty() {
            return Err(PurgeError::NoTargets);
        }
        if wishes.len() > limits::PURGE_TARGETS_MAX {
            return Err(PurgeError::TooManyTargets);
        }
        if submission.note.as_ref().is_some_and(|note| note.len() > limits::NOTE_BYTES_MAX) {
            return Err(PurgeError::NoteTooLong);
        }
        let mut targets = Vec::with_capacity(wishes.len());
        let mut refused = Vec::new();
        for (index, judged) in self.judged(account, wishes).into_iter().enumerate() {
            match judged {
                Ok(target) => targets.push(target),
                Err(refusal) => refused.push(RefusedTarget { index, refusal }),
            }
        }
        if refused.is_empty() { Ok(targets) } else { Err(PurgeError::Refused(refused)) }
    }

    /// Reserves, publishes, hands over: one critical section that never waits for anything but locks.
    fn begin(
        self: &Arc<Self>,
        submission: Submission<'_>,
        parsed: Parsed,
        fresh_id: RequestId,
        began: Moment,
        place: Place,
    ) -> Result<Begun, PurgeError> {
        let account = submission.account;
        let identity = Identity::of(&submission);
        let state = &mut *self.state.lock();
        // The config may have changed meanwhile; it does under this lock, so not again before the fences stand.
        let is_current = Arc::ptr_eq(&parsed.by, &*self.roster.load());
        let targets = if is_current { parsed.targets } else { self.parse(&submission)? };
        let targets = &*targets;
        let created_at_us = state.stamp(&self.clock);
        let now = self.clock.now();
        let shares = state.recent.shared(identity, submission.attempt, now);
        let id = shares.unwrap_or(fresh_id);
        if !state.live.has_room_for(targets.len()) {
            return Err(PurgeError::Busy);
        }
        let charges = if shares.is_some() { 0 } else { targets.len() as u64 };
        state.quota.reserve(account, charges, created_at_us / 1000).map_err(PurgeError::AllowanceUsedUp)?;

        let warm = submission.warm.filter(|_| shares.is_none());
        let warm_progress = warm.map(|warm| state.warmings.begin(id, account, warm));
        let gathers = warm_progress.is_some_and(|progress| !progress.state.has_ended());
        let hottest_max = warm.filter(|_| gathers).map_or(0, Warm::max);
        if shares.is_none() {
            state.accepted += 1;
            state.live.begin(id, account, targets.len(), began);
        }
        for (index, (wish, target)) in submission.wishes.iter().zip(targets).enumerate() {
            let kind = shares.is_none().then(|| wish.named.kind());
            (self.publish)(target, wish.mode, hottest_max, self.on_swept(state, id, index, kind));
            kind.into_iter().for_each(|kind| self.counters.accepted.increment(kind));
        }
        let mut entry = Entry::default();
        if shares.is_none() {
            let visible = self.clock.now().since(began);
            self.counters.visible.record(visible);
            let purge = Purge {
                targets: submission.wishes.iter().zip(targets).map(pending).collect(),
                visible_us: Some(micros(visible)),
                acknowledged_us: None,
                swept_us: None,
                warm: warm_progress,
            };
            let record = Record {
                id,
                account: Some(self.roster.load().accounts[account].clone()),
                by: submission.by,
                note: submission.note,
                created_at_us,
                change: Change::Purge(purge),
            };
            let month = Month::containing(created_at_us / 1_000_000);
            let account = self.roster.load().accounts[account].clone();
            entry.effects.push(Effect::Charge { account, month, purges: charges });
            entry.record = Some((record, began));
            state.recent.remember(identity, id, now);
        }
        // Under the lock: whoever shares this id, and whoever sweeps for it, comes after its record.
        let recorded = self.ledger.record(place, entry);
        let unanswered = shares.is_none().then(|| Unanswered { shared: Arc::clone(self), identity, id });
        Ok((id, recorded, unanswered))
    }

    /// Enters a fence among what lives. Of a retry the kind is none: it was counted.
    fn on_swept(
        self: &Arc<Self>,
        state: &mut State,
        id: RequestId,
        target: usize,
        kind: Option<&'static str>,
    ) -> OnSwept {
        let fence = state.live.raise(id, target);
        let shared = Arc::clone(self);
        Box::new(move |removed| {
            kind.into_iter().for_each(|kind| shared.counters.completed.increment(kind));
            shared.sweep_ended(id, target, fence, removed);
        })
    }

    fn sweep_ended(&self, id: RequestId, target: usize, fence: Fence, removed: Removed) {
        let now = self.clock.now();
        let state = &mut *self.state.lock();
        state.warmings.gather(id, removed.hottest);
        let Some(mut update) = state.live.swept(id, target, fence, removed.swept.into(), now) else { return };
        if let Some((_, swept_us)) = &update.swept {
            self.counters.swept.record(Duration::from_micros(*swept_us));
        }
        update.warm = state.warmings.ready(id);
        // Under the lock: whoever finds the request no longer live asks the ledger after this.
        self.ledger.update(id, update);
        if state.warmings.has_ready() {
            self.warmings_ready.notify_one();
        }
    }
}

fn pending((wish, target): (&Wish, &Target)) -> TargetRecord {
    TargetRecord {
        kind: wish.named.kind().into(),
        text: wish.text().into(),
        covers: target.to_string().into(),
        mode: wish.mode,
        status: Status::Pending,
        counts: Counts::default(),
    }
}

/// Ends, however the waiting ends, the time in which an unmarked repetition is a retry. Without it a client that
/// goes away would leave its targets free of charge for ever. It takes `state`, so it is never dropped under it.
struct Unanswered {
    shared: Arc<Shared>,
    identity: Identity,
    id: RequestId,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        let now = self.shared.clock.now();
        self.shared.state.lock().recent.answered(self.identity, self.id, now);
    }
}
