//! A bridge from one cluster to another.

use anyhow::{Result, ensure};

use super::install::image;
use crate::kubectl::Kubectl;
use crate::rig;
use crate::traffic::{consume, publish};

const MESSAGES: u64 = 1000;
const CLUSTER: &str = "apiVersion: nsq.io/v1alpha1
kind: NsqCluster
metadata: {name: other}
spec:
  image: IMAGE
  nsqd: {replicas: 1, storage: {size: 1Gi}PLACE}
  nsqlookupd: {replicas: 1PLACE}
";
const BRIDGE: &str = "apiVersion: nsq.io/v1alpha1
kind: NsqBridge
metadata: {name: to-other}
spec:
  image: IMAGE
  from: {cluster: demo}
  to: {cluster: CLUSTER}
  topics: [bridged]
  options: {max-in-flight: 50}
  PLACE
  consumerOptions: {max_requeue_delay: 5s, default_requeue_delay: 1s}
";

fn ready(kubectl: &Kubectl) -> Result<()> {
    kubectl.until("the bridge is Ready", 120, |kubectl| {
        kubectl.condition("nsqbridge/to-other", "Ready", "True")
    })?;
    Ok(())
}

fn to(kubectl: &Kubectl, replicas: u64) -> Result<()> {
    let replicas = format!("--replicas={replicas}");
    kubectl.run(&["scale", "nsqbridge", "to-other", &replicas])?;
    Ok(())
}

fn out(kubectl: &Kubectl, first: u64) -> Result<crate::traffic::Traffic> {
    consume(
        kubectl,
        "other-lookup:4161",
        "bridged",
        "c",
        first,
        MESSAGES,
    )
}

pub fn bridge(kubectl: &Kubectl) -> Result<Option<String>> {
    // Where the faults of other scenarios do not reach, if there is such a place.
    let place = rig::quiet_machine().map(|machine| {
        format!(r#"podTemplate: {{spec: {{containers: [], nodeSelector: {{"kubernetes.io/hostname": {machine}}}}}}}"#)
    });
    let place = place.unwrap_or_default();
    let inner = match place.is_empty() {
        true => String::new(),
        false => format!(", {place}"),
    };
    kubectl.apply(&CLUSTER.replace("IMAGE", &image()).replace("PLACE", &inner))?;
    let manifest = BRIDGE.replace("IMAGE", &image()).replace("PLACE", &place);
    kubectl.apply(&manifest.replace("CLUSTER", "nobody"))?;
    kubectl.until("the bridge says which cluster is missing", 60, |kubectl| {
        let said = kubectl.condition("nsqbridge/to-other", "Ready", "False")?;
        ensure!(
            said.contains("there is no NsqCluster nobody"),
            "it says {said}"
        );
        Ok(())
    })?;
    kubectl.until("the other cluster is Ready", 180, |kubectl| {
        kubectl.condition("nsqcluster/other", "Ready", "True")
    })?;
    // The topic has to be somewhere before a consumer finds it.
    publish(kubectl, "demo-publish:4150", "bridged", 0, MESSAGES, 0)?.finish(kubectl)?;
    kubectl.apply(&manifest.replace("CLUSTER", "other"))?;
    ready(kubectl)?;
    out(kubectl, 0)?.finish(kubectl)?;

    // It is stopped, and says how far it is behind.
    to(kubectl, 0)?;
    ready(kubectl)?;
    publish(
        kubectl,
        "demo-publish:4150",
        "bridged",
        MESSAGES,
        MESSAGES,
        0,
    )?
    .finish(kubectl)?;
    kubectl.until("it says what waits for it", 60, |kubectl| {
        let path = "jsonpath={.status.backlog}";
        let backlog = kubectl.run(&["get", "nsqbridge", "to-other", "-o", path])?;
        ensure!(backlog == MESSAGES.to_string(), "it says {backlog}");
        Ok(())
    })?;
    let columns = kubectl.run(&["get", "nsqbridges"])?;
    println!("   {}", columns.trim().replace('\n', "\n   "));
    to(kubectl, 2)?;
    ready(kubectl)?;
    out(kubectl, MESSAGES)?.finish(kubectl)?;

    // The other side goes away for a while, and so does the bridge.
    let first = 2 * MESSAGES;
    let publisher = publish(kubectl, "demo-publish:4150", "bridged", first, MESSAGES, 10)?;
    kubectl.run(&["delete", "pod", "other-nsqd-0-0", "--wait=false"])?;
    kubectl.run(&[
        "delete",
        "pods",
        "-l",
        "nsq.io/bridge=to-other",
        "--wait=false",
    ])?;
    publisher.finish(kubectl)?;
    out(kubectl, first)?.finish(kubectl)?;

    kubectl.run(&["delete", "nsqbridge", "to-other"])?;
    kubectl.until_gone("the bridge", "deployments,pods", "nsq.io/bridge", 60)?;
    kubectl.run(&["delete", "nsqcluster", "other"])?;
    // The next scenario counts pods.
    let of_other = "app.kubernetes.io/instance=other";
    kubectl.until_gone("the other cluster", "pods", of_other, 120)?;
    Ok(None)
}
