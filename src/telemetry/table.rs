//! The table of metrics: every one that is exported has its name, kind, unit, help and labels here, and nowhere else.
//!
//! A plain counter is a field of [`Metrics`], made from its row. What is looked at when somebody asks, or has
//! labels, is a [`Row`] alone: who exports says where its values are (`admin/metrics.rs`, one arm for each). Labels are
//! words of closed sets, or accounts and origins of the config; never a URL.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::counter::{Counter, Labelled};
use super::histogram::Histogram;
use super::origins::Origins;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number that only grows.
    Counter,
    /// A number as it is now.
    Gauge,
    /// How long things took, in buckets.
    Histogram,
    /// Texts of the process in labels; its value is 1.
    Info,
}

/// What a metric is counted in; its name ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    One,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// Without prefix, unit and suffix.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it is counted in.
    pub unit: Unit,
    /// What it tells; no quotes and no line ends.
    pub help: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
}

/// Begins every name.
pub const PREFIX: &str = "freshet";

impl Description {
    /// The name of its family, as OpenMetrics has it.
    pub fn family(&self) -> String {
        let unit = match self.unit {
            Unit::One => "",
            Unit::Seconds => "_seconds",
            Unit::Bytes => "_bytes",
        };
        format!("{PREFIX}_{}{unit}", self.name)
    }
}

/// Why fetches fail: the words of `cache::Failure`.
pub const FAILURES: [&str; 10] = [
    "connect",
    "connect-timeout",
    "head-timeout",
    "body-timeout",
    "server-error",
    "bad-response",
    "incomplete",
    "overloaded",
    "too-slow",
    "abandoned",
];

macro_rules! table {
    (
        counted { $($field:ident: $counted:literal $counted_unit:ident $counted_help:literal,)* }
        asked_for { $($row:ident: $kind:ident $name:literal $unit:ident [$($label:literal),*] $help:literal,)* }
    ) => {
        /// The process's counters.
        #[derive(Debug)]
        pub struct Metrics {
            $(#[doc = $counted_help] pub $field: Counter,)*
            /// Requests that were answered; the sum of the four below, counted on its own.
            pub requests: Counter,
            /// Answered from the store, fresh or stale.
            pub hits: Counter,
            /// Answered from a fetch that may be stored, or was shared with one.
            pub misses: Counter,
            /// Answered from a fetch for this request alone.
            pub passes: Counter,
            /// Answered by an error of Freshet's own.
            pub errors: Counter,
            /// Fetches that brought no usable answer, by why.
            pub fetch_failures: Labelled,
            /// From a request's head to its answer's.
            pub latency: Histogram,
            /// Connections of clients that are open.
            pub connections: Arc<AtomicUsize>,
            /// How the origins are.
            pub origins: Origins,
        }

        impl Default for Metrics {
            fn default() -> Metrics {
                Metrics {
                    $($field: Counter::default(),)*
                    requests: Counter::default(),
                    hits: Counter::default(),
                    misses: Counter::default(),
                    passes: Counter::default(),
                    errors: Counter::default(),
                    fetch_failures: Labelled::new(&FAILURES),
                    latency: Histogram::default(),
                    connections: Arc::default(),
                    origins: Origins::default(),
                }
            }
        }

        impl Metrics {
            /// What was counted, in a line for the log.
            pub fn line(&self) -> String {
                let outcomes = format!(
                    "requests={} hits={} misses={} passes={} errors={} fetch_failures={}",
                    self.requests.get(),
                    self.hits.get(),
                    self.misses.get(),
                    self.passes.get(),
                    self.errors.get(),
                    self.fetch_failures.total(),
                );
                let counted = self.counted().into_iter().map(|(row, count)| format!(" {}={count}", row.name));
                std::iter::once(outcomes).chain(counted).collect()
            }

            /// Every plain counter with its row, in the table's order.
            pub fn counted(&self) -> Vec<(&'static Description, u64)> {
                COUNTED.iter().zip([$(self.$field.get(),)*]).collect()
            }
        }

        /// A metric that is not one plain counter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Row {
            $(#[doc = $help] $row,)*
        }

        impl Row {
            /// All of them, in the table's order.
            pub const ALL: &[Row] = &[$(Row::$row,)*];

            /// Its row.
            pub fn description(self) -> &'static Description {
                &ASKED_FOR[self as usize]
            }
        }

        static COUNTED: &[Description] = &[$(Description {
            name: $counted,
            kind: Kind::Counter,
            unit: Unit::$counted_unit,
            help: $counted_help,
            labels: &[],
        },)*];

        static ASKED_FOR: &[Description] = &[$(Description {
            name: $name,
            kind: Kind::$kind,
            unit: Unit::$unit,
            help: $help,
            labels: &[$($label),*],
        },)*];
    };
}

#[rustfmt::skip]
table! {
    counted {
        bytes_sent: "sent" Bytes "Bytes of answers' bodies, as they were handed over to be sent.",
        bytes_from_cache: "sent_from_cache" Bytes "Those of them that came from the store.",
        joined: "requests_joined" One "Requests that began to wait for another request's fetch.",
        connections_accepted: "connections_accepted" One "Connections of clients that were taken.",
        connections_refused: "connections_refused" One "Connections that were answered 503 and closed: there were too many.",
        reloads: "config_reloads" One "Readings of the config that came into force.",
        reload_failures: "config_reload_failures" One "Readings of the config that changed nothing: it could not be read, or broke a rule.",
        fetches: "fetches" One "Requests sent to origins, retries not counted.",
        stored: "responses_stored" One "Responses stored.",
        not_stored_purged: "responses_not_stored_purged" One "Responses not stored because a purge came while they were fetched.",
    }
    asked_for {
        Requests: Counter "requests" One ["outcome"] "Requests that were answered, by how: each counts once.",
        RequestDuration: Histogram "request_duration" Seconds [] "From a request's head to its answer's; the sum is that of the buckets' middles.",
        Connections: Gauge "connections" One [] "Connections of clients that are open.",
        FetchFailures: Counter "fetch_failures" One ["kind"] "Fetches that brought no usable answer, by why.",
        FetchesActive: Gauge "fetches_active" One [] "Fetches that a purge would have to wait for.",
        Flights: Gauge "flights" One [] "Fetches that requests may join.",
        OriginFailing: Gauge "origin_failing" One ["account", "origin"] "1 where the last fetch that ended failed, or the origin is left out.",
        OriginFetches: Counter "origin_fetches" One ["account", "origin"] "Requests sent to the origin.",
        OriginFailures: Counter "origin_failures" One ["account", "origin"] "Those that brought no usable answer, or a status of 500 and above.",
        OriginFirstByte: Gauge "origin_first_byte" Seconds ["account", "origin"] "From asking to an answer's head: an average of late.",
        CacheEntries: Gauge "cache_entries" One [] "Keys stored.",
        Cache: Gauge "cache" Bytes [] "What they take, as it is counted against the bound.",
        CacheFile: Gauge "cache_file" Bytes [] "What large bodies take in the memory file: shared memory, to the system.",
        CacheMax: Gauge "cache_max" Bytes [] "What they may take.",
        CacheEvictions: Counter "cache_evictions" One [] "Keys that left for want of room.",
        Fences: Gauge "fences" One [] "Purges' fences that are alive.",
        FenceOldestAge: Gauge "fence_oldest_age" Seconds [] "How long the oldest of them, or of what it has taken over, has been alive; 0 without any.",
        PurgeRequests: Counter "purge_requests" One [] "Purge requests that were accepted, retries not counted.",
        PurgesPending: Gauge "purges_pending" One [] "Those whose sweeps have not ended.",
        PurgeTargets: Counter "purge_targets" One ["kind", "status"] "Targets of purges: accepted, completed (swept), refused.",
        PurgeVisible: Histogram "purge_visible" Seconds [] "From a purge's call to the moment from which nobody is served what it names.",
        PurgeSwept: Histogram "purge_swept" Seconds [] "From a purge's call to the end of its sweeps.",
        LedgerCommits: Counter "ledger_commits" One [] "Groups of changes that were written.",
        LedgerRowsUnwritten: Gauge "ledger_rows_unwritten" One [] "Rows of the history that wait in memory for the disk.",
        LedgerRowsDropped: Counter "ledger_rows_dropped" One [] "Rows of the history that were given up because the disk took none.",
        LedgerDegraded: Gauge "ledger_degraded" One [] "1 while the disk takes no writes; purges work all the same.",
        AllowanceLimit: Gauge "allowance_limit" One ["account"] "Purges that an account may make this month, where there is a limit.",
        AllowanceRemaining: Gauge "allowance_remaining" One ["account"] "Those of them that are left.",
        AccessLogLines: Counter "access_log_lines" One ["result"] "Lines of the access log: written, or dropped since they came too fast or the file failed.",
        Ready: Gauge "ready" One [] "1 while new requests should be sent here.",
        ProcessResidentMemory: Gauge "process_resident_memory" Bytes [] "Memory of the process that is in use: its resident set, and the memory file.",
        ProcessCpu: Counter "process_cpu" Seconds [] "Processor time of the process, in the kernel and outside.",
        ProcessOpenFds: Gauge "process_open_fds" One [] "File descriptors that are open.",
        ProcessMaxFds: Gauge "process_max_fds" One [] "File descriptors that may be open.",
        ProcessStart: Gauge "process_start_time" Seconds [] "When the process started, in seconds since 1970.",
        Build: Info "build" One ["version", "commit"] "What runs.",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn all() -> impl Iterator<Item = &'static Description> {
        COUNTED.iter().chain(ASKED_FOR)
    }

    #[test]
    fn every_row_has_a_name_of_its_own_and_follows_the_rules_for_names() {
        let mut names = HashSet::new();
        for row in all() {
            let name = row.family();
            let allowed = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            assert!(name.bytes().all(allowed) && !name.ends_with("_total"), "{name}");
            assert!(names.insert(name), "{row:?}");
            assert!(row.help.ends_with('.') && !row.help.contains(['"', '\\', '\n']), "{row:?}");
            assert!(row.labels.iter().all(|label| label.bytes().all(allowed)), "{row:?}");
            assert!(row.kind != Kind::Histogram || row.labels.is_empty(), "{row:?}");
        }
    }

    #[test]
    fn a_counters_row_has_its_value() {
        let metrics = Metrics::default();
        metrics.stored.add(3);
        let counted = metrics.counted();
        assert!(counted.iter().any(|(row, count)| row.name == "responses_stored" && *count == 3));
        assert_eq!(counted.iter().map(|row| row.1).sum::<u64>(), 3);
        assert_eq!(Row::Build.description().name, "build", "rows and descriptions stand in one order");
    }
}
