//! What to do about nodes of a pair that do not answer. Pure: what was observed in, steps out.
//!
//! A suspicion may be wrong, so all that follows from it alone is harmless: publishers are kept away, the node is
//! hidden at the nsqlookupds, its peer adopts its messages (docs/pairs.md: a wrong adoption costs duplicates). What
//! destroys something needs a proof besides: see [`super::fencing`].

use jiff::SignedDuration;
use nsq_http_api::{MirrorStatus, PairStatus};

use super::super::names::{Component, Node};
use super::super::observed::{Machine, Observed, PodState, Process};
use super::super::pulse::Pulse;
use super::super::validate::ValidatedCluster;
use super::Action;

/// A node that ran and answered, and fell silent: a machine that died, or a network that broke.
pub const SILENT_PATIENCE: SignedDuration = SignedDuration::from_secs(4);
/// A node that is being started again, by plan or by accident, comes back by itself, with all it had.
pub const RESTART_PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// One node of a pair with all that is known of it.
#[derive(Clone, Copy)]
pub struct Member<'a> {
    pub node: Node,
    /// Its last known pod.
    pub pod: Option<&'a PodState>,
    pub machine: Option<&'a Machine>,
    pub pulse: &'a Pulse,
    /// The other node's.
    pub peer: &'a Pulse,
}

/// Every node of the replicated cluster that was probed together with its peer.
pub fn members<'a>(
    cluster: &'a ValidatedCluster,
    observed: &'a Observed,
    nodes: u32,
) -> impl Iterator<Item = Member<'a>> {
    let replicated = cluster.replication.is_some();
    let ordinals = 0..if replicated { nodes } else { 0 };
    let pulse_of = |node: Node| {
        let name = node.pod_name(&cluster.name);
        observed.pulses.iter().find(|pulse| pulse.pod == name)
    };
    ordinals.map(Node::nsqd).filter_map(move |node| {
        let name = node.pod_name(&cluster.name);
        let pod = observed.pods.iter().find(|pod| pod.name == name);
        let machine = pod.and_then(|pod| pod.machine.as_ref());
        Some(Member {
            node,
            pod,
            machine: machine.and_then(|name| observed.machines.iter().find(|m| m.name == *name)),
            pulse: pulse_of(node)?,
            peer: pulse_of(node.peer())?,
        })
    })
}

/// How the messages of a silent node stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adopted {
    Not,
    Partly,
    Wholly,
}

impl Member<'_> {
    /// It is silent while its peer, asked at the same time from the same place, answers.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.pulse.is_suspect() && self.peer.answers()
    }

    /// What its peer mirrors of it.
    fn mirror(&self) -> Option<(&PairStatus, &MirrorStatus)> {
        let survivor = self.peer.pair.as_ref()?;
        let mirror = survivor.mirror.as_ref()?;
        (mirror.node == self.pulse.pod).then_some((survivor, mirror))
    }

    /// How much of what its peer mirrors of it has been adopted.
    #[must_use]
    pub fn adopted(&self) -> Adopted {
        let Some((survivor, mirror)) = self.mirror() else {
            return Adopted::Not;
        };
        match &survivor.adoption {
            Some(adoption)
                if adoption.incarnation == mirror.incarnation
                    && (adoption.run, adoption.through) >= (mirror.run, mirror.end) =>
            {
                match adoption.done {
                    true => Adopted::Wholly,
                    false => Adopted::Partly,
                }
            }
            _ => Adopted::Not,
        }
    }

    /// How long it may be silent before its peer adopts.
    fn patience(&self) -> SignedDuration {
        if self.machine.is_some_and(Machine::is_fenced) {
            return SignedDuration::ZERO;
        }
        let machine_answers = self.machine.is_none_or(|machine| machine.ready);
        match self.pod {
            Some(pod) if pod.unplaced => SignedDuration::ZERO,
            Some(pod) if pod.process == Process::Ended && !pod.terminating => SignedDuration::ZERO,
            Some(pod) if machine_answers && (pod.terminating || !self.pulse.answered) => {
                RESTART_PATIENCE
            }
            None => RESTART_PATIENCE,
            Some(_) => SILENT_PATIENCE,
        }
    }

    /// The order to its peer, if it is time.
    fn adoption(&self, observed: &Observed) -> Option<Action> {
        let silence = self.pulse.silence(observed.now)?;
        if !self.is_lost() || self.adopted() != Adopted::Not || silence < self.patience() {
            return None;
        }
        let (survivor, mirror) = self.mirror()?;
        if survivor.holder_link {
            return None; // the peer hears it: it is this operator that does not
        }
        let survivor_pod = observed.pods.iter().find(|pod| pod.name == self.peer.pod)?;
        let last_seen = self.pulse.pair.as_ref();
        let run = last_seen
            .filter(|last| last.incarnation == mirror.incarnation)
            .map_or(mirror.run, |last| last.run.max(mirror.run));
        Some(Action::Adopt {
            pod: survivor_pod.name.clone(),
            address: survivor_pod.address.clone()?,
            node: self.pulse.pod.clone(),
            incarnation: mirror.incarnation.clone(),
            run,
        })
    }

    /// Consumers are not sent to it any more.
    fn hiding(&self, cluster: &ValidatedCluster, observed: &Observed) -> Option<Action> {
        // One that has ended is gone from the lookups with its connections; the silence of a machine is not noticed there.
        let pod = self.pod?;
        if !self.is_lost() || self.pulse.hidden || !self.pulse.answered || pod.terminating {
            return None;
        }
        let lookups = observed
            .pods
            .iter()
            .filter(|pod| pod.component == Component::Nsqlookupd && pod.ready);
        Some(Action::Hide {
            pod: pod.name.clone(),
            node: format!(
                "{}:{}",
                self.node.host(&cluster.name, &cluster.namespace),
                Component::Nsqd.http_port()
            ),
            lookups: lookups.filter_map(|pod| pod.address.clone()).collect(),
        })
    }
}

/// The harmless steps.
pub fn decide(cluster: &ValidatedCluster, observed: &Observed, nodes: u32) -> Vec<Action> {
    let mut actions = Vec::new();
    for member in members(cluster, observed, nodes) {
        actions.extend(member.hiding(cluster, observed));
        actions.extend(member.adoption(observed));
    }
    actions
}

/// Whether publishers should be sent to a node that stays; `None`: as it is.
pub fn publishes(cluster: &ValidatedCluster, observed: &Observed, node: Node) -> Option<bool> {
    let member = members(cluster, observed, node.ordinal + 1).find(|member| member.node == node);
    match member {
        None => Some(true),
        Some(member) if member.pulse.answers() => Some(true),
        // An unready pod is not sent to anyway, and a restart is no reason to write labels.
        Some(member) if member.is_lost() && member.pod.is_some_and(|pod| pod.ready) => Some(false),
        Some(_) => None,
    }
}
