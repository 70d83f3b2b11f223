//! From checkpoint and journal back to topics.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use nsq_journal::{
    Chunk, Disk, Journal, JournalError, JournalOptions, Lsn, RealDisk, Record, Replay, Spill,
    SpillOptions, SpillRef, StoredBodies,
};
use nsq_protocol::MessageId;
use nsq_queue::{Run, Topic};

use crate::checkpoint::{Extras, State, VERSION};
use crate::clock::Clock;
use crate::host::{ChunkRef, NsqHost, Page};
use crate::nsqd::{Nsqd, Recovered, topic_options};
use crate::options::{Durability, Options};
use crate::pager::Housekeeping;

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

/// How far the sequence of ids jumps at each start.
const SEQUENCES_PER_RUN: u64 = 1 << 24;

struct Restorer<'a> {
    options: &'a Options,
    topics: BTreeMap<u32, Restoring>,
    next_topic_number: u32,
    next_sequence: u64,
    /// When the node starts.
    now: i64,
    /// When the last message was published, of those replayed so far.
    seen: i64,
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
            now,
            seen: now,
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
        let missing: Vec<Page> = spill.adopt(&pages).into_iter().map(Page::from).collect();
        for topic in self.topics.values_mut().filter(|_| !missing.is_empty()) {
            let lost = topic.queue.pages_lost(|page| missing.contains(page));
            if lost > 0 {
                let name = &topic.queue.name;
                tracing::error!("TOPIC({name}): {lost} messages are lost with their spill files");
            }
        }
        // Ids are never given twice: neither those of messages at level `memory`, nor those of a
        // tail that a power cut took from us but a consumer may have seen.
        let micros = u64::try_from(now / 1000).unwrap_or(0);
        self.next_sequence += SEQUENCES_PER_RUN;
        Recovered {
            topics: self.topics.into_values().map(|topic| topic.queue).collect(),
            next_topic_number: self.next_topic_number,
            next_sequence: self.next_sequence.max(micros),
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

    fn publish(
        &mut self,
        lsn: Lsn,
        number: u32,
        run: (u64, i64, i64),
        bodies: &StoredBodies<'_>,
        chunk: &Arc<Chunk>,
    ) {
        let (first_id, timestamp, due) = run;
        self.seen = timestamp;
        let due = if due == 0 {
            0
        } else {
            self.due(due, timestamp)
        };
        let last = MessageId(first_id).sequence() + u64::from(bodies.count);
        self.next_sequence = self.next_sequence.max(last);
        let Some(topic) = self.topics.get_mut(&number) else {
            return;
        };
        let ranges: Vec<(u32, u32)> = bodies
            .iter()
            .map(|(offset, body)| (offset, body.len() as u32))
            .collect();
        let chunk = ChunkRef(Arc::clone(chunk));
        let run = Run {
            first_id,
            timestamp,
            due,
            chunk: &chunk,
            bodies_at: bodies.bodies_at,
            bodies: &ranges,
            kept_at: 0,
            committed: 0,
        };
        match lsn >= topic.from {
            true => topic.queue.publish(&run, &mut Default::default()),
            false => topic.queue.refill(&run),
        }
    }
}

impl Replay for Restorer<'_> {
    fn checkpoint(&mut self, bytes: &[u8]) -> Result<(), String> {
        let failed = |error| format!("checkpoint: {error}");
        let (state, rest): (State, &[u8]) = match bytes.split_first() {
            Some((&VERSION, body)) => postcard::take_from_bytes(body).map_err(failed)?,
            Some((version, _)) => return Err(format!("checkpoint of version {version}")),
            None => return Err("empty checkpoint".to_owned()),
        };
        self.next_sequence = state.next_sequence;
        self.next_topic_number = state.next_topic_number;
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
        let extras = match rest {
            [] => Extras::default(), // older checkpoints have none
            rest => postcard::from_bytes(rest).map_err(failed)?,
        };
        for (topic, channel, json) in extras.settings {
            if let Some(topic) = self.topics.get_mut(&topic) {
                set(&mut topic.queue, channel, &json);
            }
        }
        Ok(())
    }

    fn record(
        &mut self,
        lsn: Lsn,
        _end: Lsn,
        record: Record<'_>,
        chunk: &Arc<Chunk>,
    ) -> Result<(), String> {
        match record {
            Record::Publish {
                topic,
                first_id,
                timestamp,
                due,
                bodies,
            } => {
                self.publish(lsn, topic, (first_id, timestamp, due), &bodies, chunk);
            }
            Record::TopicCreate { topic, name } => self.create(lsn, topic, name),
            Record::TopicPause { topic, paused } => self.pause(lsn, topic, paused),
            Record::TopicDelete { topic } => {
                if self.after(topic, lsn).is_some() {
                    self.topics.remove(&topic);
                }
            }
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
                if let Some(queue) = topic_of(&record).and_then(|topic| self.after(topic, lsn)) {
                    replay(queue, &record);
                }
            }
        }
        Ok(())
    }

    fn quarantined(&mut self, from: Lsn, to: Lsn, why: &str) {
        tracing::error!(
            "journal: {} bytes at {from} cannot be read and were set aside: {why}",
            to - from
        );
    }
}

/// The topic that a record of a topic's life is about.
fn topic_of(record: &Record<'_>) -> Option<u32> {
    match *record {
        Record::TopicEmpty { topic, .. }
        | Record::ChannelCreate { topic, .. }
        | Record::ChannelDelete { topic, .. }
        | Record::ChannelEmpty { topic, .. }
        | Record::ChannelPause { topic, .. }
        | Record::Finish { topic, .. }
        | Record::Delivered { topic, .. }
        | Record::Settings { topic, .. } => Some(topic),
        // Handled by name, of the journal itself, or of pairs, which this version does not form.
        _ => None,
    }
}

fn set(queue: &mut Topic<NsqHost>, channel: u32, json: &str) {
    match serde_json::from_str(json) {
        Ok(settings) if channel == 0 => queue.set_settings(settings),
        // A channel that was deleted meanwhile needs none.
        Ok(settings) => drop(queue.set_channel_settings(channel, settings)),
        Err(error) => {
            let name = &queue.name;
            tracing::error!("TOPIC({name}): settings of a later version are ignored - {error}");
        }
    }
}

fn replay(queue: &mut Topic<NsqHost>, record: &Record<'_>) {
    match *record {
        Record::TopicEmpty { .. } => queue.empty(),
        Record::ChannelCreate { channel, name, .. } => queue.replay_channel(name, channel),
        Record::ChannelDelete { channel, .. } => queue.replay_delete_channel(channel),
        Record::ChannelEmpty { channel, .. } => queue.replay_empty_channel(channel),
        Record::ChannelPause {
            channel, paused, ..
        } => queue.replay_pause_channel(channel, paused),
        Record::Finish {
            channel, ranges, ..
        } => {
            for range in ranges.iter() {
                queue.replay_finish(channel, range.first_id, range.count);
            }
        }
        Record::Delivered {
            channel,
            through_id,
            ..
        } => queue.replay_delivered(channel, through_id),
        Record::Settings { channel, json, .. } => set(queue, channel, json),
        _ => {}
    }
}
