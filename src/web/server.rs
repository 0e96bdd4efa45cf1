//! Listens, bounded, until the soft stop; says whether Loa is alive and ready.

mod crowd;
mod patient;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::extract::{ConnectInfo, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::warn;

use self::crowd::Crowd;
use self::patient::Patient;
use super::Surroundings;
use crate::lifecycle::Tasks;
use crate::store::StoreError;

/// What clients may take up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The most connections at once; more wait in the system's queue.
    connections: usize,
    /// The most of one address; more are told to come again.
    of_one: usize,
    /// How long a client may take for the head of a request, and stay between two.
    head: Duration,
    /// The longest head in bytes.
    head_bytes: usize,
    /// How long a client may leave an answer unread.
    reading: Duration,
}

pub(super) const LIMITS: Limits = Limits {
    connections: 1024,
    of_one: 512,
    head: Duration::from_secs(10),
    head_bytes: 64 << 10,
    reading: Duration::from_secs(30),
};

/// Why the server does not listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ServeError {
    pub(super) address: SocketAddr,
    pub(super) source: std::io::Error,
}

/// Takes connections until the soft stop; each request meets the `router` of its moment.
pub(super) async fn accept(
    listener: TcpListener,
    router: Arc<ArcSwap<Router>>,
    limits: Limits,
    tasks: Tasks,
) {
    let connections = Arc::new(Semaphore::new(limits.connections));
    let crowd = Crowd::of(limits.of_one);
    let graceful = GracefulShutdown::new();
    let mut builder = http1::Builder::new();
    // Without a timer the header timeout does nothing.
    builder.timer(TokioTimer::new()).header_read_timeout(limits.head);
    builder.max_buf_size(limits.head_bytes);
    loop {
        let next = take(&listener, Arc::clone(&connections));
        let (turn, stream, from) = tokio::select! {
            () = tasks.soft().cancelled() => break,
            taken = next => match taken {
                Ok(taken) => taken,
                Err(error) => {
                    warn!(%error, "could not take a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        // Small answers leave at once.
        stream.set_nodelay(true).ok();
        let Some(place) = crowd.let_in(from.ip()) else {
            tasks.spawn(crowd::send_away(stream, turn));
            continue;
        };
        let router = Arc::clone(&router);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(from));
            let router = Router::clone(&router.load());
            TowerToHyperService::new(router).call(request)
        });
        let stream = Patient::new(stream, limits.reading);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tasks.spawn(async move {
            // A client that breaks off is its own business.
            connection.await.ok();
            drop((turn, place));
        });
    }
    graceful.shutdown().await;
}

/// The next connection, once there is room for it.
async fn take(
    listener: &TcpListener,
    connections: Arc<Semaphore>,
) -> std::io::Result<(OwnedSemaphorePermit, TcpStream, SocketAddr)> {
    let turn = connections.acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, from) = listener.accept().await?;
    Ok((turn, stream, from))
}

/// Alive: says nothing of broker, store or providers, whose trouble a restart would not mend.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Ready, or what is not.
pub(super) async fn readyz(State(surroundings): State<Surroundings>) -> Response {
    let mut missing = (surroundings.readiness)();
    let store = &surroundings.store;
    // Anybody may ask, so this is the smallest table.
    let why = match store.provider_holds().await {
        Err(error) => Some(error),
        Ok(_) => store.lacks_room().then_some(StoreError::Full),
    };
    if let Some(why) = why {
        missing.push(("store".to_owned(), format!("{}: {why}", store.describe())));
    }
    readiness(missing)
}

/// Whether anything is missing, and what.
pub(super) fn readiness(missing: Vec<(String, String)>) -> Response {
    let status = match missing.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let missing: Vec<_> =
        missing.into_iter().map(|(name, why)| json!({ "name": name, "why": why })).collect();
    (status, Json(json!({ "ready": status == StatusCode::OK, "missing": missing }))).into_response()
}

/// Every metric as `OpenMetrics` text.
pub(super) async fn metrics(State(surroundings): State<Surroundings>) -> impl IntoResponse {
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, media_type)], surroundings.pipeline.metrics().await)
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: loa.test\r\n\r\n";

    async fn listen(limits: Limits) -> (SocketAddr, Tasks) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = Tasks::new();
        let router = Router::new().route("/", get(|| async { "here" }));
        tasks.spawn(accept(listener, only(router), limits, tasks.clone()));
        (address, tasks)
    }

    /// A router that stays.
    fn only(router: Router) -> Arc<ArcSwap<Router>> {
        Arc::new(ArcSwap::from_pointee(router))
    }

    /// Sends bytes on a connection of their own, and leaves it open.
    async fn send(address: SocketAddr, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may answer and close before it has taken all.
        drop(stream.write_all(bytes).await);
        stream
    }

    /// What comes until the server closes, or breaks off.
    async fn rest(mut stream: TcpStream) -> String {
        let mut bytes = Vec::new();
        drop(timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap());
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[tokio::test]
    async fn who_does_not_finish_a_head_is_sent_away() {
        let (address, tasks) = listen(Limits { head: Duration::from_millis(50), ..LIMITS }).await;

        let slow = send(address, b"GET / HTTP/1.1\r\nhost: loa").await;

        assert!(!rest(slow).await.contains("here"));
        assert!(tasks.stop(PATIENCE).await);
    }

    #[tokio::test]
    async fn a_head_without_end_is_refused() {
        let (address, tasks) = listen(Limits { head_bytes: 16 << 10, ..LIMITS }).await;
        let head = format!("GET / HTTP/1.1\r\nhost: loa.test\r\nx: {}", "x".repeat(32 << 10));

        let endless = send(address, head.as_bytes()).await;

        let answer = rest(endless).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
        assert!(tasks.stop(PATIENCE).await);
    }

    #[tokio::test]
    async fn who_takes_too_many_connections_is_told_so_and_others_get_in() {
        let (address, tasks) = listen(Limits { of_one: 2, ..LIMITS }).await;
        let held = [send(address, b"").await, send(address, b"").await];

        let third = rest(send(address, REQUEST).await).await;
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut other = socket.connect(address).await.unwrap();
        other.write_all(REQUEST).await.unwrap();
        let mut byte = [0];
        timeout(PATIENCE, other.read_exact(&mut byte)).await.unwrap().unwrap();
        drop((held, other));

        assert!(third.starts_with("HTTP/1.1 503 "), "{third}");
        assert!(third.to_lowercase().contains("retry-after"), "{third}");
        let gets_in = async {
            while rest(send(address, b"GET / HTTP/1.0\r\nhost: a\r\n\r\n").await)
                .await
                .contains("503")
            {}
        };
        timeout(PATIENCE, gets_in).await.unwrap();
        assert!(tasks.stop(PATIENCE).await);
    }

    #[tokio::test]
    async fn who_does_not_read_an_answer_is_not_waited_for() {
        let limits = Limits { reading: Duration::from_millis(50), connections: 1, ..LIMITS };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = Tasks::new();
        let long = || async { "x".repeat(32 << 20) };
        let router = Router::new().route("/", get(|| async { "here" })).route("/long", get(long));
        tasks.spawn(accept(listener, only(router), limits, tasks.clone()));
        let deaf = send(address, b"GET /long HTTP/1.1\r\nhost: a\r\n\r\n").await;

        let next = rest(send(address, b"GET / HTTP/1.0\r\nhost: a\r\n\r\n").await).await;

        assert!(next.contains("here"), "{next}");
        drop(deaf);
        assert!(tasks.stop(PATIENCE).await);
    }

    #[tokio::test]
    async fn more_connections_than_there_is_room_for_wait() {
        let (address, tasks) = listen(Limits { connections: 1, ..LIMITS }).await;
        let mut first = send(address, REQUEST).await;
        let mut byte = [0];
        timeout(PATIENCE, first.read_exact(&mut byte)).await.unwrap().unwrap();
        let mut second = send(address, REQUEST).await;

        let early = timeout(Duration::from_millis(100), second.read_exact(&mut byte)).await;
        drop(first);
        let later = timeout(PATIENCE, second.read_exact(&mut byte)).await;

        assert!(early.is_err(), "there was room for one");
        assert_eq!(later.unwrap().unwrap(), 1);
        assert!(tasks.stop(PATIENCE).await, "a full house stops too");
    }
}
