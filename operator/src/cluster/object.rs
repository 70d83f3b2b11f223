//! The kinds of object a cluster is made of, and when one differs from what is wanted.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicObject;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Records on each object what was last wanted of it; see [`differs`].
pub const WANTED_HASH: &str = "nsq.io/wanted-hash";

/// One object of a cluster. The order of the variants is the order of applying: what a pod refers to
/// comes before the StatefulSet that starts it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Object {
    ServiceAccount(Box<ServiceAccount>),
    ConfigMap(Box<ConfigMap>),
    Service(Box<Service>),
    PodDisruptionBudget(Box<PodDisruptionBudget>),
    StatefulSet(Box<StatefulSet>),
    /// Of a bridge.
    Deployment(Box<Deployment>),
    /// Of cert-manager. Last, for it can be read from anything.
    Certificate(Box<DynamicObject>),
}

impl Object {
    /// Its Kubernetes kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ServiceAccount(_) => "ServiceAccount",
            Self::ConfigMap(_) => "ConfigMap",
            Self::Service(_) => "Service",
            Self::PodDisruptionBudget(_) => "PodDisruptionBudget",
            Self::StatefulSet(_) => "StatefulSet",
            Self::Deployment(_) => "Deployment",
            Self::Certificate(_) => "Certificate",
        }
    }

    #[must_use]
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::ServiceAccount(object) => &object.metadata,
            Self::ConfigMap(object) => &object.metadata,
            Self::Service(object) => &object.metadata,
            Self::PodDisruptionBudget(object) => &object.metadata,
            Self::StatefulSet(object) => &object.metadata,
            Self::Deployment(object) => &object.metadata,
            Self::Certificate(object) => &object.metadata,
        }
    }

    pub(super) fn metadata_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::ServiceAccount(object) => &mut object.metadata,
            Self::ConfigMap(object) => &mut object.metadata,
            Self::Service(object) => &mut object.metadata,
            Self::PodDisruptionBudget(object) => &mut object.metadata,
            Self::StatefulSet(object) => &mut object.metadata,
            Self::Deployment(object) => &mut object.metadata,
            Self::Certificate(object) => &mut object.metadata,
        }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    /// Whether both are the same object of the API, whatever they say.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.name() == other.name()
    }

    /// Writes down what is wanted, so that a field no longer wanted is noticed later.
    #[must_use]
    pub(crate) fn sealed(mut self) -> Self {
        let annotations = &mut self.metadata_mut().annotations;
        if let Some(others) = annotations {
            others.remove(WANTED_HASH);
        }
        if annotations.as_ref().is_some_and(BTreeMap::is_empty) {
            *annotations = None;
        }
        let hash = hash(&self);
        self.metadata_mut()
            .annotations
            .get_or_insert_default()
            .insert(WANTED_HASH.to_owned(), hash);
        self
    }
}

/// Ten hex digits that change when the value does.
pub(super) fn hash(value: &impl Serialize) -> String {
    // Every type passed here is plain data with string keys, which JSON always takes.
    let json = serde_json::to_vec(value).unwrap_or_default();
    let digest = Sha256::digest(&json);
    digest[..5]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Whether `live` has to be applied again to be as `wanted`.
///
/// What the API server fills in by itself does not count: `live` may say more than `wanted` in every map.
/// A field that we stopped wanting would hide behind that, so each object also carries the hash of what was wanted last.
#[must_use]
pub fn differs(wanted: &Object, live: &Object) -> bool {
    match (serde_json::to_value(wanted), serde_json::to_value(live)) {
        (Ok(wanted), Ok(live)) => !covers(&live, &wanted),
        _ => true,
    }
}

fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| match live.get(key) {
                Some(kept) => covers(kept, value),
                None => is_empty(value),
            })
        }
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len()
                && live
                    .iter()
                    .zip(wanted)
                    .all(|(live, wanted)| covers(live, wanted))
        }
        (Value::String(live), Value::String(wanted)) => {
            live == wanted || same_quantity(live, wanted)
        }
        (live, wanted) => live == wanted,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// The API server rewrites amounts: `1024Mi` comes back as `1Gi`.
fn same_quantity(left: &str, right: &str) -> bool {
    match (quantity(left), quantity(right)) {
        (Some(left), Some(right)) => (left - right).abs() <= f64::EPSILON * left.abs(),
        _ => false,
    }
}

pub(super) fn quantity(text: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 14] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
        ("", 1.0),
    ];
    let (number, scale) = SUFFIXES
        .iter()
        .find_map(|(suffix, scale)| Some((text.strip_suffix(suffix)?, scale)))?;
    number.parse::<f64>().ok().map(|number| number * scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_api_server_adds_is_no_difference() {
        let wanted = json!({"spec": {"ports": [{"port": 1}], "selector": {}}});
        let live =
            json!({"spec": {"ports": [{"port": 1, "protocol": "TCP"}], "type": "ClusterIP"}});
        assert!(covers(&live, &wanted));
    }

    #[test]
    fn a_changed_or_missing_value_is_a_difference() {
        let wanted = json!({"spec": {"replicas": 2, "ports": [1, 2]}});
        assert!(!covers(
            &json!({"spec": {"replicas": 3, "ports": [1, 2]}}),
            &wanted
        ));
        assert!(!covers(&json!({"spec": {"ports": [1, 2]}}), &wanted));
        assert!(!covers(
            &json!({"spec": {"replicas": 2, "ports": [1]}}),
            &wanted
        ));
    }

    #[test]
    fn amounts_are_compared_by_what_they_mean() {
        assert!(same_quantity("1024Mi", "1Gi"));
        assert!(same_quantity("500m", "0.5"));
        assert!(!same_quantity("1G", "1Gi"));
        assert!(!same_quantity("nsqd", "nsqd-0"));
    }
}
