//! What is to be seen, and what has changed since it was last shown. Pure.

use kube::ResourceExt;
use serde::Serialize;

use super::local::{LocalCluster, LocalPod};
use super::topics::Topics;
use crate::api::NsqTopic;
use crate::cluster::names::Component;

/// Everything at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    pub clusters: Vec<ClusterRow>,
    pub nodes: Vec<NodeRow>,
    pub topics: Vec<TopicRow>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClusterRow {
    pub name: String,
    pub ready: bool,
    pub message: String,
    /// Addresses of the first nodes of each kind, for the hints: nsqd TCP, nsqd HTTP, nsqlookupd HTTP.
    pub first: Option<(String, String, String)>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeRow {
    pub name: String,
    pub state: &'static str,
    pub tcp: String,
    pub http: String,
    pub pid: Option<u32>,
    pub restarts: u32,
    pub problem: String,
    /// Topics, waiting messages, messages in flight; nsqd only.
    pub load: Option<(usize, i64, i64)>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct TopicRow {
    pub topic: String,
    pub cluster: String,
    pub channels: String,
    pub nodes: String,
    pub state: String,
    pub message: String,
}

/// One thing that has become different; a line, or a JSON object.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// `cluster`, `node`, `topic` or `note`.
    pub kind: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl View {
    pub fn of<'a>(clusters: impl Iterator<Item = &'a LocalCluster>, topics: &Topics) -> Self {
        let mut view = Self::default();
        for cluster in clusters {
            view.clusters.push(cluster_row(cluster));
            let mut pods: Vec<_> = cluster.pods.iter().collect();
            pods.sort_by_key(|(_, pod)| pod.node);
            let rows = pods.into_iter().map(|(name, pod)| node_row(name, pod));
            view.nodes.extend(rows);
        }
        view.topics = topics.all.iter().map(topic_row).collect();
        view
    }

    /// What has become different since `before`, most general last: nodes make a cluster ready.
    pub fn changes_since(&self, before: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        for row in &self.nodes {
            let old = before.nodes.iter().find(|old| old.name == row.name);
            if old.map(NodeRow::key) != Some(row.key()) {
                changes.push(row.change(row.state));
            }
        }
        let gone = |row: &&NodeRow| !self.nodes.iter().any(|now| now.name == row.name);
        changes.extend(
            before
                .nodes
                .iter()
                .filter(gone)
                .map(|row| row.change("gone")),
        );
        for row in &self.topics {
            let old = before.topics.iter().find(|old| old.topic == row.topic);
            if old != Some(row) {
                changes.push(Change {
                    kind: "topic",
                    name: row.topic.clone(),
                    state: row.state.clone(),
                    message: row.message.clone(),
                    ..Change::default()
                });
            }
        }
        for row in &self.clusters {
            let old = before.clusters.iter().find(|old| old.name == row.name);
            if old.map(|old| (old.ready, &old.message)) != Some((row.ready, &row.message)) {
                changes.push(Change {
                    kind: "cluster",
                    name: row.name.clone(),
                    state: if row.ready { "ready" } else { "not ready" }.to_owned(),
                    message: row.message.clone(),
                    ..Change::default()
                });
            }
        }
        changes
    }
}

impl NodeRow {
    fn key(&self) -> (&'static str, Option<u32>, &str, &str) {
        (self.state, self.pid, &self.http, &self.problem)
    }

    fn change(&self, state: &str) -> Change {
        Change {
            kind: "node",
            name: self.name.clone(),
            state: state.to_owned(),
            tcp: Some(self.tcp.clone()),
            http: Some(self.http.clone()),
            pid: self.pid,
            message: self.problem.clone(),
        }
    }
}

fn cluster_row(local: &LocalCluster) -> ClusterRow {
    let status = local.cluster.status_or_default();
    let ready = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Ready");
    let first = |component: Component| {
        let mut pods: Vec<&LocalPod> = local.pods.values().collect();
        pods.sort_by_key(|pod| pod.node);
        pods.into_iter().find(|pod| pod.node.component == component)
    };
    let addresses = first(Component::Nsqd).zip(first(Component::Nsqlookupd));
    ClusterRow {
        name: local.cluster.name_any(),
        ready: ready.is_some_and(|condition| condition.status == "True"),
        message: ready
            .map(|condition| condition.message.clone())
            .unwrap_or_default(),
        first: addresses.map(|(nsqd, lookupd)| {
            (
                nsqd.tcp_address(),
                nsqd.http_address(),
                lookupd.http_address(),
            )
        }),
    }
}

fn node_row(name: &str, pod: &LocalPod) -> NodeRow {
    NodeRow {
        name: name.to_owned(),
        state: pod.state.word(),
        tcp: pod.tcp_address(),
        http: pod.http_address(),
        pid: pod.state.process().map(|process| process.pid),
        restarts: pod.restarts,
        problem: pod.problem().unwrap_or_default().to_owned(),
        load: pod.stats.as_ref().map(|stats| {
            let topics = stats.topics.as_deref().unwrap_or_default();
            let channels = || topics.iter().flat_map(|topic| &topic.channels);
            let waiting = topics.iter().map(|topic| topic.depth).sum::<i64>()
                + channels()
                    .map(|channel| channel.depth + channel.deferred_count)
                    .sum::<i64>();
            let in_flight = channels().map(|channel| channel.in_flight_count).sum();
            (topics.len(), waiting, in_flight)
        }),
    }
}

fn topic_row(topic: &NsqTopic) -> TopicRow {
    let status = topic.status_or_default();
    let ready = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Ready");
    TopicRow {
        topic: topic.topic_name(),
        cluster: topic.spec.cluster.clone(),
        channels: status.channels.join(" "),
        nodes: status.nodes.clone(),
        state: ready.map_or_else(String::new, |condition| condition.reason.clone()),
        message: ready
            .map(|condition| condition.message.clone())
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(state: &'static str, depth: i64) -> View {
        View {
            nodes: vec![NodeRow {
                name: "demo-nsqd-0-0".to_owned(),
                state,
                load: Some((1, depth, 0)),
                ..NodeRow::default()
            }],
            ..View::default()
        }
    }

    #[test]
    fn a_new_state_is_a_change_and_a_new_depth_is_not() {
        let before = node("ready", 1);
        assert_eq!(node("ready", 2).changes_since(&before), []);
        let changes = node("unready", 1).changes_since(&before);
        assert_eq!((changes.len(), changes[0].state.as_str()), (1, "unready"));
    }

    #[test]
    fn a_node_that_is_gone_is_told_once() {
        let changes = View::default().changes_since(&node("ready", 0));
        assert_eq!((changes.len(), changes[0].state.as_str()), (1, "gone"));
        assert_eq!(View::default().changes_since(&View::default()), []);
    }
}
