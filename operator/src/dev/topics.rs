//! The topics of a manifest, kept on the local nodes by the same plan as in Kubernetes.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use nsq_http_api::Client;

use super::local::LocalCluster;
use crate::api::{NsqTopic, TOPIC_FINALIZER};
use crate::topic::apply::make_calls;
use crate::topic::observe::{Address, ask_all};
use crate::topic::observed::{ClusterState, Observed};
use crate::topic::plan::{FinalizerChange, plan};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// All topics, those that are being deleted included.
#[derive(Default)]
pub struct Topics {
    pub all: Vec<NsqTopic>,
    last: Option<Instant>,
}

impl Topics {
    /// Takes over what the manifest declares. What it no longer declares goes the way of a deleted resource.
    pub fn take(&mut self, declared: &[NsqTopic]) {
        let mut before = std::mem::take(&mut self.all);
        for topic in declared {
            let mut topic = topic.clone();
            let same = |other: &NsqTopic| other.name_any() == topic.name_any();
            if let Some(at) = before.iter().position(same) {
                let old = before.swap_remove(at);
                let generation = old.metadata.generation.unwrap_or(1);
                let changed = i64::from(old.spec != topic.spec);
                topic.metadata.generation = Some(generation + changed);
                topic.metadata.finalizers = old.metadata.finalizers;
                topic.status = old.status;
            } else {
                topic.metadata.generation = Some(1);
            }
            self.all.push(topic);
        }
        for mut gone in before {
            if gone.finalizers().is_empty() {
                continue;
            }
            let now = Time(Timestamp::now());
            gone.metadata.deletion_timestamp.get_or_insert(now);
            self.all.push(gone);
        }
        self.last = None;
    }

    /// One pass over all topics, if it is time. Gives the failures.
    pub async fn pass(&mut self, client: &Client, clusters: &[LocalCluster]) -> Vec<String> {
        if self.last.is_some_and(|last| last.elapsed() < INTERVAL) {
            return Vec::new();
        }
        self.last = Some(Instant::now());
        let mut failures = Vec::new();
        let mut kept = Vec::new();
        for mut topic in std::mem::take(&mut self.all) {
            let stays = pass_one(client, clusters, &mut topic, &mut failures).await;
            if stays {
                kept.push(topic);
            }
        }
        self.all = kept;
        failures
    }
}

async fn pass_one(
    client: &Client,
    clusters: &[LocalCluster],
    topic: &mut NsqTopic,
    failures: &mut Vec<String>,
) -> bool {
    let name = topic.topic_name();
    let cluster = clusters
        .iter()
        .find(|local| local.cluster.name_any() == topic.spec.cluster);
    let addresses = cluster.map(addresses).unwrap_or_default();
    let observed = Observed {
        now: Timestamp::now(),
        cluster: cluster.map_or(ClusterState::Missing, |_| ClusterState::Present),
        rival: None,
        nodes: ask_all(client, &addresses, &name).await,
    };
    let plan = plan(topic, &observed);
    match plan.finalizer {
        Some(FinalizerChange::Add) => topic.finalizers_mut().push(TOPIC_FINALIZER.to_owned()),
        Some(FinalizerChange::Remove) => topic.finalizers_mut().clear(),
        None => {}
    }
    if let Err(why) = make_calls(client, &name, &plan.steps).await {
        failures.push(format!("topic {name}: {why}"));
    }
    if plan.status.is_some() {
        topic.status = plan.status;
    }
    topic.metadata.deletion_timestamp.is_none() || !topic.finalizers().is_empty()
}

/// The nodes that a topic is kept on. One that only starts is asked when it is there.
fn addresses(cluster: &LocalCluster) -> Vec<Address> {
    let pods = cluster.pods.iter();
    pods.filter(|(_, pod)| pod.is_member())
        .map(|(name, pod)| Address {
            node: name.clone(),
            component: pod.node.component,
            http: pod.http_address(),
        })
        .collect()
}
