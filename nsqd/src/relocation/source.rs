//! The node that messages leave. Topic by topic: held still, copied, let go of once a target has kept them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nsq_journal::{IdRange, JournalError, List, Lsn, Record};
use nsq_protocol::{Move, MovedMessage, PairMessage, is_ephemeral};
use nsq_queue::Unfinished;
use tokio::sync::Notify;

use super::checksum;
use crate::drain;
use crate::host::ChunkRef;
use crate::live_topic::{Kept, LiveTopic};
use crate::nsqd::Nsqd;
use crate::options::Durability;
use crate::pair::{End, HEARTBEAT, OUTBOX, Side};

/// Bytes on their way: sent and not let go. What a kill in between costs in duplicates.
const WINDOW: u64 = 8 << 20;
/// What a message counts for beside its body: there are no more than so many small ones.
const MESSAGE: u64 = 512;
/// How soon a topic is looked at again whose owner is being found out.
const ASK_AGAIN: Duration = Duration::from_millis(100);

pub(crate) struct Source {
    nsqd: Arc<Nsqd>,
    link: u64,
    said_who: bool,
    /// Messages that were published later stay.
    through: (Lsn, i64),
    passing: bool,
    topics: VecDeque<Arc<LiveTopic>>,
    current: Option<Current>,
    /// Passed over: consumers hold them.
    held: u64,
    /// The topics of this pass, by name; none: all.
    asked: Vec<String>,
    news: Notify,
    waits: bool,
}

/// The topic that is being copied.
struct Current {
    topic: Arc<LiveTopic>,
    /// Where to go on; `None` when all was sent.
    at: Option<u64>,
    told: bool,
    /// Sent and not let go, with checksum and size.
    sent: HashMap<u64, (u32, u32)>,
    bytes: u64,
}

impl Source {
    pub(crate) fn new(nsqd: Arc<Nsqd>) -> Self {
        let link = 1 + nsqd.relocation.link.fetch_add(1, Ordering::AcqRel);
        let through = match nsqd.drain.is_on() {
            true => (Lsn::MAX, i64::MAX),
            false => (nsqd.journal.tail(), nsqd.clock.wall()),
        };
        Self {
            nsqd,
            link,
            said_who: false,
            through,
            passing: false,
            topics: VecDeque::new(),
            current: None,
            held: 0,
            asked: Vec::new(),
            news: Notify::new(),
            waits: false,
        }
    }

    fn is_current(&self) -> bool {
        self.nsqd.relocation.link.load(Ordering::Acquire) == self.link
    }

    fn begin(&mut self, names: &[&str]) -> Result<(), End> {
        if self.passing {
            return Err(End::Because("a pass is under way".to_owned()));
        }
        self.topics = match names {
            [] => self.nsqd.topics().into(),
            names => {
                let find = |&name: &&str| {
                    let found = self.nsqd.find_topic(name);
                    found.ok_or_else(|| End::Because(format!("there is no topic {name} here")))
                };
                names.iter().map(find).collect::<Result<_, _>>()?
            }
        };
        self.topics.retain(|topic| !is_ephemeral(&topic.name));
        self.asked = names.iter().map(|&name| name.to_owned()).collect();
        self.held = 0;
        self.passing = true;
        Ok(())
    }

    /// A target has these: they are let go.
    fn kept(&mut self, number: u32, items: &[(u64, u32)]) -> Result<(), End> {
        let current = self.current.as_mut();
        let current = current.filter(|current| current.topic.number == number);
        let Some(current) = current else {
            return Err(End::Because(format!("nothing of topic {number} was sent")));
        };
        for (id, told) in items {
            let sent = current.sent.remove(id);
            let (checksum, bytes) =
                sent.ok_or_else(|| End::Because(format!("message {id:016x} was not sent")))?;
            if checksum != *told {
                let name = &current.topic.name;
                let why = format!("message {id:016x} of {name} is not the same at the target");
                return Err(End::Because(why));
            }
            current.bytes -= MESSAGE + u64::from(bytes);
        }
        let ids: Vec<u64> = items.iter().map(|item| item.0).collect();
        let_go(&self.nsqd, &current.topic, ids).map_err(failed)
    }

    /// Sends what there is room for. False: nothing more for now.
    fn advance(&mut self, out: &mut Vec<u8>) -> Result<bool, End> {
        let nsqd = Arc::clone(&self.nsqd);
        let Some(current) = &mut self.current else {
            let next = self.topics.pop_front();
            let Some(topic) = next.filter(|topic| !topic.is_deleted()) else {
                return Ok(!self.topics.is_empty());
            };
            topic.change_now(&nsqd, |queue, effects| queue.set_moving(true, effects));
            self.current = Some(Current {
                topic,
                at: Some(0),
                told: false,
                sent: HashMap::new(),
                bytes: 0,
            });
            return Ok(true);
        };
        let Some(at) = current.at else {
            if !current.sent.is_empty() {
                return Ok(false);
            }
            self.leave();
            return Ok(true);
        };
        if current.bytes >= WINDOW {
            return Ok(false);
        }
        let topic = Arc::clone(&current.topic);
        if topic.read(|queue| queue.is_held_back()) {
            self.waits = true;
            return Ok(false);
        }
        let (batch, held) = topic.read(|queue| {
            let batch = queue.unfinished(at);
            let held = |message: &Unfinished<ChunkRef>| queue.is_in_flight(message.id);
            let held: Vec<bool> = batch.messages.iter().map(held).collect();
            (batch, held)
        });
        current.at = batch.next;
        if let Some(page) = batch.needs {
            nsqd.page_in(&topic, &page, at).map_err(failed)?;
            return Ok(true);
        }
        let memory = topic.level() == Durability::Memory;
        for (message, held) in batch.messages.iter().zip(held) {
            let later = match memory {
                true => message.timestamp > self.through.1,
                false => message.base > self.through.0,
            };
            if later || (message.pending.is_empty() && !message.held) {
                continue; // or for ephemeral channels only
            }
            if held {
                self.held += 1;
                continue;
            }
            if let Some(current) = &mut self.current {
                current.send(&nsqd, message, out);
            }
        }
        topic.change_now(&nsqd, |queue, _| queue.evict());
        Ok(true)
    }

    /// Done with the current topic.
    fn leave(&mut self) {
        if let Some(current) = self.current.take() {
            let topic = current.topic;
            topic.change_now(&self.nsqd, |queue, effects| {
                queue.set_moving(false, effects);
            });
        }
    }

    fn left(&self) -> u64 {
        let status = drain::status(&self.nsqd);
        let asked = |name: &String| self.asked.is_empty() || self.asked.contains(name);
        let topics = status.topics.iter().filter(|topic| asked(&topic.topic));
        topics.map(|topic| topic.messages).sum()
    }
}

impl Current {
    fn send(&mut self, nsqd: &Nsqd, message: &Unfinished<ChunkRef>, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.told, true) {
            self.tell_names(out);
        }
        let body = message.chunk.0.bytes(message.offset, message.len);
        let due = |due: i64| nsqd.clock.to_wall(due);
        let pending = message.pending.iter();
        let pending = pending.map(|waits| (waits.channel, waits.attempts, due(waits.due)));
        let word = Move::Message(MovedMessage {
            topic: self.topic.number,
            id: message.id,
            timestamp: message.timestamp,
            held: message.held,
            due: due(message.due),
            pending: pending.collect(),
            body,
        });
        PairMessage::Move(word).encode(out);
        let checksum = checksum(message.id, message.timestamp, body);
        self.sent.insert(message.id, (checksum, message.len));
        self.bytes += MESSAGE + u64::from(message.len);
    }

    fn tell_names(&self, out: &mut Vec<u8>) {
        self.topic.read(|queue| {
            let kept = queue.channels().filter(|channel| !channel.ephemeral);
            let channels = kept.map(|it| (it.number, it.paused, it.name.as_str()));
            let word = Move::Topic {
                topic: queue.number,
                channels: channels.collect(),
                name: &queue.name,
            };
            PairMessage::Move(word).encode(out);
        });
    }
}

/// Behind this nobody here waits for them.
fn let_go(nsqd: &Arc<Nsqd>, topic: &Arc<LiveTopic>, mut ids: Vec<u64>) -> Result<(), JournalError> {
    ids.sort_unstable();
    let mut ranges: Vec<IdRange> = Vec::new();
    for &id in &ids {
        match ranges.last_mut() {
            Some(last) if last.first_id + last.count == id => last.count += 1,
            _ => ranges.push(IdRange {
                first_id: id,
                count: 1,
            }),
        }
    }
    let moved = topic.change_now(nsqd, |queue, effects| {
        if topic.level() != Durability::Memory {
            let ranges = List::Given(&ranges);
            let topic = queue.number;
            nsqd.journal.append(&Record::Moved { topic, ranges })?;
        }
        Ok(queue.let_go(ids, effects))
    })?;
    nsqd.relocation.moved.fetch_add(moved, Ordering::Relaxed);
    Ok(())
}

fn failed(error: JournalError) -> End {
    End::Because(error.to_string())
}

impl Side for Source {
    async fn hear(&mut self, message: PairMessage<'_>, _: &mut Vec<u8>) -> Result<(), End> {
        if !self.is_current() {
            return Err(End::Because("there is a newer relocation".to_owned()));
        }
        match message {
            PairMessage::Move(Move::Pass { topics }) => self.begin(&topics),
            PairMessage::Move(Move::Kept { topic, items }) => self.kept(topic, &items),
            message => Err(End::Because(format!("unexpected at a source: {message:?}"))),
        }
    }

    async fn speak(&mut self, out: &mut Vec<u8>) -> Result<(), End> {
        if !self.is_current() {
            return Err(End::Because("there is a newer relocation".to_owned()));
        }
        if !std::mem::replace(&mut self.said_who, true) {
            super::target::say_who(&self.nsqd, out);
        }
        self.waits = false;
        while self.passing && out.len() < OUTBOX && self.advance(out)? {
            tokio::task::yield_now().await;
        }
        if self.passing && self.current.is_none() && self.topics.is_empty() {
            // Whoever is told that it is over may stop this node.
            let level = self.nsqd.options.durability.max(Durability::Write);
            let tail = self.nsqd.journal.tail();
            let kept = self.nsqd.keep(Kept::here(level, tail)).await;
            kept.map_err(failed)?;
            let (held, left) = (self.held, self.left());
            PairMessage::Move(Move::Passed { held, left }).encode(out);
            self.passing = false;
        }
        Ok(())
    }

    fn news(&self) -> &Notify {
        &self.news
    }

    fn patience(&self) -> Duration {
        match self.waits {
            true => ASK_AGAIN,
            false => HEARTBEAT,
        }
    }

    fn end(&mut self) {
        self.leave();
        self.topics.clear();
        self.passing = false;
    }
}

impl Drop for Source {
    /// Also when the task is ended from outside.
    fn drop(&mut self) {
        self.end();
    }
}
