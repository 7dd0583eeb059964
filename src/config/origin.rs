//! `origin` and `origins` of an account: URLs, what goes to a server beside them, and whom its certificate must be
//! issued by.
//!
//! Files with certificates are read here, once for all accounts that name one, so that what is wrong with them is told
//! with the other problems.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use toml::de::DeValue;

use super::authority::Authority;
use super::read::{Reading, split_url};
use super::section::{Section, Value};
use super::types::*;
use crate::limits::{ORIGINS_MAX, ROOTS_BYTES_MAX};

const ONE_OR_SEVERAL: &str = "is missing: \"demo\", a URL as in \"http://127.0.0.1:9000/images\", or a table with url; several go into origins";

impl<'a> Reading<'a> {
    /// Where an account's images come from; the demo where that could not be read.
    pub(super) fn origin(&mut self, section: &mut Section<'a>) -> Origin {
        let (one_key, several_key) = (section.key("origin"), section.key("origins"));
        match (section.take("origin"), section.take("origins")) {
            (None, None) => {
                self.problems.add(section.offset, &one_key, "(none)", ONE_OR_SEVERAL);
                Origin::Demo
            }
            (Some(_), Some(several)) => {
                let rule = "stands beside origin: an account has one of the two";
                self.problems.of_secret(several, &several_key, rule);
                Origin::Demo
            }
            (Some(one), None) if one.get_ref().as_str() == Some("demo") => Origin::Demo,
            (Some(one), None) => {
                let server = self.server(one, &one_key);
                server.map_or(Origin::Demo, |server| Origin::Servers(vec![server]))
            }
            (None, Some(several)) => self.servers(several, &several_key),
        }
    }

    fn servers(&mut self, several: &'a Value<'a>, key: &str) -> Origin {
        let values = self.array(Some(several), key);
        if several.get_ref().as_array().is_some() && !(1..=ORIGINS_MAX).contains(&values.len()) {
            let rule = format!("must hold 1 to {ORIGINS_MAX} origins");
            self.problems.of_secret(several, key, rule);
        }
        let mut servers: Vec<OriginServer> = Vec::new();
        for (at, value) in values.into_iter().enumerate() {
            let key = format!("{key}[{at}]");
            if value.get_ref().as_str() == Some("demo") {
                self.problems.of(value, &key, "stands alone: origin = \"demo\"");
                continue;
            }
            let Some(server) = self.server(value, &key) else { continue };
            if servers.iter().any(|other| other.url() == server.url()) {
                self.problems.of_secret(value, &key, format!("{} stands here twice", server.url()));
            }
            servers.push(server);
        }
        if servers.is_empty() { Origin::Demo } else { Origin::Servers(servers) }
    }

    /// One origin: a URL, or a table.
    fn server(&mut self, value: &'a Value<'a>, key: &str) -> Option<OriginServer> {
        match value.get_ref() {
            DeValue::String(text) => self.url(value, key, text),
            DeValue::Table(table) => {
                let mut section = Section::new(Some(table), key, value.span().start);
                let server = self.table(&mut section);
                section.finish(&mut self.problems);
                server
            }
            _ => {
                let rule = "must be \"demo\", a URL, or a table with url, host, headers, roots and server_name; \
                            several go into origins";
                self.problems.of_secret(value, key, rule);
                None
            }
        }
    }

    fn table(&mut self, section: &mut Section<'a>) -> Option<OriginServer> {
        let url_key = section.key("url");
        let url = section.take("url");
        if url.is_none() {
            self.problems.add(section.offset, &url_key, "(none)", "is missing: the origin's URL");
        }
        let mut server =
            url.and_then(|url| self.url(url, &url_key, url.get_ref().as_str().unwrap_or_default()));
        let host = section.parsed("host", &mut self.problems, |text| {
            Authority::parse(text).map_err(|error| error.as_str())?;
            HeaderValue::from_str(text).map_err(|_| "must be a host name")
        });
        let key = section.key("headers");
        let headers = section.take("headers").map(|given| self.headers(given, &key)).unwrap_or_default();
        let (roots_value, name_value) = (section.take("roots"), section.take("server_name"));
        let name = section.parsed("server_name", &mut self.problems, |text| {
            ServerName::try_from(text.to_owned()).map_err(|_| "must be a host name or an address")
        });
        let is_plain = server.as_ref().is_some_and(|server| server.tls.is_none());
        let roots =
            roots_value.filter(|_| !is_plain).and_then(|value| self.roots_of(value, &section.key("roots")));
        let server = server.as_mut()?;
        server.headers = headers;
        server.host_field = host.unwrap_or(server.host_field.clone());
        match &mut server.tls {
            Some(tls) => {
                tls.roots = roots;
                tls.name = name.unwrap_or(tls.name.clone());
            }
            None => {
                let given = [(roots_value, "roots"), (name_value, "server_name")];
                for (value, name) in given.into_iter().filter_map(|(value, name)| Some((value?, name))) {
                    self.problems.of(
                        value,
                        &section.key(name),
                        "is for an origin whose URL begins with https://",
                    );
                }
            }
        }
        Some(server.clone())
    }

    fn headers(&mut self, given: &Value<'_>, key: &str) -> Vec<(HeaderName, HeaderValue)> {
        let Some(table) = given.get_ref().as_table() else {
            self.problems.of_secret(given, key, "must be a table of field names and values");
            return Vec::new();
        };
        let mut headers = Vec::new();
        for (name, value) in table {
            headers.extend(self.header(name.get_ref(), value, &format!("{key}.{}", name.get_ref())));
        }
        headers
    }

    fn header(&mut self, name: &str, value: &Value<'_>, key: &str) -> Option<(HeaderName, HeaderValue)> {
        const OURS: [&str; 8] =
            ["host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "via"];
        let Ok(name) = name.parse::<HeaderName>() else {
            self.problems.of_secret(value, key, "is no name of a header field");
            return None;
        };
        if OURS.contains(&name.as_str()) {
            let rule = "this field is Freshet's to write (for Host, set origin.host)";
            self.problems.of_secret(value, key, rule);
            return None;
        }
        let mut text = HeaderValue::from_str(&self.secret(value, key)?).ok();
        match &mut text {
            Some(text) => text.set_sensitive(true),
            None => self.problems.of_secret(value, key, "holds characters that no field value may have"),
        }
        text.map(|text| (name, text))
    }

    fn url(&mut self, value: &Value<'_>, key: &str, text: &str) -> Option<OriginServer> {
        let parsed = parse_origin(text);
        match &parsed {
            // What stands before an @ is a password more often than not.
            Err(rule) if text.contains('@') => self.problems.of_secret(value, key, rule),
            Err(rule) => self.problems.of(value, key, rule),
            Ok(_) => {}
        }
        parsed.ok()
    }

    /// The certificates of a file; every place that names a bad one gets the problem.
    fn roots_of(&mut self, value: &Value<'_>, key: &str) -> Option<Arc<Roots>> {
        let Some(text) = value.get_ref().as_str() else {
            self.problems.of(value, key, "must be a file's path");
            return None;
        };
        let path = self.sources.folder.join(text);
        if let Some(known) = self.roots.get(&path) {
            return Some(known.clone());
        }
        match read_roots(&path) {
            Ok(certificates) => {
                let roots = Arc::new(Roots { path: path.clone(), certificates });
                self.roots.insert(path, roots.clone());
                Some(roots)
            }
            Err(rule) => {
                self.problems.of(value, key, format!("the file {} {rule}", path.display()));
                None
            }
        }
    }
}

impl OriginServer {
    /// Where it is, as a URL without a slash at its end; the port always stands in it.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{scheme}://{host}:{}{}", self.port, self.base)
    }
}

/// The certificates of a PEM file; other things in it are passed over.
fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| format!("can't be read: {error}"))?;
    file.take(ROOTS_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("can't be read: {error}"))?;
    if bytes.len() as u64 > ROOTS_BYTES_MAX {
        return Err(format!("is longer than {ROOTS_BYTES_MAX} bytes"));
    }
    let mut certificates = Vec::new();
    let mut store = RootCertStore::empty();
    for (at, read) in CertificateDer::pem_slice_iter(&bytes).enumerate() {
        let certificate = read.map_err(|error| format!("is no good PEM: {error}"))?;
        store
            .add(certificate.clone())
            .map_err(|error| format!("has a certificate that can't be used, number {}: {error}", at + 1))?;
        certificates.push(certificate);
    }
    if certificates.is_empty() {
        return Err("holds no certificate: PEM is wanted, -----BEGIN CERTIFICATE-----".into());
    }
    Ok(certificates)
}

fn parse_origin(text: &str) -> Result<OriginServer, &'static str> {
    let (scheme, authority, base) = split_url(text)?;
    let parsed = Authority::parse(authority).map_err(|error| error.as_str())?;
    // The canonical authority drops the default port of the other scheme too: read it from the text.
    let port = authority[authority.rfind(']').unwrap_or(0)..].rsplit_once(':').map(|(_, port)| port);
    let default = if scheme == "https" { 443 } else { 80 };
    let port = port.and_then(|port| port.parse().ok()).unwrap_or(default);
    let host = parsed.host().to_owned();
    let host_field = if port == default { host.clone() } else { format!("{host}:{port}") };
    let host_field =
        HeaderValue::from_str(&host_field).map_err(|_| "the host is not a valid name or address")?;
    let host = host.trim_matches(['[', ']']).to_owned();
    let tls = match scheme {
        "https" => {
            let name = ServerName::try_from(host.clone())
                .map_err(|_| "the host is no name that a certificate can be for")?;
            Some(OriginTls { name, roots: None })
        }
        _ => None,
    };
    Ok(OriginServer { tls, host, port, base: base.to_owned(), host_field, headers: Vec::new() })
}
