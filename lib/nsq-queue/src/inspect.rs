//! Looking at messages without taking them, and taking back deferred ones.

use crate::Host;
use crate::deliver::{Delivery, MISSING};
use crate::lane::LaneKind;
use crate::topic::Topic;

/// A message that waits for its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeferredMessage {
    pub id: u64,
    /// Nanoseconds since 1970.
    pub due: i64,
    pub attempts: u16,
}

/// How far a look went.
#[derive(Debug, PartialEq, Eq)]
pub enum Peeked<P> {
    All,
    /// The rest lies behind this page: read it, give it to `page_in`, look again.
    NeedsPage {
        page: P,
        pos: u64,
    },
}

impl<H: Host> Topic<H> {
    /// Shows the first `count` messages that wait: those that were delivered before, those that came from elsewhere, then
    /// the others in order. `channel` `None`: what no channel has got yet. `None`: no such channel.
    pub fn peek(
        &self,
        channel: Option<&str>,
        count: usize,
        mut sink: impl FnMut(Delivery<'_, H::Chunk>),
    ) -> Option<Peeked<H::Page>> {
        let end = self.lanes[LaneKind::Fifo as usize].next_pos;
        let mut first: Vec<(u64, u16)> = Vec::new();
        let (from, to) = match channel {
            None => {
                let imported = |held: &&(i64, u64)| LaneKind::of(held.1) == LaneKind::Imported;
                let held = self.held.iter().filter(imported).filter(|held| held.0 == 0);
                first.extend(held.map(|held| (held.1, 0)).take(count));
                (self.distributed, end)
            }
            Some(name) => {
                let channel = self.channel(name)?;
                let again = channel.requeued.iter();
                let stray = channel
                    .stray
                    .iter()
                    .map(|(&pos, &attempts)| (pos, attempts));
                let again = again.map(|item| (item.pos, item.attempts)).chain(stray);
                first.extend(again.take(count));
                (channel.cursor, self.distributed)
            }
        };
        let others = (from..to).map(|pos| (pos, 0));
        for (pos, attempts) in first.into_iter().chain(others).take(count) {
            if let Some(page) = self.show(pos, attempts, &mut sink) {
                return Some(Peeked::NeedsPage { page, pos });
            }
        }
        Some(Peeked::All)
    }

    /// Gives the page if the message is not in memory.
    fn show(
        &self,
        pos: u64,
        attempts: u16,
        sink: &mut impl FnMut(Delivery<'_, H::Chunk>),
    ) -> Option<H::Page> {
        let lane = &self.lanes[LaneKind::of(pos) as usize];
        let block = &lane.blocks[lane.index_of_pos(pos)?];
        let Some(content) = &block.content else {
            return block.page.clone();
        };
        let offset = pos - block.first_pos;
        let entry = content.entries.get(offset as usize)?;
        if entry.chunk != MISSING {
            sink(content.delivery(block.first_id + offset, attempts, entry));
        }
        None
    }

    /// The `count` deferred messages of a channel that are due first, in that order. `None`: no such
    /// channel.
    pub fn deferred(&self, channel: &str, count: usize) -> Option<Vec<DeferredMessage>> {
        let channel = self.channel(channel)?;
        let mut items: Vec<_> = channel.deferred.iter().map(|item| item.0).collect();
        items.sort_unstable();
        let told = items.into_iter().filter_map(|item| {
            let id = self.lanes[LaneKind::of(item.pos) as usize].id_of_pos(item.pos)?;
            Some(DeferredMessage {
                id,
                due: item.due,
                attempts: item.attempts,
            })
        });
        Some(told.take(count).collect())
    }

    /// The channel is done with a deferred message, undelivered. False if it has none of that id.
    pub fn cancel_deferred(&mut self, channel: &str, id: u64) -> bool {
        let (Some(&index), Some(pos)) = (self.by_name.get(channel), self.pos_of_id(id)) else {
            return false;
        };
        let journalled = self.options.journalled;
        let Some(channel) = self.channels[index].as_mut() else {
            return false;
        };
        let before = channel.deferred.len();
        channel.deferred.retain(|item| item.0.pos != pos);
        if channel.deferred.len() == before {
            return false;
        }
        if journalled && !channel.ephemeral {
            channel.log.finish(id);
        }
        self.lanes[LaneKind::of(pos) as usize].settle(pos);
        self.mark_dirty(index);
        true
    }
}
