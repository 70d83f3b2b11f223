//! Finishes and requeues go to the journal a little later: they are merged until then, nobody
//! waits for them, and a crash costs duplicates of the last ones, never a message.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nsq_journal::{IdRange, JournalError, List, Record, Requeued};
use nsq_queue::{ChannelLog, Topic};

use crate::host::NsqHost;
use crate::live_topic::LiveTopic;
use crate::nsqd::Nsqd;
use crate::options::Durability;

/// The longest that a finish waits.
const LAZINESS: Duration = Duration::from_millis(50);

/// Runs until its task is ended.
pub async fn run(nsqd: Arc<Nsqd>) {
    loop {
        nsqd.unlogged_some.notified().await;
        tokio::time::sleep(LAZINESS).await;
        log_all(&nsqd);
    }
}

/// Has what was written synced within `--sync-timeout`, whoever waits for it or not. Runs until its
/// task is ended.
pub async fn sync(nsqd: Arc<Nsqd>) {
    let every = nsqd.options.sync_timeout;
    if every.is_zero() {
        return;
    }
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let written = nsqd.journal.written();
        if written > nsqd.journal.durable() {
            nsqd.journal.sync_soon(written, Arc::new(Nobody));
        }
    }
}

/// Journals what all topics have to tell.
pub fn log_all(nsqd: &Arc<Nsqd>) {
    let mut level = nsqd.options.durability;
    for topic in nsqd.take_unlogged() {
        level = level.max(topic.level());
        topic.listed.store(false, Ordering::Release);
        if let Err(error) = log_topic(nsqd, &topic) {
            match error {
                // Said once for all, by the pager.
                JournalError::DiskFull(_) => tracing::debug!("TOPIC({}): {error}", topic.name),
                _ => tracing::error!("TOPIC({}): cannot journal finishes - {error}", topic.name),
            }
            topic.change_now(nsqd, |_, _| ()); // lists it again
        }
    }
    let tail = nsqd.journal.tail();
    let written = match level {
        Durability::Memory => Ok(()),
        Durability::Write => nsqd.journal.write(tail).map(|_| ()),
        Durability::Fsync => {
            nsqd.journal.sync_soon(tail, Arc::new(Nobody));
            Ok(())
        }
    };
    if let Err(error) = written {
        tracing::error!("journal: {error}");
    }
}

/// Waits for a sync without wanting to hear of it.
struct Nobody;

impl nsq_journal::Waiter for Nobody {
    fn wake(self: Arc<Self>) {}
}

fn log_topic(nsqd: &Arc<Nsqd>, topic: &Arc<LiveTopic>) -> Result<(), JournalError> {
    // Under the topic's lock: a checkpoint must see either the log or its records, not neither.
    topic.change_now(nsqd, |queue, _| log_queue(nsqd, queue))
}

/// Journals what this topic has to tell; its lock is held. What cannot be journalled (on a full
/// disk) stays for the next time.
pub(crate) fn log_queue(nsqd: &Nsqd, queue: &mut Topic<NsqHost>) -> Result<(), JournalError> {
    let topic = queue.number;
    let mut result = Ok(());
    for (channel, mut log) in queue.take_logs() {
        if result.is_ok() {
            result = log_channel(nsqd, topic, channel, &mut log);
        }
        if !log.is_empty() {
            queue.return_log(channel, log);
        }
    }
    result
}

/// Journals a log and takes out of it what was journalled.
fn log_channel(
    nsqd: &Nsqd,
    topic: u32,
    channel: u32,
    log: &mut ChannelLog,
) -> Result<(), JournalError> {
    if !log.finished.is_empty() {
        let range = |&(first_id, count): &(u64, u64)| IdRange { first_id, count };
        let ranges: Vec<IdRange> = log.finished.iter().map(range).collect();
        let ranges = List::Given(&ranges);
        nsqd.journal.append(&Record::Finish {
            topic,
            channel,
            ranges,
        })?;
        log.finished.clear();
    }
    if let Some(through_id) = log.delivered_through {
        nsqd.journal.append(&Record::Delivered {
            topic,
            channel,
            through_id,
        })?;
        log.delivered_through = None;
    }
    if !log.requeued.is_empty() {
        let item = |item: &nsq_queue::Requeued| Requeued {
            id: item.id,
            attempts: item.attempts,
            due: nsqd.clock.to_wall(item.due),
        };
        let items: Vec<Requeued> = log.requeued.iter().map(item).collect();
        let items = List::Given(&items);
        nsqd.journal.append(&Record::Requeue {
            topic,
            channel,
            items,
        })?;
        log.requeued.clear();
    }
    Ok(())
}
