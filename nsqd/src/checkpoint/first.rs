//! Checkpoints of version 1, before there were pairs: the same without what a pair needs.

use nsq_journal::Lsn;
use nsq_queue::{BlockImage, ChannelImage, TopicImage};
use serde::Deserialize;

use super::State;
use crate::host::Page;

#[derive(Debug, Deserialize)]
pub(crate) struct FirstState {
    next_sequence: u64,
    next_topic_number: u32,
    topics: Vec<(Lsn, FirstTopic)>,
}

#[derive(Debug, Deserialize)]
struct FirstTopic {
    name: String,
    number: u32,
    paused: bool,
    hold: bool,
    next_channel_number: u32,
    lanes: Vec<(u64, Vec<FirstBlock>)>,
    distributed: u64,
    held: Vec<(i64, u64)>,
    channels: Vec<ChannelImage>,
    message_count: u64,
    message_bytes: u64,
    distributed_count: u64,
}

#[derive(Debug, Deserialize)]
struct FirstBlock {
    first_id: u64,
    first_pos: u64,
    count: u32,
    bytes: u64,
    page: Option<Page>,
}

impl From<FirstState> for State {
    fn from(state: FirstState) -> Self {
        let topics = state.topics.into_iter();
        Self {
            next_sequence: state.next_sequence,
            next_topic_number: state.next_topic_number,
            topics: topics
                .map(|(from, topic)| (from, topic.image(from)))
                .collect(),
            pair: None,
        }
    }
}

impl FirstTopic {
    /// `from`: all its messages lie before that in the journal.
    fn image(self, from: Lsn) -> TopicImage<Page> {
        let lanes = self.lanes.into_iter().map(|(next_pos, blocks)| {
            let blocks = blocks.into_iter().map(|block| BlockImage {
                first_id: block.first_id,
                first_pos: block.first_pos,
                count: block.count,
                bytes: block.bytes,
                first_base: 0,
                last_base: from,
                page: block.page,
            });
            (next_pos, blocks.collect())
        });
        TopicImage {
            name: self.name,
            number: self.number,
            paused: self.paused,
            hold: self.hold,
            next_channel_number: self.next_channel_number,
            lanes: lanes.collect(),
            distributed: self.distributed,
            held: self.held,
            rebased: Default::default(),
            channels: self.channels,
            message_count: self.message_count,
            message_bytes: self.message_bytes,
            distributed_count: self.distributed_count,
        }
    }
}
