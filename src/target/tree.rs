//! A URL with all that lies below it: what begins with it by whole parts, as RFC 3986 parts a URL. `…/a` has `…/a`,
//! `…/a/b` and `…/a?c` below it, and not `…/ab`. Values alone.

use super::Refusal;
use crate::key::{Endpoints, Key, KeyError, decoded};

/// The text of the URL's key. With a slash at its end, or with a query, all that begins so lies below it: nothing
/// can go on with the last segment then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TreeName(Box<str>);

impl TreeName {
    /// The tree of this URL, and the account that it belongs to. A `*` in it is a character like others. An empty
    /// query is none, as in keys.
    pub(super) fn parse(url: &str, endpoints: &Endpoints) -> Result<(usize, TreeName), KeyError> {
        let url = url.split_once('#').map_or(url, |(before_fragment, _)| before_fragment);
        if url.contains('?') {
            let (account, prefix) = endpoints.parse_prefix(url)?;
            return Ok((account, TreeName(prefix.as_str().into())));
        }
        let located = endpoints.parse_url(url)?;
        Ok((located.account, TreeName(located.key.as_str().into())))
    }

    /// Refuses a whole endpoint.
    pub(super) fn judge(self) -> Result<TreeName, Refusal> {
        let path = self.0.split('?').next().unwrap_or_default();
        let has_level = path.split('/').skip(1).any(|segment| super::wildcard::is_level(&decoded(segment)));
        if has_level { Ok(self) } else { Err(Refusal::FolderRoot) }
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether all that begins with the text lies below it.
    pub fn is_prefix(&self) -> bool {
        self.0.ends_with('/') || self.0.contains('?')
    }

    /// Whether `key` is its URL's, or lies below it.
    pub fn covers(&self, key: &Key) -> bool {
        let rest = key.as_str().strip_prefix(&*self.0);
        rest.is_some_and(|rest| self.is_prefix() || rest.is_empty() || rest.starts_with(['/', '?']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::examples::{DEMO, RAW, accounts};
    use crate::target::{Tags, Target};

    fn tree(account: usize, url: &str) -> Result<Target, Refusal> {
        Target::parse_tree(url, account, &Endpoints::new(&accounts()))
    }

    #[test]
    fn a_tree_goes_by_whole_segments() {
        #[rustfmt::skip]
        let table = [
            // tree                    url                              lies in it
            ("/foo/bar",               "/foo/bar",                      true),
            ("/foo/bar",               "/foo/bar/",                     true),
            ("/foo/bar",               "/foo/bar/baz",                  true),
            ("/foo/bar",               "/foo/bar/baz/bat?q",            true),
            ("/foo/bar",               "/foo/bar?",                     true),
            ("/foo/bar",               "/foo/bar?baz",                  true),
            ("/foo/bar",               "/fo%6f/b%61r/x",                true),
            ("/fo%6F/bar",             "/foo/bar/x",                    true),
            ("//foo/bar",              "/foo/bar/x",                    true),
            ("/foo/bar#part",          "/foo/bar/x",                    true),
            ("/foo/bar",               "/foo/barbaz",                   false),
            ("/foo/bar",               "/foo/bar.jpg",                  false),
            ("/foo/bar",               "/foo/bar%2Fbaz",                false),
            ("/foo/bar",               "/foo/bar%3Fbaz",                false),
            ("/foo/bar",               "/foo/BAR/baz",                  false),
            ("/foo/bar",               "/foo",                          false),
            ("/foo/bar",               "/foo/",                         false),
            ("/foo/bar",               "/tr:w-9/foo/bar",               false),
            ("/foo/bar/",              "/foo/bar/",                     true),
            ("/foo/bar/",              "/foo/bar/baz",                  true),
            ("/foo/bar/",              "/foo/bar/?q",                   true),
            ("/foo/bar/",              "/foo/bar",                      false),
            ("/foo/bar?a=1",           "/foo/bar?a=1",                  true),
            ("/foo/bar?a=1",           "/foo/bar?a=12&b=2",             true),
            ("/foo/bar?a=1",           "/foo/bar",                      false),
            ("/foo/bar?a=1",           "/foo/bar/x?a=1",                false),
            ("/foo/b*r",               "/foo/b%2Ar/x",                  true),
            ("/foo/b*",                "/foo/bar/x",                    false),
        ];
        let endpoints = Endpoints::new(&accounts());
        for (named, url, expected) in table {
            let tree = tree(DEMO, &format!("http://img.test/demo{named}")).unwrap();
            let key = endpoints.parse_url(&format!("http://img.test/demo{url}")).unwrap().key;
            assert_eq!(tree.covers(&key, &Tags::default()), expected, "{named} {url}");
        }
    }

    #[test]
    fn err_a_tree_is_no_whole_endpoint_and_lies_in_the_account() {
        for (url, expected) in [
            ("http://img.test/demo", "folder-root"),
            ("http://img.test/demo/", "folder-root"),
            ("http://img.test/demo/tr:w-9", "folder-root"),
            ("http://img.test/demo?a=1", "folder-root"),
            ("http://other.test/demo/a", "outside-account"),
            ("http://img.test/demo/../a", "dot-segment"),
            ("http://img.test/demo/a?%4", "broken-escape"),
            ("", "url-missing"),
        ] {
            let refusal = tree(DEMO, url).err();
            assert_eq!(refusal.as_ref().map(Refusal::as_str), Some(expected), "{url}");
        }
        assert_eq!(tree(RAW, "http://img.test/demo/a").unwrap_err().as_str(), "outside-account");
    }
}
