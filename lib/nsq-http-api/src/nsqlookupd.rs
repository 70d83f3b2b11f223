//! nsqlookupd's HTTP API from the asking side, and the shapes of its answers.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::client::Server;
use crate::{Error, null_as_default};

/// `/info` of nsqlookupd.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LookupInfo {
    /// NSQ version the server is compatible with, `1.3.0`.
    pub version: String,
}

/// `/lookup?topic=`: where a topic is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lookup {
    #[serde(deserialize_with = "null_as_default")]
    pub channels: Vec<String>,
    /// The nsqds that have it, neither inactive nor tombstoned.
    #[serde(deserialize_with = "null_as_default")]
    pub producers: Vec<Producer>,
}

/// An nsqd as `/lookup` lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Producer {
    /// Its side of the connection to nsqlookupd.
    pub remote_address: String,
    pub hostname: String,
    /// The host under which clients reach it.
    pub broadcast_address: String,
    pub tcp_port: i32,
    pub http_port: i32,
    pub version: String,
    /// Where it is, if it says so; NSQ 1.3's do not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub topology_zone: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub topology_region: String,
}

/// `/nodes`: every nsqd that is not inactive, tombstoned or not. `/nodes?pair_name=`: those connected, inactive or not,
/// that their replication peer calls so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Nodes {
    #[serde(deserialize_with = "null_as_default")]
    pub producers: Vec<Node>,
    /// The name that was asked for. Empty: all nsqds, also from NSQ 1.3, which does not understand the question.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pair_name: String,
}

/// An nsqd as `/nodes` lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Its side of the connection to nsqlookupd.
    pub remote_address: String,
    pub hostname: String,
    /// The host under which clients reach it.
    pub broadcast_address: String,
    pub tcp_port: i32,
    pub http_port: i32,
    pub version: String,
    /// Where it is, if it says so; NSQ 1.3's do not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub topology_zone: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub topology_region: String,
    /// `tombstones[i]` belongs to `topics[i]`.
    #[serde(deserialize_with = "null_as_default")]
    pub tombstones: Vec<bool>,
    #[serde(deserialize_with = "null_as_default")]
    pub topics: Vec<String>,
    /// For how long it has said nothing, nanoseconds; where a pair's name was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent_ns: Option<u64>,
}

/// `/topics`: every topic that is registered or was created, with producers or without.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Topics {
    #[serde(deserialize_with = "null_as_default")]
    pub topics: Vec<String>,
}

/// `/channels?topic=`: empty for an unknown topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Channels {
    #[serde(deserialize_with = "null_as_default")]
    pub channels: Vec<String>,
}

/// The API of one nsqlookupd; made by [`Client::nsqlookupd`](crate::Client::nsqlookupd).
///
/// Every method fails with [`Error`]; codes named below are what [`Error::code`] gives.
#[derive(Debug, Clone, Copy)]
pub struct Nsqlookupd<'a> {
    pub(crate) server: Server<'a>,
}

impl Nsqlookupd<'_> {
    /// Is it there?
    pub async fn ping(&self) -> Result<(), Error> {
        self.server.get("/ping").await.map(drop)
    }

    /// Its version.
    pub async fn info(&self) -> Result<LookupInfo, Error> {
        self.server.get_json("/info", &[]).await
    }

    /// Channels and nsqds of a topic. `TOPIC_NOT_FOUND`.
    pub async fn lookup(&self, topic: &str) -> Result<Lookup, Error> {
        self.server.get_json("/lookup", &[("topic", topic)]).await
    }

    /// All topics.
    pub async fn topics(&self) -> Result<Vec<String>, Error> {
        self.server
            .get_json::<Topics>("/topics", &[])
            .await
            .map(|answer| answer.topics)
    }

    /// The channels of a topic; none if it is unknown.
    pub async fn channels(&self, topic: &str) -> Result<Vec<String>, Error> {
        let query = [("topic", topic)];
        let answer = self
            .server
            .get_json::<Channels>("/channels", &query)
            .await?;
        Ok(answer.channels)
    }

    /// All nsqds.
    pub async fn nodes(&self) -> Result<Vec<Node>, Error> {
        self.server
            .get_json::<Nodes>("/nodes", &[])
            .await
            .map(|answer| answer.producers)
    }

    /// The nsqds that their replication peer calls so, with how long they have been silent; all nsqds from NSQ 1.3.
    pub async fn nodes_of_pair(&self, pair_name: &str) -> Result<Nodes, Error> {
        let query = [("pair_name", pair_name)];
        self.server.get_json("/nodes", &query).await
    }

    /// Makes a topic known. `INVALID_ARG_TOPIC`.
    pub async fn create_topic(&self, topic: &str) -> Result<(), Error> {
        self.server
            .post("/topic/create", &[("topic", topic)], Bytes::new())
            .await
    }

    /// Forgets a topic and its channels; a connected nsqd may register it again.
    pub async fn delete_topic(&self, topic: &str) -> Result<(), Error> {
        self.server
            .post("/topic/delete", &[("topic", topic)], Bytes::new())
            .await
    }

    /// Makes a channel, and its topic, known. `INVALID_ARG_CHANNEL`.
    pub async fn create_channel(&self, topic: &str, channel: &str) -> Result<(), Error> {
        let query = [("topic", topic), ("channel", channel)];
        self.server
            .post("/channel/create", &query, Bytes::new())
            .await
    }

    /// Forgets a channel. `CHANNEL_NOT_FOUND`.
    pub async fn delete_channel(&self, topic: &str, channel: &str) -> Result<(), Error> {
        let query = [("topic", topic), ("channel", channel)];
        self.server
            .post("/channel/delete", &query, Bytes::new())
            .await
    }

    /// Hides the nsqd `node` (`broadcast_address:http_port`) from `/lookup` of the topic for the
    /// server's tombstone lifetime. An unknown topic or node is no error.
    pub async fn tombstone(&self, topic: &str, node: &str) -> Result<(), Error> {
        let query = [("topic", topic), ("node", node)];
        self.server
            .post("/topic/tombstone", &query, Bytes::new())
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_nsqs_keys_in_nsqs_order() {
        let lookup = r#"{"channels":["ch"],"producers":[{"remote_address":"127.0.0.1:58806","hostname":"vm","broadcast_address":"127.0.0.1","tcp_port":4150,"http_port":4151,"version":"1.3.0"}]}"#;
        let value: Lookup = serde_json::from_str(lookup).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), lookup);

        let nodes = r#"{"producers":[{"remote_address":"127.0.0.1:58806","hostname":"vm","broadcast_address":"127.0.0.1","tcp_port":4150,"http_port":4151,"version":"1.3.0","tombstones":[true,false],"topics":["flow","tcp1"]}]}"#;
        let value: Nodes = serde_json::from_str(nodes).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), nodes);
    }

    #[test]
    fn null_lists_are_empty() {
        let topics: Topics = serde_json::from_str(r#"{"topics":null}"#).unwrap();
        assert_eq!(topics, Topics::default());
    }
}
