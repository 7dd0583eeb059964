//! Methods beside GET and HEAD: passed to the origin once, never stored, and what they change is forgotten.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::body::{ClientBody, Fault, ReplyBody, RequestBody};
use super::interim::{self, Interim, Open};
use super::origin::{Ask, OriginBody};
use super::pipeline::Outcome;
use super::reply::{self, Reply};
use super::{Proxy, Site};
use crate::cache::Failure;
use crate::key::Key;
use crate::semantics::cache_status::{CacheStatus, Forwarded, Outcome as Handled};
use crate::semantics::policy::Policy;
use crate::semantics::{fields, invalidate};
use crate::target::{Mode, Target};

impl Proxy {
    /// Passes a request on, with its body. A success invalidates the target, and what Location and
    /// Content-Location name of the same origin (RFC 9111 §4.4), before the client learns of it.
    pub async fn pass(
        self: &Arc<Proxy>,
        request: Request<Incoming>,
        key: Key,
        site: &Arc<Site>,
        policy: &Policy,
        request_id: &HeaderValue,
        interim: Option<Interim>,
    ) -> (Reply, Outcome) {
        let open = interim::open(interim.as_ref()).await;
        let (parts, incoming) = request.into_parts();
        let deadline = Instant::now() + site.total_timeout;
        let (body, report) = ClientBody::new(incoming, self.config.body_timeout, deadline);
        let mut passed = fields::passed_request(&parts.headers);
        self.add_via(&mut passed);
        let ask = Ask {
            method: parts.method,
            path_and_query: key.path_and_query().to_owned(),
            fields: passed,
            interim: open.as_ref().map(Open::offers),
        };
        self.metrics.fetches.increment();
        // In a task of its own: what the origin was told to change is forgotten also where the client left.
        let (proxy, site, site_id) = (self.clone(), site.clone(), site.id.clone());
        let exchanged =
            tokio::spawn(async move { proxy.exchange_unsafe(ask, body, &key, &site).await }).await;
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
            Ok(response) => response,
            Err(failure) => {
                self.metrics.fetch_failures.increment();
                let request = request_id.to_str().unwrap_or_default();
                tracing::warn!(account = %site_id, request, failure = failure.as_str(), "a request was not passed");
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
    async fn exchange_unsafe(
        &self,
        ask: Ask,
        body: ClientBody,
        key: &Key,
        site: &Site,
    ) -> Result<Response<OriginBody>, Failure> {
        let method = ask.method.clone();
        let exchanged = site.origin.exchange(ask, RequestBody::Client(body)).await;
        match &exchanged {
            Ok(response) if invalidate::invalidates(&method, response.status()) => {
                self.forget(key, response.headers());
            }
            Err(Failure::HeadTimeout | Failure::Incomplete)
                if invalidate::invalidates(&method, StatusCode::OK) =>
            {
                self.forget(key, &HeaderMap::new());
            }
            _ => {}
        }
        exchanged
    }

    /// Purges what an unsafe method changed; uncharged, and within the account.
    fn forget(&self, key: &Key, answer: &HeaderMap) {
        self.cache.purge(&Target::Url(key.clone()), Mode::Delete, Box::new(|_| {}));
        let Some(url) = self.endpoints.url_of(key) else { return };
        let Some((scheme, authority, path_and_query)) = split(&url) else { return };
        let asked = invalidate::Asked { scheme, authority, path_and_query };
        // Any alias of the account's is the same origin: what is not below one is left out here.
        for named in invalidate::named_urls(asked, answer, |_| true) {
            if let Ok(located) = self.endpoints.parse_url(&named)
                && located.key.account() == key.account()
            {
                self.cache.purge(&Target::Url(located.key), Mode::Delete, Box::new(|_| {}));
            }
        }
    }
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
