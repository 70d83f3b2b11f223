//! What is: which node holds what of a topic.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::cluster::names::Component;

/// A topic as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    pub now: Timestamp,
    pub cluster: ClusterState,
    /// Another, older NsqTopic that declares the same topic of the same cluster.
    pub rival: Option<String>,
    pub nodes: Vec<NodeState>,
}

/// The cluster that a topic belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterState {
    Missing,
    /// It is being deleted, and its topics with it.
    Leaving,
    Present,
}

/// One node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    pub name: String,
    pub component: Component,
    /// host:port of its HTTP API.
    pub address: String,
    /// What it holds of the topic, or a sentence why it cannot be asked.
    pub holds: Result<Held, String>,
}

/// What a node holds of the topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    pub exists: bool,
    /// Always false on nsqlookupd, which knows no pause.
    pub paused: bool,
    /// Channels, and whether each is paused.
    pub channels: BTreeMap<String, bool>,
    /// What is set for the topic; nothing on nsqlookupd, which knows no settings.
    pub settings: Value,
    /// What is set for each channel.
    pub channel_settings: BTreeMap<String, Value>,
}
