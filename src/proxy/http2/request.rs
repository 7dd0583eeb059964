//! A request of HTTP/2 as HTTP/1.1 would say it, so that one gate holds for both: Host in the place of `:authority`,
//! one Cookie field, and a transfer coding for a body whose length is not said.

use http::header::{self, HeaderValue};
use http::{HeaderMap, Request, Uri};
use http_body::Body;

/// Says it so. What can't be said is left as it is, and is the gate's to refuse.
pub fn as_http1<B: Body>(request: &mut Request<B>) {
    let has_body = !request.body().is_end_stream();
    if !request.headers().contains_key(header::HOST) {
        name_host(request);
    }
    let fields = request.headers_mut();
    join_cookies(fields);
    if has_body && !fields.contains_key(header::CONTENT_LENGTH) {
        fields.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// RFC 9113 §8.3.1. Where both are there, the gate compares them.
fn name_host<B>(request: &mut Request<B>) {
    let Some(authority) = request.uri().authority() else { return };
    let Ok(host) = HeaderValue::from_str(authority.as_str()) else { return };
    let mut parts = request.uri().clone().into_parts();
    (parts.scheme, parts.authority) = (None, None);
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request.headers_mut().insert(header::HOST, host);
}

/// RFC 9113 §8.2.3.
fn join_cookies(fields: &mut HeaderMap) {
    let mut cookies = fields.get_all(header::COOKIE).iter();
    if let (Some(first), Some(second)) = (cookies.next(), cookies.next()) {
        let mut joined = [first.as_bytes(), second.as_bytes()].join(&b"; "[..]);
        for cookie in cookies {
            joined.extend_from_slice(b"; ");
            joined.extend_from_slice(cookie.as_bytes());
        }
        let joined = HeaderValue::from_bytes(&joined).expect("made of values and what values may have");
        fields.insert(header::COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{Empty, Full};

    use super::*;

    #[test]
    fn a_request_is_said_as_http1_says_it() {
        let mut request = Request::get("https://img.test:8443/a?b").body(Empty::<Bytes>::new()).unwrap();
        for cookie in ["a=1", "b=2", "c=3"] {
            request.headers_mut().append("cookie", HeaderValue::from_static(cookie));
        }
        as_http1(&mut request);
        assert_eq!(request.headers()["host"], "img.test:8443");
        assert_eq!(request.uri(), "/a?b");
        assert_eq!(request.headers().get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
        assert!(!request.headers().contains_key("transfer-encoding"));
    }

    #[test]
    fn a_host_field_stays_beside_the_authority_and_a_body_is_framed() {
        let request = |length| {
            let request = Request::post("https://a.test/x").header("host", "b.test");
            let request = if length { request.header("content-length", "2") } else { request };
            let mut request = request.body(Full::new(Bytes::from_static(b"ab"))).unwrap();
            as_http1(&mut request);
            request
        };
        assert_eq!(request(true).headers()["host"], "b.test");
        assert_eq!(request(true).uri(), "https://a.test/x");
        assert!(!request(true).headers().contains_key("transfer-encoding"));
        assert_eq!(request(false).headers()["transfer-encoding"], "chunked");
    }
}
