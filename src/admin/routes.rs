//! Which path and method leads where, and what every request has to pass before.
//!
//! Paths are matched as the bytes they are: `//v1/files/purge`, `/v1/files/purge/` and `/%761/…` lead nowhere.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};

use super::{Admin, AdminError, api, dashboard, invalidate, session, site};

/// Where the path of one request's status ends and its id begins.
pub(super) const STATUS_PATH: &str = "/v1/files/purge/";

/// Both ends of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    pub(super) peer: IpAddr,
    pub(super) local: SocketAddr,
}

/// The routes, for one connection.
pub(super) fn router(admin: Arc<Admin>, connection: Connection) -> Router {
    Router::new()
        .route("/", get(dashboard::page))
        .route("/assets/{name}", get(dashboard::asset))
        .route("/v1/files/purge", post(api::purge))
        .route("/v1/files/purge/{request_id}", get(api::status))
        .route("/v1/session", get(session::who).post(session::sign_in).delete(session::sign_out))
        .route("/invalidate", post(invalidate::invalidate))
        .route("/v1/debug/audit", get(api::audit))
        .route("/healthz", get(api::health))
        .fallback(async || AdminError::PathUnknown)
        .method_not_allowed_fallback(async || AdminError::MethodUnknown)
        .layer(from_fn_with_state(Arc::clone(&admin), guard))
        .layer(Extension(connection))
        .with_state(admin)
}

/// Passed by every request, whatever its path.
async fn guard(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
    next: Next,
) -> Result<Response, AdminError> {
    site::check(&req, &admin.hosts, connection.local)?;
    // Dropped in the middle, a purge is whole or has not begun (`purge/mod.rs`).
    tokio::time::timeout(admin.times.request, next.run(req)).await.map_err(|_| AdminError::Late)
}
