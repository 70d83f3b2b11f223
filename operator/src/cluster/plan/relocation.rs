//! Which Jobs move messages off leaving nodes. Each is made for what is wanted now, and made anew when that changes.

use jiff::SignedDuration;

use super::super::build;
use super::super::names::Node;
use super::super::object::WANTED_HASH;
use super::super::observed::{LeavingState, Observed, Relocation, RelocationState};
use super::super::validate::ValidatedCluster;
use super::Action;
use crate::api::ScaleDown;

/// Wait before a relocation that left something is tried again.
pub const AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// Jobs to make and to end, when `moved` are the nodes to be emptied now.
pub fn decide(
    cluster: &ValidatedCluster,
    observed: &Observed,
    moved: &[Node],
    all_targets_ready: bool,
) -> Vec<Action> {
    // The same targets each time: what was on its way when a relocation was cut short is found there by its id.
    let targets: Vec<Node> = (0..cluster.nsqd.replicas).map(Node::nsqd).collect();
    let mut actions = Vec::new();
    let mut wanted = Vec::new();
    if cluster.scale_down == ScaleDown::Relocate {
        let jobs = moved.iter().map(|node| {
            let pod = node.pod_name(&cluster.name);
            (pod, build::relocation(cluster, *node, &targets))
        });
        wanted.extend(jobs);
    }
    let rebalanced = cluster
        .rebalance
        .iter()
        .filter(|node| targets.len() > 1 && !moved.contains(node))
        .map(|node| {
            let others: Vec<Node> = targets.iter().copied().filter(|to| to != node).collect();
            let job = build::relocation(cluster, *node, &others);
            (node.pod_name(&cluster.name), job)
        });
    let rebalanced: Vec<_> = rebalanced.collect();
    // Once: a Job stays for as long as it is asked for, unless it has left something.
    let leaves_something = |found: &Relocation| {
        let asked = rebalanced.iter().any(|(pod, _)| *pod == found.pod);
        match asked {
            true => found.state == RelocationState::Failed,
            false => holds(&found.pod, observed),
        }
    };
    for found in observed.relocations.iter().filter(|it| !it.terminating) {
        let mut jobs = wanted.iter().chain(&rebalanced);
        let job = jobs.find(|(pod, _)| *pod == found.pod);
        let hash = job.and_then(|(_, job)| job.metadata.annotations.as_ref()?.get(WANTED_HASH));
        let as_wanted = hash == Some(&found.wanted_hash);
        if !as_wanted || (is_over(found, observed) && leaves_something(found)) {
            actions.push(Action::EndRelocation {
                pod: found.pod.clone(),
                uid: found.uid.clone(),
            });
        }
    }
    if all_targets_ready {
        let is_there = |pod: &str| observed.relocations.iter().any(|it| it.pod == pod);
        wanted.retain(|(pod, _)| holds(pod, observed));
        wanted.extend(rebalanced);
        wanted.retain(|(pod, _)| !is_there(pod));
        actions.extend(wanted.into_iter().map(|(pod, job)| {
            Action::Relocate {
                to: targets
                    .iter()
                    .map(|node| node.pod_name(&cluster.name))
                    .filter(|to| *to != pod)
                    .collect(),
                pod,
                job: Box::new(job),
            }
        }));
    }
    actions
}

fn is_over(relocation: &Relocation, observed: &Observed) -> bool {
    relocation.state != RelocationState::Running
        && relocation
            .ended
            .is_none_or(|ended| observed.now.duration_since(ended) >= AGAIN)
}

/// It drains, and has something left.
fn holds(pod: &str, observed: &Observed) -> bool {
    let mut leaving = observed.leaving.iter();
    leaving.any(|leaving| {
        leaving.pod == pod && leaving.draining && matches!(leaving.state, LeavingState::Holds(_))
    })
}
