//! Replication pairs, as a manifest asks for them and as the status tells of them.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::cluster::Resources;

/// Two nodes of a pair keep a copy of each other's messages (docs/pairs.md).
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationSpec {
    /// Whether the nodes mirror each other; can be turned on and off on a running cluster.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether a publisher's OK waits for the peer: `peer`, or `none`.
    #[serde(default)]
    pub mirror_ack: MirrorAck,
    /// What publishers see while the peer is gone: `degrade` (OK means kept by one node) or `block` (refused).
    #[serde(default)]
    pub on_peer_loss: OnPeerLoss,
    /// How long OKs wait for a peer that does not acknowledge, such as 500ms.
    #[serde(default = "half_a_second")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(\\\\.[0-9]+)?(ms|s|m))+$')")
        .message("replication.peerLossTimeout must be a time such as 500ms or 2s"))]
    pub peer_loss_timeout: String,
    /// Compute resources of the container that carries the peer's messages over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// When a publisher gets its OK, as far as the peer is concerned.
#[derive(
    schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
#[serde(rename_all = "lowercase")]
pub enum MirrorAck {
    /// When this node has kept the message.
    None,
    /// When both nodes have.
    #[default]
    Peer,
}

impl MirrorAck {
    /// The value of nsqd's `--mirror-ack`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Peer => "peer",
        }
    }
}

/// What publishers see of a peer that is gone.
#[derive(
    schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
#[serde(rename_all = "lowercase")]
pub enum OnPeerLoss {
    /// OK means kept by this node alone, and counted.
    #[default]
    Degrade,
    /// Publishing is refused until the peer is back.
    Block,
}

impl OnPeerLoss {
    /// The value of nsqd's `--on-peer-loss`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Degrade => "degrade",
            Self::Block => "block",
        }
    }
}

/// What the operator may do about a machine that does not answer any more.
#[derive(
    schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
pub enum NodeLossPolicy {
    /// Nothing that destroys, until somebody else says that the machine is off: its Node is deleted, or has the
    /// taint node.kubernetes.io/out-of-service.
    #[default]
    Wait,
    /// Give the Node that taint: Kubernetes then takes its pods and volumes away, those of others too.
    OutOfServiceTaint,
    /// Delete the cluster's pods on it by force.
    ForceDelete,
}

/// One pair.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct PairStatus {
    /// Its StatefulSet.
    pub name: String,
    /// Either disk may be lost now: each node has all of the other's messages.
    pub mirrored: bool,
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["pod"]))]
    pub nodes: Vec<PairNodeStatus>,
}

/// One node of a pair.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct PairNodeStatus {
    pub pod: String,
    /// `Mirrored`, `CatchingUp`, `Silent`, `Adopting` or `Adopted`, of this node's messages.
    pub state: String,
    /// Messages that only this node has; told while it is not mirrored.
    #[serde(skip_serializing_if = "is_zero")]
    pub unmirrored_messages: u64,
    /// Bytes of its journal that the peer lacks; told while it is not mirrored.
    #[serde(skip_serializing_if = "is_zero")]
    pub lag_bytes: u64,
    /// The node that took over its messages, while it is silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopted_by: Option<String>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn yes() -> bool {
    true
}

fn half_a_second() -> String {
    "500ms".to_owned()
}
