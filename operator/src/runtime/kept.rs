//! What of the watched objects is kept: what is looked at, and no more.
//!
//! The stores are most of the operator's memory. Of every object the API server's own notes on who wrote which field, and
//! `kubectl`'s copy of the manifest, are dropped; they are as large as the object itself. Of objects that are only read,
//! and never compared with what is wanted, little else is kept than what planning reads.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet, StatefulSetStatus};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    ConfigMap, ContainerStatus, Node, NodeSpec, NodeStatus, PersistentVolumeClaim,
    PersistentVolumeClaimSpec, Pod, PodSpec, PodStatus, Service, ServiceAccount,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Resource;

use super::packed::{Parcel, Part};
use super::watch::Guarded;
use crate::cluster::build::{COMPONENT, TLS};
use crate::cluster::names::Component;

/// Where `kubectl apply` keeps what it was given.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An object that is watched.
pub trait Kept: Resource {
    /// Drops what nobody looks at, but for the metadata.
    fn drop_unread(&mut self) {}
}

/// Drops everything that nobody looks at.
pub fn only_what_is_read<K: Kept>(object: &mut K) {
    let metadata = object.meta_mut();
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
    object.drop_unread();
}

// Compared with what is wanted, field by field.
impl Kept for Service {}
impl Kept for ServiceAccount {}
impl Kept for ConfigMap {}
impl Kept for Deployment {}
// Ours.
impl<K: Resource> Kept for Guarded<K> {}
// Has done it when it was packed.
impl<K: Part> Kept for Parcel<K> {}

/// What is looked at of a pod without unpacking it: by probes, and by whoever looks for addresses.
#[derive(Debug, Clone)]
pub struct PodAtHand {
    pub uid: Box<str>,
    /// `None`: none of NSQ's daemons.
    pub component: Option<Component>,
    pub ip: Option<Box<str>>,
    pub machine: Option<Box<str>>,
    /// It is being deleted.
    pub leaving: bool,
}

impl Part for Pod {
    type AtHand = PodAtHand;

    fn at_hand(&self) -> PodAtHand {
        let metadata = &self.metadata;
        let labels = metadata.labels.as_ref();
        let component = labels.and_then(|labels| Component::parse(labels.get(COMPONENT)?));
        let status = self.status.as_ref();
        let spec = self.spec.as_ref();
        PodAtHand {
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
            component,
            ip: status.and_then(|status| Some(status.pod_ip.as_deref()?.into())),
            machine: spec.and_then(|spec| Some(spec.node_name.as_deref()?.into())),
            leaving: metadata.deletion_timestamp.is_some(),
        }
    }
}

/// Kinds of which nothing is looked at but in a pass.
macro_rules! only_in_passes {
    ($($kind:ty),*) => {$(
        impl Part for $kind {
            type AtHand = ();

            fn at_hand(&self) {}
        }
    )*};
}

only_in_passes!(
    StatefulSet,
    Service,
    ServiceAccount,
    ConfigMap,
    PodDisruptionBudget,
    Job,
    PersistentVolumeClaim
);

impl Kept for StatefulSet {
    fn drop_unread(&mut self) {
        if let Some(status) = self.status.take() {
            self.status = Some(StatefulSetStatus {
                observed_generation: status.observed_generation,
                ..StatefulSetStatus::default()
            });
        }
    }
}

impl Kept for PodDisruptionBudget {
    fn drop_unread(&mut self) {
        self.status = None;
    }
}

impl Kept for Pod {
    fn drop_unread(&mut self) {
        if let Some(spec) = self.spec.take() {
            let mut volumes = spec.volumes.unwrap_or_default();
            volumes.retain(|volume| volume.name == TLS);
            self.spec = Some(PodSpec {
                node_name: spec.node_name,
                volumes: (!volumes.is_empty()).then_some(volumes),
                ..PodSpec::default()
            });
        }
        if let Some(status) = self.status.take() {
            let slim = |container: ContainerStatus| ContainerStatus {
                name: container.name,
                state: container.state,
                last_state: container.last_state,
                ..ContainerStatus::default()
            };
            let containers = status.container_statuses;
            self.status = Some(PodStatus {
                pod_ip: status.pod_ip,
                conditions: status.conditions,
                container_statuses: containers
                    .map(|containers| containers.into_iter().map(slim).collect()),
                ..PodStatus::default()
            });
        }
    }
}

impl Kept for Job {
    fn drop_unread(&mut self) {
        self.spec = None;
    }
}

impl Kept for PersistentVolumeClaim {
    fn drop_unread(&mut self) {
        if let Some(spec) = self.spec.take() {
            self.spec = Some(PersistentVolumeClaimSpec {
                resources: spec.resources,
                ..PersistentVolumeClaimSpec::default()
            });
        }
        self.status = None;
    }
}

impl Kept for Node {
    fn drop_unread(&mut self) {
        if let Some(spec) = self.spec.take() {
            self.spec = Some(NodeSpec {
                taints: spec.taints,
                ..NodeSpec::default()
            });
        }
        if let Some(status) = self.status.take() {
            self.status = Some(NodeStatus {
                conditions: status.conditions,
                addresses: status.addresses,
                ..NodeStatus::default()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::machines;
    use crate::cluster::pods::pod_state;
    use crate::cluster::relocations::relocation_state;
    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    fn metadata(name: &str, labels: &Value) -> Value {
        json!({
            "name": name, "namespace": "default", "uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": labels,
            "annotations": {"nsq.io/template-hash": "h", "nsq.io/wanted-hash": "w", LAST_APPLIED: "{}"},
            "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {"f:nodeName": {}}}}],
        })
    }

    /// As it was, and as it is kept.
    fn kept<K: Kept + Clone + DeserializeOwned + Serialize>(object: Value) -> (K, K) {
        let whole: K = serde_json::from_value(object).unwrap();
        let mut kept = whole.clone();
        only_what_is_read(&mut kept);
        let text = serde_json::to_string(&kept).unwrap();
        for unread in ["managedFields", LAST_APPLIED, "unread"] {
            assert!(!text.contains(unread), "{text}");
        }
        (whole, kept)
    }

    #[test]
    fn planning_sees_the_same_of_a_pod() {
        let labels = json!({"app.kubernetes.io/component": "nsqd", "nsq.io/publish": "true",
            "batch.kubernetes.io/job-name": "demo-nsqd-1-0-relocate"});
        let condition = |kind: &str, status: &str| {
            json!({"type": kind, "status": status, "reason": "Unschedulable", "message": "no room",
            "lastTransitionTime": "2026-01-01T00:00:01Z"})
        };
        let (whole, kept) = kept::<Pod>(json!({
            "metadata": metadata("demo-nsqd-0-0", &labels),
            "spec": {"nodeName": "n1", "containers": [{"name": "unread", "image": "unread"}],
                "volumes": [{"name": "tls", "secret": {"secretName": "s"}}, {"name": "unread", "secret": {"secretName": "s"}}]},
            "status": {"podIP": "10.0.0.1", "phase": "unread",
                "conditions": [condition("Ready", "True"), condition("PodScheduled", "False")],
                "containerStatuses": [{"name": "nsqd", "ready": false, "restartCount": 3, "image": "unread", "imageID": "unread",
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "m"}},
                    "lastState": {"terminated": {"exitCode": 3, "message": "last words"}}}]},
        }));
        let state = pod_state(&whole).unwrap();
        assert_eq!(Some(&state), pod_state(&kept).as_ref());
        assert!(state.tls && state.unplaced && state.machine.is_some() && state.address.is_some());
        let job = json!({"metadata": metadata("demo-nsqd-1-0-relocate", &json!({})),
            "spec": {"template": {"spec": {"containers": [{"name": "unread"}]}}}, "status": {"conditions": [condition("Failed", "True")]}});
        let (whole_job, kept_job) = self::kept::<Job>(job);
        let relocation = relocation_state(&whole_job, &[whole]).unwrap();
        assert_eq!(relocation_state(&kept_job, &[kept]), Some(relocation));
    }

    #[test]
    fn planning_sees_the_same_of_a_machine() {
        let (whole, kept) = kept::<Node>(json!({
            "metadata": metadata("n1", &json!({})),
            "spec": {"podCIDR": "unread", "taints": [{"key": "node.kubernetes.io/out-of-service", "value": "nsq-operator", "effect": "NoExecute"}]},
            "status": {"images": [{"names": ["unread"]}], "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        }));
        let state = machines::state(&whole);
        assert_eq!(state, machines::state(&kept));
        assert!(state.ready && state.tainted_by_us && !state.address.is_empty());
    }

    #[test]
    fn the_size_of_a_volume_is_kept() {
        let (whole, kept) = kept::<PersistentVolumeClaim>(json!({
            "metadata": metadata("data-demo-nsqd-0-0", &json!({})),
            "spec": {"volumeName": "unread", "resources": {"requests": {"storage": "1Gi"}}},
            "status": {"phase": "unread"},
        }));
        let resources = |claim: PersistentVolumeClaim| claim.spec.unwrap().resources.unwrap();
        assert_eq!(resources(whole), resources(kept));
    }
}
