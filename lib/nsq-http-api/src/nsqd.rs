//! nsqd's HTTP API from the asking side, and its `/info`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::Server;
use crate::{AdoptOrder, DrainStatus, Error, PairStatus, Stats};

/// `/info` of nsqd.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// NSQ version the server is compatible with, `1.3.0`.
    pub version: String,
    pub broadcast_address: String,
    pub hostname: String,
    /// -1 when the listener is a unix socket.
    pub http_port: i32,
    /// -1 when the listener is a unix socket.
    pub tcp_port: i32,
    /// Seconds since the Unix epoch.
    pub start_time: i64,
    /// Nanoseconds.
    pub max_heartbeat_interval: i64,
    /// Bytes.
    pub max_output_buffer_size: i64,
    /// Nanoseconds.
    pub max_output_buffer_timeout: i64,
    pub max_deflate_level: i32,
    /// Where the server is; left out where it was not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology_region: Option<String>,
    /// It takes no more messages; left out where it does.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
}

/// What `/stats` should tell. The default is everything but memory, as pollers want it.
#[derive(Debug, Clone, Copy)]
pub struct StatsQuery<'a> {
    /// Only this topic.
    pub topic: Option<&'a str>,
    /// Only this channel (of `topic`, or of every topic).
    pub channel: Option<&'a str>,
    /// With every connection; large on busy servers.
    pub include_clients: bool,
    /// With memory statistics.
    pub include_mem: bool,
}

impl Default for StatsQuery<'_> {
    fn default() -> Self {
        Self {
            topic: None,
            channel: None,
            include_clients: true,
            include_mem: false,
        }
    }
}

/// The API of one nsqd; made by [`Client::nsqd`](crate::Client::nsqd).
///
/// Every method fails with [`Error`]; codes named below are what [`Error::code`] gives.
#[derive(Debug, Clone, Copy)]
pub struct Nsqd<'a> {
    pub(crate) server: Server<'a>,
}

impl Nsqd<'_> {
    /// Is it healthy? A failed write shows as status 500 with `NOK - <why>` as the code.
    pub async fn ping(&self) -> Result<(), Error> {
        self.server.get("/ping").await.map(drop)
    }

    /// Version, addresses and negotiable limits.
    pub async fn info(&self) -> Result<Info, Error> {
        self.server.get_json("/info", &[]).await
    }

    /// Depths and counters.
    pub async fn stats(&self, query: StatsQuery<'_>) -> Result<Stats, Error> {
        let include = |yes: bool| if yes { "true" } else { "false" };
        let mut pairs = vec![
            ("format", "json"),
            ("include_clients", include(query.include_clients)),
            ("include_mem", include(query.include_mem)),
        ];
        pairs.extend(query.topic.map(|topic| ("topic", topic)));
        pairs.extend(query.channel.map(|channel| ("channel", channel)));
        self.server.get_json("/stats", &pairs).await
    }

    /// How the replication pair stands.
    pub async fn pair(&self) -> Result<PairStatus, Error> {
        self.server.get_json("/pair", &[]).await
    }

    /// Whether it takes messages, and what it has left.
    pub async fn drain_status(&self) -> Result<DrainStatus, Error> {
        self.server.get_json("/drain", &[]).await
    }

    /// No more messages are taken, what is there is still consumed. It stays so over restarts.
    pub async fn drain(&self) -> Result<(), Error> {
        self.server.post("/drain", &[], Bytes::new()).await
    }

    /// Messages are taken again.
    pub async fn undrain(&self) -> Result<(), Error> {
        self.server.post("/undrain", &[], Bytes::new()).await
    }

    /// Publishes one message; creates the topic. `MSG_TOO_BIG`, `MSG_EMPTY`, `INVALID_TOPIC`.
    pub async fn publish(&self, topic: &str, body: impl Into<Bytes>) -> Result<(), Error> {
        self.server
            .post("/pub", &[("topic", topic)], body.into())
            .await
    }

    /// Creates a topic; one that exists is left alone. `INVALID_TOPIC`.
    pub async fn create_topic(&self, topic: &str) -> Result<(), Error> {
        self.topic("/topic/create", topic).await
    }

    /// Deletes a topic, its channels and their messages. `TOPIC_NOT_FOUND`.
    pub async fn delete_topic(&self, topic: &str) -> Result<(), Error> {
        self.topic("/topic/delete", topic).await
    }

    /// Drops the messages that wait in the topic itself. `TOPIC_NOT_FOUND`.
    pub async fn empty_topic(&self, topic: &str) -> Result<(), Error> {
        self.topic("/topic/empty", topic).await
    }

    /// Stops the flow from the topic to its channels. `TOPIC_NOT_FOUND`.
    pub async fn pause_topic(&self, topic: &str) -> Result<(), Error> {
        self.topic("/topic/pause", topic).await
    }

    /// Ends a pause. `TOPIC_NOT_FOUND`.
    pub async fn unpause_topic(&self, topic: &str) -> Result<(), Error> {
        self.topic("/topic/unpause", topic).await
    }

    /// Creates a channel of an existing topic. `TOPIC_NOT_FOUND`, `INVALID_ARG_CHANNEL`.
    pub async fn create_channel(&self, topic: &str, channel: &str) -> Result<(), Error> {
        self.channel("/channel/create", topic, channel).await
    }

    /// Deletes a channel and its messages, disconnects its consumers. `CHANNEL_NOT_FOUND`.
    pub async fn delete_channel(&self, topic: &str, channel: &str) -> Result<(), Error> {
        self.channel("/channel/delete", topic, channel).await
    }

    /// Drops a channel's messages, those in flight and deferred too. `CHANNEL_NOT_FOUND`.
    pub async fn empty_channel(&self, topic: &str, channel: &str) -> Result<(), Error> {
        self.channel("/channel/empty", topic, channel).await
    }

    /// Stops delivery to the channel's consumers. `CHANNEL_NOT_FOUND`.
    pub async fn pause_channel(&self, topic: &str, channel: &str) -> Result<(), Error> {
        self.channel("/channel/pause", topic, channel).await
    }

    /// Ends a pause. `CHANNEL_NOT_FOUND`.
    pub async fn unpause_channel(&self, topic: &str, channel: &str) -> Result<(), Error> {
        self.channel("/channel/unpause", topic, channel).await
    }

    /// What is set for the topic beyond NSQ's ways, by key; `null` is as in NSQ. `TOPIC_NOT_FOUND`.
    pub async fn topic_settings(&self, topic: &str) -> Result<Value, Error> {
        let query = [("topic", topic)];
        self.server.get_json("/topic/settings", &query).await
    }

    /// Sets all of it: keys that are left out are as in NSQ again. `TOPIC_NOT_FOUND`,
    /// `INVALID_SETTINGS`.
    pub async fn set_topic_settings(&self, topic: &str, settings: &Value) -> Result<(), Error> {
        let body = Bytes::from(settings.to_string());
        let query = [("topic", topic)];
        self.server.post("/topic/settings", &query, body).await
    }

    /// As [`Nsqd::topic_settings`], of a channel. `CHANNEL_NOT_FOUND`.
    pub async fn channel_settings(&self, topic: &str, channel: &str) -> Result<Value, Error> {
        let query = [("topic", topic), ("channel", channel)];
        self.server.get_json("/channel/settings", &query).await
    }

    /// As [`Nsqd::set_topic_settings`], of a channel. `CHANNEL_NOT_FOUND`.
    pub async fn set_channel_settings(
        &self,
        topic: &str,
        channel: &str,
        settings: &Value,
    ) -> Result<(), Error> {
        let body = Bytes::from(settings.to_string());
        let query = [("topic", topic), ("channel", channel)];
        self.server.post("/channel/settings", &query, body).await
    }

    /// Has the node take over what it mirrors of its peer. `NO_MIRROR_OF_NODE`, `NODE_CAME_BACK`.
    pub async fn adopt(&self, order: &AdoptOrder<'_>) -> Result<(), Error> {
        let run = order.run.to_string();
        let query = [
            ("node", order.node),
            ("incarnation", order.incarnation),
            ("run", run.as_str()),
        ];
        self.server.post("/pair/adopt", &query, Bytes::new()).await
    }

    async fn topic(&self, path: &str, topic: &str) -> Result<(), Error> {
        self.server
            .post(path, &[("topic", topic)], Bytes::new())
            .await
    }

    async fn channel(&self, path: &str, topic: &str, channel: &str) -> Result<(), Error> {
        let query = [("topic", topic), ("channel", channel)];
        self.server.post(path, &query, Bytes::new()).await
    }
}

#[cfg(test)]
mod tests {
    use super::Info;

    #[test]
    fn info_has_nsqs_keys_in_nsqs_order() {
        let text = r#"{"version":"1.3.0","broadcast_address":"127.0.0.1","hostname":"vm","http_port":4151,"tcp_port":4150,"start_time":1795240596,"max_heartbeat_interval":60000000000,"max_output_buffer_size":65536,"max_output_buffer_timeout":30000000000,"max_deflate_level":6}"#;
        let info: Info = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&info).unwrap(), text);
    }
}
