//! HEAD of what is not fresh: the origin is asked, and its answer renews or ends what is stored of GET.

use std::sync::Arc;

use http::{Method, Response, StatusCode};

use super::Proxy;
use super::answer::Whole;
use super::body::ReplyBody;
use super::fill::{self, stands_in_for};
use super::interim::Open;
use super::origin_body::OriginBody;
use super::pipeline::{Asked, Outcome};
use super::reply::Reply;
use crate::cache::{Commit, Failure, Lead, Lookup, Variant};
use crate::semantics::cache_status::{CacheStatus, Forwarded, Outcome as Handled};
use crate::semantics::{self, Confirmation, Held, Renewal, fields};

impl Proxy {
    /// Asks the origin by HEAD. Nothing new is stored of it (RFC 9110 §9.3.2); a stored response to GET is renewed
    /// where the answer describes it, and ended where it doesn't (RFC 9111 §4.3.5). The lead's ticket is taken
    /// before anything goes to the origin, so that a purge overtakes what is renewed, as it does with every fetch.
    pub(super) async fn fetch_head(self: &Arc<Proxy>, asked: &Asked, reason: Forwarded) -> (Reply, Outcome) {
        let (mut lead, _reader) = self.cache.fetch_alone(&asked.key, asked.forwarded());
        let stored = match self.cache.look_up(&asked.key, asked.forwarded()) {
            Lookup::Found(variant) => Some(variant),
            Lookup::OtherVariants | Lookup::Absent => None,
        };
        let sent = self.cache.now();
        let open = asked.open_interim().await;
        let mut ask = self.ask(Method::HEAD, &asked.key, asked.forwarded().clone());
        ask.interim = open.as_ref().map(Open::offers);
        ask.trail = asked.trail.clone();
        let response = match self.exchange(&asked.site, ask, &asked.request_id).await {
            Ok(response) => response,
            Err(failure) => {
                self.metrics.fetch_failures.increment(failure.as_str());
                return self.failed(asked, failure);
            }
        };
        let received = self.cache.now();
        let mut renewed = false;
        match response.status() {
            // Neither was asked for.
            StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT => {
                self.metrics.fetch_failures.increment(Failure::BadResponse.as_str());
                return self.failed(asked, Failure::BadResponse);
            }
            status if stands_in_for(status) && self.may_stand_in(asked) => {
                self.metrics.fetch_failures.increment(Failure::ServerError.as_str());
                return self.failed(asked, Failure::ServerError);
            }
            StatusCode::OK => {
                if let Some(stored) = &stored {
                    let delay = received.since(sent);
                    let what = Confirmation::Head { body_bytes: stored.body().complete_bytes() };
                    let wall = self.cache.clock().wall();
                    let (fields, validators) = (stored.fields(), stored.validators(wall));
                    let held = Held { status: stored.status(), fields: &fields, validators: &validators };
                    let renewal = semantics::renew(
                        lead.fields(),
                        &held,
                        what,
                        response.headers(),
                        &asked.policy,
                        wall,
                        delay,
                    );
                    renewed = self.apply(&mut lead, stored, renewal, received);
                }
            }
            // It is gone, or something else stands there.
            status
                if status.is_success() || status.is_redirection() || matches!(status.as_u16(), 404 | 410) =>
            {
                if let Some(stored) = &stored {
                    self.cache.discard(&lead, stored);
                }
            }
            _ => {}
        }
        lead.finish(Ok(()));
        (self.head(asked, &response, reason, renewed), Outcome::Pass)
    }

    /// What a HEAD's answer means for what is stored; whether it was renewed.
    fn apply(
        &self,
        lead: &mut Lead,
        stored: &Arc<Variant>,
        renewal: Renewal,
        received: crate::clock::Moment,
    ) -> bool {
        let Renewal::Renewed(fill) = renewal else {
            self.cache.discard(lead, stored);
            return false;
        };
        lead.learn(fill::tags(lead.key(), &fill).with(stored.tags()));
        let (status, body) = (stored.status(), stored.body().clone());
        let renewed = self.cache.variant(lead, status, &fill, fill::tags(lead.key(), &fill), body, received);
        renewed.count_on(stored);
        self.cache.commit(lead, renewed) == Commit::Stored
    }

    /// The origin's own answer to HEAD, or 304 to a client that has what it speaks of.
    fn head(
        &self,
        asked: &Asked,
        response: &Response<OriginBody>,
        reason: Forwarded,
        renewed: bool,
    ) -> Reply {
        let fields = fields::forwarded(response.headers(), &asked.policy);
        let whole = Whole { status: response.status(), fields, bytes: None, part: None, stored: None };
        let status = Some(response.status());
        let outcome = Handled::Forwarded { reason, status, stored: renewed, collapsed: false };
        let detail = if renewed { None } else { Some("head") };
        self.answer_of(whole, asked, None, CacheStatus { outcome, ttl: None, detail }, |_| ReplyBody::empty())
    }
}
