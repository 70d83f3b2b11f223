//! `nsq-operator run`: the controllers, and what every operator has around them.

pub mod client;
pub mod context;
pub mod http;
pub mod kept;
pub mod lease;
pub mod metrics;
pub mod pace;
pub mod packed;
pub mod pass;
pub mod permissions;
pub mod probe;
pub mod report;
pub mod shelf;
pub mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::future::{BoxFuture, FutureExt, Shared};
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use context::Context;
use http::Health;
use lease::Contender;
use metrics::Metrics;

/// Name of the Lease.
const LEASE: &str = "nsq-operator";
/// How long the passes that are under way may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(20);
/// Clusters that the probes have woken and no pass has begun for.
const WOKEN: usize = 1024;
/// Time between two counts of our resources.
const COUNTING: Duration = Duration::from_secs(10);

/// What the command line says.
#[derive(Debug, Clone)]
pub struct Options {
    /// The one namespace to watch; all if left out.
    pub namespace: Option<String>,
    /// Where /metrics, /healthz and /readyz are served.
    pub http_address: SocketAddr,
    /// Namespace of the Lease; the one this operator runs in if left out.
    pub lease_namespace: Option<String>,
    /// Name of this operator among its replicas.
    pub identity: String,
    /// Of nsqd's HTTP API, where it asks for one.
    pub nsqd_token_file: Option<PathBuf>,
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// The API server cannot be used at all, or the lease was lost: the process must end then, for another operator leads.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let metrics = Metrics::new()?;
    let config = Config::infer()
        .await
        .context("found no way to the API server: neither a kubeconfig nor a service account")?;
    let namespace = options
        .lease_namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    let client = client::client(config, metrics.clone())?;
    let health = Health {
        metrics: metrics.clone(),
        ready: Arc::new(AtomicBool::new(false)),
    };
    http::serve(options.http_address, health.clone()).await?;
    let stop = stop_signal()?;

    let mut contender = Contender::new(client.clone(), &namespace, LEASE, options.identity.clone());
    let ready = || health.ready.store(true, Ordering::Relaxed);
    tokio::select! {
        () = contender.acquire(ready) => {}
        () = stop.clone() => return Ok(()),
    }
    ready();
    metrics.leading.set(1);
    let lost = lead(client, &options, metrics.clone(), stop, &mut contender).await?;
    metrics.leading.set(0);
    if let Some(why) = lost {
        // Another operator may act from now on; nothing of ours must go on.
        bail!("stopped leading: {why}");
    }
    contender.release().await;
    Ok(())
}

type Stop = Shared<BoxFuture<'static, ()>>;

/// Runs the controllers until told to stop (`None`) or until the lease is lost (why).
async fn lead(
    client: Client,
    options: &Options,
    metrics: Metrics,
    stop: Stop,
    contender: &mut Contender,
) -> anyhow::Result<Option<String>> {
    let watched = watch::start(&client, options.namespace.as_deref());
    let context = Arc::new(Context::new(
        client,
        metrics,
        watched.stores.clone(),
        options.identity.clone(),
        options.nsqd_token_file.clone(),
    ));
    let counting = count_resources(context.clone());
    let (wake, woken) = tokio::sync::mpsc::channel(WOKEN);
    let probing = probe::run(context.clone(), wake);
    let namespace = options.namespace.as_deref();
    let controllers = watch::run(watched, context, namespace, woken, stop.clone());
    tokio::pin!(controllers);
    tokio::select! {
        why = contender.hold() => return Ok(Some(why)),
        () = counting => {}
        () = probing => {}
        () = &mut controllers => {}
        () = stop => {
            info!("stopping; passes under way come to their end");
            // Still holding the lease: nobody else acts until the last pass has ended.
            tokio::select! {
                why = contender.hold() => return Ok(Some(why)),
                () = &mut controllers => {}
                () = tokio::time::sleep(GRACE) => info!("passes take too long and are cut off"),
            }
        }
    }
    Ok(None)
}

/// Counting goes over everything there is, so it is not done in every pass.
async fn count_resources(context: Arc<Context>) {
    loop {
        tokio::time::sleep(COUNTING).await;
        context.count_resources();
    }
}

fn stop_signal() -> anyhow::Result<Stop> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    Ok(stop.boxed().shared())
}
