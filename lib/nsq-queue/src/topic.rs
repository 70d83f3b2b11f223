use std::collections::{BTreeSet, HashMap};

use crate::Host;
use crate::block::Entry;
use crate::channel::{Channel, Deferred, Waiting};
use crate::consumer::Consumers;
use crate::lane::{Lane, LaneKind};
use crate::rules::DeadLetter;
use crate::settings::{Rules, Settings};

/// A topic and its channels. Every method takes what it needs and says what must follow.
pub struct Topic<H: Host> {
    pub name: String,
    /// Its number in the journal.
    pub number: u32,
    pub ephemeral: bool,
    pub paused: bool,
    /// Not yet begun: it is being found out which channels it has elsewhere.
    pub(crate) hold: bool,
    pub(crate) options: TopicOptions,
    pub(crate) lanes: [Lane<H>; 3],
    pub(crate) visible: [Visible; 3],
    /// FIFO positions below this have gone to the channels.
    pub(crate) distributed: u64,
    /// Deferred messages that no channel has got yet: (due, position).
    pub(crate) held: Vec<(i64, u64)>,
    pub(crate) channels: Vec<Option<Channel>>,
    /// Places of channels that are gone.
    pub(crate) free_channels: Vec<usize>,
    pub(crate) by_name: HashMap<String, usize>,
    pub(crate) by_number: HashMap<u32, usize>,
    pub(crate) next_channel_number: u32,
    pub(crate) consumers: Consumers<H>,
    /// Channels in which a consumer is parked.
    pub(crate) waiting: Vec<usize>,
    pub(crate) timers: BTreeSet<(i64, usize)>,
    /// Channels with something to journal.
    pub(crate) dirty: Vec<usize>,
    /// Where to look for the next block to page out.
    pub(crate) page_hint: u64,
    pub(crate) message_count: u64,
    pub(crate) message_bytes: u64,
    /// Messages that have gone to the channels; what a channel got is the difference.
    pub(crate) distributed_count: u64,
    /// Messages whose bodies a damaged journal has lost.
    pub(crate) lost_count: u64,
    /// Records are being replayed.
    pub(crate) restoring: bool,
    /// Nothing is delivered: somebody else may own these messages.
    pub(crate) held_back: bool,
    /// Somebody takes its messages elsewhere: they are neither delivered nor handed to channels.
    pub(crate) moving: bool,
    /// Messages that were imported though they are here: their bases moved up.
    pub(crate) rebased: crate::bases::Rebased,
    pub(crate) settings: Box<Settings>,
    /// What is in force for the topic itself.
    pub(crate) rules: Rules,
    /// It or a channel of it has a limit.
    pub(crate) limited: bool,
    /// Messages of it or of a channel grow too old.
    pub(crate) expires: bool,
    /// How far the clock that messages bear the time of is ahead of the one that deadlines run on.
    pub(crate) wall_ahead: i64,
    /// Found during a pull.
    pub(crate) dead: Vec<DeadLetter<H>>,
}

#[derive(Debug, Clone)]
pub struct TopicOptions {
    /// Finishes and requeues are logged for the journal.
    pub journalled: bool,
    /// Messages kept in memory before the topic is to be paged out; what an ephemeral topic or
    /// channel that nobody reads has above this is dropped.
    pub mem_queue_size: u64,
    /// TOUCH extends no further than this after the delivery, nanoseconds.
    pub max_msg_timeout: i64,
    /// How far back times from publishing to FIN are told, nanoseconds; 0: not at all.
    pub latency_window: i64,
}

/// How far one lane may be delivered: what is not yet kept (journal position above the
/// committed one) waits.
#[derive(Default)]
pub(crate) struct Visible {
    pub below: u64,
    marks: std::collections::VecDeque<(u64, u64)>,
}

impl Visible {
    /// Messages below `pos` may go out once the journal is committed through `at`.
    pub(crate) fn note(&mut self, pos: u64, at: u64, committed: u64) {
        self.advance(committed);
        if at <= committed && self.marks.is_empty() {
            self.below = pos;
        } else {
            self.marks.push_back((at, pos));
        }
    }

    pub(crate) fn next_mark(&self) -> Option<u64> {
        self.marks.front().map(|mark| mark.0)
    }

    pub(crate) fn advance(&mut self, committed: u64) {
        while let Some(&(at, pos)) = self.marks.front()
            && at <= committed
        {
            self.below = pos;
            self.marks.pop_front();
        }
    }
}

/// What must happen outside after a call.
pub struct Effects<H: Host> {
    /// Consumers that should pull, once what was just published is kept.
    pub wake: Vec<H::Waker>,
    /// Consumers whose channel is gone: hang up.
    pub disconnect: Vec<H::Waker>,
    /// Ephemeral channels that went with their last consumer: (name, number).
    pub channels_gone: Vec<(String, u32)>,
    /// Messages that were delivered often enough: publish them where they go, then bury them.
    pub dead: Vec<DeadLetter<H>>,
}

impl<H: Host> Default for Effects<H> {
    fn default() -> Self {
        Self {
            wake: Vec::new(),
            disconnect: Vec::new(),
            channels_gone: Vec::new(),
            dead: Vec::new(),
        }
    }
}

/// Messages published together: one journal record, one chunk, ids that rise by one.
pub struct Run<'a, C> {
    pub first_id: u64,
    /// Nanoseconds since 1970.
    pub timestamp: i64,
    /// Not before this moment; 0 = at once.
    pub due: i64,
    pub chunk: &'a C,
    /// Where the bodies begin in the chunk: each is its length (4 bytes), then its bytes.
    pub bodies_at: u32,
    /// (anything, length) of each body.
    pub bodies: &'a [(u32, u32)],
    /// Journal position behind the record of these messages; 0 without a journal.
    pub base: u64,
    /// Journal position that must be committed before delivery, 0 = none.
    pub kept_at: u64,
    /// Journal position that is committed now.
    pub committed: u64,
}

impl<C> Run<'_, C> {
    /// Id and entry of each message; the chunk's index is the block's to give.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u64, Entry)> {
        let mut offset = self.bodies_at;
        let entry = move |&(_, len): &(u32, u32)| {
            let entry = Entry {
                timestamp: self.timestamp,
                offset: offset + 4,
                len,
                chunk: 0,
                base: 0,
            };
            offset += 4 + len;
            entry
        };
        (self.first_id..).zip(self.bodies.iter().map(entry))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscribeError {
    NoSuchChannel,
    TooManyConsumers,
}

impl<H: Host> Topic<H> {
    pub fn new(name: &str, number: u32, options: TopicOptions) -> Self {
        let lanes = LaneKind::ALL.map(Lane::new);
        let visible = Default::default();
        Self {
            name: name.to_owned(),
            number,
            ephemeral: name.ends_with("#ephemeral"),
            paused: false,
            hold: false,
            options,
            lanes,
            visible,
            distributed: 0,
            held: Vec::new(),
            channels: Vec::new(),
            free_channels: Vec::new(),
            by_name: HashMap::new(),
            by_number: HashMap::new(),
            next_channel_number: 1,
            consumers: Consumers::new(),
            waiting: Vec::new(),
            timers: BTreeSet::new(),
            dirty: Vec::new(),
            page_hint: 0,
            message_count: 0,
            message_bytes: 0,
            distributed_count: 0,
            lost_count: 0,
            restoring: false,
            held_back: false,
            moving: false,
            rebased: Default::default(),
            settings: Box::default(),
            rules: Rules::default(),
            limited: false,
            expires: false,
            wall_ahead: 0,
            dead: Vec::new(),
        }
    }

    pub fn set_journalled(&mut self, journalled: bool) {
        self.options.journalled = journalled;
    }

    /// Takes messages in. The caller has kept them (or accepted them in memory), gives the
    /// publisher its OK after the commit, and then wakes whom `effects` names.
    pub fn publish(&mut self, run: &Run<'_, H::Chunk>, effects: &mut Effects<H>) {
        let kind = match run.due {
            0 => LaneKind::Fifo,
            _ => LaneKind::Deferred,
        };
        let holders = match self.distributes() {
            true => self.by_name.len() as u64,
            false => 1,
        };
        let lane = &mut self.lanes[kind as usize];
        let from = lane.next_pos;
        for (id, entry) in run.entries() {
            lane.append(id, entry, run.base, run.chunk, holders);
            self.message_bytes += u64::from(entry.len);
        }
        let to = lane.next_pos;
        self.message_count += to - from;
        self.visible[kind as usize].note(to, run.kept_at, run.committed);
        match kind {
            LaneKind::Fifo if self.distributes() => {
                self.distributed = to;
                self.distributed_count += to - from;
                self.wake_parked(effects);
            }
            LaneKind::Fifo => {}
            LaneKind::Deferred | LaneKind::Imported if self.distributes() => {
                self.distributed_count += to - from;
                (from..to).for_each(|pos| self.defer_everywhere(run.due, pos));
            }
            _ => self.held.extend((from..to).map(|pos| (run.due, pos))),
        }
        self.drop_overflow();
    }

    pub(crate) fn distributes(&self) -> bool {
        !self.paused && !self.hold && !self.moving && !self.by_name.is_empty()
    }

    /// Hands what the topic holds to its channels, if it may.
    pub(crate) fn distribute(&mut self, effects: &mut Effects<H>) {
        if !self.distributes() {
            return;
        }
        let holders = self.by_name.len() as u64;
        let fifo = &mut self.lanes[LaneKind::Fifo as usize];
        let (from, to) = (self.distributed, fifo.next_pos);
        fifo.distribute(from, to, holders);
        self.distributed = to;
        self.distributed_count += to - from;
        for (due, pos) in std::mem::take(&mut self.held) {
            self.lanes[LaneKind::of(pos) as usize].distribute(pos, pos + 1, holders);
            self.distributed_count += 1;
            self.defer_everywhere(due, pos);
        }
        self.wake_parked(effects);
        self.drop_overflow();
    }

    pub(crate) fn defer_everywhere(&mut self, due: i64, pos: u64) {
        let attempts = 0;
        for index in 0..self.channels.len() {
            let Some(channel) = self.channels[index].as_mut() else {
                continue;
            };
            if self.restoring {
                channel.restoring.insert(pos, (attempts, due));
                continue;
            }
            channel
                .deferred
                .push(std::cmp::Reverse(Deferred { due, pos, attempts }));
            self.note_deadline(index);
        }
    }

    /// Ephemeral queues are bounded: the oldest of what is too much goes.
    pub(crate) fn drop_overflow(&mut self) {
        self.drop_excess();
        let limit = self.options.mem_queue_size;
        let end = self.lanes[LaneKind::Fifo as usize].next_pos;
        if self.ephemeral && end - self.distributed > limit {
            self.skip_undistributed(end - limit);
        }
        let fifo = &mut self.lanes[LaneKind::Fifo as usize];
        for channel in self.channels.iter_mut().flatten() {
            if channel.ephemeral && self.distributed - channel.cursor > limit {
                let to = self.distributed - limit;
                fifo.settle_range(channel.cursor, to);
                channel.cursor = to;
            }
        }
    }

    /// Drops what no channel has got yet; the channels keep theirs, as in NSQ.
    pub fn empty(&mut self) {
        self.skip_undistributed(self.lanes[LaneKind::Fifo as usize].next_pos);
        for (_, pos) in self.held.drain(..) {
            self.lanes[LaneKind::of(pos) as usize].settle(pos);
        }
    }

    /// No channel gets what lies between `distributed` and `to`. A cursor cannot run over such a
    /// hole, so what a channel has before it becomes an exception.
    pub(crate) fn skip_undistributed(&mut self, to: u64) {
        let from = std::mem::replace(&mut self.distributed, to);
        if from == to {
            return;
        }
        self.lanes[LaneKind::Fifo as usize].settle_range(from, to);
        for channel in self.channels.iter_mut().flatten() {
            for pos in channel.cursor..from {
                match self.restoring {
                    true => drop(channel.restoring.insert(pos, (0, 0))),
                    false => channel.requeued.push_back(Waiting { pos, attempts: 0 }),
                }
            }
            channel.cursor = to;
        }
    }

    /// A paused topic keeps its messages to itself.
    pub fn pause(&mut self, paused: bool, effects: &mut Effects<H>) {
        self.paused = paused;
        self.distribute(effects);
    }

    /// While held, a new topic collects messages, so that channels which become known a moment
    /// later get them all.
    pub fn hold(&mut self, hold: bool, effects: &mut Effects<H>) {
        self.hold = hold;
        self.distribute(effects);
    }

    /// Pages of finished blocks: the host may forget them.
    pub fn take_released(&mut self) -> Vec<H::Page> {
        let [fifo, others @ ..] = &mut self.lanes;
        let mut pages = std::mem::take(&mut fifo.released); // an empty one costs nothing
        others
            .iter_mut()
            .for_each(|lane| pages.append(&mut lane.released));
        pages
    }
}
