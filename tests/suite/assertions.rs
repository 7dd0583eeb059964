//! That the tests run on a hyper whose own checks are alive. A release build of it sends whatever length it is told,
//! beside whatever body: what these checks would find, no other test could see but by luck.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};

use http::{HeaderValue, Response, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

/// Serves one request by a body of five bytes that is announced as so many.
fn serve(length: &'static str) {
    let service = service_fn(move |_| async move {
        let mut response = Response::new(Full::new(bytes::Bytes::from_static(b"hello")));
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static(length));
        Ok::<_, Infallible>(response)
    });
    let mut written = Vec::new();
    let io = TokioIo::new(tokio::io::join(&b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..], &mut written));
    let serving =
        http1::Builder::new().half_close(true).header_read_timeout(None).serve_connection(io, service);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _ = runtime.block_on(serving); // What follows the request is no other one.
    assert!(written.ends_with(b"\r\n\r\nhello"));
}

#[test]
fn hyper_notices_a_length_that_is_not_the_bodys() {
    serve("5");
    let unnoticed = catch_unwind(AssertUnwindSafe(|| serve("10"))).is_ok();
    assert!(!unnoticed, "dependencies are built without debug assertions: see Cargo.toml");
}
