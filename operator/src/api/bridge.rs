//! `NsqBridge`: messages of some topics, carried on to other nsqds.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::access::{AuthSpec, BridgeTlsSpec};
use super::cluster::{Resources, any_object};
use super::options::NSQ_TO_NSQ;
use super::scalar::Scalar;

/// Messages of some topics, carried on to other nsqds by `nsq_to_nsq`: to another region, for instance.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "nsq.io",
    version = "v1alpha1",
    kind = "NsqBridge",
    plural = "nsqbridges",
    namespaced,
    shortname = "nsqb",
    category = "nsq",
    status = "NsqBridgeStatus",
    derive = "PartialEq",
    doc = "Messages of some topics, carried on to other nsqds by nsq_to_nsq: to another region, for instance.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Topics", type_ = "string", json_path = ".spec.topics"),
    printcolumn(name = "Backlog", type_ = "integer", json_path = ".status.backlog", description = "messages that wait in its channel at the source"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 50 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name becomes the name of a Deployment: at most 50 lower case letters, digits and '-', beginning with a letter"),
)]
#[serde(rename_all = "camelCase")]
pub struct NsqBridgeSpec {
    /// Container image that holds nsq_to_nsq under /usr/local/bin.
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^[^\\\\s]+$')")
        .message("image must be the name of a container image, without spaces"))]
    pub image: String,
    /// Where messages are consumed.
    pub from: BridgeSource,
    /// Where they are published.
    pub to: BridgeTarget,
    /// Topics that are carried over, each under its own name.
    #[schemars(extend("maxItems" = 64, "minItems" = 1, "x-kubernetes-list-type" = "set", "items" = {"type": "string", "maxLength": 64}))]
    #[x_kube(validation = Rule::new("self.all(name, name.matches('^[.a-zA-Z0-9_-]+(#ephemeral)?$'))")
        .message("a topic's name is made of letters, digits, '.', '_' and '-'"))]
    pub topics: Vec<String>,
    /// One topic for all of them, at the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[.a-zA-Z0-9_-]+(#ephemeral)?$')")
        .message("a topic's name is made of letters, digits, '.', '_' and '-'"))]
    pub destination_topic: Option<String>,
    /// Channel at the source by which messages are kept for this bridge.
    #[serde(default = "own_channel")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[.a-zA-Z0-9_-]+(#ephemeral)?$')")
        .message("a channel's name is made of letters, digits, '.', '_' and '-'"))]
    pub channel: String,
    /// How many share the work; 0 stops it, and messages wait in the channel.
    #[serde(default = "one")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 50")
        .message("replicas must be between 0 and 50"))]
    pub replicas: i32,
    /// Other options of nsq_to_nsq, without the dashes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(
        validation = NSQ_TO_NSQ.known_rule(),
        validation = NSQ_TO_NSQ.owned_rule(),
    )]
    pub options: BTreeMap<String, Scalar>,
    /// Options of its consumers, by the names of NSQ's client library.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub consumer_options: BTreeMap<String, Scalar>,
    /// Options of its producers, by the names of NSQ's client library.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub producer_options: BTreeMap<String, Scalar>,
    /// Compute resources of each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// A partial pod template, merged over the operator's own; its container is called `bridge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub pod_template: Option<Map<String, Value>>,
}

/// Where messages are consumed: one of the first three.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.cluster), has(self.lookupdHttpAddresses), has(self.nsqdTcpAddresses)].filter(it, it).size() == 1")
    .message("from needs exactly one of cluster, lookupdHttpAddresses and nsqdTcpAddresses"))]
pub struct BridgeSource {
    /// An NsqCluster of the same namespace, with its TLS and AUTH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    pub cluster: Option<String>,
    /// host:port of nsqlookupds; https:// before it for TLS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = 32, "minItems" = 1))]
    pub lookupd_http_addresses: Vec<String>,
    /// host:port of nsqds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = 64, "minItems" = 1))]
    pub nsqd_tcp_addresses: Vec<String>,
    /// TLS to these addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<BridgeTlsSpec>,
    /// AUTH at these addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthSpec>,
}

/// Where messages are published: one of the first two.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.cluster) != has(self.nsqdTcpAddresses)")
    .message("to needs either cluster or nsqdTcpAddresses"))]
pub struct BridgeTarget {
    /// An NsqCluster of the same namespace, with its TLS and AUTH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    pub cluster: Option<String>,
    /// host:port of nsqds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = 64, "minItems" = 1))]
    pub nsqd_tcp_addresses: Vec<String>,
    /// TLS to these addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<BridgeTlsSpec>,
    /// AUTH at these addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthSpec>,
}

/// What the operator knows of the bridge.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct NsqBridgeStatus {
    /// The generation of the spec that the rest speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Pods that exist; for the scale subresource.
    pub replicas: i32,
    /// Label selector of the pods; for the scale subresource.
    pub selector: String,
    pub ready_replicas: i32,
    /// Messages that wait in its channel at the source, those on their way included; left out while nobody can say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<i64>,
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

fn own_channel() -> String {
    "nsq_to_nsq".to_owned()
}

fn one() -> i32 {
    1
}
