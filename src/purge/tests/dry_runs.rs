//! A dry run counts, and changes nothing; it walks one at a time, for as long as somebody waits.

use std::sync::mpsc;

use super::*;
use crate::cache::Survey;
use crate::key::Key;

/// A store whose walk a test commands: it says that it began, and waits to be told what it finds.
struct Walked {
    begun: mpsc::Receiver<(Target, usize)>,
    found: mpsc::Sender<Survey>,
    /// Whether the last walk was still wanted at its end.
    wanted: Arc<Mutex<Option<bool>>>,
}

fn walked(fences: &Fences) -> (Purger, Walked) {
    let (begin, begun) = mpsc::channel();
    let (found, finds) = mpsc::channel();
    let wanted = Arc::new(Mutex::new(None));
    let (finds, was_wanted) = (Mutex::new(finds), Arc::clone(&wanted));
    let survey: Surveyor = Box::new(move |target, keys_max, goes_on| {
        begin.send((target.clone(), keys_max)).unwrap();
        let survey = finds.lock().recv().unwrap();
        *was_wanted.lock() = Some(goes_on());
        survey
    });
    let accounts = [account("demo", Some(10))];
    let clock = Clock::manual(FEBRUARY_2024);
    let purger = purger_with(&accounts, fences, survey, &clock, Medium::Memory, Bounds::default()).unwrap();
    (purger, Walked { begun, found, wanted })
}

fn key(path: &str) -> Key {
    let endpoints = Endpoints::new(&[account("demo", None)]);
    endpoints.parse_url(&format!("http://127.0.0.1:8080/demo/{path}")).unwrap().key
}

fn survey(entries: u64, keys: &[Key]) -> Survey {
    Survey { entries, bytes: entries * 100, keys: keys.into(), complete: true }
}

#[tokio::test]
async fn a_dry_run_counts_each_target_names_the_first_urls_and_changes_nothing() {
    let fences = Fences::default();
    let (purger, walked) = walked(&fences);
    let urls = ["http://127.0.0.1:8080/demo/a/b*", "http://elsewhere.test/x.jpg", URL];
    walked.found.send(survey(7, &[key("a/b.jpg"), key("a/b/c.jpg?tr=w-1")])).unwrap();
    walked.found.send(survey(2, &[key("a/b.jpg"), key("d.jpg")])).unwrap();
    let dry = purger.dry_run(0, &wishes(&urls)).await.unwrap();
    let prefix = Found { covers: "demo/a/b*".into(), entries: 7, bytes: 700 };
    assert_eq!(dry.targets[0].as_ref().unwrap(), &prefix);
    assert_eq!(dry.targets[1].as_ref().unwrap_err().as_str(), "outside-account");
    assert_eq!(dry.targets[2].as_ref().unwrap(), &Found { covers: KEY.into(), entries: 2, bytes: 200 });
    assert_eq!((dry.entries(), dry.bytes()), (9, 900));
    let expected = [URL, "http://127.0.0.1:8080/demo/a/b/c.jpg?tr=w-1", "http://127.0.0.1:8080/demo/d.jpg"];
    assert_eq!(dry.urls, expected);
    assert_eq!((dry.allowance.limit, dry.allowance.used, purger.allowance(0).used), (Some(10), 0, 0));
    assert_eq!(fences.count(), 0);
    assert!(purger.list(Filter::default()).await.unwrap().records.is_empty());
    let walks: Vec<_> = walked.begun.try_iter().collect();
    assert_eq!(walks.len(), 2, "what is refused is not looked for");
    assert!(walks.iter().all(|(_, keys_max)| *keys_max == limits::DRY_RUN_KEYS_MAX));
}

#[tokio::test]
async fn no_more_urls_are_named_than_the_bound_says() {
    let (purger, walked) = walked(&Fences::default());
    let keys: Vec<Key> = (0..limits::DRY_RUN_KEYS_MAX).map(|n| key(&format!("{n}.jpg"))).collect();
    walked.found.send(survey(100, &keys)).unwrap();
    walked.found.send(survey(1, &[key("more.jpg")])).unwrap();
    let dry = purger.dry_run(0, &wishes(&[URL, URL])).await.unwrap();
    assert_eq!(dry.urls.len(), limits::DRY_RUN_KEYS_MAX);
}

#[tokio::test]
async fn walks_take_turns_and_one_that_nobody_waits_for_is_told_and_gives_its_turn_back() {
    let (purger, walked) = walked(&Fences::default());
    let urls = wishes(&[URL]);
    {
        let mut left = pin!(purger.dry_run(0, &urls));
        assert!(!poll_once(left.as_mut()));
        walked.begun.recv().unwrap();
        let mut waits = pin!(purger.dry_run(0, &urls));
        assert!(!poll_once(waits.as_mut()));
        assert!(walked.begun.try_recv().is_err(), "the second one waits for its turn");
    }
    walked.found.send(survey(1, &[])).unwrap();
    walked.found.send(survey(2, &[])).unwrap();
    let dry = purger.dry_run(0, &urls).await.unwrap();
    assert_eq!(dry.entries(), 2);
    assert_eq!(*walked.wanted.lock(), Some(true));
    let mut left = Box::pin(purger.dry_run(0, &urls));
    assert!(!poll_once(left.as_mut()));
    walked.begun.iter().take(2).for_each(drop);
    drop(left);
    walked.found.send(survey(3, &[])).unwrap();
    // Once its turn is free again, it has ended.
    drop(purger.0.dry_runs.acquire().await.unwrap());
    assert_eq!(*walked.wanted.lock(), Some(false));
}

#[tokio::test]
async fn err_a_dry_run_has_the_bounds_of_a_purge() {
    let (purger, _walked) = walked(&Fences::default());
    assert!(matches!(purger.dry_run(0, &[]).await, Err(PurgeError::NoTargets)));
    let too_many = vec![URL; limits::PURGE_TARGETS_MAX + 1];
    assert!(matches!(purger.dry_run(0, &wishes(&too_many)).await, Err(PurgeError::TooManyTargets)));
}
