//! Which nsqd has which topics and channels. Pure: time is an argument, a [`Duration`] since any one
//! moment, of a clock that never goes back.
//!
//! The rules are nsqlookupd's:
//! - a name stays known when its last nsqd goes, unless it is ephemeral;
//! - an nsqd that has been silent for longer than `inactive_after` is not shown, and comes back by
//!   itself when it speaks again;
//! - a tombstone hides an nsqd from the lookups of one topic for `tombstone_lifetime`.

mod nodes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nsq_http_api::{Lookup, Producer};
use nsq_protocol::is_ephemeral;
use nsq_protocol::lookup::{PeerInfo, Registration};

/// A connection from nsqd; numbers are never used twice.
pub type PeerId = u64;

/// The registry takes no more topics, channels and registrations than this together.
pub const MAX_ENTRIES: usize = 2_000_000;

/// The registry holds [`MAX_ENTRIES`] and takes nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// An nsqd that has said who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    pub info: PeerInfo,
    pub remote_address: String,
    /// When it last said anything.
    pub last_seen: Duration,
}

#[derive(Debug, Default)]
struct Topic {
    /// With the time of the tombstone, if there is one.
    producers: BTreeMap<PeerId, Option<Duration>>,
    channels: BTreeMap<String, BTreeSet<PeerId>>,
}

/// See the module.
#[derive(Debug)]
pub struct Registry {
    inactive_after: Duration,
    tombstone_lifetime: Duration,
    max_entries: usize,
    peers: BTreeMap<PeerId, Peer>,
    topics: BTreeMap<String, Topic>,
    /// Topics, channels, and nsqds in either.
    entries: usize,
}

/// One line of [`Registry::dump`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpEntry<'a> {
    /// `category:topic:channel` as NSQ has it: `client::`, `topic:t:`, `channel:t:c`.
    pub key: String,
    pub peer: &'a Peer,
    /// When it was tombstoned, if it still counts.
    pub tombstoned_at: Option<Duration>,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub topics: usize,
    pub channels: usize,
    /// Nsqds that are not inactive.
    pub active: usize,
    /// Nsqds connected.
    pub connected: usize,
    /// What counts against [`MAX_ENTRIES`].
    pub entries: usize,
}

impl Registry {
    /// Nothing registered.
    #[must_use]
    pub fn new(inactive_after: Duration, tombstone_lifetime: Duration) -> Self {
        Self {
            inactive_after,
            tombstone_lifetime,
            max_entries: MAX_ENTRIES,
            peers: BTreeMap::new(),
            topics: BTreeMap::new(),
            entries: 0,
        }
    }

    /// An nsqd has said who it is.
    pub fn identify(&mut self, id: PeerId, peer: Peer) {
        self.peers.insert(id, peer);
    }

    /// An nsqd has said something; gives how long it had been silent.
    pub fn seen(&mut self, id: PeerId, now: Duration) -> Option<Duration> {
        let peer = self.peers.get_mut(&id)?;
        let before = std::mem::replace(&mut peer.last_seen, now);
        Some(now.saturating_sub(before))
    }

    /// An nsqd has a topic, or a channel and with it the topic. Again is no change; a tombstone stays.
    ///
    /// # Errors
    /// [`Full`].
    pub fn register(&mut self, id: PeerId, what: &Registration) -> Result<(), Full> {
        let (topic, added) = self.room(&what.topic)?;
        let new = !topic.producers.contains_key(&id);
        topic.producers.entry(id).or_default();
        let mut added = added + usize::from(new);
        if let Some(channel) = &what.channel {
            added += usize::from(!topic.channels.contains_key(channel));
            let members = topic.channels.entry(channel.clone()).or_default();
            added += usize::from(members.insert(id));
        }
        self.entries += added;
        Ok(())
    }

    /// An nsqd no longer has a channel, or a topic with all channels.
    pub fn unregister(&mut self, id: PeerId, what: &Registration) {
        let Some(topic) = self.topics.get_mut(&what.topic) else {
            return;
        };
        let before = topic.entries();
        match &what.channel {
            Some(channel) => topic.leave_channel(id, channel),
            None => topic.leave(id),
        }
        self.entries -= before - topic.entries();
        self.forget_if_ephemeral(&what.topic);
    }

    /// The connection of an nsqd has ended.
    pub fn disconnect(&mut self, id: PeerId) {
        self.peers.remove(&id);
        let with_peer: Vec<String> = self
            .topics
            .iter()
            .filter(|(_, topic)| topic.producers.contains_key(&id))
            .map(|(name, _)| name.clone())
            .collect();
        for topic in with_peer {
            self.unregister(
                id,
                &Registration {
                    topic,
                    channel: None,
                },
            );
        }
    }

    /// Makes a topic known, without any nsqd.
    ///
    /// # Errors
    /// [`Full`].
    pub fn create_topic(&mut self, topic: &str) -> Result<(), Full> {
        let (_, added) = self.room(topic)?;
        self.entries += added;
        Ok(())
    }

    /// Makes a channel and its topic known, without any nsqd.
    ///
    /// # Errors
    /// [`Full`].
    pub fn create_channel(&mut self, topic: &str, channel: &str) -> Result<(), Full> {
        let (topic, added) = self.room(topic)?;
        let new = !topic.channels.contains_key(channel);
        topic.channels.entry(channel.to_owned()).or_default();
        self.entries += added + usize::from(new);
        Ok(())
    }

    /// Forgets a topic and its channels, known or not.
    pub fn delete_topic(&mut self, topic: &str) {
        if let Some(topic) = self.topics.remove(topic) {
            self.entries -= topic.entries();
        }
    }

    /// Forgets a channel; false if it is unknown.
    pub fn delete_channel(&mut self, topic: &str, channel: &str) -> bool {
        let members = self
            .topics
            .get_mut(topic)
            .and_then(|topic| topic.channels.remove(channel));
        if let Some(members) = &members {
            self.entries -= 1 + members.len();
        }
        members.is_some()
    }

    /// Hides the nsqd whose `broadcast_address:http_port` is `node` from lookups of the topic. Unknown
    /// ones are no error.
    pub fn tombstone(&mut self, topic: &str, node: &str, now: Duration) {
        let Some(topic) = self.topics.get_mut(topic) else {
            return;
        };
        for (id, tombstone) in &mut topic.producers {
            if self.peers.get(id).is_some_and(|peer| peer.node() == node) {
                *tombstone = Some(now);
            }
        }
    }

    /// Where a topic is; `None` if it is unknown.
    #[must_use]
    pub fn lookup(&self, topic: &str, now: Duration) -> Option<Lookup> {
        let topic = self.topics.get(topic)?;
        let shown = topic
            .producers
            .iter()
            .filter(|(_, at)| !self.is_tombstoned(**at, now));
        let producers = shown
            .filter_map(|(id, _)| self.peers.get(id))
            .filter(|peer| self.is_active(peer, now))
            .map(Peer::producer)
            .collect();
        Some(Lookup {
            channels: topic.channels.keys().cloned().collect(),
            producers,
        })
    }

    /// All topics, sorted.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        self.topics.keys().cloned().collect()
    }

    /// The channels of a topic, sorted; none if it is unknown.
    #[must_use]
    pub fn channels(&self, topic: &str) -> Vec<String> {
        let topic = self.topics.get(topic);
        topic
            .map(|topic| topic.channels.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Everything that has an nsqd, for `/debug`.
    pub fn dump(&self, now: Duration) -> impl Iterator<Item = DumpEntry<'_>> {
        let clients = self
            .peers
            .values()
            .map(|peer| ("client::".to_owned(), peer, None));
        let topics = self.topics.iter().flat_map(move |(name, topic)| {
            let named = topic.producers.iter().filter_map(move |(id, at)| {
                let at = at.filter(|at| self.is_tombstoned(Some(*at), now));
                Some((format!("topic:{name}:"), self.peers.get(id)?, at))
            });
            let channels = topic.channels.iter().flat_map(move |(channel, members)| {
                members.iter().filter_map(move |id| {
                    Some((
                        format!("channel:{name}:{channel}"),
                        self.peers.get(id)?,
                        None,
                    ))
                })
            });
            named.chain(channels)
        });
        clients
            .chain(topics)
            .map(|(key, peer, tombstoned_at)| DumpEntry {
                key,
                peer,
                tombstoned_at,
            })
    }

    /// How much there is.
    #[must_use]
    pub fn counts(&self, now: Duration) -> Counts {
        Counts {
            topics: self.topics.len(),
            channels: self.topics.values().map(|topic| topic.channels.len()).sum(),
            active: self
                .peers
                .values()
                .filter(|peer| self.is_active(peer, now))
                .count(),
            connected: self.peers.len(),
            entries: self.entries,
        }
    }

    /// The topic, made if there is room for it and three entries more: the most a registration adds.
    fn room(&mut self, topic: &str) -> Result<(&mut Topic, usize), Full> {
        if self.entries + 4 > self.max_entries {
            return Err(Full);
        }
        let added = usize::from(!self.topics.contains_key(topic));
        Ok((self.topics.entry(topic.to_owned()).or_default(), added))
    }

    fn forget_if_ephemeral(&mut self, topic: &str) {
        let unused = |topic: &Topic| topic.producers.is_empty();
        if is_ephemeral(topic) && self.topics.get(topic).is_some_and(unused) {
            self.delete_topic(topic);
        }
    }

    fn is_active(&self, peer: &Peer, now: Duration) -> bool {
        now.saturating_sub(peer.last_seen) <= self.inactive_after
    }

    fn is_tombstoned(&self, at: Option<Duration>, now: Duration) -> bool {
        at.is_some_and(|at| now.saturating_sub(at) < self.tombstone_lifetime)
    }
}

impl Topic {
    fn leave(&mut self, id: PeerId) {
        self.producers.remove(&id);
        self.channels.retain(|name, members| {
            members.remove(&id);
            !(members.is_empty() && is_ephemeral(name))
        });
    }

    fn leave_channel(&mut self, id: PeerId, channel: &str) {
        if let Some(members) = self.channels.get_mut(channel) {
            members.remove(&id);
            if members.is_empty() && is_ephemeral(channel) {
                self.channels.remove(channel);
            }
        }
    }

    fn entries(&self) -> usize {
        1 + self.producers.len() + self.channels.values().map(|m| 1 + m.len()).sum::<usize>()
    }
}

impl Peer {
    /// As a tombstone names it.
    fn node(&self) -> String {
        format!("{}:{}", self.info.broadcast_address, self.info.http_port)
    }

    fn producer(&self) -> Producer {
        let info = self.info.clone();
        Producer {
            remote_address: self.remote_address.clone(),
            hostname: info.hostname,
            broadcast_address: info.broadcast_address,
            tcp_port: info.tcp_port,
            http_port: info.http_port,
            version: info.version,
            topology_zone: info.topology_zone,
            topology_region: info.topology_region,
        }
    }
}

#[cfg(test)]
mod tests;
