//! Freshet: an image cache that forgets on command.
#![cfg_attr(test, allow(clippy::unwrap_used))] // A test that can't go on says so by panicking.

pub mod clock;
pub mod config;
pub mod limits;
