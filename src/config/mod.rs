//! TOML → typed config; every problem in the file reported at once.
//!
//! `types.rs` has the values that the rest of the process is given, `read.rs` makes them from the text,
//! `origin.rs` does so for an account's origins, `route.rs` for `[[routes]]`, `keys.rs` for `[[keys]]`, `tls.rs` for `[tls]`, `trace.rs` for `[trace]`, `grant.rs` has what a key may do,
//! `section.rs` reads one table, `changes.rs` compares two configs, `problem.rs` says what is wrong, `authority.rs` is a host's one spelling.

mod authority;
mod changes;
mod grant;
mod keys;
mod origin;
mod problem;
mod read;
mod route;
mod section;
#[cfg(test)]
mod tests;
mod tls;
mod trace;
mod types;

use std::path::{Path, PathBuf};

pub use authority::{Authority, AuthorityError};
pub use changes::{Changes, Stated};
pub use grant::{Grant, GrantError, Scope, Scopes};
pub use problem::{ConfigError, Problem};
pub use read::{DEFAULT_TEXT, Sources, parse};
pub use types::{
    AccessForm, AccessLog, Account, Admin, Cache, Config, DemoOrigin, Fetch, Format, Hint, HttpMode, Ledger,
    Lifetimes, Log, LogFormat, NamedKey, Origin, OriginServer, OriginTls, Parameter, PrivateKey, Proxy,
    Redirect, Roots, Route, SetCookie, Tls, Trace, UrlEndpoint, Urls,
};

/// The file that is looked for in the working directory where none is named.
pub const FILE_NAME: &str = "config.toml";

/// Reads the config: the file named, else `config.toml` of the working directory, else the text built in.
/// Also tells which it was.
pub fn load(named: Option<&Path>) -> Result<(Config, String), ConfigError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let variable = |name: &str| std::env::var(name).ok();
    let path =
        named.map(PathBuf::from).or_else(|| Some(PathBuf::from(FILE_NAME)).filter(|path| path.exists()));
    let Some(path) = path else {
        let sources = Sources { variable: &variable, folder: Path::new(""), cores };
        let name = "the built-in config".to_owned();
        return parse(DEFAULT_TEXT, &name, &sources).map(|config| (config, name));
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let name = path.display().to_string();
    parse(&text, &name, &Sources { variable: &variable, folder, cores }).map(|config| (config, name))
}
