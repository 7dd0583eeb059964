//! State and concurrency; this file is the folder's only door.
//!
//! Four steps, each in the one order in which no race undoes a purge (`discipline.rs`):
//! - **Look-up** ([`Cache::look_up`]): the fences first, the store after them, then each variant is judged.
//! - **Fetch** ([`Cache::join`]): the ticket first, the request to the origin after it; what may be the base
//!   of a revalidation is looked up after the ticket.
//! - **Commit** ([`Cache::commit`]): the fences are read; then, under the key's stripe, covered variants are
//!   dropped, the new one too, and what is left is written: index first, store after it.
//! - **Purge** ([`Cache::purge`]): the fence is published, then the purge is acknowledged; the sweeper
//!   removes, waits for older fetches, removes again, and drops the fence.
//!
//! `fence.rs` has the first half of the discipline, over what `span.rs` names; `snapshot.rs` is what of it a look-up
//! reads; `store.rs` has the per-key step, over `map.rs`; `flight.rs` the sharing; `index.rs` the orders that a sweep
//! follows; `hottest.rs` what of all that is worth being fetched again; `variant.rs`, `fields.rs` and `body.rs` what is stored; `pages.rs` the file that
//! holds large bodies; `markers.rs` what does not wait; `audit.rs` looks for what
//! must not be there, `inspect.rs` is the reading door, `shed.rs` gives up what is stored where memory is short, and `parts.rs` lets a bench have a part alone. All of them
//! share state by the types of `sync.rs` alone, and `models/` explores them under other ones.

mod audit;
mod body;
mod discipline;
#[cfg(test)]
mod drift;
mod fence;
#[cfg(test)]
mod fence_tests;
mod fields;
mod flight;
mod hottest;
#[cfg(test)]
mod hottest_tests;
mod index;
mod inspect;
#[cfg(test)]
mod inspect_tests;
mod map;
mod markers;
#[cfg(test)]
mod model;
#[cfg(test)]
mod models;
mod pages;
#[doc(hidden)]
pub mod parts;
#[cfg(test)]
mod races;
mod shed;
mod snapshot;
mod span;
mod store;
mod sync;
mod variant;

pub use audit::Audit;
pub use body::{Body, Bookmark, Filing, Storage};
pub use discipline::{Cache, Commit, Figures, Lookup};
pub use fence::{Epoch, OnSwept, Removed, Swept};
pub use fields::Stamp;
pub use flight::{Failure, Head, Join, Landing, Lead, Reader};
pub use hottest::Hot;
pub use inspect::{Listed, Page, Survey};
pub use pages::{Extent, FILE_NAME};
pub use variant::Variant;
