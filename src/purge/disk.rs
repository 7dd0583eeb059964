//! A disk for tests: it fails on command, stops on command, and forgets on a power cut what was not synced.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use redb::StorageBackend;

/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    refuses: Option<ErrorKind>,
    /// It has no room for more than it has.
    is_full: bool,
    /// After so many more changes one is made and reported as failed.
    lies_after: Option<usize>,
    /// The next so many writes work before the disk refuses.
    writes_left: usize,
    stops: bool,
    /// A sync stands still.
    stopped: bool,
    opened: usize,
}

impl State {
    fn has_no_room_for(&self, len: usize) -> bool {
        self.is_full && len > self.bytes.len()
    }
}

impl Disk {
    pub(crate) fn open(&self) -> impl StorageBackend + use<> {
        self.0.state.lock().opened += 1;
        Head(self.clone())
    }

    /// How often the database was opened.
    pub(crate) fn opened(&self) -> usize {
        self.0.state.lock().opened
    }

    /// From now on every write, resize and sync is refused.
    pub(crate) fn refuse(&self, kind: ErrorKind) {
        self.refuse_after(0, kind);
    }

    /// After `writes` more writes every one is refused.
    pub(crate) fn refuse_after(&self, writes: usize, kind: ErrorKind) {
        let mut state = self.0.state.lock();
        (state.refuses, state.writes_left) = (Some(kind), writes);
    }

    /// After `changes` more writes and syncs it makes one and says that it failed, as a disk behind a broken cable may.
    pub(crate) fn lie_once_after(&self, changes: usize) {
        self.0.state.lock().lies_after = Some(changes);
    }

    /// From now on it takes what has a place on it and no more, as a full disk does.
    pub(crate) fn fill(&self) {
        self.0.state.lock().is_full = true;
    }

    pub(crate) fn work_again(&self) {
        let mut state = self.0.state.lock();
        (state.refuses, state.is_full) = (None, false);
    }

    /// Somebody empties it.
    pub(crate) fn wipe(&self) {
        let mut state = self.0.state.lock();
        (state.bytes, state.synced) = (Vec::new(), Vec::new());
    }

    /// The next sync waits for [`Disk::go_on`].
    pub(crate) fn stop(&self) {
        self.0.state.lock().stops = true;
    }

    /// Waits until a sync stands still.
    pub(crate) fn wait_until_stopped(&self) {
        let mut state = self.0.state.lock();
        while !state.stopped {
            self.0.changed.wait(&mut state);
        }
    }

    pub(crate) fn go_on(&self) {
        self.0.state.lock().stops = false;
        self.0.changed.notify_all();
    }

    /// A disk with what would be found after a power cut.
    pub(crate) fn after_power_cut(&self) -> Disk {
        let synced = self.0.state.lock().synced.clone();
        let state = State { bytes: synced.clone(), synced, ..State::default() };
        Disk(Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() }))
    }
}

#[derive(Debug)]
struct Head(Disk);

impl Head {
    fn change(&self, act: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.0.0.state.lock();
        if let Some(kind) = state.refuses {
            if state.writes_left == 0 {
                return Err(kind.into());
            }
            state.writes_left -= 1;
        }
        act(&mut state);
        match state.lies_after {
            Some(0) => {
                state.lies_after = None;
                Err(ErrorKind::Other.into())
            }
            left => {
                state.lies_after = left.map(|left| left - 1);
                Ok(())
            }
        }
    }
}

impl StorageBackend for Head {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.0.state.lock().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.0.state.lock();
        let start = usize::try_from(offset).unwrap();
        let bytes = state.bytes.get(start..start + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).unwrap();
        if self.0.0.state.lock().has_no_room_for(len) {
            return Err(ErrorKind::StorageFull.into());
        }
        self.change(|state| state.bytes.resize(len, 0))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.0.0.state.lock();
        while state.stops {
            state.stopped = true;
            self.0.0.changed.notify_all();
            self.0.0.changed.wait(&mut state);
        }
        state.stopped = false;
        drop(state);
        self.change(|state| state.synced = state.bytes.clone())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        self.change(|state| state.bytes[start..start + data.len()].copy_from_slice(data))
    }
}
