//! `freshet inspect URL`: what a running server has stored under a URL.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::client::{Client, Server};
use super::output::{Reader, bytes, counted, list, number, seconds, show, text};

/// Its arguments.
#[derive(Args)]
pub struct Inspect {
    /// The URL of an image, as clients ask for it
    #[arg(value_name = "URL")]
    url: String,
    /// The account, for a key that is not one account's
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Write JSON on a terminal too
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// Prints it; fails where the URL is none of the account's.
pub fn run(config: Option<&Path>, arguments: &Inspect) -> ExitCode {
    let mut query = vec![("url", arguments.url.as_str())];
    query.extend(arguments.account.as_deref().map(|account| ("account", account)));
    let found = Client::new(config, &arguments.server).and_then(|client| client.ask("/v1/cache", &query));
    match found {
        Ok(found) => {
            match Reader::of_output(arguments.json) {
                Reader::Program => super::say(found),
                Reader::Person => show(&stored(&found)),
            }
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

fn stored(found: &Value) -> String {
    let variants = list(found, "variants");
    let mut lines = vec![format!("{}\n  key {}", text(found, "url"), text(found, "key"))];
    if variants.is_empty() {
        lines.push("  nothing is stored under this URL".into());
    }
    for variant in variants {
        let state = match (variant["stale_by_purge"].as_bool(), variant["fresh"].as_bool()) {
            (Some(true), _) => "made stale by a purge",
            (_, Some(true)) => "fresh",
            _ => "stale",
        };
        lines.push(format!(
            "  {} {}, {}; age {} of {}, {state}; {}; epoch {}",
            number(variant, "status"),
            text(variant, "content_type"),
            bytes(number(variant, "bytes")),
            seconds(number(variant, "age_seconds")),
            seconds(number(variant, "lifetime_seconds")),
            counted(number(variant, "hits"), "hit", "hits"),
            number(variant, "epoch"),
        ));
        if let Some(selected_by) = variant["selected_by"].as_object().filter(|fields| !fields.is_empty()) {
            let fields: Vec<String> = selected_by
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.as_str().unwrap_or_default()))
                .collect();
            lines.push(format!("    for {}", fields.join(", ")));
        }
        let tags: Vec<&str> = list(variant, "tags").iter().filter_map(Value::as_str).collect();
        if !tags.is_empty() {
            lines.push(format!("    tags {}", tags.join(", ")));
        }
    }
    let others = list(found, "transformations");
    if !others.is_empty() {
        lines.push(format!("transformations of {}", text(found, "asset")));
    }
    for other in others {
        lines.push(format!(
            "  {:<9} {:<10} {}",
            bytes(number(other, "bytes")),
            counted(number(other, "hits"), "hit", "hits"),
            text(other, "url"),
        ));
    }
    if found.get("next").is_some_and(|next| !next.is_null()) {
        lines.push("  and more".into());
    }
    lines.join("\n")
}
