//! `GET /metrics`: the table of `telemetry/table.rs` with its values, for scrapers.
//!
//! Figures of the process need no key: they tell no account, no address and no URL. Rows by account come with a key that
//! reads, of the accounts that it may look at: what one tenant does is none of another's business, nor of whoever
//! reaches the port. A row without values has its description all the same.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use super::health::VERSION;
use super::routes::Connection;
use super::{Admin, AdminError, ErrorBody};
use crate::cache::Figures;
use crate::config::Scope;
use crate::purge::{self, Health, LedgerFigures};
use crate::telemetry::exposition::{Family, Format, Sample, Value};
use crate::telemetry::{Labelled, Row, origins, process};

/// All metrics
///
/// OpenMetrics 1.0 where Accept names it, else Prometheus' text format 0.0.4. Without a key the figures of the process;
/// with one that reads, those of its account's origins and allowance too, or of all accounts.
#[utoipa::path(
    get, path = "/metrics", tag = "server", operation_id = "metrics",
    security((), ("basic" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "Every metric, with its values.", content(
            (String = "text/plain"), (String = "application/openmetrics-text"),
        )),
        (status = 401, description = "A key that can't be read.", body = ErrorBody),
        (status = 403, description = "A key that nobody has, or that may not look.", body = ErrorBody),
        (status = 429, description = "After too many wrong keys.", body = ErrorBody,
            headers(("Retry-After" = u64, description = "Seconds."))),
    ),
)]
pub(super) async fn metrics(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    let accounts = match req.headers().contains_key(header::AUTHORIZATION) {
        false => Accounts::None,
        true => {
            let principal = admin.principal(&req, connection)?;
            principal.require(Scope::Read)?;
            match principal.own_account() {
                Some(account) => Accounts::One(account),
                None => Accounts::All(principal.all_accounts().collect()),
            }
        }
    };
    let accept = req.headers().get_all(header::ACCEPT).iter();
    let format = Format::accepted(accept.filter_map(|line| line.to_str().ok()));
    let text = format.write(Looked::at(&admin, accounts).families());
    let fields = [
        (header::CONTENT_TYPE, HeaderValue::from_static(format.media_type())),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::VARY, HeaderValue::from_static("Accept, Authorization")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    Ok((StatusCode::OK, fields, text).into_response())
}

/// Whose rows are shown.
enum Accounts {
    None,
    One(usize),
    /// Of all that there are.
    All(Vec<usize>),
}

/// What all rows are taken from, looked at once.
struct Looked<'a> {
    admin: &'a Admin,
    cache: Figures,
    purges: purge::Figures,
    ledger: LedgerFigures,
    /// Those that may be shown.
    origins: Vec<Arc<origins::Origin>>,
    /// (id, limit, left), where there is a limit.
    allowances: Vec<(String, u64, u64)>,
}

impl Looked<'_> {
    fn at(admin: &Admin, accounts: Accounts) -> Looked<'_> {
        let endpoints = admin.endpoints();
        let mut origins = admin.telemetry.metrics.origins.all();
        let shown = match accounts {
            Accounts::None => {
                origins.clear();
                Vec::new()
            }
            Accounts::One(own) => {
                origins.retain(|origin| *origin.account == *endpoints.id_of(own));
                vec![own]
            }
            Accounts::All(all) => all,
        };
        let allowances = shown.into_iter().filter_map(|account| {
            let allowance = admin.purger.allowance(account);
            let limit = allowance.limit?;
            Some((endpoints.id_of(account).to_owned(), limit, limit.saturating_sub(allowance.used)))
        });
        let allowances = allowances.collect();
        Looked {
            admin,
            cache: admin.cache.figures(),
            purges: admin.purger.figures(),
            ledger: admin.purger.ledger_figures(),
            origins,
            allowances,
        }
    }

    fn families(&self) -> Vec<Family> {
        let counted = self.admin.telemetry.metrics.counted().into_iter();
        let counted = counted.map(|(row, count)| (row, vec![Sample::plain(Value::Count(count))]));
        let asked_for = Row::ALL.iter().map(|row| (row.description(), self.samples(*row)));
        counted.chain(asked_for).collect()
    }

    /// The values of a row.
    fn samples(&self, row: Row) -> Vec<Sample> {
        let metrics = &self.admin.telemetry.metrics;
        let counters = self.admin.purger.counters();
        match row {
            Row::Requests => vec![
                word("hit", metrics.hits.get()),
                word("miss", metrics.misses.get()),
                word("pass", metrics.passes.get()),
                word("error", metrics.errors.get()),
            ],
            Row::RequestDuration => plain(Value::Times(metrics.latency.counts())),
            Row::Connections => level(metrics.connections.load(Ordering::Relaxed) as f64),
            Row::FetchFailures => {
                metrics.fetch_failures.all().map(|(kind, count)| word(kind, count)).collect()
            }
            Row::FetchesActive => level(self.cache.tickets as f64),
            Row::Flights => level(self.cache.flights as f64),
            Row::OriginFailing => self.of_origins(|health| {
                let fails = matches!(health.state(), origins::State::Failing | origins::State::Out);
                Some(Value::Level(f64::from(u8::from(fails))))
            }),
            Row::OriginFetches => self.of_origins(|health| Some(Value::Count(health.fetches))),
            Row::OriginFailures => self.of_origins(|health| Some(Value::Count(health.failures))),
            Row::OriginFirstByte => {
                self.of_origins(|health| health.first_byte.map(|time| Value::Level(time.as_secs_f64())))
            }
            Row::CacheEntries => level(self.cache.entries as f64),
            Row::Cache => level(self.cache.bytes as f64),
            Row::CacheFile => level(self.cache.file_bytes as f64),
            Row::CacheMax => level(self.admin.cache.max_bytes() as f64),
            Row::CacheEvictions => plain(Value::Count(self.cache.evicted)),
            Row::Fences => level(self.cache.fences as f64),
            Row::FenceOldestAge => level(self.cache.oldest_fence.unwrap_or_default().as_secs_f64()),
            Row::PurgeRequests => plain(Value::Count(self.purges.accepted)),
            Row::PurgesPending => level(self.purges.pending as f64),
            Row::PurgeTargets => {
                let statuses = [
                    ("accepted", &counters.accepted),
                    ("completed", &counters.completed),
                    ("refused", &counters.refused),
                ];
                statuses.into_iter().flat_map(|(status, counts)| by_kind(status, counts)).collect()
            }
            Row::PurgeVisible => plain(Value::Times(counters.visible.counts())),
            Row::PurgeSwept => plain(Value::Times(counters.swept.counts())),
            Row::LedgerCommits => plain(Value::Count(self.ledger.commits)),
            Row::LedgerRowsUnwritten => level(self.ledger.rows_unwritten as f64),
            Row::LedgerRowsDropped => plain(Value::Count(self.ledger.rows_dropped)),
            Row::LedgerDegraded => truth(self.admin.purger.health() != Health::Durable),
            Row::AllowanceLimit => self.of_allowances(|(_, limit, _)| *limit),
            Row::AllowanceRemaining => self.of_allowances(|(_, _, left)| *left),
            Row::AccessLogLines => {
                let counts = self.admin.telemetry.access.as_ref().map_or((0, 0), |access| access.counts());
                vec![word("written", counts.0), word("dropped", counts.1)]
            }
            Row::Ready => truth(self.admin.telemetry.readiness.reasons().is_empty()),
            Row::ProcessResidentMemory => {
                maybe(process::resident_bytes().map(|bytes| bytes + self.cache.file_bytes))
            }
            Row::ProcessCpu => process::cpu_time().map_or_else(Vec::new, |time| level(time.as_secs_f64())),
            Row::ProcessOpenFds => maybe(process::open_descriptors()),
            Row::ProcessMaxFds => maybe(process::descriptors_max()),
            Row::ProcessStart => {
                let since = self.admin.telemetry.started.duration_since(UNIX_EPOCH);
                level(since.unwrap_or_default().as_secs_f64())
            }
            Row::Build => {
                let labels = vec![VERSION.0.into(), VERSION.1.unwrap_or_default().into()];
                vec![Sample { labels, value: Value::Here }]
            }
        }
    }

    fn of_origins(&self, value: impl Fn(&origins::Health) -> Option<Value>) -> Vec<Sample> {
        let sample = |origin: &Arc<origins::Origin>| {
            let labels = vec![origin.account.to_string().into(), origin.address.clone().into()];
            value(&origin.health()).map(|value| Sample { labels, value })
        };
        self.origins.iter().filter_map(sample).collect()
    }

    fn of_allowances(&self, value: impl Fn(&(String, u64, u64)) -> u64) -> Vec<Sample> {
        let sample = |allowance: &(String, u64, u64)| Sample {
            labels: vec![allowance.0.clone().into()],
            value: Value::Level(value(allowance) as f64),
        };
        self.allowances.iter().map(sample).collect()
    }
}

fn plain(value: Value) -> Vec<Sample> {
    vec![Sample::plain(value)]
}

fn level(level: f64) -> Vec<Sample> {
    plain(Value::Level(level))
}

fn truth(holds: bool) -> Vec<Sample> {
    level(f64::from(u8::from(holds)))
}

/// Nothing where the system doesn't tell.
fn maybe(number: Option<u64>) -> Vec<Sample> {
    number.map_or_else(Vec::new, |number| level(number as f64))
}

fn word(word: &'static str, count: u64) -> Sample {
    Sample { labels: vec![word.into()], value: Value::Count(count) }
}

fn by_kind(status: &'static str, counts: &Labelled) -> Vec<Sample> {
    let sample = |(kind, count): (&'static str, u64)| Sample {
        labels: vec![kind.into(), status.into()],
        value: Value::Count(count),
    };
    counts.all().map(sample).collect()
}
