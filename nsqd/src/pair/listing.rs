//! Resync by list: a peer that is too far behind, or new, gets everything unfinished as imports at the end of this
//! journal, among what is published meanwhile. When it has the last of them it needs nothing that came before.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nsq_journal::{JournalError, List, Lsn, Record, Requeued};
use nsq_queue::{Topic, Unfinished};

use super::{FinishedIn, Pair};
use crate::host::{ChunkRef, NsqHost};
use crate::live_topic::LiveTopic;
use crate::nsqd::Nsqd;

/// Finishes told in one record.
const RANGES: usize = 1000;
/// How soon the peer's progress is looked at again.
const LOOK: Duration = Duration::from_millis(10);

/// Lists everything unfinished since `from`, as long as this link counts.
pub(super) async fn run(nsqd: Arc<Nsqd>, link: u64, from: Lsn) {
    nsqd.pair.counters.listings.fetch_add(1, Ordering::Relaxed);
    tracing::info!("PAIR: sending {} a list of all messages", nsqd.pair.peer);
    match list_all(&nsqd, link, from).await {
        Ok(true) => tracing::info!("PAIR: the list is complete"),
        Ok(false) => tracing::info!("PAIR: the list was broken off with its link"),
        Err(error) => {
            tracing::error!("PAIR: the list was broken off - {error}");
            nsqd.pair.drop_link(link);
        }
    }
}

impl Pair {
    /// Ends the link: it begins anew.
    fn drop_link(&self, link: u64) {
        let mut shared = self.shared.lock();
        if shared.origin_link == link {
            shared.origin_link += 1;
            shared.origin_up = false;
        }
        drop(shared);
        self.origin_news.tell();
    }

    /// How far the peer has come on a stream that began at `begin`: it acknowledges nothing before that, and a blank one
    /// has nothing. `None`: the link does not count, nothing more goes out on it.
    pub(super) fn reached_by(&self, link: u64, begin: Lsn) -> Option<Lsn> {
        let shared = self.shared.lock();
        (shared.origin_link == link && shared.origin_up).then(|| shared.copy.acked.max(begin))
    }
}

/// False: the link is gone.
async fn list_all(nsqd: &Arc<Nsqd>, link: u64, from: Lsn) -> Result<bool, JournalError> {
    // All names come first: the peer passes over finishes of what it has not heard of.
    let mut topics = Vec::new();
    for topic in nsqd.topics() {
        let Some(number) = topic.read(|queue| (!queue.ephemeral).then_some(queue.number)) else {
            continue;
        };
        topic.change_now(nsqd, |queue, _| match topic.is_deleted() {
            true => Ok(()),
            false => list_names(nsqd, queue),
        })?;
        topics.push((number, topic));
    }
    // Gathered once for all topics; what is finished from now on is streamed, behind the names.
    let mut finished = nsqd.pair.finished();
    for (number, topic) in topics {
        let finished = finished.remove(&number).unwrap_or_default();
        if !list_topic(nsqd, &topic, (link, from), &finished).await? {
            return Ok(false);
        }
    }
    {
        let mut shared = nsqd.pair.shared.lock();
        if shared.origin_link != link {
            return Ok(false);
        }
        let end = nsqd.journal.append(&Record::Listed { from })?;
        shared.copy.whole_at = Some(end);
        shared.listing = false;
    }
    nsqd.keep(crate::live_topic::Kept::here(
        nsqd.options.durability,
        nsqd.journal.tail(),
    ))
    .await?;
    Ok(true)
}

async fn list_topic(
    nsqd: &Arc<Nsqd>,
    topic: &Arc<LiveTopic>,
    (link, begin): (u64, Lsn),
    finished: &FinishedIn,
) -> Result<bool, JournalError> {
    topic.change_now(nsqd, |queue, _| match topic.is_deleted() {
        true => Ok(()),
        false => list_finishes(nsqd, queue.number, finished),
    })?;
    let mut at = Some(0);
    while let Some(from) = at {
        let Some(reached) = nsqd.pair.reached_by(link, begin) else {
            return Ok(false);
        };
        if nsqd.journal.tail() > reached + 2 * nsqd.pager.sent_to_peer() {
            nsqd.journal.write(nsqd.journal.tail())?;
            tokio::time::sleep(LOOK).await;
            continue;
        }
        // Under the topic's lock from looking to recording: what is listed is what is unfinished then.
        let (next, needs) = topic.change_now(nsqd, |queue, _| {
            if topic.is_deleted() {
                return Ok((None, None));
            }
            let batch = queue.unfinished(from);
            for message in &batch.messages {
                list_message(nsqd, queue, message)?;
            }
            Ok::<_, JournalError>((batch.next, batch.needs))
        })?;
        at = next;
        if let Some(page) = needs {
            nsqd.page_in(topic, &page, from)?;
            continue;
        }
        topic.change_now(nsqd, |queue, _| queue.evict());
        nsqd.pager.note_growth(&nsqd.journal);
        nsqd.journal.write(nsqd.journal.tail())?;
        tokio::task::yield_now().await;
    }
    Ok(true)
}

/// What was finished here is told again: the peer may own some of it, and does not get the records that told of it.
fn list_finishes(nsqd: &Nsqd, topic: u32, finished: &FinishedIn) -> Result<(), JournalError> {
    for (&channel, ranges) in finished {
        for some in ranges.chunks(RANGES) {
            let ranges = List::Given(some);
            let end = nsqd.journal.append(&Record::Finish {
                topic,
                channel,
                ranges,
            })?;
            for range in some {
                let range = (range.first_id, range.count);
                nsqd.pair.note_finish(topic, channel, range, end);
            }
        }
    }
    Ok(())
}

/// The topic and its channels are there, and how they are.
fn list_names(nsqd: &Nsqd, queue: &mut Topic<NsqHost>) -> Result<(), JournalError> {
    let (topic, name) = (queue.number, queue.name.as_str());
    let began = nsqd.journal.append(&Record::TopicCreate { topic, name })?;
    queue.part_bases(began);
    for channel in queue.channels().filter(|channel| !channel.ephemeral) {
        nsqd.journal.append(&Record::ChannelCreate {
            topic,
            channel: channel.number,
            name: &channel.name,
            from_id: 0,
        })?;
        nsqd.journal.append(&Record::ChannelPause {
            topic,
            channel: channel.number,
            paused: channel.paused,
        })?;
    }
    let paused = queue.paused;
    nsqd.journal.append(&Record::TopicPause { topic, paused })?;
    Ok(())
}

fn list_message(
    nsqd: &Nsqd,
    queue: &mut Topic<NsqHost>,
    message: &Unfinished<ChunkRef>,
) -> Result<(), JournalError> {
    if message.pending.is_empty() && !message.held {
        return Ok(()); // ephemeral channels only
    }
    let topic = queue.number;
    let waits = |number: u32| {
        let mut pending = message.pending.iter();
        pending.any(|pending| pending.channel == number)
    };
    let kept = queue.channels().filter(|channel| !channel.ephemeral);
    let finished = kept.filter(|channel| !message.held && !waits(channel.number));
    let finished: Vec<u32> = finished.map(|channel| channel.number).collect();
    let attempts = message.pending.iter().map(|pending| pending.attempts);
    let due = message.pending.iter().map(|pending| pending.due);
    let (attempts, due) = (
        attempts.min().unwrap_or(0),
        due.min().unwrap_or(message.due),
    );
    let end = nsqd.journal.append(&Record::Import {
        topic,
        id: message.id,
        timestamp: message.timestamp,
        attempts,
        due,
        held: message.held,
        finished: List::Given(&finished),
        body: message.chunk.0.bytes(message.offset, message.len),
        body_at: 0,
    })?;
    queue.rebase(message.id, end);
    for pending in &message.pending {
        if (pending.attempts, pending.due) != (attempts, due) {
            let item = Requeued {
                id: message.id,
                attempts: pending.attempts,
                due: pending.due,
            };
            nsqd.journal.append(&Record::Requeue {
                topic,
                channel: pending.channel,
                items: List::Given(&[item]),
            })?;
        }
    }
    Ok(())
}
