//! Freshet over real sockets, from outside.
#![allow(clippy::unwrap_used)] // A test that can't go on says so by panicking.

mod assertions;
mod broken_origins;
mod caching;
mod clients;
mod command_line;
mod command_purges;
mod conformance;
mod corpus;
mod described;
mod durability;
mod fat_get;
mod gate;
mod hostile_framing;
mod hostile_keys;
mod https_origin;
mod interim;
mod invalidate;
mod keep_alive_race;
mod keys;
mod oracle;
mod origins;
mod overview;
mod purge_method;
mod purges;
mod purging;
mod reading;
mod rfc_mode;
mod routes;
mod slow_clients;
mod stalled_uploads;
mod stopping;
mod streaming;
mod support;
mod targets;
mod tidy;
