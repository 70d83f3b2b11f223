//! How many nsqds there may be now: more at once, fewer only when they are empty.

use super::super::names::{Component, Node};
use super::super::observed::{Backlog, LeavingState, Observed};
use super::super::validate::ValidatedCluster;
use super::{Action, failover, running_nodes};

/// A node has to be seen empty this often, [`super::BUSY_REQUEUE`] seconds apart, before it is removed: one look at a
/// stale or half-started node must not cost its messages.
pub const EMPTY_SIGHTINGS: u32 = 3;

/// What comes of `nsqd.replicas`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scaling {
    /// Nodes to run after this pass.
    pub nodes: u32,
    /// Pods that publishers are kept from, or sent to again.
    pub actions: Vec<Action>,
    /// Why the next node cannot be removed yet.
    pub kept: Option<Kept>,
    /// The node removed in this pass.
    pub removed: Option<String>,
    /// Nodes that still run although the manifest does not want them.
    pub surplus: u32,
}

/// Why a node stays for now, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// It will go by itself.
    Waiting(String),
    /// Somebody has to do something, if only to consume.
    Blocked(String),
}

pub fn decide(cluster: &ValidatedCluster, observed: &Observed) -> Scaling {
    let wanted = cluster.nsqd.replicas;
    let running = running_nodes(cluster, observed);
    let actions = publishing(cluster, observed, wanted);
    if running <= wanted {
        return Scaling {
            nodes: wanted,
            actions,
            ..Scaling::default()
        };
    }
    // The highest first, for a StatefulSet can only lose its last pod.
    let last = Node::nsqd(running - 1).pod_name(&cluster.name);
    let kept = keeps(&last, observed).or_else(|| waits_for_health(cluster, observed));
    let nodes = running - u32::from(kept.is_none());
    Scaling {
        nodes,
        actions,
        removed: kept.is_none().then_some(last),
        kept,
        surplus: nodes - wanted,
    }
}

/// A node that cannot be spared while one that stays is down.
fn waits_for_health(cluster: &ValidatedCluster, observed: &Observed) -> Option<Kept> {
    let down = (0..cluster.nsqd.replicas)
        .map(|ordinal| Node::nsqd(ordinal).pod_name(&cluster.name))
        .find(|name| {
            let mut pods = observed.pods.iter();
            !pods.any(|pod| pod.name == *name && pod.ready && !pod.terminating)
        })?;
    Some(Kept::Waiting(format!(
        "no node is removed while {down}, which stays, is not ready"
    )))
}

fn keeps(pod: &str, observed: &Observed) -> Option<Kept> {
    if observed.unbound.iter().any(|name| name == pod) {
        return None; // it has never had a volume to keep anything on
    }
    let leaving = observed.leaving.iter().find(|leaving| leaving.pod == pod);
    match leaving.map(|leaving| &leaving.state) {
        None => Some(Kept::Waiting(format!(
            "{pod} has not been asked yet what it holds"
        ))),
        Some(LeavingState::Unknown(why)) => Some(Kept::Blocked(format!(
            "{pod} is to be removed but cannot say whether it is empty: {why}"
        ))),
        Some(LeavingState::Empty { sightings }) if *sightings >= EMPTY_SIGHTINGS => None,
        Some(LeavingState::Empty { sightings }) => Some(Kept::Waiting(format!(
            "{pod} is empty, seen {sightings} of {EMPTY_SIGHTINGS} times"
        ))),
        Some(LeavingState::Holds(backlog)) => Some(Kept::Blocked(holds(pod, backlog))),
    }
}

fn holds(pod: &str, backlog: &Backlog) -> String {
    let place = match &backlog.channel {
        Some(channel) => format!("topic {}, channel {channel}", backlog.topic),
        None => format!("topic {}, which no channel reads", backlog.topic),
    };
    let others = match backlog.places {
        0 | 1 => String::new(),
        places => format!(", and {} more", places - 1),
    };
    format!(
        "{pod} still holds messages: {place}: {} waiting, {} in flight, {} deferred{others}; \
         let consumers finish them, empty the channel, or raise spec.nsqd.replicas again",
        backlog.waiting, backlog.in_flight, backlog.deferred
    )
}

/// Publishers are kept from every node that is to go or does not answer, and sent again to one that is to stay after all.
fn publishing(cluster: &ValidatedCluster, observed: &Observed, wanted: u32) -> Vec<Action> {
    observed
        .pods
        .iter()
        .filter(|pod| !pod.terminating)
        .filter_map(|pod| {
            let node = Node::from_pod_name(&cluster.name, &pod.name)?;
            let publish = match node.ordinal < wanted {
                true => failover::publishes(cluster, observed, node)?,
                false => false,
            };
            let turns = node.component == Component::Nsqd && pod.publishing != publish;
            turns.then(|| Action::Publish {
                pod: pod.name.clone(),
                uid: pod.uid.clone(),
                publish,
            })
        })
        .collect()
}

/// Names of the pods of nodes that run although the manifest does not want them; `observe` asks these.
#[must_use]
pub fn surplus_pods(cluster: &ValidatedCluster, observed: &Observed) -> Vec<String> {
    (cluster.nsqd.replicas..running_nodes(cluster, observed))
        .map(|ordinal| Node::nsqd(ordinal).pod_name(&cluster.name))
        .collect()
}
