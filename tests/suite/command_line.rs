//! The command line as a person and a script meet it: exit codes, and what is said where.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::binary::Binary;

const KEY: &str = "private_shell_0123456789";

fn freshet(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freshet"));
    command.args(arguments).env_remove("FRESHET_KEY").output().unwrap()
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn write_config(folder: &Path, origin: &str, more: &str) -> String {
    let path = folder.join("config.toml");
    let text = format!(
        "[proxy]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[ledger]\npath = \":memory:\"\n{more}\
         [[accounts]]\nid = \"shop\"\nprivate_keys = [\"{KEY}\"]\nurl_endpoints = [\"http://img.test\"]\n\
         purges_per_month = 3\norigin = \"{origin}\"\n"
    );
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn check_says_everything_that_is_wrong_and_exits_64() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), "http://127.0.0.1:9", "");
    let (code, stdout, stderr) = said(&freshet(&["check", "--config", &config]));
    assert_eq!((code, &*stderr), (Some(0), ""), "{stdout}");
    assert!(stdout.contains("good (1 account)"), "{stdout}");

    let config = write_config(folder.path(), "gopher://x", "[cache]\nmax_bytes = \"lots\"\n");
    for command in [&["check", "--config", &config][..], &["--config", &config]] {
        let (code, _, stderr) = said(&freshet(command));
        assert_eq!(code, Some(64), "{command:?}");
        assert!(stderr.contains("2 problems"), "{stderr}");
        assert!(stderr.contains("cache.max_bytes = \"lots\": must be a size"), "{stderr}");
        assert!(stderr.contains("accounts[0].origin = \"gopher://x\": must be a URL"), "{stderr}");
    }
    let (code, _, stderr) = said(&freshet(&["check", "--config", "/nowhere/config.toml"]));
    assert_eq!(code, Some(64));
    assert!(stderr.contains("/nowhere/config.toml can't be read"), "{stderr}");
}

#[test]
fn check_knows_the_built_in_config() {
    let folder = tempfile::tempdir().unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_freshet")).arg("check").current_dir(folder.path()).output().unwrap();
    let (code, stdout, stderr) = said(&output);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.starts_with("the built-in config: good"), "{stdout}");
    assert!(stderr.contains("easily guessed"), "{stderr}");
}

#[test]
fn purge_without_a_server_or_a_key_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), "http://127.0.0.1:9", "");
    let url = "http://img.test/a.jpg";
    let (code, _, stderr) =
        said(&freshet(&["purge", "--config", &config, "--admin", "http://127.0.0.1:9", url]));
    assert_eq!(code, Some(64));
    assert!(stderr.contains("no key") && stderr.contains("FRESHET_KEY"), "{stderr}");
    let unreachable = ["purge", "--config", &config, "--admin", "http://127.0.0.1:9", "--key", KEY, url];
    let (code, _, stderr) = said(&freshet(&unreachable));
    assert_eq!(code, Some(69));
    assert!(stderr.contains("no answer from the admin listener at http://127.0.0.1:9"), "{stderr}");
    assert!(!stderr.contains(KEY), "the key is printed: {stderr}");
}

#[test]
fn help_and_version_are_there_and_odd_words_are_refused() {
    let (code, stdout, _) = said(&freshet(&["--help"]));
    assert_eq!(code, Some(0));
    for word in ["serve", "check", "purge", "status", "inspect", "top", "audit", "demo-origin", "--config"] {
        assert!(stdout.contains(word), "{stdout}");
    }
    let (code, stdout, _) = said(&freshet(&["--version"]));
    assert_eq!((code, &*stdout), (Some(0), concat!("freshet ", env!("CARGO_PKG_VERSION"), "\n")));
    assert_eq!(said(&freshet(&["launch"])).0, Some(2));
    assert_eq!(said(&freshet(&["purge"])).0, Some(2));
    assert_eq!(said(&freshet(&["purge", "--tag", "--asset", "x"])).0, Some(2));
    assert_eq!(said(&freshet(&["purge", "--everything"])).0, Some(2), "--yes is asked for");
    assert_eq!(said(&freshet(&["purge", "--everything", "--yes", "x"])).0, Some(2));
}

#[test]
fn log_is_json_where_the_config_says_so_and_names_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        write_config(folder.path(), "http://127.0.0.1:9", "[log]\nformat = \"json\"\nlevel = \"debug\"\n");
    let server = Binary::start(Path::new(&config));
    let mut client = crate::support::client::Client::connect(server.proxy);
    let target = "/%0a%1b[2J.jpg";
    assert_eq!(client.request("GET", "img.test", target, &[]).status, 502);
    let admin = format!("http://{}", server.admin);
    freshet(&[
        "purge",
        "--config",
        &config,
        "--admin",
        &admin,
        "--key",
        "private_wrong_0123456789",
        "http://img.test/a",
    ]);
    let log = server.log();
    assert_eq!(server.terminate(), Some(0));
    assert!(log.lines().count() >= 1, "{log}");
    for line in log.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["level"].is_string(), "{line}");
    }
    assert!(!log.contains(KEY) && !log.contains("private_wrong"), "{log}");
}

/// The words of all subcommands, as `freshet --help` lists them.
fn subcommands() -> Vec<String> {
    let (_, help, _) = said(&freshet(&["--help"]));
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let words = list.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let words: Vec<_> = words.filter(|word| *word != "help").map(str::to_owned).collect();
    assert!(words.len() >= 10 && words.contains(&"purge".to_owned()), "{words:?}");
    words
}

/// What a program says of `input`: its exit code, output and complaints; nothing where it is not installed.
fn told(program: &str, arguments: &[&str], input: &str) -> Option<(Option<i32>, String, String)> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("{program}: {error}"),
    };
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    // Beside the reader: neither waits for a full pipe.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap(); // A program that has seen enough reads no more.
    Some(said(&output))
}

#[test]
fn bash_completes_by_the_script_that_is_printed() {
    let (code, script, stderr) = said(&freshet(&["completions", "bash"]));
    assert_eq!((code, &*stderr), (Some(0), ""));
    assert_eq!(told("bash", &["-n"], &script), Some((Some(0), String::new(), String::new())));
    // What bash does when somebody presses the tab key behind these words.
    let pressed = |words: &str, at: usize| {
        let (word, before) = (words.split(' ').nth(at).unwrap(), words.split(' ').nth(at - 1).unwrap());
        let press = format!(
            "{script}\nCOMP_WORDS=({words}); COMP_CWORD={at}; _freshet freshet '{word}' '{before}'\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
        );
        let (_, replies, stderr) = told("bash", &["--norc"], &press).unwrap();
        assert_eq!(stderr, "", "{words}");
        replies.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(pressed("freshet insp", 1), ["inspect"]);
    assert_eq!(pressed("freshet purge --fold", 2), ["--folder"]);
    let all = pressed("freshet ", 1);
    for word in subcommands() {
        assert!(all.contains(&word), "{word} is not offered: {all:?}");
    }
}

#[test]
fn completions_are_printed_for_each_shell_and_no_other() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script, stderr) = said(&freshet(&["completions", shell]));
        assert_eq!((code, &*stderr), (Some(0), ""), "{shell}");
        for word in subcommands() {
            assert!(script.contains(&word), "{word} is not in the script for {shell}");
        }
        if ["zsh", "fish"].contains(&shell)
            && let Some((code, _, stderr)) = told(shell, &["-n"], &script)
        {
            assert_eq!((code, &*stderr), (Some(0), ""), "{shell}");
        }
    }
    assert_eq!(said(&freshet(&["completions", "csh"])).0, Some(2));
}

#[test]
fn manual_has_a_page_for_each_command_and_each_renders_without_a_complaint() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = said(&freshet(&["man", "--dir", folder.path().to_str().unwrap()]));
    assert_eq!((code, &*stdout, &*stderr), (Some(0), "", ""));
    let mut names = vec!["freshet.1".to_owned()];
    names.extend(subcommands().iter().map(|word| format!("freshet-{word}.1")));
    let mut written: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    written.sort();
    assert_eq!(written, names);
    for name in names {
        let page = std::fs::read_to_string(folder.path().join(&name)).unwrap();
        let Some((code, text, stderr)) = told("groff", &["-man", "-Tascii", "-ww", "-P-cbou"], &page) else {
            assert!(std::env::var_os("CI").is_none(), "groff is missing: install it (Debian: groff-base)");
            let _ = writeln!(std::io::stderr(), "skipped, groff is missing (Debian: groff-base)");
            return;
        };
        assert_eq!((code, &*stderr), (Some(0), ""), "{name}");
        assert!(text.contains("NAME") && text.contains("SYNOPSIS") && text.contains("--config"), "{text}");
        if name == "freshet.1" {
            for word in subcommands().iter().map(String::as_str).chain(["EXIT STATUS", "FRESHET_KEY", "64"]) {
                assert!(text.contains(word), "{word} is not in the page:\n{text}");
            }
        }
    }
}

#[test]
fn man_prints_one_page_and_knows_no_other_command() {
    let (code, page, _) = said(&freshet(&["man", "purge"]));
    assert_eq!(code, Some(0));
    assert!(page.contains("dry\\-run") && !page.contains("EXIT STATUS"), "{page}");
    let (_, whole, _) = said(&freshet(&["man"]));
    assert!(whole.contains("EXIT STATUS"), "{whole}");
    let (code, stdout, stderr) = said(&freshet(&["man", "launch"]));
    assert_eq!((code, &*stdout), (Some(1), ""));
    assert!(stderr.contains("there is no such command; there are serve, check, purge"), "{stderr}");
    assert_eq!(said(&freshet(&["man", "--dir", "/nowhere"])).0, Some(1));
    assert_eq!(said(&freshet(&["man", "--dir", "/nowhere", "purge"])).0, Some(2));
}
