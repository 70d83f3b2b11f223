//! nsqlookupd: knows which nsqd has which topics and channels.
//!
//! [`registry`] holds the rules, as a value. Around it: a TCP listener, to which every nsqd keeps a
//! connection and tells what it has, and an HTTP API, where consumers and tools ask. Everything is in
//! memory; an nsqd that connects tells everything again.

mod api;
mod changes;
mod external;
mod listeners;
mod metrics;
pub mod options;
mod peer;
pub mod registry;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nsq_daemon::connections::Connections;
use nsq_daemon::listen::Listener;
use nsq_protocol::NSQ_VERSION;
use nsq_protocol::lookup::PeerInfo;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use changes::Changes;
use listeners::Listeners;
pub use listeners::StartError;
use options::Options;
use registry::{PeerId, Registry};

/// nsqds at once, each of which holds one connection.
const PEERS_MAX: usize = 10_000;
/// How long nsqds' connections may go on after the stop.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// What connections and HTTP handlers share.
#[derive(Debug)]
struct Shared {
    /// How nsqlookupd introduces itself to nsqd.
    own: PeerInfo,
    inactive_producer_timeout: Duration,
    registry: Mutex<Registry>,
    /// Whoever waits for a lookup to change.
    changes: Changes,
    /// Registrations refused, for the registry was full.
    refused: AtomicU64,
    /// The registry's clock starts here.
    started: Instant,
    next_peer: AtomicU64,
}

impl Shared {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Changes the registry; those who wait look again.
    fn change<R>(&self, change: impl FnOnce(&mut Registry) -> R) -> R {
        let result = change(&mut self.registry.lock());
        self.changes.happened();
        result
    }

    fn next_peer(&self) -> PeerId {
        self.next_peer.fetch_add(1, Ordering::Relaxed)
    }
}

/// A running nsqlookupd.
#[derive(Debug)]
pub struct Nsqlookupd {
    tcp_address: String,
    http_address: String,
    https_address: String,
    read_only_address: String,
    external_address: String,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Nsqlookupd {
    /// Opens the listeners and serves them, on the Tokio runtime of the caller.
    ///
    /// # Errors
    /// [`StartError`] when an address, a certificate or the tokens cannot be had.
    pub async fn start(options: &Options) -> Result<Self, StartError> {
        let listeners = Listeners::open(options).await?;
        let registry = Registry::new(
            options.inactive_producer_timeout,
            options.tombstone_lifetime,
        );
        let mut lookupd = Self {
            tcp_address: listeners.tcp.to_string(),
            http_address: told(listeners.http.as_ref()),
            https_address: told(listeners.https.as_ref().map(|https| &https.0)),
            read_only_address: told(listeners.read_only.as_ref()),
            external_address: told(listeners.external.as_ref().map(|external| &external.0)),
            stop: CancellationToken::new(),
            tasks: JoinSet::new(),
        };
        // Where nsqd may ask: it has no token.
        let asked = listeners.read_only.as_ref().or(listeners.http.as_ref());
        let shared = Arc::new(Shared {
            own: introduction(&options.broadcast_address, &listeners.tcp, asked),
            inactive_producer_timeout: options.inactive_producer_timeout,
            registry: Mutex::new(registry),
            changes: Changes::default(),
            refused: AtomicU64::new(0),
            started: Instant::now(),
            next_peer: AtomicU64::new(1),
        });
        let (tasks, stop) = (&mut lookupd.tasks, &lookupd.stop);
        let tcp = listeners.serve_http(tasks, stop, &shared);
        let peers = Connections {
            name: "TCP",
            max: match options.max_connections {
                0 => PEERS_MAX,
                most => usize::try_from(most).unwrap_or(usize::MAX),
            },
            max_rate: 0,
            stop_grace: STOP_GRACE,
        };
        tasks.spawn(serve_peers(peers, tcp, shared, stop.clone()));
        Ok(lookupd)
    }

    /// Where nsqd connects, with the real port.
    #[must_use]
    pub fn tcp_address(&self) -> &str {
        &self.tcp_address
    }

    /// Where HTTP clients connect, with the real port.
    #[must_use]
    pub fn http_address(&self) -> &str {
        &self.http_address
    }

    /// Where HTTPS clients connect, with the real port; empty for nowhere.
    #[must_use]
    pub fn https_address(&self) -> &str {
        &self.https_address
    }

    /// Where nothing can be changed, with the real port; empty for nowhere.
    #[must_use]
    pub fn read_only_address(&self) -> &str {
        &self.read_only_address
    }

    /// Where clients outside ask, with the real port; empty for nowhere.
    #[must_use]
    pub fn external_address(&self) -> &str {
        &self.external_address
    }

    /// Closes everything and waits for it, for a bounded time.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(err) = ended {
                tracing::error!("a listener ended badly - {err}");
            }
        }
    }
}

/// An address with its real port; empty for nowhere.
fn told(listener: Option<&Listener>) -> String {
    listener.map(ToString::to_string).unwrap_or_default()
}

/// How nsqlookupd introduces itself.
fn introduction(broadcast_address: &str, tcp: &Listener, asked: Option<&Listener>) -> PeerInfo {
    PeerInfo {
        broadcast_address: broadcast_address.to_owned(),
        hostname: nsq_daemon::identity::hostname(),
        http_port: asked.and_then(Listener::port).map_or(0, i32::from),
        tcp_port: tcp.port().map_or(0, i32::from),
        version: NSQ_VERSION.to_owned(),
        ..PeerInfo::default()
    }
}

async fn serve_peers(
    peers: Connections,
    listener: Listener,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    let handle = |stream, remote: String| {
        let (shared, stop) = (shared.clone(), stop.clone());
        async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = peer::serve(stream, &remote, shared) => {}
            }
        }
    };
    peers.serve(listener, stop.clone(), handle).await;
}
