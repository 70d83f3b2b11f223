//! The task behind one nsqlookupd address: connect, tell everything, tell changes, begin again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nsq_protocol::lookup::{LookupCommand, PeerInfo, Registration};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::back_off::{self, back_off};
use super::connection::{Connection, WINDOW};
use super::{LookupConfig, StateSource};

/// Changes that wait to be told. If more come, the link connects anew and tells everything.
const MAILBOX: usize = 4096;

/// The handle of a link; dropping it ends the task and its connection.
pub(super) struct Link {
    mailbox: mpsc::Sender<LookupCommand>,
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Default)]
struct Shared {
    /// A change did not fit into the mailbox.
    overflowed: AtomicBool,
    /// While connected.
    standing: Mutex<Option<Standing>>,
}

/// A connection that stands.
#[derive(Clone)]
struct Standing {
    http_address: String,
    since: Instant,
}

/// A link, for whoever asks its nsqlookupd something.
#[derive(Clone)]
pub(super) struct Asked(Arc<Shared>);

impl Asked {
    /// The nsqlookupd's HTTP address, `None` while it is not connected.
    pub(super) fn http_address(&self) -> Option<String> {
        let standing = self.0.standing.lock();
        standing.as_ref().map(|it| it.http_address.clone())
    }

    /// How long the connection has stood.
    pub(super) fn connected_for(&self) -> Option<Duration> {
        let standing = self.0.standing.lock();
        standing.as_ref().map(|it| it.since.elapsed())
    }
}

impl Link {
    pub(super) fn spawn(address: String, config: &LookupConfig, source: StateSource) -> Self {
        let (mailbox, changes) = mpsc::channel(MAILBOX);
        let shared = Arc::new(Shared::default());
        let task = Task {
            address,
            identity: config.identity.clone(),
            connect_timeout: config.connect_timeout,
            ping_interval: config.ping_interval,
            source,
            changes,
            shared: shared.clone(),
        };
        let task = tokio::spawn(task.run()).abort_handle();
        Self {
            mailbox,
            shared,
            task,
        }
    }

    /// Never waits.
    pub(super) fn tell(&self, command: LookupCommand) {
        if self.mailbox.try_send(command).is_err() {
            self.shared.overflowed.store(true, Ordering::Release);
        }
    }

    /// The nsqlookupd's HTTP address, `None` while it is not connected.
    pub(super) fn http_address(&self) -> Option<String> {
        self.asked().http_address()
    }

    pub(super) fn asked(&self) -> Asked {
        Asked(self.shared.clone())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Task {
    address: String,
    identity: PeerInfo,
    connect_timeout: Duration,
    ping_interval: Duration,
    source: StateSource,
    changes: mpsc::Receiver<LookupCommand>,
    shared: Arc<Shared>,
}

impl Task {
    async fn run(mut self) {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let Err(err) = self.connect_and_tell().await;
            *self.shared.standing.lock() = None;
            if began.elapsed() >= back_off::LONGEST {
                failures = 0;
            }
            let rest = back_off(failures, rand::random());
            failures += 1;
            tracing::warn!(
                "LOOKUPD({}): {err}; connecting again in {rest:?}",
                self.address
            );
            tokio::time::sleep(rest).await;
        }
    }

    /// Until the connection breaks.
    async fn connect_and_tell(&mut self) -> io::Result<std::convert::Infallible> {
        let (mut connection, peer) =
            Connection::open(&self.address, self.connect_timeout, &self.identity).await?;
        tracing::info!(
            "LOOKUPD({}): connected, HTTP at {}:{}, version {}",
            self.address,
            peer.broadcast_address,
            peer.http_port,
            peer.version
        );
        connection.exchange(&self.everything()).await?;
        let http_address = format!("{}:{}", peer.broadcast_address, peer.http_port);
        *self.shared.standing.lock() = Some(Standing {
            http_address,
            since: Instant::now(),
        });

        let mut ping = interval_at(Instant::now() + self.ping_interval, self.ping_interval);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                _ = self.changes.recv_many(&mut batch, WINDOW) => {
                    for command in &batch {
                        tracing::info!("LOOKUPD({}): {}", self.address, command.line().trim_end());
                    }
                    connection.exchange(&batch).await?;
                    batch.clear();
                }
                _ = ping.tick() => connection.exchange(&[LookupCommand::Ping]).await?,
                err = connection.broken() => return Err(err),
            }
            if self.shared.overflowed.load(Ordering::Acquire) {
                return Err(io::Error::other("more changes at once than can wait"));
            }
        }
    }

    /// Registrations of all there is. What waits in the mailbox is older than that, and dropped.
    fn everything(&mut self) -> Vec<LookupCommand> {
        self.shared.overflowed.store(false, Ordering::Release);
        while self.changes.try_recv().is_ok() {}
        let mut commands = Vec::new();
        for (topic, channels) in (self.source)() {
            let register = |channel| {
                LookupCommand::Register(Registration {
                    topic: topic.clone(),
                    channel,
                })
            };
            commands.push(register(None));
            commands.extend(channels.into_iter().map(|channel| register(Some(channel))));
        }
        commands
    }
}
