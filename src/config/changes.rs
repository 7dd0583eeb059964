//! What two configs differ in, by the keys of their texts.
//!
//! A text states keys; each is remembered with a hash of what stands there, so that no secret is kept for the
//! comparison. What a text refers to (a variable, a file) may change without it: secrets are compared as they were read.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use toml::de::{DeTable, DeValue};

use super::types::{Account, Config, NamedKey};

/// Keys that are read once, at the start.
const AT_START: &[&str] = &[
    "proxy.listen",
    "proxy.threads",
    "proxy.hand_over",
    "admin.listen",
    "tls.listen",
    "cache.max_bytes",
    "ledger",
    "log.format",
    "log.access",
    "log.access_sample",
    "log.access_path",
    "trace",
    "demo_origin",
];

/// The keys that a text states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated(BTreeMap<String, u64>);

/// What a later config has that an earlier one had not, and the other way round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Keys whose new values can take effect in a running process.
    pub live: Vec<String>,
    /// Keys that are read at the start alone.
    pub at_start: Vec<String>,
}

impl Stated {
    /// The keys of a text's tables. Accounts go by their ids and keys by their names, whatever their order.
    pub(super) fn of(root: &DeTable<'_>) -> Stated {
        let mut stated = Stated::default();
        stated.add("", root);
        stated
    }

    fn add(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let full =
                if path.is_empty() { key.get_ref().to_string() } else { format!("{path}.{}", key.get_ref()) };
            match value.get_ref() {
                DeValue::Table(table) => self.add(&full, table),
                DeValue::Array(array)
                    if array.iter().any(|value| value.get_ref().is_table()) && path.is_empty() =>
                {
                    for (place, value) in array.iter().enumerate() {
                        let DeValue::Table(table) = value.get_ref() else { continue };
                        let name =
                            ["id", "name"].iter().find_map(|name| table.get(*name)?.get_ref().as_str());
                        let name = name.map_or_else(|| (place + 1).to_string(), str::to_owned);
                        self.add(&format!("{full}[{name}]"), table);
                    }
                }
                value => drop(self.0.insert(full, hash(value))),
            }
        }
    }

    fn differences<'a>(&'a self, later: &'a Stated) -> impl Iterator<Item = &'a String> {
        let changed = self.0.iter().filter(|(key, hash)| later.0.get(*key) != Some(hash)).map(|(key, _)| key);
        changed.chain(later.0.keys().filter(|key| !self.0.contains_key(*key)))
    }
}

fn hash(value: &DeValue<'_>) -> u64 {
    static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let mut text = String::new();
    write(value, &mut text);
    SEED.hash_one(text)
}

/// A value without the places in the file that its parts stand at.
fn write(value: &DeValue<'_>, out: &mut String) {
    match value {
        DeValue::Array(array) => {
            array.iter().for_each(|value| {
                write(value.get_ref(), out);
                out.push(',');
            });
        }
        DeValue::Table(table) => {
            for (key, value) in table {
                out.push_str(key.get_ref());
                out.push('=');
                write(value.get_ref(), out);
                out.push(';');
            }
        }
        // The kind, and the text in the quotes of Rust.
        value => out.push_str(&format!("{value:?}")),
    }
}

impl Changes {
    /// From `before` to `after`, in the order of the keys' names; what is read once is compared with what it was at the
    /// `start`.
    pub fn between(before: &Config, after: &Config, start: &Stated) -> Changes {
        let mut keys: Vec<String> = before.stated.differences(&after.stated).cloned().collect();
        for account in &after.accounts {
            if let Some(earlier) = before.accounts.iter().find(|earlier| earlier.id == account.id) {
                let full = |key| format!("accounts[{}].{key}", account.id);
                // An account states one of the two.
                let several = full("origins");
                let has_several = after.stated.0.contains_key(&several);
                keys.extend(resolved(earlier, account).map(|key| match key {
                    "origin" if has_several => several.clone(),
                    key => full(key),
                }));
            }
        }
        for key in &after.keys {
            let same = |earlier: &&NamedKey| earlier.grant.name == key.grant.name;
            if before.keys.iter().find(same).is_some_and(|earlier| !earlier.key.matches(&key.key)) {
                keys.push(format!("keys[{}].key", key.grant.name));
            }
        }
        keys.sort_unstable();
        keys.dedup();
        // Whether TLS is spoken at all is known from the start.
        let tls = (before.tls.is_some() != after.tls.is_some()).then_some("tls");
        let admin_tls = (before.admin.tls.is_some() != after.admin.tls.is_some()).then_some("admin.tls");
        let is_read_once = |key: &String| {
            AT_START.iter().copied().chain(tls).chain(admin_tls).any(|once| {
                key.strip_prefix(once).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        let live = keys.into_iter().filter(|key| !is_read_once(key)).collect();
        let mut at_start: Vec<String> =
            start.differences(&after.stated).filter(|key| is_read_once(key)).cloned().collect();
        at_start.sort_unstable();
        Changes { live, at_start }
    }
}

/// The keys of an account whose values were read elsewhere, and are others now.
fn resolved(before: &Account, after: &Account) -> impl Iterator<Item = &'static str> {
    let same_keys = before.private_keys.len() == after.private_keys.len()
        && before.private_keys.iter().zip(&after.private_keys).all(|(before, after)| before.matches(after));
    [("private_keys", same_keys), ("origin", before.origin == after.origin)]
        .into_iter()
        .filter(|(_, same)| !same)
        .map(|(key, _)| key)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Sources, parse};
    use super::*;

    const ACCOUNT: &str = "[[accounts]]\nid = \"a\"\nprivate_keys = [{ env = \"SECRET\" }]\n\
                           url_endpoints = [\"http://img.test\"]\norigin = \"http://127.0.0.1:9\"\n";

    fn config(text: &str, secret: &str) -> Config {
        let variable = |_: &str| Some(secret.to_owned());
        let sources = Sources { variable: &variable, folder: Path::new("/"), cores: 1 };
        parse(text, "the test's config", &sources).unwrap()
    }

    fn between(before: &str, after: &str) -> (String, String) {
        let before = config(&format!("{before}\n{ACCOUNT}"), "0123456789abcdef");
        let after = config(&format!("{after}\n{ACCOUNT}"), "0123456789abcdef");
        let changes = Changes::between(&before, &after, &before.stated);
        (changes.live.join(" "), changes.at_start.join(" "))
    }

    #[test]
    fn what_changed_is_told_by_its_keys_and_what_is_read_once_apart() {
        #[rustfmt::skip]
        let table = [
            ("", "", "", ""),
            ("[proxy]\nidle_timeout = \"5s\"", "[proxy]\nidle_timeout=\"5s\"\n# a remark", "", ""),
            ("", "[proxy]\nidle_timeout = \"5s\"", "proxy.idle_timeout", ""),
            ("[proxy]\nidle_timeout = \"5s\"", "", "proxy.idle_timeout", ""),
            ("[proxy]\nthreads = 1", "[proxy]\nthreads = 2\nidle_timeout = \"5s\"", "proxy.idle_timeout", "proxy.threads"),
            ("[ledger]\nkeep = \"1d\"", "[ledger]\nkeep = \"2d\"", "", "ledger.keep"),
            ("[[routes]]\nhints = [\"dpr\"]", "\n\n[[routes]]\nhints = [ \"dpr\" ]", "", ""),
            ("[[routes]]\ngrace = \"1s\"", "[[routes]]\ngrace = \"2s\"", "routes[1].grace", ""),
            ("", "[[keys]]\nname = \"op\"\nkey = \"0123456789\"\nscopes = [\"operator\"]",
             "keys[op].key keys[op].name keys[op].scopes", ""),
        ];
        for (before, after, live, at_start) in table {
            assert_eq!(between(before, after), (live.to_owned(), at_start.to_owned()), "{before} → {after}");
        }
    }

    #[test]
    fn a_secret_that_changed_where_it_is_kept_is_a_change() {
        let changes = Changes::between(
            &config(ACCOUNT, "0123456789abcdef"),
            &config(ACCOUNT, "fedcba9876543210"),
            &Stated::default(),
        );
        assert_eq!(changes.live, ["accounts[a].private_keys"]);
    }

    #[test]
    fn a_file_of_roots_that_changed_is_a_change_of_the_origins_that_name_it() {
        let folder = tempfile::tempdir().unwrap();
        let write = || {
            let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
            std::fs::write(folder.path().join("ca.pem"), made.cert.pem()).unwrap();
        };
        let read = |origin: &str| {
            let text = ACCOUNT.replace("origin = \"http://127.0.0.1:9\"", origin);
            let variable = |_: &str| Some("0123456789abcdef".to_owned());
            parse(&text, "test.toml", &Sources { variable: &variable, folder: folder.path(), cores: 1 })
                .unwrap()
        };
        let server = "{ url = \"https://o.test\", roots = \"ca.pem\" }";
        for (origin, key) in [
            (format!("origin = {server}"), "accounts[a].origin"),
            (format!("origins = [{server}, \"http://p.test\"]"), "accounts[a].origins"),
        ] {
            write();
            let before = read(&origin);
            assert_eq!(Changes::between(&before, &read(&origin), &before.stated), Changes::default());
            write();
            assert_eq!(Changes::between(&before, &read(&origin), &before.stated).live, [key]);
        }
    }
}
