//! nsqlookupd: knows which nsqd has which topics and channels.
//!
//! [`registry`] holds the rules, as a value. Around it: a TCP listener, to which every nsqd keeps a
//! connection and tells what it has, and an HTTP API, where consumers and tools ask. Everything is in
//! memory; an nsqd that connects tells everything again.

mod api;
mod metrics;
pub mod options;
mod peer;
pub mod registry;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nsq_daemon::connections::Connections;
use nsq_daemon::http;
use nsq_daemon::listen::{BindError, Listener};
use nsq_protocol::NSQ_VERSION;
use nsq_protocol::lookup::PeerInfo;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use options::Options;
use registry::{PeerId, Registry};

/// nsqds at once; each holds one connection.
const PEERS: Connections = Connections {
    name: "TCP",
    max: 10_000,
    max_rate: 0,
    stop_grace: Duration::from_secs(5),
};

/// What connections and HTTP handlers share.
#[derive(Debug)]
struct Shared {
    /// How nsqlookupd introduces itself to nsqd.
    own: PeerInfo,
    inactive_producer_timeout: Duration,
    registry: Mutex<Registry>,
    /// The registry's clock starts here.
    started: Instant,
    next_peer: AtomicU64,
}

impl Shared {
    fn now(&self) -> Duration {
        self.started.elapsed()
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
    stop: CancellationToken,
    tasks: [JoinHandle<()>; 2],
}

impl Nsqlookupd {
    /// Opens both listeners and serves them, on the Tokio runtime of the caller.
    ///
    /// # Errors
    /// [`BindError`] when an address cannot be had.
    pub async fn start(options: &Options) -> Result<Self, BindError> {
        let tcp = Listener::bind(&options.tcp_address).await?;
        let http = Listener::bind(&options.http_address).await?;
        let (tcp_address, http_address) = (tcp.to_string(), http.to_string());
        let registry = Registry::new(
            options.inactive_producer_timeout,
            options.tombstone_lifetime,
        );
        let shared = Arc::new(Shared {
            own: PeerInfo {
                broadcast_address: options.broadcast_address.clone(),
                hostname: nsq_daemon::identity::hostname(),
                http_port: http.port().map_or(0, i32::from),
                tcp_port: tcp.port().map_or(0, i32::from),
                version: NSQ_VERSION.to_owned(),
                ..PeerInfo::default()
            },
            inactive_producer_timeout: options.inactive_producer_timeout,
            registry: Mutex::new(registry),
            started: Instant::now(),
            next_peer: AtomicU64::new(1),
        });
        let stop = CancellationToken::new();
        let router = api::routes().into_router(shared.clone());
        let tasks = [
            tokio::spawn(serve_peers(tcp, shared, stop.clone())),
            tokio::spawn(http::serve(http, router, stop.clone())),
        ];
        Ok(Self {
            tcp_address,
            http_address,
            stop,
            tasks,
        })
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

    /// Closes everything and waits for it, for a bounded time.
    pub async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            if let Err(err) = task.await {
                tracing::error!("a listener ended badly - {err}");
            }
        }
    }
}

async fn serve_peers(listener: Listener, shared: Arc<Shared>, stop: CancellationToken) {
    let handle = |stream, remote: String| {
        let (shared, stop) = (shared.clone(), stop.clone());
        async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = peer::serve(stream, &remote, shared) => {}
            }
        }
    };
    PEERS.serve(listener, stop.clone(), handle).await;
}
