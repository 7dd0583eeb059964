//! What has come from the origin: it is stored, shared once, or handed over to the client that led.
//!
//! The second half of a [`Fill`], from a response's head to the commit. Invariant: what is stored is committed
//! before its last piece is shown, so that whoever has read it all finds it stored; a body that is not whole, or not
//! of the length of its place, is never stored.

use std::sync::Arc;
use std::time::Duration;

use http::header;
use http::{HeaderMap, Method, Response, StatusCode};

use super::fill::{Fill, HandedOver, tags};
use super::origin_body::{Framing, OriginBody};
use crate::cache::{Body, Failure, Head, Landing};
use crate::clock::Moment;
use crate::semantics::storable::NotStorable;
use crate::semantics::vary::Selection;
use crate::semantics::{self, RequestFacts, fields};

/// Why a body is not stored that is longer than `cache.object_max_bytes`.
pub const TOO_LARGE: &str = "too-large";

/// What streams to the flight's readers beside what the origin sends, and what becomes of it.
pub struct Course {
    /// How to store it; nothing where it isn't.
    pub storing: Option<semantics::Fill>,
    /// Of a body that is completed, what is held: before the origin's bytes, or after them.
    pub before: Option<Body>,
    /// See `before`.
    pub after: Option<Body>,
    /// When the head came.
    pub received: Moment,
}

impl Fill {
    /// The length that a response's body is known to have.
    pub(super) fn length(&self, response: &Response<OriginBody>) -> Option<u64> {
        match response.body().framing() {
            Framing::Length(bytes) => Some(bytes),
            Framing::Chunked | Framing::Close => None,
        }
    }

    pub(super) fn head(&self, origin_status: StatusCode, fill: &semantics::Fill, bytes: Option<u64>) -> Head {
        let partial = origin_status == StatusCode::PARTIAL_CONTENT;
        Head {
            // A part is stored as what it is a part of.
            status: if partial { StatusCode::OK } else { origin_status },
            origin_status,
            fields: fill.fields.clone(),
            withheld: fill.withheld.clone(),
            bytes,
            part: fill.part.clone(),
            selection: fill.selection.clone(),
            age: fill.freshness.age(Duration::ZERO),
            ttl: Some(fill.freshness.ttl(Duration::ZERO)),
            stored: true,
        }
    }

    /// A response that is no 304 of ours: it is stored, shared once, or handed over.
    pub async fn received(mut self, response: Response<OriginBody>, received: Moment, delay: Duration) {
        let status = response.status();
        let part_asked = self.lead.fields().contains_key(header::RANGE);
        if status == StatusCode::NOT_MODIFIED || (status == StatusCode::PARTIAL_CONTENT && !part_asked) {
            return self.fail(Failure::BadResponse); // Neither was asked for.
        }
        let request = RequestFacts { method: &Method::GET, headers: self.lead.fields() };
        let wall = self.proxy.cache.clock().wall();
        let planned = semantics::plan(&request, status, response.headers(), &self.errand.policy, wall, delay);
        let length = self.length(&response);
        match planned {
            Ok(_) if length.is_some_and(|bytes| bytes > self.proxy.object_bytes_max) => {
                self.hand_over(response, TOO_LARGE);
            }
            // One that has another length than its place in the whole.
            Ok(semantics::Fill { part: Some(part), .. })
                if length.is_some_and(|length| length != part.range.end - part.range.start) =>
            {
                self.hand_over(response, NotStorable::Part.as_str());
            }
            Ok(fill) => {
                let head = self.head(status, &fill, length);
                self.lead.learn(tags(self.lead.key(), &fill));
                let course = Course { storing: Some(fill), before: None, after: None, received };
                self.stream(head, response.into_body(), course).await;
            }
            // One failure answers all who waited for it; that it says so is no reason to ask once more.
            Err(NotStorable::Status) if status.is_server_error() => {
                let mut fields = fields::forwarded(response.headers(), &self.errand.policy);
                fields.remove(header::SET_COOKIE);
                fields.remove(header::CONTENT_LENGTH);
                let head = Head {
                    status,
                    origin_status: status,
                    fields,
                    withheld: HeaderMap::new(),
                    bytes: length,
                    part: None,
                    selection: Selection::default(),
                    age: 0,
                    ttl: None,
                    stored: false,
                };
                let course = Course { storing: None, before: None, after: None, received };
                self.stream(head, response.into_body(), course).await;
            }
            Err(reason) => self.hand_over(response, reason.as_str()),
        }
    }

    /// What can't be shared goes to the client that led, and the others go to the origin on their own.
    fn hand_over(mut self, response: Response<OriginBody>, reason: &'static str) {
        let (request, status) = (self.errand.request(), response.status());
        tracing::debug!(key = %self.lead.key(), request, %status, reason, "not stored");
        let replaces = matches!(response.status().as_u16(), 200..=299 | 404 | 410);
        if let Some(base) = self.base.as_ref().filter(|_| replaces) {
            // The origin has something else there now: what is stored answers nobody any more.
            self.proxy.cache.discard(&self.lead, base);
        }
        self.proxy.cache.mark_not_storable(self.lead.key());
        self.lead.land(Landing::Alone);
        // A client that left needs no answer; dropping the response closes its connection.
        let _ = self.handed_over.send(HandedOver { response, reason });
        self.lead.finish(Ok(()));
    }

    /// Streams the body to the flight's readers; what is to be stored is committed before its last piece is
    /// shown.
    pub(super) async fn stream(mut self, head: Head, mut body: OriginBody, mut course: Course) {
        let (status, length) = (head.status, head.bytes);
        // A body that is broken from its first byte, as far as it is here, is no answer at all.
        let first = match body.at_once().await {
            Some(Err(failure)) => return self.fail(failure),
            Some(Ok(piece)) => Some(piece),
            None => None,
        };
        if !self.append_held(course.before.take()) {
            return self.fail(Failure::Abandoned);
        }
        first.into_iter().for_each(|piece| self.lead.append(piece));
        self.lead.land(Landing::Shared(Arc::new(head)));
        if !body.is_complete() {
            self.lead.show();
        }
        loop {
            if let Err(failure) = self.lead.wanted().await {
                return self.lead.finish(Err(failure));
            }
            match self.piece(&mut body).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(failure) => {
                    self.proxy.metrics.fetch_failures.increment(failure.as_str());
                    body.health().failed(self.proxy.cache.clock().wall(), failure.as_str());
                    return self.lead.finish(Err(failure));
                }
            }
            if course.storing.is_some() && self.lead.received() > self.proxy.object_bytes_max {
                course.storing = None;
                self.proxy.cache.mark_not_storable(self.lead.key());
                self.lead.stop_storing();
            }
            self.lead.show();
        }
        if !self.append_held(course.after.take()) {
            return self.lead.finish(Err(Failure::Abandoned));
        }
        if length.is_some_and(|length| length != self.lead.received()) {
            // hyper ends a body at its length; this is a part in chunks that brought too little or too much.
            return self.lead.finish(Err(Failure::Incomplete));
        }
        if let Some(fill) = course.storing.filter(|_| self.lead.received() <= self.proxy.object_bytes_max) {
            self.keep(status, fill, course.received).await;
        }
        self.lead.show();
        self.lead.finish(Ok(()));
    }

    /// Stores the body that has arrived, whole or with its place in the whole.
    async fn keep(&self, status: StatusCode, mut fill: semantics::Fill, received: Moment) {
        let mut body = self.lead.body();
        if let Some(part) = fill.part.take() {
            if part.range.end - part.range.start != body.bytes() {
                return; // A part in chunks, of another length than its place.
            }
            body = body.placed(part);
        }
        let mut filing = self.proxy.cache.filing(body);
        while filing.step() {
            // A piece is a copy of some 256 KiB: others have their turn between two. Whatever comes meanwhile, a purge
            // above all, is judged by the commit.
            tokio::task::yield_now().await;
        }
        self.commit(&self.variant(status, &fill, filing.finish(), received));
    }

    /// Whether all of it could be read.
    fn append_held(&self, held: Option<Body>) -> bool {
        for piece in held.iter().flat_map(Body::read) {
            let Ok(piece) = piece else { return false };
            self.lead.append(piece);
        }
        true
    }

    /// Appends the next piece; whether there are more after it.
    async fn piece(&self, body: &mut OriginBody) -> Result<bool, Failure> {
        if body.is_complete() {
            return Ok(false);
        }
        match body.next().await {
            None => Ok(false),
            Some(Err(failure)) => Err(failure),
            Some(Ok(piece)) => {
                self.lead.append(piece);
                Ok(!body.is_complete() || self.lead.received() > self.proxy.object_bytes_max)
            }
        }
    }
}
