//! How long a fault of one node of a pair is felt: by publishers behind the Service, and by whoever waits for what the
//! node had.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use nsq_rig::{Connection, Frame, push_fin, push_pub};

use crate::kubectl::Kubectl;
use crate::traffic::{Traffic, consume, publish_with};

/// Messages that the node has when it dies, none of them consumed.
const BACKLOG: u64 = 500;
/// Publishers at work meanwhile, what they publish, and how fast: twenty seconds of it.
const WORKERS: u64 = 8;
const PUBLISHED: u64 = 3200;
const PAUSE_MS: u64 = 50;
/// Everything the node had has to flow again within this time.
const PATIENCE: Duration = Duration::from_secs(90);

/// The two nodes of a pair, one of which is to die.
pub struct Pair {
    pub victim: String,
    pub survivor: String,
    /// Where the victim is.
    pub machine: String,
}

/// What was felt of a fault, in ms since it.
#[derive(Debug, Clone, Copy)]
pub struct Felt {
    /// A publisher got an OK.
    pub publishing: u64,
    /// Every publisher did.
    pub every_publisher: u64,
    /// The first message that the node had was delivered by its peer.
    pub backlog: u64,
    /// The last one was.
    pub whole_backlog: u64,
    pub duplicates: u64,
}

impl Pair {
    /// The pair, one of whose nodes is this pod.
    pub fn with_victim(kubectl: &Kubectl, victim: &str) -> Result<Self> {
        let survivor = match victim.strip_suffix('0') {
            Some(stem) => format!("{stem}1"),
            None => format!("{}0", victim.trim_end_matches('1')),
        };
        let path = "jsonpath={.spec.nodeName}";
        let machine = kubectl.run(&["get", "pod", victim, "-o", path])?;
        Ok(Self {
            victim: victim.to_owned(),
            survivor,
            machine,
        })
    }
}

/// Both links are up, and either disk could be lost.
pub fn mirrored(kubectl: &Kubectl, seconds: u64) -> Result<()> {
    kubectl.until("the pairs are mirrored", seconds, |kubectl| {
        kubectl.condition("nsqcluster/demo", "Mirrored", "True")
    })?;
    Ok(())
}

/// Traffic during a fault: it has to be whole in the end.
pub struct Load {
    topic: String,
    publisher: Traffic,
    consumer: Traffic,
}

impl Load {
    /// For twenty seconds.
    pub fn start(kubectl: &Kubectl, topic: &str) -> Result<Self> {
        Self::of(kubectl, topic, PUBLISHED)
    }

    /// For this long.
    pub fn lasting(kubectl: &Kubectl, topic: &str, seconds: u64) -> Result<Self> {
        Self::of(kubectl, topic, seconds * WORKERS * 1000 / PAUSE_MS)
    }

    fn of(kubectl: &Kubectl, topic: &str, count: u64) -> Result<Self> {
        let consumer = consume(kubectl, "demo-lookup:4161", topic, "c", 0, count)?;
        let all = (0, count);
        let publisher = publish_with(kubectl, "demo-publish:4150", topic, all, PAUSE_MS, WORKERS)?;
        publisher.runs(kubectl)?;
        consumer.runs(kubectl)?;
        Ok(Self {
            topic: topic.to_owned(),
            publisher,
            consumer,
        })
    }

    /// Everything was acknowledged and delivered. The times until a publisher, and every publisher, got an OK after
    /// `moment`; and how often something came twice.
    pub fn end(self, kubectl: &Kubectl, moment: u64) -> Result<(u64, u64, u64)> {
        let gaps = self.publisher.finish_with_gaps(kubectl)?;
        let last = self.consumer.finish(kubectl)?;
        let duplicates = last.rsplit(' ').next().and_then(|word| word.parse().ok());
        let felt: Vec<u64> = gaps
            .iter()
            .filter(|(from, to)| *from < moment + 5000 && *to > moment)
            .map(|(_, to)| to - moment)
            .collect();
        let every = felt.iter().copied().max().unwrap_or(0);
        let first = match felt.len() as u64 >= WORKERS {
            true => felt.iter().copied().min().unwrap_or(0),
            false => 0, // somebody felt nothing
        };
        println!("   {}: gaps after the fault {felt:?}", self.topic);
        Ok((first, every, duplicates.unwrap_or(0)))
    }
}

/// Gives the victim a backlog, does something to it, and waits until all of that was delivered by its peer.
pub fn fault(
    kubectl: &Kubectl,
    pair: &Pair,
    name: &str,
    strike: impl FnOnce() -> Result<()>,
) -> Result<Felt> {
    let load = Load::start(kubectl, &format!("load-{name}"))?;
    let topic = format!("had-{name}");
    give_backlog(kubectl, pair, &topic)?;
    let receiver = receive(address(kubectl, &pair.survivor)?, topic)?;
    mirrored(kubectl, 30)?;
    let moment = unix_ms();
    strike()?;
    let (first, last) = receiver
        .join()
        .map_err(|_| anyhow::anyhow!("the receiver has panicked"))??;
    let (publishing, every_publisher, duplicates) = load.end(kubectl, moment)?;
    let felt = Felt {
        publishing,
        every_publisher,
        backlog: first.saturating_sub(moment),
        whole_backlog: last.saturating_sub(moment),
        duplicates,
    };
    println!(
        "   {name}: publishing resumed after {} ms (every publisher {} ms), the backlog flowed after {} ms (whole {} ms), \
         duplicates {}, lost 0",
        felt.publishing, felt.every_publisher, felt.backlog, felt.whole_backlog, felt.duplicates
    );
    Ok(felt)
}

/// Numbered messages in a channel that nobody reads.
fn give_backlog(kubectl: &Kubectl, pair: &Pair, topic: &str) -> Result<()> {
    for request in [
        format!("topic/create?topic={topic}"),
        format!("channel/create?topic={topic}&channel=c"),
    ] {
        let path = proxied(kubectl, &pair.victim, &request);
        kubectl.run(&["create", "--raw", &path, "-f", "/dev/null"])?;
    }
    let mut connection = Connection::open(address(kubectl, &pair.victim)?)?;
    for number in 0..BACKLOG {
        let mut command = Vec::new();
        push_pub(&mut command, topic, number.to_string().as_bytes());
        connection.send(&command)?;
        let victim = &pair.victim;
        connection
            .ok()
            .with_context(|| format!("publishing to {victim}"))?;
    }
    Ok(())
}

/// When the first message and the last of the backlog came from here.
fn receive(from: SocketAddr, topic: String) -> Result<JoinHandle<Result<(u64, u64)>>> {
    let mut connection = Connection::open(from)?;
    connection.subscribe(&topic, "c")?;
    connection.ready(BACKLOG as u32)?;
    connection.set_patience(Some(PATIENCE))?;
    Ok(thread::spawn(move || {
        let (begun, mut first) = (Instant::now(), None);
        let mut missing: BTreeSet<u64> = (0..BACKLOG).collect();
        while !missing.is_empty() {
            ensure!(
                begun.elapsed() < PATIENCE,
                "{} of {topic} are lost",
                missing.len()
            );
            let mut answer = Vec::new();
            while let Some(frame) = connection.next_frame()? {
                if let Frame::Message { id, body, .. } = frame {
                    first.get_or_insert_with(unix_ms);
                    push_fin(&mut answer, id);
                    missing.remove(&std::str::from_utf8(body)?.parse()?);
                }
            }
            match answer.is_empty() {
                true => match connection.fill() {
                    // A read with a bound is cut short when the process is stopped and goes on.
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    filled => filled.context("waiting for the backlog")?,
                },
                false => connection.send(&answer)?,
            }
        }
        Ok((first.unwrap_or(0), unix_ms()))
    }))
}

/// A request to a pod's HTTP API through the API server.
pub fn proxied(kubectl: &Kubectl, pod: &str, request: &str) -> String {
    let namespace = kubectl.namespace();
    format!("/api/v1/namespaces/{namespace}/pods/{pod}:4151/proxy/{request}")
}

pub fn address(kubectl: &Kubectl, pod: &str) -> Result<SocketAddr> {
    let ip = kubectl.run(&["get", "pod", pod, "-o", "jsonpath={.status.podIP}"])?;
    Ok(format!("{ip}:4150").parse()?)
}

pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as u64
}
