//! The composition root: config → cache → purge → proxy → admin; and the way down: drain and join.
//!
//! `sockets.rs` has the listeners, `certificates.rs` what they show, `running.rs` goes over to another config, `memory.rs` watches the process's memory,
//! `loopback.rs` makes warming's fetches.
//!
//! Every long-lived thread is started here and joined here. The data plane has one thread a core, each with
//! a runtime and a listener of its own; the control plane, the demo origin, the sweeper, the ledger and what warms
//! have a thread each, so that neither plane starves the other.

mod certificates;
mod loopback;
mod memory;
mod running;
mod sockets;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderValue, Response};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::admin::{self, Admin};
use crate::cache::{Audit, Cache, Figures};
use crate::clock::Clock;
use crate::config::{Account, Config, ConfigError, Origin, OriginServer};
use crate::demo_origin::{self, DemoOrigin};
use crate::key::Endpoints;
use crate::limits::{HAND_OVER_PAUSE, HAND_OVER_TIME_MAX, HISTORY_TICK, MEMORY_TICK};
use crate::proxy::listener::{self, Entrance};
use crate::proxy::{Proxy, PurgeCall, PurgeDoor};
use crate::purge::{LedgerError, Purger};
use crate::telemetry::access::AccessLog;
use crate::telemetry::history::Gauges;
use crate::telemetry::traces::Traces;
use crate::telemetry::{Metrics, NotReady, Telemetry, process};
use crate::tls::StoreError;
use certificates::Certificates;
use loopback::Loopback;
use running::Running;
use sockets::Sockets;

pub use running::{ReloadError, Reloaded};
pub use sockets::Inherited;

/// A running server.
pub struct App {
    /// Where images are served.
    pub proxy: SocketAddr,
    /// Where they are served over TLS, if they are.
    pub tls: Option<SocketAddr>,
    /// Where the purge API is.
    pub admin: SocketAddr,
    /// Where the embedded origin is, if an account uses it.
    pub demo_origin: Option<SocketAddr>,
    running: Arc<Running>,
    stop: watch::Sender<bool>,
    /// What serves images.
    serving: Vec<thread::JoinHandle<()>>,
    stop_beside: watch::Sender<bool>,
    /// What goes on until that has ended.
    beside: Vec<thread::JoinHandle<()>>,
    sweeper: thread::JoinHandle<()>,
}

/// Where the data plane leaves what it doesn't know: keys and purges.
struct Door(Arc<Admin>);

impl PurgeDoor for Door {
    fn purge(&self, call: PurgeCall) -> Pin<Box<dyn Future<Output = Response<Bytes>> + Send>> {
        let admin = self.0.clone();
        Box::pin(async move {
            let PurgeCall { url, account, fields, peer } = call;
            admin.purge_by_method(url, &account, &fields, peer).await
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
    /// What TLS towards clients needs is not to be had.
    Tls {
        /// The config's key.
        key: &'static str,
        /// What is wrong.
        source: StoreError,
    },
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
            StartError::Tls { key, source } => write!(f, "{key}: {source}"),
            StartError::System(error) => write!(f, "the system refuses: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl App {
    /// Starts a server. All ports are bound, and answer, when this returns.
    pub fn start(config: Config, clock: Clock) -> Result<App, StartError> {
        App::start_on(config, clock, Inherited::default())
    }

    /// The same with the listeners that were handed to this process.
    pub fn start_on(mut config: Config, clock: Clock, inherited: Inherited) -> Result<App, StartError> {
        if config.proxy.hand_over && inherited.is_any() {
            // What is done to a listener that is handed on would be there in every later process.
            tracing::warn!(
                "proxy.hand_over is not needed where listeners are handed to the process: it is left out"
            );
            config.proxy.hand_over = false;
        }
        let threads = config.proxy.threads;
        let certificates = Certificates::open(&config)?;
        let Sockets { proxies, admin: admins, tls: secure } = Sockets::open(&config, inherited)?;
        let proxy_address = proxies[0].local_addr().map_err(StartError::System)?;
        let admin_address = admins.local_addr().map_err(StartError::System)?;
        let mut warmed_at = proxy_address;
        if let (Some(tls), Some(secure)) = (&mut config.tls, &secure) {
            tls.listen = secure.listeners[0].local_addr().map_err(StartError::System)?; // Port 0 is a port now.
            warmed_at = secure.private.local_addr().map_err(StartError::System)?;
        }
        let tls_address = config.tls.as_ref().map(|tls| tls.listen);
        let admin_tls = certificates.admin.clone();
        let tls = tls(&config)?;
        let instance = random_name().map_err(StartError::System)?;

        let cache = Cache::in_parts(config.cache.parts, config.cache.max_bytes, clock.clone());
        let endpoints = Arc::new(Endpoints::with_routes(&config.accounts, &config.routes));
        let purger = open_ledger(&config, &endpoints, &cache, &clock)?;
        let metrics = Arc::new(Metrics::default());
        let origin = start_demo_origin(&config, clock.clone())?;
        let demo_address = origin.as_ref().map(|origin| origin.address);
        let origins = servers(&config, demo_address);
        let proxy =
            Proxy::new(&config, endpoints.clone(), cache.clone(), origins, tls, metrics.clone(), &instance);
        let (accounts, keys) = (&config.accounts, &config.keys);
        let (shared, purges, cached) = (endpoints.clone(), purger.clone(), cache.clone());
        let admin = Admin::new(&config.admin, accounts, keys, shared, purges, cached, clock.clone());
        let access = AccessLog::start(&config.access_log)
            .map_err(|source| StartError::AccessLog { path: config.access_log.path.clone(), source })?
            .map(Arc::new);
        if let Some(access) = &access {
            proxy.open_access_log(access.clone());
        }
        let traces = Traces::start(config.trace.as_ref())
            .map_err(|error| StartError::System(io::Error::other(error)))?
            .map(Arc::new);
        if let Some(traces) = &traces {
            proxy.open_traces(traces.clone());
        }
        let telemetry = Telemetry { access, traces, ..Telemetry::new(metrics.clone(), cache.clock()) };
        let admin = Arc::new(admin.showing(telemetry.clone()));
        proxy.open_purge_door(Arc::new(Door(admin.clone())));
        let warmed = Arc::new(ArcSwap::new(endpoints));
        let running = Arc::new(Running {
            current: Arc::new(ArcSwap::new(proxy)),
            admin: admin.clone(),
            purger: purger.clone(),
            cache: cache.clone(),
            metrics,
            telemetry: telemetry.clone(),
            warmed: warmed.clone(),
            clock,
            load: OnceLock::new(),
            certificates,
            reading: Mutex::default(),
            state: Mutex::new(running::State { start: config.stated.clone(), config, origin }),
            retiring: Mutex::default(),
        });
        admin.open_reload_door(Arc::downgrade(&running) as _);

        let sweeper = cache.start_sweeper().map_err(StartError::System)?;
        let (stop, stopped) = watch::channel(false);
        let (stop_beside, stopped_beside) = watch::channel(false);
        let mut serving = Vec::with_capacity(threads + 1);
        // A thread's runtime drives what others need to the end: fills that they follow, connections to origins
        // that they have borrowed. So none ends before all have answered.
        let all_ended = Arc::new(tokio::sync::Barrier::new(proxies.len()));
        let mut entrances = running.entrances(secure).into_iter();
        for socket in proxies {
            let (current, stopped, all_ended) = (running.current.clone(), stopped.clone(), all_ended.clone());
            let further = entrances.next().unwrap_or_default();
            let serve = |socket| async move {
                let entrances = further.into_iter().filter_map(usable);
                let mut listening = JoinSet::new();
                for (socket, entrance) in std::iter::once((socket, Entrance::Clear)).chain(entrances) {
                    listening.spawn(listener::serve(socket, entrance, current.clone(), stopped.clone()));
                }
                while listening.join_next().await.is_some() {}
                all_ended.wait().await;
            };
            serving.push(spawn_plane("proxy", socket, running.clone(), stop.subscribe(), serve)?);
        }
        serving.push(spawn_warmer(purger.clone(), Loopback::new(warmed_at, warmed), stopped)?);
        let serve = |socket| admin::serve(socket, admin, admin_tls, turned(stopped_beside));
        let watched = stop_beside.subscribe();
        let beside = vec![
            spawn_plane("admin", admins, running.clone(), stop_beside.subscribe(), serve)?,
            spawn_watch(telemetry, running.clone(), watched)?,
        ];
        Ok(App {
            proxy: proxy_address,
            tls: tls_address,
            admin: admin_address,
            demo_origin: demo_address,
            running,
            stop,
            serving,
            stop_beside,
            beside,
            sweeper,
        })
    }

    /// From now on the config can be read again, by this. The first one stays.
    pub fn reload_by(&self, load: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static) {
        self.running.load.get_or_init(|| Box::new(load));
    }

    /// Reads the config again, and goes by it from now on: whole, or not at all.
    pub fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.running.reload()
    }

    /// Walks what is stored, in search of what must not be there.
    pub fn audit(&self) -> Audit {
        self.running.cache.audit()
    }

    /// The cache's figures, exact at this moment.
    pub fn figures(&self) -> Figures {
        self.running.cache.settle();
        self.running.cache.figures()
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.running.metrics
    }

    /// Opens the access log's file anew: a tool that rotates logs has moved it away. Nothing where there is none.
    pub fn reopen_access_log(&self) {
        self.running.reopen_access_log();
    }

    /// Says that it is about to end, and goes on for `proxy.lame_duck`; then accepts no more, lets running answers finish
    /// within `proxy.drain_timeout`, writes the ledger, and joins every thread. The admin listener answers until the last
    /// image is out.
    pub fn stop(self) {
        let lame_duck = self.running.state.lock().config.proxy.lame_duck;
        self.running.telemetry.readiness.hold(NotReady::Draining);
        self.running.current.load().leave();
        thread::sleep(lame_duck);
        self.stop.send_replace(true);
        self.serving.into_iter().for_each(join);
        self.stop_beside.send_replace(true);
        self.beside.into_iter().for_each(join);
        if let Some(origin) = self.running.state.lock().origin.take() {
            origin.stop.send_replace(true);
            join(origin.thread);
        }
        if let Some(access) = &self.running.telemetry.access {
            access.close();
        }
        if let Some(traces) = &self.running.telemetry.traces {
            traces.close();
        }
        self.running.cache.close();
        join(self.sweeper);
        self.running.purger.close();
    }
}

/// Opens the ledger. Where another process may have handed the ports over, it has the ledger until it has ended: so long
/// nothing is served here, and what is purged there is purged.
fn open_ledger(
    config: &Config,
    endpoints: &Arc<Endpoints>,
    cache: &Arc<Cache>,
    clock: &Clock,
) -> Result<Purger, StartError> {
    let end = Instant::now() + HAND_OVER_TIME_MAX;
    let mut said = false;
    loop {
        let opened =
            Purger::open(&config.accounts, endpoints.clone(), &config.ledger, cache.clone(), clock.clone());
        match opened {
            Err(error) if config.proxy.hand_over && error.is_in_use() && Instant::now() < end => {
                if !std::mem::replace(&mut said, true) {
                    tracing::info!(
                        "another process has the ledger: what comes here waits until it has ended"
                    );
                }
                thread::sleep(HAND_OVER_PAUSE);
            }
            opened => {
                let path = || config.ledger.path.clone();
                return opened.map_err(|source| StartError::Ledger { path: path(), source });
            }
        }
    }
}

fn usable(
    (socket, entrance): (std::net::TcpListener, Entrance),
) -> Option<(tokio::net::TcpListener, Entrance)> {
    match tokio::net::TcpListener::from_std(socket) {
        Ok(socket) => Some((socket, entrance)),
        Err(error) => {
            tracing::error!(%error, "a listener is not usable");
            None
        }
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
    running: Arc<Running>,
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
                () = drained(stopped, &running) => {
                    tracing::warn!("answers were still running at the end of the drain");
                }
            }
        });
    };
    thread::Builder::new().name(name.into()).spawn(plane).map_err(StartError::System)
}

/// A thread that looks after what changes by itself, until the stop: the store's pending work, the history's steps, the
/// memory, and what an earlier config has left. On one of its own, and not on a plane's: the cache's figures take locks that a sweep holds for moments.
fn spawn_watch(
    telemetry: Telemetry,
    running: Arc<Running>,
    stopped: watch::Receiver<bool>,
) -> Result<thread::JoinHandle<()>, StartError> {
    let runtime = runtime().map_err(StartError::System)?;
    let ticks = async move {
        let mut memory = memory::Watch::new();
        let most_allowed = process::memory_limit();
        loop {
            // What was removed while nobody asks for anything is held by the store's pending work until it is done.
            running.cache.settle();
            let (figures, purges) = (running.cache.figures(), running.purger.figures().accepted);
            let gauges = Gauges { entries: figures.entries, bytes: figures.bytes, purges };
            telemetry.history.tick(running.cache.now(), &telemetry.metrics, gauges);
            running.retire();
            running.certificates.look();
            let next = tokio::time::Instant::now() + HISTORY_TICK;
            while tokio::time::Instant::now() < next {
                let most = running.state.lock().config.cache.process_max_bytes.or(most_allowed);
                let current = running.current.load();
                memory.look(&running.cache, most, current.pressure());
                match current.pressure().refuses() {
                    true => telemetry.readiness.hold(NotReady::Overloaded),
                    false => telemetry.readiness.release(NotReady::Overloaded),
                }
                drop(current);
                tokio::time::sleep(MEMORY_TICK).await;
            }
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
    thread::Builder::new().name("watch".into()).spawn(run).map_err(StartError::System)
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

/// Until the drain's time is over, as the config has it then.
async fn drained(stopped: watch::Receiver<bool>, running: &Running) {
    turned(stopped).await;
    let drain = running.state.lock().config.proxy.drain_timeout;
    tokio::time::sleep(drain).await;
}

async fn turned(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await; // A sender that is gone says the same.
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// A running demo origin.
struct DemoRunning {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: thread::JoinHandle<()>,
}

fn start_demo_origin(config: &Config, clock: Clock) -> Result<Option<DemoRunning>, StartError> {
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
    Ok(Some(DemoRunning { address, stop, thread }))
}

/// The accounts' servers, in the config's order.
fn servers(config: &Config, demo: Option<SocketAddr>) -> Vec<Vec<OriginServer>> {
    let servers = |account: &Account| match &account.origin {
        Origin::Servers(servers) => servers.clone(),
        Origin::Demo => vec![server_at(demo.expect("started where an account uses it"))],
    };
    config.accounts.iter().map(servers).collect()
}

fn server_at(address: SocketAddr) -> OriginServer {
    OriginServer {
        tls: None,
        host: address.ip().to_string(),
        port: address.port(),
        base: String::new(),
        host_field: HeaderValue::from_str(&address.to_string()).expect("an address is visible ASCII"),
        headers: Vec::new(),
    }
}

/// TLS to the origins that have no roots of their own, if there are any.
fn tls(config: &Config) -> Result<Option<TlsConnector>, StartError> {
    let asks_the_system = |server: &OriginServer| server.tls.as_ref().is_some_and(|tls| tls.roots.is_none());
    let needs_roots = |origin: &Origin| match origin {
        Origin::Servers(servers) => servers.iter().any(asks_the_system),
        Origin::Demo => false,
    };
    if !config.accounts.iter().any(|account| needs_roots(&account.origin)) {
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
