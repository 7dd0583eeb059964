//! The calls: purge, status, audit, health. The first two answer as ImageKit's API does, to the letter.
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
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::routes::{Connection, STATUS_PATH};
use super::{Admin, AdminError, add_number, reply};
use crate::config::Scope;
use crate::limits;
use crate::purge::{Attempt, Door, Health, Named, Progress, RequestId, Status, Wish};
use crate::target::Mode;

/// `POST /v1/files/purge`
pub(super) async fn purge(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    #[derive(Serialize)]
    struct Accepted {
        #[serde(rename = "requestId")]
        request_id: String,
    }
    let principal = admin.principal(&req, connection)?;
    principal.require(Scope::Purge)?;
    let attempt = attempt(req.headers());
    let asked = Asked::read(&read_body(req.into_body(), admin.times.body).await?)?;
    let account = principal.account(asked.account.as_deref())?;
    let wishes = [asked.wish()];
    admin.permit(&principal, account, &wishes)?;
    let id = admin.submit(&principal, Door::Imagekit, account, &wishes, attempt).await?;
    Ok(reply(StatusCode::CREATED, &Accepted { request_id: id.to_string() }))
}

/// `GET /v1/files/purge/{requestId}`
pub(super) async fn status(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    #[derive(Serialize)]
    struct HowFar {
        status: &'static str,
    }
    let principal = admin.principal(&req, connection)?;
    principal.require_one_of(&[Scope::Read, Scope::Purge])?;
    let account = principal.account(parameter(&req, "account").as_deref())?;
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

/// `GET /v1/debug/audit`: walks all that is stored, one walk at a time. It tells no key.
pub(super) async fn audit(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Found {
        clean: bool,
        entries: u64,
        purged: u64,
        not_stale: u64,
        not_indexed: u64,
        pending: u64,
    }
    admin.principal(&req, connection)?.require(Scope::Read)?;
    let _alone = admin.auditing.lock().await;
    let cache = Arc::clone(&admin.cache);
    let audit = tokio::task::spawn_blocking(move || cache.audit()).await.map_err(|_| AdminError::Late)?;
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

/// `GET /healthz`: the process serves, whatever else is wrong, so it is 200 always.
pub(super) async fn health(State(admin): State<Arc<Admin>>) -> Response {
    #[derive(Serialize)]
    struct HealthBody {
        status: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        ledger: Option<&'static str>,
        /// Rows of the history that a failing disk has cost since the start.
        #[serde(skip_serializing_if = "Option::is_none")]
        rows_dropped: Option<u64>,
    }
    let rows_dropped = Some(admin.purger.ledger_figures().rows_dropped).filter(|rows| *rows > 0);
    let (status, ledger) = match admin.purger.health() {
        Health::Durable => ("ok", None),
        Health::Degraded(trouble) => ("degraded", Some(trouble.as_str())),
    };
    let body = HealthBody { status, ledger, rows_dropped };
    reply(StatusCode::OK, &body)
}

/// The newer clients count their retries in a field of their own.
fn attempt(headers: &HeaderMap) -> Attempt {
    let count =
        headers.get("x-stainless-retry-count").and_then(|count| count.to_str().ok()?.parse::<u32>().ok());
    match count {
        None | Some(0) => Attempt::First,
        Some(_) => Attempt::Retry,
    }
}

/// The first query parameter with this name, decoded.
fn parameter(req: &Request, name: &str) -> Option<String> {
    let parameters = form_urlencoded::parse(req.uri().query().unwrap_or_default().as_bytes());
    parameters.into_iter().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
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

/// What the body of a purge names.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    /// Whose purge it is, where the key leaves that open.
    account: Option<String>,
    kind: Kind,
    text: String,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Url,
    Asset,
    Folder,
    Tag,
    Transformation,
    Pattern,
}

impl Asked {
    /// Reads a JSON object: ImageKit's member `url`, and beside it `mode`, `target`, `tag`, `transformation` and
    /// `account`. Other members are ignored, and their values never built.
    fn read(body: &[u8]) -> Result<Asked, AdminError> {
        #[derive(Deserialize)]
        struct Members {
            url: Option<Value>,
            mode: Option<Value>,
            target: Option<Value>,
            tag: Option<Value>,
            account: Option<Value>,
            transformation: Option<Value>,
        }
        // Without this look an array of one text would do, too.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(AdminError::BodyNotJson);
        }
        let members: Members = serde_json::from_slice(body).map_err(|_| AdminError::BodyNotJson)?;
        let kind = match members.target.as_ref().map(Value::as_str) {
            None | Some(Some("url")) => Kind::Url,
            Some(Some("asset")) => Kind::Asset,
            Some(Some("folder")) => Kind::Folder,
            Some(Some("tag")) => Kind::Tag,
            Some(Some("transformation")) => Kind::Transformation,
            Some(Some("pattern")) => Kind::Pattern,
            Some(_) => return Err(AdminError::TargetUnknown),
        };
        let name = if kind == Kind::Transformation { members.transformation } else { members.tag };
        let text = match (kind, members.url, name) {
            (Kind::Transformation, _, Some(Value::String(name))) => name,
            (Kind::Transformation, ..) => return Err(AdminError::TransformationMissing),
            (Kind::Tag, _, Some(Value::String(tag))) => tag,
            (Kind::Tag, ..) => return Err(AdminError::TagMissing),
            (_, None, _) => return Err(AdminError::UrlMissing),
            (_, Some(Value::String(url)), _) if url.is_empty() => return Err(AdminError::UrlMissing),
            (_, Some(Value::String(url)), _) => url,
            (_, Some(_), _) => return Err(AdminError::UrlNotText),
        };
        let mode = match members.mode.as_ref().map(Value::as_str) {
            None | Some(Some("delete")) => Mode::Delete,
            Some(Some("stale" | "soft")) => Mode::Stale,
            Some(_) => return Err(AdminError::ModeUnknown),
        };
        let account = match members.account {
            None => None,
            Some(Value::String(id)) => Some(id),
            Some(_) => return Err(AdminError::AccountUnknown),
        };
        Ok(Asked { account, kind, text, mode })
    }

    fn wish(self) -> Wish {
        let named = match self.kind {
            Kind::Url => Named::Url(self.text),
            Kind::Asset => Named::Asset(self.text),
            Kind::Folder => Named::Folder(self.text),
            Kind::Tag => Named::Tag(self.text),
            Kind::Transformation => Named::Transformation(self.text),
            Kind::Pattern => Named::Pattern(self.text),
        };
        Wish { named, mode: self.mode }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_an_object_with_a_url() {
        #[rustfmt::skip]
        let table: [(&str, Result<&str, &str>); 17] = [
            // body                                              outcome
            (r#"{"url": "https://a.test/x"}"#,                   Ok("https://a.test/x")),
            (r#" {"more":{"a":[1]},"url":"x","urls":["y"]} "#,   Ok("x")),
            (r#"{"url": "\u00e9\/"}"#,                           Ok("é/")),
            (r#"{"url": ""}"#,                                   Err("url_missing")),
            (r#"{"url": null}"#,                                 Err("url_missing")),
            (r#"{"URL": "x"}"#,                                  Err("url_missing")),
            (r#"{}"#,                                            Err("url_missing")),
            (r#"{"url": 7}"#,                                    Err("url_not_text")),
            (r#"{"url": ["x"]}"#,                                Err("url_not_text")),
            (r#"{"url": {"url": "x"}}"#,                         Err("url_not_text")),
            (r#"["x"]"#,                                         Err("body_not_json")),
            (r#""x""#,                                           Err("body_not_json")),
            (r#"{"url": "x"} {}"#,                               Err("body_not_json")),
            (r#"{"url": "x", "url": "y"}"#,                      Err("body_not_json")),
            (r#"{"url": "x""#,                                   Err("body_not_json")),
            ("url=x",                                            Err("body_not_json")),
            ("",                                                 Err("body_not_json")),
        ];
        for (body, expected) in table {
            let outcome =
                Asked::read(body.as_bytes()).map(|asked| asked.text).map_err(|error| error.parts().2);
            assert_eq!(outcome.as_deref().map_err(|reason| *reason), expected, "{body}");
        }
        assert!(Asked::read(&[b"{\"url\":", "[".repeat(100_000).as_bytes()].concat()).is_err());
        assert!(Asked::read(b"{\"url\": \"\xff\"}").is_err());
    }

    #[test]
    fn further_members_say_what_is_meant_and_what_becomes_of_it() {
        type Read<'a> = Result<(Kind, &'a str, Mode), &'a str>;
        #[rustfmt::skip]
        let table: [(&str, Read<'_>); 17] = [
            // members                              outcome
            (r#""url": "x""#,                        Ok((Kind::Url, "x", Mode::Delete))),
            (r#""url": "x", "mode": "delete""#,      Ok((Kind::Url, "x", Mode::Delete))),
            (r#""url": "x", "mode": "stale""#,       Ok((Kind::Url, "x", Mode::Stale))),
            (r#""url": "x", "mode": "soft""#,        Ok((Kind::Url, "x", Mode::Stale))),
            (r#""url": "x", "mode": "Stale""#,       Err("mode_unknown")),
            (r#""url": "x", "mode": 1"#,             Err("mode_unknown")),
            (r#""url": "x", "target": "url""#,       Ok((Kind::Url, "x", Mode::Delete))),
            (r#""url": "x", "target": "asset""#,     Ok((Kind::Asset, "x", Mode::Delete))),
            (r#""url": "x", "target": "folder""#,    Ok((Kind::Folder, "x", Mode::Delete))),
            (r#""url": "x", "target": "pattern""#,   Ok((Kind::Pattern, "x", Mode::Delete))),
            (r#""target": "transformation", "transformation": "t""#, Ok((Kind::Transformation, "t", Mode::Delete))),
            (r#""target": "transformation", "url": "x""#, Err("transformation_missing")),
            (r#""url": "x", "target": "key""#,       Err("target_unknown")),
            (r#""url": "x", "target": ["asset"]"#,   Err("target_unknown")),
            (r#""target": "asset""#,                 Err("url_missing")),
            (r#""target": "tag", "tag": "t""#,       Ok((Kind::Tag, "t", Mode::Delete))),
            (r#""target": "tag", "url": "x""#,       Err("tag_missing")),
        ];
        for (members, expected) in table {
            let outcome = Asked::read(format!("{{{members}}}").as_bytes());
            let outcome = outcome.map_err(|error| error.parts().2);
            let outcome = outcome.as_ref().map(|asked| (asked.kind, &*asked.text, asked.mode));
            assert_eq!(outcome.map_err(|reason| *reason), expected, "{members}");
        }
    }

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
