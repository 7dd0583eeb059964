//! The gate: what a request must be before anything is looked up, and how it is refused.
//!
//! hyper parses strictly but is no proxy: Host, target, body and framing rules of an intermediary are
//! checked here, before a key is made. Pure.

use std::borrow::Cow;

use http::{HeaderMap, Method, Request, StatusCode, Version, header};

use crate::config::Authority;
use crate::key::{Endpoints, KeyError, Located};
use crate::limits::{REQUEST_FIELDS_MAX, TARGET_BYTES_MAX};
use crate::semantics::fields;

/// Why a request is not served; each is answered with its status, and none reaches an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No Host, several, or an invalid one (RFC 9112 §3.2).
    Host(&'static str),
    /// The authority of an absolute target is not the Host's (RFC 9112 §3.2.2).
    HostMismatch,
    /// The target is no path (RFC 9112 §3.2).
    TargetForm,
    /// The target is longer than `TARGET_BYTES_MAX`.
    TargetTooLong,
    /// There are more than `REQUEST_FIELDS_MAX` fields (RFC 6585 §5). hyper's own bound, of 100, costs nothing while
    /// it is left alone.
    TooManyFields,
    /// GET and HEAD have no body here (RFC 9110 §9.3.1), nor has a PURGE.
    Body,
    /// A transfer coding other than one `chunked` (RFC 9112 §6.1).
    TransferCoding,
    /// Connection names a field that must reach every recipient (RFC 9110 §7.6.1).
    ConnectionOption,
    /// An expectation other than 100-continue (RFC 9110 §10.1.1).
    Expectation,
    /// The method is not passed here.
    Method,
    /// CONNECT: nothing is tunnelled (RFC 9110 §9.3.6).
    Tunnel,
    /// The request went through this very process before (RFC 9110 §7.6.3).
    Loop,
    /// The URL has no key.
    Key(KeyError),
}

impl Refusal {
    /// The status that it is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Refusal::TargetTooLong => StatusCode::URI_TOO_LONG,
            Refusal::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Refusal::Expectation => StatusCode::EXPECTATION_FAILED,
            Refusal::Method | Refusal::Tunnel => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::Loop => StatusCode::LOOP_DETECTED,
            Refusal::Key(KeyError::UnknownHost) => StatusCode::MISDIRECTED_REQUEST,
            Refusal::Key(KeyError::UnknownPath) => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// Whether what follows on the connection can't be trusted.
    pub fn closes(&self) -> bool {
        !matches!(self, Refusal::Key(KeyError::UnknownPath | KeyError::UnknownHost) | Refusal::Method)
    }

    /// The rule, as a sentence.
    pub fn message(&self) -> String {
        match self {
            Refusal::Host(rule) => format!("The Host field is wrong: {rule}."),
            Refusal::HostMismatch => "The target's host and the Host field differ.".into(),
            Refusal::TargetForm => "The request target must be a path.".into(),
            Refusal::TargetTooLong => format!("The request target is longer than {TARGET_BYTES_MAX} bytes."),
            Refusal::TooManyFields => format!("The request has more than {REQUEST_FIELDS_MAX} fields."),
            Refusal::Body => "A GET, HEAD or PURGE request must have no body.".into(),
            Refusal::TransferCoding => "The only transfer coding taken is one \"chunked\".".into(),
            Refusal::ConnectionOption => "Connection names a field that is not hop-by-hop.".into(),
            Refusal::Expectation => "The only expectation met is 100-continue.".into(),
            Refusal::Method => "The method is not allowed here.".into(),
            Refusal::Tunnel => "Nothing is tunnelled here.".into(),
            Refusal::Loop => "The request has come back to where it was: an origin points here.".into(),
            Refusal::Key(error) => error.message().into(),
        }
    }

    /// For log fields and Cache-Status.
    pub fn as_str(&self) -> &'static str {
        match self {
            Refusal::Host(_) => "host",
            Refusal::HostMismatch => "host-mismatch",
            Refusal::TargetForm => "target-form",
            Refusal::TargetTooLong => "target-too-long",
            Refusal::TooManyFields => "too-many-fields",
            Refusal::Body => "body",
            Refusal::TransferCoding => "transfer-coding",
            Refusal::ConnectionOption => "connection-option",
            Refusal::Expectation => "expectation",
            Refusal::Method => "method",
            Refusal::Tunnel => "tunnel",
            Refusal::Loop => "loop",
            Refusal::Key(error) => error.as_str(),
        }
    }
}

/// Admits a request: what it asks for, and of whom. `via` is the name that this process writes into Via.
pub fn admit<B>(request: &Request<B>, endpoints: &Endpoints, via: &str) -> Result<Located, Refusal> {
    let (fields, uri) = (request.headers(), request.uri());
    if *request.method() == Method::CONNECT {
        return Err(Refusal::Tunnel); // Whatever it asks for: its target has a form of its own.
    }
    if fields.len() > REQUEST_FIELDS_MAX {
        return Err(Refusal::TooManyFields);
    }
    framing(request.method(), request.version(), fields)?;
    let authority = authority(request, endpoints)?;
    let path = uri.path();
    if !path.starts_with('/') {
        return Err(Refusal::TargetForm); // `*`, `host:port` and what hyper takes for one.
    }
    if path.len() + uri.query().map_or(0, str::len) > TARGET_BYTES_MAX {
        return Err(Refusal::TargetTooLong);
    }
    if fields.get_all(header::VIA).iter().any(|value| names(value.as_bytes(), via)) {
        return Err(Refusal::Loop);
    }
    endpoints.locate(&authority, path, uri.query()).map_err(Refusal::Key)
}

fn framing(method: &Method, version: Version, fields: &HeaderMap) -> Result<(), Refusal> {
    let coded = fields.contains_key(header::TRANSFER_ENCODING);
    if *method == Method::GET || *method == Method::HEAD {
        let length = fields.get(header::CONTENT_LENGTH);
        if coded || length.is_some_and(|length| length.as_bytes().iter().any(|digit| *digit != b'0')) {
            return Err(Refusal::Body);
        }
    } else if coded {
        let mut codings = fields.get_all(header::TRANSFER_ENCODING).iter();
        let one = codings.next().is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
        if !one || codings.next().is_some() || version == Version::HTTP_10 {
            return Err(Refusal::TransferCoding);
        }
    }
    if fields::check_connection(fields).is_err() {
        return Err(Refusal::ConnectionOption);
    }
    let mut expectations = fields.get_all(header::EXPECT).iter();
    if !expectations.all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(Refusal::Expectation);
    }
    Ok(())
}

/// The one host that the request is for. An absolute target's wins, and Host must agree with it.
fn authority<'a, B>(request: &'a Request<B>, endpoints: &Endpoints) -> Result<Cow<'a, str>, Refusal> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (host, another) = (hosts.next(), hosts.next());
    if another.is_some() {
        return Err(Refusal::Host("there are several"));
    }
    let host = host.ok_or(Refusal::Host("it is missing"))?;
    let host = host.to_str().map_err(|_| Refusal::Host("it is not a valid name or address"))?;
    let host = match endpoints.knows(host) {
        true => Cow::Borrowed(host), // Most requests': nothing is parsed.
        false => Authority::canonical(host).map_err(|error| Refusal::Host(error.as_str()))?,
    };
    let uri = request.uri();
    match (uri.scheme_str(), uri.authority()) {
        (None, None) => Ok(host),
        (Some("http" | "https"), Some(target)) => match Authority::canonical(target.as_str()) {
            Ok(target) if target == host => Ok(target),
            Ok(_) => Err(Refusal::HostMismatch),
            Err(error) => Err(Refusal::Host(error.as_str())),
        },
        _ => Err(Refusal::TargetForm),
    }
}

/// Whether a Via field names `pseudonym` as a recipient: `1.1 name (comment), …` (RFC 9110 §7.6.3).
fn names(via: &[u8], pseudonym: &str) -> bool {
    let entries = via.split(|byte| *byte == b',');
    entries
        .filter_map(|entry| entry.trim_ascii().split(|byte| *byte == b' ').nth(1))
        .any(|name| name == pseudonym.as_bytes())
}
