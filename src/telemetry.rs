//! The table of metrics, how long answers took, how origins are, the last hours, whether to send requests here, and the logs.
//!
//! Every metric stands in one table (`telemetry/table.rs`), with its help; `telemetry/exposition.rs` writes it for
//! scrapers. Handles are passed, never global. Counting is one relaxed addition in a shard of the thread
//! (`telemetry/shards.rs`). What an overview shows is gathered here by the planes, which know nothing of each other.

pub mod access;
pub mod counter;
pub mod exposition;
pub mod histogram;
pub mod history;
mod log;
pub mod origins;
pub mod process;
mod readiness;
mod sample;
mod shards;
pub mod table;
pub mod traces;
pub mod trail;

use std::sync::Arc;
use std::time::SystemTime;

use crate::clock::Clock;
use access::AccessLog;
use history::History;
use traces::Traces;

pub use counter::{Counter, Labelled};
pub use log::{set_log_level, start_log};
pub use readiness::{NotReady, Readiness};
pub use table::{Metrics, Row};

/// What an overview, and a scraper, is shown of.
#[derive(Clone)]
pub struct Telemetry {
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The last hours.
    pub history: Arc<History>,
    /// Whether new requests should be sent here.
    pub readiness: Readiness,
    /// The access log, where it is on.
    pub access: Option<Arc<AccessLog>>,
    /// Where spans are made, if they are.
    pub traces: Option<Arc<Traces>>,
    /// When the process started.
    pub started: SystemTime,
}

impl Telemetry {
    /// Of a process that starts now.
    pub fn new(metrics: Arc<Metrics>, clock: &Clock) -> Telemetry {
        Telemetry {
            metrics,
            history: Arc::new(History::new(clock.now())),
            readiness: Readiness::default(),
            access: None,
            traces: None,
            started: clock.wall(),
        }
    }
}
