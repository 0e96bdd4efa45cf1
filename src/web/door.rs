//! The door: listens from the first moment, says what Loa still waits for, then lets everybody in.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::problem::Problem;
use super::server::{self, LIMITS, ServeError};
use super::{Surroundings, router};
use crate::config::Config;
use crate::lifecycle::Tasks;

/// What is not there yet: names, each with a sentence.
type Missing = Arc<Mutex<Vec<(String, String)>>>;

/// Where Loa listens; until somebody is let in it answers only whether it lives and what it waits
/// for.
#[derive(Clone)]
pub struct Door {
    address: SocketAddr,
    router: Arc<ArcSwap<Router>>,
    missing: Missing,
}

impl Door {
    /// Listens where the settings say, until the soft stop.
    ///
    /// # Errors
    /// When the address is taken or not ours.
    pub async fn open(config: &Config, tasks: &Tasks) -> Result<Self, ServeError> {
        let address = config.http.listen;
        let fault = |source| ServeError { address, source };
        let listener = TcpListener::bind(address).await.map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        let missing = Missing::default();
        let router = Arc::new(ArcSwap::from_pointee(closed(Arc::clone(&missing))));
        tasks.spawn(server::accept(listener, Arc::clone(&router), LIMITS, tasks.clone()));
        Ok(Self { address, router, missing })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says from now on that `name` is waited for, and why.
    pub fn waits_for(&self, name: &str, why: &str) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.retain(|(known, _)| known != name);
        missing.push((name.to_owned(), why.to_owned()));
    }

    /// Answers everything from now on.
    pub fn let_in(&self, surroundings: Surroundings) {
        self.router.store(Arc::new(router(surroundings)));
    }
}

/// What is answered while nothing else can be.
fn closed(missing: Missing) -> Router {
    Router::new()
        .route("/healthz", get(server::healthz))
        .route("/readyz", get(not_ready))
        .fallback(not_yet)
        .with_state(missing)
}

async fn not_ready(State(missing): State<Missing>) -> Response {
    let missing = missing.lock().unwrap_or_else(PoisonError::into_inner).clone();
    server::readiness(missing)
}

async fn not_yet() -> Response {
    let text = "Loa is starting; /readyz says what it waits for";
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not ready yet", text);
    ([(header::RETRY_AFTER, "1")], problem).into_response()
}
