use crate::Host;
use crate::consumer::ConsumerId;
use crate::settings::Settings;
use crate::topic::Topic;

/// A topic's numbers as `/stats` shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicStats<W> {
    pub name: String,
    pub paused: bool,
    /// Messages that no channel has got yet, and how many of those are only on disk.
    pub depth: u64,
    pub backend_depth: u64,
    pub message_count: u64,
    pub message_bytes: u64,
    pub resident_bytes: u64,
    /// Messages whose bodies were damaged beyond reading.
    pub lost_count: u64,
    pub settings: Settings,
    pub channels: Vec<ChannelStats<W>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChannelStats<W> {
    pub name: String,
    pub paused: bool,
    pub depth: u64,
    pub backend_depth: u64,
    pub in_flight_count: u64,
    pub deferred_count: u64,
    pub message_count: u64,
    pub requeue_count: u64,
    pub timeout_count: u64,
    /// Deliveries to consumers in the zone, elsewhere in the region, and anywhere else.
    pub delivered: [u64; 3],
    /// Messages that grew too old, that were too many, that were delivered often enough.
    pub expired_count: u64,
    pub dropped_count: u64,
    pub dead_count: u64,
    pub settings: Option<Settings>,
    /// Each consumer's connection and numbers.
    pub consumers: Vec<(W, ConsumerStats)>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConsumerStats {
    pub closing: bool,
    pub ready_count: u64,
    pub in_flight_count: u64,
    pub message_count: u64,
    pub finish_count: u64,
    pub requeue_count: u64,
}

impl<H: Host> Topic<H> {
    pub fn stats(&self) -> TopicStats<H::Waker> {
        let fifo = &self.lanes[0];
        let held = self.held.len() as u64;
        TopicStats {
            name: self.name.clone(),
            paused: self.paused,
            depth: fifo.next_pos - self.distributed + held,
            backend_depth: self.on_disk(self.distributed, fifo.next_pos),
            message_count: self.message_count,
            message_bytes: self.message_bytes,
            resident_bytes: self.resident_bytes(),
            lost_count: self.lost_count,
            settings: (*self.settings).clone(),
            channels: self
                .channels
                .iter()
                .flatten()
                .map(|c| self.channel_stats(c))
                .collect(),
        }
    }

    /// Deliveries that could not be made because the message was damaged on disk.
    pub fn lost_count(&self) -> u64 {
        self.lost_count
    }

    fn channel_stats(&self, channel: &crate::Channel) -> ChannelStats<H::Waker> {
        let consumers = channel.consumers.iter();
        ChannelStats {
            name: channel.name.clone(),
            paused: channel.paused,
            depth: self.distributed - channel.cursor + channel.requeued.len() as u64,
            backend_depth: self.on_disk(channel.cursor, self.distributed),
            in_flight_count: channel.in_flight.len() as u64,
            deferred_count: channel.deferred.len() as u64,
            message_count: self.distributed_count - channel.start_count,
            requeue_count: channel.requeue_count,
            timeout_count: channel.timeout_count,
            delivered: channel.delivered,
            expired_count: channel.expired_count,
            dropped_count: channel.dropped_count,
            dead_count: channel.dead_count,
            settings: channel.settings.as_deref().cloned(),
            consumers: consumers
                .filter_map(|&id| {
                    let waker = self.consumers.get(id)?.spec.waker.clone();
                    Some((waker, self.consumer_stats(id)?))
                })
                .collect(),
        }
    }

    pub fn consumer_stats(&self, id: ConsumerId) -> Option<ConsumerStats> {
        let consumer = self.consumers.get(id)?;
        Some(ConsumerStats {
            closing: consumer.closing,
            ready_count: u64::from(consumer.ready_count),
            in_flight_count: u64::from(consumer.in_flight),
            message_count: consumer.message_count,
            finish_count: consumer.finish_count,
            requeue_count: consumer.requeue_count,
        })
    }

    /// Messages of `from..to` that are only on disk.
    fn on_disk(&self, from: u64, to: u64) -> u64 {
        let fifo = &self.lanes[0];
        let blocks = fifo.blocks.range(fifo.index_from_pos(from)..);
        let paged = blocks.filter(|block| block.content.is_none() && block.page.is_some());
        paged
            .take_while(|block| block.first_pos < to)
            .map(|block| block.end_pos().min(to) - block.first_pos.max(from))
            .sum()
    }
}
