//! From a checkpoint and the journal's records back to a topic. Between [`Topic::from_image`]
//! (or [`Topic::restoring`]) and [`Topic::finish_restore`] nothing is delivered.

use crate::Host;
use crate::block::{Block, Content, Entry};
use crate::channel::Channel;
use crate::deliver::MISSING;
use crate::image::{ChannelImage, TopicImage};
use crate::journal_log::Requeued;
use crate::lane::LaneKind;
use crate::topic::{Effects, Run, Topic, TopicOptions};

impl<H: Host> Topic<H> {
    /// A topic whose creation the journal tells of.
    pub fn restoring(name: &str, number: u32, options: TopicOptions) -> Self {
        let mut topic = Self::new(name, number, options);
        topic.restoring = true;
        topic
    }

    pub fn from_image(image: TopicImage<H::Page>, options: TopicOptions) -> Self {
        let mut topic = Self::restoring(&image.name, image.number, options);
        topic.paused = image.paused;
        topic.hold = image.hold;
        topic.next_channel_number = image.next_channel_number;
        topic.distributed = image.distributed;
        topic.held = image.held;
        topic.rebased = image.rebased;
        topic.rebased.part_here();
        topic.message_count = image.message_count;
        topic.message_bytes = image.message_bytes;
        topic.distributed_count = image.distributed_count;
        for (lane, (next_pos, blocks)) in topic.lanes.iter_mut().zip(image.lanes) {
            lane.next_pos = next_pos;
            lane.blocks = blocks
                .into_iter()
                .map(|block| Block {
                    first_id: block.first_id,
                    first_pos: block.first_pos,
                    count: block.count,
                    bytes: block.bytes,
                    first_base: block.first_base,
                    last_base: block.last_base,
                    newest: 0,
                    live: 0,
                    content: None,
                    page: block.page,
                })
                .collect();
        }
        for channel in image.channels {
            topic.restore_channel(channel);
        }
        topic.count_live();
        topic
    }

    fn restore_channel(&mut self, image: ChannelImage) {
        let mut channel = Channel::new(&image.name, image.number, image.cursor);
        channel.paused = image.paused;
        channel.start_count = image.start_count;
        channel.requeue_count = image.requeue_count;
        channel.timeout_count = image.timeout_count;
        let exceptions = image.exceptions.into_iter();
        channel.restoring = exceptions.map(|e| (e.pos, (e.attempts, e.due))).collect();
        self.by_name.insert(image.name, self.channels.len());
        self.by_number.insert(image.number, self.channels.len());
        self.channels.push(Some(channel));
    }

    /// Who waits for each block, counted anew; blocks nobody waits for go.
    pub(crate) fn count_live(&mut self) {
        let overlap = |block: &Block<H>, from: u64, to: u64| {
            block
                .end_pos()
                .min(to)
                .saturating_sub(block.first_pos.max(from))
        };
        for lane in &mut self.lanes[1..] {
            lane.blocks.iter_mut().for_each(|block| block.live = 0);
        }
        for block in &mut self.lanes[0].blocks {
            block.live = overlap(block, self.distributed, u64::MAX);
            for channel in self.channels.iter().flatten() {
                block.live += overlap(block, channel.cursor, self.distributed);
            }
        }
        let exceptions = self.channels.iter().flatten();
        let exceptions = exceptions.flat_map(|channel| channel.restoring.keys());
        for &pos in exceptions.chain(self.held.iter().map(|held| &held.1)) {
            let lane = &mut self.lanes[LaneKind::of(pos) as usize];
            if let Some(at) = lane.index_of_pos(pos) {
                lane.blocks[at].live += 1;
            }
        }
        for lane in &mut self.lanes {
            for block in lane.blocks.iter_mut().filter(|block| block.live == 0) {
                lane.released.extend(block.page.take());
                if block.content.take().is_some() {
                    lane.resident_bytes -= block.bytes.min(lane.resident_bytes);
                    lane.resident_messages -= u64::from(block.count);
                }
            }
            lane.blocks.retain(|block| block.live > 0);
            lane.index_ids();
            lane.kept_bytes = lane.blocks.iter().map(|block| block.bytes).sum();
        }
    }

    /// A publish record from before the image: fills the blocks that wait for its bodies.
    pub fn refill(&mut self, run: &Run<'_, H::Chunk>) {
        for (id, entry) in run.entries() {
            self.refill_one(&[0, 1], id, entry, run.base, run.chunk);
        }
    }

    /// As [`Topic::refill`], for one imported message, whose body begins at `bodies_at`.
    pub fn refill_import(&mut self, run: &Run<'_, H::Chunk>) {
        for (id, entry) in run.entries().take(1) {
            let offset = run.bodies_at;
            let entry = Entry { offset, ..entry };
            self.refill_one(&[2], id, entry, run.base, run.chunk);
        }
    }

    fn refill_one(&mut self, lanes: &[usize], id: u64, entry: Entry, base: u64, chunk: &H::Chunk) {
        for &lane in lanes {
            let lane = &mut self.lanes[lane];
            let Some(pos) = lane.pos_of_id(id) else {
                continue;
            };
            let Some(at) = lane.index_of_pos(pos) else {
                continue;
            };
            let block = &mut lane.blocks[at];
            if block.page.is_some() || base < block.first_base {
                return; // on disk, or of an earlier import that was let go
            }
            let index = (pos - block.first_pos) as usize;
            let block_base = block.base_offset(base);
            let content = block.content.get_or_insert_with(|| {
                lane.resident_bytes += block.bytes;
                lane.resident_messages += u64::from(block.count);
                Content {
                    entries: Vec::new(),
                    chunks: Vec::new(),
                }
            });
            let known = content.entries.get(index);
            if known.is_some_and(|known| known.chunk != MISSING) {
                return; // an import of a message that is here: the body is the same
            }
            if content.chunks.last().is_none_or(|last| last != chunk) {
                content.chunks.push(chunk.clone());
            }
            let chunk = content.chunks.len() as u32 - 1;
            pad(&mut content.entries, index + 1);
            content.entries[index] = Entry {
                chunk,
                base: block_base,
                ..entry
            };
            return;
        }
    }

    /// A cut from before the image: what came after `base` was lost. If the image has it all the same, it was told of
    /// again, perhaps in another order, and by records that are still to come.
    pub fn refill_cut(&mut self, base: u64) {
        for block in self.lanes.iter_mut().flat_map(|lane| &mut lane.blocks) {
            let first_base = block.first_base;
            let content = block.content.as_mut().filter(|_| block.page.is_none());
            for entry in content.into_iter().flat_map(|content| &mut content.entries) {
                if first_base + u64::from(entry.base) > base {
                    entry.chunk = MISSING;
                }
            }
        }
    }

    pub fn replay_channel(&mut self, name: &str, number: u32) {
        let channel = self.channel(name);
        let other = channel.map(|channel| channel.number);
        if let Some(other) = other.filter(|other| *other != number) {
            // It was deleted before. The record that says so was lost, or left out by a list.
            self.replay_delete_channel(other);
        }
        self.insert_channel(name, number, &mut Effects::default());
    }

    /// The channel had delivered everything up to this id at least once.
    pub fn replay_delivered(&mut self, channel: u32, through_id: u64) {
        let end = self.lanes[0]
            .pos_from_id(through_id + 1)
            .min(self.distributed);
        if let Some(channel) = self.channel_mut(channel) {
            channel.deliver_until(end);
        }
    }

    pub fn replay_finish(&mut self, channel: u32, first_id: u64, count: u64) {
        for id in first_id..first_id.saturating_add(count) {
            let pos = self.pos_of_id(id);
            let Some(pos) = pos else { continue };
            let distributed = self.distributed;
            let Some(channel) = self.channel_mut(channel) else {
                return;
            };
            let pending = match LaneKind::of(pos) {
                LaneKind::Fifo if pos >= channel.cursor && pos < distributed => {
                    channel.deliver_until(pos);
                    channel.cursor = pos + 1;
                    true
                }
                _ => channel.restoring.remove(&pos).is_some(),
            };
            if pending {
                self.lanes[LaneKind::of(pos) as usize].settle(pos);
            }
        }
    }

    pub fn replay_requeue(&mut self, channel: u32, item: Requeued) {
        let id = item.id;
        let pos = self.pos_of_id(id);
        let distributed = self.distributed;
        let (Some(pos), Some(channel)) = (pos, self.channel_mut(channel)) else {
            return;
        };
        if LaneKind::of(pos) == LaneKind::Fifo && pos < distributed {
            channel.deliver_until(pos + 1);
        }
        if let Some(waiting) = channel.restoring.get_mut(&pos) {
            *waiting = (item.attempts.max(waiting.0), item.due);
        }
    }

    /// All that this channel had, up to this id, was thrown away.
    pub fn replay_empty_channel(&mut self, number: u32) {
        if let Some(index) = self.index_of_number(number) {
            if let Some(channel) = self.channels[index].as_mut() {
                for (pos, (attempts, _)) in std::mem::take(&mut channel.restoring) {
                    channel.put_back(pos, attempts, 0, 0);
                }
            }
            self.empty_channel_at(index);
        }
    }

    pub fn replay_delete_channel(&mut self, number: u32) {
        self.replay_empty_channel(number);
        let name = self.channel_mut(number).map(|channel| channel.name.clone());
        if let Some(name) = name {
            self.delete_channel(&name, &mut Effects::default());
        }
    }

    pub fn replay_pause_channel(&mut self, number: u32, paused: bool) {
        if let Some(channel) = self.channel_mut(number) {
            channel.paused = paused;
        }
    }

    /// Everything was replayed: what was in flight waits again, timers run, delivery may begin.
    pub fn finish_restore(&mut self, now: i64) {
        self.restoring = false;
        for index in 0..self.channels.len() {
            let Some(channel) = self.channels[index].as_mut() else {
                continue;
            };
            for (pos, (attempts, due)) in std::mem::take(&mut channel.restoring) {
                channel.put_back(pos, attempts, due, now);
            }
            self.note_deadline(index);
        }
        for (lane, visible) in self.lanes.iter_mut().zip(&mut self.visible) {
            visible.below = lane.next_pos;
            for block in lane.blocks.iter_mut().filter(|block| block.newest == 0) {
                block.newest = now; // at the latest: checkpoints do not tell
            }
        }
        self.finish_blocks();
    }

    /// Every body that there is was found: what is missing is lost.
    pub fn finish_blocks(&mut self) {
        for lane in &mut self.lanes {
            let unpaged = |block: &&mut Block<H>| block.live > 0 && block.page.is_none();
            for block in lane.blocks.iter_mut().filter(unpaged) {
                let content = block.content.get_or_insert_with(|| {
                    lane.resident_bytes += block.bytes;
                    lane.resident_messages += u64::from(block.count);
                    Content {
                        entries: Vec::new(),
                        chunks: Vec::new(),
                    }
                });
                pad(&mut content.entries, block.count as usize);
            }
        }
    }

    fn channel_mut(&mut self, number: u32) -> Option<&mut Channel> {
        let index = self.index_of_number(number)?;
        self.channels[index].as_mut()
    }
}

impl Channel {
    /// Everything from the cursor up to `end` was delivered once and is not known as finished.
    pub(crate) fn deliver_until(&mut self, end: u64) {
        for pos in self.cursor..end {
            self.restoring.insert(pos, (1, 0));
        }
        self.cursor = self.cursor.max(end);
    }
}

/// Messages between the known ones whose records are gone.
fn pad(entries: &mut Vec<Entry>, len: usize) {
    let missing = Entry {
        timestamp: 0,
        offset: 0,
        len: 0,
        chunk: MISSING,
        base: u32::MAX,
    };
    if entries.len() < len {
        entries.resize(len, missing);
    }
}
