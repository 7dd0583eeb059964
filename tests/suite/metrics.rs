//! `/metrics`: well-formed, exact, as its table says, and silent about secrets. A real Prometheus scrapes it in
//! `metrics/prometheus.rs`.

mod prometheus;
mod scrape;

use std::collections::BTreeSet;

use freshet::telemetry::Row;

use crate::support::client::{Answer, Client};
use crate::support::origin::{Origin, Step, answer};
use crate::support::{Freshet, HOST, KEY, account, wait_until};
use scrape::{Format, Scrape};

const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0";
const OPERATOR: &str = "operator_metrics_0123456789";
const OTHER_KEY: &str = "private_other_0123456789";

/// The test's account, another one whose origin refuses, a key for all.
fn freshet(origin: &Origin, sections: &str) -> Freshet {
    let own =
        account(&format!("http://{}", origin.address)).replace("origin =", "purges_per_month = 9\norigin =");
    let other = format!(
        "[[accounts]]\nid = \"other\"\nprivate_keys = [\"{OTHER_KEY}\"]\n\
         url_endpoints = [\"http://other.test\"]\norigin = \"http://127.0.0.1:9\"\n"
    );
    let keys = format!("[[keys]]\nname = \"all\"\nkey = \"{OPERATOR}\"\nscopes = [\"operator\"]\n");
    Freshet::start(&format!("{sections}\n{own}\n{other}\n{keys}"))
}

fn images() -> Origin {
    Origin::new(|seen| {
        let fields = [("content-type", "image/png"), ("cache-control", "max-age=60")];
        vec![Step::Send(match &*seen.target {
            "/page.html" => {
                answer("200 OK", &[("content-type", "text/html"), ("cache-control", "no-store")], "page")
            }
            _ => answer("200 OK", &fields, "0123456789"),
        })]
    })
}

fn ask(freshet: &Freshet, fields: &[(&str, &str)]) -> Answer {
    let admin = freshet.app().admin;
    Client::connect(admin).request("GET", &admin.to_string(), "/metrics", fields)
}

fn scraped(freshet: &Freshet, key: Option<&str>) -> Scrape {
    let bearer = key.map(|key| format!("Bearer {key}"));
    let fields: Vec<_> = bearer.iter().map(|bearer| ("authorization", &**bearer)).collect();
    let answer = ask(freshet, &fields);
    assert_eq!(answer.status, 200, "{}", answer.text());
    Scrape::read(&answer.text(), Format::Text)
}

#[test]
fn every_request_counts_once_by_how_it_was_answered() {
    let origin = images();
    let freshet = freshet(&origin, "");
    freshet.get("/a.png"); // A miss,
    freshet.get("/a.png"); // and hits: the whole,
    freshet.get_with("/a.png", &[("range", "bytes=2-4")]); // three bytes,
    freshet.client().request("HEAD", HOST, "/a.png", &[]); // and none.
    freshet.get("/page.html"); // A pass.
    freshet.client().request("GET", "nobody.test", "/a.png", &[]); // An error of our own,
    freshet.client().request("GET", "other.test", "/a.png", &[]); // one for want of an origin,
    freshet.client().request("HEAD", "other.test", "/a.png", &[]); // and another.

    let scrape = scraped(&freshet, Some(OPERATOR));
    let outcome = |word: &str| scrape.value(&format!("freshet_requests_total{{outcome=\"{word}\"}}"));
    assert_eq!(["hit", "miss", "pass", "error"].map(outcome), [3.0, 1.0, 1.0, 3.0]);
    assert_eq!(freshet.app().metrics().requests.get(), 8, "counted on its own");
    assert_eq!(scrape.value("freshet_request_duration_seconds_count"), 8.0);
    assert!(scrape.value("freshet_request_duration_seconds_sum") > 0.0);
    assert_eq!(scrape.value("freshet_sent_from_cache_bytes_total"), 13.0);
    assert_eq!(scrape.value("freshet_fetches_total"), 4.0);
    assert_eq!(scrape.value("freshet_fetch_failures_total{kind=\"connect\"}"), 2.0);
    assert_eq!(scrape.sum("freshet_fetch_failures_total"), 2.0);
    assert_eq!(scrape.value("freshet_responses_stored_total"), 1.0);
    let other = "{account=\"other\",origin=\"http://127.0.0.1:9\"}";
    assert_eq!(scrape.value(&format!("freshet_origin_failing{other}")), 1.0);
    assert_eq!(scrape.value(&format!("freshet_origin_failures_total{other}")), 2.0);
    assert_eq!(scrape.sum("freshet_origin_fetches_total"), 4.0);
    assert_eq!(scrape.value("freshet_connections_accepted_total"), 8.0);
    wait_until("the clients' connections are gone", || {
        scraped(&freshet, None).value("freshet_connections") == 0.0
    });
}

#[test]
fn purges_count_by_target_and_by_how_far_they_are() {
    let origin = images();
    let freshet = freshet(&origin, "");
    freshet.get("/a.png");
    freshet.purge_and_wait("http://img.test/a.png");
    freshet.purge_by_and_wait(&serde_json::json!({ "target": "tag", "tag": "summer" }));
    assert_eq!(freshet.purge("http://nobody.test/a.png").status, 400);
    let body = r#"{"targets": ["http://img.test/a*"]}"#;
    assert_eq!(freshet.admin("POST", "/v1/purges", KEY, body).status, 400);

    let scrape = scraped(&freshet, Some(KEY));
    let targets = |kind: &str| {
        ["accepted", "completed", "refused"].map(|status| {
            scrape.value(&format!("freshet_purge_targets_total{{kind=\"{kind}\",status=\"{status}\"}}"))
        })
    };
    assert_eq!(targets("tag"), [1.0, 1.0, 0.0]);
    assert_eq!(targets("url"), [1.0, 1.0, 2.0]);
    assert_eq!(scrape.value("freshet_purge_requests_total"), 2.0);
    assert_eq!(scrape.value("freshet_purges_pending"), 0.0);
    assert_eq!(scrape.value("freshet_purge_visible_seconds_count"), 2.0);
    assert_eq!(scrape.value("freshet_purge_swept_seconds_count"), 2.0);
    assert_eq!(scrape.value("freshet_allowance_limit{account=\"test\"}"), 9.0);
    assert_eq!(scrape.value("freshet_allowance_remaining{account=\"test\"}"), 7.0);
    assert!(scrape.value("freshet_ledger_commits_total") >= 1.0);
    assert_eq!(scrape.value("freshet_ledger_degraded"), 0.0);
}

#[test]
fn what_has_no_room_counts_as_evicted_and_what_is_purged_does_not() {
    let body = "x".repeat(300_000);
    let origin = Origin::new(move |_| {
        let fields = [("content-type", "image/png"), ("cache-control", "max-age=60")];
        vec![Step::Send(answer("200 OK", &fields, &body))]
    });
    let freshet = freshet(&origin, "[cache]\nmax_bytes = \"1MiB\"\n");
    freshet.get("/a.png");
    freshet.purge_and_wait("http://img.test/a.png");
    freshet.app().figures();
    assert_eq!(scraped(&freshet, None).value("freshet_cache_evictions_total"), 0.0);
    for at in 0..10 {
        freshet.get(&format!("/{at}.png"));
    }
    let figures = freshet.app().figures();
    let scrape = scraped(&freshet, None);
    assert_eq!(scrape.value("freshet_cache_evictions_total"), (10 - figures.entries) as f64);
    assert_eq!(scrape.value("freshet_cache_entries"), figures.entries as f64);
    assert_eq!(scrape.value("freshet_cache_max_bytes"), (1 << 20) as f64);
}

#[test]
fn both_formats_are_well_formed_and_have_the_same_series() {
    let origin = images();
    let freshet = freshet(&origin, "");
    freshet.get("/a.png");
    let bearer = format!("Bearer {OPERATOR}");
    let [text, openmetrics] =
        [("", Format::Text), (OPENMETRICS, Format::OpenMetrics)].map(|(accept, format)| {
            let answer = ask(&freshet, &[("accept", accept), ("authorization", &bearer)]);
            let kind = match format {
                Format::Text => "text/plain; version=0.0.4; charset=utf-8",
                Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            };
            assert_eq!((answer.status, answer.field("content-type")), (200, Some(kind)));
            assert_eq!(answer.field("cache-control"), Some("no-store"));
            Scrape::read(&answer.text(), format)
        });
    assert_eq!(text.series(), openmetrics.series());
    assert!(text.series().len() > 100, "{}", text.series().len());
}

#[test]
fn counters_never_fall_from_one_scrape_to_the_next() {
    let origin = images();
    let freshet = freshet(&origin, "");
    let mut before = scraped(&freshet, Some(OPERATOR));
    for round in 0..3 {
        freshet.get(&format!("/{round}.png"));
        freshet.get("/0.png");
        freshet.purge_and_wait(&format!("http://img.test/{round}.png"));
        let now = scraped(&freshet, Some(OPERATOR));
        for (series, value) in before.growing() {
            assert!(now.value(series) >= value, "{series} fell from {value} to {}", now.value(series));
        }
        assert!(now.sum("freshet_requests_total") > before.sum("freshet_requests_total"));
        before = now;
    }
}

#[test]
fn every_row_of_the_table_is_exported_and_nothing_else() {
    let origin = images();
    let freshet = freshet(&origin, "");
    let counted = freshet.app().metrics().counted().into_iter().map(|(row, _)| row.family());
    let rows: BTreeSet<String> =
        counted.chain(Row::ALL.iter().map(|row| row.description().family())).collect();
    let answer = ask(&freshet, &[("accept", OPENMETRICS)]);
    let exported: BTreeSet<String> =
        Scrape::read(&answer.text(), Format::OpenMetrics).families().map(str::to_owned).collect();
    assert_eq!(exported, rows);
}

#[test]
fn rows_by_account_take_a_key_and_are_those_of_its_account() {
    let origin = images();
    let freshet = freshet(&origin, "");
    let accounts = |key: Option<&str>| -> BTreeSet<String> {
        let scrape = scraped(&freshet, key);
        let named = |series: &&str| series.contains("account=\"");
        let account =
            |series: &str| series.split("account=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        scrape.series().into_iter().filter(named).map(account).collect()
    };
    assert_eq!(accounts(None), BTreeSet::new());
    assert_eq!(accounts(Some(KEY)), BTreeSet::from(["test".to_owned()]));
    assert_eq!(accounts(Some(OPERATOR)), BTreeSet::from(["test".to_owned(), "other".to_owned()]));
    let wrong = ask(&freshet, &[("authorization", "Bearer nobodys")]);
    assert_eq!(wrong.status, 403, "{}", wrong.text());
}

#[test]
fn no_secret_and_no_url_is_told() {
    let origin = images();
    let freshet = freshet(&origin, "");
    freshet.get("/private-picture.png?ik-s=signature&ik-t=1");
    freshet.get_with("/x.png", &[("cookie", "cookie-text"), ("authorization", "Bearer token-text")]);
    freshet.purge_and_wait("http://img.test/private-picture.png");
    freshet.purge_by_and_wait(&serde_json::json!({ "target": "tag", "tag": "private-tag" }));
    let bearer = format!("Bearer {OPERATOR}");
    for fields in [&[][..], &[("authorization", &*bearer)]] {
        let text = ask(&freshet, fields).text();
        for secret in ["private-", "signature", "cookie-text", "token-text", KEY, OTHER_KEY, OPERATOR, HOST] {
            assert!(!text.contains(secret), "{secret} is told:\n{text}");
        }
    }
}

/// Whatever looks after the process needs no key, and tells what it is asked for.
#[test]
fn ready_and_version_answer_without_a_key() {
    let origin = images();
    let freshet = freshet(&origin, "");
    let admin = freshet.app().admin;
    let get = |path: &str| {
        let answer = Client::connect(admin).request("GET", &admin.to_string(), path, &[]);
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        (answer.status, body)
    };
    assert_eq!(get("/readyz"), (200, serde_json::json!({ "status": "ready", "reasons": [] })));
    let (status, version) = get("/version");
    assert_eq!((status, version["version"].as_str()), (200, Some(env!("CARGO_PKG_VERSION"))));
    assert_eq!(scraped(&freshet, None).value("freshet_ready"), 1.0);
}
