//! A request with several targets: one id, one row, a charge for each; what its record tells.

use super::*;

const OTHER_URL: &str = "http://127.0.0.1:8080/demo/c.jpg";

async fn record_of(purger: &Purger, id: RequestId) -> Record {
    purger.request(None, id).await.unwrap().unwrap()
}

async fn purge_of(purger: &Purger, id: RequestId) -> Purge {
    record_of(purger, id).await.purge().unwrap().clone()
}

#[tokio::test]
async fn one_call_is_one_request_with_a_row_for_all_and_a_charge_for_each_target() {
    let fences = Fences::default();
    let (purger, _) = in_memory(&fences, None);
    let wishes = [
        Wish::url(URL),
        Wish { named: Named::Asset(OTHER_URL.to_owned()), mode: Mode::Stale },
        Wish { named: Named::Tag("summer".to_owned()), mode: Mode::Stale },
    ];
    let by = By { key: "newsroom".into(), door: Door::Dashboard };
    let note = Some("new colours".into());
    let id = purger.submit(Submission { by, note, ..submission(&wishes) }).await.unwrap().id;
    assert_eq!((fences.count(), purger.allowance(0).used), (3, 3));

    let record = record_of(&purger, id).await;
    assert_eq!((record.id, record.account.as_deref(), record.kind()), (id, Some("demo"), Kind::Purge));
    assert_eq!(
        (&*record.by.key, record.by.door, record.note.as_deref()),
        ("newsroom", Door::Dashboard, Some("new colours"))
    );
    assert_eq!(record.created_at_us / 1_000_000, FEBRUARY_2024);
    let purge = record.purge().unwrap();
    let targets: Vec<_> = purge
        .targets
        .iter()
        .map(|target| (&*target.kind, &*target.text, &*target.covers, target.mode, target.status))
        .collect();
    assert_eq!(
        targets,
        [
            ("url", URL, KEY, Mode::Delete, Status::Pending),
            ("asset", OTHER_URL, "asset demo/c.jpg", Mode::Stale, Status::Pending),
            ("tag", "summer", "tag demo/summer", Mode::Stale, Status::Pending),
        ]
    );
    assert_eq!(purge.warm, None);
    assert_eq!(purger.list(Filter::default()).await.unwrap().records, [record]);
}

#[tokio::test]
async fn each_target_is_counted_by_itself_and_the_request_is_complete_with_the_last() {
    let fences = Fences::default();
    let (purger, _) = in_memory(&fences, None);
    let urls = [URL, OTHER_URL];
    let id = purger.submit(submission(&wishes(&urls))).await.unwrap().id;
    let counts = |entries, shared| Counts { entries, bytes: entries * 10, shared };
    fences.end_sweep_of(1, 2, 20, false);
    let live = purge_of(&purger, id).await;
    assert_eq!(live.status(), Status::Pending);
    assert_eq!(live.targets[0].status, Status::Pending);
    assert_eq!((live.targets[1].status, live.targets[1].counts), (Status::Completed, counts(2, false)));
    assert_eq!(purger.status(0, id).await, Progress::Known(Status::Pending, counts(2, false)));
    fences.end_sweep(3, 30, true);
    let ended = purge_of(&purger, id).await;
    assert_eq!(ended.status(), Status::Completed);
    assert_eq!((ended.targets[0].counts, ended.targets[1].counts), (counts(3, true), counts(2, false)));
    assert_eq!(purger.status(0, id).await, Progress::Known(Status::Completed, counts(5, true)));
}

#[tokio::test]
async fn a_record_says_when_its_purge_was_visible_acknowledged_and_swept() {
    let (disk, fences) = (Disk::default(), Fences::default());
    let clock = Clock::manual(FEBRUARY_2024);
    let accounts = [account("demo", None)];
    let purger = purger(&accounts, &fences, &clock, Medium::Disk(disk.clone()), Bounds::default()).unwrap();
    wait_until_started(&purger).await;
    fences.each_takes(&clock, Duration::from_micros(7));
    disk.stop();
    let urls = wishes(&[URL, OTHER_URL]);
    let mut submitted = pin!(purger.submit(submission(&urls)));
    assert!(!poll_once(submitted.as_mut()));
    disk.wait_until_stopped();
    clock.advance(Duration::from_micros(500));
    disk.go_on();
    let id = submitted.await.unwrap().id;
    let purge = purge_of(&purger, id).await;
    assert_eq!((purge.visible_us, purge.acknowledged_us, purge.swept_us), (Some(14), Some(514), None));
    clock.advance(Duration::from_millis(2));
    fences.end_sweep(1, 1, false);
    clock.advance(Duration::from_millis(3));
    fences.end_sweep(1, 1, false);
    let purge = purge_of(&purger, id).await;
    assert_eq!((purge.acknowledged_us, purge.swept_us), (Some(514), Some(5514)));
    // The measurements are on the disk with the last of them, or with a proper end.
    purger.close();
    let after = on_disk(&disk.after_power_cut(), &Fences::default());
    assert_eq!(purge_of(&after, id).await, purge);
}

#[tokio::test]
async fn a_measurement_makes_no_commit_of_its_own_and_is_written_at_the_end() {
    let (disk, fences) = (Disk::default(), Fences::default());
    let purger = on_disk(&disk, &fences);
    wait_until_started(&purger).await;
    let id = submit_one(&purger, URL).await;
    let commits = purger.ledger_figures().commits;
    for _ in 0..5 {
        assert_eq!(purge_of(&purger, id).await.acknowledged_us, Some(0));
    }
    assert_eq!(purger.ledger_figures().commits, commits, "a look is no reason to write");
    purger.close();
    let after = on_disk(&disk.after_power_cut(), &Fences::default());
    assert_eq!(purge_of(&after, id).await.acknowledged_us, Some(0));
}

#[tokio::test]
async fn what_differs_in_anything_is_no_retry() {
    let fences = Fences::default();
    let (purger, _) = in_memory(&fences, None);
    let urls = wishes(&[URL, OTHER_URL]);
    let first = submission(&urls);
    let id = purger.submit(first.clone()).await.unwrap().id;
    let repeated = Submission { attempt: Attempt::Retry, ..first };
    assert_eq!(purger.submit(repeated.clone()).await.unwrap().id, id);
    assert_eq!(purger.allowance(0).used, 2);
    let turned = wishes(&[OTHER_URL, URL]);
    let soft = [Wish { mode: Mode::Stale, ..urls[0].clone() }, urls[1].clone()];
    let asset = [Wish { named: Named::Asset(URL.to_owned()), ..urls[0].clone() }, urls[1].clone()];
    let others = [
        Submission { wishes: &turned, ..repeated.clone() },
        Submission { wishes: &urls[..1], ..repeated.clone() },
        Submission { wishes: &soft, ..repeated.clone() },
        Submission { wishes: &asset, ..repeated.clone() },
        Submission { by: by("another"), ..repeated.clone() },
        Submission { note: Some("now".into()), ..repeated.clone() },
        Submission { warm: Some(Warm::default()), ..repeated.clone() },
    ];
    let mut ids = vec![id];
    for other in others {
        ids.push(purger.submit(other).await.unwrap().id);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 8);
    assert_eq!(purger.allowance(0).used, 15);
}

#[tokio::test]
async fn a_retry_raises_every_fence_again_and_is_waited_for() {
    let (disk, fences) = (Disk::default(), Fences::default());
    let purger = on_disk(&disk, &fences);
    let urls = wishes(&[URL, OTHER_URL]);
    let id = purger.submit(submission(&urls)).await.unwrap().id;
    let retry = Submission { attempt: Attempt::Retry, ..submission(&urls) };
    assert_eq!(purger.submit(retry).await.unwrap().id, id);
    assert_eq!(fences.count(), 4);
    for _ in 0..3 {
        fences.end_sweep(1, 1, false);
        assert!(matches!(purger.status(0, id).await, Progress::Known(Status::Pending, _)));
    }
    fences.end_sweep(1, 1, false);
    let purge = purge_of(&purger, id).await;
    assert_eq!((purge.targets[0].counts.entries, purge.targets[1].counts.entries), (2, 2));
    assert_eq!(purger.list(Filter::default()).await.unwrap().records.len(), 1);
}

#[tokio::test]
async fn a_note_has_its_bound() {
    let fences = Fences::default();
    let (purger, _) = in_memory(&fences, None);
    let urls = wishes(&[URL]);
    let with = |length| Submission { note: Some("n".repeat(length).into()), ..submission(&urls) };
    assert!(matches!(purger.submit(with(limits::NOTE_BYTES_MAX + 1)).await, Err(PurgeError::NoteTooLong)));
    assert_eq!((fences.count(), purger.allowance(0).used), (0, 0));
    assert!(purger.submit(with(limits::NOTE_BYTES_MAX)).await.is_ok());
}

#[tokio::test]
async fn another_accounts_record_is_unknown_and_nobodys_account_sees_all() {
    let fences = Fences::default();
    let (purger, _) = in_memory(&fences, None);
    let id = submit_one(&purger, URL).await;
    assert_eq!(purger.request(Some(1), id).await, Ok(None));
    assert!(purger.request(Some(0), id).await.unwrap().is_some());
    assert!(purger.request(None, id).await.unwrap().is_some());
    assert_eq!(purger.request(None, RequestId::random().unwrap()).await, Ok(None));
}
