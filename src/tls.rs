//! TLS towards clients: certificates, which of them a client is shown, and how they are kept current.
//!
//! `identity.rs` reads a certificate with its key, `store.rs` chooses by the name that a client asks for, and takes
//! new files without a connection noticing. Nothing here opens a socket: whoever listens takes a [`Store`] and makes
//! handshakes by it. TLS 1.2 and 1.3 alone; tickets by keys that rotate; no early data, which could be replayed.

mod identity;
mod store;

pub use identity::{Identity, IdentityError, Pair};
pub use store::{Protocols, Renewal, Store, StoreError};
