//! What can be set for a topic or a channel beyond NSQ's ways: nsqd's settings (docs/http.md), in Kubernetes' spelling.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::cluster::Durability;

/// Settings of a topic; its channels have them too, but for what they set themselves.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TopicSettings {
    /// When a publisher gets its OK, in the place of the cluster's durability. To or from `memory` it changes only
    /// while the topic has no messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,
    /// Bytes of all messages of the topic, on each node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_bytes: Option<i64>,
    #[serde(flatten)]
    pub channel: ChannelSettings,
}

/// Settings of a channel.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ChannelSettings {
    /// After so many deliveries a message is not delivered again; 0: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 65535))]
    pub max_attempts: Option<i64>,
    /// Where it is published then; without one it is finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[.a-zA-Z0-9_-]+$')")
        .message("a topic's name is made of letters, digits, '.', '_' and '-'"))]
    pub dead_letter_topic: Option<String>,
    /// Older messages are not delivered, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub message_ttl_ms: Option<i64>,
    /// Messages that may wait in a channel, on each node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_depth: Option<i64>,
    /// What happens at a limit: publishing is refused, or the oldest make room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflow: Option<Overflow>,
    /// What a consumer holds when its connection ends waits again at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requeue_on_disconnect: Option<bool>,
}

/// What happens at a limit.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Publishing is refused.
    Reject,
    /// The oldest that wait make room.
    DropOldest,
}

impl TopicSettings {
    /// As nsqd's `PUT /topic/settings` takes them.
    #[must_use]
    pub fn to_nsqd(&self) -> Value {
        let mut settings = self.channel.map();
        let durability = self.durability.map(Durability::as_str);
        put(&mut settings, "durability", durability);
        put(&mut settings, "max_bytes", self.max_bytes);
        Value::Object(settings)
    }
}

impl ChannelSettings {
    /// As nsqd's `PUT /channel/settings` takes them.
    #[must_use]
    pub fn to_nsqd(&self) -> Value {
        Value::Object(self.map())
    }

    fn map(&self) -> Map<String, Value> {
        let mut settings = Map::new();
        put(&mut settings, "max_attempts", self.max_attempts);
        let dead_letter_topic = self.dead_letter_topic.as_deref();
        put(&mut settings, "dead_letter_topic", dead_letter_topic);
        put(&mut settings, "message_ttl_ms", self.message_ttl_ms);
        put(&mut settings, "max_depth", self.max_depth);
        let overflow = self.overflow.map(|overflow| match overflow {
            Overflow::Reject => "reject",
            Overflow::DropOldest => "drop-oldest",
        });
        put(&mut settings, "overflow", overflow);
        let requeue = self.requeue_on_disconnect;
        put(&mut settings, "requeue_on_disconnect", requeue);
        settings
    }
}

fn put(settings: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        settings.insert(key.to_owned(), value.into());
    }
}
