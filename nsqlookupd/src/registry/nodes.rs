//! The nsqds, with what each has.

use std::collections::BTreeMap;
use std::time::Duration;

use nsq_http_api::Node;

use super::{Peer, PeerId, Registry};

impl Registry {
    /// Every nsqd that is not inactive, in the order they came, with its topics sorted.
    #[must_use]
    pub fn nodes(&self, now: Duration) -> Vec<Node> {
        self.nodes_that(now, |peer| {
            self.is_active(peer, now).then(|| peer.empty_node())
        })
    }

    /// Every nsqd of that pair name that is connected, inactive or not, and how long it has been silent.
    #[must_use]
    pub fn nodes_of_pair(&self, pair_name: &str, now: Duration) -> Vec<Node> {
        self.nodes_that(now, |peer| {
            let silent = now.saturating_sub(peer.last_seen).as_nanos();
            (peer.info.pair_name == pair_name).then(|| Node {
                silent_ns: u64::try_from(silent).ok(),
                ..peer.empty_node()
            })
        })
    }

    /// `show` makes a node of a peer, still without its topics, or leaves it out.
    fn nodes_that(&self, now: Duration, show: impl Fn(&Peer) -> Option<Node>) -> Vec<Node> {
        let peers = self.peers.iter();
        let shown = peers.filter_map(|(id, peer)| Some((*id, show(peer)?)));
        let mut nodes: BTreeMap<PeerId, Node> = shown.collect();
        for (name, topic) in &self.topics {
            for (id, tombstone) in &topic.producers {
                if let Some(node) = nodes.get_mut(id) {
                    node.topics.push(name.clone());
                    node.tombstones.push(self.is_tombstoned(*tombstone, now));
                }
            }
        }
        nodes.into_values().collect()
    }
}

impl Peer {
    fn empty_node(&self) -> Node {
        let info = self.info.clone();
        Node {
            remote_address: self.remote_address.clone(),
            hostname: info.hostname,
            broadcast_address: info.broadcast_address,
            tcp_port: info.tcp_port,
            http_port: info.http_port,
            version: info.version,
            topology_zone: info.topology_zone,
            topology_region: info.topology_region,
            ..Node::default()
        }
    }
}
