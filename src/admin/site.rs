//! Whether a request means this listener, and whether a browser sends it for somebody else.
//!
//! A page that a victim looks at can make the victim's browser call a listener on loopback: by its address, or by
//! a name of the attacker's that resolves to it (DNS rebinding). The first is told by what browsers say of a
//! request's origin, the second by the Host, since rebinding needs a name, and one that is not ours. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName, Method, Request, header};

use super::AdminError;
use crate::config::Authority;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses what is not meant for this listener (421), what doesn't say for whom it is (400), and what another
/// site's page would change (403). `local` is the connection's own end.
pub(super) fn check<B>(req: &Request<B>, hosts: &[Authority], local: SocketAddr) -> Result<(), AdminError> {
    let host = only_host(req.headers())?;
    if !is_served(&host, hosts, local) {
        return Err(AdminError::HostUnknown);
    }
    // RFC 9112 §3.2.2: a target in absolute form counts before the Host; here it has to be ours, too.
    if let Some(named) = req.uri().authority() {
        let named = Authority::parse(named.as_str()).map_err(|_| AdminError::HostInvalid)?;
        if !is_served(&named, hosts, local) {
            return Err(AdminError::HostUnknown);
        }
    }
    if changes_state(req.method()) && is_of_another_site(req.headers(), &host) {
        return Err(AdminError::CrossSite);
    }
    Ok(())
}

/// Refuses a change that a cookie would authorise where nothing proves that a page of ours asks for it, or where its
/// body could be a form's. The Host is ours ([`check`]).
pub(super) fn check_is_ours(method: &Method, headers: &HeaderMap) -> Result<(), AdminError> {
    if !changes_state(method) {
        return Ok(());
    }
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter().peekable();
    let is_ours = match sites.peek() {
        // Browsers say this themselves, and no page can.
        Some(_) => sites.all(|site| site == "same-origin"),
        // `check` has compared it with the Host.
        None => headers.contains_key(header::ORIGIN),
    };
    if !is_ours {
        return Err(AdminError::CrossSite);
    }
    if *method == Method::DELETE { Ok(()) } else { check_is_json(headers) }
}

/// Refuses a body that is not said to be JSON: the types that forms can send need no leave of ours (CORS).
pub(super) fn check_is_json(headers: &HeaderMap) -> Result<(), AdminError> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(AdminError::TypeNotJson) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") { Ok(()) } else { Err(AdminError::TypeNotJson) }
}

/// RFC 9112 §3.2: none, two, or one that can't be read is 400.
fn only_host(headers: &HeaderMap) -> Result<Authority, AdminError> {
    let mut values = headers.get_all(header::HOST).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(AdminError::HostInvalid) };
    let text = value.to_str().map_err(|_| AdminError::HostInvalid)?;
    Authority::parse(text).map_err(|_| AdminError::HostInvalid)
}

/// Loopback, the address that was connected to, and the config's names, each with the listener's port. A name in
/// the config may bring another port, or the scheme's own: a proxy for TLS may stand before the listener.
fn is_served(host: &Authority, hosts: &[Authority], local: SocketAddr) -> bool {
    if hosts.contains(host) {
        return true;
    }
    let has_our_port = Authority::parse(&format!("{}:{}", host.host(), local.port())).as_ref() == Ok(host);
    let has_our_name = host.host() == "localhost"
        || address(host.host()).is_some_and(|ip| ip.is_loopback() || ip == local.ip().to_canonical())
        || hosts.iter().any(|name| name.as_str() == host.host());
    has_our_port && has_our_name
}

fn address(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[') {
        Some(rest) => {
            rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(|ip| IpAddr::V6(ip).to_canonical())
        }
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

fn changes_state(method: &Method) -> bool {
    !method.is_safe()
}

/// Other clients than browsers send neither field.
fn is_of_another_site(headers: &HeaderMap, host: &Authority) -> bool {
    let says_so = headers.get_all(SEC_FETCH_SITE).iter().any(|site| site == "cross-site");
    let origin_is_other = |origin: &http::HeaderValue| {
        let text = origin.to_str().unwrap_or_default();
        let authority = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        authority.and_then(|authority| Authority::parse(authority).ok()).as_ref() != Some(host)
    };
    says_so || headers.get_all(header::ORIGIN).iter().any(origin_is_other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &str = "";

    type Fields<'text> = &'text [(&'text str, &'text str)];

    fn outcome(local: &str, hosts: &[&str], method: &str, uri: &str, fields: Fields<'_>) -> &'static str {
        let hosts: Vec<_> = hosts.iter().map(|host| Authority::parse(host).unwrap()).collect();
        let mut req = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            req = req.header(*name, *value);
        }
        match check(&req.body(()).unwrap(), &hosts, local.parse().unwrap()) {
            Ok(()) => OK,
            Err(error) => error.parts().2,
        }
    }

    #[test]
    fn a_host_is_served_by_name_address_and_port() {
        #[rustfmt::skip]
        let table: [(&str, &[&str], &str, &str); 24] = [
            // local               admin.hosts              Host                  outcome
            ("127.0.0.1:8081",     &[],                     "127.0.0.1:8081",     OK),
            ("127.0.0.1:8081",     &[],                     "localhost:8081",     OK),
            ("127.0.0.1:8081",     &[],                     "LOCALHOST.:8081",    OK),
            ("127.0.0.1:8081",     &[],                     "[::1]:8081",         OK),
            ("127.0.0.1:8081",     &[],                     "127.0.0.2:8081",     OK),
            ("127.0.0.1:80",       &[],                     "localhost",          OK),
            ("192.0.2.7:8081",     &[],                     "192.0.2.7:8081",     OK),
            ("[2001:db8::7]:8081", &[],                     "[2001:DB8:0::7]:8081", OK),
            ("[::ffff:192.0.2.7]:8081", &[],                "192.0.2.7:8081",     OK),
            ("127.0.0.1:8081",     &["purge.test"],         "purge.test:8081",    OK),
            ("127.0.0.1:8081",     &["purge.test"],         "purge.test",         OK),
            ("127.0.0.1:8081",     &["purge.test:9000"],    "purge.test:9000",    OK),
            ("127.0.0.1:8081",     &["purge.test:9000"],    "purge.test:8081",    "host_unknown"),
            ("127.0.0.1:8081",     &["purge.test"],         "purge.test:9000",    "host_unknown"),
            ("127.0.0.1:8081",     &["purge.test"],         "x.purge.test:8081",  "host_unknown"),
            ("127.0.0.1:8081",     &[],                     "localhost",          "host_unknown"),
            ("127.0.0.1:8081",     &[],                     "localhost:8080",     "host_unknown"),
            ("127.0.0.1:8081",     &[],                     "192.0.2.7:8081",     "host_unknown"),
            ("127.0.0.1:8081",     &[],                     "evil.test:8081",     "host_unknown"),
            ("127.0.0.1:8081",     &[],                     "127.0.0.1.evil.test:8081", "host_unknown"),
            ("127.0.0.1:8081",     &[],                     "localhost.evil.test:8081", "host_unknown"),
            ("127.0.0.1:8081",     &[],                     "",                   "host_invalid"),
            ("127.0.0.1:8081",     &[],                     "user@localhost:8081", "host_invalid"),
            ("127.0.0.1:8081",     &[],                     "local host:8081",    "host_invalid"),
        ];
        for (local, hosts, host, expected) in table {
            assert_eq!(
                outcome(local, hosts, "GET", "/", &[("host", host)]),
                expected,
                "{local} {hosts:?} {host:?}"
            );
        }
    }

    #[test]
    fn the_host_stands_once_and_a_target_in_absolute_form_is_ours_too() {
        let local = "127.0.0.1:8081";
        let host = ("host", "localhost:8081");
        assert_eq!(outcome(local, &[], "GET", "/", &[]), "host_invalid");
        assert_eq!(outcome(local, &[], "GET", "/", &[host, host]), "host_invalid");
        assert_eq!(outcome(local, &[], "GET", "http://127.0.0.1:8081/", &[host]), OK);
        assert_eq!(outcome(local, &[], "GET", "http://evil.test/", &[host]), "host_unknown");
    }

    #[test]
    fn only_our_own_pages_change_state() {
        #[rustfmt::skip]
        let table: [(&str, Fields<'_>, &str); 16] = [
            // method    fields                                                       outcome
            ("POST",     &[],                                                         OK),
            ("POST",     &[("sec-fetch-site", "same-origin")],                        OK),
            ("POST",     &[("sec-fetch-site", "none")],                               OK),
            ("POST",     &[("origin", "http://localhost:8081")],                      OK),
            ("POST",     &[("origin", "https://localhost:8081")],                     OK),
            ("POST",     &[("sec-fetch-site", "cross-site")],                         "cross_site"),
            ("DELETE",   &[("sec-fetch-site", "cross-site")],                         "cross_site"),
            ("POST",     &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], "cross_site"),
            ("POST",     &[("origin", "null")],                                       "cross_site"),
            ("POST",     &[("origin", "")],                                           "cross_site"),
            ("POST",     &[("origin", "http://localhost:8080")],                      "cross_site"),
            ("POST",     &[("origin", "http://127.0.0.1:8081")],                      "cross_site"),
            ("POST",     &[("origin", "http://evil.test")],                           "cross_site"),
            ("POST",     &[("origin", "file://localhost:8081")],                      "cross_site"),
            ("POST",     &[("origin", "http://localhost:8081"), ("origin", "null")],  "cross_site"),
            ("GET",      &[("sec-fetch-site", "cross-site"), ("origin", "null")],     OK),
        ];
        for (method, fields, expected) in table {
            let with_host: Vec<_> = [("host", "localhost:8081")].iter().chain(fields).copied().collect();
            assert_eq!(
                outcome("127.0.0.1:8081", &[], method, "/", &with_host),
                expected,
                "{method} {fields:?}"
            );
        }
    }

    #[test]
    fn what_a_cookie_changes_is_proved_to_come_from_our_page_as_json() {
        const JSON: (&str, &str) = ("content-type", "application/json");
        const OURS: (&str, &str) = ("sec-fetch-site", "same-origin");
        #[rustfmt::skip]
        let table: [(&str, Fields<'_>, &str); 19] = [
            // method    fields                                                       outcome
            ("GET",      &[],                                                         OK),
            ("HEAD",     &[("sec-fetch-site", "cross-site")],                         OK),
            ("POST",     &[OURS, JSON],                                               OK),
            ("POST",     &[("origin", "http://localhost:8081"), JSON],                OK),
            ("PUT",      &[OURS, ("content-type", "Application/JSON; charset=utf-8")], OK),
            ("DELETE",   &[OURS],                                                     OK),
            ("DELETE",   &[("origin", "http://localhost:8081")],                      OK),
            ("POST",     &[JSON],                                                     "cross_site"),
            ("DELETE",   &[],                                                         "cross_site"),
            ("POST",     &[("sec-fetch-site", "none"), JSON],                         "cross_site"),
            ("POST",     &[("sec-fetch-site", "same-site"), JSON],                    "cross_site"),
            ("POST",     &[("sec-fetch-site", "same-site"), ("origin", "http://localhost:8081"), JSON], "cross_site"),
            ("POST",     &[OURS, ("sec-fetch-site", "none"), JSON],                   "cross_site"),
            ("POST",     &[OURS],                                                     "type_not_json"),
            ("POST",     &[OURS, ("content-type", "text/plain")],                     "type_not_json"),
            ("POST",     &[OURS, ("content-type", "application/x-www-form-urlencoded")], "type_not_json"),
            ("POST",     &[OURS, ("content-type", "multipart/form-data; boundary=application/json")], "type_not_json"),
            ("POST",     &[OURS, JSON, ("content-type", "text/plain")],               "type_not_json"),
            ("PUT",      &[OURS, ("content-type", "")],                               "type_not_json"),
        ];
        for (method, fields, expected) in table {
            let mut req = Request::builder().method(method).uri("/").header("host", "localhost:8081");
            for (name, value) in fields {
                req = req.header(*name, *value);
            }
            let req = req.body(()).unwrap();
            check(&req, &[], "127.0.0.1:8081".parse().unwrap()).unwrap();
            let outcome = check_is_ours(req.method(), req.headers()).map_err(|error| error.parts().2);
            assert_eq!(outcome.err().unwrap_or(OK), expected, "{method} {fields:?}");
        }
    }
}
