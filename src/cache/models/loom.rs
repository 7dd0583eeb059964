//! The fences and the variant's mark under loom, around a store of one key that is read without a lock.
//!
//! Every variant holds the version that its fetch read after its ticket. A purge raises the version before it
//! publishes, and requires it of every look-up that begins after it has returned. `FRESHET_LOOM_PREEMPTIONS=3`
//! searches deeper than a normal run.

use std::sync::atomic::AtomicU64 as Counter;
use std::sync::{Arc, LazyLock, Mutex as Plain};

use bytes::Bytes;
use http::StatusCode;

use self::fence::{Fences, Sweep, Swept, Ticket};
use self::snapshot::Verdict;
use self::span::{Span, Subject};
use self::sync::{AtomicU64, Mutex, Ordering, Published};
use self::variant::Variant;
use crate::cache::body::{self, Body};
use crate::cache::fields::{self, Shapes};
use crate::cache::model;
use crate::clock::Clock;
use crate::key::Key;
use crate::key::examples::DEMO;
use crate::semantics::Fill;
use crate::target::{Mode, Tags, Target};

mod checker {
    pub use loom::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
    pub use loom::sync::{Condvar, Mutex, MutexGuard};
    pub use loom::thread::yield_now;
}

#[path = "../fence.rs"]
mod fence;
#[path = "../hottest.rs"]
mod hottest;
#[path = "../snapshot.rs"]
mod snapshot;
#[path = "../span.rs"]
mod span;
#[path = "sync.rs"]
mod sync;
#[path = "../variant.rs"]
mod variant;

/// Preemptions of one execution in a normal run.
const PREEMPTIONS: usize = 2;

/// What does not differ from one execution to the next.
struct Given {
    clock: Clock,
    key: Key,
    fill: Fill,
    url: Target,
    folder: Target,
    transformation: Target,
    pattern: Target,
}

static GIVEN: LazyLock<Given> = LazyLock::new(|| {
    let clock = Clock::manual(1_700_000_000);
    let fill = model::planned(&model::fields(0), false, &clock);
    Given {
        clock,
        key: model::key(DEMO, "p/q/tr:n-hero/a.jpg"),
        fill,
        url: model::target(DEMO, "p/q/tr:n-hero/a.jpg"),
        folder: model::target(DEMO, "p/q/*"),
        transformation: model::target(DEMO, "transformation hero"),
        pattern: model::target(DEMO, "pattern p/*/a.jpg"),
    }
});

/// The fences, and a store of one key.
struct World {
    fences: Arc<Fences>,
    shapes: Shapes,
    stripe: Mutex<()>,
    stored: Published<Option<Arc<Variant>>>,
    /// What the origin has.
    version: AtomicU64,
    /// What a look-up must not be older than: at all, and without being stale.
    required: AtomicU64,
    required_fresh: AtomicU64,
    purges: Counter,
    told: Arc<Counter>,
    wrong: Plain<Vec<String>>,
}

impl World {
    /// The key is stored.
    fn new() -> Arc<World> {
        let world = Arc::new(World {
            fences: Fences::new(),
            shapes: Shapes::default(),
            stripe: Mutex::new(()),
            stored: Published::new(None),
            version: AtomicU64::new(1),
            required: AtomicU64::new(0),
            required_fresh: AtomicU64::new(0),
            purges: Counter::new(0),
            told: Arc::default(),
            wrong: Plain::default(),
        });
        world.fetch();
        world
    }

    fn subject<'a>(&self, variant: &'a Variant) -> Subject<'a> {
        Subject::known(GIVEN.key.as_str(), variant.tags())
    }

    /// As `Cache::look_up` does.
    fn look_up(&self) {
        let required = self.required.load(Ordering::Acquire);
        let required_fresh = self.required_fresh.load(Ordering::Acquire);
        let view = self.fences.view();
        let stored = self.stored.load();
        let Some(variant) = &*stored else { return };
        match view.judge(self.subject(variant), variant.epoch()) {
            Verdict::Gone => return,
            Verdict::Stale(epoch) => drop(variant.make_stale(epoch)),
            Verdict::Live => {}
        }
        let version = version(variant);
        let is_old = version < required || !variant.is_stale() && version < required_fresh;
        if is_old {
            let wrong = format!("wanted {required}, fresh {required_fresh}, got {version}");
            self.wrong.lock().unwrap().push(wrong);
        }
    }

    /// A fetch and its commit, as `Cache::commit` does.
    fn fetch(&self) {
        let ticket = self.fences.enter(&GIVEN.key);
        let version = self.version.load(Ordering::Relaxed);
        self.commit(ticket, version);
    }

    /// The answer to an unsafe method, which makes all invalid that is older.
    fn supersede(&self) {
        let ticket = self.fences.enter(&GIVEN.key);
        let version = self.version.load(Ordering::Relaxed);
        if let Some(ticket) = self.fences.supersede(ticket, &GIVEN.key) {
            self.commit(ticket, version);
        }
    }

    fn commit(&self, ticket: Ticket, version: u64) {
        let body = Body::new(vec![Bytes::from(version.to_string())]);
        let (fill, now) = (&GIVEN.fill, GIVEN.clock.now());
        let variant =
            Variant::new(ticket.epoch(), StatusCode::OK, fill, Tags::default(), body, now, &self.shapes);
        let view = self.fences.view();
        match view.judge(self.subject(&variant), variant.epoch()) {
            Verdict::Gone => return,
            Verdict::Stale(epoch) => drop(variant.make_stale(epoch)),
            Verdict::Live => {}
        }
        let stripe = self.stripe.lock();
        self.stored.store(Arc::new(Some(Arc::new(variant))));
        drop(stripe);
        drop(ticket);
    }

    fn purge(&self, mode: Mode, target: &Target) {
        let version = self.version.fetch_add(1, Ordering::Relaxed) + 1;
        let told = self.told.clone();
        let on_swept = Box::new(move |_: fence::Removed| {
            told.fetch_add(1, Ordering::Relaxed);
        });
        self.purges.fetch_add(1, Ordering::Relaxed);
        let span = Span::of(target).remove(0);
        self.fences.publish(mode, span, on_swept);
        let required = match mode {
            Mode::Delete => &self.required,
            Mode::Stale => &self.required_fresh,
        };
        required.fetch_max(version, Ordering::AcqRel);
    }

    /// All sweeps that have something to do.
    fn sweep(&self) {
        while let Some(sweep) = self.fences.ready_sweep() {
            self.sweep_once(&sweep);
            if sweep.first {
                self.fences.swept(sweep.number, Swept::default());
            } else {
                self.fences.retire(sweep.number);
            }
        }
    }

    fn sweep_once(&self, sweep: &Sweep) {
        let _stripe = self.stripe.lock();
        let stored = self.stored.load();
        let Some(variant) = &*stored else { return };
        if variant.epoch() < sweep.epoch && sweep.span.covers(self.subject(variant)) {
            match sweep.mode {
                Mode::Delete => self.stored.store(Arc::new(None)),
                Mode::Stale => drop(variant.make_stale(sweep.epoch)),
            }
        }
    }

    /// When the threads have ended.
    fn come_to_rest(&self) {
        self.sweep();
        assert_eq!(self.fences.counts(), (0, 0), "something is left behind");
        assert!(self.fences.view().is_clear(), "at rest a look-up reads one atomic");
        let told = self.told.load(Ordering::Relaxed);
        assert_eq!(told, self.purges.load(Ordering::Relaxed), "every purge is told of its sweep, once");
        self.look_up();
        if let Some(variant) = &*self.stored.load() {
            let is_clean = match self.fences.retired().judge(self.subject(variant), variant.epoch()) {
                Verdict::Live => true,
                Verdict::Stale(_) => variant.is_stale(),
                Verdict::Gone => false,
            };
            assert!(is_clean, "{} outlived a fence", version(variant));
        }
        let wrong = self.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

fn version(variant: &Variant) -> u64 {
    model::digits(variant.body())
}

/// Runs `before` and then `threads`, each in a thread of its own but for the first, in every order.
fn explore(before: fn(&World), threads: &'static [fn(&World)]) {
    LazyLock::force(&GIVEN); // Before loom, whose stacks are small.
    let executions = Arc::new(Counter::new(0));
    let counted = executions.clone();
    let mut builder = loom::model::Builder::new();
    let preemptions = model::number("FRESHET_LOOM_PREEMPTIONS").map(|number| number as usize);
    builder.preemption_bound = Some(preemptions.unwrap_or(PREEMPTIONS));
    builder.max_branches = 100_000;
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let world = World::new();
        before(&world);
        let (own, others) = threads.split_first().unwrap();
        let spawned: Vec<_> = others
            .iter()
            .map(|thread| {
                let world = world.clone();
                loom::thread::spawn(move || thread(&world))
            })
            .collect();
        own(&world);
        for thread in spawned {
            thread.join().unwrap();
        }
        world.come_to_rest();
    });
    println!("{} executions", executions.load(Ordering::Relaxed));
}

fn nothing(_: &World) {}

/// A purge whose first sweep has ended, and whose last one is due.
fn purged(world: &World) {
    world.purge(Mode::Delete, &GIVEN.url);
    let sweep = world.fences.ready_sweep().unwrap();
    world.sweep_once(&sweep);
    world.fences.swept(sweep.number, Swept::default());
}

#[test]
fn hard_purge_is_not_undone_by_a_fetch_and_its_retirement_by_no_look_up() {
    explore(
        nothing,
        &[
            |world| world.look_up(),
            |world| world.fetch(),
            |world| {
                world.purge(Mode::Delete, &GIVEN.url);
                world.sweep();
            },
        ],
    );
}

#[test]
fn answer_that_supersedes_what_is_older_is_itself_no_older_than_any_purge() {
    explore(
        nothing,
        &[
            |world| world.look_up(),
            |world| world.supersede(),
            |world| {
                world.purge(Mode::Delete, &GIVEN.folder);
                world.sweep();
            },
        ],
    );
}

#[test]
fn soft_purge_leaves_nothing_fresh_that_is_older() {
    explore(
        nothing,
        &[
            |world| world.look_up(),
            |world| world.fetch(),
            |world| {
                world.purge(Mode::Stale, &GIVEN.url);
                world.sweep();
            },
        ],
    );
}

#[test]
fn fence_that_is_published_while_another_retires_is_seen() {
    explore(
        purged,
        &[
            |world| world.sweep(),
            |world| world.fetch(),
            |world| {
                world.purge(Mode::Delete, &GIVEN.folder);
                world.look_up();
            },
        ],
    );
}

#[test]
fn overlapping_fences_of_both_modes_hold_what_each_promises() {
    explore(
        nothing,
        &[
            |world| {
                world.sweep();
                world.look_up();
            },
            |world| world.purge(Mode::Delete, &GIVEN.url),
            |world| world.purge(Mode::Stale, &GIVEN.folder),
            |world| world.fetch(),
        ],
    );
}

#[test]
fn fences_over_a_transformation_and_a_pattern_hold_what_each_promises() {
    explore(
        nothing,
        &[
            |world| {
                world.sweep();
                world.look_up();
            },
            |world| world.purge(Mode::Stale, &GIVEN.transformation),
            |world| world.purge(Mode::Delete, &GIVEN.pattern),
            |world| world.fetch(),
        ],
    );
}

#[test]
fn fence_that_is_absorbed_while_it_is_swept_is_told_of_by_its_absorber() {
    explore(
        |world| world.purge(Mode::Stale, &GIVEN.url),
        &[
            |world| world.sweep(),
            |world| {
                world.purge(Mode::Delete, &GIVEN.folder);
                world.look_up();
            },
            |world| world.fetch(),
        ],
    );
}
