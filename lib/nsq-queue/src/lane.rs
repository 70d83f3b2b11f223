use std::collections::{BTreeSet, VecDeque};

use crate::Host;
use crate::block::{BLOCK_MESSAGES, Block, Content, Entry};
use crate::deliver::MISSING;

/// The lanes of a topic. A position names its lane in the top bits, so positions of different
/// lanes never clash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneKind {
    /// Messages in the order of their publishing; the channels' cursors run here.
    Fifo = 0,
    /// Messages published with a delay; each channel has them as exceptions from the start.
    Deferred = 1,
    /// Messages taken over from elsewhere, in the order of their import; exceptions as well.
    Imported = 2,
}

const LANE_SHIFT: u32 = 62;

impl LaneKind {
    pub(crate) fn of(pos: u64) -> Self {
        match pos >> LANE_SHIFT {
            0 => Self::Fifo,
            1 => Self::Deferred,
            _ => Self::Imported,
        }
    }

    pub(crate) const ALL: [Self; 3] = [Self::Fifo, Self::Deferred, Self::Imported];

    /// No position of the lane reaches this.
    pub(crate) fn end_pos(self) -> u64 {
        self.first_pos() + (1 << LANE_SHIFT)
    }

    pub(crate) fn first_pos(self) -> u64 {
        (self as u64) << LANE_SHIFT
    }
}

/// Blocks in rising order of position, and of id but for imported ones. Dead ones are taken out when they outnumber the
/// others or stand in front.
pub(crate) struct Lane<H: Host> {
    pub blocks: VecDeque<Block<H>>,
    pub next_pos: u64,
    pub resident_bytes: u64,
    pub resident_messages: u64,
    /// Bytes of all blocks that somebody waits for, in memory or not.
    pub kept_bytes: u64,
    dead: usize,
    /// Pages of dead blocks, for the host to release.
    pub released: Vec<H::Page>,
    spare: Option<Vec<Entry>>,
    /// First id and first position of each block, where ids do not rise.
    by_id: Option<BTreeSet<(u64, u64)>>,
}

impl<H: Host> Lane<H> {
    pub(crate) fn new(kind: LaneKind) -> Self {
        Self {
            blocks: VecDeque::new(),
            next_pos: kind.first_pos(),
            resident_bytes: 0,
            resident_messages: 0,
            kept_bytes: 0,
            dead: 0,
            released: Vec::new(),
            spare: None,
            by_id: (kind == LaneKind::Imported).then(BTreeSet::new),
        }
    }

    /// Appends one message which `live` holders wait for; returns its position.
    #[inline]
    pub(crate) fn append(
        &mut self,
        id: u64,
        entry: Entry,
        base: u64,
        chunk: &H::Chunk,
        live: u64,
    ) -> u64 {
        let fits = self.blocks.back().is_some_and(|block| {
            let open = block.content.is_some() && block.page.is_none() && !block.is_full();
            // A block behind it may be gone: positions go on where that one ended.
            let next = block.end_id() == id && block.end_pos() == self.next_pos;
            open && next && block.live > 0 && block.reaches(base)
        });
        if !fits {
            let entries = self.spare.take().unwrap_or_default();
            self.blocks.push_back(Block {
                first_id: id,
                first_pos: self.next_pos,
                count: 0,
                bytes: 0,
                first_base: base,
                last_base: base,
                newest: 0,
                live: 0,
                content: Some(Content {
                    entries,
                    chunks: Vec::with_capacity(1),
                }),
                page: None,
            });
            self.note_first_id(id, self.next_pos);
        }
        let pos = self.next_pos;
        self.next_pos += 1;
        self.resident_bytes += u64::from(entry.len);
        self.resident_messages += 1;
        self.kept_bytes += u64::from(entry.len);
        if let Some(block) = self.blocks.back_mut() {
            block.push(entry, base, chunk);
            block.live += live;
        }
        pos
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    #[inline]
    pub(crate) fn index_of_pos(&self, pos: u64) -> Option<usize> {
        let front = self.blocks.front()?;
        if pos >= front.first_pos && pos < front.end_pos() {
            return Some(0);
        }
        let index = self.blocks.partition_point(|block| block.end_pos() <= pos);
        let block = self.blocks.get(index)?;
        (block.first_pos <= pos).then_some(index)
    }

    /// The first block that ends behind `pos`.
    pub(crate) fn index_from_pos(&self, pos: u64) -> usize {
        match self.blocks.front() {
            Some(front) if pos < front.end_pos() => 0,
            _ => self.blocks.partition_point(|block| block.end_pos() <= pos),
        }
    }

    #[inline]
    pub(crate) fn pos_of_id(&self, id: u64) -> Option<u64> {
        if let Some(by_id) = &self.by_id {
            let lowest = id.saturating_sub(u64::from(BLOCK_MESSAGES));
            let near = by_id.range((lowest, 0)..=(id, u64::MAX));
            let found = near.filter_map(|&(_, first_pos)| {
                let block = self.blocks.get(self.index_of_pos(first_pos)?)?;
                let here = block.live > 0 && id < block.end_id();
                here.then(|| first_pos + (id - block.first_id))
            });
            // It may have been let go and imported again: the last one counts.
            return found.max();
        }
        let at = |block: &Block<H>| block.first_pos + (id - block.first_id);
        let front = self.blocks.front()?;
        if id >= front.first_id && id < front.end_id() {
            return Some(at(front));
        }
        let index = self.blocks.partition_point(|block| block.end_id() <= id);
        let block = self.blocks.get(index)?;
        (block.first_id <= id).then(|| at(block))
    }

    /// The first position whose id is not below `id`.
    pub(crate) fn pos_from_id(&self, id: u64) -> u64 {
        let index = self.blocks.partition_point(|block| block.end_id() <= id);
        match self.blocks.get(index) {
            None => self.next_pos,
            Some(block) if block.first_id >= id => block.first_pos,
            Some(block) => block.first_pos + (id - block.first_id),
        }
    }

    pub(crate) fn id_of_pos(&self, pos: u64) -> Option<u64> {
        let block = self.blocks.get(self.index_of_pos(pos)?)?;
        Some(block.first_id + (pos - block.first_pos))
    }

    /// The highest id below `pos` that is still in a block.
    pub(crate) fn id_before(&self, pos: u64) -> Option<u64> {
        let index = self.blocks.partition_point(|block| block.first_pos < pos);
        let block = self.blocks.get(index.checked_sub(1)?)?;
        Some(block.first_id + (pos.min(block.end_pos()) - block.first_pos) - 1)
    }

    pub(crate) fn note_first_id(&mut self, id: u64, pos: u64) {
        if let Some(by_id) = &mut self.by_id {
            by_id.insert((id, pos));
        }
    }

    /// The first position whose base is above `base`. Of a block that lies on disk with bases on
    /// both sides, all count as above, or as `below`.
    pub(crate) fn pos_after_base(&self, base: u64, below: bool) -> u64 {
        let index = self.blocks.partition_point(|block| block.last_base <= base);
        let Some(block) = self.blocks.get(index) else {
            return self.next_pos;
        };
        if block.first_base > base {
            return block.first_pos;
        }
        match &block.content {
            Some(content) => {
                // Of bodies that are not there the base is not known either.
                let above = |entry: &Entry| {
                    entry.chunk != MISSING && block.first_base + u64::from(entry.base) > base
                };
                let at = content.entries.iter().position(above);
                block.first_pos + at.unwrap_or(content.entries.len()) as u64
            }
            None if below => block.end_pos(),
            None => block.first_pos,
        }
    }

    /// Whether any of these ids may be here.
    pub(crate) fn may_have(&self, from: u64, to: u64) -> bool {
        if let Some(by_id) = &self.by_id {
            let lowest = from.saturating_sub(u64::from(BLOCK_MESSAGES));
            return by_id.range((lowest, 0)..(to, 0)).next().is_some();
        }
        let ends = self.blocks.front().zip(self.blocks.back());
        ends.is_some_and(|(front, back)| from < back.end_id() && to > front.first_id)
    }

    /// Ends the lane at `end`, where bases are not above `base` any more. False: a block with a page reaches beyond it,
    /// and stays whole.
    pub(crate) fn truncate(&mut self, mut end: u64, base: u64) -> bool {
        let mut known = true;
        let at = self.index_from_pos(end);
        if let Some(block) = self
            .blocks
            .get_mut(at)
            .filter(|block| block.first_pos < end)
        {
            let keep = (end - block.first_pos) as usize;
            match block.content.as_mut().filter(|_| block.page.is_none()) {
                Some(content) => {
                    let dropped = content.entries.split_off(keep.min(content.entries.len()));
                    let bytes = dropped
                        .iter()
                        .map(|entry| u64::from(entry.len))
                        .sum::<u64>();
                    self.resident_messages -= u64::from(block.count) - keep as u64;
                    self.resident_bytes -= bytes.min(self.resident_bytes);
                    self.kept_bytes -= bytes.min(self.kept_bytes);
                    block.bytes -= bytes.min(block.bytes);
                    block.count = keep as u32;
                    let last = content.entries.last();
                    block.last_base = last.map_or(block.first_base, |entry| {
                        block.first_base + u64::from(entry.base)
                    });
                }
                None => {
                    end = block.end_pos();
                    known = false;
                }
            }
        }
        while self
            .blocks
            .back()
            .is_some_and(|block| block.first_pos >= end)
        {
            if let Some(block) = self.blocks.pop_back() {
                self.kept_bytes -= block.bytes.min(self.kept_bytes);
                if block.content.is_some() {
                    self.resident_bytes -= block.bytes.min(self.resident_bytes);
                    self.resident_messages -= u64::from(block.count);
                }
                self.released.extend(block.page);
                if let Some(by_id) = &mut self.by_id {
                    by_id.remove(&(block.first_id, block.first_pos));
                }
            }
        }
        // What stays whole of what was lost is older than all that comes.
        if let Some(block) = self.blocks.back_mut() {
            block.last_base = block.last_base.min(base);
        }
        self.next_pos = end;
        known
    }

    /// Builds anew what finds blocks by id.
    pub(crate) fn index_ids(&mut self) {
        if let Some(by_id) = &mut self.by_id {
            let blocks = self.blocks.iter();
            *by_id = blocks
                .map(|block| (block.first_id, block.first_pos))
                .collect();
        }
    }

    /// One more waits for the message at `pos`, for which somebody does.
    pub(crate) fn hold(&mut self, pos: u64) {
        if let Some(index) = self.index_of_pos(pos) {
            self.blocks[index].live += 1;
        }
    }

    /// One holder of the message at `pos` is done with it.
    #[inline]
    pub(crate) fn settle(&mut self, pos: u64) {
        if let Some(index) = self.index_of_pos(pos) {
            self.settle_block(index, 1);
        }
    }

    /// One holder is done with all of `from..to`.
    pub(crate) fn settle_range(&mut self, from: u64, to: u64) {
        self.change_range(from, to, |block, n| {
            block.live = block.live.saturating_sub(n)
        });
        self.bury_range(from, to);
    }

    /// All of `from..to` go from the topic to `holders` channels.
    pub(crate) fn distribute(&mut self, from: u64, to: u64, holders: u64) {
        self.change_range(from, to, |block, n| {
            block.live = (block.live + n * holders).saturating_sub(n);
        });
        self.bury_range(from, to);
    }

    fn change_range(&mut self, from: u64, to: u64, change: impl Fn(&mut Block<H>, u64)) {
        let start = self.index_from_pos(from);
        for block in self.blocks.range_mut(start..) {
            let (low, high) = (block.first_pos.max(from), block.end_pos().min(to));
            if low >= high {
                break;
            }
            change(block, high - low);
        }
    }

    fn bury_range(&mut self, from: u64, to: u64) {
        let mut index = self.index_from_pos(from);
        while index < self.blocks.len() && self.blocks[index].first_pos < to {
            if self.blocks[index].live == 0 {
                self.bury(index);
            }
            index += 1;
        }
        self.sweep();
    }

    fn settle_block(&mut self, index: usize, pairs: u64) {
        let block = &mut self.blocks[index];
        block.live = block.live.saturating_sub(pairs);
        if block.live == 0 {
            self.bury(index);
            self.sweep();
        }
    }

    /// A block nobody waits for gives back its memory and its page at once.
    fn bury(&mut self, index: usize) {
        let block = &mut self.blocks[index];
        let (id, pos) = (block.first_id, block.first_pos);
        if let Some(by_id) = &mut self.by_id {
            by_id.remove(&(id, pos));
        }
        if let Some(content) = block.content.take() {
            self.resident_bytes -= block.bytes;
            self.resident_messages -= u64::from(block.count);
            let mut entries = content.entries;
            entries.clear();
            if self.spare.is_none() {
                self.spare = Some(entries);
            }
            self.dead += 1;
            self.kept_bytes = self.kept_bytes.saturating_sub(block.bytes);
        } else if block.page.is_some() {
            self.dead += 1;
            self.kept_bytes = self.kept_bytes.saturating_sub(block.bytes);
        }
        self.released.extend(block.page.take());
    }

    fn sweep(&mut self) {
        while self.blocks.front().is_some_and(|block| block.live == 0) {
            self.blocks.pop_front();
            self.dead = self.dead.saturating_sub(1);
        }
        if self.dead > 32 && self.dead * 2 > self.blocks.len() {
            self.blocks.retain(|block| block.live > 0);
            self.dead = 0;
        }
    }
}
