//! Answers made of a response, wherever its body is: in the store, in a flight, or on its way from the origin.
//!
//! What a client gets of a response is decided by its fields: 304 where it has it, a part where it asks for one,
//! several parts as `multipart/byteranges` where all bytes are at hand.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};

use super::Proxy;
use super::body::{ReplyBody, Segment};
use super::origin_body::OriginBody;
use super::pipeline::Asked;
use super::reply::{self, Reply};
use crate::cache::{Body, Head, Reader, Stamp, Variant};
use crate::clock::Moment;
use crate::semantics::cache_status::{CacheStatus, Forwarded, Outcome as Handled};
use crate::semantics::conditional::{self, Answer, Validators};
use crate::semantics::range::{self, Part, Selected};
use crate::semantics::{RequestFacts, fields};

/// A response, as far as a client may get it.
pub struct Whole<'a> {
    /// The status of the whole.
    pub status: StatusCode,
    /// Its fields.
    pub fields: HeaderMap,
    /// The length of the whole, where it is known.
    pub bytes: Option<u64>,
    /// What is at hand of it, where that is a part.
    pub part: Option<&'a Part>,
    /// Its body, where all of what is at hand is stored.
    pub stored: Option<&'a Body>,
}

impl Proxy {
    pub(super) fn hit(
        &self,
        asked: &Asked,
        variant: &Arc<Variant>,
        now: Moment,
        detail: Option<&'static str>,
    ) -> Reply {
        variant.count_hit();
        let ttl = Some(variant.freshness(now).ttl(variant.age_at(now)));
        self.answer_from(asked, variant, now, CacheStatus { outcome: Handled::Hit, ttl, detail })
    }

    pub(super) fn renewed(
        &self,
        asked: &Asked,
        variant: &Arc<Variant>,
        reason: Forwarded,
        collapsed: bool,
    ) -> Reply {
        let status = Some(StatusCode::NOT_MODIFIED);
        let outcome = Handled::Forwarded { reason, status, stored: true, collapsed };
        let now = self.cache.now();
        let ttl = Some(variant.freshness(now).ttl(variant.age_at(now)));
        self.answer_from(asked, variant, now, CacheStatus { outcome, ttl, detail: None })
    }

    /// An answer from a stored response that has what is asked for.
    fn answer_from(
        &self,
        asked: &Asked,
        variant: &Arc<Variant>,
        now: Moment,
        cache_status: CacheStatus,
    ) -> Reply {
        let body = variant.body();
        let age = variant.freshness(now).age(variant.age_at(now));
        if asked.wants_the_whole() && body.part().is_none() {
            let stamp = Stamp { age, cache_status, request_id: asked.request_id.as_bytes() };
            let mut fields = variant.answer(&stamp);
            fields::tell(&mut fields, variant.status(), &asked.policy);
            return reply::new(variant.status(), fields, ReplyBody::stored(body.clone(), 0..body.bytes()));
        }
        let whole = Whole {
            status: variant.status(),
            fields: variant.fields(),
            bytes: Some(body.complete_bytes()),
            part: body.part(),
            stored: Some(body),
        };
        self.answer_of(whole, asked, Some(age), cache_status, |range| {
            ReplyBody::stored(body.clone(), range.unwrap_or(0..body.bytes()))
        })
    }

    /// An answer from a response whose body is still arriving.
    pub(super) fn shared(
        &self,
        asked: &Asked,
        head: &Head,
        reader: Reader,
        reason: Forwarded,
        collapsed: bool,
    ) -> Reply {
        let status = Some(head.origin_status);
        let outcome = Handled::Forwarded { reason, status, stored: head.stored, collapsed };
        let cache_status = CacheStatus { outcome, ttl: head.ttl, detail: None };
        let whole = Whole {
            status: head.status,
            fields: head.fields.clone(),
            bytes: head.part.as_ref().map_or(head.bytes, |part| Some(part.complete)),
            part: head.part.as_ref(),
            stored: None,
        };
        let age = Some(head.age).filter(|age| *age > 0);
        let mut reply = self.answer_of(whole, asked, age, cache_status, |range| match range {
            Some(range) => {
                let bytes = range.end - range.start;
                ReplyBody::shared(reader.narrow(range), Some(bytes))
            }
            None => ReplyBody::shared(reader, head.bytes),
        });
        if !collapsed && reply.status() != StatusCode::NOT_MODIFIED {
            reply.headers_mut().extend(head.withheld.clone());
        }
        reply
    }

    /// RFC 9110 §13.2.2: conditions first, then the range. `body` is given the place in what is at hand. A request
    /// without either costs no look at the validators.
    pub(super) fn answer_of(
        &self,
        whole: Whole<'_>,
        asked: &Asked,
        age: Option<u64>,
        cache_status: CacheStatus,
        body: impl FnOnce(Option<Range<u64>>) -> ReplyBody,
    ) -> Reply {
        let now = self.cache.clock().wall();
        let request = RequestFacts { method: &asked.method, headers: &asked.client };
        let validators = asked.is_conditional().then(|| Validators::read(&whole.fields, now));
        let (status, mut fields, body) = match validators {
            Some(validators) if validators.answer(&request, whole.status, now) == Answer::NotModified => {
                let fields = conditional::not_modified_fields(&whole.fields);
                (StatusCode::NOT_MODIFIED, fields, ReplyBody::empty())
            }
            _ if asked.method == Method::HEAD => {
                let Whole { status, mut fields, bytes, .. } = whole;
                fields.extend(bytes.map(|bytes| (header::CONTENT_LENGTH, bytes.into())));
                (status, fields, ReplyBody::empty())
            }
            Some(validators) => self.ranged(whole, &request, &validators, now, body),
            None => at_hand(whole, body),
        };
        reply::stamp(&mut fields, age, &cache_status, &asked.request_id);
        fields::tell(&mut fields, status, &asked.policy);
        reply::new(status, fields, body)
    }

    /// What Range asks for, or all that is at hand. Several ranges of what is still arriving get all of it: RFC
    /// 9110 §14.2 lets a server ignore the field.
    fn ranged(
        &self,
        whole: Whole<'_>,
        request: &RequestFacts<'_>,
        validators: &Validators,
        now: SystemTime,
        body: impl FnOnce(Option<Range<u64>>) -> ReplyBody,
    ) -> (StatusCode, HeaderMap, ReplyBody) {
        let Some(length) = whole.bytes else { return at_hand(whole, body) };
        let from = whole.part.map_or(0, |part| part.range.start);
        let holds = |range: &Range<u64>| whole.part.is_none_or(|part| part.covers(range));
        match (range::select(request, whole.status, validators, length, now), whole.stored) {
            (Selected::Single(range), _) if holds(&range) => {
                let mut fields = whole.fields;
                fields.insert(header::CONTENT_RANGE, range::content_range(&range, length));
                (StatusCode::PARTIAL_CONTENT, fields, body(Some(range.start - from..range.end - from)))
            }
            (Selected::Several(ranges), Some(stored)) if ranges.iter().all(holds) => {
                self.several(whole, stored, &ranges, length)
            }
            (Selected::Unsatisfiable, _) => {
                let mut fields = HeaderMap::new();
                fields.insert(header::CONTENT_RANGE, range::content_range_unsatisfied(length));
                fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                (StatusCode::RANGE_NOT_SATISFIABLE, fields, ReplyBody::empty())
            }
            _ => at_hand(whole, body),
        }
    }

    /// `multipart/byteranges` (RFC 9110 §14.6). Each part costs a head of about a hundred bytes; there are at most
    /// `RANGES_MAX`, and together they hold no more bytes than the whole.
    fn several(
        &self,
        whole: Whole<'_>,
        stored: &Body,
        ranges: &[Range<u64>],
        length: u64,
    ) -> (StatusCode, HeaderMap, ReplyBody) {
        let from = whole.part.map_or(0, |part| part.range.start);
        let number = self.lasting.boundaries.fetch_add(1, Ordering::Relaxed);
        let boundary = format!("{}-{number:x}", self.lasting.pseudonym);
        let mut segments = Vec::with_capacity(2 * ranges.len() + 1);
        for (at, range) in ranges.iter().enumerate() {
            let mut head = Vec::new();
            head.extend_from_slice(if at == 0 { b"--" } else { b"\r\n--" });
            head.extend_from_slice(boundary.as_bytes());
            if let Some(kind) = whole.fields.get(header::CONTENT_TYPE) {
                head.extend_from_slice(b"\r\nContent-Type: ");
                head.extend_from_slice(kind.as_bytes());
            }
            head.extend_from_slice(b"\r\nContent-Range: ");
            head.extend_from_slice(range::content_range(range, length).as_bytes());
            head.extend_from_slice(b"\r\n\r\n");
            segments.push(Segment::Text(head.into()));
            segments.push(Segment::Stored(range.start - from..range.end - from));
        }
        segments.push(Segment::Text(Bytes::from(format!("\r\n--{boundary}--\r\n"))));
        let mut fields = whole.fields;
        let kind = HeaderValue::try_from(format!("multipart/byteranges; boundary={boundary}"));
        fields.insert(header::CONTENT_TYPE, kind.expect("made of letters, digits and hyphens"));
        fields.remove(header::CONTENT_RANGE); // Each part has its own; one of the origin's means nothing.
        (StatusCode::PARTIAL_CONTENT, fields, ReplyBody::several(stored.clone(), segments))
    }
}

/// All that is at hand: the whole, or a part with its place, where its origin chose to send one for a range that
/// selects another.
fn at_hand(
    whole: Whole<'_>,
    body: impl FnOnce(Option<Range<u64>>) -> ReplyBody,
) -> (StatusCode, HeaderMap, ReplyBody) {
    let Whole { status, mut fields, bytes, part, .. } = whole;
    let (Some(part), Some(length)) = (part, bytes) else { return (status, fields, body(None)) };
    fields.insert(header::CONTENT_RANGE, range::content_range(&part.range, length));
    (StatusCode::PARTIAL_CONTENT, fields, body(None))
}

/// An answer that is the origin's own, for this request alone; `detail` says why.
pub fn passed(
    asked: &Asked,
    response: Response<OriginBody>,
    reason: Forwarded,
    detail: &'static str,
) -> Reply {
    let (parts, body) = response.into_parts();
    let mut fields = fields::forwarded(&parts.headers, &asked.policy);
    let status = Some(parts.status);
    let outcome = Handled::Forwarded { reason, status, stored: false, collapsed: false };
    fields.append("cache-status", CacheStatus { outcome, ttl: None, detail: Some(detail) }.value());
    reply::new(parts.status, fields, ReplyBody::passed(body))
}
