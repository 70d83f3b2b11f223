//! `/stats?format=json` of nsqd.
//!
//! Lists are `Option` where NSQ answers both `null` and `[]` and means different things by them.

use serde::{Deserialize, Serialize};

use crate::{PairStatus, null_as_default};

/// The whole answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// NSQ version the server is compatible with, `1.3.0`.
    pub version: String,
    /// `OK`, or `NOK - ` and the reason, as `/ping` says it.
    pub health: String,
    /// Seconds since the Unix epoch at which the process started.
    pub start_time: i64,
    /// Sorted by name. `null` when a topic was asked for that does not exist, `[]` when there are none.
    pub topics: Option<Vec<TopicStats>>,
    /// Absent with `include_mem=false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Connections that have published; `null` when there are none or with `include_clients=false`.
    pub producers: Option<Vec<ClientStats>>,
    /// How the replication pair stands; left out without a peer. Not NSQ's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair: Option<PairStatus>,
    /// No messages are taken; left out while they are. Not NSQ's.
    #[serde(skip_serializing_if = "is_false")]
    pub draining: bool,
}

/// One topic.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TopicStats {
    pub topic_name: String,
    /// Sorted by name.
    #[serde(deserialize_with = "null_as_default")]
    pub channels: Vec<ChannelStats>,
    /// Messages that wait in the topic itself: it has no channel yet, or is paused.
    pub depth: i64,
    /// How many of `depth` are held outside memory.
    pub backend_depth: i64,
    /// Messages published since the process started.
    pub message_count: u64,
    /// Sum of their body sizes in bytes.
    pub message_bytes: u64,
    pub paused: bool,
    pub e2e_processing_latency: Latency,
    /// Deliveries that could not be made because the disk had damaged the message. Not NSQ's; left
    /// out while 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub lost_count: u64,
    /// What is set for the topic beyond NSQ's ways; left out where nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<serde_json::Value>,
}

/// One channel.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChannelStats {
    pub channel_name: String,
    /// Messages that wait for a consumer; neither in flight nor deferred ones.
    pub depth: i64,
    /// How many of `depth` are held outside memory.
    pub backend_depth: i64,
    /// Sent and not yet finished, requeued or timed out.
    pub in_flight_count: i64,
    /// Waiting for their due time.
    pub deferred_count: i64,
    /// Messages that have reached the channel since the process started.
    pub message_count: u64,
    pub requeue_count: u64,
    pub timeout_count: u64,
    /// Subscribed connections, given even when `clients` is left out.
    pub client_count: i64,
    /// `null` with `include_clients=false`.
    pub clients: Option<Vec<ClientStats>>,
    pub paused: bool,
    pub e2e_processing_latency: Latency,
    /// Deliveries to consumers in the node's own zone; left out, as the next two, while 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub zone_local_msg_count: u64,
    /// To those elsewhere in its region.
    #[serde(skip_serializing_if = "is_zero")]
    pub region_local_msg_count: u64,
    /// To all others.
    #[serde(skip_serializing_if = "is_zero")]
    pub global_msg_count: u64,
    /// Messages that grew too old to be delivered. Not NSQ's, as the next three; left out while 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub expired_count: u64,
    /// Messages that made room for others.
    #[serde(skip_serializing_if = "is_zero")]
    pub dropped_count: u64,
    /// Messages that were delivered as often as they may be.
    #[serde(skip_serializing_if = "is_zero")]
    pub dead_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<serde_json::Value>,
}

/// One connection, either a consumer below its channel or a producer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientStats {
    pub client_id: String,
    pub hostname: String,
    /// The protocol spoken: `V2`.
    pub version: String,
    pub remote_address: String,
    /// 0 init, 1 disconnected, 2 connected, 3 subscribed, 4 closing.
    pub state: i32,
    pub ready_count: i64,
    pub in_flight_count: i64,
    /// Messages sent to the client.
    pub message_count: u64,
    pub finish_count: u64,
    pub requeue_count: u64,
    /// Seconds since the Unix epoch.
    pub connect_ts: i64,
    /// Percent of messages the client asked for; 0 is all.
    pub sample_rate: i32,
    pub deflate: bool,
    pub snappy: bool,
    pub user_agent: String,
    /// Left out unless the connection has authenticated.
    #[serde(skip_serializing_if = "is_false")]
    pub authed: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub auth_identity: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub auth_identity_url: String,
    /// Messages this connection has published, per topic; `null` for none.
    pub pub_counts: Option<Vec<PubCount>>,
    pub tls: bool,
    pub tls_cipher_suite: String,
    pub tls_version: String,
    pub tls_negotiated_protocol: String,
    pub tls_negotiated_protocol_is_mutual: bool,
    /// Where the client says it is; left out where it does not say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub topology_region: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub topology_zone: String,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_false(value: &bool) -> bool {
    !value
}

/// How many messages a connection has published to a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PubCount {
    pub topic: String,
    pub count: u64,
}

/// Time from publish to FIN over the last window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// Messages the window holds.
    pub count: u64,
    /// `null` unless percentiles are configured.
    pub percentiles: Option<Vec<Percentile>>,
}

/// One configured percentile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Percentile {
    /// In (0, 1].
    #[serde(serialize_with = "crate::go_float::serialize")]
    pub quantile: f64,
    /// Nanoseconds.
    #[serde(serialize_with = "crate::go_float::serialize")]
    pub value: f64,
}

/// Memory of the process, under the names of Go's runtime. A server without a garbage collector
/// reports its resident memory as in use and zero where there is nothing to report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    pub heap_objects: u64,
    pub heap_idle_bytes: u64,
    pub heap_in_use_bytes: u64,
    pub heap_released_bytes: u64,
    pub gc_pause_usec_100: u64,
    pub gc_pause_usec_99: u64,
    pub gc_pause_usec_95: u64,
    pub next_gc_bytes: u64,
    pub gc_total_runs: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(text: &str) -> Stats {
        let stats: Stats = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&stats).unwrap(), text);
        stats
    }

    #[test]
    fn empty_server() {
        let text = r#"{"version":"1.3.0","health":"OK","start_time":1795240596,"topics":[],"memory":{"heap_objects":2337,"heap_idle_bytes":2482176,"heap_in_use_bytes":1253376,"heap_released_bytes":2482176,"gc_pause_usec_100":0,"gc_pause_usec_99":0,"gc_pause_usec_95":0,"next_gc_bytes":4194304,"gc_total_runs":0},"producers":null}"#;
        assert_eq!(round_trip(text).topics, Some(vec![]));
    }

    #[test]
    fn unknown_topic_is_null_and_memory_may_be_left_out() {
        let stats = round_trip(
            r#"{"version":"1.3.0","health":"OK","start_time":1795240596,"topics":null,"producers":null}"#,
        );
        assert_eq!((stats.topics, stats.memory), (None, None));
    }

    #[test]
    fn topic_with_consumer_and_producer() {
        let client = r#"{"client_id":"cid","hostname":"host.example","version":"V2","remote_address":"127.0.0.1:33668","state":3,"ready_count":1,"in_flight_count":1,"message_count":4,"finish_count":1,"requeue_count":1,"connect_ts":1795240610,"sample_rate":0,"deflate":false,"snappy":false,"user_agent":"rec/1","pub_counts":[{"topic":"flow","count":2}],"tls":false,"tls_cipher_suite":"","tls_version":"","tls_negotiated_protocol":"","tls_negotiated_protocol_is_mutual":false}"#;
        let text = format!(
            r#"{{"version":"1.3.0","health":"OK","start_time":1795240596,"topics":[{{"topic_name":"flow","channels":[{{"channel_name":"ch","depth":0,"backend_depth":0,"in_flight_count":1,"deferred_count":0,"message_count":2,"requeue_count":1,"timeout_count":1,"client_count":1,"clients":[{client}],"paused":false,"e2e_processing_latency":{{"count":0,"percentiles":null}}}}],"depth":0,"backend_depth":0,"message_count":2,"message_bytes":12,"paused":false,"e2e_processing_latency":{{"count":0,"percentiles":null}}}}],"producers":[{client}]}}"#
        );
        let stats = round_trip(&text);
        let producers = stats.producers.unwrap();
        assert_eq!(producers[0].pub_counts.as_ref().unwrap()[0].count, 2);
    }

    #[test]
    fn percentiles_are_written_as_go_writes_floats() {
        let latency = Latency {
            count: 3,
            percentiles: Some(vec![
                Percentile {
                    quantile: 1.0,
                    value: 1_500_000.0,
                },
                Percentile {
                    quantile: 0.99,
                    value: 12.5,
                },
            ]),
        };
        assert_eq!(
            serde_json::to_string(&latency).unwrap(),
            r#"{"count":3,"percentiles":[{"quantile":1,"value":1500000},{"quantile":0.99,"value":12.5}]}"#
        );
    }

    #[test]
    fn other_versions_are_read() {
        let stats: Stats = serde_json::from_str(
            r#"{"version":"9","new_key":{"a":1},"topics":[{"topic_name":"t","channels":null}]}"#,
        )
        .unwrap();
        assert_eq!(stats.topics.unwrap()[0].channels, []);
    }
}
