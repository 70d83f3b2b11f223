//! The node that messages come to: kept as publishes are, then told to the source.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nsq_journal::JournalError;
use nsq_protocol::{Move, MovedMessage, PairMessage};
use nsq_queue::{Here, Pending, Topic};
use tokio::sync::Notify;

use super::checksum;
use crate::host::NsqHost;
use crate::import::{Incoming, Takers, write_import};
use crate::keep::NotKept;
use crate::live_topic::{Kept, LiveTopic};
use crate::nsqd::Nsqd;
use crate::options::Durability;
use crate::pair::{End, HEARTBEAT, Side};

pub(crate) struct Target {
    nsqd: Arc<Nsqd>,
    said_who: bool,
    topics: HashMap<u32, Coming>,
    /// Taken in, and not yet told of: topic, id, checksum.
    staged: Vec<(u32, u64, u32)>,
    news: Notify,
}

/// A topic of the source.
struct Coming {
    live: Arc<LiveTopic>,
    /// Numbers at the source, and names.
    channels: Vec<(u32, String)>,
}

/// Who this is.
pub(super) fn say_who(nsqd: &Nsqd, out: &mut Vec<u8>) {
    let word = Move::Who {
        node: &nsqd.options.broadcast_address,
        node_id: nsqd.options.node(),
        incarnation: nsqd.journal.incarnation(),
        draining: nsqd.drain.is_on(),
    };
    PairMessage::Move(word).encode(out);
}

impl Target {
    pub(crate) fn new(nsqd: Arc<Nsqd>) -> Self {
        // Finishes of what comes in are remembered: a repeated relocation brings nothing back.
        nsqd.pair.remember_finishes();
        Self {
            nsqd,
            said_who: false,
            topics: HashMap::new(),
            staged: Vec::new(),
            news: Notify::new(),
        }
    }

    fn topic(
        &mut self,
        number: u32,
        name: &str,
        channels: &[(u32, bool, &str)],
    ) -> Result<(), JournalError> {
        let nsqd = &self.nsqd;
        let live = nsqd.topic(name)?;
        for &(_, paused, channel) in channels {
            let is_new = live.read(|queue| queue.channel(channel).is_none());
            live.create_channel(nsqd, channel)?;
            if is_new && paused {
                // It was made a moment ago, so it is there.
                let _ = live.pause_channel(nsqd, channel, true)?;
            }
        }
        let channels = channels.iter().map(|it| (it.0, it.2.to_owned())).collect();
        self.topics.insert(number, Coming { live, channels });
        Ok(())
    }

    async fn message(&mut self, message: &MovedMessage<'_>) -> Result<(), End> {
        let nsqd = Arc::clone(&self.nsqd);
        nsqd.pager.room().await;
        let coming = self.topics.get(&message.topic);
        let coming = coming.ok_or_else(|| End::Because("a message of no topic".to_owned()))?;
        let found = loop {
            match coming.live.read(|queue| queue.whereabouts(message.id)) {
                Here::NeedsPage { page, pos } => {
                    nsqd.page_in(&coming.live, &page, pos).map_err(failed)?;
                }
                found => break found,
            }
        };
        let checksum = match found {
            Here::Waits {
                timestamp,
                chunk,
                offset,
                len,
            } => {
                let body = chunk.0.bytes(offset, len);
                if timestamp != message.timestamp || body != message.body {
                    return Err(End::Because(stranger(message.id)));
                }
                checksum(message.id, timestamp, body)
            }
            Here::Lost | Here::No | Here::NeedsPage { .. } => 0,
        };
        let stored = coming.take(&nsqd, message).map_err(failed)?;
        if coming.live.read(|queue| queue.is_crowded()) {
            nsqd.page_soon(&coming.live);
        }
        nsqd.note_id(message.id);
        let pool = nsqd.journal.pool();
        pool.prepare();
        nsqd.pager.note_growth(&nsqd.journal);
        nsqd.relocation.taken.fetch_add(1, Ordering::Relaxed);
        let checksum = stored.unwrap_or(checksum);
        self.staged.push((message.topic, message.id, checksum));
        Ok(())
    }
}

fn stranger(id: u64) -> String {
    format!("another message has the id {id:016x} here: do two nodes have the same --node-id?")
}

impl Coming {
    /// The checksum of what was stored; `None`: it was here, or everybody here is done with it.
    fn take(
        &self,
        nsqd: &Arc<Nsqd>,
        message: &MovedMessage<'_>,
    ) -> Result<Option<u32>, JournalError> {
        let committed = self.live.committed(nsqd);
        self.live.change_now(nsqd, |queue, effects| {
            let here = !matches!(queue.whereabouts(message.id), Here::No);
            // What was finished a moment ago counts too.
            crate::journal_log::log_queue(nsqd, queue)?;
            let takers = self.takers(nsqd, queue, message, here);
            if here && takers.finished.is_empty() {
                return Ok(None);
            }
            if !here && takers.waiting.is_empty() && !message.held {
                // Its consumers have finished it here. The checksum is that of what was sent.
                return Ok(Some(checksum(message.id, message.timestamp, message.body)));
            }
            let incoming = Incoming {
                id: message.id,
                timestamp: message.timestamp,
                due: nsqd.clock.from_wall(message.due),
                held: message.held,
                body: message.body,
            };
            let stored = write_import(nsqd, queue, &incoming, &takers, committed, effects)?;
            let body = stored.body();
            Ok(Some(checksum(message.id, message.timestamp, body)))
        })
    }

    fn takers(
        &self,
        nsqd: &Nsqd,
        queue: &Topic<NsqHost>,
        message: &MovedMessage<'_>,
        here: bool,
    ) -> Takers {
        let mut takers = Takers::default();
        for channel in queue.channels() {
            let at_source = self.channels.iter().find(|it| it.1 == channel.name);
            let pending = at_source.and_then(|(number, _)| {
                let mut pending = message.pending.iter();
                pending.find(|waits| waits.0 == *number)
            });
            let is_done = || {
                nsqd.pair
                    .has_finished(queue.number, channel.number, message.id)
            };
            match pending {
                _ if channel.ephemeral => takers.ephemeral.push(channel.number),
                Some(&(_, attempts, due)) if !is_done() => {
                    let pending = Pending {
                        channel: channel.number,
                        attempts,
                        due: nsqd.clock.from_wall(due),
                    };
                    takers.waiting.push((channel.number, pending));
                }
                None if message.held && !is_done() => {}
                // Of what is here, a channel that the source does not know may still want it.
                None if here && at_source.is_none() => {}
                _ => takers.finished.push(channel.number),
            }
        }
        takers
    }
}

fn failed(error: JournalError) -> End {
    End::Because(error.to_string())
}

impl Side for Target {
    async fn hear(&mut self, message: PairMessage<'_>, _: &mut Vec<u8>) -> Result<(), End> {
        match message {
            PairMessage::Move(Move::Topic { .. }) if self.nsqd.drain.is_on() => {
                Err(End::Because("the target is draining".to_owned()))
            }
            PairMessage::Move(Move::Topic {
                topic,
                channels,
                name,
            }) => self.topic(topic, name, &channels).map_err(failed),
            PairMessage::Move(Move::Message(message)) => self.message(&message).await,
            message => Err(End::Because(format!("unexpected at a target: {message:?}"))),
        }
    }

    async fn speak(&mut self, out: &mut Vec<u8>) -> Result<(), End> {
        if !std::mem::replace(&mut self.said_who, true) {
            say_who(&self.nsqd, out);
        }
        if self.staged.is_empty() {
            return Ok(());
        }
        let kept = Kept {
            level: self.nsqd.options.durability.max(Durability::Write),
            at: self.nsqd.journal.tail(),
            mirrored: self.nsqd.pair.is_awaited(),
        };
        match self.nsqd.keep_mirrored(kept).await {
            Ok(()) => {}
            Err(NotKept::Journal(error)) => return Err(failed(error)),
            Err(NotKept::Peer(lost)) => return Err(End::Because(lost.to_string())),
        }
        self.staged.sort_unstable_by_key(|staged| staged.0);
        for of_topic in self.staged.chunk_by(|a, b| a.0 == b.0) {
            let items = of_topic.iter().map(|staged| (staged.1, staged.2));
            let word = Move::Kept {
                topic: of_topic[0].0,
                items: items.collect(),
            };
            PairMessage::Move(word).encode(out);
        }
        self.staged.clear();
        Ok(())
    }

    fn news(&self) -> &Notify {
        &self.news
    }

    fn patience(&self) -> Duration {
        HEARTBEAT
    }

    fn end(&mut self) {}
}
