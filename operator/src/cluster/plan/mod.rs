//! From what is wanted and what is to what is to be done next. Pure: no clock, no client.
//!
//! A plan carries no memory from one pass to the next: every pass looks at what is and takes the next safe
//! step, so there is no phase to get stuck in. A converged cluster gives an empty plan.

mod certificate;
mod events;
mod external;
mod failover;
mod fencing;
mod pairs;
mod relocation;
mod roll;
mod scale;
mod sleep;
mod status;
mod volumes;

use k8s_openapi::api::batch::v1::Job;
use serde::Serialize;

use super::build;
use super::names::{self, Component, Node, PAIR_SIZE};
use super::object::{Object, differs};
use super::observed::Observed;
use super::validate::{Invalid, ValidatedCluster};
use crate::api::{NsqCluster, NsqClusterStatus};

pub use events::{Event, EventKind};
pub use failover::{RESTART_PATIENCE, SILENT_PATIENCE};
pub use fencing::{LOST_AFTER, UNPLACED_AFTER};
pub use pairs::MIRROR_PATIENCE;
pub use relocation::AGAIN;
pub use scale::{EMPTY_SIGHTINGS, surplus_pods};
pub use status::UNREADY_GRACE;

/// Seconds until a cluster is looked at again in which nothing is going on: drift that no watch tells.
pub const QUIET_REQUEUE: u64 = 60;
/// Seconds until the next look at one that is on its way; leaving nodes are seen empty at this distance.
pub const BUSY_REQUEUE: u64 = 5;

/// Everything the next pass does.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Objects to write, in this order.
    pub apply: Vec<Object>,
    /// Disruption budgets and configurations that nothing wants any more.
    pub delete: Vec<Deletion>,
    /// What to do to pods.
    pub actions: Vec<Action>,
    /// What to report.
    pub status: NsqClusterStatus,
    pub events: Vec<Event>,
    pub requeue_seconds: u64,
}

/// One object to delete, exactly that one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deletion {
    pub kind: &'static str,
    pub name: String,
    pub uid: String,
}

/// One step on a pod, exactly that one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Stop it; its StatefulSet starts it again from the present template.
    #[serde(rename_all = "camelCase")]
    Restart {
        pod: String,
        uid: String,
        reason: String,
    },
    /// Send publishers to it, or no longer.
    #[serde(rename_all = "camelCase")]
    Publish {
        pod: String,
        uid: String,
        publish: bool,
    },
    /// Have it take no more messages, or take them again.
    #[serde(rename_all = "camelCase")]
    Drain {
        pod: String,
        /// host:port of its HTTP API.
        address: String,
        drain: bool,
    },
    /// Move what it has to these.
    #[serde(rename_all = "camelCase")]
    Relocate {
        pod: String,
        to: Vec<String>,
        job: Box<Job>,
    },
    /// It is over, or something else is wanted.
    #[serde(rename_all = "camelCase")]
    EndRelocation {
        pod: String,
        /// Of the Job.
        uid: String,
    },
    /// Hide it at the nsqlookupds for as long as those hide anything.
    #[serde(rename_all = "camelCase")]
    Hide {
        pod: String,
        /// As nsqlookupd knows it: broadcast address and HTTP port.
        node: String,
        /// host:port of their HTTP APIs.
        lookups: Vec<String>,
    },
    /// Have this pod take over the messages of its peer.
    #[serde(rename_all = "camelCase")]
    Adopt {
        pod: String,
        /// host:port of its HTTP API.
        address: String,
        node: String,
        incarnation: String,
        run: u64,
    },
    /// Take it off the API server although nobody can say that its processes have ended.
    #[serde(rename_all = "camelCase")]
    ForceDelete {
        pod: String,
        uid: String,
        reason: String,
    },
    /// Say of a machine that it is off, or no longer.
    #[serde(rename_all = "camelCase")]
    Taint {
        machine: String,
        uid: String,
        out_of_service: bool,
    },
    /// Have a volume grow while it is used.
    GrowVolume { claim: String, size: String },
    /// Make a set anew, its pods untouched: what it says of volumes cannot be changed.
    ReplaceSet { set: String, uid: String },
    /// Have a volume outlive its claim.
    RetainVolume { volume: String, claim: String },
    /// Let go of a lost volume: the StatefulSet makes another claim, and another pod.
    #[serde(rename_all = "camelCase")]
    ReplaceVolume {
        claim: String,
        claim_uid: String,
        pod: String,
        pod_uid: String,
    },
}

impl Action {
    /// It asks nsqds and nsqlookupds for something that may be wrong without harm, and the API server for nothing.
    #[must_use]
    pub fn is_harmless(&self) -> bool {
        matches!(self, Self::Hide { .. } | Self::Adopt { .. })
    }
}

impl Plan {
    /// Whether there is nothing to write, given the cluster that was planned for.
    #[must_use]
    pub fn is_empty(&self, cluster: &NsqCluster) -> bool {
        self.apply.is_empty()
            && self.delete.is_empty()
            && self.actions.is_empty()
            && cluster.status.as_ref() == Some(&self.status)
    }
}

/// Plans the next pass.
#[must_use]
pub fn plan(cluster: &ValidatedCluster, previous: &NsqClusterStatus, observed: &Observed) -> Plan {
    let scaling = scale::decide(cluster, observed);
    let sets = nsqd_sets(cluster, observed);
    let asleep = sleep::is_due(cluster, observed, &scaling);
    let scaling = match asleep {
        true => sleep::keeping(cluster, observed),
        false => scaling,
    };
    let wanted = build::objects(cluster, scaling.nodes, sets, asleep);
    let wanted = volumes::as_they_are(cluster, wanted, observed);
    let exposure = external::exposure(cluster, observed, scaling.nodes);
    let wanted = external::with_addresses(cluster, wanted, exposure.as_ref());
    let wanted = certificate::without_waiting(cluster, observed, wanted);
    let apply = to_apply(&wanted, observed);
    let delete = to_delete(&wanted, observed);
    let mut actions = scaling.actions.clone();
    actions.extend(volumes::decide(cluster, observed));
    if !asleep {
        actions.extend(on_pods(cluster, previous, observed, &wanted, &apply));
    }
    let facts = status::Facts {
        cluster,
        observed,
        asleep,
        wanted: &wanted,
        scaling: &scaling,
        exposure: exposure.as_ref(),
        writes: apply.len() + delete.len(),
        actions: &actions,
    };
    let status = status::status(&facts, previous);
    let events = match cluster.paused {
        // What is not done is not told.
        true => events::events(previous, &status, &[], &scale::Scaling::default()),
        false => events::events(previous, &status, &actions, &scaling),
    };
    let plan = Plan {
        requeue_seconds: requeue(&status),
        apply,
        delete,
        actions,
        status,
        events,
    };
    if cluster.paused {
        hands_off(plan)
    } else {
        plan
    }
}

/// Steps on pods that run, or should.
fn on_pods(
    cluster: &ValidatedCluster,
    previous: &NsqClusterStatus,
    observed: &Observed,
    wanted: &[Object],
    apply: &[Object],
) -> Vec<Action> {
    let running = running_nodes(cluster, observed);
    let mut actions = failover::decide(cluster, observed, running);
    let destroying = fencing::decide(cluster, observed, running);
    if destroying.is_none() && pairs::may_disturb(cluster, observed, previous, running) {
        actions.extend(roll::next_restart(cluster, wanted, apply, observed));
    } else if destroying.is_none() {
        actions.extend(roll::next_broken(cluster, wanted, apply, observed));
    }
    actions.extend(destroying);
    actions
}

/// The plan for a manifest that cannot be built: say so, touch nothing.
#[must_use]
pub fn refuse(
    generation: Option<i64>,
    invalid: &Invalid,
    previous: &NsqClusterStatus,
    now: jiff::Timestamp,
) -> Plan {
    let status = status::refused(generation, invalid, previous, now);
    Plan {
        apply: Vec::new(),
        delete: Vec::new(),
        actions: Vec::new(),
        events: events::events(previous, &status, &[], &scale::Scaling::default()),
        status,
        requeue_seconds: QUIET_REQUEUE,
    }
}

fn hands_off(plan: Plan) -> Plan {
    Plan {
        apply: Vec::new(),
        delete: Vec::new(),
        actions: Vec::new(),
        ..plan
    }
}

fn to_apply(wanted: &[Object], observed: &Observed) -> Vec<Object> {
    let is_as_wanted = |object: &&Object| {
        let mut live = observed.objects.iter();
        !live.any(|live| live.is_same(object) && !differs(object, live))
    };
    wanted.iter().filter(is_as_wanted).cloned().collect()
}

fn to_delete(wanted: &[Object], observed: &Observed) -> Vec<Deletion> {
    // Budgets come and go with the number of nodes, pairs' configurations with replication, the way in from outside
    // when it is asked for; nothing else does.
    let comes_and_goes = |live: &Object| match live {
        Object::PodDisruptionBudget(_) | Object::ConfigMap(_) => true,
        Object::Service(service) => service
            .metadata
            .labels
            .as_ref()
            .is_some_and(|labels| labels.contains_key(build::EXTERNAL)),
        _ => false,
    };
    let unwanted = |live: &&Object| {
        comes_and_goes(live)
            && live.metadata().deletion_timestamp.is_none()
            && !wanted.iter().any(|object| object.is_same(live))
    };
    observed
        .objects
        .iter()
        .filter(unwanted)
        .map(|live| Deletion {
            kind: live.kind(),
            name: live.name().to_owned(),
            uid: live.metadata().uid.clone().unwrap_or_default(),
        })
        .collect()
}

/// How many StatefulSets of nsqd there have ever been.
fn nsqd_sets(cluster: &ValidatedCluster, observed: &Observed) -> u32 {
    let sets = observed
        .stateful_sets()
        .filter_map(|set| names::pair_of_set(&cluster.name, set.metadata.name.as_deref()?))
        .map(|pair| pair + 1)
        .max()
        .unwrap_or(0);
    sets.max(names::pairs(orphans(cluster, observed)))
}

/// Nodes that the StatefulSets are told to run now, or again when they wake.
fn running_nodes(cluster: &ValidatedCluster, observed: &Observed) -> u32 {
    let told = observed
        .stateful_sets()
        .filter_map(|set| {
            let pair = names::pair_of_set(&cluster.name, set.metadata.name.as_deref()?)?;
            let told = set.spec.as_ref()?.replicas.unwrap_or(1);
            let replicas = build::nodes_asleep(set).or(u32::try_from(told).ok())?;
            (replicas > 0).then_some(pair * PAIR_SIZE + replicas)
        })
        .max()
        .unwrap_or(0);
    told.max(orphans(cluster, observed))
}

/// Nodes up to the last whose set is being made anew.
fn orphans(cluster: &ValidatedCluster, observed: &Observed) -> u32 {
    let has_set = |pod: &str| {
        let of = pod.rsplit_once('-').map(|(set, _)| set);
        let mut sets = observed.stateful_sets();
        sets.any(|set| set.metadata.name.as_deref() == of)
    };
    let orphans = observed
        .pods
        .iter()
        .filter(|pod| pod.component == Component::Nsqd && !pod.terminating && !has_set(&pod.name));
    orphans
        .filter_map(|pod| Node::from_pod_name(&cluster.name, &pod.name))
        .map(|node| node.ordinal + 1)
        .max()
        .unwrap_or(0)
}

fn requeue(status: &NsqClusterStatus) -> u64 {
    let quiet = status.conditions.iter().all(|condition| {
        let good_when_true = matches!(
            condition.type_.as_str(),
            "Ready" | "Mirrored" | "CertificateReady"
        );
        // A load balancer is not looked for: its Service is watched.
        (condition.status == "True") == good_when_true
            || condition.type_ == "Exposed"
            || condition.reason == status::HIBERNATED
    });
    if quiet { QUIET_REQUEUE } else { BUSY_REQUEUE }
}
