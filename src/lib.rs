//! Freshet: an image cache that forgets on command.
//!
//! # Tenets, in order: where two conflict, the earlier one wins
//! 1. A purge that was acknowledged is never undone by a race.
//! 2. HTTP's rules are kept.
//! 3. Memory and work are bounded.
//! 4. A hit is fast, and a purge never makes it slow.
//! 5. A newcomer follows a request through the tree without a guide.
//!
//! # The tree, from the lowest layer: a file imports from lower ones and its own folder alone
//! - base: [`limits`], [`clock`], [`tls`], [`config`], [`telemetry`]
//! - rules: [`key`] (URL → key), [`target`] (what a purge names), [`semantics`] (HTTP caching, pure)
//! - state: [`cache`] (store, index, fences, flights; its `mod.rs` is the only door)
//! - the promise: [`purge`] (allowance, fence, ledger, acknowledgement)
//! - the edges, which never import each other: [`proxy`] (data plane), [`admin`] (control plane),
//!   [`demo_origin`] (pictures for a first run and for tests)
//! - the root: [`app`]
//!
//! # The life of a request
//! - **Hit**: `proxy::listener` → `express` → [`cache::Cache::look_up`] → the socket; one that is not plain by hyper:
//!   `gate` → `pipeline` → look-up → reply.
//! - **Miss**: look-up → [`cache::Cache::join`] → `proxy::fill` → the origin → the body streams while it is
//!   kept → [`cache::Cache::commit`].
//! - **Purge**: `admin` → [`purge::Purger::submit`] → [`cache::Cache::purge`] → answer; then the sweep.
#![cfg_attr(test, allow(clippy::unwrap_used))] // A test that can't go on says so by panicking.

pub mod admin;
pub mod app;
pub mod cache;
pub mod clock;
pub mod config;
pub mod demo_origin;
pub mod key;
pub mod limits;
pub mod proxy;
pub mod purge;
pub mod semantics;
pub mod target;
pub mod telemetry;
pub mod tls;
