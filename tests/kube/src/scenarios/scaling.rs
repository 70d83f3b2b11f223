//! More nodes, and fewer: what leaving nodes have is moved to those that stay.

use anyhow::{Result, ensure};

use super::install::cluster_ready;
use crate::kubectl::Kubectl;
use crate::traffic::{consume, publish};

const MESSAGES: u64 = 200;
const LOOKUP: &str = "demo-lookup:4161";
const THIRD: &str = "demo-nsqd-1-0";

/// Asks for so many nsqds, as an autoscaler does.
pub fn to(kubectl: &Kubectl, replicas: &str) -> Result<()> {
    let replicas = format!("--replicas={replicas}");
    kubectl.run(&["scale", "nsqcluster", "demo", &replicas])?;
    Ok(())
}

fn policy(kubectl: &Kubectl, word: &str) -> Result<()> {
    kubectl.change(&format!(r#"{{"nsqd":{{"scaleDown":"{word}"}}}}"#))
}

/// Waits until a pod is gone.
pub fn gone(kubectl: &Kubectl, pod: &str, seconds: u64) -> Result<()> {
    kubectl.until(&format!("{pod} is removed"), seconds, |kubectl| {
        ensure!(kubectl.uid(pod).is_err(), "it is still there");
        Ok(())
    })
}

pub fn scale(kubectl: &Kubectl) -> Result<Option<String>> {
    policy(kubectl, "Wait")?;
    to(kubectl, "3")?;
    cluster_ready(kubectl)?;
    ensure!(kubectl.uid(THIRD).is_ok(), "the third node is not there");

    // To the third node itself, so that it has something to lose.
    let third = format!("{THIRD}.demo-nsqd:4150");
    publish(kubectl, &third, "scale", 0, MESSAGES, 0)?.finish(kubectl)?;
    to(kubectl, "2")?;
    let blocked = kubectl.until("the removal is blocked", 60, |kubectl| {
        let message = kubectl.condition("nsqcluster/demo", "DrainBlocked", "True")?;
        ensure!(message.contains("topic scale"), "it says {message:?}");
        Ok(message)
    })?;
    println!("   {blocked}");
    kubectl.until("publishers are kept from it", 30, |kubectl| {
        let path = "jsonpath={.metadata.labels.nsq\\.io/publish}";
        let label = kubectl.run(&["get", "pod", THIRD, "-o", path])?;
        ensure!(label == "false", "its label is {label:?}");
        Ok(())
    })?;

    // Nobody consumes the topic; it goes all the same.
    policy(kubectl, "Relocate")?;
    gone(kubectl, THIRD, 120)?;
    cluster_ready(kubectl)?;
    consume(kubectl, LOOKUP, "scale", "c", 0, MESSAGES)?.finish(kubectl)?;
    let path = "jsonpath={.status.phase}";
    let claim = kubectl.run(&["get", "pvc", "data-demo-nsqd-1-0", "-o", path])?;
    ensure!(claim == "Bound", "its volume is {claim:?}");

    // It comes back with that volume, and takes messages again.
    to(kubectl, "3")?;
    cluster_ready(kubectl)?;
    publish(kubectl, &third, "again", 0, MESSAGES, 0)?.finish(kubectl)?;
    to(kubectl, "2")?;
    gone(kubectl, THIRD, 120)?;
    cluster_ready(kubectl)?;
    consume(kubectl, LOOKUP, "again", "c", 0, MESSAGES)?.finish(kubectl)?;
    let jobs = kubectl.run(&["get", "jobs", "-o", "name"])?;
    ensure!(jobs.is_empty(), "relocations are left: {jobs}");
    lookups(kubectl)?;
    Ok(None)
}

/// One nsqlookupd less, and back: its budget comes and goes, every nsqd learns of it.
fn lookups(kubectl: &Kubectl) -> Result<()> {
    for (replicas, budgets) in [("1", 0), ("2", 1)] {
        let lookups = format!(r#"{{"nsqlookupd":{{"replicas":{replicas}}}}}"#);
        kubectl.change(&lookups)?;
        cluster_ready(kubectl)?;
        let found = kubectl.run(&[
            "get",
            "pdb",
            "demo-nsqlookupd",
            "--ignore-not-found",
            "-o",
            "name",
        ])?;
        ensure!(
            found.lines().count() == budgets,
            "budgets of the lookups: {found:?}"
        );
    }
    Ok(())
}
