//! The accounts of the config, as purges need them; replaced whole when the config is read again.
//!
//! An account keeps its place as long as the process runs: one that has left the config is there without an endpoint, one
//! that comes is added at the end. So a place means the same before and after, to whoever holds one.

use std::sync::Arc;

use super::standing::Effect;
use super::{Purger, changes};
use crate::config::Account;
use crate::key::Endpoints;

/// See the module.
pub(super) struct Roster {
    /// Their ids, by place.
    pub(super) accounts: Box<[Box<str>]>,
    /// The config's allowances.
    pub(super) limits_configured: Box<[Option<u64>]>,
    pub(super) endpoints: Arc<Endpoints>,
}

impl Roster {
    pub(super) fn new(accounts: &[Account], endpoints: Arc<Endpoints>) -> Roster {
        Roster {
            accounts: accounts.iter().map(|account| account.id.as_str().into()).collect(),
            limits_configured: accounts.iter().map(|account| account.purges_per_month).collect(),
            endpoints,
        }
    }
}

impl Purger {
    /// Has these accounts from now on, and their allowances. What they have purged this month stays counted; an operator's
    /// word on an allowance counts until the config's number is another one.
    ///
    /// `swap` has the rest of the process do the same. No purge takes place before it has returned: one that was parsed by
    /// the accounts before, or is parsed by these, never meets a data plane that goes by the others.
    ///
    /// # Panics
    /// Where an account that it had is not in its place.
    pub fn take_over(&self, accounts: &[Account], endpoints: Arc<Endpoints>, swap: impl FnOnce()) {
        let state = &mut *self.0.state.lock();
        let before = self.0.roster.load_full();
        let roster = Roster::new(accounts, endpoints);
        assert!(roster.accounts.starts_with(&before.accounts), "accounts keep their places");
        for (place, limit) in roster.limits_configured.iter().enumerate() {
            let id = &roster.accounts[place];
            match before.limits_configured.get(place) {
                Some(earlier) if earlier == limit => {}
                Some(_) => {
                    state.quota.set_limit(place, *limit);
                    self.0.ledger.apply(Effect::Word { account: id.clone(), word: None });
                }
                None => {
                    let (id, limit) = (std::slice::from_ref(id), std::slice::from_ref(limit));
                    let (limits, taken_back) = changes::limits_at_start(id, limit, &state.absent.words);
                    let used = state.absent.totals.iter().filter(|((account, _), _)| *account == id[0]);
                    state.quota.add(limits[0], used.map(|((_, month), total)| (*month, *total)));
                    taken_back.into_iter().for_each(|word| self.0.ledger.apply(word));
                }
            }
        }
        self.0.roster.store(Arc::new(roster));
        swap();
    }
}
