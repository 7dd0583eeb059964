//! The control plane: a listener of its own on which clients purge, ask how far a purge is, and look at the
//! process's health.
//!
//! Owns the accept loop, its connections, and the one map from errors to statuses, `AdminError`. Bounds: so many
//! connections, so large a head and a body, so long a request and a connection (`limits.rs`); a connection over
//! the bound is closed at once. It shares no task and no descriptor limit of its own making with the data plane;
//! `app` gives it a runtime of its own. No locks here but the count of wrong keys (`access/guesses.rs`).
//!
//! Every answer is a JSON object, is not to be stored, and tells nothing of paths, versions or causes: those are
//! in the log. No answer carries a CORS field, so a browser shows none to another site.

mod access;
mod allowance;
mod api;
mod cache;
#[cfg(test)]
mod calls_tests;
mod csv;
mod dashboard;
mod grammar;
mod health;
mod input;
mod invalidate;
mod keys;
#[cfg(test)]
mod keys_tests;
mod metrics;
mod openapi;
mod overview;
mod pages;
mod purge_method;
mod purges;
mod records;
mod reload;
mod routes;
mod session;
#[cfg(test)]
mod session_tests;
mod site;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use utoipa::ToSchema;

use crate::cache::Cache;
use crate::clock::Clock;
use crate::config::{self, Account, Authority, NamedKey, Scope};
use crate::key::Endpoints;
use crate::limits;
use crate::purge::{
    Allowance, Attempt, By, ChangeError, Door, Named, PurgeError, Purger, RequestId, Submission, Wish,
};
use crate::telemetry::{Metrics, Telemetry};
use crate::tls::{Protocols, Store};
use access::{Denial, Principal};

use allowance::AllowanceShown;
use input::InputError;
use purges::VerdictShown;

pub use reload::{NotReloaded, ReloadDoor, Reloaded};

/// What the control plane needs.
pub struct Admin {
    purger: Purger,
    cache: Arc<Cache>,
    /// Held while the store is walked.
    auditing: Mutex<()>,
    access: access::Access,
    endpoints: ArcSwap<Endpoints>,
    hosts: ArcSwap<Vec<Authority>>,
    clock: Clock,
    telemetry: Telemetry,
    reload_door: OnceLock<Weak<dyn ReloadDoor>>,
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
    /// The control plane of these accounts, for the bearers of their private keys and of the other keys.
    pub fn new(
        config: &config::Admin,
        accounts: &[Account],
        keys: &[NamedKey],
        endpoints: Arc<Endpoints>,
        purger: Purger,
        cache: Arc<Cache>,
        clock: Clock,
    ) -> Admin {
        let access = access::Access::new(accounts, keys, &endpoints);
        access.renew(&purger, &endpoints);
        Admin {
            purger,
            cache,
            auditing: Mutex::default(),
            access,
            endpoints: ArcSwap::new(endpoints),
            hosts: ArcSwap::from_pointee(config.hosts.clone()),
            telemetry: Telemetry::new(Arc::new(Metrics::default()), &clock),
            clock,
            reload_door: OnceLock::new(),
            times: Times::default(),
        }
    }

    /// The same with this to show of what the data plane does.
    pub fn showing(self, telemetry: Telemetry) -> Admin {
        Admin { telemetry, ..self }
    }

    /// Serves these accounts and keys from now on. Sessions go on where their key is there still, with what it may do now.
    /// An account keeps its place (`purge/roster.rs`); the purger has been told before.
    pub fn take_over(
        &self,
        config: &config::Admin,
        accounts: &[Account],
        keys: &[NamedKey],
        endpoints: Arc<Endpoints>,
    ) {
        self.hosts.store(Arc::new(config.hosts.clone()));
        self.endpoints.store(Arc::clone(&endpoints));
        self.access.take_over(accounts, keys, &self.purger, &endpoints);
    }

    /// The accounts' URLs, as they are now: whoever needs two answers of them asks once.
    fn endpoints(&self) -> Arc<Endpoints> {
        self.endpoints.load_full()
    }

    /// Refuses wishes that this caller may not purge in this account. What can't be purged at all passes here: why
    /// not is said to everybody alike.
    fn permit(&self, principal: &Principal, account: usize, wishes: &[Wish]) -> Result<(), Denial> {
        principal.require(Scope::Purge)?;
        let endpoints = self.endpoints();
        for wish in wishes {
            if let Named::Host { .. } | Named::Everything { .. } = wish.named {
                principal.require(Scope::Operator)?;
            }
            if let Ok(target) = wish.target(account, endpoints.id_of(account), &endpoints) {
                principal.may_purge(&target)?;
            }
        }
        Ok(())
    }

    /// Purges what was permitted, in the name of the caller's key.
    async fn submit(
        &self,
        principal: &Principal,
        door: Door,
        account: usize,
        wishes: &[Wish],
        attempt: Attempt,
    ) -> Result<RequestId, AdminError> {
        let by = By { key: principal.name().into(), door };
        let submission = Submission { account, wishes, attempt, by, note: None, warm: None };
        self.purger.submit(submission).await.map(|accepted| accepted.id).map_err(AdminError::Purge)
    }

    /// Who sends this request.
    fn principal<B>(
        &self,
        req: &Request<B>,
        connection: routes::Connection,
    ) -> Result<Arc<Principal>, AdminError> {
        self.access.identify(req.method(), req.headers(), connection.peer, self.clock.now())
    }

    /// Does what may take a while, such as a walk over what is stored, beside the other answers.
    async fn walk<T: Send + 'static>(
        self: &Arc<Admin>,
        walk: impl FnOnce(&Admin) -> T + Send + 'static,
    ) -> Result<T, AdminError> {
        let admin = Arc::clone(self);
        tokio::task::spawn_blocking(move || walk(&admin)).await.map_err(|_| AdminError::Late)
    }
}

/// Serves until `stop` is ready, then takes no more connections, ends the idle ones and returns when the running
/// answers are out. The caller sets the deadline: dropping this future drops all connections.
/// With `tls` nothing else is spoken.
pub async fn serve(
    listener: TcpListener,
    admin: Arc<Admin>,
    tls: Option<Arc<Store>>,
    stop: impl Future<Output = ()>,
) {
    let router = routes::router(Arc::clone(&admin));
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
                    let (router, times, drain) = (router.clone(), admin.times, drain.subscribe());
                    match tls.clone() {
                        None => connections.spawn(serve_clear(stream, peer, router, times, drain)),
                        Some(tls) => connections.spawn(serve_tls(stream, tls, peer, router, times, drain)),
                    };
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

async fn serve_clear(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    times: Times,
    drain: watch::Receiver<bool>,
) {
    // Without an own address the client is gone already.
    let Ok(local) = stream.local_addr() else { return };
    let connection = routes::Connection { peer: peer.ip(), local };
    serve_connection(stream, connection, router, times, drain).await;
}

/// The same over TLS; the handshake has as long as a head.
async fn serve_tls(
    stream: TcpStream,
    tls: Arc<Store>,
    peer: SocketAddr,
    router: Router,
    times: Times,
    mut drain: watch::Receiver<bool>,
) {
    let Ok(local) = stream.local_addr() else { return };
    let connection = routes::Connection { peer: peer.ip(), local };
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(times.header, tls.acceptor(Protocols::Http1).accept(stream)) => shaken,
        _ = drain.wait_for(|draining| *draining) => return, // It has asked for nothing yet.
    };
    if let Ok(Ok(stream)) = shaken {
        serve_connection(stream, connection, router, times, drain).await;
    }
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: routes::Connection,
    router: Router,
    times: Times,
    mut drain: watch::Receiver<bool>,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut req: http::Request<Incoming>| {
        req.extensions_mut().insert(connection);
        router.call(req)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(times.header)
        .max_header_size(limits::ADMIN_HEAD_BYTES_MAX)
        .max_headers(limits::REQUEST_FIELDS_MAX)
        .serve_connection(TokioIo::new(stream), service);
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
    /// A browser's session that there is not, or no longer.
    SignedOut,
    /// A sign-in without a key that can be read.
    SignInUnreadable,
    /// A body that is not said to be JSON, where that has to be said.
    TypeNotJson,
    /// The key may not do this.
    Denied(Denial),
    /// The key is of all accounts, and none is named.
    AccountMissing,
    /// The account named is none that the key may act for.
    AccountUnknown,
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
    /// An event of a type that is not known here.
    EventTypeUnsupported,
    /// A selector that is right and can't be followed.
    SelectorUnsupported,
    /// A parameter or a member can't be taken.
    Input(InputError),
    /// No such variant is stored.
    NotStored,
    /// What is stored is no whole picture.
    NotPicture,
    /// A key of the config, which is taken away there.
    KeyOfConfig,
    /// Nothing was changed.
    Change(ChangeError),
    /// The config stays as it was.
    NotReloaded(NotReloaded),
    /// The purge did not take place.
    Purge(PurgeError),
    /// Targets that can't be purged, or that the caller may not purge; with the verdicts on all.
    Targets { is_denied: bool, verdicts: Vec<VerdictShown> },
    /// The month's allowance doesn't hold the targets.
    Exhausted(Box<AllowanceShown>, Box<Allowance>),
    /// The caller's account has no such purge.
    PurgeUnknown,
    /// The account has no such request.
    RequestUnknown,
    /// The ledger can't be read now.
    LedgerUnreadable,
    /// The answer took too long.
    Late,
}

/// The body of every answer that is no success. ImageKit's clients need `message`.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorBody {
    /// What is wrong, in a sentence.
    message: Cow<'static, str>,
    /// What would be right.
    help: Cow<'static, str>,
    /// The code of the rule that refuses.
    reason: &'static str,
    /// The parameter, or the member of the body, that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    at: Option<Cow<'static, str>>,
    /// The verdicts on all targets, where one is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    targets: Option<Vec<VerdictShown>>,
    /// What the account may still purge, where that is not enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    allowance: Option<AllowanceShown>,
}

const URL_INVALID: &str = "The URL is not valid for cache purging.";
const URL_MISSING: &str = "Your request is missing URL parameter.";
const TRY_AGAIN: &str = "Nothing is wrong with the request: send it again in a moment.";

impl AdminError {
    /// Status, message, rule and help. The messages of ImageKit's contract are kept to the letter.
    fn parts(&self) -> (StatusCode, &'static str, &'static str, &'static str) {
        use StatusCode as Is;
        #[rustfmt::skip]
        let parts = match self {
            AdminError::HostInvalid => (Is::BAD_REQUEST, "Your request is missing a valid Host.", "host_invalid",
                "Send the Host field once, with a name or an address."),
            AdminError::HostUnknown => (Is::MISDIRECTED_REQUEST, "This host is not served here.", "host_unknown",
                "Call the address that the admin listener has, or add the name to admin.hosts in the config."),
            AdminError::CrossSite => (Is::FORBIDDEN, "Requests from other sites are refused.", "cross_site",
                "Browsers may change something from this listener's own pages alone."),
            AdminError::KeyMissing => (Is::UNAUTHORIZED, "Your request does not contain private API key.", "key_missing",
                "Use HTTP Basic authentication with the private key as the user name and any password, or Bearer with the key."),
            AdminError::KeyUnknown => (Is::FORBIDDEN, "Your account cannot be authenticated.", "key_unknown",
                "No account of the config has this private key."),
            AdminError::KeysExhausted(_) => (Is::TOO_MANY_REQUESTS, "Too many requests with a wrong private API key.",
                "keys_exhausted", "Wait as long as Retry-After says, then use a key from the config."),
            AdminError::SignedOut => (Is::UNAUTHORIZED, "You are not signed in.", "signed_out",
                "Sign in with a key: POST /v1/session."),
            AdminError::SignInUnreadable => (Is::BAD_REQUEST, "Your request is missing a key.", "sign_in_unreadable",
                "Send a JSON object: {\"key\": \"…\"}."),
            AdminError::TypeNotJson => (Is::UNSUPPORTED_MEDIA_TYPE, "The body of your request is not JSON.", "type_not_json",
                "Send JSON, and say so: Content-Type: application/json."),
            // The sentence is the denial's own; `into_response` has it.
            AdminError::Denied(denial) => (Is::FORBIDDEN, "This key may not do that.", denial.as_str(), ""),
            AdminError::AccountMissing => (Is::BAD_REQUEST, "Your request is missing an account.", "account_missing",
                "This key is of all accounts: name one in the member, or in the parameter, account."),
            AdminError::AccountUnknown => (Is::BAD_REQUEST, "There is no such account.", "account_unknown",
                "Name an account of the config that the key may act for."),
            AdminError::PathUnknown => (Is::NOT_FOUND, "There is nothing at this path.", "path_unknown",
                "Purge with POST /v1/files/purge, ask with GET /v1/files/purge/{requestId}."),
            AdminError::MethodUnknown => (Is::METHOD_NOT_ALLOWED, "This path does not know the method.",
                "method_unknown", "The Allow field names the methods that it knows."),
            AdminError::BodyTooLarge => (Is::PAYLOAD_TOO_LARGE, "The body of your request is too large.",
                "body_too_large", "One purge names one URL."),
            AdminError::BodyLate => (Is::REQUEST_TIMEOUT, "The body of your request did not come in time.",
                "body_late", TRY_AGAIN),
            AdminError::BodyBroken => (Is::BAD_REQUEST, "The body of your request broke off.", "body_broken", TRY_AGAIN),
            AdminError::EventTypeUnsupported => (Is::NOT_IMPLEMENTED, "This type of selector is not supported.",
                "type_unsupported", "type is \"uri\", \"uri-prefix\", \"origin\" or \"group\"."),
            AdminError::SelectorUnsupported => (Is::NOT_IMPLEMENTED, "This selector is not supported.",
                "selector_unsupported", "The account's URLs are opaque: a URL with a * in it can't be named alone."),
            // The rule and its sentences are the error's own; `into_response` has them.
            AdminError::Input(error) => (Is::BAD_REQUEST, "", error.reason, ""),
            AdminError::NotStored => (Is::NOT_FOUND, "Nothing is stored there.", "not_stored",
                "Ask GET /v1/cache?url=… which variants there are."),
            AdminError::NotPicture => (Is::NOT_FOUND, "What is stored there is no whole picture.", "not_picture",
                "Only whole responses with status 200 and a type image/* are shown."),
            AdminError::Targets { is_denied: true, .. } => (Is::FORBIDDEN, "Your key may not purge this.",
                "target_denied", "Nothing was purged: see the verdict on each target in `targets`."),
            AdminError::Targets { is_denied: false, .. } => (Is::BAD_REQUEST, "Not all targets can be purged.",
                "target_refused", "Nothing was purged: see the verdict on each target in `targets`."),
            AdminError::Exhausted(_, allowance) => return purge_parts(&PurgeError::AllowanceUsedUp(**allowance)),
            AdminError::PurgeUnknown => (Is::NOT_FOUND, "There is no such purge.", "purge_unknown",
                "It is another account's, or older than what the ledger keeps, or was never made."),
            AdminError::RequestUnknown => (Is::BAD_REQUEST, "No request found for this requestId.", "request_unknown",
                "It was given to another account, or is older than what the ledger keeps, or never given."),
            AdminError::LedgerUnreadable => (Is::SERVICE_UNAVAILABLE, "The record of purges can't be read now.",
                "ledger_unreadable", "The disk under the ledger fails; purges work all the same."),
            AdminError::Late => (Is::SERVICE_UNAVAILABLE, "The answer took too long.", "late",
                "A purge that was sent may have taken place; sent again, it does no harm."),
            AdminError::KeyOfConfig => (Is::CONFLICT, "This key is one of the config's.", "key_of_config",
                "Take it out of the config, and start again."),
            AdminError::Change(error) => return change_parts(*error),
            // What is wrong is the error's own; `into_response` has it.
            AdminError::NotReloaded(_) => (Is::CONFLICT, "The config stays as it was.", "not_reloaded", ""),
            AdminError::Purge(error) => return purge_parts(error),
        };
        parts
    }

    fn add_fields(&self, fields: &mut HeaderMap) {
        match self {
            AdminError::KeyMissing => {
                fields.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"freshet\""));
            }
            AdminError::SignedOut => {
                fields.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"freshet\""));
            }
            AdminError::KeysExhausted(wait) => {
                let most = u64::from(limits::AUTH_FAILURES_MAX);
                add_rate(fields, most, *wait, limits::AUTH_FAILURES_TIME);
            }
            AdminError::Purge(PurgeError::AllowanceUsedUp(allowance)) => add_allowance(fields, allowance),
            AdminError::Exhausted(_, allowance) => add_allowance(fields, allowance),
            AdminError::LedgerUnreadable
            | AdminError::Late
            | AdminError::Change(ChangeError::Unavailable)
            | AdminError::Purge(PurgeError::Busy | PurgeError::Unavailable) => {
                add_number(fields, header::RETRY_AFTER, 1);
            }
            _ => {}
        }
    }
}

#[rustfmt::skip]
fn change_parts(error: ChangeError) -> (StatusCode, &'static str, &'static str, &'static str) {
    use StatusCode as Is;
    const INVALID: &str = "Nothing was changed.";
    match error {
        ChangeError::Nothing => (Is::BAD_REQUEST, INVALID, "nothing", "Name what is to be changed."),
        ChangeError::NoteTooLong => (Is::BAD_REQUEST, INVALID, "note_too_long", "A note has 1024 bytes at most."),
        ChangeError::KeyTooLarge => (Is::BAD_REQUEST, INVALID, "key_too_large", "Bind the key to fewer or shorter URLs."),
        ChangeError::KeyTaken => (Is::CONFLICT, INVALID, "key_taken", TRY_AGAIN),
        ChangeError::TooManyKeys => (Is::CONFLICT, INVALID, "too_many_keys", "Take one away first."),
        ChangeError::KeyUnknown => (Is::NOT_FOUND, "There is no such key.", "key_id_unknown", "GET /v1/keys has their ids."),
        ChangeError::Unavailable => (Is::SERVICE_UNAVAILABLE, "Changes are not accepted now.", "unavailable", TRY_AGAIN),
    }
}

#[rustfmt::skip]
fn purge_parts(error: &PurgeError) -> (StatusCode, &'static str, &'static str, &'static str) {
    use StatusCode as Is;
    match error {
        PurgeError::NoTargets => (Is::BAD_REQUEST, URL_MISSING, "url_missing", "Name one target at least."),
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
        let mut fields = HeaderMap::new();
        self.add_fields(&mut fields);
        let plain = ErrorBody {
            message: message.into(),
            help: help.into(),
            reason,
            at: None,
            targets: None,
            allowance: None,
        };
        let body = match self {
            AdminError::Purge(PurgeError::Refused(refused)) if !refused.is_empty() => {
                let refusal = &refused[0].refusal;
                ErrorBody { help: refusal.to_string().into(), reason: refusal.as_str(), ..plain }
            }
            AdminError::Input(error) => {
                let message = error.message();
                ErrorBody {
                    message,
                    help: error.help,
                    at: Some(error.at).filter(|at| !at.is_empty()),
                    ..plain
                }
            }
            AdminError::NotReloaded(error) => ErrorBody { help: error.to_string().into(), ..plain },
            AdminError::Denied(denial) => ErrorBody { help: denial.to_string().into(), ..plain },
            AdminError::Targets { verdicts, .. } => ErrorBody { targets: Some(verdicts), ..plain },
            AdminError::Exhausted(allowance, _) => ErrorBody { allowance: Some(*allowance), ..plain },
            _ => plain,
        };
        let mut res = reply(status, &body);
        res.headers_mut().extend(fields);
        res
    }
}

/// The one form of an answer.
fn reply(status: StatusCode, body: &impl Serialize) -> Response {
    json(status, serde_json::to_vec(body).expect("bodies are structs of strings and numbers").into())
}

/// An answer that has nothing to say.
fn no_content() -> Response {
    let fields = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (StatusCode::NO_CONTENT, fields).into_response()
}

/// The same with a body that is JSON already.
fn json(status: StatusCode, body: Bytes) -> Response {
    let fields = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, fields, body).into_response()
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
