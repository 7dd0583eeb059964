//! The staleness oracle: the promise, over sockets, under load.
//!
//! Each object of the origin has a version, and two URLs: its own, and that of a named transformation, in the path or in
//! the query. A purger raises the versions of what it is about to purge (one URL, a prefix, a folder, an asset, a tag, a
//! transformation, a pattern), purges, and at the acknowledgement publishes: every answer to a request for one of the URLs that it named, begun
//! from now on, has at least this version.
//! Readers note what is required of their object before they send, and compare it with what they get: bodies,
//! parts, answers to HEAD, and 304s by their entity tags. The origin is slow for some objects (0, 5 and 30 ms),
//! lifetimes are short and the clock runs, so that revalidations, renewals and stale answers happen; several
//! readers ask for one hot object, so that they share fetches; and the cache is too small for all objects.
//! Another run has a route with `http = "rfc"`, where parts are stored and completed, and an origin that changes
//! unannounced too: no answer may tell of two versions.
//!
//! `FRESHET_ORACLE_READS=200000` reads more than the normal run does. What counts is a read of an object that
//! was purged at least once, begun after the acknowledgement of its newest purge.
//!
//! What it notices of code that is broken on purpose stands in the table of `src/cache/model.rs`.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Answer, Client, request};
use crate::support::versions::{Manner, VersionedOrigin, told, version_of};
use crate::support::{Freshet, HOST, KEY, wait_until};

/// Reads that must be counted in a normal run.
const READS: u64 = 20_000;
/// The longest that so many may take, whatever the machine.
const TIME_FOR_READS: Duration = Duration::from_secs(300);
const READERS: u64 = 12;
const PURGERS: usize = 2;
/// One purge to so many reads.
const READS_PER_PURGE: u64 = 24;
/// One change that nobody purges to so many reads, where there are any.
const READS_PER_CHANGE: u64 = 16;
/// What the clock gains with each read of the first reader: lifetimes end now and then.
const TIME_PER_READ: Duration = Duration::from_millis(8);

const FOLDERS: usize = 8;
const TAGS: usize = 5;
const NAMES: usize = 7;
const OBJECTS: usize = 400;
/// Objects that most reads are of: the first ones, which lie in all folders.
const HOT: usize = 24;

/// How the origin serves an object: all combinations of these occur.
fn manner(object: usize) -> Manner {
    let cache_control = match object / 3 % 8 {
        0 | 3 => "max-age=60, stale-if-error=600",
        1 | 4 => "max-age=1",
        2 | 5 => "max-age=1, stale-while-revalidate=30",
        6 => "max-age=0, stale-if-error=600",
        _ => "max-age=600",
    };
    Manner {
        delay: Duration::from_millis([0, 5, 30][object % 3]),
        cache_control,
        vary: object % 2 == 1,
        tag: format!("tag-{}", object % TAGS),
        error_one_in: if object.is_multiple_of(5) { 40 } else { 0 },
    }
}

/// Ranges that readers ask for, and their lengths: neighbours, and such as lie apart.
const PARTS: [(&str, usize); 4] =
    [("bytes=1024-2047", 1024), ("bytes=0-1023", 1024), ("bytes=2048-", 2048), ("bytes=-1024", 1024)];

/// The two URLs of an object.
const SPELLINGS: usize = 2;

fn path(object: usize, spelling: usize) -> String {
    let (folder, name) = (object % FOLDERS, object % NAMES);
    match (spelling, object % 2) {
        (0, _) => format!("/o/folder-{folder}/{object}.jpg"),
        (_, 0) => format!("/o/folder-{folder}/{object}.jpg?v=1&tr=w-9%2Cn-name-{name}"),
        (..) => format!("/o/folder-{folder}/tr:w-9:n-name-{name}/{object}.jpg"),
    }
}

/// URLs that a purge names: an object, and which of its spellings.
type Named = Vec<(usize, usize)>;

/// Both spellings of the objects for which this holds.
fn both(holds: impl Fn(usize) -> bool) -> Named {
    let objects = (0..OBJECTS).filter(|object| holds(*object));
    objects.flat_map(|object| (0..SPELLINGS).map(move |spelling| (object, spelling))).collect()
}

/// What a reader asks in a way of its own.
#[derive(Clone, Copy, Debug)]
enum Mode {
    Whole,
    Part,
    Head,
    /// With the entity tag of the version that is required now.
    IfNoneMatch,
}

struct Oracle {
    freshet: Freshet,
    origin: VersionedOrigin,
    reads_wanted: u64,
    end: Instant,
    /// Whether the origin also changes what nobody purges.
    changes_unannounced: bool,
    /// The version that every answer to a request begun now must have, at least, by object and spelling.
    required: Vec<[AtomicU64; SPELLINGS]>,
    reads: AtomicU64,
    counted: AtomicU64,
    collapsed: AtomicU64,
    /// Answers whose part was completed by another part.
    completed: AtomicU64,
    errors: AtomicU64,
    violations: Mutex<Vec<String>>,
}

impl Oracle {
    /// Purges a target of some kind, as `drawn` says, and publishes what that means.
    fn purge(&self, drawn: u64) {
        let (object, spelling) = (drawn as usize % HOT, drawn as usize / 1024 % SPELLINGS);
        let (members, named): (Value, Named) = match drawn / 64 % 14 {
            0 => {
                let folder = object % FOLDERS;
                let url = format!("http://{HOST}/o/folder-{folder}/*");
                (json!({ "url": url }), both(|object| object % FOLDERS == folder))
            }
            1 => {
                let tag = object % TAGS;
                let members = json!({ "target": "tag", "tag": format!("tag-{tag}") });
                (members, both(|object| object % TAGS == tag))
            }
            2 => {
                let folder = object % FOLDERS;
                let url = format!("http://{HOST}/o/tr:h-1/folder-{folder}");
                (json!({ "target": "folder", "url": url }), both(|object| object % FOLDERS == folder))
            }
            3 => {
                let name = object % NAMES;
                let members =
                    json!({ "target": "transformation", "transformation": format!("n-name-{name}") });
                let mut named = both(|object| object % NAMES == name);
                named.retain(|(_, spelling)| *spelling == 1);
                (members, named)
            }
            4 => {
                let digit = object % 10;
                let url = format!("http://{HOST}/o/*{digit}.jpg*");
                (json!({ "target": "pattern", "url": url }), both(|object| object % 10 == digit))
            }
            5 | 6 => {
                let url = format!("http://{HOST}/o/*/{object}.jpg");
                let mut named = both(|other| other == object);
                named.retain(|(object, spelling)| *spelling == 0 || object % 2 == 1); // Nothing follows the name.
                (json!({ "target": "pattern", "url": url }), named)
            }
            7..=9 => {
                let url = format!("http://{HOST}{}", path(object, spelling));
                (json!({ "target": "asset", "url": url }), both(|other| other == object))
            }
            _ => {
                let url = format!("http://{HOST}{}", path(object, spelling));
                (json!({ "url": url }), vec![(object, spelling)])
            }
        };
        // An object's version is raised once, for both its spellings.
        let mut objects: Vec<usize> = named.iter().map(|(object, _)| *object).collect();
        objects.dedup();
        let raised: HashMap<usize, u64> = objects
            .into_iter()
            .map(|object| (object, self.origin.versions[object].fetch_add(1, Ordering::SeqCst) + 1))
            .collect();
        let acknowledged = self.freshet.purge_by(KEY, &members);
        assert_eq!(acknowledged.status, 201, "{}", acknowledged.text());
        for (object, spelling) in named {
            self.required[object][spelling].fetch_max(raised[&object], Ordering::SeqCst);
        }
    }

    fn read(&self, client: &mut Client, drawn: u64) {
        let object = match drawn % 8 {
            0 | 1 => 2, // Slow, and asked for by all.
            2 => drawn as usize / 8 % OBJECTS,
            _ => drawn as usize / 8 % HOT,
        };
        let mode = match drawn >> 32 & 7 {
            0 => Mode::Part,
            1 => Mode::Head,
            2 => Mode::IfNoneMatch,
            _ => Mode::Whole,
        };
        let spelling = drawn as usize >> 48 & 1;
        let path = path(object, spelling);
        let wanted = self.required[object][spelling].load(Ordering::SeqCst);
        let settled = wanted > 0 && self.origin.versions[object].load(Ordering::SeqCst) == wanted;
        let etag = format!("\"v{wanted}\"");
        let accept = if drawn >> 40 & 1 == 0 { "image/avif,image/webp" } else { "image/webp" };
        let part = PARTS[drawn as usize >> 41 & 3];
        let mut fields = vec![("accept", accept)];
        match mode {
            Mode::Part => fields.push(("range", part.0)),
            Mode::IfNoneMatch => fields.push(("if-none-match", &etag)),
            Mode::Whole | Mode::Head => {}
        }
        let method = if matches!(mode, Mode::Head) { "HEAD" } else { "GET" };
        client.send(request(method, HOST, &path, &fields));
        let Some(answer) = client.answer(method == "HEAD") else {
            *client = self.freshet.client();
            return;
        };
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.collapsed.fetch_add(u64::from(answer.cache_status().contains("collapsed")), Ordering::SeqCst);
        let completed = answer.cache_status().contains("fwd=partial; fwd-status=206");
        self.completed.fetch_add(u64::from(completed), Ordering::SeqCst);
        match version(&answer, object, mode, part.1) {
            Some(got) if got >= wanted => {
                self.counted.fetch_add(u64::from(settled), Ordering::SeqCst);
            }
            None if answer.status >= 500 => {
                self.errors.fetch_add(1, Ordering::SeqCst);
            }
            got => {
                let cache_status = answer.cache_status();
                self.violations.lock().unwrap().push(format!(
                    "{path} wanted {wanted}, got {got:?}: {} {cache_status} ({mode:?})",
                    answer.status
                ));
            }
        }
    }

    /// Whether there is more to count, and time for it, and nothing is wrong yet.
    fn goes_on(&self) -> bool {
        self.counted.load(Ordering::SeqCst) < self.reads_wanted
            && Instant::now() < self.end
            && self.violations.lock().unwrap().is_empty()
    }

    fn read_on(&self, reader: u64, purges: &SyncSender<u64>) {
        self.read_while(reader, purges, || self.goes_on());
    }

    fn read_while(&self, reader: u64, purges: &SyncSender<u64>, goes_on: impl Fn() -> bool) {
        let mut client = self.freshet.client();
        let mut drawn = reader;
        let mut reads = 0;
        while goes_on() {
            drawn = next(drawn);
            self.read(&mut client, drawn);
            reads += 1;
            if reads % READS_PER_PURGE == 0 {
                let _ = purges.try_send(next(drawn)); // Where the purgers are behind, one purge less.
            }
            if reader == 0 {
                self.freshet.clock.advance(TIME_PER_READ);
            }
            if self.changes_unannounced && reads % READS_PER_CHANGE == 0 {
                self.origin.versions[drawn as usize % HOT].fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    fn purge_on(&self, purges: &Mutex<Receiver<u64>>) {
        loop {
            let next = purges.lock().unwrap().recv();
            let Ok(drawn) = next else { return };
            self.purge(drawn);
        }
    }

    /// Afterwards: nothing was stale, the cache did its work, and nothing is left behind.
    fn judge(&self) {
        let violations = self.violations.lock().unwrap();
        assert!(violations.is_empty(), "{violations:#?}");
        let [reads, counted, collapsed, errors] = [&self.reads, &self.counted, &self.collapsed, &self.errors]
            .map(|count| count.load(Ordering::SeqCst));
        let (asked, not_modified) = (self.origin.count(), self.origin.not_modified());
        let metrics = self.freshet.app().metrics();
        println!(
            "{reads} reads, {counted} counted, {collapsed} shared a fetch, {errors} errors; origin asked {asked} \
             times, {not_modified} not modified; {} fetches not stored for a purge",
            metrics.not_stored_purged.get()
        );
        assert!(counted >= self.reads_wanted, "{counted} reads in time");
        assert!(errors * 100 < reads, "{errors} errors for {reads} reads");
        assert!(asked * 2 < reads, "the origin was asked {asked} times for {reads} reads");
        assert!(collapsed > 0 && not_modified > 0 && metrics.not_stored_purged.get() > 0, "it was no race");
        self.come_to_rest();
        let mut client = self.freshet.client();
        (0..OBJECTS).for_each(|object| self.read(&mut client, (object as u64) << 3 | 2));
        let audit = self.freshet.app().audit();
        assert!(audit.is_clean(), "{audit:?}");
        let figures = self.freshet.app().figures();
        assert!(figures.entries < OBJECTS as u64, "the cache has no room for all: {figures:?}");
    }
}

impl Oracle {
    fn come_to_rest(&self) {
        wait_until("nothing is left behind", || {
            let figures = self.freshet.app().figures();
            (figures.fences, figures.tickets, figures.flights) == (0, 0, 0)
                && figures.entries == figures.indexed as u64
        });
    }
}

/// The version that an answer tells; nothing where it is no whole answer about this object.
fn version(answer: &Answer, object: usize, mode: Mode, part_bytes: usize) -> Option<u64> {
    let etag = answer.field("etag").and_then(version_of)?;
    match (mode, answer.status) {
        (Mode::Head, 200) | (Mode::IfNoneMatch, 304) => Some(etag),
        (Mode::Part, 206) if answer.body.len() != part_bytes => None,
        (Mode::Whole | Mode::IfNoneMatch, 200) | (Mode::Part, 206) => {
            (answer.complete && told(&answer.body) == Some((object, etag))).then_some(etag)
        }
        _ => None,
    }
}

/// Numbers that look random (SplitMix64).
fn next(last: u64) -> u64 {
    let mut mixed = last.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Oracle {
    fn new(reads_wanted: u64, time: Duration, routes: &str) -> Oracle {
        let origin = VersionedOrigin::new(OBJECTS, manner);
        let account = crate::support::account(&format!("http://{}", origin.address));
        Oracle {
            freshet: Freshet::start(&format!("[cache]\nmax_bytes = \"1MiB\"\n{routes}\n{account}")),
            origin,
            reads_wanted,
            end: Instant::now() + time,
            changes_unannounced: !routes.is_empty(),
            required: (0..OBJECTS).map(|_| Default::default()).collect(),
            reads: AtomicU64::new(0),
            counted: AtomicU64::new(0),
            collapsed: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            violations: Mutex::new(Vec::new()),
        }
    }
}

#[test]
fn no_read_begun_after_an_acknowledgement_gets_what_was_purged() {
    let reads_wanted = std::env::var("FRESHET_ORACLE_READS").map_or(READS, |reads| reads.parse().unwrap());
    let time = TIME_FOR_READS * u32::try_from(reads_wanted / READS + 1).unwrap();
    let oracle = Oracle::new(reads_wanted, time, "");
    oracle.read_and_purge();
    oracle.judge();
}

/// Reads of the run with parts.
const READS_OF_PARTS: u64 = 4_000;

#[test]
fn no_part_outlives_a_purge_and_no_answer_is_put_together_of_two_versions() {
    let oracle = Oracle::new(READS_OF_PARTS, TIME_FOR_READS, "[[routes]]\nhttp = \"rfc\"\n");
    oracle.read_and_purge();
    let violations = oracle.violations.lock().unwrap();
    assert!(violations.is_empty(), "{violations:#?}");
    let [reads, counted, completed] =
        [&oracle.reads, &oracle.counted, &oracle.completed].map(|count| count.load(Ordering::SeqCst));
    println!(
        "{reads} reads, {counted} counted, {completed} put together; origin asked {} times",
        oracle.origin.count()
    );
    assert!(counted >= READS_OF_PARTS && completed > 0, "{counted} counted, {completed} put together");
    oracle.come_to_rest();
    assert!(oracle.freshet.app().audit().is_clean());
}

impl Oracle {
    /// Readers and purgers, until the readers have read enough.
    fn read_and_purge(&self) {
        let oracle = self;
        let (asks, asked) = sync_channel(PURGERS);
        let asked = Mutex::new(asked);
        std::thread::scope(|scope| {
            for _ in 0..PURGERS {
                scope.spawn(|| oracle.purge_on(&asked));
            }
            for reader in 0..READERS {
                let asks = asks.clone();
                scope.spawn(move || oracle.read_on(reader, &asks));
            }
            drop(asks);
        });
    }
}

/// Purges of the storm, all together.
const STORM: u64 = 10_000;
const STORMERS: u64 = 4;

#[test]
fn storm_of_purges_under_load_breaks_no_promise_and_leaves_nothing_behind() {
    let oracle = Oracle::new(u64::MAX, TIME_FOR_READS, "");
    let (asks, _) = sync_channel(1); // The readers' own purges go nowhere.
    let left = AtomicU64::new(STORMERS);
    std::thread::scope(|scope| {
        for stormer in 0..STORMERS {
            let (oracle, left) = (&oracle, &left);
            scope.spawn(move || {
                let mut drawn = 1000 + stormer;
                for _ in 0..STORM / STORMERS {
                    drawn = next(drawn);
                    oracle.purge(drawn);
                }
                left.fetch_sub(1, Ordering::SeqCst);
            });
        }
        for reader in 0..READERS {
            let (oracle, asks, left) = (&oracle, asks.clone(), &left);
            scope.spawn(move || oracle.read_while(reader, &asks, || left.load(Ordering::SeqCst) > 0));
        }
    });
    let violations = oracle.violations.lock().unwrap();
    assert!(violations.is_empty(), "{violations:#?}");
    println!("{} reads during {STORM} purges", oracle.reads.load(Ordering::SeqCst));
    assert!(oracle.reads.load(Ordering::SeqCst) > READERS, "the readers ran");
    oracle.come_to_rest();
    assert!(oracle.freshet.app().audit().is_clean());
}
