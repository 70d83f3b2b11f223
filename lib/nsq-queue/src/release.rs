//! Letting go of messages by the journal position they came with: of those that somebody else owns
//! now, and of those that the journal they were copied from has lost.

use std::cmp::Reverse;

use crate::Host;
use crate::channel::Channel;
use crate::lane::LaneKind;
use crate::topic::{Effects, Topic};

/// Messages that only this node has, as far as it knows. Counts whole blocks where it knows no
/// better.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unmirrored {
    pub messages: u64,
    pub bytes: u64,
    /// When the oldest was published; 0 if there is none.
    pub oldest: i64,
}

/// A stretch of positions, cut at what stays.
struct Cut {
    /// What goes.
    gone: Vec<(u64, u64)>,
    /// What stays below the end of the last that goes.
    kept: Vec<(u64, u64)>,
    /// The end of the last that goes.
    end: u64,
}

impl<H: Host> Topic<H> {
    /// Whether it has messages whose base is not above `through`.
    pub fn has_through(&self, through: u64) -> bool {
        LaneKind::ALL.into_iter().any(|kind| {
            let lane = &self.lanes[kind as usize];
            let first = lane.blocks.iter().find(|block| block.live > 0);
            first.is_some_and(|block| block.first_pos < lane.pos_after_base(through, false))
        })
    }

    /// Blocks on disk with bases on both sides of `through`, with their first positions: read back first, they
    /// are let go of message by message.
    pub fn straddling(&self, through: u64) -> Vec<(H::Page, u64)> {
        let blocks = self.lanes.iter().flat_map(|lane| lane.blocks.iter());
        let astride = blocks.filter(|block| {
            block.live > 0
                && block.content.is_none()
                && (block.first_base..block.last_base).contains(&through)
        });
        astride
            .filter_map(|block| Some((block.page.clone()?, block.first_pos)))
            .collect()
    }

    /// Lets go of all messages whose base is not above `through`. A block on disk that straddles it stays whole.
    pub fn release_through(&mut self, through: u64, effects: &mut Effects<H>) {
        let [fifo, deferred, imported] = &self.lanes;
        let bounds = [fifo, deferred, imported].map(|lane| lane.pos_after_base(through, false));
        let bound = bounds[LaneKind::Fifo as usize];
        let gone = |rebased: &crate::Rebased, pos: u64| {
            pos < bounds[LaneKind::of(pos) as usize]
                && rebased.of(pos).is_none_or(|base| base <= through)
        };
        for index in 0..self.channels.len() {
            let Some(channel) = self.channels[index].as_mut() else {
                continue;
            };
            let rebased = &self.rebased;
            let (settled, holders) = channel.let_go(|pos| gone(rebased, pos));
            let cut = cut(
                rebased,
                through,
                channel.cursor,
                bound.min(self.distributed),
            );
            if let Some(cut) = cut {
                let kept = cut.kept.iter().flat_map(|&(from, to)| from..to);
                match self.restoring {
                    true => channel.restoring.extend(kept.map(|pos| (pos, (0, 0)))),
                    false => channel.stray.extend(kept.map(|pos| (pos, 0))),
                }
                channel.cursor = cut.end;
                for (from, to) in cut.gone {
                    self.lanes[0].settle_range(from, to);
                }
            }
            for pos in settled {
                self.lanes[LaneKind::of(pos) as usize].settle(pos);
            }
            for consumer in holders {
                let mut waker = None;
                self.change_consumer(consumer, |consumer| {
                    consumer.in_flight = consumer.in_flight.saturating_sub(1);
                    waker = Some(consumer.spec.waker.clone());
                });
                effects.wake.extend(waker);
            }
        }
        self.release_undistributed(through, bound, gone);
        self.prune_rebased();
    }

    fn release_undistributed(
        &mut self,
        through: u64,
        bound: u64,
        gone: impl Fn(&crate::Rebased, u64) -> bool,
    ) {
        let held = std::mem::take(&mut self.held);
        let (gone, kept): (Vec<_>, Vec<_>) = held
            .into_iter()
            .partition(|&(_, pos)| gone(&self.rebased, pos));
        self.held = kept;
        for (_, pos) in gone {
            self.lanes[LaneKind::of(pos) as usize].settle(pos);
        }
        let Some(cut) = cut(&self.rebased, through, self.distributed, bound) else {
            return;
        };
        // What stays waits with the deferred ones: a cursor cannot run over a hole.
        let kept = cut.kept.iter().flat_map(|&(from, to)| from..to);
        self.held.extend(kept.map(|pos| (0, pos)));
        let from = self.distributed;
        for channel in self.channels.iter_mut().flatten() {
            for pos in channel.cursor..from {
                match self.restoring {
                    true => drop(channel.restoring.insert(pos, (0, 0))),
                    false => drop(channel.stray.insert(pos, 0)),
                }
            }
            channel.cursor = cut.end;
        }
        self.distributed = cut.end;
        for (from, to) in cut.gone {
            self.lanes[0].settle_range(from, to);
        }
    }

    /// Forgets moved bases of messages that are gone.
    pub(crate) fn prune_rebased(&mut self) {
        let lanes = &self.lanes;
        self.rebased.retain(|start, end| {
            let lane = &lanes[LaneKind::of(start) as usize];
            let blocks = lane.blocks.range(lane.index_from_pos(start)..);
            let mut near = blocks.take_while(|block| block.first_pos < end);
            near.any(|block| block.live > 0)
        });
    }

    /// The journal that this topic is a copy of has lost what came after `end`: those messages go.
    /// Finishes that came after it stay true. False: for some messages it cannot be told; they
    /// are still here.
    ///
    /// Only for topics being restored: nobody may hold any of these messages.
    pub fn cut(&mut self, end: u64) -> bool {
        // A block on disk that straddles the end stays whole.
        let mut known = self.rebased.cut(end) && self.straddling(end).is_empty();
        for lane in &mut self.lanes {
            known &= lane.truncate(lane.pos_after_base(end, true), end);
        }
        let ends = [0, 1, 2].map(|lane| self.lanes[lane].next_pos);
        let here = |pos: u64| pos < ends[LaneKind::of(pos) as usize];
        for (kind, end) in LaneKind::ALL.into_iter().zip(ends) {
            self.rebased.forget(end, kind.end_pos());
        }
        self.distributed = self.distributed.min(ends[0]);
        self.held.retain(|&(_, pos)| here(pos));
        for channel in self.channels.iter_mut().flatten() {
            channel.cursor = channel.cursor.min(ends[0]);
            channel.restoring.retain(|&pos, _| here(pos));
        }
        self.count_live();
        known
    }

    /// What came after `acked`, the position through which the peer has this journal.
    pub fn unmirrored(&self, acked: u64) -> Unmirrored {
        let mut sum = Unmirrored::default();
        let mut oldest = i64::MAX;
        for lane in &self.lanes {
            let bound = lane.pos_after_base(acked, false);
            let blocks = lane.blocks.range(lane.index_from_pos(bound)..);
            for block in blocks.filter(|block| block.live > 0) {
                let from = bound.max(block.first_pos);
                let count = block.end_pos() - from;
                sum.messages += count;
                sum.bytes += block.bytes * count / u64::from(block.count.max(1));
                let entries = block.content.as_ref().map(|content| &content.entries);
                let entry = entries.and_then(|all| all.get((from - block.first_pos) as usize));
                oldest = oldest.min(entry.map_or(i64::MAX, |entry| entry.timestamp));
            }
            let first = lane.blocks.front().map_or(bound, |block| block.first_pos);
            for (from, to) in self.rebased.above(acked, first, bound) {
                sum.messages += to - from;
            }
        }
        if sum.messages > 0 && oldest < i64::MAX {
            sum.oldest = oldest;
        }
        sum
    }
}

impl Channel {
    /// Takes out what is `gone` of all that is no matter of the cursor: the positions, and who
    /// held some of them.
    fn let_go(
        &mut self,
        gone: impl Fn(u64) -> bool,
    ) -> (Vec<u64>, Vec<crate::consumer::ConsumerId>) {
        let mut settled = Vec::new();
        let mut take = |pos: u64| {
            let gone = gone(pos);
            settled.extend(gone.then_some(pos));
            !gone
        };
        self.requeued.retain(|item| take(item.pos));
        self.deferred.retain(|Reverse(item)| take(item.pos));
        self.stray.retain(|&pos, _| take(pos));
        self.restoring.retain(|&pos, _| take(pos));
        let held: Vec<(u64, crate::consumer::ConsumerId)> = {
            let held = self.in_flight.iter().filter(|held| gone(held.pos));
            held.map(|held| (held.pos, held.consumer)).collect()
        };
        for (pos, _) in &held {
            self.in_flight.remove(*pos);
        }
        settled.extend(held.iter().map(|held| held.0));
        (settled, held.into_iter().map(|held| held.1).collect())
    }
}

/// Cuts `from..to` at what was rebased above `through`; `None` if nothing goes.
fn cut(rebased: &crate::Rebased, through: u64, from: u64, to: u64) -> Option<Cut> {
    let (mut gone, mut kept, mut at) = (Vec::new(), Vec::new(), from);
    for (start, end) in rebased.above(through, from, to.max(from)) {
        if at < start {
            gone.push((at, start));
        }
        kept.push((start, end));
        at = end;
    }
    if at < to {
        gone.push((at, to));
    }
    let end = gone.last()?.1;
    kept.retain(|&(start, _)| start < end);
    Some(Cut { gone, kept, end })
}
