//! What may be destroyed, and on which proof.
//!
//! That a node is silent proves nothing: it may be the network. Proof is what somebody says who can know: its Node is
//! gone, has the out-of-service taint, or its cloud says that it is off; or the manifest's `nodeLossPolicy`, by which
//! its author says that a machine which is not ready for [`LOST_AFTER`] is off. A volume is replaced only on proof that it
//! is lost, after the peer has adopted all it had, and is itself kept for whoever wants to look into it.

use jiff::SignedDuration;

use super::super::names::Node;
use super::super::observed::{Claim, Machine, Observed, PodState};
use super::super::validate::ValidatedCluster;
use super::Action;
use super::failover::{Adopted, Member, members};
use crate::api::NodeLossPolicy;

/// A machine has to be not ready, and its nsqd silent, for this long before a policy calls it off.
pub const LOST_AFTER: SignedDuration = SignedDuration::from_secs(30);
/// A pod has to be without a machine for this long before its volume counts as the reason.
pub const UNPLACED_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// At most one step that destroys something.
pub fn decide(cluster: &ValidatedCluster, observed: &Observed, nodes: u32) -> Option<Action> {
    untaint(observed)
        .or_else(|| remove_pod(cluster, observed, nodes))
        .or_else(|| replace_volume(cluster, observed, nodes))
}

/// The machine is back: what we said of it is no longer true.
fn untaint(observed: &Observed) -> Option<Action> {
    let back = |machine: &&Machine| machine.exists && machine.ready && machine.tainted_by_us;
    let machine = observed.machines.iter().find(back)?;
    Some(Action::Taint {
        machine: machine.name.clone(),
        uid: machine.uid.clone(),
        out_of_service: false,
    })
}

fn remove_pod(cluster: &ValidatedCluster, observed: &Observed, nodes: u32) -> Option<Action> {
    members(cluster, observed, nodes).find_map(|member| {
        let (pod, machine) = (member.pod?, member.machine?);
        if !member.is_lost() {
            return None;
        }
        if machine.is_fenced() {
            let reason = format!("its machine {} is off", machine.name);
            return Some(force(pod, reason));
        }
        if !counts_as_off(&member, machine, observed) || lost_machines(observed) > 1 {
            return None;
        }
        match cluster.node_loss {
            NodeLossPolicy::Wait => None,
            NodeLossPolicy::OutOfServiceTaint => Some(Action::Taint {
                machine: machine.name.clone(),
                uid: machine.uid.clone(),
                out_of_service: true,
            }),
            NodeLossPolicy::ForceDelete => {
                let name = &machine.name;
                let reason =
                    format!("its machine {name} does not answer and nodeLossPolicy is ForceDelete");
                Some(force(pod, reason))
            }
        }
    })
}

/// What a policy other than `Wait` is about.
fn counts_as_off(member: &Member<'_>, machine: &Machine, observed: &Observed) -> bool {
    let now = observed.now;
    let unready = !machine.ready && now.duration_since(machine.since) >= LOST_AFTER;
    let silent = member.pulse.silence(now);
    unready && silent >= Some(LOST_AFTER) && member.adopted() == Adopted::Wholly
}

/// Several at once are more likely a broken network than several broken machines.
fn lost_machines(observed: &Observed) -> usize {
    let lost = |machine: &&Machine| !machine.ready && !machine.is_fenced();
    observed.machines.iter().filter(lost).count()
}

fn force(pod: &PodState, reason: String) -> Action {
    Action::ForceDelete {
        pod: pod.name.clone(),
        uid: pod.uid.clone(),
        reason,
    }
}

fn replace_volume(cluster: &ValidatedCluster, observed: &Observed, nodes: u32) -> Option<Action> {
    if observed.claims.iter().any(|claim| claim.terminating) {
        return None; // one at a time
    }
    let mut waiting = observed.claims.iter().filter_map(|claim| {
        let node = Node::from_pod_name(&cluster.name, &claim.pod)?;
        let member = members(cluster, observed, nodes).find(|member| member.node == node)?;
        is_lost(claim, &member, observed).then_some((claim, member))
    });
    let (claim, member) = waiting.next()?;
    if !claim.retained && !claim.volume.is_empty() {
        return Some(Action::RetainVolume {
            volume: claim.volume.clone(),
            claim: claim.name.clone(),
        });
    }
    Some(Action::ReplaceVolume {
        claim: claim.name.clone(),
        claim_uid: claim.uid.clone(),
        pod: member.pod?.name.clone(),
        pod_uid: member.pod?.uid.clone(),
    })
}

/// The volume was on a machine that is gone, or out of service; or there is no volume behind the claim any more.
fn is_lost(claim: &Claim, member: &Member<'_>, observed: &Observed) -> bool {
    let unplaced = member.pod.is_some_and(|pod| {
        pod.unplaced && observed.now.duration_since(pod.since) >= UNPLACED_AFTER
    });
    let machine = claim.machine.as_ref().and_then(|name| {
        let mut machines = observed.machines.iter();
        machines.find(|machine| machine.name == *name)
    });
    // One that is merely switched off comes back with its disk.
    let gone = machine.is_some_and(|machine| !machine.exists || machine.out_of_service);
    unplaced && (gone || claim.lost) && member.is_lost() && member.adopted() == Adopted::Wholly
}
