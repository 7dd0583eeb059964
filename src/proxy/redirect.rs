//! What comes in clear where TLS is asked for: a redirection to the same URL over TLS.
//!
//! The gate comes first: where a host is not ours, or a request not right, that is said instead.

use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::{HeaderMap, Request, StatusCode};

use super::body::ReplyBody;
use super::pipeline::Outcome;
use super::reply::{self, Reply};
use super::{Proxy, gate};
use crate::config::{Authority, Redirect, Tls};
use crate::telemetry::trail::Trail;

/// The port that clients are sent to.
pub(super) fn port(tls: &Tls) -> Option<u16> {
    match tls.redirect {
        Redirect::Off => None,
        Redirect::ToListener => Some(tls.listen.port()),
        Redirect::ToPort(port) => Some(port),
    }
}

impl Proxy {
    /// Answers a request by a redirection, with the target as it came (RFC 9110 §15.4.9: 308, so that the method
    /// stays).
    pub(super) fn redirect<B>(&self, request: &Request<B>, port: u16, trail: Option<&Arc<Trail>>) -> Reply {
        let request_id = self.lasting.request_ids.name(request.headers());
        let (reply, outcome) = match gate::admit(request, &self.endpoints, &self.lasting.pseudonym) {
            Err(refusal) => (reply::refusal(&refusal, reply::ALLOWED), Outcome::Error),
            Ok(_) => match location(request, port) {
                Some(location) => (to(location), Outcome::Pass),
                None => (reply::refusal(&gate::Refusal::TargetForm, reply::ALLOWED), Outcome::Error),
            },
        };
        self.account(reply, outcome, &request_id, trail)
    }
}

fn location<B>(request: &Request<B>, port: u16) -> Option<HeaderValue> {
    let host = request.headers().get(header::HOST)?.to_str().ok()?;
    let authority = Authority::parse(host).ok()?;
    let host = authority.host();
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let target = request.uri().path_and_query()?;
    HeaderValue::from_bytes(format!("https://{host}{port}{target}").as_bytes()).ok()
}

fn to(location: HeaderValue) -> Reply {
    let mut fields = HeaderMap::new();
    fields.insert(header::LOCATION, location);
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert("cache-status", HeaderValue::from_static("Freshet; detail=redirect"));
    reply::new(StatusCode::PERMANENT_REDIRECT, fields, ReplyBody::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_has_the_target_as_it_came_and_the_port_of_tls() {
        #[rustfmt::skip]
        let table = [
            // (host, target, port, location)
            ("img.test",      "/a.png?tr=w-1",    443,  "https://img.test/a.png?tr=w-1"),
            ("img.test:8080", "/a.png",           443,  "https://img.test/a.png"),
            ("IMG.test:80",   "//b/%2f?",         8443, "https://img.test:8443//b/%2f?"),
            ("[::1]:8080",    "/a",               8443, "https://[::1]:8443/a"),
            ("[::1]",         "/a",               443,  "https://[::1]/a"),
            ("img.test",      "http://img.test/a", 443, "https://img.test/a"),
        ];
        for (host, target, port, expected) in table {
            let request = Request::get(target).header("host", host).body(()).unwrap();
            assert_eq!(location(&request, port).unwrap(), expected, "{host} {target}");
        }
    }
}
