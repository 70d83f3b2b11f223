use crate::Host;
use crate::consumer::ConsumerId;
use crate::in_flight::Held;
use crate::journal_log::{ChannelLog, Requeued};
use crate::lane::LaneKind;
use crate::latency::{Latencies, LatencySummary};
use crate::topic::{Effects, Topic};

/// Why a FIN, REQ or TOUCH failed, as NSQ words it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettleError {
    NotInFlight,
    NotOwner,
}

impl std::fmt::Display for SettleError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotInFlight => "ID not in flight",
            Self::NotOwner => "client does not own message",
        })
    }
}

/// A message that was finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// When it was published, by the wall's clock, and delivered, by the steady one.
    pub published: i64,
    pub delivered: i64,
}

impl<H: Host> Topic<H> {
    /// FIN: the channel is done with the message.
    pub fn finish(&mut self, consumer: ConsumerId, id: u64) -> Result<Finished, SettleError> {
        let (index, pos) = self.locate(consumer, id)?;
        let held = self.release(index, pos)?;
        self.lanes[LaneKind::of(pos) as usize].settle(pos);
        if let Some(channel) = self.channels[index].as_mut()
            && self.options.journalled
            && !channel.ephemeral
        {
            channel.log.finish(id);
        }
        self.mark_dirty(index);
        self.change_consumer(consumer, |consumer| {
            consumer.in_flight = consumer.in_flight.saturating_sub(1);
            consumer.finish_count += 1;
        });
        Ok(Finished {
            published: held.timestamp,
            delivered: held.delivered,
        })
    }

    /// Counts how long a message of this consumer took until its FIN, at `wall`, where such times
    /// are to be told.
    pub fn note_latency(&mut self, consumer: ConsumerId, finished: &Finished, wall: i64) {
        let window = self.options.latency_window;
        let index = self.consumers.get(consumer).map(|known| known.channel);
        let channel = index.and_then(|index| self.channels[index].as_mut());
        let Some(channel) = channel.filter(|_| window > 0) else {
            return;
        };
        if channel.latencies.is_none() {
            channel.latencies = Latencies::new(window, wall).map(Box::new);
        }
        if let Some(latencies) = &mut channel.latencies {
            latencies.record(wall - finished.published, wall);
        }
    }

    /// How long the messages of each channel took lately, from their publishing to their FIN;
    /// channels that have finished none are left out.
    pub fn latencies(&mut self, wall: i64) -> Vec<(String, LatencySummary)> {
        let channels = self.channels.iter_mut().flatten();
        let told = channels.filter_map(|channel| {
            let summary = channel.latencies.as_mut()?.summary(wall);
            Some((channel.name.clone(), summary))
        });
        told.collect()
    }

    /// REQ: again, after `delay` nanoseconds.
    pub fn requeue(
        &mut self,
        now: i64,
        consumer: ConsumerId,
        id: u64,
        delay: i64,
        effects: &mut Effects<H>,
    ) -> Result<(), SettleError> {
        let (index, pos) = self.locate(consumer, id)?;
        let held = self.release(index, pos)?;
        if let Some(channel) = self.channels[index].as_mut() {
            channel.requeue_count += 1;
        }
        let due = match delay {
            0 => 0,
            delay => now.saturating_add(delay),
        };
        self.put_back(index, &held, due, now, effects);
        self.change_consumer(consumer, |consumer| {
            consumer.in_flight = consumer.in_flight.saturating_sub(1);
            consumer.requeue_count += 1;
        });
        Ok(())
    }

    /// TOUCH: the consumer's timeout begins anew, but ends at delivery + `max-msg-timeout`.
    pub fn touch(&mut self, now: i64, consumer: ConsumerId, id: u64) -> Result<(), SettleError> {
        let (index, pos) = self.locate(consumer, id)?;
        let timeout = self
            .consumers
            .get(consumer)
            .map_or(0, |c| c.spec.msg_timeout);
        if let Some(channel) = self.channels[index].as_mut() {
            let delivered = channel
                .in_flight
                .get(pos)
                .map_or(now, |held| held.delivered);
            let latest = delivered.saturating_add(self.options.max_msg_timeout);
            channel.in_flight.touch(pos, now, timeout, latest);
        }
        self.note_deadline(index);
        Ok(())
    }

    /// The moment at which [`Topic::tick`] has something to do. It may come a little early.
    pub fn next_deadline(&self) -> Option<i64> {
        self.timers.first().map(|timer| timer.0)
    }

    /// Times out what was held too long and lets go what was deferred until now.
    pub fn tick(&mut self, now: i64, effects: &mut Effects<H>) {
        while let Some(&(deadline, index)) = self.timers.first()
            && deadline <= now
        {
            self.timers.pop_first();
            let Some(channel) = self.channels[index].as_mut() else {
                continue;
            };
            channel.armed = None;
            while channel
                .deferred
                .peek()
                .is_some_and(|item| item.0.due <= now)
            {
                if let Some(std::cmp::Reverse(item)) = channel.deferred.pop() {
                    channel.put_back(item.pos, item.attempts, 0, now);
                }
            }
            self.expire(index, now, effects);
            if self.available(index) > 0 {
                self.wake_one(index, effects);
            }
            self.note_deadline(index);
        }
    }

    fn expire(&mut self, index: usize, now: i64, effects: &mut Effects<H>) {
        while let Some(channel) = self.channels[index].as_mut()
            && let Some(held) = channel.in_flight.pop_expired(now)
        {
            channel.timeout_count += 1;
            self.put_back(index, &held, 0, now, effects);
            let mut waker = None;
            self.change_consumer(held.consumer, |consumer| {
                consumer.in_flight = consumer.in_flight.saturating_sub(1);
                waker = Some(consumer.spec.waker.clone());
            });
            effects.wake.extend(waker); // it has room again
        }
    }

    fn locate(&self, consumer: ConsumerId, id: u64) -> Result<(usize, u64), SettleError> {
        let index = self
            .consumers
            .get(consumer)
            .map(|consumer| consumer.channel);
        let pos = self.lanes[0]
            .pos_of_id(id)
            .or_else(|| self.lanes[1].pos_of_id(id));
        let (Some(index), Some(pos)) = (index, pos) else {
            return Err(SettleError::NotInFlight);
        };
        let channel = self.channels[index].as_ref();
        match channel.and_then(|channel| channel.in_flight.get(pos)) {
            None => Err(SettleError::NotInFlight),
            Some(held) if held.consumer != consumer => Err(SettleError::NotOwner),
            Some(_) => Ok((index, pos)),
        }
    }

    fn release(&mut self, index: usize, pos: u64) -> Result<Held, SettleError> {
        let channel = self.channels[index].as_mut();
        channel
            .and_then(|channel| channel.in_flight.remove(pos))
            .ok_or(SettleError::NotInFlight)
    }

    pub(crate) fn put_back(
        &mut self,
        index: usize,
        held: &Held,
        due: i64,
        now: i64,
        effects: &mut Effects<H>,
    ) {
        let id = self.lanes[LaneKind::of(held.pos) as usize].id_of_pos(held.pos);
        let Some(channel) = self.channels[index].as_mut() else {
            return;
        };
        channel.put_back(held.pos, held.attempts, due, now);
        if let Some(id) = id
            && self.options.journalled
            && !channel.ephemeral
        {
            channel.log.requeued.push(Requeued {
                id,
                attempts: held.attempts,
                due,
            });
        }
        self.mark_dirty(index);
        self.note_deadline(index);
        if self.available(index) > 0 {
            self.wake_one(index, effects);
        }
    }

    /// Keeps the topic's timers at most as late as the channel's next deadline.
    pub(crate) fn note_deadline(&mut self, index: usize) {
        let Some(channel) = self.channels[index].as_mut() else {
            return;
        };
        let Some(deadline) = channel.next_deadline() else {
            return;
        };
        if channel.armed.is_some_and(|armed| armed <= deadline) {
            return;
        }
        if let Some(armed) = channel.armed.replace(deadline) {
            self.timers.remove(&(armed, index));
        }
        self.timers.insert((deadline, index));
    }

    pub(crate) fn mark_dirty(&mut self, index: usize) {
        if !self.options.journalled {
            return;
        }
        if let Some(channel) = self.channels[index].as_mut()
            && !channel.dirty
            && !channel.ephemeral
        {
            channel.dirty = true;
            self.dirty.push(index);
        }
    }

    /// Whether [`Topic::take_logs`] has something.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Takes back what could not be journalled: the next [`Topic::take_logs`] has it again.
    pub fn return_log(&mut self, number: u32, mut log: ChannelLog) {
        let Some(index) = self.index_of_number(number) else {
            return;
        };
        if let Some(channel) = self.channels[index].as_mut() {
            log.finished.append(&mut channel.log.finished);
            log.requeued.append(&mut channel.log.requeued);
            channel.log = log;
        }
        self.mark_dirty(index);
    }

    /// What happened since the last call and belongs into the journal: (channel number, log).
    pub fn take_logs(&mut self) -> Vec<(u32, ChannelLog)> {
        let dirty = std::mem::take(&mut self.dirty);
        let mut logs = Vec::with_capacity(dirty.len());
        for index in dirty {
            let Some(channel) = self.channels[index].as_mut() else {
                continue;
            };
            channel.dirty = false;
            let mut log = std::mem::take(&mut channel.log);
            // Finishes in order move the cursor at recovery; only what was delivered and is
            // not finished needs to be told.
            if channel.in_flight.len() + channel.requeued.len() > 0 {
                log.delivered_through = self.lanes[0].id_before(channel.cursor);
            }
            logs.push((channel.number, log));
        }
        logs
    }
}
