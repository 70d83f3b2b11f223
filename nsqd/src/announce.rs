//! What the nsqlookupds are told, and what a new topic learns from them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use nsq_journal::Record;
use nsq_protocol::is_ephemeral;

use crate::live_topic::LiveTopic;
use crate::nsqd::Nsqd;

/// A topic or channel (topic, channel) that came or went here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    TopicCreated(String),
    TopicDeleted(String),
    ChannelCreated(String, String),
    ChannelDeleted(String, String),
}

/// The link to the nsqlookupds.
pub trait Announcer: Send + Sync {
    /// Tells all of them; never blocks.
    fn announce(&self, change: Change);
    /// Whether there is anybody to ask.
    fn knows_others(&self) -> bool;
    /// The topic's channels on other nodes, as far as the nsqlookupds answer in time.
    fn channels_of(&self, topic: String) -> Pin<Box<dyn Future<Output = Vec<String>> + Send + '_>>;
}

/// Gives a new topic the channels it has elsewhere, then lets its messages flow: so no channel
/// misses the first messages that a node takes.
pub(crate) async fn learn_channels(nsqd: Arc<Nsqd>, topic: Arc<LiveTopic>) {
    let channels = match nsqd.announcer().cloned() {
        Some(announcer) => announcer.channels_of(topic.name.clone()).await,
        None => Vec::new(),
    };
    for channel in channels.iter().filter(|channel| !is_ephemeral(channel)) {
        if let Err(error) = topic.create_channel(&nsqd, channel) {
            tracing::error!(
                "TOPIC({}): cannot create channel {channel} - {error}",
                topic.name
            );
        }
    }
    topic.change_now(&nsqd, |queue, effects| {
        queue.hold(false, effects);
        if !queue.ephemeral {
            let flows = Record::TopicPause {
                topic: queue.number,
                paused: queue.paused,
            };
            if let Err(error) = nsqd.journal.append(&flows) {
                tracing::error!("TOPIC({}): {error}", queue.name);
            }
        }
    });
}
