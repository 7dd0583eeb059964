//! The documents against what they speak of: links lead to files and headings, keys are keys of the config, snippets are
//! configs that are read, commands are commands that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use freshet::config::{ConfigError, Sources, parse};
use freshet::telemetry::Metrics;
use freshet::telemetry::table::Row;

use super::reference::everything_known;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn documents_in(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            documents_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push((path.clone(), fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Every document with its text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for name in ["README.md", "CHANGELOG.md"] {
        found.push((root().join(name), fs::read_to_string(root().join(name)).unwrap()));
    }
    documents_in(&root().join("docs"), &mut found);
    documents_in(&root().join("deploy"), &mut found);
    found
}

/// What stands between fences of one kind, and the text outside of all fences.
fn fenced<'a>(text: &'a str, kind: &str) -> (Vec<String>, Vec<&'a str>) {
    let (mut blocks, mut outside) = (Vec::new(), Vec::new());
    let mut fence: Option<(bool, String)> = None;
    for line in text.lines() {
        match (&mut fence, line.trim_start().strip_prefix("```")) {
            (None, Some(word)) => fence = Some((word.trim() == kind, String::new())),
            (None, None) => outside.push(line),
            (Some(_), Some(_)) => {
                let (is_kind, block) = fence.take().unwrap();
                blocks.extend(is_kind.then_some(block));
            }
            (Some((_, block)), None) => {
                block.push_str(line);
                block.push('\n');
            }
        }
    }
    assert!(fence.is_none(), "a fence is not closed");
    (blocks, outside)
}

/// The texts between backticks of a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The targets of a line's links.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// A heading's anchor, as forges make it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    kept.chars()
        .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c))
        .collect::<String>()
        .replace(' ', "-")
}

fn anchors(text: &str) -> BTreeSet<String> {
    let (_, outside) = fenced(text, "");
    let headings = outside.into_iter().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#'))).collect()
}

#[test]
fn links_lead_to_files_and_headings() {
    let (mut followed, mut broken) = (0, Vec::new());
    for (path, text) in documents() {
        let (_, outside) = fenced(&text, "");
        for link in outside.iter().flat_map(|line| links(line)) {
            if link.contains("://") {
                continue;
            }
            let (file, heading) =
                link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let has_heading = |heading: &str| {
                fs::read_to_string(&target).is_ok_and(|text| anchors(&text).contains(heading))
            };
            if !target.exists() || !heading.is_none_or(has_heading) {
                broken.push(format!("{}: {link}", path.display()));
            }
            followed += 1;
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(followed >= 15, "{followed} links were followed");
}

#[test]
fn every_document_is_in_the_readmes_index() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let named: BTreeSet<&str> = readme.lines().flat_map(links).collect();
    for (path, _) in documents() {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let is_index = name == "README.md" || name == "CHANGELOG.md" || name.matches('/').count() > 1;
        assert!(is_index || named.contains(&*name), "README.md has no link to {name}");
    }
}

#[test]
fn keys_that_are_spoken_of_are_keys_of_the_config() {
    let known = everything_known();
    let tables: BTreeSet<&str> =
        known.iter().filter(|(_, known)| known.is_table).map(|(name, _)| &**name).collect();
    let file = |name: &str| ["rs", "js", "md", "css", "toml", "txt"].contains(&name);
    let (mut seen, mut unknown) = (0, Vec::new());
    for (path, text) in documents() {
        if path.ends_with("docs/configuration.md") {
            continue; // It is made of the keys, and its keys stand below their tables' names.
        }
        let (_, outside) = fenced(&text, "");
        for text in outside.iter().flat_map(|line| quoted(line)) {
            // `proxy.listen`, and `routes.set_cookie = "strip"`.
            let name = text.split(" = ").next().unwrap();
            let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.';
            let Some((table, key)) = name.split_once('.') else { continue };
            if !name.chars().all(is_name) || key.is_empty() || file(key) || !tables.contains(table) {
                continue;
            }
            seen += 1;
            // `docs/configuration.md` names keys as they stand in their section, whatever its name.
            let in_a_section = format!(".{name}");
            if !known.contains_key(name) && !known.keys().any(|full| full.ends_with(&in_a_section)) {
                unknown.push(format!("{}: {text}", path.display()));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert!(seen > 100, "{seen} keys were looked up");
}

#[test]
fn snippets_are_configs() {
    let account = "[[accounts]]\nid = \"shop\"\nprivate_keys = [\"0123456789abcdef0\"]\n\
                   url_endpoints = [\"http://completed.test\"]\norigin = \"demo\"\n";
    let variable = |name: &str| Some(format!("{name}_0123456789abcdef"));
    let sources = Sources { variable: &variable, folder: Path::new("/etc/freshet"), cores: 1 };
    let mut read = 0;
    for (path, text) in documents() {
        for snippet in fenced(&text, "toml").0 {
            // One that is about something else says no account.
            let whole = if snippet.contains("[[accounts]]") {
                snippet.clone()
            } else {
                format!("{snippet}\n{account}")
            };
            if let Err(error) = parse(&whole, "snippet", &sources) {
                let ConfigError::Invalid { problems, .. } = error else { panic!("{error}") };
                // Files are not there to be read.
                let problems: Vec<_> =
                    problems.iter().filter(|problem| !problem.rule.contains("can't be read")).collect();
                assert!(problems.is_empty(), "{}: {problems:#?}\n{snippet}", path.display());
            }
            read += 1;
        }
    }
    assert!(read >= 4, "{read} snippets were read");
}

#[test]
fn commands_that_are_spoken_of_are_there() {
    let help = Command::new(env!("CARGO_BIN_EXE_freshet")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands: BTreeSet<&str> =
        help.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next()).collect();
    let (mut seen, mut unknown) = (0, Vec::new());
    for (path, text) in documents() {
        for text in fenced(&text, "").1.iter().flat_map(|line| quoted(line)) {
            let Some(word) = text.strip_prefix("freshet ").and_then(|rest| rest.split_whitespace().next())
            else {
                continue;
            };
            seen += 1;
            if !commands.contains(word) && !word.starts_with('-') {
                unknown.push(format!("{}: {text}", path.display()));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert!(seen > 20, "{seen} commands were looked up");
}

#[test]
fn metrics_that_are_spoken_of_are_in_the_table() {
    let metrics = Metrics::default();
    let plain = metrics.counted().into_iter().map(|(description, _)| description);
    let rows = Row::ALL.iter().map(|row| row.description());
    let families: BTreeSet<String> = plain.chain(rows).map(|description| description.family()).collect();
    let (mut seen, mut unknown) = (0, Vec::new());
    for (path, text) in documents() {
        for name in text.split('`').filter(|name| name.starts_with("freshet_")) {
            // `freshet_requests_total{outcome=…}`, and `freshet_origin_…` for all that begin so.
            let name = name.split(['{', ' ']).next().unwrap();
            let is_known = match name.strip_suffix('…') {
                Some(beginning) => families.iter().any(|family| family.starts_with(beginning)),
                None => families.contains(name.strip_suffix("_total").unwrap_or(name)),
            };
            seen += 1;
            if !is_known && !["freshet_", "freshet_session"].contains(&name) {
                unknown.push(format!("{}: {name}", path.display()));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert!(seen >= 15, "{seen} metrics were looked up");
}

#[test]
fn operations_name_what_a_reload_leaves_for_the_next_start() {
    let changes = fs::read_to_string(root().join("src/config/changes.rs")).unwrap();
    let list = changes.split("AT_START: &[&str] = &[").nth(1).unwrap().split(']').next().unwrap();
    let operations = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let told = operations.split("**At the next start alone**").nth(1).unwrap().split("\n- ").next().unwrap();
    let keys: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    assert!(keys.len() >= 8, "{keys:?}");
    for key in &keys {
        let is_told = told.contains(&format!("`{key}`")) || told.contains(&format!("`[{key}]`"));
        assert!(is_told, "docs/operations.md does not name {key}");
    }
    assert_eq!(quoted(&told.replace('\n', " ")).count(), keys.len(), "it names others: {told}");
}

#[test]
fn the_readers_of_documents_find_what_they_are_for() {
    let text =
        "a `b.c` [d](e.md#f) `g`\n```toml\n[h]\n```\n[i](j) and [k](l)\n```sh\n# m\n```\n## A `B`: c, d\n";
    let (blocks, outside) = fenced(text, "toml");
    assert_eq!(blocks, ["[h]\n"]);
    assert_eq!(outside.len(), 3);
    assert_eq!(quoted(outside[0]).collect::<Vec<_>>(), ["b.c", "g"]);
    assert_eq!(outside.iter().flat_map(|line| links(line)).collect::<Vec<_>>(), ["e.md#f", "j", "l"]);
    assert!(anchors(text).contains("a-b-c-d") && anchors(text).len() == 1, "{:?}", anchors(text));
}
