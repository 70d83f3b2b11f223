//! nsqd's options beside NSQ 1.3's: same flags, types, defaults, config keys and complaints.

#![allow(clippy::unwrap_used)] // a test may

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use nsq_daemon::Stop;
use nsqd::options::{Durability, Options, TlsRequired};

/// Flag, type and default in the usage text of NSQ 1.3.0 on a host called `vm`.
#[rustfmt::skip]
const NSQ_OPTIONS: &[(&str, &str, &str)] = &[
    ("-auth-http-address", "value", ""),
    ("-broadcast-address", "string", r#""vm""#),
    ("-broadcast-http-port", "int", ""),
    ("-broadcast-tcp-port", "int", ""),
    ("-config", "string", ""),
    ("-data-path", "string", ""),
    ("-deflate", "", "true"),
    ("-e2e-processing-latency-percentile", "value", ""),
    ("-e2e-processing-latency-window-time", "duration", "10m0s"),
    ("-http-address", "string", r#""0.0.0.0:4151""#),
    ("-http-client-connect-timeout", "duration", "2s"),
    ("-http-client-request-timeout", "duration", "5s"),
    ("-https-address", "string", r#""0.0.0.0:4152""#),
    ("-log-level", "value", "INFO"),
    ("-log-prefix", "string", r#""[nsqd] ""#),
    ("-lookupd-tcp-address", "value", ""),
    ("-max-body-size", "int", "5242880"),
    ("-max-bytes-per-file", "int", "104857600"),
    ("-max-channel-consumers", "int", ""),
    ("-max-deflate-level", "int", "6"),
    ("-max-heartbeat-interval", "duration", "1m0s"),
    ("-max-msg-size", "int", "1048576"),
    ("-max-msg-timeout", "duration", "15m0s"),
    ("-max-output-buffer-size", "int", "65536"),
    ("-max-output-buffer-timeout", "duration", "30s"),
    ("-max-rdy-count", "int", "2500"),
    ("-max-req-timeout", "duration", "1h0m0s"),
    ("-mem-queue-size", "int", "10000"),
    ("-min-output-buffer-timeout", "duration", "25ms"),
    ("-msg-timeout", "duration", "1m0s"),
    ("-node-id", "int", "617"),
    ("-output-buffer-timeout", "duration", "250ms"),
    ("-queue-scan-selection-count", "int", "20"),
    ("-queue-scan-worker-pool-max", "int", "4"),
    ("-snappy", "", "true"),
    ("-statsd-address", "string", ""),
    ("-statsd-exclude-ephemeral", "", ""),
    ("-statsd-interval", "duration", "1m0s"),
    ("-statsd-mem-stats", "", "true"),
    ("-statsd-prefix", "string", r#""nsq.%s""#),
    ("-statsd-udp-packet-size", "int", "508"),
    ("-sync-every", "int", "2500"),
    ("-sync-timeout", "duration", "2s"),
    ("-tcp-address", "string", r#""0.0.0.0:4150""#),
    ("-tls-cert", "string", ""),
    ("-tls-client-auth-policy", "string", ""),
    ("-tls-key", "string", ""),
    ("-tls-min-version", "value", "tls1.0"),
    ("-tls-required", "", ""),
    ("-tls-root-ca-file", "string", ""),
    ("-verbose", "", ""),
    ("-version", "", ""),
    ("-worker-id", "", ""),
];

/// Options that are ours alone.
const OURS: &[(&str, &str, &str)] = &[
    ("-adopt-after", "duration", ""),
    ("-auth-http-request-method", "string", r#""get""#),
    ("-command-timeout", "duration", "1m0s"),
    ("-durability", "value", "write"),
    ("-enable-experiment", "value", ""),
    ("-http-read-only-address", "string", ""),
    ("-http-token-file", "string", ""),
    ("-log-format", "value", "nsq"),
    ("-max-accept-rate", "int", "2000"),
    ("-max-connections", "int", ""),
    ("-max-defer-timeout", "duration", ""),
    ("-memory-limit", "int", ""),
    ("-mirror-ack", "value", "none"),
    ("-on-peer-loss", "value", "degrade"),
    ("-pair-name", "string", ""),
    ("-pair-with", "string", ""),
    ("-peer-loss-timeout", "duration", "1s"),
    ("-topology-region", "string", ""),
    ("-topology-zone", "string", ""),
];

fn options(args: &[&str]) -> Options {
    Options::from_args("vm", args).unwrap().options
}

fn fatal(args: &[&str]) -> String {
    match Options::from_args("vm", args).unwrap_err() {
        Stop::Fatal(message) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_adopts_without_an_order_has_a_peer_and_somebody_to_ask() {
    let pair = ["--pair-with=b", "--pair-name=a"];
    let asks = "--lookupd-tcp-address=l:4160";
    let all = |more: &[&'static str]| [&pair[..], more].concat();
    let told = options(&all(&[asks, "--adopt-after=30s"]));
    assert_eq!(told.adopt_after, Duration::from_secs(30));
    assert_eq!(options(&[]).adopt_after, Duration::ZERO);
    assert!(fatal(&["--adopt-after=30s", asks]).contains("--pair-with"));
    assert!(fatal(&all(&["--adopt-after=30s"])).contains("--lookupd-tcp-address"));
    assert!(fatal(&all(&[asks, "--adopt-after=999ms"])).contains("at least 1s"));
}

#[test]
fn usage_has_nsqs_flags_types_and_defaults_in_nsqs_order() {
    let usage = Options::command("vm").usage();
    let mut lines = usage.lines();
    assert_eq!(lines.next(), Some("Usage of nsqd:"));
    let mut found = vec![];
    while let (Some(head), Some(help)) = (lines.next(), lines.next()) {
        let head = head.strip_prefix("  ").unwrap();
        let (flag, kind) = head.split_once(' ').unwrap_or((head, ""));
        let default = help
            .rsplit_once(" (default ")
            .map_or("", |(_, rest)| &rest[..rest.len() - 1]);
        found.push((flag, kind, default));
    }
    let mut expected: Vec<_> = NSQ_OPTIONS.iter().chain(OURS).copied().collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn config_file_has_nsqs_keys() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let text = "tcp_address = '127.0.0.1:9750'\nmem_queue_size = 5\nmsg_timeout = '30s'\nid = 9\n\
        nsqlookupd_tcp_addresses = 'a:1,b:1'\n\
        e2e_processing_latency_percentiles = [0.99, 1.0]\nlog_level = 'debug'\n\
        tls_required = false\nmax_req_timeout = 5000\nunknown_option = 1\n";
    file.write_all(text.as_bytes()).unwrap();
    let read = options(&[
        &format!("--config={}", file.path().display()),
        "--mem-queue-size=6",
    ]);
    assert_eq!(
        (read.tcp_address.as_str(), read.node_id, read.node()),
        ("127.0.0.1:9750", 9, 9)
    );
    assert_eq!(
        (read.mem_queue_size, read.msg_timeout),
        (6, Duration::from_secs(30))
    );
    assert_eq!(read.lookupd_tcp_addresses, ["a:1", "b:1"]);
    assert_eq!(read.e2e_percentiles, [1.0, 0.99]);
    assert_eq!(read.max_req_timeout, Duration::from_secs(5));
}

#[test]
fn host_gives_broadcast_address_and_node_id() {
    let read = options(&[]);
    assert_eq!((read.broadcast_address.as_str(), read.node()), ("vm", 617));
    assert_eq!(read.durability, Durability::Write);
}

#[test]
fn impossible_values_are_refused() {
    for (args, reason) in [
        (&["--node-id=1024"][..], "--node-id must be [0,1024)"),
        (&["--node-id=-1"], "--node-id must be [0,1024)"),
        (
            &["--max-deflate-level=10"],
            "--max-deflate-level must be [1,9]",
        ),
        (
            &["--max-msg-size=0"],
            "--max-msg-size must be [1,2147483647]",
        ),
        (
            &["--e2e-processing-latency-percentile=1.5"],
            "invalid E2E processing latency percentile: 1.5",
        ),
        (
            &["--tls-required"],
            "cannot require TLS client connections without TLS key and cert",
        ),
        (
            &["--tls-cert=x"],
            "--tls-cert and --tls-key must be given together",
        ),
        (
            &["--tls-client-auth-policy=maybe"],
            "--tls-client-auth-policy must be require or require-verify, not \"maybe\"",
        ),
    ] {
        assert_eq!(
            fatal(args),
            format!("failed to instantiate nsqd - {reason}")
        );
    }
    let unknown = Options::from_args("vm", ["--durability=perhaps"]).unwrap_err();
    assert!(matches!(unknown, Stop::Usage { reason, .. } if reason ==
        "invalid value \"perhaps\" for flag -durability: expected memory, write or fsync"));
}

#[test]
fn what_would_leave_nsqd_open_is_refused() {
    let tls = ["--tls-cert=c", "--tls-key=k"];
    assert_eq!(
        fatal(&[tls[0], tls[1], "--tls-client-auth-policy=require-verify"]),
        "failed to instantiate nsqd - --tls-client-auth-policy=require-verify needs --tls-root-ca-file"
    );
    for (flag, required) in [
        ("--tls-client-auth-policy=require", TlsRequired::Yes),
        ("--tls-required", TlsRequired::Yes),
        ("--tls-required=tcp-https", TlsRequired::TcpHttps),
    ] {
        let parsed = Options::from_args("vm", [tls[0], tls[1], flag]).unwrap();
        assert_eq!(parsed.options.tls_required, required);
    }
    // Certificates alone oblige nobody.
    let parsed = Options::from_args("vm", tls).unwrap();
    assert_eq!(parsed.options.tls_required, TlsRequired::No);
    assert_eq!(parsed.remarks(), [""; 0]);
}

#[test]
fn what_is_not_needed_is_named() {
    let parsed = Options::from_args("vm", ["--sync-every=1", "--mem-queue-size=1"]).unwrap();
    assert_eq!(
        parsed.remarks(),
        [
            "--sync-every is not needed: --durability says what OK means, for each message; \
             --sync-timeout still holds"
        ]
    );
    let nothing = Options::from_args::<&str>("vm", []).unwrap();
    assert_eq!(nothing.remarks(), [""; 0]);
}

#[test]
fn the_documentation_is_up_to_date() {
    let written = include_str!("../../docs/options.md");
    let command = Options::command(nsqd::options::DOCUMENTED_HOST);
    // nsqlookupd's come behind.
    let stale = "stale: run `cargo xtask docs`";
    assert!(written.contains(&command.markdown()), "{stale}");
}

#[test]
fn values_are_told_by_config_key() {
    let command = Options::command("vm");
    let read = options(&["--max-msg-size=4096", "--lookupd-tcp-address=a:1"]);
    let told: BTreeMap<_, _> = [
        ("max_msg_size", "4096"),
        ("mem_queue_size", "10000"),
        ("msg_timeout", "60000000000"),
        ("nsqlookupd_tcp_addresses", r#"["a:1"]"#),
        ("log_level", "2"),
        ("tls_min_version", "769"),
        ("durability", r#""write""#),
    ]
    .into();
    for (key, value) in told {
        assert_eq!(
            command.json(&read, key).unwrap().to_string(),
            value,
            "{key}"
        );
    }
    assert_eq!(command.json(&read, "verbose"), None);
}
