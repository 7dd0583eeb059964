//! What `pages.rs` promises, row by row; the file's real blocks are the oracle.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use proptest::prelude::*;

use super::*;

/// Bytes that tell where they are from.
fn body(seed: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at / 7 + seed * 31 + at) as u8).collect()
}

fn store(pages: &Arc<Pages>, body: &[u8]) -> Extent {
    pages.store(&[Bytes::copy_from_slice(body)]).expect("there is a file")
}

fn all(extent: &Extent) -> Bytes {
    extent.read_at(0..extent.bytes()).unwrap()
}

/// Both ends of a connection, in this order: who writes, who reads.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let writer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let reader = listener.accept().unwrap().0;
    (writer, reader)
}

/// Queues an extent in a socket whose peer does not read; how much of it the socket took.
fn queue(extent: &Extent, socket: &TcpStream) -> usize {
    socket.set_nonblocking(true).unwrap();
    let mut at = extent.start();
    let end = at + extent.bytes();
    while at < end {
        let left = (end - at) as usize;
        match rustix::fs::sendfile(socket, extent.file(), Some(&mut at), left) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    (at - extent.start()) as usize
}

fn read_exactly(socket: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut read = vec![0; bytes];
    socket.read_exact(&mut read).unwrap();
    read
}

#[test]
fn a_body_comes_back_byte_for_byte_whole_and_in_parts() {
    let pages = Pages::new();
    for bytes in [0, 1, 4095, 4096, 4097, 200 * 1024, 3 * STEP_BYTES as usize + 5] {
        let whole = body(bytes, bytes);
        let pieces: Vec<Bytes> = whole.chunks(70_001).map(Bytes::copy_from_slice).collect();
        let extent = pages.store(&pieces).unwrap();
        assert_eq!(extent.bytes(), bytes as u64);
        assert_eq!(all(&extent), whole, "{bytes}");
        let (from, to) = (bytes / 3, bytes - bytes / 4);
        assert_eq!(extent.read_at(from as u64..to as u64).unwrap(), whole[from..to], "{bytes}");
    }
}

#[test]
fn what_is_counted_is_what_the_file_takes_and_a_drop_gives_it_back() {
    let pages = Pages::new();
    let mut extents = Vec::new();
    let mut counted = 0;
    for bytes in [1, 4096, 65_536, 65_537, 200 * 1024, 3 * STEP_BYTES as usize] {
        extents.push(store(&pages, &body(1, bytes)));
        counted += extents.last().unwrap().weight() as u64 - TREE_BYTES as u64;
        assert_eq!(pages.real_bytes(), counted, "{bytes}");
    }
    while let Some(extent) = extents.pop() {
        counted -= extent.weight() as u64 - TREE_BYTES as u64;
        drop(extent);
        assert_eq!(pages.real_bytes(), counted);
    }
    assert_eq!(pages.real_bytes(), 0);
}

#[test]
fn a_draft_that_is_given_up_gives_back_what_was_written() {
    let pages = Pages::new();
    let mut draft = pages.begin(100_000).unwrap();
    draft.write(&body(1, 60_000)).unwrap();
    assert!(pages.real_bytes() > 0);
    drop(draft);
    assert_eq!(pages.real_bytes(), 0);
}

#[test]
fn places_are_never_shared_nor_used_again() {
    let pages = Pages::new();
    let mut end = 0;
    for bytes in [1, 65_536, STEP_BYTES as usize, STEP_BYTES as usize + 1, 5] {
        let extent = store(&pages, &body(1, bytes)); // Dropped at once.
        assert!(extent.start() >= end && extent.start().is_multiple_of(STEP_BYTES), "{bytes}");
        end = extent.start() + extent.bytes();
    }
}

#[test]
fn what_a_socket_holds_is_what_was_sent_though_the_place_is_written_again() {
    let pages = Pages::new();
    let (old, new) = (body(1, 200 * 1024), body(2, 200 * 1024));
    let extent = store(&pages, &old);
    let place = extent.start();
    let (writer, mut reader) = connection();
    let queued = queue(&extent, &writer);
    assert!(queued >= 2 * 4096, "the socket took {queued} bytes");
    drop(extent);
    assert_eq!(pages.real_bytes(), 0, "the file has let go of what the socket holds");
    // Worse than what happens: the very place is taken again, by bodies that fill the same pages.
    for _ in 0..3 {
        pages.next.store(place, Ordering::Relaxed);
        let again = store(&pages, &new);
        assert_eq!((again.start(), all(&again)), (place, Bytes::from(new.clone())));
    }
    assert!(read_exactly(&mut reader, queued) == old[..queued], "a queued page has changed");
}

/// Why an extent is never written again: this is what a client would get. If it failed, sockets would hold copies, and
/// the test above proved nothing.
#[test]
fn a_socket_holds_pages_and_not_copies() {
    let pages = Pages::new();
    let extent = store(&pages, &body(1, 200 * 1024));
    let (writer, mut reader) = connection();
    let queued = queue(&extent, &writer);
    extent.file().write_all_at(&body(2, 200 * 1024), extent.start()).unwrap();
    let read = read_exactly(&mut reader, queued);
    assert!(read.iter().zip(body(2, queued)).filter(|(read, new)| **read == *new).count() > queued / 2);
}

#[test]
fn without_a_file_nothing_is_stored_and_nothing_is_taken() {
    let pages = Pages::none();
    assert!(pages.store(&[Bytes::from_static(b"body")]).is_none() && pages.begin(1).is_none());
    assert_eq!(pages.real_bytes(), 0);
}

#[test]
fn where_offsets_end_nothing_is_stored() {
    let pages = Pages::new();
    let last = i64::MAX as u64 / STEP_BYTES * STEP_BYTES - STEP_BYTES;
    pages.next.store(last, Ordering::Relaxed);
    assert_eq!(all(&store(&pages, b"the last one")), "the last one");
    assert!(pages.store(&[Bytes::from_static(b"one more")]).is_none());
    assert!(pages.begin(u64::MAX).is_none());
}

#[test]
fn a_body_that_can_not_be_read_is_lost() {
    let pages = Pages::new();
    let extent = store(&pages, &body(1, 100_000));
    extent.file().set_len(extent.start() + 50_000).unwrap();
    assert!(extent.read_at(0..50_000).is_ok() && !extent.is_lost());
    assert_eq!(extent.read_at(0..50_001).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert!(extent.is_lost());
}

#[test]
fn the_file_is_found_by_its_name() {
    let pages = Pages::new();
    let _extent = store(&pages, &body(1, 100_000));
    let folder = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = folder.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    let name = format!("/memfd:{FILE_NAME} (deleted)");
    assert!(links.into_iter().any(|link| link.to_str() == Some(&name)));
}

#[derive(Clone, Debug)]
enum Step {
    Store(usize),
    Drop(usize),
    Read(usize, usize, usize),
    Send(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..300_000_usize).prop_map(Step::Store),
        2 => any::<usize>().prop_map(Step::Drop),
        4 => any::<(usize, usize, usize)>().prop_map(|(which, from, to)| Step::Read(which, from, to)),
        1 => any::<usize>().prop_map(Step::Send),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a map; what was sent before drops and further bodies is read at the end.
    #[test]
    fn any_sequence_of_steps_is_as_a_map_would_have_it(steps in proptest::collection::vec(step(), 1..40)) {
        let pages = Pages::new();
        let mut model: BTreeMap<usize, (Extent, Vec<u8>)> = BTreeMap::new();
        let mut sent = Vec::new();
        let pick = |model: &BTreeMap<usize, (Extent, Vec<u8>)>, which: usize| {
            let at = which.checked_rem(model.len())?;
            model.keys().nth(at).copied()
        };
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Store(bytes) => {
                    let whole = body(number, bytes);
                    model.insert(number, (store(&pages, &whole), whole));
                }
                Step::Drop(which) => {
                    pick(&model, which).and_then(|key| model.remove(&key));
                }
                Step::Read(which, from, to) => if let Some(key) = pick(&model, which) {
                    let (extent, whole) = &model[&key];
                    let (from, to) = (from % (whole.len() + 1), to % (whole.len() + 1));
                    let range = from.min(to)..from.max(to);
                    let read = extent.read_at(range.start as u64..range.end as u64).unwrap();
                    prop_assert!(read == whole[range]);
                },
                Step::Send(which) => if let Some(key) = pick(&model, which) {
                    let (extent, whole) = &model[&key];
                    let (writer, reader) = connection();
                    let queued = queue(extent, &writer);
                    sent.push((writer, reader, whole[..queued].to_vec()));
                },
            }
            let counted: u64 = model.values().map(|(extent, _)| extent.room_bytes()).sum();
            prop_assert_eq!(pages.real_bytes(), counted);
        }
        for (mut writer, mut reader, expected) in sent {
            writer.flush().unwrap();
            prop_assert!(read_exactly(&mut reader, expected.len()) == expected);
        }
        drop(model);
        prop_assert_eq!(pages.real_bytes(), 0);
    }
}
