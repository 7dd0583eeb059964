//! Accounts for tests: aliases, neighbours whose names begin alike, one endpoint inside another, opaque URLs.

use crate::config::{Account, Authority, Origin, UrlEndpoint, Urls};

/// Index of the account `demo`.
pub const DEMO: usize = 0;
/// Index of the account `raw`, whose URLs are opaque.
pub const RAW: usize = 1;

/// `demo`, `raw`, `demo-2`, `whole` (a whole host), and `inner`, `deep` and `deepraw` below it.
pub fn accounts() -> Vec<Account> {
    use Urls::{Canonical, Opaque};
    vec![
        account(
            "demo",
            Canonical,
            &["http://img.test/demo", "http://localhost:8080/demo", "https://cdn.test"],
        ),
        account("raw", Opaque, &["http://img.test/raw", "http://raw.test"]),
        account("demo-2", Canonical, &["http://img.test/demo-2"]),
        account("whole", Canonical, &["http://whole.test", "http://alias.test"]),
        account("inner", Canonical, &["http://whole.test/demo"]),
        account("deep", Canonical, &["http://whole.test/demo/a/b"]),
        account("deepraw", Opaque, &["http://whole.test/raw", "http://alias.test/demo/a"]),
    ]
}

fn account(id: &str, urls: Urls, endpoints: &[&str]) -> Account {
    let endpoint = |text: &&str| {
        let (scheme, rest) = text.split_once("://").unwrap();
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        UrlEndpoint {
            scheme: if scheme == "https" { "https" } else { "http" },
            authority: Authority::parse(authority).unwrap(),
            path: path.to_owned(),
        }
    };
    Account {
        id: id.to_owned(),
        private_keys: Vec::new(),
        url_endpoints: endpoints.iter().map(endpoint).collect(),
        purges_per_month: None,
        origin: Origin::Demo,
        urls,
        demo_key: None,
    }
}
