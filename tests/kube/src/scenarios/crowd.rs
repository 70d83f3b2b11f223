//! Many clusters and topics at once, on pretended nodes: what they cost the operator at rest.

use std::process::Command;

use anyhow::{Result, ensure};

use super::OPERATOR_NAMESPACE;
use super::install::{cluster_ready, leader};
use crate::kubectl::Kubectl;
use crate::rig;

/// Clusters, topics, and the seconds that are measured.
const WORDS: [&str; 3] = ["50", "500", "30"];
/// Before the name of every namespace of theirs.
const PREFIX: &str = "namespace/crowd-";

/// Our own operator sleeps meanwhile: one of the same build, whose process is ours to look at, stands in for it.
pub fn crowd(kubectl: &Kubectl) -> Result<Option<String>> {
    if let Some(why) = rig::missing() {
        return Ok(Some(why));
    }
    let operator = rig::beside("nsq-operator")?;
    replicas(kubectl, "0")?;
    kubectl.until("no operator is at work", 60, |kubectl| {
        let pods = ["get", "pods", "-n", OPERATOR_NAMESPACE, "-o", "name"];
        let left = kubectl.run(&pods)?;
        ensure!(left.is_empty(), "there are {left}");
        Ok(())
    })?;
    let mut command = Command::new(rig::beside("crowd")?);
    let judged = command.arg(operator).args(WORDS).status();
    let all = kubectl.run(&["get", "namespaces", "-o", "name"])?;
    for space in all.lines().filter(|name| name.starts_with(PREFIX)) {
        kubectl.run(&["delete", space, "--wait=false"])?;
    }
    replicas(kubectl, "2")?;
    ensure!(judged?.success(), "it costs too much");
    kubectl.until("an operator leads", 60, leader)?;
    cluster_ready(kubectl)?;
    Ok(None)
}

fn replicas(kubectl: &Kubectl, count: &str) -> Result<()> {
    let count = format!("--replicas={count}");
    let scale = [
        "scale",
        "deployment",
        "nsq-operator",
        "-n",
        OPERATOR_NAMESPACE,
        &count,
    ];
    kubectl.run(&scale)?;
    Ok(())
}
