//! What is to be purged: the names given as arguments, in files, or on standard input, and how they are meant.

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

/// What names are, and where they come from.
#[derive(Args)]
pub struct Names {
    /// What to purge: URLs, or prefixes that end in * (quote them); `-` reads standard input, one a line
    #[arg(value_name = "URL", required_unless_present_any = ["from", "host", "everything"])]
    names: Vec<String>,
    /// Read names from this file too, one a line; empty lines and those that begin with # are left out
    #[arg(long, value_name = "FILE")]
    from: Vec<PathBuf>,
    /// The image of each URL with all its transformations, in the path or in the query
    #[arg(long, group = "kind")]
    asset: bool,
    /// All images below the folder of each URL, with all their transformations
    #[arg(long, group = "kind")]
    folder: bool,
    /// The names are tags, which the origin gave by Cache-Groups, Cache-Tag or Surrogate-Key
    #[arg(long, group = "kind")]
    tag: bool,
    /// The names are those of named transformations (n-hero), whose recipe changed
    #[arg(long, group = "kind")]
    transformation: bool,
    /// The URLs have * anywhere in their paths, for any characters
    #[arg(long, group = "kind")]
    pattern: bool,
    /// All that the accounts on this host have; needs an operator's key
    #[arg(long, value_name = "HOST", group = "kind", conflicts_with_all = ["names", "from"], requires = "yes")]
    host: Option<String>,
    /// All that is stored; needs an operator's key
    #[arg(long, group = "kind", conflicts_with_all = ["names", "from"], requires = "yes")]
    everything: bool,
    /// Confirms --host and --everything
    #[arg(long)]
    yes: bool,
}

/// One target: its text for people, and its form for the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// As it was given.
    pub text: String,
    /// An element of `targets` in `POST /v1/purges`.
    pub target: Value,
}

impl Names {
    /// The targets in their order, each once.
    pub fn gather(&self) -> Result<Vec<Named>, String> {
        if let Some(host) = &self.host {
            let target = json!({ "target": "host", "host": host, "confirm": host });
            return Ok(vec![Named { text: host.clone(), target }]);
        }
        if self.everything {
            let target = json!({ "target": "everything", "confirm": "everything" });
            return Ok(vec![Named { text: "everything".into(), target }]);
        }
        let mut texts = Vec::new();
        for name in &self.names {
            if name == "-" {
                let mut input = String::new();
                let read = std::io::stdin().read_to_string(&mut input);
                read.map_err(|error| format!("standard input can't be read: {error}"))?;
                texts.extend(lines(&input));
            } else {
                texts.push(name.clone());
            }
        }
        for file in &self.from {
            texts.extend(lines(&read(file)?));
        }
        if texts.is_empty() {
            return Err("there is nothing to purge: the list is empty".into());
        }
        let mut seen = HashSet::new();
        texts.retain(|text| seen.insert(text.clone()));
        Ok(texts.into_iter().map(|text| self.named(text)).collect())
    }

    fn named(&self, text: String) -> Named {
        let target = if self.tag {
            json!({ "target": "tag", "tag": text })
        } else if self.transformation {
            json!({ "target": "transformation", "transformation": text })
        } else {
            let kind = match (self.asset, self.folder, self.pattern) {
                (true, ..) => "asset",
                (_, true, _) => "folder",
                (_, _, true) => "pattern",
                _ => "url",
            };
            json!({ "target": kind, "url": text })
        };
        Named { text, target }
    }
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{} can't be read: {error}", file.display()))
}

/// One name a line, without the blanks around it.
fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_one_name_a_line() {
        let names: Vec<_> = lines("# new pictures\r\nhttp://a/1.jpg\r\n\n  http://a/2.jpg#x \n").collect();
        assert_eq!(names, ["http://a/1.jpg", "http://a/2.jpg#x"]);
    }
}
