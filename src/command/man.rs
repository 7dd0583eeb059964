//! `freshet man`: the manual's pages, made of the command line itself.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap_mangen::roff::{Roff, bold, roman};

/// Its arguments.
#[derive(Args)]
pub struct Man {
    /// The command whose page it is; left out: Freshet's own
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    command: Option<String>,
    /// Write every page into this folder, each to a file of its own, as in freshet-purge.1
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// One page of the manual.
struct Page {
    /// The word of the subcommand; nothing: the page of all.
    command: Option<String>,
    /// As in `freshet-purge.1`.
    file: String,
    roff: Vec<u8>,
}

/// What stands in the page of all beside what the command line says of itself: a heading, and words with their
/// meanings.
const MORE: [(&str, &[(&str, &str)]); 3] = [
    (
        "EXIT STATUS",
        &[
            ("0", "It is done."),
            ("1", "A purge was refused, or the server failed."),
            ("2", "The command line is wrong."),
            ("64", "The config breaks a rule."),
            ("69", "The admin listener can't be reached."),
        ],
    ),
    (
        "ENVIRONMENT",
        &[("FRESHET_KEY", "The key that a running server is called with, where --key names none.")],
    ),
    (
        "FILES",
        &[
            ("config.toml", "The config, in the working directory, where --config names none."),
            ("freshet.redb", "The record of purges, beside the config, where ledger.path names no other."),
        ],
    ),
];

/// Prints a page, or writes all of them; `line` is the whole command line.
pub fn run(line: clap::Command, arguments: &Man) -> ExitCode {
    match write(line, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            super::complain(format!("freshet: {error}"));
            ExitCode::from(super::FAILED)
        }
    }
}

fn write(line: clap::Command, arguments: &Man) -> Result<(), String> {
    let pages = pages(line).map_err(|error| error.to_string())?;
    match &arguments.dir {
        Some(folder) => pages.iter().try_for_each(|page| store(folder, page)),
        None => {
            let page = pages.iter().find(|page| page.command == arguments.command);
            let unknown = || {
                let names: Vec<_> = pages.iter().filter_map(|page| page.command.as_deref()).collect();
                format!("there is no such command; there are {}", names.join(", "))
            };
            super::print(&page.ok_or_else(unknown)?.roff);
            Ok(())
        }
    }
}

fn store(folder: &Path, page: &Page) -> Result<(), String> {
    let path = folder.join(&page.file);
    std::fs::write(&path, &page.roff).map_err(|error| format!("{} can't be written: {error}", path.display()))
}

/// The page of all, then one for each subcommand.
fn pages(line: clap::Command) -> io::Result<Vec<Page>> {
    let mut line = line.disable_help_subcommand(true);
    line.build();
    let mut whole = page(line.clone(), None)?;
    for (heading, words) in MORE {
        let mut section = Roff::new();
        section.control("SH", [heading]);
        for (word, meaning) in words {
            section.control("TP", []).text([bold(*word)]).text([roman(*meaning)]);
        }
        section.to_writer(&mut whole.roff)?;
    }
    let others =
        line.get_subcommands().map(|command| page(command.clone(), Some(command.get_name().to_owned())));
    std::iter::once(Ok(whole)).chain(others).collect()
}

fn page(line: clap::Command, command: Option<String>) -> io::Result<Page> {
    let man = clap_mangen::Man::new(line).manual("Freshet");
    let mut roff = Vec::new();
    man.render(&mut roff)?;
    Ok(Page { command, file: man.get_filename(), roff })
}
