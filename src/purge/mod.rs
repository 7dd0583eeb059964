//! The product's promise: a purge is accepted, takes effect, is recorded, is acknowledged, in this order.
//!
//! [`Purger`] is the one door. It parses the targets, then under its one lock reserves the allowance, publishes
//! the fences and hands the records to the ledger; then it waits for the disk alone. Nothing awaits between the
//! reservation and the hand-over, and the ledger's thread and the cache's sweeper need nobody who waits: a client
//! that goes away at any moment leaves either nothing or a whole purge. That is why no task of its own is needed.
//!
//! Invariants: a fence stands before its request is acknowledged; a request is live from its fence to the end of
//! its sweep; whatever the ledger has and is not live is Completed, so after a restart everything is. One URL is
//! one request, one row, one charge; a wildcard counts as one.
//!
//! Locks: `state`, held over the cache's own (fences are published under it) and over the ledger's queue. The
//! sweeper takes it when a sweep has ended, holding none of the cache's. Never held across an await. Cost of a
//! purge: microseconds for each URL, and a share of one sync of the disk; not dependent on what is stored.

#[cfg(test)]
mod disk;
mod ledger;
mod quota;
mod request;
mod storage;
mod wish;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use parking_lot::Mutex;

use crate::cache::{Cache, Swept};
use crate::clock::{Clock, Moment};
use crate::config::{self, Account};
use crate::key::Endpoints;
use crate::limits;
use crate::target::{Mode, Refusal, Target};

pub use ledger::{Health, LedgerFigures, Trouble};
pub use quota::{Allowance, Month};
pub use request::{Attempt, Counts, RequestId, Status};
pub use storage::LedgerError;
pub use wish::{Named, Wish};

use ledger::{Bounds, Ledger, Lookup, Place};
use quota::Quota;
use request::Record;
use storage::Medium;

/// Accepts purges, and says how far they are. Clones are handles of the same one.
#[derive(Clone)]
pub struct Purger(Arc<Shared>);

struct Shared {
    accounts: Box<[Box<str>]>,
    endpoints: Arc<Endpoints>,
    publish: Publish,
    clock: Clock,
    state: Mutex<State>,
    ledger: Ledger,
}

/// Raises a fence: [`Cache::purge`].
type Publish = Box<dyn Fn(&Target, Mode, OnSwept) + Send + Sync>;
/// Called once, when the first sweep of a fence has ended.
type OnSwept = Box<dyn FnOnce(Swept) + Send>;

struct State {
    quota: Quota,
    /// Requests whose sweep has not ended.
    live: HashMap<RequestId, Live>,
    /// What a retry may share, by account and the wish's identity.
    recent: HashMap<(usize, Box<str>), Recent>,
}

struct Live {
    account: usize,
    /// Fences of this request whose first sweep has not ended: one, and one more for each retry.
    sweeps: u32,
    counts: Counts,
}

struct Recent {
    id: RequestId,
    /// Nothing while the first client waits for its answer.
    answered: Option<Moment>,
}

/// What was accepted: one request for each URL, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The names of the requests; those of a retry are the first attempt's.
    pub ids: Vec<RequestId>,
}

/// Why a purge is not acknowledged. Nothing took place and nothing was charged, but where `Unavailable` says so.
#[derive(Debug)]
pub enum PurgeError {
    /// No URL was given.
    NoUrls,
    /// More URLs than [`limits::PURGE_URLS_MAX`].
    TooManyUrls,
    /// These can't be purged, so none was.
    Refused(Vec<RefusedUrl>),
    /// The month's allowance doesn't hold them all.
    AllowanceUsedUp(Allowance),
    /// The sweeper has to catch up first.
    Busy,
    /// There are no random numbers, or the process is about to end; then it may have taken place unrecorded.
    Unavailable,
}

/// A URL that can't be purged.
#[derive(Debug)]
pub struct RefusedUrl {
    /// Its place among those given, from 0.
    pub index: usize,
    /// The rule.
    pub refusal: Refusal,
}

impl fmt::Display for PurgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PurgeError::NoUrls => f.write_str("no URL was given"),
            PurgeError::TooManyUrls => {
                write!(f, "more than {} URLs were given at once", limits::PURGE_URLS_MAX)
            }
            PurgeError::Refused(refused) => match refused.first() {
                Some(first) => write!(f, "URL {} can't be purged: {}", first.index + 1, first.refusal),
                None => f.write_str("a URL can't be purged"),
            },
            PurgeError::AllowanceUsedUp(_) => f.write_str("the month's allowance of purges is used up"),
            PurgeError::Busy => f.write_str("too many purges are being swept"),
            PurgeError::Unavailable => f.write_str("purges are not accepted now"),
        }
    }
}

impl std::error::Error for PurgeError {}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is the account's, and known.
    Known(Status, Counts),
    /// The account has no such request, or it is older than what the ledger keeps.
    Unknown,
    /// It is not live, and the ledger can't be read now.
    Unreadable,
}

impl Purger {
    /// Opens the ledger, which must not be in use, and counts on from what it has.
    pub fn open(
        accounts: &[Account],
        endpoints: Arc<Endpoints>,
        ledger: &config::Ledger,
        cache: Arc<Cache>,
        clock: Clock,
    ) -> Result<Purger, LedgerError> {
        let medium = ledger.path.clone().map_or(Medium::Memory, Medium::File);
        let publish: Publish = Box::new(move |target, mode, on_swept| {
            cache.purge(target, mode, Box::new(move |removed| on_swept(removed.swept)));
        });
        Purger::with(accounts, endpoints, publish, clock.clone(), |clock| {
            Ledger::open(medium, ledger.keep, Bounds::default(), clock)
        })
    }

    fn with(
        accounts: &[Account],
        endpoints: Arc<Endpoints>,
        publish: Publish,
        clock: Clock,
        open: impl FnOnce(Clock) -> Result<(Ledger, storage::Totals), LedgerError>,
    ) -> Result<Purger, LedgerError> {
        let (ledger, totals) = open(clock.clone())?;
        let limits = accounts.iter().map(|account| account.purges_per_month).collect();
        // An account that left the config keeps its totals on the disk and needs none here.
        let places: HashMap<&str, usize> =
            accounts.iter().enumerate().map(|(place, account)| (account.id.as_str(), place)).collect();
        let used = totals.into_iter().filter_map(|((id, month), total)| {
            let account = *places.get(id.as_ref())?;
            Some(((account, month), total))
        });
        let state = State { quota: Quota::new(limits, used), live: HashMap::new(), recent: HashMap::new() };
        let accounts = accounts.iter().map(|account| account.id.as_str().into()).collect();
        let state = Mutex::new(state);
        Ok(Purger(Arc::new(Shared { accounts, endpoints, publish, clock, state, ledger })))
    }

    /// Purges what is wished for, all or none. When it returns, no request that is received later is answered with what
    /// they cover, and the record is durable, or [`Purger::health`] says that it is not.
    ///
    /// # Panics
    /// Where `account` is no index of the accounts that the purger was made with.
    pub async fn submit(
        &self,
        account: usize,
        wishes: &[Wish],
        attempt: Attempt,
    ) -> Result<Accepted, PurgeError> {
        let targets = self.0.parse(account, wishes)?;
        let mut fresh_ids = Vec::with_capacity(targets.len());
        for _ in &targets {
            fresh_ids.push(RequestId::random().map_err(|_| PurgeError::Unavailable)?);
        }
        // Leaving here leaves nothing behind.
        let place = self.0.ledger.place().await.ok_or(PurgeError::Unavailable)?;
        let wanted = wishes.iter().zip(targets).zip(fresh_ids);
        let (ids, recorded, unanswered) = self.0.begin(account, wanted, attempt, place)?;
        // Leaving here leaves the whole purge, and `unanswered` ends the time in which it may be shared.
        let recorded = recorded.await;
        drop(unanswered);
        recorded.map_err(|_| PurgeError::Unavailable)?;
        Ok(Accepted { ids })
    }

    /// How far a request of this account is. Another account's is unknown.
    pub async fn status(&self, account: usize, id: RequestId) -> Progress {
        if let Some(live) = self.0.state.lock().live.get(&id) {
            let known = Progress::Known(Status::Pending, live.counts);
            return if live.account == account { known } else { Progress::Unknown };
        }
        match self.0.ledger.find(id).await {
            // It was not live, so its sweep has ended, or the process that would have swept.
            Lookup::Found(record) if record.account == self.0.accounts[account] => {
                Progress::Known(Status::Completed, record.counts)
            }
            Lookup::Found(_) | Lookup::Unknown => Progress::Unknown,
            Lookup::Unreadable => Progress::Unreadable,
        }
    }

    /// What the account may still purge this month.
    pub fn allowance(&self, account: usize) -> Allowance {
        self.0.state.lock().quota.allowance(account, unix_ms(&self.0.clock))
    }

    /// Whether acknowledged purges are on the disk.
    pub fn health(&self) -> Health {
        *self.0.ledger.health().borrow()
    }

    /// Counters of the ledger.
    pub fn ledger_figures(&self) -> LedgerFigures {
        self.0.ledger.figures()
    }

    /// Takes no more purges, writes what waits and joins the ledger's thread. Blocks for as long as the disk does.
    pub fn close(&self) {
        self.0.ledger.close();
    }
}

/// What [`Shared::begin`] leaves to be waited for.
type Begun = (Vec<RequestId>, tokio::sync::oneshot::Receiver<()>, Unanswered);

impl Shared {
    /// All or nothing: every URL is judged, so that a list is mended in one go.
    fn parse(&self, account: usize, wishes: &[Wish]) -> Result<Vec<Target>, PurgeError> {
        if wishes.is_empty() {
            return Err(PurgeError::NoUrls);
        }
        if wishes.len() > limits::PURGE_URLS_MAX {
            return Err(PurgeError::TooManyUrls);
        }
        let mut targets = Vec::with_capacity(wishes.len());
        let mut refused = Vec::new();
        for (index, wish) in wishes.iter().enumerate() {
            match wish.target(account, &self.accounts[account], &self.endpoints) {
                Ok(target) => targets.push(target),
                Err(refusal) => refused.push(RefusedUrl { index, refusal }),
            }
        }
        if refused.is_empty() { Ok(targets) } else { Err(PurgeError::Refused(refused)) }
    }

    /// Reserves, publishes, hands over: one critical section that never waits for anything but locks.
    fn begin<'wish>(
        self: &Arc<Self>,
        account: usize,
        wanted: impl Iterator<Item = ((&'wish Wish, Target), RequestId)>,
        attempt: Attempt,
        place: Place,
    ) -> Result<Begun, PurgeError> {
        let at_unix_ms = unix_ms(&self.clock);
        let now = self.clock.now();
        let state = &mut *self.state.lock();
        let wanted: Vec<Wanted<'wish>> = wanted
            .map(|((wish, target), fresh_id)| {
                let shares = state.shared_id(account, &wish.identity(), attempt, now);
                Wanted { wish, target, id: shares.unwrap_or(fresh_id), is_new: shares.is_none() }
            })
            .collect();
        if state.live.len() + wanted.len() > limits::PURGES_LIVE_MAX {
            return Err(PurgeError::Busy);
        }
        let charges = wanted.iter().filter(|wanted| wanted.is_new).count() as u64;
        state.quota.reserve(account, charges, at_unix_ms).map_err(PurgeError::AllowanceUsedUp)?;

        let mut remembered = Vec::new();
        let mut records = Vec::new();
        let mut ids = Vec::with_capacity(wanted.len());
        for Wanted { wish, target, id, is_new } in wanted {
            if is_new {
                records.push(Record {
                    id,
                    account: self.accounts[account].clone(),
                    url: wish.text().into(),
                    target: described(&target, wish.mode).into(),
                    at_unix_ms,
                    status: Status::Pending,
                    counts: Counts::default(),
                });
                let identity = wish.identity();
                if state.remember(account, &identity, id, now) {
                    remembered.push((identity.into(), id));
                }
            }
            (self.publish)(&target, wish.mode, self.on_swept(state, account, id, is_new));
            ids.push(id);
        }
        // Under the lock: whoever shares one of these ids, and whoever sweeps for it, comes after its record.
        let recorded = self.ledger.record(place, records);
        Ok((ids, recorded, Unanswered { shared: Arc::clone(self), account, urls: remembered }))
    }

    /// Enters a fence among what lives. A retry of a request whose sweep has ended raises the fence alone: the
    /// request stays Completed.
    fn on_swept(self: &Arc<Self>, state: &mut State, account: usize, id: RequestId, is_new: bool) -> OnSwept {
        match state.live.entry(id) {
            Entry::Vacant(_) if !is_new => return Box::new(|_| {}),
            Entry::Vacant(vacant) => {
                vacant.insert(Live { account, sweeps: 1, counts: Counts::default() });
            }
            Entry::Occupied(mut live) => {
                assert!(live.get().account == account, "a request is shared within its account alone");
                live.get_mut().sweeps += 1;
            }
        }
        let shared = Arc::clone(self);
        Box::new(move |swept| shared.sweep_ended(id, swept.into()))
    }

    fn sweep_ended(&self, id: RequestId, counts: Counts) {
        let state = &mut *self.state.lock();
        let Entry::Occupied(mut live) = state.live.entry(id) else {
            unreachable!("a request is live until its last sweep ends, and each sweep ends once");
        };
        let request = live.get_mut();
        request.sweeps -= 1;
        request.counts = request.counts.plus(counts);
        if request.sweeps == 0 {
            let counts = live.remove().counts;
            // Under the lock: whoever finds the request no longer live asks the ledger after this.
            self.ledger.complete(id, counts);
        }
    }
}

/// What a record says of a target.
fn described(target: &Target, mode: Mode) -> String {
    match mode {
        Mode::Delete => target.to_string(),
        Mode::Stale => format!("{target} ({})", mode.as_str()),
    }
}

struct Wanted<'wish> {
    wish: &'wish Wish,
    target: Target,
    id: RequestId,
    /// Not a retry: it is recorded and charged.
    is_new: bool,
}

impl State {
    /// The request that this one repeats: the same account and wish while the first is unanswered, or a marked
    /// retry for a while after its answer.
    fn shared_id(&self, account: usize, url: &str, attempt: Attempt, now: Moment) -> Option<RequestId> {
        let recent = self.recent.get(&(account, url.into()))?;
        let shares = match (recent.answered, attempt) {
            (None, _) => true,
            (Some(answered), Attempt::Retry) => now.since(answered) <= limits::RETRY_TIME,
            (Some(_), Attempt::First) => false,
        };
        shares.then_some(recent.id)
    }

    /// Lets retries share this request. Where too many are remembered, it is not, and a retry is charged.
    fn remember(&mut self, account: usize, url: &str, id: RequestId, now: Moment) -> bool {
        if self.recent.len() >= limits::RETRIES_REMEMBERED_MAX {
            let is_fresh = |answered: Moment| now.since(answered) <= limits::RETRY_TIME;
            self.recent.retain(|_, recent| recent.answered.is_none_or(is_fresh));
        }
        let has_room = self.recent.len() < limits::RETRIES_REMEMBERED_MAX;
        if has_room {
            self.recent.insert((account, url.into()), Recent { id, answered: None });
        }
        has_room
    }
}

/// Ends, however the waiting ends, the time in which an unmarked repetition is a retry. Without it a client that
/// goes away would leave its URLs free of charge for ever. It takes `state`, so it is never dropped under it.
struct Unanswered {
    shared: Arc<Shared>,
    account: usize,
    urls: Vec<(Box<str>, RequestId)>,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        let now = self.shared.clock.now();
        let mut state = self.shared.state.lock();
        for (url, id) in self.urls.drain(..) {
            if let Some(recent) = state.recent.get_mut(&(self.account, url)).filter(|recent| recent.id == id)
            {
                recent.answered = Some(now);
            }
        }
    }
}

/// Wall time in milliseconds since 1970; 0 before it.
fn unix_ms(clock: &Clock) -> u64 {
    let since_1970 = clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
