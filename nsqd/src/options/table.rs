//! The one place that says what each option is called, defaults to and means.

use std::time::Duration;

use nsq_daemon::identity::default_node_id;
use nsq_daemon::log::{LogFormat, LogLevel};
use nsq_daemon::options::Opt;

use super::Options as O;
use super::kinds::{
    AuthRequestMethod, Durability, MirrorAck, OnPeerLoss, TlsMinVersion, TlsRequired,
};

/// All options; `hostname` gives two of them their default.
pub(super) fn table(hostname: &str) -> Vec<Opt<O>> {
    let groups = [
        ("Who this is, and where it is reached", basic(hostname)),
        ("How messages are kept", storage()),
        ("Replication to a peer", pair()),
        ("What clients may ask for", limits()),
        ("What nsqd takes upon itself", protection()),
        ("Compression, encryption, authorisation", security()),
        ("Statistics and logs", statistics()),
        ("The program", program()),
    ];
    let grouped = |(group, options): (&'static str, Vec<Opt<O>>)| {
        options.into_iter().map(move |option| option.group(group))
    };
    groups.into_iter().flat_map(grouped).collect()
}

fn text(text: &str) -> String {
    text.to_owned()
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Who this is, and where it is reached.
#[rustfmt::skip] // a table: one option, two lines
fn basic(hostname: &str) -> Vec<Opt<O>> {
    let node_id = i64::from(default_node_id(hostname));
    vec![
        Opt::value("node-id", |o: &mut O| &mut o.node_id, node_id,
            "this node's part of message ids, in [0,1024); by default from the hostname").key("id"),
        Opt::value("tcp-address", |o: &mut O| &mut o.tcp_address, text("0.0.0.0:4150"),
            "where TCP clients connect: <addr>:<port> or the path of a unix socket"),
        Opt::value("http-address", |o: &mut O| &mut o.http_address, text("0.0.0.0:4151"),
            "where HTTP clients connect: <addr>:<port> or the path of a unix socket; empty for none"),
        Opt::value("https-address", |o: &mut O| &mut o.https_address, text("0.0.0.0:4152"),
            "<addr>:<port> where HTTPS clients connect, once there is a certificate; empty for none"),
        Opt::value("broadcast-address", |o: &mut O| &mut o.broadcast_address, text(hostname),
            "address told to nsqlookupd, where clients reach this node; by default the OS hostname"),
        Opt::value("broadcast-tcp-port", |o: &mut O| &mut o.broadcast_tcp_port, 0,
            "TCP port told to nsqlookupd; by default the port listened on"),
        Opt::value("broadcast-http-port", |o: &mut O| &mut o.broadcast_http_port, 0,
            "HTTP port told to nsqlookupd; by default the port listened on"),
        Opt::value("topology-region", |o: &mut O| &mut o.topology_region, text(""),
            "the region this node is in, for topology-aware consumption"),
        Opt::value("topology-zone", |o: &mut O| &mut o.topology_zone, text(""),
            "the zone of the region this node is in"),
        Opt::value("enable-experiment", |o: &mut O| &mut o.enabled_experiments, vec![],
            "topology-aware-consumption: consumers in the own zone, then those in the own region, get messages first"),
        Opt::value("lookupd-tcp-address", |o: &mut O| &mut o.lookupd_tcp_addresses, vec![],
            "TCP address of an nsqlookupd; may be given several times").key("nsqlookupd_tcp_addresses"),
        Opt::value("http-client-connect-timeout", |o: &mut O| &mut o.http_client_connect_timeout, secs(2),
            "bound of connecting to nsqlookupd over HTTP"),
        Opt::value("http-client-request-timeout", |o: &mut O| &mut o.http_client_request_timeout, secs(5),
            "bound of a whole HTTP request to nsqlookupd"),
    ]
}

/// How messages are kept.
#[rustfmt::skip] // a table: one option, two lines
fn storage() -> Vec<Opt<O>> {
    vec![
        Opt::value("data-path", |o: &mut O| &mut o.data_path, text(""),
            "directory of the journal; by default the working directory"),
        Opt::value("durability", |o: &mut O| &mut o.durability, Durability::Write,
            "what OK means: memory (accepted), write (survives kill -9) or fsync (survives a power cut)"),
        Opt::value("mem-queue-size", |o: &mut O| &mut o.mem_queue_size, 10_000,
            "messages a topic or channel keeps in memory before it spills to disk"),
        Opt::value("max-bytes-per-file", |o: &mut O| &mut o.max_bytes_per_file, 100 * 1024 * 1024,
            "size at which a file of messages that were paged out is followed by another, in bytes"),
        Opt::value("sync-every", |o: &mut O| &mut o.sync_every, 2_500,
            "messages between two fsyncs of NSQ's diskqueue")
            .superseded("--durability says what OK means, for each message; --sync-timeout still holds"),
        Opt::value("sync-timeout", |o: &mut O| &mut o.sync_timeout, secs(2),
            "what is written is on disk after this time, also at -durability=write; 0: when the kernel pleases"),
        Opt::value("queue-scan-worker-pool-max", |o: &mut O| &mut o.queue_scan_worker_pool_max, 4,
            "workers of NSQ's scan for timeouts")
            .superseded("timeouts and deferrals are exact, nothing is scanned"),
        Opt::value("queue-scan-selection-count", |o: &mut O| &mut o.queue_scan_selection_count, 20,
            "channels per cycle of NSQ's scan for timeouts")
            .superseded("timeouts and deferrals are exact, nothing is scanned"),
    ]
}

/// Replication: see docs/pairs.md.
#[rustfmt::skip] // a table: one option, two lines
fn pair() -> Vec<Opt<O>> {
    vec![
        Opt::value("pair-name", |o: &mut O| &mut o.pair_name, text(""),
            "this node's name within its pair, which never changes; by default the broadcast address"),
        Opt::value("pair-with", |o: &mut O| &mut o.pair_with, text(""),
            "name of the peer this node mirrors and is mirrored by; empty for none"),
        Opt::value("mirror-ack", |o: &mut O| &mut o.mirror_ack, MirrorAck::None,
            "whether OK waits for the peer to hold the message at the same durability: none or peer"),
        Opt::value("on-peer-loss", |o: &mut O| &mut o.on_peer_loss, OnPeerLoss::Degrade,
            "what publishers see of a peer that is gone: degrade (OK means kept here) or block (refused)"),
        Opt::value("peer-loss-timeout", |o: &mut O| &mut o.peer_loss_timeout, secs(1),
            "how long OKs wait for a peer that does not acknowledge"),
        Opt::value("adopt-after", |o: &mut O| &mut o.adopt_after, secs(0),
            "adopt the peer's messages when it has been gone for so long and no nsqlookupd has heard of it; 0: only when told to"),
    ]
}

/// What clients may ask for.
#[rustfmt::skip] // a table: one option, two lines
fn limits() -> Vec<Opt<O>> {
    vec![
        Opt::value("msg-timeout", |o: &mut O| &mut o.msg_timeout, secs(60),
            "how long a consumer may take for a message before it is requeued, unless it asked otherwise"),
        Opt::value("max-msg-timeout", |o: &mut O| &mut o.max_msg_timeout, secs(15 * 60),
            "longest message timeout, extensions by TOUCH included"),
        Opt::value("max-msg-size", |o: &mut O| &mut o.max_msg_size, 1024 * 1024,
            "largest message, in bytes"),
        Opt::value("max-req-timeout", |o: &mut O| &mut o.max_req_timeout, secs(60 * 60),
            "longest delay of REQ"),
        Opt::value("max-defer-timeout", |o: &mut O| &mut o.max_defer_timeout, secs(0),
            "longest delay of DPUB and of /pub?defer=; 0: as -max-req-timeout"),
        Opt::value("max-body-size", |o: &mut O| &mut o.max_body_size, 5 * 1024 * 1024,
            "largest body of one command, in bytes"),
        Opt::value("max-heartbeat-interval", |o: &mut O| &mut o.max_heartbeat_interval, secs(60),
            "longest heartbeat interval a client may ask for"),
        Opt::value("max-rdy-count", |o: &mut O| &mut o.max_rdy_count, 2_500,
            "largest RDY count"),
        Opt::value("max-output-buffer-size", |o: &mut O| &mut o.max_output_buffer_size, 64 * 1024,
            "largest output buffer a client may ask for, in bytes"),
        Opt::value("max-output-buffer-timeout", |o: &mut O| &mut o.max_output_buffer_timeout, secs(30),
            "longest time between flushes a client may ask for"),
        Opt::value("min-output-buffer-timeout", |o: &mut O| &mut o.min_output_buffer_timeout, Duration::from_millis(25),
            "shortest time between flushes a client may ask for"),
        Opt::value("output-buffer-timeout", |o: &mut O| &mut o.output_buffer_timeout, Duration::from_millis(250),
            "upper bound of the time between flushes, unless the client asked otherwise"),
        Opt::value("max-channel-consumers", |o: &mut O| &mut o.max_channel_consumers, 0,
            "consumers that may subscribe to one channel; 0 for any number"),
    ]
}

/// Bounds of what clients can do to it, together: the reasons are in `docs/limits.md`.
#[rustfmt::skip] // a table: one option, two lines
fn protection() -> Vec<Opt<O>> {
    vec![
        Opt::value("memory-limit", |o: &mut O| &mut o.memory_limit, 0,
            "memory this process may have, in bytes; 0: what its cgroup or the machine allows"),
        Opt::value("max-connections", |o: &mut O| &mut o.max_connections, 0,
            "TCP connections; 0: 90 % of the files this process may have open"),
        Opt::value("max-accept-rate", |o: &mut O| &mut o.max_accept_rate, 2_000,
            "TCP connections accepted a second, beyond as many at once; 0: any number"),
        Opt::value("command-timeout", |o: &mut O| &mut o.command_timeout, secs(60),
            "how long a command may take to arrive as a whole; 0: for ever"),
    ]
}

/// Compression, encryption and authorisation of connections.
#[rustfmt::skip] // a table: one option, two lines
fn security() -> Vec<Opt<O>> {
    vec![
        Opt::value("auth-http-address", |o: &mut O| &mut o.auth_http_addresses, vec![],
            "<addr>:<port> or URL of an auth server; may be given several times").key("auth_http_addresses"),
        Opt::value("auth-http-request-method", |o: &mut O| &mut o.auth_http_request_method, AuthRequestMethod::Get,
            "how auth servers are asked: get, or post (which keeps secrets out of their access logs)"),
        Opt::value("http-token-file", |o: &mut O| &mut o.http_token_file, text(""),
            "file with tokens, one a line: HTTP and HTTPS requests need one (Authorization: Bearer); read again when it changes"),
        Opt::value("http-read-only-address", |o: &mut O| &mut o.http_read_only_address, text(""),
            "<addr>:<port> where probes and monitoring are answered without token or certificate, and nothing else"),
        Opt::value("tls-cert", |o: &mut O| &mut o.tls_cert, text(""),
            "file with the server's certificate; read again when it changes"),
        Opt::value("tls-key", |o: &mut O| &mut o.tls_key, text(""),
            "file with the certificate's key"),
        Opt::value("tls-client-auth-policy", |o: &mut O| &mut o.tls_client_auth_policy, text(""),
            "what is asked of clients' certificates: require or require-verify"),
        Opt::value("tls-root-ca-file", |o: &mut O| &mut o.tls_root_ca_file, text(""),
            "file with the authorities that sign clients' certificates"),
        Opt::value("tls-required", |o: &mut O| &mut o.tls_required, TlsRequired::No,
            "refuse connections without TLS: true, false, or tcp-https (plain HTTP stays open)"),
        Opt::value("tls-min-version", |o: &mut O| &mut o.tls_min_version, TlsMinVersion::Tls10,
            "oldest TLS version accepted: tls1.0, tls1.1, tls1.2 or tls1.3"),
        Opt::value("deflate", |o: &mut O| &mut o.deflate, true,
            "let clients negotiate deflate"),
        Opt::value("max-deflate-level", |o: &mut O| &mut o.max_deflate_level, 6,
            "highest deflate level a client may ask for, in [1,9]"),
        Opt::value("snappy", |o: &mut O| &mut o.snappy, true,
            "let clients negotiate snappy"),
    ]
}

/// Statistics pushed, and measured on demand; logs.
#[rustfmt::skip] // a table: one option, two lines
fn statistics() -> Vec<Opt<O>> {
    vec![
        Opt::value("log-level", |o: &mut O| &mut o.log_level, LogLevel::Info,
            "how much to log: debug, info, warn, error or fatal"),
        Opt::value("log-prefix", |o: &mut O| &mut o.log_prefix, text("[nsqd] "),
            "what every log line starts with"),
        Opt::value("log-format", |o: &mut O| &mut o.log_format, LogFormat::Nsq,
            "nsq: lines of text as NSQ writes them; json: one JSON object a line"),
        Opt::value("statsd-address", |o: &mut O| &mut o.statsd_address, text(""),
            "UDP <addr>:<port> of a statsd daemon"),
        Opt::value("statsd-prefix", |o: &mut O| &mut o.statsd_prefix, text("nsq.%s"),
            "what statsd keys start with; %s is the broadcast address and HTTP port"),
        Opt::value("statsd-interval", |o: &mut O| &mut o.statsd_interval, secs(60),
            "time between two pushes to statsd"),
        Opt::value("statsd-mem-stats", |o: &mut O| &mut o.statsd_mem_stats, true,
            "push memory statistics too"),
        Opt::value("statsd-udp-packet-size", |o: &mut O| &mut o.statsd_udp_packet_size, 508,
            "largest statsd packet, in bytes"),
        Opt::value("statsd-exclude-ephemeral", |o: &mut O| &mut o.statsd_exclude_ephemeral, false,
            "leave ephemeral topics and channels out"),
        Opt::value("e2e-processing-latency-percentile", |o: &mut O| &mut o.e2e_percentiles, vec![],
            "percentiles of the time from publish to FIN, in (0,1]; repeated, or as in 1.0,0.99").key("e2e_processing_latency_percentiles"),
        Opt::value("e2e-processing-latency-window-time", |o: &mut O| &mut o.e2e_window_time, secs(10 * 60),
            "how far back the percentiles look"),
    ]
}

/// About the program itself.
fn program() -> Vec<Opt<O>> {
    vec![
        Opt::config_file(),
        Opt::version(),
        Opt::deprecated("verbose", "[deprecated] without effect, see -log-level"),
        Opt::deprecated("worker-id", "[deprecated] without effect, see -node-id"),
    ]
}
