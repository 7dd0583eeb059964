//! Freshet's own calls about purges: ask for one, or for what it would do; the history; one of it; end a warming.
//!
//! All or nothing: every target is judged, by its own rules and by what the caller's key may do, and one that is refused
//! stops the others; the answer has the verdict on each.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::access::{Denial, Principal, Token};
use super::allowance::AllowanceShown;
use super::grammar::{Asked, PurgeBody};
use super::input::{InputError, Parameters};
use super::pages::{cursor_unknown, limit_in};
use super::records::{PurgeShown, RowShown};
use super::routes::Connection;
use super::{Admin, AdminError, ErrorBody, api, reply};
use crate::config::Scope;
use crate::limits;
use crate::purge::{By, Cursor, Door, Filter, Kind, Named, PurgeError, RequestId, Status, Submission, Wish};
use crate::target::{Refusal, Target};

/// Where the path of one purge begins.
const PATH: &str = "/v1/purges/";

/// What is said of one target.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VerdictShown {
    /// How it is named: `url`, `prefix`, `asset`, …
    target: &'static str,
    /// The text that names it, as it was given.
    text: String,
    #[schema(pattern = "^(accepted|refused)$")]
    verdict: &'static str,
    /// What it covers, in canonical form.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    covers: Option<String>,
    /// The code of the rule that refuses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<&'static str>,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    help: Option<String>,
    /// In a dry run: responses that it would remove, or make stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    matched: Option<u64>,
    /// In a dry run: bytes of memory that they take.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    bytes: Option<u64>,
}

/// What a purge would do.
#[derive(Serialize, ToSchema)]
struct DryRunShown {
    /// Always true.
    dry_run: bool,
    /// In the order in which they were given.
    targets: Vec<VerdictShown>,
    /// Responses that would go, over all targets; what two of them cover is counted with each.
    matched: u64,
    /// Bytes of memory that they take.
    bytes: u64,
    /// The URLs of the first 100 of them.
    keys: Vec<String>,
    allowance: AllowanceShown,
}

/// Why a target is not purged.
enum Why {
    Refused(Refusal),
    Denied(Denial),
}

/// Purge targets
///
/// One call is one request with one to 100 targets, each of which is charged. When it is answered, nobody who asks later
/// gets what they cover, and the record is on disk.
#[utoipa::path(
    post, path = "/v1/purges", tag = "purges", operation_id = "purge", request_body = PurgeBody,
    responses(
        (status = 200, description = "The dry run: what would go. Nothing was purged or charged.", body = DryRunShown),
        (status = 201, description = "The purge has taken effect and is recorded.", body = PurgeShown),
        (status = 400, description = "The body can't be taken, or a target is refused: `targets` has all verdicts.",
            body = ErrorBody),
        (status = 403, description = "The key may not purge a target, or nobody has the key, or another site's page \
                                      asks.", body = ErrorBody),
        (status = 415, description = "With a session's cookie: the body is not said to be JSON.", body = ErrorBody),
        (status = 429, description = "The month's allowance does not hold the targets (`allowance` says what it is), or \
                                      too many wrong keys came from this address.", body = ErrorBody),
    ),
)]
pub(super) async fn create(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    let caller = admin.principal(&req, connection)?;
    caller.require(Scope::Purge)?;
    let (by, attempt) = (by(&caller, req.headers()), api::attempt(req.headers()));
    let asked = Asked::list(&api::read_body(req.into_body(), admin.times.body).await?)?;
    let account = caller.account(asked.account.as_deref())?;
    let judged = judge(&admin, &caller, account, &asked.wishes);
    if asked.dry_run {
        return dry_run(&admin, account, &asked.wishes, judged).await;
    }
    if judged.iter().any(Result::is_err) {
        admin.purger.counters().refuse(&asked.wishes);
        let is_denied = judged.iter().any(|judged| matches!(judged, Err(Why::Denied(_))));
        let verdicts = asked.wishes.iter().zip(&judged).map(|(wish, judged)| VerdictShown::of(wish, judged));
        return Err(AdminError::Targets { is_denied, verdicts: verdicts.collect() });
    }
    let (wishes, note, warm) = (&asked.wishes[..], asked.note, asked.warm);
    let submission = Submission { account, wishes, attempt, by: by.clone(), note: note.clone(), warm };
    let accepted = admin.purger.submit(submission).await.map_err(|error| match error {
        PurgeError::AllowanceUsedUp(allowance) => {
            AdminError::Exhausted(AllowanceShown::of(&admin, account, &allowance).into(), allowance.into())
        }
        error => AdminError::Purge(error),
    })?;
    // Of a disk that can't be read the answer is what is known without it.
    let shown = match admin.purger.request(Some(account), accepted.id).await {
        Ok(Some(record)) => PurgeShown::of(&record),
        Ok(None) | Err(_) => None,
    };
    let shown = shown.unwrap_or_else(|| {
        let targets =
            judged.iter().zip(wishes).flat_map(|(judged, wish)| judged.as_ref().map(|target| (wish, target)));
        let endpoints = admin.endpoints();
        PurgeShown::accepted(accepted.id, endpoints.id_of(account), targets, &by, note, admin.clock.wall())
    });
    Ok(reply(StatusCode::CREATED, &shown))
}

async fn dry_run(
    admin: &Admin,
    account: usize,
    wishes: &[Wish],
    judged: Vec<Result<Target, Why>>,
) -> Result<Response, AdminError> {
    let taken = wishes.iter().zip(&judged).filter(|(_, judged)| judged.is_ok());
    let taken: Vec<Wish> = taken.map(|(wish, _)| wish.clone()).collect();
    let mut verdicts: Vec<VerdictShown> =
        wishes.iter().zip(&judged).map(|(wish, judged)| VerdictShown::of(wish, judged)).collect();
    let (mut matched, mut bytes, mut keys) = (0, 0, Vec::new());
    if !taken.is_empty() {
        let found = admin.purger.dry_run(account, &taken).await.map_err(AdminError::Purge)?;
        (matched, bytes) = (found.entries(), found.bytes());
        let accepted = verdicts.iter_mut().filter(|verdict| verdict.reason.is_none());
        for (verdict, found) in accepted.zip(found.targets.into_iter().flatten()) {
            (verdict.matched, verdict.bytes) = (Some(found.entries), Some(found.bytes));
        }
        keys = found.urls;
    }
    let allowance = AllowanceShown::of(admin, account, &admin.purger.allowance(account));
    Ok(reply(
        StatusCode::OK,
        &DryRunShown { dry_run: true, targets: verdicts, matched, bytes, keys, allowance },
    ))
}

/// What each wish names, for this caller.
fn judge(admin: &Admin, caller: &Principal, account: usize, wishes: &[Wish]) -> Vec<Result<Target, Why>> {
    let judge = |(wish, judged): (&Wish, Result<Target, Refusal>)| {
        // Who may not name what is wide learns nothing of it.
        if let Named::Host { .. } | Named::Everything { .. } = wish.named {
            caller.require(Scope::Operator).map_err(Why::Denied)?;
        }
        let target = judged.map_err(Why::Refused)?;
        caller.may_purge(&target).map_err(Why::Denied)?;
        Ok(target)
    };
    wishes.iter().zip(admin.purger.judge(account, wishes)).map(judge).collect()
}

impl VerdictShown {
    fn of(wish: &Wish, judged: &Result<Target, Why>) -> VerdictShown {
        let (verdict, covers, reason, help) = match judged {
            Ok(target) => ("accepted", Some(target.to_string()), None, None),
            Err(Why::Refused(refusal)) => {
                ("refused", None, Some(refusal.as_str()), Some(refusal.to_string()))
            }
            Err(Why::Denied(denial)) => ("refused", None, Some(denial.as_str()), Some(denial.to_string())),
        };
        let (target, text) = (wish.named.kind(), wish.text().to_owned());
        VerdictShown { target, text, verdict, covers, reason, help, matched: None, bytes: None }
    }
}

/// Who asks, and by which door: the dashboard has a session's cookie.
pub(super) fn by(caller: &Principal, headers: &HeaderMap) -> By {
    let is_page = Token::of(headers).is_some() && !headers.contains_key(header::AUTHORIZATION);
    By { key: caller.name().into(), door: if is_page { Door::Dashboard } else { Door::Api } }
}

/// Of `GET /v1/purges`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it describes what `Parameters` reads")]
pub(super) struct ListParameters {
    /// Purges that are so far.
    #[param(inline)]
    status: Option<StatusWord>,
    /// The account's id; left out, all that the key may see.
    #[param(example = "demo")]
    account: Option<String>,
    /// A part of the note, of a target's text, of the key's name or of the id; small and capital letters are the same.
    text: Option<String>,
    /// The kind of change.
    #[param(inline)]
    kind: Option<KindWord>,
    /// Most rows on the page. A page may have fewer, and none, though others follow.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// How far a purge is.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it describes what `filter` reads")]
enum StatusWord {
    Pending,
    Completed,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "it describes what `filter` reads")]
enum KindWord {
    Purge,
    Allowance,
    Key,
}

/// A page of the history.
#[derive(Serialize, ToSchema)]
struct History {
    /// Newest first.
    purges: Vec<RowShown>,
    /// The cursor of the next page; null at the end.
    next: Option<String>,
}

/// The history
///
/// Purges, and operators' changes, newest first, a page at a time. A page may have fewer rows than asked for, though others
/// follow: `next` says so.
#[utoipa::path(
    get, path = "/v1/purges", tag = "purges", operation_id = "listPurges", params(ListParameters),
    responses(
        (status = 200, description = "A page.", body = History),
        (status = 400, description = "A parameter can't be taken.", body = ErrorBody),
    ),
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    let caller = admin.principal(&req, connection)?;
    caller.require(Scope::Read)?;
    let filter = filter(&Parameters::of(req.uri()), &caller)?;
    let page = admin.purger.list(filter).await.map_err(|_| AdminError::LedgerUnreadable)?;
    let purges = page.records.iter().map(RowShown::of).collect();
    Ok(reply(StatusCode::OK, &History { purges, next: page.next.map(|cursor| cursor.to_string()) }))
}

/// Which rows the parameters ask for, of those that the caller may see.
pub(super) fn filter(parameters: &Parameters, caller: &Principal) -> Result<Filter, AdminError> {
    let status = match parameters.text("status")? {
        None | Some("") => None,
        Some("Pending") => Some(Status::Pending),
        Some("Completed") => Some(Status::Completed),
        Some(_) => {
            let help = "status is Pending or Completed.";
            return Err(InputError::new("status", "status_unknown", help).into());
        }
    };
    let kind = match parameters.text("kind")? {
        None | Some("") => None,
        Some(word) => match Kind::ALL.into_iter().find(|kind| kind.as_str() == word) {
            Some(kind) => Some(kind),
            None => {
                let help = "kind is purge, allowance or key.";
                return Err(InputError::new("kind", "kind_unknown", help).into());
            }
        },
    };
    let cursor = match parameters.text("cursor")? {
        None => None,
        Some(text) => Some(Cursor::parse(text).ok_or_else(cursor_unknown)?),
    };
    let account = parameters.text("account")?.filter(|account| !account.is_empty());
    let text = parameters.text("text")?.filter(|text| !text.is_empty()).map(str::to_owned);
    let limit = limit_in(parameters, limits::LIST_ROWS_DEFAULT, limits::LIST_ROWS_MAX)?;
    Ok(Filter { account: caller.accounts(account)?, status, text, kind, limit, cursor })
}

/// One purge
///
/// As far as it is now.
#[utoipa::path(
    get, path = "/v1/purges/{id}", tag = "purges", operation_id = "showPurge",
    params(("id" = String, Path, description = "Its id.", example = "30e079d067c24646a837ee70")),
    responses(
        (status = 200, description = "It is known.", body = RowShown),
        (status = 404, description = "The key's account has none with this id, or it is older than what is kept.",
            body = ErrorBody),
    ),
)]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    let caller = admin.principal(&req, connection)?;
    caller.require_one_of(&[Scope::Read, Scope::Purge])?;
    let id =
        req.uri().path().strip_prefix(PATH).and_then(RequestId::parse).ok_or(AdminError::PurgeUnknown)?;
    answer(&admin, &caller, id).await
}

/// End a warming
///
/// What was fetched stays. Where nothing warms any more, nothing changes.
#[utoipa::path(
    delete, path = "/v1/purges/{id}/warm", tag = "purges", operation_id = "cancelWarming",
    params(("id" = String, Path, description = "The purge's id.", example = "30e079d067c24646a837ee70")),
    responses(
        (status = 200, description = "The purge as it is now.", body = RowShown),
        (status = 404, description = "The key's account has none with this id, or it is older than what is kept.",
            body = ErrorBody),
    ),
)]
pub(super) async fn cancel_warming(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    let caller = admin.principal(&req, connection)?;
    caller.require(Scope::Purge)?;
    let id = req.uri().path().strip_prefix(PATH).and_then(|rest| rest.strip_suffix("/warm"));
    let id = id.and_then(RequestId::parse).ok_or(AdminError::PurgeUnknown)?;
    admin.purger.cancel_warming(caller.own_account(), id);
    answer(&admin, &caller, id).await
}

async fn answer(admin: &Admin, caller: &Principal, id: RequestId) -> Result<Response, AdminError> {
    let record = admin.purger.request(caller.own_account(), id).await;
    match record.map_err(|_| AdminError::LedgerUnreadable)? {
        Some(record) => Ok(reply(StatusCode::OK, &RowShown::of(&record))),
        None => Err(AdminError::PurgeUnknown),
    }
}
