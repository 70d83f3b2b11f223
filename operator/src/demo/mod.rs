//! `nsq-operator demo`: a replicated pair on this machine, numbered messages through it, and a node that is killed.

mod traffic;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nsq_http_api::{Client, ClientOptions};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc;

use crate::cluster::names::Component;
use crate::dev::local::{LocalCluster, Places};
use crate::dev::{manifest, ports::PortBook, process::Exited};
use traffic::{CHANNEL, Shown, TOPIC, Traffic};

/// What runs.
const MANIFEST: &str = "
apiVersion: nsq.io/v1alpha1
kind: NsqCluster
metadata:
  name: demo
spec:
  image: none
  nsqd:
    replicas: 2
    durability: fsync
    replication: {}
    storage:
      size: 1Gi
  nsqlookupd:
    replicas: 1
";
const VICTIM: &str = "demo-nsqd-0-1";
const PUBLISHERS: usize = 8;
/// Time between two looks, and two lines.
const TICK: Duration = Duration::from_millis(250);
/// Bounds of the chapters.
const READY_WITHIN: Duration = Duration::from_secs(60);
const BEFORE: Duration = Duration::from_secs(3);
const AFTER: Duration = Duration::from_secs(8);
const WHOLE_WITHIN: Duration = Duration::from_secs(60);
const STOPPED_WITHIN: Duration = Duration::from_secs(40);
const REQUEST: Duration = Duration::from_secs(1);
const EXITS: usize = 64;

/// What the command line says.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory of the programs; next to this one if left out.
    pub binaries: Option<PathBuf>,
    /// Directory for data and logs; it must be empty or not there.
    pub data: PathBuf,
}

/// Shows what a node's death costs.
///
/// # Errors
/// The cluster cannot be started, or a message was lost.
pub async fn run(options: Options) -> Result<()> {
    let binaries = crate::dev::binaries(options.binaries)?;
    let is_used = std::fs::read_dir(&options.data).is_ok_and(|mut found| found.next().is_some());
    if is_used {
        let data = options.data.display();
        bail!(
            "{data} is not empty: the demonstration begins with nothing; remove it or give another --data-dir"
        );
    }
    std::fs::create_dir_all(&options.data)?;
    let data = options.data.canonicalize()?;
    let parsed = manifest::parse(MANIFEST, None);
    let parsed = parsed.map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let cluster = parsed.clusters.into_iter().next().context("no cluster")?;
    let (exits, exited) = mpsc::channel(EXITS);
    let mut stage = Stage {
        cluster: LocalCluster::new(cluster, Places { binaries, data }, exits),
        ports: PortBook::default(),
        client: Client::new(ClientOptions {
            connect_timeout: REQUEST,
            request_timeout: REQUEST,
            ..ClientOptions::default()
        }),
        exited,
        screen: Screen::default(),
        begun: Instant::now(),
    };
    let played = stage.play().await;
    stage.end().await;
    played
}

struct Stage {
    cluster: LocalCluster,
    ports: PortBook,
    client: Client,
    exited: mpsc::Receiver<Exited>,
    screen: Screen,
    begun: Instant,
}

impl Stage {
    async fn play(&mut self) -> Result<()> {
        self.screen
            .say("two nsqd that mirror each other, one nsqlookupd; an OK means: on both disks");
        self.until(
            "the pair is mirrored",
            READY_WITHIN,
            None,
            Self::is_mirrored,
        )
        .await?;
        let nodes = self.nodes()?;
        for pod in self.cluster.pods.values() {
            if pod.node.component == Component::Nsqd {
                let address = pod.http_address();
                let nsqd = self.client.nsqd(&address);
                nsqd.create_topic(TOPIC).await?;
                nsqd.create_channel(TOPIC, CHANNEL).await?;
            }
        }
        let traffic = Traffic::begin(&nodes, PUBLISHERS);
        let done = self.with_traffic(&traffic).await;
        let last = traffic.end();
        done?;
        self.screen.say(&format!(
            "{} messages acknowledged, {} lost, {} delivered twice",
            last.acknowledged, last.missing, last.duplicates
        ));
        if last.missing > 0 {
            bail!("{} acknowledged messages were lost", last.missing);
        }
        Ok(())
    }

    async fn with_traffic(&mut self, traffic: &Traffic) -> Result<()> {
        self.play_for(BEFORE, traffic).await;
        traffic.counts.forget_longest();
        let killed = Instant::now();
        self.kill()?;
        self.screen.say(&format!("{VICTIM} is killed (SIGKILL)"));
        self.until("it is noticed", READY_WITHIN, Some(traffic), |stage| {
            !stage.is_mirrored()
        })
        .await?;
        self.until(
            "both nodes mirror each other again",
            WHOLE_WITHIN,
            Some(traffic),
            Self::is_mirrored,
        )
        .await?;
        let back = killed.elapsed();
        self.play_for(AFTER, traffic).await;
        let longest = traffic.counts.shown().longest_ms;
        traffic.end_publishing();
        let whole = |_: &Self| traffic.counts.shown().missing == 0;
        self.until(
            "everything acknowledged is delivered",
            WHOLE_WITHIN,
            Some(traffic),
            whole,
        )
        .await?;
        let repeated = traffic.counts.shown().repeated;
        self.screen.say(&format!(
            "the publisher that waited longest got its OK after {longest} ms; {repeated} publishes were repeated; \
             mirrored again after {:.1} s",
            back.as_secs_f64()
        ));
        Ok(())
    }

    /// One look at everything, and a line about it.
    async fn pass(&mut self, traffic: Option<&Traffic>) {
        while let Ok(end) = self.exited.try_recv() {
            self.cluster.on_exit(&end);
        }
        self.cluster.pass(&self.client, &mut self.ports).await;
        let nodes: Vec<String> = self
            .cluster
            .pods
            .iter()
            .map(|(name, pod)| format!("{name} {}", pod.state.word()))
            .collect();
        let shown = traffic.map(|traffic| traffic.counts.shown());
        let at = self.begun.elapsed().as_secs_f64();
        self.screen.line(&line(at, &nodes, shown));
        tokio::time::sleep(TICK).await;
    }

    async fn play_for(&mut self, time: Duration, traffic: &Traffic) {
        let begun = Instant::now();
        while begun.elapsed() < time {
            self.pass(Some(traffic)).await;
        }
    }

    async fn until(
        &mut self,
        what: &str,
        within: Duration,
        traffic: Option<&Traffic>,
        is_so: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        let begun = Instant::now();
        while !is_so(self) {
            if begun.elapsed() > within {
                bail!("after {within:?} still not: {what}; logs are in the data directory");
            }
            self.pass(traffic).await;
        }
        Ok(())
    }

    fn is_mirrored(&self) -> bool {
        let status = self.cluster.cluster.status_or_default();
        let mut conditions = status.conditions.iter();
        conditions.any(|condition| condition.type_ == "Mirrored" && condition.status == "True")
    }

    fn nodes(&self) -> Result<Vec<SocketAddr>> {
        let pods = self.cluster.pods.values();
        let nsqds = pods.filter(|pod| pod.node.component == Component::Nsqd);
        nsqds.map(|pod| Ok(pod.tcp_address().parse()?)).collect()
    }

    fn kill(&self) -> Result<()> {
        let pod = self.cluster.pods.get(VICTIM).context("no such node")?;
        let process = pod.state.process().context("it does not run")?;
        let id = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
        kill_process(id.context("no process id")?, Signal::KILL)?;
        Ok(())
    }

    async fn end(&mut self) {
        self.cluster.stop_all();
        let begun = Instant::now();
        while !self.cluster.is_stopped() && begun.elapsed() < STOPPED_WITHIN {
            if let Ok(Some(end)) = tokio::time::timeout(TICK, self.exited.recv()).await {
                self.cluster.on_exit(&end);
            }
        }
    }
}

fn line(at: f64, nodes: &[String], shown: Option<Shown>) -> String {
    let nodes = nodes.join(", ");
    match shown {
        None => format!("{at:5.1} s  {nodes}"),
        Some(shown) => format!(
            "{at:5.1} s  acknowledged {:>7}  delivered {:>7}  on their way {:>4}  duplicates {:>4}  repeated {:>3}  {nodes}",
            shown.acknowledged, shown.delivered, shown.missing, shown.duplicates, shown.repeated
        ),
    }
}

/// A line that stays in place on a terminal; elsewhere, lines.
#[derive(Default)]
struct Screen {
    last: String,
    drawn: bool,
}

impl Screen {
    fn say(&mut self, sentence: &str) {
        self.finish();
        println!("{sentence}");
    }

    fn line(&mut self, text: &str) {
        if std::io::stdout().is_terminal() {
            print!("\r\x1b[2K{text}");
            let _ = std::io::stdout().flush(); // a terminal that is gone shows nothing
            self.drawn = true;
        } else if text.split("  ").skip(1).ne(self.last.split("  ").skip(1)) {
            println!("{text}");
        }
        text.clone_into(&mut self.last);
    }

    fn finish(&mut self) {
        if std::mem::take(&mut self.drawn) {
            println!();
        }
    }
}
