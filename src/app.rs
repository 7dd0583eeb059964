//! The composition root: config → cache → purge → proxy → admin; and the way down: drain and join.
//!
//! Every long-lived thread is started here and joined here. The data plane has one thread a core, each with
//! a runtime and a listener of its own; the control plane, the demo origin, the sweeper, the ledger and what warms
//! have a thread each, so that neither plane starves the other.

mod loopback;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::admin::{self, Admin};
use crate::cache::{Audit, Cache, Figures};
use crate::clock::Clock;
use crate::config::{Config, Origin, OriginServer};
use crate::demo_origin::{self, DemoOrigin};
use crate::key::Endpoints;
use crate::limits::HISTORY_TICK;
use crate::proxy::{Proxy, PurgeCall, PurgeDoor, listener};
use crate::purge::{LedgerError, Purger};
use crate::telemetry::access::AccessLog;
use crate::telemetry::history::Gauges;
use crate::telemetry::{Metrics, Telemetry};
use loopback::Loopback;

/// A running server.
pub struct App {
    /// Where images are served.
    pub proxy: SocketAddr,
    /// Where the purge API is.
    pub admin: SocketAddr,
    /// Where the embedded origin is, if an account uses it.
    pub demo_origin: Option<SocketAddr>,
    cache: Arc<Cache>,
    metrics: Arc<Metrics>,
    access: Option<Arc<AccessLog>>,
    purger: Purger,
    stop: watch::Sender<bool>,
    planes: Vec<thread::JoinHandle<()>>,
    origin: Option<(watch::Sender<bool>, thread::JoinHandle<()>)>,
    sweeper: thread::JoinHandle<()>,
}

/// Where the data plane leaves what it doesn't know: keys and purges.
struct Door(Arc<Admin>);

impl PurgeDoor for Door {
    fn purge(&self, call: PurgeCall) -> Pin<Box<dyn Future<Output = Response<Bytes>> + Send>> {
        let admin = self.0.clone();
        Box::pin(async move {
            let PurgeCall { url, account, fields, peer } = call;
            admin.purge_by_method(url, account, &fields, peer).await
        })
    }
}

/// Why a server could not be started. Nothing is left running.
#[derive(Debug)]
pub enum StartError {
    /// An address can't be listened on.
    Listen {
        /// The config's key.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The ledger can't be opened.
    Ledger {
        /// Its file, if it has one.
        path: Option<PathBuf>,
        /// What the disk or the database says.
        source: LedgerError,
    },
    /// The access log can't be opened.
    AccessLog {
        /// Its file, if it has one.
        path: Option<PathBuf>,
        /// What the system says.
        source: io::Error,
    },
    /// The demo origin can't be started.
    DemoOrigin(demo_origin::Error),
    /// An origin speaks TLS, and the system has no root certificates.
    NoRootCertificates,
    /// A thread, or the randomness that it needs, is not to be had.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Listen { key, address, source } if source.kind() == io::ErrorKind::AddrInUse => {
                write!(
                    f,
                    "{key} = \"{address}\": another process listens there; stop it, or choose another port"
                )
            }
            StartError::Listen { key, address, source } => write!(f, "{key} = \"{address}\": {source}"),
            StartError::Ledger { path, source } => {
                let path = path.as_ref().map_or(":memory:".into(), |path| path.display().to_string());
                write!(f, "ledger.path = \"{path}\": {source}")?;
                let causes = std::iter::successors(std::error::Error::source(source), |cause| cause.source());
                causes.into_iter().try_for_each(|cause| write!(f, ": {cause}"))
            }
            StartError::AccessLog { path, source } => {
                let path = path.as_ref().map_or("-".into(), |path| path.display().to_string());
                write!(f, "log.access_path = \"{path}\": {source}")
            }
            StartError::DemoOrigin(error) => write!(f, "demo_origin: {error}"),
            StartError::NoRootCertificates => f.write_str(
                "an origin is https, and the system has no root certificates; install ca-certificates",
            ),
            StartError::System(error) => write!(f, "the system refuses: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl App {
    /// Starts a server. All ports are bound, and answer, when this returns.
    pub fn start(config: Config, clock: Clock) -> Result<App, StartError> {
        let listen = |key, address, source| StartError::Listen { key, address, source };
        let threads = config.proxy.threads;
        let proxies = listener::bind(config.proxy.listen, threads)
            .map_err(|source| listen("proxy.listen", config.proxy.listen, source))?;
        let admins = listener::bind_one(config.admin.listen)
            .map_err(|source| listen("admin.listen", config.admin.listen, source))?;
        let proxy_address = proxies[0].local_addr().map_err(StartError::System)?;
        let admin_address = admins.local_addr().map_err(StartError::System)?;
        let tls = tls(&config)?;
        let instance = random_name().map_err(StartError::System)?;

        let cache = Cache::new(config.cache.max_bytes, clock.clone());
        let endpoints = Arc::new(Endpoints::with_routes(&config.accounts, &config.routes));
        let purger =
            Purger::open(&config.accounts, endpoints.clone(), &config.ledger, cache.clone(), clock.clone())
                .map_err(|source| StartError::Ledger { path: config.ledger.path.clone(), source })?;
        let metrics = Arc::new(Metrics::default());
        let origin = start_demo_origin(&config, clock.clone())?;
        let demo_address = origin.as_ref().map(|origin| origin.0);
        let origins = config.accounts.iter().map(|account| match &account.origin {
            Origin::Server(server) => server.clone(),
            Origin::Demo => server_at(demo_address.expect("started where an account uses it")),
        });
        let proxy = Proxy::new(
            &config,
            endpoints.clone(),
            cache.clone(),
            origins.collect(),
            tls,
            metrics.clone(),
            &instance,
        );
        let (accounts, keys) = (&config.accounts, &config.keys);
        let (shared, purges, cached) = (endpoints.clone(), purger.clone(), cache.clone());
        let admin = Admin::new(&config.admin, accounts, keys, shared, purges, cached, clock);
        let access = AccessLog::start(&config.access_log)
            .map_err(|source| StartError::AccessLog { path: config.access_log.path.clone(), source })?
            .map(Arc::new);
        if let Some(access) = &access {
            proxy.open_access_log(access.clone());
        }
        let telemetry =
            Telemetry { access: access.clone(), ..Telemetry::new(metrics.clone(), cache.clock()) };
        let admin = Arc::new(admin.showing(telemetry.clone()));
        if config.proxy.purge_method {
            proxy.open_purge_door(Arc::new(Door(admin.clone())));
        }

        let sweeper = cache.start_sweeper().map_err(StartError::System)?;
        let (stop, stopped) = watch::channel(false);
        let drain = config.proxy.drain_timeout;
        let mut planes = Vec::with_capacity(threads + 1);
        // A thread's runtime drives what others need to the end: fills that they follow, connections to origins
        // that they have borrowed. So none ends before all have answered.
        let all_ended = Arc::new(tokio::sync::Barrier::new(threads));
        for socket in proxies {
            let (proxy, stopped, all_ended) = (proxy.clone(), stopped.clone(), all_ended.clone());
            let serve = |socket| async move {
                listener::serve(socket, proxy, stopped).await;
                all_ended.wait().await;
            };
            planes.push(spawn_plane("proxy", socket, drain, stop.subscribe(), serve)?);
        }
        let serve = |socket| admin::serve(socket, admin, turned(stopped));
        planes.push(spawn_plane("admin", admins, drain, stop.subscribe(), serve)?);
        planes.push(spawn_history(telemetry, purger.clone(), cache.clone(), stop.subscribe())?);
        planes.push(spawn_warmer(purger.clone(), Loopback::new(proxy_address, endpoints), stop.subscribe())?);
        let origin = origin.map(|(_, stop, thread)| (stop, thread));
        let (proxy, admin) = (proxy_address, admin_address);
        Ok(App {
            proxy,
            admin,
            demo_origin: demo_address,
            cache,
            metrics,
            access,
            purger,
            stop,
            planes,
            origin,
            sweeper,
        })
    }

    /// Walks what is stored, in search of what must not be there.
    pub fn audit(&self) -> Audit {
        self.cache.audit()
    }

    /// The cache's figures, exact at this moment.
    pub fn figures(&self) -> Figures {
        self.cache.settle();
        self.cache.figures()
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Opens the access log's file anew: a tool that rotates logs has moved it away. Nothing where there is none.
    pub fn reopen_access_log(&self) {
        if let Some(access) = &self.access {
            access.reopen();
        }
    }

    /// Accepts no more, lets running answers finish within `proxy.drain_timeout`, writes the ledger, and
    /// joins every thread.
    pub fn stop(self) {
        self.stop.send_replace(true);
        self.planes.into_iter().for_each(join);
        if let Some((stop, thread)) = self.origin {
            stop.send_replace(true);
            join(thread);
        }
        if let Some(access) = self.access {
            access.close();
        }
        self.cache.close();
        join(self.sweeper);
        self.purger.close();
    }
}

fn join(thread: thread::JoinHandle<()>) {
    let name = thread.thread().name().unwrap_or_default().to_owned();
    if thread.join().is_err() {
        tracing::error!(thread = name, "a thread had panicked");
    }
}

/// A thread with a runtime of its own, which runs `serve` until it ends, or until `drain` after the stop.
fn spawn_plane<S: Future<Output = ()>>(
    name: &str,
    socket: std::net::TcpListener,
    drain: Duration,
    stopped: watch::Receiver<bool>,
    serve: impl FnOnce(tokio::net::TcpListener) -> S + Send + 'static,
) -> Result<thread::JoinHandle<()>, StartError> {
    let runtime = runtime().map_err(StartError::System)?;
    let plane = move || {
        runtime.block_on(async {
            let socket = match tokio::net::TcpListener::from_std(socket) {
                Ok(socket) => socket,
                Err(error) => return tracing::error!(%error, "a listener is not usable"),
            };
            tokio::select! {
                () = serve(socket) => {}
                () = async { turned(stopped).await; tokio::time::sleep(drain).await } => {
                    tracing::warn!("answers were still running at the end of the drain");
                }
            }
        });
    };
    thread::Builder::new().name(name.into()).spawn(plane).map_err(StartError::System)
}

/// A thread that closes the history's steps, until the stop. On one of its own, and not on a plane's: the cache's
/// figures take locks that a sweep holds for moments.
fn spawn_history(
    telemetry: Telemetry,
    purger: Purger,
    cache: Arc<Cache>,
    stopped: watch::Receiver<bool>,
) -> Result<thread::JoinHandle<()>, StartError> {
    let runtime = runtime().map_err(StartError::System)?;
    let ticks = async move {
        loop {
            let (figures, purges) = (cache.figures(), purger.figures().accepted);
            let gauges = Gauges { entries: figures.entries, bytes: figures.bytes, purges };
            telemetry.history.tick(cache.now(), &telemetry.metrics, gauges);
            tokio::time::sleep(HISTORY_TICK).await;
        }
    };
    let run = move || {
        runtime.block_on(async {
            tokio::select! {
                () = ticks => {}
                () = turned(stopped) => {}
            }
        });
    };
    thread::Builder::new().name("history".into()).spawn(run).map_err(StartError::System)
}

/// A thread that fetches again what was purged, until the stop; then its fetches end where they are.
fn spawn_warmer(
    purger: Purger,
    fetcher: Loopback,
    stopped: watch::Receiver<bool>,
) -> Result<thread::JoinHandle<()>, StartError> {
    let runtime = runtime().map_err(StartError::System)?;
    let warm = move || {
        runtime.block_on(async {
            tokio::select! {
                () = purger.run_warmings(Arc::new(fetcher)) => {}
                () = turned(stopped) => {}
            }
        });
    };
    thread::Builder::new().name("warmer".into()).spawn(warm).map_err(StartError::System)
}

async fn turned(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await; // A sender that is gone says the same.
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

type Started = (SocketAddr, watch::Sender<bool>, thread::JoinHandle<()>);

fn start_demo_origin(config: &Config, clock: Clock) -> Result<Option<Started>, StartError> {
    if !config.accounts.iter().any(|account| matches!(account.origin, Origin::Demo)) {
        return Ok(None);
    }
    let settings = demo_origin::Settings {
        listen: config.demo_origin.listen,
        images: config.demo_origin.images.clone(),
        max_age: demo_origin::MAX_AGE,
        clock,
    };
    let runtime = runtime().map_err(StartError::System)?;
    let origin = runtime.block_on(DemoOrigin::bind(settings)).map_err(StartError::DemoOrigin)?;
    let address = origin.local_addr();
    let (stop, stopped) = watch::channel(false);
    let serve = move || runtime.block_on(origin.serve(turned(stopped)));
    let thread =
        thread::Builder::new().name("demo-origin".into()).spawn(serve).map_err(StartError::System)?;
    Ok(Some((address, stop, thread)))
}

fn server_at(address: SocketAddr) -> OriginServer {
    OriginServer {
        tls: false,
        host: address.ip().to_string(),
        port: address.port(),
        base: String::new(),
        host_field: HeaderValue::from_str(&address.to_string()).expect("an address is visible ASCII"),
        headers: Vec::new(),
    }
}

fn tls(config: &Config) -> Result<Option<TlsConnector>, StartError> {
    let speaks_tls = |origin: &Origin| matches!(origin, Origin::Server(server) if server.tls);
    if !config.accounts.iter().any(|account| speaks_tls(&account.origin)) {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(StartError::NoRootCertificates);
    }
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(Some(TlsConnector::from(Arc::new(client))))
}

/// Eight hex digits.
fn random_name() -> io::Result<String> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
