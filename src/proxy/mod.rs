//! The data plane: a request's way from a client's socket to an answer.
//!
//! `listener.rs` accepts, `protocol.rs` says what is spoken (`http2.rs` and `preface.rs` are HTTP/2's part), `connection.rs`
//! bounds a client's time by its `pace.rs`, `express.rs` answers plain hits below hyper, `outlet.rs` is where they leave by,
//! `gate.rs` admits, `redirect.rs` sends to TLS, `routes.rs` chooses the
//! rules, `pipeline.rs` looks up; on a miss `fill.rs` fetches by `failover.rs`, and `arrival.rs` streams and stores what
//! comes; `refreshes.rs` keeps refreshes apart. Of an account's origins `roster.rs` says whose turn it is; one is
//! `origin.rs`, found by `resolver.rs` and `dial.rs`, asked over `origin_connection.rs`, and answers with `origin_body.rs`.
//! HEAD goes by `head.rs`, PURGE by `purge_method.rs`, other methods by `pass.rs`. `answer.rs` and `reply.rs` make answers, `body.rs` carries
//! bodies, `interim.rs` what comes before an answer, `request_id.rs` names requests, `pressure.rs` says how short of
//! memory the process is. Meets the control plane in `cache` alone.

mod answer;
mod arrival;
mod body;
mod connection;
mod dial;
mod express;
mod failover;
mod fill;
pub mod gate;
mod head;
mod http2;
mod interim;
pub mod listener;
mod origin;
mod origin_body;
mod origin_connection;
mod outlet;
mod pace;
mod pass;
mod pipeline;
mod preface;
mod pressure;
mod protocol;
mod purge_method;
mod redirect;
mod refreshes;
mod reply;
mod request_id;
mod resolver;
mod roster;
mod routes;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::cache::{Cache, Failure};
use crate::clock::Clock;
use crate::config::{Config, Fetch, OriginServer, Roots};
use crate::key::{Endpoints, Key};
use crate::telemetry::access::AccessLog;
use crate::telemetry::traces::Traces;
use crate::telemetry::trail::Ending;
use crate::telemetry::{Metrics, origins};
use body::RequestBody;
use failover::Origins;
use origin::{Ask, Origin};
use origin_body::OriginBody;
use refreshes::Refreshes;
use request_id::{RequestIds, RequestName};
use resolver::Resolver;
use routes::Routes;

pub use pressure::Pressure;
pub use purge_method::{PurgeCall, PurgeDoor};

/// The data plane by one config: what each of its requests shares. When the config is read again, another takes its place
/// for the requests that come from then on; what is in `Lasting` is both's.
pub struct Proxy {
    config: crate::config::Proxy,
    endpoints: Arc<Endpoints>,
    cache: Arc<Cache>,
    /// By account, in the config's order.
    sites: Vec<Arc<Site>>,
    routes: Routes,
    metrics: Arc<Metrics>,
    /// The port of TLS that what comes in clear is sent to.
    redirect: Option<u16>,
    object_bytes_max: u64,
    /// How long a request waits for another's fetch before it makes its own.
    wait_for_others: Duration,
    lasting: Arc<Lasting>,
}

/// What is the process's, whatever its config.
struct Lasting {
    connections: Arc<AtomicUsize>,
    /// This process's name in Via; random, so that two of them in a row are not taken for a loop.
    pseudonym: String,
    request_ids: RequestIds,
    refreshes: Refreshes,
    /// Of `multipart/byteranges` so far: no two have one boundary.
    boundaries: AtomicU64,
    /// Who answers the method PURGE.
    purge_door: OnceLock<Arc<dyn PurgeDoor>>,
    /// Where requests have lines; nothing where it is off.
    access: OnceLock<Arc<AccessLog>>,
    traces: OnceLock<Arc<Traces>>,
    /// Whether the process is about to end.
    leaving: AtomicBool,
    pressure: Arc<Pressure>,
    resolver: Arc<Resolver>,
}

/// An account, as the data plane sees it.
pub struct Site {
    /// The account's id.
    pub id: String,
    /// What its origins were made of.
    servers: Vec<OriginServer>,
    fetch: Fetch,
    origins: Origins,
    total_timeout: Duration,
}

impl Site {
    fn new(
        id: &str,
        servers: Vec<OriginServer>,
        fetch: Fetch,
        trust: &mut Trust,
        resolver: &Arc<Resolver>,
        clock: Clock,
    ) -> Site {
        let origin = |server: &OriginServer| {
            let health = origins::Origin::new(id, server.url());
            Origin::new(server.clone(), fetch.clone(), trust.of(server), resolver.clone(), health)
        };
        let origins = servers.iter().map(origin).collect();
        Site {
            id: id.to_owned(),
            origins: Origins::new(id.to_owned(), origins, fetch.clone(), clock),
            total_timeout: fetch.total_timeout,
            servers,
            fetch,
        }
    }
}

impl Proxy {
    /// The data plane of `config`. `origins` are the accounts' servers, at least one each, in the config's order; `tls`
    /// is needed where one of them speaks it and has no roots of its own. `instance` tells this process from others, in
    /// Via.
    pub fn new(
        config: &Config,
        endpoints: Arc<Endpoints>,
        cache: Arc<Cache>,
        origins: Vec<Vec<OriginServer>>,
        tls: Option<TlsConnector>,
        metrics: Arc<Metrics>,
        instance: &str,
    ) -> Arc<Proxy> {
        let lasting = Lasting {
            connections: metrics.connections.clone(),
            pseudonym: format!("freshet-{instance}"),
            request_ids: RequestIds::new(instance),
            refreshes: Refreshes::default(),
            boundaries: AtomicU64::new(0),
            purge_door: OnceLock::new(),
            access: OnceLock::new(),
            traces: OnceLock::new(),
            leaving: AtomicBool::new(false),
            pressure: Arc::default(),
            resolver: Resolver::system(),
        };
        Proxy::made(config, endpoints, cache, metrics, Arc::new(lasting), origins, tls, &[])
    }

    /// The same data plane by another config. Accounts keep their places; origins that are what they were keep their
    /// connections and their health.
    pub fn by_config(
        &self,
        config: &Config,
        endpoints: Arc<Endpoints>,
        origins: Vec<Vec<OriginServer>>,
        tls: Option<TlsConnector>,
    ) -> Arc<Proxy> {
        let (cache, metrics, lasting) = (self.cache.clone(), self.metrics.clone(), self.lasting.clone());
        Proxy::made(config, endpoints, cache, metrics, lasting, origins, tls, &self.sites)
    }

    #[allow(clippy::too_many_arguments, reason = "it is what `new` and `by_config` have in common")]
    fn made(
        config: &Config,
        endpoints: Arc<Endpoints>,
        cache: Arc<Cache>,
        metrics: Arc<Metrics>,
        lasting: Arc<Lasting>,
        origins: Vec<Vec<OriginServer>>,
        tls: Option<TlsConnector>,
        before: &[Arc<Site>],
    ) -> Arc<Proxy> {
        assert_eq!(config.accounts.len(), origins.len(), "every account has origins");
        let mut trust = Trust { system: tls, own: Vec::new() };
        let sites: Vec<_> = config
            .accounts
            .iter()
            .zip(origins)
            .enumerate()
            .map(|(place, (account, servers))| match before.get(place) {
                Some(site) if site.servers == servers && site.fetch == config.fetch => site.clone(),
                _ => {
                    let (resolver, clock) = (&lasting.resolver, cache.clock().clone());
                    Arc::new(Site::new(
                        &account.id,
                        servers,
                        config.fetch.clone(),
                        &mut trust,
                        resolver,
                        clock,
                    ))
                }
            })
            .collect();
        let present = config.accounts.iter().zip(&sites).filter(|(account, _)| !account.is_absent());
        metrics.origins.replace(present.flat_map(|(_, site)| site.origins.healths()).cloned().collect());
        Arc::new(Proxy {
            config: config.proxy.clone(),
            endpoints,
            cache,
            sites,
            routes: Routes::new(&config.routes),
            metrics,
            redirect: config.tls.as_ref().and_then(redirect::port),
            object_bytes_max: config.cache.object_max_bytes,
            wait_for_others: config.fetch.first_byte_timeout,
            lasting,
        })
    }

    /// From now on the method PURGE is answered where the config allows it, by `door`. The first one stays.
    pub fn open_purge_door(&self, door: Arc<dyn PurgeDoor>) {
        self.lasting.purge_door.get_or_init(|| door);
    }

    /// From now on clients are asked to connect anew for their next request: the process is about to end.
    pub fn leave(&self) {
        self.lasting.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether the process is about to end.
    fn is_leaving(&self) -> bool {
        self.lasting.leaving.load(Ordering::Relaxed)
    }

    /// How short of memory the process is.
    pub fn pressure(&self) -> &Arc<Pressure> {
        &self.lasting.pressure
    }

    fn purge_door(&self) -> Option<&Arc<dyn PurgeDoor>> {
        self.lasting.purge_door.get().filter(|_| self.config.purge_method)
    }

    /// From now on requests have lines in `log`. The first one stays.
    pub fn open_access_log(&self, log: Arc<AccessLog>) {
        self.lasting.access.get_or_init(|| log);
    }

    /// From now on requests have spans, made by `traces`. The first one stays.
    pub fn open_traces(&self, traces: Arc<Traces>) {
        self.lasting.traces.get_or_init(|| traces);
    }

    /// Whether requests have lines, or spans, if they are chosen.
    fn keeps_lines(&self) -> bool {
        self.lasting.access.get().is_some() || self.lasting.traces.get().is_some()
    }

    /// What is to be kept of a request whose head was complete at `begun`, if it is to have a line. Costs a branch where
    /// lines are off.
    fn ending<B>(&self, request: &Request<B>, client: IpAddr, begun: Instant) -> Option<Box<Ending>> {
        let (access, traces) = (self.lasting.access.get(), self.lasting.traces.get());
        if access.is_none() && traces.is_none() {
            return None;
        }
        let time = self.cache.clock().wall();
        let log = access.filter(|log| log.chooses()).cloned();
        let span = traces.and_then(|traces| traces.begin(request.method(), request.headers(), time));
        if log.is_none() && span.is_none() {
            return None;
        }
        Some(Box::new(Ending::of(log, span, request, client, begun, time)))
    }

    /// What the origin is asked for a key: its canonical path and query, and these fields.
    fn ask(&self, method: Method, key: &Key, mut fields: HeaderMap) -> Ask {
        self.add_via(&mut fields);
        Ask { method, path_and_query: key.path_and_query().to_owned(), fields, interim: None, trail: None }
    }

    async fn exchange(
        &self,
        site: &Site,
        ask: Ask,
        request_id: &RequestName,
    ) -> Result<Response<OriginBody>, Failure> {
        let exchanged = self.send(site, ask, RequestBody::Empty).await;
        if let Err(failure) = &exchanged {
            let request = request_id.as_str();
            let failure = failure.as_str();
            tracing::warn!(account = %site.id, request, failure, "the origin gave no usable answer");
        }
        exchanged
    }

    /// Sends a request to a site's origins, and keeps count.
    async fn send(&self, site: &Site, ask: Ask, body: RequestBody) -> Result<Response<OriginBody>, Failure> {
        if self.lasting.pressure.refuses() {
            return Err(Failure::Overloaded);
        }
        self.metrics.fetches.increment();
        site.origins.exchange(ask, body).await
    }

    /// RFC 9110 §7.6.3.
    fn add_via(&self, fields: &mut HeaderMap) {
        let via = HeaderValue::from_str(&format!("1.1 {}", self.lasting.pseudonym));
        fields.append(header::VIA, via.expect("made of letters, digits and a hyphen"));
    }
}

/// Whom origins' certificates may be issued by.
struct Trust {
    system: Option<TlsConnector>,
    /// One for each file of roots: origins that share a file share what was made of it.
    own: Vec<(Arc<Roots>, TlsConnector)>,
}

impl Trust {
    /// How TLS is spoken to a server; nothing where it is not.
    fn of(&mut self, server: &OriginServer) -> Option<TlsConnector> {
        let Some(roots) = &server.tls.as_ref()?.roots else { return self.system.clone() };
        if let Some((_, known)) = self.own.iter().find(|(known, _)| Arc::ptr_eq(known, roots)) {
            return Some(known.clone());
        }
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.certificates.iter().cloned());
        let client = ClientConfig::builder().with_root_certificates(store).with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(client));
        self.own.push((roots.clone(), connector.clone()));
        Some(connector)
    }
}
