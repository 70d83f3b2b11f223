//! Replication pairs: turned on, and then one fault after the other, under numbered traffic.

use anyhow::{Context, Result, bail, ensure};
use nsq_rig::{Connection, push_mpub};

use super::NSQD;
use super::install::cluster_ready;
use super::restarts::process_of;
use crate::kubectl::Kubectl;
use crate::measure::{Felt, Load, Pair, address, fault, mirrored, proxied, unix_ms};
use crate::rig;
use crate::traffic::{consume, publish};

const MESSAGES: u64 = 1000;
/// What only the survivor has when a machine comes back, in bytes; so many batches of so many messages.
const DIFFERENCE: usize = 100_000_000;
const BATCHES: usize = 100;
const BATCH: usize = 20;

/// Off to on while messages flow, and the columns say so.
pub fn replicate(kubectl: &Kubectl) -> Result<Option<String>> {
    let consumer = consume(kubectl, "demo-lookup:4161", "replicate", "c", 0, MESSAGES)?;
    let publisher = publish(kubectl, "demo-publish:4150", "replicate", 0, MESSAGES, 20)?;
    kubectl.change(r#"{"nsqd":{"replication":{}}}"#)?;
    mirrored(kubectl, 180)?;
    cluster_ready(kubectl)?;
    publisher.finish(kubectl)?;
    consumer.finish(kubectl)?;
    let columns = kubectl.run(&["get", "nsqclusters"])?;
    println!("   {}", columns.trim().replace('\n', "\n   "));
    ensure!(
        columns.contains("1/1"),
        "the column Mirrored does not say 1/1"
    );
    Ok(None)
}

/// On to off, and nothing of it is left.
pub fn unreplicate(kubectl: &Kubectl) -> Result<Option<String>> {
    let consumer = consume(kubectl, "demo-lookup:4161", "unreplicate", "c", 0, MESSAGES)?;
    let publisher = publish(kubectl, "demo-publish:4150", "unreplicate", 0, MESSAGES, 20)?;
    kubectl.change(r#"{"nsqd":{"replication":{"enabled":false}}}"#)?;
    kubectl.until("no mirror is left", 180, |kubectl| {
        let path = "jsonpath={.items[*].spec.containers[*].name}";
        let containers = kubectl.run(&["get", "pods", "-l", NSQD, "-o", path])?;
        ensure!(containers == "nsqd nsqd", "containers: {containers}");
        Ok(())
    })?;
    cluster_ready(kubectl)?;
    publisher.finish(kubectl)?;
    consumer.finish(kubectl)?;
    let left = kubectl.run(&["get", "configmap", "demo-nsqd-0-pair", "--ignore-not-found"])?;
    ensure!(left.is_empty(), "its configuration is still there");
    Ok(None)
}

/// The victim's process is killed twice: the second time its kubelet waits before it starts it again.
pub fn container_death(kubectl: &Kubectl, victim: &str, name: &str) -> Result<Felt> {
    fresh(kubectl, victim)?;
    let pair = Pair::with_victim(kubectl, victim)?;
    kill(kubectl, victim)?;
    back(kubectl, victim)?;
    let felt = fault(kubectl, &pair, name, || kill(kubectl, victim))?;
    mirrored(kubectl, 60)?;
    cluster_ready(kubectl)?;
    Ok(felt)
}

/// Another pod, so that its kubelet has no grudge against it.
fn fresh(kubectl: &Kubectl, pod: &str) -> Result<()> {
    let before = kubectl.uid(pod)?;
    kubectl.run(&["delete", "pod", pod, "--wait=false"])?;
    kubectl.until(&format!("{pod} is another one"), 60, |kubectl| {
        ensure!(kubectl.uid(pod)? != before, "it is still the old one");
        Ok(())
    })?;
    mirrored(kubectl, 60)?;
    cluster_ready(kubectl)
}

pub fn kill(kubectl: &Kubectl, pod: &str) -> Result<()> {
    let process = process_of(kubectl, pod)?.context("its process is not on this machine")?;
    let process = process.to_string();
    let killed = std::process::Command::new("kill")
        .args(["-9", &process])
        .status()?;
    ensure!(killed.success(), "cannot kill process {process}");
    let gone = std::path::Path::new("/proc").join(process);
    kubectl.until("its process is gone", 10, |_| {
        ensure!(!gone.exists(), "it is there");
        Ok(())
    })
}

/// Waits until a node that was killed is back and has everything, and so has its peer: by what both say themselves,
/// for the operator may not have noticed yet that anything happened.
pub fn back(kubectl: &Kubectl, pod: &str) -> Result<()> {
    let pair = Pair::with_victim(kubectl, pod)?;
    kubectl.until(&format!("{pod} is back and mirrored"), 90, |kubectl| {
        ensure!(process_of(kubectl, pod)?.is_some(), "it does not run");
        for node in [&pair.victim, &pair.survivor] {
            let said = kubectl.run(&["get", "--raw", &proxied(kubectl, node, "pair")])?;
            let said: serde_json::Value = serde_json::from_str(&said)?;
            ensure!(said["mirrored"] == true, "{node} says {said}");
        }
        Ok(())
    })?;
    mirrored(kubectl, 60)
}

/// The victim's machine loses its power, and comes back later.
pub fn machine_death(kubectl: &Kubectl, victim: &str, name: &str) -> Result<(Felt, u64)> {
    let pair = Pair::with_victim(kubectl, victim)?;
    let felt = fault(kubectl, &pair, name, || rig::off(&pair.machine))?;
    let topic = format!("meanwhile-{name}");
    difference(kubectl, &pair, &topic)?;
    rig::on(&pair.machine)?;
    kubectl.until("the machine is back", 60, |kubectl| {
        let path = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
        let ready = kubectl.run(&["get", "node", &pair.machine, "-o", path])?;
        ensure!(ready == "True", "Ready is {ready}");
        Ok(())
    })?;
    kubectl.until(&format!("{victim} is ready again"), 120, |kubectl| {
        let path = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
        let ready = kubectl.run(&["get", "pod", victim, "-o", path])?;
        ensure!(ready == "True", "Ready is {ready}");
        Ok(())
    })?;
    let ready = unix_ms();
    mirrored(kubectl, 60)?;
    let back = unix_ms() - ready;
    println!("   {name}: mirrored again {back} ms after it was ready");
    for node in [&pair.survivor, &pair.victim] {
        let path = proxied(kubectl, node, &format!("topic/delete?topic={topic}"));
        kubectl.run(&["create", "--raw", &path, "-f", "/dev/null"])?;
    }
    cluster_ready(kubectl)?;
    Ok((felt, back))
}

/// Gives the survivor 100 MB that its peer has not.
fn difference(kubectl: &Kubectl, pair: &Pair, topic: &str) -> Result<()> {
    let body = vec![b'x'; DIFFERENCE / BATCHES / BATCH];
    let mut command = Vec::new();
    push_mpub(&mut command, topic, (0..BATCH).map(|_| body.as_slice()));
    let mut connection = Connection::open(address(kubectl, &pair.survivor)?)?;
    for _ in 0..BATCHES {
        connection.send(&command)?;
        connection.ok().context("publishing to the survivor")?;
    }
    Ok(())
}

pub fn container(kubectl: &Kubectl) -> Result<Option<String>> {
    if let Some(why) = rig::missing() {
        return Ok(Some(why));
    }
    let felt = container_death(kubectl, "demo-nsqd-0-0", "container")?;
    ensure!(
        felt.backlog < 10_000,
        "its backlog flowed only when it came back"
    );
    Ok(None)
}

pub fn machine(kubectl: &Kubectl) -> Result<Option<String>> {
    if let Some(why) = rig::missing() {
        return Ok(Some(why));
    }
    machine_death(kubectl, "demo-nsqd-0-1", "machine")?;
    Ok(None)
}

/// The machine never comes back, and its disk is gone with it: the node gets another disk, and its peer's messages.
pub fn volume(kubectl: &Kubectl) -> Result<Option<String>> {
    if let Some(why) = rig::missing() {
        return Ok(Some(why));
    }
    let pair = Pair::with_victim(kubectl, "demo-nsqd-0-1")?;
    let claim = "data-demo-nsqd-0-1";
    let volume_of = |kubectl: &Kubectl| -> Result<String> {
        kubectl.run(&["get", "pvc", claim, "-o", "jsonpath={.spec.volumeName}"])
    };
    let old = volume_of(kubectl)?;
    fault(kubectl, &pair, "volume", || rig::off(&pair.machine))?;
    ensure!(
        volume_of(kubectl)? == old,
        "a volume was let go of without proof"
    );
    // Somebody who knows says so.
    kubectl.run(&["delete", "node", &pair.machine])?;
    kubectl.until("it has another volume", 180, |kubectl| {
        let new = volume_of(kubectl)?;
        ensure!(!new.is_empty() && new != old, "it has {new}");
        Ok(())
    })?;
    mirrored(kubectl, 180)?;
    let policy = "jsonpath={.spec.persistentVolumeReclaimPolicy}";
    let kept = kubectl.run(&["get", "pv", &old, "-o", policy])?;
    ensure!(
        kept == "Retain",
        "the lost volume is to be kept, its policy is {kept}"
    );
    kubectl.run(&["delete", "pv", &old, "--wait=false"])?;
    rig::on(&pair.machine)?;
    cluster_ready(kubectl)?;
    // And now the other one: everything is on the new disk too.
    let load = Load::start(kubectl, "second")?;
    let moment = unix_ms();
    let survivor = Pair::with_victim(kubectl, &pair.survivor)?;
    if Some(survivor.machine.as_str()) == rig::quiet_machine() {
        bail!("the pair has moved to where no fault reaches");
    }
    kill(kubectl, &survivor.victim)?;
    load.end(kubectl, moment)?;
    mirrored(kubectl, 60)?;
    cluster_ready(kubectl)?;
    Ok(None)
}

/// Machines that cannot reach each other, or the API server, or anything, for as long as it takes Kubernetes to notice.
pub fn partitions(kubectl: &Kubectl) -> Result<Option<String>> {
    if let Some(why) = rig::missing() {
        return Ok(Some(why));
    }
    let pair = Pair::with_victim(kubectl, "demo-nsqd-0-0")?;
    let other = Pair::with_victim(kubectl, &pair.survivor)?;
    let kinds: [(&str, Vec<&str>, &str); 3] = [
        ("from-peer", vec!["not-to", &other.machine], "heal"),
        ("from-api", vec!["no-api"], "heal"),
        ("from-all", vec!["off"], "on"),
    ];
    for (name, words, cure) in kinds {
        let load = Load::start(kubectl, name)?;
        let moment = unix_ms();
        rig::net(&pair.machine, &words)?;
        std::thread::sleep(std::time::Duration::from_secs(20));
        rig::net(&pair.machine, &[cure])?;
        let (publishing, every, duplicates) = load.end(kubectl, moment)?;
        println!(
            "   {name}: publishing resumed after {publishing} ms, for all after {every} ms, duplicates {duplicates}"
        );
        mirrored(kubectl, 120)?;
        cluster_ready(kubectl)?;
    }
    Ok(None)
}
