//! More nodes, and fewer.

use anyhow::{Result, ensure};

use super::install::cluster_ready;
use crate::kubectl::Kubectl;
use crate::traffic::{consume, publish};

const MESSAGES: u64 = 200;

pub fn scale(kubectl: &Kubectl) -> Result<Option<String>> {
    kubectl.run(&["scale", "nsqcluster", "demo", "--replicas=3"])?;
    cluster_ready(kubectl)?;
    ensure!(
        kubectl.uid("demo-nsqd-1-0").is_ok(),
        "the third node is not there"
    );

    // To the third node itself, so that it has something to lose.
    let third = "demo-nsqd-1-0.demo-nsqd:4150";
    publish(kubectl, third, "scale", 0, MESSAGES, 0)?.finish(kubectl)?;
    kubectl.run(&["scale", "nsqcluster", "demo", "--replicas=2"])?;
    let blocked = kubectl.until("the removal is blocked", 60, |kubectl| {
        let message = kubectl.condition("nsqcluster/demo", "DrainBlocked", "True")?;
        ensure!(message.contains("topic scale"), "it says {message:?}");
        Ok(message)
    })?;
    println!("   {blocked}");
    kubectl.until("publishers are kept from it", 30, |kubectl| {
        let path = "jsonpath={.metadata.labels.nsq\\.io/publish}";
        let label = kubectl.run(&["get", "pod", "demo-nsqd-1-0", "-o", path])?;
        ensure!(label == "false", "its label is {label:?}");
        Ok(())
    })?;

    consume(kubectl, "demo-lookup:4161", "scale", "c", 0, MESSAGES)?.finish(kubectl)?;
    kubectl.until("the empty node is removed", 120, |kubectl| {
        ensure!(kubectl.uid("demo-nsqd-1-0").is_err(), "it is still there");
        Ok(())
    })?;
    cluster_ready(kubectl)?;
    let claim = kubectl.run(&[
        "get",
        "pvc",
        "data-demo-nsqd-1-0",
        "-o",
        "jsonpath={.status.phase}",
    ])?;
    ensure!(claim == "Bound", "its volume is {claim:?}");
    lookups(kubectl)?;
    Ok(None)
}

/// One nsqlookupd less, and back: its budget comes and goes, every nsqd learns of it.
fn lookups(kubectl: &Kubectl) -> Result<()> {
    for (replicas, budgets) in [("1", 0), ("2", 1)] {
        let patch = format!(r#"{{"spec":{{"nsqlookupd":{{"replicas":{replicas}}}}}}}"#);
        kubectl.run(&["patch", "nsqcluster", "demo", "--type=merge", "-p", &patch])?;
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
