//! The routes of the API, each declared once: its path, the scope it needs, what answers.

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::{Next, from_fn};
use axum::routing::{MethodFilter, on};

use crate::model::access::Scope;
use crate::web::Surroundings;
use crate::web::auth::bearer::require_scope;

/// Routes as they are declared; there is no other way to add one, so none is without a scope.
#[derive(Default)]
pub(in crate::web) struct Routes {
    router: Router<Surroundings>,
    declared: Vec<Declared>,
}

/// One method of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) struct Declared {
    pub(in crate::web) method: Method,
    pub(in crate::web) path: &'static str,
    pub(in crate::web) scope: Scope,
}

impl Routes {
    /// Reads something.
    pub(super) fn get<H, T>(self, path: &'static str, scope: Scope, handler: H) -> Self
    where
        H: Handler<T, Surroundings>,
        T: 'static,
    {
        self.on((Method::GET, MethodFilter::GET), path, scope, handler)
    }

    /// Adds or does something.
    pub(super) fn post<H, T>(self, path: &'static str, scope: Scope, handler: H) -> Self
    where
        H: Handler<T, Surroundings>,
        T: 'static,
    {
        self.on((Method::POST, MethodFilter::POST), path, scope, handler)
    }

    /// Puts something in its place.
    pub(super) fn put<H, T>(self, path: &'static str, scope: Scope, handler: H) -> Self
    where
        H: Handler<T, Surroundings>,
        T: 'static,
    {
        self.on((Method::PUT, MethodFilter::PUT), path, scope, handler)
    }

    /// Removes something.
    pub(super) fn delete<H, T>(self, path: &'static str, scope: Scope, handler: H) -> Self
    where
        H: Handler<T, Surroundings>,
        T: 'static,
    {
        self.on((Method::DELETE, MethodFilter::DELETE), path, scope, handler)
    }

    fn on<H, T>(
        mut self,
        (method, filter): (Method, MethodFilter),
        path: &'static str,
        scope: Scope,
        handler: H,
    ) -> Self
    where
        H: Handler<T, Surroundings>,
        T: 'static,
    {
        let may = from_fn(move |request: Request, next: Next| require_scope(scope, request, next));
        self.router = self.router.route(path, on(filter, handler).layer(may));
        self.declared.push(Declared { method, path, scope });
        self
    }

    /// What was declared, and the router of it.
    pub(in crate::web) fn finish(self) -> (Router<Surroundings>, Vec<Declared>) {
        (self.router, self.declared)
    }
}
