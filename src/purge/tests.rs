//! Claims of the purger and its ledger, with a scripted cache and a scripted disk.

mod changes;
mod dry_runs;
mod groups;
mod history;
mod migration;
mod requests;
mod warming;

use std::future::Future;
use std::io::ErrorKind;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::disk::Disk;
use super::*;
use crate::cache::{Removed, Survey, Swept};
use crate::config::{Authority, Origin, PrivateKey, UrlEndpoint, Urls};

/// Any second of February 2024.
pub(crate) const FEBRUARY_2024: u64 = 1_708_000_000;
pub(crate) const FIRST_OF_MARCH_2024: u64 = 1_709_251_200;
const URL: &str = "http://127.0.0.1:8080/demo/a/b.jpg";
const KEY: &str = "demo/a/b.jpg";

/// An account with the endpoint `http://127.0.0.1:8080/<id>` and the private key `private_<id>`.
pub(crate) fn account(id: &str, purges_per_month: Option<u64>) -> Account {
    let authority = Authority::parse("127.0.0.1:8080").unwrap();
    Account {
        id: id.to_owned(),
        private_keys: vec![PrivateKey::from_secret(&format!("private_{id}"))],
        url_endpoints: vec![UrlEndpoint { scheme: "http", authority, path: format!("/{id}") }],
        purges_per_month,
        origin: Origin::Demo,
        urls: Urls::Canonical,
        demo_key: None,
    }
}

/// A cache that keeps the fences until a test ends their sweeps.
#[derive(Clone, Default)]
pub(crate) struct Fences(Arc<Mutex<Raised>>);

#[derive(Default)]
struct Raised {
    /// Each with how many of the hottest it is to be told.
    fences: Vec<(usize, OnSwept)>,
    /// How long it takes to raise one.
    takes: Option<(Clock, Duration)>,
}

impl Fences {
    fn publish(&self) -> Publish {
        let fences = self.clone();
        Box::new(move |_, _, hottest_max, on_swept| {
            let mut raised = fences.0.lock();
            raised.fences.push((hottest_max, on_swept));
            if let Some((clock, time)) = &raised.takes {
                clock.advance(*time);
            }
        })
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().fences.len()
    }

    /// From now on the clock moves while a fence is raised.
    fn each_takes(&self, clock: &Clock, time: Duration) {
        self.0.lock().takes = Some((clock.clone(), time));
    }

    /// Ends the sweep of the oldest fence.
    pub(crate) fn end_sweep(&self, entries: u64, bytes: u64, shared: bool) {
        self.end_sweep_of(0, entries, bytes, shared);
    }

    /// Ends the sweep of the fence that is this one in their order.
    fn end_sweep_of(&self, place: usize, entries: u64, bytes: u64, shared: bool) {
        self.end(place, Removed { swept: Swept { entries, bytes, shared }, hottest: Vec::new() });
    }

    fn end(&self, place: usize, removed: Removed) {
        let (_, on_swept) = self.0.lock().fences.remove(place);
        on_swept(removed);
    }

    /// How many of the hottest each of them is to be told.
    fn hottest_wanted(&self) -> Vec<usize> {
        self.0.lock().fences.iter().map(|(hottest_max, _)| *hottest_max).collect()
    }

    /// Of processes that have ended nobody hears.
    fn forget(&self) {
        self.0.lock().fences.clear();
    }
}

/// A purger that keeps its ledger in memory.
pub(crate) fn purger_in_memory(accounts: &[Account], fences: &Fences, clock: &Clock) -> Purger {
    purger(accounts, fences, clock, Medium::Memory, Bounds::default()).unwrap()
}

/// The same on a disk that takes no writes, after one purge made that known.
pub(crate) async fn degraded_purger(accounts: &[Account], fences: &Fences, clock: &Clock) -> Purger {
    forgetful_purger(accounts, fences, clock, 1, 1).await
}

/// The same after so many purges, of which it keeps this many rows.
pub(crate) async fn forgetful_purger(
    accounts: &[Account],
    fences: &Fences,
    clock: &Clock,
    purges: usize,
    rows_max: usize,
) -> Purger {
    let disk = Disk::default();
    let bounds = Bounds { rows_max, ..Bounds::default() };
    let purger = purger(accounts, fences, clock, Medium::Disk(disk.clone()), bounds).unwrap();
    disk.refuse(ErrorKind::StorageFull);
    for _ in 0..purges {
        submit_one(&purger, URL).await;
    }
    assert_eq!(purger.health(), Health::Degraded(Trouble::DiskFull));
    purger
}

fn purger(
    accounts: &[Account],
    fences: &Fences,
    clock: &Clock,
    medium: Medium,
    bounds: Bounds,
) -> Result<Purger, LedgerError> {
    let nothing: Surveyor = Box::new(|_, _, _| Survey { complete: true, ..Survey::default() });
    purger_with(accounts, fences, nothing, clock, medium, bounds)
}

fn purger_with(
    accounts: &[Account],
    fences: &Fences,
    survey: Surveyor,
    clock: &Clock,
    medium: Medium,
    bounds: Bounds,
) -> Result<Purger, LedgerError> {
    let endpoints = Arc::new(Endpoints::new(accounts));
    Purger::with(accounts, endpoints, fences.publish(), survey, clock.clone(), |clock| {
        Ledger::open(medium, Duration::from_secs(90 * 86_400), bounds, clock)
    })
}

fn on_disk(disk: &Disk, fences: &Fences) -> Purger {
    let clock = Clock::manual(FEBRUARY_2024);
    purger(&[account("demo", Some(1000))], fences, &clock, Medium::Disk(disk.clone()), Bounds::default())
        .unwrap()
}

fn on_file(path: &Path) -> Result<Purger, LedgerError> {
    let clock = Clock::manual(FEBRUARY_2024);
    let medium = Medium::File(path.to_owned());
    purger(&[account("demo", Some(1000))], &Fences::default(), &clock, medium, Bounds::default())
}

fn in_memory(fences: &Fences, limit: Option<u64>) -> (Purger, Clock) {
    let clock = Clock::manual(FEBRUARY_2024);
    (purger_in_memory(&[account("demo", limit), account("other", limit)], fences, &clock), clock)
}

fn wishes(urls: &[&str]) -> Vec<Wish> {
    urls.iter().map(|url| Wish::url(*url)).collect()
}

fn by(key: &str) -> By {
    By { key: key.into(), door: Door::Api }
}

/// What the account 0 submits for the first time.
fn submission<'a>(wishes: &'a [Wish]) -> Submission<'a> {
    Submission { account: 0, wishes, attempt: Attempt::First, by: by("cms"), note: None, warm: None }
}

async fn submit_one(purger: &Purger, url: &str) -> RequestId {
    purger.submit(submission(&[Wish::url(url)])).await.unwrap().id
}

/// Waits until the search for old rows that a start begins with is over: it comes before a second call is handled.
async fn wait_until_started(purger: &Purger) {
    for _ in 0..2 {
        assert_eq!(purger.status(0, RequestId::random().unwrap()).await, Progress::Unknown);
    }
}

fn poll_once(future: std::pin::Pin<&mut impl Future>) -> bool {
    matches!(future.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(_))
}

#[tokio::test]
async fn a_purge_is_pending_until_its_sweep_ends_and_then_completed_with_its_counts() {
    let fences = Fences::default();
    let (purger, _) = in_memory(&fences, None);
    let id = submit_one(&purger, URL).await;
    assert_eq!(purger.status(0, id).await, Progress::Known(Status::Pending, Counts::default()));
    fences.end_sweep(3, 4096, true);
    let counts = Counts { entries: 3, bytes: 4096, shared: true };
    assert_eq!(purger.status(0, id).await, Progress::Known(Status::Completed, counts));
}

#[tokio::test]
async fn another_accounts_request_is_unknown_live_or_not() {
    let fences = Fences::default();
    let (purger, _) = in_memory(&fences, None);
    let id = submit_one(&purger, URL).await;
    assert_eq!(purger.status(1, id).await, Progress::Unknown);
    fences.end_sweep(0, 0, false);
    assert_eq!(purger.status(1, id).await, Progress::Unknown);
    assert_eq!(purger.status(0, RequestId::random().unwrap()).await, Progress::Unknown);
}

#[tokio::test]
async fn one_refused_url_refuses_all_and_charges_nothing() {
    let fences = Fences::default();
    let (purger, _) = in_memory(&fences, None);
    let urls = [URL, "http://elsewhere.test/x.jpg", URL, "http://127.0.0.1:8080/demo/images*"];
    let Err(PurgeError::Refused(refused)) = purger.submit(submission(&wishes(&urls))).await else {
        panic!("two of the URLs can't be purged")
    };
    assert_eq!(refused.iter().map(|refused| refused.index).collect::<Vec<_>>(), [1, 3]);
    assert_eq!((fences.count(), purger.allowance(0).used), (0, 0));
    assert!(matches!(purger.submit(submission(&[])).await, Err(PurgeError::NoTargets)));
    let too_many = vec![URL; limits::PURGE_TARGETS_MAX + 1];
    assert!(matches!(purger.submit(submission(&wishes(&too_many))).await, Err(PurgeError::TooManyTargets)));
}

#[tokio::test]
async fn the_allowance_ends_with_its_last_purge_and_begins_anew_with_the_month() {
    let fences = Fences::default();
    let (purger, clock) = in_memory(&fences, Some(3));
    let two = ["http://127.0.0.1:8080/demo/a/b/1*", "http://127.0.0.1:8080/demo/a/b/2.jpg"];
    assert!(purger.submit(submission(&wishes(&two))).await.is_ok());
    let Err(PurgeError::AllowanceUsedUp(allowance)) = purger.submit(submission(&wishes(&two))).await else {
        panic!("one purge is left, and two were wanted")
    };
    assert_eq!((allowance.limit, allowance.used), (Some(3), 2));
    assert_eq!(fences.count(), 2, "a refused purge raises no fence");
    submit_one(&purger, URL).await;
    assert_eq!(purger.allowance(0).used, 3);
    assert_eq!(purger.allowance(1).used, 0);
    clock.advance(Duration::from_secs(FIRST_OF_MARCH_2024 - FEBRUARY_2024));
    assert_eq!(purger.allowance(0).used, 0);
    assert!(purger.submit(submission(&wishes(&two))).await.is_ok());
}

#[tokio::test]
async fn a_purge_repeated_before_its_answer_shares_id_and_charge_and_raises_its_fence() {
    let (disk, fences) = (Disk::default(), Fences::default());
    let purger = on_disk(&disk, &fences);
    disk.stop();
    let urls = [Wish::url(URL)];
    let mut first = pin!(purger.submit(submission(&urls)));
    let mut second = pin!(purger.submit(submission(&urls)));
    assert!(!poll_once(first.as_mut()) && !poll_once(second.as_mut()));
    assert_eq!(fences.count(), 2);
    disk.go_on();
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!(first, second);
    assert_eq!(purger.allowance(0).used, 1);
    fences.end_sweep(2, 20, false);
    assert_eq!(
        purger.status(0, first.id).await,
        Progress::Known(Status::Pending, Counts { entries: 2, bytes: 20, shared: false })
    );
    fences.end_sweep(1, 10, false);
    assert_eq!(
        purger.status(0, first.id).await,
        Progress::Known(Status::Completed, Counts { entries: 3, bytes: 30, shared: false })
    );
}

#[tokio::test]
async fn a_marked_retry_shares_id_and_charge_for_a_minute() {
    let fences = Fences::default();
    let (purger, clock) = in_memory(&fences, None);
    let first = submit_one(&purger, URL).await;
    fences.end_sweep(1, 1, false);
    let retry = async |account| {
        let wishes = [Wish::url(URL)];
        let retry = Submission { account, attempt: Attempt::Retry, ..submission(&wishes) };
        purger.submit(retry).await.map(|accepted| accepted.id)
    };
    assert_eq!(retry(0).await.unwrap(), first);
    assert_eq!(fences.count(), 1, "the fence is raised again");
    fences.end_sweep(9, 9, false);
    let counts = Counts { entries: 1, bytes: 1, shared: false };
    assert_eq!(purger.status(0, first).await, Progress::Known(Status::Completed, counts));
    assert!(retry(1).await.is_err(), "another account's endpoint");
    clock.advance(limits::RETRY_TIME + Duration::from_millis(1));
    assert_ne!(retry(0).await.unwrap(), first);
    assert_eq!(purger.allowance(0).used, 2);
    assert_ne!(
        submit_one(&purger, URL).await,
        first,
        "an unmarked repetition after the answer is a new purge"
    );
    assert_eq!(purger.allowance(0).used, 3);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_a_whole_purge() {
    let (disk, fences) = (Disk::default(), Fences::default());
    let purger = on_disk(&disk, &fences);
    disk.stop();
    {
        let urls = [Wish::url(URL)];
        let mut left = pin!(purger.submit(submission(&urls)));
        assert!(!poll_once(left.as_mut()));
    }
    assert_eq!(fences.count(), 1);
    disk.go_on();
    assert_ne!(submit_one(&purger, URL).await, submit_one(&purger, URL).await, "none of them is a retry");
    assert_eq!(purger.allowance(0).used, 3);
    let after = on_disk(&disk.after_power_cut(), &Fences::default());
    assert_eq!(after.allowance(0).used, 3);
}

#[tokio::test]
async fn purges_that_wait_for_the_disk_share_one_commit() {
    let (disk, fences) = (Disk::default(), Fences::default());
    let purger = on_disk(&disk, &fences);
    wait_until_started(&purger).await;
    let commits_before = purger.ledger_figures().commits;
    disk.stop();
    let first = tokio::spawn({
        let purger = purger.clone();
        async move { submit_one(&purger, URL).await }
    });
    tokio::task::yield_now().await;
    disk.wait_until_stopped();
    let urls: Vec<String> = (0..20).map(|n| format!("http://127.0.0.1:8080/demo/a/{n}.jpg")).collect();
    let others: Vec<_> = urls
        .into_iter()
        .map(|url| {
            let purger = purger.clone();
            tokio::spawn(async move { submit_one(&purger, &url).await })
        })
        .collect();
    while purger.0.ledger.waiting() < others.len() {
        tokio::task::yield_now().await;
    }
    disk.go_on();
    first.await.unwrap();
    for other in others {
        other.await.unwrap();
    }
    assert_eq!(purger.ledger_figures().commits - commits_before, 2);
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_power_cut_with_charges_and_completed_statuses() {
    let (disk, fences) = (Disk::default(), Fences::default());
    let purger = on_disk(&disk, &fences);
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(submit_one(&purger, &format!("http://127.0.0.1:8080/demo/a/{n}.jpg")).await);
        // Each acknowledgement on its own, while the process goes on.
        let after = on_disk(&disk.after_power_cut(), &Fences::default());
        assert_eq!(after.allowance(0).used, ids.len() as u64);
        for id in &ids {
            let completed = Progress::Known(Status::Completed, Counts::default());
            assert_eq!(after.status(0, *id).await, completed, "nothing is cached after a start");
        }
    }
}

#[tokio::test]
async fn a_file_is_made_and_read_again_by_the_next_process_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("freshet.redb");
    let fences = Fences::default();
    let clock = Clock::manual(FEBRUARY_2024);
    let accounts = [account("demo", Some(1000))];
    let first = purger(&accounts, &fences, &clock, Medium::File(path.clone()), Bounds::default()).unwrap();
    let id = submit_one(&first, URL).await;
    fences.end_sweep(7, 70, false);
    let Err(error @ LedgerError::InUse(_)) = on_file(&path) else { panic!("the file is in use") };
    assert_eq!(error.to_string(), format!("another process uses the ledger {}", path.display()));

    // What a kill would leave: the file as it is, without a close.
    assert_eq!(
        first.status(0, id).await,
        Progress::Known(Status::Completed, Counts { entries: 7, bytes: 70, shared: false })
    );
    let copy = folder.path().join("killed.redb");
    std::fs::copy(&path, &copy).unwrap();
    assert_eq!(on_file(&copy).unwrap().allowance(0).used, 1);

    first.close();
    assert!(matches!(first.submit(submission(&[Wish::url(URL)])).await, Err(PurgeError::Unavailable)));
    assert_eq!(first.status(0, id).await, Progress::Unreadable);
    let second = on_file(&path).unwrap();
    assert_eq!(second.allowance(0).used, 1);
    let counts = Counts { entries: 7, bytes: 70, shared: false };
    assert_eq!(second.status(0, id).await, Progress::Known(Status::Completed, counts));
}

/// Damage of every kind: nothing of it may keep the process from starting, and a file that is not whole is kept.
#[tokio::test]
async fn a_damaged_file_is_moved_aside_and_a_new_one_begins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("freshet.redb");
    let aside = folder.path().join(format!("freshet.redb.corrupt-{FEBRUARY_2024}"));
    let whole = on_file(&path).unwrap();
    for n in 0..50 {
        submit_one(&whole, &format!("http://127.0.0.1:8080/demo/a/{n}.jpg")).await;
    }
    whole.close();
    let good = std::fs::read(&path).unwrap();
    assert!(!aside.exists());

    let cut = |len: usize| good[..len].to_vec();
    let with = |at: usize, len: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at..at + len].fill(byte);
        bytes
    };
    #[rustfmt::skip]
    let table: [(&str, Vec<u8>); 8] = [
        ("text",                   b"[proxy]\nlisten = \"127.0.0.1:8080\"\n".to_vec()),
        ("one byte",               vec![0]),
        ("cut in the header",      cut(100)),
        ("cut after the header",   cut(4096)),
        ("cut in half",            cut(good.len() / 2)),
        ("magic number",           with(0, 1, b'x')),
        ("page size",              with(12, 4, 0xff)),
        ("everything but header",  with(4096, good.len() - 4096, 0xa5)),
    ];
    for (damage, bytes) in table {
        std::fs::write(&path, &bytes).unwrap();
        let purger = on_file(&path).unwrap_or_else(|error| panic!("{damage}: {error}"));
        assert!(aside.exists(), "{damage}");
        assert_eq!(std::fs::read(&aside).unwrap().len(), bytes.len(), "{damage}");
        assert_eq!(purger.allowance(0).used, 0, "{damage}");
        submit_one(&purger, URL).await;
        assert_eq!(purger.health(), Health::Durable, "{damage}");
        purger.close();
        std::fs::remove_file(&aside).unwrap();
    }

    // Single bytes: the damage is found, or it lay where nothing is; never are charges read wrong.
    for at in (0..good.len()).step_by(good.len() / 150) {
        std::fs::write(&path, with(at, 1, !good[at])).unwrap();
        let purger = on_file(&path).unwrap_or_else(|error| panic!("byte {at}: {error}"));
        assert_eq!(purger.allowance(0).used, if aside.exists() { 0 } else { 50 }, "byte {at}");
        purger.close();
        let _ = std::fs::remove_file(&aside);
    }

    std::fs::write(&path, b"").unwrap();
    assert_eq!(on_file(&path).unwrap().allowance(0).used, 0, "an empty file is a new one");
    assert!(!aside.exists());
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("freshet.redb");
    {
        let database = redb::Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        let meta: redb::TableDefinition<&str, u64> = redb::TableDefinition::new("meta");
        transaction.open_table(meta).unwrap().insert("schema", 3).unwrap();
        transaction.commit().unwrap();
    }
    let Err(error) = on_file(&path) else { panic!("the file is newer") };
    assert!(matches!(error, LedgerError::Newer { found: 3 }), "{error:?}");
    let Err(error) = on_file(&path) else { panic!("the file is still newer") };
    assert!(matches!(error, LedgerError::Newer { found: 3 }), "{error:?}");
}

#[test]
fn err_a_folder_that_is_missing_is_named_by_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let Err(LedgerError::Disk(error)) = on_file(&folder.path().join("none/freshet.redb")) else {
        panic!("the folder is missing")
    };
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

const QUICK: Bounds = Bounds {
    gather: Duration::ZERO,
    sweeps_pause: Duration::from_millis(1),
    retry_pause: Duration::from_millis(1),
    prune_pause: Duration::from_secs(3600),
    rows_max: 10,
    bytes_max: 1 << 20,
};

fn quick_on_disk(disk: &Disk, fences: &Fences, bounds: Bounds) -> Purger {
    let accounts = [account("demo", Some(1000)), account("other", None)];
    purger(&accounts, fences, &Clock::system(), Medium::Disk(disk.clone()), bounds).unwrap()
}

async fn wait_until_durable(purger: &Purger) {
    let mut health = purger.0.ledger.health();
    health.wait_for(|health| *health == Health::Durable).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_no_purge_and_gets_all_that_waited_when_it_has_room() {
    for kind in [ErrorKind::StorageFull, ErrorKind::ReadOnlyFilesystem, ErrorKind::Other] {
        let (disk, fences) = (Disk::default(), Fences::default());
        let purger = quick_on_disk(&disk, &fences, QUICK);
        let before = submit_one(&purger, URL).await;
        disk.refuse(kind);
        let mut ids = vec![before];
        for n in 0..5 {
            ids.push(submit_one(&purger, &format!("http://127.0.0.1:8080/demo/a/{n}.jpg")).await);
        }
        assert!(matches!(purger.health(), Health::Degraded(_)), "{kind}");
        assert_eq!((fences.count(), purger.allowance(0).used), (6, 6), "{kind}: the purges took place");
        // The oldest was on the disk before, the others wait for it: all their sweeps end while it refuses.
        for entries in 1..=6 {
            fences.end_sweep(entries, 0, false);
        }
        assert!(
            matches!(purger.status(0, ids[5]).await, Progress::Known(Status::Completed, counts) if counts.entries == 6)
        );
        disk.work_again();
        wait_until_durable(&purger).await;
        assert_eq!(purger.ledger_figures().rows_unwritten, 0);
        let after = quick_on_disk(&disk.after_power_cut(), &Fences::default(), QUICK);
        assert_eq!(after.allowance(0).used, 6, "{kind}");
        for (id, entries) in ids.into_iter().zip(1..) {
            let counts = Counts { entries, bytes: 0, shared: false };
            assert_eq!(after.status(0, id).await, Progress::Known(Status::Completed, counts), "{kind}");
        }
    }
}

/// A commit that fails at any of its writes may or may not be durable; repeated, it counts once.
#[tokio::test]
async fn a_commit_that_fails_half_way_is_repeated_and_charged_once() {
    for writes in 0..12 {
        let (disk, fences) = (Disk::default(), Fences::default());
        let purger = quick_on_disk(&disk, &fences, QUICK);
        submit_one(&purger, URL).await;
        disk.refuse_after(writes, ErrorKind::StorageFull);
        submit_one(&purger, URL).await;
        submit_one(&purger, URL).await;
        disk.work_again();
        wait_until_durable(&purger).await;
        submit_one(&purger, URL).await;
        let after = quick_on_disk(&disk.after_power_cut(), &Fences::default(), QUICK);
        assert_eq!(after.allowance(0).used, 4, "refused after {writes} writes");
    }
}

#[tokio::test]
async fn beyond_its_bounds_a_failing_disk_costs_history_and_never_a_charge() {
    for bounds in
        [QUICK, Bounds { rows_max: 1000, bytes_max: 10 * ("democms".len() + URL.len() + KEY.len()), ..QUICK }]
    {
        let (disk, fences) = (Disk::default(), Fences::default());
        let purger = quick_on_disk(&disk, &fences, bounds);
        disk.refuse(ErrorKind::StorageFull);
        let mut ids = Vec::new();
        for _ in 0..25 {
            ids.push(submit_one(&purger, URL).await);
            fences.end_sweep(1, 1, false);
        }
        // This disk can't even be opened, so nothing is said of the rows that were given up; the newest wait.
        assert_eq!(purger.status(0, ids[14]).await, Progress::Unreadable);
        assert!(matches!(purger.status(0, ids[15]).await, Progress::Known(..)));
        assert_eq!(purger.ledger_figures().rows_dropped, 15);
        disk.work_again();
        wait_until_durable(&purger).await;
        let after = quick_on_disk(&disk.after_power_cut(), &Fences::default(), bounds);
        assert_eq!(after.allowance(0).used, 25);
        assert!(matches!(after.status(0, ids[24]).await, Progress::Known(..)));
        assert_eq!(after.status(0, ids[0]).await, Progress::Unknown);
    }
}

#[tokio::test]
async fn a_ledger_that_was_emptied_while_its_disk_failed_gets_every_charge_again() {
    let (disk, fences) = (Disk::default(), Fences::default());
    let purger = quick_on_disk(&disk, &fences, QUICK);
    for _ in 0..3 {
        submit_one(&purger, URL).await;
    }
    disk.refuse(ErrorKind::StorageFull);
    // Another account's purge: the three charges are not among what waits.
    let wishes = [Wish::url("http://127.0.0.1:8080/other/a.jpg")];
    purger.submit(Submission { account: 1, ..submission(&wishes) }).await.unwrap();
    disk.wipe();
    disk.work_again();
    wait_until_durable(&purger).await;
    let after = quick_on_disk(&disk.after_power_cut(), &fences, QUICK);
    assert_eq!((after.allowance(0).used, after.allowance(1).used), (3, 1));
}

/// The check of a start writes, so a start may fail on a full disk; it may not take the disk for damaged.
#[tokio::test]
async fn a_start_on_a_full_disk_reads_the_charges_or_names_the_disk() {
    let (disk, fences) = (Disk::default(), Fences::default());
    let first = on_disk(&disk, &fences);
    submit_one(&first, URL).await;
    let killed = disk.after_power_cut();
    let mut started = 0;
    for writes in 0..20 {
        let disk = killed.after_power_cut();
        disk.refuse_after(writes, ErrorKind::StorageFull);
        let clock = Clock::manual(FEBRUARY_2024);
        let accounts = [account("demo", None)];
        match purger(&accounts, &fences, &clock, Medium::Disk(disk.clone()), Bounds::default()) {
            Ok(purger) => {
                started += 1;
                assert_eq!(purger.allowance(0).used, 1, "refused after {writes} writes");
            }
            Err(LedgerError::Disk(error)) => assert_eq!(error.kind(), ErrorKind::StorageFull),
            Err(error) => panic!("refused after {writes} writes: {error}"),
        }
        disk.work_again();
        assert_eq!(on_disk(&disk, &fences).allowance(0).used, 1, "refused after {writes} writes");
    }
    assert!((1..20).contains(&started), "{started}: both ends are reached");
}

#[tokio::test]
async fn a_failing_disk_is_tried_again_after_a_pause_and_not_for_each_purge() {
    let (disk, fences) = (Disk::default(), Fences::default());
    // A clock that stands still: the pause never ends.
    let purger = on_disk(&disk, &fences);
    disk.refuse(ErrorKind::StorageFull);
    submit_one(&purger, URL).await;
    let opened = disk.opened();
    for _ in 0..50 {
        submit_one(&purger, URL).await;
    }
    assert_eq!(disk.opened(), opened);
    assert_eq!(purger.ledger_figures().rows_unwritten, 51);
}

#[tokio::test]
async fn closing_writes_what_waits() {
    let (disk, fences) = (Disk::default(), Fences::default());
    let purger = on_disk(&disk, &fences);
    disk.refuse(ErrorKind::StorageFull);
    let id = submit_one(&purger, URL).await;
    fences.end_sweep(5, 50, false);
    disk.work_again();
    purger.close();
    let after = on_disk(&disk.after_power_cut(), &Fences::default());
    let counts = Counts { entries: 5, bytes: 50, shared: false };
    assert_eq!(after.status(0, id).await, Progress::Known(Status::Completed, counts));
    assert_eq!(after.allowance(0).used, 1);
}

#[tokio::test]
async fn rows_older_than_what_is_kept_leave_at_the_next_start_and_charges_with_their_month() {
    let (disk, fences) = (Disk::default(), Fences::default());
    let accounts = [account("demo", None)];
    let start = |unix_seconds| {
        let (clock, medium) = (Clock::manual(unix_seconds), Medium::Disk(disk.clone()));
        purger(&accounts, &fences, &clock, medium, Bounds::default()).unwrap()
    };
    let first = start(FEBRUARY_2024);
    let old = submit_one(&first, URL).await;
    first.close();
    let second = start(FEBRUARY_2024 + 91 * 86_400);
    let new = submit_one(&second, URL).await;
    wait_until_started(&second).await;
    assert_eq!(second.status(0, old).await, Progress::Unknown);
    second.close();
    let third = start(FEBRUARY_2024 + 92 * 86_400);
    assert_eq!(third.allowance(0).used, 1);
    fences.forget();
    assert!(matches!(third.status(0, new).await, Progress::Known(Status::Completed, _)));
}
