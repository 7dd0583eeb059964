//! A process that is short of memory: what is there is given up and served on, new work is refused, and whoever looks
//! after it is let in.

use crate::support::binary::Binary;
use crate::support::client::Client;
use crate::support::origin::{Origin, Step, answer};
use crate::support::{Freshet, HOST, KEY, account, wait_until};

#[test]
fn what_was_purged_is_given_back_while_nobody_asks_for_anything() {
    let fields = [("content-type", "image/png"), ("cache-control", "max-age=600")];
    let origin = Origin::new(move |_| vec![Step::Send(answer("200 OK", &fields, "x".repeat(10_000)))]);
    let freshet = Freshet::before(&origin);
    for number in 0..40 {
        assert_eq!(freshet.get(&format!("/rivers/autumn/{number}.png")).status, 200);
    }
    // As operators see it: `App::figures` would do what is pending itself.
    let told = || {
        let overview = freshet.admin("GET", "/v1/overview", KEY, "").text();
        let overview: serde_json::Value = serde_json::from_str(&overview).unwrap();
        overview["cache"]["entries"].as_u64().unwrap()
    };
    wait_until("all are counted", || told() == 40);
    freshet.purge_and_wait(&format!("http://{HOST}/rivers/autumn/*"));
    wait_until("none is counted", || told() == 0);
}

#[test]
fn over_its_memory_it_refuses_new_work_gives_up_what_is_stored_and_admin_answers() {
    let fields = [("content-type", "image/png"), ("cache-control", "max-age=600")];
    let origin = Origin::new(move |_| vec![Step::Send(answer("200 OK", &fields, "x".repeat(100_000)))]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let write = |most: &str| {
        let account = account(&format!("http://{}", origin.address));
        let text = format!(
            "[proxy]\nlisten = \"127.0.0.1:0\"\nthreads = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [cache]\nprocess_max_bytes = \"{most}\"\n[ledger]\npath = \":memory:\"\n{account}"
        );
        std::fs::write(&path, text).unwrap();
    };
    write("1TiB");
    let binary = Binary::start(&path);
    let mut client = Client::connect(binary.proxy);
    // More than the least that can be set.
    for number in 0..500 {
        assert_eq!(client.request("GET", HOST, &format!("/{number}.png"), &[]).status, 200);
    }
    let entries = || {
        let fields = [("authorization", &*format!("Bearer {KEY}"))];
        let told =
            Client::connect(binary.admin).request("GET", &binary.admin.to_string(), "/v1/overview", &fields);
        let overview: serde_json::Value = serde_json::from_slice(&told.body).unwrap();
        overview["cache"]["entries"].as_u64().unwrap()
    };
    // The figures lag behind a little.
    let before = entries();
    assert!(before > 400, "{before}");

    write("32MiB");
    binary.signal("HUP");
    wait_until("new work is refused", || binary.log().contains("new connections and fetches are refused"));
    let ready = || {
        let told = Client::connect(binary.admin).request("GET", &binary.admin.to_string(), "/readyz", &[]);
        (told.status, told.text())
    };
    let overloaded = r#"{"status":"not_ready","reasons":["overloaded"]}"#;
    wait_until("it says that it is not ready", || ready() == (503, overloaded.into()));
    let refused = client.request("GET", HOST, "/new.png", &[]);
    assert_eq!(
        (refused.status, refused.field("retry-after")),
        (503, Some("1")),
        "{}",
        refused.cache_status()
    );
    let mut second = Client::connect(binary.proxy);
    assert_eq!(second.answer(false).unwrap().status, 503);
    wait_until("stored images are given up", || entries() + 20 < before);

    write("1TiB");
    binary.signal("HUP");
    wait_until("new work is taken", || binary.log().contains("memory is there again"));
    assert_eq!(client.request("GET", HOST, "/new.png", &[]).status, 200);
    wait_until("it says that it is ready", || ready().0 == 200);
}
