//! Settings of topics and channels at work: checked, journalled, put in force; where dead letters
//! go, and how they come back; messages that grow too old.

use std::sync::Arc;
use std::time::Duration;

use nsq_journal::{JournalError, Record};
use nsq_protocol::{is_ephemeral, is_valid_name};
use nsq_queue::{ConsumerSpec, DeadLetter, Locality, Pulled, Settings};

use crate::client::Client;
use crate::host::NsqHost;
use crate::live_topic::{Kept, LiveTopic, PublishError};
use crate::nsqd::{Nsqd, level_of};
use crate::options::Durability;

/// How often messages that grew too old are looked for.
const EXPIRY: Duration = Duration::from_secs(1);
/// Messages, and bytes of them, that a redrive moves at a time.
const REDRIVE_MESSAGES: u32 = 100;
const REDRIVE_BYTES: usize = 1 << 20;

/// Why settings were not taken.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    #[error("there is no such channel")]
    NoSuchChannel,
    #[error("{0}")]
    Invalid(String),
    #[error("durability can change to or from memory only while the topic has no messages")]
    NotEmpty,
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// The level that a topic's settings ask for.
pub(crate) fn durability(settings: &Settings) -> Option<Durability> {
    let name = settings.durability.as_deref()?;
    <Durability as nsq_daemon::value::FlagValue>::parse(name).ok()
}

impl LiveTopic {
    /// Sets the topic's settings, or a channel's, in the place of what it had.
    ///
    /// # Errors
    /// [`SetError`]: nothing has changed.
    pub fn set_settings(
        self: &Arc<Self>,
        nsqd: &Arc<Nsqd>,
        channel: Option<&str>,
        settings: Settings,
    ) -> Result<Kept, SetError> {
        self.check(channel, &settings)?;
        let level = match channel {
            Some(_) => self.level(),
            None => {
                let level = durability(&settings).unwrap_or(nsqd.options.durability);
                level_of(&self.name, level)
            }
        };
        let json = serde_json::to_string(&settings)
            .map_err(|error| SetError::Invalid(error.to_string()))?;
        let at = self.change_now(nsqd, |queue, _| {
            let memory = |level: Durability| level == Durability::Memory;
            if memory(level) != memory(self.level()) && !queue.is_empty() {
                return Err(SetError::NotEmpty);
            }
            let (number, ephemeral) = match channel {
                None => (0, false),
                Some(name) => match queue.channel(name) {
                    Some(channel) => (channel.number, channel.ephemeral),
                    None => return Err(SetError::NoSuchChannel),
                },
            };
            let record = Record::Settings {
                topic: queue.number,
                channel: number,
                json: &json,
            };
            let at = match queue.ephemeral || ephemeral {
                true => 0,
                false => nsqd.journal.append(&record)?,
            };
            match channel {
                None => queue.set_settings(settings),
                Some(_) => drop(queue.set_channel_settings(number, settings)),
            }
            queue.set_journalled(!memory(level));
            Ok(at)
        })?;
        self.set_level(level);
        let of = channel.map_or(String::new(), |name| format!(" channel {name}"));
        tracing::info!("TOPIC({}){of}: settings {json}", self.name);
        // Settings are written down also where messages are not.
        let level = level.max(Durability::Write);
        Ok(Kept::here(level, at))
    }

    fn check(&self, channel: Option<&str>, settings: &Settings) -> Result<(), SetError> {
        let invalid = |why: &str| Err(SetError::Invalid(why.to_owned()));
        if let Some(name) = settings
            .dead_letter_topic
            .as_deref()
            .filter(|it| !it.is_empty())
        {
            if !is_valid_name(name) {
                return invalid("dead_letter_topic is not a valid name");
            }
            if name == self.name {
                return invalid("dead_letter_topic must be another topic");
            }
        }
        if let Some(name) = &settings.durability {
            if durability(settings).is_none() {
                return invalid("durability must be memory, write or fsync");
            }
            if is_ephemeral(&self.name) && name != "memory" {
                return invalid("an ephemeral topic is in memory only");
            }
        }
        let of_topic = settings.durability.is_some() || settings.max_bytes.is_some();
        if channel.is_some() && of_topic {
            return invalid("durability and max_bytes are of a topic, not of a channel");
        }
        Ok(())
    }
}

/// Publishes a dead letter where it goes, and lets go of it here. What fails is tried again a
/// minute later: until then the message is held.
pub(crate) fn bury(nsqd: &Arc<Nsqd>, topic: &Arc<LiveTopic>, letter: &DeadLetter<NsqHost>) {
    if let Some(to) = &letter.to {
        let body = letter.chunk.0.bytes(letter.offset, letter.len);
        if let Err(error) = publish_one(nsqd, to, body) {
            tracing::error!("TOPIC({}): dead letter to {to} - {error}", topic.name);
            return;
        }
    }
    // Behind the publish, in one journal: whatever a crash takes, it takes this first.
    topic.change_now(nsqd, |queue, _| queue.bury(letter.channel, letter.id));
}

fn publish_one(nsqd: &Arc<Nsqd>, name: &str, body: &[u8]) -> Result<(), PublishError> {
    let topic = nsqd.topic(name)?;
    let whole = (0, body.len() as u32);
    let (kept, then) = topic.publish(nsqd, body, &[whole], 0)?;
    then.happen_after(nsqd, &topic, kept);
    Ok(())
}

/// Drops what grew too old where nobody reads it. Runs until its task is ended.
pub(crate) async fn expire(nsqd: Arc<Nsqd>) {
    let mut ticks = tokio::time::interval(EXPIRY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (wall, steady) = (nsqd.clock.wall(), nsqd.clock.now());
        for topic in nsqd.topics() {
            if topic.read(|queue| queue.expires()) {
                topic.change_now(&nsqd, |queue, _| queue.drop_expired(wall, steady));
            }
        }
    }
}

/// Moves up to `count` messages that wait in a channel of `from` into the topic `to`, each once it
/// is kept there. How many.
///
/// # Errors
/// What kept one from being published: it, and all behind it, are still in `from`.
pub(crate) async fn redrive(
    nsqd: Arc<Nsqd>,
    from: Arc<LiveTopic>,
    channel: String,
    to: String,
    count: u64,
) -> Result<u64, PublishError> {
    let spec = ConsumerSpec {
        waker: Client::new(0, String::new(), 0),
        msg_timeout: nsqd.options.msg_timeout.as_nanos() as i64,
        sample_rate: 0,
        seed: 1,
        locality: Locality::Anywhere,
    };
    let Ok((consumer, _)) = from.subscribe(&nsqd, &channel, &spec)? else {
        return Ok(0); // it is being deleted, or has all the consumers it may have
    };
    let mut moved = 0;
    let result = loop {
        let room = u32::try_from(count - moved).unwrap_or(u32::MAX);
        let room = room.min(REDRIVE_MESSAGES);
        if room == 0 {
            break Ok(moved);
        }
        match move_some(&nsqd, &from, consumer, room, &to).await {
            Ok(0) => break Ok(moved),
            Ok(more) => moved += more,
            Err(error) => break Err(error),
        }
    };
    from.change_now(&nsqd, |queue, effects| {
        queue.release_all(consumer, effects);
        queue.unsubscribe(consumer, effects);
    });
    result
}

async fn move_some(
    nsqd: &Arc<Nsqd>,
    from: &Arc<LiveTopic>,
    consumer: nsq_queue::ConsumerId,
    room: u32,
    to: &str,
) -> Result<u64, PublishError> {
    loop {
        let (mut bodies, mut ranges, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        let committed = from.committed(nsqd);
        let now = nsqd.clock.now();
        let pulled = from.change_now(nsqd, |queue, effects| {
            queue.set_ready(consumer, room);
            queue.pull(
                now,
                consumer,
                committed,
                REDRIVE_BYTES,
                effects,
                |message| {
                    ranges.push((bodies.len() as u32, message.len));
                    bodies.extend_from_slice(message.chunk.0.bytes(message.offset, message.len));
                    ids.push(message.id);
                },
            )
        });
        match pulled {
            Pulled::Messages(0) => return Ok(0),
            Pulled::Messages(_) => {}
            Pulled::NeedsPage { page, pos } => {
                nsqd.page_in(from, &page, pos)?;
                continue;
            }
            Pulled::NotKept { at } => {
                let level = from.level();
                nsqd.keep(Kept::here(level, at)).await?;
                continue;
            }
        }
        let target = nsqd.topic(to)?;
        let (kept, then) = target.publish(nsqd, &bodies, &ranges, 0)?;
        then.happen_after(nsqd, &target, kept);
        nsqd.keep(kept).await?;
        from.change_now(nsqd, |queue, _| {
            for id in &ids {
                // It may have been emptied meanwhile.
                let _ = queue.finish(consumer, *id);
            }
        });
        return Ok(ids.len() as u64);
    }
}
