//! Keys that turned out not to be storable: their requests do not wait for one another.
//!
//! Lock: one mutex, a leaf, taken on misses and purges alone. Bounded by `PASS_MARKERS_MAX`. A marker is a
//! hint: losing one costs a wait, never a wrong answer.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::span::{Order, Reach, Span, Subject};
use super::sync::Mutex;
use crate::clock::Moment;
use crate::key::Key;
use crate::limits::{PASS_MARKER_TIME, PASS_MARKERS_MAX};

/// See the module.
#[derive(Default)]
pub struct Markers {
    until: Mutex<BTreeMap<Box<str>, Moment>>,
}

impl Markers {
    /// Remembers `key` for `PASS_MARKER_TIME`.
    pub fn set(&self, key: &Key, now: Moment) {
        let mut until = self.until.lock();
        if until.len() >= PASS_MARKERS_MAX {
            until.retain(|_, end| *end > now);
            if until.len() >= PASS_MARKERS_MAX {
                until.pop_first();
            }
        }
        until.insert(key.as_str().into(), now.plus(PASS_MARKER_TIME));
    }

    /// Whether `key` is remembered.
    pub fn has(&self, key: &Key, now: Moment) -> bool {
        self.until.lock().get(key.as_str()).is_some_and(|end| *end > now)
    }

    /// Forgets `key`, since it was stored.
    pub fn clear(&self, key: &Key) {
        self.until.lock().remove(key.as_str());
    }

    /// Forgets what a purge names: of a tag its whole account, since nobody knows the tags of what is not stored.
    pub fn clear_span(&self, span: &Span) {
        let mut until = self.until.lock();
        match (span.order, span.reach) {
            (Order::Url, Reach::Exact) => {
                until.remove(&*span.text);
            }
            (Order::Url, Reach::Prefix) => {
                let range = (Bound::Included(&*span.text), Bound::Unbounded);
                let named = until.range::<str, _>(range).map(|(key, _)| key);
                let named: Vec<Box<str>> = named.take_while(|key| span.names(key)).cloned().collect();
                for key in named {
                    until.remove(&key);
                }
            }
            (Order::Url, Reach::Pattern) | (Order::Asset | Order::Tag | Order::Transformation, _) => {
                until.retain(|key, _| !span.covers(Subject { key, tags: None }))
            }
        }
    }
}
