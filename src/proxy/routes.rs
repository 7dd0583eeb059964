//! The rules for a request: the first route that matches its account and path, else the defaults.

use std::sync::Arc;

use http::Method;
use regex::Regex;

use crate::config;
use crate::semantics::policy::Policy;

/// The routes, in the config's order, and what holds where none matches.
pub struct Routes {
    routes: Vec<Route>,
    default: Route,
}

/// What a route says.
pub struct Route {
    pattern: Option<Regex>,
    account: Option<String>,
    /// Methods passed on beside GET and HEAD.
    pub methods: Vec<Method>,
    /// The methods that are taken, as Allow lists them.
    pub allow: String,
    /// How its responses are cached.
    pub policy: Arc<Policy>,
}

impl Routes {
    /// The routes of a config.
    pub fn new(routes: &[config::Route]) -> Routes {
        let default = config::Route { pattern: None, account: None, methods: Vec::new() };
        Routes { routes: routes.iter().map(Route::new).collect(), default: Route::new(&default) }
    }

    /// The first that matches. Costs a regular expression for each route before it; nothing without routes.
    pub fn choose(&self, account: &str, path: &str) -> &Route {
        self.routes.iter().find(|route| route.matches(account, path)).unwrap_or(&self.default)
    }
}

impl Route {
    fn new(route: &config::Route) -> Route {
        let methods = ["GET", "HEAD"].into_iter().chain(route.methods.iter().map(Method::as_str));
        Route {
            pattern: route.pattern.clone(),
            account: route.account.clone(),
            methods: route.methods.clone(),
            allow: methods.collect::<Vec<_>>().join(", "),
            policy: Arc::new(Policy::image()),
        }
    }

    fn matches(&self, account: &str, path: &str) -> bool {
        self.account.as_deref().is_none_or(|only| only == account)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(path))
    }
}
