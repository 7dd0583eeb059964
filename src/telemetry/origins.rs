//! How the origins are, all of each account.
//!
//! Lock: one over each, a leaf, taken when a fetch begins or ends and by who looks; never by a hit.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

/// The origins of all accounts, in the config's order.
#[derive(Debug, Default)]
pub struct Origins(Mutex<Vec<Arc<Origin>>>);

impl Origins {
    /// Has these, and no others.
    pub fn replace(&self, origins: Vec<Arc<Origin>>) {
        *self.0.lock() = origins;
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Origin>> {
        self.0.lock().clone()
    }
}

/// One of an account's origins.
#[derive(Debug)]
pub struct Origin {
    /// The account's id.
    pub account: Box<str>,
    /// Its URL, as far as the config has it.
    pub address: String,
    health: Mutex<Health>,
}

/// What an origin has shown of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Requests sent to it, retries not counted.
    pub fetches: u64,
    /// Those that brought no usable answer, or one with a status of 500 and above.
    pub failures: u64,
    /// When the last of these was, and what.
    pub last_failure: Option<(SystemTime, &'static str)>,
    /// From asking to an answer's head, of late.
    pub first_byte: Option<Duration>,
    state: State,
}

/// How an origin is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// No fetch from it has ended.
    #[default]
    Unknown,
    /// The last one brought an answer.
    Ok,
    /// The last one failed.
    Failing,
    /// It gave no answer, and the account's other origins are asked until it does.
    Out,
}

impl State {
    /// For answers.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Unknown => "unknown",
            State::Ok => "ok",
            State::Failing => "failing",
            State::Out => "out",
        }
    }
}

impl Health {
    /// How it is.
    pub fn state(&self) -> State {
        self.state
    }
}

impl Origin {
    /// An account's, of which nothing is known.
    pub fn new(account: &str, address: String) -> Arc<Origin> {
        Arc::new(Origin { account: account.into(), address, health: Mutex::default() })
    }

    /// What it has shown so far.
    pub fn health(&self) -> Health {
        *self.health.lock()
    }

    /// It is asked.
    pub fn asked(&self) {
        self.health.lock().fetches += 1;
    }

    /// An answer's head came after `time`. What is told is an average in which an answer counts an eighth.
    pub fn answered(&self, time: Duration) {
        let health = &mut *self.health.lock();
        health.state = State::Ok;
        health.first_byte = Some(health.first_byte.map_or(time, |before| (before * 7 + time) / 8));
    }

    /// A fetch failed, or its answer broke off.
    pub fn failed(&self, when: SystemTime, what: &'static str) {
        let health = &mut *self.health.lock();
        if health.state != State::Out {
            health.state = State::Failing;
        }
        health.failures += 1;
        health.last_failure = Some((when, what));
    }

    /// It is left out until it answers.
    pub fn left_out(&self) {
        self.health.lock().state = State::Out;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_is_as_its_last_fetch_was() {
        let origins = Origins::default();
        let origin = Origin::new("demo", "http://o.test:80".into());
        origins.replace(vec![origin.clone()]);
        assert_eq!(origins.all()[0].health().state(), State::Unknown);
        origin.asked();
        origin.failed(SystemTime::UNIX_EPOCH, "connect");
        assert_eq!(origin.health().state(), State::Failing);
        origin.asked();
        origin.answered(Duration::from_millis(80));
        origin.answered(Duration::from_millis(160));
        let expected = Health {
            fetches: 2,
            failures: 1,
            last_failure: Some((SystemTime::UNIX_EPOCH, "connect")),
            first_byte: Some(Duration::from_millis(90)),
            state: State::Ok,
        };
        assert_eq!(origins.all()[0].health(), expected);
        origin.left_out();
        origin.failed(SystemTime::UNIX_EPOCH, "server-error");
        assert_eq!(origin.health().state(), State::Out, "until it answers");
        origin.answered(Duration::from_millis(80));
        assert_eq!(origin.health().state(), State::Ok);
    }
}
