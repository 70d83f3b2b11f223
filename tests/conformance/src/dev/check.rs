use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nsq_http_api::Client;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::cluster::Cluster;

const NSQD: &str = "demo-nsqd-0-0";
const LOOKUPD: &str = "demo-nsqlookupd-0";
const TOPIC: &str = "t";
/// Each time so many messages are acknowledged before the next blow.
const MESSAGES: usize = 300;
const KILLS: usize = 3;
/// Silence after which a message is given up for lost.
const GIVE_UP: Duration = Duration::from_secs(60);
/// Between two tries to publish to a node that is being restarted.
const RETRY: Duration = Duration::from_millis(10);

/// Runs the cluster of `manifest`, publishes over HTTP, consumes with the nsqjs at `client`.
///
/// # Errors
/// See [`super::run`].
pub async fn check(manifest: &Path, client: &Path) -> Result<()> {
    let data = tempfile::tempdir()?;
    let mut cluster = Cluster::start(manifest, data.path())?;
    cluster.ready().await.context("waiting for the cluster")?;
    let address = cluster.node(NSQD)?.http;
    let mut publisher = Publisher {
        client: Client::default(),
        address,
        acknowledged: BTreeSet::new(),
        refused: 0,
    };
    publisher.publish("hello".to_owned()).await;
    let mut consumer = Consumer::start(client, &cluster.node(LOOKUPD)?.http)?;
    consumer.until_all(&publisher.acknowledged).await?;
    println!("nsqjs found nsqd through nsqlookupd: hello");
    for round in 0..KILLS {
        // One task publishes through the blow, the other strikes.
        let publishing = async {
            for message in 0..MESSAGES {
                publisher.publish(format!("{round}-{message}")).await;
            }
        };
        let ((), killed) = tokio::join!(publishing, cluster.kill_and_return(NSQD));
        killed.context("waiting for nsqd to return")?;
        consumer.until_all(&publisher.acknowledged).await?;
        println!(
            "kill -9 {}: {} acknowledged so far, {} refused, all acknowledged delivered",
            round + 1,
            publisher.acknowledged.len(),
            publisher.refused
        );
    }
    if publisher.refused == 0 {
        bail!("no publish ever failed: nsqd was not killed");
    }
    consumer.child.kill().await?;
    cluster.stop().await
}

struct Publisher {
    client: Client,
    address: String,
    acknowledged: BTreeSet<String>,
    refused: usize,
}

impl Publisher {
    /// Publishes until it is acknowledged.
    async fn publish(&mut self, body: String) {
        let nsqd = self.client.nsqd(&self.address);
        while nsqd.publish(TOPIC, body.clone()).await.is_err() {
            self.refused += 1;
            tokio::time::sleep(RETRY).await;
        }
        self.acknowledged.insert(body);
    }
}

struct Consumer {
    child: Child,
    told: Lines<BufReader<ChildStdout>>,
    delivered: BTreeSet<String>,
}

impl Consumer {
    fn start(nsqjs: &Path, lookupd: &str) -> Result<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/consume.js");
        let mut command = Command::new("node");
        command.arg(script).arg(nsqjs).args([lookupd, TOPIC, "c"]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start node")?;
        let stdout = child.stdout.take().context("no stdout")?;
        Ok(Self {
            child,
            told: BufReader::new(stdout).lines(),
            delivered: BTreeSet::new(),
        })
    }

    /// Reads on until all of these were delivered.
    async fn until_all(&mut self, wanted: &BTreeSet<String>) -> Result<()> {
        while !wanted.is_subset(&self.delivered) {
            let Ok(line) = tokio::time::timeout(GIVE_UP, self.told.next_line()).await else {
                let lost: Vec<_> = wanted.difference(&self.delivered).collect();
                bail!(
                    "{} acknowledged messages are not delivered: {lost:?}",
                    lost.len()
                );
            };
            let line = line?.context("the consumer ended")?;
            self.delivered.insert(line);
        }
        Ok(())
    }
}
