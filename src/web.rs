//! HTTP: the API, the console, receipts and preference pages.

mod api;
mod auth;
mod console;
mod door;
mod edge;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod problem;
mod rates;
mod server;
mod unsubscribe;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::get;
use secrecy::SecretString;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;

use crate::clock::Clock;
use crate::config::Config;
use crate::pipeline::Pipeline;
use crate::store::Store;

pub use auth::{Attempts, console_url, let_somebody_in, local_link, random_secret};
pub use door::Door;
pub use rates::{Rate, Rates};
pub use server::ServeError;

/// What every request may use.
#[derive(Clone)]
pub struct Surroundings {
    /// The store.
    pub store: Store,
    /// The two halves.
    pub pipeline: Pipeline,
    /// The settings.
    pub config: Arc<Config>,
    /// The time.
    pub clock: Clock,
    /// Opens everything to whoever may read the data folder.
    pub local_token: SecretString,
    /// Failed tries to sign in.
    pub attempts: Attempts,
    /// How many events come and deliveries leave each minute.
    pub rates: Rates,
    /// Names of what is not ready, each with a sentence; asked at every request.
    pub readiness: Arc<dyn Fn() -> Vec<(String, String)> + Send + Sync>,
}

/// Every route; bodies, times and headers bounded.
pub fn router(surroundings: Surroundings) -> Router {
    let max_body = usize::try_from(surroundings.config.http.max_body).unwrap_or(usize::MAX);
    let timeout = surroundings.config.http.timeout;
    let is_https = auth::is_https(&surroundings.config);
    let (api, declared) = api::routes().finish();
    let api = api.layer(from_fn_with_state(surroundings.clone(), auth::bearer::require_caller));
    let pages = console::rooms().layer(from_fn(auth::session::require_operator));
    let signed = pages
        .merge(console::preferences())
        .route("/logout", get(auth::login::ask_to_leave).post(auth::login::sign_out))
        .layer(from_fn_with_state(surroundings.clone(), auth::session::require_session))
        .layer(from_fn_with_state(surroundings.clone(), console::faults_as_pages))
        // Without a referrer browsers send no origin with a form either, by which we know our
        // pages.
        .layer(header("referrer-policy", "same-origin"));
    let open = Router::new()
        .route("/healthz", get(server::healthz))
        .route("/readyz", get(server::readyz))
        .route("/metrics", get(server::metrics))
        .route("/u/{token}", get(unsubscribe::ask).post(unsubscribe::withdraw));
    let login = Router::new()
        .route("/login", get(auth::login::explain))
        .route("/login/{link}", get(auth::login::ask).post(auth::login::sign_in))
        .layer(header("referrer-policy", "same-origin"));
    let all = api
        .merge(signed)
        .merge(login)
        .merge(open)
        .merge(api::described(&declared))
        .merge(console::files())
        .fallback(console::no_such_page)
        .layer(DefaultBodyLimit::max(max_body))
        .layer(TimeoutLayer::with_status_code(axum::http::StatusCode::REQUEST_TIMEOUT, timeout))
        // By default the layer logs what the panic says; the hook of panics has told what may be
        // told.
        .layer(CatchPanicLayer::custom(|_| problem::Problem::internal().into_response()))
        .layer(from_fn(edge::refuse_odd_requests))
        .layer(from_fn(problem::in_one_form))
        .layer(header("content-security-policy", CONTENT_SECURITY_POLICY))
        .layer(header("x-content-type-options", "nosniff"))
        .layer(header("referrer-policy", "no-referrer"))
        .layer(header("cache-control", "no-store"))
        .layer(header("cross-origin-opener-policy", "same-origin"))
        .layer(header("cross-origin-resource-policy", "same-origin"))
        .layer(header("permissions-policy", "camera=(), microphone=(), geolocation=(), payment=()"))
        .with_state(surroundings);
    let transport = header("strict-transport-security", "max-age=63072000");
    if is_https { all.layer(transport) } else { all }
}

/// A header of every answer that does not bring its own.
fn header(
    name: &'static str,
    value: &'static str,
) -> SetResponseHeaderLayer<axum::http::HeaderValue> {
    let name = axum::http::HeaderName::from_static(name);
    SetResponseHeaderLayer::if_not_present(name, axum::http::HeaderValue::from_static(value))
}

/// Pages run no script but our files, and load nothing from elsewhere but pictures.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
    connect-src 'self'; img-src 'self' data: https:; frame-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";
