//! The process around a node: data path, listeners, background work, and its end.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use nsq_daemon::listen::{BindError, Listener};
use nsq_journal::{DirectoryLock, JournalError, lock_directory};
use tokio::task::JoinSet;

use crate::nsqd::Nsqd;
use crate::options::Options;
use crate::pager::Pager;
use crate::timers::Timers;
use crate::{checkpoint, connection, journal_log, recovery};

/// Why nsqd could not start or go on, worded as NSQ does where NSQ has the same failure.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("failed to lock data-path: {0}")]
    DataPath(std::io::Error),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("journal: {0}")]
    Journal(#[from] JournalError),
}

/// A node that serves.
pub struct Server {
    pub nsqd: Arc<Nsqd>,
    tcp: Listener,
    tasks: JoinSet<()>,
    pager: JoinHandle<()>,
    // Held until the process ends: two nsqds on one directory would destroy each other's files.
    _lock: DirectoryLock,
}

impl Server {
    /// Locks and reads the data path, opens the TCP listener and starts the background work.
    ///
    /// # Errors
    /// [`ServeError`]; nothing is left running then.
    pub async fn start(options: Options) -> Result<Self, ServeError> {
        let path = match options.data_path.as_str() {
            "" => ".".to_owned(),
            path => path.to_owned(),
        };
        let lock = lock_directory(Path::new(&path)).map_err(ServeError::DataPath)?;
        let tcp = Listener::bind(&options.tcp_address).await?;
        let options = Options {
            data_path: path,
            ..options
        };
        let nsqd = recovery::open(options)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(Timers::run(Arc::clone(&nsqd)));
        tasks.spawn(journal_log::run(Arc::clone(&nsqd)));
        let paged = Arc::clone(&nsqd);
        let pager = std::thread::Builder::new()
            .name("pager".to_owned())
            .spawn(move || Pager::run(&paged))
            .map_err(ServeError::DataPath)?;
        Ok(Self {
            nsqd,
            tcp,
            tasks,
            pager,
            _lock: lock,
        })
    }

    pub fn tcp_port(&self) -> Option<u16> {
        self.tcp.port()
    }

    /// Accepts connections until `stop` resolves or the journal fails, then ends cleanly:
    /// whatever is in memory is written down.
    ///
    /// # Errors
    /// The journal's. What was acknowledged is on disk all the same.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        tracing::info!("TCP: listening on {}", self.tcp);
        let mut connections = JoinSet::new();
        let failed = journal_failed(Arc::clone(&self.nsqd));
        tokio::pin!(stop, failed);
        let result = loop {
            tokio::select! {
                (stream, remote) = self.tcp.accept() => {
                    let nsqd = Arc::clone(&self.nsqd);
                    connections.spawn(connection::serve(nsqd, stream, remote));
                }
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                () = &mut stop => break Ok(()),
                error = &mut failed => break Err(error),
            }
        };
        tracing::info!("TCP: closing {}", self.tcp);
        self.nsqd.begin_exit();
        while connections.join_next().await.is_some() {}
        self.tasks.shutdown().await;
        self.nsqd.pager.stop();
        let Self { nsqd, pager, .. } = self;
        // The pager ends after the block it is writing; it does not panic.
        let _ = pager.join();
        result?;
        journal_log::log_all(&nsqd);
        checkpoint::take(&nsqd, true)?;
        nsqd.journal.close()?;
        Ok(())
    }
}

/// Resolves when the journal can keep nothing any more: a failed write or sync is never retried,
/// the process ends and recovery reads what the disk really holds.
async fn journal_failed(nsqd: Arc<Nsqd>) -> ServeError {
    let mut look = tokio::time::interval(std::time::Duration::from_secs(1));
    loop {
        look.tick().await;
        if let Err(error) = nsqd.journal.health() {
            return error.into();
        }
    }
}
