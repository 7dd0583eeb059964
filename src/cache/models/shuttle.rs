//! The whole cache under shuttle: requests, purges, sweeps and evictions, in random order, a step at a time.
//!
//! What is demanded of it stands in `shuttle/world.rs`. `FRESHET_SHUTTLE_RUNS=100` makes a hundred times the
//! executions of one run; a failure says its seed.

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, MaxSteps, Runner};

use self::checker::{Rng, random, yield_now};
use self::world::{GIVEN, Seen, Storm, World};
use super::Seed;
use crate::cache::model;
use crate::cache::{body, fields, pages};
use crate::target::Mode;

mod checker {
    pub use shuttle::rand::{Rng, thread_rng as random};
    pub use shuttle::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
    pub use shuttle::sync::{Condvar, Mutex, MutexGuard};
    pub use shuttle::thread::yield_now;
}

#[path = "../audit.rs"]
mod audit;
#[path = "../discipline.rs"]
mod discipline;
#[path = "../fence.rs"]
mod fence;
#[path = "../flight.rs"]
mod flight;
#[path = "../hottest.rs"]
mod hottest;
#[path = "../index.rs"]
mod index;
mod map;
#[path = "../markers.rs"]
mod markers;
#[path = "../snapshot.rs"]
mod snapshot;
#[path = "../span.rs"]
mod span;
#[path = "../store.rs"]
mod store;
#[path = "sync.rs"]
mod sync;
#[path = "../variant.rs"]
mod variant;
mod world;

/// Executions of one seed, and seeds of a normal run.
const EXECUTIONS: usize = 100;
const SEEDS: u64 = 50;
/// Places where a schedule of the one kind changes threads against its order.
const DEPTH: usize = 4;
/// Steps after which an execution never ends; the longest has some thousand.
const STEPS_MAX: usize = 100_000;
/// For debug builds of deep calls.
const STACK_BYTES: usize = 256 * 1024;
fn explore(run: impl Fn() + Clone + Send + Sync + 'static) {
    LazyLock::force(&GIVEN);
    let alone = model::number("FRESHET_SHUTTLE_SEED");
    let seeds = match alone {
        Some(seed) => seed..seed + 1,
        None => 0..SEEDS * model::number("FRESHET_SHUTTLE_RUNS").unwrap_or(1),
    };
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.silence_warnings = true;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    for seed in seeds {
        let _seed = Seed(seed, "FRESHET_SHUTTLE_SEED");
        if seed.is_multiple_of(2) {
            let scheduler = RandomScheduler::new_from_seed(seed, EXECUTIONS);
            Runner::new(scheduler, config.clone()).run(run.clone());
        } else {
            let scheduler = PctScheduler::new_from_seed(seed, DEPTH, EXECUTIONS);
            Runner::new(scheduler, config.clone()).run(run.clone());
        }
    }
}

/// Runs the storm many times; what is known of them.
fn rage(storm: Storm) -> Arc<Seen> {
    let seen = Arc::<Seen>::default();
    let given = seen.clone();
    explore(move || {
        let world = World::new(storm, &given);
        world.fill_all();
        let thread = |body: fn(&World)| {
            let world = world.clone();
            shuttle::thread::spawn(move || body(&world))
        };
        let sweeper = thread(World::sweep);
        let purgers =
            (0..storm.purgers).map(|_| thread(|world| (0..world.storm.purges).for_each(|_| world.purge())));
        let readers = (0..storm.readers)
            .map(|_| thread(|world| (0..world.storm.requests).for_each(|_| world.request())));
        let threads: Vec<_> = purgers.chain(readers).collect();
        for thread in threads {
            thread.join().unwrap();
        }
        while world.cache.figures().fences > 0 {
            yield_now();
        }
        world.cache.close();
        sweeper.join().unwrap();
        world.check_at_rest();
    });
    println!("{seen:?}, {} evictions", map::EVICTIONS.get());
    for counter in [&seen.hits, &seen.follows, &seen.renewals, &seen.purged_commits] {
        assert!(counter.load(Ordering::Relaxed) > 0, "{seen:?}");
    }
    seen
}

/// Room for all that is stored here.
const ROOMY_BYTES: u64 = 1024 * 1024;
/// Room for one variant.
const TIGHT_BYTES: u64 = 1000;

#[test]
fn requests_and_purges_of_two_keys_in_any_order() {
    rage(Storm { keys: 2, readers: 2, requests: 3, purgers: 2, purges: 2, max_bytes: ROOMY_BYTES });
    assert_eq!(map::EVICTIONS.get(), 0);
}

#[test]
fn requests_purges_and_evictions_of_one_key_in_any_order() {
    let storm = Storm { keys: 1, readers: 3, requests: 2, purgers: 1, purges: 2, max_bytes: TIGHT_BYTES };
    let seen = rage(storm);
    assert!(map::EVICTIONS.get() > 0 && seen.dangling.load(Ordering::Relaxed) > 0, "{seen:?}");
}

/// Few steps, so that each place within the commit is tried: between its get and its write the resource is evicted,
/// and the fence that covers it is swept and retires; or its new pair is met by a sweep before its entry is there.
#[test]
fn commit_beside_a_covered_variant_that_is_evicted_and_swept() {
    let storm = Storm { keys: 1, readers: 1, requests: 1, purgers: 1, purges: 1, max_bytes: 0 };
    let seen = Arc::<Seen>::default();
    let given = seen.clone();
    explore(move || {
        let world = World::new(storm, &given);
        let (lead, _) = world.cache.fetch_alone(&GIVEN.keys[0], &GIVEN.accepts[0]);
        world.answer(0, 0, lead, None);
        let is_purged = random().gen_bool(0.5);
        if is_purged {
            world.purge_target(&GIVEN.targets[0], Mode::Delete);
        }
        let other = world.clone();
        let sweeper = shuttle::thread::spawn(move || {
            if !is_purged {
                other.purge_target(&GIVEN.targets[0], Mode::Delete);
            } else {
                other.cache.settle();
            }
            other.sweep_ready();
        });
        let (lead, _) = world.cache.fetch_alone(&GIVEN.keys[0], &GIVEN.accepts[1]);
        world.answer(0, 1, lead, None);
        sweeper.join().unwrap();
        world.sweep_ready();
        world.check_at_rest();
    });
    println!("{seen:?}, {} evictions", map::EVICTIONS.get());
    assert!(map::EVICTIONS.get() > 0);
}
