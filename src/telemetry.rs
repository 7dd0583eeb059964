//! The table of metrics, how long answers took, how origins are, the last hours, and the log.
//!
//! Every counter stands in one table below, with its help. Handles are passed, never global. Counting is one
//! relaxed addition in a shard of the thread (`telemetry/shards.rs`). What an overview shows is gathered here by
//! the planes, which know nothing of each other.

pub mod histogram;
pub mod history;
pub mod origins;
pub mod process;
mod shards;

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::clock::Clock;
use crate::config::{Log, LogFormat};
use histogram::Histogram;
use history::History;
use origins::Origins;
use shards::Shards;

/// A number that only grows.
#[derive(Debug)]
pub struct Counter(Shards<AtomicU64>);

impl Default for Counter {
    fn default() -> Counter {
        Counter(Shards::new(AtomicU64::default))
    }
}

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// `by` more.
    pub fn add(&self, by: u64) {
        self.0.own().fetch_add(by, Ordering::Relaxed);
    }

    /// The number so far.
    pub fn get(&self) -> u64 {
        self.0.all().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

macro_rules! counters {
    ($($name:ident: $help:literal,)*) => {
        /// The process's counters.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $(#[doc = $help] pub $name: Counter,)*
            /// From a request's head to its answer's.
            pub latency: Histogram,
            /// How the origins are.
            pub origins: Origins,
        }

        impl Metrics {
            /// (name, help, value) of every counter, in the table's order.
            pub fn rows(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), $help, self.$name.get()),)*]
            }
        }
    };
}

counters! {
    requests: "Requests that were answered; the sum of the four below.",
    hits: "Answered from the store, fresh or stale.",
    misses: "Answered from a fetch that may be stored, or was shared with one.",
    passes: "Answered from a fetch for this request alone.",
    errors: "Answered by an error of Freshet's own.",
    joined: "Requests that began to wait for another request's fetch.",
    fetches: "Requests sent to origins, retries not counted.",
    fetch_failures: "Fetches that brought no usable answer.",
    stored: "Responses stored.",
    bytes_sent: "Bytes of answers' bodies, as they were handed over to be sent.",
    bytes_from_cache: "Those of them that came from the store.",
    reloads: "Readings of the config that came into force.",
    reload_failures: "Readings of the config that changed nothing: it could not be read, or broke a rule.",
    not_stored_purged: "Responses not stored because a purge came while they were fetched.",
}

/// What an overview is made of.
#[derive(Clone)]
pub struct Telemetry {
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The last hours.
    pub history: Arc<History>,
    /// When the process started.
    pub started: SystemTime,
}

impl Telemetry {
    /// Of a process that starts now.
    pub fn new(metrics: Arc<Metrics>, clock: &Clock) -> Telemetry {
        Telemetry { metrics, history: Arc::new(History::new(clock.now())), started: clock.wall() }
    }
}

/// What changes the level of a log that runs.
static LEVEL: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Lets a log that runs have another level. `level` is as the config's, which has parsed it.
pub fn set_log_level(level: &str) {
    let filter: Targets = level.parse().expect("config.rs has parsed it");
    // Without a log, as in tests, there is nothing to set.
    if let Some(Err(error)) = LEVEL.get().map(|handle| handle.reload(filter)) {
        tracing::warn!(%error, "the log keeps its level");
    }
}

/// Sends the log to standard error, as the config says. Once a process; a second call does nothing.
pub fn start_log(log: &Log) {
    let filter: Targets = log.level.parse().expect("config.rs has parsed it");
    let (filter, handle) = reload::Layer::new(filter);
    LEVEL.get_or_init(|| handle);
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // The second of two servers in one test process finds the first one's log: nothing is lost.
    let _ = match log.format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_a_row_of_its_own() {
        let metrics = Metrics::default();
        metrics.hits.add(3);
        let rows = metrics.rows();
        assert!(rows.contains(&("hits", "Answered from the store, fresh or stale.", 3)));
        assert_eq!(rows.iter().map(|row| row.2).sum::<u64>(), 3);
    }
}
