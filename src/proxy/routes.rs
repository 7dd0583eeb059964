//! The rules for a request: those of the route that its key was made under, else the defaults.

use std::sync::Arc;

use http::Method;

use crate::config::{self, HttpMode};
use crate::semantics::policy::Policy;

/// The routes, in the config's order, and what holds where none matches.
pub struct Routes {
    routes: Vec<Route>,
    default: Route,
}

/// What a route says.
pub struct Route {
    /// Methods passed on beside GET and HEAD; nothing: all but CONNECT and TRACE.
    methods: Option<Vec<Method>>,
    /// The methods that are taken, as Allow lists them.
    pub allow: String,
    /// How its responses are cached.
    pub policy: Arc<Policy>,
}

impl Routes {
    /// The routes of a config.
    pub fn new(routes: &[config::Route]) -> Routes {
        let default = Route::new(&config::Route::default());
        Routes { routes: routes.iter().map(Route::new).collect(), default }
    }

    /// The one with this index in the config, or the defaults.
    pub fn get(&self, index: Option<usize>) -> &Route {
        index.map_or(&self.default, |index| &self.routes[index])
    }
}

impl Route {
    fn new(route: &config::Route) -> Route {
        let methods = match (&route.methods, route.http) {
            (Some(methods), _) => Some(methods.clone()),
            (None, HttpMode::Image) => Some(Vec::new()),
            (None, HttpMode::Rfc) => None,
        };
        let usual = ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let passed: Vec<_> = match &methods {
            Some(methods) => methods.iter().map(Method::as_str).collect(),
            None => usual.to_vec(),
        };
        Route {
            allow: ["GET", "HEAD"].into_iter().chain(passed).collect::<Vec<_>>().join(", "),
            methods,
            policy: Arc::new(Policy::of_route(route)),
        }
    }

    /// Whether a method beside GET and HEAD is passed to the origin.
    pub fn passes(&self, method: &Method) -> bool {
        match &self.methods {
            Some(methods) => methods.contains(method),
            None => *method != Method::CONNECT && *method != Method::TRACE,
        }
    }
}
