//! Freshet over real sockets, from outside.
#![allow(clippy::unwrap_used)] // A test that can't go on says so by panicking.

mod caching;
mod clients;
mod command_line;
mod conformance;
mod durability;
mod gate;
mod https_origin;
mod interim;
mod oracle;
mod origins;
mod purging;
mod stopping;
mod streaming;
mod support;
mod tidy;
