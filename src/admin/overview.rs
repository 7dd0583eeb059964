//! `GET /v1/overview`: how the process does, now and in the last hours.
//!
//! What it shows is gathered in `telemetry`, which both planes know; nothing here is counted. Figures of the process
//! and of the cache are everybody's who may read; of the origins, who has an account sees its own.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Extension, Request, State};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::input::Parameters;
use super::routes::Connection;
use super::{Admin, AdminError, ErrorBody, reply};
use crate::config::Scope;
use crate::limits::{HISTORY_SAMPLES, HISTORY_STEP};
use crate::telemetry::history::Sample;
use crate::telemetry::{Metrics, origins, process};

/// Minutes of the past that are shown where nobody says how many.
const MINUTES: usize = 60;
/// Minutes of the past that are kept.
const MINUTES_MAX: usize = HISTORY_SAMPLES * HISTORY_STEP.as_secs() as usize / 60;

#[derive(Serialize, ToSchema)]
pub(super) struct Overview {
    now: String,
    started_at: String,
    version: &'static str,
    totals: Totals,
    latency_us: Latency,
    cache: CacheBody,
    process: Process,
    purges: Purges,
    series: Series,
    origins: Vec<OriginBody>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Totals {
    requests: u64,
    hits: u64,
    misses: u64,
    passes: u64,
    errors: u64,
    joined: u64,
    fetches: u64,
    fetch_failures: u64,
    bytes_sent: u64,
    bytes_from_cache: u64,
}

/// Since the start; nothing before the first answer.
#[derive(Serialize, ToSchema)]
pub(super) struct Latency {
    p50: Option<u64>,
    p90: Option<u64>,
    p99: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct CacheBody {
    entries: u64,
    bytes: u64,
    max_bytes: u64,
    fences: usize,
    tickets: usize,
    flights: usize,
}

/// Nothing where the system doesn't tell.
#[derive(Serialize, ToSchema)]
pub(super) struct Process {
    /// The resident set, and the memory file of large bodies.
    resident_bytes: Option<u64>,
    cpu_seconds: Option<f64>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Purges {
    pending: usize,
}

/// One value a step, the oldest first.
#[derive(Default, Serialize, ToSchema)]
pub(super) struct Series {
    step_seconds: u64,
    /// When the first step began, in seconds since 1970.
    start: u64,
    requests: Vec<u64>,
    hits: Vec<u64>,
    bytes_sent: Vec<u64>,
    bytes_from_cache: Vec<u64>,
    p50_us: Vec<u64>,
    p99_us: Vec<u64>,
    entries: Vec<u64>,
    bytes: Vec<u64>,
    purges: Vec<u64>,
}

/// One of an account's origins.
#[derive(Serialize, ToSchema)]
pub(super) struct OriginBody {
    account: String,
    address: String,
    /// `unknown` (not asked yet), `ok`, `failing` (its last answer was an error, broke off, or did not come), or `out`: it
    /// gave no answer, and the account's other origins are asked until it does.
    state: &'static str,
    fetches: u64,
    failures: u64,
    last_failure_at: Option<String>,
    last_failure: Option<&'static str>,
    first_byte_ms: Option<u64>,
}

/// Of `GET /v1/overview`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it describes what `Parameters` reads")]
pub(super) struct OverviewParameters {
    /// How much of the past `series` shows; there may be less.
    #[param(minimum = 1, maximum = 360, default = 60)]
    minutes: Option<u32>,
}

/// How the process does
///
/// Now, since its start, and in the last hours.
#[utoipa::path(
    get, path = "/v1/overview", tag = "server", operation_id = "overview", params(OverviewParameters),
    responses(
        (status = 200, description = "Figures.", body = Overview),
        (status = 400, description = "A parameter can't be taken.", body = ErrorBody),
    ),
)]
pub(super) async fn overview(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    let principal = admin.principal(&req, connection)?;
    principal.require(Scope::Read)?;
    let minutes = Parameters::of(req.uri()).number("minutes", 1..=MINUTES_MAX, MINUTES)?;
    let endpoints = admin.endpoints();
    let own = principal.own_account().map(|account| endpoints.id_of(account));
    let (telemetry, cache) = (&admin.telemetry, admin.cache.figures());
    let latency = telemetry.metrics.latency.counts();
    let is_shown = |origin: &Arc<origins::Origin>| own.is_none_or(|own| own == &*origin.account);
    let origins = telemetry.metrics.origins.all().into_iter().filter(is_shown);
    let body = Overview {
        now: text_of(admin.clock.wall()),
        started_at: text_of(telemetry.started),
        version: env!("CARGO_PKG_VERSION"),
        totals: Totals::of(&telemetry.metrics),
        latency_us: Latency {
            p50: latency.percentile(50),
            p90: latency.percentile(90),
            p99: latency.percentile(99),
        },
        cache: CacheBody {
            entries: cache.entries,
            bytes: cache.bytes,
            max_bytes: admin.cache.max_bytes(),
            fences: cache.fences,
            tickets: cache.tickets,
            flights: cache.flights,
        },
        process: Process {
            resident_bytes: process::resident_bytes().map(|bytes| bytes + cache.file_bytes),
            cpu_seconds: process::cpu_time().map(|time| time.as_secs_f64()),
        },
        purges: Purges { pending: admin.purger.figures().pending },
        series: series(&admin, minutes),
        origins: origins.map(|origin| OriginBody::of(&origin)).collect(),
    };
    Ok(reply(StatusCode::OK, &body))
}

fn series(admin: &Admin, minutes: usize) -> Series {
    let steps = minutes * 60 / HISTORY_STEP.as_secs() as usize;
    let (samples, ago) = admin.telemetry.history.last(steps, admin.clock.now());
    let start = admin.clock.wall().checked_sub(ago).unwrap_or(UNIX_EPOCH);
    let each = |value: fn(&Sample) -> u64| samples.iter().map(value).collect();
    Series {
        step_seconds: HISTORY_STEP.as_secs(),
        start: start.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        requests: each(|sample| sample.requests),
        hits: each(|sample| sample.hits),
        bytes_sent: each(|sample| sample.bytes_sent),
        bytes_from_cache: each(|sample| sample.bytes_from_cache),
        p50_us: each(|sample| sample.p50_us),
        p99_us: each(|sample| sample.p99_us),
        entries: each(|sample| sample.entries),
        bytes: each(|sample| sample.bytes),
        purges: each(|sample| sample.purges),
    }
}

impl Totals {
    fn of(metrics: &Metrics) -> Totals {
        Totals {
            requests: metrics.requests.get(),
            hits: metrics.hits.get(),
            misses: metrics.misses.get(),
            passes: metrics.passes.get(),
            errors: metrics.errors.get(),
            joined: metrics.joined.get(),
            fetches: metrics.fetches.get(),
            fetch_failures: metrics.fetch_failures.total(),
            bytes_sent: metrics.bytes_sent.get(),
            bytes_from_cache: metrics.bytes_from_cache.get(),
        }
    }
}

impl OriginBody {
    fn of(origin: &origins::Origin) -> OriginBody {
        let health = origin.health();
        OriginBody {
            account: origin.account.to_string(),
            address: origin.address.clone(),
            state: health.state().as_str(),
            fetches: health.fetches,
            failures: health.failures,
            last_failure_at: health.last_failure.map(|(when, _)| text_of(when)),
            last_failure: health.last_failure.map(|(_, what)| what),
            first_byte_ms: health.first_byte.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

fn text_of(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}
