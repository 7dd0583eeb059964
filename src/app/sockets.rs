//! The listeners: bound here, or handed to the process by whoever started it (socket activation, as systemd does).
//!
//! A handed listener is open before the process is and after it: connections that come meanwhile wait in its queue.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use super::StartError;
use crate::config::Config;
use crate::proxy::listener;

/// The names of handed listeners (`FileDescriptorName=`), and without names their order.
const NAMES: [&str; 3] = ["proxy", "admin", "tls"];

/// Listeners that were handed to this process; each may be absent.
#[derive(Debug, Default)]
pub struct Inherited {
    proxy: Option<TcpListener>,
    admin: Option<TcpListener>,
    tls: Option<TcpListener>,
}

impl Inherited {
    /// Whether there is one.
    pub(super) fn is_any(&self) -> bool {
        [&self.proxy, &self.tls, &self.admin].iter().any(|listener| listener.is_some())
    }

    /// As `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES` say (sd_listen_fds(3)). Taken once a process.
    pub fn from_environment() -> std::io::Result<Inherited> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let names: Vec<&str> = names.split(':').collect();
        let mut handed = listenfd::ListenFd::from_env();
        let mut inherited = Inherited::default();
        for place in 0..handed.len() {
            let name = names.get(place).filter(|name| NAMES.contains(name)).or(NAMES.get(place));
            let Some(listener) = handed.take_tcp_listener(place)? else { continue };
            match name {
                Some(&"proxy") => inherited.proxy = Some(listener),
                Some(&"admin") => inherited.admin = Some(listener),
                Some(&"tls") => inherited.tls = Some(listener),
                _ => {
                    tracing::warn!(place, "a handed listener has no name that is known: proxy, admin or tls")
                }
            }
        }
        Ok(inherited)
    }
}

/// All listeners.
pub(super) struct Sockets {
    /// One for each thread.
    pub(super) proxies: Vec<TcpListener>,
    pub(super) admin: TcpListener,
    /// Where TLS is spoken.
    pub(super) tls: Option<TlsSockets>,
}

/// What TLS towards clients has.
pub(super) struct TlsSockets {
    /// One for each thread.
    pub(super) listeners: Vec<TcpListener>,
    /// In clear, on loopback: what is warmed comes by it, and is redirected nowhere.
    pub(super) private: TcpListener,
}

impl Sockets {
    /// Takes what was handed, and binds the rest.
    pub(super) fn open(config: &Config, inherited: Inherited) -> Result<Sockets, StartError> {
        let (threads, beside) = (config.proxy.threads, config.proxy.hand_over);
        let open = |key, address: SocketAddr, handed: Option<TcpListener>, count| {
            let opened = match handed {
                Some(listener) => listener::share(listener, count),
                None => listener::bind(address, count, beside),
            };
            opened.map_err(|source| StartError::Listen { key, address, source })
        };
        let proxies = open("proxy.listen", config.proxy.listen, inherited.proxy, threads)?;
        let mut admins = open("admin.listen", config.admin.listen, inherited.admin, 1)?;
        let tls = match &config.tls {
            None => None,
            Some(tls) => {
                let listeners = open("tls.listen", tls.listen, inherited.tls, threads)?;
                let private = listener::bind((Ipv4Addr::LOCALHOST, 0).into(), 1, false);
                Some(TlsSockets { listeners, private: private.map_err(StartError::System)?.remove(0) })
            }
        };
        Ok(Sockets { proxies, admin: admins.remove(0), tls })
    }
}
