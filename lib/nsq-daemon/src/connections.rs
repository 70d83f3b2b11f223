//! Every listener's loop: accept up to a bound, end cleanly.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::listen::Listener;
use crate::pace::Pace;
use crate::stream::Stream;

/// How a listener's connections are kept.
#[derive(Debug, Clone)]
pub struct Connections {
    /// In log lines: `TCP`, `HTTP`.
    pub name: &'static str,
    /// Served at once; more wait in the listener's backlog.
    pub max: usize,
    /// Accepted a second, with as many at once; 0: any number. What comes faster waits in the
    /// backlog: a herd that reconnects does not starve those who are there.
    pub max_rate: u32,
    /// How long connections may go on after the stop; then they are cut off.
    pub stop_grace: Duration,
}

impl Connections {
    /// Runs `handle` (given stream and client address) as a task per connection, until `stop`; then
    /// closes the listener and waits for the connections, which are expected to watch `stop` as well.
    pub async fn serve<F>(
        &self,
        listener: Listener,
        stop: CancellationToken,
        handle: impl Fn(Stream, String) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        tracing::info!("{}: listening on {listener}", self.name);
        let room = Arc::new(Semaphore::new(self.max));
        let mut running = JoinSet::new();
        let mut pace = Pace::new(self.max_rate, Instant::now());
        let mut next = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = running.join_next(), if !running.is_empty() => {}
                (permit, (stream, remote)) = accept(&listener, &room, next) => {
                    next = pace.count(Instant::now());
                    // An async block would hold the connection twice, before and while it is awaited.
                    running.spawn(handle(stream, remote).map(move |()| drop(permit)));
                }
            }
        }
        tracing::info!("{}: closing {listener}", self.name);
        drop(listener);
        let ended = async { while running.join_next().await.is_some() {} };
        if tokio::time::timeout(self.stop_grace, ended).await.is_err() {
            tracing::warn!(
                "{}: {} connections cut off by the stop",
                self.name,
                running.len()
            );
        }
    }
}

/// Room first, so that what cannot be served is left to the backlog.
async fn accept(
    listener: &Listener,
    room: &Arc<Semaphore>,
    next: Instant,
) -> (Option<OwnedSemaphorePermit>, (Stream, String)) {
    if next > Instant::now() {
        tokio::time::sleep_until(next).await;
    }
    // The semaphore is never closed, so this is never None.
    let permit = room.clone().acquire_owned().await.ok();
    (permit, listener.accept().await)
}
