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

use super::access::{COOKIE, Principal, Token};
use super::routes::Connection;
use super::{Admin, AdminError, api, reply, site};
use crate::limits;

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// `POST /v1/session`
pub(super) async fn sign_in(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    #[derive(Deserialize)]
    struct Members {
        key: String,
    }
    // No form of another site's page can send JSON.
    site::check_is_json(req.headers())?;
    let (head, body) = req.into_parts();
    let body = api::read_body(body, admin.times.body).await?;
    let members: Members = serde_json::from_slice(&body).map_err(|_| AdminError::SignInUnreadable)?;
    let now = admin.clock.now();
    let token = admin.access.sign_in(&members.key, connection.peer, now)?;
    if let Some(earlier) = Token::of(&head.headers) {
        admin.access.sign_out(&earlier);
    }
    Ok(with_cookie(&head.headers, token.as_str(), limits::SESSION_TIME))
}

/// `GET /v1/session`
pub(super) async fn who(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    #[derive(Serialize)]
    struct Who<'a> {
        name: &'a str,
        account: Option<&'a str>,
        accounts: Vec<AccountBody<'a>>,
        scopes: Vec<&'static str>,
        urls: Option<Vec<&'a str>>,
        expires_at: Option<String>,
    }
    #[derive(Serialize)]
    struct AccountBody<'a> {
        id: &'a str,
        url_endpoints: &'a [Box<str>],
    }
    let principal = admin.principal(&req, connection)?;
    let lasts = Token::of(req.headers()).and_then(|token| admin.access.lasts(&token, admin.clock.now()));
    let expires_at = lasts
        .filter(|_| !req.headers().contains_key(header::AUTHORIZATION))
        .map(|left| humantime::format_rfc3339_millis(admin.clock.wall() + left).to_string());
    let body_of = |account| AccountBody {
        id: admin.endpoints.id_of(account),
        url_endpoints: admin.endpoints.of_account(account),
    };
    let accounts = accounts_of(&principal).map(body_of).collect();
    Ok(reply(
        StatusCode::OK,
        &Who {
            name: principal.name(),
            account: principal.own_account().map(|account| admin.endpoints.id_of(account)),
            accounts,
            scopes: principal.scopes().words(),
            urls: principal.urls(),
            expires_at,
        },
    ))
}

fn accounts_of(principal: &Principal) -> std::ops::Range<usize> {
    match principal.own_account() {
        Some(own) => own..own + 1,
        None => 0..principal.accounts_count(),
    }
}

/// `DELETE /v1/session`: without one there is nothing to end, and that is as good.
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
