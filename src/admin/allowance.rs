//! What an account may still purge this month; an operator changes it, without a restart and with a row in the history.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Request, State};
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::input::{InputError, Parameters};
use super::purges::by;
use super::records::date;
use super::routes::Connection;
use super::{Admin, AdminError, ErrorBody, api, grammar, reply};
use crate::config::Scope;
use crate::limits;
use crate::purge::{Allowance, AllowanceChange, ChangeError, PurgeError};

const HELP: &str = "Send a JSON object: {\"limit\": 2000, \"note\": \"why\"}.";

/// What an account may purge in a calendar month (UTC).
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AllowanceShown {
    /// The account's id.
    #[schema(example = "demo")]
    account: String,
    /// Targets a month; null: no limit.
    limit: Option<u64>,
    /// Targets of this month so far.
    used: u64,
    /// What is left; null: no limit.
    left: Option<u64>,
    /// When the count begins anew (RFC 3339).
    #[schema(format = DateTime)]
    resets_at: String,
}

impl AllowanceShown {
    pub(super) fn of(admin: &Admin, account: usize, allowance: &Allowance) -> AllowanceShown {
        let Allowance { limit, used, month, .. } = *allowance;
        AllowanceShown {
            account: admin.endpoints().id_of(account).to_owned(),
            limit,
            used,
            left: limit.map(|limit| limit.saturating_sub(used)),
            resets_at: date(Duration::from_secs(month.next().starts_at_unix_seconds())),
        }
    }
}

/// Of `GET /v1/allowance`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it describes what `Parameters` reads")]
pub(super) struct AllowanceParameters {
    /// The account's id, for a key that is not bound to one; may be left out where there is one account alone.
    #[param(example = "demo")]
    account: Option<String>,
}

/// What an account may still purge
///
/// This month (UTC).
#[utoipa::path(
    get, path = "/v1/allowance", tag = "allowance", operation_id = "showAllowance", params(AllowanceParameters),
    responses(
        (status = 200, description = "The allowance.", body = AllowanceShown),
        (status = 400, description = "The account is unknown, or has to be named.", body = ErrorBody),
    ),
)]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    let caller = admin.principal(&req, connection)?;
    caller.require(Scope::Read)?;
    let account = caller.account(Parameters::of(req.uri()).text("account")?)?;
    Ok(reply(StatusCode::OK, &AllowanceShown::of(&admin, account, &admin.purger.allowance(account))))
}

/// A change of an allowance: of its limit, of its count, or of both.
#[derive(Deserialize, ToSchema)]
pub(super) struct ChangeBody {
    /// The account's id; may be left out where there is one account alone.
    #[schema(value_type = Option<String>, example = "demo")]
    account: Option<Value>,
    /// Targets a month from now on; null: no limit; left out: as it is. It counts before the config's number, until that
    /// one changes.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>, minimum = 0, maximum = 9_007_199_254_740_991_u64, example = 2000)]
    limit: Option<Value>,
    /// Whether this month's count begins anew.
    #[schema(value_type = Option<bool>, default = false)]
    reset: Option<Value>,
    /// A line for the history.
    #[schema(value_type = Option<String>, max_length = 1024, example = "a campaign")]
    note: Option<Value>,
}

/// A member that is null is there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Change an allowance
///
/// By an operator's key. It lasts over restarts, and stands in the history.
#[utoipa::path(
    put, path = "/v1/allowance", tag = "allowance", operation_id = "changeAllowance", request_body = ChangeBody,
    responses(
        (status = 200, description = "The allowance as it is now.", body = AllowanceShown),
        (status = 400, description = "The body can't be taken, or changes nothing.", body = ErrorBody),
        (status = 403, description = "The key is no operator's, or nobody's, or another site's page asks.",
            body = ErrorBody),
        (status = 415, description = "With a session's cookie: the body is not said to be JSON.", body = ErrorBody),
    ),
)]
pub(super) async fn change(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    let caller = admin.principal(&req, connection)?;
    caller.require(Scope::Operator)?;
    let by = by(&caller, req.headers());
    let body = api::read_body(req.into_body(), admin.times.body).await?;
    let ChangeBody { account, limit, reset, note } = grammar::object(&body, HELP)?;
    let account = grammar::text(account, "account", "account_not_text", "account is an account's id.")?;
    let note = grammar::text(note, "note", "note_not_text", "note is a line of text.")?.map(Into::into);
    let change = AllowanceChange { limit: limit.map(limit_of).transpose()?, reset: reset_of(reset)? };
    let account = caller.account(account.as_deref())?;
    admin.purger.change_allowance(account, change, by, note).await.map_err(error_of)?;
    Ok(reply(StatusCode::OK, &AllowanceShown::of(&admin, account, &admin.purger.allowance(account))))
}

fn limit_of(value: Value) -> Result<Option<u64>, InputError> {
    if value.is_null() {
        return Ok(None);
    }
    match value.as_u64().filter(|limit| *limit <= limits::ALLOWANCE_MAX) {
        Some(limit) => Ok(Some(limit)),
        None => {
            let help =
                format!("limit is a whole number up to {}, or null for no limit.", limits::ALLOWANCE_MAX);
            Err(InputError::new("limit", "limit_not_number", help))
        }
    }
}

fn reset_of(value: Option<Value>) -> Result<bool, InputError> {
    match value {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(reset)) => Ok(reset),
        Some(_) => Err(InputError::new("reset", "reset_not_boolean", "reset is true or false.")),
    }
}

fn error_of(error: ChangeError) -> AdminError {
    match error {
        ChangeError::Nothing => {
            InputError::new("limit", "nothing_to_change", "Send limit, or reset, or both.").into()
        }
        ChangeError::NoteTooLong => AdminError::Purge(PurgeError::NoteTooLong),
        ChangeError::Unavailable => AdminError::Purge(PurgeError::Unavailable),
        ChangeError::KeyTaken
        | ChangeError::KeyUnknown
        | ChangeError::TooManyKeys
        | ChangeError::KeyTooLarge => {
            unreachable!("an allowance has no keys")
        }
    }
}
