//! Going through what a topic has not finished, to copy it elsewhere.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::Host;
use crate::channel::Channel;
use crate::deliver::MISSING;
use crate::lane::LaneKind;
use crate::topic::Topic;

/// A message that is not finished everywhere.
pub struct Unfinished<C> {
    pub id: u64,
    pub timestamp: i64,
    /// Journal position behind its newest record, not below what it is.
    pub base: u64,
    /// The same, not above what it is.
    pub floor: u64,
    /// No channel has got it yet.
    pub held: bool,
    /// When it is due, if it is held; 0 = at once.
    pub due: i64,
    /// The channels that wait for it.
    pub pending: Vec<Pending>,
    pub chunk: C,
    pub offset: u32,
    pub len: u32,
}

/// What a channel knows of a message it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// The channel's number.
    pub channel: u32,
    pub attempts: u16,
    /// Not before this moment; 0 = at once.
    pub due: i64,
}

/// Some of them, in the order of positions.
pub struct UnfinishedBatch<H: Host> {
    pub messages: Vec<Unfinished<H::Chunk>>,
    /// Where to go on; `None` at the end.
    pub next: Option<u64>,
    /// The block at `next` lies on disk: read it, give it to `page_in`, go on.
    pub needs: Option<H::Page>,
}

impl<H: Host> Topic<H> {
    /// The unfinished messages of the block at or behind `from`; 0 to begin. What is published
    /// meanwhile may or may not be among them.
    pub fn unfinished(&self, from: u64) -> UnfinishedBatch<H> {
        let mut batch = UnfinishedBatch {
            messages: Vec::new(),
            next: None,
            needs: None,
        };
        let first = LaneKind::of(from) as usize;
        let block = LaneKind::ALL[first..].iter().find_map(|&kind| {
            let lane = &self.lanes[kind as usize];
            let from = from.max(kind.first_pos());
            let mut blocks = lane.blocks.range(lane.index_from_pos(from)..);
            let block = blocks.find(|block| block.live > 0)?;
            Some((from.max(block.first_pos), block))
        });
        let Some((from, block)) = block else {
            return batch;
        };
        batch.next = Some(block.end_pos());
        let Some(content) = &block.content else {
            batch.next = Some(from);
            batch.needs = block.page.clone();
            if batch.needs.is_none() {
                batch.next = Some(block.end_pos()); // being restored: its bodies are not known
            }
            return batch;
        };
        let waiting = self.waiting_between(from, block.end_pos());
        for pos in from..block.end_pos() {
            let index = (pos - block.first_pos) as usize;
            let entry = content
                .entries
                .get(index)
                .filter(|entry| entry.chunk != MISSING);
            let Some(entry) = entry else { continue };
            let held = waiting.held.get(&pos).copied();
            let undistributed = LaneKind::of(pos) == LaneKind::Fifo && pos >= self.distributed;
            let pending = waiting.of(pos);
            if pending.is_empty() && held.is_none() && !undistributed {
                continue;
            }
            batch.messages.push(Unfinished {
                id: block.first_id + (pos - block.first_pos),
                timestamp: entry.timestamp,
                base: self.rebased.of(pos).unwrap_or_else(|| block.base_of(pos)),
                floor: self
                    .rebased
                    .floor(pos)
                    .unwrap_or_else(|| block.base_of(pos)),
                held: held.is_some() || undistributed,
                due: held.unwrap_or(0),
                pending,
                chunk: content.chunks[entry.chunk as usize].clone(),
                offset: entry.offset,
                len: entry.len,
            });
        }
        batch
    }

    /// What the channel knows of the message, if it waits for it.
    pub fn pending(&self, channel: &Channel, id: u64) -> Option<Pending> {
        let pos = self.pos_of_id(id)?;
        let fifo = LaneKind::of(pos) == LaneKind::Fifo;
        if !channel.waits_at(pos, fifo) {
            return None;
        }
        let mut pending = self.waiting_between(pos, pos + 1).of(pos).into_iter();
        pending.find(|pending| pending.channel == channel.number)
    }

    /// The highest id of the messages that were published here and are waited for.
    pub fn last_id(&self) -> Option<u64> {
        let lane = &self.lanes[LaneKind::Fifo as usize];
        lane.id_before(lane.next_pos)
    }

    /// Journal position behind the newest record of a message, not above what it is; `None`: it is
    /// not here.
    pub fn base_floor(&self, id: u64) -> Option<u64> {
        let pos = self.pos_of_id(id)?;
        let lane = &self.lanes[LaneKind::of(pos) as usize];
        let block = lane.blocks.get(lane.index_of_pos(pos)?)?;
        let known = match block.content {
            Some(_) => block.base_of(pos),
            None => block.first_base,
        };
        Some(self.rebased.floor(pos).unwrap_or(known))
    }

    fn waiting_between(&self, from: u64, to: u64) -> Waiting {
        let within = |pos: &u64| (from..to).contains(pos);
        let held = self.held.iter().filter(|held| within(&held.1));
        let mut waiting = Waiting {
            held: held.map(|&(due, pos)| (pos, due)).collect(),
            channels: Vec::new(),
        };
        let fifo = LaneKind::of(from) == LaneKind::Fifo;
        for channel in self
            .channels
            .iter()
            .flatten()
            .filter(|channel| !channel.ephemeral)
        {
            let mut items = BTreeMap::new();
            let held = channel
                .in_flight
                .iter()
                .map(|held| (held.pos, held.attempts, 0));
            let requeued = channel
                .requeued
                .iter()
                .map(|item| (item.pos, item.attempts, 0));
            let deferred = channel.deferred.iter();
            let deferred = deferred.map(|Reverse(item)| (item.pos, item.attempts, item.due));
            let others = held.chain(requeued).chain(deferred);
            items.extend(
                others
                    .filter(|item| within(&item.0))
                    .map(|item| (item.0, (item.1, item.2))),
            );
            let stray = channel.stray.range(from..to);
            items.extend(stray.map(|(&pos, &attempts)| (pos, (attempts, 0))));
            let restoring = channel.restoring.range(from..to);
            items.extend(restoring.map(|(&pos, &item)| (pos, item)));
            let fresh = match fifo {
                true => (channel.cursor, self.distributed),
                false => (0, 0),
            };
            waiting.channels.push((channel.number, fresh, items));
        }
        waiting
    }
}

/// A channel's number, what its cursor has not met yet, and its exceptions: (attempts, due).
type ChannelWaiting = (u32, (u64, u64), BTreeMap<u64, (u16, i64)>);

/// What waits within a stretch of positions.
struct Waiting {
    /// Position to due time.
    held: BTreeMap<u64, i64>,
    channels: Vec<ChannelWaiting>,
}

impl Waiting {
    fn of(&self, pos: u64) -> Vec<Pending> {
        let pending = self.channels.iter().filter_map(|(channel, fresh, items)| {
            let fresh = (fresh.0..fresh.1).contains(&pos).then_some((0, 0));
            let (attempts, due) = items.get(&pos).copied().or(fresh)?;
            Some(Pending {
                channel: *channel,
                attempts,
                due,
            })
        });
        pending.collect()
    }
}
