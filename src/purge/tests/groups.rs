//! Which calls share a transaction, and what waits for one.

use super::*;

/// So long that no test sees its end: who waits for it, waits for good.
const FOR_GOOD: Duration = Duration::from_secs(24 * 60 * 60);
const PATIENT: Bounds = Bounds {
    gather: FOR_GOOD,
    sweeps_pause: FOR_GOOD,
    retry_pause: limits::LEDGER_RETRY_PAUSE,
    prune_pause: limits::LEDGER_PRUNE_PAUSE,
    rows_max: limits::LEDGER_PENDING_MAX,
    bytes_max: limits::LEDGER_PENDING_BYTES_MAX,
};

fn with_bounds(disk: &Disk, fences: &Fences, clock: &Clock, bounds: Bounds) -> Purger {
    let accounts = [account("demo", Some(1000))];
    purger(&accounts, fences, clock, Medium::Disk(disk.clone()), bounds).unwrap()
}

fn url(number: usize) -> String {
    format!("http://127.0.0.1:8080/demo/a/{number}.jpg")
}

fn submitted(purger: &Purger, number: usize) -> tokio::task::JoinHandle<RequestId> {
    let purger = purger.clone();
    tokio::spawn(async move { submit_one(&purger, &url(number)).await })
}

async fn wait_for_queue(purger: &Purger, calls: usize) {
    while purger.0.ledger.waiting() != calls {
        tokio::task::yield_now().await;
    }
}

async fn wait_for_fences(fences: &Fences, count: usize) {
    while fences.count() != count {
        tokio::task::yield_now().await;
    }
}

/// Makes two purges, not the first, share a transaction, before which `then` happens to the disk.
async fn let_two_meet(purger: &Purger, disk: &Disk, then: impl FnOnce(&Disk)) {
    wait_until_started(purger).await;
    disk.stop();
    let first = submitted(purger, 0);
    tokio::task::yield_now().await;
    disk.wait_until_stopped();
    let two = [submitted(purger, 1), submitted(purger, 2)];
    wait_for_queue(purger, 2).await;
    then(disk);
    disk.go_on();
    first.await.unwrap();
    for one in two {
        one.await.unwrap();
    }
}

/// Who waits for good has failed after a while.
async fn in_time(test: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(20), test).await.expect("somebody waits for good");
}

#[tokio::test]
async fn purges_that_come_one_after_the_other_wait_for_nobody() {
    in_time(async {
        let (disk, fences) = (Disk::default(), Fences::default());
        let purger = with_bounds(&disk, &fences, &Clock::manual(FEBRUARY_2024), PATIENT);
        wait_until_started(&purger).await;
        let commits = purger.ledger_figures().commits;
        for number in 0..5 {
            submit_one(&purger, &url(number)).await;
        }
        assert_eq!(purger.ledger_figures().commits - commits, 5);
    })
    .await;
}

#[tokio::test]
async fn after_two_that_met_purges_gather_and_the_end_waits_for_none() {
    in_time(async {
        let (disk, fences) = (Disk::default(), Fences::default());
        let purger = with_bounds(&disk, &fences, &Clock::manual(FEBRUARY_2024), PATIENT);
        let_two_meet(&purger, &disk, |_| ()).await;
        let commits = purger.ledger_figures().commits;
        let mut gathering = vec![submitted(&purger, 3)];
        wait_for_fences(&fences, 4).await;
        wait_for_queue(&purger, 0).await; // The thread has taken the first, and would write it if it did not wait for others.
        gathering.extend((4..8).map(|number| submitted(&purger, number)));
        wait_for_fences(&fences, 8).await; // They are visible while they wait.
        wait_for_queue(&purger, 4).await;
        let closed = std::thread::spawn({
            let purger = purger.clone();
            move || purger.close()
        });
        for one in gathering {
            one.await.unwrap();
        }
        closed.join().unwrap();
        assert_eq!(purger.ledger_figures().commits - commits, 1);
        assert_eq!(on_disk(&disk.after_power_cut(), &Fences::default()).allowance(0).used, 8);
    })
    .await;
}

#[tokio::test]
async fn purges_gather_from_the_beginning_of_the_last_transaction_and_no_longer() {
    in_time(async {
        let (disk, fences, clock) = (Disk::default(), Fences::default(), Clock::manual(FEBRUARY_2024));
        let purger = with_bounds(&disk, &fences, &clock, PATIENT);
        let_two_meet(&purger, &disk, |_| ()).await;
        clock.advance(FOR_GOOD);
        let commits = purger.ledger_figures().commits;
        submit_one(&purger, &url(3)).await;
        // It was alone: so is the next.
        submit_one(&purger, &url(4)).await;
        assert_eq!(purger.ledger_figures().commits - commits, 2);
    })
    .await;
}

#[tokio::test]
async fn purges_that_gathered_are_answered_when_the_time_is_over() {
    in_time(async {
        let (disk, fences) = (Disk::default(), Fences::default());
        let bounds = Bounds { gather: Duration::from_millis(1), ..PATIENT };
        let purger = with_bounds(&disk, &fences, &Clock::manual(FEBRUARY_2024), bounds);
        let_two_meet(&purger, &disk, |_| ()).await;
        submit_one(&purger, &url(3)).await;
        assert_eq!(on_disk(&disk.after_power_cut(), &Fences::default()).allowance(0).used, 4);
    })
    .await;
}

#[tokio::test]
async fn where_nothing_can_be_written_nobody_gathers() {
    in_time(async {
        let (disk, fences) = (Disk::default(), Fences::default());
        let purger = with_bounds(&disk, &fences, &Clock::manual(FEBRUARY_2024), PATIENT);
        // The sync of the first is the last thing that works.
        let_two_meet(&purger, &disk, |disk| disk.refuse_after(1, ErrorKind::StorageFull)).await;
        assert_eq!(purger.health(), Health::Degraded(Trouble::DiskFull));
        assert_eq!(purger.ledger_figures().rows_unwritten, 2, "the first is on the disk");
        submit_one(&purger, &url(3)).await;
    })
    .await;
}

#[tokio::test]
async fn the_end_of_a_sweep_makes_no_commit_of_its_own_before_its_pause_and_is_known_at_once() {
    in_time(async {
        let (disk, fences) = (Disk::default(), Fences::default());
        let purger = with_bounds(&disk, &fences, &Clock::manual(FEBRUARY_2024), PATIENT);
        wait_until_started(&purger).await;
        let id = submit_one(&purger, URL).await;
        let commits = purger.ledger_figures().commits;
        fences.end_sweep(3, 30, false);
        let ended = Progress::Known(Status::Completed, Counts { entries: 3, bytes: 30, shared: false });
        for _ in 0..3 {
            assert_eq!(purger.status(0, id).await, ended);
        }
        assert_eq!(purger.ledger_figures().commits, commits);
        // The next purge takes it along.
        submit_one(&purger, &url(1)).await;
        assert_eq!(purger.ledger_figures().commits - commits, 1);
        assert_eq!(on_disk(&disk.after_power_cut(), &Fences::default()).status(0, id).await, ended);
    })
    .await;
}

#[tokio::test]
async fn the_end_of_a_sweep_is_written_after_the_pause_where_no_purge_takes_it_along() {
    in_time(async {
        let (disk, fences, clock) = (Disk::default(), Fences::default(), Clock::manual(FEBRUARY_2024));
        let purger = with_bounds(&disk, &fences, &clock, PATIENT);
        wait_until_started(&purger).await;
        let id = submit_one(&purger, URL).await;
        let commits = purger.ledger_figures().commits;
        fences.end_sweep(3, 30, false);
        clock.advance(FOR_GOOD);
        let ended = Progress::Known(Status::Completed, Counts { entries: 3, bytes: 30, shared: false });
        assert_eq!(purger.status(0, id).await, ended);
        // Whatever it is that wakes the thread, it looks at the clock then.
        assert_eq!(purger.ledger_figures().commits - commits, 1);
        assert_eq!(on_disk(&disk.after_power_cut(), &Fences::default()).status(0, id).await, ended);
    })
    .await;
}

#[tokio::test]
async fn the_thread_writes_the_end_of_a_sweep_by_itself() {
    in_time(async {
        let (disk, fences) = (Disk::default(), Fences::default());
        let bounds = Bounds { sweeps_pause: Duration::from_millis(1), ..PATIENT };
        let purger = with_bounds(&disk, &fences, &Clock::system(), bounds);
        wait_until_started(&purger).await;
        submit_one(&purger, URL).await;
        let commits = purger.ledger_figures().commits;
        fences.end_sweep(3, 30, false);
        // Nobody asks the ledger for anything.
        while purger.ledger_figures().commits == commits {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
