//! Trouble with what the cluster rests on: the operator, the API server, a disk, both nodes of a pair.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nsq_rig::{Connection, Frame, push_pub};

use super::OPERATOR_NAMESPACE;
use super::failover::{back, kill};
use super::install::{cluster_ready, leader};
use super::scaling::gone;
use crate::kubectl::Kubectl;
use crate::measure::{Load, address, mirrored, unix_ms};
use crate::rig;
use crate::traffic::consume;

/// Time between two kills of the operator: a leader is found in less.
const BETWEEN_KILLS: Duration = Duration::from_secs(4);
/// How long the API server answers nobody.
const OUTAGE: Duration = Duration::from_secs(60);
/// The small disk, and how much of it one message takes.
const DISK: &str = "512m";
const BODY: usize = 60 << 10;
/// More of them than the disk holds.
const TOO_MANY: u64 = 16_000;

/// Whoever leads is killed again and again while a pair comes, all nodes are restarted, and the pair goes.
pub fn operator(kubectl: &Kubectl) -> Result<Option<String>> {
    let load = Load::lasting(kubectl, "operator-steps", 120)?;
    let moment = unix_ms();
    let mut kills = 0;
    type Step<'a> = (&'a str, &'a str, &'a dyn Fn(&Kubectl) -> Result<()>);
    let ready = |kubectl: &Kubectl| {
        kubectl.condition("nsqcluster/demo", "Mirrored", "True")?;
        kubectl.condition("nsqcluster/demo", "Reconciling", "False")?;
        kubectl.condition("nsqcluster/demo", "Ready", "True")?;
        Ok(())
    };
    let removed = |kubectl: &Kubectl| {
        ensure!(kubectl.uid("demo-nsqd-1-0").is_err(), "it is still there");
        ready(kubectl)
    };
    let steps: [Step<'_>; 3] = [
        ("a pair more", r#"{"nsqd":{"replicas":4}}"#, &ready),
        (
            "another option",
            r#"{"nsqd":{"options":{"msg-timeout":"50s"}}}"#,
            &ready,
        ),
        ("a pair less", r#"{"nsqd":{"replicas":2}}"#, &removed),
    ];
    for (what, spec, done) in steps {
        kubectl.change(spec)?;
        for _ in 0..3 {
            sleep(BETWEEN_KILLS);
            let name = leader(kubectl)?;
            let now = [
                "delete",
                "pod",
                &name,
                "-n",
                OPERATOR_NAMESPACE,
                "--grace-period=0",
                "--force",
            ];
            if kubectl.run(&now).is_ok() {
                kills += 1;
            }
        }
        kubectl.until(what, 240, done)?;
    }
    let (_, _, duplicates) = load.end(kubectl, moment)?;
    println!("   {kills} kills, duplicates {duplicates}");
    ensure!(kills >= 6, "the operator was hardly ever killed");
    Ok(None)
}

/// A minute without the API server: messages flow. A node dies meanwhile, and its kubelet starts it again.
pub fn api_outage(kubectl: &Kubectl) -> Result<Option<String>> {
    if let Some(why) = rig::missing() {
        return Ok(Some(why));
    }
    let load = Load::lasting(kubectl, "api-outage", 75)?;
    let moment = unix_ms();
    let victim = super::restarts::process_of(kubectl, "demo-nsqd-0-1")?;
    let victim = victim
        .context("its process is not on this machine")?
        .to_string();
    rig::api(false)?;
    sleep(OUTAGE / 2);
    let killed = std::process::Command::new("kill")
        .args(["-9", &victim])
        .status();
    sleep(OUTAGE / 2);
    rig::api(true)?;
    ensure!(killed?.success(), "cannot kill process {victim}");
    let (_, every, duplicates) = load.end(kubectl, moment)?;
    println!("   longest wait of a publisher {every} ms, duplicates {duplicates}");
    mirrored(kubectl, 120)?;
    cluster_ready(kubectl)?;
    Ok(None)
}

/// One node of the pair is killed, comes back, mirrors; then the other.
pub fn both(kubectl: &Kubectl) -> Result<Option<String>> {
    if let Some(why) = rig::missing() {
        return Ok(Some(why));
    }
    let load = Load::lasting(kubectl, "both-lost", 45)?;
    let moment = unix_ms();
    for pod in ["demo-nsqd-0-0", "demo-nsqd-0-1", "demo-nsqd-0-0"] {
        kill(kubectl, pod)?;
        back(kubectl, pod)?;
    }
    let (_, _, duplicates) = load.end(kubectl, moment)?;
    println!("   duplicates {duplicates}");
    cluster_ready(kubectl)?;
    Ok(None)
}

/// One node's disk is full: publishers are served by the other; it goes on when consumers have made room.
pub fn full_disk(kubectl: &Kubectl) -> Result<Option<String>> {
    if let Some(why) = rig::missing() {
        return Ok(Some(why));
    }
    let pod = "demo-nsqd-0-1";
    let at = |path: &str| kubectl.run(&["get", "pod", pod, "-o", path]);
    let machine = at("jsonpath={.spec.nodeName}")?;
    let claim = format!("data-{pod}");
    let volume = kubectl.run(&["get", "pvc", &claim, "-o", "jsonpath={.spec.volumeName}"])?;
    // Its set is told to run one pod less for a moment; the operator would undo that.
    let paused =
        |value: &str| kubectl.run(&["annotate", "--overwrite", "nsqcluster", "demo", value]);
    paused("nsq.io/paused=true")?;
    let set = |replicas: &str| kubectl.run(&["scale", "statefulset", "demo-nsqd-0", replicas]);
    set("--replicas=1")?;
    gone(kubectl, pod, 60)?;
    rig::disk(&machine, &volume, DISK)?;
    set("--replicas=2")?;
    paused("nsq.io/paused-")?;
    mirrored(kubectl, 120)?;
    cluster_ready(kubectl)?;
    let uid = kubectl.uid(pod)?;

    let count = fill(kubectl, pod)?;
    println!("   full after {count} messages of {BODY} bytes");
    let load = Load::start(kubectl, "full-disk")?;
    let moment = unix_ms();
    let readers = consume(kubectl, "demo-lookup:4161", "large", "c", 0, count)?;
    readers.finish(kubectl)?;
    let (_, every, _) = load.end(kubectl, moment)?;
    println!("   longest wait of a publisher {every} ms");
    mirrored(kubectl, 180)?;
    cluster_ready(kubectl)?;
    ensure!(kubectl.uid(pod)? == uid, "the node was replaced");
    Ok(None)
}

/// Publishes until the disk is full; how many were acknowledged.
fn fill(kubectl: &Kubectl, pod: &str) -> Result<u64> {
    let mut connection = Connection::open(address(kubectl, pod)?)?;
    for number in 0..TOO_MANY {
        let mut body = number.to_string().into_bytes();
        body.resize(BODY, b' ');
        let mut command = Vec::new();
        push_pub(&mut command, "large", &body);
        connection.send(&command)?;
        loop {
            match connection.next_frame()? {
                Some(Frame::Response(b"OK")) => break,
                Some(Frame::Response(_)) => {}
                Some(Frame::Error(_)) => return Ok(number),
                Some(other) => bail!("answered {other:?}"),
                None => connection.fill()?,
            }
        }
    }
    bail!("the disk is not full after {TOO_MANY} messages")
}
