//! `freshet purge URL…`: each in turn, then waits until all are complete.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::client::{Answer, Client};

/// How often a purge's status is asked for.
const POLL: Duration = Duration::from_millis(50);

/// What to purge, and how.
pub struct Purges {
    /// URLs, or prefixes that end in `*`, or the names of tags.
    pub names: Vec<String>,
    /// What the names are.
    pub kind: Kind,
    /// Whether what is purged goes stale and stays.
    pub soft: bool,
    /// Seconds to wait for each; 0 does not wait.
    pub wait: u64,
}

/// What a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A URL, or a prefix.
    Url,
    /// The URL of an image, of which all transformations are meant.
    Asset,
    /// A tag.
    Tag,
}

impl Purges {
    /// The body of one purge.
    fn members(&self, name: &str) -> Value {
        let mode = if self.soft { "stale" } else { "delete" };
        match self.kind {
            Kind::Url => json!({ "url": name, "mode": mode }),
            Kind::Asset => json!({ "url": name, "target": "asset", "mode": mode }),
            Kind::Tag => json!({ "tag": name, "target": "tag", "mode": mode }),
        }
    }
}

/// Purges, waits for each, and tells of each what became of it.
pub fn run(config: Option<&Path>, admin: Option<String>, key: Option<String>, purges: &Purges) -> ExitCode {
    match Client::new(config, admin, key).and_then(|client| purge(&client, purges)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(refused) => {
            super::complain(format!("freshet: {refused} of {} refused", purges.names.len()));
            ExitCode::from(super::FAILED)
        }
        Err(code) => code,
    }
}

/// How many were refused, or are not complete in time.
fn purge(client: &Client, purges: &Purges) -> Result<usize, ExitCode> {
    let wait = Duration::from_secs(purges.wait);
    let style = ProgressStyle::with_template("{pos}/{len} purged {bar:30} {elapsed}");
    let bar =
        ProgressBar::new(purges.names.len() as u64).with_style(style.expect("the template is a literal"));
    let mut refused = 0;
    for name in &purges.names {
        match client.purge(&purges.members(name))? {
            Answer::Refused(reason) => {
                refused += 1;
                bar.suspend(|| super::complain(format!("refused    {name}: {reason}")));
            }
            Answer::Done(body) => {
                let id = body.get("requestId").and_then(Value::as_str).unwrap_or_default();
                let status = if wait.is_zero() { "Pending".to_owned() } else { wait_for(client, id, wait)? };
                refused += usize::from(!wait.is_zero() && status != "Completed");
                bar.suspend(|| super::say(format!("{status:<10} {id} {name}")));
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(refused)
}

fn wait_for(client: &Client, id: &str, wait: Duration) -> Result<String, ExitCode> {
    let end = Instant::now() + wait;
    loop {
        let status = match client.status(id)? {
            Answer::Done(body) => body.get("status").and_then(Value::as_str).unwrap_or_default().to_owned(),
            Answer::Refused(reason) => return Ok(reason),
        };
        if status == "Completed" || Instant::now() >= end {
            return Ok(status);
        }
        std::thread::sleep(POLL);
    }
}
