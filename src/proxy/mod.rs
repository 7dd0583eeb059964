//! The data plane: a request's way from a client's socket to an answer.
//!
//! `listener.rs` accepts, `connection.rs` bounds a client's time, `gate.rs` admits, `routes.rs` chooses the
//! rules, `pipeline.rs` looks up; on a miss `fill.rs` fetches by `origin.rs`, whose connections are those of
//! `origin_connection.rs`, and `arrival.rs` streams and stores what comes; `refreshes.rs` keeps refreshes apart.
//! HEAD goes by `head.rs`, PURGE by `purge_method.rs`, other methods by `pass.rs`. `answer.rs` and `reply.rs` make answers, `body.rs` carries
//! bodies, `interim.rs` what comes before an answer, `request_id.rs` names requests. Meets the control plane in
//! `cache` alone.

mod answer;
mod arrival;
mod body;
mod connection;
mod fill;
pub mod gate;
mod head;
mod interim;
pub mod listener;
mod origin;
mod origin_connection;
mod pass;
mod pipeline;
mod purge_method;
mod refreshes;
mod reply;
mod request_id;
mod routes;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::cache::{Cache, Failure};
use crate::config::{Config, OriginServer};
use crate::key::{Endpoints, Key};
use crate::telemetry::access::AccessLog;
use crate::telemetry::trail::Ending;
use crate::telemetry::{Metrics, origins};
use body::RequestBody;
use origin::{Ask, Origin, OriginBody};
use refreshes::Refreshes;
use request_id::{RequestIds, RequestName};
use routes::Routes;

pub use purge_method::{PurgeCall, PurgeDoor};

/// What every request of the data plane shares.
pub struct Proxy {
    config: crate::config::Proxy,
    endpoints: Arc<Endpoints>,
    cache: Arc<Cache>,
    /// By account, in the config's order.
    sites: Vec<Arc<Site>>,
    routes: Routes,
    metrics: Arc<Metrics>,
    connections: Arc<AtomicUsize>,
    object_bytes_max: u64,
    /// How long a request waits for another's fetch before it makes its own.
    wait_for_others: Duration,
    /// This process's name in Via; random, so that two of them in a row are not taken for a loop.
    pseudonym: String,
    request_ids: RequestIds,
    refreshes: Refreshes,
    /// Of `multipart/byteranges` so far: no two have one boundary.
    boundaries: AtomicU64,
    /// Who answers the method PURGE; nobody where it is off.
    purge_door: OnceLock<Arc<dyn PurgeDoor>>,
    /// Where requests have lines; nothing where it is off.
    access: OnceLock<Arc<AccessLog>>,
}

/// An account, as the data plane sees it.
pub struct Site {
    /// The account's id.
    pub id: String,
    origin: Arc<Origin>,
    /// What the origin has shown of itself.
    health: Arc<origins::Origin>,
    total_timeout: Duration,
}

impl Proxy {
    /// The data plane of `config`. `origins` are the accounts' servers, in the config's order; `tls` is
    /// needed where one of them speaks it. `instance` tells this process from others, in Via.
    pub fn new(
        config: &Config,
        endpoints: Arc<Endpoints>,
        cache: Arc<Cache>,
        origins: Vec<OriginServer>,
        tls: Option<TlsConnector>,
        metrics: Arc<Metrics>,
        instance: &str,
    ) -> Arc<Proxy> {
        assert_eq!(config.accounts.len(), origins.len(), "every account has an origin");
        let sites = config.accounts.iter().zip(origins).map(|(account, server)| {
            let tls = tls.clone().filter(|_| server.tls);
            let scheme = if server.tls { "https" } else { "http" };
            let address = format!("{scheme}://{}:{}{}", server.host, server.port, server.base);
            let health = metrics.origins.add(&account.id, address);
            let origin = Origin::new(server, config.fetch.clone(), tls);
            Arc::new(Site {
                id: account.id.clone(),
                origin,
                health,
                total_timeout: config.fetch.total_timeout,
            })
        });
        Arc::new(Proxy {
            config: config.proxy.clone(),
            endpoints,
            cache,
            sites: sites.collect(),
            routes: Routes::new(&config.routes),
            connections: metrics.connections.clone(),
            metrics,
            object_bytes_max: config.cache.object_max_bytes,
            wait_for_others: config.fetch.first_byte_timeout,
            pseudonym: format!("freshet-{instance}"),
            request_ids: RequestIds::new(instance),
            refreshes: Refreshes::default(),
            boundaries: AtomicU64::new(0),
            purge_door: OnceLock::new(),
            access: OnceLock::new(),
        })
    }

    /// From now on the method PURGE is answered, by `door`. The first one stays.
    pub fn open_purge_door(&self, door: Arc<dyn PurgeDoor>) {
        self.purge_door.get_or_init(|| door);
    }

    /// From now on requests have lines in `log`. The first one stays.
    pub fn open_access_log(&self, log: Arc<AccessLog>) {
        self.access.get_or_init(|| log);
    }

    /// What is to be kept of a request whose head was complete at `begun`, if it is to have a line. Costs a branch where
    /// lines are off.
    fn ending<B>(&self, request: &Request<B>, client: IpAddr, begun: Instant) -> Option<Box<Ending>> {
        let log = self.access.get().filter(|log| log.chooses())?;
        let time = self.cache.clock().wall();
        Some(Box::new(Ending::of(log.clone(), request, client, begun, time)))
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

    /// Sends a request to an origin, and keeps count of how that went.
    async fn send(&self, site: &Site, ask: Ask, body: RequestBody) -> Result<Response<OriginBody>, Failure> {
        self.metrics.fetches.increment();
        site.health.asked();
        let (sent, trail) = (self.cache.now(), ask.trail.clone());
        let exchanged = site.origin.exchange(ask, body).await;
        match &exchanged {
            Ok(response) => {
                let time = self.cache.now().since(sent);
                site.health.answered(time);
                if let Some(trail) = trail {
                    trail.origin_answered(time);
                }
                if response.status().is_server_error() {
                    self.note_failure(site, Failure::ServerError);
                }
            }
            Err(failure) => self.note_failure(site, *failure),
        }
        exchanged
    }

    /// Remembers that an origin failed.
    fn note_failure(&self, site: &Site, failure: Failure) {
        site.health.failed(self.cache.clock().wall(), failure.as_str());
    }

    /// RFC 9110 §7.6.3.
    fn add_via(&self, fields: &mut HeaderMap) {
        let via = HeaderValue::from_str(&format!("1.1 {}", self.pseudonym));
        fields.append(header::VIA, via.expect("made of letters, digits and a hyphen"));
    }
}
