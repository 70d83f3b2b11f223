//! StatefulSets: names and volumes that outlive pods.

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
    StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, PodTemplateSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
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

/// The resource that a volume is.
const STORAGE: &str = "storage";
/// Annotation of a set whose pods have been stopped for a while: how many there are to be again.
const ASLEEP: &str = "nsq.io/hibernated-replicas";

/// The set without pods. Volumes stay whatever the policy for removed nodes is, for none is removed.
pub(super) fn asleep(mut set: StatefulSet) -> StatefulSet {
    if let Some(spec) = &mut set.spec {
        let replicas = spec.replicas.replace(0).unwrap_or(0);
        if let Some(policy) = &mut spec.persistent_volume_claim_retention_policy {
            policy.when_scaled = Some("Retain".to_owned());
        }
        let annotations = set.metadata.annotations.get_or_insert_default();
        annotations.insert(ASLEEP.to_owned(), replicas.to_string());
    }
    set
}

/// How many pods a set has that is asleep.
#[must_use]
pub fn nodes_asleep(set: &StatefulSet) -> Option<u32> {
    let annotations = set.metadata.annotations.as_ref()?;
    annotations.get(ASLEEP)?.parse().ok()
}

/// Size of the volumes that a set makes for its pods.
#[must_use]
pub fn claim_size(set: &StatefulSet) -> Option<&Quantity> {
    let claim = set
        .spec
        .as_ref()?
        .volume_claim_templates
        .as_ref()?
        .first()?;
    let resources = claim.spec.as_ref()?.resources.as_ref()?;
    resources.requests.as_ref()?.get(STORAGE)
}

/// The same set with volumes of this size.
#[must_use]
pub fn with_claim_size(mut set: StatefulSet, size: &Quantity) -> StatefulSet {
    let claims = set
        .spec
        .as_mut()
        .and_then(|spec| spec.volume_claim_templates.as_mut());
    for spec in claims
        .into_iter()
        .flatten()
        .filter_map(|claim| claim.spec.as_mut())
    {
        if let Some(requests) = spec.resources.as_mut().and_then(|it| it.requests.as_mut()) {
            requests.insert(STORAGE.to_owned(), size.clone());
        }
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
                requests: Some([(STORAGE.to_owned(), storage.size.clone())].into()),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

fn retention(storage: &Storage) -> StatefulSetPersistentVolumeClaimRetentionPolicy {
    let word = |retention| match retention {
        VolumeRetention::Retain => "Retain".to_owned(),
        VolumeRetention::Delete => "Delete".to_owned(),
    };
    StatefulSetPersistentVolumeClaimRetentionPolicy {
        when_deleted: Some(word(storage.when_deleted)),
        when_scaled: Some(word(storage.when_scaled)),
    }
}
