//! A request, from top to bottom: gate → route → look-up → reply, or → a fetch and its reply.
//!
//! Hit: look-up → conditional → range → reply, without a lock or a task. Miss: join a flight or lead one →
//! its head → reply, whose body streams as the fetch brings it. The fetch itself is `fill.rs`, the making of
//! answers `answer.rs`; HEAD of what is not fresh is `head.rs`.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use http::header;
use http::{HeaderMap, Method, Request, Version};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::answer::passed;
use super::arrival::TOO_LARGE;
use super::fill::{Errand, Fill, HandedOver};
use super::interim::{self, Interim, Offers, Open};
use super::purge_method::{self, PurgeCall, PurgeDoor};
use super::reply::{self, Reply};
use super::request_id::RequestName;
use super::{Proxy, Site, gate};
use crate::cache::{Cache, Failure, Join, Landing, Lead, Lookup, Variant};
use crate::clock::{Clock, Moment};
use crate::key::Key;
use crate::semantics::cache_control::RequestDirectives;
use crate::semantics::cache_status::Forwarded;
use crate::semantics::freshness::State;
use crate::semantics::policy::Policy;
use crate::semantics::{RequestFacts, fields, range};
use crate::telemetry::trail::Trail;

/// A request for an image, as the rest of the way needs it.
pub struct Asked {
    /// GET or HEAD.
    pub method: Method,
    /// What it is for.
    pub key: Key,
    /// The account that owns it.
    pub site: Arc<Site>,
    /// How it is cached.
    pub policy: Arc<Policy>,
    /// The client's fields.
    pub client: HeaderMap,
    /// See [`Asked::forwarded`].
    pub forwarded: OnceLock<HeaderMap>,
    /// What the client asks of a cache, where the route honours it.
    pub wanted: RequestDirectives,
    /// Its name.
    pub request_id: RequestName,
    /// Where interim responses go.
    pub interim: Option<Interim>,
    /// Who keeps what is learned of it, where it is not answered at once.
    pub trail: Option<Arc<Trail>>,
}

impl Asked {
    /// Those of the client's fields that the origin gets, reduced; they select the variant. Made when first asked
    /// for: a hit on what answers every request needs none.
    pub fn forwarded(&self) -> &HeaderMap {
        self.forwarded.get_or_init(|| fields::cacheable_request(&self.client, &self.policy))
    }

    /// Takes interim responses from a fetch that is for this request, until the answer is made.
    pub(super) async fn open_interim(&self) -> Option<Open> {
        interim::open(self.interim.as_ref()).await
    }

    /// What is stored for it.
    fn look_up(&self, cache: &Cache) -> Lookup {
        cache.look_up_by(&self.key, |variant| variant.selects_by(|| self.forwarded()))
    }

    /// Whether what it gets depends on what the client has, or is a part.
    pub(super) fn is_conditional(&self) -> bool {
        let names = [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::RANGE];
        names.iter().any(|name| self.client.contains_key(name))
    }

    /// Whether it gets the whole of what is stored, whatever that is.
    pub(super) fn wants_the_whole(&self) -> bool {
        self.method == Method::GET && !self.is_conditional()
    }

    /// Whether the fetch was of the whole, while the client wants a part.
    fn range_was_kept_back(&self) -> bool {
        self.client.contains_key(header::RANGE) && !self.forwarded().contains_key(header::RANGE)
    }

    /// Whether a stored response has all that is asked for, or says that there is nothing of it.
    fn is_held_by(&self, variant: &Arc<Variant>, clock: &Clock) -> bool {
        let Some(part) = variant.body().part() else { return true };
        let request = RequestFacts { method: &self.method, headers: &self.client };
        let wall = clock.wall();
        let (status, validators) = (variant.status(), variant.validators(wall));
        part.answers(&range::select(&request, status, &validators, part.complete, wall))
    }
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

impl Outcome {
    /// The word for it, in the access log; the metrics have the same.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Hit => "hit",
            Outcome::Miss => "miss",
            Outcome::Pass => "pass",
            Outcome::Error => "error",
        }
    }
}

/// An answer: of a hit or a refusal at once, of anything else by and by. What waits is boxed, so that a hit moves
/// none of the room that a fetch needs.
#[allow(clippy::large_enum_variant, reason = "what is at once is a hit: boxed it would cost an allocation")]
pub enum Answering {
    /// It is there.
    AtOnce(Option<Reply>),
    /// It comes.
    ByAndBy(Pin<Box<dyn Future<Output = Reply> + Send>>),
}

impl Future for Answering {
    type Output = Reply;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Reply> {
        match self.get_mut() {
            Answering::AtOnce(reply) => Poll::Ready(reply.take().expect("a future is ready once")),
            Answering::ByAndBy(answer) => answer.as_mut().poll(context),
        }
    }
}

/// What goes along with a request that is not answered at once.
pub struct Escort {
    /// Where interim responses go.
    pub interim: Option<Interim>,
    /// Who keeps what is learned of it.
    pub trail: Option<Arc<Trail>>,
}

/// What becomes of a request.
enum Course {
    /// It is answered.
    Answered(Reply, Outcome),
    /// The origin is asked for it, for this reason.
    Fetch(Asked, Forwarded),
    /// It wants nothing kept.
    Bypass(Asked),
    /// A method that the cache doesn't answer.
    Pass(Request<Incoming>, Key, Arc<Site>, Arc<Policy>),
    /// A PURGE, and who answers it.
    Purge(PurgeCall, Arc<dyn PurgeDoor>),
}

impl Proxy {
    /// Answers a request whose head was complete at `begun`; every error is an answer too. `trail` keeps what is
    /// learned of it, if somebody wants to know.
    pub fn answer(
        self: &Arc<Proxy>,
        request: Request<Incoming>,
        peer: IpAddr,
        interim: &Interim,
        begun: Instant,
        trail: Option<&Arc<Trail>>,
    ) -> Answering {
        let request_id = self.lasting.request_ids.name(request.headers());
        // HTTP/1.0 knows no interim responses (RFC 9110 §15.2); over HTTP/2 none are sent.
        let takes_interim = request.version() == Version::HTTP_11;
        let now = self.cache.clock().at(begun);
        let course = match self.course(request, peer, request_id, now, trail) {
            Course::Answered(reply, outcome) => {
                return Answering::AtOnce(Some(self.account(reply, outcome, &request_id, trail)));
            }
            course => course,
        };
        let (proxy, trail) = (self.clone(), trail.cloned());
        let escort = Escort { interim: takes_interim.then(|| interim.clone()), trail: trail.clone() };
        Answering::ByAndBy(Box::pin(async move {
            let (reply, outcome) = proxy.follow(course, &request_id, escort).await;
            proxy.account(reply, outcome, &request_id, trail.as_ref())
        }))
    }

    /// Counts an answer, and names its request.
    pub(super) fn account(
        &self,
        mut reply: Reply,
        outcome: Outcome,
        request_id: &RequestName,
        trail: Option<&Arc<Trail>>,
    ) -> Reply {
        if let Some(trail) = trail {
            trail.counts_as(outcome.as_str(), request_id.as_str());
        }
        if outcome != Outcome::Hit {
            reply::name(&mut reply, request_id); // A hit's is made with its other values.
        }
        self.metrics.requests.increment();
        match outcome {
            Outcome::Hit => self.metrics.hits.increment(),
            Outcome::Miss => self.metrics.misses.increment(),
            Outcome::Pass => self.metrics.passes.increment(),
            Outcome::Error => {
                self.metrics.errors.increment();
                let (status, id) = (reply.status(), request_id.as_str());
                tracing::debug!(request = id, %status, "answered by an error");
            }
        }
        reply
    }

    /// The gate, the route, the look-up.
    fn course(
        self: &Arc<Proxy>,
        request: Request<Incoming>,
        peer: IpAddr,
        request_id: RequestName,
        now: Moment,
        trail: Option<&Arc<Trail>>,
    ) -> Course {
        if *request.method() == Method::OPTIONS && request.uri().path() == "*" {
            return Course::Answered(reply::options(), Outcome::Pass);
        }
        let located = match gate::admit(&request, &self.endpoints, &self.lasting.pseudonym) {
            Ok(located) => located,
            Err(refusal) => {
                return Course::Answered(reply::refusal(&refusal, reply::ALLOWED), Outcome::Error);
            }
        };
        let site = &self.sites[located.account];
        if let Some(trail) = trail {
            trail.belongs_to(&site.id);
        }
        let route = self.routes.get(located.route);
        match *request.method() {
            Method::GET | Method::HEAD => {
                let (parts, _) = request.into_parts();
                let wanted = match route.policy.request_directives {
                    true => RequestDirectives::read(&parts.headers),
                    false => RequestDirectives::default(),
                };
                let asked = Asked {
                    method: parts.method,
                    key: located.key,
                    site: site.clone(),
                    policy: route.policy.clone(),
                    client: parts.headers,
                    forwarded: OnceLock::new(),
                    wanted,
                    request_id,
                    interim: None,
                    trail: None,
                };
                self.look_up(asked, now)
            }
            _ if purge_method::is_purge(&request)
                && let Some(door) = self.purge_door() =>
            {
                match purge_method::read(request, &site.id, peer) {
                    Ok(call) => Course::Purge(call, door.clone()),
                    Err(refusal) => Course::Answered(reply::refusal(&refusal, &route.allow), Outcome::Error),
                }
            }
            ref method if route.passes(method) => {
                Course::Pass(request, located.key, site.clone(), route.policy.clone())
            }
            _ => Course::Answered(reply::refusal(&gate::Refusal::Method, &route.allow), Outcome::Error),
        }
    }

    fn look_up(self: &Arc<Proxy>, asked: Asked, now: Moment) -> Course {
        if asked.wanted.no_store {
            return Course::Bypass(asked);
        }
        let reason = match asked.look_up(&self.cache) {
            Lookup::Found(variant) => {
                let held = asked.is_held_by(&variant, self.cache.clock());
                match variant.state(now, &asked.wanted) {
                    State::Fresh { .. } if held => {
                        let reply = self.hit(&asked, &variant, now, None);
                        asked.key.recycle();
                        return Course::Answered(reply, Outcome::Hit);
                    }
                    State::StaleWhileRevalidate if held => {
                        self.refresh(&asked);
                        let detail = Some(State::StaleWhileRevalidate.as_str());
                        return Course::Answered(self.hit(&asked, &variant, now, detail), Outcome::Hit);
                    }
                    State::Stale if variant.is_fresh(now) => Forwarded::Request,
                    State::Stale => Forwarded::Stale,
                    State::Fresh { .. } | State::StaleWhileRevalidate => Forwarded::Partial,
                }
            }
            Lookup::OtherVariants => Forwarded::VaryMiss,
            Lookup::Absent => Forwarded::UriMiss,
        };
        if asked.wanted.only_if_cached {
            return Course::Answered(reply::only_if_cached(), Outcome::Error); // RFC 9111 §5.2.1.7.
        }
        Course::Fetch(asked, reason)
    }

    /// What is not answered at once.
    async fn follow(
        self: &Arc<Proxy>,
        course: Course,
        request_id: &RequestName,
        escort: Escort,
    ) -> (Reply, Outcome) {
        let Escort { interim, trail } = escort;
        match course {
            Course::Answered(reply, outcome) => (reply, outcome),
            Course::Fetch(asked, reason) => {
                let asked = Asked { interim, trail, ..asked };
                match asked.method {
                    Method::HEAD => self.fetch_head(&asked, reason).await,
                    _ => self.fetch(&asked, reason).await,
                }
            }
            Course::Bypass(asked) => self.bypass(&Asked { interim, trail, ..asked }).await,
            Course::Pass(request, key, site, policy) => {
                self.pass(request, key, &site, &policy, request_id, Escort { interim, trail }).await
            }
            Course::Purge(call, door) => {
                let reply = purge_method::answered(door.purge(call).await);
                let outcome = if reply.status().is_success() { Outcome::Pass } else { Outcome::Error };
                (reply, outcome)
            }
        }
    }

    /// Renews a stale variant behind the answer that it gave, unless somebody does already, or did lately.
    fn refresh(self: &Arc<Proxy>, asked: &Asked) {
        if self.lasting.refreshes.begin(&asked.key, self.cache.now())
            && let Join::Lead(lead, _) = self.cache.join(&asked.key, asked.forwarded(), false)
        {
            let (handed_over, _) = oneshot::channel();
            self.lead(asked, RequestDirectives::default(), lead, handed_over, None);
        }
    }

    fn lead(
        self: &Arc<Proxy>,
        asked: &Asked,
        wanted: RequestDirectives,
        lead: Lead,
        handed_over: oneshot::Sender<HandedOver>,
        interim: Option<Offers>,
    ) {
        let errand = Errand {
            site: asked.site.clone(),
            policy: asked.policy.clone(),
            wanted,
            request_id: asked.request_id,
            interim,
            trail: asked.trail.clone(),
        };
        // A task of its own, so that a client that leaves ends no fetch that is to be stored.
        tokio::spawn(Fill::new(self.clone(), errand, lead, handed_over).run());
    }

    /// Joins a fetch or leads one, and answers from how it lands.
    async fn fetch(self: &Arc<Proxy>, asked: &Asked, reason: Forwarded) -> (Reply, Outcome) {
        let open = asked.open_interim().await;
        let mut alike_alone = false;
        let mut join = match reason {
            // What it wants of the answer, others' fetches don't promise.
            Forwarded::Request => self.fetch_alone(asked),
            _ => self.cache.join(&asked.key, asked.forwarded(), alike_alone),
        };
        loop {
            let (reader, mut handed_over) = match join {
                Join::Lead(lead, reader) => {
                    let (sender, receiver) = oneshot::channel();
                    let interim = open.as_ref().map(Open::offers);
                    self.lead(asked, asked.wanted.clone(), lead, sender, interim);
                    (reader, Some(receiver))
                }
                Join::Follow(reader) => {
                    self.metrics.joined.increment();
                    (reader, None)
                }
            };
            let collapsed = handed_over.is_none();
            let landed = match collapsed {
                true => timeout(self.wait_for_others, reader.landing()).await,
                false => Ok(reader.landing().await),
            };
            match landed {
                Ok(Landing::Shared(head)) if head.selection.matches(asked.forwarded()) => {
                    return (self.shared(asked, &head, reader, reason, collapsed), Outcome::Miss);
                }
                Ok(Landing::Renewed(variant)) if variant.selects(asked.forwarded()) => {
                    return (self.renewed(asked, &variant, reason, collapsed), Outcome::Miss);
                }
                Ok(Landing::Stored(variant)) if variant.selects(asked.forwarded()) => {
                    return (self.hit(asked, &variant, self.cache.now(), None), Outcome::Hit);
                }
                Ok(Landing::Shared(_) | Landing::Stored(_) | Landing::Renewed(_)) => {
                    // Another variant than ours: from now on only a fetch for requests like this one.
                    alike_alone = true;
                    join = self.cache.join(&asked.key, asked.forwarded(), alike_alone);
                }
                Ok(Landing::Failed(failure)) => return self.failed(asked, failure),
                Ok(Landing::Alone) => {
                    if let Some(receiver) = handed_over.take()
                        && let Ok(HandedOver { response, reason: detail }) = receiver.await
                    {
                        if detail == TOO_LARGE && asked.range_was_kept_back() {
                            drop(response);
                            return self.pass_range(asked, reason).await;
                        }
                        return (passed(asked, response, reason, detail), Outcome::Pass);
                    }
                    join = self.fetch_alone(asked);
                }
                Err(_elapsed) => join = self.fetch_alone(asked),
            }
        }
    }

    fn fetch_alone(&self, asked: &Asked) -> Join {
        let (lead, reader) = self.cache.fetch_alone(&asked.key, asked.forwarded());
        Join::Lead(lead, reader)
    }

    /// A range of what is too large to be stored: the origin is asked for it, for this client alone.
    async fn pass_range(&self, asked: &Asked, reason: Forwarded) -> (Reply, Outcome) {
        let mut fields = asked.forwarded().clone();
        for name in [header::RANGE, header::IF_RANGE] {
            for value in asked.client.get_all(&name) {
                fields.append(&name, value.clone());
            }
        }
        let mut ask = self.ask(Method::GET, &asked.key, fields);
        ask.trail = asked.trail.clone();
        match self.exchange(&asked.site, ask, &asked.request_id).await {
            Ok(response) => (passed(asked, response, reason, TOO_LARGE), Outcome::Pass),
            Err(failure) => {
                self.metrics.fetch_failures.increment(failure.as_str());
                self.failed(asked, failure)
            }
        }
    }

    /// A request that wants nothing of it kept, and nothing kept for it (RFC 9111 §5.2.1.5).
    async fn bypass(&self, asked: &Asked) -> (Reply, Outcome) {
        let open = asked.open_interim().await;
        let mut ask = self.ask(asked.method.clone(), &asked.key, asked.forwarded().clone());
        ask.interim = open.as_ref().map(Open::offers);
        ask.trail = asked.trail.clone();
        match self.exchange(&asked.site, ask, &asked.request_id).await {
            Ok(response) => (passed(asked, response, Forwarded::Bypass, "request-no-store"), Outcome::Pass),
            Err(failure) => {
                self.metrics.fetch_failures.increment(failure.as_str());
                (reply::failure(failure), Outcome::Error)
            }
        }
    }

    /// Whether something stored may be used in place of an error.
    pub(super) fn may_stand_in(&self, asked: &Asked) -> bool {
        self.stand_in(asked).is_some()
    }

    /// No usable answer came: what is stored, where it may be used (RFC 5861 §4), or an error.
    pub(super) fn failed(&self, asked: &Asked, failure: Failure) -> (Reply, Outcome) {
        match self.stand_in(asked) {
            Some(variant) => {
                let detail = Some(failure.as_str());
                (self.hit(asked, &variant, self.cache.now(), detail), Outcome::Hit)
            }
            None => (reply::failure(failure), Outcome::Error),
        }
    }

    /// What is stored and may be used in place of an error. The look-up is made now, so that what was purged
    /// since the request came is not resurrected.
    fn stand_in(&self, asked: &Asked) -> Option<Arc<Variant>> {
        match asked.look_up(&self.cache) {
            Lookup::Found(variant) => {
                let now = self.cache.now();
                let usable = variant.freshness(now).usable_on_error(variant.age_at(now), &asked.wanted)
                    && asked.is_held_by(&variant, self.cache.clock());
                usable.then_some(variant)
            }
            Lookup::OtherVariants | Lookup::Absent => None,
        }
    }
}
