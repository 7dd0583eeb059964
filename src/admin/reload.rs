//! Reading the config again, for operators: the root of the process does it, and leaves its door here.

use std::fmt;
use std::sync::{Arc, Weak};

use axum::extract::{Extension, Request, State};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Admin, AdminError, ErrorBody, reply, routes};
use crate::config::{ConfigError, Scope};

/// What reading the config again came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reloaded {
    /// Keys of the config whose values are in force from now on.
    #[schema(example = json!(["accounts[demo].purges_per_month", "proxy.idle_timeout"]))]
    pub changed: Vec<String>,
    /// Keys that differ and take effect at the next start.
    #[schema(example = json!(["proxy.threads"]))]
    pub at_start: Vec<String>,
    /// Accounts of which all that was stored is purged: their URLs have other keys now.
    #[schema(example = json!([]))]
    pub emptied: Vec<String>,
    /// What is allowed here and would be refused elsewhere.
    #[schema(example = json!([]))]
    pub warnings: Vec<String>,
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the config is read again")?;
        let lists = [
            ("in force now", &self.changed),
            ("at the next start", &self.at_start),
            ("purged whole, since their URLs have other keys", &self.emptied),
            ("warnings", &self.warnings),
        ];
        if lists.iter().all(|(_, list)| list.is_empty()) {
            return f.write_str(": nothing differs");
        }
        for (what, list) in lists.iter().filter(|(_, list)| !list.is_empty()) {
            write!(f, "; {what}: {}", list.join(", "))?;
        }
        Ok(())
    }
}

/// Why everything is as it was.
#[derive(Debug)]
pub enum NotReloaded {
    /// The process has no file to read.
    NoSource,
    /// It can't be read, or breaks rules.
    Config(ConfigError),
    /// It is right, and the system refuses what it asks for.
    Refused(String),
}

impl fmt::Display for NotReloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotReloaded::NoSource => {
                f.write_str("the process was started without a config that can be read again")
            }
            NotReloaded::Config(error) => error.fmt(f),
            NotReloaded::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for NotReloaded {}

/// Where the control plane leaves what it can't do.
pub trait ReloadDoor: Send + Sync {
    /// Reads the config again; takes as long as files do.
    fn reload(&self) -> Result<Reloaded, NotReloaded>;
}

impl Admin {
    /// From now on an operator's call reads the config again, by `door`. The first one stays.
    pub fn open_reload_door(&self, door: Weak<dyn ReloadDoor>) {
        self.reload_door.get_or_init(|| door);
    }

    fn door(&self) -> Result<Arc<dyn ReloadDoor>, NotReloaded> {
        self.reload_door.get().and_then(Weak::upgrade).ok_or(NotReloaded::NoSource)
    }
}

/// Read the config again
///
/// From the file that the process was started with: whole, or not at all. Stored images, connections, allowances and
/// sessions stay. An operator's call; SIGHUP does the same.
#[utoipa::path(
    post, path = "/v1/reload", tag = "server", operation_id = "reload",
    responses(
        (status = 200, description = "It is in force, but for what takes effect at the next start.", body = Reloaded),
        (status = 409, description = "It can't be taken, and nothing has changed: `help` says why.", body = ErrorBody),
    ),
)]
pub(super) async fn reload(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<routes::Connection>,
    req: Request,
) -> Result<Response, AdminError> {
    admin.principal(&req, connection)?.require(Scope::Operator)?;
    let reloaded = admin.walk(|admin| admin.door()?.reload()).await?;
    reloaded.map(|reloaded| reply(StatusCode::OK, &reloaded)).map_err(AdminError::NotReloaded)
}
