//! Addresses that presented wrong keys lately: a bounded table. Its lock is held for one look or one count.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use parking_lot::Mutex;

use super::super::AdminError;
use crate::clock::Moment;
use crate::limits;

/// The count of wrong keys, by network.
#[derive(Default)]
pub(super) struct Guesses(Mutex<HashMap<IpAddr, Failures>>);

/// Wrong keys of one address in one window.
#[derive(Debug)]
struct Failures {
    since: Moment,
    count: u32,
}

impl Failures {
    fn are_of_this_window(&self, now: Moment) -> bool {
        now.since(self.since) < limits::AUTH_FAILURES_TIME
    }
}

impl Guesses {
    /// What `find` makes of a key that `peer` presents. An address with too many wrong ones gets no further try
    /// until its window ends, not even with a right one: the answer would tell a guesser that it is right.
    pub(super) fn checked<T>(
        &self,
        peer: IpAddr,
        now: Moment,
        find: impl FnOnce() -> Option<T>,
    ) -> Result<T, AdminError> {
        let network = network(peer);
        self.refuse_guessers(network, now)?;
        find().ok_or_else(|| self.count_failure(network, now))
    }

    fn refuse_guessers(&self, network: IpAddr, now: Moment) -> Result<(), AdminError> {
        match self.0.lock().get(&network) {
            Some(failures)
                if failures.count >= limits::AUTH_FAILURES_MAX && failures.are_of_this_window(now) =>
            {
                let wait = limits::AUTH_FAILURES_TIME.saturating_sub(now.since(failures.since));
                Err(AdminError::KeysExhausted(wait))
            }
            _ => Ok(()),
        }
    }

    fn count_failure(&self, network: IpAddr, now: Moment) -> AdminError {
        let mut table = self.0.lock();
        if table.len() >= limits::AUTH_ADDRESSES_MAX {
            table.retain(|_, failures| failures.are_of_this_window(now));
        }
        if table.len() >= limits::AUTH_ADDRESSES_MAX && !table.contains_key(&network) {
            // So many addresses that guess at once are one guesser.
            return AdminError::KeysExhausted(limits::AUTH_FAILURES_TIME);
        }
        let failures = table.entry(network).or_insert(Failures { since: now, count: 0 });
        if !failures.are_of_this_window(now) {
            *failures = Failures { since: now, count: 0 };
        }
        failures.count += 1;
        AdminError::KeyUnknown
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

/// What one client may choose its address from: an IPv6 client has a whole /64.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}
