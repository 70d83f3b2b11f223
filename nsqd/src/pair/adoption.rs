//! Taking over what the mirror has: every unfinished message becomes an own one, identity kept.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use nsq_journal::{JournalError, Position, Record};
use nsq_queue::{Topic, Unfinished};

use super::mirror::Mirror;
use super::receive::ensure;
use super::{Adoption, Pair, Shared};
use crate::host::{ChunkRef, NsqHost};
use crate::import::{Incoming, Takers, write_import};
use crate::live_topic::{Kept, LiveTopic};
use crate::nsqd::Nsqd;
use crate::options::Durability;

/// Why an order to adopt was not followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdoptError {
    #[error("there is no mirror of that node")]
    NoMirror,
    #[error("it has come back, in run {0}")]
    CameBack(u64),
    #[error("{0}")]
    Journal(#[from] JournalError),
}

/// An order to adopt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order<'a> {
    /// The peer's name.
    pub node: &'a str,
    /// Of which incarnation; any.
    pub incarnation: Option<u64>,
    /// The last run of it that whoever orders has seen.
    pub run: Option<u64>,
}

impl Pair {
    /// The order to adopt: whatever the mirror has beyond the last adoption. Repeated and late orders do no harm.
    ///
    /// # Errors
    /// There is nothing to adopt from, or the journal's.
    pub(crate) fn order(
        &self,
        nsqd: &Arc<Nsqd>,
        order: &Order<'_>,
    ) -> Result<Adoption, AdoptError> {
        let mut shared = self.shared.lock();
        let named = |mirror: &Mirror| {
            let incarnation = order.incarnation.unwrap_or(mirror.incarnation);
            mirror.node == order.node && mirror.incarnation == incarnation
        };
        if !shared.mirror.as_ref().is_some_and(named) {
            return Err(AdoptError::NoMirror);
        }
        // Saves duplicates only: whoever ordered this did not know that the node has come back.
        if let (Some(ordered), Some(heard)) = (order.run, shared.heard_run)
            && ordered < heard
        {
            return Err(AdoptError::CameBack(heard));
        }
        begin(self, nsqd, &mut shared)?;
        shared.adoption.ok_or(AdoptError::NoMirror)
    }

    /// How the last adoption stands.
    pub(crate) fn adoption(&self) -> Option<Adoption> {
        self.shared.lock().adoption
    }
}

/// Begins an adoption, unless one is under way or there is nothing new. The record follows all that was mirrored in the
/// same journal, so what it names is durable when it is (R8).
pub(super) fn begin(
    pair: &Pair,
    nsqd: &Arc<Nsqd>,
    shared: &mut Shared,
) -> Result<(), JournalError> {
    let Some(mirror) = &shared.mirror else {
        return Ok(());
    };
    let (incarnation, through) = (mirror.incarnation, mirror.end);
    let mut from = Position { run: 0, lsn: 0 };
    if let Some(last) = shared
        .adoption
        .filter(|last| last.incarnation == incarnation)
    {
        if last.done.is_none() || through <= last.through {
            pair.adopt.notify_one();
            return Ok(());
        }
        from = last.through;
    }
    let began = nsqd.journal.append(&Record::Adopt {
        incarnation,
        from,
        through,
    })?;
    mirror.part_bases();
    shared.adoption = Some(Adoption {
        incarnation,
        from,
        through,
        began,
        done: None,
    });
    tracing::warn!(
        "PAIR: adopting what {} had up to {}",
        mirror.node,
        through.lsn
    );
    pair.counters.adoptions.fetch_add(1, Ordering::Relaxed);
    pair.adopt.notify_one();
    Ok(())
}

/// Imports whenever an adoption was begun, at the start too (R9). Runs until its task is ended.
pub async fn run(nsqd: Arc<Nsqd>) {
    loop {
        let adoption = nsqd.pair.adoption();
        if let Some(adoption) = adoption.filter(|adoption| adoption.done.is_none())
            && let Err(error) = import_all(&nsqd, adoption).await
        {
            tracing::error!("PAIR: adoption: {error}, trying again");
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            continue;
        }
        nsqd.pair.adopt.notified().await;
    }
}

async fn import_all(nsqd: &Arc<Nsqd>, adoption: Adoption) -> Result<(), JournalError> {
    let mut imported = 0;
    for topic in nsqd.pair.mirrored_topics() {
        imported += import_topic(nsqd, &topic, &adoption).await?;
    }
    // R11: the imports are durable before ADOPTED is written, by being before it in the same journal and by its own
    // sync; R10: it follows the last of them.
    nsqd.keep(Kept::here(keeping(nsqd), nsqd.journal.tail()))
        .await?;
    let position = {
        let mut shared = nsqd.pair.shared.lock();
        let position = Position {
            run: nsqd.journal.run(),
            lsn: nsqd.journal.tail(),
        };
        nsqd.journal.append(&Record::Adopted {
            incarnation: adoption.incarnation,
            through: adoption.through,
            position,
        })?;
        if let Some(present) = &mut shared.adoption {
            present.done = Some(position);
        }
        let mut waiting = nsqd.pair.gate.lock();
        waiting.level_at = waiting.level_at.max(nsqd.journal.tail());
        drop(waiting);
        position
    };
    nsqd.keep(Kept::here(keeping(nsqd), nsqd.journal.tail()))
        .await?;
    tracing::warn!(
        "PAIR: adopted {imported} messages, up to {} of {:016x}, done at {}",
        adoption.through.lsn,
        adoption.incarnation,
        position.lsn
    );
    nsqd.pair.holder_news.tell();
    nsqd.pair.watch.notify_one();
    Ok(())
}

/// The level at which imports are kept: that of the node, but at least written.
fn keeping(nsqd: &Nsqd) -> Durability {
    match nsqd.options.durability {
        Durability::Memory => Durability::Write,
        level => level,
    }
}

async fn import_topic(
    nsqd: &Arc<Nsqd>,
    mirrored: &Arc<LiveTopic>,
    adoption: &Adoption,
) -> Result<u64, JournalError> {
    ensure(nsqd, &mirrored.name, None);
    let channels: Vec<(u32, String)> = mirrored.read(|queue| {
        let channels = queue.channels();
        let channels = channels.map(|channel| (channel.number, channel.name.clone()));
        channels.collect()
    });
    for (_, name) in &channels {
        ensure(nsqd, &mirrored.name, Some(name));
    }
    let (mut from, mut imported) = (Some(0), 0);
    while let Some(at) = from {
        let needs = {
            // What the peer tells waits: a finish between the look and the import would be missed in both.
            let _shared = nsqd.pair.shared.lock();
            let batch = mirrored.read(|queue| queue.unfinished(at));
            from = batch.next;
            for message in &batch.messages {
                imported += u64::from(import(nsqd, mirrored, &channels, message, adoption)?);
            }
            batch.needs
        };
        if let Some(page) = needs {
            nsqd.page_in(mirrored, &page, at)?;
            continue;
        }
        mirrored.change_now(nsqd, |queue, _| queue.evict());
        nsqd.journal.pool().prepare();
        nsqd.pager.note_growth(&nsqd.journal);
        if nsqd.options.durability == Durability::Write {
            nsqd.journal.write(nsqd.journal.tail())?;
        }
        nsqd.pager.room().await;
        tokio::task::yield_now().await;
    }
    nsqd.pair
        .counters
        .imported
        .fetch_add(imported, Ordering::Relaxed);
    Ok(imported)
}

/// One message. False: it is not to be imported, or was.
fn import(
    nsqd: &Arc<Nsqd>,
    mirrored: &LiveTopic,
    channels: &[(u32, String)],
    message: &Unfinished<ChunkRef>,
    adoption: &Adoption,
) -> Result<bool, JournalError> {
    if message.floor > adoption.through.lsn || message.base <= adoption.from.lsn {
        return Ok(false);
    }
    let own = nsqd.topic(&mirrored.name)?;
    let committed = own.committed(nsqd);
    let imported = own.change_now(nsqd, |queue, effects| {
        // R9: what was imported since the adoption began need not be imported again.
        let base = queue.base_floor(message.id);
        if base.is_some_and(|base| base >= adoption.began) {
            return Ok(false);
        }
        // R16: what was finished a moment ago counts too.
        crate::journal_log::log_queue(nsqd, queue)?;
        let takers = takers(nsqd, queue, channels, message);
        if takers.waiting.is_empty() && !message.held {
            return Ok(false);
        }
        let incoming = Incoming {
            id: message.id,
            timestamp: message.timestamp,
            due: message.due,
            held: message.held,
            body: message.chunk.0.bytes(message.offset, message.len),
        };
        // R13: written also when the message is here.
        write_import(nsqd, queue, &incoming, &takers, committed, effects)?;
        let delivered = takers.waiting.iter().filter(|taker| taker.1.attempts > 0);
        let counter = &nsqd.pair.counters.duplicates_expected;
        counter.fetch_add(delivered.count() as u64, Ordering::Relaxed);
        Ok(true)
    })?;
    if imported && own.read(|queue| queue.is_crowded()) {
        nsqd.page_soon(&own);
    }
    nsqd.note_id(message.id);
    Ok(imported)
}

/// Who waits here for a message of the copy, whose channels are these, and who is done with it.
fn takers<C>(
    nsqd: &Nsqd,
    queue: &Topic<NsqHost>,
    channels: &[(u32, String)],
    message: &Unfinished<C>,
) -> Takers {
    let finishes = nsqd.pair.finishes.lock();
    let mut takers = Takers::default();
    for channel in queue.channels() {
        let named = |number: u32| {
            let mut channels = channels.iter();
            channels.any(|(other, name)| *other == number && *name == channel.name)
        };
        let pending = message
            .pending
            .iter()
            .find(|pending| named(pending.channel));
        // R16: what was finished here does not come back.
        let is_done = || finishes.contains(queue.number, channel.number, message.id);
        match pending {
            _ if channel.ephemeral => takers.ephemeral.push(channel.number),
            Some(pending) if !is_done() => takers.waiting.push((channel.number, *pending)),
            None if message.held && !is_done() => {}
            // The copy may have let go of it, or the peer have thrown it away: neither finishes what is owned here.
            _ => match queue.pending(channel, message.id) {
                Some(pending) => takers.waiting.push((channel.number, pending)),
                None => takers.finished.push(channel.number),
            },
        }
    }
    takers
}

impl Shared {
    /// The incarnation and kept end of a mirror that lacks nothing.
    pub(super) fn covering(&self) -> Option<(u64, Position)> {
        let mirror = self.mirror.as_ref().filter(|mirror| mirror.whole)?;
        Some((mirror.incarnation, self.kept?))
    }

    /// Whether an adoption is under way.
    pub(super) fn is_importing(&self) -> bool {
        self.adoption
            .is_some_and(|adoption| adoption.done.is_none())
    }
}

#[cfg(test)]
mod tests {
    use nsq_queue::Pending;

    use super::*;

    /// One of two channels has it here; in the copy the other one does.
    #[test]
    fn an_import_does_not_finish_what_waits_here() {
        let dir = tempfile::tempdir().unwrap();
        let nsqd = crate::test_node::open(dir.path(), None);
        let topic = nsqd.topic("t").unwrap();
        for channel in ["a", "b"] {
            topic.create_channel(&nsqd, channel).unwrap();
        }
        topic.publish(&nsqd, b"x", &[(0, 1)], 0).unwrap();
        topic.read(|queue| {
            let own = queue.last_id().unwrap();
            let channels = queue.channels();
            let channels: Vec<_> = channels.map(|one| (one.number, one.name.clone())).collect();
            let (a, b) = (channels[0].0, channels[1].0);
            for (id, waiting, finished) in [(own, vec![a, b], vec![]), (own + 1, vec![b], vec![a])]
            {
                let pending = Pending {
                    channel: b,
                    attempts: 0,
                    due: 0,
                };
                let message = Unfinished {
                    id,
                    timestamp: 0,
                    base: 1,
                    floor: 1,
                    held: false,
                    due: 0,
                    pending: vec![pending],
                    chunk: (),
                    offset: 0,
                    len: 1,
                };
                let takers = takers(&nsqd, queue, &channels, &message);
                let waits: Vec<u32> = takers.waiting.iter().map(|taker| taker.0).collect();
                assert_eq!((waits, takers.finished), (waiting, finished));
            }
        });
    }
}
