//! `NsqCluster`: nsqds with volumes and the nsqlookupds that make them findable.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::access::{AuthSpec, ExternalSpec, ExternalStatus, HttpTokensSpec, TlsSpec};
use super::options::{NSQD, NSQLOOKUPD};
use super::replication::{NodeLossPolicy, PairStatus, ReplicationSpec};
use super::scalar::Scalar;

/// A cluster of nsqd nodes, found through nsqlookupd.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "nsq.io",
    version = "v1alpha1",
    kind = "NsqCluster",
    plural = "nsqclusters",
    namespaced,
    shortname = "nsqc",
    category = "nsq",
    status = "NsqClusterStatus",
    derive = "PartialEq",
    doc = "A cluster of nsqd nodes, found through nsqlookupd.",
    scale(
        spec_replicas_path = ".spec.nsqd.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Nsqd", type_ = "string", json_path = ".status.nsqd.summary", description = "nsqd nodes that are ready, of those wanted"),
    printcolumn(name = "Lookupd", type_ = "string", json_path = ".status.nsqlookupd.summary", description = "nsqlookupd nodes that are ready, of those wanted"),
    printcolumn(name = "Mirrored", type_ = "string", json_path = ".status.mirrored", description = "replication pairs of which either disk may be lost now, of all"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Publish", type_ = "string", json_path = ".status.publishAddress", priority = 1),
    printcolumn(name = "Lookup", type_ = "string", json_path = ".status.lookupAddress", priority = 1),
    validation = Rule::new("self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name becomes part of host names: at most 40 lower case letters, digits and '-', beginning with a letter"),
)]
#[serde(rename_all = "camelCase")]
pub struct NsqClusterSpec {
    /// Container image of every node, holding the daemons under /usr/local/bin.
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^[^\\\\s]+$')")
        .message("image must be the name of a container image, without spaces"))]
    pub image: String,
    /// The nodes that hold messages.
    pub nsqd: NsqdSpec,
    /// The nodes that tell consumers where topics are.
    #[serde(default)]
    pub nsqlookupd: NsqlookupdSpec,
    /// TLS on every listener, and between the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
    /// How the nodes authenticate with each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthSpec>,
    /// Tokens of the HTTP APIs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_tokens: Option<HttpTokensSpec>,
    /// Access from outside of the Kubernetes cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalSpec>,
    /// Stop every node and keep the volumes, until this is false again. Nodes that are to be removed are removed first.
    #[serde(default)]
    pub hibernate: bool,
}

/// The nodes that hold messages.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.replication) || !self.replication.enabled || self.durability != 'memory'")
        .message("nsqd.replication needs durability write or fsync: what is in memory only cannot be mirrored"),
)]
pub struct NsqdSpec {
    /// How many; they run in pairs whose two nodes never share a machine. With replication, an odd number means one more.
    #[serde(default = "two")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 200")
        .message("nsqd.replicas must be between 1 and 200"))]
    pub replicas: i32,
    /// Overrides spec.image for nsqd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub image: Option<String>,
    /// Where each node keeps its messages.
    pub storage: StorageSpec,
    /// When a publisher gets its OK.
    #[serde(default)]
    pub durability: Durability,
    /// Pairs of nodes that keep a copy of each other's messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication: Option<ReplicationSpec>,
    /// What becomes of the messages of a node that is to be removed.
    #[serde(default)]
    pub scale_down: ScaleDown,
    /// What may be done about a machine that does not answer any more.
    #[serde(default)]
    pub node_loss_policy: NodeLossPolicy,
    /// Compute resources of each node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Command line options of nsqd, without the dashes; repeat a value by separating with commas.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(
        validation = NSQD.known_rule(),
        validation = NSQD.owned_rule(),
    )]
    pub options: BTreeMap<String, Scalar>,
    /// A partial pod template, merged over the operator's own; containers are matched by name (`nsqd`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub pod_template: Option<Map<String, Value>>,
}

/// The nodes that tell consumers where topics are.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NsqlookupdSpec {
    /// How many; each knows every nsqd, any one suffices.
    #[serde(default = "two")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 9")
        .message("nsqlookupd.replicas must be between 1 and 9"))]
    pub replicas: i32,
    /// Overrides spec.image for nsqlookupd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub image: Option<String>,
    /// Compute resources of each node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Command line options of nsqlookupd, without the dashes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(
        validation = NSQLOOKUPD.known_rule(),
        validation = NSQLOOKUPD.owned_rule(),
    )]
    pub options: BTreeMap<String, Scalar>,
    /// A partial pod template, merged over the operator's own; containers are matched by name (`nsqlookupd`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub pod_template: Option<Map<String, Value>>,
}

impl Default for NsqlookupdSpec {
    fn default() -> Self {
        Self {
            replicas: two(),
            image: None,
            resources: None,
            options: BTreeMap::new(),
            pod_template: None,
        }
    }
}

/// The volume of each nsqd.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)")
    .message("storage.storageClassName cannot be changed: existing volumes stay where they are"))]
pub struct StorageSpec {
    /// Size of each volume, such as 10Gi. Growing it grows the volumes of a running cluster, if their class can.
    #[schemars(length(max = 32))]
    #[x_kube(
        validation = Rule::new("isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))")
            .message("storage.size must be an amount of bytes such as 10Gi"),
        validation = Rule::new("!isQuantity(self) || !isQuantity(oldSelf) || quantity(self).compareTo(quantity(oldSelf)) >= 0")
            .message("storage.size can only grow: volumes do not shrink"),
    )]
    pub size: String,
    /// Storage class of the volumes; without it the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub storage_class_name: Option<String>,
    /// What becomes of the volumes when the NsqCluster is deleted.
    #[serde(default)]
    pub when_deleted: VolumeRetention,
    /// What becomes of the volume of a node that is removed; it holds no messages then.
    #[serde(default)]
    pub when_scaled: VolumeRetention,
}

/// What becomes of the messages of a node that is to be removed.
#[derive(
    schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
pub enum ScaleDown {
    /// They are moved to the nodes that stay.
    #[default]
    Relocate,
    /// Consumers finish them; until then it stays.
    Wait,
}

/// What becomes of volumes whose cluster is deleted, or whose node is removed.
#[derive(
    schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
pub enum VolumeRetention {
    /// They stay, and a cluster or node of the same name takes them up again.
    #[default]
    Retain,
    /// They go, with every message they hold.
    Delete,
}

/// When a publisher gets its OK.
#[derive(
    schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Accepted in memory; survives a clean stop.
    Memory,
    /// Written to the kernel; survives the end of the process.
    Write,
    /// On disk; survives a power cut.
    #[default]
    Fsync,
}

impl Durability {
    /// The value of nsqd's `--durability`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Write => "write",
            Self::Fsync => "fsync",
        }
    }
}

/// Compute resources, as in a container.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Resources {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub limits: BTreeMap<String, Scalar>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub requests: BTreeMap<String, Scalar>,
}

/// What the operator knows of the cluster.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct NsqClusterStatus {
    /// The generation of the spec that the rest speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// nsqd pods that exist; for the scale subresource.
    pub replicas: i32,
    /// Label selector of the nsqd pods; for the scale subresource.
    pub selector: String,
    /// host:port where publishing over TCP reaches any ready nsqd.
    pub publish_address: String,
    /// host:port of the nsqlookupd HTTP API, for consumers.
    pub lookup_address: String,
    /// Where it is reached from outside, with spec.external.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalStatus>,
    pub nsqd: NodeCounts,
    pub nsqlookupd: NodeCounts,
    /// Pairs of which either disk may be lost now, of all: `1/1`. Empty without replication.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mirrored: String,
    /// How each replication pair stands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub pairs: Vec<PairStatus>,
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Nodes of one kind.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeCounts {
    /// Wanted by the manifest.
    pub desired: i32,
    /// Answering.
    pub ready: i32,
    /// Running what the manifest says now.
    pub updated: i32,
    /// `ready/desired`, for `kubectl get`.
    pub summary: String,
}

impl NsqCluster {
    /// The status so far, or an empty one.
    #[must_use]
    pub fn status_or_default(&self) -> NsqClusterStatus {
        self.status.clone().unwrap_or_default()
    }
}

fn two() -> i32 {
    2
}

/// A pod template's own schema would make the CRD larger than `kubectl apply` can store, so the
/// API server keeps whatever is there and the operator parses it (see `cluster/validate.rs`).
pub(super) fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
    })
}
