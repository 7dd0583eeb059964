//! `freshet completions SHELL`: what a shell needs to complete Freshet's words, made of the command line itself.

use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

/// Its arguments.
#[derive(Args)]
pub struct Completions {
    /// The shell that reads it
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script; `line` is the whole command line.
pub fn run(mut line: clap::Command, arguments: &Completions) -> ExitCode {
    let mut script = Vec::new();
    let name = line.get_name().to_owned();
    clap_complete::generate(arguments.shell, &mut line, name, &mut script);
    super::print(&script);
    ExitCode::SUCCESS
}
