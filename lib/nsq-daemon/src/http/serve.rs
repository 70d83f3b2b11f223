//! The HTTP server: bounded connections, bounded waiting, clean end.

use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::listen::{Listener, Stream};

/// Connections served at once; more wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 4096;
/// For the head of a request, and for an idle connection until the next one.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest head of a request, in bytes.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// How long requests that have begun may go on after the stop.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// The client's address, in every request's extensions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteAddress(pub String);

/// Serves HTTP/1 until `stop`, then lets begun requests end, for a bounded time.
pub async fn serve(listener: Listener, router: Router, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            ((stream, remote), permit) = accept(&listener, &room) => {
                let (router, stop) = (router.clone(), stop.clone());
                connections.spawn(async move {
                    connection(stream, RemoteAddress(remote), router, stop).await;
                    drop(permit);
                });
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_GRACE, ended).await.is_err() {
        tracing::warn!("HTTP: {} requests cut off by the stop", connections.len());
    }
}

async fn accept(
    listener: &Listener,
    room: &Arc<Semaphore>,
) -> ((Stream, String), Option<tokio::sync::OwnedSemaphorePermit>) {
    // Never closed, so never None.
    let permit = room.clone().acquire_owned().await.ok();
    (listener.accept().await, permit)
}

async fn connection(
    stream: Stream,
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
