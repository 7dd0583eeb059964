//! `../sync.rs`, of the types that `super::checker` names: each call of theirs may change the thread.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::checker;
#[allow(unused_imports, reason = "loom needs no yield_now")]
pub use super::checker::{AtomicU32, AtomicU64, Ordering, yield_now};

#[derive(Default)]
pub struct Mutex<T>(checker::Mutex<T>);

/// Empty only within [`Condvar::wait`].
pub struct MutexGuard<'a, T>(Option<checker::MutexGuard<'a, T>>);

impl<T> Mutex<T> {
    pub fn new(value: T) -> Mutex<T> {
        Mutex(checker::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(Some(self.0.lock().expect("no thread panics on")))
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("it waits no more")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("it waits no more")
    }
}

pub struct Condvar(checker::Condvar);

impl Condvar {
    pub fn new() -> Condvar {
        Condvar(checker::Condvar::new())
    }

    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.0.take().expect("it waits no more");
        guard.0 = Some(self.0.wait(held).expect("no thread panics on"));
    }

    pub fn notify_one(&self) {
        self.0.notify_one();
    }
}

/// Time does not pass here: others may run.
pub fn pause(_time: std::time::Duration) {
    checker::yield_now();
}

/// The number of the last value among all that there were: acquired and released as arc-swap does at least.
pub struct Published<T> {
    last: checker::AtomicUsize,
    /// No checker sees this one: it is never held when the thread changes.
    all: std::sync::Mutex<Vec<Arc<T>>>,
}

pub type Loaded<T> = Arc<T>;

impl<T> Published<T> {
    pub fn new(value: T) -> Published<T> {
        Published { last: checker::AtomicUsize::new(0), all: std::sync::Mutex::new(vec![Arc::new(value)]) }
    }

    pub fn load(&self) -> Loaded<T> {
        let last = self.last.load(Ordering::Acquire);
        self.all.lock().unwrap()[last].clone()
    }

    pub fn store(&self, value: Arc<T>) {
        let mut all = self.all.lock().unwrap();
        all.push(value);
        let last = all.len() - 1;
        drop(all);
        self.last.store(last, Ordering::Release);
    }
}
