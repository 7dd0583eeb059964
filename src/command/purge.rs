//! `freshet purge URL…`: each in turn, then waits until all are complete.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::client::{Answer, Client};

/// How often a purge's status is asked for.
const POLL: Duration = Duration::from_millis(50);

/// Purges, waits up to `wait` seconds for each, and tells of each what became of it.
pub fn run(
    config: Option<&Path>,
    admin: Option<String>,
    key: Option<String>,
    urls: &[String],
    wait: u64,
) -> ExitCode {
    match Client::new(config, admin, key).and_then(|client| purge(&client, urls, Duration::from_secs(wait))) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(refused) => {
            super::complain(format!("freshet: {refused} of {} refused", urls.len()));
            ExitCode::from(super::FAILED)
        }
        Err(code) => code,
    }
}

/// How many were refused, or are not complete in time.
fn purge(client: &Client, urls: &[String], wait: Duration) -> Result<usize, ExitCode> {
    let style = ProgressStyle::with_template("{pos}/{len} purged {bar:30} {elapsed}");
    let bar = ProgressBar::new(urls.len() as u64).with_style(style.expect("the template is a literal"));
    let mut refused = 0;
    for url in urls {
        match client.purge(url)? {
            Answer::Refused(reason) => {
                refused += 1;
                bar.suspend(|| super::complain(format!("refused    {url}: {reason}")));
            }
            Answer::Done(body) => {
                let id = body.get("requestId").and_then(Value::as_str).unwrap_or_default();
                let status = if wait.is_zero() { "Pending".to_owned() } else { wait_for(client, id, wait)? };
                refused += usize::from(!wait.is_zero() && status != "Completed");
                bar.suspend(|| super::say(format!("{status:<10} {id} {url}")));
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
