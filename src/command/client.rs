//! A client of the admin listener, for the command line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use freshet::config;
use serde_json::Value;

/// A running server, and the key to purge with.
pub struct Client {
    agent: ureq::Agent,
    admin: String,
    authorization: String,
}

/// What the server said.
pub enum Answer {
    /// It did what was asked, and this is its body.
    Done(Value),
    /// It refused, for this reason.
    Refused(String),
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

impl Client {
    /// A client for the server of the config at `path`, unless `admin` and `key` name another.
    pub fn new(path: Option<&Path>, admin: Option<String>, key: Option<String>) -> Result<Client, ExitCode> {
        let (config, name) = config::load(path).map_err(|error| super::bad_config(&error))?;
        let admin = admin.unwrap_or_else(|| format!("http://{}", reachable(config.admin.listen)));
        let Some(key) = key.or_else(|| config.accounts.iter().find_map(|account| account.demo_key.clone()))
        else {
            super::complain(format!(
                "freshet: no private key: {name} has no demo account; give --key, or set FRESHET_KEY"
            ));
            return Err(ExitCode::from(super::BAD_CONFIG));
        };
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .into();
        let authorization = format!("Basic {}", STANDARD.encode(format!("{key}:")));
        Ok(Client { agent, admin: admin.trim_end_matches('/').to_owned(), authorization })
    }

    /// Asks for a purge, in the members of its body.
    pub fn purge(&self, members: &Value) -> Result<Answer, ExitCode> {
        let request = self.agent.post(self.at("")).header("authorization", &self.authorization);
        self.answer(request.send_json(members))
    }

    /// Asks for an audit of what is stored.
    pub fn audit(&self) -> Result<Answer, ExitCode> {
        let url = format!("{}/v1/debug/audit", self.admin);
        self.answer(self.agent.get(url).header("authorization", &self.authorization).call())
    }

    /// Asks how far a purge is.
    pub fn status(&self, id: &str) -> Result<Answer, ExitCode> {
        let request = self.agent.get(self.at(&format!("/{id}"))).header("authorization", &self.authorization);
        self.answer(request.call())
    }

    fn at(&self, below: &str) -> String {
        format!("{}/v1/files/purge{below}", self.admin)
    }

    fn answer(
        &self,
        sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Answer, ExitCode> {
        let unreachable = |error: ureq::Error| {
            super::complain(format!("freshet: no answer from the admin listener at {}: {error}", self.admin));
            ExitCode::from(super::UNREACHABLE)
        };
        let mut response = sent.map_err(unreachable)?;
        let status = response.status();
        let body: Value = response.body_mut().read_json().map_err(unreachable)?;
        if status.is_success() {
            return Ok(Answer::Done(body));
        }
        let text =
            |member: &str| body.get(member).and_then(Value::as_str).unwrap_or_default().trim().to_owned();
        let reason = [text("message"), text("help")].join(" ");
        Ok(Answer::Refused(format!("{} ({})", reason.trim(), status.as_u16())))
    }
}
