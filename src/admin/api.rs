//! The calls: purge, status, audit. The first two answer as ImageKit's API does, to the letter.
//!
//! A success has exactly the members that ImageKit's has, since older clients break on any other; what Freshet
//! knows beyond stands in fields. Who calls is settled before a byte of a body is read.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Extension, Request, State};
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::Body as _;
use http_body_util::LengthLimitError;
use serde::Serialize;
use utoipa::ToSchema;

use super::grammar::{Asked, ImagekitBody};
use super::input::Parameters;
use super::routes::{Connection, STATUS_PATH};
use super::{Admin, AdminError, ErrorBody, add_number, reply};
use crate::config::Scope;
use crate::limits;
use crate::purge::{Attempt, By, Door, Progress, RequestId, Status, Submission};

/// What ImageKit's clients are answered: this member, and no other.
#[derive(Serialize, ToSchema)]
struct ImagekitAccepted {
    #[serde(rename = "requestId")]
    #[schema(pattern = "^[0-9a-f]{24}$", example = "30e079d067c24646a837ee70")]
    request_id: String,
}

/// Purge a URL, as ImageKit's API does
///
/// The answer has exactly the member that ImageKit's has. Beside `url`, the members of a target of `POST /v1/purges`
/// are taken.
#[utoipa::path(
    post, path = "/v1/files/purge", tag = "imagekit", operation_id = "imagekitPurge",
    request_body = ImagekitBody,
    responses(
        (status = 201, description = "The purge has taken effect and is recorded.", body = ImagekitAccepted),
        (status = 400, description = "The target can't be purged; `reason` and `help` say why.", body = ErrorBody),
        (status = 429, description = "The month's allowance is used up, or too many wrong keys.", body = ErrorBody),
    ),
)]
pub(super) async fn purge(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    let principal = admin.principal(&req, connection)?;
    principal.require(Scope::Purge)?;
    let attempt = attempt(req.headers());
    let asked = Asked::one(&read_body(req.into_body(), admin.times.body).await?)?;
    let account = principal.account(asked.account.as_deref())?;
    admin.permit(&principal, account, &asked.wishes)?;
    let by = By { key: principal.name().into(), door: Door::Imagekit };
    let (wishes, note, warm) = (&asked.wishes[..], asked.note, asked.warm);
    let submission = Submission { account, wishes, attempt, by, note, warm };
    let accepted = admin.purger.submit(submission).await.map_err(AdminError::Purge)?;
    Ok(reply(StatusCode::CREATED, &ImagekitAccepted { request_id: accepted.id.to_string() }))
}

/// How far a purge is: this member, and no other.
#[derive(Serialize, ToSchema)]
struct HowFar {
    #[schema(example = "Completed", pattern = "^(Pending|Completed)$")]
    status: &'static str,
}

/// How far a purge is, as ImageKit's API says it
///
/// Pending while what it covers is still being removed from memory; nobody is served it in either state.
#[utoipa::path(
    get, path = "/v1/files/purge/{requestId}", tag = "imagekit", operation_id = "imagekitStatus",
    params(("requestId" = String, Path, description = "What the purge was answered.", pattern = "^[0-9a-f]{24}$")),
    responses(
        (status = 200, description = "It is known.", body = HowFar, headers(
            ("Freshet-Purged-Entries" = u64, description = "Responses removed, or made stale, where it is Completed."),
            ("Freshet-Purged-Bytes" = u64, description = "Bytes of memory that they took."),
            ("Freshet-Purged-Counts" = String, description = "`own`, or `shared` with a wider purge."),
        )),
        (status = 400, description = "It is not known.", body = ErrorBody),
    ),
)]
pub(super) async fn status(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    let principal = admin.principal(&req, connection)?;
    principal.require_one_of(&[Scope::Read, Scope::Purge])?;
    let account = principal.account(Parameters::of(req.uri()).text("account")?)?;
    let id = req.uri().path().strip_prefix(STATUS_PATH).and_then(RequestId::parse);
    let (status, counts) = match admin.purger.status(account, id.ok_or(AdminError::RequestUnknown)?).await {
        Progress::Known(status, counts) => (status, counts),
        Progress::Unknown => return Err(AdminError::RequestUnknown),
        Progress::Unreadable => return Err(AdminError::LedgerUnreadable),
    };
    let mut res = reply(StatusCode::OK, &HowFar { status: status.as_str() });
    if status == Status::Completed {
        let fields = res.headers_mut();
        add_number(fields, HeaderName::from_static("freshet-purged-entries"), counts.entries);
        add_number(fields, HeaderName::from_static("freshet-purged-bytes"), counts.bytes);
        let whose = if counts.shared { "shared" } else { "own" };
        fields.insert(HeaderName::from_static("freshet-purged-counts"), HeaderValue::from_static(whose));
    }
    Ok(res)
}

/// What an audit found. All but `entries` and `pending` must be 0.
#[derive(Serialize, ToSchema)]
struct Found {
    /// Whether all is as it must be.
    clean: bool,
    /// Keys stored.
    entries: u64,
    /// Variants that a purge should have removed.
    purged: u64,
    /// Variants that a soft purge should have made stale.
    not_stale: u64,
    /// Keys that an order of the index lacks.
    not_indexed: u64,
    /// Pairs of the index without an entry: what is on its way.
    pending: u64,
}

/// Look for what a purge should have removed
///
/// Walks all that is stored, one walk at a time. It tells no key.
#[utoipa::path(
    get, path = "/v1/debug/audit", tag = "server", operation_id = "audit",
    responses((status = 200, description = "What was found.", body = Found)),
)]
pub(super) async fn audit(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    admin.principal(&req, connection)?.require(Scope::Read)?;
    let _alone = admin.auditing.lock().await;
    let audit = admin.walk(|admin| admin.cache.audit()).await?;
    Ok(reply(
        StatusCode::OK,
        &Found {
            clean: audit.is_clean(),
            entries: audit.entries,
            purged: audit.purged,
            not_stale: audit.not_stale,
            not_indexed: audit.not_indexed,
            pending: audit.pending,
        },
    ))
}

/// The newer clients count their retries in a field of their own.
pub(super) fn attempt(headers: &HeaderMap) -> Attempt {
    let count =
        headers.get("x-stainless-retry-count").and_then(|count| count.to_str().ok()?.parse::<u32>().ok());
    match count {
        None | Some(0) => Attempt::First,
        Some(_) => Attempt::Retry,
    }
}

pub(super) async fn read_body(body: Body, time: Duration) -> Result<Bytes, AdminError> {
    // One that announces its length is refused before it is sent.
    if body.size_hint().lower() > limits::ADMIN_BODY_BYTES_MAX as u64 {
        return Err(AdminError::BodyTooLarge);
    }
    let read = to_bytes(body, limits::ADMIN_BODY_BYTES_MAX);
    let read = tokio::time::timeout(time, read).await.map_err(|_| AdminError::BodyLate)?;
    read.map_err(|error| match error.source() {
        Some(cause) if cause.is::<LengthLimitError>() => AdminError::BodyTooLarge,
        _ => AdminError::BodyBroken,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_is_what_the_client_counts_as_one() {
        for (count, expected) in [
            ("0", Attempt::First),
            ("1", Attempt::Retry),
            ("2", Attempt::Retry),
            ("", Attempt::First),
            ("-1", Attempt::First),
            ("many", Attempt::First),
        ] {
            let headers = HeaderMap::from_iter([(
                HeaderName::from_static("x-stainless-retry-count"),
                HeaderValue::from_static(count),
            )]);
            assert_eq!(attempt(&headers), expected, "{count}");
        }
        assert_eq!(attempt(&HeaderMap::new()), Attempt::First);
    }
}
