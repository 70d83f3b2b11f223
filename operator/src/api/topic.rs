//! `NsqTopic`: a topic and its channels, kept on every node of a cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema, ResourceExt};
use serde::{Deserialize, Serialize};

use super::settings::{ChannelSettings, TopicSettings};

/// A topic and its channels, kept on every node of a cluster.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "nsq.io",
    version = "v1alpha1",
    kind = "NsqTopic",
    plural = "nsqtopics",
    namespaced,
    shortname = "nsqt",
    category = "nsq",
    status = "NsqTopicStatus",
    derive = "PartialEq",
    doc = "A topic and its channels, kept on every node of a cluster.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.cluster"),
    printcolumn(name = "Topic", type_ = "string", json_path = ".status.topic"),
    printcolumn(name = "Nodes", type_ = "string", json_path = ".status.nodes", description = "nsqd nodes that hold the topic as declared, of those in the cluster"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("has(self.spec.topic) || self.metadata.name.size() <= 64")
        .message("a topic's name has at most 64 characters: give a shorter one in spec.topic"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.cluster == oldSelf.cluster")
        .message("spec.cluster cannot be changed: create another NsqTopic for the other cluster"),
    validation = Rule::new("has(self.topic) == has(oldSelf.topic) && (!has(self.topic) || self.topic == oldSelf.topic)")
        .message("spec.topic cannot be changed: a topic is not renamed, create another NsqTopic"),
)]
pub struct NsqTopicSpec {
    /// Name of the NsqCluster in the same namespace.
    #[schemars(length(max = 40))]
    #[x_kube(validation = Rule::new("self.size() > 0").message("spec.cluster must name an NsqCluster in the same namespace"))]
    pub cluster: String,
    /// Name of the topic in NSQ; without it the name of this resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(
        validation = Rule::new("!self.endsWith('#ephemeral')")
            .message("an #ephemeral topic lives only as long as its channels and cannot be declared"),
        validation = Rule::new("self.endsWith('#ephemeral') || self.matches('^[.a-zA-Z0-9_-]+$')")
            .message("a topic's name is made of letters, digits, '.', '_' and '-'"),
    )]
    pub topic: Option<String>,
    /// Channels that exist whether or not a consumer has come yet. Others are left alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = 256, "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub channels: Vec<ChannelSpec>,
    /// Whether messages wait in the topic; without it, whoever pauses it decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Durability, limits, age and dead letters, kept as a whole: what is left out is as in NSQ. Without it, whoever
    /// sets them decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<TopicSettings>,
    /// What becomes of the topic, and of channels taken off the list, when they are no longer declared.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// One channel.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ChannelSpec {
    #[schemars(length(max = 64))]
    #[x_kube(
        validation = Rule::new("!self.endsWith('#ephemeral')")
            .message("an #ephemeral channel lives only as long as its consumers and cannot be declared"),
        validation = Rule::new("self.endsWith('#ephemeral') || self.matches('^[.a-zA-Z0-9_-]+$')")
            .message("a channel's name is made of letters, digits, '.', '_' and '-'"),
    )]
    pub name: String,
    /// Whether the channel delivers nothing; without it, whoever pauses it decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Stand before the topic's; kept as a whole. Without it, whoever sets them decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<ChannelSettings>,
}

/// What becomes of a topic in NSQ when its NsqTopic is deleted.
#[derive(
    schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
pub enum DeletionPolicy {
    /// It stays, with its messages.
    #[default]
    Retain,
    /// It goes, with its messages, on every node.
    Delete,
}

/// What the operator knows of the topic.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct NsqTopicStatus {
    /// The generation of the spec that the rest speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Name of the topic in NSQ.
    pub topic: String,
    /// Channels that this resource has declared so far.
    pub channels: Vec<String>,
    /// Nodes that hold the topic as declared, of all: `2/2`.
    pub nodes: String,
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

impl NsqTopic {
    /// Name of the topic in NSQ.
    #[must_use]
    pub fn topic_name(&self) -> String {
        self.spec.topic.clone().unwrap_or_else(|| self.name_any())
    }

    /// The status so far, or an empty one.
    #[must_use]
    pub fn status_or_default(&self) -> NsqTopicStatus {
        self.status.clone().unwrap_or_default()
    }
}
