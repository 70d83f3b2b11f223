//! When a daemon is told to end.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// From now on SIGINT and SIGTERM mean a clean stop; the future waits for one and gives its name. To
/// be called before anything listens: whoever sees a daemon listen may tell it to end.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn signalled() -> io::Result<impl Future<Output = &'static str>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    })
}
