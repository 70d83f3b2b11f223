//! What can be done to topics and channels by name: each is recorded under the topic's lock, so
//! the journal has it in the order in which it happened.

use std::sync::Arc;

use nsq_journal::{JournalError, Record};
use nsq_protocol::is_ephemeral;
use nsq_queue::{ConsumerId, ConsumerSpec, SubscribeError};

use crate::announce::Change;
use crate::client::Client;
use crate::journal_log::log_queue;
use crate::live_topic::{Kept, LiveTopic};
use crate::nsqd::Nsqd;
use crate::options::Durability;

/// Message ids end here: "everything up to now".
const ALL: u64 = u64::MAX;

/// The channel is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSuchChannel;

/// Whether it was done, and what its answer waits for.
type Done = Result<Result<Kept, NoSuchChannel>, JournalError>;

impl LiveTopic {
    fn kept(&self, at: u64) -> Kept {
        // Even at level `memory` topics and channels are written down.
        let level = match self.level() {
            Durability::Memory => Durability::Write,
            level => level,
        };
        Kept::here(level, at)
    }

    /// Makes the channel unless it is there.
    ///
    /// # Errors
    /// The journal's: then it was not made.
    pub fn create_channel(
        self: &Arc<Self>,
        nsqd: &Arc<Nsqd>,
        name: &str,
    ) -> Result<Kept, JournalError> {
        let made = self.change_now(nsqd, |queue, effects| {
            if queue.channel(name).is_some() {
                return Ok(None);
            }
            let journalled = !queue.ephemeral && !is_ephemeral(name);
            nsqd.journal.health()?;
            let (channel, _) = queue.create_channel(name, effects);
            let record = Record::ChannelCreate {
                topic: queue.number,
                channel,
                name,
                from_id: 0,
            };
            match journalled {
                true => nsqd.append_twice(&record).map(Some),
                false => Ok(Some(0)),
            }
        })?;
        let Some(at) = made else {
            return Ok(self.kept(0));
        };
        tracing::info!("TOPIC({}): new channel({name})", self.name);
        nsqd.announce(Change::ChannelCreated(self.name.clone(), name.to_owned()));
        Ok(self.kept(at))
    }

    /// Subscribes a connection, making the channel first if need be.
    ///
    /// # Errors
    /// The journal's, or `max-channel-consumers`.
    pub fn subscribe(
        self: &Arc<Self>,
        nsqd: &Arc<Nsqd>,
        channel: &str,
        spec: &ConsumerSpec<Arc<Client>>,
    ) -> Result<Result<(ConsumerId, Kept), SubscribeError>, JournalError> {
        let most = nsqd.options.max_channel_consumers as usize;
        // An ephemeral channel may go with its last client between the two steps.
        for _ in 0..8 {
            let kept = self.create_channel(nsqd, channel)?;
            let subscribed = self.change_now(nsqd, |queue, _| {
                queue.subscribe(channel, spec.clone(), most)
            });
            match subscribed {
                Err(SubscribeError::NoSuchChannel) => {}
                other => return Ok(other.map(|id| (id, kept))),
            }
        }
        Ok(Err(SubscribeError::NoSuchChannel))
    }

    /// # Errors
    /// The journal's: then it is still there.
    pub fn delete_channel(self: &Arc<Self>, nsqd: &Arc<Nsqd>, name: &str) -> Done {
        // In one go: what is published between would be the channel's here, and the next one's in a copy.
        let done = self.change_channel(
            nsqd,
            name,
            |topic, channel| Record::ChannelDelete { topic, channel },
            |queue, effects| {
                queue.delete_channel(name, effects);
                true
            },
        )?;
        if done.is_ok() {
            tracing::info!("TOPIC({}): deleting channel {name}", self.name);
            nsqd.channel_gone(self, name);
        }
        Ok(done)
    }

    /// # Errors
    /// The journal's: then nothing was thrown away.
    pub fn empty_channel(self: &Arc<Self>, nsqd: &Arc<Nsqd>, name: &str) -> Done {
        self.change_channel(
            nsqd,
            name,
            |topic, channel| Record::ChannelEmpty {
                topic,
                channel,
                through_id: ALL,
            },
            |queue, _| queue.empty_channel(name),
        )
    }

    /// # Errors
    /// The journal's: then nothing has changed.
    pub fn pause_channel(self: &Arc<Self>, nsqd: &Arc<Nsqd>, name: &str, paused: bool) -> Done {
        self.change_channel(
            nsqd,
            name,
            |topic, channel| Record::ChannelPause {
                topic,
                channel,
                paused,
            },
            |queue, effects| queue.pause_channel(name, paused, effects),
        )
    }

    /// # Errors
    /// The journal's: then nothing was thrown away.
    pub fn empty(self: &Arc<Self>, nsqd: &Arc<Nsqd>) -> Result<Kept, JournalError> {
        let at = self.change_now(nsqd, |queue, _| {
            let record = Record::TopicEmpty {
                topic: queue.number,
                through_id: ALL,
            };
            let at = match queue.ephemeral {
                true => 0,
                false => nsqd.journal.append(&record)?,
            };
            queue.empty();
            Ok(at)
        })?;
        Ok(self.kept(at))
    }

    /// # Errors
    /// The journal's: then nothing has changed.
    pub fn pause(self: &Arc<Self>, nsqd: &Arc<Nsqd>, paused: bool) -> Result<Kept, JournalError> {
        let at = self.change_now(nsqd, |queue, effects| {
            let record = Record::TopicPause {
                topic: queue.number,
                paused,
            };
            let at = match queue.ephemeral {
                true => 0,
                false => nsqd.journal.append(&record)?,
            };
            queue.pause(paused, effects);
            Ok(at)
        })?;
        Ok(self.kept(at))
    }

    /// Records a change of a channel and makes it, in one go.
    fn change_channel(
        self: &Arc<Self>,
        nsqd: &Arc<Nsqd>,
        name: &str,
        record: impl FnOnce(u32, u32) -> Record<'static>,
        change: impl FnOnce(
            &mut nsq_queue::Topic<crate::host::NsqHost>,
            &mut nsq_queue::Effects<crate::host::NsqHost>,
        ) -> bool,
    ) -> Done {
        let at = self.change_now(nsqd, |queue, effects| {
            let Some(channel) = queue.channel(name) else {
                return Ok(None);
            };
            let journalled = !queue.ephemeral && !channel.ephemeral;
            let record = record(queue.number, channel.number);
            let at = match journalled {
                true => {
                    // First what was finished a moment ago: the peer may own some of it, and this says nothing of that.
                    log_queue(nsqd, queue)?;
                    nsqd.journal.append(&record)?
                }
                false => 0,
            };
            change(queue, effects);
            Ok(Some(at))
        })?;
        Ok(at.map(|at| self.kept(at)).ok_or(NoSuchChannel))
    }
}
