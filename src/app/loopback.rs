//! Warming's fetches: a GET through the proxy's own listener, as a client on this machine would send it.
//!
//! So whatever holds for clients holds for them: routes, limits, one fetch for many, what may be stored. Each has a
//! connection of its own, which ends with it. An answer is read to its end and kept nowhere.

use std::error::Error;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::key::{Endpoints, Key};
use crate::purge::{Fetched, Fetcher};

/// Fetches what was purged through the proxy.
pub(super) struct Loopback {
    proxy: SocketAddr,
    endpoints: Arc<ArcSwap<Endpoints>>,
}

impl Loopback {
    /// Through the proxy that listens on this address.
    pub(super) fn new(listens: SocketAddr, endpoints: Arc<ArcSwap<Endpoints>>) -> Loopback {
        let ip = match listens.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        Loopback { proxy: SocketAddr::new(ip, listens.port()), endpoints }
    }
}

impl Fetcher for Loopback {
    fn warm(&self, key: Key, fields: HeaderMap) -> Pin<Box<dyn Future<Output = Fetched> + Send>> {
        let url = self.endpoints.load().url_of(&key);
        let proxy = self.proxy;
        Box::pin(async move {
            let failure = match url.map(|url| request(&url, fields)) {
                Some(Ok(request)) => fetch(proxy, request).await.err(),
                Some(Err(error)) => Some(error),
                None => Some("no account has it".into()),
            };
            match failure {
                None => Fetched::Done,
                Some(error) => {
                    tracing::debug!(key = key.as_str(), error, "warming: not fetched");
                    Fetched::Failed
                }
            }
        })
    }
}

type Failure = Box<dyn Error + Send + Sync>;

/// What a client sends that would get the variant which these fields select.
fn request(url: &str, mut fields: HeaderMap) -> Result<Request<Empty<Bytes>>, Failure> {
    let uri: Uri = url.parse()?;
    let authority = uri.authority().ok_or("a URL without a host")?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    fields.insert(header::HOST, HeaderValue::from_str(authority.as_str())?);
    fields.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let mut request = Request::get(path).body(Empty::new())?;
    *request.headers_mut() = fields;
    Ok(request)
}

async fn fetch(proxy: SocketAddr, request: Request<Empty<Bytes>>) -> Result<(), Failure> {
    let socket = TcpStream::connect(proxy).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let mut exchange = pin!(async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            return Err(status.to_string().into());
        }
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        Ok(())
    });
    tokio::select! {
        exchanged = &mut exchange => exchanged,
        // What it has brought is there to be read; what it has not is an error of the exchange.
        _ = connection => exchange.await,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::path::Path;

    use super::super::App;
    use super::*;
    use crate::clock::Clock;
    use crate::config;
    use crate::purge::{Attempt, By, Door, Submission, Warm, WarmProgress, WarmState, Wish};

    /// An origin that has every image but those that are named `none`, and varies them by Accept.
    fn origin() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let socket = socket.unwrap();
                std::thread::spawn(move || answer(&socket));
            }
        });
        address
    }

    fn answer(mut socket: &std::net::TcpStream) {
        let mut target = None;
        for line in BufReader::new(socket).lines() {
            let Ok(line) = line else { return };
            if !line.is_empty() {
                target.get_or_insert(line);
                continue;
            }
            let has_none = target.take().is_some_and(|target| target.contains("none"));
            let status = if has_none { "404 Not Found" } else { "200 OK" };
            let fields =
                "content-type: image/png\r\ncache-control: max-age=60\r\nvary: accept\r\ncontent-length: 1";
            if write!(socket, "HTTP/1.1 {status}\r\n{fields}\r\n\r\nx").is_err() {
                return;
            }
        }
    }

    fn start() -> (App, Loopback) {
        let text = format!(
            "[proxy]\nlisten = \"127.0.0.1:0\"\nthreads = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [ledger]\npath = \":memory:\"\n[[accounts]]\nid = \"demo\"\nprivate_keys = [\"private_demo\"]\n\
             url_endpoints = [\"https://img.test/demo\"]\norigin = \"http://{}\"\n",
            origin()
        );
        let sources = config::Sources { variable: &|_| None, folder: Path::new("/"), cores: 1 };
        let config = config::parse(&text, "the test's config", &sources).unwrap();
        let endpoints = Arc::new(ArcSwap::from_pointee(Endpoints::new(&config.accounts)));
        let app = App::start(config, Clock::system()).unwrap();
        let loopback = Loopback::new(app.proxy, endpoints);
        (app, loopback)
    }

    fn warm(loopback: &Loopback, path: &str, fields: HeaderMap) -> Fetched {
        let key = loopback.endpoints.load().parse_url(&format!("https://img.test/demo/{path}")).unwrap().key;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(loopback.warm(key, fields))
    }

    #[test]
    fn what_is_warmed_is_stored_for_clients_whose_requests_have_the_same_fields() {
        let (app, loopback) = start();
        let avif = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("image/avif"))]);
        let path = "photos/2024/harbour.jpg?tr=w-40,f-auto";
        assert_eq!(warm(&loopback, path, avif.clone()), Fetched::Done);
        let metrics = app.metrics();
        assert_eq!((metrics.stored.get(), metrics.misses.get(), metrics.hits.get()), (1, 1, 0));
        assert_eq!(warm(&loopback, path, avif), Fetched::Done);
        assert_eq!((metrics.stored.get(), metrics.misses.get(), metrics.hits.get()), (1, 1, 1));
        assert_eq!(warm(&loopback, path, HeaderMap::new()), Fetched::Done);
        assert_eq!((metrics.stored.get(), metrics.misses.get(), metrics.hits.get()), (2, 2, 1));
        app.stop();
    }

    #[test]
    fn what_a_purge_removes_is_fetched_again_the_variants_that_were_asked_for_most() {
        let (app, loopback) = start();
        let avif = || HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("image/avif"))]);
        let path = |width: u32| format!("photos/2024/harbour.jpg?tr=w-{width},f-auto");
        // The first two are asked for again.
        for (width, fields) in [(40, avif()), (41, HeaderMap::new()), (42, avif())] {
            assert_eq!(warm(&loopback, &path(width), fields), Fetched::Done);
        }
        for (width, fields) in [(40, avif()), (41, HeaderMap::new())] {
            assert_eq!(warm(&loopback, &path(width), fields), Fetched::Done);
        }
        let metrics = app.metrics();
        assert_eq!((metrics.stored.get(), metrics.hits.get()), (3, 2));

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let progress = runtime.block_on(async {
            let wishes = [Wish::url("https://img.test/demo/photos/2024/*")];
            let by = By { key: "root".into(), door: Door::Api };
            let (attempt, warm) = (Attempt::First, Warm::new(2, 1000));
            let purge = Submission { account: 0, wishes: &wishes, attempt, by, note: None, warm };
            let id = app.running.purger.submit(purge).await.unwrap().id;
            loop {
                let record = app.running.purger.request(None, id).await.unwrap().unwrap();
                let progress = record.purge().and_then(|purge| purge.warm).unwrap();
                if progress.state.has_ended() {
                    return progress;
                }
                tokio::task::yield_now().await;
            }
        });
        let expected = WarmProgress { state: WarmState::Done, planned: 2, done: 2, failed: 0 };
        assert_eq!(progress, expected);
        assert_eq!((metrics.stored.get(), metrics.hits.get()), (5, 2));
        for (width, fields, hits) in [(40, avif(), 3), (41, HeaderMap::new(), 4), (42, avif(), 4)] {
            assert_eq!(warm(&loopback, &path(width), fields), Fetched::Done);
            assert_eq!(metrics.hits.get(), hits, "width {width}");
        }
        app.stop();
    }

    #[test]
    fn err_an_error_or_no_proxy_is_a_failure() {
        let (app, loopback) = start();
        assert_eq!(warm(&loopback, "photos/none.jpg", HeaderMap::new()), Fetched::Failed);
        app.stop();
        assert_eq!(warm(&loopback, "photos/2024/harbour.jpg", HeaderMap::new()), Fetched::Failed);
    }

    #[test]
    fn a_listener_on_every_address_is_reached_on_loopback() {
        let reached = |listens: &str| {
            let endpoints = Arc::new(ArcSwap::from_pointee(Endpoints::new(&[])));
            Loopback::new(listens.parse().unwrap(), endpoints).proxy.to_string()
        };
        assert_eq!(reached("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(reached("[::]:8080"), "[::1]:8080");
        assert_eq!(reached("192.0.2.1:80"), "192.0.2.1:80");
    }
}
