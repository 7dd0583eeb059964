//! The command line: which subcommand does what, and the exit codes. Each has a file in `command/`.
//!
//! Exit codes: 0 done; 1 a purge was refused, or the server failed; 2 wrong usage (clap's own); 64 the
//! config breaks a rule; 69 the admin listener can't be reached.

mod command;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Chosen by measurement: an entry takes less with it (`docs/performance.md`).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// An image cache that forgets on command.
///
/// A caching reverse proxy before an image origin, with ImageKit's purge API. Without a command it serves.
#[derive(Parser)]
#[command(name = "freshet", version, max_term_width = 100)]
struct CommandLine {
    /// The config file [default: config.toml in the working directory, else the one built in]
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve images and the purge API until SIGTERM or Ctrl-C (what happens without a command)
    Serve,
    /// Read the config and say everything that is wrong with it
    Check,
    /// Purge through a running server, and wait until all is gone
    Purge(command::purge::Purge),
    /// Show how a running server is, or how far a purge is
    Status(command::status::Status),
    /// Show what a running server has stored under a URL, and the other transformations of its image
    Inspect(command::inspect::Inspect),
    /// Watch a running server: hit ratio, traffic, memory, purges
    Top(command::top::Top),
    /// Walk what a running server has stored, and count what a purge should have removed: nothing
    Audit(command::audit::Audit),
    /// Have a running server read its config again: whole, or not at all
    Reload(command::reload::Reload),
    /// Serve the embedded pictures alone, as an image origin that transforms
    DemoOrigin(command::demo_origin::DemoOrigin),
    /// Print the manual's page of Freshet, or of one of its commands
    Man(command::man::Man),
    /// Print what a shell needs to complete Freshet's words
    Completions(command::completions::Completions),
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let config = line.config.as_deref();
    match line.command.unwrap_or(Command::Serve) {
        Command::Serve => command::serve::run(config),
        Command::Check => command::check::run(config),
        Command::Purge(purge) => command::purge::run(config, &purge),
        Command::Status(status) => command::status::run(config, &status),
        Command::Inspect(inspect) => command::inspect::run(config, &inspect),
        Command::Top(top) => command::top::run(config, &top),
        Command::Audit(audit) => command::audit::run(config, &audit),
        Command::Reload(reload) => command::reload::run(config, &reload),
        Command::DemoOrigin(origin) => command::demo_origin::run(&origin),
        Command::Man(man) => command::man::run(CommandLine::command(), &man),
        Command::Completions(completions) => command::completions::run(CommandLine::command(), &completions),
    }
}
