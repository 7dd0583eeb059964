//! What operators change while the process runs: it counts at once, lasts, and stands in the history.

use super::*;

fn start(disk: &Disk, limit: Option<u64>) -> Purger {
    let accounts = [account("demo", limit), account("other", None)];
    let clock = Clock::manual(FEBRUARY_2024);
    purger(&accounts, &Fences::default(), &clock, Medium::Disk(disk.clone()), Bounds::default()).unwrap()
}

async fn set_limit(purger: &Purger, limit: Option<u64>) -> Changed {
    let change = AllowanceChange { limit: Some(limit), reset: false };
    purger.change_allowance(0, change, by("root"), Some("a sale".into())).await.unwrap()
}

fn limit_of(purger: &Purger) -> Option<u64> {
    purger.allowance(0).limit
}

/// What the history says of changes, newest first.
async fn said(purger: &Purger) -> Vec<String> {
    let records = purger.list(Filter::default()).await.unwrap().records;
    let text = |record: &Record| match &record.change {
        Change::Purge(_) => "purge".to_owned(),
        Change::Allowance(change) | Change::Key(change) => format!("{}: {change}", record.kind().as_str()),
    };
    records.iter().map(text).collect()
}

#[tokio::test]
async fn a_raised_allowance_counts_at_once_and_after_a_power_cut() {
    let disk = Disk::default();
    let purger = start(&disk, Some(1));
    submit_one(&purger, URL).await;
    let wishes = wishes(&[URL]);
    assert!(matches!(purger.submit(submission(&wishes)).await, Err(PurgeError::AllowanceUsedUp(_))));
    let changed = set_limit(&purger, Some(2)).await;
    assert_eq!(changed.kept, Kept::OnDisk);
    let after = start(&disk.after_power_cut(), Some(1));
    assert_eq!((limit_of(&after), after.allowance(0).used, after.allowance(1).limit), (Some(2), 1, None));
    submit_one(&purger, URL).await;
    assert!(matches!(purger.submit(submission(&wishes)).await, Err(PurgeError::AllowanceUsedUp(_))));

    let record = purger.request(Some(0), changed.id).await.unwrap().unwrap();
    assert_eq!(
        (&*record.by.key, record.note.as_deref(), record.account.as_deref()),
        ("root", Some("a sale"), Some("demo"))
    );
    assert_eq!(purger.status(0, changed.id).await, Progress::Unknown, "it is no purge");
    assert_eq!(said(&purger).await, ["purge", "allowance: limit 1 → 2", "purge"]);
}

#[tokio::test]
async fn an_allowance_is_lifted_and_lowered_and_begun_anew() {
    let disk = Disk::default();
    let purger = start(&disk, Some(5));
    for _ in 0..3 {
        submit_one(&purger, URL).await;
    }
    set_limit(&purger, None).await;
    let both = AllowanceChange { limit: Some(Some(2)), reset: true };
    purger.change_allowance(0, both, by("root"), None).await.unwrap();
    assert_eq!(start(&disk.after_power_cut(), Some(5)).allowance(0).used, 0);
    submit_one(&purger, URL).await;
    for purger in [&purger, &start(&disk.after_power_cut(), Some(5))] {
        assert_eq!((limit_of(purger), purger.allowance(0).used), (Some(2), 1));
    }
    let expected = ["purge", "allowance: limit none → 2, used 3 → 0", "allowance: limit 5 → none"];
    assert_eq!(said(&purger).await[..3], expected);
}

#[tokio::test]
async fn the_operators_word_counts_until_the_configs_number_changes_and_never_again() {
    let disk = Disk::default();
    let first = start(&disk, Some(1000));
    set_limit(&first, Some(7)).await;
    first.close();
    let same = start(&disk, Some(1000));
    assert_eq!(limit_of(&same), Some(7));
    same.close();
    let other = start(&disk, Some(500));
    assert_eq!(limit_of(&other), Some(500));
    other.close();
    let back = start(&disk, Some(1000));
    assert_eq!(limit_of(&back), Some(1000));
    set_limit(&back, None).await;
    back.close();
    let lifted = start(&disk, Some(1000));
    assert_eq!(limit_of(&lifted), None);
    lifted.close();
    assert_eq!(limit_of(&start(&disk, None)), None);
}

#[tokio::test]
async fn a_change_of_nothing_is_none() {
    let purger = start(&Disk::default(), Some(1));
    let nothing = purger.change_allowance(0, AllowanceChange::default(), by("root"), None).await;
    assert_eq!(nothing, Err(ChangeError::Nothing));
    let long = Some("n".repeat(limits::NOTE_BYTES_MAX + 1).into());
    let reset = AllowanceChange { limit: None, reset: true };
    assert_eq!(purger.change_allowance(0, reset, by("root"), long).await, Err(ChangeError::NoteTooLong));
    assert!(said(&purger).await.is_empty());
}

fn key(id: &str) -> StoredKey {
    let value = serde_json::json!({ "hash": format!("secret of {id}"), "scopes": ["read", 1, null] });
    StoredKey { id: id.into(), name: format!("name of {id}").into(), account: Some("demo".into()), value }
}

#[tokio::test]
async fn stored_keys_last_and_their_changes_stand_in_the_history_without_secrets() {
    let disk = Disk::default();
    let purger = start(&disk, None);
    let nobodys = StoredKey { account: None, ..key("b") };
    assert_eq!(purger.add_key(key("a"), by("root"), None).await.unwrap().kept, Kept::OnDisk);
    purger.add_key(nobodys.clone(), by("root"), Some("for the robot".into())).await.unwrap();
    purger.add_key(key("c"), by("root"), None).await.unwrap();
    purger.remove_key("a", by("other root"), None).await.unwrap();
    for purger in [&purger, &start(&disk.after_power_cut(), None)] {
        assert_eq!(purger.stored_keys(), [nobodys.clone(), key("c")]);
        let page = purger.list(Filter::default()).await.unwrap();
        assert!(!format!("{page:?}").contains("secret"));
        let expected = [
            "key: name of a removed",
            "key: name of c added",
            "key: name of b added",
            "key: name of a added",
        ];
        assert_eq!(said(purger).await, expected);
        let accounts: Vec<_> = page.records.iter().map(|record| record.account.as_deref()).collect();
        assert_eq!(accounts, [Some("demo"), Some("demo"), None, Some("demo")]);
    }
}

#[tokio::test]
async fn err_a_key_that_is_there_is_missing_or_is_too_much() {
    let purger = start(&Disk::default(), None);
    purger.add_key(key("a"), by("root"), None).await.unwrap();
    assert_eq!(purger.add_key(key("a"), by("root"), None).await, Err(ChangeError::KeyTaken));
    assert_eq!(purger.remove_key("b", by("root"), None).await, Err(ChangeError::KeyUnknown));
    let large = StoredKey { value: "x".repeat(limits::STORED_KEY_BYTES_MAX).into(), ..key("b") };
    assert_eq!(purger.add_key(large, by("root"), None).await, Err(ChangeError::KeyTooLarge));
    for n in 1..limits::STORED_KEYS_MAX {
        purger.add_key(key(&n.to_string()), by("root"), None).await.unwrap();
    }
    assert_eq!(purger.add_key(key("more"), by("root"), None).await, Err(ChangeError::TooManyKeys));
    assert_eq!(purger.stored_keys().len(), limits::STORED_KEYS_MAX);
    assert_eq!(purger.list(Filter::default()).await.unwrap().records.len(), Filter::default().limit);
}

#[tokio::test]
async fn changes_made_while_the_disk_fails_say_so_and_are_written_when_it_works() {
    let (disk, fences) = (Disk::default(), Fences::default());
    let purger = quick_on_disk(&disk, &fences, QUICK);
    purger.add_key(key("old"), by("root"), None).await.unwrap();
    disk.refuse(ErrorKind::StorageFull);
    let changed = purger.remove_key("old", by("root"), None).await.unwrap();
    assert_eq!(changed.kept, Kept::InMemory);
    purger.add_key(key("new"), by("root"), None).await.unwrap();
    set_limit(&purger, Some(3)).await;
    // More rows than may wait: what counts is kept all the same.
    for _ in 0..QUICK.rows_max + 1 {
        submit_one_of_other(&purger).await;
    }
    assert_eq!((purger.stored_keys(), limit_of(&purger)), (vec![key("new")], Some(3)));
    assert!(purger.ledger_figures().rows_dropped > 0);
    disk.work_again();
    wait_until_durable(&purger).await;
    let after = quick_on_disk(&disk.after_power_cut(), &fences, QUICK);
    assert_eq!((after.stored_keys(), limit_of(&after)), (vec![key("new")], Some(3)));
}

#[tokio::test]
async fn a_ledger_that_was_emptied_while_its_disk_failed_gets_words_and_keys_again() {
    let (disk, fences) = (Disk::default(), Fences::default());
    let purger = quick_on_disk(&disk, &fences, QUICK);
    purger.add_key(key("a"), by("root"), None).await.unwrap();
    set_limit(&purger, Some(3)).await;
    disk.refuse(ErrorKind::StorageFull);
    submit_one_of_other(&purger).await;
    disk.wipe();
    disk.work_again();
    wait_until_durable(&purger).await;
    let after = quick_on_disk(&disk.after_power_cut(), &fences, QUICK);
    assert_eq!((after.stored_keys(), limit_of(&after)), (vec![key("a")], Some(3)));
}

async fn submit_one_of_other(purger: &Purger) {
    let wishes = [Wish::url("http://127.0.0.1:8080/other/a.jpg")];
    purger.submit(Submission { account: 1, ..submission(&wishes) }).await.unwrap();
}
