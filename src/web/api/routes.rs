//! The routes of the API, each declared once: its path, the scope it needs, what answers, and
//! what the document says of it.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use url::form_urlencoded;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, ToSchema};

use super::shapes::Member;
use crate::config::suggestion::unknown;
use crate::model::access::Scope;
use crate::web::Surroundings;
use crate::web::auth::bearer::require_scope;
use crate::web::problem::Problem;

/// Routes as they are declared; there is no other way to add one, so none is without a scope.
#[derive(Default)]
pub(in crate::web) struct Routes {
    methods: Vec<MethodRouter<Surroundings>>,
    declared: Vec<Declared>,
}

/// One method of one path, and what the document says of it.
pub(in crate::web) struct Declared {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) scope: Scope,
    /// What it does, in a sentence.
    pub(super) says: &'static str,
    pub(super) query: Vec<Parameter>,
    pub(super) takes: Takes,
    /// The status of a good answer, and its members.
    pub(super) gives: (u16, &'static [Member]),
}

/// The body of a request.
pub(super) enum Takes {
    Nothing,
    /// A JSON object of this name, and every object that it is made of.
    Json {
        name: String,
        schemas: Vec<(String, RefOr<Schema>)>,
    },
    Anything {
        says: &'static str,
        media_types: &'static [&'static str],
    },
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
        self.methods.push(on(filter, handler));
        let (says, query, takes, gives) = ("", Vec::new(), Takes::Nothing, (200, [].as_slice()));
        self.declared.push(Declared { method, path, scope, says, query, takes, gives });
        self
    }

    /// Says in a sentence what the route just declared does, and what it answers.
    pub(super) fn says(self, says: &'static str, gives: (u16, &'static [Member])) -> Self {
        self.change(|route| (route.says, route.gives) = (says, gives))
    }

    /// The route just declared takes the fields of `Q` in its query.
    pub(super) fn query<Q: IntoParams>(self) -> Self {
        self.change(|route| route.query.extend(Q::into_params(|| Some(ParameterIn::Query))))
    }

    /// The route just declared takes a `B` as JSON.
    pub(super) fn takes<B: ToSchema>(self) -> Self {
        let name = B::name().into_owned();
        let mut schemas = vec![(name.clone(), B::schema())];
        B::schemas(&mut schemas);
        self.change(|route| route.takes = Takes::Json { name, schemas })
    }

    /// The route just declared takes a body of any form.
    pub(super) fn takes_anything(
        self,
        says: &'static str,
        media_types: &'static [&'static str],
    ) -> Self {
        self.change(|route| route.takes = Takes::Anything { says, media_types })
    }

    fn change(mut self, change: impl FnOnce(&mut Declared)) -> Self {
        if let Some(route) = self.declared.last_mut() {
            change(route);
        }
        self
    }

    /// What was declared, and the router of it.
    pub(in crate::web) fn finish(self) -> (Router<Surroundings>, Vec<Declared>) {
        let mut router = Router::new();
        for (answers, route) in self.methods.into_iter().zip(&self.declared) {
            let names: Arc<[String]> = route.query.iter().map(|one| one.name.clone()).collect();
            let known = from_fn(move |request: Request, next: Next| {
                require_known_query(Arc::clone(&names), request, next)
            });
            let scope = route.scope;
            let may =
                from_fn(move |request: Request, next: Next| require_scope(scope, request, next));
            router = router.route(route.path, answers.layer(known).layer(may));
        }
        (router, self.declared)
    }
}

/// Refuses a query that names what the route does not know: a filter that is misspelled must not
/// count as none.
async fn require_known_query(names: Arc<[String]>, request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let stranger = form_urlencoded::parse(query.as_bytes())
        .map(|(name, _)| name)
        .find(|name| !names.iter().any(|known| known == name));
    match stranger {
        None => next.run(request).await,
        Some(name) => {
            let known: Vec<_> = names.iter().map(String::as_str).collect();
            let help = unknown(&name, &known);
            let text = format!("there is no parameter `{name}` here; {help}");
            Problem::bad_request(&format!("?{name}"), text).into_response()
        }
    }
}
