//! The command line of each daemon, with its addresses left open.
//!
//! This is the part of the plan that both executors share: Kubernetes fills in host names and fixed
//! ports, `dev` fills in loopback addresses and whatever ports are free.

use super::names::{Component, Node};
use super::validate::ValidatedCluster;

/// The value of one option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// As it stands.
    Text(String),
    /// Where this node listens for the NSQ protocol.
    ListenTcp,
    /// Where this node listens for HTTP.
    ListenHttp,
    /// Where this node listens for HTTP over TLS.
    ListenHttps,
    /// Where this node answers without a token.
    ListenReadOnly,
    /// Where this nsqlookupd answers those outside.
    ListenExternal,
    /// The addresses by which those outside reach nsqds.
    ExternalAddresses,
    /// The tokens of the HTTP API.
    TokenFile,
    /// A file of the Secret with the certificate.
    TlsFile(&'static str),
    /// The host under which others reach this node.
    OwnHost,
    /// The name of this node, which never changes.
    OwnName,
    /// A directory for this node alone.
    DataPath,
    /// A number that no other node of the cluster has.
    NodeId,
    /// host:port of another node's NSQ protocol.
    TcpOf(Node),
}

/// An option without its dashes, and its value.
pub type Flag = (String, Value);

/// Files of the Secret with the certificate.
pub const CERTIFICATE: &str = "tls.crt";
pub const KEY: &str = "tls.key";
pub const AUTHORITIES: &str = "ca.crt";

/// nsqlookupd forgets a node that has said nothing for this long, unless the manifest says otherwise. nsqd says
/// something every 15 s; the default of 300 s would send consumers to a lost node for five minutes.
const INACTIVE_PRODUCER_TIMEOUT: &str = "60s";

/// The options of every node of this kind, in the order in which they are passed.
#[must_use]
pub fn flags(cluster: &ValidatedCluster, component: Component) -> Vec<Flag> {
    match component {
        Component::Nsqd => nsqd_flags(cluster),
        Component::Nsqlookupd => nsqlookupd_flags(cluster),
    }
}

fn nsqd_flags(cluster: &ValidatedCluster) -> Vec<Flag> {
    let mut flags = vec![
        flag("tcp-address", Value::ListenTcp),
        flag("http-address", Value::ListenHttp),
        flag("broadcast-address", Value::OwnHost),
        flag("data-path", Value::DataPath),
        flag("node-id", Value::NodeId),
        flag(
            "durability",
            Value::Text(cluster.durability.as_str().to_owned()),
        ),
    ];
    if let Some(replication) = &cluster.replication {
        let text = |text: &str| Value::Text(text.to_owned());
        flags.extend([
            flag("pair-name", Value::OwnName),
            flag("mirror-ack", text(replication.mirror_ack.as_str())),
            flag("on-peer-loss", text(replication.on_peer_loss.as_str())),
            flag("peer-loss-timeout", text(&replication.peer_loss_timeout)),
        ]);
    }
    flags.extend(token_flags(cluster));
    flags.extend(tls_flags(cluster));
    if cluster.tls.as_ref().is_some_and(|tls| tls.required) {
        // Plain HTTP stays open, for the kubelets' probes and the operator's.
        let required = Value::Text("tcp-https".to_owned());
        flags.push(flag("tls-required", required));
    }
    let lookupds = (0..cluster.nsqlookupd.replicas).map(Node::nsqlookupd);
    flags.extend(lookupds.map(|node| flag("lookupd-tcp-address", Value::TcpOf(node))));
    flags.extend(texts(&cluster.nsqd.options));
    flags
}

fn nsqlookupd_flags(cluster: &ValidatedCluster) -> Vec<Flag> {
    let options = &cluster.nsqlookupd.options;
    let mut flags = vec![
        flag("tcp-address", Value::ListenTcp),
        flag("http-address", Value::ListenHttp),
        flag("broadcast-address", Value::OwnHost),
    ];
    flags.extend(token_flags(cluster));
    if cluster.external.is_some() {
        flags.push(flag("external-http-address", Value::ListenExternal));
        flags.push(flag("external-addresses", Value::ExternalAddresses));
    }
    flags.extend(tls_flags(cluster));
    if !options.contains_key("inactive-producer-timeout") {
        let timeout = Value::Text(INACTIVE_PRODUCER_TIMEOUT.to_owned());
        flags.push(flag("inactive-producer-timeout", timeout));
    }
    flags.extend(texts(options));
    flags
}

/// Options of one nsqd alone: who its peer is. None without replication.
#[must_use]
pub fn of_node(cluster: &ValidatedCluster, node: Node) -> Vec<Flag> {
    match cluster.replication {
        Some(_) => vec![flag(
            "pair-with",
            Value::Text(node.peer().pod_name(&cluster.name)),
        )],
        None => Vec::new(),
    }
}

/// Options of the `nsq_to_nsq --mirror` beside one nsqd, but for the mode and its own nsqd's
/// address: it reads the peer's journal.
#[must_use]
pub fn of_mirror(node: Node) -> Vec<Flag> {
    vec![flag("origin-tcp-address", Value::TcpOf(node.peer()))]
}

fn token_flags(cluster: &ValidatedCluster) -> Vec<Flag> {
    match cluster.http_tokens {
        Some(_) => vec![
            flag("http-token-file", Value::TokenFile),
            flag("http-read-only-address", Value::ListenReadOnly),
        ],
        None => Vec::new(),
    }
}

fn tls_flags(cluster: &ValidatedCluster) -> Vec<Flag> {
    match cluster.tls {
        Some(_) => vec![
            flag("https-address", Value::ListenHttps),
            flag("tls-cert", Value::TlsFile(CERTIFICATE)),
            flag("tls-key", Value::TlsFile(KEY)),
        ],
        None => Vec::new(),
    }
}

fn flag(name: &str, value: Value) -> Flag {
    (name.to_owned(), value)
}

fn texts(
    options: &std::collections::BTreeMap<String, String>,
) -> impl Iterator<Item = Flag> + use<'_> {
    options
        .iter()
        .map(|(name, value)| flag(name, Value::Text(value.clone())))
}
