//! Serving HTTP over the engine.

use pavlov_engine::Handle;
use pavlov_engine::secret::SecretBox;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Serves until `stopping` becomes true.
pub async fn serve(
    _engine: Handle,
    _secrets: Arc<SecretBox>,
    _listener: TcpListener,
    mut stopping: watch::Receiver<bool>,
) {
    let _stopped = stopping.wait_for(|stopping| *stopping).await;
}
