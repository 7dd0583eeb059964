//! From the call of a purge to the first miss; and what the sweeper's thread spends behind it.

use std::time::Duration;

use crate::Figure;
use crate::world::{MATCHES, Pace, World, median, micros, thread_time, url};

/// Live fences that are kept, and in words; at most two more stand, those of the purges. At the cap one purge more
/// folds two of them.
const FENCES: [(usize, &str); 4] = [
    (0, "1"),
    (1, "2"),
    (freshet::limits::FENCES_MAX - 2, "99"),
    (freshet::limits::FENCES_MAX, "at the cap"),
];

/// At least so many entries a second, of the sweeper's thread.
const SWEPT_PER_SECOND_MIN: f64 = 100_000.0;

pub fn figures(entries: usize) -> Vec<Figure> {
    let mut world = World::new(entries);
    let steps: Vec<usize> = MATCHES.into_iter().filter(|matches| *matches <= entries).collect();
    let mut figures = Vec::new();
    let mut sweeps = Vec::new();
    for pace in [Pace::Burst, Pace::Rested] {
        figures.extend(prefixes(&mut world, entries, &steps, pace, &mut sweeps));
        figures.extend(exact(&mut world, entries, pace));
    }
    let name =
        format!("sweep of {} entries by URL, entries per second of thread CPU", steps[steps.len() - 1]);
    figures.push(Figure::at_least(&name, "a second", SWEPT_PER_SECOND_MIN, median(&mut sweeps)));
    figures.push(by_asset(&mut world, steps[steps.len() - 1]));
    figures
}

/// How a purge's name goes on, and whether it has a bar.
fn paced(pace: Pace) -> (&'static str, bool) {
    match pace {
        Pace::Burst => ("right after others", true),
        Pace::Rested => ("after 3 ms, with the sweeper to be woken", false),
    }
}

fn prefixes(
    world: &mut World,
    entries: usize,
    steps: &[usize],
    pace: Pace,
    sweeps: &mut Vec<f64>,
) -> Vec<Figure> {
    let (how, has_bar) = paced(pace);
    let mut next = 0;
    let mut figures = Vec::new();
    for (fences, words) in FENCES {
        world.keep_fences(fences, false);
        let mut medians = Vec::new();
        for matches in steps {
            let mut times = Vec::new();
            for _ in 0..rounds(*matches, entries) {
                // Another place each time, so that large ones are seldom filled anew.
                let at = next % (entries / matches) * matches;
                next += 1;
                world.fill(at..at + matches);
                world.raise_kept();
                let (target, key) = (world.prefix(at, *matches), world.key(&url(at)));
                let before = thread_time(Some("sweeper"));
                let (took, swept) = world.purge(&target, &key, pace);
                times.push(micros(took));
                let removed = swept.recv().expect("it is swept").entries;
                assert_eq!(removed as usize, *matches);
                if *matches == *steps.last().expect("there is one") {
                    sweeps.push(removed as f64 / (thread_time(Some("sweeper")) - before).as_secs_f64());
                }
                world.rest_or_folded(fences);
            }
            medians.push(median(&mut times));
        }
        let name = format!(
            "prefix purge until visible, {words} fences alive, µs, for {} matches, {how}",
            list(steps)
        );
        let most = medians.iter().copied().fold(0.0, f64::max);
        let texts: Vec<String> = medians.iter().map(|median| format!("{median:.1}")).collect();
        let ratio = medians[medians.len() - 1] / medians[0];
        figures.push(match has_bar {
            true => Figure {
                name,
                bar: "≤ 10, and the last ≤ 2 times the first".into(),
                value: texts.join(", "),
                kept: most <= 10.0 && ratio <= 2.0,
            },
            false => Figure::told(&name, texts.join(", ")),
        });
    }
    figures
}

fn exact(world: &mut World, entries: usize, pace: Pace) -> Vec<Figure> {
    let (how, has_bar) = paced(pace);
    let mut figures = Vec::new();
    for (fences, words) in FENCES {
        world.keep_fences(fences, true);
        let mut times = Vec::new();
        for at in 0..rounds(1, entries) {
            let at = at * 7 % entries;
            world.fill(at..at + 1);
            world.raise_kept();
            let (took, swept) = world.purge(&world.target(&url(at)), &world.key(&url(at)), pace);
            assert_eq!(swept.recv().expect("it is swept").entries, 1);
            times.push(micros(took));
            world.rest_or_folded(fences);
        }
        let name = format!("exact purge until visible, {words} fences alive, µs, {how}");
        let median = median(&mut times);
        figures.push(match has_bar {
            true => Figure::at_most(&name, "µs", 5.0, median, 1),
            false => Figure::told(&name, format!("{median:.1}")),
        });
    }
    figures
}

/// One image with many transformations.
fn by_asset(world: &mut World, matches: usize) -> Figure {
    world.keep_fences(0, false);
    let url = |at: usize| {
        format!(
            "http://img.test/photographs/m000/l0/k0/c00/the-one-picture.jpg?tr=w-{},h-{at:07},q-80",
            at % 997
        )
    };
    let mut sweeps = Vec::new();
    for _ in 0..if matches >= 1_000_000 { 1 } else { 3 } {
        (0..matches).for_each(|at| world.store(&url(at)));
        let before = thread_time(Some("sweeper"));
        let (_, swept) = world.purge(&world.asset(&url(0)), &world.key(&url(0)), Pace::Burst);
        let removed = swept.recv().expect("it is swept").entries;
        assert_eq!(removed as usize, matches);
        sweeps.push(matches as f64 / (thread_time(Some("sweeper")) - before).as_secs_f64());
        world.rest_or_folded(0);
    }
    let name = format!("sweep of {matches} entries by asset, entries per second of thread CPU");
    Figure::at_least(&name, "a second", SWEPT_PER_SECOND_MIN, median(&mut sweeps))
}

fn rounds(matches: usize, entries: usize) -> usize {
    let rounds = match matches {
        1 | 100 => 151,
        10_000 => 21,
        100_000 => 7,
        _ => 3,
    };
    if entries < 100_000 { 3 } else { rounds }
}

fn list(matches: &[usize]) -> String {
    matches.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

impl World {
    /// Waits for the sweeper to be idle. At the cap the purge's own fence may have been folded with a kept one.
    fn rest_or_folded(&self, kept: usize) {
        if kept < freshet::limits::FENCES_MAX {
            self.rest();
        }
        std::thread::sleep(Duration::from_micros(200)); // It sleeps again: the next purge has to wake it.
    }
}
