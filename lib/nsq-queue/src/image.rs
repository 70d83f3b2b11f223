use serde::{Deserialize, Serialize};

use crate::Host;
use crate::topic::Topic;

/// A topic as a checkpoint keeps it: everything but the bodies, which lie in the journal or on
/// pages. Ephemeral channels are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicImage<P> {
    pub name: String,
    pub number: u32,
    pub paused: bool,
    pub hold: bool,
    pub next_channel_number: u32,
    /// Next position and blocks of each lane.
    pub lanes: Vec<(u64, Vec<BlockImage<P>>)>,
    pub distributed: u64,
    pub held: Vec<(i64, u64)>,
    pub channels: Vec<ChannelImage>,
    pub message_count: u64,
    pub message_bytes: u64,
    pub distributed_count: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockImage<P> {
    pub first_id: u64,
    pub first_pos: u64,
    pub count: u32,
    pub bytes: u64,
    pub page: Option<P>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelImage {
    pub name: String,
    pub number: u32,
    pub paused: bool,
    pub cursor: u64,
    pub start_count: u64,
    pub requeue_count: u64,
    pub timeout_count: u64,
    pub exceptions: Vec<ExceptionImage>,
}

/// A message below the cursor that is not finished. In flight counts as waiting: nobody holds
/// it after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExceptionImage {
    pub pos: u64,
    pub attempts: u16,
    pub due: i64,
}

impl<P> TopicImage<P> {
    /// Every time at which something is due.
    pub fn each_due(&mut self, change: impl FnMut(&mut i64)) {
        let exceptions = self
            .channels
            .iter_mut()
            .flat_map(|channel| &mut channel.exceptions);
        let held = self.held.iter_mut().map(|held| &mut held.0);
        exceptions
            .map(|one| &mut one.due)
            .chain(held)
            .for_each(change);
    }

    /// Only the topic and its channels: for messages that a crash may lose.
    pub fn without_messages(mut self) -> Self {
        self.distributed = self.lanes.first().map_or(0, |lane| lane.0);
        self.lanes.iter_mut().for_each(|lane| lane.1.clear());
        self.held.clear();
        for channel in &mut self.channels {
            channel.cursor = self.distributed;
            channel.exceptions.clear();
        }
        self
    }
}

impl<H: Host> Topic<H> {
    pub fn image(&self) -> TopicImage<H::Page> {
        let lanes = self.lanes.iter().map(|lane| {
            let live = lane.blocks.iter().filter(|block| block.live > 0);
            let blocks = live.map(|block| BlockImage {
                first_id: block.first_id,
                first_pos: block.first_pos,
                count: block.count,
                bytes: block.bytes,
                page: block.page.clone(),
            });
            (lane.next_pos, blocks.collect())
        });
        let kept = self
            .channels
            .iter()
            .flatten()
            .filter(|channel| !channel.ephemeral);
        TopicImage {
            name: self.name.clone(),
            number: self.number,
            paused: self.paused,
            hold: self.hold,
            next_channel_number: self.next_channel_number,
            lanes: lanes.collect(),
            distributed: self.distributed,
            held: self.held.clone(),
            channels: kept.map(channel_image).collect(),
            message_count: self.message_count,
            message_bytes: self.message_bytes,
            distributed_count: self.distributed_count,
        }
    }

    /// The oldest chunk that a live block without a page lies in, of each block: what keeps the
    /// journal from letting go.
    pub fn unpaged_chunks(&self) -> impl Iterator<Item = &H::Chunk> {
        let blocks = self.lanes.iter().flat_map(|lane| lane.blocks.iter());
        let unpaged = blocks.filter(|block| block.live > 0 && block.page.is_none());
        unpaged.filter_map(|block| block.content.as_ref()?.chunks.first())
    }

    /// All pages in use.
    pub fn pages(&self) -> impl Iterator<Item = &H::Page> {
        let blocks = self.lanes.iter().flat_map(|lane| lane.blocks.iter());
        blocks.filter_map(|block| block.page.as_ref())
    }
}

fn channel_image(channel: &crate::Channel) -> ChannelImage {
    let exception = |pos, attempts, due| ExceptionImage { pos, attempts, due };
    let held = channel.in_flight.iter();
    let held = held.map(|held| exception(held.pos, held.attempts, 0));
    let requeued = channel.requeued.iter();
    let requeued = requeued.map(|item| exception(item.pos, item.attempts, 0));
    let deferred = channel.deferred.iter();
    let deferred = deferred.map(|item| exception(item.0.pos, item.0.attempts, item.0.due));
    ChannelImage {
        name: channel.name.clone(),
        number: channel.number,
        paused: channel.paused,
        cursor: channel.cursor,
        start_count: channel.start_count,
        requeue_count: channel.requeue_count,
        timeout_count: channel.timeout_count,
        exceptions: held.chain(requeued).chain(deferred).collect(),
    }
}
