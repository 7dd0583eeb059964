//! What a reader would otherwise have to check: which file imports which, and that an allowed lint says why.

use std::fs;
use std::path::{Path, PathBuf};

/// A module, and the modules of this crate that it may import beside itself.
#[rustfmt::skip]
const LAYERS: [(&str, &[&str]); 15] = [
    ("limits",      &[]),
    ("clock",       &["limits"]),
    ("tls",         &["limits", "clock"]),
    ("config",      &["limits", "clock", "tls"]),
    ("telemetry",   &["limits", "clock", "config"]),
    ("key",         &["limits", "clock", "config"]),
    ("target",      &["limits", "clock", "config", "key"]),
    ("semantics",   &["limits", "clock", "config"]),
    ("cache",       &["limits", "clock", "config", "telemetry", "key", "target", "semantics"]),
    ("purge",       &["limits", "clock", "config", "telemetry", "key", "target", "cache"]),
    ("proxy",       &["limits", "clock", "tls", "config", "telemetry", "key", "target", "semantics", "cache"]),
    ("admin",       &["limits", "clock", "tls", "config", "telemetry", "key", "target", "purge", "cache"]),
    ("demo_origin", &["limits", "clock"]),
    ("app",         &["limits", "clock", "tls", "config", "telemetry", "key", "target", "cache", "purge", "proxy", "admin", "demo_origin"]),
    ("lib",         &[]),
];

/// The modules of the crate that `text` names by `crate::`, outside comments.
fn imports(text: &str) -> Vec<&str> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let after = code.flat_map(|line| line.split("crate::").skip(1));
    after
        .map(|rest| {
            &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())]
        })
        .filter(|name| !name.is_empty())
        .collect()
}

/// What is wrong with the imports of a file of `module`.
fn misplaced(module: &str, text: &str) -> Vec<String> {
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{module} has no layer")];
    };
    let wrong = imports(text).into_iter().filter(|name| *name != module && !allowed.contains(name));
    wrong.map(|name| format!("{module} imports {name}")).collect()
}

/// Allowed lints without a reason on their line.
fn unexplained(text: &str) -> Vec<&str> {
    let allows = |line: &&str| line.contains("allow(") && line.trim_start().starts_with('#');
    text.lines().filter(allows).filter(|line| !line.contains("//") && !line.contains("reason =")).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(sources(&path)),
            false if path.extension().is_some_and(|extension| extension == "rs") => files.push(path),
            false => {}
        }
    }
    files
}

fn module_of(path: &Path) -> String {
    let below = path.strip_prefix(root().join("src")).unwrap();
    let first = below.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn files_import_lower_layers_and_their_own_folder_alone() {
    let mut problems = Vec::new();
    let mut seen = 0;
    for path in sources(&root().join("src")) {
        let module = module_of(&path);
        // The command line is the binary's, which knows the library by its name alone.
        if module == "main" || module == "command" {
            continue;
        }
        seen += 1;
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        if !path.ends_with("tests.rs") {
            problems.extend(
                misplaced(&module, code).iter().map(|problem| format!("{}: {problem}", path.display())),
            );
        }
    }
    assert!(seen > 40, "{seen} files were read");
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn every_source_file_says_what_it_is() {
    for path in sources(&root().join("src")).into_iter().chain(sources(&root().join("tests"))) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} has no head", path.display());
        assert!(unexplained(&text).is_empty(), "{}: {:?}", path.display(), unexplained(&text));
    }
}

#[test]
fn the_checks_find_what_they_are_for() {
    assert_eq!(misplaced("cache", "use crate::proxy::Proxy;"), ["cache imports proxy"]);
    assert_eq!(misplaced("proxy", "let x = crate::admin::y();"), ["proxy imports admin"]);
    assert!(misplaced("cache", "use crate::key::Key; // crate::proxy").is_empty());
    assert_eq!(misplaced("novel", ""), ["novel has no layer"]);
    assert_eq!(unexplained("#[allow(dead_code)]\n#[allow(x)] // why"), ["#[allow(dead_code)]"]);
}

#[test]
fn readme_has_every_config_key_with_its_value() {
    let config = fs::read_to_string(root().join("config.toml")).unwrap();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut section = String::new();
    let mut keys = 0;
    for line in config.lines() {
        let line = line.trim_start_matches("# ");
        if let Some(name) = line.strip_prefix('[') {
            section = name.split(']').next().unwrap().trim_start_matches('[').to_owned();
        } else if let Some((key, rest)) = line.split_once(" = ")
            && !section.is_empty()
            && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        {
            let value = rest.split("  # ").next().unwrap().trim();
            let row = format!("| `{section}.{key}` | `{value}` |");
            assert!(readme.contains(&row), "README's table has no {row}");
            keys += 1;
        }
    }
    assert!(keys > 30, "{keys} keys were compared");
}
