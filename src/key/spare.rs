//! One text's memory a thread, kept for the next key: hits make keys and drop them, one after the other.

use std::cell::Cell;

use crate::limits::KEY_SPARE_BYTES_MAX;

thread_local! {
    static SPARE: Cell<String> = const { Cell::new(String::new()) };
}

/// An empty text, with room for `bytes`.
pub(super) fn take(bytes: usize) -> String {
    let mut text = SPARE.take();
    text.clear();
    text.reserve_exact(bytes);
    text
}

/// Keeps a text's memory, unless it is unusually much.
pub(super) fn give(text: String) {
    if text.capacity() <= KEY_SPARE_BYTES_MAX {
        SPARE.set(text);
    }
}
