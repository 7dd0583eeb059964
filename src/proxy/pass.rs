//! Methods beside GET and HEAD: passed to the origin once, and what they change is forgotten. Nothing is stored of
//! them but a POST's answer that is the new state of its URL and says for how long (RFC 9110 §9.3.3).

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::body::{ClientBody, Fault, ReplyBody, RequestBody};
use super::fill::{Errand, Fill};
use super::interim::{self, Open};
use super::origin::Ask;
use super::origin_body::OriginBody;
use super::pipeline::{Asked, Escort, Outcome};
use super::reply::{self, Reply};
use super::request_id::RequestName;
use super::{Proxy, Site};
use crate::cache::{Failure, Head, Landing, Lead, Reader};
use crate::key::Key;
use crate::semantics::cache_control::RequestDirectives;
use crate::semantics::cache_status::{CacheStatus, Forwarded, Outcome as Handled};
use crate::semantics::policy::Policy;
use crate::semantics::{self, fields, groups, invalidate};
use crate::target::{Mode, Tag, Target};

/// An unsafe request on its way.
struct Errant {
    ask: Ask,
    body: ClientBody,
    key: Key,
    errand: Errand,
    /// Where its answer may be stored: a fetch of its URL, begun before anything went to the origin.
    lead: Option<Lead>,
}

/// How it was answered.
enum Answered {
    /// By the origin, for it alone.
    Passed(Box<Response<OriginBody>>),
    /// By a response that is stored while it arrives.
    Kept(Arc<Head>, Reader),
}

impl Proxy {
    /// Passes a request on, with its body. A success invalidates the target, what Location and
    /// Content-Location name of the same origin (RFC 9111 §4.4), and the groups that it names (RFC 9875 §3),
    /// before the client learns of it.
    pub async fn pass(
        self: &Arc<Proxy>,
        request: Request<Incoming>,
        key: Key,
        site: &Arc<Site>,
        policy: &Arc<Policy>,
        request_id: &RequestName,
        escort: Escort,
    ) -> (Reply, Outcome) {
        let Escort { interim, trail } = escort;
        let open = interim::open(interim.as_ref()).await;
        let (parts, incoming) = request.into_parts();
        let deadline = Instant::now() + site.total_timeout;
        let (body, report) = ClientBody::new(incoming, self.config.body_timeout, deadline);
        let mut passed = fields::passed_request(&parts.headers);
        self.add_via(&mut passed);
        let ask = Ask {
            method: parts.method.clone(),
            path_and_query: key.path_and_query().to_owned(),
            fields: passed,
            interim: open.as_ref().map(Open::offers),
            trail,
        };
        let forwarded = fields::cacheable_request(&parts.headers, policy);
        let may_be_kept = policy.posts && parts.method == Method::POST;
        let lead = may_be_kept.then(|| self.cache.fetch_alone(&key, &forwarded).0);
        let errand = Errand {
            site: site.clone(),
            policy: policy.clone(),
            wanted: RequestDirectives::default(),
            request_id: *request_id,
            interim: None,
            trail: None,
        };
        let errant = Errant { ask, body, key: key.clone(), errand, lead };
        // In a task of its own: what the origin was told to change is forgotten also where the client left.
        let proxy = self.clone();
        let exchanged = tokio::spawn(async move { proxy.exchange_unsafe(errant).await }).await;
        match report.fault() {
            Fault::None => {}
            Fault::Broken => return client_fault(StatusCode::BAD_REQUEST, "The request's body is broken."),
            Fault::TooLarge => {
                return client_fault(StatusCode::PAYLOAD_TOO_LARGE, "The request's body is too large.");
            }
            Fault::TooSlow => {
                return client_fault(StatusCode::REQUEST_TIMEOUT, "The request's body came too slowly.");
            }
        }
        let response = match exchanged.unwrap_or(Err(Failure::Abandoned)) {
            Ok(Answered::Passed(response)) => *response,
            Ok(Answered::Kept(head, reader)) => {
                let asked = Asked {
                    method: parts.method,
                    key,
                    site: site.clone(),
                    policy: policy.clone(),
                    client: parts.headers,
                    forwarded: forwarded.into(),
                    wanted: RequestDirectives::default(),
                    request_id: *request_id,
                    interim: None,
                    trail: None,
                };
                return (self.shared(&asked, &head, reader, Forwarded::Method, false), Outcome::Miss);
            }
            Err(failure) => {
                let (request, account) = (request_id.as_str(), &*site.id);
                tracing::warn!(account, request, failure = failure.as_str(), "a request was not passed");
                return (reply::failure(failure), Outcome::Error);
            }
        };
        let (head, body) = response.into_parts();
        let mut fields = fields::forwarded(&head.headers, policy);
        let (reason, status) = (Forwarded::Method, Some(head.status));
        let outcome = Handled::Forwarded { reason, status, stored: false, collapsed: false };
        fields.append("cache-status", CacheStatus { outcome, ttl: None, detail: None }.value());
        (reply::new(head.status, fields, ReplyBody::passed(body)), Outcome::Pass)
    }

    /// Sends an unsafe request once. Its success is forgotten about before anybody learns of it; where it was
    /// sent and no answer came in time, it may have been one.
    async fn exchange_unsafe(self: &Arc<Proxy>, errant: Errant) -> Result<Answered, Failure> {
        let Errant { ask, body, key, errand, lead } = errant;
        let (method, sent) = (ask.method.clone(), self.cache.now());
        let exchanged = self.send(&errand.site, ask, RequestBody::Client(body)).await;
        if let Err(failure) = &exchanged {
            self.metrics.fetch_failures.increment(failure.as_str()); // What fails later, the fill counts.
        }
        let response = match exchanged {
            Ok(response) => response,
            Err(failure @ (Failure::HeadTimeout | Failure::Incomplete)) => {
                if invalidate::invalidates(&method, StatusCode::OK) {
                    self.forget(&key);
                }
                return Err(failure);
            }
            Err(failure) => return Err(failure),
        };
        if !invalidate::invalidates(&method, response.status()) {
            return Ok(Answered::Passed(Box::new(response)));
        }
        let superseding = match lead.filter(|lead| self.is_new_state(lead, &response, &errand.policy)) {
            Some(lead) => self.cache.supersede(lead),
            None => {
                self.forget(&key);
                None
            }
        };
        self.forget_named(&key, response.headers());
        for group in groups::invalidated(&method, response.status(), response.headers()) {
            // A name that no tag can have is no response's.
            if let Ok(tag) = Tag::new(key.account(), &group) {
                self.cache.purge(&Target::Tag(tag), Mode::Delete, Box::new(|_| {}));
            }
        }
        let Some((lead, reader)) = superseding else { return Ok(Answered::Passed(Box::new(response))) };
        let (sender, handed_over) = oneshot::channel();
        let received = self.cache.now();
        let delay: Duration = received.since(sent);
        tokio::spawn(Fill::new(self.clone(), errand, lead, sender).received(response, received, delay));
        match reader.landing().await {
            Landing::Shared(head) => Ok(Answered::Kept(head, reader)),
            Landing::Failed(failure) => Err(failure),
            Landing::Alone | Landing::Stored(_) | Landing::Renewed(_) => {
                let handed_over = handed_over.await.map_err(|_| Failure::Abandoned)?;
                Ok(Answered::Passed(Box::new(handed_over.response)))
            }
        }
    }

    /// Whether a POST's answer is what a GET of the same URL gets from now on.
    fn is_new_state(&self, lead: &Lead, response: &Response<OriginBody>, policy: &Policy) -> bool {
        let (status, answer, key) = (response.status(), response.headers(), lead.key());
        let is_named = self.endpoints.url_of(key).is_some_and(|url| {
            let named = asked(&url)
                .and_then(|asked| invalidate::named_url(asked, answer, &header::CONTENT_LOCATION, |_| true));
            named.and_then(|url| self.endpoints.parse_url(&url).ok()).is_some_and(|named| named.key == *key)
        });
        is_named && semantics::answers_gets(lead.fields(), status, answer, policy, self.cache.clock().wall())
    }

    /// Purges what an unsafe method changed; uncharged.
    fn forget(&self, key: &Key) {
        self.cache.purge(&Target::Url(key.clone()), Mode::Delete, Box::new(|_| {}));
    }

    /// The same for what its answer names beside that, within the account.
    fn forget_named(&self, key: &Key, answer: &HeaderMap) {
        let Some(url) = self.endpoints.url_of(key) else { return };
        let Some(asked) = asked(&url) else { return };
        // Any alias of the account's is the same origin: what is not below one is left out here.
        for named in invalidate::named_urls(asked, answer, |_| true) {
            if let Ok(located) = self.endpoints.parse_url(&named)
                && located.key.account() == key.account()
                && located.key != *key
            {
                self.forget(&located.key);
            }
        }
    }
}

/// What was asked for, of the URL that its key was printed as.
fn asked(url: &str) -> Option<invalidate::Asked<'_>> {
    let (scheme, authority, path_and_query) = split(url)?;
    Some(invalidate::Asked { scheme, authority, path_and_query })
}

/// Scheme, authority, and path with query of a URL that a key was printed as.
fn split(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path_and_query) = rest.split_at(rest.find('/')?);
    Some((scheme, authority, path_and_query))
}

fn client_fault(status: StatusCode, message: &str) -> (Reply, Outcome) {
    (reply::client_fault(status, message), Outcome::Error)
}
