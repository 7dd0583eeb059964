//! The certificates of the listeners that speak TLS: opened at the start, and replaced by another config or by new files.

use std::sync::Arc;

use super::StartError;
use crate::config::Config;
use crate::tls::{IdentityError, Pair, Renewal, Store};

/// Of each listener that speaks TLS.
pub(super) struct Certificates {
    pub(super) proxy: Option<Arc<Store>>,
    pub(super) admin: Option<Arc<Store>>,
}

/// What the listeners can go over to.
pub(super) struct Renewals {
    proxy: Option<Renewal>,
    admin: Option<Renewal>,
}

impl Certificates {
    /// As the config names them.
    pub(super) fn open(config: &Config) -> Result<Certificates, StartError> {
        let open = |key, pairs: &[Pair]| {
            Store::open(pairs).map(Arc::new).map_err(|source| StartError::Tls { key, source })
        };
        let tls = config.tls.as_ref().map(|tls| open("tls.certificates", &tls.certificates));
        let admin = config.admin.tls.as_ref().map(|pair| open("admin.tls", std::slice::from_ref(pair)));
        Ok(Certificates { proxy: tls.transpose()?, admin: admin.transpose()? })
    }

    /// Reads what another config names, for the listeners that there are.
    pub(super) fn read(&self, config: &Config) -> Result<Renewals, IdentityError> {
        let tls = self.proxy.as_ref().and(config.tls.as_ref());
        let admin = self.admin.as_ref().and(config.admin.tls.as_ref());
        Ok(Renewals {
            proxy: tls.map(|tls| Renewal::read(&tls.certificates)).transpose()?,
            admin: admin.map(|pair| Renewal::read(std::slice::from_ref(pair))).transpose()?,
        })
    }

    /// Goes over to what was read.
    pub(super) fn renew(&self, renewals: Renewals) {
        for (store, renewal) in [(&self.proxy, renewals.proxy), (&self.admin, renewals.admin)] {
            if let (Some(store), Some(renewal)) = (store, renewal) {
                store.renew(renewal);
            }
        }
    }

    /// Takes new files.
    pub(super) fn look(&self) {
        for store in [&self.proxy, &self.admin].into_iter().flatten() {
            match store.look() {
                Ok(false) => {}
                Ok(true) => tracing::info!("new certificates are shown from now on"),
                Err(error) => tracing::error!(%error, "new certificates are not taken; the old ones stay"),
            }
        }
    }
}
