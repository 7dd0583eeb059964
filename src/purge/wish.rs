//! What a caller wants purged, in the words that it used. Values alone.
//!
//! Whether the caller may name it is judged elsewhere; that what is wide was confirmed is judged here.

use crate::config::Authority;
use crate::key::{Endpoints, KeyError};
use crate::target::{Mode, Refusal, Tag, Target, Transformation};

/// What confirms a purge of all that is stored.
const EVERYTHING: &str = "everything";

/// One thing to be purged: one target of a request, one charge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wish {
    /// What is named.
    pub named: Named,
    /// What becomes of it.
    pub mode: Mode,
}

/// How something is named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Named {
    /// By its URL, or by the beginning of its URL and a `*`.
    Url(String),
    /// By the beginning of its URL and a `*`.
    Prefix(String),
    /// By the URL of any of its transformations: all of them are meant.
    Asset(String),
    /// By the URL of the folder that it lies below.
    Folder(String),
    /// By a tag that its origin gave it.
    Tag(String),
    /// By the named transformation that made it.
    Transformation(String),
    /// By its URL with `*` in it.
    Pattern(String),
    /// By the URL that it lies below, by whole segments, or has.
    Tree(String),
    /// By a host that its account has an endpoint on.
    Host {
        /// With its port, if it is another than the scheme's.
        host: String,
        /// The same text once more; nothing where it was left out.
        confirm: Option<String>,
    },
    /// All that is stored, of all accounts.
    Everything {
        /// The text `everything`; nothing where it was left out.
        confirm: Option<String>,
    },
}

impl Named {
    /// The words for all kinds.
    pub const KINDS: [&str; 10] =
        ["url", "prefix", "asset", "folder", "tag", "transformation", "pattern", "tree", "host", EVERYTHING];

    /// The word for the kind, in calls, answers and records.
    pub fn kind(&self) -> &'static str {
        match self {
            Named::Url(_) => "url",
            Named::Prefix(_) => "prefix",
            Named::Asset(_) => "asset",
            Named::Folder(_) => "folder",
            Named::Tag(_) => "tag",
            Named::Transformation(_) => "transformation",
            Named::Pattern(_) => "pattern",
            Named::Tree(_) => "tree",
            Named::Host { .. } => "host",
            Named::Everything { .. } => EVERYTHING,
        }
    }

    /// The text that names it, as it was given.
    pub fn text(&self) -> &str {
        match self {
            Named::Url(text)
            | Named::Prefix(text)
            | Named::Asset(text)
            | Named::Folder(text)
            | Named::Tag(text)
            | Named::Transformation(text)
            | Named::Pattern(text)
            | Named::Tree(text)
            | Named::Host { host: text, .. } => text,
            Named::Everything { .. } => EVERYTHING,
        }
    }
}

impl Wish {
    /// That what the URL names is removed.
    pub fn url(url: impl Into<String>) -> Wish {
        Wish { named: Named::Url(url.into()), mode: Mode::Delete }
    }

    /// The text that names it, as it was given.
    pub fn text(&self) -> &str {
        self.named.text()
    }

    /// What it comes to, for the account with this index and id; a host and everything come to the same for all.
    pub fn target(&self, account: usize, id: &str, endpoints: &Endpoints) -> Result<Target, Refusal> {
        match &self.named {
            Named::Url(url) => Target::parse(url, account, endpoints),
            Named::Prefix(url) => Target::parse_prefix(url, account, endpoints),
            Named::Asset(url) => Target::parse_asset(url, account, endpoints),
            Named::Folder(url) => Target::parse_folder(url, account, endpoints),
            Named::Tag(name) => Tag::new(id, name).map(Target::Tag).map_err(Refusal::Tag),
            Named::Transformation(name) => {
                Transformation::new(id, name).map(Target::Transformation).map_err(Refusal::Transformation)
            }
            Named::Pattern(url) => Target::parse_pattern(url, account, endpoints),
            Named::Tree(url) => Target::parse_tree(url, account, endpoints),
            Named::Host { host, confirm } => {
                let parsed =
                    Authority::parse(host).map_err(|error| Refusal::Url(KeyError::Authority(error)))?;
                let target = Target::host(&parsed, endpoints).ok_or(Refusal::HostUnknown)?;
                confirmed(host, confirm.as_deref()).map(|()| target)
            }
            Named::Everything { confirm } => {
                confirmed(EVERYTHING, confirm.as_deref()).map(|()| Target::Everything)
            }
        }
    }
}

fn confirmed(text: &str, confirm: Option<&str>) -> Result<(), Refusal> {
    if confirm == Some(text) { Ok(()) } else { Err(Refusal::ConfirmMissing { expected: text.into() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::examples::{DEMO, accounts};

    fn target(named: &Named) -> Result<String, &'static str> {
        let wish = Wish { named: named.clone(), mode: Mode::Delete };
        let target = wish.target(DEMO, "demo", &Endpoints::new(&accounts()));
        target.map(|target| target.to_string()).map_err(|refusal| refusal.as_str())
    }

    #[test]
    fn each_kind_comes_to_its_own_target() {
        let url = |below: &str| format!("http://img.test/demo/{below}");
        let confirm = |text: &str| Some(text.to_owned());
        #[rustfmt::skip]
        let table = [
            (Named::Url(url("a/b.jpg")),              "url",            Ok("demo/a/b.jpg")),
            (Named::Url(url("a/b*")),                 "url",            Ok("demo/a/b*")),
            (Named::Prefix(url("a/b*")),              "prefix",         Ok("demo/a/b*")),
            (Named::Prefix(url("a/b")),               "prefix",         Err("prefix-wildcard")),
            (Named::Asset(url("tr:w-1/b.jpg?v")),     "asset",          Ok("asset demo/b.jpg")),
            (Named::Folder(url("a")),                 "folder",         Ok("folder demo/a/")),
            (Named::Tag("summer".into()),             "tag",            Ok("tag demo/summer")),
            (Named::Tag(String::new()),               "tag",            Err("tag-empty")),
            (Named::Transformation("n-hero".into()),  "transformation", Ok("transformation demo/hero")),
            (Named::Transformation("a,b".into()),     "transformation", Err("transformation-character")),
            (Named::Pattern(url("a/*/b")),            "pattern",        Ok("pattern demo/a/*/b")),
            (Named::Pattern(url("a/b")),              "pattern",        Err("pattern-wildcard")),
            (Named::Everything { confirm: confirm("everything") }, "everything", Ok("everything")),
            (Named::Everything { confirm: None },               "everything", Err("confirm-missing")),
            (Named::Everything { confirm: confirm("yes") },     "everything", Err("confirm-missing")),
        ];
        for (named, kind, expected) in table {
            assert_eq!(target(&named), expected.map(str::to_owned), "{named:?}");
            assert_eq!(named.kind(), kind);
            assert!(named.text() == "everything" || format!("{named:?}").contains(named.text()));
        }
    }

    #[test]
    fn a_host_is_named_twice() {
        let host = |host: &str, confirm: Option<&str>| {
            target(&Named::Host { host: host.into(), confirm: confirm.map(str::to_owned) })
        };
        let all = "accounts demo raw demo-2";
        assert_eq!(host("img.test", Some("img.test")).as_deref(), Ok(all));
        assert_eq!(host("IMG.test.", Some("IMG.test.")).as_deref(), Ok(all));
        assert_eq!(host("img.test", None), Err("confirm-missing"));
        assert_eq!(host("img.test", Some("cdn.test")), Err("confirm-missing"));
        assert_eq!(host("else.test", Some("else.test")), Err("host-unknown"));
        assert_eq!(host("a b", Some("a b")), Err("authority"));
        let refusal = Refusal::ConfirmMissing { expected: "img.test".into() };
        let message = "a purge as wide as this is confirmed: say `img.test` as `confirm`, too";
        assert_eq!(refusal.to_string(), message);
    }
}
