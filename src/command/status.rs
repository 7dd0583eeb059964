//! `freshet status`: how a running server is; `freshet status ID`: how far a purge is.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::client::{Client, Server};
use super::output::{Reader, bytes, counted, grouped, list, micros, number, show, text};

/// Its arguments.
#[derive(Args)]
pub struct Status {
    /// The id that a purge was answered with; left out: the server itself
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// Write JSON on a terminal too
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// Prints it.
pub fn run(config: Option<&Path>, arguments: &Status) -> ExitCode {
    let found = Client::new(config, &arguments.server).and_then(|client| match &arguments.id {
        Some(id) => client.ask(&format!("/v1/purges/{id}"), &[]),
        None => {
            let health = client.ask("/healthz", &[])?;
            Ok(json!({ "health": health, "overview": client.ask("/v1/overview", &[])? }))
        }
    });
    let found = match found {
        Ok(found) => found,
        Err(code) => return code,
    };
    match (Reader::of_output(arguments.json), &arguments.id) {
        (Reader::Program, _) => super::say(found),
        (Reader::Person, Some(_)) => show(&purge(&found)),
        (Reader::Person, None) => show(&server(&found)),
    }
    ExitCode::SUCCESS
}

/// A purge, its targets below it.
fn purge(purge: &Value) -> String {
    let mut lines = vec![format!(
        "{} {}, by {} at {}",
        text(purge, "status"),
        text(purge, "id"),
        text(purge, "by"),
        text(purge, "created_at")
    )];
    if !text(purge, "note").is_empty() {
        lines.push(format!("  {}", text(purge, "note")));
    }
    for target in list(purge, "targets") {
        lines.push(format!(
            "  {:<10} {:<14} {}, {}  {}",
            text(target, "status"),
            text(target, "target"),
            counted(number(target, "matched"), "entry", "entries"),
            bytes(number(target, "bytes")),
            text(target, "text"),
        ));
    }
    let times = [("visible", "visible_us"), ("acknowledged", "acknowledged_us"), ("swept", "swept_us")];
    let times = times.map(|(word, member)| match purge.get(member).and_then(Value::as_u64) {
        Some(time) => format!("{word} after {}", micros(time)),
        None => format!("{word} not yet"),
    });
    lines.push(format!("  {}", times.join(", ")));
    lines.join("\n")
}

/// The server in six lines.
fn server(found: &Value) -> String {
    let (health, overview) = (&found["health"], &found["overview"]);
    let (totals, cache) = (&overview["totals"], &overview["cache"]);
    let ledger = match text(health, "ledger") {
        "" => "purges are recorded".to_owned(),
        trouble => format!("purges work and are not recorded: {trouble}"),
    };
    let (requests, hits) = (number(totals, "requests"), number(totals, "hits"));
    let ratio = if requests == 0 { 0.0 } else { 100.0 * hits as f64 / requests as f64 };
    let lines = [
        format!("Freshet {}, up since {}; {ledger}", text(overview, "version"), text(overview, "started_at")),
        format!(
            "{}: {} hits ({ratio:.1} %), {} misses, {} passes, {} errors",
            counted(requests, "request", "requests"),
            grouped(hits),
            grouped(number(totals, "misses")),
            grouped(number(totals, "passes")),
            grouped(number(totals, "errors")),
        ),
        format!(
            "{} in {} of {}; {} fetches under way",
            counted(number(cache, "entries"), "entry", "entries"),
            bytes(number(cache, "bytes")),
            bytes(number(cache, "max_bytes")),
            number(cache, "tickets"),
        ),
        format!("{} being swept", counted(number(&overview["purges"], "pending"), "purge", "purges")),
    ];
    let origins = list(overview, "origins").iter().map(|origin| {
        let failures = match text(origin, "last_failure") {
            "" => String::new(),
            failure => format!(", last failure {failure} at {}", text(origin, "last_failure_at")),
        };
        format!(
            "origin of {} at {}: {}{failures}",
            text(origin, "account"),
            text(origin, "address"),
            text(origin, "state")
        )
    });
    lines.into_iter().chain(origins).collect::<Vec<_>>().join("\n")
}
