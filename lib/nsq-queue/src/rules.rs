//! What settings do to a topic: what it refuses, what it drops, what it buries.

use std::sync::Arc;

use crate::Host;
use crate::block::{Content, Entry};
use crate::channel::Channel;
use crate::consumer::ConsumerId;
use crate::lane::{Lane, LaneKind};
use crate::settings::{Rules, Settings};
use crate::topic::{Effects, Topic};

/// How long a dead message may take on its way to where dead messages go; then it is tried again.
const BURIAL: i64 = 60_000_000_000;

/// A message that was delivered often enough. It is held until [`Topic::bury`].
pub struct DeadLetter<H: Host> {
    /// The channel's number.
    pub channel: u32,
    pub id: u64,
    /// The topic it goes to, if it goes anywhere.
    pub to: Option<Arc<str>>,
    pub chunk: H::Chunk,
    pub offset: u32,
    pub len: u32,
}

/// A limit that a publish would exceed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Full(String);

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<H: Host> Topic<H> {
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// `None`: there is no such channel. A channel that sets nothing has the default.
    pub fn channel_settings(&self, name: &str) -> Option<Settings> {
        let channel = self.channel(name)?;
        Some(channel.settings.as_deref().cloned().unwrap_or_default())
    }

    /// Sets the topic's, in the place of what it had.
    pub fn set_settings(&mut self, settings: Settings) {
        *self.settings = settings;
        self.apply_settings();
    }

    /// Sets a channel's, by its number. False if there is none.
    pub fn set_channel_settings(&mut self, number: u32, settings: Settings) -> bool {
        let index = self.index_of_number(number);
        let Some(channel) = index.and_then(|index| self.channels[index].as_mut()) else {
            return false;
        };
        let plain = settings == Settings::default();
        channel.settings = (!plain).then(|| Box::new(settings));
        self.apply_settings();
        true
    }

    /// All that is set, for checkpoints, by the channel's number; 0 stands for the topic.
    pub fn all_settings(&self) -> Vec<(u32, Settings)> {
        let channels = self.channels.iter().flatten();
        let kept = channels.filter(|channel| !channel.ephemeral);
        let own = kept.filter_map(|channel| Some((channel.number, channel.settings.as_deref()?)));
        let topic = (0, &*self.settings);
        let all = std::iter::once(topic).chain(own);
        let set = all.filter(|(_, settings)| **settings != Settings::default());
        set.map(|(number, settings)| (number, settings.clone()))
            .collect()
    }

    pub(crate) fn apply_settings(&mut self) {
        self.rules = Rules::of(&[&self.settings]);
        for channel in self.channels.iter_mut().flatten() {
            channel.apply_settings(&self.settings);
        }
        let channels = self.channels.iter().flatten();
        let rules = || channels.clone().map(|channel| &channel.rules);
        let limited = |rules: &Rules| rules.max_depth < u64::MAX || rules.max_bytes < u64::MAX;
        self.limited = limited(&self.rules) || rules().any(limited);
        self.expires = self.rules.expires() || rules().any(Rules::expires);
    }

    /// Whether [`Topic::admits`] may say no.
    pub fn has_limits(&self) -> bool {
        self.limited
    }

    /// Nobody waits for any message of it.
    pub fn is_empty(&self) -> bool {
        let mut blocks = self.lanes.iter().flat_map(|lane| &lane.blocks);
        blocks.all(|block| block.live == 0)
    }

    /// Whether messages of it may grow too old.
    pub fn expires(&self) -> bool {
        self.expires
    }

    /// Whether it takes so many messages of so many bytes together.
    ///
    /// # Errors
    /// Which limit is reached: nothing may be published then.
    pub fn admits(&self, messages: u64, bytes: u64) -> Result<(), Full> {
        match self.limited {
            true => self.check_limits(messages, bytes),
            false => Ok(()),
        }
    }

    fn check_limits(&self, messages: u64, bytes: u64) -> Result<(), Full> {
        let name = &self.name;
        let kept = self.kept_bytes();
        if !self.rules.drops() && kept.saturating_add(bytes) > self.rules.max_bytes {
            let most = self.rules.max_bytes;
            return Err(Full(format!(
                "topic {name} has {kept} bytes of at most {most}"
            )));
        }
        let waiting = self.lanes[0].next_pos - self.distributed + self.held.len() as u64;
        let full = |rules: &Rules, waiting: u64| {
            !rules.drops() && waiting.saturating_add(messages) > rules.max_depth
        };
        if full(&self.rules, waiting) {
            let most = self.rules.max_depth;
            return Err(Full(format!(
                "topic {name} has {waiting} messages of at most {most}"
            )));
        }
        for channel in self.channels.iter().flatten() {
            let waiting = waiting + self.waiting_in(channel);
            if full(&channel.rules, waiting) {
                let (channel, most) = (&channel.name, channel.rules.max_depth);
                return Err(Full(format!(
                    "channel {name}:{channel} has {waiting} messages of at most {most}"
                )));
            }
        }
        Ok(())
    }

    /// What waits for a consumer, now or later.
    fn waiting_in(&self, channel: &Channel) -> u64 {
        let again = channel.requeued.len() + channel.deferred.len();
        self.distributed - channel.cursor + again as u64
    }

    fn kept_bytes(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.kept_bytes).sum()
    }

    /// Drops the oldest of what is too much, where that is wanted.
    pub(crate) fn drop_excess(&mut self) {
        if !self.limited || self.restoring {
            return; // what was delivered before a crash is not known to be until all is replayed
        }
        let end = self.lanes[LaneKind::Fifo as usize].next_pos;
        let waiting = end - self.distributed;
        if self.rules.drops() && waiting > self.rules.max_depth {
            self.skip_undistributed(end - self.rules.max_depth);
        }
        for index in 0..self.channels.len() {
            let Some(channel) = &self.channels[index] else {
                continue;
            };
            let most = channel.rules.max_depth;
            if channel.rules.drops() && self.distributed - channel.cursor > most {
                let to = self.distributed - most;
                let dropped = self.skip_in_channel(index, to);
                self.count(index, |channel| channel.dropped_count += dropped);
            }
        }
        while self.rules.drops() && self.kept_bytes() > self.rules.max_bytes {
            if !self.drop_oldest_block() {
                break;
            }
        }
    }

    /// Drops what waits in the oldest block. False if that frees nothing: it is being filled, or
    /// consumers hold messages of it.
    fn drop_oldest_block(&mut self) -> bool {
        let fifo = &self.lanes[LaneKind::Fifo as usize];
        let Some(front) = fifo.blocks.front().filter(|_| fifo.blocks.len() > 1) else {
            return false;
        };
        let (first, end) = (front.first_pos, front.end_pos());
        for index in 0..self.channels.len() {
            let dropped = self.skip_in_channel(index, end);
            let requeued = self.drop_requeued(index, end);
            self.count(index, |channel| channel.dropped_count += dropped + requeued);
        }
        if self.distributed < end {
            self.skip_undistributed(end);
        }
        let front = self.lanes[LaneKind::Fifo as usize].blocks.front();
        front.is_none_or(|front| front.first_pos > first)
    }

    fn drop_requeued(&mut self, index: usize, end: u64) -> u64 {
        let fifo = &mut self.lanes[LaneKind::Fifo as usize];
        let journalled = self.options.journalled;
        let Some(channel) = self.channels[index].as_mut() else {
            return 0;
        };
        let before = channel.requeued.len();
        let (log, kept) = (&mut channel.log, journalled && !channel.ephemeral);
        channel.requeued.retain(|item| {
            let drop = item.pos < end;
            if drop {
                if let Some(id) = fifo.id_of_pos(item.pos).filter(|_| kept) {
                    log.finish(id);
                }
                fifo.settle(item.pos);
            }
            !drop
        });
        let dropped = before - channel.requeued.len();
        self.mark_dirty(index);
        dropped as u64
    }

    /// Passes over messages that grew too old, whole blocks at a time: so that what nobody reads
    /// does not stay for ever. The rest is found out when its turn comes. `wall` is the time of the
    /// clock that messages bear the time of, `steady` of the one that deadlines run on.
    pub fn drop_expired(&mut self, wall: i64, steady: i64) {
        self.wall_ahead = wall - steady;
        let now = wall;
        for index in 0..self.channels.len() {
            let Some(channel) = &self.channels[index] else {
                continue;
            };
            let ttl = channel.rules.ttl;
            let old = self.expired_until(channel.cursor, ttl, now);
            let to = old.min(self.distributed);
            if to > channel.cursor {
                let dropped = self.skip_in_channel(index, to);
                self.count(index, |channel| channel.expired_count += dropped);
            }
        }
        let old = self.expired_until(self.distributed, self.rules.ttl, now);
        if old > self.distributed {
            self.skip_undistributed(old);
        }
    }

    /// The end of the blocks from `pos` on that hold nothing younger than `ttl`.
    fn expired_until(&self, pos: u64, ttl: i64, now: i64) -> u64 {
        let fifo = &self.lanes[LaneKind::Fifo as usize];
        let blocks = fifo.blocks.range(fifo.index_from_pos(pos)..);
        let old =
            blocks.take_while(|block| block.newest > 0 && now.saturating_sub(block.newest) > ttl);
        old.last().map_or(pos, |block| block.end_pos())
    }

    /// The channel is done with everything up to `to` that it has not delivered yet. How many.
    fn skip_in_channel(&mut self, index: usize, to: u64) -> u64 {
        let to = to.min(self.distributed);
        let fifo = &mut self.lanes[LaneKind::Fifo as usize];
        let Some(channel) = self.channels[index].as_mut().filter(|it| it.cursor < to) else {
            return 0;
        };
        let from = std::mem::replace(&mut channel.cursor, to);
        if self.options.journalled && !channel.ephemeral {
            log_range(&mut channel.log, fifo, from, to);
        }
        fifo.settle_range(from, to);
        self.mark_dirty(index);
        to - from
    }

    fn count(&mut self, index: usize, count: impl FnOnce(&mut Channel)) {
        if let Some(channel) = self.channels[index].as_mut() {
            count(channel);
        }
    }

    /// A dead letter has arrived where it goes: the channel is done with it. False if it was not
    /// held any more.
    pub fn bury(&mut self, number: u32, id: u64) -> bool {
        let pos = self.lanes[0]
            .pos_of_id(id)
            .or_else(|| self.lanes[1].pos_of_id(id));
        let (Some(index), Some(pos)) = (self.index_of_number(number), pos) else {
            return false;
        };
        let Some(channel) = self.channels[index].as_mut() else {
            return false;
        };
        let held = channel.in_flight.get(pos);
        if held.is_none_or(|held| held.consumer != ConsumerId::GRAVEDIGGER) {
            return false;
        }
        channel.in_flight.remove(pos);
        channel.dead_count += 1;
        if self.options.journalled && !channel.ephemeral {
            channel.log.finish(id);
        }
        self.lanes[LaneKind::of(pos) as usize].settle(pos);
        self.mark_dirty(index);
        true
    }

    /// What this consumer holds waits again at once.
    pub fn release_all(&mut self, consumer: ConsumerId, effects: &mut Effects<H>) {
        let index = self.consumers.get(consumer).map(|known| known.channel);
        if let Some(index) = index {
            self.put_back_all(index, consumer, effects);
        }
    }

    /// A consumer has gone: what it held waits again at once, where that is wanted.
    pub(crate) fn requeue_held(
        &mut self,
        index: usize,
        gone: ConsumerId,
        effects: &mut Effects<H>,
    ) {
        let channel = self.channels[index].as_ref();
        if channel.is_some_and(|channel| channel.rules.requeue_on_disconnect) {
            self.put_back_all(index, gone, effects);
        }
    }

    fn put_back_all(&mut self, index: usize, gone: ConsumerId, effects: &mut Effects<H>) {
        let Some(channel) = &self.channels[index] else {
            return;
        };
        let held = channel
            .in_flight
            .iter()
            .filter(|held| held.consumer == gone);
        let positions: Vec<u64> = held.map(|held| held.pos).collect();
        for pos in positions {
            let channel = self.channels[index].as_mut();
            if let Some(held) = channel.and_then(|channel| channel.in_flight.remove(pos)) {
                self.put_back(index, &held, 0, 0, effects);
            }
        }
    }
}

fn log_range<H: Host>(log: &mut crate::ChannelLog, lane: &Lane<H>, from: u64, to: u64) {
    for block in lane.blocks.range(lane.index_from_pos(from)..) {
        let (low, high) = (block.first_pos.max(from), block.end_pos().min(to));
        if low >= high {
            break;
        }
        let first = block.first_id + (low - block.first_pos);
        log.finish_range(first, high - low);
    }
}

impl Channel {
    pub(crate) fn apply_settings(&mut self, topic: &Settings) {
        self.rules = match self.settings.as_deref() {
            Some(own) => Rules::of(&[own, topic]),
            None => Rules::of(&[topic]),
        };
        let own = self
            .settings
            .as_ref()
            .and_then(|own| own.dead_letter_topic.as_deref());
        let to = own.or(topic.dead_letter_topic.as_deref());
        self.dead_letter_topic = to.filter(|name| !name.is_empty()).map(Arc::from);
    }

    pub(crate) fn dead_letter<H: Host>(
        &self,
        id: u64,
        content: &Content<H>,
        entry: &Entry,
    ) -> DeadLetter<H> {
        DeadLetter {
            channel: self.number,
            id,
            to: self.dead_letter_topic.clone(),
            chunk: content.chunks[entry.chunk as usize].clone(),
            offset: entry.offset,
            len: entry.len,
        }
    }

    /// Nobody gets the message any more; it is held until it is where dead messages go.
    pub(crate) fn hold_dead(&mut self, pos: u64, attempts: u16, now: i64, timestamp: i64) {
        let gravedigger = ConsumerId::GRAVEDIGGER;
        self.in_flight
            .insert(pos, attempts, gravedigger, (now, BURIAL), timestamp);
    }
}
