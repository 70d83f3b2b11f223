//! Looking: the clusters that a bridge names, its Deployment, and how far it is behind.

use futures::future::join_all;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use nsq_http_api::{Client, StatsQuery};

use super::observed::{Cluster, Observed};
use crate::api::NsqBridge;
use crate::cluster::names::{Component, NSQD_HTTP};
use crate::cluster::object::Object;
use crate::cluster::observe::http_address;
use crate::cluster::validate::validate;
use crate::runtime::context::Context;

/// nsqds that are asked for a backlog; of a source with more, nothing is said.
const ASKED_MAX: usize = 256;

pub async fn observe(bridge: &NsqBridge, context: &Context) -> Observed {
    let (name, namespace) = (bridge.name_any(), bridge.namespace().unwrap_or_default());
    let deployment = context
        .stores
        .deployments
        .get(&ObjectRef::new(&name).within(&namespace));
    let named = |named: &Option<String>| cluster(context, &namespace, named.as_ref()?);
    Observed {
        now: Timestamp::now(),
        deployment: deployment.map(|found| Object::Deployment(Box::new(found.as_ref().clone()))),
        source: named(&bridge.spec.from.cluster),
        target: named(&bridge.spec.to.cluster),
        backlog: backlog(bridge, context, &namespace).await,
    }
}

fn cluster(context: &Context, namespace: &str, name: &str) -> Option<Cluster> {
    let reference = ObjectRef::new(name).within(namespace);
    let found = context.stores.clusters.get(&reference)?;
    let found = validate(found.0.as_ref().ok()?).ok()?;
    Some(Cluster {
        nsqds: found.nsqd.replicas,
        nsqlookupds: found.nsqlookupd.replicas,
        tls_secret: found.tls.map(|tls| tls.secret_name),
        auth_secret: found.auth_secret,
        name: found.name,
    })
}

/// Messages in its channel at all sources; a topic without that channel yet counts with all it has.
async fn backlog(bridge: &NsqBridge, context: &Context, namespace: &str) -> Option<i64> {
    let from = &bridge.spec.from;
    let addresses = match &from.cluster {
        Some(cluster) => nsqds_of(context, namespace, cluster),
        None => nsqds_at(&context.nsq, &from.lookupd_http_addresses).await?,
    };
    if addresses.is_empty() || addresses.len() > ASKED_MAX {
        return None;
    }
    let asked = addresses.iter().map(|address| async move {
        let query = StatsQuery::default();
        let stats = context.nsq.nsqd(address).stats(query).await.ok()?;
        let topics = stats.topics.unwrap_or_default().into_iter();
        let ours = topics.filter(|topic| bridge.spec.topics.contains(&topic.topic_name));
        let waiting = ours.map(|topic| {
            let channel = &bridge.spec.channel;
            let mut channels = topic.channels.iter();
            let own = channels.find(|found| found.channel_name == *channel);
            let in_channel = own.map(|it| it.depth + it.in_flight_count + it.deferred_count);
            topic.depth + in_channel.unwrap_or(0)
        });
        Some(waiting.sum::<i64>())
    });
    let found: Option<Vec<i64>> = join_all(asked).await.into_iter().collect();
    Some(found?.into_iter().sum())
}

fn nsqds_of(context: &Context, namespace: &str, cluster: &str) -> Vec<String> {
    let pods = context.stores.pods.of(namespace, cluster);
    let nsqds = pods
        .iter()
        .filter(|pod| pod.at_hand.component == Some(Component::Nsqd));
    let addresses =
        nsqds.filter_map(|pod| Some(http_address(pod.at_hand.ip.as_deref()?, NSQD_HTTP)));
    addresses.collect()
}

/// By what the first nsqlookupd that answers knows.
async fn nsqds_at(client: &Client, lookups: &[String]) -> Option<Vec<String>> {
    for lookup in lookups.iter().filter(|lookup| !lookup.contains("://")) {
        if let Ok(nodes) = client.nsqlookupd(lookup).nodes().await {
            let address = |node: nsq_http_api::Node| {
                let port = u16::try_from(node.http_port).ok()?;
                Some(http_address(&node.broadcast_address, port))
            };
            return Some(nodes.into_iter().filter_map(address).collect());
        }
    }
    None
}
