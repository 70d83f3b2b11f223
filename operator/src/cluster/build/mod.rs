//! The objects of a cluster: pure functions of the validated manifest.

mod access;
mod budget;
mod certificate;
mod external;
mod labels;
mod pod;
mod relocation;
mod replication;
mod service;
mod stateful_set;

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;

use super::names::{self, Component};
use super::object::Object;
use super::validate::ValidatedCluster;
use crate::api::NsqCluster;

pub use access::TLS;
pub(crate) use access::{secret_mount, secret_variable, secret_volume};
pub use certificate::certificates;
pub use external::addresses;
pub use labels::{
    COMPONENT, EXTERNAL, INSTANCE, MANAGED_BY, OPERATOR, PAIR, PUBLISH, nsqd_selector, of_cluster,
};
pub use pod::{RESTARTED_AT, TEMPLATE_HASH};
pub(crate) use pod::{confined, harmless};
pub use relocation::relocation;
pub use stateful_set::{claim_size, nodes_asleep, with_claim_size};

/// Everything a cluster with `nodes` nsqds consists of, in the order of applying. `sets` is the number of
/// StatefulSets of nsqd: those of pairs that are gone stay, with no pods. Deleting one would hand its volumes to the
/// policy that is meant for the deletion of the whole cluster. `asleep`: no pod is to run, and each set remembers how
/// many it had.
#[must_use]
pub fn objects(cluster: &ValidatedCluster, nodes: u32, sets: u32, asleep: bool) -> Vec<Object> {
    let mut objects = vec![Object::ServiceAccount(Box::new(service_account(cluster)))];
    objects.extend(certificate::certificate(cluster));
    objects.extend(
        service::all(cluster)
            .into_iter()
            .chain(external::services(cluster, nodes))
            .map(|service| Object::Service(Box::new(service))),
    );
    objects.extend(
        budget::all(cluster, nodes)
            .into_iter()
            .map(|budget| Object::PodDisruptionBudget(Box::new(budget))),
    );
    if cluster.replication.is_some() {
        objects.extend((0..sets.max(names::pairs(nodes))).map(|pair| {
            let config = replication::config(cluster, pair);
            Object::ConfigMap(Box::new(config))
        }));
    }
    let lookups = stateful_set::nsqlookupd(cluster);
    let pairs = 0..sets.max(names::pairs(nodes));
    let nsqds = pairs.map(|pair| {
        let replicas = names::nodes_of_pair(pair, nodes);
        stateful_set::nsqd(cluster, pair, replicas)
    });
    objects.extend([lookups].into_iter().chain(nsqds).map(|set| {
        let set = if asleep {
            stateful_set::asleep(set)
        } else {
            set
        };
        Object::StatefulSet(Box::new(set))
    }));
    objects.into_iter().map(Object::sealed).collect()
}

/// Metadata of an object that belongs to the cluster and goes with it.
fn metadata(cluster: &ValidatedCluster, name: String, component: Option<Component>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(cluster.namespace.clone()),
        labels: Some(labels::of(&cluster.name, component)),
        owner_references: Some(vec![owner::<NsqCluster>(&cluster.name, &cluster.uid)]),
        ..ObjectMeta::default()
    }
}

/// With whom an object goes.
pub(crate) fn owner<K: Resource<DynamicType = ()>>(name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

/// An empty list is left out, as the API server does.
pub(crate) fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn service_account(cluster: &ValidatedCluster) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(cluster, names::service_account(&cluster.name), None),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
