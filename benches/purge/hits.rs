//! Hits of another thread while a sweep of 100 000 entries runs, and while none does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Figure;
use crate::world::{MATCHES, Pace, World, median, quantile, url};

const ROUNDS: usize = 9;

pub fn figures(entries: usize) -> Vec<Figure> {
    let matches =
        MATCHES.into_iter().rev().find(|matches| *matches <= 100_000.min(entries / 2)).expect("a small one");
    let world = World::new(entries);
    // Half of what is stored is read, and the other half purged in turn.
    let keys: Vec<_> =
        (0..entries / 2).step_by((entries / 2 / 100_000).max(1)).map(|at| world.key(&url(at))).collect();
    let mut quiet = Vec::new();
    let mut swept = Vec::new();
    for round in 0..ROUNDS {
        let blocks = entries.div_ceil(2) / matches;
        let at = (entries / 2).next_multiple_of(matches) + round % blocks.max(1) * matches;
        let at = if at + matches > entries { entries - matches } else { at };
        world.fill(at..at + matches);
        world.cache.settle();
        let key = world.key(&url(at));
        let target = world.prefix(at, matches);
        let (during, time) = read_while(&world, &keys, || {
            let start = Instant::now();
            let (_, done) = world.purge(&target, &key, Pace::Burst);
            done.recv().expect("it is swept");
            start.elapsed()
        });
        swept.push(during);
        world.rest();
        let (without, _) = read_while(&world, &keys, || {
            std::thread::sleep(time);
            time
        });
        quiet.push(without);
    }
    let mut ratio = |share: f64| {
        let mut ratios: Vec<f64> = swept
            .iter_mut()
            .zip(&mut quiet)
            .map(|(swept, quiet)| f64::from(quantile(swept, share)) / f64::from(quantile(quiet, share)))
            .collect();
        median(&mut ratios)
    };
    let (p99, p999) = (ratio(0.99), ratio(0.999));
    let mut told = |share: f64| {
        let of = |all: &mut Vec<Vec<u32>>| {
            let mut all: Vec<u32> = all.iter_mut().map(|times| quantile(times, share)).collect();
            f64::from(median(&mut all)) / 1000.0
        };
        format!("{:.1} and {:.1}", of(&mut quiet), of(&mut swept))
    };
    vec![
        Figure::told("a hit without and during a sweep, p50, µs", told(0.5)),
        Figure::told("the same, p99, µs", told(0.99)),
        Figure::told("the same, p99.9, µs", told(0.999)),
        Figure::at_most(
            &format!("a hit's p99 during a sweep of {matches}, to that without"),
            "times",
            1.5,
            p99,
            2,
        ),
        Figure::told("a hit's p99.9 during a sweep, to that without", format!("{p999:.2}")),
    ]
}

/// The times of hits, in nanoseconds, from one thread, as long as `work` runs in this one.
fn read_while(
    world: &World,
    keys: &[freshet::key::Key],
    work: impl FnOnce() -> Duration,
) -> (Vec<u32>, Duration) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let reader = threads.spawn(|| {
            let mut times = Vec::with_capacity(1 << 22);
            let mut random = 1_u64;
            // Once at least, however short the work is.
            while times.is_empty() || !stop.load(Ordering::Relaxed) && times.len() < times.capacity() {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let key = &keys[(random >> 33) as usize % keys.len()];
                let start = Instant::now();
                let found = world.has(key);
                let took = start.elapsed();
                assert!(found, "{}", key.as_str());
                times.push(u32::try_from(took.as_nanos()).unwrap_or(u32::MAX));
            }
            times
        });
        let took = work();
        stop.store(true, Ordering::Relaxed);
        (reader.join().expect("it reads"), took)
    })
}
