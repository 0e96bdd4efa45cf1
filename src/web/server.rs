//! Listens, bounded, until the soft stop; says whether Loa is alive and ready.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tracing::warn;

use super::{Surroundings, router};
use crate::lifecycle::Tasks;

/// The most connections at once; more wait in the system's queue.
const CONNECTIONS: usize = 1024;
/// How long a client may take for its headers.
const HEADERS: Duration = Duration::from_secs(10);

/// Why the server does not listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ServeError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Listens where the settings say, and serves until the soft stop; returns the address.
///
/// # Errors
/// When the address is taken or not ours.
pub async fn serve(surroundings: Surroundings, tasks: &Tasks) -> Result<SocketAddr, ServeError> {
    let address = surroundings.config.http.listen;
    let fault = |source| ServeError { address, source };
    let listener = TcpListener::bind(address).await.map_err(fault)?;
    let bound = listener.local_addr().map_err(fault)?;
    let spawner = tasks.clone();
    tasks.spawn(accept(listener, surroundings, spawner));
    Ok(bound)
}

async fn accept(listener: TcpListener, surroundings: Surroundings, tasks: Tasks) {
    let service = TowerToHyperService::new(router(surroundings));
    let connections = std::sync::Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut builder = http1::Builder::new();
    // Without a timer the header timeout does nothing.
    builder.timer(TokioTimer::new()).header_read_timeout(HEADERS);
    loop {
        let Ok(turn) = std::sync::Arc::clone(&connections).acquire_owned().await else { break };
        let (stream, from) = tokio::select! {
            () = tasks.soft().cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "could not take a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        // Small answers leave at once.
        stream.set_nodelay(true).ok();
        let service = service.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(from));
            service.call(request)
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tasks.spawn(async move {
            // A client that breaks off is its own business.
            connection.await.ok();
            drop(turn);
        });
    }
    graceful.shutdown().await;
}

/// Alive: says nothing of broker, store or providers, whose trouble a restart would not mend.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Ready, or what is not.
pub(super) async fn readyz(State(surroundings): State<Surroundings>) -> impl IntoResponse {
    let mut missing = (surroundings.readiness)();
    if let Err(error) = surroundings.store.leased().await {
        missing.push(("store".to_owned(), error.to_string()));
    }
    let status = match missing.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let missing: Vec<_> =
        missing.into_iter().map(|(name, why)| json!({ "name": name, "why": why })).collect();
    (status, Json(json!({ "ready": status == StatusCode::OK, "missing": missing })))
}

/// Every metric as `OpenMetrics` text.
pub(super) async fn metrics(State(surroundings): State<Surroundings>) -> impl IntoResponse {
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, media_type)], surroundings.metrics.text())
}
