//! Which accounts' URLs have other keys under another config.
//!
//! What is stored under a key that no URL leads to is out of the reach of purges by URL. Where a later config led to it
//! again, what was purged meanwhile would be served. So whoever changes configs purges these accounts whole. Pure.

use crate::config::{Account, Parameter, Route, UrlEndpoint};

/// What keys are made by.
#[derive(Clone, Copy)]
pub struct Making<'a> {
    /// All accounts.
    pub accounts: &'a [Account],
    /// All routes, in their order.
    pub routes: &'a [Route],
}

/// The ids of the accounts of `before` of which some URL may have another key, or none, by `after`, or be another
/// account's. It may name more than there are, never less.
pub fn remade<'a>(before: Making<'a>, after: Making<'_>) -> Vec<&'a str> {
    let is_remade = |account: &&Account| {
        let Some(later) = after.accounts.iter().find(|later| later.id == account.id) else { return true };
        account.urls != later.urls
            || places(account) != places(later)
            || cuts(before.routes, &account.id) != cuts(after.routes, &account.id)
            || inner(before.accounts, account) != inner(after.accounts, later)
    };
    before.accounts.iter().filter(is_remade).map(|account| &*account.id).collect()
}

/// An account's endpoints, in one order: which is the canonical one is in no key.
fn places(account: &Account) -> Vec<(&str, &str)> {
    let mut places: Vec<_> = account.url_endpoints.iter().map(place).collect();
    places.sort_unstable();
    places
}

fn place(endpoint: &UrlEndpoint) -> (&str, &str) {
    (endpoint.authority.as_str(), &endpoint.path)
}

/// The endpoints of others that lie inside the account's, and whose they are.
fn inner<'a>(accounts: &'a [Account], account: &Account) -> Vec<(&'a str, &'a str, &'a str)> {
    let is_inside = |other: &UrlEndpoint| {
        account.url_endpoints.iter().any(|outer| {
            outer.authority == other.authority
                && other.path.strip_prefix(&*outer.path).is_some_and(|below| below.starts_with('/'))
        })
    };
    let others = accounts.iter().filter(|other| other.id != account.id);
    let mut inner: Vec<_> = others
        .flat_map(|other| other.url_endpoints.iter().map(move |endpoint| (&*other.id, endpoint)))
        .filter(|(_, endpoint)| is_inside(endpoint))
        .map(|(id, endpoint)| (endpoint.authority.as_str(), &*endpoint.path, id))
        .collect();
    inner.sort_unstable();
    inner
}

/// The routes that may hold for an account's URLs and what each leaves out of keys; nothing where none leaves out
/// anything, whatever they match.
fn cuts<'a>(routes: &'a [Route], id: &str) -> Vec<(Option<&'a str>, &'a [Parameter])> {
    let holds = |route: &&Route| route.account.as_deref().is_none_or(|only| only == id);
    let cuts: Vec<_> = routes
        .iter()
        .filter(holds)
        .map(|route| (route.pattern.as_ref().map(|pattern| pattern.as_str()), &*route.ignore_query))
        .collect();
    if cuts.iter().all(|(_, ignored)| ignored.is_empty()) { Vec::new() } else { cuts }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Config, Sources};

    fn config(text: &str) -> Config {
        let sources = Sources { variable: &|_| None, folder: Path::new("/"), cores: 1 };
        config::parse(text, "the test's config", &sources).unwrap_or_else(|error| panic!("{error}"))
    }

    fn making(config: &Config) -> Making<'_> {
        Making { accounts: &config.accounts, routes: &config.routes }
    }

    fn account(id: &str, endpoints: &str, more: &str) -> String {
        format!(
            "[[accounts]]\nid = \"{id}\"\nprivate_keys = [\"0123456789abcdef{id}\"]\nurl_endpoints = [{endpoints}]\n\
             origin = \"http://127.0.0.1:9\"\n{more}\n"
        )
    }

    fn of(before: &str, after: &str) -> String {
        let (before, after) = (config(before), config(after));
        remade(making(&before), making(&after)).join(" ")
    }

    #[test]
    fn an_account_is_remade_where_some_url_of_it_has_another_key() {
        let a = account("a", "\"http://i.test\", \"http://j.test/a\"", "");
        let b = account("b", "\"http://b.test\"", "");
        let both = format!("{a}{b}");
        let route = |ignored: &str| format!("[[routes]]\nmatch = \"^/x\"\nignore_query = [{ignored}]\n");
        #[rustfmt::skip]
        let table = [
            (&both, &both, ""),
            (&both, &format!("{b}{a}"), ""),
            (&both, &a, "b"),
            (&a, &both, ""),
            (&both, &format!("{}{b}", account("a", "\"http://j.test/a\", \"https://i.test\"", "")), ""),
            (&both, &format!("{}{b}", account("a", "\"http://i.test\"", "")), "a"),
            (&both, &format!("{}{b}", account("a", "\"http://i.test\", \"http://j.test/a\"", "urls = \"opaque\"")), "a"),
            // Another's endpoint inside: URLs of the one become the other's.
            (&both, &format!("{a}{}", account("b", "\"http://b.test\", \"http://i.test/b\"", "")), "a b"),
            (&both, &format!("{both}{}", account("c", "\"http://i.test/c\"", "")), "a"),
            (&both, &format!("{both}{}", account("c", "\"http://j.test/c\"", "")), ""),
            (&both, &format!("{both}{}", route("\"utm_*\"")), "a b"),
            (&both, &format!("{both}{}account = \"b\"\n", route("\"utm_*\"")), "b"),
            (&both, &format!("{both}{}", route("")), ""),
            (&format!("{both}{}", route("\"v\"")), &format!("{both}{}", route("\"w\"")), "a b"),
        ];
        for (before, after, expected) in table {
            assert_eq!(of(before, after), expected, "{before} → {after}");
        }
    }
}
