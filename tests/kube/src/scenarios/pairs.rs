//! Pairs that come and go under traffic, and take everything with them that nobody has consumed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nsq_rig::{Connection, Frame, push_dpub, push_mpub, push_pub, push_req};
use serde_json::Value;

use super::install::cluster_ready;
use super::scaling::{gone, to};
use crate::kubectl::Kubectl;
use crate::measure::{address, mirrored, proxied};
use crate::traffic::{consume, publish_with};

const LOOKUP: &str = "demo-lookup:4161";
/// A channel that nobody consumes.
const UNREAD: &str = "unread";
/// Messages published while nodes come and go: about two minutes of it.
const PUBLISHED: u64 = 8000;
const PAUSE_MS: u64 = 60;
const WORKERS: u64 = 4;
/// Of each kind: waiting, given back once, deferred.
const KEPT: usize = 150;
const AN_HOUR_MS: u32 = 3_600_000;
/// A due time is told in the time of the node's own clock.
const DUE_APART_NS: u64 = 1_000_000;
/// Looked at in one request: nsqd's own bound.
const PEEK: &str = "1000";
/// Nothing comes for this long: nothing more waits.
const RECEIVED_WITHIN: Duration = Duration::from_secs(3);
const MILLION: u64 = 1_000_000;
const BATCH: u64 = 1000;

fn make(kubectl: &Kubectl, pod: &str, topic: &str, channels: &[&str]) -> Result<()> {
    let mut requests = vec![format!("topic/create?topic={topic}")];
    let channels = channels.iter();
    requests.extend(channels.map(|name| format!("channel/create?topic={topic}&channel={name}")));
    for request in requests {
        let path = proxied(kubectl, pod, &request);
        kubectl.run(&["create", "--raw", &path, "-f", "/dev/null"])?;
    }
    Ok(())
}

fn ask(kubectl: &Kubectl, pod: &str, request: &str) -> Result<Value> {
    let answer = kubectl.run(&["get", "--raw", &proxied(kubectl, pod, request)])?;
    Ok(serde_json::from_str(&answer)?)
}

/// Two nodes, six, two again: on the way down four for a while.
pub fn six(kubectl: &Kubectl) -> Result<Option<String>> {
    make(kubectl, "demo-nsqd-0-0", "six", &["c", UNREAD])?;
    make(kubectl, "demo-nsqd-0-1", "six", &["c", UNREAD])?;
    let consumer = consume(kubectl, LOOKUP, "six", "c", 0, PUBLISHED)?;
    let all = (0, PUBLISHED);
    let publisher = publish_with(kubectl, "demo-publish:4150", "six", all, PAUSE_MS, WORKERS)?;
    publisher.runs(kubectl)?;
    // An odd number means one more: autoscalers count one by one.
    to(kubectl, "5")?;
    mirrored(kubectl, 180)?;
    cluster_ready(kubectl)?;
    for pod in ["demo-nsqd-1-0", "demo-nsqd-2-1"] {
        keep_some(kubectl, pod)?;
    }
    let leave = ["demo-nsqd-1-0", "demo-nsqd-2-1"];
    let mut before = deferred(kubectl, &leave)?;
    before.extend(peeked(kubectl, &leave)?);
    ensure!(before.len() == 6 * KEPT, "there are {}", before.len());
    to(kubectl, "2")?;
    gone(kubectl, "demo-nsqd-2-1", 180)?;
    gone(kubectl, "demo-nsqd-2-0", 30)?; // its peer, at once
    // The other two are on their way out, and are to stay after all.
    to(kubectl, "4")?;
    kubectl.until("they take messages again", 60, |kubectl| {
        for pod in ["demo-nsqd-1-0", "demo-nsqd-1-1"] {
            let info = ask(kubectl, pod, "info")?;
            ensure!(info["draining"] != true, "{pod} drains");
        }
        Ok(())
    })?;
    to(kubectl, "2")?;
    gone(kubectl, "demo-nsqd-1-0", 180)?;
    mirrored(kubectl, 60)?;
    cluster_ready(kubectl)?;
    let stay = ["demo-nsqd-0-0", "demo-nsqd-0-1"];
    let mut after = deferred(kubectl, &stay)?;
    let waiting = before.len().saturating_sub(after.len());
    after.extend(received(kubectl, &stay, waiting)?);
    for (id, kept) in &before {
        let found = after
            .get(id)
            .with_context(|| format!("message {id} is lost"))?;
        let apart = kept.due.abs_diff(found.due);
        ensure!(
            kept.rest == found.rest && apart < DUE_APART_NS,
            "message {id} was {kept:?} and is {found:?}"
        );
    }
    println!(
        "   {} messages kept id, attempts and due time",
        before.len()
    );
    publisher.finish(kubectl)?;
    consumer.finish(kubectl)?;
    consume(kubectl, LOOKUP, "six", UNREAD, 0, PUBLISHED)?.finish(kubectl)?;
    Ok(None)
}

/// Messages that wait, that were given back once, and that are deferred.
fn keep_some(kubectl: &Kubectl, pod: &str) -> Result<()> {
    make(kubectl, pod, "kept", &[UNREAD])?;
    let mut connection = Connection::open(address(kubectl, pod)?)?;
    let mut publish = |deferred: bool| -> Result<()> {
        for number in 0..KEPT {
            let mut command = Vec::new();
            let body = format!("{pod} {number}");
            match deferred {
                true => push_dpub(&mut command, "kept", AN_HOUR_MS, body.as_bytes()),
                false => push_pub(&mut command, "kept", body.as_bytes()),
            }
            connection.send(&command)?;
            acknowledged(&mut connection)?;
        }
        Ok(())
    };
    publish(false)?;
    give_back(kubectl, pod)?;
    publish(false)?;
    publish(true)
}

fn acknowledged(connection: &mut Connection) -> Result<()> {
    loop {
        match connection.next_frame()? {
            Some(Frame::Response(b"OK")) => return Ok(()),
            Some(Frame::Response(_)) => {}
            Some(other) => bail!("answered {other:?}"),
            None => connection.fill()?,
        }
    }
}

/// Every message that waits is received once and requeued for an hour.
fn give_back(kubectl: &Kubectl, pod: &str) -> Result<()> {
    let mut connection = Connection::open(address(kubectl, pod)?)?;
    connection.subscribe("kept", UNREAD)?;
    connection.ready(u32::try_from(KEPT)?)?;
    let mut given = 0;
    while given < KEPT {
        let mut answer = Vec::new();
        while let Some(frame) = connection.next_frame()? {
            if let Frame::Message { id, .. } = frame {
                push_req(&mut answer, id, AN_HOUR_MS);
                given += 1;
            }
        }
        match answer.is_empty() {
            true => connection.fill()?,
            false => connection.send(&answer)?,
        }
    }
    kubectl.until("all were given back", 10, |kubectl| {
        let path = format!("channel/deferred?topic=kept&channel={UNREAD}&count={PEEK}");
        let deferred = ask(kubectl, pod, &path)?;
        let count = listed(&deferred).len();
        ensure!(count == KEPT, "{count} of {KEPT}");
        Ok(())
    })
}

/// What is known of a message.
#[derive(Debug)]
struct Known {
    /// Nanoseconds since 1970; 0: it waits.
    due: u64,
    rest: String,
}

/// What is known of each message that is deferred, by its id.
fn deferred(kubectl: &Kubectl, pods: &[&str]) -> Result<BTreeMap<String, Known>> {
    let mut found = BTreeMap::new();
    for pod in pods {
        let path = format!("channel/deferred?topic=kept&channel={UNREAD}&count={PEEK}");
        for message in listed(&ask(kubectl, pod, &path)?) {
            let id = message["id"].as_str().context("no id")?.to_owned();
            let known = Known {
                due: message["due"].as_u64().unwrap_or(0),
                rest: message["attempts"].to_string(),
            };
            let twice = found.insert(id.clone(), known);
            ensure!(twice.is_none(), "message {id} is at two nodes");
        }
    }
    Ok(found)
}

/// What is known of those that wait, before anything has moved.
fn peeked(kubectl: &Kubectl, pods: &[&str]) -> Result<BTreeMap<String, Known>> {
    let mut found = BTreeMap::new();
    for pod in pods {
        let path = format!("channel/peek?topic=kept&channel={UNREAD}&count={PEEK}");
        for message in listed(&ask(kubectl, pod, &path)?) {
            let id = message["id"].as_str().context("no id")?.to_owned();
            let body = message["body"].as_str().unwrap_or_default();
            let rest = format!("{} {body}", message["attempts"]);
            found.insert(id, Known { due: 0, rest });
        }
    }
    Ok(found)
}

/// What is known of those that wait: they are received, and go back unfinished.
fn received(kubectl: &Kubectl, pods: &[&str], count: usize) -> Result<BTreeMap<String, Known>> {
    let mut found = BTreeMap::new();
    let begun = Instant::now();
    for pod in pods {
        let mut connection = Connection::open(address(kubectl, pod)?)?;
        connection.set_patience(Some(RECEIVED_WITHIN))?;
        connection.subscribe("kept", UNREAD)?;
        connection.ready(u32::try_from(count)?.max(1))?;
        while found.len() < count && begun.elapsed() < 2 * RECEIVED_WITHIN {
            while let Some(frame) = connection.next_frame()? {
                if let Frame::Message { id, attempts, body } = frame {
                    let id = String::from_utf8(id.to_vec())?;
                    let body = String::from_utf8_lossy(body);
                    let known = Known {
                        due: 0,
                        rest: format!("{} {body}", attempts - 1),
                    };
                    let twice = found.insert(id.clone(), known);
                    ensure!(twice.is_none(), "message {id} is at two nodes");
                }
            }
            if connection.fill().is_err() {
                break; // nothing more waits here
            }
        }
    }
    ensure!(found.len() == count, "{} of {count} wait", found.len());
    Ok(found)
}

fn listed(answer: &Value) -> Vec<Value> {
    let list = answer.as_array().or_else(|| answer["messages"].as_array());
    list.cloned().unwrap_or_default()
}

/// A million messages on the node that leaves, half of them on a channel that nobody consumes.
pub fn million(kubectl: &Kubectl) -> Result<Option<String>> {
    to(kubectl, "4")?;
    mirrored(kubectl, 180)?;
    cluster_ready(kubectl)?;
    let pod = "demo-nsqd-1-0";
    let half = MILLION / 2;
    for (topic, channel) in [("million-unread", UNREAD), ("million-read", "c")] {
        make(kubectl, pod, topic, &[channel])?;
        fill(kubectl, pod, topic, half)?;
    }
    let all = (0, PUBLISHED);
    let (through, topic) = ("demo-publish:4150", "million-traffic");
    let publisher = publish_with(kubectl, through, topic, all, PAUSE_MS, WORKERS)?;
    publisher.runs(kubectl)?;
    let read = consume(kubectl, LOOKUP, "million-read", "c", 0, half)?;
    let begun = Instant::now();
    to(kubectl, "2")?;
    gone(kubectl, pod, 500)?;
    let seconds = begun.elapsed().as_secs_f64();
    println!("   a node with {MILLION} messages was emptied and removed within {seconds:.1} s");
    cluster_ready(kubectl)?;
    read.finish(kubectl)?;
    publisher.finish(kubectl)?;
    consume(kubectl, LOOKUP, "million-unread", UNREAD, 0, half)?.finish(kubectl)?;
    consume(kubectl, LOOKUP, topic, "c", 0, PUBLISHED)?.finish(kubectl)?;
    Ok(None)
}

fn fill(kubectl: &Kubectl, pod: &str, topic: &str, count: u64) -> Result<()> {
    let mut connection = Connection::open(address(kubectl, pod)?)?;
    for first in (0..count).step_by(usize::try_from(BATCH)?) {
        let bodies: Vec<String> = (first..first + BATCH)
            .map(|number| number.to_string())
            .collect();
        let mut command = Vec::new();
        push_mpub(&mut command, topic, bodies.iter().map(String::as_bytes));
        connection.send(&command)?;
        acknowledged(&mut connection)?;
    }
    Ok(())
}
