//! From nothing to a cluster that is Ready.

use anyhow::{Context, Result, ensure};

use super::OPERATOR_NAMESPACE;
use crate::kubectl::{Kubectl, helm};
use crate::rig;

/// The image under test.
const IMAGE: &str = "NSQ_IMAGE";
const DEFAULT_IMAGE: &str = "nsq:dev";

pub fn image() -> String {
    std::env::var(IMAGE).unwrap_or_else(|_| DEFAULT_IMAGE.to_owned())
}

/// What people are told to start with, with the image under test.
pub fn example() -> Result<String> {
    let path = root().join("examples/cluster.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(text.replace(
        &format!("image: {DEFAULT_IMAGE}"),
        &format!("image: {}", image()),
    ))
}

fn root() -> &'static std::path::Path {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// Installs or upgrades the chart.
pub fn helm_install() -> Result<()> {
    helm_install_with("replicas=2")
}

/// As [`helm_install`], with values of its own.
pub fn helm_install_with(values: &str) -> Result<()> {
    let image = image();
    let (repository, tag) = image.rsplit_once(':').context("the image needs a tag")?;
    let chart = root().join("charts/nsq-operator");
    let quiet = rig::quiet_machine().map(|machine| {
        let label = r"nodeSelector.kubernetes\.io/hostname";
        format!(",{label}={machine}")
    });
    let quiet = quiet.unwrap_or_default();
    helm(&[
        "upgrade",
        "--install",
        "nsq-operator",
        &chart.display().to_string(),
        "--namespace",
        OPERATOR_NAMESPACE,
        "--create-namespace",
        "--set",
        &format!("image.repository={repository},image.tag={tag}{quiet},{values}"),
        "--wait",
        "--timeout=120s",
    ])?;
    Ok(())
}

pub fn install(kubectl: &Kubectl) -> Result<Option<String>> {
    let namespace = kubectl.namespace();
    for old in [namespace, OPERATOR_NAMESPACE] {
        kubectl.run(&["delete", "namespace", old, "--ignore-not-found"])?;
    }
    let chart = root().join("charts/nsq-operator").display().to_string();
    helm(&["lint", "--strict", "--kube-version=1.33.0", &chart])?;
    let misspelt = helm(&[
        "template",
        "--kube-version=1.33.0",
        &chart,
        "--set",
        "replica=3",
    ]);
    ensure!(
        misspelt.is_err(),
        "the chart takes values that it does not know"
    );
    kubectl.run(&["create", "namespace", namespace])?;
    helm_install()?;
    kubectl.until("an operator leads", 30, leader)?;
    Ok(None)
}

/// Name of the pod that leads.
pub fn leader(kubectl: &Kubectl) -> Result<String> {
    let holder = kubectl.run(&[
        "get",
        "lease",
        "nsq-operator",
        "-n",
        OPERATOR_NAMESPACE,
        "-o",
        "jsonpath={.spec.holderIdentity}",
    ])?;
    ensure!(!holder.is_empty(), "nobody holds the lease");
    Ok(holder)
}

pub fn refusal(kubectl: &Kubectl) -> Result<Option<String>> {
    let good = example()?;
    let cases = [
        ("replicas: 2", "replicas: 900", "must be between 1 and"),
        (
            "size: 1Gi",
            "size: much",
            "storage.size must be an amount of bytes such as 10Gi",
        ),
        (
            "name: demo",
            "name: Demo.2",
            "lower case letters, digits and '-'",
        ),
        (
            "replicas: 2",
            "replica: 2",
            "unknown field \"spec.nsqd.replica\"",
        ),
        (
            "durability: fsync",
            "durability: fsink",
            "supported values: \"memory\", \"write\", \"fsync\"",
        ),
        (
            "durability: fsync",
            "durability: memory\n    replication: {}",
            "nsqd.replication needs durability write or fsync",
        ),
        (
            "durability: fsync",
            "options: {mem-queue-sise: 1}",
            "nsqd has no option \"mem-queue-sise\"",
        ),
        (
            "durability: fsync",
            "options: {data-path: /x}",
            "the operator sets the option \"data-path\" itself",
        ),
        (
            "name: billing",
            "name: b#ephemeral",
            "an #ephemeral channel lives only as long as its consumers",
        ),
        (
            "name: archive",
            "name: 'ar chive'",
            "a channel's name is made of letters, digits",
        ),
    ];
    for (from, to, sentence) in cases {
        let manifest = good.replacen(from, to, 1);
        ensure!(manifest != good, "the example has no {from:?}");
        let said = kubectl.refused(&["apply", "--dry-run=server", "-f", "-"], &manifest)?;
        ensure!(
            said.contains(sentence),
            "{to}: expected {sentence:?}, got: {said}"
        );
        println!("   {to}: {sentence}");
    }
    Ok(None)
}

pub fn ready(kubectl: &Kubectl) -> Result<Option<String>> {
    if let Some(machine) = rig::quiet_machine() {
        kubectl.run(&["cordon", machine])?; // the nsqds are to be where faults reach
    }
    kubectl.apply(&example()?)?;
    cluster_ready(kubectl)?;
    if let Some(machine) = rig::quiet_machine() {
        kubectl.run(&["uncordon", machine])?;
    }
    let columns = kubectl.run(&["get", "nsqclusters"])?;
    println!("   {}", columns.trim().replace('\n', "\n   "));
    let fields: Vec<&str> = columns
        .lines()
        .nth(1)
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    ensure!(
        matches!(
            fields.as_slice(),
            ["demo", "True", "2/2", "2/2", "Ready", _]
        ),
        "unexpected columns: {fields:?}"
    );
    for topic in ["orders", "clicks"] {
        let resource = format!("nsqtopic/{topic}");
        kubectl.until(&format!("{resource} is Ready"), 60, |kubectl| {
            kubectl.condition(&resource, "Ready", "True")
        })?;
    }
    Ok(None)
}

/// Waits until everything is as declared and nothing is going on.
pub fn cluster_ready(kubectl: &Kubectl) -> Result<()> {
    kubectl.until("the cluster is Ready", 180, |kubectl| {
        kubectl.condition("nsqcluster/demo", "Reconciling", "False")?;
        kubectl.condition("nsqcluster/demo", "Degraded", "False")?;
        kubectl.condition("nsqcluster/demo", "Ready", "True")
    })?;
    Ok(())
}
