//! From a manifest that the API server accepted to one that can be built: the rules that need code.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodTemplateSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;
use serde_json::{Map, Value};
use thiserror::Error;

use super::names::{self, Component, Node, PAIR_SIZE};
use crate::api::{
    Durability, ExternalSpec, IssuerRef, MirrorAck, NodeLossPolicy, NsqCluster, NsqdSpec,
    OnPeerLoss, REBALANCE_ANNOTATION, Resources, Scalar, ScaleDown, StorageSpec, TlsSpec,
    VolumeRetention, is_paused,
};

/// Bound of `nsqd.replicas`, as in the schema: node ids have to stay below NSQ's 1024.
pub const MAX_NSQD: i32 = 200;
/// Bound of `nsqlookupd.replicas`, as in the schema.
pub const MAX_NSQLOOKUPD: i32 = 9;

/// What is wrong with a manifest, as a sentence for its author.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}: {}", self.field(), self.reason())]
pub enum Invalid {
    Count {
        field: &'static str,
        value: i32,
        max: i32,
    },
    PodTemplate {
        field: &'static str,
        reason: String,
    },
    UnknownField {
        field: &'static str,
        path: String,
    },
    Replication {
        field: &'static str,
        reason: &'static str,
    },
    Rebalance {
        pod: String,
    },
}

impl Invalid {
    /// Path of the field.
    #[must_use]
    pub fn field(&self) -> String {
        match self {
            Self::Count { field, .. }
            | Self::PodTemplate { field, .. }
            | Self::Replication { field, .. } => (*field).to_owned(),
            Self::UnknownField { field, path } => format!("{field}.{path}"),
            Self::Rebalance { .. } => format!("metadata.annotations[{REBALANCE_ANNOTATION}]"),
        }
    }

    /// What is wrong there.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Count { value, max, .. } => format!("must be between 1 and {max}, not {value}"),
            Self::PodTemplate { reason, .. } => format!("not a pod template: {reason}"),
            Self::UnknownField { .. } => "unknown field".to_owned(),
            Self::Replication { reason, .. } => (*reason).to_owned(),
            Self::Rebalance { pod } => format!("names {pod:?}, which is no nsqd of this cluster"),
        }
    }
}

/// A cluster that can be built; the only input of planning.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidatedCluster {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub generation: Option<i64>,
    /// Only look and report.
    pub paused: bool,
    /// nsqds whose messages are to be moved to the others.
    pub rebalance: Vec<Node>,
    /// No node is to run.
    pub hibernate: bool,
    pub tls: Option<Tls>,
    /// Secret by which the nodes authenticate with each other.
    pub auth_secret: Option<String>,
    /// Secret with the tokens of the HTTP APIs.
    pub http_tokens: Option<String>,
    /// The way in from outside.
    pub external: Option<ExternalSpec>,
    pub nsqd: Daemon,
    pub durability: Durability,
    /// `None`: the nodes of a pair are independent of each other.
    pub replication: Option<Replication>,
    pub node_loss: NodeLossPolicy,
    pub scale_down: ScaleDown,
    pub storage: Storage,
    pub nsqlookupd: Daemon,
}

impl ValidatedCluster {
    /// Whose certificates cert-manager is asked for, and who is to issue them; `None` if nobody is asked.
    #[must_use]
    pub fn issued(&self) -> Option<(&Tls, &IssuerRef)> {
        let tls = self.tls.as_ref()?;
        Some((tls, tls.issuer_ref.as_ref()?))
    }
}

/// Certificates of every node.
#[derive(Debug, Clone, PartialEq)]
pub struct Tls {
    pub secret_name: String,
    /// Clients that do not speak TLS are refused.
    pub required: bool,
    /// Who of cert-manager issues the certificate.
    pub issuer_ref: Option<IssuerRef>,
}

/// How the two nodes of a pair mirror each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Replication {
    pub mirror_ack: MirrorAck,
    pub on_peer_loss: OnPeerLoss,
    /// As nsqd reads it: `500ms`.
    pub peer_loss_timeout: String,
    /// Of the container that carries the peer's messages over.
    pub resources: Option<ResourceRequirements>,
}

/// What both kinds of node have.
#[derive(Debug, Clone, PartialEq)]
pub struct Daemon {
    pub replicas: u32,
    pub image: String,
    pub resources: Option<ResourceRequirements>,
    /// Option name without dashes to its value.
    pub options: BTreeMap<String, String>,
    pub overlay: Option<PodTemplateSpec>,
}

/// The volume of each nsqd.
#[derive(Debug, Clone, PartialEq)]
pub struct Storage {
    pub size: Quantity,
    pub class: Option<String>,
    pub when_deleted: VolumeRetention,
    pub when_scaled: VolumeRetention,
}

/// Checks what the schema cannot say and settles every default.
///
/// # Errors
/// The first thing found that cannot be built.
pub fn validate(cluster: &NsqCluster) -> Result<ValidatedCluster, Invalid> {
    let spec = &cluster.spec;
    let (nsqd, nsqlookupd) = (&spec.nsqd, &spec.nsqlookupd);
    let nodes = in_pairs(
        count("spec.nsqd.replicas", nsqd.replicas, MAX_NSQD)?,
        is_replicated(nsqd),
    );
    Ok(ValidatedCluster {
        name: cluster.name_any(),
        namespace: cluster.namespace().unwrap_or_default(),
        uid: cluster.uid().unwrap_or_default(),
        generation: cluster.metadata.generation,
        paused: is_paused(cluster),
        rebalance: rebalance(cluster, nodes)?,
        hibernate: spec.hibernate,
        tls: spec.tls.as_ref().map(|tls| certificates(cluster, tls)),
        auth_secret: spec.auth.as_ref().map(|auth| auth.secret_name.clone()),
        http_tokens: spec.http_tokens.as_ref().map(|it| it.secret_name.clone()),
        external: spec.external.clone(),
        nsqd: Daemon {
            replicas: nodes,
            image: nsqd.image.clone().unwrap_or_else(|| spec.image.clone()),
            resources: nsqd.resources.as_ref().map(requirements),
            options: texts(&nsqd.options),
            overlay: overlay("spec.nsqd.podTemplate", nsqd.pod_template.as_ref())?,
        },
        durability: nsqd.durability,
        replication: replication(nsqd)?,
        node_loss: nsqd.node_loss_policy,
        scale_down: nsqd.scale_down,
        storage: storage(&nsqd.storage),
        nsqlookupd: Daemon {
            replicas: count(
                "spec.nsqlookupd.replicas",
                nsqlookupd.replicas,
                MAX_NSQLOOKUPD,
            )?,
            image: nsqlookupd
                .image
                .clone()
                .unwrap_or_else(|| spec.image.clone()),
            resources: nsqlookupd.resources.as_ref().map(requirements),
            options: texts(&nsqlookupd.options),
            overlay: overlay(
                "spec.nsqlookupd.podTemplate",
                nsqlookupd.pod_template.as_ref(),
            )?,
        },
    })
}

fn rebalance(cluster: &NsqCluster, nodes: u32) -> Result<Vec<Node>, Invalid> {
    let named = cluster.annotations().get(REBALANCE_ANNOTATION);
    let pods = named.iter().flat_map(|named| named.split(','));
    let pods = pods.map(str::trim).filter(|pod| !pod.is_empty());
    let node = |pod: &str| {
        let node = Node::from_pod_name(&cluster.name_any(), pod)
            .filter(|node| node.component == Component::Nsqd && node.ordinal < nodes);
        node.ok_or_else(|| Invalid::Rebalance {
            pod: pod.to_owned(),
        })
    };
    pods.map(node).collect()
}

fn certificates(cluster: &NsqCluster, spec: &TlsSpec) -> Tls {
    let named = spec.secret_name.clone();
    Tls {
        secret_name: named.unwrap_or_else(|| names::certificate_secret(&cluster.name_any())),
        required: spec.required,
        issuer_ref: spec.issuer_ref.clone(),
    }
}

fn count(field: &'static str, value: i32, max: i32) -> Result<u32, Invalid> {
    match u32::try_from(value) {
        Ok(count) if count >= 1 && value <= max => Ok(count),
        _ => Err(Invalid::Count { field, value, max }),
    }
}

/// Whether the nodes mirror each other.
#[must_use]
pub fn is_replicated(nsqd: &NsqdSpec) -> bool {
    nsqd.replication.as_ref().is_some_and(|spec| spec.enabled)
}

/// Nodes to run. Autoscalers count one by one, and nodes mirror each other two by two: an odd number means one more.
#[must_use]
pub fn in_pairs(nodes: u32, replicated: bool) -> u32 {
    match replicated {
        true => nodes.next_multiple_of(PAIR_SIZE),
        false => nodes,
    }
}

fn replication(nsqd: &NsqdSpec) -> Result<Option<Replication>, Invalid> {
    let Some(spec) = nsqd.replication.as_ref().filter(|spec| spec.enabled) else {
        return Ok(None);
    };
    let field = "spec.nsqd.replication";
    if nsqd.durability == Durability::Memory {
        let reason = "needs durability write or fsync: what is in memory only cannot be mirrored";
        return Err(Invalid::Replication { field, reason });
    }
    Ok(Some(Replication {
        mirror_ack: spec.mirror_ack,
        on_peer_loss: spec.on_peer_loss,
        peer_loss_timeout: spec.peer_loss_timeout.clone(),
        resources: spec.resources.as_ref().map(requirements),
    }))
}

fn texts(options: &BTreeMap<String, Scalar>) -> BTreeMap<String, String> {
    options
        .iter()
        .map(|(name, value)| (name.clone(), value.to_string()))
        .collect()
}

fn storage(spec: &StorageSpec) -> Storage {
    Storage {
        size: Quantity(spec.size.clone()),
        class: spec.storage_class_name.clone(),
        when_deleted: spec.when_deleted,
        when_scaled: spec.when_scaled,
    }
}

pub(crate) fn requirements(resources: &Resources) -> ResourceRequirements {
    let quantities = |map: &BTreeMap<String, Scalar>| {
        let quantities: BTreeMap<String, Quantity> = map
            .iter()
            .map(|(name, value)| (name.clone(), Quantity(value.to_string())))
            .collect();
        (!quantities.is_empty()).then_some(quantities)
    };
    ResourceRequirements {
        limits: quantities(&resources.limits),
        requests: quantities(&resources.requests),
        ..ResourceRequirements::default()
    }
}

/// The manifest's own pod template.
///
/// # Errors
/// It is none, or has a field that there is not.
pub(crate) fn overlay(
    field: &'static str,
    template: Option<&Map<String, Value>>,
) -> Result<Option<PodTemplateSpec>, Invalid> {
    let Some(template) = template else {
        return Ok(None);
    };
    let written = Value::Object(template.clone());
    let invalid = |err: serde_json::Error| Invalid::PodTemplate {
        field,
        reason: err.to_string(),
    };
    let parsed: PodTemplateSpec = serde_json::from_value(written.clone()).map_err(invalid)?;
    let understood = serde_json::to_value(&parsed).map_err(invalid)?;
    match first_unknown(&written, &understood, String::new()) {
        Some(path) => Err(Invalid::UnknownField { field, path }),
        None => Ok(Some(parsed)),
    }
}

/// The first key that was written but not understood, as a path. Kubernetes' types ignore what they do not know, and a
/// misspelt `nodeSelectr` that does nothing is worse than a refusal.
fn first_unknown(written: &Value, understood: &Value, path: String) -> Option<String> {
    match (written, understood) {
        (Value::Object(written), Value::Object(understood)) => {
            written.iter().find_map(|(key, value)| {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                match understood.get(key) {
                    Some(kept) => first_unknown(value, kept, path),
                    None if value.is_null() || is_empty(value) => None,
                    None => Some(path),
                }
            })
        }
        (Value::Array(written), Value::Array(understood)) => written
            .iter()
            .zip(understood)
            .enumerate()
            .find_map(|(index, (value, kept))| {
                first_unknown(value, kept, format!("{path}[{index}]"))
            }),
        _ => None,
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cluster(nsqd: Value) -> NsqCluster {
        let mut nsqd = nsqd;
        nsqd["storage"] = json!({"size": "1Gi"});
        serde_json::from_value(json!({
            "apiVersion": "nsq.io/v1alpha1", "kind": "NsqCluster",
            "metadata": {"name": "demo", "namespace": "default"},
            "spec": {"image": "nsq:1", "nsqd": nsqd},
        }))
        .unwrap()
    }

    #[test]
    fn a_misspelt_field_of_the_pod_template_is_refused_by_path() {
        let template =
            json!({"podTemplate": {"spec": {"containers": [{"name": "nsqd", "comand": ["x"]}]}}});
        let error = validate(&cluster(template)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "spec.nsqd.podTemplate.spec.containers[0].comand: unknown field"
        );
    }

    #[test]
    fn a_pod_template_of_the_wrong_shape_is_refused() {
        let template =
            json!({"podTemplate": {"spec": {"containers": [{"name": "nsqd", "env": "A=B"}]}}});
        let error = validate(&cluster(template)).unwrap_err();
        assert!(matches!(error, Invalid::PodTemplate { .. }), "{error}");
    }

    #[test]
    fn a_partial_pod_template_is_kept() {
        let template =
            json!({"podTemplate": {"spec": {"containers": [], "nodeSelector": {"disk": "fast"}}}});
        let valid = validate(&cluster(template)).unwrap();
        let overlay = valid.nsqd.overlay.unwrap().spec.unwrap();
        assert_eq!(overlay.node_selector.unwrap()["disk"], "fast");
    }

    #[test]
    fn replication_needs_pairs_and_something_to_mirror() {
        let bad = json!({"durability": "memory", "replication": {}});
        let error = validate(&cluster(bad)).unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
        let odd = json!({"replicas": 3, "replication": {}});
        assert_eq!(validate(&cluster(odd)).unwrap().nsqd.replicas, 4);
        let off = json!({"replicas": 3, "replication": {"enabled": false}});
        let off = validate(&cluster(off)).unwrap();
        assert_eq!((off.replication, off.nsqd.replicas), (None, 3));
        let on = validate(&cluster(json!({"replication": {}}))).unwrap();
        assert_eq!(on.replication.unwrap().mirror_ack, MirrorAck::Peer);
    }

    #[test]
    fn counts_outside_the_bounds_are_refused() {
        for replicas in [0, -1, MAX_NSQD + 1] {
            let error = validate(&cluster(json!({"replicas": replicas}))).unwrap_err();
            assert!(matches!(error, Invalid::Count { .. }), "{error}");
        }
    }
}
