//! The method PURGE on the images' port, for callers that know no other way: off unless the config turns it on.
//!
//! Passed through the same gate as every request, then handed to [`PurgeDoor`], which knows keys and purges: the
//! root joins the two, since the data plane knows no control plane. It is never looked up, stored or passed on.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Request, Response};
use http_body::Body;

use super::body::ReplyBody;
use super::gate::Refusal;
use super::reply::{self, Reply};

/// A PURGE, as it came.
#[derive(Debug)]
pub struct PurgeCall {
    /// The URL of the request, from its scheme on, with host and target as they were sent.
    pub url: String,
    /// The id of the account that the URL belongs to.
    pub account: String,
    /// The client's fields.
    pub fields: HeaderMap,
    /// The client.
    pub peer: IpAddr,
}

/// Whoever answers a PURGE.
pub trait PurgeDoor: Send + Sync {
    /// Purges what the call names, if its key may.
    fn purge(&self, call: PurgeCall) -> Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>;
}

/// Whether the method is PURGE. Methods are case-sensitive (RFC 9110 §9.1).
pub(super) fn is_purge<B>(request: &Request<B>) -> bool {
    request.method().as_str() == "PURGE"
}

/// Reads a PURGE that the gate has let through, for a URL of this account.
pub(super) fn read<B: Body>(request: Request<B>, account: &str, peer: IpAddr) -> Result<PurgeCall, Refusal> {
    if !request.body().is_end_stream() {
        return Err(Refusal::Body);
    }
    let (parts, _) = request.into_parts();
    let host = match parts.uri.authority() {
        Some(authority) => authority.as_str(),
        None => parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default(),
    };
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let url = format!("http://{host}{target}");
    Ok(PurgeCall { url, account: account.to_owned(), fields: parts.headers, peer })
}

/// What the door says, as an answer of the data plane.
pub(super) fn answered(answer: Response<Bytes>) -> Reply {
    let (parts, body) = answer.into_parts();
    let mut reply = reply::new(parts.status, parts.headers, ReplyBody::text(body));
    let purged = HeaderValue::from_static("Freshet; detail=purge");
    reply.headers_mut().insert("cache-status", purged);
    reply
}
