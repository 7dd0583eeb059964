//! Answers: from the store, from a flight, from an origin, and errors of our own.
//!
//! The only file of the data plane that turns an error into a status. Every answer carries Cache-Status;
//! those of our own are small, quote nothing of the origin's or of the client's, and are not to be stored.

use http::header::{self, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

use super::body::ReplyBody;
use super::gate::Refusal;
use super::request_id::RequestName;
use crate::cache::Failure;
use crate::semantics::cache_status::CacheStatus;
use crate::semantics::fields::X_REQUEST_ID;

/// An answer on its way to a client.
pub type Reply = Response<ReplyBody>;

/// The methods that are taken everywhere, as Allow lists them.
pub const ALLOWED: &str = "GET, HEAD";

/// An answer with the given head and body.
pub fn new(status: StatusCode, fields: HeaderMap, body: ReplyBody) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    *reply.headers_mut() = fields;
    reply
}

/// The answer to a request that the gate, or a route, does not let through.
pub fn refusal(refusal: &Refusal, allow: &str) -> Reply {
    let mut reply = ours(refusal.status(), refusal.as_str(), refusal.message());
    if refusal.status() == StatusCode::METHOD_NOT_ALLOWED {
        reply.headers_mut().insert(header::ALLOW, field(allow));
    }
    if refusal.closes() {
        reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    reply
}

/// The answer where the origin gave none: 502, 503 or 504 (RFC 9110 §15.6).
pub fn failure(failure: Failure) -> Reply {
    let (status, message) = match failure {
        Failure::Connect
        | Failure::ServerError
        | Failure::BadResponse
        | Failure::Incomplete
        | Failure::Abandoned => (StatusCode::BAD_GATEWAY, "The origin gave no usable answer."),
        Failure::ConnectTimeout | Failure::HeadTimeout | Failure::BodyTimeout => {
            (StatusCode::GATEWAY_TIMEOUT, "The origin did not answer in time.")
        }
        Failure::Overloaded | Failure::TooSlow => {
            (StatusCode::SERVICE_UNAVAILABLE, "The server has too much to do.")
        }
    };
    let mut reply = ours(status, failure.as_str(), message.to_owned());
    if status == StatusCode::SERVICE_UNAVAILABLE {
        reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    reply
}

/// The answer to a client whose own body was at fault.
pub fn client_fault(status: StatusCode, message: &str) -> Reply {
    let mut reply = ours(status, "client-body", message.to_owned());
    reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    reply
}

/// The answer where the client wants nothing but what is stored, and nothing usable is (RFC 9111 §5.2.1.7).
pub fn only_if_cached() -> Reply {
    let message = "Nothing usable is stored, and the request says only-if-cached.";
    ours(StatusCode::GATEWAY_TIMEOUT, "only-if-cached", message.to_owned())
}

/// Adds Age, Cache-Status and the request's name to the fields of an answer.
pub fn stamp(fields: &mut HeaderMap, age: Option<u64>, cache_status: &CacheStatus, request_id: &RequestName) {
    fields.extend(age.map(|age| (header::AGE, age.into())));
    fields.append(header::CACHE_STATUS, cache_status.value());
    fields.insert(X_REQUEST_ID, request_id.value());
}

/// Names the request in its answer, and in the body of an error of ours.
pub fn name(reply: &mut Reply, request_id: &RequestName) {
    reply.headers_mut().insert(X_REQUEST_ID, request_id.value());
    // JSON would be none with a line more.
    if reply.headers().get(header::CONTENT_TYPE).is_none_or(|kind| kind != "application/json") {
        reply.body_mut().add_line(&format!("Request: {}\n", request_id.as_str()));
    }
}

/// The answer to `OPTIONS *`: what the server as a whole takes (RFC 9110 §9.3.7).
pub fn options() -> Reply {
    let mut reply = new(StatusCode::NO_CONTENT, HeaderMap::new(), ReplyBody::empty());
    reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static(ALLOWED));
    reply.headers_mut().insert("cache-status", HeaderValue::from_static("Freshet; detail=options"));
    reply
}

fn ours(status: StatusCode, detail: &str, mut message: String) -> Reply {
    message.push('\n');
    let mut reply = new(status, HeaderMap::new(), ReplyBody::text(message));
    let fields = reply.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert("cache-status", field(&format!("Freshet; detail={detail}")));
    reply
}

fn field(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("made of rule names and methods, which are tokens")
}
