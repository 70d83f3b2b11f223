//! The numbers of `/stats`, and their text form.

mod text;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nsq_http_api::stats::{
    ChannelStats, ClientStats, Latency, Memory, Percentile, PubCount, Stats, TopicStats,
};
use nsq_protocol::NSQ_VERSION;
use nsq_queue::{ConsumerStats, LatencySummary, Settings};

use crate::client::Client;
use crate::live_topic::LiveTopic;
use crate::nsqd::Nsqd;

pub(crate) use text::text;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub topic: Option<&'a str>,
    /// Of the topic, or of each topic that has it.
    pub channel: Option<&'a str>,
    pub clients: bool,
    pub memory: bool,
}

/// A topic's numbers, and how long its channels' messages took lately.
struct Snapshot {
    queue: nsq_queue::TopicStats<Arc<Client>>,
    latencies: HashMap<String, LatencySummary>,
}

fn snapshot(nsqd: &Arc<Nsqd>, topic: &Arc<LiveTopic>) -> Snapshot {
    if nsqd.options.e2e_percentiles.is_empty() {
        return Snapshot {
            queue: topic.read(|queue| queue.stats()),
            latencies: HashMap::new(),
        };
    }
    let wall = nsqd.clock.wall();
    topic.change_now(nsqd, |queue, _| Snapshot {
        queue: queue.stats(),
        latencies: queue.latencies(wall).into_iter().collect(),
    })
}

/// What is shown of times: nothing where nobody asked for percentiles, zeros where there are none.
fn latency(summary: Option<&LatencySummary>, percentiles: &[f64]) -> Latency {
    let percentile = |&quantile: &f64| Percentile {
        quantile,
        value: summary.map_or(0.0, |summary| summary.at(quantile) as f64),
    };
    Latency {
        count: summary.map_or(0, LatencySummary::count),
        percentiles: match percentiles {
            [] => None,
            percentiles => Some(percentiles.iter().map(percentile).collect()),
        },
    }
}

/// NSQ's numbers for connections.
const INIT: i32 = 0;
const SUBSCRIBED: i32 = 3;
const CLOSING: i32 = 4;

pub(crate) fn gather(nsqd: &Arc<Nsqd>, wanted: &Wanted<'_>) -> Stats {
    let health = match nsqd.health() {
        Ok(()) => "OK".to_owned(),
        Err(error) => format!("NOK - {error}"),
    };
    let mut stats = Stats {
        version: NSQ_VERSION.to_owned(),
        health,
        start_time: nsqd.clock.started_at(),
        topics: None,
        memory: wanted.memory.then(memory),
        producers: None,
        draining: nsqd.drain.is_on(),
        pair: nsqd.pair.is_configured().then(|| nsqd.pair.status(nsqd)),
    };
    if wanted
        .topic
        .is_some_and(|name| nsqd.find_topic(name).is_none())
    {
        return stats;
    }
    // A producer's line has its numbers as a consumer too, of whichever topic.
    let live = match wanted.topic.filter(|_| !wanted.clients) {
        Some(name) => nsqd.find_topic(name).into_iter().collect(),
        None => nsqd.topics(),
    };
    let snapshots: Vec<Snapshot> = live.iter().map(|topic| snapshot(nsqd, topic)).collect();
    if wanted.clients {
        let producers = producers(nsqd, &snapshots, wanted.topic);
        stats.producers = (!producers.is_empty()).then_some(producers);
    }
    let asked = snapshots
        .into_iter()
        .filter(|topic| wanted.topic.is_none_or(|name| name == topic.queue.name));
    stats.topics = Some(
        asked
            .filter_map(|topic| topic_stats(nsqd, topic, wanted))
            .collect(),
    );
    stats
}

/// `None` if a channel is asked for that this topic does not have.
fn topic_stats(nsqd: &Nsqd, snapshot: Snapshot, wanted: &Wanted<'_>) -> Option<TopicStats> {
    let Snapshot {
        queue: mut topic,
        latencies,
    } = snapshot;
    let percentiles = &nsqd.options.e2e_percentiles;
    if let Some(name) = wanted.channel {
        topic.channels.retain(|channel| channel.name == name);
        if topic.channels.is_empty() {
            return None;
        }
    }
    topic.channels.sort_by(|a, b| a.name.cmp(&b.name));
    let all = latencies.values().cloned().reduce(|mut all, more| {
        all.add(&more);
        all
    });
    let channels = topic.channels.into_iter();
    Some(TopicStats {
        topic_name: topic.name,
        channels: channels
            .map(|channel| {
                let latency = latency(latencies.get(&channel.name), percentiles);
                channel_stats(nsqd, channel, latency, wanted)
            })
            .collect(),
        depth: signed(topic.depth),
        backend_depth: signed(topic.backend_depth),
        message_count: topic.message_count,
        message_bytes: topic.message_bytes,
        paused: topic.paused,
        e2e_processing_latency: latency(all.as_ref(), percentiles),
        lost_count: topic.lost_count,
        settings: shown(&topic.settings),
    })
}

fn channel_stats(
    nsqd: &Nsqd,
    channel: nsq_queue::ChannelStats<Arc<Client>>,
    latency: Latency,
    wanted: &Wanted<'_>,
) -> ChannelStats {
    let [zone, region, anywhere] = match nsqd.options.is_topology_aware() {
        true => channel.delivered,
        false => [0; 3],
    };
    let clients = channel.consumers.iter();
    let clients =
        clients.map(|(client, numbers)| client_stats(client, Some(numbers), wanted.topic));
    ChannelStats {
        channel_name: channel.name,
        depth: signed(channel.depth),
        backend_depth: signed(channel.backend_depth),
        in_flight_count: signed(channel.in_flight_count),
        deferred_count: signed(channel.deferred_count),
        message_count: channel.message_count,
        requeue_count: channel.requeue_count,
        timeout_count: channel.timeout_count,
        client_count: signed(channel.consumers.len() as u64),
        clients: wanted.clients.then(|| clients.collect()),
        paused: channel.paused,
        e2e_processing_latency: latency,
        zone_local_msg_count: zone,
        region_local_msg_count: region,
        global_msg_count: anywhere,
        expired_count: channel.expired_count,
        dropped_count: channel.dropped_count,
        dead_count: channel.dead_count,
        settings: channel.settings.as_ref().and_then(shown),
    }
}

/// `None` where nothing is set.
fn shown(settings: &Settings) -> Option<serde_json::Value> {
    let some = *settings != Settings::default();
    some.then(|| serde_json::to_value(settings).ok()).flatten()
}

/// Connections that have published (to `topic`, if one is asked for).
fn producers(nsqd: &Nsqd, topics: &[Snapshot], topic: Option<&str>) -> Vec<ClientStats> {
    let channels = topics.iter().flat_map(|topic| &topic.queue.channels);
    let consumers = channels.flat_map(|channel| &channel.consumers);
    let consumers: HashMap<u64, &ConsumerStats> = consumers
        .map(|(client, numbers)| (client.id, numbers))
        .collect();
    let clients = nsqd.clients();
    let all = clients
        .iter()
        .map(|client| client_stats(client, consumers.get(&client.id).copied(), topic));
    all.filter(|client| client.pub_counts.is_some()).collect()
}

fn client_stats(
    client: &Client,
    consumer: Option<&ConsumerStats>,
    topic: Option<&str>,
) -> ClientStats {
    let identity = client.identity.lock().clone();
    let counts: Vec<PubCount> = {
        let publishes = client.publishes.lock();
        let asked = publishes
            .iter()
            .filter(|(name, _)| topic.is_none_or(|topic| topic == *name));
        asked
            .map(|(topic, &count)| PubCount {
                topic: topic.clone(),
                count,
            })
            .collect()
    };
    let numbers = consumer.copied().unwrap_or_default();
    let state = match client.subscribed.load(Ordering::Relaxed) {
        _ if numbers.closing => CLOSING,
        true => SUBSCRIBED,
        false => INIT,
    };
    let tls = identity.tls.as_ref();
    let session = tls.cloned().unwrap_or_default();
    ClientStats {
        client_id: identity.client_id,
        hostname: identity.hostname,
        version: "V2".to_owned(),
        remote_address: client.remote_address.clone(),
        state,
        ready_count: signed(numbers.ready_count),
        in_flight_count: signed(numbers.in_flight_count),
        message_count: numbers.message_count,
        finish_count: numbers.finish_count,
        requeue_count: numbers.requeue_count,
        connect_ts: client.connected_at,
        sample_rate: i32::try_from(identity.sample_rate).unwrap_or(0),
        user_agent: identity.user_agent,
        pub_counts: (!counts.is_empty()).then_some(counts),
        topology_region: identity.topology_region,
        topology_zone: identity.topology_zone,
        deflate: identity.deflate,
        snappy: identity.snappy,
        authed: identity.authed,
        auth_identity: identity.auth_identity,
        auth_identity_url: identity.auth_identity_url,
        tls: tls.is_some(),
        tls_cipher_suite: session.cipher_suite,
        tls_version: session.version,
        tls_negotiated_protocol: session.protocol,
        // As Go has it, which calls the question obsolete.
        tls_negotiated_protocol_is_mutual: tls.is_some(),
    }
}

/// The names are of Go's memory; what has no counterpart here is 0.
fn memory() -> Memory {
    Memory {
        heap_in_use_bytes: resident_bytes(),
        ..Memory::default()
    }
}

/// What the process has in memory beside mapped files.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = |line: &str| {
        let kib = line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?;
        kib.trim().parse::<u64>().ok()
    };
    status.lines().find_map(line).unwrap_or(0) * 1024
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
