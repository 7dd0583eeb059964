//! What a client's retry may share: requests that are unanswered, or were answered a moment ago.
//!
//! No lock of its own: it lies in the purger's state. At most [`limits::RETRIES_REMEMBERED_MAX`] are remembered, each
//! by a hash of all that was asked; a retry beyond them is charged like a new request.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::request::{Attempt, RequestId};
use super::submission::Submission;
use crate::clock::Moment;
use crate::limits;

/// What the same submissions have in common, and no two others: a hash of account, targets, and all that is said beside
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity([u8; 32]);

impl Identity {
    pub(super) fn of(submission: &Submission<'_>) -> Identity {
        let mut hash = Sha256::new();
        // The length before each text: no two lists of texts give the same bytes.
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        add(&submission.account.to_string());
        add(submission.by.door.as_str());
        add(&submission.by.key);
        add(&format!("{:?} {:?}", submission.note, submission.warm));
        for wish in submission.wishes {
            add(wish.mode.as_str());
            add(wish.named.kind());
            add(wish.text());
        }
        Identity(hash.finalize().into())
    }
}

#[derive(Debug, Default)]
pub(super) struct Recent(HashMap<Identity, Answer>);

#[derive(Debug)]
struct Answer {
    id: RequestId,
    /// Nothing while the first client waits for it.
    at: Option<Moment>,
}

impl Recent {
    /// The request that this one repeats: the same while the first is unanswered, or a marked retry for a while after its
    /// answer.
    pub(super) fn shared(&self, identity: Identity, attempt: Attempt, now: Moment) -> Option<RequestId> {
        let answer = self.0.get(&identity)?;
        let shares = match (answer.at, attempt) {
            (None, _) => true,
            (Some(at), Attempt::Retry) => now.since(at) <= limits::RETRY_TIME,
            (Some(_), Attempt::First) => false,
        };
        shares.then_some(answer.id)
    }

    /// Lets retries share this request. Where too many are remembered, it is not, and a retry is charged.
    pub(super) fn remember(&mut self, identity: Identity, id: RequestId, now: Moment) {
        if self.0.len() >= limits::RETRIES_REMEMBERED_MAX {
            let is_fresh = |at: Moment| now.since(at) <= limits::RETRY_TIME;
            self.0.retain(|_, answer| answer.at.is_none_or(is_fresh));
        }
        if self.0.len() < limits::RETRIES_REMEMBERED_MAX {
            self.0.insert(identity, Answer { id, at: None });
        }
    }

    /// Ends the time in which an unmarked repetition is a retry.
    pub(super) fn answered(&mut self, identity: Identity, id: RequestId, now: Moment) {
        if let Some(answer) = self.0.get_mut(&identity).filter(|answer| answer.id == id) {
            answer.at = Some(now);
        }
    }
}
