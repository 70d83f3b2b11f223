//! What many clusters cost the operator: a real API server and real controllers, and nodes that are pretended.
//!
//! crowd OPERATOR CLUSTERS TOPICS SECONDS, with KUBECONFIG, and kubectl and ip on the PATH, on a control plane that has
//! our resource definitions and no operator at work.
//!
//! Pods are made by the StatefulSet controller and started by nobody: their status is written here, with addresses of
//! this machine, where one HTTP server answers for all nsqds and nsqlookupds. When everything is Ready and has been for
//! a while, the operator's CPU time, memory and requests are read, and judged.

mod api;
mod nodes;
mod usage;

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use api::{Api, PREFIX, PROXY};
use nodes::{Addresses, Nodes};
use usage::{METRICS, counted, memory};

/// Clusters in one namespace.
const PER_NAMESPACE: usize = 20;
/// Everything has to be Ready within this time.
const PATIENCE: Duration = Duration::from_secs(2400);
/// Time between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Then it is left alone for this long before it is measured.
const SETTLE: Duration = Duration::from_secs(60);

/// At rest at most: of one core, in percent.
const CPU_MAX: f64 = 2.0;
/// Resident memory in MB: of the operator as such, of which 20 are its program, and for each cluster with its ten topics.
/// A fifth more than it was with 50 clusters (29 MB) and with a thousand (79 MB).
const MEMORY_BASE: f64 = 32.0;
const MEMORY_PER_CLUSTER: f64 = 0.065;
/// Requests to the API server a second: the lease is renewed, watches begin anew, and quiet clusters cost none.
const REQUESTS_MAX: f64 = 2.0;

fn namespace(cluster: usize) -> String {
    format!("{PREFIX}{}", cluster / PER_NAMESPACE)
}

fn clusters(count: usize) -> Vec<(String, Value)> {
    let nobody = json!({"spec": {"schedulerName": "nobody", "containers": []}});
    let cluster = |number: usize| {
        let namespace = namespace(number);
        let object = json!({
            "apiVersion": "nsq.io/v1alpha1", "kind": "NsqCluster",
            "metadata": {"name": format!("c{number}"), "namespace": namespace},
            "spec": {"image": "nsq:dev",
                "nsqd": {"replicas": 2, "storage": {"size": "1Gi"}, "podTemplate": nobody},
                "nsqlookupd": {"replicas": 2, "podTemplate": nobody}},
        });
        (
            format!("/apis/nsq.io/v1alpha1/namespaces/{namespace}/nsqclusters"),
            object,
        )
    };
    (0..count).map(cluster).collect()
}

fn topics(count: usize, clusters: usize) -> Vec<(String, Value)> {
    let topic = |number: usize| {
        let cluster = number % clusters;
        let namespace = namespace(cluster);
        let object = json!({
            "apiVersion": "nsq.io/v1alpha1", "kind": "NsqTopic",
            "metadata": {"name": format!("t{number}"), "namespace": namespace},
            "spec": {"cluster": format!("c{cluster}"), "channels": [{"name": "a"}, {"name": "b"}]},
        });
        (
            format!("/apis/nsq.io/v1alpha1/namespaces/{namespace}/nsqtopics"),
            object,
        )
    };
    (0..count).map(topic).collect()
}

/// A process that ends with this one.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn(program: &str, arguments: &[&str]) -> Result<Running> {
    let mut command = Command::new(program);
    let child = command.args(arguments).stdout(Stdio::null()).spawn();
    Ok(Running(child.with_context(|| program.to_owned())?))
}

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [operator, clusters, topics, seconds] = words.as_slice() else {
        bail!("crowd OPERATOR CLUSTERS TOPICS SECONDS; see the source");
    };
    let (clusters, topics): (usize, usize) = (clusters.parse()?, topics.parse()?);
    ensure!(clusters > 0, "there has to be a cluster");
    let nodes = Arc::new(Nodes::default());
    let addresses = Addresses::take().await?;
    nodes::serve(&nodes).await?;
    let _proxy = spawn("kubectl", &["proxy", &format!("--port={PROXY}")])?;
    let api = Api::new();
    until(
        "the API server answers",
        Duration::from_secs(30),
        async || api.answers().await,
    )
    .await?;
    fill(&api, clusters, topics).await?;
    tokio::spawn(api::start_pods(api.clone()));
    let address = format!("--http-address=127.0.0.1:{METRICS}");
    let arguments = [
        "run",
        &address,
        "--lease-namespace=default",
        "--identity=crowd",
        "--log=error",
    ];
    let operator = spawn(operator, &arguments)?;
    let begun = Instant::now();
    until("everything is Ready", PATIENCE, async || {
        let found = usage::ready(&api, "NsqCluster").await;
        let kept = usage::ready(&api, "NsqTopic").await;
        let seconds = begun.elapsed().as_secs();
        println!("{seconds} s: {found} clusters and {kept} topics are Ready");
        found >= clusters as f64 && kept >= topics as f64
    })
    .await?;
    let took = begun.elapsed();
    tokio::time::sleep(SETTLE).await;
    let judged = measure(&api, &nodes, operator.0.id(), seconds.parse()?, clusters).await;
    println!(
        "report: \nreport: {clusters} clusters of 2 nsqd and 2 nsqlookupd, {topics} topics with 2 channels; all Ready {} s after the operator was started, the API server and its controllers included.",
        took.as_secs()
    );
    addresses.give_back().await?;
    judged
}

async fn until(what: &str, within: Duration, look: impl AsyncFn() -> bool) -> Result<()> {
    let begun = Instant::now();
    while !look().await {
        let seconds = within.as_secs();
        ensure!(
            begun.elapsed() < within,
            "after {seconds} s still not: {what}"
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Namespaces, clusters and topics.
async fn fill(api: &Api, count: usize, number_of_topics: usize) -> Result<()> {
    let spaces = (0..count.div_ceil(PER_NAMESPACE)).map(|number| {
        let name = format!("{PREFIX}{number}");
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        ("/api/v1/namespaces".to_owned(), object)
    });
    api.create_all(spaces.collect()).await?;
    api.create_all(clusters(count)).await?;
    api.create_all(topics(number_of_topics, count)).await
}

/// One row of the table.
struct Row {
    what: &'static str,
    unit: &'static str,
    most: Option<f64>,
    is: f64,
}

/// What the operator uses when nothing happens.
///
/// # Errors
/// More than it may.
async fn measure(
    api: &Api,
    nodes: &Nodes,
    operator: u32,
    seconds: u64,
    clusters: usize,
) -> Result<()> {
    let asked = || nodes.requests.load(Ordering::Relaxed) as f64;
    let (before, asked_before, begun) = (counted(api, operator).await?, asked(), Instant::now());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (after, asked) = (counted(api, operator).await?, asked() - asked_before);
    let time = begun.elapsed().as_secs_f64();
    let (now, most) = memory(operator)?;
    let row = |what, unit, most, is| Row {
        what,
        unit,
        most,
        is,
    };
    let cpu = (after.cpu - before.cpu) / time * 100.0;
    let requests = (after.requests - before.requests) / time;
    let passes = (after.passes - before.passes) / time;
    let memory_max = MEMORY_BASE + MEMORY_PER_CLUSTER * clusters as f64;
    let of_api = "requests to the API server";
    let rows = [
        row("CPU", "% of a core", Some(CPU_MAX), cpu),
        row("resident memory", "MB", Some(memory_max), now),
        row("the most while all was made", "MB", None, most),
        row(of_api, "a second", Some(REQUESTS_MAX), requests),
        row("passes", "a second", None, passes),
        row("requests to nodes", "a second", None, asked / time),
    ];
    println!("report: | at rest | unit | at most | |");
    println!("report: |---|---|---|---|");
    for Row {
        what,
        unit,
        most,
        is,
    } in &rows
    {
        let most = most.map_or(String::new(), |most| format!("{most:.0}"));
        println!("report: | {what} | {unit} | {most} | {is:.2} |");
    }
    let missed: Vec<&str> = rows
        .iter()
        .filter(|row| row.most.is_some_and(|most| row.is > most))
        .map(|row| row.what)
        .collect();
    ensure!(missed.is_empty(), "too much: {}", missed.join(", "));
    Ok(())
}
