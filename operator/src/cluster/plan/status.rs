//! What to report: counts, addresses and the conditions that kstatus and people read.

use jiff::{SignedDuration, Timestamp};

use super::super::build;
use super::super::names::{self, Component};
use super::super::object::Object;
use super::super::observed::{Observed, PodState};
use super::super::validate::{Invalid, ValidatedCluster};
use super::external::Exposure;
use super::scale::{Kept, Scaling};
use super::{Action, certificate, pairs, roll};
use crate::api::{ConditionState, Conditions, NodeCounts, NsqClusterStatus};

/// A node may be unready for this long before the cluster counts as degraded: a restart takes less.
pub const UNREADY_GRACE: SignedDuration = SignedDuration::from_secs(60);

/// Reason of conditions while no node is to run.
pub const HIBERNATED: &str = "Hibernated";

/// Everything a status is made from.
pub struct Facts<'a> {
    pub cluster: &'a ValidatedCluster,
    pub observed: &'a Observed,
    /// No pod is to run.
    pub asleep: bool,
    pub wanted: &'a [Object],
    pub scaling: &'a Scaling,
    /// The way in from outside, if there is to be one.
    pub exposure: Option<&'a Exposure>,
    /// Objects that this pass writes or deletes.
    pub writes: usize,
    pub actions: &'a [Action],
}

pub fn status(facts: &Facts<'_>, previous: &NsqClusterStatus) -> NsqClusterStatus {
    let cluster = facts.cluster;
    let nsqd = counts(facts, Component::Nsqd, cluster.nsqd.replicas);
    let nsqlookupd = counts(facts, Component::Nsqlookupd, cluster.nsqlookupd.replicas);
    let pairs = match facts.asleep {
        true => Vec::new(),
        false => pairs::statuses(cluster, facts.observed, facts.scaling.nodes),
    };
    let mut states = vec![
        ready(facts, &nsqd, &nsqlookupd),
        reconciling(facts, &nsqd, &nsqlookupd),
        stalled(None),
        degraded(facts),
        drain_blocked(facts),
    ];
    states.extend(pairs::condition(&pairs));
    states.extend(facts.exposure.map(Exposure::condition));
    states.extend(certificate::condition(cluster, facts.observed));
    let service = |name: String, port: u16| format!("{name}.{}.svc:{port}", cluster.namespace);
    NsqClusterStatus {
        observed_generation: cluster.generation,
        replicas: pods_of(facts, Component::Nsqd)
            .count()
            .try_into()
            .unwrap_or(i32::MAX),
        selector: build::nsqd_selector(&cluster.name),
        publish_address: service(names::publish_service(&cluster.name), names::NSQD_TCP),
        lookup_address: service(names::lookup_service(&cluster.name), names::NSQLOOKUPD_HTTP),
        external: facts.exposure.map(|exposure| exposure.status.clone()),
        nsqd,
        nsqlookupd,
        mirrored: pairs::summary(&pairs),
        pairs,
        conditions: Conditions::new(&previous.conditions, cluster.generation, facts.observed.now)
            .next(&states),
    }
}

/// The status of a manifest that cannot be built; what runs keeps running, so the counts stay.
pub fn refused(
    generation: Option<i64>,
    invalid: &Invalid,
    previous: &NsqClusterStatus,
    now: Timestamp,
) -> NsqClusterStatus {
    let message = format!("{invalid}; nothing is changed until the manifest is put right");
    let states = [
        ConditionState::new("Ready", false, "InvalidSpec", message.clone()),
        ConditionState::new("Reconciling", false, "InvalidSpec", message.clone()),
        stalled(Some(message)),
    ];
    NsqClusterStatus {
        observed_generation: generation,
        conditions: Conditions::new(&previous.conditions, generation, now).next(&states),
        ..previous.clone()
    }
}

fn pods_of<'a>(facts: &Facts<'a>, component: Component) -> impl Iterator<Item = &'a PodState> {
    let pods = facts.observed.pods.iter();
    pods.filter(move |pod| pod.component == component)
}

fn counts(facts: &Facts<'_>, component: Component, desired: u32) -> NodeCounts {
    let count = |keep: &dyn Fn(&PodState) -> bool| {
        let count = pods_of(facts, component).filter(|pod| keep(pod)).count();
        i32::try_from(count).unwrap_or(i32::MAX)
    };
    let desired = i32::try_from(desired).unwrap_or(i32::MAX);
    let ready = count(&|pod| pod.ready && !pod.terminating);
    let updated = count(&|pod| !roll::is_outdated(pod, facts.wanted, facts.observed));
    NodeCounts {
        desired,
        ready,
        updated,
        summary: format!("{ready}/{desired}"),
    }
}

fn ready(facts: &Facts<'_>, nsqd: &NodeCounts, nsqlookupd: &NodeCounts) -> ConditionState {
    if facts.asleep {
        let message = "spec.hibernate is true: no node runs, volumes are kept".to_owned();
        return ConditionState::new("Ready", false, HIBERNATED, message);
    }
    let lacking: Vec<String> = [("nsqd", nsqd), ("nsqlookupd", nsqlookupd)]
        .into_iter()
        .filter(|(_, counts)| counts.ready < counts.desired)
        .map(|(name, counts)| format!("{} of {} {name} ready", counts.ready, counts.desired))
        .collect();
    if lacking.is_empty() {
        let message = format!(
            "{} nsqd and {} nsqlookupd ready",
            nsqd.ready, nsqlookupd.ready
        );
        return ConditionState::new("Ready", true, "Ready", message);
    }
    let mut message = lacking.join(", ");
    for pod in troubled(facts) {
        message = format!("{message}; {pod}");
    }
    ConditionState::new("Ready", false, "NodesNotReady", message)
}

fn reconciling(facts: &Facts<'_>, nsqd: &NodeCounts, nsqlookupd: &NodeCounts) -> ConditionState {
    if facts.cluster.paused {
        let message = "the annotation nsq.io/paused is set: nothing is changed".to_owned();
        return ConditionState::new("Reconciling", false, "Paused", message);
    }
    if facts.asleep && facts.writes == 0 {
        let left = facts.observed.pods.len();
        let message = format!("{left} pods still to be stopped");
        return match left {
            0 => ConditionState::new("Reconciling", false, HIBERNATED, "no node runs".to_owned()),
            _ => ConditionState::new("Reconciling", true, "Hibernating", message),
        };
    }
    let outdated = |pod| roll::is_outdated(pod, facts.wanted, facts.observed);
    let rolling = facts.observed.pods.iter().any(outdated);
    let (reason, message) = if facts.scaling.surplus > 0 || !facts.scaling.removed.is_empty() {
        let left = facts.scaling.surplus;
        ("ScalingDown", format!("{left} nsqd still to be removed"))
    } else if facts.writes > 0 {
        ("Applying", format!("{} objects to write", facts.writes))
    } else if rolling || !facts.actions.is_empty() {
        (
            "RollingOut",
            "pods are brought to the present template one at a time".to_owned(),
        )
    } else if nsqd.ready < nsqd.desired || nsqlookupd.ready < nsqlookupd.desired {
        ("Starting", "waiting for pods to become ready".to_owned())
    } else {
        let message = "everything is as declared".to_owned();
        return ConditionState::new("Reconciling", false, "UpToDate", message);
    };
    ConditionState::new("Reconciling", true, reason, message)
}

fn stalled(reason: Option<String>) -> ConditionState {
    match reason {
        Some(message) => ConditionState::new("Stalled", true, "InvalidSpec", message),
        None => ConditionState::new("Stalled", false, "NotStalled", ""),
    }
}

fn degraded(facts: &Facts<'_>) -> ConditionState {
    let troubled = troubled(facts);
    if facts.asleep || troubled.is_empty() {
        return ConditionState::new("Degraded", false, "NodesHealthy", "");
    }
    ConditionState::new("Degraded", true, "NodesUnhealthy", troubled.join("; "))
}

/// Pods that are not merely starting.
fn troubled(facts: &Facts<'_>) -> Vec<String> {
    let now = facts.observed.now;
    let mut pods: Vec<&PodState> = facts
        .observed
        .pods
        .iter()
        .filter(|pod| !pod.ready)
        .collect();
    pods.sort_by(|a, b| a.name.cmp(&b.name));
    pods.into_iter()
        .filter_map(|pod| match &pod.problem {
            Some(problem) => Some(format!("{}: {problem}", pod.name)),
            None if now.duration_since(pod.since) > UNREADY_GRACE => Some(format!(
                "{} has not been ready since {:.0}",
                pod.name, pod.since
            )),
            None => None,
        })
        .collect()
}

fn drain_blocked(facts: &Facts<'_>) -> ConditionState {
    match &facts.scaling.kept {
        Some(Kept::Blocked(why)) => {
            ConditionState::new("DrainBlocked", true, "NodeNotEmpty", why.clone())
        }
        Some(Kept::Waiting(why)) => {
            ConditionState::new("DrainBlocked", false, "Draining", why.clone())
        }
        None => ConditionState::new("DrainBlocked", false, "NothingToDrain", ""),
    }
}
