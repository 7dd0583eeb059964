//! The filled cache that purges are measured on, fences that stay alive, and the clocks.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use freshet::cache::{Cache, Lead, Lookup, Reader, Removed, Swept};
use freshet::clock::Clock;
use freshet::key::{Endpoints, Key};
use freshet::semantics::Fill;
use freshet::target::{Mode, Target};
use http::HeaderMap;

use crate::support;

/// A cache whose entries lie in folders within folders, so that prefixes name 1, 100, 10 000, 100 000 or 1 000 000.
pub struct World {
    pub cache: Arc<Cache>,
    endpoints: Endpoints,
    plan: Fill,
    piece: Bytes,
    leads: Vec<(Lead, Reader, String)>,
    /// Publications of kept fences.
    raised: usize,
}

/// What comes before a purge that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Purges of nothing, right before it: the processor's caches have what a purge needs, the sweeper is awake.
    Burst,
    /// The same, 3 ms before it: the sweeper sleeps again and has to be woken.
    Rested,
}

/// Purges of nothing before a measured one.
const BURST: usize = 8;

/// How many entries one prefix may name.
pub const MATCHES: [usize; 5] = [1, 100, 10_000, 100_000, 1_000_000];

/// The URL of an entry: its key has about 80 bytes.
pub fn url(at: usize) -> String {
    format!("{}-original.jpg?tr=w-300,h-200,q-80", path(at, 1))
}

/// The beginning of the URLs of all `matches` entries around `at`.
fn path(at: usize, matches: usize) -> String {
    let depth = MATCHES.iter().rev().position(|step| *step == matches).expect("a power of MATCHES");
    let parts = [
        format!("m{:03}/", at / 1_000_000),
        format!("l{:01}/", at / 100_000 % 10),
        format!("k{:01}/", at / 10_000 % 10),
        format!("c{:02}/", at / 100 % 100),
        format!("picture-{:09}", at),
    ];
    format!("http://img.test/photographs/{}", parts[..=depth].concat())
}

impl World {
    pub fn new(entries: usize) -> World {
        let cache = Cache::new(1 << 36, Clock::system());
        cache.start_sweeper().expect("a thread");
        let plan = support::plan(&support::response());
        let piece = Bytes::from(vec![7; 64]);
        let world =
            World { cache, endpoints: support::endpoints(), plan, piece, leads: Vec::new(), raised: 0 };
        world.fill(0..entries);
        world.cache.settle();
        world
    }

    pub fn key(&self, url: &str) -> Key {
        self.endpoints.parse_url(url).expect("a valid URL").key
    }

    pub fn target(&self, url: &str) -> Target {
        Target::parse(url, 0, &self.endpoints).expect("it is eligible")
    }

    pub fn asset(&self, url: &str) -> Target {
        Target::parse_asset(url, 0, &self.endpoints).expect("it is one image")
    }

    /// The prefix over the `matches` entries around `at`.
    pub fn prefix(&self, at: usize, matches: usize) -> Target {
        self.target(&format!("{}*", path(at, matches)))
    }

    pub fn store(&self, url: &str) {
        support::fill(&self.cache, &self.key(url), &self.plan, &self.piece);
    }

    /// Stores those that are not there.
    pub fn fill(&self, entries: std::ops::Range<usize>) {
        for url in entries.map(url) {
            if !self.has(&self.key(&url)) {
                self.store(&url);
            }
        }
    }

    pub fn has(&self, key: &Key) -> bool {
        matches!(self.cache.look_up(key, &HeaderMap::new()), Lookup::Found(_))
    }

    /// Purges, and looks up what it must have made invisible: how long both took, and what the sweep brings.
    pub fn purge(&self, target: &Target, covered: &Key, pace: Pace) -> (Duration, mpsc::Receiver<Swept>) {
        let (tell, swept) = mpsc::channel();
        let fields = HeaderMap::new();
        let on_swept =
            Box::new(move |removed: Removed| tell.send(removed.swept).expect("the bench waits for it"));
        // As a thread that waits for requests: not one that has just used up its share of the core.
        std::thread::sleep(Duration::from_millis(5));
        let nothing = if matches!(target, Target::Url(_)) { "nothing.jpg" } else { "nothing/*" };
        let nothing = self.target(&format!("http://img.test/photographs/{nothing}"));
        for _ in 0..BURST {
            self.cache.purge(&nothing, Mode::Delete, Box::new(|_| {}));
        }
        if pace == Pace::Rested {
            std::thread::sleep(Duration::from_millis(3));
        }
        assert!(matches!(self.cache.look_up(covered, &fields), Lookup::Found(_)), "{}", covered.as_str());
        let start = Instant::now();
        self.cache.purge(target, Mode::Delete, on_swept);
        let found = self.cache.look_up(covered, &fields);
        let took = start.elapsed();
        assert!(!matches!(found, Lookup::Found(_)), "{}", covered.as_str());
        (took, swept)
    }

    /// Waits until no fence is alive but those that are kept.
    pub fn rest(&self) {
        let start = Instant::now();
        while self.cache.figures().fences > self.leads.len() {
            assert!(start.elapsed() < Duration::from_secs(600), "a fence does not retire");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Keeps `count` fences alive, each by a fetch under it that began before it: prefixes, or exact URLs.
    pub fn keep_fences(&mut self, count: usize, exact: bool) {
        self.leads.clear();
        self.rest();
        let fields = HeaderMap::new();
        for at in 0..count {
            let url = format!("http://img.test/photographs/kept-{at:03}/a-picture.jpg");
            let (lead, reader) = self.cache.fetch_alone(&self.key(&url), &fields);
            let purged = if exact { url } else { format!("http://img.test/photographs/kept-{at:03}/*") };
            self.leads.push((lead, reader, purged));
        }
        self.raise_kept();
    }

    /// Publishes kept fences again, as far as they were folded: as many as are to be alive are alive then.
    pub fn raise_kept(&mut self) {
        let start = Instant::now();
        while self.cache.figures().fences < self.leads.len() {
            // In turn: the last one that was raised is the last to be needed again.
            let (_, _, purged) = &self.leads[self.raised % self.leads.len()];
            self.raised += 1;
            self.cache.purge(&self.target(purged), Mode::Delete, Box::new(|_| {}));
            assert!(start.elapsed() < Duration::from_secs(60), "as many as asked for");
        }
    }
}

/// The middle one.
pub fn median<T: PartialOrd + Copy>(values: &mut [T]) -> T {
    quantile(values, 0.5)
}

/// The one below which `share` of them lie.
pub fn quantile<T: PartialOrd + Copy>(values: &mut [T], share: f64) -> T {
    assert!(!values.is_empty(), "nothing was measured");
    values.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
    values[((values.len() - 1) as f64 * share) as usize]
}

pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The time that a thread of this process has run, by the scheduler: the sweeper, or this one.
pub fn thread_time(name: Option<&str>) -> Duration {
    let text = match name {
        None => std::fs::read_to_string("/proc/thread-self/schedstat"),
        Some(name) => {
            let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
            let named = tasks.map(|task| task.expect("it is listed").path()).find(|task| {
                std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
            });
            std::fs::read_to_string(named.expect("it runs").join("schedstat"))
        }
    };
    let text = text.expect("Linux");
    Duration::from_nanos(text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number"))
}
