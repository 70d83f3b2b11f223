//! The custom resources: what a person may write and what the operator answers.
//!
//! Every rule that a schema or CEL can state is stated here, next to the field, with the sentence
//! that `kubectl apply` prints when it is broken. What needs more than the object itself is checked
//! in the `validate` step of each controller and told in the `Ready` condition.

mod access;
mod bridge;
mod cluster;
mod condition;
mod crd;
mod options;
mod replication;
mod scalar;
mod settings;
mod topic;

pub use access::{
    AuthSpec, BridgeTlsSpec, ExternalSpec, ExternalStatus, ExternalType, HttpTokensSpec, IssuerRef,
    TlsSpec,
};
pub use bridge::{BridgeSource, BridgeTarget, NsqBridge, NsqBridgeSpec, NsqBridgeStatus};
pub use cluster::{
    Durability, NodeCounts, NsqCluster, NsqClusterSpec, NsqClusterStatus, NsqdSpec, NsqlookupdSpec,
    Resources, ScaleDown, StorageSpec, VolumeRetention,
};
pub use condition::{ConditionState, Conditions, MESSAGE_MAX, is_ready};
pub use crd::{all as all_crds, to_yaml as crd_to_yaml};
pub use options::{NSQD as NSQD_OPTIONS, NSQLOOKUPD as NSQLOOKUPD_OPTIONS, OptionSet};
pub use replication::{
    MirrorAck, NodeLossPolicy, OnPeerLoss, PairNodeStatus, PairStatus, ReplicationSpec,
};
pub use scalar::Scalar;
pub use settings::{ChannelSettings, Overflow, TopicSettings};
pub use topic::{ChannelSpec, DeletionPolicy, NsqTopic, NsqTopicSpec, NsqTopicStatus};

/// API group of all resources.
pub const GROUP: &str = "nsq.io";
/// Their one version.
pub const VERSION: &str = "v1alpha1";

/// Set to `true` on a resource, the operator only looks and reports: nothing is written but its status.
pub const PAUSED_ANNOTATION: &str = "nsq.io/paused";

/// On an `NsqCluster`: names of nsqd pods, separated by commas, whose messages are moved to the others, once for as long as
/// the annotation is there.
pub const REBALANCE_ANNOTATION: &str = "nsq.io/rebalance";

/// Held by an `NsqTopic` with `deletionPolicy: Delete` until the topic is deleted in NSQ too.
pub const TOPIC_FINALIZER: &str = "nsq.io/delete-topic";

/// Whether the resource asks the operator to keep its hands off.
#[must_use]
pub fn is_paused<K: kube::ResourceExt>(resource: &K) -> bool {
    resource
        .annotations()
        .get(PAUSED_ANNOTATION)
        .is_some_and(|value| value == "true")
}
