//! What was purged is fetched again: after its sweeps, hottest first, paced, bounded, and ended on command.

use std::pin::Pin;

use http::HeaderMap;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::super::fetching::{Cancelled, Fetcher};
use super::super::warming::Fetched;
use super::*;
use crate::cache::Hot;
use crate::key::Key;

/// A fetch that waits for its end, which a test gives it.
struct Fetch {
    key: String,
    fields: HeaderMap,
    end: oneshot::Sender<Fetched>,
}

/// Tells a test of each fetch.
struct Scripted(mpsc::UnboundedSender<Fetch>);

impl Fetcher for Scripted {
    fn warm(&self, key: Key, fields: HeaderMap) -> Pin<Box<dyn Future<Output = Fetched> + Send>> {
        let (end, ended) = oneshot::channel();
        self.0.send(Fetch { key: key.as_str().to_owned(), fields, end }).unwrap();
        Box::pin(async move { ended.await.unwrap() })
    }
}

struct World {
    disk: Disk,
    fences: Fences,
    clock: Clock,
    purger: Purger,
    fetches: mpsc::UnboundedReceiver<Fetch>,
    runs: JoinHandle<()>,
}

impl World {
    async fn new() -> World {
        World::with(limits::WARM_FETCH_TIME).await
    }

    async fn with(fetch_time: Duration) -> World {
        let (disk, fences, clock) = (Disk::default(), Fences::default(), Clock::manual(FEBRUARY_2024));
        let accounts = [account("demo", None), account("other", None)];
        let medium = Medium::Disk(disk.clone());
        let purger = purger(&accounts, &fences, &clock, medium, Bounds::default()).unwrap();
        let (fetcher, fetches) = mpsc::unbounded_channel();
        let runs = tokio::spawn({
            let purger = purger.clone();
            async move { purger.run_warmings_within(fetch_time, Arc::new(Scripted(fetcher))).await }
        });
        World { disk, fences, clock, purger, fetches, runs }
    }

    async fn submit(&self, urls: &[&str], warm: Warm) -> RequestId {
        let wishes = wishes(urls);
        self.purger.submit(Submission { warm: Some(warm), ..submission(&wishes) }).await.unwrap().id
    }

    /// Ends the oldest sweep, which removed these.
    fn end_sweep(&self, hottest: &[Hot]) {
        let swept = Swept { entries: hottest.len() as u64, ..Swept::default() };
        self.fences.end(0, Removed { swept, hottest: hottest.into() });
    }

    /// One warming of so many variants, which is about to run.
    async fn warming_of(&self, variants: u64, per_second: u32) -> RequestId {
        let id = self.submit(&[URL], Warm::new(limits::WARM_KEYS_MAX, per_second).unwrap()).await;
        self.end_sweep(&(0..variants).map(|n| hot(&format!("{n}.jpg"), 1000 - n as u32)).collect::<Vec<_>>());
        id
    }

    async fn next(&mut self) -> Fetch {
        let next = tokio::time::timeout(Duration::from_secs(20), self.fetches.recv()).await;
        next.expect("a fetch comes").unwrap()
    }

    /// No fetch is under way, nor about to be, as long as the clock stands.
    async fn assert_none_comes(&mut self) {
        // Longer than the pauses of the pace, by which a runner that looked at another clock would have gone on.
        let none = tokio::time::timeout(Duration::from_millis(150), self.fetches.recv()).await;
        assert!(none.is_err(), "a fetch came: {}", none.unwrap().unwrap().key);
    }

    async fn progress(&self, id: RequestId) -> WarmProgress {
        self.purger.request(Some(0), id).await.unwrap().unwrap().purge().unwrap().warm.unwrap()
    }

    async fn wait_for(&self, id: RequestId, expected: (WarmState, u64, u64, u64)) {
        let (state, planned, done, failed) = expected;
        let expected = WarmProgress { state, planned, done, failed };
        let mut last = self.progress(id).await;
        let reached = async {
            while last != expected {
                tokio::task::yield_now().await;
                last = self.progress(id).await;
            }
        };
        let reached = tokio::time::timeout(Duration::from_secs(20), reached).await;
        assert!(reached.is_ok(), "{last:?} is not {expected:?}");
    }

    /// What the next process finds.
    async fn after_power_cut(&self, id: RequestId) -> WarmProgress {
        let after = on_disk(&self.disk.after_power_cut(), &Fences::default());
        after.request(None, id).await.unwrap().unwrap().purge().unwrap().warm.unwrap()
    }
}

pub(super) fn hot(path: &str, hits: u32) -> Hot {
    let endpoints = Endpoints::new(&[account("demo", None)]);
    let key = endpoints.parse_url(&format!("http://127.0.0.1:8080/demo/{path}")).unwrap().key;
    Hot { key, hits, fields: HeaderMap::new() }
}

fn accepting(mut hot: Hot, accept: &'static str) -> Hot {
    hot.fields.insert("accept", accept.parse().unwrap());
    hot
}

#[tokio::test]
async fn the_hottest_of_all_targets_are_fetched_first_after_the_last_sweep_and_no_more_than_asked() {
    let mut world = World::new().await;
    let id = world.submit(&[URL, "http://127.0.0.1:8080/demo/a/b*"], Warm::new(4, 1000).unwrap()).await;
    assert_eq!(world.fences.hottest_wanted(), [4, 4]);
    world.end_sweep(&[hot("cold.jpg", 1), hot("hot.jpg", 90), accepting(hot("hot.jpg", 50), "image/avif")]);
    world.assert_none_comes().await;
    assert_eq!(world.progress(id).await, WarmProgress::default());
    world.end_sweep(&[hot("hot.jpg", 70), hot("warm.jpg", 60), hot("mild.jpg", 20), hot("colder.jpg", 0)]);
    let mut seen = Vec::new();
    for _ in 0..4 {
        let fetch = world.next().await;
        world.clock.advance(Duration::from_millis(1));
        let accept = fetch.fields.get("accept").map(|accept| accept.to_str().unwrap().to_owned());
        seen.push(format!("{} {}", fetch.key, accept.unwrap_or_default()));
        fetch.end.send(Fetched::Done).unwrap();
    }
    let expected = ["demo/hot.jpg ", "demo/warm.jpg ", "demo/hot.jpg image/avif", "demo/mild.jpg "];
    assert_eq!(seen, expected);
    world.wait_for(id, (WarmState::Done, 4, 4, 0)).await;
    world.assert_none_comes().await;
    let swept = world.purger.request(None, id).await.unwrap().unwrap();
    assert_eq!(swept.purge().unwrap().counts().entries, 7);
}

#[tokio::test]
async fn progress_is_shown_while_it_runs_and_kept_when_it_has_ended() {
    let mut world = World::new().await;
    let id = world.warming_of(3, 1000).await;
    let mut fetches = Vec::new();
    for _ in 0..3 {
        fetches.push(world.next().await);
        world.clock.advance(Duration::from_millis(1));
    }
    world.wait_for(id, (WarmState::Running, 3, 0, 0)).await;
    let listed = world.purger.list(Filter::default()).await.unwrap().records;
    assert_eq!(listed[0].purge().unwrap().warm.unwrap().state, WarmState::Running);
    fetches.pop().unwrap().end.send(Fetched::Done).unwrap();
    fetches.pop().unwrap().end.send(Fetched::Failed).unwrap();
    world.wait_for(id, (WarmState::Running, 3, 1, 1)).await;
    assert_eq!(world.after_power_cut(id).await.state, WarmState::Cancelled, "it would end with the process");
    // A fetch that panics is one that failed.
    drop(fetches.pop().unwrap().end);
    world.wait_for(id, (WarmState::Done, 3, 1, 2)).await;
    assert_eq!(world.after_power_cut(id).await, world.progress(id).await);
}

#[tokio::test]
async fn the_pace_is_the_clocks_and_lost_time_is_not_made_up_for() {
    let mut world = World::new().await;
    world.warming_of(5, 20).await;
    world.next().await.end.send(Fetched::Done).unwrap();
    world.assert_none_comes().await;
    world.clock.advance(Duration::from_millis(49));
    world.assert_none_comes().await;
    world.clock.advance(Duration::from_millis(1));
    world.next().await.end.send(Fetched::Done).unwrap();
    world.clock.advance(Duration::from_secs(5));
    world.next().await.end.send(Fetched::Done).unwrap();
    world.assert_none_comes().await;
}

#[tokio::test]
async fn so_many_fetches_are_under_way_at_once() {
    let mut world = World::new().await;
    world.warming_of(limits::WARM_FETCHES_MAX as u64 + 2, 1000).await;
    let mut under_way = Vec::new();
    for _ in 0..limits::WARM_FETCHES_MAX {
        under_way.push(world.next().await);
        world.clock.advance(Duration::from_millis(1));
    }
    world.assert_none_comes().await;
    under_way.pop().unwrap().end.send(Fetched::Done).unwrap();
    world.next().await;
}

#[tokio::test]
async fn a_fetch_that_takes_too_long_has_failed() {
    let mut world = World::with(Duration::from_millis(20)).await;
    let id = world.warming_of(1, 1000).await;
    let slow = world.next().await;
    world.wait_for(id, (WarmState::Done, 1, 0, 1)).await;
    assert!(slow.end.is_closed());
}

#[tokio::test]
async fn a_cancelled_warming_ends_its_fetches_and_is_written() {
    let mut world = World::new().await;
    let id = world.warming_of(3, 1000).await;
    world.next().await.end.send(Fetched::Done).unwrap();
    world.clock.advance(Duration::from_millis(1));
    let mut cut_off = world.next().await;
    world.wait_for(id, (WarmState::Running, 3, 1, 0)).await;
    assert_eq!(
        world.purger.cancel_warming(Some(1), id),
        Cancelled::NothingToCancel,
        "it is another account's"
    );
    assert_eq!(world.purger.cancel_warming(Some(0), id), Cancelled::Now);
    world.wait_for(id, (WarmState::Cancelled, 3, 1, 0)).await;
    cut_off.end.closed().await;
    world.clock.advance(Duration::from_secs(1));
    world.assert_none_comes().await;
    assert_eq!(world.purger.cancel_warming(None, id), Cancelled::NothingToCancel);
    assert_eq!(world.after_power_cut(id).await.state, WarmState::Cancelled);

    let waiting = world.submit(&[URL], Warm::default()).await;
    assert_eq!(world.purger.cancel_warming(None, waiting), Cancelled::Now);
    world.end_sweep(&[hot("a.jpg", 1)]);
    world.wait_for(waiting, (WarmState::Cancelled, 0, 0, 0)).await;
    world.assert_none_comes().await;
}

#[tokio::test]
async fn so_many_warmings_run_at_once_so_many_wait_and_a_purge_never_does() {
    let mut world = World::new().await;
    let mut ids = Vec::new();
    for _ in 0..limits::WARMINGS_MAX {
        ids.push(world.warming_of(1, 1).await);
    }
    let over = world.submit(&[URL], Warm::default()).await;
    assert_eq!(world.fences.hottest_wanted(), [0], "nothing is gathered for what is not fetched");
    world.end_sweep(&[]);
    world.wait_for(over, (WarmState::Cancelled, 0, 0, 0)).await;
    let mut under_way = Vec::new();
    for _ in 0..limits::WARMINGS_RUNNING_MAX {
        under_way.push(world.next().await);
    }
    world.assert_none_comes().await;
    // They hang; purges go on.
    let id = submit_one(&world.purger, URL).await;
    world.fences.end_sweep(1, 1, false);
    assert!(matches!(world.purger.status(0, id).await, Progress::Known(Status::Completed, _)));
    world.wait_for(ids[limits::WARMINGS_RUNNING_MAX], (WarmState::Waiting, 1, 0, 0)).await;
    under_way.remove(0).end.send(Fetched::Done).unwrap();
    under_way.push(world.next().await);
    world.wait_for(ids[0], (WarmState::Done, 1, 1, 0)).await;
    world.wait_for(ids[limits::WARMINGS_RUNNING_MAX], (WarmState::Running, 1, 0, 0)).await;
    // There is room for one more.
    let id = world.submit(&[URL], Warm::default()).await;
    assert_eq!(world.progress(id).await.state, WarmState::Waiting);
}

#[tokio::test]
async fn a_warming_of_nothing_is_done_with_its_sweeps() {
    let world = World::new().await;
    let id = world.submit(&[URL], Warm::default()).await;
    world.end_sweep(&[]);
    world.wait_for(id, (WarmState::Done, 0, 0, 0)).await;
    assert_eq!(world.after_power_cut(id).await.state, WarmState::Done);
}

#[tokio::test]
async fn a_retry_raises_its_fences_and_gathers_nothing() {
    let world = World::new().await;
    let wishes = wishes(&[URL]);
    let first = Submission { warm: Some(Warm::default()), ..submission(&wishes) };
    let id = world.purger.submit(first.clone()).await.unwrap().id;
    let retry = world.purger.submit(Submission { attempt: Attempt::Retry, ..first }).await.unwrap();
    assert_eq!(retry.id, id);
    assert_eq!(world.fences.hottest_wanted(), [limits::WARM_KEYS_DEFAULT, 0]);
}

#[tokio::test]
async fn at_the_end_of_the_process_what_warms_is_cancelled_and_written() {
    let mut world = World::new().await;
    let running = world.warming_of(2, 1).await;
    world.next().await.end.send(Fetched::Done).unwrap();
    world.wait_for(running, (WarmState::Running, 2, 1, 0)).await;
    let waiting = world.submit(&[URL], Warm::default()).await;
    world.runs.abort();
    let _ = (&mut world.runs).await;
    world.purger.close();
    let cancelled = |planned, done| WarmProgress { state: WarmState::Cancelled, planned, done, failed: 0 };
    let after = on_disk(&world.disk.after_power_cut(), &Fences::default());
    let found = async |id| after.request(None, id).await.unwrap().unwrap().purge().unwrap().warm.unwrap();
    assert_eq!(found(running).await, cancelled(2, 1));
    assert_eq!(found(waiting).await, cancelled(0, 0));
    // A sweep that ends later finds nothing to do.
    world.end_sweep(&[hot("a.jpg", 1)]);
}

#[test]
fn err_what_is_asked_for_has_bounds() {
    let (keys, per_second) = (limits::WARM_KEYS_MAX, limits::WARM_PER_SECOND_MAX);
    assert!(Warm::new(1, 1).is_some() && Warm::new(keys, per_second).is_some());
    for (max, per_second) in [(0, 1), (1, 0), (keys + 1, 1), (1, per_second + 1)] {
        assert_eq!(Warm::new(max, per_second), None);
    }
    let default = Warm::new(limits::WARM_KEYS_DEFAULT, limits::WARM_PER_SECOND_DEFAULT);
    assert_eq!(default, Some(Warm::default()));
}
