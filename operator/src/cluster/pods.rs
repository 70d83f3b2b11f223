//! What planning needs to know of a pod.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, Pod, PodCondition};
use kube::ResourceExt;

use super::build::{COMPONENT, PUBLISH, RESTARTED_AT, TEMPLATE_HASH, TLS};
use super::names::Component;
use super::observe::http_address;
use super::observed::{PodState, Process};

/// What planning needs to know of a pod; `None` if it is not one of ours.
#[must_use]
pub fn pod_state(pod: &Pod) -> Option<PodState> {
    let component = Component::parse(pod.labels().get(COMPONENT)?)?;
    let status = pod.status.clone().unwrap_or_default();
    let conditions = status.conditions.clone().unwrap_or_default();
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == "Ready");
    let created = pod.metadata.creation_timestamp.as_ref();
    let since = ready
        .and_then(|condition| condition.last_transition_time.as_ref())
        .or(created);
    Some(PodState {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        component,
        ready: ready.is_some_and(|condition| condition.status == "True"),
        since: since.map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        terminating: pod.metadata.deletion_timestamp.is_some(),
        template_hash: pod.annotations().get(TEMPLATE_HASH).cloned(),
        restarted_at: pod.annotations().get(RESTARTED_AT).cloned(),
        publishing: pod
            .labels()
            .get(PUBLISH)
            .is_some_and(|value| value == "true"),
        address: status
            .pod_ip
            .as_ref()
            .map(|ip| http_address(ip, component.http_port())),
        machine: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        unplaced: unplaced(pod).is_some(),
        process: process(pod, component),
        tls: pod
            .spec
            .iter()
            .flat_map(|spec| spec.volumes.iter().flatten())
            .any(|volume| volume.name == TLS),
        problem: problem(pod),
    })
}

/// The first thing that keeps the pod from running, in the words of whoever noticed.
pub(super) fn problem(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    if let Some(condition) = unplaced(pod) {
        let message = condition.message.as_deref().unwrap_or_default();
        return Some(format!("Unschedulable: {message}"));
    }
    status
        .container_statuses
        .iter()
        .flatten()
        .find_map(|container| {
            let waiting = container.state.as_ref()?.waiting.as_ref()?;
            let reason = waiting.reason.as_deref()?;
            if matches!(reason, "ContainerCreating" | "PodInitializing") {
                return None; // on its way
            }
            let message = waiting.message.as_deref().unwrap_or_default();
            Some(format!("{reason}: {message}"))
        })
}

fn unplaced(pod: &Pod) -> Option<&PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
    })
}

/// What the daemon's own container does, by what its kubelet last said.
fn process(pod: &Pod, component: Component) -> Process {
    let statuses = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    let container = statuses
        .into_iter()
        .flatten()
        .find(|container| container.name == component.as_str());
    let Some(container) = container else {
        return Process::Starting;
    };
    let ran = |state: &ContainerState| state.terminated.is_some();
    match &container.state {
        Some(state) if state.running.is_some() => Process::Running,
        Some(state) if ran(state) => Process::Ended,
        _ if container.last_state.as_ref().is_some_and(ran) => Process::Ended,
        _ => Process::Starting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn state_of(container: Value) -> Process {
        let pod = json!({
            "metadata": {"name": "a", "labels": {"app.kubernetes.io/component": "nsqd"}},
            "status": {"containerStatuses": [
                {"name": "mirror", "ready": true, "restartCount": 0, "image": "", "imageID": "", "state": {"running": {}}},
                container,
            ]},
        });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        pod_state(&pod).unwrap().process
    }

    #[test]
    fn a_container_that_waits_to_be_restarted_has_ended() {
        let container = |state: Value, last: Value| {
            json!({"name": "nsqd", "ready": false, "restartCount": 1, "image": "", "imageID": "",
                   "state": state, "lastState": last})
        };
        let ended = json!({"terminated": {"exitCode": 137}});
        let waits = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        assert_eq!(
            state_of(container(waits.clone(), ended.clone())),
            Process::Ended
        );
        assert_eq!(state_of(container(waits, json!({}))), Process::Starting);
        assert_eq!(
            state_of(container(json!({"running": {}}), ended)),
            Process::Running
        );
    }
}
