//! A topic against a model: whatever is done to it, each channel gets each message until it
//! finishes it, bodies and attempts are right, nothing is invented, and after a crash (last
//! checkpoint + what was journalled) everything is there but the last unlogged finishes.

#![allow(clippy::unwrap_used)]
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use nsq_queue::{
    ConsumerId, ConsumerSpec, Effects, Host, Import, Locality, PageOut, Paged, Pulled, Requeued,
    Run, Topic, TopicImage, TopicOptions,
};
use proptest::prelude::*;

#[derive(Clone)]
struct Chunk(Arc<Vec<u8>>);
impl PartialEq for Chunk {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
struct Test;
impl Host for Test {
    type Chunk = Chunk;
    type Page = u64;
    type Waker = u32;
}

#[derive(Clone)]
enum Record {
    Publish(u64, Vec<Vec<u8>>, i64, Chunk),
    /// Id, body, due, channels that are done with it, held.
    Import(u64, Chunk, i64, Vec<u32>, bool),
    Channel(String, u32),
    DeleteChannel(u32),
    EmptyChannel(u32),
    Empty,
    Pause(bool),
    Finish(u32, u64, u64),
    Requeue(u32, Requeued),
    Delivered(u32, u64),
}

#[derive(Debug, Clone)]
enum Op {
    Publish {
        count: usize,
        delay: bool,
    },
    Pull {
        channel: usize,
        bytes: usize,
    },
    /// One that is new, or one that is here; the number picks which, and who is done with it.
    Import {
        new: bool,
        n: usize,
        delay: bool,
    },
    /// Heard of from elsewhere.
    Known(usize),
    Finish(usize),
    Requeue(usize, bool),
    Time(i64),
    Channel(usize),
    DeleteChannel(usize),
    EmptyChannel(usize),
    Empty,
    Pause(bool),
    PageOut,
    Log,
    Checkpoint,
    Crash,
}

const CHANNELS: [&str; 3] = ["a", "b", "c"];
const TIMEOUT: i64 = 1000;

struct Rig {
    topic: Topic<Test>,
    consumers: HashMap<&'static str, ConsumerId>,
    pages: HashMap<u64, Vec<(i64, Vec<u8>)>>,
    now: i64,
    next_id: u64,
    bodies: BTreeMap<u64, Vec<u8>>,
    /// What each channel has not finished.
    pending: BTreeMap<&'static str, BTreeSet<u64>>,
    /// What the topic holds for channels to come.
    held: BTreeSet<u64>,
    in_flight: Vec<(&'static str, u64)>,
    attempts: HashMap<(&'static str, u64), u16>,
    checkpoint: Option<TopicImage<u64>>,
    before: Vec<Record>,
    after: Vec<Record>,
    /// Finished, but not yet in the journal.
    unlogged: Vec<(&'static str, u64)>,
}

fn options() -> TopicOptions {
    TopicOptions {
        journalled: true,
        mem_queue_size: 100,
        max_msg_timeout: 10_000,
        latency_window: 0,
    }
}

impl Rig {
    fn new() -> Self {
        Self {
            topic: Topic::new("t", 1, options()),
            consumers: HashMap::new(),
            pages: HashMap::new(),
            now: 1_000_000,
            next_id: 500,
            bodies: BTreeMap::new(),
            pending: BTreeMap::new(),
            held: BTreeSet::new(),
            in_flight: Vec::new(),
            attempts: HashMap::new(),
            checkpoint: None,
            before: Vec::new(),
            after: Vec::new(),
            unlogged: Vec::new(),
        }
    }

    fn run(&mut self, op: &Op) {
        self.now += 1;
        let mut effects = Effects::default();
        match *op {
            Op::Publish { count, delay } => self.publish(count, delay),
            Op::Pull { channel, bytes } => self.pull(CHANNELS[channel], bytes),
            Op::Import { new, n, delay } => self.import(new, n, delay),
            Op::Known(n) => self.known(n),
            Op::Finish(n) => self.finish(n),
            Op::Requeue(n, delay) => self.requeue(n, delay),
            Op::Time(ahead) => {
                self.now += ahead;
                self.topic.tick(self.now, &mut effects);
                if ahead > TIMEOUT {
                    self.in_flight.clear();
                }
            }
            Op::Channel(n) => self.create(CHANNELS[n]),
            Op::DeleteChannel(n) => self.delete(CHANNELS[n]),
            Op::EmptyChannel(n) => {
                let name = CHANNELS[n];
                if let Some(channel) = self.topic.channel(name) {
                    self.after.push(Record::EmptyChannel(channel.number));
                    self.topic.empty_channel(name);
                    self.forget(name);
                    self.pending.insert(name, BTreeSet::new());
                }
            }
            Op::Empty => {
                self.topic.empty();
                self.held.clear();
                self.after.push(Record::Empty);
            }
            Op::Pause(paused) => {
                self.topic.pause(paused, &mut effects);
                self.after.push(Record::Pause(paused));
                self.distribute();
            }
            Op::PageOut => self.page_out(),
            Op::Log => self.log(),
            Op::Checkpoint => {
                self.checkpoint = Some(self.topic.image());
                self.before.append(&mut self.after);
                self.unlogged.clear();
            }
            Op::Crash => self.crash(),
        }
        self.topic.take_released();
        self.check();
    }

    fn distribute(&mut self) {
        if self.topic.paused || self.pending.is_empty() {
            return;
        }
        let held = std::mem::take(&mut self.held);
        self.pending
            .values_mut()
            .for_each(|pending| pending.extend(&held));
    }

    fn publish(&mut self, count: usize, delay: bool) {
        let first_id = self.next_id;
        self.next_id += count as u64 + 3;
        let due = if delay { self.now + 300 } else { 0 };
        let bodies: Vec<Vec<u8>> = (0..count as u64)
            .map(|n| format!("body-{}", first_id + n).into_bytes())
            .collect();
        let mut memory = vec![9; 5];
        for body in &bodies {
            memory.extend((body.len() as u32).to_le_bytes().iter().chain(body));
        }
        let chunk = Chunk(Arc::new(memory));
        for (id, body) in (first_id..).zip(&bodies) {
            self.bodies.insert(id, body.clone());
            self.held.insert(id);
        }
        let record = Record::Publish(first_id, bodies, due, chunk);
        publish(&mut self.topic, &record, self.now);
        self.after.push(record);
        self.distribute();
    }

    fn import(&mut self, new: bool, n: usize, delay: bool) {
        self.log(); // as whoever imports does
        let here: Vec<u64> = self.pending.values().flatten().copied().collect();
        let due = if delay { self.now + 300 } else { 0 };
        let (id, finished) = match here.get(n % here.len().max(1)) {
            // Who waits for it where it comes from waits for it here.
            Some(&id) if !new => (id, Vec::new()),
            _ => {
                let id = (1 << 60) + (n as u64 % 1000);
                if self.bodies.contains_key(&id) {
                    return;
                }
                let channels = self
                    .topic
                    .channels()
                    .filter(|channel| n >> (10 + channel.number % 8) & 1 > 0);
                (id, channels.map(|channel| channel.number).collect())
            }
        };
        let held = n >> 20 & 1 > 0;
        let body = format!("body-{id}").into_bytes();
        let record = Record::Import(
            id,
            Chunk(Arc::new(body.clone())),
            due,
            finished.clone(),
            held,
        );
        let was_held = self.held.contains(&id);
        let is_new = import(&mut self.topic, &record, self.now);
        self.after.push(record);
        if !is_new {
            let all = !held && !was_held && here.contains(&id); // also those younger than it
            for (&name, pending) in self.pending.iter_mut().filter(|_| all) {
                if pending.insert(id) {
                    self.attempts.remove(&(name, id));
                }
            }
            return;
        }
        assert!(!was_held && !here.contains(&id), "it was here");
        self.bodies.insert(id, body);
        if held && (self.topic.paused || self.pending.is_empty()) {
            self.held.insert(id);
            return;
        }
        for channel in self
            .topic
            .channels()
            .filter(|channel| !finished.contains(&channel.number))
        {
            self.pending
                .get_mut(channel.name.as_str())
                .unwrap()
                .insert(id);
        }
    }

    fn known(&mut self, n: usize) {
        let pending = self
            .pending
            .iter()
            .flat_map(|(&name, ids)| ids.iter().map(move |&id| (name, id)));
        let pending: Vec<(&'static str, u64)> = pending.collect();
        let Some(&(name, id)) = pending.get(n % pending.len().max(1)) else {
            return;
        };
        let effects = &mut Effects::default();
        let finished = self.topic.finish_known(name, id, 1, effects);
        assert_eq!(finished, 1, "{id} was waiting for {name}");
        assert_eq!(self.topic.finish_known(name, id, 1, effects), 0);
        self.in_flight.retain(|held| *held != (name, id));
        self.pending.get_mut(name).unwrap().remove(&id);
        self.unlogged.push((name, id));
    }

    fn consumer(&mut self, name: &'static str) -> Option<ConsumerId> {
        self.topic.channel(name)?;
        if let Some(&id) = self.consumers.get(name) {
            return Some(id);
        }
        let spec = ConsumerSpec {
            waker: 0,
            msg_timeout: TIMEOUT,
            sample_rate: 0,
            seed: 1,
            locality: Locality::Anywhere,
        };
        let id = self.topic.subscribe(name, spec, 0).unwrap();
        self.topic.set_ready(id, 2500);
        self.consumers.insert(name, id);
        Some(id)
    }

    fn pull(&mut self, name: &'static str, bytes: usize) {
        let Some(id) = self.consumer(name) else {
            return;
        };
        loop {
            let mut got = Vec::new();
            let now = self.now;
            let mut effects = Effects::default();
            let pulled = self
                .topic
                .pull(now, id, 0, bytes, &mut effects, |delivery| {
                    let from = delivery.offset as usize;
                    let body = delivery.chunk.0[from..from + delivery.len as usize].to_vec();
                    got.push((delivery.id, delivery.attempts, body));
                });
            for (id, attempts, body) in &got {
                assert_eq!(Some(body), self.bodies.get(id), "body of {id}");
                let pending = self.pending.get(name).is_some_and(|set| set.contains(id));
                assert!(pending, "{name} got {id}, which it had finished");
                let known = self.attempts.entry((name, *id)).or_insert(0);
                assert!(
                    *attempts == *known + 1,
                    "{id}: attempts {attempts} after {known}"
                );
                *known = *attempts;
                assert!(
                    !self.in_flight.contains(&(name, *id)),
                    "{id} twice in flight"
                );
                self.in_flight.push((name, *id));
            }
            match pulled {
                Pulled::NeedsPage { page, pos } => self.page_in(page, pos),
                Pulled::NotKept { at } => panic!("everything is kept here, not only to {at}"),
                Pulled::Messages(n) => {
                    assert_eq!(n as usize, got.len());
                    return;
                }
            }
        }
    }

    fn page_in(&mut self, page: u64, pos: u64) {
        let stored = &self.pages[&page];
        let (mut memory, mut messages) = (Vec::new(), Vec::new());
        for (timestamp, body) in stored {
            messages.push((*timestamp, memory.len() as u32, body.len() as u32));
            memory.extend_from_slice(body);
        }
        let chunk = Chunk(Arc::new(memory));
        let bases = Vec::new();
        self.topic.page_in(
            pos,
            Paged {
                chunk,
                messages,
                bases,
            },
        );
    }

    fn page_out(&mut self) {
        let Some(PageOut {
            first_pos,
            messages,
            chunks,
            ..
        }) = self.topic.next_page_out()
        else {
            return;
        };
        let read = |&(timestamp, offset, len, chunk): &(i64, u32, u32, u32)| {
            let from = offset as usize;
            let chunk = &chunks[chunk as usize];
            (timestamp, chunk.0[from..from + len as usize].to_vec())
        };
        let key = self.pages.len() as u64;
        self.pages.insert(key, messages.iter().map(read).collect());
        let count = messages.len();
        assert!(
            self.topic.paged_out(first_pos, count + 1, key).is_some(),
            "another block"
        );
        assert!(self.topic.paged_out(first_pos, count, key).is_none());
    }

    fn finish(&mut self, n: usize) {
        if self.in_flight.is_empty() {
            return;
        }
        let (name, id) = self.in_flight.swap_remove(n % self.in_flight.len());
        let consumer = self.consumers[name];
        self.topic.finish(consumer, id).unwrap();
        assert!(self.topic.finish(consumer, id).is_err());
        self.pending.get_mut(name).unwrap().remove(&id);
        self.unlogged.push((name, id));
    }

    fn requeue(&mut self, n: usize, delay: bool) {
        if self.in_flight.is_empty() {
            return;
        }
        let (name, id) = self.in_flight.swap_remove(n % self.in_flight.len());
        let delay = if delay { 200 } else { 0 };
        let mut effects = Effects::default();
        let consumer = self.consumers[name];
        self.topic
            .requeue(self.now, consumer, id, delay, &mut effects)
            .unwrap();
    }

    fn create(&mut self, name: &'static str) {
        let (number, new) = self.topic.create_channel(name, &mut Effects::default());
        if new {
            self.after.push(Record::Channel(name.into(), number));
            self.pending.insert(name, BTreeSet::new());
            self.distribute();
        }
    }

    fn delete(&mut self, name: &'static str) {
        let Some(channel) = self.topic.channel(name) else {
            return;
        };
        self.after.push(Record::DeleteChannel(channel.number));
        self.topic.delete_channel(name, &mut Effects::default());
        self.forget(name);
        self.pending.remove(name);
        self.consumers.remove(name);
    }

    fn forget(&mut self, name: &'static str) {
        self.in_flight.retain(|held| held.0 != name);
        self.unlogged.retain(|held| held.0 != name);
    }

    fn log(&mut self) {
        for (number, log) in self.topic.take_logs() {
            let finished = log.finished.iter();
            self.after
                .extend(finished.map(|&(first, n)| Record::Finish(number, first, n)));
            let requeued = log.requeued.iter();
            self.after
                .extend(requeued.map(|&item| Record::Requeue(number, item)));
            let through = log.delivered_through.iter();
            self.after
                .extend(through.map(|&id| Record::Delivered(number, id)));
        }
        self.unlogged.clear();
    }

    /// Everything in memory is gone: the last checkpoint and the records since make it anew.
    fn crash(&mut self) {
        let mut topic = match self.checkpoint.clone() {
            Some(image) => {
                let mut topic = Topic::from_image(image, options());
                for record in &self.before {
                    if let Record::Import(id, chunk, due, ..) = record {
                        let lengths = [(0, chunk.0.len() as u32)];
                        let refilled = Run {
                            bodies_at: 0,
                            ..run(*id, &lengths, *due, chunk)
                        };
                        topic.refill_import(&refilled);
                    }
                    if let Record::Publish(first_id, bodies, due, chunk) = record {
                        let lengths = lengths(bodies);
                        topic.refill(&run(*first_id, &lengths, *due, chunk));
                    }
                }
                topic
            }
            None => Topic::restoring("t", 1, options()),
        };
        for record in &self.after {
            replay(&mut topic, record);
        }
        topic.finish_restore(self.now);
        self.topic = topic;
        self.consumers.clear();
        self.in_flight.clear();
        self.attempts.clear();
        for (name, id) in self.unlogged.drain(..) {
            self.pending.get_mut(name).unwrap().insert(id);
        }
        let names: Vec<&str> = self.pending.keys().copied().collect();
        for name in names {
            self.relearn_attempts(name);
        }
    }

    /// Attempts after a crash may be lower than the truth, never higher; take them as they are.
    fn relearn_attempts(&mut self, name: &'static str) {
        let image = self.topic.image();
        let channel = image
            .channels
            .iter()
            .find(|channel| channel.name == name)
            .unwrap();
        for exception in &channel.exceptions {
            let block = image.lanes.iter().flat_map(|lane| &lane.1).find(|block| {
                (block.first_pos..block.first_pos + u64::from(block.count)).contains(&exception.pos)
            });
            let block = block.expect("an exception lies in a block");
            let id = block.first_id + (exception.pos - block.first_pos);
            self.attempts.insert((name, id), exception.attempts);
        }
    }

    fn check(&self) {
        let stats = self.topic.stats();
        assert_eq!(stats.depth, self.held.len() as u64, "the topic's depth");
        for channel in &stats.channels {
            let total = channel.depth + channel.in_flight_count + channel.deferred_count;
            let pending = self.pending[channel.name.as_str()].len() as u64;
            assert_eq!(total, pending, "channel {}", channel.name);
        }
    }

    /// Whatever state it is in: everything can be delivered and finished, and then is gone.
    fn drain(&mut self) {
        self.topic.pause(false, &mut Effects::default());
        self.distribute();
        for _ in 0..3 {
            self.run(&Op::Time(TIMEOUT + 400));
            for name in self.pending.keys().copied().collect::<Vec<_>>() {
                loop {
                    self.pull(name, 10_000);
                    if self.in_flight.is_empty() {
                        break;
                    }
                    while !self.in_flight.is_empty() {
                        self.finish(0);
                    }
                }
            }
        }
        for (name, pending) in &self.pending {
            assert!(pending.is_empty(), "{name} never got {pending:?}");
        }
        if !self.pending.is_empty() {
            assert_eq!(self.topic.resident_bytes(), 0, "finished bodies are let go");
        }
    }
}

fn lengths(bodies: &[Vec<u8>]) -> Vec<(u32, u32)> {
    bodies.iter().map(|body| (0, body.len() as u32)).collect()
}

fn run<'a>(first_id: u64, bodies: &'a [(u32, u32)], due: i64, chunk: &'a Chunk) -> Run<'a, Chunk> {
    Run {
        first_id,
        timestamp: first_id as i64,
        due,
        chunk,
        bodies_at: 5,
        bodies,
        base: 0,
        kept_at: 0,
        committed: 0,
    }
}

fn publish(topic: &mut Topic<Test>, record: &Record, _now: i64) {
    if let Record::Publish(first_id, bodies, due, chunk) = record {
        let lengths = lengths(bodies);
        topic.publish(
            &run(*first_id, &lengths, *due, chunk),
            &mut Effects::default(),
        );
    }
}

fn import(topic: &mut Topic<Test>, record: &Record, now: i64) -> bool {
    let Record::Import(id, chunk, due, finished, held) = record else {
        return false;
    };
    let import = Import {
        id: *id,
        timestamp: 7,
        attempts: 0,
        due: *due,
        held: *held,
        finished,
        chunk,
        offset: 0,
        len: chunk.0.len() as u32,
        base: 0,
        kept_at: 0,
        committed: 0,
    };
    topic.import(&import, now, &mut Effects::default())
}

fn replay(topic: &mut Topic<Test>, record: &Record) {
    match record {
        Record::Publish(..) => publish(topic, record, 0),
        Record::Import(..) => drop(import(topic, record, 0)),
        Record::Channel(name, number) => topic.replay_channel(name, *number),
        Record::DeleteChannel(number) => topic.replay_delete_channel(*number),
        Record::EmptyChannel(number) => topic.replay_empty_channel(*number),
        Record::Empty => topic.empty(),
        Record::Pause(paused) => topic.pause(*paused, &mut Effects::default()),
        Record::Finish(number, first, count) => topic.replay_finish(*number, *first, *count),
        Record::Requeue(number, item) => topic.replay_requeue(*number, *item),
        Record::Delivered(number, id) => topic.replay_delivered(*number, *id),
    }
}

fn op() -> impl Strategy<Value = Op> {
    let channel = 0..CHANNELS.len();
    prop_oneof![
        8 => (prop_oneof![10 => 1..6usize, 1 => 500..2500usize], prop::bool::weighted(0.2))
            .prop_map(|(count, delay)| Op::Publish { count, delay }),
        8 => (channel.clone(), 50..2000usize).prop_map(|(channel, bytes)| Op::Pull { channel, bytes }),
        12 => any::<usize>().prop_map(Op::Finish),
        4 => (prop::bool::weighted(0.8), any::<usize>(), any::<bool>())
            .prop_map(|(new, n, delay)| Op::Import { new, n, delay }),
        3 => any::<usize>().prop_map(Op::Known),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(n, delay)| Op::Requeue(n, delay)),
        2 => prop_oneof![1..100i64, Just(TIMEOUT + 100)].prop_map(Op::Time),
        2 => channel.clone().prop_map(Op::Channel),
        1 => channel.clone().prop_map(Op::DeleteChannel),
        1 => channel.prop_map(Op::EmptyChannel),
        1 => Just(Op::Empty),
        2 => any::<bool>().prop_map(Op::Pause),
        3 => Just(Op::PageOut),
        3 => Just(Op::Log),
        1 => Just(Op::Checkpoint),
        1 => Just(Op::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_channel_gets_every_message(ops in proptest::collection::vec(op(), 1..120)) {
        let mut rig = Rig::new();
        for op in &ops {
            rig.run(op);
        }
        rig.drain();
    }
}
