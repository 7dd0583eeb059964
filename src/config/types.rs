//! The typed config: what `read.rs` makes of the TOML text, and what every other layer is given.
//!
//! Values alone; a value here has passed every rule that `config.toml` states for it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use regex::Regex;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};

use super::authority::Authority;
use super::changes::Stated;
use super::grant::Grant;
use crate::limits;
use crate::tls::Pair;

/// A whole config.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data plane's listener.
    pub proxy: Proxy,
    /// The data plane's listener for TLS, where there is one.
    pub tls: Option<Tls>,
    /// The control plane's listener.
    pub admin: Admin,
    /// What is stored.
    pub cache: Cache,
    /// Limits towards origins, the same for each.
    pub fetch: Fetch,
    /// The durable record of purges.
    pub ledger: Ledger,
    /// What is logged.
    pub log: Log,
    /// What is logged of requests.
    pub access_log: AccessLog,
    /// Where spans go; nothing where there are none.
    pub trace: Option<Trace>,
    /// The embedded image origin.
    pub demo_origin: DemoOrigin,
    /// The tenants, at least one.
    pub accounts: Vec<Account>,
    /// Keys with scopes of their own, beside the accounts' private ones.
    pub keys: Vec<NamedKey>,
    /// Rules for requests, the first that matches counts; where none does, the defaults for images hold.
    pub routes: Vec<Route>,
    /// What is allowed here and would be refused elsewhere, for the log.
    pub warnings: Vec<String>,
    /// The keys that the text states.
    pub stated: Stated,
}

/// `[proxy]`
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Address and port of the data plane.
    pub listen: SocketAddr,
    /// Threads that serve requests; each has a listener of its own on the one port.
    pub threads: usize,
    /// Connections from clients at once, over all threads.
    pub connections_max: usize,
    /// From a connection's start, or from a request's first byte, to the end of its head.
    pub header_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// How long a request's body may make no progress.
    pub body_timeout: Duration,
    /// How long a client may take none of an answer.
    pub write_timeout: Duration,
    /// How long a process that is told to stop goes on accepting, while it says that it is not ready.
    pub lame_duck: Duration,
    /// How long running answers may take after that.
    pub drain_timeout: Duration,
    /// Whether a next process may listen beside this one, and this one beside an earlier one.
    pub hand_over: bool,
    /// Whether the method PURGE purges here, with a key.
    pub purge_method: bool,
    /// Whether HTTP/2 is spoken over TLS, to clients that ask for it.
    pub http2: bool,
    /// Whether it is spoken in clear, to clients that begin with it.
    pub http2_cleartext: bool,
}

/// `[tls]`
#[derive(Clone, Debug)]
pub struct Tls {
    /// Address and port.
    pub listen: SocketAddr,
    /// At least one; the first is shown where no name fits.
    pub certificates: Vec<Pair>,
    /// Whether what comes in clear is sent here.
    pub redirect: Redirect,
}

/// What is answered on `proxy.listen` where TLS is spoken beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// The same as over TLS.
    Off,
    /// A redirection to `tls.listen`'s port.
    ToListener,
    /// A redirection to this port, by which clients know that listener.
    ToPort(u16),
}

/// `[admin]`
#[derive(Clone, Debug)]
pub struct Admin {
    /// Address and port of the control plane.
    pub listen: SocketAddr,
    /// Host names by which it may be called, beside loopback and the address it listens on.
    pub hosts: Vec<Authority>,
    /// The certificate that it shows; without one it speaks no TLS.
    pub tls: Option<Pair>,
}

/// `[cache]`
#[derive(Clone, Debug)]
pub struct Cache {
    /// Bytes of everything stored: bodies, fields, keys and their overhead.
    pub max_bytes: u64,
    /// Largest body that is stored, in bytes.
    pub object_max_bytes: u64,
    /// Most memory that the whole process may have, in bytes; nothing: what the system lets it have.
    pub process_max_bytes: Option<u64>,
    /// Tables that the store is made of (`cache/map.rs`), a power of two; from the start on.
    pub parts: usize,
}

impl Cache {
    /// What a file says, with as many parts as go with it: each has room for several of the largest bodies.
    pub fn new(max_bytes: u64, object_max_bytes: u64, process_max_bytes: Option<u64>) -> Cache {
        let object_max_bytes = object_max_bytes.min(max_bytes);
        let part_bytes = limits::STORE_PART_BYTES_MIN.max(limits::STORE_PART_OBJECTS_MIN * object_max_bytes);
        let parts = (max_bytes / part_bytes).clamp(1, limits::STORE_PARTS_MAX);
        Cache { max_bytes, object_max_bytes, process_max_bytes, parts: 1 << parts.ilog2() }
    }

    /// Room of each part, in bytes: no body may be larger.
    pub fn part_bytes(&self) -> u64 {
        self.max_bytes / self.parts as u64
    }
}

/// `[fetch]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// To connect, name look-up and TLS included.
    pub connect_timeout: Duration,
    /// From the request sent to the response's head.
    pub first_byte_timeout: Duration,
    /// Between two pieces of a body.
    pub idle_timeout: Duration,
    /// For a whole fetch.
    pub total_timeout: Duration,
    /// Connections to one origin at once.
    pub connections_max: usize,
    /// How long an idle connection is kept for the next fetch; shorter than the origin's own.
    pub keep_alive: Duration,
    /// How long a request waits for a place among those connections before it is refused with 503.
    pub queue_timeout: Duration,
    /// How long an origin that failed is left out, where an account has several.
    pub broken_time: Duration,
}

/// `[ledger]`
#[derive(Clone, Debug)]
pub struct Ledger {
    /// The file, or nothing where `":memory:"` was said.
    pub path: Option<PathBuf>,
    /// How long requests are remembered.
    pub keep: Duration,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// A filter as `tracing` reads it: a level, or `target=level` pairs.
    pub level: String,
}

/// The access log: `[log]` too, the keys that begin with `access`.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// How a line looks; nothing where there are none.
    pub form: Option<AccessForm>,
    /// The share of requests that have a line, from 0 to 1.
    pub sample: f64,
    /// The file that lines are appended to; nothing: standard output.
    pub path: Option<PathBuf>,
}

/// `[trace]`
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// The collector's URL, with its path.
    pub endpoint: String,
    /// The share of requests that are traced, from 0 to 1, of those that come without a trace.
    pub sample: f64,
}

/// How a line of the access log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessForm {
    /// One JSON object.
    Json,
    /// Apache's Common Log Format.
    Common,
    /// The same with Referer and User-Agent.
    Combined,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[demo_origin]`
#[derive(Clone, Debug)]
pub struct DemoOrigin {
    /// Address and port; port 0 is any free one.
    pub listen: SocketAddr,
    /// A folder of pictures that are served beside the embedded ones.
    pub images: Option<PathBuf>,
}

/// `[[accounts]]`
#[derive(Clone, Debug)]
pub struct Account {
    /// Letters, digits, `-` and `_`; keys start with it.
    pub id: String,
    /// Each may purge.
    pub private_keys: Vec<PrivateKey>,
    /// The canonical endpoint, then its aliases; never empty.
    pub url_endpoints: Vec<UrlEndpoint>,
    /// Purges in a calendar month (UTC), or no limit.
    pub purges_per_month: Option<u64>,
    /// Where images come from.
    pub origin: Origin,
    /// How URLs become keys.
    pub urls: Urls,
    /// A key's text, where it was said outright and the origin is the demo: a first run shows it.
    pub demo_key: Option<String>,
}

impl Account {
    /// Whether it is none of the config's any more: it has no URL then, and no key opens it.
    pub fn is_absent(&self) -> bool {
        self.url_endpoints.is_empty()
    }

    /// The same after it has left the config.
    pub fn left(self) -> Account {
        Account { private_keys: Vec::new(), url_endpoints: Vec::new(), demo_key: None, ..self }
    }
}

/// How an account's URLs become keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urls {
    /// Escapes are normalised (`docs/architecture.md`, "The key").
    Canonical,
    /// Path and query count as the bytes they are.
    Opaque,
}

/// A URL prefix under which an account's images lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlEndpoint {
    /// Printed before the authority; no part of a key.
    pub scheme: &'static str,
    /// Host and port.
    pub authority: Authority,
    /// Empty, or `/` and whole segments without a slash at the end.
    pub path: String,
}

impl fmt::Display for UrlEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path)
    }
}

/// Where an account's images come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The embedded one.
    Demo,
    /// HTTP servers that have the same images, in the order in which they are asked; 1 to `ORIGINS_MAX`, no two at
    /// one URL.
    Servers(Vec<OriginServer>),
}

/// An origin over HTTP or HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginServer {
    /// How TLS is spoken to it; nothing where it is not.
    pub tls: Option<OriginTls>,
    /// Name or address to connect to, without a port; an IPv6 address without brackets.
    pub host: String,
    /// Port to connect to.
    pub port: u16,
    /// Put before the path below the endpoint: empty, or `/` and segments without a slash at the end.
    pub base: String,
    /// The Host field that it receives.
    pub host_field: HeaderValue,
    /// Fields that every request to it carries.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// What an origin's certificate must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginTls {
    /// The name that it is for; also sent to the server (SNI, RFC 6066 §3) where it is no address.
    pub name: ServerName<'static>,
    /// Who may have issued it; nothing: whom the system trusts.
    pub roots: Option<Arc<Roots>>,
}

/// Certificates that are trusted to issue others, of one file; at least one, and each can be used.
#[derive(Clone, PartialEq, Eq)]
pub struct Roots {
    /// Where they were read from.
    pub path: PathBuf,
    /// They.
    pub certificates: Vec<CertificateDer<'static>>,
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({} of {})", self.certificates.len(), self.path.display())
    }
}

/// A private key, kept as its SHA-256 alone.
#[derive(Clone)]
pub struct PrivateKey {
    sha256: [u8; 32],
}

impl PrivateKey {
    /// The key whose text is `secret`.
    pub fn from_secret(secret: &str) -> PrivateKey {
        PrivateKey { sha256: Sha256::digest(secret.as_bytes()).into() }
    }

    /// The key whose SHA-256 is known, in hex.
    pub fn from_hex(text: &str) -> Option<PrivateKey> {
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let mut sha256 = [0; 32];
        for (at, byte) in sha256.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(PrivateKey { sha256 })
    }

    /// Its SHA-256, in hex.
    pub fn to_hex(&self) -> String {
        self.sha256.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether `presented` is this key: hashes of equal length are compared, in constant time.
    pub fn matches(&self, presented: &PrivateKey) -> bool {
        self.sha256.ct_eq(&presented.sha256).into()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

/// `[[keys]]`
#[derive(Clone, Debug)]
pub struct NamedKey {
    /// What it may do.
    pub grant: Grant,
    /// The secret.
    pub key: PrivateKey,
}

/// `[[routes]]`; what a route leaves out is as its [mode](HttpMode) has it.
#[derive(Clone, Debug, Default)]
pub struct Route {
    /// Matches the path below the endpoint; nothing matches every path.
    pub pattern: Option<Regex>,
    /// The account that it holds for, or every one.
    pub account: Option<String>,
    /// The set of rules that the keys below change.
    pub http: HttpMode,
    /// Methods beside GET and HEAD that are passed to the origin.
    pub methods: Option<Vec<Method>>,
    /// How long responses are fresh.
    pub lifetimes: Lifetimes,
    /// How long a stale response may stand in for an error where it says nothing of it.
    pub grace: Option<Duration>,
    /// Whether the client's Cache-Control counts.
    pub request_directives: Option<bool>,
    /// Query parameters that are left out of keys, and of what the origin is asked for.
    pub ignore_query: Vec<Parameter>,
    /// What Set-Cookie in a response means.
    pub set_cookie: Option<SetCookie>,
    /// Fields that replace Cache-Control, the first valid one counts.
    pub targeted_fields: Option<Vec<HeaderName>>,
    /// Image formats that the origin makes on request.
    pub formats: Option<Vec<Format>>,
    /// Client hints that are passed on, reduced, and may select a variant.
    pub hints: Vec<Hint>,
    /// Names in Vary that forbid storing.
    pub vary_forbidden: Option<Vec<HeaderName>>,
    /// The Cache-Control that clients are told; nothing: the origin's.
    pub browser: Option<HeaderValue>,
}

impl Route {
    /// Whether it holds for a path of an account.
    pub fn matches(&self, account: &str, path: &str) -> bool {
        self.account.as_deref().is_none_or(|only| only == account)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(path))
    }
}

/// A complete set of rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpMode {
    /// Safe before any image origin.
    #[default]
    Image,
    /// What RFC 9111 says and no more.
    Rfc,
}

/// A route's lifetimes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of responses that state none.
    pub default: Option<Duration>,
    /// Least, whatever they state.
    pub minimum: Option<Duration>,
    /// Greatest, whatever they state.
    pub maximum: Option<Duration>,
    /// Of errors that state none.
    pub negative: Option<Duration>,
}

/// A query parameter's name, or how names begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The name, or its beginning.
    pub name: Box<str>,
    /// Whether every name counts that begins so.
    pub wildcard: bool,
}

impl Parameter {
    /// Whether a parameter, `name` or `name=value`, is named.
    pub fn names(&self, parameter: &str) -> bool {
        let name = parameter.split('=').next().unwrap_or_default();
        if self.wildcard { name.starts_with(&*self.name) } else { name == &*self.name }
    }

    /// Whether a parameter that begins with `text` may be named.
    pub fn may_name(&self, text: &str) -> bool {
        self.names(text) || (!text.contains('=') && self.name.starts_with(text))
    }
}

/// What a Set-Cookie in a response means. RFC 9111 §7.3 leaves it to the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetCookie {
    /// The response is not stored; its client gets the cookie.
    Bypass,
    /// The response is stored, and nobody gets the cookie.
    Strip,
    /// The cookie is stored and replayed to everyone.
    Store,
}

/// An image format that clients must name before they may be sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// AVIF.
    Avif,
    /// JPEG XL.
    Jxl,
    /// WebP.
    Webp,
}

/// A request field by which a client says what picture suits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hint {
    /// Pixels of the screen for one of the page's.
    Dpr,
    /// The width wanted, in pixels of the screen.
    Width,
    /// Whether the client wants to save data.
    SaveData,
}
