//! StatefulSets: names and volumes that outlive pods.

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
    StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, PodTemplateSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::labels::{self, Labels};
use super::{metadata, pod};
use crate::api::VolumeRetention;
use crate::cluster::names::{self, Component};
use crate::cluster::validate::{Storage, ValidatedCluster};

pub(super) fn nsqlookupd(cluster: &ValidatedCluster) -> StatefulSet {
    set(
        cluster,
        names::nsqlookupd_set(&cluster.name),
        Component::Nsqlookupd,
        cluster.nsqlookupd.replicas,
        labels::selector(&cluster.name, Some(Component::Nsqlookupd)),
        pod::nsqlookupd(cluster),
    )
}

/// One pair.
pub(super) fn nsqd(cluster: &ValidatedCluster, pair: u32, replicas: u32) -> StatefulSet {
    let mut set = set(
        cluster,
        names::nsqd_set(&cluster.name, pair),
        Component::Nsqd,
        replicas,
        labels::pair_selector(&cluster.name, pair),
        pod::nsqd(cluster, pair),
    );
    if let Some(spec) = &mut set.spec {
        spec.volume_claim_templates = Some(vec![claim(&cluster.storage)]);
        spec.persistent_volume_claim_retention_policy = Some(retention(&cluster.storage));
    }
    set
}

fn set(
    cluster: &ValidatedCluster,
    name: String,
    component: Component,
    replicas: u32,
    selector: Labels,
    template: PodTemplateSpec,
) -> StatefulSet {
    StatefulSet {
        metadata: metadata(cluster, name, Some(component)),
        spec: Some(StatefulSetSpec {
            replicas: i32::try_from(replicas).ok(),
            service_name: Some(names::headless_service(&cluster.name, component)),
            // The nodes are peers: none has to wait for another to start, or to come back.
            pod_management_policy: Some("Parallel".to_owned()),
            // The operator restarts pods, because it knows when a peer may be missed, and because a rolling
            // update that met a broken template would not let go of it when the manifest is put right.
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                ..StatefulSetUpdateStrategy::default()
            }),
            selector: LabelSelector {
                match_labels: Some(selector),
                ..LabelSelector::default()
            },
            template,
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

fn claim(storage: &Storage) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(pod::DATA_VOLUME.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: storage.class.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), storage.size.clone())].into()),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

/// A node that is removed leaves its volume behind in any case: should it have taken a message after it was
/// last seen empty, adding the node again brings the message back.
fn retention(storage: &Storage) -> StatefulSetPersistentVolumeClaimRetentionPolicy {
    let when_deleted = match storage.when_deleted {
        VolumeRetention::Retain => "Retain",
        VolumeRetention::Delete => "Delete",
    };
    StatefulSetPersistentVolumeClaimRetentionPolicy {
        when_deleted: Some(when_deleted.to_owned()),
        when_scaled: Some("Retain".to_owned()),
    }
}
