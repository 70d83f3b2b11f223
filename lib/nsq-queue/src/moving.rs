//! Messages that go to another node: held still while they are copied, let go of once they are kept there.

use std::collections::BTreeSet;

use crate::Host;
use crate::channel::Channel;
use crate::lane::LaneKind;
use crate::topic::{Effects, Topic};

/// What is known of a message by its id.
pub enum Here<H: Host> {
    /// Nobody waits for it here.
    No,
    /// Somebody does: when it was published, and its body.
    Waits {
        timestamp: i64,
        chunk: H::Chunk,
        offset: u32,
        len: u32,
    },
    /// It lies on disk: read the page, give it to `page_in`, ask again.
    NeedsPage { page: H::Page, pos: u64 },
    /// Somebody waits for it, and a damaged disk has lost its body.
    Lost,
}

impl<H: Host> Topic<H> {
    /// Nothing is delivered.
    pub(crate) fn stands_still(&self) -> bool {
        self.held_back || self.moving
    }

    /// Somebody else may own its messages, and is being asked.
    pub fn is_held_back(&self) -> bool {
        self.held_back
    }

    /// While moving, what waits stays as it is: it is neither delivered nor handed to channels. Consumers
    /// keep what they hold.
    pub fn set_moving(&mut self, moving: bool, effects: &mut Effects<H>) {
        self.moving = moving;
        if moving {
            return;
        }
        self.distribute(effects);
        for index in 0..self.channels.len() {
            if self.may_deliver(index) {
                self.wake_one(index, effects);
            }
        }
    }

    /// A consumer holds it.
    pub fn is_in_flight(&self, id: u64) -> bool {
        let held = |pos: u64| {
            let mut channels = self.channels.iter().flatten();
            channels.any(|channel| !channel.ephemeral && channel.in_flight.get(pos).is_some())
        };
        self.pos_of_id(id).is_some_and(held)
    }

    /// Whether somebody waits for the message of this id, and what it is.
    pub fn whereabouts(&self, id: u64) -> Here<H> {
        let Some(pos) = self.pos_of_id(id).filter(|&pos| self.waits_at(pos)) else {
            return Here::No;
        };
        let lane = &self.lanes[LaneKind::of(pos) as usize];
        let Some(block) = lane.index_of_pos(pos).and_then(|at| lane.blocks.get(at)) else {
            return Here::No;
        };
        match (&block.content, &block.page) {
            (Some(content), _) => {
                let entry = content.entries.get((pos - block.first_pos) as usize);
                let chunk = entry.and_then(|entry| content.chunks.get(entry.chunk as usize));
                match entry.zip(chunk) {
                    Some((entry, chunk)) => Here::Waits {
                        timestamp: entry.timestamp,
                        chunk: chunk.clone(),
                        offset: entry.offset,
                        len: entry.len,
                    },
                    None => Here::Lost,
                }
            }
            (None, Some(page)) => Here::NeedsPage {
                page: page.clone(),
                pos: block.first_pos,
            },
            (None, None) => Here::Lost,
        }
    }

    /// These are another node's now: nobody here waits for them any more, but for ephemeral channels. Ids that are not
    /// here are passed over. How many there were.
    pub fn let_go(&mut self, ids: impl IntoIterator<Item = u64>, effects: &mut Effects<H>) -> u64 {
        let positions = ids.into_iter().filter_map(|id| self.pos_of_id(id));
        let positions: BTreeSet<u64> = positions.collect();
        self.let_go_held(&positions);
        for index in 0..self.channels.len() {
            let channel = self.channels[index].as_ref();
            if channel.is_some_and(|channel| !channel.ephemeral) {
                self.let_go_of_channel(index, &positions, effects);
            }
        }
        positions.len() as u64
    }

    /// What no channel has got.
    fn let_go_held(&mut self, positions: &BTreeSet<u64>) {
        let is_held = |held: &(i64, u64)| positions.contains(&held.1);
        let held = std::mem::take(&mut self.held);
        let (gone, kept): (Vec<_>, Vec<_>) = held.into_iter().partition(is_held);
        self.held = kept;
        for (_, pos) in gone {
            self.lanes[LaneKind::of(pos) as usize].settle(pos);
        }
        let fifo_end = self.lanes[LaneKind::Fifo as usize].next_pos;
        let from = self.distributed;
        for &pos in positions.range(from..fifo_end.max(from)) {
            // A cursor cannot run over a hole: what stays before it waits with the deferred ones.
            self.held
                .extend((self.distributed..pos).map(|pos| (0, pos)));
            self.distributed = pos + 1;
            self.lanes[LaneKind::Fifo as usize].settle(pos);
        }
        let to = self.distributed;
        if from == to {
            return;
        }
        let restoring = self.restoring;
        for channel in self.channels.iter_mut().flatten() {
            channel.leave(from, restoring);
            channel.cursor = to;
        }
    }

    fn let_go_of_channel(
        &mut self,
        index: usize,
        positions: &BTreeSet<u64>,
        effects: &mut Effects<H>,
    ) {
        let restoring = self.restoring;
        // Searched through once for all of them.
        if let Some(channel) = self.channels[index].as_mut() {
            for pos in channel.take_waiting(positions) {
                self.lanes[LaneKind::of(pos) as usize].settle(pos);
            }
        }
        for &pos in positions {
            let Some(channel) = self.channels[index].as_mut() else {
                return;
            };
            let fresh = LaneKind::of(pos) == LaneKind::Fifo && pos >= channel.cursor;
            if fresh && pos < self.distributed {
                channel.leave(pos, restoring);
                channel.cursor = pos + 1;
                self.lanes[LaneKind::Fifo as usize].settle(pos);
            } else if !fresh && channel.in_flight.get(pos).is_some() {
                self.finish_at(index, pos, effects);
            }
        }
    }

    /// As [`Topic::let_go`], from the journal.
    pub fn replay_moved(&mut self, first_id: u64, count: u64) {
        let end = first_id.saturating_add(count);
        if self.lanes.iter().any(|lane| lane.may_have(first_id, end)) {
            self.let_go(first_id..end, &mut Effects::default());
        }
    }
}

impl Channel {
    /// What the cursor passes over without delivering it, up to `to`, becomes exceptions.
    fn leave(&mut self, to: u64, restoring: bool) {
        let passed = self.cursor..to;
        match restoring {
            true => self.restoring.extend(passed.map(|pos| (pos, (0, 0)))),
            false => self.stray.extend(passed.map(|pos| (pos, 0))),
        }
    }

    /// Takes these out of what was put back or passed over: those that were there.
    fn take_waiting(&mut self, positions: &BTreeSet<u64>) -> Vec<u64> {
        let mut taken = Vec::new();
        let mut take = |pos: u64| {
            let gone = positions.contains(&pos);
            taken.extend(gone.then_some(pos));
            !gone
        };
        self.requeued.retain(|item| take(item.pos));
        self.deferred
            .retain(|std::cmp::Reverse(item)| take(item.pos));
        for &pos in positions {
            let stray = self.stray.remove(&pos).is_some();
            let restoring = self.restoring.remove(&pos).is_some();
            taken.extend((stray || restoring).then_some(pos));
        }
        taken
    }
}
