//! The copy of the peer's journal, as checkpoints keep it.

use nsq_journal::{Lsn, Position};
use nsq_queue::{Topic, TopicImage, TopicOptions};
use serde::{Deserialize, Serialize};

use super::{Copied, Mirror, Told};
use crate::host::Page;
use crate::live_topic::LiveTopic;
use crate::options::Durability;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MirrorImage {
    pub incarnation: u64,
    pub node: String,
    pub run: u64,
    pub lsn: Lsn,
    pub whole: bool,
    pub hole_end: Lsn,
    pub generation: u32,
    pub released: Lsn,
    pub topics: Vec<CopiedImage>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CopiedImage {
    pub number: u32,
    pub told: Told,
    pub channels: Vec<(u32, Told)>,
    pub topic: TopicImage<Page>,
}

impl Mirror {
    pub fn image(&self) -> MirrorImage {
        let topics = self.topics.iter().map(|(&number, topic)| CopiedImage {
            number,
            told: topic.told,
            channels: topic.channels.iter().map(|(&n, &told)| (n, told)).collect(),
            topic: topic.live.read(|queue| queue.image()),
        });
        MirrorImage {
            incarnation: self.incarnation,
            node: self.node.clone(),
            run: self.end.run,
            lsn: self.end.lsn,
            whole: self.whole,
            hole_end: self.hole_end,
            generation: self.generation,
            released: self.released,
            topics: topics.collect(),
        }
    }

    pub fn from_image(
        image: MirrorImage,
        options: &dyn Fn(&str) -> TopicOptions,
        level: Durability,
    ) -> Self {
        let topics = image.topics.into_iter().map(|topic| {
            let options = options(&topic.topic.name);
            let queue = Topic::from_image(topic.topic, options);
            let copied = Copied {
                live: LiveTopic::new(queue, level),
                told: topic.told,
                channels: topic.channels.into_iter().collect(),
            };
            (topic.number, copied)
        });
        Self {
            incarnation: image.incarnation,
            node: image.node,
            end: Position {
                run: image.run,
                lsn: image.lsn,
            },
            whole: image.whole,
            hole_end: image.hole_end,
            generation: image.generation,
            released: image.released,
            topics: topics.collect(),
            level,
        }
    }
}
