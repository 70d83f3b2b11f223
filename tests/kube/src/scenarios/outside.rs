//! Clients outside of the cluster's network: they reach the machines, and no pod.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::NSQD;
use super::install::cluster_ready;
use crate::kubectl::Kubectl;
use crate::rig;
use crate::traffic::{consume, publish};

const MESSAGES: &str = "1000";
/// Both channels are there before the first message.
const TOPIC: &str = "apiVersion: nsq.io/v1alpha1
kind: NsqTopic
metadata: {name: outside}
spec: {cluster: demo, channels: [{name: c}, {name: inside}]}
";

fn status(kubectl: &Kubectl, field: &str) -> Result<String> {
    let path = format!("jsonpath={{.status.external.{field}}}");
    let address = kubectl.run(&["get", "nsqcluster", "demo", "-o", &path])?;
    ensure!(!address.is_empty(), "there is no {field}");
    Ok(address)
}

/// The traffic program, out there.
fn traffic(words: &[&str]) -> Result<Child> {
    let mut command = Command::new(rig::outside()?);
    command.arg(rig::beside("traffic")?).args(words);
    command.stdout(Stdio::piped());
    Ok(command.spawn()?)
}

fn ended(child: Child) -> Result<String> {
    let output = child.wait_with_output()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "out there: {said}");
    let last = said.lines().last().context("it has printed nothing")?;
    println!("   outside: {last}");
    Ok(last.to_owned())
}

pub fn external(kubectl: &Kubectl) -> Result<Option<String>> {
    if let Some(why) = rig::missing() {
        return Ok(Some(why));
    }
    let before = kubectl.uids(NSQD)?;
    kubectl.apply(TOPIC)?;
    kubectl.until("nsqtopic/outside is Ready", 60, |kubectl| {
        kubectl.condition("nsqtopic/outside", "Ready", "True")
    })?;
    kubectl.change(r#"{"external":{"type":"NodePort"}}"#)?;
    let said = kubectl.until("the cluster is reached from outside", 120, |kubectl| {
        kubectl.condition("nsqcluster/demo", "Exposed", "True")
    })?;
    println!("   {said}");
    cluster_ready(kubectl)?;
    let after = kubectl.uids(NSQD)?;
    ensure!(after == before, "an nsqd was restarted for that");
    let (entrance, lookup) = (
        status(kubectl, "publishAddress")?,
        status(kubectl, "lookupAddress")?,
    );

    // In from outside, out to the inside, and the other way round; both at once outside.
    let consumer = traffic(&["consume", &lookup, "outside", "c", "0", MESSAGES, "240"])?;
    let inside = consume(kubectl, "demo-lookup:4161", "outside", "inside", 0, 1000)?;
    ended(traffic(&[
        "publish", &entrance, "outside", "0", MESSAGES, "2", "4",
    ])?)?;
    let last = ended(consumer)?;
    ensure!(last.contains("from 2 nodes"), "not from both nodes: {last}");
    inside.finish(kubectl)?;
    publish(kubectl, "demo-publish:4150", "in-out", 0, 1000, 0)?.finish(kubectl)?;
    let consumer = traffic(&["consume", &lookup, "in-out", "c", "0", MESSAGES, "240"])?;
    ended(consumer)?;

    // A node that comes back elsewhere, or anew, is found again.
    kubectl.run(&["delete", "pod", "demo-nsqd-0-0", "--wait=false"])?;
    let consumer = traffic(&["consume", &lookup, "again", "c", "0", MESSAGES, "240"])?;
    ended(traffic(&[
        "publish", &entrance, "again", "0", MESSAGES, "5", "4",
    ])?)?;
    ended(consumer)?;
    cluster_ready(kubectl)?;

    // What may be changed over HTTP is not there.
    let service = ["get", "service", "demo-nsqd-0-0-external", "-o"];
    let ports = kubectl.run(&[&service[..], &["jsonpath={.spec.ports[*].name}"]].concat())?;
    ensure!(ports == "tcp", "its ports: {ports}");
    kubectl.change(r#"{"external":null}"#)?;
    let kinds = "services,configmaps";
    kubectl.until_gone("the way in", kinds, "nsq.io/external", 60)?;
    kubectl.until("its addresses are gone", 60, |kubectl| {
        let config = kubectl.run(&["get", "configmap", "demo-external", "--ignore-not-found"])?;
        ensure!(config.is_empty(), "they are still there");
        Ok(())
    })?;
    cluster_ready(kubectl)?;
    Ok(None)
}
