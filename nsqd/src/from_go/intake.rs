//! Takes messages into topics. One that a consumer may have seen keeps its id; every other gets a new one, for only ids
//! that follow each other let a backlog of any size lie on disk in blocks.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nsq_journal::diskqueue::{Entry, Sorter, read_body};
use nsq_journal::{Disk, DiskFile, JournalError, Record};
use nsq_protocol::MessageId;

use super::metadata::Known;
use super::progress::Progress;
use super::survey::Queue;
use super::{ImportError, Report, go_on};
use crate::journal_log;
use crate::live_topic::LiveTopic;
use crate::nsqd::Nsqd;
use crate::pager::Pager;

mod identity;

/// So many messages keep their ids at most: each stands in memory by itself.
const WITH_ID_MAX: u64 = 200_000;
/// Messages, and bytes of them, between two looks at memory and disk.
const BATCH_MESSAGES: u64 = 1000;
const BATCH_BYTES: u64 = 1 << 20;
/// Bytes that a power cut may take at most, to be taken in once more.
const SYNC_BYTES: u64 = 64 << 20;
/// Files that are open at a time.
const FILES_MAX: usize = 64;

pub(super) struct Intake<'a> {
    nsqd: &'a Arc<Nsqd>,
    disk: &'a Arc<dyn Disk>,
    topics: Vec<(&'a String, &'a Known)>,
    queues: &'a [Queue],
    first_id: u64,
    /// Messages so far. Each has its number, whether it gets a new id or not.
    index: u64,
    files: HashMap<(u32, u64), Arc<dyn DiskFile>>,
    body: Vec<u8>,
    /// Messages and bytes since the last look.
    batch: (u64, u64),
    /// Bytes since the last sync.
    unsynced: u64,
}

/// The topic at work.
struct Target {
    number: u32,
    live: Arc<LiveTopic>,
    channels: Vec<Taker>,
    /// What an interrupted import got to: new ids up to this are there.
    there: Option<u64>,
    late: bool,
}

/// A channel of it.
struct Taker {
    name: String,
    number: u32,
    /// Messages that were never its own: first id and count.
    passed: (u64, u64),
}

/// Where copies of one message are.
struct Waiting {
    /// By place in [`Target::channels`]: attempts, `None` if it does not wait there.
    attempts: Vec<Option<u16>>,
    /// The topic's own queue has it: no channel got it yet.
    undistributed: bool,
}

impl<'a> Intake<'a> {
    pub(super) fn new(
        nsqd: &'a Arc<Nsqd>,
        disk: &'a Arc<dyn Disk>,
        topics: &'a BTreeMap<String, Known>,
        queues: &'a [Queue],
        first_id: u64,
    ) -> Self {
        Self {
            nsqd,
            disk,
            topics: topics.iter().collect(),
            queues,
            first_id,
            index: 0,
            files: HashMap::new(),
            body: Vec::new(),
            batch: (0, 0),
            unsynced: 0,
        }
    }

    /// Takes all messages in, and pauses what was paused.
    pub(super) fn run(
        mut self,
        sorter: Sorter,
        stop: &AtomicBool,
        report: &mut Report,
    ) -> Result<(), ImportError> {
        let mut progress = Progress::new(sorter.count());
        let mut merge = sorter.finish()?;
        let (mut copies, mut target, mut done) = (Vec::new(), None, 0);
        loop {
            merge.next_message(&mut copies)?;
            let Some(first) = copies.first() else { break };
            let mut at = match target.take() {
                Some(target) if is_same(&target, first) => target,
                other => {
                    self.finish(other)?;
                    self.begin(first.topic)?
                }
            };
            if first.late && !at.late {
                at.late = true;
                at.pass_all(self.nsqd);
                at.live.pause(self.nsqd, true)?;
                // What comes now is not to pass into channels, whatever a power cut leaves.
                self.nsqd.journal.sync()?;
            }
            self.take(&mut at, &copies, report)?;
            done += copies.len() as u64;
            if self.batch.0 >= BATCH_MESSAGES || self.batch.1 >= BATCH_BYTES {
                at.pass_all(self.nsqd);
                self.keep()?;
                progress.at(done);
                go_on(stop)?;
            }
            target = Some(at);
        }
        self.finish(target)?;
        self.keep()?;
        for (name, known) in &self.topics {
            let topic = self.nsqd.topic(name)?;
            for (channel, paused) in &known.channels {
                // It was made above.
                let _ = topic.pause_channel(self.nsqd, channel, *paused)?;
            }
            topic.pause(self.nsqd, known.paused)?;
        }
        Ok(())
    }

    fn begin(&self, number: u32) -> Result<Target, ImportError> {
        let (name, _) = self.topics[number as usize];
        let live = self.nsqd.topic(name)?;
        let (channels, there) = live.read(|queue| {
            let channels = queue.channels().filter(|channel| !channel.ephemeral);
            let channels = channels.map(|channel| Taker {
                name: channel.name.clone(),
                number: channel.number,
                passed: (0, 0),
            });
            (channels.collect(), queue.last_id())
        });
        Ok(Target {
            number,
            live,
            channels,
            there,
            late: false,
        })
    }

    fn finish(&self, target: Option<Target>) -> Result<(), JournalError> {
        if let Some(mut target) = target {
            target.pass_all(self.nsqd);
        }
        Ok(())
    }

    /// One message, which has at least one copy.
    fn take(
        &mut self,
        target: &mut Target,
        copies: &[Entry],
        report: &mut Report,
    ) -> Result<(), ImportError> {
        let id = self.first_id + self.index;
        self.index += 1;
        let waiting = self.waiting(target, copies);
        let Some(first) = self.read(copies, report) else {
            return Ok(());
        };
        report.messages += 1;
        report.copies += copies.len() as u64 - 1;
        self.batch.0 += 1;
        self.batch.1 += self.body.len() as u64;
        let seen = self.seen_id(&first, &waiting, report);
        report.with_id += u64::from(seen.is_some());
        let live = &target.live;
        let new = target.there.is_none_or(|there| id > there);
        // A power cut may have taken it from the middle of what an interrupted import wrote.
        let is_gone = || live.read(|queue| queue.base_floor(id).is_none());
        if let Some(id) = seen.or_else(|| (!new && is_gone()).then_some(id)) {
            let named = (id, first.timestamp);
            identity::import(self.nsqd, target, named, &waiting, &self.body)?;
            return Ok(());
        }
        if new && live.take_over(self.nsqd, id, first.timestamp, &self.body)? {
            self.nsqd.page_soon(live); // crowded
        }
        for (index, attempts) in waiting.attempts.iter().enumerate() {
            if attempts.is_none() {
                target.pass(self.nsqd, index, id);
            }
        }
        Ok(())
    }

    fn waiting(&self, target: &Target, copies: &[Entry]) -> Waiting {
        let mut waiting = Waiting {
            attempts: vec![None; target.channels.len()],
            undistributed: false,
        };
        for copy in copies {
            match &self.queues[copy.queue as usize].name.channel {
                None => waiting.undistributed = true,
                Some(name) => {
                    let taker = target.channels.iter().position(|taker| taker.name == *name);
                    if let Some(attempts) = taker.map(|taker| &mut waiting.attempts[taker]) {
                        *attempts = Some(attempts.unwrap_or(0).max(copy.attempts));
                    }
                }
            }
        }
        if waiting.undistributed {
            for attempts in &mut waiting.attempts {
                attempts.get_or_insert(0);
            }
        }
        waiting
    }

    /// The id to keep: a consumer has seen it, and it is none that this node will give yet.
    fn seen_id(&self, copy: &Entry, waiting: &Waiting, report: &Report) -> Option<u64> {
        let seen = waiting
            .attempts
            .iter()
            .flatten()
            .any(|attempts| *attempts > 0);
        let id = MessageId::parse(&copy.id)?;
        let own = id.node() == self.nsqd.options.node() && id.0 >= self.first_id;
        // Behind an id there is room for the next one.
        let fits = id.0 < u64::MAX && report.with_id < WITH_ID_MAX;
        (seen && !own && fits).then_some(id.0)
    }

    /// Reads the body of the first copy that can be read.
    fn read(&mut self, copies: &[Entry], report: &mut Report) -> Option<Entry> {
        for copy in copies {
            let read = self
                .file(copy)
                .and_then(|file| read_body(&*file, copy.body_at, copy.body_len, &mut self.body));
            match read {
                Ok(()) => return Some(*copy),
                Err(error) => {
                    let name = &self.queues[copy.queue as usize].files[&copy.file];
                    report.lost_bytes += u64::from(copy.body_len);
                    report.damage(
                        name,
                        format!("message at {} cannot be read: {error}", copy.body_at),
                    );
                }
            }
        }
        None
    }

    fn file(&mut self, copy: &Entry) -> io::Result<Arc<dyn DiskFile>> {
        let key = (copy.queue, copy.file);
        if let Some(file) = self.files.get(&key) {
            return Ok(Arc::clone(file));
        }
        if self.files.len() >= FILES_MAX {
            self.files.clear();
        }
        let name = &self.queues[copy.queue as usize].files[&copy.file];
        let file = self.disk.open(name)?;
        self.files.insert(key, Arc::clone(&file));
        Ok(file)
    }

    /// Writes what was taken in, and pages it out.
    fn keep(&mut self) -> Result<(), JournalError> {
        self.unsynced += std::mem::take(&mut self.batch).1;
        journal_log::log_all(self.nsqd);
        let journal = &self.nsqd.journal;
        if self.unsynced >= SYNC_BYTES {
            self.unsynced = 0;
            journal.sync()?;
        }
        journal.write(journal.tail())?;
        journal.pool().prepare();
        Pager::step(self.nsqd)
    }
}

/// Makes topics and channels. `fresh`: nothing was taken in yet; a topic that is paused begins to pass messages on,
/// for what lies in channels has to pass through it once more.
pub(super) fn make(
    nsqd: &Arc<Nsqd>,
    topics: &BTreeMap<String, Known>,
    fresh: bool,
) -> Result<(), JournalError> {
    for (name, known) in topics {
        let topic = nsqd.topic(name)?;
        for channel in known.channels.keys() {
            topic.create_channel(nsqd, channel)?;
        }
        if fresh && topic.read(|queue| queue.paused) {
            topic.pause(nsqd, false)?;
        }
    }
    nsqd.journal.sync()?;
    Ok(())
}

fn is_same(target: &Target, entry: &Entry) -> bool {
    target.number == entry.topic
}

impl Target {
    /// The message is none of the channel's.
    fn pass(&mut self, nsqd: &Arc<Nsqd>, channel: usize, id: u64) {
        let passed = &mut self.channels[channel].passed;
        if passed.0 + passed.1 == id {
            passed.1 += 1;
            return;
        }
        self.pass_now(nsqd, channel);
        self.channels[channel].passed = (id, 1);
    }

    fn pass_all(&mut self, nsqd: &Arc<Nsqd>) {
        for channel in 0..self.channels.len() {
            self.pass_now(nsqd, channel);
        }
    }

    fn pass_now(&mut self, nsqd: &Arc<Nsqd>, channel: usize) {
        let Taker { name, passed, .. } = &mut self.channels[channel];
        let (first, count) = std::mem::take(passed);
        if count > 0 {
            self.live.change_now(nsqd, |queue, effects| {
                queue.finish_known(name, first, count, effects)
            });
        }
    }

    /// The record that a message's import is.
    fn record<'r>(
        &self,
        (id, timestamp): (u64, i64),
        attempts: u16,
        held: bool,
        finished: &'r [u32],
        body: &'r [u8],
    ) -> Record<'r> {
        Record::Import {
            topic: self.live.number,
            id,
            timestamp,
            attempts,
            due: 0,
            held,
            finished: nsq_journal::List::Given(finished),
            body,
            body_at: 0,
        }
    }
}
