//! Whose turn it is among an account's origins: the first that answers, and one that failed when its time has come.
//!
//! Owns what was learned of each; no clock, no lock, no socket: `failover.rs` has those. An origin is in, or out since
//! it failed. Invariants:
//! - Within one fetch no origin has two turns.
//! - Who is out has a turn as a trial, when its time is up, or as a last resort, where nobody else is left.
//! - One fetch at a time tries an origin; a fetch makes one trial at most, and one last resort.
//! - A fetch has at least one turn, also where all are out.
//!
//! Cost: O(origins), of which there are `ORIGINS_MAX` at most.

use std::time::Duration;

use crate::clock::Moment;
use crate::limits::ORIGINS_MAX;

const _: () = assert!(ORIGINS_MAX <= u32::BITS as usize);

/// See the module.
#[derive(Debug)]
pub struct Roster {
    origins: Box<[Standing]>,
    broken_time: Duration,
    /// So far, of all.
    failures: u64,
}

#[derive(Clone, Debug, Default)]
struct Standing {
    out: Option<Out>,
    /// How often it has come back in: what is told of a turn from before is of the past.
    returns: u64,
}

#[derive(Clone, Debug)]
struct Out {
    until: Moment,
    /// Which of all failures was its last.
    failure: u64,
    on_trial: bool,
}

/// What one fetch has had.
#[derive(Clone, Copy, Debug, Default)]
pub struct Round {
    /// A bit for each origin.
    asked: u32,
    tried: bool,
    resorted: bool,
}

impl Round {
    /// Whether no origin has had a turn.
    pub fn is_first(self) -> bool {
        self.asked == 0
    }

    fn has_asked(self, index: usize) -> bool {
        self.asked & 1 << index != 0
    }
}

/// One origin's turn in one fetch. Whoever takes one says how it went: a trial whose end nobody tells is the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Which origin, in the config's order.
    pub index: usize,
    /// Why.
    pub kind: Kind,
    returns: u64,
}

/// Why an origin has its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is in.
    Regular,
    /// It is out, and its time is up: whether it answers again is seen by this fetch alone.
    Trial,
    /// It is out, and so are all that this fetch has not asked; it has been for longest.
    LastResort,
}

impl Roster {
    /// All of `count` origins are in. Who fails is out for `broken_time`.
    pub fn new(count: usize, broken_time: Duration) -> Roster {
        assert!((1..=ORIGINS_MAX).contains(&count), "{count} origins");
        Roster { origins: vec![Standing::default(); count].into(), broken_time, failures: 0 }
    }

    /// The next turn of a fetch; nothing where it has had all that it may. A fetch that could not go on to another
    /// origin `may_try` none.
    pub fn next(&mut self, round: &mut Round, may_try: bool, now: Moment) -> Option<Turn> {
        let may_try = may_try && !round.tried;
        let (index, kind) = self.choose(*round, may_try, now)?;
        let standing = &mut self.origins[index];
        assert!(!round.has_asked(index), "no origin has two turns in a fetch");
        round.asked |= 1 << index;
        match (kind, &mut standing.out) {
            (Kind::Regular, None) => {}
            (Kind::LastResort, Some(_)) => round.resorted = true,
            (Kind::Trial, Some(out)) => {
                assert!(!out.on_trial, "one fetch at a time tries an origin");
                (out.on_trial, round.tried) = (true, true);
            }
            (kind, out) => unreachable!("{kind:?} for {out:?}, see `choose`"),
        }
        Some(Turn { index, kind, returns: standing.returns })
    }

    fn choose(&self, round: Round, may_try: bool, now: Moment) -> Option<(usize, Kind)> {
        let left = || self.origins.iter().enumerate().filter(|(index, _)| !round.has_asked(*index));
        let usable = left().find_map(|(index, standing)| match &standing.out {
            None => Some((index, Kind::Regular)),
            Some(out) if may_try && !out.on_trial && out.until <= now => Some((index, Kind::Trial)),
            Some(_) => None,
        });
        let longest_out = || {
            let out = left().filter_map(|(index, standing)| Some((standing.out.as_ref()?.failure, index)));
            out.min().map(|(_, index)| (index, Kind::LastResort))
        };
        usable.or_else(|| if round.resorted { None } else { longest_out() })
    }

    /// Whether a turn is still to be used: who waited in between may find that others saw the origin fail, and that
    /// another one is in.
    pub fn holds(&self, turn: &Turn, round: Round) -> bool {
        let is_in = |index: usize| self.origins[index].out.is_none();
        turn.kind != Kind::Regular
            || is_in(turn.index)
            || !(0..self.origins.len()).any(|index| !round.has_asked(index) && is_in(index))
    }

    /// It answered. Whether that brought it back in.
    pub fn answered(&mut self, turn: &Turn) -> bool {
        let standing = &mut self.origins[turn.index];
        let was_out = standing.out.take().is_some();
        standing.returns += u64::from(was_out);
        was_out
    }

    /// It did not. Whether that put it out. A failure in a turn from before its last return changes nothing.
    pub fn failed(&mut self, turn: &Turn, now: Moment) -> bool {
        let until = now.plus(self.broken_time);
        let standing = &mut self.origins[turn.index];
        if standing.returns != turn.returns {
            return false;
        }
        self.failures += 1;
        let is_tried_by_another = |out: &Out| out.on_trial && turn.kind != Kind::Trial;
        let on_trial = standing.out.as_ref().is_some_and(is_tried_by_another);
        standing.out.replace(Out { until, failure: self.failures, on_trial }).is_none()
    }

    /// Nobody knows: the fetch was given up, or could not begin.
    pub fn unknown(&mut self, turn: &Turn) {
        let standing = &mut self.origins[turn.index];
        if turn.kind == Kind::Trial
            && standing.returns == turn.returns
            && let Some(out) = &mut standing.out
        {
            out.on_trial = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Clock;

    const BROKEN: Duration = Duration::from_secs(10);

    /// A fetch of a test: its round, and its turn.
    #[derive(Default)]
    struct Fetch {
        round: Round,
        turn: Option<Turn>,
    }

    impl Fetch {
        fn next(&mut self, roster: &mut Roster, now: Moment) -> Option<(usize, Kind)> {
            self.turn = roster.next(&mut self.round, true, now);
            self.turn.map(|turn| (turn.index, turn.kind))
        }

        fn fail(&mut self, roster: &mut Roster, now: Moment) {
            roster.failed(&self.turn.take().unwrap(), now);
        }
    }

    #[test]
    fn who_failed_is_left_out_for_its_time_and_then_tried_by_one() {
        let (mut roster, clock) = (Roster::new(2, BROKEN), Clock::manual(0));
        let mut first = Fetch::default();
        assert_eq!(first.next(&mut roster, clock.now()), Some((0, Kind::Regular)));
        first.fail(&mut roster, clock.now());
        assert_eq!(first.next(&mut roster, clock.now()), Some((1, Kind::Regular)));
        assert!(!roster.answered(&first.turn.unwrap()), "it was in");
        clock.advance(BROKEN - Duration::from_micros(1));
        assert_eq!(Fetch::default().next(&mut roster, clock.now()), Some((1, Kind::Regular)));
        clock.advance(Duration::from_micros(1));
        let mut trial = Fetch::default();
        assert_eq!(trial.next(&mut roster, clock.now()), Some((0, Kind::Trial)));
        for _ in 0..50 {
            assert_eq!(Fetch::default().next(&mut roster, clock.now()), Some((1, Kind::Regular)));
        }
        // It fails: out again, for the whole time.
        trial.fail(&mut roster, clock.now());
        assert_eq!(trial.next(&mut roster, clock.now()), Some((1, Kind::Regular)), "the trial goes on");
        clock.advance(BROKEN - Duration::from_micros(1));
        assert_eq!(Fetch::default().next(&mut roster, clock.now()), Some((1, Kind::Regular)));
        clock.advance(Duration::from_micros(1));
        let mut trial = Fetch::default();
        assert_eq!(trial.next(&mut roster, clock.now()), Some((0, Kind::Trial)));
        assert!(roster.answered(&trial.turn.unwrap()));
        assert_eq!(Fetch::default().next(&mut roster, clock.now()), Some((0, Kind::Regular)));
    }

    #[test]
    fn trial_that_is_given_up_leaves_the_next_one_to_another() {
        let (mut roster, clock) = (Roster::new(2, Duration::ZERO), Clock::manual(0));
        let mut fetch = Fetch::default();
        fetch.next(&mut roster, clock.now());
        fetch.fail(&mut roster, clock.now());
        let mut trial = Fetch::default();
        assert_eq!(trial.next(&mut roster, clock.now()), Some((0, Kind::Trial)));
        assert_eq!(Fetch::default().next(&mut roster, clock.now()), Some((1, Kind::Regular)));
        roster.unknown(&trial.turn.unwrap());
        assert_eq!(
            roster.next(&mut Round::default(), false, clock.now()).unwrap().index,
            1,
            "not by every method"
        );
        assert_eq!(Fetch::default().next(&mut roster, clock.now()), Some((0, Kind::Trial)));
    }

    #[test]
    fn where_all_are_out_each_fetch_asks_one_and_not_always_the_same() {
        let (mut roster, clock) = (Roster::new(3, BROKEN), Clock::manual(0));
        let mut fetch = Fetch::default();
        for index in 0..3 {
            assert_eq!(fetch.next(&mut roster, clock.now()), Some((index, Kind::Regular)));
            fetch.fail(&mut roster, clock.now());
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!(fetch.next(&mut roster, clock.now()), None);
        for index in [0, 1, 2, 0] {
            let mut fetch = Fetch::default();
            assert_eq!(fetch.next(&mut roster, clock.now()), Some((index, Kind::LastResort)));
            clock.advance(Duration::from_secs(1));
            fetch.fail(&mut roster, clock.now());
            assert_eq!(fetch.next(&mut roster, clock.now()), None, "one is enough");
        }
        let mut fetch = Fetch::default();
        fetch.next(&mut roster, clock.now());
        assert!(roster.answered(&fetch.turn.unwrap()), "the first answer is enough");
        assert_eq!(Fetch::default().next(&mut roster, clock.now()), Some((1, Kind::Regular)));
    }

    #[test]
    fn last_resort_is_left_also_to_who_saw_the_last_origin_fail() {
        let (mut roster, clock) = (Roster::new(2, BROKEN), Clock::manual(0));
        let mut fetch = Fetch::default();
        fetch.next(&mut roster, clock.now());
        fetch.fail(&mut roster, clock.now());
        let mut next = Fetch::default();
        assert_eq!(next.next(&mut roster, clock.now()), Some((1, Kind::Regular)));
        next.fail(&mut roster, clock.now());
        assert_eq!(next.next(&mut roster, clock.now()), Some((0, Kind::LastResort)));
    }

    #[test]
    fn failure_from_before_a_return_is_of_the_past() {
        let (mut roster, clock) = (Roster::new(2, BROKEN), Clock::manual(0));
        let (mut slow, mut quick) = (Fetch::default(), Fetch::default());
        slow.next(&mut roster, clock.now());
        quick.next(&mut roster, clock.now());
        quick.fail(&mut roster, clock.now());
        clock.advance(BROKEN);
        let mut trial = Fetch::default();
        assert_eq!(trial.next(&mut roster, clock.now()), Some((0, Kind::Trial)));
        roster.answered(&trial.turn.unwrap());
        slow.fail(&mut roster, clock.now());
        assert_eq!(Fetch::default().next(&mut roster, clock.now()), Some((0, Kind::Regular)));
    }

    #[test]
    fn turn_of_who_waited_holds_unless_its_origin_went_out_and_another_is_in() {
        let (mut roster, clock) = (Roster::new(2, BROKEN), Clock::manual(0));
        let (mut waiting, mut other) = (Fetch::default(), Fetch::default());
        waiting.next(&mut roster, clock.now());
        let turn = waiting.turn.unwrap();
        assert!(roster.holds(&turn, waiting.round));
        other.next(&mut roster, clock.now());
        other.fail(&mut roster, clock.now());
        assert!(!roster.holds(&turn, waiting.round));
        other.next(&mut roster, clock.now());
        other.fail(&mut roster, clock.now());
        assert!(roster.holds(&turn, waiting.round), "the other one is no better");
    }

    /// What is known of an origin, the simple way.
    #[derive(Clone, Default)]
    struct Seen {
        out_until: Option<Moment>,
        failed: usize,
        tried_by: Option<usize>,
        returned: usize,
    }

    /// A fetch, the simple way.
    struct Walk {
        round: Round,
        turn: Option<(Turn, usize)>,
        asked: Vec<usize>,
        tried: bool,
        resorted: bool,
        may_try: bool,
    }

    proptest! {
        /// Many fetches at once, in any order: every turn is one that the rules allow, and none is left out that they
        /// demand.
        #[test]
        fn every_turn_is_as_the_rules_say(
            count in 1usize..5,
            steps in prop::collection::vec((0u8..7, any::<prop::sample::Index>(), 0u64..12), 1..200),
        ) {
            let (mut roster, clock) = (Roster::new(count, BROKEN), Clock::manual(0));
            let mut origins = vec![Seen::default(); count];
            let mut walks: Vec<Walk> = Vec::new();
            for (now, (what, which, number)) in steps.into_iter().enumerate() {
                if what == 0 || walks.is_empty() {
                    let may_try = number % 4 != 0;
                    walks.push(Walk { round: Round::default(), turn: None, asked: Vec::new(), tried: false, resorted: false, may_try });
                    continue;
                }
                if what == 1 {
                    clock.advance(Duration::from_secs(number));
                    continue;
                }
                let id = which.index(walks.len());
                let walk = &mut walks[id];
                let Some((turn, begun)) = walk.turn.take() else {
                    let moment = clock.now();
                    let left: Vec<usize> = (0..count).filter(|index| !walk.asked.contains(index)).collect();
                    let is_in = |index: usize| origins[index].out_until.is_none();
                    let may_be_tried = |index: usize| {
                        let Seen { out_until, tried_by, .. } = &origins[index];
                        walk.may_try && !walk.tried && tried_by.is_none() && out_until.is_some_and(|until| until <= moment)
                    };
                    let turn = roster.next(&mut walk.round, walk.may_try, moment);
                    let usable = left.iter().copied().find(|index| is_in(*index) || may_be_tried(*index));
                    match turn {
                        None => {
                            prop_assert!(usable.is_none() && (left.is_empty() || walk.resorted));
                            prop_assert!(!walk.asked.is_empty(), "each fetch asks one");
                            continue;
                        }
                        Some(Turn { index, kind: Kind::LastResort, .. }) => {
                            prop_assert!(usable.is_none() && !walk.resorted && left.contains(&index));
                            let failed = |index: usize| origins[index].failed;
                            prop_assert!(left.iter().all(|other| failed(index) <= failed(*other)), "the longest out");
                            walk.resorted = true;
                        }
                        Some(Turn { index, kind, .. }) => {
                            prop_assert_eq!(usable, Some(index), "the first that may be asked");
                            prop_assert_eq!(kind == Kind::Regular, is_in(index));
                            if kind == Kind::Trial {
                                walk.tried = true;
                                origins[index].tried_by = Some(id);
                            }
                        }
                    }
                    let turn = turn.unwrap();
                    walk.asked.push(turn.index);
                    walk.turn = Some((turn, now));
                    continue;
                };
                let origin = &mut origins[turn.index];
                let is_trial = turn.kind == Kind::Trial && origin.tried_by == Some(id);
                match what {
                    2 | 3 => {
                        prop_assert_eq!(roster.answered(&turn), origin.out_until.is_some());
                        if origin.out_until.take().is_some() {
                            (origin.returned, origin.tried_by) = (now, None);
                        }
                    }
                    4 | 5 => {
                        let counts = origin.returned <= begun;
                        let went_out = roster.failed(&turn, clock.now());
                        prop_assert_eq!(went_out, counts && origin.out_until.is_none());
                        if counts {
                            (origin.out_until, origin.failed) = (Some(clock.now().plus(BROKEN)), now);
                            if is_trial {
                                origin.tried_by = None;
                            }
                        }
                    }
                    _ => {
                        roster.unknown(&turn);
                        if is_trial {
                            origin.tried_by = None;
                        }
                    }
                }
            }
        }
    }
}
