//! Keeps memory and journal bounded: pages out what topics have too much of, takes checkpoints,
//! and lets old journal segments go. One thread; publishers wait only when memory runs out.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use nsq_journal::{Journal, JournalError, Lsn};
use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use crate::checkpoint;
use crate::client::Client;
use crate::input_budget::InputBudget;
use crate::live_topic::LiveTopic;
use crate::memory_budget::MemoryBudget;
use crate::nsqd::Nsqd;

/// [`Housekeeping::kept_for_peer`] on a large volume.
const KEPT_FOR_PEER: u64 = 1 << 30;
/// [`Housekeeping::sent_to_peer`].
const SENT_TO_PEER: u64 = 8 << 20;

/// How much there may be of everything.
#[derive(Debug, Clone, Copy)]
pub struct Housekeeping {
    /// A checkpoint is due after this many bytes.
    pub checkpoint_every: u64,
    /// What keeps more bytes than this from being let go is paged out.
    pub journal_kept: u64,
    /// How far the peer of a pair may be behind before the journal goes on without it, bytes: it is sent a list
    /// then.
    pub kept_for_peer: u64,
    /// What may be on its way to the peer, sent and not acknowledged, bytes. A list runs twice as far ahead of it.
    pub sent_to_peer: u64,
    /// Spill files are no larger than this: their space comes back file by file.
    pub spill_file: u64,
    /// How much memory messages may take.
    pub memory: MemoryBudget,
}

impl Housekeeping {
    /// What suits a volume of so many bytes, and a process that may have this much memory (0: what
    /// the system allows). The more journal is kept, the longer a burst may be that is written
    /// once instead of twice, and the longer a restart reads. It reads what came after the last checkpoint into
    /// memory, paged out or not: that must fit beside what was in memory anyway.
    pub fn on_volume(bytes: u64, memory_limit: u64) -> Self {
        let journal_kept = (bytes / 8).min(JOURNAL_KEPT);
        let memory = MemoryBudget::of_this_process(memory_limit);
        Self {
            checkpoint_every: (journal_kept / 4).min(memory.soft as u64 / 2),
            journal_kept,
            kept_for_peer: (bytes / 4).min(KEPT_FOR_PEER),
            sent_to_peer: SENT_TO_PEER,
            spill_file: (bytes / 32).max(SPILL_FILE_MIN),
            memory,
        }
    }
}

/// The most journal that is kept before a backlog goes to spill files.
const JOURNAL_KEPT: u64 = 1 << 30;

const SPILL_FILE_MIN: u64 = 256 << 10;

/// How often the journal's growth and, while it is short, the memory are looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How soon a failed disk is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Of checkpoints after which nothing changes: each of the two kept holds back what it names.
const CHECKPOINTS_THAT_HELP: u32 = 3;

/// Publishers wait when the journal has grown by so many times what makes a checkpoint due since the last one that
/// succeeded: a restart would read all of that into memory.
const CHECKPOINTS_BEHIND: u64 = 2;

/// Checkpoints are so many times as frequent while the disk is full.
const MANY_WHEN_FULL: u64 = 8;

pub struct Pager {
    crowded: Mutex<Crowded>,
    changed: Condvar,
    /// Memory is short, or would be at a restart: publishers are not read from.
    tight: AtomicBool,
    stalled: Mutex<Vec<Arc<Client>>>,
    relieved: Notify,
    pub(crate) inputs: InputBudget,
    housekeeping: Housekeeping,
    /// End of the journal when the last checkpoint was begun.
    last_checkpoint: AtomicU64,
    /// End of the journal when the last checkpoint that succeeded was begun: a restart reads what came since.
    checkpointed: AtomicU64,
    /// While the disk is full.
    full: Mutex<Option<Full>>,
}

#[derive(Default)]
struct Full {
    /// When, in steady time.
    looked_at: i64,
    /// Looks at which nothing had been journalled since the last.
    idle: u32,
}

#[derive(Default)]
struct Crowded {
    topics: VecDeque<Weak<LiveTopic>>,
    stop: bool,
}

impl Pager {
    pub(crate) fn new(housekeeping: Housekeeping, last_checkpoint: Lsn) -> Self {
        Self {
            crowded: Mutex::default(),
            changed: Condvar::new(),
            tight: AtomicBool::new(false),
            stalled: Mutex::default(),
            relieved: Notify::new(),
            inputs: InputBudget::new(housekeeping.memory.input),
            housekeeping,
            last_checkpoint: AtomicU64::new(last_checkpoint),
            checkpointed: AtomicU64::new(last_checkpoint),
            full: Mutex::default(),
        }
    }

    /// The topic has more in memory than it should.
    pub(crate) fn wake(&self, topic: &Arc<LiveTopic>) {
        let mut crowded = self.crowded.lock();
        // Each topic stands here once; the list is as long as the list of topics at most.
        let listed = crowded
            .topics
            .iter()
            .any(|other| other.as_ptr() == Arc::as_ptr(topic));
        if !listed {
            crowded.topics.push_back(Arc::downgrade(topic));
            self.changed.notify_one();
        }
    }

    pub(crate) fn kept_for_peer(&self) -> u64 {
        self.housekeeping.kept_for_peer
    }

    pub(crate) fn sent_to_peer(&self) -> u64 {
        self.housekeeping.sent_to_peer
    }

    pub(crate) fn stop(&self) {
        self.crowded.lock().stop = true;
        self.changed.notify_one();
    }

    /// Called after each publish.
    pub(crate) fn note_growth(&self, journal: &Journal) {
        let much = journal.pool().live_bytes() > self.housekeeping.memory.hard;
        if (much || self.is_behind(journal.tail())) && !self.tight.swap(true, Ordering::AcqRel) {
            self.changed.notify_one();
        }
    }

    fn checkpoint_is_due(&self, tail: Lsn) -> bool {
        tail - self.last_checkpoint.load(Ordering::Relaxed) >= self.housekeeping.checkpoint_every
            || self.is_behind(tail)
    }

    fn is_behind(&self, tail: Lsn) -> bool {
        let limit = self.housekeeping.checkpoint_every;
        tail - self.checkpointed.load(Ordering::Relaxed) >= limit.saturating_mul(CHECKPOINTS_BEHIND)
    }

    /// Publishers wait for memory.
    pub(crate) fn is_tight(&self) -> bool {
        self.tight.load(Ordering::Acquire)
    }

    /// Whether this publisher has to wait: it is woken when there is memory again.
    pub(crate) fn stalls(&self, client: &Arc<Client>) -> bool {
        if !self.tight.load(Ordering::Acquire) {
            return false;
        }
        self.stalled.lock().push(Arc::clone(client));
        // It may have been relieved in between.
        self.tight.load(Ordering::Acquire)
    }

    /// As [`Pager::stalls`], for a publisher without a connection of its own: returns when there
    /// is memory.
    pub(crate) async fn room(&self) {
        loop {
            let mut relieved = std::pin::pin!(self.relieved.notified());
            relieved.as_mut().enable(); // before the look: it may come in between
            if !self.tight.load(Ordering::Acquire) {
                return;
            }
            relieved.await;
        }
    }

    fn relieve(&self) {
        self.tight.store(false, Ordering::Release);
        self.relieved.notify_waiters();
        for client in self.stalled.lock().drain(..) {
            client.wake();
        }
    }

    /// Runs until [`Pager::stop`].
    pub(crate) fn run(nsqd: &Arc<Nsqd>) {
        let pager = &nsqd.pager;
        loop {
            let topic = {
                let mut crowded = pager.crowded.lock();
                if crowded.topics.is_empty() && !crowded.stop {
                    pager.changed.wait_for(&mut crowded, LOOK);
                }
                if crowded.stop {
                    return;
                }
                crowded.topics.pop_front()
            };
            if let Err(error) = pager.work(nsqd, topic.and_then(|topic| topic.upgrade())) {
                tracing::error!("paging: {error}");
                let mut crowded = pager.crowded.lock();
                if !crowded.stop {
                    pager.changed.wait_for(&mut crowded, RETRY);
                }
            }
        }
    }

    /// What [`Pager::run`] does at a time, for simulations.
    ///
    /// # Errors
    /// The journal's; what was not done is done the next time.
    pub fn step(nsqd: &Arc<Nsqd>) -> Result<(), JournalError> {
        let topic = nsqd.pager.crowded.lock().topics.pop_front();
        nsqd.pager
            .work(nsqd, topic.and_then(|topic| topic.upgrade()))
    }

    fn work(&self, nsqd: &Arc<Nsqd>, topic: Option<Arc<LiveTopic>>) -> Result<(), JournalError> {
        let result = self.try_work(nsqd, topic);
        if self.tight.load(Ordering::Acquire) {
            // What could not be paged out is being delivered: waiting longer would not free it.
            self.relieve();
        }
        if let Err(error @ JournalError::Poisoned(_)) = &result {
            nsqd.fail(error.clone()); // a spill file: the journal itself may still be well
        }
        result
    }

    fn try_work(
        &self,
        nsqd: &Arc<Nsqd>,
        topic: Option<Arc<LiveTopic>>,
    ) -> Result<(), JournalError> {
        // A publisher as quick as the disk would keep paging going on and on, and no checkpoint would come.
        let due = || self.checkpoint_is_due(nsqd.journal.tail());
        if let Some(topic) = topic {
            nsqd.page_out(&topic, |queue| match queue.is_crowded() && !due() {
                true => queue.next_page_out(),
                false => None,
            })?;
            if due() {
                self.wake(&topic); // there may be more
            }
        }
        self.shrink(nsqd)?;
        let tail = nsqd.journal.tail();
        let due = self.checkpoint_is_due(tail);
        let grown = tail - self.last_checkpoint.load(Ordering::Relaxed);
        if !due && !self.may_give_space(nsqd, grown) {
            return Ok(());
        }
        self.last_checkpoint.store(tail, Ordering::Relaxed);
        // On a full disk, what consumers have finished meanwhile can be let go, and is what publishers wait for.
        // Nothing is paged out then: that would take from the reserve.
        if due {
            nsqd.let_journal_go(tail.saturating_sub(self.housekeeping.journal_kept))?;
        }
        checkpoint::take(nsqd, false)?;
        self.checkpointed.store(tail, Ordering::Relaxed);
        Ok(())
    }

    /// The disk is full, and another checkpoint may let something go. Says so when that begins or
    /// ends, once.
    fn may_give_space(&self, nsqd: &Nsqd, grown: u64) -> bool {
        let now = nsqd.clock.now();
        let is_full = nsqd.journal.is_disk_full();
        let mut full = self.full.lock();
        let was = full.take_if(|_| !is_full);
        if was.is_some() {
            tracing::info!("journal: there is space again, publishing resumes");
        }
        if !is_full {
            return false;
        }
        let full = full.get_or_insert_with(|| {
            tracing::error!("journal: the disk is full, publishing is refused");
            Full::default()
        });
        // Finishes of a backlog that flows again fill segments faster than that.
        let much = grown >= self.housekeeping.checkpoint_every / MANY_WHEN_FULL;
        if now - full.looked_at < RETRY.as_nanos() as i64 && !much {
            return false;
        }
        full.looked_at = now;
        full.idle = if grown > 0 { 0 } else { full.idle + 1 };
        full.idle <= CHECKPOINTS_THAT_HELP
    }

    /// Pages out of all topics while memory is over its budget.
    fn shrink(&self, nsqd: &Arc<Nsqd>) -> Result<(), JournalError> {
        let soft = self.housekeeping.memory.soft;
        let over = || nsqd.journal.pool().live_bytes() > soft;
        let due = || self.checkpoint_is_due(nsqd.journal.tail());
        if over() {
            let mut topics = nsqd.topics();
            topics.extend(nsqd.pair.mirrored_topics());
            topics
                .sort_by_key(|topic| std::cmp::Reverse(topic.read(|queue| queue.resident_bytes())));
            for topic in topics.iter().take_while(|_| over()) {
                topic.change_now(nsqd, |queue, _| queue.evict());
                nsqd.page_out(topic, |queue| match over() && !due() {
                    true => queue.next_page_out(),
                    false => None,
                })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_restart_reads_fits_into_little_memory() {
        let little = Housekeeping::on_volume(1 << 40, 256 << 20);
        assert!(little.memory.hard as u64 + little.checkpoint_every < 192 << 20);
        let much = Housekeeping::on_volume(1 << 40, 1 << 40);
        assert_eq!(much.checkpoint_every, much.journal_kept / 4);
    }
}
