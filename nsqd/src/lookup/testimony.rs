//! What an nsqlookupd says about an nsqd that may be gone.

use std::time::Duration;

use nsq_http_api::{Client, Nodes};

use super::link::Asked;

/// What one nsqlookupd says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Testimony {
    /// How long this node has been connected to it, when it answered. What it said before that it has forgotten if it
    /// was started anew.
    pub connected_for: Option<Duration>,
    /// Or why there is no answer.
    pub answer: Result<Presence, String>,
}

/// Whether an nsqlookupd has heard of an nsqd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is not connected there.
    Absent,
    /// It is connected, and has said nothing for so long. The nsqlookupd's own steady clock says so: nobody compares the
    /// clocks of two machines.
    Silent(Duration),
    /// It is connected, and was heard of at some time within the nsqlookupd's inactive-producer-timeout: NSQ 1.3's
    /// says no more.
    Listed,
}

pub(super) async fn ask(http: &Client, link: &Asked, pair_name: &str) -> Testimony {
    let Some(address) = link.http_address() else {
        return Testimony {
            connected_for: None,
            answer: Err("not connected".to_owned()),
        };
    };
    let answer = http.nsqlookupd(&address).nodes_of_pair(pair_name).await;
    Testimony {
        // Asked now: an nsqlookupd that was replaced meanwhile is a new one.
        connected_for: link.connected_for(),
        answer: match answer {
            Ok(nodes) => Ok(presence(pair_name, &nodes)),
            Err(err) => Err(err.to_string()),
        },
    }
}

/// NSQ 1.3's nsqlookupd tells of all nsqds whatever it is asked: there the name must be the broadcast address.
fn presence(pair_name: &str, nodes: &Nodes) -> Presence {
    if nodes.pair_name == pair_name {
        let silent = nodes.producers.iter().filter_map(|node| node.silent_ns);
        return match silent.min() {
            Some(nanos) => Presence::Silent(Duration::from_nanos(nanos)),
            None => Presence::Absent,
        };
    }
    let mut listed = nodes.producers.iter();
    match listed.any(|node| node.broadcast_address == pair_name) {
        true => Presence::Listed,
        false => Presence::Absent,
    }
}

#[cfg(test)]
mod tests {
    use nsq_http_api::Node;

    use super::*;

    fn node(broadcast_address: &str, silent_ns: Option<u64>) -> Node {
        Node {
            broadcast_address: broadcast_address.to_owned(),
            silent_ns,
            ..Node::default()
        }
    }

    #[test]
    fn the_connection_that_spoke_last_counts() {
        let mut nodes = Nodes {
            pair_name: "a".to_owned(),
            ..Nodes::default()
        };
        assert_eq!(presence("a", &nodes), Presence::Absent);
        nodes.producers = vec![node("x", Some(9)), node("x", Some(5))];
        assert_eq!(
            presence("a", &nodes),
            Presence::Silent(Duration::from_nanos(5))
        );
    }

    #[test]
    fn nsqs_own_nsqlookupd_knows_broadcast_addresses() {
        let nodes = Nodes {
            producers: vec![node("b", None), node("a", None)],
            ..Nodes::default()
        };
        assert_eq!(presence("a", &nodes), Presence::Listed);
        assert_eq!(presence("c", &nodes), Presence::Absent);
    }
}
