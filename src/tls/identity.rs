//! A certificate chain with its private key, read from files.
//!
//! Whatever is wrong with a file is said in words that name it; what a key's file holds is never shown.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error as TlsError, InconsistentKeys};
use x509_parser::extensions::GeneralName;

/// The files of one identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The certificate and those that lead to a root, in PEM; its own first.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// What its issuer says of its revocation, in DER; sent with it (RFC 6066 §8).
    pub ocsp: Option<PathBuf>,
}

impl Pair {
    /// Its files, in the order in which they are read.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.certificate), Some(&self.key), self.ocsp.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }
}

/// What a server proves to be.
#[derive(Clone)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    valid_until: SystemTime,
}

/// Why there is no identity.
#[derive(Debug)]
pub enum IdentityError {
    /// A file can't be read.
    Unreadable(PathBuf, io::Error),
    /// A file is no PEM.
    NotPem(PathBuf),
    /// The certificate's file has none.
    NoCertificate(PathBuf),
    /// Its first certificate can't be read.
    CertificateBroken(PathBuf),
    /// The key's file has none that is not encrypted.
    NoKey(PathBuf),
    /// The key is of a kind that TLS here can't use.
    KeyUnusable(PathBuf),
    /// The key is another certificate's.
    KeyMismatch(PathBuf, PathBuf),
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdentityError::Unreadable(path, error) => {
                write!(f, "the file {} can't be read: {error}", path.display())
            }
            IdentityError::NotPem(path) => write!(f, "the file {} is broken: it is no PEM", path.display()),
            IdentityError::NoCertificate(path) => write!(f, "the file {} has no certificate", path.display()),
            IdentityError::CertificateBroken(path) => {
                write!(f, "the first certificate in the file {} can't be read", path.display())
            }
            IdentityError::NoKey(path) => {
                write!(f, "the file {} has no private key, or an encrypted one", path.display())
            }
            IdentityError::KeyUnusable(path) => {
                let kinds = "RSA of 2048 bits and more, ECDSA by P-256 and P-384, and Ed25519 can be";
                write!(f, "the private key in the file {} can't be used: {kinds}", path.display())
            }
            IdentityError::KeyMismatch(certificate, key) => write!(
                f,
                "the private key in the file {} is not that of the first certificate in the file {}",
                key.display(),
                certificate.display()
            ),
        }
    }
}

impl std::error::Error for IdentityError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            IdentityError::Unreadable(_, error) => Some(error),
            _ => None,
        }
    }
}

impl Identity {
    /// Reads the files of a pair.
    pub fn read(pair: &Pair) -> Result<Identity, IdentityError> {
        let chain = read_chain(&pair.certificate)?;
        let key = read_key(&pair.key)?;
        let broken = || IdentityError::CertificateBroken(pair.certificate.clone());
        let (names, valid_until) = describe(&chain[0]).ok_or_else(broken)?;
        let mut certified =
            CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
                TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    IdentityError::KeyMismatch(pair.certificate.clone(), pair.key.clone())
                }
                TlsError::InvalidCertificate(_) => broken(),
                _ => IdentityError::KeyUnusable(pair.key.clone()),
            })?;
        certified.ocsp = pair.ocsp.as_deref().map(read_file).transpose()?;
        Ok(Identity { key: Arc::new(certified), names, valid_until })
    }

    /// Chain and key, as a handshake takes them.
    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        self.key.clone()
    }

    /// The host names that it is for, in lower case; a first label of `*` stands for any one label (RFC 9525 §6.3).
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The end of its validity.
    pub fn valid_until(&self) -> SystemTime {
        self.valid_until
    }

    /// Its certificates, its own first, in DER.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, IdentityError> {
    std::fs::read(path).map_err(|error| IdentityError::Unreadable(path.into(), error))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let text = read_file(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|_| IdentityError::NotPem(path.into()))?;
    if chain.is_empty() {
        return Err(IdentityError::NoCertificate(path.into()));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, IdentityError> {
    let text = read_file(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound => IdentityError::NoKey(path.into()),
        _ => IdentityError::NotPem(path.into()),
    })
}

/// The names that a certificate is for, and the end of its validity. The subject's common name is no such name (RFC
/// 9525 §2).
fn describe(certificate: &CertificateDer<'_>) -> Option<(Vec<String>, SystemTime)> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let alternatives = parsed.subject_alternative_name().ok()?;
    let names =
        alternatives.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.trim_end_matches('.').to_ascii_lowercase()),
            _ => None,
        });
    let until = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
    Some((names.collect(), UNIX_EPOCH + Duration::from_secs(until)))
}
