//! The overview tells what happened, and no account of another's origin.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::origin::{Origin, Step, answer};
use crate::support::{Freshet, HOST, KEY, account, wait_until};

const OTHER_KEY: &str = "private_other_0123456789";

fn overview(freshet: &Freshet, key: &str) -> Value {
    let answer = freshet.admin("GET", "/v1/overview?minutes=5", key, "");
    assert_eq!((answer.status, answer.field("cache-control")), (200, Some("no-store")), "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn overview_has_what_happened_in_all_and_in_its_step() {
    let origin = Origin::new(|seen| {
        let fields = [("content-type", "image/png"), ("cache-control", "max-age=60")];
        vec![Step::Send(match &*seen.target {
            "/broken.png" => answer("503 Service Unavailable", &[], "busy"),
            "/page.html" => {
                answer("200 OK", &[("content-type", "text/html"), ("cache-control", "no-store")], "page")
            }
            _ => answer("200 OK", &fields, "0123456789"),
        })]
    });
    let other = format!(
        "[[accounts]]\nid = \"other\"\nprivate_keys = [\"{OTHER_KEY}\"]\n\
         url_endpoints = [\"http://other.test\"]\norigin = \"http://127.0.0.1:9\"\n"
    );
    let address = format!("http://{}", origin.address);
    let freshet = Freshet::start(&format!("{}\n{other}", account(&address)));

    let before = overview(&freshet, KEY);
    assert_eq!(before["latency_us"], json!({ "p50": null, "p90": null, "p99": null }));
    assert_eq!(
        (&before["origins"][0]["state"], &before["series"]["requests"]),
        (&json!("unknown"), &json!([]))
    );

    freshet.get("/a.png"); // A miss,
    freshet.get("/a.png"); // and hits: the whole,
    freshet.get_with("/a.png", &[("range", "bytes=2-4")]); // three bytes,
    freshet.client().request("HEAD", HOST, "/a.png", &[]); // and none.
    freshet.get("/page.html"); // A pass.
    freshet.get("/broken.png"); // The origin's error is passed on.
    freshet.client().request("GET", "nobody.test", "/a.png", &[]); // An error of our own,
    freshet.client().request("GET", "other.test", "/a.png", &[]); // and one for want of an origin.
    freshet.purge_and_wait("http://img.test/a.png");
    freshet.clock.advance(Duration::from_secs(10));
    wait_until("the step is closed", || overview(&freshet, KEY)["series"]["requests"] != json!([]));

    let now = overview(&freshet, KEY);
    let totals = |name: &str| now["totals"][name].as_u64().unwrap();
    assert_eq!(["requests", "hits", "errors"].map(totals), [8, 3, 2], "{now}");
    assert_eq!(totals("requests"), ["hits", "misses", "passes", "errors"].map(totals).iter().sum::<u64>());
    assert_eq!(["fetches", "bytes_from_cache"].map(totals), [4, 13], "{now}");
    assert!(totals("bytes_sent") > 13 + 10 + 4 + 4, "the errors have texts: {now}");
    let series = &now["series"];
    assert_eq!(
        (&series["requests"], &series["hits"], &series["purges"]),
        (&json!([8]), &json!([3]), &json!([1]))
    );
    assert_eq!(series["bytes_from_cache"], json!([13]));
    assert_eq!((&series["step_seconds"], &series["start"]), (&json!(10), &json!(1_700_000_000)));
    assert_eq!(
        (&now["now"], &now["started_at"]),
        (&json!("2023-11-14T22:13:30.000Z"), &json!("2023-11-14T22:13:20.000Z"))
    );
    for time in
        [&now["latency_us"]["p50"], &now["latency_us"]["p99"], &series["p50_us"][0], &series["p99_us"][0]]
    {
        assert!(time.as_u64().is_some_and(|us| us < 60_000_000), "{now}");
    }
    assert_eq!((&now["cache"]["entries"], &now["purges"]), (&json!(0), &json!({ "pending": 0 })));
    assert!(
        now["cache"]["max_bytes"].as_u64().unwrap() > 0 && now["process"]["cpu_seconds"].as_f64().is_some()
    );

    let own = &now["origins"][0];
    assert_eq!((now["origins"].as_array().unwrap().len(), &own["account"]), (1, &json!("test")));
    let expected = [json!(address), json!("failing"), json!(3), json!(1), json!("server-error")];
    assert_eq!(
        ["address", "state", "fetches", "failures", "last_failure"].map(|name| own[name].clone()),
        expected
    );
    freshet.get("/b.png");
    let own = &overview(&freshet, KEY)["origins"][0];
    assert_eq!(
        (&own["state"], own["first_byte_ms"].as_u64().is_some()),
        (&json!("ok"), true),
        "it answers again"
    );
    let others = &overview(&freshet, OTHER_KEY)["origins"];
    assert_eq!(others.as_array().unwrap().len(), 1);
    assert_eq!(
        ["account", "state", "failures"].map(|name| others[0][name].clone()),
        [json!("other"), json!("failing"), json!(1)]
    );
    assert_eq!(others[0]["first_byte_ms"], json!(null));

    assert_eq!(freshet.admin("GET", "/v1/overview", "nobody", "").status, 403);
}
