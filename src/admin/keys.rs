//! The calls for keys: which there are, a new one, one less. An operator's alone.
//!
//! A secret is 256 random bits, told once, in the answer that makes it; the ledger keeps its SHA-256. What a key may do
//! keeps the same rules as in the config. A key that is taken away is refused from the answer on, its sessions too.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::access::{Card, Made};
use super::input::InputError;
use super::purges::by;
use super::routes::Connection;
use super::{Admin, AdminError, ErrorBody, api, no_content, reply};
use crate::config::{Grant, Scope, Scopes};
use crate::purge::ChangeError;

/// Where the path of a key ends and its id begins.
const KEY_PATH: &str = "/v1/keys/";
/// What a secret begins with, so that those who search for lost secrets know it.
const SECRET_PREFIX: &str = "freshet_";

/// A key, without its secret.
#[derive(Serialize, ToSchema)]
struct KeyBody {
    id: String,
    /// What the history calls it.
    #[schema(example = "cms")]
    name: String,
    /// The id of its account; null where it is an operator's, of all.
    account: Option<String>,
    /// What it may do: `read`, `purge`, `operator`.
    scopes: Vec<&'static str>,
    /// The folders that it is bound to; null where it is bound to none.
    urls: Option<Vec<String>>,
    /// `config` of those that are changed there, `made` of those made by a call.
    #[schema(pattern = "^(config|made)$")]
    source: &'static str,
    /// When it was made (RFC 3339).
    #[schema(format = DateTime)]
    created_at: Option<String>,
    /// The name of the key that made it.
    created_by: Option<String>,
}

impl From<Card> for KeyBody {
    fn from(card: Card) -> KeyBody {
        let Card { id, grant: Grant { name, account, scopes, urls }, made } = card;
        let source = if made.is_some() { "made" } else { "config" };
        let (created_at, created_by) = made.map(|made| (made.at, made.by)).unzip();
        let (id, scopes) = (id.into(), scopes.words());
        KeyBody { id, name, account, scopes, urls, source, created_at, created_by }
    }
}

/// All keys.
#[derive(Serialize, ToSchema)]
struct KeysBody {
    /// Those of the config first.
    keys: Vec<KeyBody>,
}

/// A key that was made now.
#[derive(Serialize, ToSchema)]
struct NewKeyBody {
    #[serde(flatten)]
    key: KeyBody,
    /// What is presented, by Basic or Bearer. It is told here and never again.
    secret: String,
}

/// What a new key is to do.
#[derive(Deserialize, ToSchema)]
struct NewKey {
    /// What the history is to call it: 1 to 64 bytes.
    #[schema(value_type = String, required, example = "cms")]
    name: Option<Value>,
    /// The id of its account; left out for an operator's.
    #[schema(value_type = Option<String>, example = "demo")]
    account: Option<Value>,
    /// What it may do: `read`, `purge`, `operator`.
    #[schema(value_type = Vec<String>, required, example = json!(["purge"]))]
    scopes: Option<Value>,
    /// The URLs of the folders that it may purge in; left out: everywhere in its account.
    #[schema(value_type = Option<Vec<String>>, max_items = 32)]
    urls: Option<Value>,
    /// A line for the history, 1024 bytes at most.
    #[schema(value_type = Option<String>)]
    note: Option<Value>,
}

/// List the keys
///
/// Those of the config, and those that were made while it ran. An operator's call.
#[utoipa::path(
    get, path = "/v1/keys", tag = "keys", operation_id = "listKeys",
    responses((status = 200, description = "All of them, without their secrets.", body = KeysBody)),
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    admin.principal(&req, connection)?.require(Scope::Operator)?;
    admin.renew_keys();
    let keys = admin.access.cards().into_iter().map(KeyBody::from).collect();
    Ok(reply(StatusCode::OK, &KeysBody { keys }))
}

/// Make a key
///
/// It works at once, and over restarts. Its secret is in this answer alone. An operator's call.
#[utoipa::path(
    post, path = "/v1/keys", tag = "keys", operation_id = "makeKey",
    request_body = NewKey,
    responses(
        (status = 201, description = "It is made.", body = NewKeyBody),
        (status = 400, description = "It can't be made so; `at` and `help` say why.", body = ErrorBody),
        (status = 409, description = "There are too many.", body = ErrorBody),
        (status = 415, description = "With a session: the body is not said to be JSON.", body = ErrorBody),
    ),
)]
pub(super) async fn add(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    let principal = admin.principal(&req, connection)?;
    principal.require(Scope::Operator)?;
    let by = by(&principal, req.headers());
    let body = api::read_body(req.into_body(), admin.times.body).await?;
    let (grant, note) = read(&body, &admin)?;
    let at = humantime::format_rfc3339_millis(admin.clock.wall()).to_string();
    let made = Some(Made { at, by: principal.name().to_owned() });
    let (id, secret) = (random::<8>()?, random::<32>()?);
    let id = id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let secret = format!("{SECRET_PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
    let card = Card { id: id.into(), grant, made };
    let stored = card.stored(&secret).expect("it is made here");
    let kept = admin.purger.add_key(stored, by, note).await;
    // Also after a failure, which may have come after the change.
    admin.renew_keys();
    kept.map_err(AdminError::Change)?;
    Ok(reply(StatusCode::CREATED, &NewKeyBody { key: card.into(), secret }))
}

/// Take a key away
///
/// It is refused from then on, and its sessions end. Keys of the config are taken away there. An operator's call.
#[utoipa::path(
    delete, path = "/v1/keys/{id}", tag = "keys", operation_id = "removeKey",
    params(("id" = String, Path, description = "As the list has it.")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, description = "There is none.", body = ErrorBody),
        (status = 409, description = "It is one of the config's.", body = ErrorBody),
    ),
)]
pub(super) async fn remove(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    let principal = admin.principal(&req, connection)?;
    principal.require(Scope::Operator)?;
    let id = req.uri().path().strip_prefix(KEY_PATH).unwrap_or_default();
    if admin.access.is_of_config(id) {
        return Err(AdminError::KeyOfConfig);
    }
    // First here: who leaves in between must not leave it working. The renewal brings it back if the ledger has it.
    admin.access.revoke(id);
    let by = by(&principal, req.headers());
    let removed = admin.purger.remove_key(id, by, None).await;
    admin.renew_keys();
    removed.map_err(AdminError::Change)?;
    Ok(no_content())
}

impl Admin {
    /// Takes over what the ledger has.
    pub(super) fn renew_keys(&self) {
        self.access.renew(&self.purger, &self.endpoints());
    }
}

fn read(body: &[u8], admin: &Admin) -> Result<(Grant, Option<Box<str>>), AdminError> {
    const HELP: &str =
        "Send a JSON object: {\"name\": \"cms\", \"account\": \"demo\", \"scopes\": [\"purge\"]}.";
    let not_json = || InputError::new("", "body_not_json", HELP);
    // Without this look an array of values would do, too.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(not_json().into());
    }
    let members: NewKey = serde_json::from_slice(body).map_err(|_| not_json())?;
    let name = text(members.name, "name")?.unwrap_or_default();
    let account = text(members.account, "account")?;
    let words = texts(members.scopes, "scopes")?.unwrap_or_default();
    let scopes: Option<Vec<Scope>> = words.iter().map(|word| Scope::parse(word)).collect();
    let scopes = scopes.ok_or_else(|| {
        InputError::new("scopes", "scope_unknown", "A scope is \"read\", \"purge\" or \"operator\".")
    })?;
    let urls = texts(members.urls, "urls")?;
    let note = text(members.note, "note")?.map(String::into_boxed_str);
    let grant = admin.access.grant(name, account, Scopes::of(&scopes), urls, &admin.endpoints());
    let grant = grant.map_err(|error| {
        let help = format!("The member {} {error}.", error.member());
        InputError::new(error.member(), "key_invalid", help)
    })?;
    Ok((grant, note))
}

fn text(value: Option<Value>, at: &'static str) -> Result<Option<String>, InputError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(InputError::new(at, "member_not_text", "It is a string.")),
    }
}

fn texts(value: Option<Value>, at: &'static str) -> Result<Option<Vec<String>>, InputError> {
    let not_texts = || InputError::new(at, "member_not_texts", "It is an array of strings.");
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
    let Value::Array(values) = value else { return Err(not_texts()) };
    let text = |value| if let Value::String(text) = value { Ok(text) } else { Err(not_texts()) };
    values.into_iter().map(text).collect::<Result<_, _>>().map(Some)
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], AdminError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|_| AdminError::Change(ChangeError::Unavailable))?;
    Ok(bytes)
}
