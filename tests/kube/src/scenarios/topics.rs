//! NsqTopics.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::NSQD;
use crate::kubectl::Kubectl;
use crate::measure::proxied;

const TEMPORARY: &str = "
apiVersion: nsq.io/v1alpha1
kind: NsqTopic
metadata:
  name: temporary
spec:
  cluster: demo
  deletionPolicy: Delete
  channels:
  - name: paused
    paused: true
";

/// What an nsqd holds of a topic; `None` if it has none.
fn held(kubectl: &Kubectl, pod: &str, topic: &str) -> Result<Option<Value>> {
    let path = proxied(kubectl, pod, &format!("stats?format=json&topic={topic}"));
    let stats: Value = serde_json::from_str(&kubectl.run(&["get", "--raw", &path])?)?;
    Ok(stats["topics"]
        .as_array()
        .and_then(|topics| topics.first())
        .cloned())
}

pub fn kept(kubectl: &Kubectl) -> Result<Option<String>> {
    kubectl.apply(TEMPORARY)?;
    kubectl.until("the topic is Ready", 60, |kubectl| {
        kubectl.condition("nsqtopic/temporary", "Ready", "True")
    })?;
    let pods = kubectl.pods(NSQD)?;
    for pod in &pods {
        let topic = held(kubectl, pod, "temporary")?.unwrap_or_default();
        ensure!(
            topic["channels"][0]["paused"] == true,
            "{pod} holds {topic}"
        );
    }

    // Somebody deletes the channel by hand.
    let delete = proxied(
        kubectl,
        &pods[0],
        "channel/delete?topic=temporary&channel=paused",
    );
    kubectl.run(&["create", "--raw", &delete, "-f", "/dev/null"])?;
    kubectl.until("the deleted channel is back", 90, |kubectl| {
        let topic = held(kubectl, &pods[0], "temporary")?.unwrap_or_default();
        ensure!(topic["channels"][0]["paused"] == true, "it holds {topic}");
        Ok(())
    })?;

    kubectl.run(&["delete", "nsqtopic", "temporary", "--timeout=60s"])?;
    for pod in &pods {
        let left = held(kubectl, pod, "temporary")?;
        ensure!(left.is_none(), "{pod} still holds {left:?}");
    }
    Ok(None)
}
