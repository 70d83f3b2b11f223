//! A topic at work: its queue behind a short lock, and what must follow each change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};

use nsq_journal::{Bodies, JournalError, Lsn, PublishHead};
use nsq_protocol::MessageId;
use nsq_queue::{Effects, Full, Run, Topic};
use parking_lot::{Mutex, MutexGuard};

use crate::host::{ChunkRef, NsqHost};
use crate::nsqd::Nsqd;
use crate::options::Durability;

/// Sequence numbers a topic takes from the node at a time. Ids within a block of messages rise
/// by one, so the queue finds a message by subtraction.
const SEQUENCES: u64 = 1024;

pub struct LiveTopic {
    pub name: String,
    pub number: u32,
    state: Mutex<State>,
    level: AtomicU8,
    deleted: AtomicBool,
    /// The deadline that the node's timers know of.
    pub(crate) armed: AtomicI64,
    /// In the node's list of topics with something to journal.
    pub(crate) listed: AtomicBool,
}

struct State {
    queue: Topic<NsqHost>,
    next_sequence: u64,
    end_sequence: u64,
}

/// What a change has left to do once its records are kept.
#[derive(Default)]
pub struct Then {
    pub effects: Effects<NsqHost>,
}

impl Then {
    /// Wakes and disconnects whom the change concerns, now.
    pub fn happen(mut self, nsqd: &Arc<Nsqd>, topic: &Arc<LiveTopic>) {
        for client in self.effects.wake.drain(..) {
            client.wake();
        }
        for client in self.effects.disconnect.drain(..) {
            client.hang_up();
        }
        for letter in self.effects.dead.drain(..) {
            crate::settings::bury(nsqd, topic, &letter);
        }
        for (channel, _) in self.effects.channels_gone.drain(..) {
            nsqd.channel_gone(topic, &channel);
        }
    }
}

impl Then {
    /// As [`Then::happen`], but consumers are woken once the change is written, by whoever is writing.
    pub fn happen_once_written(mut self, nsqd: &Arc<Nsqd>, topic: &Arc<LiveTopic>, at: Lsn) {
        for client in self.effects.wake.drain(..) {
            nsqd.journal.written_soon(at, client);
        }
        self.happen(nsqd, topic);
    }

    /// As [`Then::happen`], but consumers are woken once the change is kept. Does not wait, and
    /// depends on nobody who does.
    pub fn happen_after(mut self, nsqd: &Arc<Nsqd>, topic: &Arc<LiveTopic>, kept: Kept) {
        match kept.level {
            Durability::Memory => {}
            // If the disk is full, whoever pulls waits for the journal.
            Durability::Write => drop(nsqd.journal.write(kept.at)),
            Durability::Fsync => {
                for client in self.effects.wake.drain(..) {
                    nsqd.journal.sync_soon(kept.at, client);
                }
            }
        }
        self.happen(nsqd, topic);
    }
}

/// Why messages were not taken.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A limit that was set for the topic or a channel of it.
    #[error("{0}")]
    Full(Full),
}

/// Where messages went: what their OK waits for.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    pub level: Durability,
    /// 0 at level `memory`.
    pub at: Lsn,
    /// The peer has to have it too.
    pub mirrored: bool,
}

impl Kept {
    /// Kept here, wherever else.
    pub(crate) fn here(level: Durability, at: Lsn) -> Self {
        Self {
            level,
            at,
            mirrored: false,
        }
    }
}

impl LiveTopic {
    pub fn new(queue: Topic<NsqHost>, level: Durability) -> Arc<Self> {
        Arc::new(Self {
            name: queue.name.clone(),
            number: queue.number,
            level: AtomicU8::new(level as u8),
            state: Mutex::new(State {
                queue,
                next_sequence: 0,
                end_sequence: 0,
            }),
            deleted: AtomicBool::new(false),
            armed: AtomicI64::new(i64::MAX),
            listed: AtomicBool::new(false),
        })
    }

    pub fn level(&self) -> Durability {
        match self.level.load(Ordering::Relaxed) {
            level if level == Durability::Memory as u8 => Durability::Memory,
            level if level == Durability::Fsync as u8 => Durability::Fsync,
            _ => Durability::Write,
        }
    }

    pub(crate) fn set_level(&self, level: Durability) {
        self.level.store(level as u8, Ordering::Relaxed);
    }

    /// How far this topic's records are kept: what lies beyond is not delivered yet.
    pub fn committed(&self, nsqd: &Nsqd) -> Lsn {
        match self.level() {
            Durability::Memory => Lsn::MAX,
            Durability::Write => nsqd.journal.written(),
            Durability::Fsync => nsqd.journal.durable(),
        }
    }

    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    pub(crate) fn mark_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
    }

    /// Looks at the queue.
    pub fn read<R>(&self, look: impl FnOnce(&Topic<NsqHost>) -> R) -> R {
        look(&self.state.lock().queue)
    }

    /// Changes a queue that is being restored: nothing follows from it.
    pub(crate) fn restore<R>(&self, change: impl FnOnce(&mut Topic<NsqHost>) -> R) -> R {
        change(&mut self.state.lock().queue)
    }

    /// Changes the queue and keeps timers, journal list and spill files in step. The caller
    /// lets [`Then::happen`] follow, after the commit if there is one.
    pub fn change<R>(
        self: &Arc<Self>,
        nsqd: &Nsqd,
        change: impl FnOnce(&mut Topic<NsqHost>, &mut Effects<NsqHost>) -> R,
    ) -> (R, Then) {
        let mut then = Then::default();
        let mut state = self.state.lock();
        let result = change(&mut state.queue, &mut then.effects);
        self.settle(nsqd, state);
        (result, then)
    }

    /// [`LiveTopic::change`], with what follows done at once.
    pub fn change_now<R>(
        self: &Arc<Self>,
        nsqd: &Arc<Nsqd>,
        change: impl FnOnce(&mut Topic<NsqHost>, &mut Effects<NsqHost>) -> R,
    ) -> R {
        let (result, then) = self.change(nsqd, change);
        then.happen(nsqd, self);
        result
    }

    fn settle(self: &Arc<Self>, nsqd: &Nsqd, mut state: MutexGuard<'_, State>) {
        let released = state.queue.take_released();
        let deadline = state.queue.next_deadline();
        let dirty = state.queue.is_dirty();
        drop(state);
        for page in &released {
            nsqd.spill.release(&page.into());
        }
        if let Some(deadline) = deadline
            && deadline < self.armed.load(Ordering::Relaxed)
        {
            nsqd.timers.arm(self, deadline);
        }
        if dirty && !self.listed.swap(true, Ordering::AcqRel) {
            nsqd.log_soon(self);
        }
    }

    /// Takes messages in: into the journal's memory and the queue. `due` 0 = at once.
    ///
    /// # Errors
    /// The journal's, or a limit of the topic: nothing was accepted then.
    pub fn publish(
        self: &Arc<Self>,
        nsqd: &Nsqd,
        buffer: &[u8],
        ranges: &[(u32, u32)],
        due: i64,
    ) -> Result<(Kept, Then), PublishError> {
        let level = self.level();
        let bodies = Bodies { buffer, ranges };
        let measured = match level {
            Durability::Memory => bodies.measure()?,
            _ => bodies.sum()?,
        };
        let timestamp = nsqd.clock.wall();
        let mut then = Then::default();
        let mut state = self.state.lock();
        if state.queue.has_limits() {
            let bytes = ranges.iter().map(|range| u64::from(range.1)).sum();
            let admitted = state.queue.admits(ranges.len() as u64, bytes);
            admitted.map_err(PublishError::Full)?;
        }
        let first_id = state.ids(nsqd, ranges.len() as u64);
        let placed = match level {
            Durability::Memory => nsqd.memory.publish(&measured)?,
            _ => {
                let head = PublishHead {
                    topic: self.number,
                    first_id,
                    timestamp,
                    due: nsqd.clock.to_wall(due),
                };
                nsqd.journal.publish(&head, &measured)?
            }
        };
        let run = Run {
            first_id,
            timestamp,
            due,
            chunk: &ChunkRef(placed.chunk),
            bodies_at: placed.bodies_at,
            bodies: ranges,
            base: placed.end,
            kept_at: placed.end,
            committed: self.committed(nsqd),
        };
        state.queue.publish(&run, &mut then.effects);
        let crowded = state.queue.is_crowded();
        self.settle(nsqd, state);
        if crowded {
            nsqd.page_soon(self);
        }
        let at = placed.end;
        let mirrored = level != Durability::Memory && nsqd.pair.is_awaited();
        let kept = Kept {
            level,
            at,
            mirrored,
        };
        Ok((kept, then))
    }
}

impl LiveTopic {
    /// Takes a message over that comes with a time and, from whoever calls, a new id above all that are here.
    /// Limits are not asked: it was accepted long ago. True: the topic has more in memory than it should.
    ///
    /// # Errors
    /// The journal's: it was not taken.
    pub(crate) fn take_over(
        self: &Arc<Self>,
        nsqd: &Arc<Nsqd>,
        first_id: u64,
        timestamp: i64,
        body: &[u8],
    ) -> Result<bool, JournalError> {
        let ranges = [(0, body.len() as u32)];
        let bodies = Bodies {
            buffer: body,
            ranges: &ranges,
        };
        let mut then = Then::default();
        let mut state = self.state.lock();
        let placed = match self.level() {
            Durability::Memory => nsqd.memory.publish(&bodies.measure()?)?,
            _ => {
                let head = PublishHead {
                    topic: self.number,
                    first_id,
                    timestamp,
                    due: 0,
                };
                nsqd.journal.publish(&head, &bodies.sum()?)?
            }
        };
        let run = Run {
            first_id,
            timestamp,
            due: 0,
            chunk: &ChunkRef(placed.chunk),
            bodies_at: placed.bodies_at,
            bodies: &ranges,
            base: placed.end,
            kept_at: placed.end,
            committed: self.committed(nsqd),
        };
        state.queue.publish(&run, &mut then.effects);
        let crowded = state.queue.is_crowded();
        self.settle(nsqd, state);
        then.happen(nsqd, self);
        Ok(crowded)
    }
}

impl State {
    /// `count` ids that rise by one.
    fn ids(&mut self, nsqd: &Nsqd, count: u64) -> u64 {
        if self.end_sequence - self.next_sequence < count {
            let take = count.max(SEQUENCES);
            self.next_sequence = nsqd.take_sequences(take);
            self.end_sequence = self.next_sequence + take;
        }
        let first = self.next_sequence;
        self.next_sequence += count;
        MessageId::new(nsqd.options.node(), first).0
    }
}
