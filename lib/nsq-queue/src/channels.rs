//! A topic's channels: how they come and go, and who subscribes to them.

use crate::Host;
use crate::channel::Channel;
use crate::consumer::{Consumer, ConsumerId, ConsumerSpec, Locality};
use crate::lane::LaneKind;
use crate::topic::{Effects, SubscribeError, Topic};

impl<H: Host> Topic<H> {
    /// The channel's number and whether it is new. A new one starts with what the topic holds.
    pub fn create_channel(&mut self, name: &str, effects: &mut Effects<H>) -> (u32, bool) {
        let number = self.next_channel_number;
        self.insert_channel(name, number, effects)
    }

    pub(crate) fn insert_channel(
        &mut self,
        name: &str,
        number: u32,
        effects: &mut Effects<H>,
    ) -> (u32, bool) {
        if let Some(channel) = self.channel(name) {
            return (channel.number, false);
        }
        self.next_channel_number = self.next_channel_number.max(number + 1);
        let mut channel = Channel::new(name, number, self.distributed);
        channel.start_count = self.distributed_count;
        channel.apply_settings(&self.settings);
        let index = match self.free_channels.pop() {
            Some(index) => {
                self.channels[index] = Some(channel);
                index
            }
            None => {
                self.channels.push(Some(channel));
                self.channels.len() - 1
            }
        };
        self.by_name.insert(name.to_owned(), index);
        self.by_number.insert(number, index);
        self.distribute(effects);
        (number, true)
    }

    pub fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels[*self.by_name.get(name)?].as_ref()
    }

    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.iter().flatten()
    }

    pub(crate) fn index_of_number(&self, number: u32) -> Option<usize> {
        self.by_number.get(&number).copied()
    }

    /// `max_consumers`: 0 = unlimited.
    pub fn subscribe(
        &mut self,
        channel: &str,
        spec: ConsumerSpec<H::Waker>,
        max_consumers: usize,
    ) -> Result<ConsumerId, SubscribeError> {
        let index = *self
            .by_name
            .get(channel)
            .ok_or(SubscribeError::NoSuchChannel)?;
        let Some(channel) = self.channels[index].as_mut() else {
            return Err(SubscribeError::NoSuchChannel);
        };
        if max_consumers > 0 && channel.consumers.len() >= max_consumers {
            return Err(SubscribeError::TooManyConsumers);
        }
        let locality = spec.locality;
        let id = self.consumers.insert(Consumer::new(spec, index));
        channel.consumers.push(id);
        channel.has_near |= locality != Locality::Anywhere;
        Ok(id)
    }

    /// The consumer's connection is gone. What it held waits for its timeout, as in NSQ.
    pub fn unsubscribe(&mut self, id: ConsumerId, effects: &mut Effects<H>) {
        let Some(consumer) = self.consumers.remove(id) else {
            return;
        };
        let index = consumer.channel;
        let Some(channel) = self.channels[index].as_mut() else {
            return;
        };
        channel.consumers.retain(|&other| other != id);
        channel.ready[consumer.spec.locality as usize] -= u32::from(consumer.counted);
        if channel.ephemeral && channel.consumers.is_empty() {
            let gone = (channel.name.clone(), channel.number);
            self.remove_channel(index, effects);
            effects.channels_gone.push(gone);
        } else {
            self.requeue_held(index, id, effects);
            if self.available(index) > 0 {
                self.wake_one(index, effects); // it may have been woken for a message it never took
            }
        }
    }

    /// False if there is none of that name. Its consumers are to be disconnected.
    pub fn delete_channel(&mut self, name: &str, effects: &mut Effects<H>) -> bool {
        let Some(&index) = self.by_name.get(name) else {
            return false;
        };
        self.remove_channel(index, effects);
        true
    }

    fn remove_channel(&mut self, index: usize, effects: &mut Effects<H>) {
        self.empty_channel_at(index);
        let Some(channel) = self.channels[index].take() else {
            return;
        };
        self.by_name.remove(&channel.name);
        self.by_number.remove(&channel.number);
        self.free_channels.push(index);
        self.waiting.retain(|&other| other != index);
        self.dirty.retain(|&other| other != index);
        if let Some(armed) = channel.armed {
            self.timers.remove(&(armed, index));
        }
        for id in channel.consumers {
            if let Some(consumer) = self.consumers.remove(id) {
                effects.disconnect.push(consumer.spec.waker);
            }
        }
    }

    pub fn empty_channel(&mut self, name: &str) -> bool {
        let Some(&index) = self.by_name.get(name) else {
            return false;
        };
        self.empty_channel_at(index);
        true
    }

    /// Everything this channel has not finished is finished now.
    pub(crate) fn empty_channel_at(&mut self, index: usize) {
        let Some(channel) = self.channels[index].as_mut() else {
            return;
        };
        let [fifo, deferred] = &mut self.lanes;
        fifo.settle_range(channel.cursor, self.distributed);
        channel.cursor = self.distributed;
        let held: Vec<(u64, ConsumerId)> = {
            let held = channel.in_flight.iter();
            held.map(|held| (held.pos, held.consumer)).collect()
        };
        channel.in_flight = Default::default();
        let requeued = channel.requeued.drain(..).map(|item| item.pos);
        let waiting = channel.deferred.drain().map(|item| item.0.pos);
        let exceptions = requeued
            .chain(waiting)
            .chain(held.iter().map(|held| held.0));
        for pos in exceptions {
            match LaneKind::of(pos) {
                LaneKind::Fifo => fifo.settle(pos),
                LaneKind::Deferred => deferred.settle(pos),
            }
        }
        channel.log = Default::default();
        for (_, id) in held {
            self.change_consumer(id, |consumer| consumer.in_flight = 0);
        }
    }

    /// A paused channel delivers nothing. False if there is none of that name.
    pub fn pause_channel(&mut self, name: &str, paused: bool, effects: &mut Effects<H>) -> bool {
        let Some(&index) = self.by_name.get(name) else {
            return false;
        };
        if let Some(channel) = self.channels[index].as_mut() {
            channel.paused = paused;
        }
        if !paused {
            self.wake_one(index, effects);
        }
        true
    }
}
