//! Publishers and consumers as pods.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::kubectl::Kubectl;

/// Image of the `traffic` program.
const IMAGE: &str = "NSQ_TRAFFIC_IMAGE";
const DEFAULT_IMAGE: &str = "nsq-traffic:dev";
/// Seconds that a consumer waits for all of its messages.
const PATIENCE: &str = "240";

static PODS: AtomicU32 = AtomicU32::new(0);

/// A pod with traffic in it.
pub struct Traffic {
    pod: String,
}

/// Publishes COUNT messages numbered from FIRST, through an address.
pub fn publish(
    kubectl: &Kubectl,
    address: &str,
    topic: &str,
    first: u64,
    count: u64,
    pause_ms: u64,
) -> Result<Traffic> {
    publish_with(kubectl, address, topic, (first, count), pause_ms, 1)
}

/// As [`publish`], by several workers at once.
pub fn publish_with(
    kubectl: &Kubectl,
    address: &str,
    topic: &str,
    (first, count): (u64, u64),
    pause_ms: u64,
    workers: u64,
) -> Result<Traffic> {
    let numbers = [first, count, pause_ms, workers].map(|number| number.to_string());
    let [first, count, pause, workers] = &numbers;
    let arguments = ["publish", address, topic, first, count, pause, workers];
    start(kubectl, &arguments)
}

/// Consumes until it has seen each of COUNT numbers from FIRST.
pub fn consume(
    kubectl: &Kubectl,
    lookup: &str,
    topic: &str,
    channel: &str,
    first: u64,
    count: u64,
) -> Result<Traffic> {
    let (first, count) = (first.to_string(), count.to_string());
    start(
        kubectl,
        &["consume", lookup, topic, channel, &first, &count, PATIENCE],
    )
}

fn start(kubectl: &Kubectl, arguments: &[&str]) -> Result<Traffic> {
    let number = PODS.fetch_add(1, Ordering::Relaxed);
    let pod = format!("traffic-{number}-{}", arguments[0]);
    let image = std::env::var(IMAGE).unwrap_or_else(|_| DEFAULT_IMAGE.to_owned());
    let image = format!("--image={image}");
    // Where the faults of the scenarios do not reach, if this cluster has such a place.
    let machine = crate::rig::quiet_machine();
    let overrides = format!("--overrides={}", machine_override(machine));
    let run = [
        "run",
        &pod,
        &image,
        "--restart=Never",
        "--image-pull-policy=IfNotPresent",
        "--labels=app=traffic",
        &overrides,
        "--command",
        "--",
        "/traffic",
    ];
    kubectl.run(&[&run, arguments].concat())?;
    Ok(Traffic { pod })
}

fn machine_override(machine: Option<&str>) -> String {
    let affinity = machine.map(|machine| {
        json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference":
            {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [machine]}]}}]}})
    });
    json!({"spec": {"affinity": affinity}}).to_string()
}

impl Traffic {
    /// Waits until it runs.
    pub fn runs(&self, kubectl: &Kubectl) -> Result<()> {
        kubectl.until(&format!("{} runs", self.pod), 60, |kubectl| {
            let phase =
                kubectl.run(&["get", "pod", &self.pod, "-o", "jsonpath={.status.phase}"])?;
            match phase.as_str() {
                "Running" | "Succeeded" => Ok(()),
                other => bail!("it is {other}"),
            }
        })
    }

    /// As [`Traffic::finish`]; the gaps instead of the last line.
    pub fn finish_with_gaps(self, kubectl: &Kubectl) -> Result<Vec<(u64, u64)>> {
        let pod = self.pod.clone();
        self.ended(kubectl)?;
        let log = kubectl.run(&["logs", &pod])?;
        kubectl.run(&["delete", "pod", &pod, "--wait=false"])?;
        let gaps = log.lines().filter_map(|line| {
            let (from, to) = line.strip_prefix("gap ")?.split_once(' ')?;
            Some((from.parse().ok()?, to.parse().ok()?))
        });
        Ok(gaps.collect())
    }

    /// Waits for its end, which must be a good one; its last line.
    pub fn finish(self, kubectl: &Kubectl) -> Result<String> {
        let last = self.ended(kubectl)?;
        kubectl.run(&["delete", "pod", &self.pod, "--wait=false"])?;
        Ok(last)
    }

    fn ended(&self, kubectl: &Kubectl) -> Result<String> {
        let what = format!("{} has ended", self.pod);
        let phase = kubectl.until(&what, 360, |kubectl| {
            let phase =
                kubectl.run(&["get", "pod", &self.pod, "-o", "jsonpath={.status.phase}"])?;
            match phase.as_str() {
                "Succeeded" | "Failed" => Ok(phase),
                other => bail!("it is {other}"),
            }
        })?;
        let log = kubectl.run(&["logs", &self.pod])?;
        let last = log.lines().last().context("it has printed nothing")?;
        println!("   {}: {last}", self.pod);
        if phase != "Succeeded" {
            bail!("{} failed:\n{log}", self.pod);
        }
        Ok(last.to_owned())
    }
}
