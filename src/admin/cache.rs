//! What is stored: under a URL, under an image's transformations, under a beginning of URLs; and the pictures.
//!
//! Reading counts no hit (`cache/inspect.rs`). Bodies are sent as they are stored, a piece at a time, never copied.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body::{Frame, SizeHint};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::access::Principal;
use super::input::{InputError, Parameters};
use super::pages::{cursor_in, cursor_of, limit_in};
use super::routes::Connection;
use super::{Admin, AdminError, ErrorBody, reply};
use crate::cache::{Bookmark, Listed, Page, Variant};
use crate::clock::Moment;
use crate::config::Scope;
use crate::key::{Key, KeyError, KeyPrefix};
use crate::limits;
use crate::target::{AssetName, Refusal, Target};

const URL_HELP: &str = "Name a URL below an endpoint of the account, percent-encoded: url=https%3A%2F%2F….";
const PREFIX_HELP: &str = "Name the beginning of URLs below an endpoint of the account, percent-encoded.";

/// Of `GET /v1/cache`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it describes what `Parameters` reads")]
pub(super) struct ShowParameters {
    /// The whole URL, percent-encoded.
    #[param(example = "http://127.0.0.1:8080/demo/photos/2024/harbour.jpg")]
    url: String,
    /// Most transformations on the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// What is stored under a URL, and beside it under the same image's transformations.
#[derive(Serialize, ToSchema)]
pub(super) struct Shown {
    /// The URL as Freshet writes it.
    url: String,
    /// What its image is stored under.
    key: String,
    /// What all transformations of the image share.
    asset: String,
    /// Whether anything is stored under the URL.
    stored: bool,
    /// Newest first.
    variants: Vec<ShownVariant>,
    /// The image and its transformations that are stored, in the order of their keys.
    transformations: Vec<ShownKey>,
    /// The cursor of the next page of transformations; null at the end.
    next: Option<String>,
}

/// One stored response.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownVariant {
    /// The origin's.
    #[schema(minimum = 200, maximum = 599)]
    status: u16,
    content_type: Option<String>,
    /// Of the body as it is stored.
    bytes: u64,
    /// What it takes in memory.
    weight: u64,
    /// Since the origin made it, by its own account.
    age_seconds: u64,
    /// How old it may be to be fresh.
    lifetime_seconds: u64,
    /// Whether it is served without asking the origin.
    fresh: bool,
    /// Whether a purge has made it stale.
    stale_by_purge: bool,
    /// Purges before its fetch began, of this process.
    epoch: u64,
    /// Requests that were answered from it.
    hits: u64,
    /// When it came, or was last renewed (RFC 3339).
    #[schema(format = DateTime)]
    stored_at: String,
    etag: Option<String>,
    last_modified: Option<String>,
    /// The names that its origin gave it.
    tags: Vec<String>,
    /// The request fields that select it, with their values; null where the field must not be there.
    selected_by: BTreeMap<String, Option<String>>,
}

/// One stored key.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownKey {
    url: String,
    /// How many responses are stored under it.
    variants: u64,
    /// Of their bodies.
    bytes: u64,
    /// What they take in memory.
    weight: u64,
    /// Requests that were answered from them.
    hits: u64,
}

/// What is stored under a URL
///
/// All variants, newest first, and a page of the image's transformations. What is purged is not shown.
#[utoipa::path(
    get, path = "/v1/cache", tag = "cache", operation_id = "showCached", params(ShowParameters),
    responses(
        (status = 200, description = "What is stored; nothing may be.", body = Shown),
        (status = 400, description = "A parameter can't be taken.", body = ErrorBody),
    ),
)]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    let principal = admin.principal(&req, connection)?;
    principal.require(Scope::Read)?;
    let parameters = Parameters::of(req.uri());
    let key = key_in(&parameters, &principal, &admin)?;
    let asset = AssetName::of(&key);
    let is_right = |text: &str| asset_of(text).is_some_and(|of| of == asset);
    let after = cursor_in(&parameters, is_right)?.map(|text| Key::stored(&text));
    let limit = limit_in(&parameters, limits::KEYS_PAGE, limits::KEYS_PAGE_MAX)?;
    let shown = admin.walk(move |admin| {
        let variants = admin.cache.inspect(&key);
        let Page { keys, next } = admin.cache.transformations(&asset, after.as_ref(), limit);
        Shown {
            url: url_of(admin, &key),
            key: key.to_string(),
            asset: asset.as_str().to_owned(),
            stored: !variants.is_empty(),
            variants: variants.iter().map(|variant| ShownVariant::of(variant, admin)).collect(),
            transformations: keys.iter().map(|listed| ShownKey::of(listed, admin)).collect(),
            next: next.map(|key| cursor_of(key.as_str())),
        }
    });
    Ok(reply(StatusCode::OK, &shown.await?))
}

/// Of `GET /v1/cache/keys`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it describes what `Parameters` reads")]
pub(super) struct KeysParameters {
    /// What the URLs begin with, percent-encoded; it goes as far as an endpoint of the account at least. A `*` at its
    /// end changes nothing.
    #[param(example = "http://127.0.0.1:8080/demo/photos/")]
    prefix: String,
    /// Most keys on the page. A page may have fewer, and none, though others follow.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// A page of keys.
#[derive(Serialize, ToSchema)]
pub(super) struct Keys {
    /// In order.
    keys: Vec<ShownKey>,
    /// The cursor of the next page; null at the end.
    next: Option<String>,
}

/// Stored keys by the beginning of their URL
///
/// In order, a page at a time. A page may have fewer keys than asked for, though others follow: `next` says so.
#[utoipa::path(
    get, path = "/v1/cache/keys", tag = "cache", operation_id = "listCached", params(KeysParameters),
    responses(
        (status = 200, description = "A page.", body = Keys),
        (status = 400, description = "A parameter can't be taken.", body = ErrorBody),
    ),
)]
pub(super) async fn keys(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    let principal = admin.principal(&req, connection)?;
    principal.require(Scope::Read)?;
    let parameters = Parameters::of(req.uri());
    let prefix = prefix_in(&parameters, &principal, &admin)?;
    let after = cursor_in(&parameters, |text| text.starts_with(prefix.as_str()))?;
    let after = after.map(|text| Key::stored(&text));
    let limit = limit_in(&parameters, limits::KEYS_PAGE, limits::KEYS_PAGE_MAX)?;
    let keys = admin.walk(move |admin| {
        let Page { keys, next } = admin.cache.list(&prefix, after.as_ref(), limit);
        Keys {
            keys: keys.iter().map(|listed| ShownKey::of(listed, admin)).collect(),
            next: next.map(|key| cursor_of(key.as_str())),
        }
    });
    Ok(reply(StatusCode::OK, &keys.await?))
}

/// Of `GET /v1/cache/image`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it describes what `Parameters` reads")]
pub(super) struct ImageParameters {
    /// The whole URL, percent-encoded.
    #[param(example = "http://127.0.0.1:8080/demo/photos/2024/harbour.jpg")]
    url: String,
    /// The place among the URL's variants, from 0.
    #[param(minimum = 0, maximum = 15, default = 0)]
    variant: Option<u32>,
}

/// A stored picture
///
/// The bytes as they are stored, of a whole response with status 200 whose type is `image/*`. No hit is counted.
#[utoipa::path(
    get, path = "/v1/cache/image", tag = "cache", operation_id = "showPicture", params(ImageParameters),
    responses(
        (status = 200, description = "The picture.", body = Vec<u8>, content_type = "image/*"),
        (status = 400, description = "A parameter can't be taken.", body = ErrorBody),
        (status = 404, description = "No such variant is stored, or it is no whole picture.", body = ErrorBody),
    ),
)]
pub(super) async fn image(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    let principal = admin.principal(&req, connection)?;
    principal.require(Scope::Read)?;
    let parameters = Parameters::of(req.uri());
    let key = key_in(&parameters, &principal, &admin)?;
    let place = parameters.number("variant", 0..=limits::VARIANTS_MAX - 1, 0)?;
    let mut variants = admin.cache.inspect(&key);
    let variant =
        if place < variants.len() { variants.swap_remove(place) } else { return Err(AdminError::NotStored) };
    let fields = variant.fields();
    let kind = fields.get(header::CONTENT_TYPE).filter(|kind| is_picture(kind)).cloned();
    let Some(kind) = kind.filter(|_| variant.status() == StatusCode::OK && variant.body().part().is_none())
    else {
        return Err(AdminError::NotPicture);
    };
    Ok(picture(variant, kind, &fields))
}

/// What is an image runs no script here: not when it is opened by itself, not as a document, not for another site.
fn picture(variant: Arc<Variant>, kind: HeaderValue, stored: &HeaderMap) -> Response {
    const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'";
    let bytes = variant.body().bytes();
    let mut res =
        Body::new(Pieces { variant, left: 0..bytes, bookmark: Bookmark::default() }).into_response();
    let fields = res.headers_mut();
    fields.insert(header::CONTENT_TYPE, kind);
    if let Some(coding) = stored.get(header::CONTENT_ENCODING) {
        fields.insert(header::CONTENT_ENCODING, coding.clone());
    }
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    let same_origin = HeaderValue::from_static("same-origin");
    fields.insert(HeaderName::from_static("cross-origin-resource-policy"), same_origin);
    res
}

/// A stored body, a piece at a time.
struct Pieces {
    variant: Arc<Variant>,
    /// What has not been given.
    left: Range<u64>,
    bookmark: Bookmark,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let Pieces { variant, left, bookmark } = &mut *self;
        Poll::Ready(variant.body().next(left, bookmark).map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.end - self.left.start)
    }
}

fn is_picture(content_type: &HeaderValue) -> bool {
    content_type.as_bytes().get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"image/"))
}

impl ShownVariant {
    fn of(variant: &Arc<Variant>, admin: &Admin) -> ShownVariant {
        let (now, fields) = (admin.clock.now(), variant.fields());
        let text =
            |name| fields.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let selected_by = variant.selected_by().map(|(name, value)| {
            (name.to_owned(), value.map(|value| String::from_utf8_lossy(value).into_owned()))
        });
        ShownVariant {
            status: variant.status().as_u16(),
            content_type: text(header::CONTENT_TYPE),
            bytes: variant.body().bytes(),
            weight: variant.weight() as u64,
            age_seconds: variant.age_at(now).as_secs(),
            lifetime_seconds: variant.lifetime().as_secs(),
            fresh: variant.is_fresh(now),
            stale_by_purge: variant.is_stale(),
            epoch: variant.epoch(),
            hits: variant.hits().into(),
            stored_at: date_of(variant.received(), now, admin.clock.wall()),
            etag: text(header::ETAG),
            last_modified: text(header::LAST_MODIFIED),
            tags: variant.tags().as_slice().iter().map(|tag| tag.name().to_owned()).collect(),
            selected_by: selected_by.collect(),
        }
    }
}

impl ShownKey {
    fn of(listed: &Listed, admin: &Admin) -> ShownKey {
        let Listed { key, variants, bytes, weight, hits } = listed;
        ShownKey { url: url_of(admin, key), variants: *variants, bytes: *bytes, weight: *weight, hits: *hits }
    }
}

/// The date of an earlier moment.
fn date_of(earlier: Moment, now: Moment, wall: SystemTime) -> String {
    let date = wall.checked_sub(now.since(earlier)).filter(|date| *date > UNIX_EPOCH).unwrap_or(UNIX_EPOCH);
    humantime::format_rfc3339_millis(date).to_string()
}

/// A key as a URL. Without one, which is so where every endpoint's path is taken by a deeper one, the key itself.
fn url_of(admin: &Admin, key: &Key) -> String {
    admin.endpoints().url_of(key).unwrap_or_else(|| key.to_string())
}

/// The asset of what may be a key's text.
fn asset_of(text: &str) -> Option<AssetName> {
    (text.contains('/') && text.len() <= limits::KEY_BYTES_MAX).then(|| AssetName::of(&Key::stored(text)))
}

/// The key of the URL that is asked for, if the caller may see its image.
fn key_in(parameters: &Parameters, caller: &Principal, admin: &Admin) -> Result<Key, AdminError> {
    let url = parameters.required("url", URL_HELP)?;
    let account = match caller.own_account() {
        Some(own) => own,
        // An operator's: whosever it is.
        None => {
            admin.endpoints().parse_url(url).map_err(|error| refused("url", &Refusal::Url(error)))?.account
        }
    };
    match Target::parse(url, account, &admin.endpoints()) {
        Ok(Target::Url(key)) => {
            caller.may_see(&Target::Asset(AssetName::of(&key)))?;
            Ok(key)
        }
        Ok(_) => {
            let help = "A wildcard names many URLs: ask /v1/cache/keys.";
            Err(InputError::new("url", "url_wildcard", help).into())
        }
        Err(refusal) => Err(refused("url", &refusal).into()),
    }
}

/// The beginning of keys that is asked for, if the caller may see what lies there.
fn prefix_in(parameters: &Parameters, caller: &Principal, admin: &Admin) -> Result<KeyPrefix, AdminError> {
    let text = parameters.required("prefix", PREFIX_HELP)?;
    let parsed = admin.endpoints().parse_prefix(text.strip_suffix('*').unwrap_or(text));
    let refusal = match (parsed, caller.own_account()) {
        (Ok((owner, prefix)), own) if own.is_none_or(|own| own == owner) => {
            caller.may_see(&Target::Prefix(prefix.clone()))?;
            return Ok(prefix);
        }
        // Another account's URLs are as unknown as nobody's.
        (Ok(_) | Err(KeyError::UnknownHost | KeyError::UnknownPath), Some(own)) => {
            Refusal::OutsideAccount { endpoints: admin.endpoints().of_account(own).into() }
        }
        (Ok(_), None) => unreachable!("every owner is right where the caller has no account of its own"),
        (Err(error), _) => Refusal::Url(error),
    };
    Err(refused("prefix", &refusal).into())
}

fn refused(at: &'static str, refusal: &Refusal) -> InputError {
    InputError::new(at, refusal.as_str(), refusal.to_string())
}
