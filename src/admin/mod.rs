//! The control plane: a listener of its own on which clients purge, ask how far a purge is, and look at the
//! process's health.
//!
//! Owns the accept loop, its connections, and the one map from errors to statuses, `AdminError`. Bounds: so many
//! connections, so large a head and a body, so long a request and a connection (`limits.rs`); a connection over
//! the bound is closed at once. It shares no task and no descriptor limit of its own making with the data plane;
//! `app` gives it a runtime of its own. No locks here but the count of wrong keys (`auth.rs`).
//!
//! Every answer is a JSON object, is not to be stored, and tells nothing of paths, versions or causes: those are
//! in the log. No answer carries a CORS field, so a browser shows none to another site.

mod api;
mod auth;
mod routes;
mod site;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use crate::cache::Cache;
use crate::clock::Clock;
use crate::config::{self, Account, Authority};
use crate::limits;
use crate::purge::{Allowance, PurgeError, Purger};

/// What the control plane needs.
pub struct Admin {
    purger: Purger,
    cache: Arc<Cache>,
    /// Held while the store is walked.
    auditing: Mutex<()>,
    auth: auth::Auth,
    hosts: Vec<Authority>,
    clock: Clock,
    times: Times,
}

/// How long clients may take; a test makes them short.
#[derive(Clone, Copy, Debug)]
struct Times {
    header: Duration,
    body: Duration,
    request: Duration,
    connection: Duration,
}

impl Default for Times {
    fn default() -> Times {
        Times {
            header: limits::ADMIN_HEADER_TIME,
            body: limits::ADMIN_BODY_TIME,
            request: limits::ADMIN_REQUEST_TIME,
            connection: limits::ADMIN_CONNECTION_TIME,
        }
    }
}

impl Admin {
    /// The control plane of these accounts.
    pub fn new(
        config: &config::Admin,
        accounts: &[Account],
        purger: Purger,
        cache: Arc<Cache>,
        clock: Clock,
    ) -> Admin {
        let (auth, hosts) = (auth::Auth::new(accounts), config.hosts.clone());
        Admin { purger, cache, auditing: Mutex::default(), auth, hosts, clock, times: Times::default() }
    }
}

/// Serves until `stop` is ready, then takes no more connections, ends the idle ones and returns when the running
/// answers are out. The caller sets the deadline: dropping this future drops all connections.
pub async fn serve(listener: TcpListener, admin: Admin, stop: impl Future<Output = ()>) {
    let admin = Arc::new(admin);
    let drain = watch::Sender::new(false);
    let mut connections = JoinSet::new();
    let mut accepting = true;
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                accepting = true;
                // One over the bound is closed by being dropped.
                if connections.len() < limits::ADMIN_CONNECTIONS_MAX {
                    connections.spawn(serve_connection(stream, peer, Arc::clone(&admin), drain.subscribe()));
                }
            }
            // The client's doing: the next one waits already.
            Err(error)
                if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            Err(error) => {
                if accepting {
                    tracing::error!(%error, "admin: no connection can be accepted; trying on");
                }
                accepting = false;
                tokio::time::sleep(limits::ADMIN_ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    drain.send_replace(true);
    while connections.join_next().await.is_some() {}
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    admin: Arc<Admin>,
    mut drain: watch::Receiver<bool>,
) {
    // Without an own address the client is gone already.
    let Ok(local) = stream.local_addr() else { return };
    let times = admin.times;
    let router = routes::router(admin, routes::Connection { peer: peer.ip(), local });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(times.header)
        .max_header_size(limits::REQUEST_HEAD_BYTES_MAX)
        .max_headers(limits::REQUEST_FIELDS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = pin!(served);
    tokio::select! {
        // Errors are the client's: a broken head, which hyper has answered, or a broken connection.
        _ = served.as_mut() => return,
        _ = drain.wait_for(|draining| *draining) => {}
        () = tokio::time::sleep(times.connection) => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(times.request, served).await;
}

/// Why a request gets no good answer.
#[derive(Debug)]
enum AdminError {
    /// Not one Host that can be read.
    HostInvalid,
    /// A Host that is not this listener's.
    HostUnknown,
    /// A browser sends this for another site.
    CrossSite,
    /// No private key.
    KeyMissing,
    /// No account has this private key.
    KeyUnknown,
    /// Too many wrong private keys from this address; the time after which it may try on.
    KeysExhausted(Duration),
    /// No such path.
    PathUnknown,
    /// The path knows other methods; axum adds Allow.
    MethodUnknown,
    /// A body over [`limits::ADMIN_BODY_BYTES_MAX`].
    BodyTooLarge,
    /// The body did not come in time.
    BodyLate,
    /// The body broke off.
    BodyBroken,
    /// The body is no JSON object.
    BodyNotJson,
    /// The body has no `url`, or an empty one.
    UrlMissing,
    /// `url` is no string.
    UrlNotText,
    /// `mode` is none that there is.
    ModeUnknown,
    /// `target` is none that there is.
    TargetUnknown,
    /// `target` is a tag, and there is no `tag`.
    TagMissing,
    /// `target` is a transformation, and there is no `transformation`.
    TransformationMissing,
    /// The purge did not take place.
    Purge(PurgeError),
    /// The account has no such request.
    RequestUnknown,
    /// The ledger can't be read now.
    LedgerUnreadable,
    /// The answer took too long.
    Late,
}

/// The body of every answer that is no success. ImageKit's clients need `message`.
#[derive(Serialize)]
struct ErrorBody<'text> {
    message: &'text str,
    help: &'text str,
    reason: &'text str,
}

const URL_INVALID: &str = "The URL is not valid for cache purging.";
const URL_MISSING: &str = "Your request is missing URL parameter.";
const TRY_AGAIN: &str = "Nothing is wrong with the request: send it again in a moment.";

impl AdminError {
    /// Status, message, rule and help. The messages of ImageKit's contract are kept to the letter.
    fn parts(&self) -> (StatusCode, &'static str, &'static str, &'static str) {
        use StatusCode as Is;
        const JSON_HELP: &str = "Send a JSON object: {\"url\": \"https://…\"}.";
        #[rustfmt::skip]
        let parts = match self {
            AdminError::HostInvalid => (Is::BAD_REQUEST, "Your request is missing a valid Host.", "host_invalid",
                "Send the Host field once, with a name or an address."),
            AdminError::HostUnknown => (Is::MISDIRECTED_REQUEST, "This host is not served here.", "host_unknown",
                "Call the address that the admin listener has, or add the name to admin.hosts in the config."),
            AdminError::CrossSite => (Is::FORBIDDEN, "Requests from other sites are refused.", "cross_site",
                "Browsers may change something from this listener's own pages alone."),
            AdminError::KeyMissing => (Is::UNAUTHORIZED, "Your request does not contain private API key.", "key_missing",
                "Use HTTP Basic authentication with the private key as the user name and any password."),
            AdminError::KeyUnknown => (Is::FORBIDDEN, "Your account cannot be authenticated.", "key_unknown",
                "No account of the config has this private key."),
            AdminError::KeysExhausted(_) => (Is::TOO_MANY_REQUESTS, "Too many requests with a wrong private API key.",
                "keys_exhausted", "Wait as long as Retry-After says, then use a key from the config."),
            AdminError::PathUnknown => (Is::NOT_FOUND, "There is nothing at this path.", "path_unknown",
                "Purge with POST /v1/files/purge, ask with GET /v1/files/purge/{requestId}."),
            AdminError::MethodUnknown => (Is::METHOD_NOT_ALLOWED, "This path does not know the method.",
                "method_unknown", "The Allow field names the methods that it knows."),
            AdminError::BodyTooLarge => (Is::PAYLOAD_TOO_LARGE, "The body of your request is too large.",
                "body_too_large", "One purge names one URL."),
            AdminError::BodyLate => (Is::REQUEST_TIMEOUT, "The body of your request did not come in time.",
                "body_late", TRY_AGAIN),
            AdminError::BodyBroken => (Is::BAD_REQUEST, "The body of your request broke off.", "body_broken", TRY_AGAIN),
            AdminError::BodyNotJson => (Is::BAD_REQUEST, URL_MISSING, "body_not_json", JSON_HELP),
            AdminError::UrlMissing => (Is::BAD_REQUEST, URL_MISSING, "url_missing", JSON_HELP),
            AdminError::UrlNotText => (Is::BAD_REQUEST, URL_INVALID, "url_not_text", JSON_HELP),
            AdminError::ModeUnknown => (Is::BAD_REQUEST, "The mode of your request is unknown.", "mode_unknown",
                "mode is \"delete\" (what happens without it) or \"stale\"."),
            AdminError::TargetUnknown => (Is::BAD_REQUEST, "The target of your request is unknown.", "target_unknown",
                "target is \"url\" (what happens without it), \"asset\" or \"tag\"."),
            AdminError::TagMissing => (Is::BAD_REQUEST, "Your request is missing a tag.", "tag_missing",
                "Name it in the member tag: {\"target\": \"tag\", \"tag\": \"…\"}."),
            AdminError::TransformationMissing => (Is::BAD_REQUEST, "Your request is missing a transformation.",
                "transformation_missing",
                "Name it in the member transformation: {\"target\": \"transformation\", \"transformation\": \"…\"}."),
            AdminError::RequestUnknown => (Is::BAD_REQUEST, "No request found for this requestId.", "request_unknown",
                "It was given to another account, or is older than what the ledger keeps, or never given."),
            AdminError::LedgerUnreadable => (Is::SERVICE_UNAVAILABLE, "The record of purges can't be read now.",
                "ledger_unreadable", "The disk under the ledger fails; purges work all the same."),
            AdminError::Late => (Is::SERVICE_UNAVAILABLE, "The answer took too long.", "late",
                "A purge that was sent may have taken place; sent again, it does no harm."),
            AdminError::Purge(error) => return purge_parts(error),
        };
        parts
    }

    fn add_fields(&self, fields: &mut HeaderMap) {
        match self {
            AdminError::KeyMissing => {
                fields.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"freshet\""));
            }
            AdminError::KeysExhausted(wait) => {
                let most = u64::from(limits::AUTH_FAILURES_MAX);
                add_rate(fields, most, *wait, limits::AUTH_FAILURES_TIME);
            }
            AdminError::Purge(PurgeError::AllowanceUsedUp(allowance)) => add_allowance(fields, allowance),
            AdminError::LedgerUnreadable
            | AdminError::Late
            | AdminError::Purge(PurgeError::Busy | PurgeError::Unavailable) => {
                add_number(fields, header::RETRY_AFTER, 1);
            }
            _ => {}
        }
    }
}

#[rustfmt::skip]
fn purge_parts(error: &PurgeError) -> (StatusCode, &'static str, &'static str, &'static str) {
    use StatusCode as Is;
    match error {
        PurgeError::NoTargets => AdminError::UrlMissing.parts(),
        PurgeError::TooManyTargets => (Is::BAD_REQUEST, URL_INVALID, "too_many_targets", "Send fewer targets at once."),
        PurgeError::NoteTooLong => (Is::BAD_REQUEST, "The note of your request is too long.", "note_too_long",
            "A note has 1024 bytes at most."),
        // The rule and its sentence are the refusal's own; `into_response` has them.
        PurgeError::Refused(_) => (Is::BAD_REQUEST, URL_INVALID, "url_refused", ""),
        PurgeError::AllowanceUsedUp(_) => (Is::TOO_MANY_REQUESTS,
            "The purges that your account may make this month are used up.", "allowance_used_up",
            "The count begins anew with the month (UTC); purges_per_month in the config raises the limit."),
        PurgeError::Busy => (Is::SERVICE_UNAVAILABLE, "Too many purges are under way.", "busy", TRY_AGAIN),
        PurgeError::Unavailable => (Is::SERVICE_UNAVAILABLE, "Purges are not accepted now.", "unavailable", TRY_AGAIN),
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let (status, message, reason, help) = self.parts();
        let mut res = match &self {
            AdminError::Purge(PurgeError::Refused(refused)) if !refused.is_empty() => {
                let refusal = &refused[0].refusal;
                let help = refusal.to_string();
                reply(status, &ErrorBody { message, help: &help, reason: refusal.as_str() })
            }
            _ => reply(status, &ErrorBody { message, help, reason }),
        };
        self.add_fields(res.headers_mut());
        res
    }
}

/// The one form of an answer.
fn reply(status: StatusCode, body: &impl Serialize) -> Response {
    let json = serde_json::to_vec(body).expect("bodies are structs of strings and numbers");
    let fields = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, fields, json).into_response()
}

/// A month's allowance that is used up: a retry can't help before its end.
fn add_allowance(fields: &mut HeaderMap, allowance: &Allowance) {
    add_rate(fields, allowance.limit.unwrap_or(u64::MAX), allowance.resets_in, allowance.interval());
    fields.insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
}

/// The fields of ImageKit's 429, and those that its newer clients look at.
fn add_rate(fields: &mut HeaderMap, limit: u64, reset: Duration, interval: Duration) {
    let reset_ms = u64::try_from(reset.as_millis()).unwrap_or(u64::MAX);
    let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
    add_number(fields, HeaderName::from_static("x-ratelimit-limit"), limit);
    add_number(fields, HeaderName::from_static("x-ratelimit-reset"), reset_ms);
    add_number(fields, HeaderName::from_static("x-ratelimit-interval"), interval_ms);
    add_number(fields, header::RETRY_AFTER, reset_ms.div_ceil(1000));
    add_number(fields, HeaderName::from_static("retry-after-ms"), reset_ms);
}

fn add_number(fields: &mut HeaderMap, name: HeaderName, number: u64) {
    fields.insert(name, HeaderValue::from(number));
}
