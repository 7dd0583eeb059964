//! A client of the admin listener, for the command line.
//!
//! Where the config says that it speaks TLS, its certificate is trusted as the file has it, beside the system's roots;
//! and it is called by a name that stands in the certificate, at the address that it listens on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use freshet::config::{self, Config};
use freshet::tls::Identity;
use serde_json::Value;
use tokio_rustls::rustls::crypto::ring;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

/// How a running server is reached.
#[derive(Args)]
pub struct Server {
    /// Where its admin listener is, as in http://127.0.0.1:8081 [default: as the config says]
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// A key of the account, or an operator's [default: the demo's, where the config has one]
    #[arg(long, env = "FRESHET_KEY", hide_env_values = true, value_name = "KEY")]
    key: Option<String>,
}

/// A running server, and the key that it is called with.
pub struct Client {
    agent: ureq::Agent,
    admin: String,
    authorization: String,
    /// The Host, where it is not the URL's.
    host: Option<String>,
}

/// What the server said.
pub enum Answer {
    /// It did what was asked, and this is its body.
    Done(Value),
    /// It refused.
    Refused(Refused),
}

/// Why the server refused, and its body.
pub struct Refused {
    /// For people.
    pub reason: String,
    /// As it came.
    pub body: Value,
}

/// An address that listens everywhere is called on loopback.
fn reachable(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        let loopback: IpAddr =
            if listen.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        listen.set_ip(loopback);
    }
    listen
}

/// Where a server is called.
#[derive(Clone, Debug)]
struct Place {
    url: String,
    host: Option<String>,
    /// Where the URL's host is, whatever its name says elsewhere.
    address: Option<SocketAddr>,
}

impl Place {
    /// The admin listener of the config.
    fn of(config: &Config, identity: Option<&Identity>) -> Place {
        let address = reachable(config.admin.listen);
        let scheme = if config.admin.tls.is_some() { "https" } else { "http" };
        match identity.and_then(|identity| identity.names().first()) {
            None => Place { url: format!("{scheme}://{address}"), host: None, address: None },
            Some(name) => {
                let name = name.replace('*', "admin");
                let url = format!("{scheme}://{name}:{}", address.port());
                Place { url, host: Some(address.to_string()), address: Some(address) }
            }
        }
    }
}

impl Resolver for Place {
    fn resolve(
        &self,
        uri: &ureq::http::Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let Some(address) = self.address else {
            return DefaultResolver::default().resolve(uri, config, timeout);
        };
        let mut addresses = self.empty();
        addresses.push(address);
        Ok(addresses)
    }
}

/// The system's roots, and this certificate.
fn trusting(identity: Option<&Identity>) -> TlsConfig {
    let own = identity.iter().flat_map(|identity| identity.chain().iter().cloned());
    let system = rustls_native_certs::load_native_certs().certs;
    let roots = own.chain(system).map(|certificate| Certificate::from_der(&certificate).to_owned());
    TlsConfig::builder()
        .root_certs(RootCerts::from(roots))
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .build()
}

type Sent = Result<ureq::http::Response<ureq::Body>, ureq::Error>;

impl Client {
    /// A client for the server of the config at `path`, unless `server` names another.
    pub fn new(path: Option<&Path>, server: &Server) -> Result<Client, ExitCode> {
        let (config, name) = config::load(path).map_err(|error| super::bad_config(&error))?;
        let identity = config.admin.tls.as_ref().and_then(|pair| Identity::read(pair).ok());
        let place = match &server.admin {
            Some(url) => Place { url: url.clone(), host: None, address: None },
            None => Place::of(&config, identity.as_ref()),
        };
        let key = server.key.clone();
        let Some(key) = key.or_else(|| config.accounts.iter().find_map(|account| account.demo_key.clone()))
        else {
            super::complain(format!(
                "freshet: no key: {name} has no demo account; give --key, or set FRESHET_KEY"
            ));
            return Err(ExitCode::from(super::BAD_CONFIG));
        };
        let settings = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .tls_config(trusting(identity.as_ref()))
            .build();
        let agent = ureq::Agent::with_parts(settings, DefaultConnector::new(), place.clone());
        let authorization = format!("Bearer {key}");
        let admin = place.url.trim_end_matches('/').to_owned();
        Ok(Client { agent, admin, authorization, host: place.host })
    }

    /// Where the server is.
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// `GET path?query`
    pub fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Answer, ExitCode> {
        self.answer(self.send(path, query)).map_err(unreachable)
    }

    /// `POST path` with a JSON body.
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer, ExitCode> {
        let mut call = self.agent.post(self.at(path)).header("authorization", &self.authorization);
        if let Some(host) = &self.host {
            call = call.header("host", host);
        }
        self.answer(call.send_json(body)).map_err(unreachable)
    }

    /// A `GET` whose refusal ends the command.
    pub fn ask(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, ExitCode> {
        match self.get(path, query)? {
            Answer::Done(body) => Ok(body),
            Answer::Refused(refused) => {
                super::complain(format!("freshet: {}", refused.reason));
                Err(ExitCode::from(super::FAILED))
            }
        }
    }

    /// A `GET` whose failure, of whatever kind, is told to the caller alone.
    pub fn try_ask(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        match self.answer(self.send(path, query))? {
            Answer::Done(body) => Ok(body),
            Answer::Refused(refused) => Err(refused.reason),
        }
    }

    fn send(&self, path: &str, query: &[(&str, &str)]) -> Sent {
        let mut call = self.agent.get(self.at(path)).header("authorization", &self.authorization);
        if let Some(host) = &self.host {
            call = call.header("host", host);
        }
        call.query_pairs(query.iter().copied()).call()
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.admin)
    }

    /// What was said, or that nothing was.
    fn answer(&self, sent: Sent) -> Result<Answer, String> {
        let silent =
            |error: ureq::Error| format!("no answer from the admin listener at {}: {error}", self.admin);
        let mut response = sent.map_err(silent)?;
        let status = response.status();
        let body: Value = response.body_mut().read_json().map_err(silent)?;
        if status.is_success() {
            return Ok(Answer::Done(body));
        }
        let text =
            |member: &str| body.get(member).and_then(Value::as_str).unwrap_or_default().trim().to_owned();
        let reason = [text("message"), text("help")].join(" ");
        let reason = format!("{} ({})", reason.trim(), status.as_u16());
        Ok(Answer::Refused(Refused { reason, body }))
    }
}

fn unreachable(why: String) -> ExitCode {
    super::complain(format!("freshet: {why}"));
    ExitCode::from(super::UNREACHABLE)
}
