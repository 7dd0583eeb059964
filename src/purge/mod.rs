//! The product's promise: a purge is accepted, takes effect, is recorded, is acknowledged, in this order.
//!
//! [`Purger`] is the one door. It parses the targets, then under its one lock reserves the allowance, publishes
//! the fences and hands the record to the ledger; then it waits for the disk alone. Nothing awaits between the
//! reservation and the hand-over, and the ledger's thread and the cache's sweeper need nobody who waits: a client
//! that goes away at any moment leaves either nothing or a whole purge. That is why no task of its own is needed.
//!
//! Invariants: a fence stands before its request is acknowledged; a request is live from its first fence to the end of
//! its last sweep; whatever the ledger has and is not live is Completed, so after a restart everything is. One call is
//! one request, one row, and one charge for each target; a wildcard counts as one.
//!
//! Locks: `state`, held over the cache's own (fences are published under it) and over the ledger's queue. The
//! sweeper takes it when a sweep has ended, holding none of the cache's. Never held across an await. Cost of a
//! purge: microseconds for each target, and a share of one sync of the disk; not dependent on what is stored.
//!
//! - `submission.rs` accepts a purge, over `recent.rs` (what a retry shares), `quota.rs` (the allowance) and `live.rs`
//!   (sweeps that have not ended); `changes.rs` has what operators change.
//! - `counters.rs` counts; `history.rs` shows what was changed; `dry_run.rs` what a purge would remove.
//! - `warming.rs` and `fetching.rs` fetch again what was purged.
//! - `roster.rs` has the accounts, which change when the config is read again.
//! - `ledger.rs` makes all of it durable, by the thread of `writer.rs`, over `unwritten.rs`, `standing.rs`, `storage.rs`
//!   and `migration.rs`; `request.rs`, `record.rs` and `wish.rs` are values.

mod changes;
mod counters;
#[cfg(test)]
mod disk;
mod dry_run;
mod error;
mod fetching;
mod health;
mod history;
mod ledger;
mod live;
mod migration;
mod quota;
mod recent;
mod record;
mod request;
mod roster;
mod standing;
mod storage;
mod submission;
mod unwritten;
mod warming;
mod wish;
mod writer;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use crate::cache::{Cache, OnSwept};
use crate::clock::Clock;
use crate::config::{self, Account};
use crate::key::Endpoints;
use crate::limits;
use crate::target::{Mode, Refusal, Target};

pub use changes::{AllowanceChange, ChangeError, Changed};
pub use counters::Counters;
pub use dry_run::{DryRun, Found};
pub use error::LedgerError;
pub use fetching::{Cancelled, Fetcher};
pub use health::{Health, LedgerFigures, Trouble};
pub use history::{Cursor, Filter, Page, Progress};
pub use ledger::{Kept, Unreadable};
pub use quota::{Allowance, Month};
pub use record::{Change, Kind, Purge, Record, TargetRecord};
pub use request::{Attempt, By, Counts, Door, RequestId, Status};
pub use standing::StoredKey;
pub use submission::{Accepted, Submission};
pub use warming::{Fetched, Warm, WarmProgress, WarmState};
pub use wish::{Named, Wish};

use dry_run::Surveyor;
use ledger::Ledger;
use live::Live;
use quota::Quota;
use recent::Recent;
use roster::Roster;
use standing::{Standing, Totals, Word};
use storage::Medium;
use warming::Warmings;
use writer::Bounds;

/// Accepts purges, and says how far they are. Clones are handles of the same one.
#[derive(Clone)]
pub struct Purger(Arc<Shared>);

struct Shared {
    roster: ArcSwap<Roster>,
    publish: Publish,
    survey: Surveyor,
    /// One permit: one walk at a time.
    dry_runs: Arc<Semaphore>,
    clock: Clock,
    state: Mutex<State>,
    /// A warming's sweeps have ended.
    warmings_ready: Notify,
    ledger: Ledger,
    counters: Counters,
}

/// Raises a fence, and asks for so many of the hottest that its first sweep removes: [`Cache::purge_gathering`].
type Publish = Box<dyn Fn(&Target, Mode, usize, OnSwept) + Send + Sync>;
struct State {
    quota: Quota,
    live: Live,
    recent: Recent,
    warmings: Warmings,
    /// Made at run time, by their ids.
    keys: BTreeMap<Box<str>, StoredKey>,
    absent: Absent,
    /// When the last change was made.
    last_us: u64,
    /// See [`Figures`].
    accepted: u64,
}

/// What the ledger has of accounts that the config had not at the start.
struct Absent {
    totals: Totals,
    words: BTreeMap<Box<str>, Word>,
}

/// Figures for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Purge requests since the start, retries not counted.
    pub accepted: u64,
    /// Those whose sweeps have not ended.
    pub pending: usize,
}

/// Why a purge is not acknowledged. Nothing took place and nothing was charged, but where `Unavailable` says so.
#[derive(Debug)]
pub enum PurgeError {
    /// No target was given.
    NoTargets,
    /// More targets than [`limits::PURGE_TARGETS_MAX`].
    TooManyTargets,
    /// A note over [`limits::NOTE_BYTES_MAX`].
    NoteTooLong,
    /// These can't be purged, so none was.
    Refused(Vec<RefusedTarget>),
    /// The month's allowance doesn't hold them all.
    AllowanceUsedUp(Allowance),
    /// The sweeper has to catch up first.
    Busy,
    /// There are no random numbers, or the process is about to end; then it may have taken place unrecorded.
    Unavailable,
}

/// A target that can't be purged.
#[derive(Debug)]
pub struct RefusedTarget {
    /// Its place among those given, from 0.
    pub index: usize,
    /// The rule.
    pub refusal: Refusal,
}

impl fmt::Display for PurgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PurgeError::NoTargets => f.write_str("no target was given"),
            PurgeError::TooManyTargets => {
                write!(f, "more than {} targets were given at once", limits::PURGE_TARGETS_MAX)
            }
            PurgeError::NoteTooLong => write!(f, "the note is longer than {} bytes", limits::NOTE_BYTES_MAX),
            PurgeError::Refused(refused) => match refused.first() {
                Some(first) => write!(f, "target {} can't be purged: {}", first.index + 1, first.refusal),
                None => f.write_str("a target can't be purged"),
            },
            PurgeError::AllowanceUsedUp(_) => f.write_str("the month's allowance of purges is used up"),
            PurgeError::Busy => f.write_str("too many purges are being swept"),
            PurgeError::Unavailable => f.write_str("purges are not accepted now"),
        }
    }
}

impl std::error::Error for PurgeError {}

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
        let surveyed = Arc::clone(&cache);
        let survey: Surveyor =
            Box::new(move |target, keys_max, goes_on| surveyed.survey(target, keys_max, goes_on));
        let publish: Publish = Box::new(move |target, mode, hottest_max, on_swept| {
            cache.purge_gathering(target, mode, hottest_max, on_swept);
        });
        Purger::with(accounts, endpoints, publish, survey, clock.clone(), |clock| {
            Ledger::open(medium, ledger.keep, Bounds::default(), clock)
        })
    }

    fn with(
        accounts: &[Account],
        endpoints: Arc<Endpoints>,
        publish: Publish,
        survey: Surveyor,
        clock: Clock,
        open: impl FnOnce(Clock) -> Result<(Ledger, Standing), LedgerError>,
    ) -> Result<Purger, LedgerError> {
        let (ledger, standing) = open(clock.clone())?;
        let roster = Roster::new(accounts, endpoints);
        let places: HashMap<&str, usize> =
            accounts.iter().enumerate().map(|(place, account)| (account.id.as_str(), place)).collect();
        let (limits, taken_back) =
            changes::limits_at_start(&roster.accounts, &roster.limits_configured, &standing.words);
        // What accounts have that the config has not waits for them to come back.
        let (known, totals) =
            standing.totals.into_iter().partition::<Totals, _>(|((id, _), _)| places.contains_key(&**id));
        let used = known.into_iter().map(|((id, month), total)| ((places[&*id], month), total));
        let words = standing.words.into_iter().filter(|(id, _)| !places.contains_key(&**id)).collect();
        let state = Mutex::new(State {
            quota: Quota::new(limits, used),
            live: Live::default(),
            recent: Recent::default(),
            warmings: Warmings::default(),
            keys: standing.keys,
            absent: Absent { totals, words },
            last_us: 0,
            accepted: 0,
        });
        for word in taken_back {
            ledger.apply(word);
        }
        let warmings_ready = Notify::new();
        Ok(Purger(Arc::new(Shared {
            roster: ArcSwap::from_pointee(roster),
            publish,
            survey,
            dry_runs: Arc::new(Semaphore::new(1)),
            clock,
            state,
            warmings_ready,
            ledger,
            counters: Counters::default(),
        })))
    }

    /// What the account may still purge this month.
    ///
    /// # Panics
    /// Where `account` is no index of the accounts that the purger was made with.
    pub fn allowance(&self, account: usize) -> Allowance {
        self.0.state.lock().quota.allowance(account, unix_us(&self.0.clock) / 1000)
    }

    /// How many purges there were, and are.
    pub fn figures(&self) -> Figures {
        let state = self.0.state.lock();
        Figures { accepted: state.accepted, pending: state.live.len() }
    }

    /// What is counted of purges.
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Whether acknowledged purges are on the disk.
    pub fn health(&self) -> Health {
        *self.0.ledger.health().borrow()
    }

    /// Counters of the ledger.
    pub fn ledger_figures(&self) -> LedgerFigures {
        self.0.ledger.figures()
    }

    /// Takes no more purges, cancels what warms, writes what waits and joins the ledger's thread. Blocks for as long as the
    /// disk does.
    pub fn close(&self) {
        self.cancel_all_warming();
        self.0.ledger.close();
    }
}

impl State {
    /// The place of a change in the history: the time, and later than the last change. A clock that steps back further is
    /// followed.
    fn stamp(&mut self, clock: &Clock) -> u64 {
        let now_us = unix_us(clock);
        let is_step_back = self.last_us.saturating_sub(now_us) > limits::CLOCK_STEP_BACK.as_micros() as u64;
        self.last_us = if is_step_back { now_us } else { now_us.max(self.last_us + 1) };
        self.last_us
    }
}

/// Wall time in microseconds since 1970; 0 before it.
fn unix_us(clock: &Clock) -> u64 {
    micros(clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
