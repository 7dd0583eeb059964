//! A request, from top to bottom: gate → route → look-up → reply, or → a fetch and its reply.
//!
//! Hit: look-up → conditional → range → reply, without a lock or a task. Miss: join a flight or lead one →
//! its head → reply, whose body streams as the fetch brings it. The fetch itself is `fill.rs`.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::body::ReplyBody;
use super::fill::{Fill, stands_in_for};
use super::interim::{Interim, Offers, Open};
use super::origin::OriginBody;
use super::reply::{self, Reply};
use super::{Proxy, Site, gate};
use crate::cache::{Failure, Head, Join, Landing, Lead, Lookup, Reader, Variant};
use crate::key::Key;
use crate::semantics::cache_status::{CacheStatus, Forwarded, Outcome as Handled};
use crate::semantics::conditional::{self, Answer, Validators};
use crate::semantics::freshness::State;
use crate::semantics::policy::Policy;
use crate::semantics::range::{self, Selected};
use crate::semantics::{RequestFacts, fields};

/// A request for an image, as the rest of the way needs it.
pub struct Asked<'a> {
    /// GET or HEAD.
    pub method: Method,
    /// What it is for.
    pub key: Key,
    /// The account that owns it.
    pub site: &'a Arc<Site>,
    /// How it is cached.
    pub policy: &'a Arc<Policy>,
    /// The client's fields.
    pub client: HeaderMap,
    /// Those of them that the origin gets, reduced; they select the variant.
    pub forwarded: HeaderMap,
    /// Where interim responses go; HTTP/1.0 knows none (RFC 9110 §15.2).
    pub interim: Option<Interim>,
}

/// How a request counts: each counts once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered from the store.
    Hit,
    /// Answered from a fetch that may be stored, or was shared.
    Miss,
    /// Answered from a fetch for it alone.
    Pass,
    /// Answered by an error of our own.
    Error,
}

impl Proxy {
    /// Answers a request; every error is an answer too.
    pub async fn answer(self: &Arc<Proxy>, request: Request<Incoming>, interim: Interim) -> Reply {
        let interim = Some(interim).filter(|_| request.version() >= Version::HTTP_11);
        let (reply, outcome) = self.serve(request, interim).await;
        self.metrics.requests.increment();
        match outcome {
            Outcome::Hit => self.metrics.hits.increment(),
            Outcome::Miss => self.metrics.misses.increment(),
            Outcome::Pass => self.metrics.passes.increment(),
            Outcome::Error => self.metrics.errors.increment(),
        }
        reply
    }

    async fn serve(
        self: &Arc<Proxy>,
        request: Request<Incoming>,
        interim: Option<Interim>,
    ) -> (Reply, Outcome) {
        if *request.method() == Method::OPTIONS && request.uri().path() == "*" {
            return (reply::options(), Outcome::Pass);
        }
        let located = match gate::admit(&request, &self.endpoints, &self.pseudonym) {
            Ok(located) => located,
            Err(refusal) => return (reply::refusal(&refusal, ""), Outcome::Error),
        };
        let site = &self.sites[located.account];
        let route = self.routes.get(located.route);
        match *request.method() {
            Method::GET | Method::HEAD => {
                let (parts, _) = request.into_parts();
                let forwarded = fields::cacheable_request(&parts.headers, &route.policy);
                let asked = Asked {
                    method: parts.method,
                    key: located.key,
                    site,
                    policy: &route.policy,
                    client: parts.headers,
                    forwarded,
                    interim,
                };
                self.cached(&asked).await
            }
            ref method if route.passes(method) => self.pass(request, located.key, site, &route.policy).await,
            _ => (reply::refusal(&gate::Refusal::Method, &route.allow), Outcome::Error),
        }
    }

    async fn cached(self: &Arc<Proxy>, asked: &Asked<'_>) -> (Reply, Outcome) {
        let reason = match self.cache.look_up(&asked.key, &asked.forwarded) {
            Lookup::Found(variant) => match variant.freshness.judge(self.resident(&variant)) {
                State::Fresh { .. } => return (self.hit(asked, &variant, None), Outcome::Hit),
                State::StaleWhileRevalidate => {
                    self.refresh(asked);
                    let detail = Some(State::StaleWhileRevalidate.as_str());
                    return (self.hit(asked, &variant, detail), Outcome::Hit);
                }
                State::Stale => Forwarded::Stale,
            },
            Lookup::OtherVariants => Forwarded::VaryMiss,
            Lookup::Absent => Forwarded::UriMiss,
        };
        if asked.method == Method::HEAD {
            return self.fetch_head(asked, reason).await;
        }
        self.fetch(asked, reason).await
    }

    /// Renews a stale variant behind the answer that it gave, unless somebody does already.
    fn refresh(self: &Arc<Proxy>, asked: &Asked<'_>) {
        if let Join::Lead(lead, _) = self.cache.join(&asked.key, &asked.forwarded, false) {
            let (handed_over, _) = oneshot::channel();
            self.lead(asked, lead, handed_over, None);
        }
    }

    fn lead(
        self: &Arc<Proxy>,
        asked: &Asked<'_>,
        lead: Lead,
        handed_over: oneshot::Sender<Response<OriginBody>>,
        interim: Option<Offers>,
    ) {
        // A task of its own, so that a client that leaves ends no fetch that is to be stored.
        let fill =
            Fill::new(self.clone(), asked.site.clone(), asked.policy.clone(), lead, handed_over, interim);
        tokio::spawn(fill.run());
    }

    /// Joins a fetch or leads one, and answers from how it lands.
    async fn fetch(self: &Arc<Proxy>, asked: &Asked<'_>, reason: Forwarded) -> (Reply, Outcome) {
        let open = match &asked.interim {
            Some(interim) => Some(interim.open().await),
            None => None,
        };
        let mut alike_alone = false;
        let mut join = self.cache.join(&asked.key, &asked.forwarded, alike_alone);
        loop {
            let (reader, mut handed_over) = match join {
                Join::Lead(lead, reader) => {
                    let (sender, receiver) = oneshot::channel();
                    self.lead(asked, lead, sender, open.as_ref().map(Open::offers));
                    (reader, Some(receiver))
                }
                Join::Follow(reader) => (reader, None),
            };
            let collapsed = handed_over.is_none();
            let landed = match collapsed {
                true => timeout(self.wait_for_others, reader.landing()).await,
                false => Ok(reader.landing().await),
            };
            match landed {
                Ok(Landing::Shared(head)) if head.selection.matches(&asked.forwarded) => {
                    return (self.shared(asked, &head, reader, reason, collapsed), Outcome::Miss);
                }
                Ok(Landing::Renewed(variant)) if variant.selection.matches(&asked.forwarded) => {
                    return (self.renewed(asked, &variant, reason, collapsed), Outcome::Miss);
                }
                Ok(Landing::Stored(variant)) if variant.selection.matches(&asked.forwarded) => {
                    return (self.hit(asked, &variant, None), Outcome::Hit);
                }
                Ok(Landing::Shared(_) | Landing::Stored(_) | Landing::Renewed(_)) => {
                    // Another variant than ours: from now on only a fetch for requests like this one.
                    alike_alone = true;
                    join = self.cache.join(&asked.key, &asked.forwarded, alike_alone);
                }
                Ok(Landing::Failed(failure)) => return self.failed(asked, failure),
                Ok(Landing::Alone) => {
                    if let Some(receiver) = handed_over.take()
                        && let Ok(response) = receiver.await
                    {
                        return (passed(asked, response, reason), Outcome::Pass);
                    }
                    join = self.fetch_alone(asked);
                }
                Err(_elapsed) => join = self.fetch_alone(asked),
            }
        }
    }

    fn fetch_alone(&self, asked: &Asked<'_>) -> Join {
        let (lead, reader) = self.cache.fetch_alone(&asked.key, &asked.forwarded);
        Join::Lead(lead, reader)
    }

    /// HEAD of what is not stored: the origin is asked, and nothing is kept (RFC 9110 §9.3.2).
    async fn fetch_head(self: &Arc<Proxy>, asked: &Asked<'_>, reason: Forwarded) -> (Reply, Outcome) {
        let ask = self.ask(Method::HEAD, &asked.key, asked.forwarded.clone());
        let response = match self.exchange(asked.site, ask).await {
            Ok(response) => response,
            Err(failure) => return self.failed(asked, failure),
        };
        match response.status() {
            // Neither was asked for.
            StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT => {
                self.failed(asked, Failure::BadResponse)
            }
            status if stands_in_for(status) && self.may_stand_in(asked) => {
                self.failed(asked, Failure::ServerError)
            }
            _ => (self.head(asked, &response, reason), Outcome::Pass),
        }
    }

    /// The origin's own answer to HEAD, or 304 to a client that has what it speaks of.
    fn head(&self, asked: &Asked<'_>, response: &Response<OriginBody>, reason: Forwarded) -> Reply {
        let wall = self.cache.clock().wall();
        let fields = fields::forwarded(response.headers(), asked.policy);
        let validators = Validators::read(&fields, wall);
        let whole =
            Whole { status: response.status(), fields: &fields, validators: &validators, bytes: None };
        let status = Some(response.status());
        let outcome = Handled::Forwarded { reason, status, stored: false, collapsed: false };
        whole.answer(asked, wall, None, CacheStatus { outcome, ttl: None, detail: None }, |_| {
            ReplyBody::empty()
        })
    }

    /// Whether something stored may be used in place of an error.
    fn may_stand_in(&self, asked: &Asked<'_>) -> bool {
        match self.cache.look_up(&asked.key, &asked.forwarded) {
            Lookup::Found(variant) => variant.freshness.usable_on_error(self.resident(&variant)),
            Lookup::OtherVariants | Lookup::Absent => false,
        }
    }

    /// No usable answer came: what is stored, where it may be used (RFC 5861 §4), or an error. The look-up is
    /// made now, so that what was purged since the request came is not resurrected.
    fn failed(&self, asked: &Asked<'_>, failure: Failure) -> (Reply, Outcome) {
        if let Lookup::Found(variant) = self.cache.look_up(&asked.key, &asked.forwarded)
            && variant.freshness.usable_on_error(self.resident(&variant))
        {
            return (self.hit(asked, &variant, Some(failure.as_str())), Outcome::Hit);
        }
        (reply::failure(failure), Outcome::Error)
    }

    fn resident(&self, variant: &Variant) -> Duration {
        self.cache.now().since(variant.received)
    }

    fn hit(&self, asked: &Asked<'_>, variant: &Variant, detail: Option<&'static str>) -> Reply {
        let ttl = Some(variant.freshness.ttl(self.resident(variant)));
        self.answer_from(asked, variant, CacheStatus { outcome: Handled::Hit, ttl, detail })
    }

    fn renewed(&self, asked: &Asked<'_>, variant: &Variant, reason: Forwarded, collapsed: bool) -> Reply {
        let status = Some(StatusCode::NOT_MODIFIED);
        let outcome = Handled::Forwarded { reason, status, stored: true, collapsed };
        self.answer_from(asked, variant, CacheStatus { outcome, ttl: None, detail: None })
    }

    /// An answer from a whole stored response.
    fn answer_from(&self, asked: &Asked<'_>, variant: &Variant, cache_status: CacheStatus) -> Reply {
        let whole = Whole {
            status: variant.status,
            fields: &variant.fields,
            validators: &variant.validators,
            bytes: Some(variant.body.bytes()),
        };
        let age = variant.freshness.age(self.resident(variant));
        whole.answer(asked, self.cache.clock().wall(), Some(age), cache_status, |part| {
            ReplyBody::stored(variant.body.clone(), part.unwrap_or(0..variant.body.bytes()))
        })
    }

    /// An answer from a response whose body is still arriving.
    fn shared(
        &self,
        asked: &Asked<'_>,
        head: &Head,
        reader: Reader,
        reason: Forwarded,
        collapsed: bool,
    ) -> Reply {
        let status = Some(head.status);
        let outcome = Handled::Forwarded { reason, status, stored: head.stored, collapsed };
        let cache_status = CacheStatus { outcome, ttl: None, detail: None };
        let whole = Whole {
            status: head.status,
            fields: &head.fields,
            validators: &head.validators,
            bytes: head.bytes,
        };
        let age = Some(head.age).filter(|age| *age > 0);
        whole.answer(asked, self.cache.clock().wall(), age, cache_status, |part| match part {
            Some(part) => {
                let bytes = part.end - part.start;
                ReplyBody::shared(reader.narrow(part), Some(bytes))
            }
            None => ReplyBody::shared(reader, head.bytes),
        })
    }
}

/// An answer that is the origin's own, for this request alone.
fn passed(asked: &Asked<'_>, response: Response<OriginBody>, reason: Forwarded) -> Reply {
    let (parts, body) = response.into_parts();
    let mut fields = fields::forwarded(&parts.headers, asked.policy);
    let status = Some(parts.status);
    let outcome = Handled::Forwarded { reason, status, stored: false, collapsed: false };
    fields.append("cache-status", CacheStatus { outcome, ttl: None, detail: None }.value());
    reply::new(parts.status, fields, ReplyBody::passed(body))
}

/// A whole response, wherever its body is: what a client gets of it is decided by its fields.
struct Whole<'a> {
    status: StatusCode,
    fields: &'a HeaderMap,
    validators: &'a Validators,
    bytes: Option<u64>,
}

impl Whole<'_> {
    /// RFC 9110 §13.2.2: conditions first, then the range.
    fn answer(
        &self,
        asked: &Asked<'_>,
        now: SystemTime,
        age: Option<u64>,
        cache_status: CacheStatus,
        body: impl FnOnce(Option<Range<u64>>) -> ReplyBody,
    ) -> Reply {
        let request = RequestFacts { method: &asked.method, headers: &asked.client };
        let (status, mut fields, body) =
            if self.validators.answer(&request, self.status, now) == Answer::NotModified {
                (StatusCode::NOT_MODIFIED, conditional::not_modified_fields(self.fields), ReplyBody::empty())
            } else if asked.method == Method::HEAD {
                let mut fields = self.fields.clone();
                fields.extend(self.bytes.map(|bytes| (header::CONTENT_LENGTH, bytes.into())));
                (self.status, fields, ReplyBody::empty())
            } else {
                self.part(&request, now, body)
            };
        fields.extend(age.map(|age| (header::AGE, age.into())));
        fields.append("cache-status", cache_status.value());
        reply::new(status, fields, body)
    }

    /// What Range asks for, or all. Several ranges get all: RFC 9110 §14.2 lets a server ignore the field.
    fn part(
        &self,
        request: &RequestFacts<'_>,
        now: SystemTime,
        body: impl FnOnce(Option<Range<u64>>) -> ReplyBody,
    ) -> (StatusCode, HeaderMap, ReplyBody) {
        let Some(length) = self.bytes else { return (self.status, self.fields.clone(), body(None)) };
        match range::select(request, self.status, self.validators, length, now) {
            Selected::Full | Selected::Several(_) => (self.status, self.fields.clone(), body(None)),
            Selected::Single(part) => {
                let mut fields = self.fields.clone();
                fields.insert(header::CONTENT_RANGE, range::content_range(&part, length));
                (StatusCode::PARTIAL_CONTENT, fields, body(Some(part)))
            }
            Selected::Unsatisfiable => {
                let mut fields = HeaderMap::new();
                fields.insert(header::CONTENT_RANGE, range::content_range_unsatisfied(length));
                fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                (StatusCode::RANGE_NOT_SATISFIABLE, fields, ReplyBody::empty())
            }
        }
    }
}
