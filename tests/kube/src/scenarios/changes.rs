//! Changes of a running, replicated cluster: rolled out node by node, rolled back, volumes grown, put to sleep.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::NSQD;
use super::install::{cluster_ready, image};
use crate::kubectl::Kubectl;
use crate::measure::{Load, mirrored, unix_ms};
use crate::rig;
use crate::traffic::{consume, publish};

const MESSAGES: u64 = 500;
/// Name of the image that is rolled out, the same as before but for its name.
const NEXT: &str = "nsq:next";

/// Waits until every nsqd is another one; never is more than one of the pair away.
fn rolled(kubectl: &Kubectl, before: &BTreeMap<String, String>) -> Result<()> {
    let mut most = 0;
    kubectl.until("every nsqd is another one", 240, |kubectl| {
        let down = down(kubectl)?;
        most = most.max(down);
        for (pod, uid) in kubectl.uids(NSQD)? {
            ensure!(before.get(&pod) != Some(&uid), "{pod} is still the old one");
        }
        Ok(())
    })?;
    mirrored(kubectl, 60)?;
    cluster_ready(kubectl)?;
    ensure!(most <= 1, "{most} nodes of a pair were down at once");
    Ok(())
}

/// Nodes of the pair that are away.
fn down(kubectl: &Kubectl) -> Result<usize> {
    Ok(2_usize.saturating_sub(kubectl.ready_pods(NSQD)?))
}

/// An option, `kubectl rollout restart`, and an image that does not exist, under load.
pub fn roll_pair(kubectl: &Kubectl) -> Result<Option<String>> {
    let load = Load::lasting(kubectl, "roll-pair", 75)?;
    let moment = unix_ms();
    let before = kubectl.uids(NSQD)?;
    kubectl.change(r#"{"nsqd":{"options":{"msg-timeout":"45s"}}}"#)?;
    rolled(kubectl, &before)?;
    let before = kubectl.uids(NSQD)?;
    kubectl.run(&["rollout", "restart", "statefulset/demo-nsqd-0"])?;
    rolled(kubectl, &before)?;
    if rig::missing().is_none() {
        let (before, next) = (kubectl.uids(NSQD)?, format!("{NEXT}-{moment}"));
        rig::retag(&image(), &next)?;
        kubectl.change(&format!(r#"{{"image":"{next}"}}"#))?;
        rolled(kubectl, &before)?;
    }
    let (_, _, duplicates) = load.end(kubectl, moment)?;
    println!("   duplicates {duplicates}");

    kubectl.change(r#"{"nsqd":{"image":"localhost:1/there-is-no-such-image:1"}}"#)?;
    kubectl.until("the cluster says what is wrong", 90, |kubectl| {
        let message = kubectl.condition("nsqcluster/demo", "Degraded", "True")?;
        ensure!(message.contains("mage"), "it says {message:?}");
        Ok(())
    })?;
    ensure!(
        down(kubectl)? == 1,
        "the other node of the pair was taken down too"
    );
    publish(kubectl, "demo-publish:4150", "roll-back", 0, MESSAGES, 0)?.finish(kubectl)?;
    let good = image();
    kubectl.change(&format!(r#"{{"nsqd":{{"image":"{good}"}}}}"#))?;
    mirrored(kubectl, 90)?;
    cluster_ready(kubectl)?;
    consume(kubectl, "demo-lookup:4161", "roll-back", "c", 0, MESSAGES)?.finish(kubectl)?;
    Ok(None)
}

/// Larger volumes, and no pod is restarted.
pub fn grow(kubectl: &Kubectl) -> Result<Option<String>> {
    let before = kubectl.uids(NSQD)?;
    kubectl.change(r#"{"nsqd":{"storage":{"size":"2Gi"}}}"#)?;
    for pod in before.keys() {
        let claim = format!("data-{pod}");
        kubectl.until(&format!("{claim} has grown"), 60, |kubectl| {
            let path = "jsonpath={.status.capacity.storage}";
            let size = kubectl.run(&["get", "pvc", &claim, "-o", path])?;
            ensure!(size == "2Gi", "it has {size}");
            Ok(())
        })?;
    }
    kubectl.until("new volumes are as large", 60, |kubectl| {
        let path = "jsonpath={.spec.volumeClaimTemplates[0].spec.resources.requests.storage}";
        let size = kubectl.run(&["get", "statefulset", "demo-nsqd-0", "-o", path])?;
        ensure!(size == "2Gi", "they have {size}");
        Ok(())
    })?;
    cluster_ready(kubectl)?;
    ensure!(kubectl.uids(NSQD)? == before, "pods were restarted");
    let smaller = kubectl.change(r#"{"nsqd":{"storage":{"size":"1Gi"}}}"#);
    ensure!(smaller.is_err(), "volumes were to shrink");
    Ok(None)
}

/// No pod runs, and everything is there afterwards.
pub fn hibernate(kubectl: &Kubectl) -> Result<Option<String>> {
    publish(kubectl, "demo-publish:4150", "asleep", 0, MESSAGES, 0)?.finish(kubectl)?;
    kubectl.change(r#"{"hibernate":true}"#)?;
    kubectl.until("no pod runs", 180, |kubectl| {
        let pods = kubectl.pods("app.kubernetes.io/instance=demo")?;
        ensure!(pods.is_empty(), "there are {pods:?}");
        kubectl.condition("nsqcluster/demo", "Reconciling", "False")
    })?;
    let claims = kubectl.run(&["get", "pvc", "-l", NSQD, "-o", "name"])?;
    ensure!(claims.lines().count() >= 2, "volumes are gone: {claims}");
    kubectl.change(r#"{"hibernate":false}"#)?;
    mirrored(kubectl, 180)?;
    cluster_ready(kubectl)?;
    consume(kubectl, "demo-lookup:4161", "asleep", "c", 0, MESSAGES)?.finish(kubectl)?;
    Ok(None)
}
