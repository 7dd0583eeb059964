//! A real Prometheus scrapes Freshet, and every query of the dashboard and every rule in `deploy/` answers.
//!
//! Where it is not installed, this is skipped and says so; in CI (the variable `CI` is set) it fails.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::{OPERATOR, ask, freshet, images, scraped};
use crate::support::client::Client;
use crate::support::wait_until;

fn deployed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn dashboard() -> Value {
    serde_json::from_slice(&std::fs::read(deployed("grafana/freshet.json")).unwrap()).unwrap()
}

/// (title, query) of every panel, with Grafana's variables as it would fill them in.
fn panel_queries() -> Vec<(String, String)> {
    let dashboard = dashboard();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"]
                .as_str()
                .unwrap()
                .replace("$__rate_interval", "30s")
                .replace("$instance", ".*");
            assert!(!query.contains('$'), "a variable is not known: {query}");
            queries.push((panel["title"].as_str().unwrap().to_owned(), query));
        }
    }
    queries
}

/// The metrics that a query names.
fn names(query: &str) -> impl Iterator<Item = &str> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    words.filter(|word| word.starts_with("freshet_"))
}

/// The names alone need no Prometheus: a name that is not exported is a panel that stays empty.
#[test]
fn dashboard_and_alerts_name_what_is_exported_and_all_of_it_is_on_the_dashboard() {
    let origin = images();
    let freshet = freshet(&origin, "");
    freshet.get("/a.png");
    let scrape = scraped(&freshet, Some(OPERATOR));
    let exported = scrape.names();
    let alerts = std::fs::read_to_string(deployed("prometheus/alerts.yml")).unwrap();
    let mut on_dashboard = BTreeSet::new();
    for (title, query) in panel_queries() {
        for name in names(&query) {
            assert!(exported.contains(name), "{title}: {name} is not exported");
            on_dashboard.insert(name.trim_end_matches("_bucket").to_owned());
        }
    }
    let in_alerts: Vec<&str> = names(&alerts).collect();
    assert!(in_alerts.len() > 10, "{in_alerts:?}");
    for name in in_alerts {
        assert!(exported.contains(name), "alerts.yml: {name} is not exported");
    }
    for name in exported.iter().filter(|name| !name.ends_with("_sum") && !name.ends_with("_count")) {
        assert!(on_dashboard.contains(name.trim_end_matches("_bucket")), "{name} is on no panel");
    }
}

/// A running Prometheus with a folder of its own; killed when it is dropped.
struct Prometheus {
    process: Child,
    folder: TempDir,
    address: SocketAddr,
}

impl Prometheus {
    /// Nothing where there is none, and this is not CI.
    fn before(target: SocketAddr) -> Option<Prometheus> {
        let is_there = |program: &str| {
            let mut command = Command::new(program);
            command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        if !is_there("prometheus") || !is_there("promtool") {
            assert!(
                std::env::var_os("CI").is_none(),
                "prometheus is missing: install it (Debian: prometheus)"
            );
            // Straight to standard error: the harness would keep it to itself.
            let _ = writeln!(std::io::stderr(), "skipped: prometheus is missing (Debian: prometheus)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        // It can't be told to take any free port and say which: another process may take this one first.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let rules = deployed("prometheus/alerts.yml");
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['{}']\n\
             scrape_configs:\n- job_name: freshet\n  authorization: {{credentials: {OPERATOR}}}\n  \
             static_configs: [{{targets: ['{target}']}}]\n",
            rules.display()
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut prometheus = Prometheus { process, folder, address };
        wait_until("Prometheus listens", || TcpStream::connect(address).is_ok());
        assert!(prometheus.process.try_wait().unwrap().is_none(), "{}", prometheus.log());
        Some(prometheus)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn get(&self, path: &str) -> Value {
        let answer = Client::connect(self.address).request("GET", &self.address.to_string(), path, &[]);
        serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
    }

    /// What a query answers.
    fn query(&self, query: &str) -> Vec<Value> {
        let parameters = form_urlencoded::Serializer::new(String::new()).append_pair("query", query).finish();
        let answer = self.get(&format!("/api/v1/query?{parameters}"));
        assert_eq!(answer["status"], "success", "{query}: {answer}\n{}", self.log());
        answer["data"]["result"].as_array().unwrap().clone()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill(); // It may have ended on its own.
        let _ = self.process.wait();
    }
}

/// What promtool says of a text; nothing where it finds nothing to say.
fn promtool(arguments: &[&str], input: &str) -> String {
    let mut tool = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    tool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() { String::new() } else { format!("{}: {said}", output.status) }
}

#[test]
fn a_real_prometheus_scrapes_it_and_every_query_and_rule_answers() {
    let origin = images();
    let freshet = freshet(&origin, "");
    let Some(prometheus) = Prometheus::before(freshet.app().admin) else { return };
    freshet.get("/a.png");
    freshet.get("/a.png");
    freshet.purge_and_wait("http://img.test/a.png");

    assert_eq!(promtool(&["check", "rules", deployed("prometheus/alerts.yml").to_str().unwrap()], ""), "");
    let bearer = format!("Bearer {OPERATOR}");
    let text = ask(&freshet, &[("authorization", &bearer)]).text();
    assert_eq!(promtool(&["check", "metrics"], &text), "");

    wait_until("the target is up", || {
        let targets = prometheus.get("/api/v1/targets");
        let target = &targets["data"]["activeTargets"][0];
        assert_ne!(target["health"], "down", "{target}");
        target["health"] == "up"
    });
    let own = scraped(&freshet, Some(OPERATOR)).sum("freshet_requests_total");
    wait_until("it has what Freshet says", || {
        let result = prometheus.query("sum(freshet_requests_total)");
        result.first().is_some_and(|sample| sample["value"][1].as_str() == Some(&own.to_string()))
    });
    let queries = panel_queries();
    assert!(queries.len() > 30, "{} queries", queries.len());
    for (title, query) in queries {
        wait_until(&format!("the panel {title:?} shows something: {query}"), || {
            !prometheus.query(&query).is_empty()
        });
    }
    wait_until("every rule was tried, and none failed", || {
        let answer = prometheus.get("/api/v1/rules");
        let rules = answer["data"]["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
        assert!(rules.iter().all(|rule| rule["health"] != "err"), "{answer}");
        rules.len() > 10 && rules.iter().all(|rule| rule["health"] == "ok")
    });
}
