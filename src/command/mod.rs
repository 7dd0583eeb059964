//! What each subcommand does. `client.rs` speaks to a running server's admin listener, `names.rs` gathers what is
//! to be purged, `output.rs` writes for people on a terminal and as JSON for programs.

pub mod audit;
pub mod check;
mod client;
pub mod completions;
pub mod demo_origin;
pub mod inspect;
pub mod man;
mod names;
mod output;
pub mod purge;
pub mod reload;
pub mod serve;
pub mod status;
pub mod top;

use std::io::Write;
use std::process::ExitCode;

use freshet::config::{ConfigError, LogFormat};

/// A purge was refused, or the server failed.
const FAILED: u8 = 1;
/// The config breaks a rule (`EX_USAGE` of sysexits).
const BAD_CONFIG: u8 = 64;
/// The admin listener can't be reached (`EX_UNAVAILABLE`).
const UNREACHABLE: u8 = 69;

/// Writes a line to standard output. A reader that is gone (`| head`) is no reason to stop.
fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Writes to standard output what is a file for other programs, with the same patience.
fn print(text: &[u8]) {
    let _ = std::io::stdout().lock().write_all(text);
}

/// Writes a line to standard error, with the same patience.
fn complain(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

fn bad_config(error: &ConfigError) -> ExitCode {
    complain(format!("freshet: {error}"));
    ExitCode::from(BAD_CONFIG)
}

fn log(format: LogFormat, level: &str) {
    freshet::telemetry::start_log(&freshet::config::Log { format, level: level.to_owned() });
}
