//! `POST /invalidate`: the draft "An HTTP Cache Invalidation API" (draft-nottingham-http-invalidation).
//!
//! | `type` | each selector | target |
//! |---|---|---|
//! | `uri` | a URI or IRI | its URL; a `*` is a character like others |
//! | `uri-prefix` | a URI or IRI | the URL with all that lies below it, by whole segments |
//! | `origin` | scheme, host and port | the host: an operator's key alone, as at every other door |
//! | `group` | scheme, host and port | each of `groups` as a tag of the account that has the host |
//!
//! `purge: true` removes, and is answered 200 when all is gone, or 202 where that takes longer; without it what is
//! selected goes stale at once. All or nothing: an event that is not allowed, or not understood, in one of its
//! selectors does nothing. Schemes are no part of a key, so `http` and `https` select the same; so do an empty query
//! and none. One event is of one account: the key's, else the one named in the further member `account`, else the one
//! that the first selector belongs to. Other members are ignored. Errors are problem details (RFC 9457).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::access::Principal;
use super::input::InputError;
use super::routes::Connection;
use super::{Admin, AdminError, api, reply};
use crate::config::{Authority, Scope};
use crate::limits;
use crate::purge::{Attempt, Door, Named, Progress, PurgeError, RequestId, Status, Wish};
use crate::target::Mode;

/// An invalidation event (draft-nottingham-http-invalidation).
#[derive(ToSchema)]
#[allow(dead_code, reason = "it describes what `Event::read` reads")]
struct EventBody {
    #[schema(pattern = "^(uri|uri-prefix|origin|group)$", example = "uri")]
    r#type: String,
    /// URIs; or origins: scheme, host and port.
    #[schema(min_items = 1, max_items = 100, example = json!(["http://127.0.0.1:8080/demo/photos/2024/harbour.jpg"]))]
    selectors: Vec<String>,
    /// Beside `group`: the groups.
    groups: Option<Vec<String>>,
    /// Whether what is selected is removed; else it goes stale.
    #[schema(default = false)]
    purge: Option<bool>,
    /// The account's id, where the key leaves it open.
    account: Option<String>,
}

/// The event was followed.
#[derive(Serialize, ToSchema)]
struct Invalidated {
    /// The purge's id.
    #[schema(pattern = "^[0-9a-f]{24}$")]
    id: String,
}

/// Why an event was not followed (RFC 9457).
#[derive(ToSchema)]
#[allow(dead_code, reason = "it describes what `into_problem` writes")]
struct Problem {
    title: String,
    status: u16,
    detail: String,
    /// The code of the rule.
    reason: String,
}

/// Invalidate, as an IETF draft says it
///
/// The draft "An HTTP Cache Invalidation API". All or nothing.
#[utoipa::path(
    post, path = "/invalidate", tag = "invalidation", operation_id = "invalidate", request_body = EventBody,
    responses(
        (status = 200, description = "What was selected is gone, or stale.", body = Invalidated),
        (status = 202, description = "Nobody is served what was selected; its removal goes on.", body = Invalidated),
        (status = 400, description = "The event can't be followed.", body = Problem,
            content_type = "application/problem+json"),
        (status = 401, description = "Without a key.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key may not purge this.", body = Problem,
            content_type = "application/problem+json"),
        (status = 408, description = "The body is late.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = Problem,
            content_type = "application/problem+json"),
        (status = 415, description = "With a session's cookie: the body is not said to be JSON.", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "The month's allowance is used up, or too many wrong keys came.", body = Problem,
            content_type = "application/problem+json"),
        (status = 501, description = "The selector is not supported.", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "Not now.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn invalidate(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Response {
    match admin.invalidate(connection, req).await {
        Ok(done) => done,
        Err(refused) => refused.into_problem().await,
    }
}

/// What an event asks for.
#[derive(Debug, PartialEq, Eq)]
struct Event {
    kind: Kind,
    selectors: Vec<String>,
    /// Of a [`Kind::Group`] alone.
    groups: Vec<String>,
    account: Option<String>,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Uri,
    UriPrefix,
    Origin,
    Group,
}

/// Why an event does nothing.
#[derive(Debug)]
struct Refused {
    error: AdminError,
    /// The wishes that were refused, each by the text that was sent.
    selectors: Vec<Value>,
}

impl From<AdminError> for Refused {
    fn from(error: AdminError) -> Refused {
        Refused { error, selectors: Vec::new() }
    }
}

impl Admin {
    async fn invalidate(&self, connection: Connection, req: Request) -> Result<Response, Refused> {
        let principal = self.principal(&req, connection)?;
        principal.require(Scope::Purge).map_err(AdminError::from)?;
        let event = Event::read(&api::read_body(req.into_body(), self.times.body).await?)?;
        let account = self.account_of(&principal, &event)?;
        let wishes = self.wishes_of(account, &event)?;
        self.permit(&principal, account, &wishes).map_err(AdminError::from)?;
        let submitted = self.submit(&principal, Door::Ietf, account, &wishes, Attempt::First);
        let id = submitted.await.map_err(|error| {
            let selectors = match &error {
                AdminError::Purge(PurgeError::Refused(refused)) => {
                    let told = refused.iter().map(|refused| {
                        let (reason, help) = (refused.refusal.as_str(), refused.refusal.to_string());
                        json!({ "selector": wishes[refused.index].text(), "reason": reason, "help": help })
                    });
                    told.collect()
                }
                _ => Vec::new(),
            };
            Refused { error, selectors }
        })?;
        let is_done = event.mode == Mode::Stale || self.is_swept(account, id).await;
        let status = if is_done { StatusCode::OK } else { StatusCode::ACCEPTED };
        Ok(reply(status, &Invalidated { id: id.to_string() }))
    }

    fn account_of(&self, principal: &Principal, event: &Event) -> Result<usize, AdminError> {
        if event.account.is_some() || principal.own_account().is_some() {
            return principal.account(event.account.as_deref());
        }
        let first = event.selectors.first().map_or("", String::as_str);
        let owner = match event.kind {
            Kind::Uri | Kind::UriPrefix => {
                let endpoints = self.endpoints();
                let located = endpoints.parse_url(&without_dots(first));
                located.ok().map(|located| endpoints.id_of(located.account).to_owned())
            }
            Kind::Origin => self.ids_on(first)?.first().map(|id| id.to_string()),
            // Two accounts on one host may have the same group: which is meant has to be said.
            Kind::Group => match &*self.ids_on(first)? {
                [id] => Some(id.to_string()),
                _ => None,
            },
        };
        principal.account(owner.as_deref())
    }

    fn wishes_of(&self, account: usize, event: &Event) -> Result<Vec<Wish>, AdminError> {
        let mut named = Vec::new();
        for selector in &event.selectors {
            match event.kind {
                Kind::Uri => named.push(Named::Url(self.literal(selector, account)?)),
                Kind::UriPrefix => named.push(Named::Tree(without_dots(selector).into_owned())),
                Kind::Origin => {
                    let host = authority(selector)?.to_string();
                    let confirm = Some(host.clone());
                    named.push(Named::Host { host, confirm });
                }
                Kind::Group => {
                    let endpoints = self.endpoints();
                    let id = endpoints.id_of(account);
                    if !self.ids_on(selector)?.iter().any(|known| **known == *id) {
                        return Err(origin_unknown());
                    }
                    named.extend(event.groups.iter().cloned().map(Named::Tag));
                }
            }
        }
        let mut wishes: Vec<Wish> = Vec::with_capacity(named.len());
        for named in named {
            let wish = Wish { named, mode: event.mode };
            // Aliases of one endpoint have their groups together.
            if event.kind != Kind::Group || !wishes.contains(&wish) {
                wishes.push(wish);
            }
        }
        Ok(wishes)
    }

    /// A URL with its `*` as characters. Where an account's URLs are opaque there is no other spelling of a `*`.
    fn literal(&self, selector: &str, account: usize) -> Result<String, AdminError> {
        if selector.contains('*') && self.endpoints().is_opaque(account) {
            return Err(AdminError::SelectorUnsupported);
        }
        Ok(without_dots(selector).replace('*', "%2A"))
    }

    /// The ids of the accounts that have an endpoint on this origin.
    fn ids_on(&self, origin: &str) -> Result<Box<[Box<str>]>, AdminError> {
        authority(origin).map(|authority| self.endpoints().accounts_on(&authority))
    }

    /// Waits until the sweep of a purge has ended; not for longer than a client should.
    async fn is_swept(&self, account: usize, id: RequestId) -> bool {
        let mut pause = Duration::from_millis(1);
        let swept = async {
            while let Progress::Known(Status::Pending, _) = self.purger.status(account, id).await {
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(limits::INVALIDATION_PAUSE_MAX);
            }
        };
        tokio::time::timeout(limits::INVALIDATION_TIME, swept).await.is_ok()
    }
}

impl Event {
    fn read(body: &[u8]) -> Result<Event, AdminError> {
        #[derive(Deserialize)]
        struct Members {
            r#type: Option<Value>,
            selectors: Option<Value>,
            purge: Option<Value>,
            groups: Option<Value>,
            account: Option<Value>,
        }
        // Without this look an array of values would do, too.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(bad("", "event_not_json", EVENT_HELP));
        }
        let members: Members =
            serde_json::from_slice(body).map_err(|_| bad("", "event_not_json", EVENT_HELP))?;
        let Some(Value::String(kind)) = members.r#type else {
            return Err(bad("type", "type_missing", EVENT_HELP));
        };
        let kind = match &*kind {
            "uri" => Kind::Uri,
            "uri-prefix" => Kind::UriPrefix,
            "origin" => Kind::Origin,
            "group" => Kind::Group,
            _ => return Err(AdminError::EventTypeUnsupported),
        };
        let selectors =
            texts(members.selectors).ok_or_else(|| bad("selectors", "selectors_missing", TEXTS_HELP))?;
        let groups = match kind {
            Kind::Group => {
                texts(members.groups).ok_or_else(|| bad("groups", "groups_missing", TEXTS_HELP))?
            }
            Kind::Uri | Kind::UriPrefix | Kind::Origin => Vec::new(),
        };
        let mode = match members.purge {
            None | Some(Value::Bool(false)) => Mode::Stale,
            Some(Value::Bool(true)) => Mode::Delete,
            Some(_) => return Err(bad("purge", "purge_unknown", "It is true (remove) or false (go stale).")),
        };
        let account = match members.account {
            None => None,
            Some(Value::String(id)) => Some(id),
            Some(_) => return Err(AdminError::AccountUnknown),
        };
        Ok(Event { kind, selectors, groups, account, mode })
    }
}

const EVENT_HELP: &str = "Send a JSON object: {\"type\": \"uri\", \"selectors\": [\"https://…\"]}.";
const TEXTS_HELP: &str = "It is an array of strings, and holds at least one.";

fn bad(at: &'static str, reason: &'static str, help: &'static str) -> AdminError {
    InputError::new(at, reason, help).saying("The invalidation event is not valid.").into()
}

fn origin_unknown() -> AdminError {
    let help = "Name a scheme, a host that the account has an endpoint on, and its port: \"https://img.example.com:443\".";
    bad("selectors", "origin_unknown", help)
}

/// An array of strings with one at least.
fn texts(value: Option<Value>) -> Option<Vec<String>> {
    let Some(Value::Array(values)) = value else { return None };
    let text = |value| if let Value::String(text) = value { Some(text) } else { None };
    let texts: Option<Vec<String>> = values.into_iter().map(text).collect();
    texts.filter(|texts| !texts.is_empty())
}

/// The host and port of an origin (RFC 6454 §4); a port that is left out is the scheme's.
fn authority(origin: &str) -> Result<Authority, AdminError> {
    let (scheme, rest) = origin.split_once("://").ok_or_else(origin_unknown)?;
    let is_http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    if !is_http {
        return Err(origin_unknown());
    }
    Authority::parse(rest).map_err(|_| origin_unknown())
}

/// RFC 3986 §6.2.2.3, escaped dots too (§6.2.2.2): what is stored never has dot segments.
fn without_dots(url: &str) -> Cow<'_, str> {
    let dots = |segment: &str| match segment.to_ascii_lowercase().replace("%2e", ".").as_str() {
        "." => 1,
        ".." => 2,
        _ => 0,
    };
    let start = url.find("://").map_or(0, |scheme| scheme + 3);
    let path = url[start..].find(['/', '?', '#']).map_or(url.len(), |end| start + end);
    if !url[path..].starts_with('/') {
        return url.into();
    }
    let end = url[path..].find(['?', '#']).map_or(url.len(), |mark| path + mark);
    let segments = || url[path..end].split('/').skip(1);
    if segments().all(|segment| dots(segment) == 0) {
        return url.into();
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in segments() {
        match dots(segment) {
            0 => kept.push(segment),
            1 => {}
            _ => drop(kept.pop()),
        }
    }
    if segments().last().is_some_and(|last| dots(last) > 0) {
        kept.push("");
    }
    format!("{}/{}{}", &url[..path], kept.join("/"), &url[end..]).into()
}

impl Refused {
    /// The error's own answer, with the members of a problem (RFC 9457 §3.1) beside those that it has.
    async fn into_problem(self) -> Response {
        let (mut parts, body) = self.error.into_response().into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let mut members: Value = serde_json::from_slice(&body).unwrap_or_else(|_| json!({}));
        members["title"] = members["message"].clone();
        members["detail"] = members["help"].clone();
        members["status"] = parts.status.as_u16().into();
        if !self.selectors.is_empty() {
            members["selectors"] = self.selectors.into();
        }
        parts.headers.remove(header::CONTENT_LENGTH);
        let kind = HeaderValue::from_static("application/problem+json");
        parts.headers.insert(header::CONTENT_TYPE, kind);
        Response::from_parts(parts, Body::from(members.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_a_type_and_selectors_and_what_is_not_known_is_ignored() {
        type Read<'a> = Result<(Kind, &'a [&'a str], Mode), &'a str>;
        #[rustfmt::skip]
        let table: [(&str, Read<'_>); 19] = [
            // body                                                                    outcome
            (r#"{"type":"uri","selectors":["a","b"]}"#,                                Ok((Kind::Uri, &["a", "b"], Mode::Stale))),
            (r#"{"type":"uri","selectors":["a"],"purge":false}"#,                      Ok((Kind::Uri, &["a"], Mode::Stale))),
            (r#"{"type":"uri-prefix","selectors":["a"],"purge":true}"#,                Ok((Kind::UriPrefix, &["a"], Mode::Delete))),
            (r#"{"new":[{}],"type":"origin","selectors":["a"],"groups":7}"#,           Ok((Kind::Origin, &["a"], Mode::Stale))),
            (r#"{"type":"group","selectors":["a"],"groups":["g"]}"#,                   Ok((Kind::Group, &["a"], Mode::Stale))),
            (r#"{"type":"group","selectors":["a"]}"#,                                  Err("groups_missing")),
            (r#"{"type":"group","selectors":["a"],"groups":[7]}"#,                     Err("groups_missing")),
            (r#"{"type":"regex","selectors":["a"]}"#,                                  Err("type_unsupported")),
            (r#"{"type":"URI","selectors":["a"]}"#,                                    Err("type_unsupported")),
            (r#"{"type":7,"selectors":["a"]}"#,                                        Err("type_missing")),
            (r#"{"selectors":["a"]}"#,                                                 Err("type_missing")),
            (r#"{"type":"uri"}"#,                                                      Err("selectors_missing")),
            (r#"{"type":"uri","selectors":[]}"#,                                       Err("selectors_missing")),
            (r#"{"type":"uri","selectors":"a"}"#,                                      Err("selectors_missing")),
            (r#"{"type":"uri","selectors":["a",1]}"#,                                  Err("selectors_missing")),
            (r#"{"type":"uri","selectors":["a"],"purge":"yes"}"#,                      Err("purge_unknown")),
            (r#"{"type":"uri","selectors":["a"],"account":1}"#,                        Err("account_unknown")),
            (r#"["uri",["a"]]"#,                                                       Err("event_not_json")),
            ("type=uri",                                                               Err("event_not_json")),
        ];
        for (body, expected) in table {
            let event = Event::read(body.as_bytes()).map_err(|error| error.parts().2);
            let expected = expected.map(|(kind, selectors, mode)| {
                (kind, selectors.iter().map(|text| text.to_string()).collect::<Vec<_>>(), mode)
            });
            assert_eq!(event.map(|event| (event.kind, event.selectors, event.mode)), expected, "{body}");
        }
    }

    #[test]
    fn dot_segments_are_removed_from_the_path_alone() {
        #[rustfmt::skip]
        let table = [
            ("http://h/foo/bar",             "http://h/foo/bar"),
            ("http://h/../foo/bar",          "http://h/foo/bar"),
            ("http://h/a/./b/../c",          "http://h/a/c"),
            ("http://h/a/b/..",              "http://h/a/"),
            ("http://h/a/.",                 "http://h/a/"),
            ("http://h/a/%2E%2e/b",          "http://h/b"),
            ("http://h/a/..b/...",           "http://h/a/..b/..."),
            ("http://h/a//../b",             "http://h/a/b"),
            ("http://h/..?q=/../a#/../",     "http://h/?q=/../a#/../"),
            ("http://h?q=/../a",             "http://h?q=/../a"),
            ("http://h",                     "http://h"),
            ("",                             ""),
        ];
        for (url, expected) in table {
            assert_eq!(without_dots(url), expected, "{url}");
        }
    }

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port() {
        for (origin, expected) in [
            ("https://www.example.com:443", Some("www.example.com")),
            ("http://Example.com", Some("example.com")),
            ("HTTPS://example.net:8080", Some("example.net:8080")),
            ("https://example.com/", None),
            ("https://example.com?", None),
            ("ftp://example.com", None),
            ("example.com:443", None),
            ("", None),
        ] {
            let authority = authority(origin).ok();
            assert_eq!(authority.as_ref().map(Authority::as_str), expected, "{origin}");
        }
    }
}
