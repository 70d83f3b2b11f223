//! Looking at machines, and at the volumes of pods that find none.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use kube::api::Api;
use kube::{Client, ResourceExt};

use super::names::claim;
use super::observe::Source;
use super::observed::{Claim, Machine, Observed};
use crate::runtime::context::Context;

/// By which somebody says that a machine is off and its volumes may be taken away.
pub const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// Value of that taint where this operator has put it.
pub const TAINTED_BY: &str = "nsq-operator";
/// By which a cloud says that a machine is off.
const SHUT_DOWN: &str = "node.cloudprovider.kubernetes.io/shutdown";
const MACHINE_LABEL: &str = "kubernetes.io/hostname";

/// The machines of these pods and claims. Whether one is gone is never taken from a watch alone.
///
/// # Errors
/// The API server could not be asked.
pub async fn machines(
    context: &Context,
    observed: &Observed,
    source: Source,
) -> kube::Result<Vec<Machine>> {
    let mut names: Vec<&String> = observed
        .pods
        .iter()
        .filter_map(|pod| pod.machine.as_ref())
        .collect();
    names.extend(
        observed
            .claims
            .iter()
            .filter_map(|claim| claim.machine.as_ref()),
    );
    names.sort();
    names.dedup();
    let api: Api<Node> = Api::all(context.client.clone());
    let mut machines = Vec::new();
    for name in names {
        let known = context
            .stores
            .machines
            .find(|node| node.name_any() == *name);
        let machine = known.as_deref().map(state);
        machines.push(match (machine, source) {
            (Some(machine), _) if machine.ready && !machine.is_fenced() => machine,
            (Some(machine), Source::Watched) => machine,
            _ => api
                .get_opt(name)
                .await?
                .as_ref()
                .map_or_else(|| gone(name), state),
        });
    }
    Ok(machines)
}

fn gone(name: &str) -> Machine {
    Machine {
        name: name.to_owned(),
        ..Machine::default()
    }
}

/// What planning needs to know of a Node.
#[must_use]
pub fn state(node: &Node) -> Machine {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready");
    let since = ready.and_then(|condition| condition.last_transition_time.as_ref());
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    let mut out_of_service = taints
        .into_iter()
        .flatten()
        .filter(|taint| taint.key == OUT_OF_SERVICE)
        .peekable();
    Machine {
        name: node.name_any(),
        uid: node.uid().unwrap_or_default(),
        address: address(node),
        exists: true,
        ready: ready.is_some_and(|condition| condition.status == "True"),
        since: since.map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        out_of_service: out_of_service.peek().is_some(),
        tainted_by_us: out_of_service.any(|taint| taint.value.as_deref() == Some(TAINTED_BY)),
        shut_down: taints
            .into_iter()
            .flatten()
            .any(|taint| taint.key == SHUT_DOWN),
    }
}

/// By which address the ports of a machine are reached: the one outside, if it has one.
fn address(node: &Node) -> String {
    let addresses = node
        .status
        .as_ref()
        .and_then(|status| status.addresses.as_ref());
    let of = |type_: &str| {
        let mut addresses = addresses.into_iter().flatten();
        addresses.find(|address| address.type_ == type_)
    };
    let found = of("ExternalDNS")
        .or_else(|| of("ExternalIP"))
        .or_else(|| of("InternalIP"));
    found.map(|found| found.address.clone()).unwrap_or_default()
}

/// The volumes of those pods that find no machine.
///
/// # Errors
/// The API server could not be asked.
pub async fn claims(
    client: &Client,
    namespace: &str,
    observed: &Observed,
) -> kube::Result<Vec<Claim>> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let mut found = Vec::new();
    for pod in observed.pods.iter().filter(|pod| pod.unplaced) {
        let Some(claim) = claims.get_opt(&claim(&pod.name)).await? else {
            continue;
        };
        let bound = claim
            .spec
            .as_ref()
            .and_then(|spec| spec.volume_name.clone());
        let Some(bound) = bound else {
            continue; // it waits for a machine as its pod does
        };
        let volume = volumes.get_opt(&bound).await?;
        found.push(claim_state(&pod.name, &claim, &bound, volume.as_ref()));
    }
    Ok(found)
}

fn claim_state(
    pod: &str,
    claim: &PersistentVolumeClaim,
    bound: &str,
    volume: Option<&PersistentVolume>,
) -> Claim {
    let spec = volume.and_then(|volume| volume.spec.as_ref());
    let policy = spec.and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    let phase = claim
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    Claim {
        pod: pod.to_owned(),
        name: claim.name_any(),
        uid: claim.uid().unwrap_or_default(),
        terminating: claim.metadata.deletion_timestamp.is_some(),
        volume: volume.map(|_| bound.to_owned()).unwrap_or_default(),
        retained: policy == Some("Retain"),
        machine: volume.and_then(only_machine),
        lost: phase == Some("Lost"),
    }
}

/// The one machine that a local volume names.
fn only_machine(volume: &PersistentVolume) -> Option<String> {
    let affinity = volume.spec.as_ref()?.node_affinity.as_ref()?;
    let mut machines = affinity
        .required
        .as_ref()?
        .node_selector_terms
        .iter()
        .flat_map(|term| term.match_expressions.iter().flatten())
        .filter(|expression| expression.key == MACHINE_LABEL && expression.operator == "In")
        .flat_map(|expression| expression.values.iter().flatten());
    let first = machines.next()?.clone();
    machines.next().is_none().then_some(first)
}
