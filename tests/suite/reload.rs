//! Another config in a running server: whole, or not at all, and without a request that notices.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use freshet::app::{ReloadError, Reloaded};
use serde_json::Value;

use crate::support::binary::Binary;
use crate::support::client::Client;
use crate::support::origin::{Gate, Origin, Step, answer};
use crate::support::{self, Freshet, HOST, KEY, account, wait_until};

const OPERATOR: &str = "operator_test_0123456789";

/// A server whose config a test may write anew.
struct Rewritable {
    freshet: Freshet,
    text: Arc<Mutex<String>>,
}

impl Rewritable {
    fn start(text: &str) -> Rewritable {
        let freshet = Freshet::start(text);
        let written = Arc::new(Mutex::new(text.to_owned()));
        let read = written.clone();
        freshet.app().reload_by(move || support::read(&read.lock().unwrap()));
        Rewritable { freshet, text: written }
    }

    fn reload(&self, text: &str) -> Result<Reloaded, ReloadError> {
        text.clone_into(&mut self.text.lock().unwrap());
        self.freshet.app().reload()
    }
}

fn picture(body: &'static str) -> impl Fn(&crate::support::origin::Seen) -> Vec<Step> {
    move |_| {
        let fields = [("content-type", "image/png"), ("cache-control", "max-age=600")];
        vec![Step::Send(answer("200 OK", &fields, body))]
    }
}

fn operator() -> String {
    format!("[[keys]]\nname = \"op\"\nkey = \"{OPERATOR}\"\nscopes = [\"operator\"]\n")
}

fn before(origin: &Origin) -> String {
    account(&format!("http://{}", origin.address))
}

#[test]
fn what_is_stored_connected_and_charged_stays_and_what_changed_is_named() {
    let origin = Origin::new(picture("picture"));
    let text = format!("{}{}purges_per_month = 10\n", operator(), before(&origin));
    let server = Rewritable::start(&text);
    let mut client = server.freshet.client();
    assert_eq!(client.request("GET", HOST, "/a.png", &[]).text(), "picture");
    server.freshet.purge_and_wait("http://img.test/other.png");

    let text = format!(
        "[proxy]\nidle_timeout = \"5s\"\nlame_duck = \"1s\"\n[cache]\nmax_bytes = \"1MiB\"\n{}",
        text.replace("purges_per_month = 10", "purges_per_month = 7")
    );
    let reloaded = server.reload(&text).unwrap();
    assert_eq!(
        reloaded.changed,
        ["accounts[test].purges_per_month", "proxy.idle_timeout", "proxy.lame_duck"]
    );
    assert_eq!((reloaded.at_start, reloaded.emptied), (vec!["cache.max_bytes".to_owned()], Vec::new()));
    assert!(client.request("GET", HOST, "/a.png", &[]).is_hit(), "on the connection of before");
    let again = server.reload(&text).unwrap();
    assert_eq!(
        (again.changed, again.at_start),
        (Vec::new(), vec!["cache.max_bytes".to_owned()]),
        "it waits still"
    );
    let allowance: Value =
        serde_json::from_slice(&server.freshet.admin("GET", "/v1/allowance", KEY, "").body).unwrap();
    assert_eq!((&allowance["limit"], &allowance["used"]), (&7.into(), &1.into()));
    assert_eq!(server.freshet.app().metrics().reloads.get(), 2);
}

#[test]
fn a_bad_config_changes_nothing_and_says_what_is_wrong() {
    let origin = Origin::new(picture("picture"));
    let text = format!("{}{}", operator(), before(&origin));
    let server = Rewritable::start(&text);
    server.freshet.get("/a.png");
    #[rustfmt::skip]
    let table = [
        ("[[accounts", "unclosed array table"),
        ("[proxy]\nidle_timeout = \"none\"\n", "proxy.idle_timeout = \"none\": must be a time"),
        ("[proxy]\nnonsense = 1\n", "unknown key"),
        ("", "at least one account is needed"),
    ];
    for (text, expected) in table {
        let error = server.reload(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
        let refused = server.freshet.admin("POST", "/v1/reload", OPERATOR, "{}");
        assert_eq!(refused.status, 409, "{}", refused.text());
        let body: Value = serde_json::from_slice(&refused.body).unwrap();
        assert_eq!(body["help"].as_str(), Some(&*error));
        assert!(server.freshet.get("/a.png").is_hit(), "{text}");
    }
    assert_eq!(server.freshet.app().metrics().reload_failures.get(), 8);
    assert_eq!(server.freshet.app().metrics().reloads.get(), 0);
}

#[test]
fn larger_bodies_than_a_part_of_the_store_has_room_for_wait_for_the_next_start_and_are_told() {
    let origin = Origin::new(picture("picture"));
    let text = |object: &str| format!("[cache]\nobject_max_bytes = \"{object}\"\n{}", before(&origin));
    let server = Rewritable::start(&text("32MiB")); // Of 512 MiB, in two parts.
    assert_eq!(server.reload(&text("256MiB")).unwrap().warnings, [""; 0]);
    let warnings = server.reload(&text("257MiB")).unwrap().warnings;
    assert_eq!(
        warnings,
        [
            "cache.object_max_bytes: no room for 269484032 bytes in one part of the store as it began; 268435456 until the \
          next start"
        ]
    );
}

#[test]
fn reading_again_takes_an_operators_key() {
    let origin = Origin::new(picture("picture"));
    let server = Rewritable::start(&format!("{}{}", operator(), before(&origin)));
    let denied = server.freshet.admin("POST", "/v1/reload", KEY, "{}");
    assert_eq!(denied.status, 403, "{}", denied.text());
    let reloaded = server.freshet.admin("POST", "/v1/reload", OPERATOR, "{}");
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    assert_eq!(reloaded.text(), r#"{"changed":[],"at_start":[],"emptied":[],"warnings":[]}"#);
}

#[test]
fn an_account_comes_goes_and_comes_back_with_what_it_had_charged_and_nothing_that_was_stored() {
    let origin = Origin::new(picture("picture"));
    let one = format!("{}{}", operator(), before(&origin));
    let other = format!(
        "[[accounts]]\nid = \"other\"\nprivate_keys = [\"private_other_0123456789\"]\nurl_endpoints = [\"http://other.test\"]\n\
         origin = \"http://{}\"\npurges_per_month = 5\n",
        origin.address
    );
    let (server, both) = (Rewritable::start(&one), format!("{other}{one}"));
    let ask = || server.freshet.client().request("GET", "other.test", "/a.png", &[]);
    let purge = || server.freshet.purge_as("private_other_0123456789", "http://other.test/b.png");
    server.freshet.get("/a.png");
    assert_eq!((ask().status, purge().status), (421, 403));

    server.reload(&both).unwrap();
    assert_eq!((ask().status, ask().is_hit(), purge().status), (200, true, 201));
    assert_eq!(server.reload(&one).unwrap().emptied, ["other"]);
    assert_eq!((ask().status, purge().status), (421, 403));

    server.reload(&both).unwrap();
    let again = ask();
    assert!(again.status == 200 && !again.is_hit(), "{}", again.cache_status());
    let allowance = server.freshet.admin("GET", "/v1/allowance?account=other", OPERATOR, "");
    assert!(allowance.text().contains(r#""used":1,"#), "{}", allowance.text());
    assert!(server.freshet.get("/a.png").is_hit(), "the other account's stay");
    let accounts = server.freshet.admin("GET", "/v1/session", OPERATOR, "").text();
    assert!(accounts.contains("other.test") && accounts.contains(HOST), "{accounts}");
}

#[test]
fn what_was_purged_under_a_config_is_not_served_under_the_one_before_it() {
    let version = Arc::new(AtomicUsize::new(1));
    let shown = version.clone();
    let origin = Origin::new(move |_| {
        let fields = [("content-type", "image/png"), ("cache-control", "max-age=600")];
        vec![Step::Send(answer("200 OK", &fields, shown.load(Ordering::SeqCst).to_string()))]
    });
    let plain = before(&origin);
    let cut = format!("{plain}[[routes]]\nignore_query = [\"v\"]\n");
    let server = Rewritable::start(&plain);
    assert_eq!(server.freshet.get("/a.png?v=1").text(), "1");
    assert_eq!(server.reload(&cut).unwrap().emptied, ["test"]);
    version.store(2, Ordering::SeqCst);
    server.freshet.purge_and_wait("http://img.test/a.png?v=1");
    assert_eq!(server.freshet.get("/a.png?v=1").text(), "2");
    server.reload(&plain).unwrap();
    assert_eq!(server.freshet.get("/a.png?v=1").text(), "2", "the first is stored under this key again");
}

/// Each round: an old version lies under the key that the other config has for the URL, the URL is purged, and the other
/// config comes while it is asked for.
#[test]
fn what_was_purged_is_not_served_while_another_config_comes_into_force() {
    const ROUNDS: usize = 150;
    // More than there are cores: the reading is interrupted between any two steps, in some round.
    const CLIENTS: usize = 8;
    let version = Arc::new(AtomicUsize::new(1));
    let shown = version.clone();
    let origin = Origin::new(move |_| {
        let fields = [("content-type", "image/png"), ("cache-control", "max-age=600")];
        vec![Step::Send(answer("200 OK", &fields, shown.load(Ordering::SeqCst).to_string()))]
    });
    let plain = before(&origin);
    let cut = format!("{plain}[[routes]]\nignore_query = [\"v\"]\n");
    let server = Rewritable::start(&plain);
    for round in 0..ROUNDS {
        server.freshet.get("/a.png");
        let least = version.fetch_add(1, Ordering::SeqCst) + 1;
        assert_eq!(server.freshet.purge("http://img.test/a.png?v=1").status, 201);
        let (reloaded, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    let mut client = server.freshet.client();
                    while !reloaded.load(Ordering::SeqCst) {
                        let got = client.request("GET", HOST, "/a.png?v=1", &[]).text();
                        assert!(got.parse::<usize>().unwrap() >= least, "round {round}: {got} of {least}");
                        asked.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            wait_until("all ask", || asked.load(Ordering::SeqCst) > 2 * CLIENTS);
            server.reload(&cut).unwrap();
            reloaded.store(true, Ordering::SeqCst);
        });
        server.reload(&plain).unwrap();
    }
}

#[test]
fn what_a_request_by_the_earlier_config_stores_late_is_purged_when_it_has_ended() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new(move |seen| {
        let fields = [("content-type", "image/png"), ("cache-control", "max-age=600")];
        let held = (seen.number == 0).then(|| Step::Pause(held.clone()));
        held.into_iter().chain([Step::Send(answer("200 OK", &fields, "picture"))]).collect()
    });
    let plain = before(&origin);
    let server = Rewritable::start(&plain);
    let mut early = server.freshet.client();
    early.send(crate::support::client::request("GET", HOST, "/a.png?v=1", &[]));
    gate.wait_for(1);
    server.reload(&format!("{plain}[[routes]]\nignore_query = [\"v\"]\n")).unwrap();
    gate.open();
    assert_eq!(early.answer(false).unwrap().text(), "picture");
    wait_until("nothing is stored", || server.freshet.app().figures().entries == 0);
    server.reload(&plain).unwrap();
    assert!(!server.freshet.get("/a.png?v=1").is_hit());
}

#[test]
fn an_origin_that_changed_is_asked_from_the_next_fetch_on() {
    let (first, second) = (Origin::new(picture("first")), Origin::new(picture("second")));
    let server = Rewritable::start(&before(&first));
    assert_eq!(server.freshet.get("/a.png").text(), "first");
    let reloaded = server.reload(&before(&second)).unwrap();
    assert_eq!(reloaded.changed, ["accounts[test].origin"]);
    assert_eq!(server.freshet.get("/a.png").text(), "first", "what is stored stays");
    assert_eq!(server.freshet.get("/b.png").text(), "second");
}

#[test]
fn a_session_stays_while_its_key_does_and_may_what_the_key_may_now() {
    let origin = Origin::new(picture("picture"));
    let named = |scopes: &str| {
        format!(
            "[[keys]]\nname = \"desk\"\naccount = \"test\"\nkey = \"desk_test_0123456789\"\nscopes = [{scopes}]\n{}",
            before(&origin)
        )
    };
    let server = Rewritable::start(&named("\"read\", \"purge\""));
    let signed_in = server.freshet.admin("POST", "/v1/session", KEY, r#"{"key":"desk_test_0123456789"}"#);
    let cookie = signed_in.field("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let who = || {
        let admin = server.freshet.app().admin;
        let fields = [("cookie", &*cookie)];
        Client::connect(admin).request("GET", &admin.to_string(), "/v1/session", &fields)
    };
    assert!(who().text().contains(r#""scopes":["read","purge"]"#), "{}", who().text());
    server.reload(&named("\"read\"")).unwrap();
    assert!(who().text().contains(r#""scopes":["read"]"#), "{}", who().text());
    server.reload(&before(&origin)).unwrap();
    assert_eq!(who().status, 401);
}

/// Half of the configs are broken, by their text or by what they mean.
#[test]
fn two_hundred_readings_under_load_fail_no_request() {
    const READINGS: usize = 200;
    let origin = Origin::new(picture("picture"));
    let plain = format!("{}[[routes]]\nmatch = \"^/x\"\n", before(&origin));
    let server = Rewritable::start(&plain);
    let (done, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (done, answered, server) = (&done, &answered, &server);
            scope.spawn(move || {
                let mut client = server.freshet.client();
                for number in 0.. {
                    let target = format!("/{}.png", (thread + number) % 50);
                    let got = client.request("GET", HOST, &target, &[]);
                    assert!(got.status == 200 && got.complete && got.text() == "picture", "{got:?}");
                    answered.fetch_add(1, Ordering::SeqCst);
                    if done.load(Ordering::SeqCst) {
                        return;
                    }
                }
            });
        }
        let mut outcomes = BTreeMap::new();
        for reading in 0..READINGS {
            let text = match reading % 4 {
                0 => "[[accounts]\n".to_owned(),
                1 => plain.replace("http://img.test", "ftp://img.test"),
                2 => format!("[proxy]\nidle_timeout = \"{}s\"\n{plain}", 30 + reading),
                _ => plain.replace("^/x", &format!("^/{reading}")),
            };
            *outcomes.entry(server.reload(&text).is_ok()).or_insert(0) += 1;
            // Some requests between any two.
            let seen = answered.load(Ordering::SeqCst);
            wait_until("requests are answered", || answered.load(Ordering::SeqCst) > seen);
        }
        done.store(true, Ordering::SeqCst);
        assert_eq!(outcomes, BTreeMap::from([(false, READINGS / 2), (true, READINGS / 2)]));
    });
    assert!(server.freshet.get("/1.png").is_hit(), "what is stored stays");
}

#[test]
fn hang_up_and_the_command_read_the_file_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let write = |more: &str| {
        let text = format!(
            "[proxy]\nlisten = \"127.0.0.1:0\"\nthreads = 1\n{more}[admin]\nlisten = \"127.0.0.1:0\"\n[ledger]\npath = \":memory:\"\n{}{}",
            operator(),
            account("http://127.0.0.1:9"),
        );
        std::fs::write(&path, text).unwrap();
    };
    write("");
    let binary = Binary::start(&path);
    let hang_up = || binary.signal("HUP");
    write("idle_timeout = \"7s\"\n");
    hang_up();
    wait_until("the log says so", || binary.log().contains("in force now: proxy.idle_timeout"));
    write("idle_timeout = \"8 apples\"\n");
    hang_up();
    wait_until("the log says so", || {
        binary.log().contains("the config stays as it was") && binary.log().contains("8 apples")
    });
    write("idle_timeout = \"9s\"\n");
    let reload = || {
        std::process::Command::new(env!("CARGO_BIN_EXE_freshet"))
            .args(["reload", "--config", path.to_str().unwrap(), "--key", OPERATOR])
            .args(["--admin", &format!("http://{}", binary.admin)])
            .output()
            .unwrap()
    };
    let told = reload();
    assert!(told.status.success(), "{told:?}");
    assert!(String::from_utf8_lossy(&told.stdout).contains("in force now: proxy.idle_timeout"), "{told:?}");
    write("idle_timeout = 9\n");
    let told = reload();
    assert_eq!(told.status.code(), Some(64), "{told:?}");
    assert!(String::from_utf8_lossy(&told.stderr).contains("proxy.idle_timeout = 9"), "{told:?}");
}
