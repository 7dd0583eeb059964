//! The TOML text → [`Config`]: each section in turn, then what they must agree on.
//!
//! The environment and files are reached through [`Sources`] alone, so that tests give their own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;
use tracing_subscriber::filter::LevelFilter;

use super::authority::Authority;
use super::changes::Stated;
use super::problem::{ConfigError, Problem};
use super::section::{Problems, Section, Value};
use super::types::*;
use crate::limits;

/// The text that is used where no file is found: the repository's own.
pub const DEFAULT_TEXT: &str = include_str!("../../config.toml");

/// Where secrets come from beside the text, and what relative paths are relative to.
pub struct Sources<'a> {
    /// A variable of the environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The folder that relative paths begin at.
    pub folder: &'a Path,
    /// Cores that the process may use.
    pub cores: usize,
}

/// Reads a whole config. `name` stands for the text in errors.
pub fn parse(text: &str, name: &str, sources: &Sources<'_>) -> Result<Config, ConfigError> {
    let mut problems = Problems { text, list: Vec::new() };
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            problems.add(error.span().map_or(0, |span| span.start), "", "", error.message());
        }
        return Err(invalid(name, problems.list));
    }
    let stated = Stated::of(root.get_ref());
    let mut root = Section::new(Some(root.get_ref()), "", 0);
    let mut reading = Reading { problems, sources, warnings: Vec::new(), roots: HashMap::new() };
    let config = Config { stated, ..reading.config(&mut root) };
    root.finish(&mut reading.problems);
    if reading.problems.list.is_empty() {
        return Ok(config);
    }
    reading.problems.list.sort_by_key(|problem| problem.line);
    Err(invalid(name, reading.problems.list))
}

fn invalid(name: &str, problems: Vec<Problem>) -> ConfigError {
    ConfigError::Invalid { name: name.into(), problems }
}

pub(super) struct Reading<'a> {
    pub(super) problems: Problems<'a>,
    pub(super) sources: &'a Sources<'a>,
    pub(super) warnings: Vec<String>,
    /// Files of certificates that were read: many accounts may share one.
    pub(super) roots: HashMap<PathBuf, Arc<Roots>>,
}

impl<'a> Reading<'a> {
    fn config(&mut self, root: &mut Section<'a>) -> Config {
        let proxy = self.proxy(root);
        let tls = self.tls(root);
        let admin = self.admin(root);
        let cache = self.cache(root);
        let fetch = self.fetch(root);
        let ledger = self.ledger(root);
        let (log, access_log) = self.log(root);
        let trace = self.trace(root);
        let demo_origin = self.demo_origin(root);
        if proxy.listen == admin.listen && proxy.listen.port() != 0 {
            let rule = "must differ from proxy.listen: purges and images have a port each";
            self.problems.add(0, "admin.listen", &admin.listen.to_string(), rule);
        }
        if proxy.hand_over && ledger.path.is_none() {
            let rule = "needs a ledger in a file: it is what one process hands to the next";
            self.problems.add(0, "proxy.hand_over", "true", rule);
        }
        if let Some(tls) = &tls
            && tls.listen.port() != 0
            && [proxy.listen, admin.listen].contains(&tls.listen)
        {
            let rule = "must differ from proxy.listen and admin.listen: it speaks TLS alone";
            self.problems.add(0, "tls.listen", &tls.listen.to_string(), rule);
        }
        let listens = [Some(proxy.listen), Some(admin.listen), tls.as_ref().map(|tls| tls.listen)];
        let reachable = listens.iter().flatten().any(|listen| !listen.ip().is_loopback());
        let accounts = self.accounts(root, reachable);
        let keys = self.keys(root, &accounts, reachable);
        let routes = self.routes(root, &accounts);
        let warnings = std::mem::take(&mut self.warnings);
        let stated = Stated::default();
        Config {
            proxy,
            tls,
            admin,
            cache,
            fetch,
            ledger,
            log,
            access_log,
            trace,
            demo_origin,
            accounts,
            keys,
            routes,
            warnings,
            stated,
        }
    }

    fn proxy(&mut self, root: &mut Section<'a>) -> Proxy {
        let problems = &mut self.problems;
        let mut section = root.section("proxy", problems);
        let threads = section.integer("threads", 0, 0..=1024, problems) as usize;
        let proxy = Proxy {
            listen: section.address("listen", "127.0.0.1:8080", problems),
            threads: if threads == 0 { self.sources.cores } else { threads },
            connections_max: section.integer("connections_max", 10_000, 1..=1_000_000, problems) as usize,
            header_timeout: section.duration("header_timeout", "10s", "100ms"..="10m", problems),
            idle_timeout: section.duration("idle_timeout", "60s", "100ms"..="1h", problems),
            body_timeout: section.duration("body_timeout", "10s", "100ms"..="10m", problems),
            write_timeout: section.duration("write_timeout", "30s", "100ms"..="10m", problems),
            lame_duck: section.duration("lame_duck", "0s", "0s"..="10m", problems),
            drain_timeout: section.duration("drain_timeout", "30s", "0s"..="1h", problems),
            hand_over: section.optional_boolean("hand_over", problems).unwrap_or(false),
            purge_method: section.optional_boolean("purge_method", problems).unwrap_or(false),
            http2: section.optional_boolean("http2", problems).unwrap_or(true),
            http2_cleartext: section.optional_boolean("http2_cleartext", problems).unwrap_or(false),
        };
        section.finish(problems);
        proxy
    }

    fn admin(&mut self, root: &mut Section<'a>) -> Admin {
        let mut section = root.section("admin", &mut self.problems);
        let listen = section.address("listen", "127.0.0.1:8081", &mut self.problems);
        let key = section.key("hosts");
        let mut hosts = Vec::new();
        for value in self.array(section.take("hosts"), &key) {
            let parsed = value.get_ref().as_str().map(Authority::parse);
            match parsed {
                Some(Ok(host)) => hosts.push(host),
                Some(Err(error)) => self.problems.of(value, &key, error.as_str()),
                None => self.problems.of(value, &key, "must be a host name, as in \"purge.example.com\""),
            }
        }
        let key = section.key("tls");
        let tls = section.take("tls").and_then(|value| self.pair(value, &key));
        section.finish(&mut self.problems);
        Admin { listen, hosts, tls }
    }

    fn cache(&mut self, root: &mut Section<'a>) -> Cache {
        let problems = &mut self.problems;
        let mut section = root.section("cache", problems);
        let max_bytes = section.bytes("max_bytes", 512 << 20, limits::CACHE_BYTES_MIN..=1 << 46, problems);
        let object_max_bytes =
            section.bytes("object_max_bytes", 32 << 20, 1024..=limits::OBJECT_BYTES_MAX, problems);
        let has_limit = section.take("process_max_bytes").is_some();
        let process_max_bytes =
            section.bytes("process_max_bytes", 0, limits::PROCESS_BYTES_MIN..=1 << 46, problems);
        let process_max_bytes = has_limit.then_some(process_max_bytes);
        section.finish(problems);
        Cache::new(max_bytes, object_max_bytes, process_max_bytes)
    }

    fn fetch(&mut self, root: &mut Section<'a>) -> Fetch {
        let problems = &mut self.problems;
        let mut section = root.section("fetch", problems);
        let fetch = Fetch {
            connect_timeout: section.duration("connect_timeout", "2s", "10ms"..="1m", problems),
            first_byte_timeout: section.duration("first_byte_timeout", "10s", "10ms"..="10m", problems),
            idle_timeout: section.duration("idle_timeout", "10s", "10ms"..="10m", problems),
            total_timeout: section.duration("total_timeout", "120s", "10ms"..="1h", problems),
            connections_max: section.integer("connections_max", 64, 1..=65_535, problems) as usize,
            keep_alive: section.duration("keep_alive", "4s", "0s"..="10m", problems),
            queue_timeout: section.duration("queue_timeout", "10s", "0s"..="10m", problems),
            broken_time: section.duration("broken_time", "10s", "0s"..="10m", problems),
        };
        section.finish(problems);
        fetch
    }

    fn ledger(&mut self, root: &mut Section<'a>) -> Ledger {
        let problems = &mut self.problems;
        let mut section = root.section("ledger", problems);
        let not_empty = |text: &str| match text {
            "" => Err("must be a file's path, or \":memory:\""),
            text => Ok(text.to_owned()),
        };
        let path = section.parsed("path", problems, not_empty).unwrap_or_else(|| "freshet.redb".into());
        let path = (path != ":memory:").then(|| self.sources.folder.join(path));
        let keep = section.duration("keep", "90d", "1h"..="3650d", problems);
        section.finish(problems);
        Ledger { path, keep }
    }

    fn log(&mut self, root: &mut Section<'a>) -> (Log, AccessLog) {
        let folder = self.sources.folder;
        let problems = &mut self.problems;
        let mut section = root.section("log", problems);
        let format = section.parsed("format", problems, |text| match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("must be \"text\" or \"json\""),
        });
        let level = section.parsed("level", problems, |text| {
            // A word alone would be read as a target's name: "warning" would silence everything.
            let alone = |part: &str| part.contains('=') || part.trim().parse::<LevelFilter>().is_ok();
            match text.parse::<tracing_subscriber::filter::Targets>() {
                Ok(_) if text.split(',').all(alone) => Ok(text.to_owned()),
                _ => Err("must be \"error\", \"warn\", \"info\", \"debug\" or \"trace\", or pairs as in \
                          \"info,freshet::proxy=debug\""),
            }
        });
        let form = section.parsed("access", problems, |text| match text {
            "off" => Ok(None),
            "json" => Ok(Some(AccessForm::Json)),
            "common" => Ok(Some(AccessForm::Common)),
            "combined" => Ok(Some(AccessForm::Combined)),
            _ => Err("must be \"off\", \"json\", \"common\" or \"combined\""),
        });
        let path = section.parsed("access_path", problems, |text| match text {
            "-" => Ok(None),
            text => {
                let path = folder.join(text);
                match path.parent().is_some_and(|parent| parent == Path::new("") || parent.is_dir()) {
                    true => Ok(Some(path)),
                    false => Err(format!(
                        "must be \"-\", or a file in a folder that exists; {} has none",
                        path.display()
                    )),
                }
            }
        });
        let sample = section.share("access_sample", 1.0, problems);
        section.finish(problems);
        let log =
            Log { format: format.unwrap_or(LogFormat::Text), level: level.unwrap_or_else(|| "info".into()) };
        (log, AccessLog { form: form.flatten(), sample, path: path.flatten() })
    }

    fn demo_origin(&mut self, root: &mut Section<'a>) -> DemoOrigin {
        let problems = &mut self.problems;
        let mut section = root.section("demo_origin", problems);
        let listen = section.address("listen", "127.0.0.1:0", problems);
        let folder = self.sources.folder;
        let images = section.parsed("images", problems, |text| match folder.join(text) {
            path if path.is_dir() => Ok(path),
            path => Err(format!("must be a folder of pictures; there is none at {}", path.display())),
        });
        section.finish(problems);
        DemoOrigin { listen, images }
    }

    fn accounts(&mut self, root: &mut Section<'a>, reachable: bool) -> Vec<Account> {
        let mut accounts: Vec<Account> = Vec::new();
        let mut endpoints: HashMap<String, String> = HashMap::new();
        let sections = root.sections("accounts", &mut self.problems);
        if sections.is_empty() {
            let rule = "at least one account is needed: [[accounts]] with id, private_keys and url_endpoints";
            self.problems.add(0, "accounts", "(none)", rule);
        }
        if sections.len() > limits::ACCOUNTS_MAX {
            let rule = format!("at most {} accounts", limits::ACCOUNTS_MAX);
            self.problems.add(0, "accounts", &sections.len().to_string(), rule);
        }
        for mut section in sections {
            let account = self.account(&mut section, reachable);
            self.compare_account(&section, &account, &accounts, &mut endpoints);
            section.finish(&mut self.problems);
            accounts.push(account);
        }
        accounts
    }

    /// What no two accounts may share: an id, an endpoint, a private key.
    fn compare_account(
        &mut self,
        section: &Section<'a>,
        account: &Account,
        earlier: &[Account],
        endpoints: &mut HashMap<String, String>,
    ) {
        if earlier.iter().any(|other| other.id == account.id) {
            self.problems.add(section.offset, &section.key("id"), &account.id, "another account has this id");
        }
        for endpoint in &account.url_endpoints {
            let place = format!("{}{}", endpoint.authority, endpoint.path);
            if let Some(owner) = endpoints.insert(place, account.id.clone()) {
                let rule = format!("account {owner:?} has this endpoint already");
                self.problems.add(section.offset, &section.key("url_endpoints"), &endpoint.to_string(), rule);
            }
        }
        for endpoint in &account.url_endpoints {
            let inside = |other: &&UrlEndpoint| {
                let below = endpoint.path.strip_prefix(&*other.path);
                endpoint.authority == other.authority && below.is_some_and(|below| below.starts_with('/'))
            };
            if let Some(outer) = account.url_endpoints.iter().find(inside) {
                let rule = format!("lies inside {outer}: aliases of one endpoint stand beside each other");
                self.problems.add(section.offset, &section.key("url_endpoints"), &endpoint.to_string(), rule);
            }
        }
        let taken =
            |key: &PrivateKey| earlier.iter().flat_map(|other| &other.private_keys).any(|k| k.matches(key));
        if account.private_keys.iter().any(taken) {
            let rule = "another account has one of these keys: a key must name one account";
            self.problems.add(section.offset, &section.key("private_keys"), "…", rule);
        }
    }

    fn account(&mut self, section: &mut Section<'a>, reachable: bool) -> Account {
        let id = section.parsed("id", &mut self.problems, |text| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            let valid = (1..=limits::ACCOUNT_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed);
            let rule = format!("must be 1 to {} letters, digits, - or _", limits::ACCOUNT_ID_BYTES_MAX);
            if valid { Ok(text.to_owned()) } else { Err(rule) }
        });
        if id.is_none() && section.take("id").is_none() {
            let rule = "is missing: a name of letters, digits, - or _";
            self.problems.add(section.offset, &section.key("id"), "(none)", rule);
        }
        let limit = section.take("purges_per_month").is_some();
        let purges = section.integer("purges_per_month", 0, 0..=1 << 53, &mut self.problems);
        let urls = section.parsed("urls", &mut self.problems, |text| match text {
            "canonical" => Ok(Urls::Canonical),
            "opaque" => Ok(Urls::Opaque),
            _ => Err("must be \"canonical\" or \"opaque\""),
        });
        let origin = self.origin(section);
        let said = section
            .take("private_keys")
            .and_then(|value| value.get_ref().as_array()?.first()?.get_ref().as_str());
        Account {
            id: id.unwrap_or_default(),
            private_keys: self.private_keys(section, reachable),
            url_endpoints: self.url_endpoints(section),
            purges_per_month: limit.then_some(purges),
            demo_key: said.filter(|_| matches!(origin, Origin::Demo)).map(str::to_owned),
            origin,
            urls: urls.unwrap_or(Urls::Canonical),
        }
    }

    fn url_endpoints(&mut self, section: &mut Section<'a>) -> Vec<UrlEndpoint> {
        let key = section.key("url_endpoints");
        let given = section.take("url_endpoints");
        let mut endpoints = Vec::new();
        for value in self.array(given, &key) {
            match value.get_ref().as_str().map(parse_endpoint) {
                Some(Ok(endpoint)) => endpoints.push(endpoint),
                Some(Err(rule)) => self.problems.of(value, &key, rule),
                None => {
                    self.problems.of(value, &key, "must be a URL, as in \"https://img.example.com/shop\"")
                }
            }
        }
        if given.is_none()
            || given.is_some_and(|value| value.get_ref().as_array().is_some_and(|a| a.is_empty()))
        {
            let rule =
                "is missing: at least one URL, the canonical one first, as in \"https://img.example.com\"";
            self.problems.add(section.offset, &key, "(none)", rule);
        }
        endpoints
    }

    /// A secret's text: said outright, or by `{ env = "NAME" }` or `{ file = "PATH" }`.
    pub(super) fn secret(&mut self, value: &Value<'_>, key: &str) -> Option<String> {
        if let Some(text) = value.get_ref().as_str() {
            return Some(text.to_owned());
        }
        let found = if let Some(name) = table_entry(value, "env") {
            (self.sources.variable)(name).ok_or_else(|| format!("the environment has no variable {name}"))
        } else if let Some(path) = table_entry(value, "file") {
            let path: PathBuf = self.sources.folder.join(path);
            let text = std::fs::read_to_string(&path);
            text.map_err(|error| format!("the file {} can't be read: {error}", path.display()))
        } else {
            Err("must be a string, { env = \"NAME\" } or { file = \"PATH\" }".into())
        };
        match found {
            Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(rule) => {
                self.problems.of_secret(value, key, rule);
                None
            }
        }
    }

    /// Where relative paths begin.
    pub(super) fn folder(&self) -> &'a Path {
        self.sources.folder
    }

    pub(super) fn array<'v>(&mut self, value: Option<&'v Value<'v>>, key: &str) -> Vec<&'v Value<'v>> {
        let Some(value) = value else { return Vec::new() };
        match value.get_ref().as_array() {
            Some(array) => array.iter().collect(),
            None => {
                self.problems.of_secret(value, key, "must be an array: [ … ]");
                Vec::new()
            }
        }
    }
}

/// The one entry of an inline table.
pub(super) fn table_entry<'v>(value: &'v Value<'_>, name: &str) -> Option<&'v str> {
    let table = value.get_ref().as_table().filter(|table| table.len() == 1)?;
    table.iter().find(|(key, _)| key.get_ref() == name).and_then(|(_, value)| value.get_ref().as_str())
}

/// Splits a URL of ours into scheme, authority text and path; nothing else may stand in it.
pub(super) fn split_url(text: &str) -> Result<(&'static str, &str, &str), &'static str> {
    let (scheme, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
        (Some(rest), _) => ("http", rest),
        (_, Some(rest)) => ("https", rest),
        _ => return Err("must be a URL that begins with http:// or https://"),
    };
    if rest.contains(['?', '#', '*', '\\', '%', ' ', '"', '<', '>', '`', '{', '}', '^', '|'])
        || !rest.is_ascii()
        || rest.contains(|c: char| c.is_ascii_control())
    {
        return Err("must have neither query, fragment, wildcard nor escapes");
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = path.trim_end_matches('/');
    if path.split('/').skip(1).any(|segment| segment.is_empty() || segment == "." || segment == "..") {
        return Err("its path must have neither empty nor dot segments");
    }
    Ok((scheme, authority, path))
}

fn parse_endpoint(text: &str) -> Result<UrlEndpoint, &'static str> {
    let (scheme, authority, path) = split_url(text)?;
    let authority = Authority::parse(authority).map_err(|error| error.as_str())?;
    Ok(UrlEndpoint { scheme, authority, path: path.to_owned() })
}
