use crate::Host;
use crate::block::{BLOCK_MESSAGES, Block, Content, Entry};
use crate::deliver::MISSING;
use crate::lane::LaneKind;
use crate::topic::Topic;

/// Blocks this close before a cursor that is read stay in memory.
const KEPT_AHEAD: u64 = 4;
/// How many blocks one search for something to page out looks at.
const SEARCHED: usize = 256;

/// A block to be written out: its messages and the memory they lie in.
pub struct PageOut<C> {
    pub first_pos: u64,
    pub first_id: u64,
    /// (timestamp, offset, length, index of the chunk).
    pub messages: Vec<(i64, u32, u32, u32)>,
    /// Journal position behind each message's record.
    pub bases: Vec<u64>,
    pub chunks: Vec<C>,
}

/// Stands, in place of a timestamp, for a message that a damaged journal lost.
const LOST: i64 = i64::MIN;

fn page_out<H: Host>(block: &Block<H>) -> Option<PageOut<H::Chunk>> {
    let content = block.content.as_ref()?;
    let message = |entry: &Entry| match entry.chunk {
        MISSING => (LOST, 0, 0, 0),
        chunk => (entry.timestamp, entry.offset, entry.len, chunk),
    };
    let base = |entry: &Entry| block.first_base + u64::from(entry.base);
    Some(PageOut {
        first_pos: block.first_pos,
        first_id: block.first_id,
        messages: content.entries.iter().map(message).collect(),
        bases: content.entries.iter().map(base).collect(),
        chunks: content.chunks.clone(),
    })
}

/// A block read back: its messages lie in one chunk.
pub struct Paged<C> {
    pub chunk: C,
    /// (timestamp, offset, length).
    pub messages: Vec<(i64, u32, u32)>,
    /// As it was paged out.
    pub bases: Vec<u64>,
}

impl<H: Host> Topic<H> {
    /// Bytes of bodies that this topic keeps in memory.
    pub fn resident_bytes(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.resident_bytes).sum()
    }

    /// Whether more is in memory than the topic should keep there. A block that is being filled
    /// does not count.
    pub fn is_crowded(&self) -> bool {
        let kept = self.options.mem_queue_size.max(u64::from(BLOCK_MESSAGES));
        self.lanes
            .iter()
            .map(|lane| lane.resident_messages)
            .sum::<u64>()
            > kept
    }

    /// The next block that may leave memory: closed, unpaged, and not about to be read.
    pub fn next_page_out(&mut self) -> Option<PageOut<H::Chunk>> {
        let hot = self.hot_ranges();
        for kind in LaneKind::ALL {
            let hint = match kind {
                LaneKind::Fifo => self.page_hint,
                LaneKind::Deferred | LaneKind::Imported => 0,
            };
            let lane = &self.lanes[kind as usize];
            let start = lane.index_from_pos(hint);
            let last = lane.blocks.len().saturating_sub(1);
            for block in lane.blocks.range(start.min(last)..last).take(SEARCHED) {
                let read =
                    |range: &(u64, u64)| block.first_pos < range.1 && block.end_pos() > range.0;
                if block.page.is_some() || block.live == 0 || hot.iter().any(read) {
                    continue;
                }
                if kind == LaneKind::Fifo {
                    self.page_hint = block.first_pos;
                }
                return page_out(block);
            }
        }
        None
    }

    /// Any unpaged block whose oldest memory `is_old`, also the one that is still being filled:
    /// so that the journal can let go of what stays behind.
    pub fn next_page_out_of(
        &self,
        is_old: impl Fn(&H::Chunk) -> bool,
    ) -> Option<PageOut<H::Chunk>> {
        let blocks = self.lanes.iter().flat_map(|lane| lane.blocks.iter());
        let mut unpaged = blocks.filter(|block| block.live > 0 && block.page.is_none());
        let old = |block: &&Block<H>| {
            let chunk = block
                .content
                .as_ref()
                .and_then(|content| content.chunks.first());
            chunk.is_some_and(&is_old)
        };
        page_out(unpaged.find(old)?)
    }

    /// Positions around the cursors of channels that are being read.
    fn hot_ranges(&self) -> Vec<(u64, u64)> {
        let read = self.channels.iter().flatten();
        let read = read.filter(|channel| !channel.consumers.is_empty() && !channel.paused);
        let fifo = &self.lanes[0];
        read.map(|channel| {
            let at = fifo.index_from_pos(channel.cursor);
            let ahead = (at + KEPT_AHEAD as usize).min(fifo.blocks.len());
            let end = fifo.blocks.get(ahead.wrapping_sub(1));
            (
                channel.cursor,
                end.map_or(channel.cursor, |block| block.end_pos()),
            )
        })
        .collect()
    }

    /// The block that begins at `first_pos` is on disk now, with `count` messages. Gives the page
    /// back if that is not the block any more: it is finished, or more was published to it.
    pub fn paged_out(&mut self, first_pos: u64, count: usize, page: H::Page) -> Option<H::Page> {
        let lane = &mut self.lanes[LaneKind::of(first_pos) as usize];
        let block = lane.index_of_pos(first_pos).map(|at| &mut lane.blocks[at]);
        let same = |block: &&mut Block<H>| {
            block.live > 0 && block.page.is_none() && block.count as usize == count
        };
        let Some(block) = block.filter(same) else {
            return Some(page);
        };
        block.page = Some(page);
        if block.content.take().is_some() {
            lane.resident_bytes -= block.bytes;
            lane.resident_messages -= u64::from(block.count);
        }
        None
    }

    /// The page of the block at `pos` cannot be read: its messages are passed over, and counted
    /// as lost. The page itself is not given back: the host keeps what it has of it. How many
    /// messages that are.
    pub fn page_lost(&mut self, pos: u64) -> u32 {
        let lane = &mut self.lanes[LaneKind::of(pos) as usize];
        let Some(at) = lane.index_of_pos(pos) else {
            return 0;
        };
        let block = &mut lane.blocks[at];
        if block.content.is_some() || block.page.take().is_none() {
            return 0;
        }
        let missing = Entry {
            timestamp: 0,
            offset: 0,
            len: 0,
            chunk: MISSING,
            base: u32::MAX,
        };
        block.content = Some(Content {
            entries: vec![missing; block.count as usize],
            chunks: Vec::new(),
        });
        lane.resident_bytes += block.bytes;
        lane.resident_messages += u64::from(block.count);
        block.count
    }

    /// [`Topic::page_lost`] for all pages that `is_lost`.
    pub fn pages_lost(&mut self, is_lost: impl Fn(&H::Page) -> bool) -> u64 {
        let blocks = self.lanes.iter().flat_map(|lane| lane.blocks.iter());
        let lost = blocks.filter(|block| block.page.as_ref().is_some_and(&is_lost));
        let lost: Vec<u64> = lost.map(|block| block.first_pos).collect();
        lost.into_iter()
            .map(|pos| u64::from(self.page_lost(pos)))
            .sum()
    }

    /// Drops from memory what also lies on disk and is not about to be read.
    pub fn evict(&mut self) {
        let hot = self.hot_ranges();
        for lane in &mut self.lanes {
            for block in lane.blocks.iter_mut().filter(|block| block.page.is_some()) {
                let read =
                    |range: &(u64, u64)| block.first_pos < range.1 && block.end_pos() > range.0;
                if !hot.iter().any(read) && block.content.take().is_some() {
                    lane.resident_bytes -= block.bytes;
                    lane.resident_messages -= u64::from(block.count);
                }
            }
        }
    }

    /// Puts a block that was read from its page back into memory. False: the page is not the
    /// block's.
    pub fn page_in(&mut self, pos: u64, paged: Paged<H::Chunk>) -> bool {
        let lane = &mut self.lanes[LaneKind::of(pos) as usize];
        let Some(at) = lane.index_of_pos(pos) else {
            return true; // finished meanwhile
        };
        let block = &mut lane.blocks[at];
        if block.content.is_some() || paged.messages.len() != block.count as usize {
            return block.content.is_some();
        }
        let (first_base, last_base) = (block.first_base, block.last_base);
        // Pages of old do not tell: the last one is on the safe side.
        let known = |base: u64| if base == 0 { last_base } else { base };
        let offset = |base: &u64| {
            let above = known(*base).saturating_sub(first_base);
            u32::try_from(above).unwrap_or(u32::MAX)
        };
        let bases = paged
            .bases
            .iter()
            .map(offset)
            .chain(std::iter::repeat(u32::MAX));
        let messages = paged.messages.into_iter().zip(bases);
        block.content = Some(Content {
            entries: messages
                .map(|((timestamp, offset, len), base)| Entry {
                    timestamp,
                    offset,
                    len,
                    chunk: if timestamp == LOST { MISSING } else { 0 },
                    base,
                })
                .collect(),
            chunks: vec![paged.chunk],
        });
        lane.resident_bytes += block.bytes;
        lane.resident_messages += u64::from(block.count);
        true
    }

    /// The page behind the block at `pos`, if it is not in memory: what to read ahead.
    pub fn page_after(&self, pos: u64) -> Option<(H::Page, u64)> {
        let lane = &self.lanes[LaneKind::of(pos) as usize];
        let next = lane.blocks.get(lane.index_of_pos(pos)? + 1)?;
        let page = next.page.as_ref().filter(|_| next.content.is_none())?;
        Some((page.clone(), next.first_pos))
    }

    /// A cursor has passed the last message of this block: if it also lies on disk and no
    /// other channel is about to read it, it need not stay in memory.
    pub(crate) fn forget_read_block(&mut self, pos: u64) {
        let lane = &mut self.lanes[LaneKind::of(pos) as usize];
        let Some(at) = lane.index_of_pos(pos) else {
            return;
        };
        let block = &mut lane.blocks[at];
        if block.page.is_none() {
            return;
        }
        let (first, end) = (block.first_pos, block.end_pos());
        let mut others = self.channels.iter().flatten();
        if others.any(|other| (first..end).contains(&other.cursor)) {
            return;
        }
        if block.content.take().is_some() {
            lane.resident_bytes -= block.bytes;
            lane.resident_messages -= u64::from(block.count);
        }
    }
}
