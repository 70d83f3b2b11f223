//! What many clusters cost the operator: a real API server and real controllers, and nodes that are pretended.
//!
//! crowd OPERATOR CLUSTERS TOPICS SECONDS, with KUBECONFIG, and kubectl and ip on the PATH, on a control plane without nodes.
//!
//! Pods are made by the StatefulSet controller and started by nobody: their status is written here, with addresses of
//! this machine, where one HTTP server answers for all nsqds and nsqlookupds. When everything is Ready and has been for
//! a while, the operator's CPU time, memory and requests are read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{Method, Request, Uri};
use axum::serve::IncomingStream;
use futures::stream::{self, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Addresses of the pretended nodes; all of them are this machine.
const NETWORK: &str = "10.250.0.0/16";
const PROXY: u16 = 18_001;
const METRICS: u16 = 18_080;
/// Clusters in one namespace.
const PER_NAMESPACE: usize = 20;
/// Requests to the API server at one time.
const AT_ONCE: usize = 16;
/// Everything has to be Ready within this time.
const PATIENCE: Duration = Duration::from_secs(2400);
/// Then it is left alone for this long before it is measured.
const SETTLE: Duration = Duration::from_secs(60);
/// Ticks of a process's CPU time in a second, on every Linux of today.
const TICKS: f64 = 100.0;

type Topics = BTreeMap<String, BTreeSet<String>>;

/// All pretended nodes.
#[derive(Default)]
struct Nodes {
    topics: Mutex<HashMap<IpAddr, Topics>>,
    requests: AtomicU64,
}

/// By which address of this machine a request came.
#[derive(Clone, Copy)]
struct Local(IpAddr);

impl Connected<IncomingStream<'_, TcpListener>> for Local {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        let local = stream.io().local_addr();
        Self(local.map_or(IpAddr::from([0, 0, 0, 0]), |local| local.ip()))
    }
}

async fn answer(
    State(nodes): State<Arc<Nodes>>,
    ConnectInfo(Local(ip)): ConnectInfo<Local>,
    Query(query): Query<HashMap<String, String>>,
    uri: Uri,
) -> String {
    nodes.requests.fetch_add(1, Ordering::Relaxed);
    let mut all = nodes.topics.lock().unwrap_or_else(PoisonError::into_inner);
    let own = all.entry(ip).or_default();
    let topic = query.get("topic").cloned().unwrap_or_default();
    let channels = |channels: &BTreeSet<String>| -> Vec<Value> {
        let one = |name: &String| json!({"channel_name": name, "depth": 0, "paused": false});
        channels.iter().map(one).collect()
    };
    let answer = match uri.path() {
        "/topic/create" => {
            own.entry(topic).or_default();
            return String::new();
        }
        "/channel/create" => {
            let channel = query.get("channel").cloned().unwrap_or_default();
            own.entry(topic).or_default().insert(channel);
            return String::new();
        }
        "/topics" => json!({"topics": own.keys().collect::<Vec<_>>()}),
        "/channels" => json!({"channels": own.get(&topic).cloned().unwrap_or_default()}),
        "/stats" => {
            let found = own
                .iter()
                .filter(|(name, _)| topic.is_empty() || **name == topic);
            let found = found.map(|(name, of)| {
                json!({"topic_name": name, "channels": channels(of), "depth": 0, "paused": false})
            });
            json!({"version": "1.3.0", "health": "OK", "topics": found.collect::<Vec<_>>()})
        }
        _ => json!({"version": "1.3.0", "draining": false}),
    };
    answer.to_string()
}

/// The API server, through `kubectl proxy`.
#[derive(Clone)]
struct Api(Client<HttpConnector, Full<Bytes>>);

impl Api {
    async fn call(&self, method: Method, path: &str, kind: &str, body: &Value) -> Result<Value> {
        let body = match body {
            Value::Null => Bytes::new(),
            body => Bytes::from(body.to_string()),
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("http://127.0.0.1:{PROXY}{path}"))
            .header("content-type", kind)
            .body(Full::new(body))?;
        let response = self.0.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        let text = String::from_utf8_lossy(&body);
        ensure!(
            status.is_success() || status.as_u16() == 409,
            "{path}: {status}: {text}"
        );
        Ok(serde_json::from_slice(&body)?)
    }

    async fn create(&self, path: &str, object: &Value) -> Result<()> {
        self.call(Method::POST, path, "application/json", object)
            .await
            .map(drop)
    }

    async fn create_all(&self, objects: Vec<(String, Value)>) -> Result<()> {
        let made = stream::iter(objects.iter())
            .map(|(path, object)| self.create(path, object))
            .buffer_unordered(AT_ONCE);
        made.collect::<Vec<_>>().await.into_iter().collect()
    }
}

fn namespace(cluster: usize) -> String {
    format!("crowd-{}", cluster / PER_NAMESPACE)
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

/// For ever: pods that nobody starts run, are ready and have an address.
async fn start_pods(api: Api) {
    let next = AtomicU32::new(1);
    loop {
        let pending = "/api/v1/pods?fieldSelector=status.phase%3DPending&limit=500";
        let found = api
            .call(Method::GET, pending, "application/json", &Value::Null)
            .await;
        let pods = found
            .ok()
            .and_then(|found| found["items"].as_array().cloned());
        let started = stream::iter(pods.unwrap_or_default()).map(|pod| {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let api = api.clone();
            async move { api.start_pod(&pod, number).await }
        });
        let started: Vec<_> = started.buffer_unordered(AT_ONCE).collect().await;
        if started.is_empty() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        for failed in started.into_iter().filter_map(Result::err) {
            println!("cannot start a pod: {failed:#}");
        }
    }
}

impl Api {
    async fn start_pod(&self, pod: &Value, number: u32) -> Result<()> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (name, namespace) = (
            text(&pod["metadata"]["name"]),
            text(&pod["metadata"]["namespace"]),
        );
        let ip = format!("10.250.{}.{}", number / 250, number % 250 + 1);
        let now = text(&pod["metadata"]["creationTimestamp"]);
        let container = text(&pod["spec"]["containers"][0]["name"]);
        let condition =
            |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now});
        let status = json!({"status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "startTime": now,
            "conditions": [condition("PodScheduled"), condition("Initialized"), condition("ContainersReady"), condition("Ready")],
            "containerStatuses": [{"name": container, "ready": true, "started": true, "restartCount": 0, "image": "nsq:dev",
                "imageID": "", "state": {"running": {"startedAt": now}}}],
        }});
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/status");
        let kind = "application/strategic-merge-patch+json";
        self.call(Method::PATCH, &path, kind, &status)
            .await
            .map(drop)
    }
}

/// What the operator says of itself.
async fn metrics(api: &Api) -> Result<String> {
    let uri = format!("http://127.0.0.1:{METRICS}/metrics").parse()?;
    let response = api.0.get(uri).await?;
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// Sum of the values of a metric whose labels say all of this.
fn value(metrics: &str, name: &str, labels: &[&str]) -> f64 {
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)));
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

/// CPU seconds, and resident memory now and at most in MB.
fn used(process: u32) -> Result<(f64, f64, f64)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    let cpu = (ticks(11).context("no CPU time")? + ticks(12).context("no CPU time")?) / TICKS;
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let memory = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    let mb = |key| memory(key).map(|kb| kb / 1024.0).context("no memory");
    Ok((cpu, mb("VmRSS:")?, mb("VmHWM:")?))
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
    let nodes = Arc::new(Nodes::default());
    Command::new("ip")
        .args(["route", "replace", "local", NETWORK, "dev", "lo"])
        .status()?;
    for port in [4151, 4161] {
        let router = Router::new().fallback(answer).with_state(nodes.clone());
        let listener = TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], port))).await?;
        let service = router.into_make_service_with_connect_info::<Local>();
        tokio::spawn(async move { axum::serve(listener, service).await });
    }
    let _proxy = spawn("kubectl", &["proxy", &format!("--port={PROXY}")])?;
    let api = Api(Client::builder(TokioExecutor::new()).build_http());
    tokio::time::sleep(Duration::from_secs(2)).await; // the proxy has no other sign of life
    fill(&api, clusters, topics).await?;
    tokio::spawn(start_pods(api.clone()));
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
    ready(&api, clusters, topics).await?;
    let took = begun.elapsed();
    tokio::time::sleep(SETTLE).await;
    measure(&api, &nodes, operator.0.id(), seconds.parse()?).await?;
    println!(
        "report: \nreport: {clusters} clusters of 2 nsqd and 2 nsqlookupd, {topics} topics with 2 channels; all Ready {} s after the operator was started, the API server and its controllers included.",
        took.as_secs()
    );
    Ok(())
}

/// Namespaces, clusters and topics.
async fn fill(api: &Api, count: usize, number_of_topics: usize) -> Result<()> {
    let spaces = (0..count.div_ceil(PER_NAMESPACE)).map(|number| {
        let name = format!("crowd-{number}");
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        ("/api/v1/namespaces".to_owned(), object)
    });
    api.create_all(spaces.collect()).await?;
    api.create_all(clusters(count)).await?;
    api.create_all(topics(number_of_topics, count)).await
}

async fn ready(api: &Api, clusters: usize, topics: usize) -> Result<()> {
    let begun = Instant::now();
    loop {
        ensure!(begun.elapsed() < PATIENCE, "not everything is Ready");
        tokio::time::sleep(Duration::from_secs(10)).await;
        let said = metrics(api).await.unwrap_or_default();
        let ready = |kind: &str| {
            let kind = format!("kind=\"{kind}\"");
            value(&said, "nsq_operator_resources", &[&kind, "ready=\"true\""])
        };
        let (ready_clusters, ready_topics) = (ready("NsqCluster"), ready("NsqTopic"));
        println!(
            "{} s: {ready_clusters} clusters and {ready_topics} topics are Ready",
            begun.elapsed().as_secs()
        );
        if ready_clusters >= clusters as f64 && ready_topics >= topics as f64 {
            return Ok(());
        }
    }
}

async fn measure(api: &Api, nodes: &Nodes, operator: u32, seconds: u64) -> Result<()> {
    let look = async || -> Result<(f64, f64, f64, f64)> {
        let said = metrics(api).await?;
        let requests = value(&said, "nsq_operator_api_requests_total", &[]);
        let passes = value(&said, "nsq_operator_passes_total", &[]);
        let asked = nodes.requests.load(Ordering::Relaxed) as f64;
        Ok((used(operator)?.0, requests, passes, asked))
    };
    let before = look().await?;
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let after = look().await?;
    let time = begun.elapsed().as_secs_f64();
    let (_, now, most) = used(operator)?;
    let cpu = (after.0 - before.0) / time * 100.0;
    println!("report: | what | at most | |");
    println!("report: |---|---|---|");
    println!("report: | CPU, of one core | 2 % | {cpu:.2} % |");
    println!("report: | resident memory | 100 MB | {now:.0} MB |");
    println!("report: | resident memory while everything was made | | {most:.0} MB |");
    println!(
        "report: | passes a second | | {:.1} |",
        (after.2 - before.2) / time
    );
    println!(
        "report: | requests to the API server a second | | {:.2} |",
        (after.1 - before.1) / time
    );
    println!(
        "report: | requests to nodes a second | | {:.1} |",
        (after.3 - before.3) / time
    );
    Ok(())
}
