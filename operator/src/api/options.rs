//! Which command line options of the daemons a manifest may set.
//!
//! The lists are NSQ 1.3's and our own, without those that the operator itself sets (addresses, paths, identity)
//! and without those that end the process (`version`). They become CEL rules, so that a
//! misspelt option is refused by the API server and not by a pod that does not start.

use kube::core::{Message, Rule};

/// The options of one daemon.
#[derive(Debug, Clone, Copy)]
pub struct OptionSet {
    /// Name of the daemon, as the messages say it.
    pub daemon: &'static str,
    /// What a manifest may set.
    pub free: &'static [&'static str],
    /// What the operator sets itself, and would contradict.
    pub owned: &'static [&'static str],
}

/// The options of nsqd.
pub const NSQD: OptionSet = OptionSet {
    daemon: "nsqd",
    free: &[
        "auth-http-address",
        "auth-http-request-method",
        "command-timeout",
        "deflate",
        "e2e-processing-latency-percentile",
        "e2e-processing-latency-window-time",
        "http-client-connect-timeout",
        "http-client-request-timeout",
        "log-format",
        "log-level",
        "log-prefix",
        "max-accept-rate",
        "max-body-size",
        "max-bytes-per-file",
        "max-channel-consumers",
        "max-connections",
        "max-defer-timeout",
        "max-deflate-level",
        "max-heartbeat-interval",
        "max-msg-size",
        "max-msg-timeout",
        "max-output-buffer-size",
        "max-output-buffer-timeout",
        "max-rdy-count",
        "max-req-timeout",
        "mem-queue-size",
        "memory-limit",
        "min-output-buffer-timeout",
        "msg-timeout",
        "output-buffer-timeout",
        "queue-scan-selection-count",
        "queue-scan-worker-pool-max",
        "snappy",
        "statsd-address",
        "statsd-exclude-ephemeral",
        "statsd-interval",
        "statsd-mem-stats",
        "statsd-prefix",
        "statsd-udp-packet-size",
        "sync-every",
        "sync-timeout",
    ],
    owned: &[
        "adopt-after",
        "broadcast-address",
        "broadcast-http-port",
        "broadcast-tcp-port",
        "config",
        "data-path",
        "durability",
        "http-address",
        "http-read-only-address",
        "http-token-file",
        "https-address",
        "lookupd-tcp-address",
        "mirror-ack",
        "node-id",
        "on-peer-loss",
        "pair-name",
        "pair-with",
        "peer-loss-timeout",
        "tcp-address",
        "tls-cert",
        "tls-key",
        "tls-required",
    ],
};

/// The options of nsqlookupd.
pub const NSQLOOKUPD: OptionSet = OptionSet {
    daemon: "nsqlookupd",
    free: &[
        "inactive-producer-timeout",
        "log-level",
        "log-prefix",
        "tombstone-lifetime",
    ],
    owned: &[
        "broadcast-address",
        "external-addresses",
        "external-http-address",
        "http-address",
        "http-read-only-address",
        "http-token-file",
        "https-address",
        "tcp-address",
        "tls-cert",
        "tls-key",
    ],
};

/// The options of nsq_to_nsq.
pub const NSQ_TO_NSQ: OptionSet = OptionSet {
    daemon: "nsq_to_nsq",
    free: &[
        "log-level",
        "log-prefix",
        "max-in-flight",
        "mode",
        "require-json-field",
        "require-json-value",
        "status-every",
        "whitelist-json-field",
    ],
    owned: &[
        "channel",
        "config",
        "consumer-opt",
        "destination-nsqd-tcp-address",
        "destination-topic",
        "lookupd-http-address",
        "nsqd-tcp-address",
        "producer-opt",
        "topic",
    ],
};

impl OptionSet {
    /// The rule that refuses a name the daemon does not have.
    pub(super) fn known_rule(&self) -> Rule {
        let known = cel_list(&[self.free, self.owned].concat());
        Rule::new(format!("self.all(name, name in {known})")).message(Message::Expression(format!(
            "'{} has no option \"' + self.filter(name, !(name in {known}))[0] + '\"'",
            self.daemon
        )))
    }

    /// The rule that refuses an option which the operator sets.
    pub(super) fn owned_rule(&self) -> Rule {
        let owned = cel_list(self.owned);
        Rule::new(format!("!self.exists(name, name in {owned})")).message(Message::Expression(
            format!(
                "'the operator sets the option \"' + self.filter(name, name in {owned})[0] + '\" itself'"
            ),
        ))
    }
}

fn cel_list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    format!("[{}]", quoted.join(", "))
}
