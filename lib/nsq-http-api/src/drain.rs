//! `/drain` of nsqd: whether it takes messages, and what it has left.

use serde::{Deserialize, Serialize};

/// The whole answer. Ephemeral topics and channels do not count.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct DrainStatus {
    /// Publishing is refused.
    pub draining: bool,
    /// Nanoseconds since 1970; 0 if it does not drain.
    pub since: i64,
    /// Nothing is left: the node can be removed without losing a message.
    pub empty: bool,
    /// Deliveries that are left: messages no channel has got yet, and those of each channel.
    pub messages: u64,
    /// Topics with something left, by name.
    pub topics: Vec<DrainingTopic>,
}

/// A topic with something left.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct DrainingTopic {
    pub topic: String,
    /// Its part of [`DrainStatus::messages`].
    pub messages: u64,
    /// Messages no channel has got yet.
    pub depth: u64,
    /// Channels with something left.
    pub channels: Vec<DrainingChannel>,
}

/// A channel with something left.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct DrainingChannel {
    pub channel: String,
    /// Messages that wait for a consumer.
    pub depth: u64,
    /// Sent and not finished.
    pub in_flight: u64,
    /// Waiting for their time.
    pub deferred: u64,
    /// Connections that consume. Without one it does not get less.
    pub consumers: u64,
}
