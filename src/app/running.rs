//! What a config is in force in, and how another one comes into force: whole, or not at all.
//!
//! A reading that fails changes nothing. One that succeeds takes effect at one moment for purges and images alike: under
//! the purger's lock, so that no purge is made of the one config while images are served by the other. Stored images,
//! connections, allowances and sessions stay. What is read at the start alone keeps its value, and is named.
//!
//! Accounts keep their places: one that has left stays without URLs and keys, one that comes is added at the end. Where a
//! URL of an account has another key than before, the account is purged whole, since nobody could purge by URL what lies
//! under the earlier key; once more when the last request by the earlier config has ended, for what that one stored.
//!
//! Locks: `reading` over all, held for a reading; `state`, held while another config comes into force; `retiring`, over the
//! cache's.

use std::net::TcpListener;
use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::certificates::Certificates;
use super::sockets::TlsSockets;
use super::{DemoRunning, servers, start_demo_origin, tls};
use crate::admin::{Admin, NotReloaded, ReloadDoor};
use crate::cache::Cache;
use crate::clock::Clock;
use crate::config::{Account, Changes, Config, ConfigError, Stated, Tls};
use crate::key::{Endpoints, Making, remade};
use crate::proxy::Proxy;
use crate::proxy::listener::{Current, Entrance};
use crate::purge::Purger;
use crate::target::{Mode, Target};
use crate::telemetry::{self, Metrics, Telemetry};

pub use crate::admin::{NotReloaded as ReloadError, Reloaded};

/// Reads a config.
type Load = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// See the module.
pub(super) struct Running {
    pub(super) current: Current,
    pub(super) admin: Arc<Admin>,
    pub(super) purger: Purger,
    pub(super) cache: Arc<Cache>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) telemetry: Telemetry,
    /// What warming's fetches go by.
    pub(super) warmed: Arc<ArcSwap<Endpoints>>,
    pub(super) clock: Clock,
    /// Nothing where there is nothing to read again.
    pub(super) load: OnceLock<Load>,
    pub(super) certificates: Certificates,
    pub(super) reading: Mutex<()>,
    pub(super) state: Mutex<State>,
    pub(super) retiring: Mutex<Vec<Retiring>>,
}

/// What is in force.
pub(super) struct State {
    /// With the accounts that have left, each in its place.
    pub(super) config: Config,
    /// What the config said that the process was started with.
    pub(super) start: Stated,
    pub(super) origin: Option<DemoRunning>,
}

/// An earlier data plane, and what is to be purged when its last request has ended.
pub(super) struct Retiring {
    proxy: Weak<Proxy>,
    accounts: Target,
}

impl Running {
    /// Reads the config again, and goes by it from now on. One reading at a time.
    pub(super) fn reload(&self) -> Result<Reloaded, NotReloaded> {
        self.reopen_access_log(); // Tools that rotate logs send the signal that asks for a reading.
        let _alone = self.reading.lock();
        let reloaded = self.load.get().ok_or(NotReloaded::NoSource).and_then(|load| {
            // Files may take their time; nobody else waits for it.
            let wanted = load().map_err(NotReloaded::Config)?;
            self.go_over(&mut self.state.lock(), wanted)
        });
        match &reloaded {
            Ok(reloaded) => {
                self.metrics.reloads.increment();
                tracing::info!("{reloaded}");
            }
            Err(error) => {
                self.metrics.reload_failures.increment();
                tracing::error!("the config stays as it was: {error}");
            }
        }
        reloaded
    }

    /// Opens the access log's file anew, if there is one.
    pub(super) fn reopen_access_log(&self) {
        if let Some(access) = &self.telemetry.access {
            access.reopen();
        }
    }

    fn go_over(&self, state: &mut State, wanted: Config) -> Result<Reloaded, NotReloaded> {
        let before = &state.config;
        let changes = Changes::between(before, &wanted, &state.start);
        let config = in_place(before, wanted);
        let refused = |error: super::StartError| NotReloaded::Refused(error.to_string());
        // All that can fail comes first.
        let tls = tls(&config).map_err(refused)?;
        let read = self.certificates.read(&config);
        let renewals = read.map_err(|error| NotReloaded::Refused(error.to_string()))?;
        let started = match &state.origin {
            None => start_demo_origin(&config, self.clock.clone()).map_err(refused)?,
            Some(_) => None,
        };
        let demo = state.origin.as_ref().or(started.as_ref()).map(|origin| origin.address);
        let endpoints = Arc::new(Endpoints::with_routes(&config.accounts, &config.routes));
        let emptied: Vec<String> =
            remade(making(before), making(&config)).into_iter().map(str::to_owned).collect();
        let purged = Target::accounts(emptied.iter().map(|id| id.as_str().into()).collect());

        let earlier = self.current.load_full();
        let proxy = earlier.by_config(&config, endpoints.clone(), servers(&config, demo), tls);
        self.purger.take_over(&config.accounts, endpoints.clone(), || {
            // First: from the moment that the new keys are looked up, what lies under the earlier ones is gone. What the
            // earlier data plane stores after it was fetched after every purge that was acknowledged.
            if let Some(accounts) = &purged {
                self.cache.purge(accounts, Mode::Delete, Box::new(|_| {}));
            }
            self.current.store(proxy);
        });
        self.warmed.store(endpoints.clone());
        self.admin.take_over(&config.admin, &config.accounts, &config.keys, endpoints);
        self.certificates.renew(renewals);
        telemetry::set_log_level(&config.log.level);
        if let Some(accounts) = purged {
            self.retiring.lock().push(Retiring { proxy: Arc::downgrade(&earlier), accounts });
        }
        let reloaded = Reloaded {
            changed: changes.live,
            at_start: changes.at_start,
            emptied,
            warnings: config.warnings.clone(),
        };
        state.config = config;
        state.origin = state.origin.take().or(started);
        Ok(reloaded)
    }

    /// The entrances of TLS, by thread; the first thread has the private one too.
    pub(super) fn entrances(&self, sockets: Option<TlsSockets>) -> Vec<Vec<(TcpListener, Entrance)>> {
        let (Some(store), Some(sockets)) = (&self.certificates.proxy, sockets) else { return Vec::new() };
        let entrance = |listener| vec![(listener, Entrance::Tls(store.clone()))];
        let mut by_thread: Vec<_> = sockets.listeners.into_iter().map(entrance).collect();
        by_thread[0].push((sockets.private, Entrance::Private));
        by_thread
    }

    /// Purges what data planes have left whose last request has ended.
    pub(super) fn retire(&self) {
        self.retiring.lock().retain(|retiring| {
            let ended = retiring.proxy.strong_count() == 0;
            if ended {
                self.cache.purge(&retiring.accounts, Mode::Delete, Box::new(|_| {}));
            }
            !ended
        });
    }
}

impl ReloadDoor for Running {
    fn reload(&self) -> Result<Reloaded, NotReloaded> {
        Running::reload(self)
    }
}

fn making(config: &Config) -> Making<'_> {
    Making { accounts: &config.accounts, routes: &config.routes }
}

/// What `wanted` comes to in a process that runs by `before`.
fn in_place(before: &Config, mut wanted: Config) -> Config {
    wanted.proxy.listen = before.proxy.listen;
    wanted.proxy.threads = before.proxy.threads;
    wanted.proxy.hand_over = before.proxy.hand_over;
    wanted.admin.listen = before.admin.listen;
    // Whether TLS is spoken is known from the start; what is shown there may change.
    wanted.admin.tls = before.admin.tls.clone().map(|pair| wanted.admin.tls.unwrap_or(pair));
    wanted.tls = before.tls.clone().map(|tls| Tls { listen: tls.listen, ..wanted.tls.unwrap_or(tls) });
    wanted.cache.max_bytes = before.cache.max_bytes;
    wanted.cache.parts = before.cache.parts;
    let (wish, most) = (wanted.cache.object_max_bytes, before.cache.part_bytes());
    if wish > most {
        wanted.warnings.push(format!(
            "cache.object_max_bytes: no room for {wish} bytes in one part of the store as it began; {most} until the next start"
        ));
        wanted.cache.object_max_bytes = most;
    }
    wanted.ledger = before.ledger.clone();
    wanted.log.format = before.log.format;
    wanted.access_log = before.access_log.clone();
    wanted.trace = before.trace.clone();
    wanted.demo_origin = before.demo_origin.clone();
    let mut coming = wanted.accounts;
    let kept = before.accounts.iter().map(|account| {
        let place = coming.iter().position(|later| later.id == account.id);
        place.map_or_else(|| account.clone().left(), |place| coming.remove(place))
    });
    let mut accounts: Vec<Account> = kept.collect();
    accounts.append(&mut coming);
    Config { accounts, ..wanted }
}
