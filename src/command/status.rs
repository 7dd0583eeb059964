//! `freshet status ID`.

use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use super::client::{Answer, Client};

/// Prints Pending or Completed.
pub fn run(config: Option<&Path>, admin: Option<String>, key: Option<String>, id: &str) -> ExitCode {
    match Client::new(config, admin, key).and_then(|client| client.status(id)) {
        Ok(Answer::Done(body)) => {
            super::say(body.get("status").and_then(Value::as_str).unwrap_or_default());
            ExitCode::SUCCESS
        }
        Ok(Answer::Refused(reason)) => {
            super::complain(format!("freshet: {reason}"));
            ExitCode::from(super::FAILED)
        }
        Err(code) => code,
    }
}
