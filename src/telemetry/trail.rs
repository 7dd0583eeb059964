//! What is learned of one request on its way, where it is to have a line in the access log, or a span.
//!
//! Made at the request's head, of its own fields; the pipeline adds to it what it finds; its [`Ending`] goes with the
//! answer's body, and writes the line and ends the span when that is dropped: sent, broken off, or never begun since the client left.
//! No lock: what is added is added once.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version, header};
use opentelemetry::KeyValue;
use tokio::time::Instant;

use super::access::{AccessLog, Line, masked};
use super::traces::{FetchSpan, RequestSpan};

/// The status that stands for no answer: the client has left. nginx's tools know it as that.
const CLIENT_LEFT: u16 = 499;

/// See the module.
#[derive(Debug)]
pub struct Trail {
    time: SystemTime,
    begun: Instant,
    client: IpAddr,
    method: Method,
    target: Uri,
    version: Version,
    host: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    account: OnceLock<Box<str>>,
    request_id: OnceLock<Box<str>>,
    outcome: OnceLock<&'static str>,
    /// In microseconds; `UNASKED` until an origin has answered.
    origin_us: AtomicU64,
    span: Option<RequestSpan>,
}

const UNASKED: u64 = u64::MAX;

impl Trail {
    /// The URL is this account's.
    pub fn belongs_to(&self, account: &str) {
        let _ = self.account.set(account.into()); // Once, see the module.
    }

    /// It counts so, and is named so in its answer.
    pub fn counts_as(&self, outcome: &'static str, request_id: &str) {
        let _ = self.outcome.set(outcome);
        let _ = self.request_id.set(request_id.into());
    }

    /// An origin is asked for it now; `fields` are those that the origin gets. Nothing where it has no span.
    pub fn ask(&self, method: &Method, origin: &str, fields: &mut HeaderMap) -> Option<FetchSpan> {
        self.span.as_ref().map(|span| span.ask(method, origin, fields))
    }

    /// The origin that was asked for it answered after `time`; of several askings the last one counts.
    pub fn origin_answered(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(UNASKED - 1);
        self.origin_us.store(us, Ordering::Relaxed);
    }
}

/// Writes the line of a request, and ends its span, when it is dropped.
#[derive(Debug)]
pub struct Ending {
    log: Option<Arc<AccessLog>>,
    trail: Arc<Trail>,
    status: u16,
    cache_status: Option<HeaderValue>,
    bytes: u64,
    complete: bool,
}

impl Ending {
    /// Of a request whose head was complete at `begun`, by the wall clock at `time`.
    pub fn of<B>(
        log: Option<Arc<AccessLog>>,
        span: Option<RequestSpan>,
        request: &Request<B>,
        client: IpAddr,
        begun: Instant,
        time: SystemTime,
    ) -> Ending {
        let field = |name| request.headers().get(name).cloned();
        let trail = Trail {
            time,
            begun,
            client,
            method: request.method().clone(),
            target: request.uri().clone(),
            version: request.version(),
            host: field(header::HOST),
            user_agent: field(header::USER_AGENT),
            referer: field(header::REFERER),
            account: OnceLock::new(),
            request_id: OnceLock::new(),
            outcome: OnceLock::new(),
            origin_us: AtomicU64::new(UNASKED),
            span,
        };
        Ending {
            log,
            trail: Arc::new(trail),
            status: CLIENT_LEFT,
            cache_status: None,
            bytes: 0,
            complete: false,
        }
    }

    /// What is learned on the way.
    pub fn trail(&self) -> &Arc<Trail> {
        &self.trail
    }

    /// The head of the answer is there.
    pub fn answered<B>(&mut self, answer: &Response<B>) {
        self.status = answer.status().as_u16();
        // Ours comes after those of caches nearer to the origin.
        self.cache_status = answer.headers().get_all(header::CACHE_STATUS).iter().next_back().cloned();
        self.complete = self.trail.method == Method::HEAD; // Its body is never sent.
    }

    /// Some of the body is handed over.
    pub fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// The whole body is.
    pub fn complete(&mut self) {
        self.complete = true;
    }
}

impl Ending {
    /// As OpenTelemetry's conventions for HTTP name them, and what only we know. Signatures in the query are masked, as in the
    /// log.
    fn attributes(&self) -> Vec<KeyValue> {
        let trail = &*self.trail;
        let target = masked(target(&trail.target)).into_owned();
        let bytes = i64::try_from(self.bytes).unwrap_or(i64::MAX);
        let mut attributes = vec![
            KeyValue::new("http.response.status_code", i64::from(self.status)),
            KeyValue::new("http.response.body.size", bytes),
            KeyValue::new("url.path", target),
            KeyValue::new("client.address", trail.client.to_string()),
            KeyValue::new("freshet.aborted", !self.complete),
        ];
        let texts = [
            ("freshet.outcome", trail.outcome.get().map(|outcome| (*outcome).to_owned())),
            ("freshet.account", trail.account.get().map(|account| account.to_string())),
            ("freshet.request_id", trail.request_id.get().map(|id| id.to_string())),
            ("server.address", trail.host.as_ref().and_then(|host| Some(host.to_str().ok()?.to_owned()))),
            (
                "freshet.cache_status",
                self.cache_status.as_ref().and_then(|value| Some(value.to_str().ok()?.to_owned())),
            ),
        ];
        attributes.extend(texts.into_iter().filter_map(|(name, text)| Some(KeyValue::new(name, text?))));
        attributes
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(span) = &self.trail.span {
            span.end(self.attributes(), self.status >= 500);
        }
        let Some(log) = &self.log else { return };
        let trail = &*self.trail;
        let origin = Some(trail.origin_us.load(Ordering::Relaxed)).filter(|us| *us != UNASKED);
        log.write(&Line {
            time: trail.time,
            client: trail.client,
            method: trail.method.as_str(),
            target: target(&trail.target).as_bytes(),
            protocol: protocol(trail.version),
            status: self.status,
            bytes: self.bytes,
            aborted: !self.complete,
            duration: trail.begun.elapsed(),
            origin: origin.map(Duration::from_micros),
            outcome: trail.outcome.get().copied(),
            cache_status: self.cache_status.as_ref().and_then(|value| value.to_str().ok()),
            account: trail.account.get().map(|account| &**account),
            request_id: trail.request_id.get().map(|id| &**id),
            host: trail.host.as_ref().map(HeaderValue::as_bytes),
            user_agent: trail.user_agent.as_ref().map(HeaderValue::as_bytes),
            referer: trail.referer.as_ref().map(HeaderValue::as_bytes),
        });
    }
}

/// Path and query; of an authority alone (CONNECT) the host, without what may stand before an `@`.
fn target(uri: &Uri) -> &str {
    match uri.path_and_query() {
        Some(path_and_query) => path_and_query.as_str(),
        None => uri.host().unwrap_or("-"),
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}
