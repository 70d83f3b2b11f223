//! Which pod to restart next, so that every pod runs the present template in the end.
//!
//! One pod per pass, and only while every other node of its kind is ready. A pod that is outdated *and*
//! unready goes first and waits for nobody: it is down anyway, and the template it waits for may be its cure.

use k8s_openapi::api::apps::v1::StatefulSet;

use super::super::build::{RESTARTED_AT, TEMPLATE_HASH};
use super::super::names::{Component, Node};
use super::super::object::Object;
use super::super::observed::{Observed, PodState};
use super::super::validate::ValidatedCluster;
use super::Action;

/// What a pod should be running.
struct Template<'a> {
    set: &'a str,
    hash: Option<&'a str>,
    restarted_at: Option<&'a str>,
    /// The StatefulSet controller has seen it, so a new pod will be made from it.
    in_force: bool,
}

/// The outdated pod that is down anyway.
pub fn next_broken(
    cluster: &ValidatedCluster,
    wanted: &[Object],
    apply: &[Object],
    observed: &Observed,
) -> Option<Action> {
    let pods = in_order(cluster, observed);
    let mut broken = pods
        .into_iter()
        .filter(|pod| !pod.ready && is_due(pod, wanted, apply, observed));
    let pod = broken.next()?;
    Some(restart(pod, "it is not ready and its template has changed"))
}

/// The next pod of all.
pub fn next_restart(
    cluster: &ValidatedCluster,
    wanted: &[Object],
    apply: &[Object],
    observed: &Observed,
) -> Option<Action> {
    let broken = next_broken(cluster, wanted, apply, observed);
    if broken.is_some() {
        return broken;
    }
    let pods = in_order(cluster, observed);
    let outdated = |pod: &&PodState| is_due(pod, wanted, apply, observed);
    let stays = |pod: &&PodState| {
        let node = Node::from_pod_name(&cluster.name, &pod.name);
        // One that is to be removed need not learn anything new.
        node.is_some_and(|node| node < Node::nsqd(cluster.nsqd.replicas))
    };
    let pod = pods.iter().copied().filter(stays).find(outdated)?;
    let peers = || pods.iter().filter(|peer| peer.component == pod.component);
    let all_there = peers().count() >= expected(pod.component, wanted);
    let all_ready = peers().all(|peer| peer.ready && !peer.terminating);
    (all_there && all_ready).then(|| restart(pod, "its template has changed"))
}

/// Lookups first: they hold nothing, and a bad image shows on them at no cost.
fn in_order<'a>(cluster: &ValidatedCluster, observed: &'a Observed) -> Vec<&'a PodState> {
    let mut pods: Vec<&PodState> = observed.pods.iter().collect();
    pods.sort_by_key(|pod| Node::from_pod_name(&cluster.name, &pod.name));
    pods
}

fn is_due(pod: &PodState, wanted: &[Object], apply: &[Object], observed: &Observed) -> bool {
    !pod.terminating
        && template_of(pod, wanted, apply, observed)
            .is_some_and(|template| template.in_force && differs(pod, &template))
}

/// Whether the pod runs something else than the manifest says now.
pub fn is_outdated(pod: &PodState, wanted: &[Object], observed: &Observed) -> bool {
    template_of(pod, wanted, &[], observed).is_some_and(|template| differs(pod, &template))
}

fn expected(component: Component, wanted: &[Object]) -> usize {
    let replicas = wanted.iter().filter_map(|object| match object {
        Object::StatefulSet(set) => {
            let labels = set.metadata.labels.as_ref()?;
            let of = labels.get(super::super::build::COMPONENT)?;
            (of == component.as_str()).then_some(set.spec.as_ref()?.replicas.unwrap_or(0))
        }
        _ => None,
    });
    replicas
        .filter_map(|count| usize::try_from(count).ok())
        .sum()
}

fn template_of<'a>(
    pod: &PodState,
    wanted: &'a [Object],
    apply: &[Object],
    observed: &'a Observed,
) -> Option<Template<'a>> {
    let (set_name, _) = pod.name.rsplit_once('-')?;
    let wanted = wanted.iter().find_map(|object| match object {
        Object::StatefulSet(set) if set.metadata.name.as_deref() == Some(set_name) => Some(set),
        _ => None,
    })?;
    let live = observed
        .stateful_sets()
        .find(|set| set.metadata.name.as_deref() == Some(set_name));
    let waits = apply
        .iter()
        .any(|object| object.kind() == "StatefulSet" && object.name() == set_name);
    Some(Template {
        set: wanted.metadata.name.as_deref().unwrap_or_default(),
        hash: annotation(wanted, TEMPLATE_HASH),
        restarted_at: live.and_then(|set| annotation(set, RESTARTED_AT)),
        in_force: !waits && live.is_some_and(seen_by_its_controller),
    })
}

fn differs(pod: &PodState, template: &Template<'_>) -> bool {
    debug_assert!(pod.name.starts_with(template.set));
    pod.template_hash.as_deref() != template.hash
        || (template.restarted_at.is_some() && pod.restarted_at.as_deref() != template.restarted_at)
}

fn seen_by_its_controller(set: &StatefulSet) -> bool {
    let seen = set
        .status
        .as_ref()
        .and_then(|status| status.observed_generation);
    seen >= set.metadata.generation
}

fn annotation<'a>(set: &'a StatefulSet, key: &str) -> Option<&'a str> {
    let template = &set.spec.as_ref()?.template;
    let annotations = template.metadata.as_ref()?.annotations.as_ref()?;
    annotations.get(key).map(String::as_str)
}

fn restart(pod: &PodState, reason: &str) -> Action {
    Action::Restart {
        pod: pod.name.clone(),
        uid: pod.uid.clone(),
        reason: reason.to_owned(),
    }
}
