use crate::Host;
use crate::channel::{Channel, Waiting};
use crate::consumer::{Consumer, ConsumerId};
use crate::lane::LaneKind;
use crate::settings::Fate;
use crate::topic::{Effects, Topic};

/// A message on its way to a consumer.
pub struct Delivery<'a, C> {
    pub id: u64,
    pub timestamp: i64,
    /// This delivery included.
    pub attempts: u16,
    pub chunk: &'a C,
    pub offset: u32,
    pub len: u32,
}

/// What a pull came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Pulled<P> {
    /// So many messages; 0 = nothing for now, the consumer will be woken (or has no room).
    Messages(u32),
    /// The next one lies on disk: read the page, give it to `page_in`, pull again.
    NeedsPage { page: P, pos: u64 },
    /// Messages wait, but the journal is not committed through `at` yet: the consumer is
    /// parked, and should also be woken when it is.
    NotKept { at: u64 },
}

/// A body on its entry: nothing is there because a damaged journal lost it.
pub(crate) const MISSING: u32 = u32::MAX;

impl<H: Host> Topic<H> {
    /// What the channel could deliver now.
    pub(crate) fn available(&self, index: usize) -> u64 {
        let Some(channel) = self.channels[index].as_ref() else {
            return 0;
        };
        if channel.paused || self.stands_still() {
            return 0;
        }
        let limit = self.distributed.min(self.visible[0].below);
        let fresh = limit.saturating_sub(channel.cursor);
        let front = channel.requeued.front();
        let requeued = match front.is_some_and(|item| self.is_kept(item.pos)) {
            true => channel.requeued.len() as u64,
            false => 0,
        };
        let first = channel.stray.first_key_value();
        let stray = match first.is_some_and(|(&pos, _)| self.is_kept(pos)) {
            true => channel.stray.len() as u64,
            false => 0,
        };
        fresh + requeued + stray
    }

    /// Whether something waits that is kept, or may be by now: only a pull knows how far the journal
    /// is.
    pub(crate) fn may_deliver(&self, index: usize) -> bool {
        let channel = self.channels[index].as_ref();
        channel.is_some_and(|channel| {
            let waits = channel.cursor < self.distributed
                || !channel.requeued.is_empty()
                || !channel.stray.is_empty();
            waits && !channel.paused && !self.stands_still()
        })
    }

    fn is_kept(&self, pos: u64) -> bool {
        pos < self.visible[LaneKind::of(pos) as usize].below
    }

    /// Where the journal must be committed before the channel's next message may go out, if it
    /// only waits for that.
    fn not_kept(&self, index: usize) -> Option<u64> {
        let channel = self.channels[index]
            .as_ref()
            .filter(|channel| !channel.paused && !self.stands_still())?;
        let fresh = (channel.cursor < self.distributed).then_some(channel.cursor);
        let requeued = channel.requeued.front().map(|item| item.pos);
        let stray = channel.stray.first_key_value().map(|(&pos, _)| pos);
        let waiting = fresh
            .into_iter()
            .chain(requeued)
            .chain(stray)
            .find(|&pos| !self.is_kept(pos))?;
        self.visible[LaneKind::of(waiting) as usize].next_mark()
    }

    /// The consumer's connection has room for `max_bytes`: takes messages and hands each to
    /// `sink`. `committed`: how far the journal is kept; nothing beyond is delivered.
    ///
    /// One pull takes at most its share of what waits, so that few messages go round all
    /// consumers that are ready; whoever leaves some behind wakes the next.
    pub fn pull(
        &mut self,
        now: i64,
        id: ConsumerId,
        committed: u64,
        max_bytes: usize,
        effects: &mut Effects<H>,
        mut sink: impl FnMut(Delivery<'_, H::Chunk>),
    ) -> Pulled<H::Page> {
        self.visible
            .iter_mut()
            .for_each(|lane| lane.advance(committed));
        self.change_consumer(id, |consumer| consumer.parked = false);
        let Some(consumer) = self.consumers.get(id) else {
            return Pulled::Messages(0);
        };
        let (index, room) = (consumer.channel, consumer.room());
        let nearness = consumer.spec.locality as usize;
        let available = self.available(index);
        if room == 0 || available == 0 {
            if room == 0 {
                return Pulled::Messages(0);
            }
            self.park(index, id);
            return match self.not_kept(index) {
                Some(at) => Pulled::NotKept { at },
                None => Pulled::Messages(0),
            };
        }
        // Those who are farther away do not count: what is left is for them.
        let ready = self.channels[index].as_ref();
        let ready = ready.map_or(1, |channel| channel.ready[..=nearness].iter().sum());
        let share = available.div_ceil(u64::from(ready.max(1)));
        let most = u64::from(room).min(share) as u32;
        let (mut taken, mut bytes, mut dropped) = (0u32, 0usize, false);
        while taken < most && (bytes < max_bytes || taken == 0) {
            match self.take_one(now, id, index, &mut sink) {
                Taken::Delivered(len) => {
                    taken += 1;
                    bytes += len as usize + 34;
                }
                Taken::Dropped => dropped = true,
                Taken::Nothing => break,
                Taken::Page(..) if taken > 0 => break,
                Taken::Page(page, pos) => {
                    effects.dead.append(&mut self.dead);
                    return Pulled::NeedsPage { page, pos };
                }
            }
        }
        effects.dead.append(&mut self.dead);
        if dropped {
            self.note_deadline(index);
            self.mark_dirty(index);
        }
        self.after_pull(index, id, taken, effects);
        Pulled::Messages(taken)
    }

    /// The consumer was woken but cannot take anything: the next one may.
    pub fn decline(&mut self, id: ConsumerId, effects: &mut Effects<H>) {
        let Some(index) = self.consumers.get(id).map(|consumer| consumer.channel) else {
            return;
        };
        if self.available(index) > 0 {
            self.wake_one(index, effects);
        }
    }

    fn after_pull(&mut self, index: usize, id: ConsumerId, taken: u32, effects: &mut Effects<H>) {
        if taken > 0 {
            self.note_deadline(index);
            self.mark_dirty(index);
        }
        let left = self.available(index);
        let room = self.consumers.get(id).map_or(0, Consumer::room);
        let Some(channel) = self.channels[index].as_mut() else {
            return;
        };
        let scarce = left < u64::from(channel.ready_count());
        if room > 0 && (left == 0 || (scarce && !channel.parked.is_empty())) {
            self.park(index, id);
        }
        if left > 0 {
            self.wake_one(index, effects);
        }
    }

    /// One message to the consumer: requeued and fresh ones in turn, when both wait.
    fn take_one(
        &mut self,
        now: i64,
        id: ConsumerId,
        index: usize,
        sink: &mut impl FnMut(Delivery<'_, H::Chunk>),
    ) -> Taken<H::Page> {
        let Some((item, from)) = self.next_waiting(index) else {
            return Taken::Nothing;
        };
        let lane = &mut self.lanes[LaneKind::of(item.pos) as usize];
        let Some(at) = lane.index_of_pos(item.pos) else {
            return Taken::Nothing;
        };
        let block = &lane.blocks[at];
        let content = match (&block.content, &block.page) {
            (Some(content), _) => content,
            (None, Some(page)) => return Taken::Page(page.clone(), item.pos),
            (None, None) => return Taken::Nothing,
        };
        let offset = item.pos - block.first_pos;
        let message_id = block.first_id + offset;
        let last_of_block = item.pos + 1 == block.end_pos();
        let (Some(channel), Some(consumer)) =
            (self.channels[index].as_mut(), self.consumers.get_mut(id))
        else {
            return Taken::Nothing;
        };
        let entry = content.entries.get(offset as usize).copied();
        let entry = entry.filter(|entry| entry.chunk != MISSING);
        self.lost_count += u64::from(entry.is_none());
        let fate = entry.map_or(Fate::Deliver, |entry| {
            let wall = now + self.wall_ahead;
            channel.rules.fate(item.attempts, entry.timestamp, wall)
        });
        let taken = match entry.filter(|_| fate != Fate::Expire && consumer.samples()) {
            Some(entry) if fate == Fate::Bury => {
                self.dead
                    .push(channel.dead_letter(message_id, content, &entry));
                channel.hold_dead(item.pos, item.attempts, now, entry.timestamp);
                Taken::Dropped
            }
            Some(entry) => {
                let attempts = item.attempts.saturating_add(1);
                sink(content.delivery(message_id, attempts, &entry));
                channel.hand_to(consumer, id, &item, now, entry.timestamp);
                Taken::Delivered(entry.len)
            }
            None => {
                lane.settle(item.pos);
                channel.expired_count += u64::from(fate == Fate::Expire);
                if self.options.journalled && !channel.ephemeral {
                    channel.log.finish(message_id);
                }
                Taken::Dropped
            }
        };
        channel.take_from(from, item.pos);
        if last_of_block && from != Source::Requeued {
            self.forget_read_block(item.pos);
        }
        taken
    }

    /// What the channel delivers next, and from where.
    fn next_waiting(&self, index: usize) -> Option<(Waiting, Source)> {
        let channel = self.channels[index].as_ref()?;
        let limit = self.distributed.min(self.visible[0].below);
        let fresh = (channel.cursor < limit).then_some(Waiting {
            pos: channel.cursor,
            attempts: 0,
        });
        let requeued = channel.requeued.front().copied();
        let requeued = requeued.map(|item| (item, Source::Requeued));
        let stray = channel.stray.first_key_value();
        let stray = stray.map(|(&pos, &attempts)| (Waiting { pos, attempts }, Source::Stray));
        let mut again = requeued.into_iter().chain(stray);
        match (again.find(|(item, _)| self.is_kept(item.pos)), fresh) {
            (Some(item), None) => Some(item),
            (Some(item), Some(_)) if channel.requeued_next => Some(item),
            (_, fresh) => fresh.map(|item| (item, Source::Cursor)),
        }
    }

    /// Changes a consumer and keeps its channel's count of ready ones right.
    pub(crate) fn change_consumer(
        &mut self,
        id: ConsumerId,
        change: impl FnOnce(&mut Consumer<H>),
    ) {
        let Some(consumer) = self.consumers.get_mut(id) else {
            return;
        };
        change(consumer);
        let ready = consumer.room() > 0;
        if ready == consumer.counted {
            return;
        }
        consumer.counted = ready;
        if let Some(channel) = self.channels[consumer.channel].as_mut() {
            let count = &mut channel.ready[consumer.spec.locality as usize];
            match ready {
                true => *count += 1,
                false => *count -= 1,
            }
        }
    }

    /// RDY: how many messages the consumer takes at a time.
    pub fn set_ready(&mut self, id: ConsumerId, count: u32) {
        self.change_consumer(id, |consumer| consumer.ready_count = count);
    }

    /// CLS: the consumer takes no more.
    pub fn close(&mut self, id: ConsumerId, effects: &mut Effects<H>) {
        self.change_consumer(id, |consumer| consumer.closing = true);
        self.decline(id, effects);
    }
}

impl Channel {
    /// What waited there is on its way.
    fn take_from(&mut self, from: Source, pos: u64) {
        self.requeued_next = from == Source::Cursor;
        match from {
            Source::Cursor => self.cursor += 1,
            Source::Requeued => drop(self.requeued.pop_front()),
            Source::Stray => drop(self.stray.remove(&pos)),
        }
    }

    /// The consumer holds the message from now on.
    fn hand_to<H: Host>(
        &mut self,
        consumer: &mut Consumer<H>,
        id: ConsumerId,
        item: &Waiting,
        now: i64,
        timestamp: i64,
    ) {
        let attempts = item.attempts.saturating_add(1);
        let timeout = consumer.spec.msg_timeout;
        self.in_flight
            .insert(item.pos, attempts, id, (now, timeout), timestamp);
        self.delivered[consumer.spec.locality as usize] += 1;
        consumer.in_flight += 1;
        consumer.message_count += 1;
        if consumer.room() == 0 && consumer.counted {
            consumer.counted = false;
            self.ready[consumer.spec.locality as usize] -= 1;
        }
    }
}

/// Where a channel's next message waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Cursor,
    Requeued,
    Stray,
}

enum Taken<P> {
    Delivered(u32),
    /// Sampled away, or lost.
    Dropped,
    Nothing,
    Page(P, u64),
}
