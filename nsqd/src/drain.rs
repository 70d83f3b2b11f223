//! Draining: nothing new is taken, what is here is still consumed. A state of the node that outlives restarts.
//!
//! The nsqlookupds go on telling consumers of each topic that has something left here, and of no other.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use nsq_http_api::{DrainStatus, DrainingChannel, DrainingTopic};
use nsq_journal::{JournalError, Record};
use nsq_protocol::is_ephemeral;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::announce::Change;
use crate::live_topic::{Kept, LiveTopic};
use crate::nsqd::Nsqd;
use crate::options::Durability;

/// How often a draining node looks which topics have become empty.
const LOOK: Duration = Duration::from_secs(1);

/// What publishers are told.
pub(crate) const DRAINING: &str = "this nsqd is draining: publish to another";

/// Whether the node drains.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    /// Nanoseconds since 1970; 0: it does not.
    since: AtomicI64,
    /// Topics that the nsqlookupds are not to know of.
    hidden: Mutex<HashSet<String>>,
    changed: Notify,
    /// A checkpoint sees either a change's record or its effect.
    changing: Mutex<()>,
}

impl Drain {
    /// As recovery found it.
    pub(crate) fn new(since: i64) -> Self {
        Self {
            since: AtomicI64::new(since),
            ..Self::default()
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.since() != 0
    }

    /// Nanoseconds since 1970; 0: the node does not drain.
    pub(crate) fn since(&self) -> i64 {
        self.since.load(Ordering::Acquire)
    }

    /// For a checkpoint, in which the records before it are.
    pub(crate) fn image(&self) -> i64 {
        let _changing = self.changing.lock();
        self.since()
    }

    pub(crate) fn hides(&self, topic: &str) -> bool {
        self.is_on() && self.hidden.lock().contains(topic)
    }
}

/// Begins or ends it. Repeating it does nothing.
///
/// # Errors
/// The journal's: nothing has changed.
pub(crate) async fn set(nsqd: &Arc<Nsqd>, on: bool) -> Result<(), JournalError> {
    let drain = &nsqd.drain;
    if drain.is_on() == on {
        return Ok(());
    }
    let since = if on { nsqd.clock.wall() } else { 0 };
    let at = {
        let _changing = drain.changing.lock();
        let at = nsqd.journal.append(&Record::Drain { since })?;
        drain.since.store(since, Ordering::Release);
        at
    };
    match on {
        true => tracing::warn!("draining: no more messages are taken"),
        false => tracing::warn!("draining no more: messages are taken again"),
    }
    drain.changed.notify_one();
    let level = nsqd.options.durability.max(Durability::Write);
    nsqd.keep(Kept::here(level, at)).await
}

/// What is left.
pub(crate) fn status(nsqd: &Nsqd) -> DrainStatus {
    let mut status = DrainStatus {
        draining: nsqd.drain.is_on(),
        since: nsqd.drain.since(),
        ..DrainStatus::default()
    };
    for topic in nsqd.topics() {
        let left = left_of(&topic);
        if left.messages > 0 {
            status.messages += left.messages;
            status.topics.push(left);
        }
    }
    status.empty = status.messages == 0;
    status
}

fn left_of(topic: &LiveTopic) -> DrainingTopic {
    let stats = topic.read(|queue| queue.stats());
    let mut left = DrainingTopic {
        topic: stats.name.clone(),
        ..DrainingTopic::default()
    };
    if is_ephemeral(&stats.name) {
        return left;
    }
    left.depth = stats.depth;
    left.messages = stats.depth;
    for channel in stats.channels {
        let messages = channel.depth + channel.in_flight_count + channel.deferred_count;
        if messages == 0 || is_ephemeral(&channel.name) {
            continue;
        }
        left.messages += messages;
        left.channels.push(DrainingChannel {
            channel: channel.name,
            depth: channel.depth,
            in_flight: channel.in_flight_count,
            deferred: channel.deferred_count,
            consumers: channel.consumers.len() as u64,
        });
    }
    left
}

/// Keeps the nsqlookupds informed of what has something left. Runs until its task is ended.
pub(crate) async fn run(nsqd: Arc<Nsqd>) {
    loop {
        look(&nsqd);
        match nsqd.drain.is_on() {
            false => nsqd.drain.changed.notified().await,
            true => {
                // Ended early by an end of the draining.
                let _ = tokio::time::timeout(LOOK, nsqd.drain.changed.notified()).await;
            }
        }
    }
}

fn look(nsqd: &Arc<Nsqd>) {
    let on = nsqd.drain.is_on();
    for topic in nsqd.topics() {
        let hide = on && left_of(&topic).messages == 0;
        let changed = {
            let mut hidden = nsqd.drain.hidden.lock();
            match hide {
                true => hidden.insert(topic.name.clone()),
                false => hidden.remove(&topic.name),
            }
        };
        match (changed, hide) {
            (false, _) => {}
            (true, true) => nsqd.announce(Change::TopicDeleted(topic.name.clone())),
            (true, false) => announce_all(nsqd, &topic),
        }
    }
}

fn announce_all(nsqd: &Nsqd, topic: &LiveTopic) {
    nsqd.announce(Change::TopicCreated(topic.name.clone()));
    let channels: Vec<String> = topic.read(|queue| {
        let names = queue.channels().map(|channel| channel.name.clone());
        names.collect()
    });
    for channel in channels {
        nsqd.announce(Change::ChannelCreated(topic.name.clone(), channel));
    }
}
