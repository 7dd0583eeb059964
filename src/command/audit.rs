//! `freshet audit`: what a running server has stored, against what was purged.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::client::{Client, Server};

/// Its arguments.
#[derive(Args)]
pub struct Audit {
    #[command(flatten)]
    server: Server,
}

/// Prints what was found; fails where something is stored that must not be.
pub fn run(config: Option<&Path>, arguments: &Audit) -> ExitCode {
    let found = Client::new(config, &arguments.server).and_then(|client| client.ask("/v1/debug/audit", &[]));
    let found = match found {
        Ok(found) => found,
        Err(code) => return code,
    };
    let count = |member: &str| found.get(member).and_then(Value::as_u64).unwrap_or_default();
    super::say(format!(
        "{} keys stored; {} variants that were purged, {} that a soft purge missed, {} keys not indexed; {} pairs \
         without an entry",
        count("entries"),
        count("purged"),
        count("not_stale"),
        count("not_indexed"),
        count("pending"),
    ));
    match found.get("clean").and_then(Value::as_bool) {
        Some(true) => ExitCode::SUCCESS,
        _ => ExitCode::from(super::FAILED),
    }
}
