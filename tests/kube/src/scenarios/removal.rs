//! The end of a cluster.

use anyhow::{Result, ensure};

use super::OPERATOR_NAMESPACE;
use super::install::{cluster_ready, example};
use crate::kubectl::{Kubectl, helm};

/// Everything that could be left behind.
const KINDS: &str =
    "statefulsets,pods,services,poddisruptionbudgets,serviceaccounts,endpointslices";
const OURS: &str = "app.kubernetes.io/instance=demo";

pub fn removal(kubectl: &Kubectl) -> Result<Option<String>> {
    kubectl.run(&["delete", "nsqtopic", "--all", "--timeout=60s"])?;
    delete_cluster(kubectl)?;
    let kept = claims(kubectl)?;
    ensure!(
        kept.len() >= 2,
        "volumes were to be retained, there are {kept:?}"
    );
    println!("   retained: {}", kept.join(" "));
    kubectl.run(&["delete", "pvc", "-l", OURS, "--timeout=60s"])?;

    let to_go = example()?.replace("size: 1Gi", "size: 1Gi\n      whenDeleted: Delete");
    kubectl.apply(&to_go)?;
    cluster_ready(kubectl)?;
    ensure!(claims(kubectl)?.len() == 2, "a new cluster has its volumes");
    kubectl.run(&["delete", "nsqtopic", "--all", "--timeout=60s"])?;
    delete_cluster(kubectl)?;
    kubectl.until_gone("the volumes", "pvc", OURS, 60)?;
    Ok(None)
}

fn claims(kubectl: &Kubectl) -> Result<Vec<String>> {
    let names = kubectl.run(&["get", "pvc", "-l", OURS, "-o", "name"])?;
    Ok(names.lines().map(str::to_owned).collect())
}

fn delete_cluster(kubectl: &Kubectl) -> Result<()> {
    kubectl.run(&["delete", "nsqcluster", "demo", "--timeout=60s"])?;
    kubectl.until_gone("the cluster", KINDS, OURS, 180)
}

pub fn uninstall(kubectl: &Kubectl) -> Result<Option<String>> {
    helm(&[
        "uninstall",
        "nsq-operator",
        "--namespace",
        OPERATOR_NAMESPACE,
        "--wait",
    ])?;
    for name in ["nsqclusters.nsq.io", "nsqtopics.nsq.io"] {
        kubectl.run(&["get", "crd", name])?;
    }
    kubectl.run(&["delete", "namespace", kubectl.namespace()])?;
    Ok(None)
}
