//! `[[keys]]`, and what a secret must be to let anybody in.

use super::grant::{Grant, GrantError, Scope, Scopes};
use super::read::{Reading, table_entry};
use super::section::{Section, Value};
use super::types::*;
use crate::limits;

impl<'a> Reading<'a> {
    pub(super) fn keys(
        &mut self,
        root: &mut Section<'a>,
        accounts: &[Account],
        reachable: bool,
    ) -> Vec<NamedKey> {
        let sections = root.sections("keys", &mut self.problems);
        if sections.len() > limits::KEYS_MAX {
            let rule = format!("at most {} keys", limits::KEYS_MAX);
            self.problems.add(0, "keys", &sections.len().to_string(), rule);
        }
        let mut keys: Vec<NamedKey> = Vec::new();
        for mut section in sections {
            let key = self.key_of(&mut section, reachable);
            let grant = self.grant(&mut section, accounts);
            if let Some(grant) = &grant
                && keys.iter().any(|other| other.grant.name == grant.name)
            {
                let rule = "another key has this name: the history could not tell them apart";
                self.problems.add(section.offset, &section.key("name"), &grant.name, rule);
            }
            let mut taken = accounts.iter().flat_map(|account| &account.private_keys);
            let is_taken = |key: &PrivateKey| {
                taken.any(|other| other.matches(key)) || keys.iter().any(|other| other.key.matches(key))
            };
            if key.as_ref().is_some_and(is_taken) {
                let rule = "an account, or another entry, has this key: each must name one";
                self.problems.add(section.offset, &section.key("key"), "…", rule);
            }
            section.finish(&mut self.problems);
            keys.extend(grant.zip(key).map(|(grant, key)| NamedKey { grant, key }));
        }
        keys
    }

    fn key_of(&mut self, section: &mut Section<'a>, reachable: bool) -> Option<PrivateKey> {
        let key = section.key("key");
        match section.take("key") {
            Some(value) => self.private_key(value, &key, reachable),
            None => {
                let rule = "is missing: a secret, as in { env = \"FRESHET_OPERATOR_KEY\" }";
                self.problems.add(section.offset, &key, "(none)", rule);
                None
            }
        }
    }

    fn grant(&mut self, section: &mut Section<'a>, accounts: &[Account]) -> Option<Grant> {
        let text = |text: &str| Ok::<_, &str>(text.to_owned());
        let name = section.parsed("name", &mut self.problems, text).unwrap_or_default();
        let account = section.parsed("account", &mut self.problems, text);
        let scopes = self.list(section, "scopes", usize::MAX, |word| {
            Scope::parse(word).ok_or("must be \"read\", \"purge\" or \"operator\"")
        });
        let urls = self.list(section, "urls", usize::MAX, text);
        let scopes = Scopes::of(&scopes.unwrap_or_default());
        match Grant::new(name, account, scopes, urls, accounts) {
            Ok(grant) => Some(grant),
            Err(error) => {
                self.add_grant_error(section, &error);
                None
            }
        }
    }

    /// At the value that breaks the rule, where it stands in the file.
    fn add_grant_error(&mut self, section: &mut Section<'a>, error: &GrantError) {
        let key = section.key(error.member());
        match section.take(error.member()) {
            Some(value) => self.problems.of(value, &key, error),
            None => self.problems.add(section.offset, &key, "(none)", error),
        }
    }

    pub(super) fn private_keys(&mut self, section: &mut Section<'a>, reachable: bool) -> Vec<PrivateKey> {
        let key = section.key("private_keys");
        let given = section.take("private_keys");
        let keys =
            self.array(given, &key).into_iter().filter_map(|value| self.private_key(value, &key, reachable));
        let keys = keys.collect();
        let empty = |value: &Value<'_>| value.get_ref().as_array().is_some_and(|array| array.is_empty());
        if given.is_none_or(empty) {
            let rule = "is missing: at least one key, as in [{ env = \"FRESHET_KEY\" }]";
            self.problems.add(section.offset, &key, "(none)", rule);
        }
        keys
    }

    /// A secret that lets its bearer in: said outright, by the environment, by a file or by its hash.
    fn private_key(&mut self, value: &Value<'_>, key: &str, reachable: bool) -> Option<PrivateKey> {
        if let Some(hash) = table_entry(value, "sha256") {
            let known = PrivateKey::from_hex(hash);
            if known.is_none() {
                self.problems.of_secret(value, key, "sha256 must be 64 hex digits");
            }
            return known;
        }
        let secret = self.secret(value, key)?;
        if secret.is_empty() || secret.contains(':') {
            self.problems.of_secret(value, key, "a private key must not be empty nor hold a colon");
            return None;
        }
        if secret.len() * 8 < limits::PRIVATE_KEY_BITS_MIN {
            let bytes = limits::PRIVATE_KEY_BITS_MIN / 8;
            let rule = format!("a private key shorter than {bytes} characters is easily guessed");
            match reachable {
                true => self.problems.of_secret(value, key, format!("{rule}: refused off loopback")),
                false => self.warnings.push(format!("{key}: {rule}; fine on loopback alone")),
            }
        }
        Some(PrivateKey::from_secret(&secret))
    }
}
