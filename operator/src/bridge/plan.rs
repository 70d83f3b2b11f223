//! From what is declared and what is to the Deployment to write and the status to report. Pure.

use kube::ResourceExt;

use super::build::{deployment, selector};
use super::observed::Observed;
use crate::api::{ConditionState, Conditions, NsqBridge, NsqBridgeStatus, is_paused};
use crate::cluster::object::{Object, differs};

/// Seconds until the backlog is asked for again.
const REQUEUE: u64 = 30;
/// Seconds until one that is on its way is looked at again.
const BUSY_REQUEUE: u64 = 5;

/// Everything the next pass does.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub apply: Option<Object>,
    pub status: NsqBridgeStatus,
    pub requeue_seconds: u64,
}

/// Plans the next pass.
#[must_use]
pub fn plan(bridge: &NsqBridge, observed: &Observed) -> Plan {
    let missing = missing(bridge, observed);
    let wanted = match &missing {
        Some(_) => None,
        None => Some(deployment(bridge, observed)),
    };
    let (wanted, invalid) = match wanted {
        Some(Ok(wanted)) => (Some(wanted), None),
        Some(Err(invalid)) => (None, Some(invalid.to_string())),
        None => (None, None),
    };
    let as_wanted = |wanted: &Object| {
        let live = observed.deployment.as_ref();
        live.is_some_and(|live| !differs(wanted, live))
    };
    let apply = wanted.filter(|wanted| !as_wanted(wanted) && !is_paused(bridge));
    let (replicas, ready_replicas, settled) = counts(observed);
    let desired = bridge.spec.replicas;
    let ready = match (&missing, &invalid) {
        (Some(why), _) => ConditionState::new("Ready", false, "ClusterMissing", why.clone()),
        (_, Some(why)) => ConditionState::new("Ready", false, "InvalidSpec", why.clone()),
        _ if apply.is_none() && ready_replicas >= desired && settled => {
            let message = format!("{ready_replicas} pods carry messages over");
            ConditionState::new("Ready", true, "Ready", message)
        }
        _ => {
            let message = format!("{ready_replicas} of {desired} pods ready");
            ConditionState::new("Ready", false, "PodsNotReady", message)
        }
    };
    let is_on_its_way = !ready.is_true && missing.is_none() && invalid.is_none();
    let reconciling = match is_on_its_way && !is_paused(bridge) {
        true => ConditionState::new("Reconciling", true, "Applying", ready.message.clone()),
        false => ConditionState::new("Reconciling", false, "UpToDate", ""),
    };
    let stalled = match invalid {
        Some(why) => ConditionState::new("Stalled", true, "InvalidSpec", why),
        None => ConditionState::new("Stalled", false, "NotStalled", ""),
    };
    let previous = bridge.status.clone().unwrap_or_default();
    let generation = bridge.metadata.generation;
    let conditions = Conditions::new(&previous.conditions, generation, observed.now);
    Plan {
        apply,
        requeue_seconds: if is_on_its_way { BUSY_REQUEUE } else { REQUEUE },
        status: NsqBridgeStatus {
            observed_generation: generation,
            replicas,
            selector: selector(&bridge.name_any()),
            ready_replicas,
            backlog: observed.backlog,
            conditions: conditions.next(&[ready, reconciling, stalled]),
        },
    }
}

/// A cluster that is named and not there.
fn missing(bridge: &NsqBridge, observed: &Observed) -> Option<String> {
    let ends = [
        (&bridge.spec.from.cluster, &observed.source),
        (&bridge.spec.to.cluster, &observed.target),
    ];
    let missing = ends.into_iter().find_map(|(named, found)| match found {
        Some(_) => None,
        None => named.clone(),
    })?;
    Some(format!(
        "there is no NsqCluster {missing} in this namespace"
    ))
}

/// Pods, ready ones, and whether they are what the Deployment says now.
fn counts(observed: &Observed) -> (i32, i32, bool) {
    let Some(Object::Deployment(deployment)) = &observed.deployment else {
        return (0, 0, false);
    };
    let status = deployment.status.clone().unwrap_or_default();
    let settled = status.observed_generation >= deployment.metadata.generation
        && status.updated_replicas.unwrap_or(0) >= status.replicas.unwrap_or(0);
    (
        status.replicas.unwrap_or(0),
        status.ready_replicas.unwrap_or(0),
        settled,
    )
}
