//! Freshet over real sockets, from outside.

mod caching;
mod durability;
mod gate;
mod origins;
mod purging;
mod streaming;
mod support;
mod tidy;
