//! `freshet check`: the config alone, nothing is started.

use std::path::Path;
use std::process::ExitCode;

use freshet::config;

/// Says everything that is wrong, or what the config makes.
pub fn run(path: Option<&Path>) -> ExitCode {
    match config::load(path) {
        Ok((config, name)) => {
            config.warnings.iter().for_each(|warning| super::complain(format!("warning: {warning}")));
            let accounts = config.accounts.len();
            super::say(format!("{name}: good ({accounts} account{}).", if accounts == 1 { "" } else { "s" }));
            ExitCode::SUCCESS
        }
        Err(error) => super::bad_config(&error),
    }
}
