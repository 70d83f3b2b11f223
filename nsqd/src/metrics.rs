//! `/metrics`, in Prometheus' text format, from the numbers of `/stats`.
//!
//! `nsq_topic_*` and `nsq_channel_*` are the names that NSQ's exporters have given these numbers
//! and that dashboards ask for, totals without `_total` among them; `nsqd_*` are ours.

use std::fmt::Write as _;

use nsq_http_api::stats::{ChannelStats, Stats, TopicStats};
use nsq_http_api::{AdoptAfterStatus, PairStatus};
use nsq_journal::{DurationCounts, JournalStats};
use nsq_protocol::NSQ_VERSION;

use crate::lookup::LinkStatus;

/// Topics and channels that are told one by one. What is beyond counts in
/// `nsqd_metrics_left_out`, lest a client that invents names fills the monitoring's disk.
const MAX_NAMES: usize = 10_000;

/// Everything that is told.
pub(crate) struct Gathered {
    pub stats: Stats,
    pub connections: usize,
    pub journal: JournalStats,
    /// Messages that left for other nodes, and that came from them.
    pub relocated: (u64, u64),
    pub publish_times: DurationCounts,
    pub processing_times: DurationCounts,
    pub lookupds: Vec<LinkStatus>,
}

/// A metric of something that there are several of.
type Column<T> = (&'static str, &'static str, &'static str, fn(&T) -> u64);

#[rustfmt::skip] // a table
const TOPIC: &[Column<TopicStats>] = &[
    ("nsq_topic_channel_count", "gauge", "Channels of the topic.", |t| t.channels.len() as u64),
    ("nsq_topic_depth", "gauge", "Messages that no channel has got yet.", |t| size(t.depth)),
    ("nsq_topic_backend_depth", "gauge", "Those of the depth that are only on disk.", |t| size(t.backend_depth)),
    ("nsq_topic_message_count", "counter", "Messages published.", |t| t.message_count),
    ("nsq_topic_message_bytes", "counter", "Bytes of messages published.", |t| t.message_bytes),
    ("nsq_topic_paused", "gauge", "1 if the topic is paused.", |t| u64::from(t.paused)),
    ("nsqd_topic_lost_messages_total", "counter", "Deliveries that could not be made: the disk had damaged the message.", |t| t.lost_count),
];

#[rustfmt::skip] // a table
const CHANNEL: &[Column<ChannelStats>] = &[
    ("nsq_channel_client_count", "gauge", "Consumers.", |c| size(c.client_count)),
    ("nsq_channel_depth", "gauge", "Messages that wait for a consumer.", |c| size(c.depth)),
    ("nsq_channel_backend_depth", "gauge", "Those of the depth that are only on disk.", |c| size(c.backend_depth)),
    ("nsq_channel_in_flight_count", "gauge", "Messages sent and not finished.", |c| size(c.in_flight_count)),
    ("nsq_channel_deferred_count", "gauge", "Messages that wait for their time.", |c| size(c.deferred_count)),
    ("nsq_channel_message_count", "counter", "Messages that reached the channel.", |c| c.message_count),
    ("nsq_channel_requeue_count", "counter", "Messages that consumers gave back.", |c| c.requeue_count),
    ("nsq_channel_timeout_count", "counter", "Messages that consumers took too long for.", |c| c.timeout_count),
    ("nsq_channel_paused", "gauge", "1 if the channel is paused.", |c| u64::from(c.paused)),
    ("nsqd_channel_expired_total", "counter", "Messages that grew too old.", |c| c.expired_count),
    ("nsqd_channel_dropped_total", "counter", "Messages that made room for others.", |c| c.dropped_count),
    ("nsqd_channel_dead_total", "counter", "Messages that were delivered as often as they may be.", |c| c.dead_count),
];

/// The whole page.
pub(crate) fn text(gathered: &Gathered) -> String {
    let mut page = Page::default();
    node(&mut page, gathered);
    journal(&mut page, &gathered.journal);
    page.histogram(
        "nsqd_publish_seconds",
        "From reading a publish command or request to its OK.",
        &gathered.publish_times,
    );
    page.histogram(
        "nsqd_processing_seconds",
        "From handing a message to a consumer to its FIN.",
        &gathered.processing_times,
    );
    if let Some(pair) = &gathered.stats.pair {
        self::pair(&mut page, pair);
    }
    names(
        &mut page,
        gathered.stats.topics.as_deref().unwrap_or_default(),
    );
    page.0
}

#[rustfmt::skip] // a table
fn node(page: &mut Page, gathered: &Gathered) {
    let stats = &gathered.stats;
    page.head("nsqd_build_info", "gauge", "The NSQ version this server is compatible with.");
    page.line("nsqd_build_info", &[("version", NSQ_VERSION)], 1);
    page.one("nsqd_healthy", "gauge", "0 if nothing can be kept any more.", u64::from(stats.health == "OK"));
    page.one("nsqd_draining", "gauge", "1 while no messages are taken.", u64::from(stats.draining));
    page.one("nsqd_connections", "gauge", "TCP connections.", gathered.connections as u64);
    page.one("nsqd_relocated_out_messages_total", "counter", "Messages that were moved to other nodes.", gathered.relocated.0);
    page.one("nsqd_relocated_in_messages_total", "counter", "Messages that were moved here.", gathered.relocated.1);
    page.one("process_start_time_seconds", "gauge", "When the process started, since 1970.", size(stats.start_time));
    let memory = stats.memory.as_ref().map_or(0, |memory| memory.heap_in_use_bytes);
    page.one("process_resident_memory_bytes", "gauge", "Memory in use, without mapped files.", memory);
    page.head("nsqd_lookupd_connected", "gauge", "1 if this nsqlookupd knows all topics and channels.");
    for lookupd in &gathered.lookupds {
        page.line("nsqd_lookupd_connected", &[("address", &lookupd.address)], u64::from(lookupd.connected));
    }
}

#[rustfmt::skip] // a table
fn journal(page: &mut Page, journal: &JournalStats) {
    page.one("nsqd_message_memory_bytes", "gauge", "Memory of messages.", journal.chunk_bytes as u64);
    page.one("nsqd_journal_disk_bytes", "gauge", "Size of the journal's files.", journal.disk_bytes);
    page.one("nsqd_journal_segments", "gauge", "Segments that are in use.", journal.segments as u64);
    page.one("nsqd_journal_unwritten_bytes", "gauge", "Accepted and not yet written.", journal.tail.saturating_sub(journal.written));
    page.one("nsqd_journal_unsynced_bytes", "gauge", "Written and not yet synced.", journal.written.saturating_sub(journal.durable));
    page.one("nsqd_journal_disk_full", "gauge", "1 while publishing is refused for want of space.", u64::from(journal.disk_full));
    page.one("nsqd_journal_quarantined_ranges", "gauge", "Places in the journal that could not be read at the start and were set aside.", journal.recovery.quarantined_ranges);
    page.one("nsqd_journal_quarantined_bytes", "gauge", "Bytes of the journal that could not be read at the start.", journal.recovery.quarantined_bytes);
    page.one("nsqd_journal_writes_total", "counter", "Writes.", journal.writes);
    page.one("nsqd_journal_written_bytes_total", "counter", "Bytes written.", journal.bytes_written);
    page.one("nsqd_journal_syncs_total", "counter", "Syncs.", journal.syncs);
    page.histogram("nsqd_journal_sync_seconds", "Time that syncs took.", &journal.sync_times);
}

#[rustfmt::skip] // a table
fn pair(page: &mut Page, pair: &PairStatus) {
    let flag = |page: &mut Page, name, help, value| page.one(name, "gauge", help, u64::from(value));
    flag(page, "nsqd_pair_mirrored", "1 if the peer has everything and both links are up: when both nodes say so, either disk may be lost.", pair.mirrored);
    flag(page, "nsqd_pair_origin_link", "1 if the peer reads this journal.", pair.origin_link);
    flag(page, "nsqd_pair_holder_link", "1 if this node reads the peer's journal.", pair.holder_link);
    flag(page, "nsqd_pair_peer_lost", "1 while OKs do not wait for the peer, or are refused.", pair.peer_lost);
    flag(page, "nsqd_pair_listing", "1 while the peer is sent a list of everything.", pair.listing);
    flag(page, "nsqd_pair_importing", "1 while an adoption is under way.", pair.adoption.as_ref().is_some_and(|adoption| !adoption.done));
    page.one("nsqd_pair_unmirrored_messages", "gauge", "Messages that only this node has.", pair.unmirrored_messages);
    page.one("nsqd_pair_unmirrored_bytes", "gauge", "Bytes of them.", pair.unmirrored_bytes);
    page.one("nsqd_pair_lag_messages", "gauge", "Messages the peer has not acknowledged.", pair.lag_messages);
    page.one("nsqd_pair_lag_bytes", "gauge", "Bytes of journal the peer has not acknowledged.", pair.lag_bytes);
    page.head("nsqd_pair_lag_seconds", "gauge", "How long ago the peer had everything.");
    page.line("nsqd_pair_lag_seconds", &[], pair.lag_seconds);
    page.one("nsqd_pair_sent_bytes_total", "counter", "Bytes of journal sent to the peer.", pair.bytes_sent);
    page.one("nsqd_pair_received_bytes_total", "counter", "Bytes of journal the peer sent.", pair.bytes_received);
    page.one("nsqd_pair_adoptions_total", "counter", "Adoptions of the peer's messages.", pair.adoptions);
    page.one("nsqd_pair_adopted_messages_total", "counter", "Messages taken over by adoptions.", pair.imported);
    page.one("nsqd_pair_duplicates_expected_total", "counter", "Deliveries that adoptions may have repeated.", pair.duplicates_expected);
    page.one("nsqd_pair_handovers_total", "counter", "Times that messages were let go because the peer owns them.", pair.released);
    page.one("nsqd_pair_listings_total", "counter", "Lists of everything sent to the peer.", pair.listings);
    page.one("nsqd_pair_losses_total", "counter", "Times that the peer was given up for lost.", pair.losses);
    if let Some(alone) = &pair.adopt_after {
        adopt_after(page, alone);
    }
}

fn adopt_after(page: &mut Page, alone: &AdoptAfterStatus) {
    let mut gauge = |name, help, value: f64| {
        page.head(name, "gauge", help);
        page.line(name, &[], value);
    };
    gauge(
        "nsqd_pair_adopt_after_seconds",
        "After how long a peer that is gone is adopted without an order.",
        alone.seconds,
    );
    gauge(
        "nsqd_pair_peer_silent_seconds",
        "For how long the peer has not been heard of over a link.",
        alone.silent_seconds,
    );
    let name = "nsqd_pair_witness";
    page.head(
        name,
        "gauge",
        "1 for what an nsqlookupd said about the peer: heard, silent, or why its word does not count.",
    );
    for witness in &alone.witnesses {
        let labels = [
            ("address", witness.address.as_str()),
            ("says", witness.says.as_str()),
        ];
        page.line(name, &labels, 1);
    }
    page.one(
        "nsqd_pair_unordered_adoptions_total",
        "counter",
        "Adoptions that nobody ordered.",
        alone.adoptions,
    );
}

fn names(page: &mut Page, topics: &[TopicStats]) {
    let channels: Vec<(&str, &ChannelStats)> = topics
        .iter()
        .flat_map(|topic| {
            topic
                .channels
                .iter()
                .map(|channel| (topic.topic_name.as_str(), channel))
        })
        .collect();
    page.one("nsqd_topics", "gauge", "Topics.", topics.len() as u64);
    page.one("nsqd_channels", "gauge", "Channels.", channels.len() as u64);
    let told_topics = &topics[..topics.len().min(MAX_NAMES)];
    let told_channels = &channels[..channels.len().min(MAX_NAMES - told_topics.len())];
    page.head(
        "nsqd_metrics_left_out",
        "gauge",
        "Topics and channels that are not told one by one.",
    );
    for (kind, all, told) in [
        ("topic", topics.len(), told_topics.len()),
        ("channel", channels.len(), told_channels.len()),
    ] {
        page.line("nsqd_metrics_left_out", &[("kind", kind)], all - told);
    }
    for (name, kind, help, value) in TOPIC {
        page.head(name, kind, help);
        for topic in told_topics {
            page.line(name, &[("topic", &topic.topic_name)], value(topic));
        }
    }
    for (name, kind, help, value) in CHANNEL {
        page.head(name, kind, help);
        for (topic, channel) in told_channels {
            let labels = [
                ("topic", *topic),
                ("channel", channel.channel_name.as_str()),
            ];
            page.line(name, &labels, value(channel));
        }
    }
}

fn size(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

#[derive(Default)]
struct Page(String);

/// Writing to a String cannot fail.
impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            // What Rust escapes in a string is what Prometheus does: quotes, backslashes, newlines.
            let _ = write!(self.0, "{before}{label}={text:?}");
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{after} {value}");
    }

    fn histogram(&mut self, name: &str, help: &str, times: &DurationCounts) {
        self.head(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        let mut count = 0;
        for (at, more) in times.counts.iter().enumerate() {
            count += more;
            let bound = DurationCounts::bound(at).map(|bound| bound.to_string());
            let bound = bound.unwrap_or_else(|| "+Inf".to_owned());
            self.line(&bucket, &[("le", &bound)], count);
        }
        self.line(&format!("{name}_sum"), &[], times.nanos as f64 / 1e9);
        self.line(&format!("{name}_count"), &[], count);
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        self.line(name, &[], value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(topics: usize, channels: usize) -> Gathered {
        let channel = |n: usize| ChannelStats {
            channel_name: format!("c{n}"),
            depth: 7,
            requeue_count: 2,
            ..ChannelStats::default()
        };
        let topic = |n: usize| TopicStats {
            topic_name: format!("t{n}#ephemeral"),
            message_count: 3,
            paused: true,
            lost_count: 4,
            channels: (0..channels).map(channel).collect(),
            ..TopicStats::default()
        };
        let stats = Stats {
            health: "OK".to_owned(),
            topics: Some((0..topics).map(topic).collect()),
            ..Stats::default()
        };
        let mut publish_times = DurationCounts::default();
        publish_times.count(20_000, 3); // more than 16.384 us, less than the double
        publish_times.count(10_000_000_000, 1);
        Gathered {
            publish_times,
            processing_times: DurationCounts::default(),
            stats,
            connections: 5,
            relocated: (6, 7),
            journal: JournalStats {
                tail: 30,
                written: 20,
                durable: 5,
                ..JournalStats::default()
            },
            lookupds: vec![LinkStatus {
                address: "a\"b".to_owned(),
                connected: true,
            }],
        }
    }

    #[test]
    fn names_are_those_of_nsqs_exporters() {
        let text = text(&gathered(1, 1));
        for line in [
            "# TYPE nsq_topic_message_count counter",
            "nsq_topic_message_count{topic=\"t0#ephemeral\"} 3",
            "nsq_topic_paused{topic=\"t0#ephemeral\"} 1",
            "nsq_channel_depth{topic=\"t0#ephemeral\",channel=\"c0\"} 7",
            "nsq_channel_requeue_count{topic=\"t0#ephemeral\",channel=\"c0\"} 2",
            "nsqd_lookupd_connected{address=\"a\\\"b\"} 1",
            "nsqd_journal_unwritten_bytes 10",
            "nsqd_journal_unsynced_bytes 15",
            "# TYPE nsqd_publish_seconds histogram",
            "nsqd_publish_seconds_bucket{le=\"0.000016384\"} 0",
            "nsqd_publish_seconds_bucket{le=\"0.000032768\"} 3",
            "nsqd_publish_seconds_bucket{le=\"8.589934592\"} 3",
            "nsqd_publish_seconds_bucket{le=\"+Inf\"} 4",
            "nsqd_publish_seconds_sum 10.00006",
            "nsqd_publish_seconds_count 4",
            "nsqd_journal_sync_seconds_count 0",
            "nsqd_topic_lost_messages_total{topic=\"t0#ephemeral\"} 4",
            "nsqd_connections 5",
            "nsqd_healthy 1",
            "nsqd_metrics_left_out{kind=\"topic\"} 0",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} in {text}");
        }
    }

    #[test]
    fn too_many_names_are_counted_instead() {
        let text = text(&gathered(6_000, 2));
        assert!(text.contains("\nnsqd_topics 6000\n"));
        assert!(text.contains("\nnsqd_channels 12000\n"));
        assert!(text.contains("\nnsqd_metrics_left_out{kind=\"topic\"} 0\n"));
        assert!(text.contains("\nnsqd_metrics_left_out{kind=\"channel\"} 8000\n"));
        assert_eq!(text.matches("nsq_channel_depth{").count(), 4_000);
    }
}
