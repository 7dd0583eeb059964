//! The commands that call a running server: what a program reads of them in a pipe, and a person on a terminal.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::binary::Binary;
use crate::support::client::Client;
use crate::support::origin::{Origin, Step, answer};
use crate::support::terminal::Terminal;

const KEY: &str = "private_shell_0123456789";
const OPERATOR: &str = "operator_shell_0123456789";

/// A running server and how it is called. Its origin tags pictures and renews them.
struct Desk {
    server: Binary,
    options: Vec<String>,
    client: Client,
    _folder: tempfile::TempDir,
    _origin: Origin,
}

impl Desk {
    fn new(purges_per_month: u64) -> Desk {
        let origin = Origin::new(|seen| match seen.field("if-none-match") {
            Some(_) => vec![Step::Send(b"HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n".into())],
            None => {
                let fields = [
                    ("content-type", "image/png"),
                    ("cache-control", "max-age=60"),
                    ("etag", "\"a\""),
                    ("cache-tag", "summer,sale"),
                ];
                vec![Step::Send(answer("200 OK", &fields, "body"))]
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let text = format!(
            "[proxy]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[ledger]\npath = \":memory:\"\n\
             [[keys]]\nname = \"operator\"\nkey = \"{OPERATOR}\"\nscopes = [\"operator\"]\n\
             [[accounts]]\nid = \"shop\"\nprivate_keys = [\"{KEY}\"]\nurl_endpoints = [\"http://img.test\"]\n\
             purges_per_month = {purges_per_month}\norigin = \"http://{}\"\n",
            origin.address
        );
        std::fs::write(&path, text).unwrap();
        let server = Binary::start(Path::new(&path));
        let admin = format!("http://{}", server.admin);
        let options = ["--config", path.to_str().unwrap(), "--admin", &admin].map(str::to_owned).into();
        let client = Client::connect(server.proxy);
        Desk { server, options, client, _folder: folder, _origin: origin }
    }

    /// The words of a call; those of a person's key unless they bring another.
    fn words<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        let mut all = vec![words[0]];
        all.extend(self.options.iter().map(String::as_str));
        if !words.contains(&"--key") {
            all.extend(["--key", KEY]);
        }
        all.extend(&words[1..]);
        all
    }

    /// Exit code, standard output line by line as JSON, standard error.
    fn call(&self, words: &[&str], input: &str) -> (Option<i32>, Vec<Value>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_freshet"));
        command.args(self.words(words)).env_remove("FRESHET_KEY");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let _ = stdin.write_all(input.as_bytes()); // Who reads no input may be gone.
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let lines = stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
        (output.status.code(), lines.collect(), String::from_utf8(output.stderr).unwrap())
    }

    fn on_a_terminal(&self, words: &[&str]) -> Terminal {
        Terminal::freshet(&self.words(words))
    }

    fn get(&mut self, target: &str) -> String {
        self.client.request("GET", "img.test", target, &[]).cache_status().to_owned()
    }

    /// Stores these, and asks for each once more.
    fn fill(&mut self, targets: &[&str]) {
        for target in targets {
            self.get(target);
            assert!(self.get(target).contains("hit"), "{target}");
        }
    }
}

fn texts<'a>(lines: &'a [Value], member: &str) -> Vec<&'a str> {
    lines.iter().map(|line| line[member].as_str().unwrap_or_else(|| panic!("{member}: {line}"))).collect()
}

#[test]
fn a_program_gets_one_json_object_a_target_and_status_knows_its_id() {
    let mut desk = Desk::new(10);
    desk.fill(&["/a/b.jpg", "/a/b/c.jpg", "/a/b/d.jpg"]);
    let (code, lines, stderr) = desk
        .call(&["purge", "http://img.test/a/b.jpg", "http://img.test/a/b/*", "--note", "new pictures"], "");
    assert_eq!((code, &*stderr), (Some(0), ""));
    assert_eq!(texts(&lines, "text"), ["http://img.test/a/b.jpg", "http://img.test/a/b/*"]);
    assert_eq!(texts(&lines, "status"), ["Completed", "Completed"]);
    assert_eq!((&lines[0]["matched"], &lines[1]["matched"]), (&1.into(), &2.into()));
    let id = lines[0]["id"].as_str().unwrap();
    assert_eq!(lines[1]["id"], id, "they are one request");
    let (code, purge, _) = desk.call(&["status", id], "");
    assert_eq!(
        (code, &purge[0]["status"], &purge[0]["note"]),
        (Some(0), &"Completed".into(), &"new pictures".into())
    );

    let (code, lines, stderr) = desk.call(&["status", "0123456789abcdef01234567"], "");
    assert_eq!((code, lines), (Some(1), vec![]));
    assert!(stderr.contains("There is no such purge."), "{stderr}");
}

#[test]
fn what_is_refused_is_told_and_the_others_are_purged() {
    let desk = Desk::new(1);
    let names = ["purge", "http://img.test/a*", "http://img.test/c.jpg", "http://other.test/x"];
    let (code, lines, stderr) = desk.call(&names, "");
    assert_eq!(code, Some(1));
    assert_eq!(texts(&lines, "status"), ["refused", "refused", "Completed"]);
    assert_eq!(lines[0]["reason"], "wildcard-wide");
    assert!(lines[1]["help"].as_str().unwrap().contains("http://img.test"), "{lines:?}");
    assert!(stderr.contains("2 of 3 not purged"), "{stderr}");
    // The allowance is used up.
    let (code, lines, stderr) = desk.call(&["purge", "http://img.test/d.jpg"], "");
    assert_eq!((code, texts(&lines, "status")), (Some(1), vec!["refused"]));
    assert_eq!(lines[0]["reason"], "allowance_used_up", "{stderr}");
}

#[test]
fn lists_come_from_files_and_standard_input_a_hundred_a_request() {
    let desk = Desk::new(1_000);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("list");
    let url = |number: usize| format!("http://img.test/p/{number}.jpg\n");
    std::fs::write(&file, (0..150).map(url).collect::<String>() + "# no name\n\n").unwrap();
    let input: String = (100..250).map(url).collect();
    let (code, lines, stderr) = desk.call(&["purge", "-", "--from", file.to_str().unwrap()], &input);
    assert_eq!((code, lines.len(), &*stderr), (Some(0), 250, ""), "each name counts once");
    let mut ids = texts(&lines, "id");
    ids.dedup();
    assert_eq!(ids.len(), 3);

    let (code, _, stderr) = desk.call(&["purge", "--from", "/nowhere/list"], "");
    assert_eq!(code, Some(1));
    assert!(stderr.contains("/nowhere/list can't be read"), "{stderr}");
    let (code, _, stderr) = desk.call(&["purge", "-"], "\n");
    assert!(code == Some(1) && stderr.contains("nothing to purge"), "{stderr}");
}

#[test]
fn a_dry_run_tells_what_would_go_and_lets_nothing_go() {
    let mut desk = Desk::new(1);
    desk.fill(&["/p/a.png?tr=w-9", "/tr:w-9/p/a.png"]);
    let words = ["purge", "--asset", "--dry-run", "http://img.test/p/a.png"];
    for _ in 0..2 {
        let (code, lines, stderr) = desk.call(&words, "");
        assert_eq!((code, lines.len(), &*stderr), (Some(0), 2, ""));
        assert_eq!((&lines[0]["verdict"], &lines[0]["matched"]), (&"accepted".into(), &2.into()));
        assert_eq!(lines[1]["keys"].as_array().unwrap().len(), 2, "{lines:?}");
    }
    assert!(desk.get("/p/a.png?tr=w-9").contains("hit"));
    let (code, lines, _) = desk.call(&["purge", "--dry-run", "http://img.test/a*"], "");
    assert_eq!((code, &lines[0]["status"]), (Some(1), &"refused".into()));
}

#[test]
fn every_kind_of_target_has_its_flag() {
    let mut desk = Desk::new(100);
    let pictures = ["/p/a.png?tr=w-9", "/tr:n-hero/p/a.png", "/p/q/b.png"];
    #[rustfmt::skip]
    let table: [(&[&str], [bool; 3]); 8] = [
        // what is purged                                         which are gone
        (&["--asset", "http://img.test/p/a.png"],                 [true, true, false]),
        (&["--folder", "http://img.test/p/q/"],                   [false, false, true]),
        (&["--folder", "http://img.test/p/"],                     [true, true, true]),
        (&["--transformation", "hero"],                           [false, true, false]),
        (&["--pattern", "http://img.test/p/*/b.png"],             [false, false, true]),
        (&["--tag", "sale"],                                      [true, true, true]),
        (&["--host", "img.test", "--yes", "--key", OPERATOR],     [true, true, true]),
        (&["--everything", "--yes", "--key", OPERATOR],           [true, true, true]),
    ];
    for (words, gone) in table {
        desk.fill(&pictures);
        let (code, lines, stderr) = desk.call(&[&["purge"], words].concat(), "");
        assert_eq!((code, &*stderr), (Some(0), ""), "{words:?} {lines:?}");
        let matched = gone.iter().filter(|gone| **gone).count();
        assert_eq!(lines[0]["matched"], matched, "{words:?} {lines:?}");
        for (picture, gone) in pictures.iter().zip(gone) {
            assert_eq!(desk.get(picture).contains("hit"), !gone, "{words:?} {picture}");
        }
    }
    let (code, lines, _) = desk.call(&["purge", "--everything", "--yes"], "");
    assert_eq!((code, &lines[0]["reason"]), (Some(1), &"scope_missing".into()), "{lines:?}");
    desk.fill(&pictures);
    assert_eq!(desk.call(&["purge", "--soft", "--tag", "sale"], "").0, Some(0));
    assert!(desk.get(pictures[0]).contains("fwd=stale"));
    let output = Command::new(env!("CARGO_BIN_EXE_freshet")).args(desk.words(&["audit"])).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && stdout.starts_with("3 keys stored; 0 variants that were"), "{stdout}");
}

#[test]
fn inspect_status_and_top_tell_a_program_what_the_server_knows() {
    let mut desk = Desk::new(10);
    desk.fill(&["/p/a.png?tr=w-9", "/tr:w-9/p/a.png"]);
    let (code, found, stderr) = desk.call(&["inspect", "http://img.test/p/a.png?tr=w-9"], "");
    assert_eq!((code, &*stderr), (Some(0), ""));
    assert_eq!(found[0]["variants"][0]["hits"], 1, "{found:?}");
    assert_eq!(found[0]["transformations"].as_array().unwrap().len(), 2, "{found:?}");
    let (code, _, stderr) = desk.call(&["inspect", "http://other.test/x"], "");
    assert!(code == Some(1) && stderr.contains("img.test"), "{stderr}");
    let (code, found, _) = desk.call(&["status"], "");
    assert_eq!((code, &found[0]["health"]["status"]), (Some(0), &"ok".into()));
    assert_eq!(found[0]["overview"]["totals"]["hits"], 2, "{found:?}");
    let (code, looks, _) = desk.call(&["top", "--count", "2", "--interval", "1"], "");
    assert_eq!((code, looks.len()), (Some(0), 2));
    assert_eq!(looks[1]["totals"]["requests"], 4, "{looks:?}");
}

#[test]
fn a_person_reads_words_on_a_terminal() {
    let mut desk = Desk::new(10);
    desk.fill(&["/p/a.png?tr=w-9", "/tr:w-9/p/a.png"]);
    let mut dry = desk.on_a_terminal(&["purge", "--dry-run", "--asset", "http://img.test/p/a.png"]);
    assert_eq!(dry.end(), 0, "{}", dry.shown());
    for part in ["would go   2 entries, ", "http://img.test/tr:w-9/p/a.png"] {
        assert!(dry.shown().contains(part), "{}", dry.shown());
    }
    let mut inspect = desk.on_a_terminal(&["inspect", "http://img.test/p/a.png?tr=w-9"]);
    assert_eq!(inspect.end(), 0, "{}", inspect.shown());
    for part in [
        "200 image/png, 4 B; age 0 s of 60 s, fresh; 1 hit;",
        "tags sale, summer",
        "http://img.test/tr:w-9/p/a.png",
    ] {
        assert!(inspect.shown().contains(part), "{part}: {}", inspect.shown());
    }
    let mut purge =
        desk.on_a_terminal(&["purge", "--asset", "http://img.test/p/a.png", "http://img.test/x/a*"]);
    assert_eq!(purge.end(), 1, "{}", purge.shown());
    for part in ["refused    http://img.test/x/a*: ", "Completed  ", "2 entries, ", "1 of 2 not purged"] {
        assert!(purge.shown().contains(part), "{part}: {}", purge.shown());
    }
    assert!(!purge.shown().contains('█'), "the bar goes when all is done: {}", purge.shown());
    let mut status = desk.on_a_terminal(&["status"]);
    assert_eq!(status.end(), 0, "{}", status.shown());
    assert!(status.shown().contains("4 requests: 2 hits (50.0 %), 2 misses"), "{}", status.shown());
    assert_eq!(desk.server.terminate(), Some(0));
}

#[test]
fn top_draws_until_q_and_outlives_its_server() {
    let mut desk = Desk::new(10);
    desk.fill(&["/p/a.png"]);
    let mut top = desk.on_a_terminal(&["top", "--interval", "1"]);
    top.wait_for("hit ratio");
    top.wait_for("0 being swept");
    assert_eq!(desk.call(&["purge", "http://img.test/p/a.png"], "").0, Some(0));
    top.wait_for("http://img.test/p/a.png");
    desk.server.kill();
    top.wait_for("! no answer from the admin listener");
    assert!(top.shown().contains("hit ratio"), "the last screen stays: {}", top.shown());
    top.press("q");
    assert_eq!(top.end(), 0);
}
