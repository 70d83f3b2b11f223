//! Consumers that wait for messages, and who of them is woken.

use crate::Host;
use crate::channel::Channel;
use crate::consumer::{ConsumerId, Consumers, Locality};
use crate::topic::{Effects, Topic};

impl<H: Host> Topic<H> {
    /// Parks a consumer: the next message wakes the one that waits longest.
    pub(crate) fn park(&mut self, index: usize, id: ConsumerId) {
        let Some(channel) = self.channels[index].as_mut() else {
            return;
        };
        if let Some(consumer) = self.consumers.get_mut(id)
            && !consumer.parked
        {
            consumer.parked = true;
            channel.parked.push_back(id);
        }
        if !channel.listed {
            channel.listed = true;
            self.waiting.push(index);
        }
    }

    /// Wakes one parked consumer of each channel that has any.
    pub(crate) fn wake_parked(&mut self, effects: &mut Effects<H>) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|&index| {
            self.wake_one(index, effects);
            let channel = self.channels[index].as_mut();
            channel.is_some_and(|channel| {
                channel.listed = !channel.parked.is_empty();
                channel.listed
            })
        });
        waiting.append(&mut self.waiting);
        self.waiting = waiting;
    }

    pub(crate) fn wake_one(&mut self, index: usize, effects: &mut Effects<H>) {
        let Some(channel) = self.channels[index].as_mut() else {
            return;
        };
        if channel.paused {
            return;
        }
        while let Some(id) = channel.next_parked(&self.consumers) {
            if let Some(consumer) = self.consumers.get_mut(id)
                && std::mem::take(&mut consumer.parked)
            {
                effects.wake.push(consumer.spec.waker.clone());
                return;
            }
        }
    }
}

impl Channel {
    /// Who has waited longest, of the nearest.
    fn next_parked<H: Host>(&mut self, consumers: &Consumers<H>) -> Option<ConsumerId> {
        if !self.has_near {
            return self.parked.pop_front();
        }
        let nearness = |id: &ConsumerId| {
            let consumer = consumers.get(*id);
            consumer.map_or(Locality::Anywhere, |consumer| consumer.spec.locality)
        };
        let parked = self.parked.iter().enumerate();
        let nearest = parked.min_by_key(|(_, id)| nearness(id))?.0;
        self.parked.remove(nearest)
    }
}
