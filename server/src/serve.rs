//! [`serve`]: connections, their limits and their end.

use crate::door::{Door, stopping};
use crate::reply;
use crate::router::router;
use crate::version;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use pavlov_engine::Handle;
use pavlov_engine::secret::SecretBox;
use pavlov_engine::world::EngineWorld;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// A client that does not finish its headers within this is given up.
const HEADER_TIME_MAX: Duration = Duration::from_secs(30);
/// Bytes of one request's headers and the read buffer.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// Headers of one request.
const HEADERS_MAX: usize = 100;
/// Connections at once; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 10_000;
/// Sockets at once, each a few hundred KB when it is busy; more are refused with 503.
const SOCKETS_MAX: usize = 2_000;
/// Requests under way get so long to end when the server stops.
const GOODBYE_TIME_MAX: Duration = Duration::from_secs(10);
/// Pause after the system refused to give a connection, such as for too many open files.
const PAUSE_REFUSED: Duration = Duration::from_millis(50);

/// What serving needs besides the engine.
pub struct ServeOptions {
    /// The key of the secrets.
    pub secrets: Arc<SecretBox>,
    /// What actions may reach, for trying one out.
    pub world: Arc<EngineWorld>,
}

/// Serves the API on `listener` until `shutdown` is done; then no connection is taken any more, requests
/// under way come to their end, and sockets say goodbye after what they read is durable.
///
/// # Errors
/// When the listener's own address cannot be asked for, so that it was never usable.
pub async fn serve(
    engine: Handle,
    options: ServeOptions,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let (closing, closing_seen) = watch::channel(false);
    let door = Arc::new(Door {
        engine,
        secrets: options.secrets,
        world: options.world,
        started: Instant::now(),
        sockets: Arc::new(Semaphore::new(SOCKETS_MAX)),
        closing: closing_seen.clone(),
    });
    let service = TowerToHyperService::new(router(door));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    tracing::info!(%address, "serving");
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_ended) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, service.clone(), closing_seen.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(PAUSE_REFUSED).await;
                }
            },
        }
    }
    drop(listener);
    let _nobody_listens = closing.send(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GOODBYE_TIME_MAX, ended).await.is_err() {
        tracing::warn!("some requests did not end in time and were cut off");
    }
    // Sockets are tasks of their own, and each holds the receiver until its goodbye.
    drop((service, closing_seen));
    let gone = tokio::time::timeout(GOODBYE_TIME_MAX, closing.closed()).await;
    tracing::info!(all_sockets_closed = gone.is_ok(), "no longer serving");
    Ok(())
}

type Routed = TowerToHyperService<axum::Router>;

/// Serves one connection; it may become a socket, which then lives on by itself.
async fn connection(stream: TcpStream, service: Routed, mut closing: watch::Receiver<bool>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection is gone already");
        return;
    }
    let answered = service_fn(move |request: Request<Incoming>| {
        let service = service.clone();
        async move {
            match refused_version(&request) {
                Some(response) => Ok(response),
                None => service.call(request).await,
            }
        }
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME_MAX)
            .max_buf_size(HEADER_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), answered)
            .with_upgrades()
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping(&mut closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
}

/// The answer to a client of an API version that is too old, on routes whose meaning depends on it.
fn refused_version<B>(request: &Request<B>) -> Option<Response> {
    let given = request.headers().get("x-prefect-api-version")?;
    let path = request.uri().path();
    if !path.starts_with("/api/") || matches!(path, "/api/health" | "/api/version" | "/api/openapi.json") {
        return None;
    }
    let why = version::refusal(given.to_str().unwrap_or("(not text)"))?;
    tracing::warn!(path, reason = why, "a client speaks another version of the API");
    Some(reply::detail(StatusCode::BAD_REQUEST, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_checked_where_it_matters() {
        for (path, version, refused) in [
            ("/api/events", "0.7.9", true),
            ("/api/events", "0.8.4", false),
            ("/api/version", "0.7.9", false),
            ("/api/health", "x", false),
            ("/metrics", "x", false),
        ] {
            let request = Request::builder().uri(path).header("x-prefect-api-version", version).body(());
            let response = refused_version(&request.expect("a request"));
            assert_eq!(response.is_some(), refused, "{path} {version}");
        }
    }
}
