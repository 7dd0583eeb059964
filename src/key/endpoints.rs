//! Whose a URL is: the account whose endpoint is its longest match, host and whole path segments.
//!
//! Endpoints are compared with the canonical path, whatever the account's `urls`, so that `/%64emo/a` and
//! `/demo/a` never have two owners. Built once, then read alone: no locks. A look-up costs one hash of the
//! host and one for each segment of the host's deepest endpoint, and one allocation: the key.

use std::collections::HashMap;

use ahash::RandomState;

use super::canonical::{self, PATH, QUERY};
use super::{Key, KeyError, KeyPattern, KeyPrefix, spare};
use crate::config::{Account, Authority, Parameter, Route, UrlEndpoint, Urls};
use crate::limits::{KEY_BYTES_MAX, TARGET_BYTES_MAX};

/// The URL endpoints of all accounts.
#[derive(Debug)]
pub struct Endpoints {
    hosts: HashMap<Authority, Host, RandomState>,
    /// As in the config, index for index.
    owners: Vec<Owner>,
    /// In the config's order: the first that matches an account and a path holds for them.
    routes: Box<[Route]>,
    indices: HashMap<Box<str>, usize, RandomState>,
}

/// An account, as far as URLs go.
#[derive(Debug)]
struct Owner {
    id: Box<str>,
    urls: Urls,
    /// The text of every endpoint, the canonical one first.
    endpoints: Vec<Box<str>>,
}

/// The endpoints on one host.
#[derive(Debug, Default)]
struct Host {
    /// Canonical path of an endpoint, empty for the whole host → index of its account.
    paths: HashMap<Box<str>, usize, RandomState>,
    /// Segments of the deepest of them.
    depth_max: usize,
}

/// An endpoint that a path lies below.
struct Match {
    account: usize,
    /// Bytes of the path that the endpoint takes.
    end: usize,
    /// Segments that it takes.
    depth: usize,
}

/// How far a text goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// To the end of a URL.
    Url,
    /// Somewhere into it: more may follow the last byte.
    Prefix,
}

/// A URL's key, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Index into the config's accounts.
    pub account: usize,
    /// Index into the config's routes, of the one that holds for the URL.
    pub route: Option<usize>,
    /// What the URL's image is stored under.
    pub key: Key,
}

/// An account, the route that holds, and the text of a key or of a prefix.
struct Resolved {
    account: usize,
    route: Option<usize>,
    text: String,
}

impl Endpoints {
    /// The endpoints of `accounts`, no two of which share one: the config has checked it.
    ///
    /// An endpoint whose path no URL can have is never found.
    pub fn new(accounts: &[Account]) -> Endpoints {
        Endpoints::with_routes(accounts, &[])
    }

    /// The same under the config's routes: one is chosen by the canonical path, and its `ignore_query` then cuts
    /// the query of requests and of purges alike.
    pub fn with_routes(accounts: &[Account], routes: &[Route]) -> Endpoints {
        let mut endpoints = Endpoints {
            hosts: HashMap::default(),
            owners: Vec::new(),
            routes: routes.into(),
            indices: HashMap::default(),
        };
        for (index, account) in accounts.iter().enumerate() {
            let mut texts = Vec::with_capacity(account.url_endpoints.len());
            for UrlEndpoint { scheme, authority, path } in &account.url_endpoints {
                let Ok(path) = canonical::path(path) else { continue };
                texts.push(format!("{scheme}://{authority}{path}").into());
                let host = endpoints.hosts.entry(authority.clone()).or_default();
                host.depth_max = host.depth_max.max(path.matches('/').count());
                host.paths.insert(path.into(), index);
            }
            let id: Box<str> = account.id.as_str().into();
            endpoints.indices.insert(id.clone(), index);
            endpoints.owners.push(Owner { id, urls: account.urls, endpoints: texts });
        }
        endpoints
    }

    /// Whether `authority` is spelled as the host of an endpoint, which is its canonical spelling.
    pub fn knows(&self, authority: &str) -> bool {
        self.hosts.contains_key(authority)
    }

    /// The key of a request to a host, by its canonical spelling: path and query as its target had them, without
    /// `?` and fragment.
    pub fn locate(&self, authority: &str, path: &str, query: Option<&str>) -> Result<Located, KeyError> {
        if path.len() + query.map_or(0, |query| query.len() + 1) > TARGET_BYTES_MAX {
            return Err(KeyError::TooLong);
        }
        self.resolve(authority, path, query, Extent::Url).map(Resolved::located)
    }

    /// The key of a URL's text; a fragment is dropped.
    ///
    /// Takes every URL that a key can be printed as, which may be longer than the target that made the key.
    pub fn parse_url(&self, url: &str) -> Result<Located, KeyError> {
        let (authority, path, query) = split_url(url)?;
        self.resolve(authority.as_str(), path, query, Extent::Url).map(Resolved::located)
    }

    /// The beginning of the keys of all URLs that begin with `text`, and the account that they belong to.
    ///
    /// The law: where `text` has the prefix P, a URL of the same account that begins with `text`, and lies
    /// below the same endpoint, has a key that begins with P. A text that ends within an escape or in a dot
    /// segment is refused, since what follows decides what it means.
    pub(crate) fn parse_prefix(&self, text: &str) -> Result<(usize, KeyPrefix), KeyError> {
        let (authority, path, query) = split_url(text)?;
        if matches!(query.unwrap_or(path).as_bytes(), [.., b'%'] | [.., b'%', _]) {
            return Err(KeyError::BrokenEscape);
        }
        let resolved = self.resolve(authority.as_str(), path, query, Extent::Prefix)?;
        Ok((resolved.account, KeyPrefix(resolved.text.into())))
    }

    /// The pattern of a URL's text in which every `*` from its path on is a wildcard, and the account that it belongs
    /// to. It stands for canonical texts: what stands between the stars is written as it would be in a URL, each
    /// segment and parameter by what is written of it, and what a route leaves out of keys is in none of them.
    ///
    /// # Panics
    /// Where `text` has no `*`, or one before its path.
    pub(crate) fn parse_pattern(&self, text: &str) -> Result<(usize, KeyPattern), KeyError> {
        let star = text.find('*').expect("a pattern has a `*`");
        // With its `?`, so that its path goes no further; its query is written below, whole.
        let (head, rest) = match text[..star].find('?') {
            Some(mark) => (&text[..=mark], &text[mark..]),
            None => text.split_at(star),
        };
        let (account, KeyPrefix(prefix)) = self.parse_prefix(head)?;
        let urls = self.owners[account].urls;
        let mut out = String::from(prefix.strip_suffix('?').unwrap_or(&prefix));
        let (path, query) = super::split_query(rest);
        let segment = out.rfind('/').map_or(0, |slash| slash + 1);
        canonical::write_pattern(path, &PATH, urls, segment, &mut out)?;
        if let Some(query) = query.filter(|query| !query.is_empty() || urls == Urls::Opaque) {
            out.push('?');
            let parameter = out.len();
            canonical::write_pattern(query, &QUERY, urls, parameter, &mut out)?;
        }
        if out.len() > KEY_BYTES_MAX { Err(KeyError::TooLong) } else { Ok((account, KeyPattern::new(out))) }
    }

    /// The URL of a key: below its account's canonical endpoint, or below the first alias that leads back to
    /// the key where another account's endpoint takes that path. Nothing where the account is unknown.
    pub fn url_of(&self, key: &Key) -> Option<String> {
        self.printed(key.as_str(), |url| self.parse_url(url).is_ok_and(|located| located.key == *key))
    }

    /// The beginning of the URLs whose keys begin with `prefix`, without a `*`, as [`Endpoints::url_of`].
    pub(crate) fn url_of_prefix(&self, prefix: &KeyPrefix) -> Option<String> {
        self.printed(prefix.as_str(), |url| self.parse_prefix(url).is_ok_and(|(_, parsed)| parsed == *prefix))
    }

    /// The id of the account with this index.
    pub(crate) fn id_of(&self, account: usize) -> &str {
        &self.owners[account].id
    }

    /// Whether the URLs of the account with this index count as the bytes they are.
    pub(crate) fn is_opaque(&self, account: usize) -> bool {
        self.owners[account].urls == Urls::Opaque
    }

    /// The endpoints of the account with this index, the canonical one first.
    pub(crate) fn of_account(&self, account: usize) -> &[Box<str>] {
        &self.owners[account].endpoints
    }

    /// The ids of the accounts that have an endpoint on `host`, in the config's order.
    pub(crate) fn accounts_on(&self, host: &Authority) -> Box<[Box<str>]> {
        let mut indices: Vec<usize> =
            self.hosts.get(host).into_iter().flat_map(|host| host.paths.values().copied()).collect();
        indices.sort_unstable();
        indices.dedup();
        indices.into_iter().map(|index| self.owners[index].id.clone()).collect()
    }

    fn printed(&self, text: &str, leads_back: impl Fn(&str) -> bool) -> Option<String> {
        let (account, below) = super::split_account(text);
        let endpoints = self.of_account(*self.indices.get(account)?).iter();
        endpoints.map(|endpoint| format!("{endpoint}{below}")).find(|url| leads_back(url))
    }

    /// The account of a URL or of a prefix, its route, and the canonical text.
    fn resolve(
        &self,
        authority: &str,
        path: &str,
        query: Option<&str>,
        extent: Extent,
    ) -> Result<Resolved, KeyError> {
        let host = self.hosts.get(authority).ok_or(KeyError::UnknownHost)?;
        if !path.starts_with('/') {
            return Err(KeyError::PathStart);
        }
        let Some(found) = host.find(path, query, extent) else {
            canonical::path(path)?; // What is refused everywhere is a bad URL before it is an unknown one.
            return Err(KeyError::UnknownPath);
        };
        let owner = &self.owners[found.account];
        let mut below = &path[found.end..];
        if owner.urls == Urls::Canonical && below.starts_with("//") {
            below = &below[below.len() - below.trim_start_matches('/').len() - 1..];
            if found.depth < host.depth_max {
                // With one slash, the path may lie below a deeper endpoint. It got shorter, so this ends.
                let path = format!("{}{below}", &path[..found.end]);
                return self.resolve(authority, &path, query, extent);
            }
        }
        let text = owner.text(if below.is_empty() { "/" } else { below }, query)?;
        let route = self.route_of(&text);
        let ignored = route.map_or(&[][..], |route| &self.routes[route].ignore_query);
        Ok(Resolved {
            account: found.account,
            route,
            text: without_parameters(text, ignored, extent, owner.urls),
        })
    }

    /// The first route that holds for a key. Costs a regular expression for each before it; nothing without
    /// routes. A prefix that ends in its path may belong to several: then no query is there to be cut.
    fn route_of(&self, text: &str) -> Option<usize> {
        if self.routes.is_empty() {
            return None;
        }
        let (account, below) = super::split_account(text);
        let (path, _) = super::split_query(below);
        self.routes.iter().position(|route| route.matches(account, path))
    }
}

impl Resolved {
    fn located(self) -> Located {
        Located { account: self.account, route: self.route, key: Key(self.text) }
    }
}

/// A key or a prefix less the parameters that its route ignores. The last parameter of a prefix may go on: where
/// it may become an ignored one, the prefix ends before it, which covers more than was written and never less.
/// A canonical query that is empty then is dropped, as one that was empty from the start.
fn without_parameters(text: String, ignored: &[Parameter], extent: Extent, urls: Urls) -> String {
    if ignored.is_empty() {
        return text;
    }
    let (path, Some(query)) = super::split_query(&text) else { return text };
    let mut out = String::with_capacity(text.len());
    out.push_str(path);
    let mut separator = '?';
    let mut parameters = query.split('&').peekable();
    while let Some(parameter) = parameters.next() {
        let goes_on = extent == Extent::Prefix && parameters.peek().is_none();
        let dropped = |name: &Parameter| match goes_on {
            true => name.may_name(parameter),
            false => name.names(parameter),
        };
        if !ignored.iter().any(dropped) {
            out.push(separator);
            out.push_str(parameter);
            separator = '&';
        }
    }
    if urls == Urls::Canonical && out.len() == path.len() + 1 {
        out.pop();
    }
    out
}

impl Owner {
    /// The text of a key or of a prefix. Allocates once where nothing has to be escaped, and not at all where the
    /// thread has a spare text.
    fn text(&self, path: &str, query: Option<&str>) -> Result<String, KeyError> {
        let query = query.filter(|query| !query.is_empty() || self.urls == Urls::Opaque);
        let length = self.id.len() + path.len() + query.map_or(0, |query| query.len() + 1);
        let mut out = spare::take(length);
        out.push_str(&self.id);
        canonical::write(path, &PATH, self.urls, &mut out)?;
        if let Some(query) = query {
            out.push('?');
            canonical::write(query, &QUERY, self.urls, &mut out)?;
        }
        if out.len() > KEY_BYTES_MAX { Err(KeyError::TooLong) } else { Ok(out) }
    }
}

impl Host {
    /// The deepest endpoint that `path` lies below.
    ///
    /// The last segment of a prefix may go on: `/demo` may become `/demolition`, so an endpoint `/demo` is
    /// asked last, and then everything below it is meant.
    fn find(&self, path: &str, query: Option<&str>, extent: Extent) -> Option<Match> {
        if extent == Extent::Prefix
            && query.is_none()
            && let Some(slash) = path.rfind('/')
            && let Some(found) = self.find_whole(&path[..=slash])
        {
            return Some(found);
        }
        self.find_whole(path)
    }

    fn find_whole(&self, path: &str) -> Option<Match> {
        let mut found = self.paths.get("").map(|account| Match { account: *account, end: 0, depth: 0 });
        let mut end = 0;
        for depth in 1..=self.depth_max {
            let Some(segment) = path.get(end + 1..) else { break };
            end += 1 + segment.find('/').unwrap_or(segment.len());
            if let Some(account) = self.paths.get(&path[..end]) {
                found = Some(Match { account: *account, end, depth });
                continue;
            }
            // Not canonical and not to be made so: no endpoint. Its owner, if there is one, names the rule.
            let Ok(head) = canonical::path(&path[..end]) else { break };
            if let Some(account) = self.paths.get(&*head) {
                found = Some(Match { account: *account, end, depth });
            }
        }
        found
    }
}

/// Authority, path and query of a URL; the path is `/` where the URL has none.
fn split_url(url: &str) -> Result<(Authority, &str, Option<&str>), KeyError> {
    let (scheme, rest) = url.split_once("://").ok_or(KeyError::Scheme)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(KeyError::Scheme);
    }
    let rest = rest.split_once('#').map_or(rest, |(before_fragment, _)| before_fragment);
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let authority = Authority::parse(authority).map_err(KeyError::Authority)?;
    let (path, query) = super::split_query(target);
    Ok((authority, if path.is_empty() { "/" } else { path }, query))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;
    use crate::key::examples::accounts;

    /// `utm_*` and `v` are left out below `/p/` of `demo`, everything that begins with `x` elsewhere in `raw`.
    fn endpoints() -> Endpoints {
        let parameter =
            |name: &str| Parameter { name: name.trim_end_matches('*').into(), wildcard: name.ends_with('*') };
        let route = |account: &str, pattern: &str, names: &[&str]| Route {
            account: Some(account.into()),
            pattern: Some(Regex::new(pattern).unwrap()),
            ignore_query: names.iter().map(|name| parameter(name)).collect(),
            ..Route::default()
        };
        let routes = [
            route("demo", "^/p/", &["utm_*", "v"]),
            route("demo", "^/p/never", &["w"]),
            route("raw", "", &["x*"]),
        ];
        Endpoints::with_routes(&accounts(), &routes)
    }

    #[test]
    fn ignored_parameters_are_no_part_of_a_key() {
        #[rustfmt::skip]
        let table = [
            ("/demo/p/a?utm_source=x",              "demo/p/a"),
            ("/demo/p/a?utm_source=x&tr=w-1",       "demo/p/a?tr=w-1"),
            ("/demo/p/a?tr=w-1&utm_a=1&utm_b=2",    "demo/p/a?tr=w-1"),
            ("/demo/p/a?b=1&v=3&a=2",               "demo/p/a?b=1&a=2"),
            ("/demo/p/a?%75tm_source=x",            "demo/p/a"),
            ("/demo/%70/a?utm_a",                   "demo/p/a"),
            ("/demo/p/a?utm_a=x%26tr=1",            "demo/p/a"),
            ("/demo/p/a?utm=1",                     "demo/p/a?utm=1"),
            ("/demo/p/a?vv=1",                      "demo/p/a?vv=1"),
            ("/demo/p/a?a=v&b=utm_",                "demo/p/a?a=v&b=utm_"),
            ("/demo/p/a?a;utm_x=1",                 "demo/p/a?a;utm_x=1"),
            ("/demo/p/a?&utm_a&",                   "demo/p/a?&"),
            ("/demo/p/a?utm_a&",                    "demo/p/a"),
            ("/demo/p/a?&v",                        "demo/p/a"),
            ("/raw/a?x&",                           "raw/a?"),
            ("/demo/p/never?w=1",                   "demo/p/never?w=1"),
            ("/demo/a?utm_a=1",                     "demo/a?utm_a=1"),
            ("/raw/a?xy&z&x",                       "raw/a?z"),
        ];
        let endpoints = endpoints();
        for (target, expected) in table {
            let located = endpoints.parse_url(&format!("http://img.test{target}")).unwrap();
            assert_eq!(located.key.as_str(), expected, "{target}");
            let url = endpoints.url_of(&located.key).unwrap();
            assert_eq!(endpoints.parse_url(&url).unwrap(), located, "{url}");
        }
        let route = |target| endpoints.parse_url(&format!("http://img.test{target}")).unwrap().route;
        assert_eq!([route("/demo/p/a"), route("/demo/a"), route("/raw/a")], [Some(0), None, Some(2)]);
    }

    #[test]
    fn a_prefix_ends_before_what_may_become_an_ignored_parameter() {
        #[rustfmt::skip]
        let table = [
            ("/demo/p/a",                 "demo/p/a"),
            ("/demo/p/a?",                "demo/p/a"),
            ("/demo/p/a?utm_s",           "demo/p/a"),
            ("/demo/p/a?utm_s=1&tr=w-",   "demo/p/a?tr=w-"),
            ("/demo/p/a?tr=w-1&u",        "demo/p/a?tr=w-1"),
            ("/demo/p/a?tr=w-1&ux",       "demo/p/a?tr=w-1&ux"),
            ("/demo/p/a?tr=w-1&",         "demo/p/a?tr=w-1"),
            ("/demo/p/a?v",               "demo/p/a"),
            ("/demo/p/a?v=",              "demo/p/a"),
            ("/demo/a?utm_s",             "demo/a?utm_s"),
        ];
        for (text, expected) in table {
            let (_, prefix) = endpoints().parse_prefix(&format!("http://img.test{text}")).unwrap();
            assert_eq!(prefix.as_str(), expected, "{text}");
        }
    }

    proptest! {
        /// The law of prefixes holds with ignored parameters too.
        #[test]
        fn a_url_that_begins_with_a_prefix_has_a_key_that_begins_with_its_key(
            url in "http://img\\.test/(demo|raw)/(p/)?[a-c]?(\\?((utm_|utm|v|x|tr|u)(=[a-c%2]{0,2})?&?){0,4})?",
            cut in any::<prop::sample::Index>(),
        ) {
            let endpoints = endpoints();
            let text = &url[..cut.index(url.len() + 1)];
            if let (Ok((owner, prefix)), Ok(located)) = (endpoints.parse_prefix(text), endpoints.parse_url(&url))
                && owner == located.account
            {
                prop_assert!(prefix.covers(&located.key), "{} of {} but not {}", prefix.as_str(), text, located.key);
            }
        }
    }
}
