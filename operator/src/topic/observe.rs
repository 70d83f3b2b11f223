//! Asking nodes what they hold of a topic.

use std::collections::BTreeMap;

use futures::future::join_all;
use nsq_http_api::stats::TopicStats;
use nsq_http_api::{Client, Error, StatsQuery};

use super::observed::{Held, NodeState};
use crate::cluster::names::Component;

/// A node to ask: its name, kind, and the host:port of its HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub node: String,
    pub component: Component,
    pub http: String,
}

/// Asks every node at once; each answer, or its absence, counts by itself.
pub async fn ask_all(client: &Client, addresses: &[Address], topic: &str) -> Vec<NodeState> {
    join_all(addresses.iter().map(|address| ask(client, address, topic))).await
}

async fn ask(client: &Client, address: &Address, topic: &str) -> NodeState {
    let holds = match address.component {
        Component::Nsqd => ask_nsqd(client, &address.http, topic).await,
        Component::Nsqlookupd => ask_nsqlookupd(client, &address.http, topic).await,
    };
    NodeState {
        name: address.node.clone(),
        component: address.component,
        address: address.http.clone(),
        holds: holds.map_err(|err| err.to_string()),
    }
}

async fn ask_nsqd(client: &Client, address: &str, topic: &str) -> Result<Held, Error> {
    let query = StatsQuery {
        topic: Some(topic),
        include_clients: false,
        ..StatsQuery::default()
    };
    let stats = client.nsqd(address).stats(query).await?;
    let found = stats
        .topics
        .unwrap_or_default()
        .into_iter()
        .find(|stats| stats.topic_name == topic);
    Ok(found.map_or_else(Held::default, held))
}

fn held(topic: TopicStats) -> Held {
    let mut held = Held {
        exists: true,
        paused: topic.paused,
        settings: topic.settings.unwrap_or_default(),
        ..Held::default()
    };
    for channel in topic.channels {
        let name = channel.channel_name;
        held.channels.insert(name.clone(), channel.paused);
        let settings = channel.settings.unwrap_or_default();
        held.channel_settings.insert(name, settings);
    }
    held
}

async fn ask_nsqlookupd(client: &Client, address: &str, topic: &str) -> Result<Held, Error> {
    let lookupd = client.nsqlookupd(address);
    let exists = lookupd.topics().await?.iter().any(|name| name == topic);
    let channels = if exists {
        let names = lookupd.channels(topic).await?;
        names.into_iter().map(|name| (name, false)).collect()
    } else {
        BTreeMap::new()
    };
    Ok(Held {
        exists,
        channels,
        ..Held::default()
    })
}
