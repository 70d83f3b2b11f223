//! The HTTP server: bounded connections, bounded waiting, clean end.

use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::connections::Connections;
use crate::listen::Listener;
use crate::stream::Stream;
use crate::tls::TlsAcceptor;

const CONNECTIONS: Connections = Connections {
    name: "HTTP",
    max: 4096,
    max_rate: 0,
    stop_grace: Duration::from_secs(5),
};
/// For the head of a request, and for an idle connection until the next one.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(60);
/// NSQ's bound of a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest head of a request, in bytes.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// The client's address, in every request's extensions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteAddress(pub String);

/// Serves HTTP/1 until `stop`, then lets begun requests end, for a bounded time.
pub async fn serve(listener: Listener, router: Router, stop: CancellationToken) {
    serve_as(CONNECTIONS.name, listener, router, stop).await;
}

/// As [`serve`], with another name in the log.
pub async fn serve_as(
    name: &'static str,
    listener: Listener,
    router: Router,
    stop: CancellationToken,
) {
    let connections = Connections {
        name,
        ..CONNECTIONS
    };
    connections
        .serve(listener, stop.clone(), |stream, remote| {
            connection(stream, RemoteAddress(remote), router.clone(), stop.clone())
        })
        .await;
}

/// As [`serve`], over TLS.
pub async fn serve_tls(
    listener: Listener,
    tls: TlsAcceptor,
    router: Router,
    stop: CancellationToken,
) {
    let encrypted = |stream: Stream, remote| {
        let (tls, router, stop) = (tls.clone(), router.clone(), stop.clone());
        async move {
            match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                Ok(Ok(stream)) => connection(stream, RemoteAddress(remote), router, stop).await,
                Ok(Err(err)) => tracing::debug!("HTTPS: no handshake with {remote} - {err}"),
                Err(_) => tracing::debug!("HTTPS: no handshake with {remote} in time"),
            }
        }
    };
    let connections = Connections {
        name: "HTTPS",
        ..CONNECTIONS
    };
    connections.serve(listener, stop.clone(), encrypted).await;
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    remote: RemoteAddress,
    router: Router,
    stop: CancellationToken,
) {
    let service = TowerToHyperService::new(router.layer(Extension(remote)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        // NSQ's spelling: X-Nsq-Content-Type.
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(err) = ended {
        tracing::debug!("HTTP: connection ended - {err}");
    }
}
