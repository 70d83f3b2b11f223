use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use crate::consumer::ConsumerId;
use crate::in_flight::InFlight;
use crate::journal_log::ChannelLog;
use crate::latency::Latencies;
use crate::settings::{Rules, Settings};

/// A message that was delivered before and waits again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub pos: u64,
    pub attempts: u16,
}

/// A message that waits until `due`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deferred {
    pub due: i64,
    pub pos: u64,
    pub attempts: u16,
}

/// A channel: a cursor into its topic's messages, and the exceptions to it.
pub struct Channel {
    pub name: String,
    /// Its number in the journal.
    pub number: u32,
    pub ephemeral: bool,
    pub paused: bool,
    /// The next message never delivered here.
    pub(crate) cursor: u64,
    pub(crate) in_flight: InFlight,
    pub(crate) requeued: VecDeque<Waiting>,
    pub(crate) deferred: BinaryHeap<Reverse<Deferred>>,
    pub(crate) consumers: Vec<ConsumerId>,
    /// Consumers that found nothing, longest waiting first; some may have gone since.
    pub(crate) parked: VecDeque<ConsumerId>,
    /// How many consumers have room, by how near they are.
    pub(crate) ready: [u32; 3],
    /// Some consumers are nearer than others.
    pub(crate) has_near: bool,
    /// Deliveries, by how near the consumer was.
    pub(crate) delivered: [u64; 3],
    /// Times from publishing to FIN, if they are to be told.
    pub(crate) latencies: Option<Box<Latencies>>,
    /// Whose turn it is when both wait: true = the requeued.
    pub(crate) requeued_next: bool,
    /// In the topic's list of channels with parked consumers.
    pub(crate) listed: bool,
    /// The deadline the topic has noted for this channel.
    pub(crate) armed: Option<i64>,
    pub(crate) log: ChannelLog,
    /// During recovery: delivered, not finished: position to (attempts, due).
    pub(crate) restoring: BTreeMap<u64, (u16, i64)>,
    /// In the topic's list of channels with something to journal.
    pub(crate) dirty: bool,
    /// The topic's count of distributed messages when the channel began.
    pub(crate) start_count: u64,
    pub(crate) requeue_count: u64,
    pub(crate) timeout_count: u64,
    /// Messages that grew too old, that were too many, that were delivered often enough.
    pub(crate) expired_count: u64,
    pub(crate) dropped_count: u64,
    pub(crate) dead_count: u64,
    /// What is set for this channel alone.
    pub(crate) settings: Option<Box<Settings>>,
    /// What is in force.
    pub(crate) rules: Rules,
    pub(crate) dead_letter_topic: Option<Arc<str>>,
}

impl Channel {
    pub(crate) fn new(name: &str, number: u32, cursor: u64) -> Self {
        Self {
            name: name.to_owned(),
            number,
            ephemeral: name.ends_with("#ephemeral"),
            paused: false,
            cursor,
            in_flight: InFlight::default(),
            requeued: VecDeque::new(),
            deferred: BinaryHeap::new(),
            consumers: Vec::new(),
            parked: VecDeque::new(),
            ready: [0; 3],
            has_near: false,
            delivered: [0; 3],
            latencies: None,
            requeued_next: false,
            listed: false,
            armed: None,
            restoring: BTreeMap::new(),
            log: ChannelLog::default(),
            dirty: false,
            start_count: 0,
            requeue_count: 0,
            timeout_count: 0,
            expired_count: 0,
            dropped_count: 0,
            dead_count: 0,
            settings: None,
            rules: Rules::default(),
            dead_letter_topic: None,
        }
    }

    /// Consumers with room.
    pub(crate) fn ready_count(&self) -> u32 {
        self.ready.iter().sum()
    }

    /// Puts a message back: at once, or after its delay.
    pub(crate) fn put_back(&mut self, pos: u64, attempts: u16, due: i64, now: i64) {
        if due > now {
            self.deferred.push(Reverse(Deferred { due, pos, attempts }));
        } else {
            self.requeued.push_back(Waiting { pos, attempts });
        }
    }

    /// The next moment at which something happens here by itself.
    pub(crate) fn next_deadline(&self) -> Option<i64> {
        let deferred = self.deferred.peek().map(|item| item.0.due);
        deferred
            .into_iter()
            .chain(self.in_flight.next_deadline())
            .min()
    }
}
