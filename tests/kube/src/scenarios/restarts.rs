//! Messages through the Services, and through restarts of every kind.

use std::fs;

use anyhow::{Context, Result, bail, ensure};

use super::NSQD;
use super::install::{cluster_ready, image};
use crate::kubectl::Kubectl;
use crate::measure::proxied;
use crate::traffic::{consume, publish};

const PUBLISH: &str = "demo-publish:4150";
const LOOKUP: &str = "demo-lookup:4161";
const MESSAGES: u64 = 1000;

pub fn serve(kubectl: &Kubectl) -> Result<Option<String>> {
    let consumer = consume(kubectl, LOOKUP, "serve", "c", 0, MESSAGES)?;
    publish(kubectl, PUBLISH, "serve", 0, MESSAGES, 0)?.finish(kubectl)?;
    consumer.finish(kubectl)?;
    Ok(None)
}

/// The nsqd pod that holds messages of a topic, by what nsqds say.
fn holder(kubectl: &Kubectl, topic: &str) -> Result<String> {
    for pod in kubectl.pods(NSQD)? {
        let path = proxied(kubectl, &pod, &format!("stats?format=json&topic={topic}"));
        let stats: serde_json::Value =
            serde_json::from_str(&kubectl.run(&["get", "--raw", &path])?)?;
        let topics = stats["topics"].as_array().cloned().unwrap_or_default();
        if topics.iter().any(|topic| topic["depth"].as_i64() > Some(0)) {
            return Ok(pod);
        }
    }
    bail!("no nsqd holds messages of {topic}")
}

pub fn pod_deleted(kubectl: &Kubectl) -> Result<Option<String>> {
    publish(kubectl, PUBLISH, "deleted", 0, MESSAGES, 0)?.finish(kubectl)?;
    let pod = holder(kubectl, "deleted")?;
    let before = kubectl.uid(&pod)?;
    kubectl.run(&["delete", "pod", &pod, "--wait=false"])?;
    kubectl.until(&format!("{pod} is another one"), 60, |kubectl| {
        ensure!(kubectl.uid(&pod)? != before, "it is still the old one");
        Ok(())
    })?;
    cluster_ready(kubectl)?;
    consume(kubectl, LOOKUP, "deleted", "c", 0, MESSAGES)?.finish(kubectl)?;
    Ok(None)
}

pub fn container_killed(kubectl: &Kubectl) -> Result<Option<String>> {
    publish(kubectl, PUBLISH, "killed", 0, MESSAGES, 0)?.finish(kubectl)?;
    let pod = holder(kubectl, "killed")?;
    let Some(process) = process_of(kubectl, &pod)? else {
        return Ok(Some(
            "the nodes' processes are not on this machine, so none can be killed".to_owned(),
        ));
    };
    let restarts = |kubectl: &Kubectl| -> Result<u32> {
        let path = r#"jsonpath={.status.containerStatuses[?(@.name=="nsqd")].restartCount}"#;
        Ok(kubectl.run(&["get", "pod", &pod, "-o", path])?.parse()?)
    };
    let before = restarts(kubectl)?;
    let killed = std::process::Command::new("kill")
        .args(["-9", &process.to_string()])
        .status()?;
    ensure!(killed.success(), "cannot kill process {process}");
    kubectl.until(&format!("{pod} has restarted"), 60, |kubectl| {
        ensure!(
            restarts(kubectl)? > before,
            "its container has not restarted"
        );
        Ok(())
    })?;
    cluster_ready(kubectl)?;
    consume(kubectl, LOOKUP, "killed", "c", 0, MESSAGES)?.finish(kubectl)?;
    Ok(None)
}

/// The nsqd of a pod, if its machine is this one.
pub fn process_of(kubectl: &Kubectl, pod: &str) -> Result<Option<u32>> {
    process_advertising(&format!("{pod}.demo-nsqd.{}.svc", kubectl.namespace()))
}

/// The process of this machine that advertises a host name, in whatever container it is.
fn process_advertising(host: &str) -> Result<Option<u32>> {
    let wanted = format!("--broadcast-address={host}");
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Ok(process) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if command
            .split(|byte| *byte == 0)
            .any(|word| word == wanted.as_bytes())
        {
            return Ok(Some(process));
        }
    }
    Ok(None)
}

pub fn roll(kubectl: &Kubectl) -> Result<Option<String>> {
    let before = kubectl.uids(NSQD)?;
    let consumer = consume(kubectl, LOOKUP, "roll", "c", 0, MESSAGES)?;
    let publisher = publish(kubectl, PUBLISH, "roll", 0, MESSAGES, 20)?;
    kubectl.change(r#"{"nsqd":{"options":{"msg-timeout":"30s"}}}"#)?;
    let mut most_down = 0;
    kubectl.until("every nsqd runs the new template", 240, |kubectl| {
        let ready = kubectl.ready_pods(NSQD)?;
        most_down = most_down.max(before.len().saturating_sub(ready));
        for (pod, before) in &before {
            ensure!(kubectl.uid(pod)? != *before, "{pod} is still the old one");
        }
        Ok(())
    })?;
    cluster_ready(kubectl)?;
    ensure!(most_down <= 1, "{most_down} nodes were down at once");
    publisher.finish(kubectl)?;
    consumer.finish(kubectl)?;
    Ok(None)
}

pub fn broken_template(kubectl: &Kubectl) -> Result<Option<String>> {
    let set_image = |image: &str| kubectl.change(&format!(r#"{{"nsqd":{{"image":"{image}"}}}}"#));
    // A registry where nobody listens.
    set_image("localhost:1/there-is-no-such-image:1")?;
    let message = kubectl.until("the cluster says what is wrong", 60, |kubectl| {
        let message = kubectl.condition("nsqcluster/demo", "Degraded", "True")?;
        ensure!(message.contains("mage"), "it says {message:?}");
        Ok(message)
    })?;
    println!("   {message}");
    ensure!(
        kubectl.ready_pods(NSQD)? == 1,
        "the other node was taken down too"
    );
    publish(kubectl, PUBLISH, "broken", 0, 100, 0)?.finish(kubectl)?;
    set_image(&image()).context("putting the manifest right")?;
    cluster_ready(kubectl)?;
    consume(kubectl, LOOKUP, "broken", "c", 0, 100)?.finish(kubectl)?;
    Ok(None)
}
