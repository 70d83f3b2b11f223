//! How many nsqds there may be now: more at once, fewer only when they are empty.

use super::super::names::{Component, Node, PAIR_SIZE};
use super::super::observed::{Backlog, Leaving, LeavingState, Observed};
use super::super::validate::ValidatedCluster;
use super::{Action, failover, relocation, running_nodes};
use crate::api::ScaleDown;

/// A node has to be seen empty this often, [`super::BUSY_REQUEUE`] seconds apart, before it is removed: one look at a
/// stale or half-started node must not cost its messages.
pub const EMPTY_SIGHTINGS: u32 = 3;

/// What comes of `nsqd.replicas`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scaling {
    /// Nodes to run after this pass.
    pub nodes: u32,
    /// Pods that publishers are kept from, or sent to again.
    pub actions: Vec<Action>,
    /// Why the next node cannot be removed yet.
    pub kept: Option<Kept>,
    /// The nodes removed in this pass.
    pub removed: Vec<String>,
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
    let mut actions = publishing(cluster, observed, wanted);
    actions.extend(draining(cluster, observed, wanted));
    let unhealthy = waits_for_health(cluster, observed);
    let moved = next_to_go(cluster, running);
    actions.extend(relocation::decide(
        cluster,
        observed,
        &moved,
        unhealthy.is_none(),
    ));
    if running <= wanted {
        return Scaling {
            nodes: wanted,
            actions,
            ..Scaling::default()
        };
    }
    // Those of a pair go together: neither is to be left without its peer.
    let leaving = match cluster.replication {
        Some(_) => moved,
        None => vec![Node::nsqd(running - 1)],
    };
    let kept = leaving.iter().find_map(|node| {
        let pod = node.pod_name(&cluster.name);
        keeps(cluster, &pod, observed)
    });
    let kept = kept.or(unhealthy);
    let removed: Vec<String> = match kept {
        Some(_) => Vec::new(),
        None => leaving
            .iter()
            .map(|node| node.pod_name(&cluster.name))
            .collect(),
    };
    let nodes = running - u32::try_from(removed.len()).unwrap_or(0);
    Scaling {
        nodes,
        actions,
        removed,
        kept,
        surplus: nodes - wanted,
    }
}

/// The leaving nodes of the last pair, which are emptied now: a StatefulSet can only lose its last pod, and emptying
/// all at once would be a burden for those that stay.
fn next_to_go(cluster: &ValidatedCluster, running: u32) -> Vec<Node> {
    let last_pair = running.saturating_sub(1) / PAIR_SIZE * PAIR_SIZE;
    let first = last_pair.max(cluster.nsqd.replicas);
    (first..running).map(Node::nsqd).collect()
}

/// A node that is to go takes nothing new; one that is to stay after all, or has come back with the volume it was
/// removed with, takes messages again.
fn draining(cluster: &ValidatedCluster, observed: &Observed, wanted: u32) -> Vec<Action> {
    let address_of = |name: &str| {
        let mut pods = observed.pods.iter().filter(|pod| !pod.terminating);
        pods.find(|pod| pod.name == *name)?.address.clone()
    };
    let stays = |name: &str| {
        Node::from_pod_name(&cluster.name, name).is_some_and(|node| node.ordinal < wanted)
    };
    let answered = |leaving: &&Leaving| !matches!(leaving.state, LeavingState::Unknown(_));
    let begin = observed.leaving.iter().filter(answered);
    let begin = begin.filter(|leaving| !leaving.draining && !stays(&leaving.pod));
    let end = observed.draining.iter().filter(|name| stays(name));
    let begin = begin.map(|leaving| (&leaving.pod, true));
    begin
        .chain(end.map(|name| (name, false)))
        .filter_map(|(name, drain)| {
            Some(Action::Drain {
                pod: name.clone(),
                address: address_of(name)?,
                drain,
            })
        })
        .collect()
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

fn keeps(cluster: &ValidatedCluster, pod: &str, observed: &Observed) -> Option<Kept> {
    if observed.unbound.iter().any(|name| name == pod) {
        return None; // it has never had a volume to keep anything on
    }
    let Some(leaving) = observed.leaving.iter().find(|leaving| leaving.pod == pod) else {
        let why = format!("{pod} has not been asked yet what it holds");
        return Some(Kept::Waiting(why));
    };
    match &leaving.state {
        LeavingState::Unknown(why) => Some(Kept::Blocked(format!(
            "{pod} is to be removed but cannot say whether it is empty: {why}"
        ))),
        _ if !leaving.draining => Some(Kept::Waiting(format!("{pod} is told to drain"))),
        LeavingState::Empty { sightings } if *sightings >= EMPTY_SIGHTINGS => None,
        LeavingState::Empty { sightings } => Some(Kept::Waiting(format!(
            "{pod} is empty, seen {sightings} of {EMPTY_SIGHTINGS} times"
        ))),
        LeavingState::Holds(backlog) => Some(holds(cluster, pod, backlog, observed)),
    }
}

fn holds(cluster: &ValidatedCluster, pod: &str, backlog: &Backlog, observed: &Observed) -> Kept {
    let what = left(pod, backlog);
    let mut relocations = observed.relocations.iter();
    let relocation = relocations.find(|relocation| relocation.pod == pod);
    match (cluster.scale_down, relocation) {
        (ScaleDown::Wait, _) => Kept::Blocked(format!(
            "{what}; let consumers finish them, empty the channel, set spec.nsqd.scaleDown to Relocate, \
             or raise spec.nsqd.replicas again"
        )),
        (ScaleDown::Relocate, Some(relocation)) => match &relocation.problem {
            Some(problem) => Kept::Blocked(format!(
                "{what}, and its messages cannot be moved now: {problem}; it is tried again. Let consumers finish \
                 them, empty the channel, or raise spec.nsqd.replicas again"
            )),
            None => Kept::Waiting(format!(
                "{what}; they are being moved to the nodes that stay"
            )),
        },
        (ScaleDown::Relocate, None) => {
            Kept::Waiting(format!("{what}; they will be moved to the nodes that stay"))
        }
    }
}

fn left(pod: &str, backlog: &Backlog) -> String {
    let place = match &backlog.channel {
        Some(channel) if backlog.consumers == 0 => {
            format!(
                "topic {}, channel {channel}, which nobody consumes",
                backlog.topic
            )
        }
        Some(channel) => format!("topic {}, channel {channel}", backlog.topic),
        None => format!("topic {}, which no channel reads", backlog.topic),
    };
    let others = match backlog.places {
        0 | 1 => String::new(),
        places => format!(", and {} more", places - 1),
    };
    format!(
        "{pod} still holds messages: {place}: {} waiting, {} in flight, {} deferred{others}",
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
