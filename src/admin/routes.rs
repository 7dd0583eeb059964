//! Which path and method leads where, and what every request has to pass before.
//!
//! Paths are matched as the bytes they are: `//v1/files/purge`, `/v1/files/purge/` and `/%761/…` lead nowhere.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::openapi::{self, Description};
use super::{
    Admin, AdminError, allowance, api, cache, csv, dashboard, health, invalidate, keys, metrics, overview,
    purges, reload, session, site,
};

/// Where the path of one request's status ends and its id begins.
pub(super) const STATUS_PATH: &str = "/v1/files/purge/";

/// Both ends of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    pub(super) peer: IpAddr,
    pub(super) local: SocketAddr,
}

/// Every call: a route and its description are one.
fn calls() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(api::purge))
        .routes(routes!(api::status))
        .routes(routes!(purges::list, purges::create))
        .routes(routes!(purges::show))
        .routes(routes!(purges::cancel_warming))
        .routes(routes!(csv::export))
        .routes(routes!(allowance::show, allowance::change))
        .routes(routes!(cache::show))
        .routes(routes!(cache::keys))
        .routes(routes!(cache::image))
        .routes(routes!(overview::overview))
        .routes(routes!(invalidate::invalidate))
        .routes(routes!(session::who, session::sign_in, session::sign_out))
        .routes(routes!(keys::list, keys::add))
        .routes(routes!(keys::remove))
        .routes(routes!(api::audit))
        .routes(routes!(health::health))
        .routes(routes!(health::ready))
        .routes(routes!(health::version))
        .routes(routes!(metrics::metrics))
        .routes(routes!(reload::reload))
        .routes(routes!(openapi::describe))
}

/// The dashboard: pages for browsers, which no program calls.
fn pages() -> Router<Arc<Admin>> {
    Router::new().route("/", get(dashboard::page)).route("/assets/{name}", get(dashboard::asset))
}

/// The routes, for all connections: each request brings its own [`Connection`].
pub(super) fn router(admin: Arc<Admin>) -> Router {
    let (router, described) = calls().split_for_parts();
    let described = serde_json::to_vec(&openapi::finished(described)).expect("names are strings");
    router
        .merge(pages())
        .fallback(async || AdminError::PathUnknown)
        .method_not_allowed_fallback(async || AdminError::MethodUnknown)
        .layer(from_fn_with_state(Arc::clone(&admin), guard))
        .layer(Extension(Description(described.into())))
        .with_state(admin)
}

/// Passed by every request, whatever its path.
async fn guard(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
    next: Next,
) -> Result<Response, AdminError> {
    site::check(&req, &admin.hosts.load(), connection.local)?;
    // Dropped in the middle, a purge is whole or has not begun (`purge/mod.rs`).
    tokio::time::timeout(admin.times.request, next.run(req)).await.map_err(|_| AdminError::Late)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each call is described whole: what a reader, or a generator of clients, needs.
    #[test]
    fn every_call_is_described_with_its_answers_and_errors() {
        let (_, described) = calls().split_for_parts();
        let described = serde_json::to_value(openapi::finished(described)).unwrap();
        assert_eq!(described["openapi"], "3.1.0");
        let mut ids = Vec::new();
        for (path, item) in described["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let at = format!("{method} {path}");
                ids.push(operation["operationId"].as_str().unwrap_or_else(|| panic!("{at} has no id")));
                for text in ["summary", "description"] {
                    assert!(
                        operation[text].as_str().is_some_and(|text| text.len() > 5),
                        "{at} has no {text}"
                    );
                }
                let tag = operation["tags"][0].as_str().unwrap_or_else(|| panic!("{at} has no tag"));
                let tags = described["tags"].as_array().unwrap();
                assert!(
                    tags.iter().any(|known| known["name"] == tag),
                    "{at}: the tag {tag} is not described"
                );
                let responses = operation["responses"].as_object().unwrap();
                assert!(responses.keys().any(|status| status.starts_with('2')), "{at} has no success");
                for status in ["400", "421", "503"] {
                    assert!(responses.contains_key(status), "{at} has no {status}");
                }
                let is_open = operation["security"] == serde_json::json!([{}]);
                assert_eq!(is_open, !responses.contains_key("401"), "{at}");
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    assert!(
                        parameter["description"].is_string(),
                        "{at}: {} has no description",
                        parameter["name"]
                    );
                }
            }
        }
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "ids are unlike each other");
    }
}
