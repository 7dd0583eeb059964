//! The calls of a browser's session: sign in by key, who is it, sign out.
//!
//! The cookie is HttpOnly and SameSite=Strict. It is Secure where the browser came by TLS: a proxy before the
//! listener says so, or the page's own origin does. Neither has to be trusted, since Secure only ever narrows where
//! a browser sends the cookie; a client that lies about it hides its own cookie from itself.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::{COOKIE, Principal, Token};
use super::routes::Connection;
use super::{Admin, AdminError, ErrorBody, api, reply, site};
use crate::limits;

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What a browser signs in with.
#[derive(Deserialize, ToSchema)]
struct SignIn {
    /// A key, as it is presented in the field Authorization elsewhere.
    #[schema(example = "private_demo")]
    key: String,
}

/// Sign in
///
/// Begins a session of the key's bearer; its cookie stands for the key from then on. It ends when it has been idle for
/// 12 hours, after 7 days, or by DELETE.
#[utoipa::path(
    post, path = "/v1/session", tag = "session", operation_id = "signIn", security(()),
    request_body = SignIn,
    responses(
        (status = 204, description = "The cookie `freshet_session` is set.", headers(
            ("Set-Cookie" = String, description = "HttpOnly, SameSite=Strict; Secure where the browser came by TLS."),
        )),
        (status = 400, description = "The body names no key.", body = ErrorBody),
        (status = 403, description = "Nobody has this key, or another site's page asks.", body = ErrorBody),
        (status = 415, description = "The body is not said to be JSON.", body = ErrorBody),
        (status = 429, description = "Too many wrong keys came from this address.", body = ErrorBody),
    ),
)]
pub(super) async fn sign_in(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    // No form of another site's page can send JSON.
    site::check_is_json(req.headers())?;
    let (head, body) = req.into_parts();
    let body = api::read_body(body, admin.times.body).await?;
    let members: SignIn = serde_json::from_slice(&body).map_err(|_| AdminError::SignInUnreadable)?;
    let now = admin.clock.now();
    let token = admin.access.sign_in(&members.key, connection.peer, now)?;
    if let Some(earlier) = Token::of(&head.headers) {
        admin.access.sign_out(&earlier);
    }
    Ok(with_cookie(&head.headers, token.as_str(), limits::SESSION_TIME))
}

/// Whose key it is.
#[derive(Serialize, ToSchema)]
struct Who<'a> {
    /// The key's name.
    #[schema(example = "private key 1")]
    name: &'a str,
    /// The id of its account; null where it is an operator's, of all.
    account: Option<&'a str>,
    /// The accounts that it may ask about.
    accounts: Vec<AccountBody<'a>>,
    /// What it may do: `read`, `purge`, `operator`.
    scopes: Vec<&'static str>,
    /// The folders that it is bound to; null where it is bound to none.
    urls: Option<Vec<&'a str>>,
    /// When the session ends, if nothing comes (RFC 3339); null where a key was presented.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// An account.
#[derive(Serialize, ToSchema)]
struct AccountBody<'a> {
    #[schema(example = "demo")]
    id: &'a str,
    /// The canonical one first.
    #[schema(value_type = Vec<String>)]
    url_endpoints: &'a [Box<str>],
}

/// Who is calling
///
/// The bearer of the session, or of the key.
#[utoipa::path(
    get, path = "/v1/session", tag = "session", operation_id = "whoAmI",
    responses((status = 200, description = "It is known.", body = Who)),
)]
pub(super) async fn who(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    let principal = admin.principal(&req, connection)?;
    let lasts = Token::of(req.headers()).and_then(|token| admin.access.lasts(&token, admin.clock.now()));
    let expires_at = lasts
        .filter(|_| !req.headers().contains_key(header::AUTHORIZATION))
        .map(|left| humantime::format_rfc3339_millis(admin.clock.wall() + left).to_string());
    let endpoints = admin.endpoints();
    let body_of =
        |account| AccountBody { id: endpoints.id_of(account), url_endpoints: endpoints.of_account(account) };
    let accounts = accounts_of(&principal).into_iter().map(body_of).collect();
    Ok(reply(
        StatusCode::OK,
        &Who {
            name: principal.name(),
            account: principal.own_account().map(|account| endpoints.id_of(account)),
            accounts,
            scopes: principal.scopes().words(),
            urls: principal.urls(),
            expires_at,
        },
    ))
}

fn accounts_of(principal: &Principal) -> Vec<usize> {
    principal.own_account().map_or_else(|| principal.all_accounts().collect(), |own| vec![own])
}

/// Sign out
///
/// Without a session there is nothing to end, and that is as good.
#[utoipa::path(
    delete, path = "/v1/session", tag = "session", operation_id = "signOut", security(()),
    responses((status = 204, description = "The cookie is taken back.")),
)]
pub(super) async fn sign_out(State(admin): State<Arc<Admin>>, req: Request) -> Result<Response, AdminError> {
    if let Some(token) = Token::of(req.headers()) {
        site::check_is_ours(req.method(), req.headers())?;
        admin.access.sign_out(&token);
    }
    Ok(with_cookie(req.headers(), "", Duration::ZERO))
}

fn with_cookie(asked: &HeaderMap, value: &str, lasts: Duration) -> Response {
    let secure = if is_by_tls(asked) { "; Secure" } else { "" };
    let seconds = lasts.as_secs();
    let cookie = format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    let mut cookie = HeaderValue::from_str(&cookie).expect("a token is letters, digits, - and _");
    cookie.set_sensitive(true);
    let fields = [
        (header::SET_COOKIE, cookie),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (StatusCode::NO_CONTENT, fields).into_response()
}

fn is_by_tls(asked: &HeaderMap) -> bool {
    let first = |name| asked.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let proto = first(X_FORWARDED_PROTO).and_then(|protos| protos.split(',').next());
    proto.is_some_and(|proto| proto.trim().eq_ignore_ascii_case("https"))
        || first(header::ORIGIN).is_some_and(|origin| origin.starts_with("https://"))
}
