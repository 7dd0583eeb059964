//! A bare server over hyper: a current-thread runtime, one look-up in moka by path, and the answer.
//!
//! No semantics, no limits, no fences: what they cost is the difference between it and Freshet. It gives as many
//! fields as Freshet does for the same body.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use moka::sync::Cache;

use super::content;

/// hyper adds Content-Length and Date.
const ADDED_BY_HYPER: usize = 2;
/// Bytes of an answer that the kernel may hold for one client; the same as Freshet's.
const SEND_BUFFER_BYTES: usize = 256 * 1024;

struct Stored {
    fields: HeaderMap,
    body: Bytes,
}

type Store = Cache<Box<str>, Arc<Stored>>;

/// Serves until the process ends.
pub fn serve(listener: TcpListener, fields: usize) {
    listener.set_nonblocking(true).expect("a socket can be");
    socket2::SockRef::from(&listener).set_send_buffer_size(SEND_BUFFER_BYTES).expect("a socket takes it");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).expect("it is not blocking");
        let store: Store = Cache::new(1_000_000);
        loop {
            let Ok((socket, _)) = listener.accept().await else { continue };
            let _ = socket.set_nodelay(true); // A connection that is gone shows in what comes next.
            let store = store.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let answer = answer(&request, &store, fields);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
}

fn answer(request: &Request<Incoming>, store: &Store, fields: usize) -> Response<Full<Bytes>> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let stored = store.get(target).or_else(|| {
        // A copy of its own, as a cache that was filled has it.
        let body = Bytes::copy_from_slice(&content::body(target)?);
        let stored = Arc::new(Stored { fields: made(target, fields - ADDED_BY_HYPER), body });
        store.insert(target.into(), stored.clone());
        Some(stored)
    });
    let mut answer = Response::new(Full::default());
    match stored {
        Some(stored) => {
            *answer.headers_mut() = stored.fields.clone();
            *answer.body_mut() = Full::new(stored.body.clone());
        }
        None => *answer.status_mut() = StatusCode::NOT_FOUND,
    }
    answer
}

/// The first `count` of what a cache says of an image, padded where that is not enough.
fn made(target: &str, count: usize) -> HeaderMap {
    let tag = format!("\"{:016x}\"", content::hash(target));
    let usual = [
        (header::CONTENT_TYPE, "image/jpeg"),
        (header::CACHE_CONTROL, "public, max-age=31536000"),
        (header::ETAG, &tag),
        (header::LAST_MODIFIED, "Tue, 14 Nov 2023 00:00:00 GMT"),
        (header::AGE, "17"),
        (HeaderName::from_static("cache-status"), "bare; hit; ttl=31535983"),
        (HeaderName::from_static("x-request-id"), "0123456789abcdef0123456789abcdef"),
        (header::VIA, "1.1 bare"),
    ];
    let padding = (0..count.saturating_sub(usual.len())).map(|at| {
        (
            HeaderName::try_from(format!("x-padding-{at}")).expect("a token"),
            HeaderValue::from_static("0123456789"),
        )
    });
    let value = |text: &str| HeaderValue::from_str(text).expect("visible ASCII");
    usual.iter().take(count).map(|(name, text)| (name.clone(), value(text))).chain(padding).collect()
}
