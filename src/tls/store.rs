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
use std::io::ErrorKind;
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

/// What a store can go over to.
pub struct Renewal {
    identities: Identities,
    watched: Watched,
}

impl Renewal {
    /// Reads the files of these pairs, at least one, which need not be those from before.
    pub fn read(pairs: &[Pair]) -> Result<Renewal, IdentityError> {
        let stamps = stamps(pairs); // Before the files: what changes meanwhile is seen later.
        let identities = Identities::read(pairs)?;
        Ok(Renewal {
            identities,
            watched: Watched { pairs: pairs.to_vec(), read: stamps.clone(), seen: stamps },
        })
    }
}

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
        let Renewal { identities, watched } = Renewal::read(pairs).map_err(StoreError::Identity)?;
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
        Ok(Store { shown, http1, http2, watched: Mutex::new(watched) })
    }

    /// What makes handshakes.
    pub fn acceptor(&self, protocols: Protocols) -> &TlsAcceptor {
        match protocols {
            Protocols::Http1 => &self.http1,
            Protocols::Http2 => &self.http2,
        }
    }

    /// Goes over to what was read. It can't fail, so that more than this can change at once.
    pub fn renew(&self, renewal: Renewal) {
        let Renewal { identities, watched } = renewal;
        let mut current = self.watched.lock();
        *current = watched;
        self.shown.0.store(Arc::new(identities));
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
        let read = Identities::read(&watched.pairs);
        // What could not be read just now is read again.
        let may_come = |error: &IdentityError| {
            matches!(error, IdentityError::Unreadable(_, error)
                if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied))
        };
        if !read.as_ref().is_err_and(may_come) {
            watched.read = stamps;
        }
        let identities = read?;
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Writes a certificate and its key, or one of them alone; gives the certificate.
    fn write(
        folder: &Path,
        certificate: bool,
        key: bool,
        made: &rcgen::CertifiedKey<rcgen::KeyPair>,
    ) -> Vec<u8> {
        // By a rename, as tools do that renew certificates: a new inode is noticed however fast they are.
        let put = |name: &str, text: String| {
            std::fs::write(folder.join("new"), text).unwrap();
            std::fs::rename(folder.join("new"), folder.join(name)).unwrap();
        };
        if certificate {
            put("cert.pem", made.cert.pem());
        }
        if key {
            put("key.pem", made.signing_key.serialize_pem());
        }
        made.cert.der().to_vec()
    }

    fn shown(store: &Store) -> Vec<u8> {
        store.identities()[0].chain()[0].to_vec()
    }

    #[test]
    fn new_files_are_taken_when_they_are_all_there_and_wrong_ones_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let make = || rcgen::generate_simple_self_signed(["img.test".to_owned()]).unwrap();
        let (first, second) = (make(), make());
        let old = write(folder.path(), true, true, &first);
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let store = Store::open(&[Pair { certificate, key, ocsp: None }]).unwrap();
        assert!(!store.look().unwrap(), "nothing has changed");

        let new = write(folder.path(), true, false, &second);
        assert!(!store.look().unwrap(), "it may be changing still");
        let error = store.look().unwrap_err().to_string();
        assert!(error.contains("key.pem is not that of the first certificate in the file"), "{error}");
        assert!(!store.look().unwrap(), "it is told once");
        assert!(shown(&store) == old);

        write(folder.path(), false, true, &second);
        assert!(!store.look().unwrap() && shown(&store) == old, "it may be changing still");
        assert!(store.look().unwrap() && shown(&store) == new);

        std::fs::remove_file(folder.path().join("cert.pem")).unwrap();
        assert!(!store.look().unwrap() && store.look().is_err() && shown(&store) == new);
        write(folder.path(), true, true, &first);
        assert!(!store.look().unwrap() && store.look().unwrap() && shown(&store) == old);
    }

    #[test]
    fn a_store_goes_over_to_other_files_or_stays_as_it_is() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let make = || rcgen::generate_simple_self_signed(["img.test".to_owned()]).unwrap();
        let pair = |folder: &Path| Pair {
            certificate: folder.join("cert.pem"),
            key: folder.join("key.pem"),
            ocsp: None,
        };
        let old = write(one.path(), true, true, &make());
        let store = Store::open(&[pair(one.path())]).unwrap();
        assert!(Renewal::read(&[pair(other.path())]).is_err(), "there are no files");
        assert!(shown(&store) == old);
        let new = write(other.path(), true, true, &make());
        store.renew(Renewal::read(&[pair(other.path())]).unwrap());
        assert!(shown(&store) == new);
        write(one.path(), true, true, &make());
        assert!(!store.look().unwrap() && !store.look().unwrap(), "the earlier files are nobody's");
    }
}
