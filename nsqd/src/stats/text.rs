//! `/stats` for people, in the columns of NSQ that scripts have learnt to cut.

use std::fmt::Write as _;
use std::time::Duration;

use nsq_daemon::go_duration::format_duration;
use nsq_daemon::version::version_text;
use nsq_http_api::stats::{ChannelStats, ClientStats, Latency, Memory, Stats, TopicStats};

use crate::nsqd::Nsqd;

/// Writing to a String cannot fail.
macro_rules! put {
    ($out:expr, $($argument:tt)*) => {{ let _ = write!($out, $($argument)*); }};
}

/// `start_time` is UTC.
pub(crate) fn text(stats: &Stats, nsqd: &Nsqd) -> String {
    let uptime = nsqd.clock.uptime();
    page(stats, uptime, nsqd.clock.wall() / 1_000_000_000)
}

/// `now`: seconds since 1970.
fn page(stats: &Stats, uptime: Duration, now: i64) -> String {
    let mut out = String::new();
    put!(out, "{}\n", version_text("nsqd"));
    put!(out, "start_time {}\n", rfc3339(stats.start_time));
    put!(out, "uptime {}\n", format_duration(uptime));
    put!(out, "\nHealth: {}\n", stats.health);
    if let Some(memory) = &stats.memory {
        put_memory(&mut out, memory);
    }
    let topics = stats.topics.as_deref().unwrap_or_default();
    match topics.is_empty() {
        true => put!(out, "\nTopics: None\n"),
        false => put!(out, "\nTopics:"),
    }
    for topic in topics {
        put_topic(&mut out, topic, now);
    }
    let producers = stats.producers.as_deref().unwrap_or_default();
    match producers.is_empty() {
        true => put!(out, "\nProducers: None\n"),
        false => put!(out, "\nProducers:\n"),
    }
    for producer in producers {
        put!(out, "   {}\n", client_line(producer, now));
    }
    out
}

fn put_memory(out: &mut String, memory: &Memory) {
    put!(out, "\nMemory:\n");
    for (name, value) in [
        ("heap_objects", memory.heap_objects),
        ("heap_idle_bytes", memory.heap_idle_bytes),
        ("heap_in_use_bytes", memory.heap_in_use_bytes),
        ("heap_released_bytes", memory.heap_released_bytes),
        ("gc_pause_usec_100", memory.gc_pause_usec_100),
        ("gc_pause_usec_99", memory.gc_pause_usec_99),
        ("gc_pause_usec_95", memory.gc_pause_usec_95),
        ("next_gc_bytes", memory.next_gc_bytes),
        ("gc_total_runs", u64::from(memory.gc_total_runs)),
    ] {
        put!(out, "   {name:<25}\t{value}\n");
    }
}

fn put_topic(out: &mut String, topic: &TopicStats, now: i64) {
    put!(
        out,
        "\n{}[{:<15}] depth: {:<5} be-depth: {:<5} msgs: {:<8} e2e%: {}\n",
        if topic.paused { "*P " } else { "   " },
        topic.topic_name,
        topic.depth,
        topic.backend_depth,
        topic.message_count,
        latency(&topic.e2e_processing_latency),
    );
    for channel in &topic.channels {
        put_channel(out, channel);
        for client in channel.clients.iter().flatten() {
            put!(out, "        {}\n", client_line(client, now));
        }
    }
}

fn put_channel(out: &mut String, channel: &ChannelStats) {
    put!(
        out,
        "{}[{:<25}] depth: {:<5} be-depth: {:<5} inflt: {:<4} def: {:<4} re-q: {:<5} \
         timeout: {:<5} msgs: {:<8} e2e%: {}\n",
        if channel.paused { "   *P " } else { "      " },
        channel.channel_name,
        channel.depth,
        channel.backend_depth,
        channel.in_flight_count,
        channel.deferred_count,
        channel.requeue_count,
        channel.timeout_count,
        channel.message_count,
        latency(&channel.e2e_processing_latency),
    );
}

/// `1.5ms, 800.0us`, a time for each percentile.
fn latency(latency: &Latency) -> String {
    let percentiles = latency.percentiles.iter().flatten();
    let times: Vec<String> = percentiles
        .map(|percentile| match percentile.value {
            nanos if nanos > 1e9 => format!("{:.1}s", nanos / 1e9),
            nanos if nanos > 1e6 => format!("{:.1}ms", nanos / 1e6),
            nanos if nanos > 1e3 => format!("{:.1}us", nanos / 1e3),
            nanos => format!("{nanos:.1}ns"),
        })
        .collect();
    times.join(", ")
}

fn client_line(client: &ClientStats, now: i64) -> String {
    let port = client.remote_address.rsplit_once(':');
    let port = port.map_or("", |(_, port)| port);
    let who = format!("{}:{port} {}", client.hostname, client.user_agent);
    let since = u64::try_from(now - client.connect_ts).unwrap_or(0);
    let connected = format_duration(Duration::from_secs(since));
    let what = match client.pub_counts.as_deref() {
        Some(counts @ [_, ..]) => {
            let total: u64 = counts.iter().map(|count| count.count).sum();
            let topics: Vec<String> = counts
                .iter()
                .map(|count| format!("{}={}", count.topic, count.count))
                .collect();
            format!("msgs: {total:<8} topics: {}", topics.join(","))
        }
        _ => format!(
            "state: {} inflt: {:<4} rdy: {:<4} fin: {:<8} re-q: {:<8} msgs: {:<8}",
            client.state,
            client.in_flight_count,
            client.ready_count,
            client.finish_count,
            client.requeue_count,
            client.message_count,
        ),
    };
    format!(
        "[{} {who:<21}] {what} connected: {connected}",
        client.version
    )
}

/// Seconds since 1970 as `2026-11-21T05:56:36Z`.
fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| String::new(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = r#"{"topic_name":"flow","paused":true,"message_count":2,"channels":[
        {"channel_name":"ch","in_flight_count":1,"requeue_count":1,"timeout_count":1,"message_count":2,
         "clients":[CLIENT, {"hostname":"h","version":"V2","remote_address":"127.0.0.1:1","state":3,
            "ready_count":5,"in_flight_count":1,"user_agent":"a/1","connect_ts":1795240612,"pub_counts":null}]},
        {"channel_name":"p","paused":true}]},
        {"topic_name":"a-name-of-more-than-15-characters"}"#;
    const CLIENT: &str = r#"{"hostname":"host.example","version":"V2","remote_address":"127.0.0.1:33668",
        "user_agent":"rec/1","connect_ts":1795240610,"pub_counts":[{"topic":"flow","count":2}]}"#;

    #[test]
    fn columns_are_nsqs() {
        let topics = TOPIC.replace("CLIENT", CLIENT);
        let json = format!(
            r#"{{"health":"OK","start_time":1795240596,"memory":{{"heap_objects":5456}},
                "topics":[{topics}],"producers":[{CLIENT}]}}"#
        );
        let stats: Stats = serde_json::from_str(&json).unwrap();
        let text = page(&stats, Duration::from_millis(16_504), 1_795_240_612);
        let (version, text) = text.split_once('\n').unwrap();
        assert!(version.starts_with("nsqd v1.3.0 (built w/"));
        let (head, rest) = text.split_once("   heap_idle_bytes").unwrap();
        assert_eq!(
            head,
            "start_time 2026-11-21T05:56:36Z\nuptime 16.504s\n\nHealth: OK\n\n\
             Memory:\n   heap_objects             \t5456\n"
        );
        let (_, rest) = rest.split_once("gc_total_runs            \t0\n").unwrap();
        assert_eq!(
            rest,
            "\nTopics:\n\
             *P [flow           ] depth: 0     be-depth: 0     msgs: 2        e2e%: \n      \
             [ch                       ] depth: 0     be-depth: 0     inflt: 1    def: 0    \
             re-q: 1     timeout: 1     msgs: 2        e2e%: \n        \
             [V2 host.example:33668 rec/1] msgs: 2        topics: flow=2 connected: 2s\n        \
             [V2 h:1 a/1              ] state: 3 inflt: 1    rdy: 5    fin: 0        re-q: 0        \
             msgs: 0        connected: 0s\n   *P \
             [p                        ] depth: 0     be-depth: 0     inflt: 0    def: 0    \
             re-q: 0     timeout: 0     msgs: 0        e2e%: \n\
             \n   [a-name-of-more-than-15-characters] depth: 0     be-depth: 0     msgs: 0        e2e%: \n\
             \nProducers:\n   [V2 host.example:33668 rec/1] msgs: 2        topics: flow=2 connected: 2s\n"
        );
    }

    #[test]
    fn nothing_is_none() {
        let stats = Stats::default();
        let text = page(&stats, Duration::ZERO, 0);
        assert!(
            text.ends_with("\nHealth: \n\nTopics: None\n\nProducers: None\n"),
            "{text}"
        );
    }
}
