//! `freshet top`: a live view of a running server. On a terminal a screen that is drawn again and again, else one
//! JSON object for each look.

mod screen;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::Args;
use console::{Key, Term};
use serde_json::Value;

use super::client::{Client, Server};
use super::output::Reader;

/// Minutes of the server's own samples that are shown.
const MINUTES: &str = "10";
/// Purges shown.
const PURGES: &str = "5";

/// Its arguments.
#[derive(Args)]
pub struct Top {
    /// Seconds between two looks
    #[arg(long, default_value_t = 2, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    interval: u64,
    /// End after so many looks [default: go on until q or Ctrl-C]
    #[arg(long, value_name = "LOOKS")]
    count: Option<u64>,
    /// Write JSON on a terminal too
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// What one look brought.
#[derive(Clone)]
struct Look {
    overview: Value,
    purges: Value,
}

impl Look {
    fn take(client: &Client) -> Result<Look, String> {
        let overview = client.try_ask("/v1/overview", &[("minutes", MINUTES)])?;
        let purges = client.try_ask("/v1/purges", &[("limit", PURGES), ("kind", "purge")])?;
        Ok(Look { overview, purges })
    }
}

/// Looks until it is told to stop.
pub fn run(config: Option<&Path>, arguments: &Top) -> ExitCode {
    let watched =
        Client::new(config, &arguments.server).and_then(|client| match Reader::of_output(arguments.json) {
            Reader::Person => draw(&client, arguments),
            Reader::Program => print(&client, arguments),
        });
    match watched {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

/// One JSON object a look, until the server is gone.
fn print(client: &Client, arguments: &Top) -> Result<(), ExitCode> {
    for look in 1.. {
        super::say(client.ask("/v1/overview", &[("minutes", MINUTES)])?);
        if arguments.count == Some(look) {
            break;
        }
        thread::sleep(Duration::from_secs(arguments.interval));
    }
    Ok(())
}

/// A screen a look. A server that is gone after the first is waited for: the last screen stays, and says so.
fn draw(client: &Client, arguments: &Top) -> Result<(), ExitCode> {
    let overview = client.ask("/v1/overview", &[("minutes", MINUTES)])?;
    let mut last = Look { overview, purges: Value::Null };
    let (tell, quit) = mpsc::channel();
    if arguments.count.is_none() && std::io::stdin().is_terminal() {
        let tell = tell.clone();
        thread::spawn(move || wait_for_quit(&tell));
    }
    let term = Term::stdout();
    for look in 1.. {
        let taken = Look::take(client);
        let trouble = taken.as_ref().err().cloned();
        let now = taken.unwrap_or_else(|_| last.clone());
        let size = term.size();
        let lines = screen::lines(&now, &last, client.admin(), trouble.as_deref(), usize::from(size.1));
        let _ = term.write_str(&screen::frame(&lines, usize::from(size.0), look == 1));
        last = now;
        let is_told = quit.recv_timeout(Duration::from_secs(arguments.interval)).is_ok();
        if is_told || arguments.count == Some(look) {
            break;
        }
    }
    drop(tell); // Till here: a channel without a sender would not wait.
    Ok(())
}

/// Ctrl-C ends the process by itself; the terminal is as it was, too.
fn wait_for_quit(tell: &mpsc::Sender<()>) {
    let term = Term::stdout();
    while let Ok(key) = term.read_key() {
        if matches!(key, Key::Char('q' | 'Q') | Key::Escape) {
            let _ = tell.send(()); // Whoever listened has ended.
            return;
        }
    }
}
