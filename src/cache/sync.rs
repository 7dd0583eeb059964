//! The locks and atomics of this folder, behind the few calls that it makes.
//!
//! The models of `models/` compile the files of the discipline once more, with a file like this one of loom's or
//! shuttle's types beside them: what they explore is the code that runs. Nothing else may be used in those files
//! to share state between threads.

use std::sync::Arc;

use arc_swap::ArcSwap;

pub use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
pub use std::thread::{sleep as pause, yield_now};

pub use parking_lot::{Condvar, Mutex, MutexGuard};

/// An immutable value that is replaced as a whole, and read without a lock.
pub struct Published<T>(ArcSwap<T>);

/// A value as it was when it was loaded.
pub type Loaded<T> = arc_swap::Guard<Arc<T>>;

impl<T> Published<T> {
    /// The first value.
    pub fn new(value: T) -> Published<T> {
        Published(ArcSwap::from_pointee(value))
    }

    /// The value now.
    pub fn load(&self) -> Loaded<T> {
        self.0.load()
    }

    /// Replaces it.
    pub fn store(&self, value: Arc<T>) {
        self.0.store(value);
    }
}
