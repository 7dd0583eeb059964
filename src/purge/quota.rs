//! The monthly allowance: how many purges an account has made in a calendar month, and whether one more fits.
//!
//! Owns the counters in memory, seeded from the ledger at start; the lock is its owner's. A month is one of the
//! wall clock, in UTC. Counters of several months stand side by side, so a clock that steps back over a month's
//! end finds the older month as it was. O(1) a purge; memory is two months for each account that purged.

use std::collections::HashMap;
use std::time::Duration;

const DAY_SECONDS: u64 = 86_400;
/// Days from 1 March of the year 0 to 1 January 1970, in the proleptic Gregorian calendar.
const DAYS_BEFORE_1970: u64 = 719_468;
/// Days of 400 years, after which the calendar repeats.
const ERA_DAYS: u64 = 146_097;

/// A calendar month in UTC, as a count of months since January of the year 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Month(u32);

impl Month {
    /// The month that holds this second.
    ///
    /// Years are taken to begin on 1 March: a leap day is then the last day of its year, and the lengths of the
    /// months before it follow one line, (153 · month + 2) / 5.
    pub fn containing(unix_seconds: u64) -> Month {
        let days = unix_seconds / DAY_SECONDS + DAYS_BEFORE_1970;
        let (era, day_of_era) = (days / ERA_DAYS, days % ERA_DAYS);
        // The leap days before it are taken off: one in 4 years, but not the 100th, but again the 400th.
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let months_since_march = (5 * day_of_year + 2) / 153;
        let months = (era * 400 + year_of_era) * 12 + months_since_march + 2;
        Month(u32::try_from(months).unwrap_or(u32::MAX))
    }

    /// Its first second.
    pub fn starts_at_unix_seconds(self) -> u64 {
        // January of the year 0 lies before the first March year; no caller has a month before 1970.
        let since_march = u64::from(self.0).saturating_sub(2);
        let (year, month) = (since_march / 12, since_march % 12);
        let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5;
        days.saturating_sub(DAYS_BEFORE_1970) * DAY_SECONDS
    }

    /// The month after it.
    pub fn next(self) -> Month {
        Month(self.0.saturating_add(1))
    }

    pub(super) fn from_number(number: u32) -> Month {
        Month(number)
    }

    pub(super) fn number(self) -> u32 {
        self.0
    }
}

/// What an account may still do this month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Purges a month, or no limit.
    pub limit: Option<u64>,
    /// Purges of this month so far.
    pub used: u64,
    /// This month.
    pub month: Month,
    /// Until the next month, when the count begins anew.
    pub resets_in: Duration,
}

impl Allowance {
    /// The length of this month.
    pub fn interval(&self) -> Duration {
        let (start, end) = (self.month.starts_at_unix_seconds(), self.month.next().starts_at_unix_seconds());
        Duration::from_secs(end.saturating_sub(start))
    }
}

/// Counters of all accounts.
#[derive(Debug)]
pub(super) struct Quota {
    limits: Vec<Option<u64>>,
    used: HashMap<(usize, Month), u64>,
    newest: Month,
}

impl Quota {
    /// With what was used before this start.
    pub(super) fn new(
        limits: Vec<Option<u64>>,
        used: impl IntoIterator<Item = ((usize, Month), u64)>,
    ) -> Quota {
        let used: HashMap<_, _> = used.into_iter().collect();
        let newest = used.keys().map(|(_, month)| *month).max().unwrap_or(Month(0));
        Quota { limits, used, newest }
    }

    /// Takes `purges` from the account's allowance, all or none. There is nothing to give back later: whoever
    /// calls this has passed every other check, and the purge follows under the same lock.
    pub(super) fn reserve(&mut self, account: usize, purges: u64, unix_ms: u64) -> Result<(), Allowance> {
        let allowance = self.allowance(account, unix_ms);
        let used = allowance.used.saturating_add(purges);
        // Nothing more is nothing over the limit, also where the limit was lowered below what was used.
        if purges > 0 && allowance.limit.is_some_and(|limit| used > limit) {
            return Err(allowance);
        }
        if allowance.month > self.newest {
            self.newest = allowance.month;
            self.used.retain(|(_, month), _| month.next() >= allowance.month);
        }
        self.used.insert((account, allowance.month), used);
        Ok(())
    }

    /// One account more, with what it has used before.
    pub(super) fn add(&mut self, limit: Option<u64>, used: impl Iterator<Item = (Month, u64)>) {
        let account = self.limits.len();
        self.limits.push(limit);
        for (month, purges) in used {
            self.newest = self.newest.max(month);
            self.used.insert((account, month), purges);
        }
    }

    /// From now on the account may purge so often a month.
    pub(super) fn set_limit(&mut self, account: usize, limit: Option<u64>) {
        self.limits[account] = limit;
    }

    /// Lets the account begin this month anew.
    pub(super) fn reset(&mut self, account: usize, month: Month) {
        self.used.insert((account, month), 0);
    }

    /// Where the account stands.
    pub(super) fn allowance(&self, account: usize, unix_ms: u64) -> Allowance {
        let month = Month::containing(unix_ms / 1000);
        let resets_at_ms = month.next().starts_at_unix_seconds().saturating_mul(1000);
        Allowance {
            limit: self.limits[account],
            used: self.used.get(&(account, month)).copied().unwrap_or(0),
            month,
            resets_in: Duration::from_millis(resets_at_ms.saturating_sub(unix_ms)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_month_begins_and_ends_on_its_second() {
        #[rustfmt::skip]
        let table: [(u64, u32, u32); 17] = [
            // unix seconds   year   month
            (             0,  1970,  1),
            (     2_678_399,  1970,  1),  // 31 January 1970, 23:59:59
            (     2_678_400,  1970,  2),
            (    68_255_999,  1972,  2),  // 29 February 1972, a leap year
            (    68_256_000,  1972,  3),
            (   951_782_399,  2000,  2),  // 28 February 2000
            (   951_868_799,  2000,  2),  // 29 February 2000: the 400th year is a leap year
            (   951_868_800,  2000,  3),
            ( 1_677_628_799,  2023,  2),  // 28 February 2023
            ( 1_677_628_800,  2023,  3),
            ( 1_704_067_199,  2023, 12),
            ( 1_704_067_200,  2024,  1),
            ( 1_709_251_199,  2024,  2),  // 29 February 2024
            ( 1_709_251_200,  2024,  3),
            ( 4_107_542_399,  2100,  2),  // 28 February 2100: the 100th year is none
            ( 4_107_542_400,  2100,  3),
            (13_574_649_600,  2400,  3),
        ];
        for (unix_seconds, year, month) in table {
            assert_eq!(Month::containing(unix_seconds), Month(year * 12 + month - 1), "{unix_seconds}");
        }
        assert_eq!(Month(1970 * 12).starts_at_unix_seconds(), 0);
        assert_eq!(Month(2024 * 12 + 2).starts_at_unix_seconds(), 1_709_251_200);
        assert!(Month::containing(u64::MAX).next() > Month::containing(0));
    }

    proptest! {
        #[test]
        fn every_second_lies_in_its_month_alone(unix_seconds in 0_u64..300_000_000_000) {
            let month = Month::containing(unix_seconds);
            prop_assert!(month.starts_at_unix_seconds() <= unix_seconds);
            prop_assert!(unix_seconds < month.next().starts_at_unix_seconds());
            let days = (month.next().starts_at_unix_seconds() - month.starts_at_unix_seconds()) / DAY_SECONDS;
            prop_assert!((28..=31).contains(&days));
        }
    }

    const MARCH_2024_MS: u64 = 1_709_251_200_000;

    fn quota(limit: Option<u64>) -> Quota {
        Quota::new(vec![limit, Some(1)], [])
    }

    #[test]
    fn the_allowance_is_used_up_at_its_limit_and_new_in_the_next_month() {
        let mut quota = quota(Some(2));
        let before_march = MARCH_2024_MS - 1;
        assert_eq!(quota.reserve(0, 1, before_march), Ok(()));
        assert_eq!(quota.reserve(0, 1, before_march), Ok(()));
        let refused = quota.reserve(0, 1, before_march).unwrap_err();
        assert_eq!((refused.limit, refused.used), (Some(2), 2));
        assert_eq!(refused.resets_in, Duration::from_millis(1));
        assert_eq!(refused.interval(), Duration::from_secs(29 * DAY_SECONDS));
        assert_eq!(quota.reserve(0, 2, MARCH_2024_MS), Ok(()));
        assert_eq!(quota.allowance(0, MARCH_2024_MS).used, 2);
    }

    #[test]
    fn a_refusal_charges_nothing_and_no_other_account() {
        let mut quota = quota(Some(2));
        assert!(quota.reserve(0, 3, MARCH_2024_MS).is_err());
        assert_eq!(quota.allowance(0, MARCH_2024_MS).used, 0);
        assert_eq!(quota.reserve(0, 2, MARCH_2024_MS), Ok(()));
        assert_eq!(quota.allowance(1, MARCH_2024_MS).used, 0);
        assert!(quota.reserve(0, u64::MAX, MARCH_2024_MS).is_err());
    }

    #[test]
    fn without_a_limit_purges_are_counted_and_never_refused() {
        let mut quota = quota(None);
        assert_eq!(quota.reserve(0, 1_000_000, MARCH_2024_MS), Ok(()));
        assert_eq!(quota.reserve(0, 1_000_000, MARCH_2024_MS), Ok(()));
        assert_eq!(quota.allowance(0, MARCH_2024_MS).used, 2_000_000);
    }

    #[test]
    fn a_clock_that_steps_back_over_the_months_end_gives_no_second_allowance() {
        let mut quota = quota(Some(1));
        assert_eq!(quota.reserve(0, 1, MARCH_2024_MS - 1), Ok(()));
        assert_eq!(quota.reserve(0, 1, MARCH_2024_MS), Ok(()));
        assert!(quota.reserve(0, 1, MARCH_2024_MS - 1).is_err());
    }

    #[test]
    fn a_limit_lowered_below_what_was_used_refuses_new_purges_alone() {
        let mut quota = Quota::new(vec![Some(1)], [((0, Month::containing(MARCH_2024_MS / 1000)), 5)]);
        assert_eq!(quota.reserve(0, 0, MARCH_2024_MS), Ok(()));
        assert!(quota.reserve(0, 1, MARCH_2024_MS).is_err());
    }

    #[test]
    fn counters_of_older_months_leave() {
        let mut quota = Quota::new(vec![None], [((0, Month::containing(0)), 7)]);
        assert_eq!(quota.reserve(0, 1, MARCH_2024_MS), Ok(()));
        assert_eq!(quota.used.len(), 1);
    }
}
