//! The demo origin: an image server that really transforms, for a first run and for tests.
//!
//! It speaks HTTP/1.1 and serves pictures that the project draws itself ([`pictures`]), beside those of a folder of
//! the user's (which come first), transformed by parameters with ImageKit's names (the table in `parameters.rs`) that
//! stand in the path, `/tr:w-400,h-300/photos/2024/harbour.jpg`, or in the query, `?tr=w-400,h-300`. `GET /` lists
//! the embedded pictures. What it refuses it explains: `{"message": …, "help": …}`.
//!
//! So that a person can see a purge work, an embedded picture can change: `PUT` a JPEG, PNG or WebP of at most
//! 16 MiB to its path and it is served in its place, with a new `ETag` and `Last-Modified`, until the process ends.
//! Only clients on this machine may do that.
//!
//! The way of a request: `server` (connection, body) → `answer` (HTTP's rules) → `address` (target → path and
//! `parameters`) → `gallery` (path → bytes; `draw`) → `encode` (bytes → pixels) → `transform` (by `geometry`) →
//! `encode`. A `refusal` may end it anywhere.
//!
//! Nothing of it is kept but the sources' bytes: keeping results is what Freshet is for. It imports limits and clock.

mod address;
mod answer;
mod draw;
mod encode;
mod gallery;
mod geometry;
mod parameters;
mod refusal;
mod server;
mod transform;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::clock::Clock;

/// How long an answer is fresh where nobody chose.
pub const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// What the demo origin is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address and port; port 0 is any free one.
    pub listen: SocketAddr,
    /// A folder of pictures that are served beside the embedded ones, before them where paths are equal.
    pub images: Option<PathBuf>,
    /// How long an answer says that it is fresh.
    pub max_age: Duration,
    /// Dates the embedded pictures and what replaces them.
    pub clock: Clock,
}

/// Why the demo origin did not start.
#[derive(Debug)]
pub enum Error {
    /// The address is in use, is not this machine's, or is not allowed.
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The folder of pictures is missing, cannot be read or is no folder.
    Images {
        /// What was asked for.
        folder: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Listen { address, source } => {
                write!(f, "the demo origin cannot listen on {address}: {source}")
            }
            Error::Images { folder, source } => {
                write!(f, "the demo origin cannot serve the folder {}: {source}", folder.display())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let (Error::Listen { source, .. } | Error::Images { source, .. }) = self;
        Some(source)
    }
}

/// Paths of the embedded pictures, without a slash before them.
pub fn pictures() -> impl Iterator<Item = &'static str> {
    draw::DRAWINGS.iter().map(|drawing| drawing.path)
}

/// A demo origin that listens, and answers once it [serves](DemoOrigin::serve).
pub struct DemoOrigin {
    listener: TcpListener,
    local_addr: SocketAddr,
    requests: Arc<AtomicU64>,
    shared: server::Shared,
}

impl DemoOrigin {
    /// Opens the folder and the listener. Connections wait from here on.
    pub async fn bind(settings: Settings) -> Result<DemoOrigin, Error> {
        let Settings { listen: address, images, max_age, clock } = settings;
        let gallery = gallery::Gallery::open(images.as_deref(), clock.wall())
            .map_err(|source| Error::Images { folder: images.unwrap_or_default(), source })?;
        let failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        let requests = Arc::new(AtomicU64::new(0));
        let shared = server::Shared::new(answer::Answerer::new(gallery, max_age), requests.clone(), clock);
        Ok(DemoOrigin { listener, local_addr, requests, shared })
    }

    /// Where it listens, with the port that was chosen for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Counts the requests that were answered, whatever the answer was.
    pub fn requests(&self) -> Arc<AtomicU64> {
        self.requests.clone()
    }

    /// Accepts until `stop`, then lets running answers finish, for at most
    /// [`DEMO_DRAIN_TIME`](crate::limits::DEMO_DRAIN_TIME).
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        server::serve(self.listener, self.shared, stop).await;
    }
}

#[cfg(test)]
mod tests;
