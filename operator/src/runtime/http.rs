//! /metrics, /healthz and /readyz, and what holds the memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use super::metrics::Metrics;

/// What the three answers are made from.
#[derive(Clone)]
pub struct Health {
    pub metrics: Metrics,
    /// The API server has been reached: this operator leads, or stands by to.
    pub ready: Arc<AtomicBool>,
}

/// Serves until the process ends.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(address: SocketAddr, health: Health) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|err| anyhow::anyhow!("cannot listen on {address}: {err}"))?;
    tracing::info!(address = %listener.local_addr()?, "serving /metrics, /healthz and /readyz");
    let router = Router::new()
        .route(
            "/metrics",
            get(|State(health): State<Health>| async move { health.metrics.render() }),
        )
        .route("/healthz", get(|| async { "OK" }))
        .route("/readyz", get(ready))
        .route("/debug/pprof/heap", get(heap_profile))
        .with_state(health);
    tokio::spawn(async move {
        if let Err(err) = axum::serve(listener, router).await {
            tracing::error!(error = %err, "the HTTP server has ended");
        }
    });
    Ok(())
}

/// The live heap for `go tool pprof`, with names in it, as the daemons have it.
async fn heap_profile() -> Result<Vec<u8>, (StatusCode, String)> {
    let profile = nsq_heap::profile().await;
    profile.map_err(|error| (StatusCode::NOT_IMPLEMENTED, error.to_string()))
}

async fn ready(State(health): State<Health>) -> (StatusCode, &'static str) {
    if health.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "OK")
    } else {
        let message = "the API server has not been reached yet";
        (StatusCode::SERVICE_UNAVAILABLE, message)
    }
}
