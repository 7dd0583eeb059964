//! The log: lines for people or for machines, on standard error.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

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
