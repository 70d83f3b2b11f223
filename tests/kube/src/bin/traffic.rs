//! Numbered messages, published and consumed from inside a cluster, as an application would.
//!
//! traffic publish ADDRESS TOPIC FIRST COUNT PAUSE_MS WORKERS
//! traffic consume LOOKUP_HTTP_ADDRESS TOPIC CHANNEL FIRST COUNT PATIENCE_S
//!
//! Each of a publisher's workers repeats a message until it is acknowledged, and tells of each time in which nothing
//! was (`gap FROM TO`, in ms since 1970); the consumer ends well when it has finished each number at least once, and
//! otherwise says which are missing.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use nsq_rig::{Connection, Frame, push_fin, push_pub};
use serde_json::Value;

/// One message may take this long to be acknowledged, all repetitions included.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(120);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A publisher that wants to go on does not wait long for a node that is gone.
const CONNECTED_WITHIN: Duration = Duration::from_millis(250);
const OK_WITHIN: Duration = Duration::from_secs(1);
const REPEAT_AFTER: Duration = Duration::from_millis(50);
/// A wait for an OK that is worth telling.
const GAP: Duration = Duration::from_millis(100);
/// An nsqd says something every 30 s.
const SILENT_AFTER: Duration = Duration::from_secs(45);
const LOOK_EVERY: Duration = Duration::from_millis(500);
const READY_COUNT: u32 = 50;
/// A publisher connects anew after this many messages, so that a Service can send it elsewhere.
const PER_CONNECTION: u64 = 50;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["publish", address, topic, first, count, pause, workers] => {
            publish(address, topic, first, count, pause, workers)
        }
        ["consume", lookup, topic, channel, first, count, patience] => {
            consume(lookup, topic, channel, first, count, patience)
        }
        _ => Err(anyhow::anyhow!("publish or consume; see the source")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn publish(
    address: &str,
    topic: &str,
    first: &str,
    count: &str,
    pause: &str,
    workers: &str,
) -> Result<()> {
    let (first, count): (u64, u64) = (first.parse()?, count.parse()?);
    let pause = Duration::from_millis(pause.parse()?);
    let workers: usize = workers.parse()?;
    let begun: Vec<_> = (0..workers)
        .map(|worker| {
            let (address, topic) = (address.to_owned(), topic.to_owned());
            let numbers = (first..first + count).skip(worker).step_by(workers);
            thread::spawn(move || publish_all(&address, &topic, numbers, pause))
        })
        .collect();
    let (mut repeated, mut longest) = (0, Duration::ZERO);
    for worker in begun {
        let done = worker
            .join()
            .map_err(|_| anyhow::anyhow!("a worker has panicked"))?;
        let (again, wait) = done?;
        repeated += again;
        longest = longest.max(wait);
    }
    println!(
        "published {count}, repeated {repeated}, longest wait {} ms",
        longest.as_millis()
    );
    Ok(())
}

/// How often something was repeated, and the longest wait for an OK.
fn publish_all(
    address: &str,
    topic: &str,
    numbers: impl Iterator<Item = u64>,
    pause: Duration,
) -> Result<(u64, Duration)> {
    let (mut connection, mut repeated, mut longest) = (None, 0, Duration::ZERO);
    for (at, number) in (1_u64..).zip(numbers) {
        let (begun, since) = (Instant::now(), unix_ms());
        loop {
            match publish_one(&mut connection, address, topic, number) {
                Ok(()) => break,
                Err(error) if begun.elapsed() < ACKNOWLEDGED_WITHIN => {
                    println!("{number} is repeated: {error:#}");
                    repeated += 1;
                    connection = None;
                    thread::sleep(REPEAT_AFTER);
                }
                Err(error) => return Err(error.context(format!("message {number}"))),
            }
        }
        let waited = begun.elapsed();
        if waited >= GAP {
            println!("gap {since} {}", unix_ms());
        }
        longest = longest.max(waited);
        if at % PER_CONNECTION == 0 {
            connection = None;
        }
        thread::sleep(pause);
    }
    Ok((repeated, longest))
}

fn unix_ms() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_millis()
}

fn publish_one(
    connection: &mut Option<Connection>,
    address: &str,
    topic: &str,
    number: u64,
) -> Result<()> {
    if connection.is_none() {
        let address = resolve(address)?;
        *connection = Some(Connection::open_within(
            address,
            CONNECTED_WITHIN,
            OK_WITHIN,
        )?);
    }
    let Some(open) = connection else {
        bail!("not connected");
    };
    let mut command = Vec::new();
    push_pub(&mut command, topic, number.to_string().as_bytes());
    open.send(&command)?;
    Ok(open.ok()?)
}

fn consume(
    lookup: &str,
    topic: &str,
    channel_name: &str,
    first: &str,
    count: &str,
    patience: &str,
) -> Result<()> {
    let (first, count): (u64, u64) = (first.parse()?, count.parse()?);
    let patience = Duration::from_secs(patience.parse()?);
    let mut missing: BTreeSet<u64> = (first..first + count).collect();
    let (mut duplicates, mut nodes) = (0, BTreeSet::new());
    let (finished, received) = channel();
    let begun = Instant::now();
    while !missing.is_empty() {
        if begun.elapsed() > patience {
            let some: Vec<&u64> = missing.iter().take(10).collect();
            bail!(
                "{} of {count} are missing, among them {some:?}",
                missing.len()
            );
        }
        match producers(lookup, topic) {
            Ok(found) => {
                for node in found {
                    if nodes.insert(node.clone()) {
                        println!("found {node}");
                        follow(node, topic, channel_name, finished.clone());
                    }
                }
            }
            Err(error) => println!("cannot look up: {error:#}"),
        }
        take(&received, &mut missing, &mut duplicates)?;
    }
    println!(
        "consumed {count} from {} nodes, duplicates {duplicates}",
        nodes.len()
    );
    Ok(())
}

/// Takes what has been finished until it is time to look again.
fn take(received: &Receiver<u64>, missing: &mut BTreeSet<u64>, duplicates: &mut u64) -> Result<()> {
    let until = Instant::now() + LOOK_EVERY;
    while !missing.is_empty() {
        match received.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(number) => {
                if !missing.remove(&number) {
                    *duplicates += 1;
                }
            }
            Err(RecvTimeoutError::Timeout) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => bail!("no consumer is left"),
        }
    }
    Ok(())
}

/// Keeps a connection to one node, anew whenever it is lost.
fn follow(node: String, topic: &str, channel_name: &str, finished: Sender<u64>) {
    let (topic, channel_name) = (topic.to_owned(), channel_name.to_owned());
    thread::spawn(move || {
        loop {
            if let Err(error) = read_all(&node, &topic, &channel_name, &finished) {
                println!("{node}: {error}");
            }
            thread::sleep(REPEAT_AFTER);
        }
    });
}

fn read_all(node: &str, topic: &str, channel_name: &str, finished: &Sender<u64>) -> Result<()> {
    let mut connection = Connection::open_within(resolve(node)?, ANSWER_WITHIN, SILENT_AFTER)?;
    connection.subscribe(topic, channel_name)?;
    connection.ready(READY_COUNT)?;
    loop {
        let mut answer = Vec::new();
        while let Some(frame) = connection.next_frame()? {
            match frame {
                Frame::Message { id, body, .. } => {
                    push_fin(&mut answer, id);
                    let number = std::str::from_utf8(body)?.trim_end().parse()?;
                    finished.send(number)?;
                }
                Frame::Error(error) => bail!("{}", String::from_utf8_lossy(error)),
                Frame::Response(_) => {}
            }
        }
        if !answer.is_empty() {
            connection.send(&answer)?;
        }
        connection.fill()?;
    }
}

fn producers(lookup: &str, topic: &str) -> Result<Vec<String>> {
    let mut stream = TcpStream::connect_timeout(&resolve(lookup)?, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    write!(
        stream,
        "GET /lookup?topic={topic} HTTP/1.1\r\nHost: {lookup}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let json = answer.split_once("\r\n\r\n").context("no body")?.1;
    let found: Value = serde_json::from_str(json.trim())?;
    let producers = found["producers"].as_array().context("no producers")?;
    Ok(producers
        .iter()
        .filter_map(|producer| {
            let host = producer["broadcast_address"].as_str()?;
            Some(format!("{host}:{}", producer["tcp_port"].as_u64()?))
        })
        .collect())
}

fn resolve(address: &str) -> io::Result<SocketAddr> {
    let found = address.to_socket_addrs()?.next();
    found.ok_or_else(|| io::Error::other(format!("{address} has no address")))
}
