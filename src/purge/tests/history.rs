//! The history: pages that miss nothing and repeat nothing, of bounded work; what waits for the disk is in it.

use proptest::prelude::*;

use super::super::storage::{Check, Storage};
use super::super::unwritten::Unwritten;
use super::*;

/// One step of a random life.
#[derive(Clone, Debug)]
enum Step {
    /// An account purges a target of its own, with a note.
    Purge {
        account: usize,
        name: u8,
    },
    /// Its allowance begins anew.
    Reset {
        account: usize,
    },
    /// The oldest sweep ends.
    EndSweep,
    Refuse,
    WorkAgain,
    /// Time passes.
    Wait {
        us: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2_usize, 0..4_u8).prop_map(|(account, name)| Step::Purge { account, name }),
        1 => (0..2_usize).prop_map(|account| Step::Reset { account }),
        4 => Just(Step::EndSweep),
        1 => Just(Step::Refuse),
        1 => Just(Step::WorkAgain),
        2 => (0..2_000_000_u64).prop_map(|us| Step::Wait { us }),
    ]
}

/// What a filter asks for, with a text that some have.
fn filter() -> impl Strategy<Value = Filter> {
    let status = prop::option::of(prop_oneof![Just(Status::Pending), Just(Status::Completed)]);
    let kind = prop::option::of(prop::sample::select(&Kind::ALL[..]));
    let text = prop::option::of(prop::sample::select(vec!["NOTE 1", "/2.JPG", "other", "used", "nothing"]));
    (prop::option::of(0..2_usize), status, kind, text, 1..7_usize).prop_map(
        |(account, status, kind, text, limit)| Filter {
            account,
            status,
            kind,
            text: text.map(str::to_owned),
            limit,
            cursor: None,
        },
    )
}

/// A row as a naive reader keeps it.
struct Row {
    id: RequestId,
    account: usize,
    kind: Kind,
    texts: String,
}

/// A server's life, and what it did in the order in which it did it.
struct World {
    disk: Disk,
    fences: Fences,
    clock: Clock,
    purger: Purger,
    rows: Vec<Row>,
    /// Of each fence that stands, whose it is.
    pending: Vec<RequestId>,
}

const IDS: [&str; 2] = ["demo", "other"];

impl World {
    fn new() -> World {
        let (disk, fences, clock) = (Disk::default(), Fences::default(), Clock::manual(FEBRUARY_2024));
        let accounts = [account(IDS[0], None), account(IDS[1], None)];
        let bounds = Bounds { retry_pause: Duration::ZERO, ..Bounds::default() };
        let purger = purger(&accounts, &fences, &clock, Medium::Disk(disk.clone()), bounds).unwrap();
        World { disk, fences, clock, purger, rows: Vec::new(), pending: Vec::new() }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Purge { account, name } => {
                let url = format!("http://127.0.0.1:8080/{}/{name}.jpg", IDS[account]);
                let note: Option<Box<str>> = (name % 2 == 1).then(|| format!("note {name}").into());
                let wishes = [Wish::url(&url)];
                let submission = Submission { account, note: note.clone(), ..submission(&wishes) };
                let id = self.purger.submit(submission).await.unwrap().id;
                let texts = format!("{url}\n{}", note.unwrap_or_default());
                self.rows.push(Row { id, account, kind: Kind::Purge, texts });
                self.pending.push(id);
            }
            Step::Reset { account } => {
                let change = AllowanceChange { limit: None, reset: true };
                let id = self.purger.change_allowance(account, change, by("root"), None).await.unwrap().id;
                self.rows.push(Row { id, account, kind: Kind::Allowance, texts: "used 1 → 0".into() });
            }
            Step::EndSweep if !self.pending.is_empty() => {
                self.pending.remove(0);
                self.fences.end_sweep(1, 1, false);
            }
            Step::EndSweep => {}
            Step::Refuse => self.disk.refuse(ErrorKind::StorageFull),
            Step::WorkAgain => self.disk.work_again(),
            Step::Wait { us } => self.clock.advance(Duration::from_micros(us)),
        }
    }

    /// What the filter finds now, newest first.
    fn expected(&self, filter: &Filter) -> Vec<RequestId> {
        let is_wanted = |row: &&Row| {
            let status = match row.kind {
                Kind::Purge if self.pending.contains(&row.id) => Some(Status::Pending),
                Kind::Purge => Some(Status::Completed),
                _ => None,
            };
            filter.account.is_none_or(|account| row.account == account)
                && filter.kind.is_none_or(|kind| row.kind == kind)
                && (filter.status.is_none() || filter.status == status)
                && filter.text.as_ref().is_none_or(|text| row.texts.contains(&text.to_lowercase()))
        };
        self.rows.iter().rev().filter(is_wanted).map(|row| row.id).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Between two pages others purge; a sweep may end, and a disk may fail.
    #[test]
    fn pages_have_what_a_naive_reader_finds_once_each_and_nothing_that_came_meanwhile(
        before in prop::collection::vec(step(), 0..40),
        filter in filter(),
        between in prop::collection::vec(step(), 0..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new();
            for step in before {
                world.take(step).await;
            }
            // A list that can't be read is no empty one.
            world.disk.work_again();
            world.take(Step::Purge { account: 0, name: 0 }).await;
            let expected = world.expected(&filter);
            let mut found = Vec::new();
            let mut cursor = None;
            // While one goes through by status, the status of what is found may change: then only no sweep ends.
            let mut between = between
                .into_iter()
                .filter(|step| filter.status.is_none() || !matches!(step, Step::EndSweep))
                .filter(|step| !matches!(step, Step::Refuse));
            loop {
                let page = world.purger.list(Filter { cursor, ..filter.clone() }).await.unwrap();
                prop_assert!(page.records.len() <= filter.limit);
                found.extend(page.records.iter().map(|record| record.id));
                prop_assert!(found.len() <= expected.len(), "pages repeat rows, or have what came meanwhile");
                let Some(next) = page.next else { break };
                prop_assert_eq!(Cursor::parse(&next.to_string()), Some(next));
                cursor = Some(next);
                if let Some(step) = between.next() {
                    world.take(step).await;
                }
            }
            prop_assert_eq!(found, expected);
            Ok(())
        })?;
    }
}

/// A commit that reports an error may be durable all the same: then a row is on the disk, and waits for it.
#[tokio::test]
async fn rows_that_wait_for_the_disk_are_listed_with_those_on_it_and_once_alone() {
    let (disk, fences, clock) = (Disk::default(), Fences::default(), Clock::manual(FEBRUARY_2024));
    let accounts = [account("demo", None)];
    let purger = purger(&accounts, &fences, &clock, Medium::Disk(disk.clone()), Bounds::default()).unwrap();
    let (mut ids, mut in_both) = (Vec::new(), 0);
    for changes in 0..30 {
        ids.insert(0, submit_one(&purger, URL).await);
        disk.lie_once_after(changes);
        ids.insert(0, submit_one(&purger, URL).await);
        fences.end_sweep(1, 1, false);
        fences.end_sweep(2, 2, false);
        let page = purger.list(Filter { limit: limits::LIST_ROWS_MAX, ..Filter::default() }).await.unwrap();
        let found: Vec<_> = page.records.iter().map(|record| record.id).collect();
        assert_eq!(found, ids, "lied after {changes} changes");
        assert_eq!(page.next, None);
        let entries = page.records.iter().map(|record| record.purge().unwrap().counts().entries);
        assert!(entries.eq([2, 1].into_iter().cycle().take(ids.len())), "lied after {changes} changes");
        if purger.ledger_figures().rows_unwritten > 0 {
            let after = on_disk(&disk.after_power_cut(), &Fences::default());
            in_both += usize::from(after.request(None, ids[0]).await.unwrap().is_some());
        }
        clock.advance(limits::LEDGER_RETRY_PAUSE);
    }
    assert!(in_both > 0, "no row was on the disk and waited for it");
}

/// 1. The ledger is read; it has the request as pending. 2. The last sweep ends. 3. What lives is looked at.
#[tokio::test]
async fn a_request_that_ends_behind_the_look_at_the_ledger_is_shown_as_it_ended() {
    let fences = Fences::default();
    let (purger, _) = in_memory(&fences, None);
    let wishes = [Wish::url(URL)];
    let warm = Some(Warm::default());
    let id = purger.submit(Submission { warm, ..submission(&wishes) }).await.unwrap().id;
    let mut read = [purger.request(None, id).await.unwrap().unwrap()];
    assert_eq!(read[0].purge().unwrap().status(), Status::Pending);
    fences.end_sweep(3, 30, false);
    purger.bring_up_to_date(&mut read).await.unwrap();
    let purge = read[0].purge().unwrap();
    assert_eq!((purge.status(), purge.counts().entries, purge.swept_us), (Status::Completed, 3, Some(0)));
    assert_eq!(purge.warm.unwrap().state, WarmState::Done);
}

/// The same, and its warming goes on, or ends too.
#[tokio::test]
async fn a_request_that_ends_behind_the_look_at_the_ledger_warms_for_as_long_as_it_does() {
    let fences = Fences::default();
    let (purger, _) = in_memory(&fences, None);
    let wishes = [Wish::url(URL)];
    let warm = Some(Warm::default());
    let id = purger.submit(Submission { warm, ..submission(&wishes) }).await.unwrap().id;
    let read = purger.request(None, id).await.unwrap().unwrap();
    fences.end(0, Removed { swept: Swept::default(), hottest: vec![warming::hot("a.jpg", 1)] });
    let mut goes_on = [read.clone()];
    purger.bring_up_to_date(&mut goes_on).await.unwrap();
    let purge = goes_on[0].purge().unwrap();
    assert_eq!(purge.status(), Status::Completed);
    assert_eq!(purge.warm, Some(WarmProgress { planned: 1, ..WarmProgress::default() }));
    purger.cancel_warming(None, id);
    for before in [read, goes_on[0].clone()] {
        let mut cancelled = [before];
        purger.bring_up_to_date(&mut cancelled).await.unwrap();
        let warm = cancelled[0].purge().unwrap().warm.unwrap();
        assert_eq!((warm.state, warm.planned), (WarmState::Cancelled, 1));
    }
}

#[tokio::test]
async fn what_waits_is_listed_while_a_full_disk_can_be_read() {
    let (disk, fences, clock) = (Disk::default(), Fences::default(), Clock::manual(FEBRUARY_2024));
    let accounts = [account("demo", None)];
    let purger = purger(&accounts, &fences, &clock, Medium::Disk(disk.clone()), Bounds::default()).unwrap();
    disk.fill();
    let urls: Vec<String> = (0..limits::PURGE_TARGETS_MAX).map(|n| format!("{URL}?{n}")).collect();
    let wishes: Vec<_> = urls.iter().map(Wish::url).collect();
    let mut ids = Vec::new();
    while purger.health() == Health::Durable {
        assert!(ids.len() < 1000, "the disk has room for all of it");
        ids.insert(0, purger.submit(submission(&wishes)).await.unwrap().id);
    }
    assert_eq!(purger.health(), Health::Degraded(Trouble::DiskFull));
    ids.insert(0, purger.submit(submission(&wishes)).await.unwrap().id);
    for entries in 0..(ids.len() * wishes.len()) as u64 {
        fences.end_sweep(entries, 1, false);
    }
    let page = purger.list(Filter::default()).await.unwrap();
    let found: Vec<_> = page.records.iter().map(|record| record.id).collect();
    assert_eq!(found, ids);
    assert!(ids.len() > 2, "some are on the disk, and two wait");
    let last = (ids.len() * wishes.len() - 1) as u64;
    for (place, record) in (0..).zip(&page.records) {
        let purge = record.purge().unwrap();
        assert_eq!(purge.targets.last().unwrap().counts.entries, last - place * 100, "row {place}");
    }
}

/// Writes as many rows as that in one go, with the numbers from 0 as their notes, the oldest first.
fn written(disk: &Disk, rows: u64) {
    let storage = Storage::open(&Medium::Disk(disk.clone()), Check::Trust, 0).unwrap();
    let mut unwritten = Unwritten::default();
    for row in 0..rows {
        unwritten.push(Record {
            id: RequestId::random().unwrap(),
            account: Some("demo".into()),
            by: by("cms"),
            note: Some(format!("number {row}.").into()),
            created_at_us: FEBRUARY_2024 * 1_000_000 + row,
            change: Change::Key("changed".into()),
        });
    }
    storage.write(&unwritten, &Standing::default()).unwrap();
}

#[tokio::test]
async fn a_page_looks_at_so_many_rows_and_goes_on_where_it_ended() {
    let disk = Disk::default();
    let most = (limits::LIST_SLICES_MAX * limits::LEDGER_SLICE_ROWS) as u64;
    written(&disk, most + 1000);
    let purger = on_disk(&disk, &Fences::default());
    let oldest = Filter { text: Some("number 17.".into()), ..Filter::default() };
    let first = purger.list(oldest.clone()).await.unwrap();
    assert!(first.records.is_empty() && first.next.is_some(), "it lies beyond what one page looks at");
    let second = purger.list(Filter { cursor: first.next, ..oldest }).await.unwrap();
    assert_eq!(second.records.len(), 1);
    assert_eq!(second.next, None);
    let beyond_the_first_slice = Filter { text: Some(format!("number {}.", most)), ..Filter::default() };
    assert_eq!(purger.list(beyond_the_first_slice).await.unwrap().records.len(), 1);
    let all = Filter { limit: usize::MAX, ..Filter::default() };
    assert_eq!(purger.list(all).await.unwrap().records.len(), limits::LIST_ROWS_MAX);
}

#[tokio::test]
async fn what_a_killed_process_left_pending_is_completed() {
    let (disk, fences) = (Disk::default(), Fences::default());
    let killed = on_disk(&disk, &fences);
    let wishes = [Wish::url(URL)];
    let warm = Some(Warm::default());
    let id = killed.submit(Submission { warm, ..submission(&wishes) }).await.unwrap().id;
    let live = killed.request(None, id).await.unwrap().unwrap();
    assert_eq!(live.purge().unwrap().status(), Status::Pending);
    assert_eq!(live.purge().unwrap().warm.unwrap().state, WarmState::Waiting);
    let after = on_disk(&disk.after_power_cut(), &Fences::default());
    let pending = Filter { status: Some(Status::Pending), ..Filter::default() };
    assert!(after.list(pending).await.unwrap().records.is_empty());
    let completed = Filter { status: Some(Status::Completed), ..Filter::default() };
    let records = after.list(completed).await.unwrap().records;
    assert_eq!(records[0].purge().unwrap().status(), Status::Completed);
    assert_eq!(records[0].purge().unwrap().warm.unwrap().state, WarmState::Cancelled);
    assert_eq!(after.request(None, id).await.unwrap().as_ref(), Some(&records[0]));
}

#[tokio::test]
async fn a_row_that_is_no_json_costs_itself_alone() {
    let disk = Disk::default();
    written(&disk, 3);
    {
        let database = redb::Database::builder().create_with_backend(disk.open()).unwrap();
        let transaction = database.begin_write().unwrap();
        let table: redb::TableDefinition<(u64, &[u8; 12]), &[u8]> = redb::TableDefinition::new("history");
        let mut rows = transaction.open_table(table).unwrap();
        let middle = (FEBRUARY_2024 * 1_000_000 + 1, FEBRUARY_2024 * 1_000_000 + 2);
        let key = {
            use redb::ReadableTable;
            let mut found =
                rows.range::<(u64, &[u8; 12])>((middle.0, &[0; 12])..(middle.1, &[0; 12])).unwrap();
            let (key, _) = found.next().unwrap().unwrap();
            (key.value().0, *key.value().1)
        };
        rows.insert((key.0, &key.1), b"{\"id\":".as_slice()).unwrap();
        drop(rows);
        transaction.commit().unwrap();
    }
    let purger = on_disk(&disk, &Fences::default());
    let notes: Vec<_> = purger
        .list(Filter::default())
        .await
        .unwrap()
        .records
        .into_iter()
        .map(|record| record.note.unwrap())
        .collect();
    assert_eq!(notes, ["number 2.".into(), "number 0.".into()]);
}

#[test]
fn err_a_cursor_has_one_spelling() {
    let id = "00ff0123456789abcdef7f80";
    assert!(Cursor::parse(&format!("000612f0a1b2c3d4{id}")).is_some());
    for text in [
        "",
        "0",
        &format!("+00612f0a1b2c3d4{id}"),
        &format!("000612F0a1b2c3d4{id}"),
        &format!("000612f0a1b2c3d4{id}0"),
        id,
    ] {
        assert_eq!(Cursor::parse(text), None, "{text}");
    }
    assert_eq!(Cursor::parse(&"é".repeat(20)), None);
}
