//! What everything that belongs to a cluster is called.
//!
//! nsqd nodes are numbered from 0; nodes 0 and 1 are pair 0, nodes 2 and 3 pair 1, and so on. A pair is
//! one StatefulSet, `demo-nsqd-0`, whose pods are `demo-nsqd-0-0` and `demo-nsqd-0-1`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// NSQ's default ports; every pod has its own address, so nobody needs others.
pub const NSQD_TCP: u16 = 4150;
pub const NSQD_HTTP: u16 = 4151;
pub const NSQD_HTTPS: u16 = 4152;
pub const NSQLOOKUPD_TCP: u16 = 4160;
pub const NSQLOOKUPD_HTTP: u16 = 4161;
pub const NSQLOOKUPD_HTTPS: u16 = 4162;
/// Lookups for clients outside, with addresses that they can reach.
pub const NSQLOOKUPD_EXTERNAL: u16 = 4163;
/// Probes, monitoring and lookups, where everything else asks for a token.
pub const NSQD_READ_ONLY: u16 = 4154;
pub const NSQLOOKUPD_READ_ONLY: u16 = 4164;

/// Nodes of a pair.
pub const PAIR_SIZE: u32 = 2;

/// The daemons of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Component {
    Nsqlookupd,
    Nsqd,
}

impl Component {
    /// The daemon's name: binary, container and label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nsqd => "nsqd",
            Self::Nsqlookupd => "nsqlookupd",
        }
    }

    /// The daemon with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Nsqd, Self::Nsqlookupd]
            .into_iter()
            .find(|component| component.as_str() == name)
    }

    /// Port of the NSQ protocol.
    #[must_use]
    pub fn tcp_port(self) -> u16 {
        match self {
            Self::Nsqd => NSQD_TCP,
            Self::Nsqlookupd => NSQLOOKUPD_TCP,
        }
    }

    /// Port of the HTTP API.
    #[must_use]
    pub fn http_port(self) -> u16 {
        match self {
            Self::Nsqd => NSQD_HTTP,
            Self::Nsqlookupd => NSQLOOKUPD_HTTP,
        }
    }

    /// Port where no token is needed and nothing can be changed.
    #[must_use]
    pub fn read_only_port(self) -> u16 {
        match self {
            Self::Nsqd => NSQD_READ_ONLY,
            Self::Nsqlookupd => NSQLOOKUPD_READ_ONLY,
        }
    }

    /// Port of the HTTP API over TLS, where there is a certificate.
    #[must_use]
    pub fn https_port(self) -> u16 {
        match self {
            Self::Nsqd => NSQD_HTTPS,
            Self::Nsqlookupd => NSQLOOKUPD_HTTPS,
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One daemon of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    pub component: Component,
    /// From 0, over all pairs.
    pub ordinal: u32,
}

impl Node {
    #[must_use]
    pub fn nsqd(ordinal: u32) -> Self {
        Self {
            component: Component::Nsqd,
            ordinal,
        }
    }

    #[must_use]
    pub fn nsqlookupd(ordinal: u32) -> Self {
        Self {
            component: Component::Nsqlookupd,
            ordinal,
        }
    }

    /// The other node of its pair.
    #[must_use]
    pub fn peer(self) -> Self {
        Self {
            ordinal: self.ordinal ^ 1,
            ..self
        }
    }

    /// Name of its pod.
    #[must_use]
    pub fn pod_name(self, cluster: &str) -> String {
        match self.component {
            Component::Nsqd => {
                let set = nsqd_set(cluster, self.ordinal / PAIR_SIZE);
                format!("{set}-{}", self.ordinal % PAIR_SIZE)
            }
            Component::Nsqlookupd => format!("{cluster}-nsqlookupd-{}", self.ordinal),
        }
    }

    /// The node whose pod is called so.
    #[must_use]
    pub fn from_pod_name(cluster: &str, pod: &str) -> Option<Self> {
        let rest = pod.strip_prefix(cluster)?.strip_prefix('-')?;
        if let Some(ordinal) = rest.strip_prefix("nsqlookupd-") {
            return Some(Self::nsqlookupd(ordinal.parse().ok()?));
        }
        let (pair, member) = rest.strip_prefix("nsqd-")?.split_once('-')?;
        let (pair, member): (u32, u32) = (pair.parse().ok()?, member.parse().ok()?);
        (member < PAIR_SIZE).then(|| Self::nsqd(pair * PAIR_SIZE + member))
    }

    /// The name under which others in the cluster reach it, whether ready or not. It has no cluster
    /// domain, so it is right whatever that is.
    #[must_use]
    pub fn host(self, cluster: &str, namespace: &str) -> String {
        let service = headless_service(cluster, self.component);
        format!("{}.{service}.{namespace}.svc", self.pod_name(cluster))
    }
}

/// Pairs needed for this many nsqd nodes.
#[must_use]
pub fn pairs(nodes: u32) -> u32 {
    nodes.div_ceil(PAIR_SIZE)
}

/// Nodes of one pair when there are `nodes` in all.
#[must_use]
pub fn nodes_of_pair(pair: u32, nodes: u32) -> u32 {
    nodes.saturating_sub(pair * PAIR_SIZE).min(PAIR_SIZE)
}

/// StatefulSet of a pair.
#[must_use]
pub fn nsqd_set(cluster: &str, pair: u32) -> String {
    format!("{cluster}-nsqd-{pair}")
}

/// The pair whose StatefulSet is called so.
#[must_use]
pub fn pair_of_set(cluster: &str, set: &str) -> Option<u32> {
    set.strip_prefix(cluster)?
        .strip_prefix("-nsqd-")?
        .parse()
        .ok()
}

/// ConfigMap that tells each node of a pair who its peer is.
#[must_use]
pub fn pair_config(cluster: &str, pair: u32) -> String {
    format!("{}-pair", nsqd_set(cluster, pair))
}

/// StatefulSet of the nsqlookupds.
#[must_use]
pub fn nsqlookupd_set(cluster: &str) -> String {
    format!("{cluster}-nsqlookupd")
}

/// Headless Service that gives each pod its name.
#[must_use]
pub fn headless_service(cluster: &str, component: Component) -> String {
    format!("{cluster}-{component}")
}

/// Service that reaches any nsqd which takes messages.
#[must_use]
pub fn publish_service(cluster: &str) -> String {
    format!("{cluster}-publish")
}

/// Service that reaches any nsqlookupd.
#[must_use]
pub fn lookup_service(cluster: &str) -> String {
    format!("{cluster}-lookup")
}

/// Service by which those outside reach a pod, or what a Service reaches inside.
#[must_use]
pub fn external_service(inside: &str) -> String {
    format!("{inside}-external")
}

/// ConfigMap with the addresses that those outside are told.
#[must_use]
pub fn external_config(cluster: &str) -> String {
    format!("{cluster}-external")
}

/// What cert-manager is asked for.
#[must_use]
pub fn certificate(cluster: &str) -> String {
    format!("{cluster}-nsq")
}

/// Secret with the certificate, if the manifest does not name it.
#[must_use]
pub fn certificate_secret(cluster: &str) -> String {
    format!("{cluster}-tls")
}

/// ServiceAccount of every pod; it may do nothing.
#[must_use]
pub fn service_account(cluster: &str) -> String {
    format!("{cluster}-nsq")
}

/// Job that moves what a node has to others.
#[must_use]
pub fn relocation(pod: &str) -> String {
    format!("{pod}-relocate")
}

/// The node whose relocation is called so.
#[must_use]
pub fn relocated_by(job: &str) -> Option<&str> {
    job.strip_suffix("-relocate")
}

/// Claim of a pod's data volume, as the StatefulSet controller names it.
#[must_use]
pub fn claim(pod: &str) -> String {
    format!("data-{pod}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_name_leads_back_to_its_node() {
        for node in (0..5).map(Node::nsqd).chain((0..3).map(Node::nsqlookupd)) {
            let pod = node.pod_name("a-nsqd-1");
            assert_eq!(Node::from_pod_name("a-nsqd-1", &pod), Some(node));
        }
        assert_eq!(Node::nsqd(3).pod_name("demo"), "demo-nsqd-1-1");
        assert_eq!([2, 3].map(|n| Node::nsqd(n).peer().ordinal), [3, 2]);
        assert_eq!(Node::from_pod_name("demo", "demo-nsqd-0-2"), None);
        assert_eq!(Node::from_pod_name("demo", "other-nsqd-0-0"), None);
    }

    #[test]
    fn an_odd_node_stands_alone_in_the_last_pair() {
        assert_eq!(pairs(3), 2);
        let sizes: Vec<u32> = (0..3).map(|pair| nodes_of_pair(pair, 3)).collect();
        assert_eq!(sizes, [2, 1, 0]);
    }
}
