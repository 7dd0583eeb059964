//! One fetch of one key, from the ticket to the commit.
//!
//! Runs in a task of its own. The order is the discipline's: the lead holds its ticket before this starts;
//! only then the store is asked for what may be revalidated; only then something goes to the origin. What
//! comes is committed before its last byte is shown, so that whoever has read it all finds it stored.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Response, StatusCode, header};
use tokio::sync::oneshot;

use super::interim::Offers;
use super::origin::{Framing, OriginBody};
use super::{Proxy, Site};
use crate::cache::{Body, Commit, Failure, Head, Landing, Lead, Lookup, Variant};
use crate::clock::Moment;
use crate::semantics::conditional::Validators;
use crate::semantics::freshness::State;
use crate::semantics::policy::Policy;
use crate::semantics::storable::NotStorable;
use crate::semantics::vary::Selection;
use crate::semantics::{self, Confirmation, Held, Renewal, RequestFacts, fields};

/// See the module.
pub struct Fill {
    proxy: Arc<Proxy>,
    site: Arc<Site>,
    policy: Arc<Policy>,
    lead: Lead,
    /// What the origin is asked about.
    base: Option<Arc<Variant>>,
    handed_over: oneshot::Sender<Response<OriginBody>>,
    interim: Option<Offers>,
}

impl Fill {
    /// A fetch for `lead`; a response that can't be shared goes to `handed_over`, to the client that led.
    pub fn new(
        proxy: Arc<Proxy>,
        site: Arc<Site>,
        policy: Arc<Policy>,
        lead: Lead,
        handed_over: oneshot::Sender<Response<OriginBody>>,
        interim: Option<Offers>,
    ) -> Fill {
        Fill { proxy, site, policy, lead, base: None, handed_over, interim }
    }

    /// Fetches, tells the flight, and stores.
    pub async fn run(mut self) {
        let base = match self.proxy.cache.look_up(self.lead.key(), self.lead.fields()) {
            Lookup::Found(variant) => Some(variant),
            Lookup::OtherVariants | Lookup::Absent => None,
        };
        if let Some(fresh) = base.as_ref().filter(|variant| self.is_fresh(variant)) {
            // Another fetch ended between the request's look-up and its turn to lead.
            self.lead.land(Landing::Stored(fresh.clone()));
            return self.lead.finish(Ok(()));
        }
        let Some(base) = base else { return self.replace().await };
        self.base = Some(base.clone());
        let sent = self.proxy.cache.now();
        let mut asked = self.lead.fields().clone();
        base.validators.ask(&mut asked);
        let response = match self.exchange(asked).await {
            Ok(response) => response,
            Err(failure) => return self.fail(failure),
        };
        let received = self.proxy.cache.now();
        let resident = received.since(base.received);
        match response.status() {
            StatusCode::NOT_MODIFIED => match self.renewal(&base, response.headers(), received.since(sent)) {
                // It spoke of another response than ours: asked again, for the whole.
                Renewal::Mismatch => {
                    self.proxy.cache.discard(&self.lead, &base);
                    self.replace().await;
                }
                renewal => self.renew(&base, renewal, received),
            },
            status if stands_in_for(status) && base.freshness.usable_on_error(resident) => {
                self.fail(Failure::ServerError);
            }
            _ => self.received(response, received, received.since(sent)).await,
        }
    }

    fn is_fresh(&self, variant: &Variant) -> bool {
        let resident = self.proxy.cache.now().since(variant.received);
        matches!(variant.freshness.judge(resident), State::Fresh { .. })
    }

    async fn exchange(&self, asked: HeaderMap) -> Result<Response<OriginBody>, Failure> {
        let mut ask = self.proxy.ask(Method::GET, self.lead.key(), asked);
        ask.interim = self.interim.clone();
        self.proxy.exchange(&self.site, ask).await
    }

    fn renewal(&self, base: &Variant, update: &HeaderMap, delay: Duration) -> Renewal {
        let held = Held { status: base.status, fields: &base.fields, validators: &base.validators };
        let wall = self.proxy.cache.clock().wall();
        semantics::renew(
            self.lead.fields(),
            &held,
            Confirmation::NotModified,
            update,
            &self.policy,
            wall,
            delay,
        )
    }

    /// A 304: the stored response is good, with the fields that came (RFC 9111 §4.3.4).
    fn renew(mut self, base: &Arc<Variant>, renewal: Renewal, received: Moment) {
        let renewed = match renewal {
            Renewal::Renewed(fill) => {
                let variant = Arc::new(self.variant(base.status, *fill, base.body.clone(), received));
                self.commit(&variant);
                variant
            }
            Renewal::Spent { fields, reason } => {
                tracing::debug!(key = %self.lead.key(), reason = reason.as_str(), "not stored again");
                self.proxy.cache.discard(&self.lead, base);
                Arc::new(Variant { fields, body: base.body.clone(), ..Variant::clone(base) })
            }
            Renewal::Mismatch => unreachable!("it is asked for again, see `run`"),
        };
        self.lead.land(Landing::Renewed(renewed));
        self.lead.finish(Ok(()));
    }

    /// Asks for the whole.
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

    /// A response that is no 304 of ours: it is stored, shared once, or handed over.
    async fn received(self, response: Response<OriginBody>, received: Moment, delay: Duration) {
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED || (status == StatusCode::PARTIAL_CONTENT && !self.policy.parts)
        {
            return self.fail(Failure::BadResponse); // Neither was asked for.
        }
        let request = RequestFacts { method: &Method::GET, headers: self.lead.fields() };
        let wall = self.proxy.cache.clock().wall();
        let planned = semantics::plan(&request, status, response.headers(), &self.policy, wall, delay);
        let length = match response.body().framing() {
            Framing::Length(bytes) => Some(bytes),
            Framing::Chunked | Framing::Close => None,
        };
        match planned {
            Ok(_) if length.is_some_and(|bytes| bytes > self.proxy.object_bytes_max) => {
                self.hand_over(response, "too-large");
            }
            Ok(fill) => {
                let head = Head {
                    status,
                    fields: fill.fields.clone(),
                    bytes: length,
                    selection: fill.selection.clone(),
                    validators: fill.validators.clone(),
                    age: fill.freshness.age(Duration::ZERO),
                    stored: true,
                };
                self.stream(head, response.into_body(), Some(fill), received).await;
            }
            // One failure answers all who waited for it; that it says so is no reason to ask once more.
            Err(NotStorable::Status) if status.is_server_error() => {
                let mut fields = fields::forwarded(response.headers(), &self.policy);
                fields.remove(header::SET_COOKIE);
                fields.remove(header::CONTENT_LENGTH);
                let validators = Validators::read(&fields, wall);
                let selection = Selection::default();
                let head =
                    Head { status, fields, bytes: length, selection, validators, age: 0, stored: false };
                self.stream(head, response.into_body(), None, received).await;
            }
            Err(reason) => self.hand_over(response, reason.as_str()),
        }
    }

    /// What can't be shared goes to the client that led, and the others go to the origin on their own.
    fn hand_over(mut self, response: Response<OriginBody>, reason: &'static str) {
        tracing::debug!(key = %self.lead.key(), status = %response.status(), reason, "not stored");
        let replaces = matches!(response.status().as_u16(), 200..=299 | 404 | 410);
        if let Some(base) = self.base.as_ref().filter(|_| replaces) {
            // The origin has something else there now: what is stored answers nobody any more.
            self.proxy.cache.discard(&self.lead, base);
        }
        self.proxy.cache.mark_not_storable(self.lead.key());
        self.lead.land(Landing::Alone);
        // A client that left needs no answer; dropping the response closes its connection.
        let _ = self.handed_over.send(response);
        self.lead.finish(Ok(()));
    }

    /// Streams the body to the flight's readers; what is to be stored is committed before its last piece is
    /// shown.
    async fn stream(
        mut self,
        head: Head,
        mut body: OriginBody,
        mut storing: Option<semantics::Fill>,
        received: Moment,
    ) {
        let (status, length) = (head.status, head.bytes);
        // A body that is broken from its first byte, as far as it is here, is no answer at all.
        match body.at_once().await {
            Some(Err(failure)) => return self.fail(failure),
            Some(Ok(piece)) => self.lead.append(piece),
            None => {}
        }
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
                    self.proxy.metrics.fetch_failures.increment();
                    return self.lead.finish(Err(failure));
                }
            }
            if storing.is_some() && self.lead.received() > self.proxy.object_bytes_max {
                storing = None;
                self.proxy.cache.mark_not_storable(self.lead.key());
                self.lead.stop_storing();
            }
            self.lead.show();
        }
        if let Some(fill) = storing.filter(|_| self.lead.received() <= self.proxy.object_bytes_max) {
            let whole = self.lead.body();
            assert!(length.is_none_or(|length| length == whole.bytes()), "hyper ends a body at its length");
            self.commit(&Arc::new(self.variant(status, fill, whole, received)));
        }
        self.lead.show();
        self.lead.finish(Ok(()));
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

    fn variant(&self, status: StatusCode, fill: semantics::Fill, body: Body, received: Moment) -> Variant {
        Variant {
            epoch: self.lead.epoch(),
            received,
            freshness: fill.freshness,
            selection: fill.selection,
            validators: fill.validators,
            status,
            fields: fill.fields,
            body,
        }
    }

    fn commit(&self, variant: &Arc<Variant>) {
        match self.proxy.cache.commit(&self.lead, variant.clone()) {
            Commit::Stored => self.proxy.metrics.stored.increment(),
            Commit::Purged => self.proxy.metrics.not_stored_purged.increment(),
        }
    }

    fn fail(mut self, failure: Failure) {
        self.proxy.metrics.fetch_failures.increment();
        self.lead.land(Landing::Failed(failure));
        self.lead.finish(Err(failure));
    }
}

/// The statuses that a stale response stands in for (RFC 5861 §4).
pub fn stands_in_for(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bytes::Bytes;
    use http::HeaderValue;

    use super::*;
    use crate::cache::Cache;
    use crate::clock::Clock;
    use crate::config::{self, Origin, Sources};
    use crate::key::Endpoints;

    /// Nothing listens at its origin: whoever asks it fails.
    const CONFIG: &str = "[[accounts]]\nid = \"a\"\nprivate_keys = [\"0123456789abcdef\"]\n\
                          url_endpoints = [\"http://img.test\"]\norigin = \"http://127.0.0.1:9\"\n";

    #[tokio::test]
    async fn what_another_fetch_stored_meanwhile_is_taken_and_the_origin_is_not_asked() {
        let sources = Sources { variable: &|_| None, folder: Path::new("/"), cores: 1 };
        let config = config::parse(CONFIG, "the test's config", &sources).unwrap();
        let endpoints = Arc::new(Endpoints::new(&config.accounts));
        let key = endpoints.parse_url("http://img.test/a.png").unwrap().key;
        let Origin::Server(server) = config.accounts[0].origin.clone() else { panic!() };
        let cache = Cache::new(1 << 20, Clock::manual(1_700_000_000));
        let proxy = Proxy::new(&config, endpoints, cache.clone(), vec![server], None, Arc::default(), "test");
        let (site, policy) = (proxy.sites[0].clone(), Arc::new(Policy::image()));
        let fields = fields::cacheable_request(&HeaderMap::new(), &policy);
        let fill = |lead| {
            let (handed_over, _) = oneshot::channel();
            Fill::new(proxy.clone(), site.clone(), policy.clone(), lead, handed_over, None)
        };

        // Both have found nothing; the first one stores before the second begins.
        let ((first, _), (second, reader)) =
            (cache.fetch_alone(&key, &fields), cache.fetch_alone(&key, &fields));
        let first = fill(first);
        let mut response = HeaderMap::new();
        response.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/png"));
        response.insert(header::CONTENT_LENGTH, HeaderValue::from_static("4"));
        response.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        let request = RequestFacts { method: &Method::GET, headers: &fields };
        let wall = cache.clock().wall();
        let plan =
            semantics::plan(&request, StatusCode::OK, &response, &policy, wall, Duration::ZERO).unwrap();
        let body = Body::new(vec![Bytes::from_static(b"body")]);
        let stored = Arc::new(first.variant(StatusCode::OK, plan, body, cache.now()));
        first.commit(&stored);

        fill(second).run().await;
        let landing = reader.landing().await;
        assert!(matches!(&landing, Landing::Stored(found) if Arc::ptr_eq(found, &stored)), "{landing:?}");
        assert_eq!(proxy.metrics.fetches.get(), 0);
    }
}
