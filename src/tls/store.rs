//! The identities that a listener shows, by the name that a client asks for (SNI), and how new files replace them.
//!
//! Invariants:
//! - A handshake reads one set of identities, once: a replacement is whole or not at all, and concerns the
//!   handshakes after it. Connections that are open keep what they have.
//! - Tickets and sessions outlive a replacement: a client that comes back resumes.
//! - Files that are wrong change nothing.
//!
//! Lock: `watched`, held while files are read; by reloads and the watcher, never by a handshake.

use std::collections::HashMap;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{Error as TlsError, ServerConfig};

use super::identity::{Identity, IdentityError, Pair};
use crate::limits::TLS_SESSIONS_MAX;

/// What a listener speaks above TLS; a client chooses by ALPN (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocols {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 where the client can, else HTTP/1.1.
    Http2,
}

/// The identities of a listener.
pub struct Store {
    shown: Arc<Shown>,
    http1: TlsAcceptor,
    http2: TlsAcceptor,
    watched: Mutex<Watched>,
}

/// Why there is no store.
#[derive(Debug)]
pub enum StoreError {
    /// A certificate's files are wrong.
    Identity(IdentityError),
    /// The system has no randomness, or the library has no protocol.
    Tls(TlsError),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Identity(error) => error.fmt(f),
            StoreError::Tls(error) => write!(f, "TLS can't be begun: {error}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// What handshakes read.
struct Shown(ArcSwap<Identities>);

struct Identities {
    /// Never empty; the first one is shown where no name fits.
    list: Vec<Identity>,
    /// By each name, the first one that has it.
    by_name: HashMap<String, usize>,
}

/// What the files were when they were last read, and when they were last looked at.
struct Watched {
    pairs: Vec<Pair>,
    read: Vec<Stamp>,
    seen: Vec<Stamp>,
}

/// What tells one state of a file from another: device, inode, size, seconds and nanoseconds of its last change; none
/// where there is no file.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl Store {
    /// Reads the files of at least one pair; the first is shown where no name fits.
    pub fn open(pairs: &[Pair]) -> Result<Store, StoreError> {
        let stamps = stamps(pairs);
        let identities = Identities::read(pairs).map_err(StoreError::Identity)?;
        let shown = Arc::new(Shown(ArcSwap::from_pointee(identities)));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(StoreError::Tls)?
            .with_no_client_auth()
            .with_cert_resolver(shown.clone());
        config.ticketer = ring::Ticketer::new().map_err(StoreError::Tls)?;
        config.session_storage = ServerSessionMemoryCache::new(TLS_SESSIONS_MAX);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let http1 = TlsAcceptor::from(Arc::new(config.clone()));
        config.alpn_protocols.insert(0, b"h2".to_vec());
        let http2 = TlsAcceptor::from(Arc::new(config));
        let watched = Watched { pairs: pairs.to_vec(), read: stamps.clone(), seen: stamps };
        Ok(Store { shown, http1, http2, watched: Mutex::new(watched) })
    }

    /// What makes handshakes.
    pub fn acceptor(&self, protocols: Protocols) -> &TlsAcceptor {
        match protocols {
            Protocols::Http1 => &self.http1,
            Protocols::Http2 => &self.http2,
        }
    }

    /// Reads the files of these pairs, at least one, which need not be those from before. An error changes nothing.
    pub fn reload(&self, pairs: &[Pair]) -> Result<(), IdentityError> {
        let mut watched = self.watched.lock();
        let stamps = stamps(pairs);
        let identities = Identities::read(pairs)?;
        *watched = Watched { pairs: pairs.to_vec(), read: stamps.clone(), seen: stamps };
        self.shown.0.store(Arc::new(identities));
        Ok(())
    }

    /// Looks whether files have changed, and reads all of them where some have, and no more since the last look: so
    /// that a certificate and its key, which are written one after the other, are read together. Says whether they
    /// were taken; an error changes nothing, and comes once for each state of the files.
    pub fn look(&self) -> Result<bool, IdentityError> {
        let mut watched = self.watched.lock();
        let stamps = stamps(&watched.pairs);
        let is_settled = std::mem::replace(&mut watched.seen, stamps.clone()) == stamps;
        if stamps == watched.read || !is_settled {
            return Ok(false);
        }
        watched.read = stamps;
        let identities = Identities::read(&watched.pairs)?;
        self.shown.0.store(Arc::new(identities));
        Ok(true)
    }

    /// The identities that are shown now.
    pub fn identities(&self) -> Vec<Identity> {
        self.shown.0.load().list.clone()
    }
}

fn stamps(pairs: &[Pair]) -> Vec<Stamp> {
    let stamp = |path: &std::path::Path| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.dev(), file.ino(), file.size(), file.ctime(), file.ctime_nsec()))
    };
    pairs.iter().flat_map(Pair::files).map(stamp).collect()
}

impl Identities {
    fn read(pairs: &[Pair]) -> Result<Identities, IdentityError> {
        assert!(!pairs.is_empty(), "a listener shows something");
        let list = pairs.iter().map(Identity::read).collect::<Result<Vec<_>, _>>()?;
        let mut by_name = HashMap::new();
        for (at, identity) in list.iter().enumerate() {
            for name in identity.names() {
                by_name.entry(name.clone()).or_insert(at);
            }
        }
        Ok(Identities { list, by_name })
    }

    /// By the whole name, else by a wildcard in the place of its first label, else the first one.
    fn find(&self, name: Option<&str>) -> &Identity {
        let at = name.and_then(|name| {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let wildcard = || name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
            self.by_name.get(&name).or_else(|| self.by_name.get(&wildcard()?))
        });
        &self.list[at.copied().unwrap_or(0)]
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().find(hello.server_name()).certified())
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}
