//! The copy of the peer's journal: its topics, restored record by record and never delivered from.

mod image;

use std::collections::BTreeMap;
use std::sync::Arc;

use nsq_journal::{Chunk, Lsn, Position, Record, check_slice, slice_records};
use nsq_queue::{Effects, Topic, TopicOptions};
use serde::{Deserialize, Serialize};

use super::Adoption;
use crate::live_topic::LiveTopic;
use crate::options::Durability;
use crate::replay;

pub use image::MirrorImage;

/// Numbers of mirrored topics have this bit, so that their spill files are nobody else's.
const MIRRORED: u32 = 1 << 31;
/// Below it: which mirror, then the topic's number at the peer.
const GENERATION_SHIFT: u32 = 23;
const GENERATIONS: u32 = 1 << 8;

pub struct Mirror {
    /// Whose.
    pub incarnation: u64,
    pub node: String,
    /// Records before this were applied.
    pub end: Position,
    /// Nothing that is unfinished at the peer is missing.
    pub whole: bool,
    /// Where the last hole ends.
    hole_end: Lsn,
    generation: u32,
    /// The peer has let go of what came before.
    pub released: Lsn,
    topics: BTreeMap<u32, Copied>,
    level: Durability,
}

/// A topic of the peer.
pub struct Copied {
    pub live: Arc<LiveTopic>,
    told: Told,
    channels: BTreeMap<u32, Told>,
}

/// Positions of the records that say a topic or channel is there: the first and the last.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Told {
    first: Lsn,
    last: Lsn,
}

impl Told {
    fn new(lsn: Lsn) -> Self {
        Self {
            first: lsn,
            last: lsn,
        }
    }
}

/// What concerns the own topics.
#[derive(Default)]
pub struct News {
    /// Topics, and channels of them, that the peer has.
    pub names: Vec<(String, Option<String>)>,
    pub finished: Vec<Heard>,
    /// Topics that changed.
    pub touched: Vec<Arc<LiveTopic>>,
    /// Numbers of those that are gone.
    pub dropped: Vec<u32>,
    /// Everything before this is to be let go of, also where it lies on disk.
    pub released: Option<Lsn>,
}

/// Messages that the peer's consumers finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub topic: String,
    pub channel: String,
    /// First id and count.
    pub ranges: Vec<(u64, u64)>,
}

impl Mirror {
    /// An empty one, which begins at `position` of the peer's journal. `generation`: unlike that of the mirror before.
    pub fn new(
        incarnation: u64,
        node: &str,
        position: Position,
        generation: u32,
        level: Durability,
    ) -> Self {
        Self {
            incarnation,
            node: node.to_owned(),
            end: position,
            whole: true,
            hole_end: 0,
            generation: generation % GENERATIONS,
            released: 0,
            topics: BTreeMap::new(),
            level,
        }
    }

    pub fn generation(&self) -> u32 {
        self.generation
    }

    pub fn topics(&self) -> impl Iterator<Item = &Copied> {
        self.topics.values()
    }

    /// Something is unfinished.
    pub fn is_pending(&self) -> bool {
        let mut topics = self.topics.values();
        topics.any(|topic| topic.live.read(|queue| queue.has_through(Lsn::MAX)))
    }

    /// Goes on at `position`, with a hole before it.
    pub fn skip_to(&mut self, position: Position) {
        self.end = position;
        self.whole = false;
        self.hole_end = position.lsn;
    }

    /// Applies the records of a slice that ends at `to` and lies at `at` in `chunk`. `bodies_only`: an image has them
    /// already.
    pub fn apply(
        &mut self,
        to: Position,
        slice: &[u8],
        at: u32,
        chunk: &Arc<Chunk>,
        options: &dyn Fn(&str) -> TopicOptions,
        news: &mut News,
    ) {
        for found in slice_records(slice, at) {
            self.apply_one(&found.record, found.lsn, found.end, chunk, options, news);
        }
        self.end = to;
    }

    /// Bodies of a slice whose effects are in the image, unless it is of a mirror before this one: what the peer has
    /// imported since its disk was lost bears the ids it had, and stands elsewhere.
    pub fn refill(
        &mut self,
        (run, from, to): (u64, Lsn, Lsn),
        slice: &[u8],
        at: u32,
        chunk: &Arc<Chunk>,
    ) {
        if !check_slice(self.incarnation, run, from, to, slice) {
            return;
        }
        for found in slice_records(slice, at) {
            let topic = replay::topic_of(&found.record);
            if let Some(topic) = topic.and_then(|topic| self.topics.get(&topic)) {
                topic
                    .live
                    .restore(|queue| replay::refill(queue, &found.record, found.end, chunk));
            }
        }
    }

    fn apply_one(
        &mut self,
        record: &Record<'_>,
        lsn: Lsn,
        end: Lsn,
        chunk: &Arc<Chunk>,
        options: &dyn Fn(&str) -> TopicOptions,
        news: &mut News,
    ) {
        match *record {
            Record::TopicCreate { topic, name } => self.create(topic, name, lsn, options, news),
            Record::TopicDelete { topic } => self.remove(topic, news),
            Record::TopicPause { topic, paused } => self.with(topic, |queue| {
                queue.pause(paused, &mut Effects::default());
            }),
            Record::Release { through } => self.release(through.lsn, news),
            Record::Listed { from } => self.listed(from, news),
            _ => {
                let topic = replay::topic_of(record).and_then(|topic| self.topics.get_mut(&topic));
                let Some(topic) = topic else { return };
                topic.note(record, lsn, news);
                topic
                    .live
                    .restore(|queue| replay::apply(queue, record, end, chunk));
                if !news
                    .touched
                    .last()
                    .is_some_and(|last| Arc::ptr_eq(last, &topic.live))
                {
                    news.touched.push(Arc::clone(&topic.live));
                }
            }
        }
    }

    fn with(&self, topic: u32, change: impl FnOnce(&mut Topic<crate::host::NsqHost>)) {
        if let Some(topic) = self.topics.get(&topic) {
            topic.live.restore(change);
        }
    }

    fn create(
        &mut self,
        number: u32,
        name: &str,
        lsn: Lsn,
        options: &dyn Fn(&str) -> TopicOptions,
        news: &mut News,
    ) {
        news.names.push((name.to_owned(), None));
        if let Some(topic) = self.topics.get_mut(&number) {
            topic.told.last = lsn;
            // Only lists name a topic again.
            topic.live.restore(|queue| queue.part_bases(lsn));
            return;
        }
        let queue = Topic::restoring(name, self.number(number), options(name));
        let topic = Copied {
            live: LiveTopic::new(queue, self.level),
            told: Told::new(lsn),
            channels: BTreeMap::new(),
        };
        self.topics.insert(number, topic);
    }

    /// The number of a mirrored topic's spill files.
    fn number(&self, number: u32) -> u32 {
        let number = number & ((1 << GENERATION_SHIFT) - 1);
        MIRRORED | (self.generation << GENERATION_SHIFT) | number
    }

    fn remove(&mut self, number: u32, news: &mut News) {
        if let Some(topic) = self.topics.remove(&number) {
            topic.live.mark_deleted();
            news.dropped.push(topic.live.number);
        }
    }

    /// Everything unfinished was imported again since `from`.
    fn listed(&mut self, from: Lsn, news: &mut News) {
        self.remove_where(|told| told.last < from, news);
        self.release(from, news);
        self.whole |= from >= self.hole_end;
    }

    fn release(&mut self, through: Lsn, news: &mut News) {
        for topic in self.topics.values() {
            topic
                .live
                .restore(|queue| queue.release_through(through, &mut Effects::default()));
            news.touched.push(Arc::clone(&topic.live));
        }
        self.released = self.released.max(through);
        news.released = news.released.max(Some(through));
    }

    fn remove_where(&mut self, gone: impl Fn(Told) -> bool, news: &mut News) {
        let topics = self.topics.iter().filter(|topic| gone(topic.1.told));
        let topics: Vec<u32> = topics.map(|topic| *topic.0).collect();
        topics
            .into_iter()
            .for_each(|number| self.remove(number, news));
        for topic in self.topics.values_mut() {
            let channels = topic.channels.extract_if(.., |_, told| gone(*told));
            for (number, _) in channels {
                topic
                    .live
                    .restore(|queue| queue.replay_delete_channel(number));
            }
        }
    }

    /// What it has by now is taken over: the peer will let go of just that, if it can tell.
    pub fn part_bases(&self) {
        for topic in self.topics.values() {
            topic.live.restore(|queue| queue.part_bases(self.end.lsn));
        }
    }

    /// The peer has lost what came after `position`, and so has what was adopted of it. Finishes seen in it stay true.
    pub fn cut(&mut self, position: Position, adoption: Option<&mut Adoption>, news: &mut News) {
        if let Some(adoption) = adoption {
            adoption.cut(self.incarnation, position);
        }
        self.remove_where(|told| told.first >= position.lsn, news);
        for topic in self.topics.values_mut() {
            let channels = topic.channels.values_mut();
            for told in channels.chain([&mut topic.told]) {
                told.last = told.last.min(position.lsn);
            }
            let mut known = true;
            topic.live.restore(|queue| known = queue.cut(position.lsn));
            if !known {
                // Some messages may have a base that is too low or be none of the peer's: it has to list them.
                self.whole = false;
                self.hole_end = self.hole_end.max(position.lsn);
            }
            news.touched.push(Arc::clone(&topic.live));
        }
        self.end = position;
    }
}

impl Copied {
    fn note(&mut self, record: &Record<'_>, lsn: Lsn, news: &mut News) {
        match *record {
            Record::ChannelCreate { channel, name, .. } => {
                // One of that name and another number was deleted before: see `Topic::replay_channel`.
                let other = self
                    .live
                    .read(|queue| queue.channel(name).map(|other| other.number));
                if let Some(other) = other.filter(|other| *other != channel) {
                    self.channels.remove(&other);
                }
                let told = self.channels.entry(channel).or_insert(Told::new(lsn));
                told.last = lsn;
                news.names
                    .push((self.live.name.clone(), Some(name.to_owned())));
            }
            Record::ChannelDelete { channel, .. } => drop(self.channels.remove(&channel)),
            Record::Finish {
                channel, ranges, ..
            } => {
                let name = self
                    .live
                    .read(|queue| queue.channel_name(channel).map(str::to_owned));
                let ranges = ranges.iter().map(|range| (range.first_id, range.count));
                news.finished.extend(name.map(|channel| Heard {
                    topic: self.live.name.clone(),
                    channel,
                    ranges: ranges.collect(),
                }));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_come_from_the_journal_that_is_mirrored() {
        let dir = tempfile::tempdir().unwrap();
        let nsqd = crate::test_node::open(dir.path(), None);
        let topic = nsqd.topic("t").unwrap();
        topic.publish(&nsqd, b"x", &[(0, 1)], 0).unwrap();
        nsqd.journal.write(nsqd.journal.tail()).unwrap();
        let told = nsqd.journal.reader().read(0, 1 << 20).unwrap().unwrap();
        let place = (told.run, told.from, told.to);
        let to = Position {
            run: told.run,
            lsn: told.to,
        };
        let mut writer = nsqd.journal.pool().chunk(0, told.bytes.len());
        writer.unfilled()[..told.bytes.len()].copy_from_slice(&told.bytes);
        writer.advance(told.bytes.len());
        let chunk = writer.chunk();
        let options = |name: &str| super::super::topic_options(&nsqd.options, name);
        let level = Durability::Write;
        for (incarnation, bodies) in [(nsqd.journal.incarnation(), 1), (7, 0)] {
            let begin = Position { run: 1, lsn: 0 };
            let mut mirror = Mirror::new(incarnation, "n", begin, 0, level);
            let news = &mut News::default();
            mirror.apply(to, &told.bytes, 0, chunk, &options, news);
            let mut mirror = Mirror::from_image(mirror.image(), &options, level);
            mirror.refill(place, &told.bytes, 0, chunk);
            let topic = mirror.topics().next().unwrap();
            let found = topic.live.read(|queue| queue.unfinished(0).messages.len());
            assert_eq!(found, bodies);
        }
    }
}
