//! An account's origins: who is asked first, and who when that one brings no answer.
//!
//! One fetch asks each origin once at most, in the order that the roster gives, and ends with the first answer, whatever
//! its status. It goes on to the next origin
//! - where nothing of its request was sent: no connection was made, or there was no place for one;
//! - with GET and HEAD also where no usable head came back (RFC 9110 §9.2.2: they may be repeated).
//!
//! Whoever gave no answer is left out for `fetch.broken_time`. Not held against an origin: that its places are taken, that
//! its head was no HTTP, what breaks off behind a head, what happens while a client sends a body, and that this process
//! had no descriptor left. All of a fetch stays within `fetch.total_timeout`, its waits for a place within one
//! `fetch.queue_timeout`.
//!
//! Locks: `roster`, then a health's; neither is held over an await, and hits take none.

use std::sync::Arc;

use http::{Method, Response};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::body::RequestBody;
use super::origin::{Ask, Origin, Outgoing, Unanswered};
use super::origin_body::OriginBody;
use super::roster::{Kind, Roster, Round, Turn};
use crate::cache::Failure;
use crate::clock::Clock;
use crate::config::Fetch;
use crate::telemetry::origins;

/// See the module.
pub struct Origins {
    account: String,
    origins: Vec<Arc<Origin>>,
    roster: Mutex<Roster>,
    limits: Fetch,
    clock: Clock,
}

impl Origins {
    /// At least one, in the order in which they are asked.
    pub fn new(account: String, origins: Vec<Arc<Origin>>, limits: Fetch, clock: Clock) -> Origins {
        let roster = Mutex::new(Roster::new(origins.len(), limits.broken_time));
        Origins { account, origins, roster, limits, clock }
    }

    /// What each has shown of itself.
    pub fn healths(&self) -> impl Iterator<Item = &Arc<origins::Origin>> {
        self.origins.iter().map(|origin| origin.health())
    }

    /// Sends a request and reads the head of the first answer. The body follows as an [`OriginBody`].
    pub async fn exchange(&self, ask: Ask, body: RequestBody) -> Result<Response<OriginBody>, Failure> {
        let now = Instant::now();
        let repeatable = body.is_empty() && (ask.method == Method::GET || ask.method == Method::HEAD);
        let (queue_end, deadline) = (now + self.limits.queue_timeout, now + self.limits.total_timeout);
        let mut request = Outgoing { ask, body: Some(body), repeatable, deadline };
        let mut round = Round::default();
        let mut last = None;
        while let Some(attempt) = self.next(&mut round, repeatable) {
            let failure = match attempt.run(&mut request, round, queue_end.min(deadline)).await {
                Ok(Some(response)) => return Ok(response),
                Ok(None) => continue,
                Err(failure) => failure,
            };
            let unsent = request.body.is_some();
            if !(unsent || repeatable) || Instant::now() >= deadline {
                return Err(failure);
            }
            last = Some(failure);
        }
        Err(last.expect("a turn as the last resort always holds, see `Roster::holds`"))
    }

    fn next(&self, round: &mut Round, may_try: bool) -> Option<Attempt<'_>> {
        let is_first = round.is_first();
        let turn = self.roster.lock().next(round, may_try, self.clock.now())?;
        Some(Attempt { origins: self, origin: &self.origins[turn.index], turn, is_first, is_told: false })
    }
}

/// An origin's turn under way; one that is dropped has told nothing of its origin.
struct Attempt<'a> {
    origins: &'a Origins,
    origin: &'a Arc<Origin>,
    turn: Turn,
    is_first: bool,
    is_told: bool,
}

impl Attempt<'_> {
    /// Nothing where the origin went out while this waited for a place, and so was not asked.
    async fn run(
        mut self,
        request: &mut Outgoing,
        round: Round,
        queue_end: Instant,
    ) -> Result<Option<Response<OriginBody>>, Failure> {
        let health = self.origin.health();
        // Kept until what happened is told: who waits for it then knows.
        let mut place = match self.origin.place(queue_end).await {
            Ok(_) if !self.origins.roster.lock().holds(&self.turn, round) => return Ok(None),
            Ok(place) => Some(place),
            Err(failure) => {
                health.asked();
                health.failed(self.origins.clock.wall(), failure.as_str());
                return Err(failure);
            }
        };
        health.asked();
        let sent = self.origins.clock.now();
        let span = request.ask.trail.clone().and_then(|trail| {
            let Ask { method, fields, .. } = &mut request.ask;
            trail.ask(method, &health.address, fields)
        });
        match self.origin.exchange(&mut place, request).await {
            Ok(response) => {
                self.answered(sent);
                if let Some(span) = span {
                    span.answered(response.status().as_u16());
                }
                if let Some(trail) = &request.ask.trail {
                    trail.origin_answered(self.origins.clock.now().since(sent));
                }
                if response.status().is_server_error() {
                    health.failed(self.origins.clock.wall(), Failure::ServerError.as_str());
                }
                Ok(Some(response))
            }
            Err(unanswered) => {
                if let Some(span) = span {
                    span.failed(unanswered.failure.as_str());
                }
                health.failed(self.origins.clock.wall(), unanswered.failure.as_str());
                if self.counts(&unanswered, request) {
                    self.failed(&unanswered);
                }
                Err(unanswered.failure)
            }
        }
    }

    /// Whether a failure tells of the origin, and of nobody else.
    fn counts(&self, unanswered: &Unanswered, request: &Outgoing) -> bool {
        // What is left of a fetch's time for a later one may be none at all.
        let had_time = self.is_first || Instant::now() < request.deadline;
        match unanswered.failure {
            Failure::Connect => !unanswered.is_ours(),
            Failure::ConnectTimeout => had_time,
            Failure::HeadTimeout => request.repeatable && had_time,
            Failure::Incomplete => request.repeatable,
            _ => self.turn.kind == Kind::Trial,
        }
    }

    fn answered(&mut self, sent: crate::clock::Moment) {
        self.is_told = true;
        let came_back = {
            let mut roster = self.origins.roster.lock();
            self.origin.health().answered(self.origins.clock.now().since(sent));
            roster.answered(&self.turn)
        };
        if came_back {
            tracing::info!(
                account = self.origins.account,
                origin = self.origin.health().address.as_str(),
                "an origin answers again"
            );
        }
    }

    fn failed(&mut self, unanswered: &Unanswered) {
        self.is_told = true;
        let went_out = {
            let mut roster = self.origins.roster.lock();
            let went_out = roster.failed(&self.turn, self.origins.clock.now());
            if went_out && self.origins.origins.len() > 1 {
                self.origin.health().left_out();
            }
            went_out
        };
        if went_out {
            let (account, origin) = (&*self.origins.account, self.origin.health().address.as_str());
            let (failure, why) = (unanswered.failure.as_str(), unanswered.why());
            match self.origins.origins.len() {
                1 => tracing::warn!(account, origin, failure, why, "the origin does not answer"),
                _ => tracing::warn!(account, origin, failure, why, "an origin is left out for a while"),
            }
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            self.origins.roster.lock().unknown(&self.turn);
        }
    }
}
