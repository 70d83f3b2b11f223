//! Pushes the numbers of `/stats` to statsd, under NSQ's names.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use nsq_daemon::statsd::{self, Packets};
use nsq_http_api::stats::{ChannelStats, Latency, Memory, Stats, TopicStats};
use nsq_protocol::is_ephemeral;

use crate::nsqd::Nsqd;
use crate::stats::{Wanted, gather};

/// The end of each interval in which nothing is sent, so that one push is over before the next.
const PAUSE: Duration = Duration::from_secs(1);

/// Pushes in each interval, until its task is ended. `port`: as told to nsqlookupd.
pub(crate) async fn run(nsqd: Arc<Nsqd>, port: u16) {
    let options = &nsqd.options;
    let key = statsd::host_key(&options.broadcast_address, port);
    let prefix = statsd::prefix(&options.statsd_prefix, &key);
    let interval = options.statsd_interval;
    let start = tokio::time::Instant::now() + interval;
    let mut ticks = tokio::time::interval_at(start, interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = Counters::default();
    loop {
        ticks.tick().await;
        let stats = gather(
            &nsqd,
            &Wanted {
                topic: None,
                channel: None,
                clients: false,
                memory: options.statsd_mem_stats,
            },
        );
        let size = usize::try_from(options.statsd_udp_packet_size).unwrap_or(508);
        let mut packets = Packets::new(prefix.clone(), size);
        last = put(
            &mut packets,
            &stats,
            &last,
            options.statsd_exclude_ephemeral,
        );
        let address = &options.statsd_address;
        tracing::info!("STATSD: pushing stats to {address}");
        let time = interval.saturating_sub(PAUSE);
        if let Err(error) = packets.send(address, time).await {
            tracing::error!("failed to push to statsd({address}) - {error}");
        }
    }
}

/// What counters stood at: statsd is told how much they have grown.
#[derive(Debug, Default)]
struct Counters {
    by_name: HashMap<String, u64>,
}

struct Push<'a> {
    packets: &'a mut Packets,
    last: &'a Counters,
    now: Counters,
}

impl Push<'_> {
    /// A topic that was deleted and made anew begins at 0.
    fn grown(&mut self, name: &str, value: u64) {
        let before = self.last.by_name.get(name).copied().unwrap_or(0);
        let more = if value >= before {
            value - before
        } else {
            value
        };
        self.packets.counter(name, more);
        self.now.by_name.insert(name.to_owned(), value);
    }

    fn gauge(&mut self, name: &str, value: i64) {
        self.packets.gauge(name, u64::try_from(value).unwrap_or(0));
    }

    fn latency(&mut self, of: &str, latency: &Latency) {
        for percentile in latency.percentiles.iter().flatten() {
            let percent = (percentile.quantile * 100.0).round_ties_even();
            let name = format!("{of}.e2e_processing_latency_{percent}");
            self.packets.gauge(&name, percentile.value as u64);
        }
    }
}

/// All lines, in NSQ's order; what the counters stand at now.
fn put(packets: &mut Packets, stats: &Stats, last: &Counters, no_ephemeral: bool) -> Counters {
    let mut push = Push {
        packets,
        last,
        now: Counters::default(),
    };
    let left_out = |name: &str| no_ephemeral && is_ephemeral(name);
    for topic in stats.topics.iter().flatten() {
        if left_out(&topic.topic_name) {
            continue;
        }
        put_topic(&mut push, topic);
        for channel in &topic.channels {
            if !left_out(&channel.channel_name) {
                put_channel(&mut push, &topic.topic_name, channel);
            }
        }
    }
    if let Some(memory) = &stats.memory {
        put_memory(&mut push, memory);
    }
    push.now
}

fn put_topic(push: &mut Push<'_>, topic: &TopicStats) {
    let of = format!("topic.{}", topic.topic_name);
    push.grown(&format!("{of}.message_count"), topic.message_count);
    push.grown(&format!("{of}.message_bytes"), topic.message_bytes);
    push.gauge(&format!("{of}.depth"), topic.depth);
    push.gauge(&format!("{of}.backend_depth"), topic.backend_depth);
    push.latency(&of, &topic.e2e_processing_latency);
}

fn put_channel(push: &mut Push<'_>, topic: &str, channel: &ChannelStats) {
    let of = format!("topic.{topic}.channel.{}", channel.channel_name);
    push.grown(&format!("{of}.message_count"), channel.message_count);
    push.gauge(&format!("{of}.depth"), channel.depth);
    push.gauge(&format!("{of}.backend_depth"), channel.backend_depth);
    push.gauge(&format!("{of}.in_flight_count"), channel.in_flight_count);
    push.gauge(&format!("{of}.deferred_count"), channel.deferred_count);
    push.grown(&format!("{of}.requeue_count"), channel.requeue_count);
    push.grown(&format!("{of}.timeout_count"), channel.timeout_count);
    push.gauge(&format!("{of}.clients"), channel.client_count);
    push.latency(&of, &channel.e2e_processing_latency);
}

fn put_memory(push: &mut Push<'_>, memory: &Memory) {
    for (name, value) in [
        ("mem.heap_objects", memory.heap_objects),
        ("mem.heap_idle_bytes", memory.heap_idle_bytes),
        ("mem.heap_in_use_bytes", memory.heap_in_use_bytes),
        ("mem.heap_released_bytes", memory.heap_released_bytes),
        ("mem.gc_pause_usec_100", memory.gc_pause_usec_100),
        ("mem.gc_pause_usec_99", memory.gc_pause_usec_99),
        ("mem.gc_pause_usec_95", memory.gc_pause_usec_95),
        ("mem.next_gc_bytes", memory.next_gc_bytes),
    ] {
        push.packets.gauge(name, value);
    }
    push.grown("mem.gc_runs", u64::from(memory.gc_total_runs));
}
