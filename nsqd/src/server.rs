//! The process around a node: data path, listeners, background work, and its end.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use nsq_daemon::connections::Connections;
use nsq_daemon::http::{TokenError, Tokens};
use nsq_daemon::listen::{BindError, Listener};
use nsq_daemon::tls::{self, Clients, Oldest, TlsAcceptor, TlsError};
use nsq_daemon::{identity, open_files};
use nsq_http_api::TlsSetupError;
use nsq_journal::{DirectoryLock, Disk, JournalError, RealDisk, lock_directory};
use nsq_protocol::NSQ_VERSION;
use nsq_protocol::lookup::PeerInfo;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::auth::AuthServers;
use crate::from_go::{self, ImportError};
use crate::http::{self, Ports};
use crate::lookup::{LookupConfig, LookupLinks, PING_INTERVAL, StateSource};
use crate::nsqd::Nsqd;
use crate::options::{Options, TlsMinVersion, TlsRequired};
use crate::pager::Pager;
use crate::timers::Timers;
use crate::{
    checkpoint, connection, drain, journal_log, pair, recovery, settings, statsd, wake_up,
};

/// They hang up by themselves at a stop; this is for one that cannot be polled.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Why nsqd could not start or go on, worded as NSQ does where NSQ has the same failure.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("failed to lock data-path: {0}")]
    DataPath(std::io::Error),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("auth servers: {0}")]
    Auth(#[from] TlsSetupError),
    #[error("journal: {0}")]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Import(#[from] ImportError),
}

/// A node that serves.
pub struct Server {
    pub nsqd: Arc<Nsqd>,
    links: Arc<LookupLinks>,
    tcp: Listener,
    http: Option<Listener>,
    https: Option<(Listener, TlsAcceptor)>,
    read_only: Option<Listener>,
    tokens: Option<Arc<Tokens>>,
    tasks: JoinSet<()>,
    pager: JoinHandle<()>,
    // Held until the process ends: two nsqds on one directory would destroy each other's files.
    _lock: Arc<DirectoryLock>,
}

impl Server {
    /// Locks and reads the data path, opens the listeners and starts the background work.
    ///
    /// # Errors
    /// [`ServeError`]; nothing is left running then.
    pub async fn start(options: Options) -> Result<Self, ServeError> {
        let path = match options.data_path.as_str() {
            "" => ".".to_owned(),
            path => path.to_owned(),
        };
        let lock = Arc::new(lock_directory(Path::new(&path)).map_err(ServeError::DataPath)?);
        let tcp = Listener::bind(&options.tcp_address).await?;
        let http = Listener::bind_unless_empty(&options.http_address).await?;
        let tls = tls_acceptor(&options)?;
        let https = match (&tls, options.https_address.as_str()) {
            (None, _) | (_, "") => None,
            (Some(tls), address) => Some((Listener::bind(address).await?, tls.clone())),
        };
        let read_only = Listener::bind_unless_empty(&options.http_read_only_address).await?;
        let tokens = match options.http_token_file.as_str() {
            "" => None,
            file => Some(Tokens::open(Path::new(file))?),
        };
        let options = Options {
            data_path: path,
            ..options
        };
        let auth = AuthServers::new(&options)?;
        let nsqd = recovery::open(options)?;
        come_from_go(&nsqd, &lock).await?;
        if let Some(auth) = auth {
            nsqd.set_auth(auth);
        }
        if let Some(tls) = tls {
            nsqd.set_tls(tls);
        }
        let ports = ports(&tcp, http.as_ref());
        let links = LookupLinks::spawn(
            lookup_config(&nsqd.options, ports),
            state_source(Arc::downgrade(&nsqd)),
        );
        let links = Arc::new(links);
        nsqd.set_announcer(links.clone());
        let mut tasks = background(&nsqd, ports);
        tasks.spawn(pair::run_adopt_after(Arc::clone(&nsqd), links.clone()));
        let paged = Arc::clone(&nsqd);
        let pager = std::thread::Builder::new()
            .name("pager".to_owned())
            .spawn(move || Pager::run(&paged))
            .map_err(ServeError::DataPath)?;
        Ok(Self {
            nsqd,
            links,
            tcp,
            http,
            https,
            read_only,
            tokens,
            tasks,
            pager,
            _lock: lock,
        })
    }

    /// `None` on a unix socket.
    pub fn tcp_port(&self) -> Option<u16> {
        self.tcp.port()
    }

    /// `None` on a unix socket, or without HTTPS.
    pub fn https_port(&self) -> Option<u16> {
        self.https.as_ref().and_then(|(https, _)| https.port())
    }

    /// `None` on a unix socket, or without HTTP.
    pub fn http_port(&self) -> Option<u16> {
        self.http.as_ref().and_then(Listener::port)
    }

    /// `None` on a unix socket, or without such a listener.
    pub fn read_only_port(&self) -> Option<u16> {
        self.read_only.as_ref().and_then(Listener::port)
    }

    /// Serves until `stop` resolves or the journal fails, then ends cleanly: whatever is in memory
    /// is written down.
    ///
    /// # Errors
    /// The journal's. What was acknowledged is on disk all the same.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let ports = ports(&self.tcp, self.http.as_ref());
        let https_port = self.https_port().unwrap_or(0);
        let stopping = CancellationToken::new();
        let mut listeners = JoinSet::new();
        let nsqd = Arc::clone(&self.nsqd);
        let serve = move |stream, remote| connection::serve(Arc::clone(&nsqd), stream, remote);
        let (tcp, stopped) = (self.tcp, stopping.clone());
        let clients = Connections {
            name: "TCP",
            max: self.nsqd.options.connection_limit(open_files::limit()),
            max_rate: self.nsqd.options.max_accept_rate,
            stop_grace: STOP_GRACE,
        };
        listeners.spawn(async move { clients.serve(tcp, stopped, serve).await });
        let shared = http::Shared::new(Arc::clone(&self.nsqd), self.links.clone(), ports);
        if let Some(listener) = self.read_only {
            let router = http::read_only_routes().into_router(Arc::clone(&shared));
            let stopped = stopping.clone();
            let name = "HTTP, read only";
            listeners.spawn(nsq_daemon::http::serve_as(name, listener, router, stopped));
        }
        let mut router = http::routes().into_router(shared);
        if let Some(tokens) = self.tokens {
            router = tokens.guard(router);
        }
        if let Some(http) = self.http {
            let router = match self.nsqd.options.tls_required {
                TlsRequired::Yes => http::tls_required(https_port),
                TlsRequired::No | TlsRequired::TcpHttps => router.clone(),
            };
            listeners.spawn(nsq_daemon::http::serve(http, router, stopping.clone()));
        }
        if let Some((https, tls)) = self.https {
            let stopped = stopping.clone();
            listeners.spawn(nsq_daemon::http::serve_tls(https, tls, router, stopped));
        }
        let result = tokio::select! {
            () = stop => Ok(()),
            error = journal_failed(&self.nsqd) => Err(error),
        };
        self.links.set_addresses(&[]);
        stopping.cancel();
        self.nsqd.begin_exit();
        while listeners.join_next().await.is_some() {}
        self.tasks.shutdown().await;
        self.nsqd.pager.stop();
        // The pager ends after the block it is writing; it does not panic.
        let _ = self.pager.join();
        result?;
        journal_log::log_all(&self.nsqd);
        checkpoint::take(&self.nsqd, true)?;
        self.nsqd.journal.close()?;
        Ok(())
    }
}

/// What goes on beside the connections.
fn background(nsqd: &Arc<Nsqd>, ports: Ports) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    if !nsqd.options.statsd_address.is_empty() {
        let port = match nsqd.options.broadcast_http_port {
            0 => ports.http.unwrap_or(0),
            told => told,
        };
        tasks.spawn(statsd::run(Arc::clone(nsqd), port));
    }
    tasks.spawn(journal_log::sync(Arc::clone(nsqd)));
    tasks.spawn(settings::expire(Arc::clone(nsqd)));
    tasks.spawn(Timers::run(Arc::clone(nsqd)));
    tasks.spawn(journal_log::run(Arc::clone(nsqd)));
    tasks.spawn(pair::run_watch(Arc::clone(nsqd)));
    tasks.spawn(drain::run(Arc::clone(nsqd)));
    tasks.spawn(pair::run_adoption(Arc::clone(nsqd)));
    let journal = Arc::clone(&nsqd.journal);
    tasks.spawn(async move {
        if let Err(error) = wake_up::run(journal).await {
            tracing::warn!("the journal's thread wakes connections itself: {error}");
        }
    });
    tasks
}

/// Takes over what a Go nsqd left. That can take long: it ends early when nobody waits for it any more.
async fn come_from_go(nsqd: &Arc<Nsqd>, lock: &Arc<DirectoryLock>) -> Result<(), ImportError> {
    struct StopWhenDropped(Arc<AtomicBool>);
    impl Drop for StopWhenDropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    let _stop = StopWhenDropped(Arc::clone(&stop));
    let nsqd = Arc::clone(nsqd);
    let disk: Arc<dyn Disk> = RealDisk::new(&nsqd.options.data_path);
    let lock = Arc::clone(lock); // until the work has ended, whoever waits for it
    let work = move || {
        let done = from_go::import(&nsqd, &disk, &stop).map(drop);
        drop(lock);
        done
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(std::io::Error::other)?
}

/// For TCP and HTTPS; `None` without a certificate, as in NSQ.
fn tls_acceptor(options: &Options) -> Result<Option<TlsAcceptor>, TlsError> {
    if options.tls_cert.is_empty() {
        return Ok(None);
    }
    let oldest = match options.tls_min_version {
        TlsMinVersion::Tls13 => Oldest::Tls13,
        TlsMinVersion::Tls12 => Oldest::Tls12,
        TlsMinVersion::Tls10 | TlsMinVersion::Tls11 => {
            tracing::warn!("TLS: the oldest version spoken is tls1.2");
            Oldest::Tls12
        }
    };
    let clients = Clients::of_policy(&options.tls_client_auth_policy, &options.tls_root_ca_file);
    let (cert, key) = (Path::new(&options.tls_cert), Path::new(&options.tls_key));
    tls::acceptor(cert, key, oldest, clients).map(Some)
}

fn ports(tcp: &Listener, http: Option<&Listener>) -> Ports {
    Ports {
        tcp: tcp.port(),
        http: http.and_then(Listener::port),
    }
}

fn lookup_config(options: &Options, ports: Ports) -> LookupConfig {
    let port = |told: u16, bound: Option<u16>| match told {
        0 => bound.map_or(0, i32::from),
        told => i32::from(told),
    };
    LookupConfig {
        identity: PeerInfo {
            broadcast_address: options.broadcast_address.clone(),
            hostname: identity::hostname(),
            http_port: port(options.broadcast_http_port, ports.http),
            tcp_port: port(options.broadcast_tcp_port, ports.tcp),
            version: NSQ_VERSION.to_owned(),
            topology_zone: options.topology_zone.clone(),
            topology_region: options.topology_region.clone(),
            pair_name: match options.pair_with.as_str() {
                "" => String::new(),
                _ => options.pair_name().to_owned(),
            },
        },
        addresses: options.lookupd_tcp_addresses.clone(),
        connect_timeout: options.http_client_connect_timeout,
        request_timeout: options.http_client_request_timeout,
        ping_interval: PING_INTERVAL,
    }
}

/// The node owns its announcer, so the announcer must not own the node.
fn state_source(nsqd: Weak<Nsqd>) -> StateSource {
    Arc::new(move || {
        let told = |nsqd: Arc<Nsqd>| {
            let mut topics = nsqd.topics();
            topics.retain(|topic| !nsqd.drain.hides(&topic.name));
            topics
        };
        let topics = nsqd.upgrade().map(told);
        let names = |topic: &Arc<crate::LiveTopic>| {
            let channels = topic.read(|queue| {
                let names = queue.channels().map(|channel| channel.name.clone());
                names.collect()
            });
            (topic.name.clone(), channels)
        };
        topics.unwrap_or_default().iter().map(names).collect()
    })
}

/// Resolves when the journal can keep nothing any more: a failed write or sync is never retried,
/// the process ends and recovery reads what the disk really holds.
async fn journal_failed(nsqd: &Nsqd) -> ServeError {
    let mut look = tokio::time::interval(Duration::from_secs(1));
    loop {
        look.tick().await;
        if let Err(error) = nsqd.health() {
            return error.into();
        }
    }
}
