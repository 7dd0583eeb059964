//! A file of version 1 becomes one of version 2, whole or not at all.

use super::super::migration::{BY_AGE_1, REQUESTS_1};
use super::*;

const AT_MS: u64 = (FEBRUARY_2024 - 1) * 1000;

/// Writes the tables as version 1 wrote them: requests that were acknowledged, one of them not yet swept.
fn version_1(disk: &Disk) -> Vec<RequestId> {
    #[rustfmt::skip]
    let rows = [
        // URL                                     target                        at      done   entries, bytes, shared
        ("http://127.0.0.1:8080/demo/a.jpg",       "demo/a.jpg",                 AT_MS,     true,  3, 30, true),
        ("http://127.0.0.1:8080/demo/a/b*",        "demo/a/b* (stale)",          AT_MS + 1, true,  0, 0,  false),
        ("http://127.0.0.1:8080/demo/a.jpg?tr=x",  "asset demo/a.jpg",           AT_MS + 2, true,  1, 10, false),
        ("winter (stale)",                         "tag demo/winter (stale) (stale)", AT_MS + 3, false, 0, 0,  false),
    ];
    let database = redb::Database::builder().create_with_backend(disk.open()).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta: redb::TableDefinition<&str, u64> = redb::TableDefinition::new("meta");
    let charges: redb::TableDefinition<(&str, u32), u64> = redb::TableDefinition::new("charges");
    let month = Month::containing(FEBRUARY_2024).number();
    let mut ids = Vec::new();
    {
        transaction.open_table(meta).unwrap().insert("schema", 1).unwrap();
        let mut charges = transaction.open_table(charges).unwrap();
        charges.insert(("demo", month), 4).unwrap();
        charges.insert(("gone", month), 9).unwrap();
        let mut requests = transaction.open_table(REQUESTS_1).unwrap();
        let mut by_age = transaction.open_table(BY_AGE_1).unwrap();
        for (url, target, at_unix_ms, completed, entries, bytes, shared) in rows {
            let id = RequestId::random().unwrap();
            requests
                .insert(id.as_bytes(), ("demo", url, target, at_unix_ms, completed, entries, bytes, shared))
                .unwrap();
            by_age.insert((at_unix_ms, id.as_bytes()), ()).unwrap();
            ids.push(id);
        }
    }
    transaction.commit().unwrap();
    ids
}

async fn assert_brought_over(purger: &Purger, ids: &[RequestId]) {
    assert_eq!(purger.allowance(0).used, 4);
    let page = purger.list(Filter::default()).await.unwrap();
    let newest_first: Vec<_> = ids.iter().rev().copied().collect();
    assert_eq!(page.records.iter().map(|record| record.id).collect::<Vec<_>>(), newest_first);
    let shown: Vec<_> = page
        .records
        .iter()
        .map(|record| {
            let target = &record.purge().unwrap().targets[0];
            (&*target.kind, &*target.text, &*target.covers, target.mode, target.counts.entries)
        })
        .collect();
    #[rustfmt::skip]
    let expected = [
        ("tag",   "winter (stale)",                        "tag demo/winter (stale)", Mode::Stale,  0),
        ("asset", "http://127.0.0.1:8080/demo/a.jpg?tr=x", "asset demo/a.jpg",        Mode::Delete, 1),
        ("url",   "http://127.0.0.1:8080/demo/a/b*",       "demo/a/b*",               Mode::Stale,  0),
        ("url",   "http://127.0.0.1:8080/demo/a.jpg",      "demo/a.jpg",              Mode::Delete, 3),
    ];
    assert_eq!(shown, expected);
    let oldest = page.records.last().unwrap();
    assert_eq!(
        (oldest.created_at_us, &*oldest.by.key, oldest.by.door),
        (AT_MS * 1000, "private key", Door::Imagekit)
    );
    assert_eq!(oldest.account.as_deref(), Some("demo"));
    let counts = Counts { entries: 3, bytes: 30, shared: true };
    assert_eq!(purger.status(0, ids[0]).await, Progress::Known(Status::Completed, counts));
    assert_eq!(purger.status(0, ids[3]).await, Progress::Known(Status::Completed, Counts::default()));
}

#[tokio::test]
async fn rows_and_charges_of_version_1_are_kept() {
    let disk = Disk::default();
    let ids = version_1(&disk);
    let first = on_disk(&disk, &Fences::default());
    assert_brought_over(&first, &ids).await;
    let new = submit_one(&first, URL).await;
    first.close();
    let second = on_disk(&disk, &Fences::default());
    assert_eq!(second.allowance(0).used, 5);
    let page = second.list(Filter::default()).await.unwrap();
    assert_eq!(page.records.len(), 5);
    assert_eq!(page.records[0].id, new);
    second.close();
    // What is older than what is kept leaves: by its own time, not by that of the move.
    let (clock, medium) = (Clock::manual(FEBRUARY_2024 + 90 * 86_400 + 1), Medium::Disk(disk.clone()));
    let third =
        purger(&[account("demo", None)], &Fences::default(), &clock, medium, Bounds::default()).unwrap();
    wait_until_started(&third).await;
    assert_eq!(third.list(Filter::default()).await.unwrap().records.len(), 0);
}

#[tokio::test]
async fn a_kill_or_a_full_disk_amid_the_move_leaves_version_1_as_it_was() {
    let disk = Disk::default();
    let ids = version_1(&disk);
    let mut refused = 0;
    for writes in 0..60 {
        let disk = disk.after_power_cut();
        disk.refuse_after(writes, ErrorKind::StorageFull);
        let clock = Clock::manual(FEBRUARY_2024);
        let accounts = [account("demo", None)];
        let medium = Medium::Disk(disk.clone());
        match purger(&accounts, &Fences::default(), &clock, medium, Bounds::default()) {
            Ok(purger) => assert_eq!(purger.allowance(0).used, 4, "refused after {writes} writes"),
            Err(LedgerError::Disk(error)) => {
                refused += 1;
                assert_eq!(error.kind(), ErrorKind::StorageFull);
            }
            Err(error) => panic!("refused after {writes} writes: {error}"),
        }
        assert_brought_over(&on_disk(&disk.after_power_cut(), &Fences::default()), &ids).await;
    }
    assert!((1..60).contains(&refused), "{refused}: both ends are reached");
}
