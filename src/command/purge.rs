//! `freshet purge`: sends what is named, a hundred targets a request, and waits until all is gone.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use freshet::limits::PURGE_TARGETS_MAX;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::client::{Answer, Client, Server};
use super::names::{Named, Names};
use super::output::{Reader, bytes, counted, list, number, show, text};

/// How often a purge's status is asked for.
const POLL: Duration = Duration::from_millis(50);
/// Keys of a dry run that a person is shown.
const KEYS_SHOWN: usize = 10;

/// Its arguments.
#[derive(Args)]
pub struct Purge {
    #[command(flatten)]
    names: Names,
    /// Make it stale instead of removing it: the origin is asked before it is served again
    #[arg(long)]
    soft: bool,
    /// Say what would go, and let nothing go
    #[arg(long)]
    dry_run: bool,
    /// Fetch what was purged again, the most wanted first, at most this many [default of --warm alone: 1000]
    #[arg(long, value_name = "MAX", num_args = 0..=1, default_missing_value = "1000", conflicts_with = "dry_run")]
    warm: Option<u64>,
    /// A line for the history
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// The account, for a key that is not one account's
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Seconds to wait for each request to be complete; 0 does not wait
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=86_400))]
    wait: u64,
    /// Write JSON on a terminal too
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// Purges, waits, and tells of each target what became of it.
pub fn run(config: Option<&Path>, arguments: &Purge) -> ExitCode {
    let named = match arguments.names.gather() {
        Ok(named) => named,
        Err(problem) => {
            super::complain(format!("freshet: {problem}"));
            return ExitCode::from(super::FAILED);
        }
    };
    match Client::new(config, &arguments.server).and_then(|client| purge(&client, arguments, &named)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            super::complain(format!("freshet: {failed} of {} not purged", named.len()));
            ExitCode::from(super::FAILED)
        }
        Err(code) => code,
    }
}

/// How many were refused, or are not complete in time.
fn purge(client: &Client, arguments: &Purge, named: &[Named]) -> Result<usize, ExitCode> {
    let style = ProgressStyle::with_template("{pos}/{len} {bar:30} {elapsed}");
    let bar = ProgressBar::new(named.len() as u64).with_style(style.expect("the template is a literal"));
    let report = Report { reader: Reader::of_output(arguments.json), bar: &bar };
    let mut failed = 0;
    for batch in named.chunks(PURGE_TARGETS_MAX) {
        failed += send(client, arguments, batch.to_vec(), &report)?;
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    Ok(failed)
}

/// Sends a request. Where some of its targets are refused, the others are sent once more without them.
fn send(
    client: &Client,
    arguments: &Purge,
    mut batch: Vec<Named>,
    report: &Report<'_>,
) -> Result<usize, ExitCode> {
    let mut failed = 0;
    while !batch.is_empty() {
        let body = body(arguments, &batch);
        let refused = match client.post("/v1/purges", &body)? {
            Answer::Done(dry) if arguments.dry_run => return Ok(report.dry_run(&batch, &dry)),
            Answer::Done(purge) => {
                let purge = wait_for(client, purge, Duration::from_secs(arguments.wait))?;
                return Ok(failed + report.purged(&batch, &purge, arguments.wait > 0));
            }
            Answer::Refused(refused) => refused,
        };
        let verdicts = list(&refused.body, "targets");
        let bad: Vec<bool> = verdicts.iter().map(|verdict| text(verdict, "verdict") == "refused").collect();
        if bad.len() != batch.len() || !bad.contains(&true) {
            batch.iter().for_each(|named| report.refused(named, &refused.reason, &refused.body));
            return Ok(failed + batch.len());
        }
        let mut good = Vec::new();
        for ((named, bad), verdict) in batch.into_iter().zip(bad).zip(verdicts) {
            if bad {
                failed += 1;
                report.refused(&named, text(verdict, "help"), verdict);
            } else {
                good.push(named);
            }
        }
        batch = good;
    }
    Ok(failed)
}

fn body(arguments: &Purge, batch: &[Named]) -> Value {
    let targets: Vec<&Value> = batch.iter().map(|named| &named.target).collect();
    let mode = if arguments.soft { "stale" } else { "delete" };
    let mut body = json!({ "targets": targets, "mode": mode, "dry_run": arguments.dry_run });
    if let Some(max) = arguments.warm {
        body["warm"] = json!({ "max": max });
    }
    for (member, value) in [("note", &arguments.note), ("account", &arguments.account)] {
        if let Some(value) = value {
            body[member] = json!(value);
        }
    }
    body
}

/// The purge as it is when it is complete, or when the time is up.
fn wait_for(client: &Client, mut purge: Value, wait: Duration) -> Result<Value, ExitCode> {
    let end = Instant::now() + wait;
    while text(&purge, "status") != "Completed" && Instant::now() < end {
        std::thread::sleep(POLL);
        purge = client.ask(&format!("/v1/purges/{}", text(&purge, "id")), &[])?;
    }
    Ok(purge)
}

/// What a target covers, or covered.
fn freed(target: &Value) -> String {
    let (entries, size) = (number(target, "matched"), number(target, "bytes"));
    format!("{}, {}", counted(entries, "entry", "entries"), bytes(size))
}

/// Tells of each target what became of it.
struct Report<'a> {
    reader: Reader,
    bar: &'a ProgressBar,
}

impl Report<'_> {
    fn line(&self, for_people: &str, for_programs: &Value) {
        self.bar.suspend(|| match self.reader {
            Reader::Person => show(for_people),
            Reader::Program => super::say(for_programs),
        });
    }

    fn refused(&self, named: &Named, why: &str, detail: &Value) {
        let line = json!({
            "text": named.text, "status": "refused", "reason": text(detail, "reason"), "help": why,
        });
        self.line(&format!("refused    {}: {why}", named.text), &line);
    }

    /// How many are not complete, where that was waited for.
    fn purged(&self, batch: &[Named], purge: &Value, waited: bool) -> usize {
        let id = text(purge, "id");
        let mut late = 0;
        for (named, target) in batch.iter().zip(list(purge, "targets")) {
            let status = text(target, "status");
            let done = status == "Completed";
            late += usize::from(waited && !done);
            let counts = if done { freed(target) } else { String::new() };
            let mut line = target.clone();
            line["id"] = json!(id);
            self.line(&format!("{status:<10} {id} {counts:<24} {}", named.text), &line);
        }
        late
    }

    /// How many would be refused.
    fn dry_run(&self, batch: &[Named], dry: &Value) -> usize {
        let mut refused = 0;
        for (named, target) in batch.iter().zip(list(dry, "targets")) {
            if text(target, "verdict") == "refused" {
                refused += 1;
                self.refused(named, text(target, "help"), target);
                continue;
            }
            self.line(&format!("would go   {:<24} {}", freed(target), named.text), target);
        }
        let keys = list(dry, "keys");
        match self.reader {
            Reader::Program => self.line(
                "",
                &json!({ "dry_run": true, "matched": dry["matched"], "bytes": dry["bytes"], "keys": keys }),
            ),
            Reader::Person => {
                for key in keys.iter().take(KEYS_SHOWN) {
                    self.line(&format!("           {}", key.as_str().unwrap_or_default()), key);
                }
                let more = number(dry, "matched").saturating_sub(KEYS_SHOWN as u64);
                if more > 0 && keys.len() > KEYS_SHOWN {
                    self.line(&format!("           and {more} more"), &Value::Null);
                }
            }
        }
        refused
    }
}
