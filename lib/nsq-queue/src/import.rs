//! Messages that were published elsewhere, and finishes that were heard of from there. A message
//! is found by its id; one that is here already gets a newer base, and the channels that only the other had for it.

use std::cmp::Reverse;

use crate::Host;
use crate::block::Entry;
use crate::channel::Channel;
use crate::journal_log::Requeued;
use crate::lane::LaneKind;
use crate::topic::{Effects, Topic};

/// A message taken over, identity kept.
pub struct Import<'a, C> {
    pub id: u64,
    /// Nanoseconds since 1970.
    pub timestamp: i64,
    pub attempts: u16,
    /// Not before this moment; 0 = at once.
    pub due: i64,
    /// No channel has got it where it comes from: it goes to all there are here.
    pub held: bool,
    /// Numbers of the channels that are done with it.
    pub finished: &'a [u32],
    pub chunk: &'a C,
    /// Where the body begins in the chunk.
    pub offset: u32,
    pub len: u32,
    /// Journal position behind its record.
    pub base: u64,
    /// Journal position that must be committed before delivery, 0 = none.
    pub kept_at: u64,
    /// Journal position that is committed now.
    pub committed: u64,
}

impl<H: Host> Topic<H> {
    /// Takes a message over. False: it is here already, or nobody waits for it.
    pub fn import(
        &mut self,
        import: &Import<'_, H::Chunk>,
        now: i64,
        effects: &mut Effects<H>,
    ) -> bool {
        // It may lie here and be nobody's: finished, or let go. Whoever imports knows the former.
        let here = self.pos_of_id(import.id).filter(|&pos| self.waits_at(pos));
        if let Some(pos) = here {
            self.rebased.note(pos, import.base);
            self.import_here(import, pos, now, effects);
            return false;
        }
        let held = import.held && !self.distributes();
        let done = |channel: &Channel| import.finished.contains(&channel.number);
        let takers: Vec<usize> = match held {
            true => Vec::new(),
            false => {
                let channels = self.channels.iter().enumerate();
                let takes = |channel: &Option<Channel>| {
                    channel.as_ref().is_some_and(|channel| !done(channel))
                };
                channels
                    .filter_map(|(index, channel)| takes(channel).then_some(index))
                    .collect()
            }
        };
        if !held && takers.is_empty() {
            return false;
        }
        let lane = &mut self.lanes[LaneKind::Imported as usize];
        let entry = Entry {
            timestamp: import.timestamp,
            offset: import.offset,
            len: import.len,
            chunk: 0,
            base: 0,
        };
        let live = takers.len().max(1) as u64;
        let pos = lane.append(import.id, entry, import.base, import.chunk, live);
        self.message_count += 1;
        self.message_bytes += u64::from(import.len);
        self.visible[LaneKind::Imported as usize].note(pos + 1, import.kept_at, import.committed);
        if held {
            self.held.push((import.due, pos));
            return true;
        }
        self.distributed_count += 1;
        for index in takers {
            self.give(index, pos, (import.attempts, import.due), now);
        }
        self.wake_parked(effects);
        true
    }

    /// Whoever finished it has; whoever waits for it elsewhere does here, though its channel may be younger than the
    /// message: copies of this journal that have let go of the message know it from this record alone.
    fn import_here(
        &mut self,
        import: &Import<'_, H::Chunk>,
        pos: u64,
        now: i64,
        effects: &mut Effects<H>,
    ) {
        let everybodys = import.held || self.is_undistributed(pos);
        let kind = LaneKind::of(pos);
        let fifo = kind == LaneKind::Fifo;
        let (mut done, mut takers) = (Vec::new(), Vec::new());
        for (index, channel) in self.channels.iter().enumerate() {
            let Some(channel) = channel else { continue };
            match import.finished.contains(&channel.number) {
                true if !channel.ephemeral => done.push(index),
                false if !everybodys && !channel.waits_at(pos, fifo) => takers.push(index),
                _ => {}
            }
        }
        // First those who wait: with the last of them the body goes.
        for index in takers {
            self.lanes[kind as usize].hold(pos);
            self.give(index, pos, (import.attempts, import.due), now);
        }
        for index in done {
            self.finish_at(index, pos, effects);
        }
        self.wake_parked(effects);
    }

    /// All up to `base` may be let go of: at the end of a list that begins there, or because somebody else takes it over.
    pub fn part_bases(&mut self, base: u64) {
        self.rebased.part(base);
    }

    /// The message was imported again, where it is: its base moves up.
    pub fn rebase(&mut self, id: u64, base: u64) {
        if let Some(pos) = self.pos_of_id(id) {
            self.rebased.note(pos, base);
        }
    }

    /// Whether anybody waits for the message at `pos`.
    pub(crate) fn waits_at(&self, pos: u64) -> bool {
        let fifo = LaneKind::of(pos) == LaneKind::Fifo;
        let mut channels = self.channels.iter().flatten();
        self.is_undistributed(pos) || channels.any(|channel| channel.waits_at(pos, fifo))
    }

    /// No channel has got the message at `pos` yet.
    fn is_undistributed(&self, pos: u64) -> bool {
        let fifo = LaneKind::of(pos) == LaneKind::Fifo;
        (fifo && pos >= self.distributed) || self.held.iter().any(|held| held.1 == pos)
    }

    fn give(&mut self, index: usize, pos: u64, (attempts, due): (u16, i64), now: i64) {
        let restoring = self.restoring;
        let Some(channel) = self.channels[index].as_mut() else {
            return;
        };
        match restoring {
            true => drop(channel.restoring.insert(pos, (attempts, due))),
            false if due > now => channel.put_back(pos, attempts, due, now),
            false => drop(channel.stray.insert(pos, attempts)),
        }
        self.note_deadline(index);
    }

    /// What a channel knows of a message that was just imported, where it differs from what the
    /// other channels know.
    pub fn put_off(&mut self, number: u32, item: Requeued, now: i64) {
        let (Some(index), Some(pos)) = (self.index_of_number(number), self.pos_of_id(item.id))
        else {
            return;
        };
        let Some(channel) = self.channels[index].as_mut() else {
            return;
        };
        let waits = channel.stray.remove(&pos).is_some() || channel.remove_waiting(pos);
        if waits {
            self.give(index, pos, (item.attempts, item.due), now);
        }
    }

    /// Somebody else's consumers finished these on the channel of this name. What was waiting for it
    /// here is finished too, and that is logged for the journal. How many.
    pub fn finish_known(
        &mut self,
        channel: &str,
        first_id: u64,
        count: u64,
        effects: &mut Effects<H>,
    ) -> u64 {
        let Some(&index) = self.by_name.get(channel) else {
            return 0;
        };
        let end = first_id.saturating_add(count);
        if !self.lanes.iter().any(|lane| lane.may_have(first_id, end)) {
            return 0;
        }
        let mut finished = 0;
        for id in first_id..end {
            let pos = self.pos_of_id(id);
            if !pos.is_some_and(|pos| self.finish_at(index, pos, effects)) {
                continue;
            }
            finished += 1;
            if let Some(channel) = self.channels[index].as_mut()
                && self.options.journalled
                && !channel.ephemeral
            {
                channel.log.finish(id);
            }
        }
        if finished > 0 {
            self.mark_dirty(index);
        }
        finished
    }

    /// Whether a message with an id of `first_id..end` was finished on the channel of this name, and that is not journalled
    /// yet.
    pub fn has_unlogged_finish(&self, channel: &str, first_id: u64, end: u64) -> bool {
        self.channel(channel).is_some_and(|channel| {
            let mut finished = channel.log.finished.iter();
            finished.any(|&(first, count)| first < end && first_id < first + count)
        })
    }

    /// The channel is done with the message at `pos`. False: it was not waiting for it.
    pub(crate) fn finish_at(&mut self, index: usize, pos: u64, effects: &mut Effects<H>) -> bool {
        let (restoring, distributed) = (self.restoring, self.distributed);
        let Some(channel) = self.channels[index].as_mut() else {
            return false;
        };
        let mut holder = None;
        let fresh = LaneKind::of(pos) == LaneKind::Fifo && pos >= channel.cursor;
        let pending = match restoring {
            _ if fresh && pos >= distributed => false,
            true if fresh => {
                channel.deliver_until(pos);
                channel.cursor = pos + 1;
                true
            }
            false if fresh => {
                channel
                    .stray
                    .extend((channel.cursor..pos).map(|pos| (pos, 0)));
                channel.cursor = pos + 1;
                true
            }
            true => channel.restoring.remove(&pos).is_some(),
            false => {
                let held = channel.in_flight.remove(pos);
                holder = held.map(|held| held.consumer);
                holder.is_some()
                    || channel.stray.remove(&pos).is_some()
                    || channel.remove_waiting(pos)
            }
        };
        if let Some(consumer) = holder {
            let mut waker = None;
            self.change_consumer(consumer, |consumer| {
                consumer.in_flight = consumer.in_flight.saturating_sub(1);
                waker = Some(consumer.spec.waker.clone());
            });
            effects.wake.extend(waker);
        }
        if pending {
            self.lanes[LaneKind::of(pos) as usize].settle(pos);
        }
        pending
    }

    /// While held back, nothing is delivered.
    pub fn hold_back(&mut self, held_back: bool, effects: &mut Effects<H>) {
        self.held_back = held_back;
        if !held_back {
            for index in 0..self.channels.len() {
                if self.may_deliver(index) {
                    self.wake_one(index, effects);
                }
            }
        }
    }
}

impl Channel {
    /// Whether it waits for the message at `pos`, which it has got if the cursor runs over its lane.
    pub(crate) fn waits_at(&self, pos: u64, fifo: bool) -> bool {
        (fifo && pos >= self.cursor)
            || self.in_flight.get(pos).is_some()
            || self.stray.contains_key(&pos)
            || self.restoring.contains_key(&pos)
            || self.requeued.iter().any(|item| item.pos == pos)
            || self.deferred.iter().any(|item| item.0.pos == pos)
    }

    /// Takes a message out of those that were put back. Few are, but for deferred ones.
    fn remove_waiting(&mut self, pos: u64) -> bool {
        if let Some(at) = self.requeued.iter().position(|item| item.pos == pos) {
            self.requeued.remove(at);
            return true;
        }
        let before = self.deferred.len();
        self.deferred.retain(|Reverse(item)| item.pos != pos);
        self.deferred.len() < before
    }
}
