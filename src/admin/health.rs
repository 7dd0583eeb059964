//! How the process is, for what looks after it: alive, ready, which version. They take no key and tell no secret: no
//! account, no address, no URL.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Admin, add_number, reply};
use crate::purge::Health;
use crate::telemetry::NotReady;

/// Whether all is well.
#[derive(Serialize, ToSchema)]
pub(super) struct HealthBody {
    #[schema(example = "ok", pattern = "^(ok|degraded)$")]
    status: &'static str,
    /// What is wrong with the record of purges; purges work all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ledger: Option<&'static str>,
    /// Rows of the history that a failing disk has cost since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rows_dropped: Option<u64>,
}

/// Whether the process serves
///
/// It does, whatever else is wrong, so it is 200 always.
#[utoipa::path(
    get, path = "/healthz", tag = "server", operation_id = "health", security(()),
    responses((status = 200, description = "The process serves.", body = HealthBody)),
)]
pub(super) async fn health(State(admin): State<Arc<Admin>>) -> Response {
    let rows_dropped = Some(admin.purger.ledger_figures().rows_dropped).filter(|rows| *rows > 0);
    let (status, ledger) = match ledger_trouble(&admin) {
        None => ("ok", None),
        trouble => ("degraded", trouble),
    };
    let body = HealthBody { status, ledger, rows_dropped };
    reply(StatusCode::OK, &body)
}

/// Whether new requests should be sent here.
#[derive(Serialize, ToSchema)]
pub(super) struct ReadyBody {
    #[schema(example = "ready", pattern = "^(ready|not_ready)$")]
    status: &'static str,
    /// What stands against it: `starting`, `draining` or `overloaded`; nothing where it is ready.
    reasons: Vec<&'static str>,
    /// What is wrong with the record of purges. It stands against nothing: images and purges work all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ledger: Option<&'static str>,
}

/// Whether new requests should be sent here
///
/// For load balancers. A process that ends says no before it takes no more connections.
#[utoipa::path(
    get, path = "/readyz", tag = "server", operation_id = "ready", security(()),
    responses(
        (status = 200, description = "They should.", body = ReadyBody),
        (status = 503, description = "They should not; `reasons` says why.", body = ReadyBody,
            headers(("Retry-After" = u64, description = "Seconds."))),
    ),
)]
pub(super) async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    let reasons: Vec<_> = admin.telemetry.readiness.reasons().into_iter().map(NotReady::as_str).collect();
    let (code, status) = match reasons.is_empty() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
    };
    let mut res = reply(code, &ReadyBody { status, reasons, ledger: ledger_trouble(&admin) });
    if code == StatusCode::SERVICE_UNAVAILABLE {
        add_number(res.headers_mut(), header::RETRY_AFTER, 1);
    }
    res
}

/// What runs.
#[derive(Serialize, ToSchema)]
pub(super) struct VersionBody {
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The commit that it was built of, where who built it said so.
    commit: Option<&'static str>,
}

/// The version that was built, and of which commit: the variable `FRESHET_COMMIT` of the build.
pub(super) const VERSION: (&str, Option<&str>) = (env!("CARGO_PKG_VERSION"), option_env!("FRESHET_COMMIT"));

/// Which version runs
///
/// And of which commit it was built, if that is known.
#[utoipa::path(
    get, path = "/version", tag = "server", operation_id = "version", security(()),
    responses((status = 200, description = "What runs.", body = VersionBody)),
)]
pub(super) async fn version() -> Response {
    let (version, commit) = VERSION;
    reply(StatusCode::OK, &VersionBody { version, commit })
}

fn ledger_trouble(admin: &Admin) -> Option<&'static str> {
    match admin.purger.health() {
        Health::Durable => None,
        Health::Degraded(trouble) => Some(trouble.as_str()),
    }
}
