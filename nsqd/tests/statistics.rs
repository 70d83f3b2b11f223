//! What is told to those who watch: statsd, latencies, KEDA, Telegraf, nsq_exporter.

#![allow(clippy::unwrap_used)] // a test may

mod support;

use std::collections::BTreeMap;

use nsq_http_api::stats::Stats;
use serde_json::Value;
use support::http::ask;
use support::{Node, Wire};
use tokio::net::UdpSocket;

/// A statsd daemon of lines: name to (value, kind).
async fn receive(socket: &UdpSocket, lines: &mut Vec<(String, u64, String)>) {
    let mut packet = [0; 2048];
    let size = socket.recv(&mut packet).await.unwrap();
    assert!(size <= 508, "{size}");
    let text = std::str::from_utf8(&packet[..size]).unwrap();
    for line in text.strip_suffix('\n').unwrap().split('\n') {
        let (name, rest) = line.split_once(':').unwrap();
        let (value, kind) = rest.split_once('|').unwrap();
        lines.push((name.to_owned(), value.parse().unwrap(), kind.to_owned()));
    }
}

/// The recording of the Go nsqd: these names, of these kinds, in this order.
const STATSD: &[&str] = &[
    "topic.se#ephemeral.message_count|c",
    "topic.se#ephemeral.message_bytes|c",
    "topic.se#ephemeral.depth|g",
    "topic.se#ephemeral.backend_depth|g",
    "topic.se#ephemeral.e2e_processing_latency_99|g",
    "topic.se#ephemeral.e2e_processing_latency_50|g",
    "topic.st.message_count|c",
    "topic.st.message_bytes|c",
    "topic.st.depth|g",
    "topic.st.backend_depth|g",
    "topic.st.e2e_processing_latency_99|g",
    "topic.st.e2e_processing_latency_50|g",
    "topic.st.channel.sc.message_count|c",
    "topic.st.channel.sc.depth|g",
    "topic.st.channel.sc.backend_depth|g",
    "topic.st.channel.sc.in_flight_count|g",
    "topic.st.channel.sc.deferred_count|g",
    "topic.st.channel.sc.requeue_count|c",
    "topic.st.channel.sc.timeout_count|c",
    "topic.st.channel.sc.clients|g",
    "topic.st.channel.sc.e2e_processing_latency_99|g",
    "topic.st.channel.sc.e2e_processing_latency_50|g",
    "mem.heap_objects|g",
    "mem.heap_idle_bytes|g",
    "mem.heap_in_use_bytes|g",
    "mem.heap_released_bytes|g",
    "mem.gc_pause_usec_100|g",
    "mem.gc_pause_usec_99|g",
    "mem.gc_pause_usec_95|g",
    "mem.next_gc_bytes|g",
    "mem.gc_runs|c",
];

#[tokio::test]
async fn statsd_gets_nsqs_lines() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = format!("--statsd-address={}", socket.local_addr().unwrap());
    let node = Node::start(&[
        &to,
        "--statsd-interval=300ms",
        "--broadcast-address=node.example",
        "--broadcast-http-port=9851",
        "--e2e-processing-latency-percentile=0.99,0.5",
    ])
    .await;
    let mut wire = node.attach().await;
    wire.publish("st", "x").await;
    node.post("/channel/create?topic=st&channel=sc").await;
    wire.publish("se#ephemeral", "xyz").await;
    let mut lines = Vec::new();
    // The first push may have come before all of this.
    let push = loop {
        lines.clear();
        while lines
            .last()
            .is_none_or(|(name, ..): &(String, u64, String)| !name.ends_with("mem.gc_runs"))
        {
            receive(&socket, &mut lines).await;
        }
        if lines.len() == STATSD.len() {
            break lines.clone();
        }
    };
    let key = |(name, _, kind): &(String, u64, String)| {
        let bare = name.strip_prefix("nsq.node_example_9851.").unwrap();
        format!("{bare}|{kind}")
    };
    assert_eq!(push.iter().map(key).collect::<Vec<_>>(), STATSD);
    let value = |push: &[(String, u64, String)], name: &str| {
        let found = push.iter().find(|line| line.0.ends_with(name));
        found.unwrap().1
    };
    assert_eq!(value(&push, "channel.sc.depth"), 1);
    // Counters tell what has come on top since.
    for _ in 0..3 {
        wire.publish("st", "abc").await;
    }
    let mut grown = 0;
    while grown == 0 {
        lines.clear();
        while lines
            .last()
            .is_none_or(|(name, ..)| !name.ends_with("mem.gc_runs"))
        {
            receive(&socket, &mut lines).await;
        }
        grown = value(&lines, "channel.sc.message_count");
        assert!(grown <= 3);
    }
}

#[tokio::test]
async fn statsd_leaves_out_what_it_should() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = format!("--statsd-address={}", socket.local_addr().unwrap());
    let node = Node::start(&[
        &to,
        "--statsd-interval=100ms",
        "--statsd-prefix=own",
        "--statsd-mem-stats=false",
        "--statsd-exclude-ephemeral",
        "--statsd-udp-packet-size=1",
    ])
    .await;
    let mut wire = node.attach().await;
    wire.publish("a#ephemeral", "x").await;
    wire.publish("z", "x").await;
    let mut lines = Vec::new();
    while lines.len() < 4 {
        receive(&socket, &mut lines).await;
    }
    let names: Vec<&str> = lines.iter().map(|line| line.0.as_str()).collect();
    let of = ["message_count", "message_bytes", "depth", "backend_depth"];
    assert_eq!(names, of.map(|name| format!("own.topic.z.{name}")));
}

/// The time from publishing to FIN, of a channel and its topic.
#[tokio::test(start_paused = true)]
async fn latencies_are_told_in_percentiles() {
    let node = Node::start(&[
        "--e2e-processing-latency-percentile=1.0,0.5",
        "--e2e-processing-latency-window-time=60s",
    ])
    .await;
    let mut consumer = node.consumer("t", "c", 10).await;
    let mut wire = node.attach().await;
    wire.publish("t", "x").await;
    let message = consumer.message().await;
    consumer.finish(&message).await;
    consumer.nothing_but_ok().await;
    let gathered = node.topic("t").await;
    let channel = &gathered.channels[0].e2e_processing_latency;
    assert_eq!(
        (channel.count, gathered.e2e_processing_latency.count),
        (1, 1)
    );
    let percentiles = channel.percentiles.as_ref().unwrap();
    assert_eq!(
        percentiles.iter().map(|p| p.quantile).collect::<Vec<_>>(),
        [1.0, 0.5]
    );
    assert!(percentiles[0].value > 0.0 && percentiles[0].value < 60e9);
    let text = ask(&node, "GET /stats", b"").await.body;
    let line = text.lines().find(|line| line.contains("[c ")).unwrap();
    let times = line.split_once("e2e%: ").unwrap().1;
    assert_eq!(times.split(", ").count(), 2, "{line}");
    assert!(times.ends_with('s'));
}

/// Messages go to consumers of the own zone while one of them waits, then to the region's.
#[tokio::test]
async fn the_nearest_consumer_comes_first() {
    let node = Node::start(&[
        "--topology-region=r",
        "--topology-zone=z",
        "--enable-experiment=topology-aware-consumption",
    ])
    .await;
    let consumer = async |place: &str| {
        let mut wire = Wire::new(support::upgrade::attach(&node, 1 << 16));
        wire.send(b"  V2").await;
        wire.identify(place).await;
        wire.subscribe("t", "c", 1).await;
        wire.nothing_but_ok().await;
        wire
    };
    let mut far = consumer(r#"{"topology_region":"x","topology_zone":"z"}"#).await;
    let mut near = consumer(r#"{"topology_region":"r","topology_zone":"y"}"#).await;
    let mut nearest = consumer(r#"{"topology_region":"r","topology_zone":"z"}"#).await;
    let mut wire = node.attach().await;
    for _ in 0..5 {
        wire.publish("t", "x").await;
        let message = nearest.message().await;
        nearest.finish(&message).await;
        nearest.nothing_but_ok().await;
    }
    nearest.say("RDY 0").await;
    nearest.nothing_but_ok().await;
    wire.publish("t", "y").await;
    near.message().await;
    wire.publish("t", "z").await;
    far.message().await;
    let channel = node.channel("t", "c").await;
    let counts = (
        channel.zone_local_msg_count,
        channel.region_local_msg_count,
        channel.global_msg_count,
    );
    assert_eq!(counts, (5, 1, 1));
    let zones: Vec<String> = channel
        .clients
        .unwrap()
        .into_iter()
        .map(|c| c.topology_zone)
        .collect();
    assert_eq!(zones, ["z", "y", "z"]);
    let info: Value = serde_json::from_str(&ask(&node, "GET /info", b"").await.body).unwrap();
    assert_eq!(
        (&info["topology_region"], &info["topology_zone"]),
        (&"r".into(), &"z".into())
    );
}

/// One topic, one consumer that holds a message, one producer.
async fn busy(node: &Node) -> (Wire<tokio::io::DuplexStream>, Wire<tokio::io::DuplexStream>) {
    let mut producer = node.attach().await;
    for body in ["a", "b", "c"] {
        producer.publish("orders", body).await;
    }
    let mut consumer = node.consumer("orders", "ship", 1).await;
    consumer.message().await;
    node.post("/channel/create?topic=orders&channel=bill").await;
    (producer, consumer)
}

/// KEDA's scaler: asks for one topic without clients and memory, sums depths; of a channel that is
/// not there it takes the topic's depth, of a paused one nothing.
#[tokio::test]
async fn keda_finds_its_depth() {
    let node = Node::start(&[]).await;
    let _connections = busy(&node).await;
    let path = "GET /stats?format=json&include_clients=false&include_mem=false&topic=orders";
    let answer = ask(&node, path, b"").await;
    assert!(!answer.body.contains("\"clients\":["));
    let stats: Value = serde_json::from_str(&answer.body).unwrap();
    let depth = |stats: &Value, channel: &str| -> i64 {
        let topic = &stats["topics"][0];
        let channels = topic["channels"].as_array().unwrap();
        let found = channels.iter().find(|c| c["channel_name"] == channel);
        match found {
            Some(found) if found["paused"] == true => 0,
            Some(found) => found["depth"].as_i64().unwrap(),
            None => topic["depth"].as_i64().unwrap(),
        }
    };
    assert_eq!(depth(&stats, "ship"), 2);
    assert_eq!(depth(&stats, "other"), 0);
    node.post("/channel/pause?topic=orders&channel=ship").await;
    let answer = ask(&node, path, b"").await;
    assert_eq!(
        depth(&serde_json::from_str(&answer.body).unwrap(), "ship"),
        0
    );
}

/// Telegraf's nsq input: these keys as numbers and texts, of topics, channels and clients.
#[tokio::test]
async fn telegraf_finds_its_fields() {
    let node = Node::start(&[]).await;
    let _connections = busy(&node).await;
    let answer = ask(&node, "GET /stats?format=json", b"").await;
    let stats: Value = serde_json::from_str(&answer.body).unwrap();
    assert!(stats["version"].is_string() && stats["health"] == "OK");
    assert!(stats["start_time"].is_i64());
    let numbers = |of: &Value, keys: &[&str]| {
        for key in keys {
            assert!(of[key].is_number(), "{key} in {of}");
        }
    };
    let topic = &stats["topics"][0];
    numbers(topic, &["depth", "backend_depth", "message_count"]);
    assert!(topic["paused"].is_boolean() && topic["topic_name"].is_string());
    let channel = topic["channels"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["channel_name"] == "ship")
        .unwrap();
    numbers(
        channel,
        &[
            "depth",
            "backend_depth",
            "in_flight_count",
            "deferred_count",
            "message_count",
            "requeue_count",
            "timeout_count",
        ],
    );
    let client = &channel["clients"][0];
    numbers(
        client,
        &[
            "state",
            "ready_count",
            "in_flight_count",
            "message_count",
            "finish_count",
            "requeue_count",
            "connect_ts",
            "sample_rate",
        ],
    );
    for key in [
        "client_id",
        "hostname",
        "version",
        "remote_address",
        "user_agent",
        "tls_cipher_suite",
        "tls_version",
        "tls_negotiated_protocol",
    ] {
        assert!(client[key].is_string(), "{key}");
    }
    for key in [
        "deflate",
        "snappy",
        "tls",
        "tls_negotiated_protocol_is_mutual",
    ] {
        assert!(client[key].is_boolean(), "{key}");
    }
}

/// nsq_exporter: percentiles by quantile, and the client's numbers; an absent list is none.
#[tokio::test]
async fn the_exporter_finds_its_percentiles() {
    let node = Node::start(&["--e2e-processing-latency-percentile=0.99"]).await;
    let _connections = busy(&node).await;
    let answer = ask(&node, "GET /stats?format=json", b"").await;
    let stats: Value = serde_json::from_str(&answer.body).unwrap();
    let percentiles = &stats["topics"][0]["e2e_processing_latency"];
    assert_eq!(percentiles["count"], 0);
    let as_exported: Vec<BTreeMap<String, f64>> =
        serde_json::from_value(percentiles["percentiles"].clone()).unwrap();
    assert_eq!(
        as_exported,
        [BTreeMap::from([
            ("quantile".to_owned(), 0.99),
            ("value".to_owned(), 0.0)
        ])]
    );
    let read: Stats = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(read.producers.unwrap().len(), 1);
}
