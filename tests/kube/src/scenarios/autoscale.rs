//! Autoscalers on the scale subresource, and a hot node that is relieved.

use anyhow::{Result, ensure};

use super::install::cluster_ready;
use super::scaling::gone;
use crate::kubectl::Kubectl;
use crate::measure::proxied;
use crate::traffic::{consume, publish};

const MESSAGES: u64 = 500;
const THIRD: &str = "demo-nsqd-1-0";
const HOT: &str = "demo-nsqd-0-1";
/// Wants three nodes whatever the load is; without metrics it still finds target, selector and count.
const AUTOSCALER: &str = "apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: demo}
spec:
  scaleTargetRef: {apiVersion: nsq.io/v1alpha1, kind: NsqCluster, name: demo}
  minReplicas: 3
  maxReplicas: 4
  metrics:
  - type: Resource
    resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}
";

/// A real HorizontalPodAutoscaler raises the number of nodes.
pub fn autoscale(kubectl: &Kubectl) -> Result<Option<String>> {
    let path = "/apis/nsq.io/v1alpha1/namespaces/NS/nsqclusters/demo/scale";
    let path = path.replace("NS", kubectl.namespace());
    let scale: serde_json::Value = serde_json::from_str(&kubectl.run(&["get", "--raw", &path])?)?;
    let selector = scale["status"]["selector"].as_str().unwrap_or_default();
    let selected = kubectl.pods(selector)?;
    ensure!(
        scale["status"]["replicas"] == selected.len(),
        "the scale is {scale}, the selector finds {selected:?}"
    );
    kubectl.apply(AUTOSCALER)?;
    kubectl.until("the autoscaler has asked for a third node", 90, |kubectl| {
        let path = "jsonpath={.spec.nsqd.replicas}";
        let replicas = kubectl.run(&["get", "nsqcluster", "demo", "-o", path])?;
        ensure!(replicas == "3", "there are to be {replicas}");
        Ok(())
    })?;
    cluster_ready(kubectl)?;
    ensure!(kubectl.uid(THIRD).is_ok(), "the third node is not there");
    let columns = kubectl.run(&["get", "hpa", "demo"])?;
    println!("   {}", columns.trim().replace('\n', "\n   "));
    kubectl.run(&["delete", "hpa", "demo"])?;
    kubectl.run(&["scale", "nsqcluster", "demo", "--replicas=2"])?;
    gone(kubectl, THIRD, 120)?;
    cluster_ready(kubectl)?;
    Ok(None)
}

fn depth(kubectl: &Kubectl, pod: &str) -> Result<i64> {
    let path = proxied(kubectl, pod, "stats?format=json&topic=hot");
    let stats: serde_json::Value = serde_json::from_str(&kubectl.run(&["get", "--raw", &path])?)?;
    let topic = &stats["topics"][0];
    let channel = &topic["channels"][0];
    Ok(topic["depth"].as_i64().unwrap_or(0) + channel["depth"].as_i64().unwrap_or(0))
}

/// What a node has is moved to the others on request, once, and it goes on taking messages.
pub fn rebalance(kubectl: &Kubectl) -> Result<Option<String>> {
    let annotate = |value: &str| -> Result<()> {
        kubectl.run(&["annotate", "--overwrite", "nsqcluster", "demo", value])?;
        Ok(())
    };
    let hot = format!("{HOT}.demo-nsqd:4150");
    publish(kubectl, &hot, "hot", 0, MESSAGES, 0)?.finish(kubectl)?;
    ensure!(
        depth(kubectl, HOT)? == MESSAGES as i64,
        "it has not what it was given"
    );
    annotate("nsq.io/rebalance=nobody")?;
    kubectl.until("a name that is no node's is refused", 30, |kubectl| {
        let said = kubectl.condition("nsqcluster/demo", "Ready", "False")?;
        ensure!(said.contains("no nsqd of this cluster"), "it says {said}");
        Ok(())
    })?;
    annotate(&format!("nsq.io/rebalance={HOT}"))?;
    kubectl.until("it is relieved", 60, |kubectl| {
        let left = depth(kubectl, HOT)?;
        ensure!(left == 0, "it has {left}");
        Ok(())
    })?;
    ensure!(
        depth(kubectl, "demo-nsqd-0-0")? == MESSAGES as i64,
        "the other one has not got it"
    );
    cluster_ready(kubectl)?;
    // Once: what comes afterwards stays.
    publish(kubectl, &hot, "hot", MESSAGES, 1, 0)?.finish(kubectl)?;
    annotate("nsq.io/rebalance-")?;
    kubectl.until("its Job goes with the annotation", 60, |kubectl| {
        let jobs = kubectl.run(&["get", "jobs", "-o", "name"])?;
        ensure!(jobs.is_empty(), "there are {jobs}");
        Ok(())
    })?;
    ensure!(depth(kubectl, HOT)? == 1, "it was relieved twice");
    consume(kubectl, "demo-lookup:4161", "hot", "c", 0, MESSAGES + 1)?.finish(kubectl)?;
    cluster_ready(kubectl)?;
    Ok(None)
}
