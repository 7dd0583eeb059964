//! One fetch of one key, from the ticket to the origin's answer; what becomes of that is `arrival.rs`.
//!
//! Runs in a task of its own. The order is the discipline's: the lead holds its ticket before this starts;
//! only then the store is asked for what may be revalidated or completed; only then something goes to the
//! origin. What comes is committed before its last byte is shown, so that whoever has read it all finds it stored.

use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use tokio::sync::oneshot;

use super::arrival::Course;
use super::interim::Offers;
use super::origin_body::OriginBody;
use super::request_id::RequestName;
use super::{Proxy, Site};
use crate::cache::{Body, Commit, Failure, Landing, Lead, Lookup, Variant};
use crate::clock::Moment;
use crate::key::Key;
use crate::semantics::cache_control::RequestDirectives;
use crate::semantics::freshness::State;
use crate::semantics::policy::Policy;
use crate::semantics::range::{self, Completion, Part};
use crate::semantics::{self, Confirmation, Held, Renewal, RequestFacts};
use crate::target::{Tag, Tags};
use crate::telemetry::trail::Trail;

/// Whom a fetch is for, and by which rules.
#[derive(Clone)]
pub struct Errand {
    /// The account.
    pub site: Arc<Site>,
    /// How it is cached.
    pub policy: Arc<Policy>,
    /// What the client asks of a cache, where the route honours it.
    pub wanted: RequestDirectives,
    /// The name of the request that led.
    pub request_id: RequestName,
    /// Where interim responses go: to the client that led.
    pub interim: Option<Offers>,
    /// Who keeps what is learned of that request.
    pub trail: Option<Arc<Trail>>,
}

impl Errand {
    /// The request's name, for the log.
    pub fn request(&self) -> &str {
        self.request_id.as_str()
    }
}

/// A response that can't be shared, and why it is not stored.
pub struct HandedOver {
    /// The response.
    pub response: Response<OriginBody>,
    /// The reason, a token.
    pub reason: &'static str,
}

/// See the module.
pub struct Fill {
    pub(super) proxy: Arc<Proxy>,
    pub(super) errand: Errand,
    pub(super) lead: Lead,
    /// What the origin is asked about.
    pub(super) base: Option<Arc<Variant>>,
    pub(super) handed_over: oneshot::Sender<HandedOver>,
}

/// What is done about a stored variant.
enum Approach {
    /// It answers as it is: another fetch has stored it meanwhile.
    Serve,
    /// The origin is asked whether it still holds.
    Validate,
    /// The origin is asked for what it lacks, by its strong tag if it has one.
    Complete(Completion, Option<HeaderValue>),
    /// It is of no use.
    Replace,
}

impl Fill {
    /// A fetch for `lead`; a response that can't be shared goes to `handed_over`, to the client that led.
    pub fn new(
        proxy: Arc<Proxy>,
        errand: Errand,
        lead: Lead,
        handed_over: oneshot::Sender<HandedOver>,
    ) -> Fill {
        Fill { proxy, errand, lead, base: None, handed_over }
    }

    /// Fetches, tells the flight, and stores.
    pub async fn run(mut self) {
        let base = match self.proxy.cache.look_up(self.lead.key(), self.lead.fields()) {
            Lookup::Found(variant) => variant,
            Lookup::OtherVariants | Lookup::Absent => return self.replace().await,
        };
        match self.approach(&base) {
            Approach::Serve => {
                self.lead.land(Landing::Stored(base));
                self.lead.finish(Ok(()));
            }
            Approach::Validate => {
                self.base = Some(base.clone());
                self.validate(base).await;
            }
            Approach::Complete(completion, tag) => {
                self.base = Some(base.clone());
                self.complete(base, completion, tag).await;
            }
            Approach::Replace => self.replace().await,
        }
    }

    fn approach(&self, base: &Arc<Variant>) -> Approach {
        let request = RequestFacts { method: &Method::GET, headers: self.lead.fields() };
        let wall = self.proxy.cache.clock().wall();
        let (part, validators) = (base.body().part(), base.validators(wall));
        let selected =
            range::select(&request, base.status(), &validators, base.body().complete_bytes(), wall);
        let holds = part.is_none_or(|part| part.answers(&selected));
        let state = base.state(self.proxy.cache.now(), &self.errand.wanted);
        let fresh = matches!(state, State::Fresh { .. });
        match (fresh, holds) {
            (true, true) => Approach::Serve,
            (false, true) => Approach::Validate,
            (false, false) => Approach::Replace,
            (true, false) => {
                let completion = part.and_then(|part| part.completed_for(&selected));
                let tag = validators.strong_tag().cloned();
                completion.map_or(Approach::Replace, |completion| Approach::Complete(completion, tag))
            }
        }
    }

    async fn exchange(&self, asked: HeaderMap) -> Result<Response<OriginBody>, Failure> {
        let mut ask = self.proxy.ask(Method::GET, self.lead.key(), asked);
        ask.interim = self.errand.interim.clone();
        ask.trail = self.errand.trail.clone();
        self.proxy.exchange(&self.errand.site, ask, &self.errand.request_id).await
    }

    /// Asks whether what is stored still holds (RFC 9111 §4.3).
    async fn validate(self, base: Arc<Variant>) {
        let sent = self.proxy.cache.now();
        let mut asked = self.lead.fields().clone();
        base.validators(self.proxy.cache.clock().wall()).ask(&mut asked);
        // About the whole: what is held answers the range.
        asked.remove(header::RANGE);
        asked.remove(header::IF_RANGE);
        let response = match self.exchange(asked).await {
            Ok(response) => response,
            Err(failure) => return self.fail(failure),
        };
        let received = self.proxy.cache.now();
        let delay = received.since(sent);
        let usable = base.freshness(received).usable_on_error(base.age_at(received), &self.errand.wanted);
        match response.status() {
            StatusCode::NOT_MODIFIED => {
                match self.renewal(&base, Confirmation::NotModified, response.headers(), delay) {
                    // It spoke of another response than ours: asked again, for the whole.
                    Renewal::Mismatch => {
                        self.proxy.cache.discard(&self.lead, &base);
                        self.replace().await;
                    }
                    renewal => self.renew(&base, renewal, received),
                }
            }
            StatusCode::PARTIAL_CONTENT => self.fail(Failure::BadResponse), // Not asked for.
            status if stands_in_for(status) && usable => {
                self.fail(Failure::ServerError);
            }
            _ => self.received(response, received, delay).await,
        }
    }

    /// Asks for what a held part lacks, if it is still a part of the same (RFC 9111 §3.4); both together are then
    /// one body on its way. Without a strong tag they are never joined: an origin that answers with the whole has
    /// saved nothing and cost nothing, one that answers with the rest is asked once more, and the part forgotten.
    async fn complete(mut self, base: Arc<Variant>, completion: Completion, tag: Option<HeaderValue>) {
        let sent = self.proxy.cache.now();
        let mut asked = self.lead.fields().clone();
        asked.insert(header::RANGE, completion.range());
        asked.remove(header::IF_RANGE);
        asked.extend(tag.map(|tag| (header::IF_RANGE, tag)));
        let response = match self.exchange(asked).await {
            Ok(response) => response,
            Err(failure) => return self.fail(failure),
        };
        let received = self.proxy.cache.now();
        let delay = received.since(sent);
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {}
            // An answer to the range that we made, not to the client's.
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::NOT_MODIFIED => {
                drop(response);
                self.proxy.cache.discard(&self.lead, &base);
                return self.replace().await;
            }
            _ => return self.received(response, received, delay).await,
        }
        let is_missing = Part::read(response.headers()).is_some_and(|part| completion.is(&part))
            && self
                .length(&response)
                .is_none_or(|length| length == completion.missing.end - completion.missing.start);
        let renewal = self.renewal(&base, Confirmation::Part, response.headers(), delay);
        let (Renewal::Renewed(mut fill), true) = (renewal, is_missing) else {
            // A part of something else, or no more to be stored: asked again, as the client asked.
            drop(response);
            self.proxy.cache.discard(&self.lead, &base);
            self.base = None;
            return self.replace().await;
        };
        let held_first = completion.missing.start > 0
            && base.body().part().is_some_and(|part| part.range.end == completion.missing.start);
        let combined = completion.combined;
        let whole = combined.range == (0..combined.complete);
        let mut head =
            self.head(StatusCode::PARTIAL_CONTENT, &fill, Some(combined.range.end - combined.range.start));
        head.part = (!whole).then(|| combined.clone());
        fill.part = Some(combined);
        let held = Some(base.body().clone());
        let (before, after) = if held_first { (held, None) } else { (None, held) };
        self.lead.learn(tags(self.lead.key(), &fill).with(base.tags()));
        let course = Course { storing: Some(*fill), before, after, received };
        self.stream(head, response.into_body(), course).await;
    }

    fn renewal(
        &self,
        base: &Arc<Variant>,
        what: Confirmation,
        update: &HeaderMap,
        delay: Duration,
    ) -> Renewal {
        let wall = self.proxy.cache.clock().wall();
        let (fields, validators) = (base.fields(), base.validators(wall));
        let held = Held { status: base.status(), fields: &fields, validators: &validators };
        semantics::renew(self.lead.fields(), &held, what, update, &self.errand.policy, wall, delay)
    }

    /// A 304: the stored response is good, with the fields that came (RFC 9111 §4.3.4).
    fn renew(mut self, base: &Arc<Variant>, renewal: Renewal, received: Moment) {
        let renewed = match renewal {
            Renewal::Renewed(fill) => {
                self.lead.learn(tags(self.lead.key(), &fill).with(base.tags()));
                let variant = self.variant(base.status(), &fill, base.body().clone(), received);
                variant.count_on(base);
                self.commit(&variant);
                variant
            }
            Renewal::Spent { fields, reason } => {
                let (request, reason) = (self.errand.request(), reason.as_str());
                tracing::debug!(key = %self.lead.key(), request, reason, "not stored again");
                self.proxy.cache.discard(&self.lead, base);
                Arc::new(self.proxy.cache.with_fields(base, &fields))
            }
            Renewal::Mismatch => unreachable!("it is asked for again, see `validate`"),
        };
        self.lead.land(Landing::Renewed(renewed));
        self.lead.finish(Ok(()));
    }

    /// Asks as the client did: for the whole, or for a part where the route passes Range on.
    async fn replace(self) {
        let sent = self.proxy.cache.now();
        match self.exchange(self.lead.fields().clone()).await {
            Ok(response) => {
                let received = self.proxy.cache.now();
                self.received(response, received, received.since(sent)).await;
            }
            Err(failure) => self.fail(failure),
        }
    }

    pub(super) fn variant(
        &self,
        status: StatusCode,
        fill: &semantics::Fill,
        body: Body,
        received: Moment,
    ) -> Arc<Variant> {
        let tags = tags(self.lead.key(), fill);
        self.proxy.cache.variant(&self.lead, status, fill, tags, body, received)
    }

    pub(super) fn commit(&self, variant: &Arc<Variant>) {
        match self.proxy.cache.commit(&self.lead, variant.clone()) {
            Commit::Stored => {
                self.proxy.metrics.stored.increment();
                self.proxy.lasting.refreshes.succeeded(self.lead.key());
            }
            Commit::Purged => self.proxy.metrics.not_stored_purged.increment(),
        }
    }

    pub(super) fn fail(mut self, failure: Failure) {
        self.proxy.metrics.fetch_failures.increment(failure.as_str());
        self.lead.land(Landing::Failed(failure));
        self.lead.finish(Err(failure));
    }
}

/// What a response may be purged by, beside its key.
pub fn tags(key: &Key, fill: &semantics::Fill) -> Tags {
    let tag = |group| Tag::new(key.account(), group).expect("semantics::fill keeps no other group");
    Tags::new(fill.groups.iter().map(|group| tag(group))).expect("semantics::fill keeps no more groups")
}

/// The statuses that a stale response stands in for (RFC 5861 §4).
pub fn stands_in_for(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bytes::Bytes;

    use super::*;
    use crate::cache::Cache;
    use crate::clock::Clock;
    use crate::config::{self, Origin, Sources};
    use crate::key::Endpoints;
    use crate::semantics::fields;

    /// Nothing listens at its origin: whoever asks it fails.
    const CONFIG: &str = "[[accounts]]\nid = \"a\"\nprivate_keys = [\"0123456789abcdef\"]\n\
                          url_endpoints = [\"http://img.test\"]\norigin = \"http://127.0.0.1:9\"\n";

    #[tokio::test]
    async fn what_another_fetch_stored_meanwhile_is_taken_and_the_origin_is_not_asked() {
        let sources = Sources { variable: &|_| None, folder: Path::new("/"), cores: 1 };
        let config = config::parse(CONFIG, "the test's config", &sources).unwrap();
        let endpoints = Arc::new(Endpoints::new(&config.accounts));
        let key = endpoints.parse_url("http://img.test/a.png").unwrap().key;
        let Origin::Servers(servers) = config.accounts[0].origin.clone() else { panic!() };
        let cache = Cache::new(1 << 20, Clock::manual(1_700_000_000));
        let proxy =
            Proxy::new(&config, endpoints, cache.clone(), vec![servers], None, Arc::default(), "test");
        let (site, policy) = (proxy.sites[0].clone(), Arc::new(Policy::image()));
        let fields = fields::cacheable_request(&HeaderMap::new(), &policy);
        let fill = |lead| {
            let (handed_over, _) = oneshot::channel();
            let errand = Errand {
                site: site.clone(),
                policy: policy.clone(),
                wanted: RequestDirectives::default(),
                request_id: crate::proxy::RequestIds::new("test").name(&HeaderMap::new()),
                interim: None,
                trail: None,
            };
            Fill::new(proxy.clone(), errand, lead, handed_over)
        };

        // Both have found nothing; the first one stores before the second begins.
        let ((first, _), (second, reader)) =
            (cache.fetch_alone(&key, &fields), cache.fetch_alone(&key, &fields));
        let mut first = fill(first);
        let mut response = HeaderMap::new();
        response.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/png"));
        response.insert(header::CONTENT_LENGTH, HeaderValue::from_static("4"));
        response.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        let request = RequestFacts { method: &Method::GET, headers: &fields };
        let wall = cache.clock().wall();
        let plan =
            semantics::plan(&request, StatusCode::OK, &response, &policy, wall, Duration::ZERO).unwrap();
        let body = Body::new(vec![Bytes::from_static(b"body")]);
        first.lead.learn(Tags::default());
        let stored = first.variant(StatusCode::OK, &plan, body, cache.now());
        first.commit(&stored);

        fill(second).run().await;
        let landing = reader.landing().await;
        assert!(matches!(&landing, Landing::Stored(found) if Arc::ptr_eq(found, &stored)), "{landing:?}");
        assert_eq!(proxy.metrics.fetches.get(), 0);
    }
}
