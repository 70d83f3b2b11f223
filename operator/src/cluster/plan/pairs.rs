//! How the replication pairs stand, for the status and for whoever must not disturb them. Pure.

use jiff::{SignedDuration, Timestamp};

use super::super::names::{self, Component, Node, PAIR_SIZE};
use super::super::observed::Observed;
use super::super::validate::ValidatedCluster;
use super::failover::{Adopted, Member, members};
use crate::api::{ConditionState, NsqClusterStatus, PairNodeStatus, PairStatus};

/// A change is not held up for longer by pairs that do not mirror: it may be their cure.
pub const MIRROR_PATIENCE: SignedDuration = SignedDuration::from_mins(5);

/// Every pair among `nodes` nodes; none without replication.
pub fn statuses(cluster: &ValidatedCluster, observed: &Observed, nodes: u32) -> Vec<PairStatus> {
    if cluster.replication.is_none() {
        return Vec::new();
    }
    let known: Vec<Member<'_>> = members(cluster, observed, nodes).collect();
    (0..names::pairs(nodes))
        .map(|pair| {
            let nodes = (0..names::nodes_of_pair(pair, nodes))
                .map(|member| Node::nsqd(pair * PAIR_SIZE + member));
            let nodes: Vec<PairNodeStatus> = nodes
                .map(|node| match known.iter().find(|known| known.node == node) {
                    Some(member) => of_member(member, observed.now),
                    None => unknown(node.pod_name(&cluster.name)),
                })
                .collect();
            PairStatus {
                name: names::nsqd_set(&cluster.name, pair),
                mirrored: nodes.iter().all(|node| node.state == MIRRORED),
                nodes,
            }
        })
        .collect()
}

const MIRRORED: &str = "Mirrored";

fn unknown(pod: String) -> PairNodeStatus {
    PairNodeStatus {
        pod,
        state: "Unknown".to_owned(),
        ..PairNodeStatus::default()
    }
}

fn of_member(member: &Member<'_>, now: Timestamp) -> PairNodeStatus {
    let pulse = member.pulse;
    let mut status = unknown(pulse.pod.clone());
    if pulse.is_suspect() {
        let (state, by) = match member.adopted() {
            Adopted::Not => ("Silent", None),
            Adopted::Partly => ("Adopting", Some(member.peer.pod.clone())),
            Adopted::Wholly => ("Adopted", Some(member.peer.pod.clone())),
        };
        state.clone_into(&mut status.state);
        status.adopted_by = by;
    } else if pulse.is_mirrored(now) {
        MIRRORED.clone_into(&mut status.state);
    } else if let Some(pair) = &pulse.pair {
        "CatchingUp".clone_into(&mut status.state);
        status.unmirrored_messages = pair.unmirrored_messages;
        status.lag_bytes = pair.lag_bytes;
    }
    status
}

/// `1/2`: pairs that are mirrored, of all.
pub fn summary(pairs: &[PairStatus]) -> String {
    match pairs.len() {
        0 => String::new(),
        all => {
            let mirrored = pairs.iter().filter(|pair| pair.mirrored).count();
            format!("{mirrored}/{all}")
        }
    }
}

/// The condition `Mirrored`; none without replication.
pub fn condition(pairs: &[PairStatus]) -> Option<ConditionState> {
    if pairs.is_empty() {
        return None;
    }
    let lacking: Vec<String> = pairs
        .iter()
        .filter(|pair| !pair.mirrored)
        .flat_map(|pair| &pair.nodes)
        .filter(|node| node.state != MIRRORED)
        .map(sentence)
        .collect();
    let (reason, message) = match lacking.as_slice() {
        [] => (
            "PairsMirrored",
            "either disk of each pair may be lost".to_owned(),
        ),
        lacking => ("PairsNotMirrored", lacking.join("; ")),
    };
    let mirrored = lacking.is_empty();
    Some(ConditionState::new("Mirrored", mirrored, reason, message))
}

fn sentence(node: &PairNodeStatus) -> String {
    let pod = &node.pod;
    match (node.state.as_str(), &node.adopted_by) {
        ("CatchingUp", _) if node.unmirrored_messages == 0 => {
            format!("{pod} and its peer are not linked both ways, or one is being caught up")
        }
        ("CatchingUp", _) => format!(
            "{pod} has {} messages that its peer lacks, and {} bytes of journal",
            node.unmirrored_messages, node.lag_bytes
        ),
        ("Adopting", Some(peer)) => format!("{pod} does not answer, {peer} adopts its messages"),
        ("Adopted", Some(peer)) => {
            format!("{pod} does not answer, {peer} has adopted its messages")
        }
        ("Silent", _) => format!("{pod} does not answer"),
        _ => format!("{pod} has not been asked yet"),
    }
}

/// Whether a healthy node may be taken down: either disk of each pair could be lost. A cluster on its way into or
/// out of replication cannot be asked that much, nor can one that has not managed it for long.
pub fn may_disturb(
    cluster: &ValidatedCluster,
    observed: &Observed,
    previous: &NsqClusterStatus,
    nodes: u32,
) -> bool {
    let known: Vec<Member<'_>> = members(cluster, observed, nodes).collect();
    let probed = cluster.replication.is_none()
        || known.len() == usize::try_from(nodes).unwrap_or(usize::MAX);
    let settled = known.iter().all(|member| {
        let both_paired = member.pulse.is_paired() && member.peer.is_paired();
        !both_paired || member.pulse.is_mirrored(observed.now)
    });
    // On the way into or out of TLS a link cannot be: one end asks for what the other has not.
    let mut nsqds = observed
        .pods
        .iter()
        .filter(|pod| pod.component == Component::Nsqd);
    let between = nsqds.any(|pod| pod.tls != cluster.tls.is_some());
    (probed && (settled || between)) || is_given_up(previous, observed.now)
}

fn is_given_up(previous: &NsqClusterStatus, now: Timestamp) -> bool {
    let mut conditions = previous.conditions.iter();
    let mirrored = conditions.find(|condition| condition.type_ == "Mirrored");
    mirrored.is_some_and(|condition| {
        condition.status == "False"
            && now.duration_since(condition.last_transition_time.0) >= MIRROR_PATIENCE
    })
}
