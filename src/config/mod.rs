//! TOML → typed config; every problem in the file reported at once.
//!
//! `types.rs` has the values that the rest of the process is given, `authority.rs` a host's one spelling.

mod authority;
mod types;

pub use authority::{Authority, AuthorityError};
pub use types::{
    Account, Admin, Cache, Config, DemoOrigin, Fetch, Ledger, Log, LogFormat, Origin, OriginServer,
    PrivateKey, Proxy, Route, UrlEndpoint, Urls,
};
