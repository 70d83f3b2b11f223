//! From checkpoint and journal back to topics.

mod pair_records;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use nsq_journal::{
    Chunk, Disk, Journal, JournalError, JournalOptions, Lsn, RealDisk, Record, Replay, Spill,
    SpillOptions, SpillRef,
};
use nsq_protocol::MessageId;
use nsq_queue::Topic;
use serde::de::DeserializeOwned;

use crate::checkpoint::{Extras, FirstState, State, VERSION};
use crate::clock::Clock;
use crate::host::{NsqHost, Page};
use crate::nsqd::{Nsqd, Recovered, topic_options};
use crate::options::{Durability, Options};
use crate::pager::Housekeeping;
use crate::pair::{self, Mirror, Remembered};
use crate::replay;

/// Opens the data path: reads what is there and begins a new run.
///
/// # Errors
/// The journal's.
pub fn open(options: Options) -> Result<Arc<Nsqd>, JournalError> {
    let disk = RealDisk::new(Path::new(&options.data_path));
    let volume = disk.volume_bytes()?;
    let housekeeping = Housekeeping::on_volume(volume, options.memory_limit);
    let defaults = JournalOptions::default();
    let journal_options = JournalOptions {
        node: options.broadcast_address.clone(),
        segment_bytes: defaults.segment_bytes.min((volume / 64).max(SEGMENT_MIN)),
        zero_segments: options.durability != Durability::Memory,
        recycle_bytes: housekeeping.journal_kept + housekeeping.checkpoint_every,
        free_floor: defaults.free_floor.min(volume / 10),
        ..defaults
    };
    open_on(disk, journal_options, options, Clock::start(), housekeeping)
}

/// [`open`] on any disk and clock.
///
/// # Errors
/// The journal's.
pub fn open_on(
    disk: Arc<dyn Disk>,
    journal_options: JournalOptions,
    options: Options,
    clock: Clock,
    housekeeping: Housekeeping,
) -> Result<Arc<Nsqd>, JournalError> {
    let spill_options = SpillOptions {
        // The option was checked to be positive.
        file_bytes: housekeeping
            .spill_file
            .min(options.max_bytes_per_file as u64),
    };
    let mut restorer = Restorer::new(&options, clock.now());
    let journal = Journal::open(disk.clone(), journal_options, &mut restorer)?;
    let spill = Spill::open(disk, Arc::clone(journal.pool()), spill_options)?;
    let recovered = restorer.finish(&spill, clock);
    Ok(Nsqd::new(
        options,
        journal,
        spill,
        recovered,
        clock,
        housekeeping,
    ))
}

/// The smallest segment, on the smallest volumes: a few read buffers.
const SEGMENT_MIN: u64 = 1 << 20;

/// Places that cannot be read are logged one by one up to this many.
const HOLES_SAID: u32 = 100;

/// How far the sequence of ids jumps at each start.
const SEQUENCES_PER_RUN: u64 = 1 << 24;

struct Restorer<'a> {
    options: &'a Options,
    topics: BTreeMap<u32, Restoring>,
    next_topic_number: u32,
    next_sequence: u64,
    pair: pair::Recovered,
    draining: i64,
    /// Records before this are in the mirror's image.
    pair_from: Lsn,
    /// When the node starts.
    now: i64,
    /// When the last message was published, of those replayed so far.
    seen: i64,
    /// Places that could not be read.
    holes: u32,
}

struct Restoring {
    queue: Topic<NsqHost>,
    /// Records before this are in the image it came from.
    from: Lsn,
    /// The first pause record of a topic tells whether it was held at first.
    hold_known: bool,
}

impl<'a> Restorer<'a> {
    fn new(options: &'a Options, now: i64) -> Self {
        Self {
            options,
            topics: BTreeMap::new(),
            next_topic_number: 1,
            next_sequence: 0,
            pair: pair::Recovered::default(),
            draining: 0,
            pair_from: 0,
            now,
            seen: now,
            holes: 0,
        }
    }

    fn finish(mut self, spill: &Spill, clock: Clock) -> Recovered {
        let now = clock.now();
        let mut pages: Vec<SpillRef> = Vec::new();
        for topic in self.topics.values_mut() {
            topic.queue.hold(false, &mut Default::default());
            topic.queue.finish_restore(now);
            pages.extend(topic.queue.pages().map(SpillRef::from));
            topic.queue.take_released();
        }
        let copied: Vec<_> = self.pair.mirror.iter().flat_map(Mirror::topics).collect();
        for topic in &copied {
            topic.live.restore(|queue| {
                queue.finish_blocks();
                pages.extend(queue.pages().map(SpillRef::from));
                queue.take_released();
            });
        }
        let missing: Vec<Page> = spill.adopt(&pages).into_iter().map(Page::from).collect();
        for topic in self.topics.values_mut().filter(|_| !missing.is_empty()) {
            let lost = topic.queue.pages_lost(|page| missing.contains(page));
            if lost > 0 {
                let name = &topic.queue.name;
                tracing::error!("TOPIC({name}): {lost} messages are lost with their spill files");
            }
        }
        for topic in copied.iter().filter(|_| !missing.is_empty()) {
            topic.live.restore(|queue| {
                let lost = queue.pages_lost(|page| missing.contains(page));
                if lost > 0 {
                    let name = &queue.name;
                    tracing::error!(
                        "mirror of {name}: {lost} messages are lost with their spill files"
                    );
                }
            });
        }
        // Ids are never given twice: neither those of messages at level `memory`, nor those of a
        // tail that a power cut took from us but a consumer may have seen.
        let micros = u64::try_from(now / 1000).unwrap_or(0);
        self.next_sequence += SEQUENCES_PER_RUN;
        Recovered {
            topics: self.topics.into_values().map(|topic| topic.queue).collect(),
            next_topic_number: self.next_topic_number,
            next_sequence: self.next_sequence.max(micros),
            pair: self.pair,
            draining: self.draining,
        }
    }

    /// When a message is due that was to wait until `due`, said at `since`: no longer from now on
    /// than it was to wait then, for the clock may have been set back; and never longer than any
    /// message may be made to wait.
    fn due(&self, due: i64, since: i64) -> i64 {
        let asked = due.saturating_sub(since).max(0);
        let longest = self
            .options
            .max_req_timeout
            .max(self.options.longest_delay());
        let longest = i64::try_from(longest.as_nanos()).unwrap_or(i64::MAX);
        due.min(self.now.saturating_add(asked.min(longest)))
    }

    /// The topic, unless the record is in its image already.
    fn after(&mut self, number: u32, lsn: Lsn) -> Option<&mut Topic<NsqHost>> {
        let topic = self.topics.get_mut(&number)?;
        (lsn >= topic.from).then_some(&mut topic.queue)
    }

    fn create(&mut self, lsn: Lsn, number: u32, name: &str) {
        self.next_topic_number = self.next_topic_number.max(number + 1);
        let options = topic_options(self.options, name, self.options.durability);
        self.topics.entry(number).or_insert_with(|| Restoring {
            queue: Topic::restoring(name, number, options),
            from: lsn,
            hold_known: false,
        });
    }

    fn pause(&mut self, lsn: Lsn, number: u32, paused: bool) {
        let Some(topic) = self.topics.get_mut(&number) else {
            return;
        };
        if lsn < topic.from {
            return;
        }
        let first = !std::mem::replace(&mut topic.hold_known, true);
        let effects = &mut Default::default();
        if first {
            topic.queue.hold(paused, effects);
        } else {
            topic.queue.pause(paused, effects);
            topic.queue.hold(false, effects);
        }
    }

    /// With the due time that it has today.
    fn dated<'r>(&mut self, mut record: Record<'r>) -> Record<'r> {
        match &mut record {
            Record::Publish { timestamp, due, .. } | Record::Import { timestamp, due, .. } => {
                self.seen = *timestamp;
                if *due != 0 {
                    *due = self.due(*due, *timestamp);
                }
            }
            _ => {}
        }
        record
    }

    /// A message from elsewhere.
    fn note_import(&mut self, id: u64) {
        self.note_id(id, 1);
        self.pair.imports = true;
    }

    /// Ids are never given twice: those that come back were ours too.
    fn note_id(&mut self, id: u64, count: u32) {
        let id = MessageId(id);
        if id.node() == self.options.node() {
            let last = id.sequence() + u64::from(count);
            self.next_sequence = self.next_sequence.max(last);
        }
    }
}

impl Replay for Restorer<'_> {
    fn checkpoint(&mut self, bytes: &[u8]) -> Result<(), String> {
        let failed = |error| format!("checkpoint: {error}");
        let (state, mut rest): (State, &[u8]) = match bytes.split_first() {
            Some((&VERSION, body)) => postcard::take_from_bytes(body).map_err(failed)?,
            Some((1, body)) => {
                let (first, rest) =
                    postcard::take_from_bytes::<FirstState>(body).map_err(failed)?;
                (first.into(), rest)
            }
            Some((version, _)) => return Err(format!("checkpoint of version {version}")),
            None => return Err("empty checkpoint".to_owned()),
        };
        self.next_sequence = state.next_sequence;
        self.next_topic_number = state.next_topic_number;
        if let Some(image) = state.pair {
            self.pair_from = image.from;
            let options = self.options;
            self.pair = image.restore(
                &|name| pair::topic_options(options, name),
                options.durability,
            );
        }
        for (from, mut image) in state.topics {
            image.each_due(|due| *due = self.due(*due, 0));
            let options = topic_options(self.options, &image.name, self.options.durability);
            let number = image.number;
            self.next_topic_number = self.next_topic_number.max(number + 1);
            let restoring = Restoring {
                queue: Topic::from_image(image, options),
                from,
                hold_known: true,
            };
            self.topics.insert(number, restoring);
        }
        let extras: Extras = next_or_default(&mut rest).map_err(failed)?;
        self.draining = next_or_default(&mut rest).map_err(failed)?;
        let remembered: Remembered = next_or_default(&mut rest).map_err(failed)?;
        self.pair.remember(&remembered);
        for (topic, channel, json) in extras.settings {
            if let Some(topic) = self.topics.get_mut(&topic) {
                replay::set(&mut topic.queue, channel, &json);
            }
        }
        Ok(())
    }

    fn record(
        &mut self,
        lsn: Lsn,
        end: Lsn,
        record: Record<'_>,
        chunk: &Arc<Chunk>,
    ) -> Result<(), String> {
        match record {
            Record::TopicCreate { topic, name } => self.create(lsn, topic, name),
            Record::TopicPause { topic, paused } => self.pause(lsn, topic, paused),
            Record::TopicDelete { topic } => {
                if self.after(topic, lsn).is_some() {
                    self.topics.remove(&topic);
                }
            }
            Record::Mirror { .. } => self.mirror(lsn, &record, chunk),
            Record::Release { through } => self.release(through.lsn),
            Record::Drain { since } => self.draining = since,
            Record::Requeue {
                topic,
                channel,
                items,
            } => {
                for item in items.iter() {
                    let item = nsq_queue::Requeued {
                        id: item.id,
                        attempts: item.attempts,
                        due: self.due(item.due, self.seen),
                    };
                    if let Some(queue) = self.after(topic, lsn) {
                        queue.replay_requeue(channel, item);
                    }
                }
            }
            record => {
                let record = self.dated(record);
                self.pair(lsn, end, &record);
                match record {
                    Record::Publish {
                        first_id, bodies, ..
                    } => self.note_id(first_id, bodies.count),
                    Record::Import { id, .. } => self.note_import(id),
                    _ => {}
                }
                if let Record::Finish {
                    topic,
                    channel,
                    ranges,
                } = record
                {
                    for range in ranges.iter() {
                        let (first_id, count) = (range.first_id, range.count);
                        self.pair
                            .finishes
                            .note(topic, channel, first_id, count, end);
                    }
                }
                let topic = replay::topic_of(&record);
                let topic = topic.and_then(|topic| self.topics.get_mut(&topic));
                if let Some(topic) = topic {
                    match lsn >= topic.from {
                        true => replay::apply(&mut topic.queue, &record, end, chunk),
                        false => replay::refill(&mut topic.queue, &record, end, chunk),
                    }
                }
            }
        }
        Ok(())
    }

    fn quarantined(&mut self, from: Lsn, to: Lsn, why: &str) {
        self.holes += 1;
        if from < to {
            self.pair.note_lost(from, to);
        }
        match self.holes {
            1..=HOLES_SAID => tracing::error!(
                "journal: {} bytes at {from} cannot be read and were set aside: {why}",
                to - from
            ),
            n if n == HOLES_SAID + 1 => tracing::error!(
                "journal: more cannot be read; nsqd_journal_quarantined_ranges in /metrics counts it all"
            ),
            _ => {}
        }
    }
}

/// The next part of a checkpoint; checkpoints of older servers end before it.
fn next_or_default<T: DeserializeOwned + Default>(rest: &mut &[u8]) -> postcard::Result<T> {
    if rest.is_empty() {
        return Ok(T::default());
    }
    let (part, behind) = postcard::take_from_bytes(rest)?;
    *rest = behind;
    Ok(part)
}
