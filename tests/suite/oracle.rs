//! The staleness oracle: the promise, over sockets, under load.
//!
//! Each object of the origin has a version. A purger raises the versions of what it is about to purge, purges,
//! and at the acknowledgement publishes: every answer to a request begun from now on has at least this version.
//! Readers note what is required of their object before they send, and compare it with what they get: bodies,
//! parts, answers to HEAD, and 304s by their entity tags. The origin is slow for some objects (0, 5 and 30 ms),
//! lifetimes are short and the clock runs, so that revalidations, renewals and stale answers happen; several
//! readers ask for one hot object, so that they share fetches; and the cache is too small for all objects.
//!
//! `FRESHET_ORACLE_READS=200000` reads more than the normal run does. What counts is a read of an object that
//! was purged at least once, begun after the acknowledgement of its newest purge.
//!
//! What it notices of code that is broken on purpose stands in the table of `src/cache/model.rs`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use crate::support::client::{Answer, Client, request};
use crate::support::versions::{Manner, VersionedOrigin, told, version_of};
use crate::support::{Freshet, HOST, wait_until};

/// Reads that must be counted in a normal run.
const READS: u64 = 20_000;
/// The longest that so many may take, whatever the machine.
const TIME_FOR_READS: Duration = Duration::from_secs(300);
const READERS: u64 = 12;
const PURGERS: usize = 2;
/// One purge to so many reads.
const READS_PER_PURGE: u64 = 24;
/// What the clock gains with each read of the first reader: lifetimes end now and then.
const TIME_PER_READ: Duration = Duration::from_millis(8);

const FOLDERS: usize = 8;
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
        error_one_in: if object.is_multiple_of(5) { 40 } else { 0 },
    }
}

fn path(object: usize) -> String {
    format!("/o/folder-{}/{object}.jpg", object % FOLDERS)
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
    /// The version that every answer to a request begun now must have, at least.
    required: Vec<AtomicU64>,
    reads: AtomicU64,
    counted: AtomicU64,
    collapsed: AtomicU64,
    errors: AtomicU64,
    violations: Mutex<Vec<String>>,
}

impl Oracle {
    /// Purges a folder or one object, as `drawn` says, and publishes what that means.
    fn purge(&self, drawn: u64) {
        let (object, wildcard) = (drawn as usize % HOT, (drawn / 64).is_multiple_of(4));
        let (url, named): (String, Vec<usize>) = match wildcard {
            true => {
                let folder = object % FOLDERS;
                let named = (0..OBJECTS).filter(|object| object % FOLDERS == folder).collect();
                (format!("http://{HOST}/o/folder-{folder}/*"), named)
            }
            false => (format!("http://{HOST}{}", path(object)), vec![object]),
        };
        let raised: Vec<(usize, u64)> = named
            .into_iter()
            .map(|object| (object, self.origin.versions[object].fetch_add(1, Ordering::SeqCst) + 1))
            .collect();
        let acknowledged = self.freshet.purge(&url);
        assert_eq!(acknowledged.status, 201, "{}", acknowledged.text());
        for (object, version) in raised {
            self.required[object].fetch_max(version, Ordering::SeqCst);
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
        let wanted = self.required[object].load(Ordering::SeqCst);
        let settled = wanted > 0 && self.origin.versions[object].load(Ordering::SeqCst) == wanted;
        let etag = format!("\"v{wanted}\"");
        let accept = if drawn >> 40 & 1 == 0 { "image/avif,image/webp" } else { "image/webp" };
        let mut fields = vec![("accept", accept)];
        match mode {
            Mode::Part => fields.push(("range", "bytes=1024-2047")),
            Mode::IfNoneMatch => fields.push(("if-none-match", &etag)),
            Mode::Whole | Mode::Head => {}
        }
        let method = if matches!(mode, Mode::Head) { "HEAD" } else { "GET" };
        client.send(request(method, HOST, &path(object), &fields));
        let Some(answer) = client.answer(method == "HEAD") else {
            *client = self.freshet.client();
            return;
        };
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.collapsed.fetch_add(u64::from(answer.cache_status().contains("collapsed")), Ordering::SeqCst);
        match version(&answer, object, mode) {
            Some(got) if got >= wanted => {
                self.counted.fetch_add(u64::from(settled), Ordering::SeqCst);
            }
            None if answer.status >= 500 => {
                self.errors.fetch_add(1, Ordering::SeqCst);
            }
            got => {
                let cache_status = answer.cache_status();
                self.violations.lock().unwrap().push(format!(
                    "{} wanted {wanted}, got {got:?}: {} {cache_status} ({mode:?})",
                    path(object),
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
        let mut client = self.freshet.client();
        let mut drawn = reader;
        let mut reads = 0;
        while self.goes_on() {
            drawn = next(drawn);
            self.read(&mut client, drawn);
            reads += 1;
            if reads % READS_PER_PURGE == 0 {
                let _ = purges.try_send(next(drawn)); // Where the purgers are behind, one purge less.
            }
            if reader == 0 {
                self.freshet.clock.advance(TIME_PER_READ);
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
        wait_until("nothing is left behind", || {
            let figures = self.freshet.app().figures();
            (figures.fences, figures.tickets, figures.flights) == (0, 0, 0)
                && figures.entries == figures.indexed as u64
        });
        let mut client = self.freshet.client();
        (0..OBJECTS).for_each(|object| self.read(&mut client, (object as u64) << 3 | 2));
        let figures = self.freshet.app().figures();
        assert!(figures.entries < OBJECTS as u64, "the cache has no room for all: {figures:?}");
    }
}

/// The version that an answer tells; nothing where it is no whole answer about this object.
fn version(answer: &Answer, object: usize, mode: Mode) -> Option<u64> {
    let etag = answer.field("etag").and_then(version_of)?;
    match (mode, answer.status) {
        (Mode::Head, 200) | (Mode::IfNoneMatch, 304) => Some(etag),
        (Mode::Part, 206) if answer.body.len() != 1024 => None,
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

#[test]
fn no_read_begun_after_an_acknowledgement_gets_what_was_purged() {
    let reads_wanted = std::env::var("FRESHET_ORACLE_READS").map_or(READS, |reads| reads.parse().unwrap());
    let origin = VersionedOrigin::new(OBJECTS, manner);
    let account = crate::support::account(&format!("http://{}", origin.address));
    let oracle = Oracle {
        freshet: Freshet::start(&format!("[cache]\nmax_bytes = \"1MiB\"\n{account}")),
        origin,
        reads_wanted,
        end: Instant::now() + TIME_FOR_READS * u32::try_from(reads_wanted / READS + 1).unwrap(),
        required: (0..OBJECTS).map(|_| AtomicU64::new(0)).collect(),
        reads: AtomicU64::new(0),
        counted: AtomicU64::new(0),
        collapsed: AtomicU64::new(0),
        errors: AtomicU64::new(0),
        violations: Mutex::new(Vec::new()),
    };
    let (asks, asked) = sync_channel(PURGERS);
    let asked = Mutex::new(asked);
    std::thread::scope(|scope| {
        for _ in 0..PURGERS {
            scope.spawn(|| oracle.purge_on(&asked));
        }
        for reader in 0..READERS {
            let (oracle, asks) = (&oracle, asks.clone());
            scope.spawn(move || oracle.read_on(reader, &asks));
        }
        drop(asks);
    });
    oracle.judge();
}
