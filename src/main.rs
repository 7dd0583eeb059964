//! The command line: serve, check, purge, status, demo-origin; exit codes.
//!
//! Exit codes: 0 done; 1 a purge was refused, or the server failed; 2 wrong usage (clap's own); 64 the
//! config breaks a rule; 69 the admin listener can't be reached.

mod command;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use command::purge::{Kind, Purges};

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
    /// Purge URLs through a running server, and wait until they are gone
    Purge(Purge),
    /// Show the status of a purge request
    Status(Status),
    /// Walk what a running server has stored, and count what a purge should have removed: nothing
    Audit(Server),
    /// Serve the embedded pictures alone, as an image origin that transforms
    DemoOrigin(DemoOrigin),
}

/// How a running server is reached.
#[derive(Args)]
struct Server {
    /// Where its admin listener is, as in http://127.0.0.1:8081 [default: as the config says]
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// A private key of the account [default: the demo account's, where the config has one]
    #[arg(long, env = "FRESHET_KEY", hide_env_values = true, value_name = "KEY")]
    key: Option<String>,
}

#[derive(Args)]
struct Purge {
    /// What to purge: URLs, or prefixes that end in * (quote them); with --tag, names of tags
    #[arg(required = true, value_name = "URL")]
    names: Vec<String>,
    /// Purge the image of each URL with all its transformations, in the path or in the query
    #[arg(long)]
    asset: bool,
    /// Purge what the origin has given these tags, by Cache-Groups, Cache-Tag or Surrogate-Key
    #[arg(long, conflicts_with = "asset")]
    tag: bool,
    /// Make it stale instead of removing it: the origin is asked before it is served again
    #[arg(long)]
    soft: bool,
    /// Seconds to wait for each purge to be complete; 0 does not wait
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=86_400))]
    wait: u64,
    #[command(flatten)]
    server: Server,
}

#[derive(Args)]
struct Status {
    /// The id that the purge was answered with
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    server: Server,
}

#[derive(Args)]
struct DemoOrigin {
    /// Address and port
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// A folder of pictures (JPEG, PNG, WebP) to serve beside the embedded ones
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let config = line.config.as_deref();
    match line.command.unwrap_or(Command::Serve) {
        Command::Serve => command::serve::run(config),
        Command::Check => command::check::run(config),
        Command::Purge(Purge { names, asset, tag, soft, wait, server }) => {
            let kind = match (asset, tag) {
                (true, _) => Kind::Asset,
                (false, true) => Kind::Tag,
                (false, false) => Kind::Url,
            };
            let purges = Purges { names, kind, soft, wait };
            command::purge::run(config, server.admin, server.key, &purges)
        }
        Command::Audit(server) => command::audit::run(config, server.admin, server.key),
        Command::Status(status) => {
            command::status::run(config, status.server.admin, status.server.key, &status.id)
        }
        Command::DemoOrigin(origin) => command::demo_origin::run(origin.listen, origin.images),
    }
}
