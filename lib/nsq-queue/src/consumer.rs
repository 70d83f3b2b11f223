use crate::Host;

/// Names a consumer of a topic; never the same for two, also one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl ConsumerId {
    /// Nobody's: whoever holds messages that are on their way to where dead ones go.
    pub(crate) const GRAVEDIGGER: Self = Self {
        index: u32::MAX,
        generation: u32::MAX,
    };
}

#[cfg(test)]
impl ConsumerId {
    pub(crate) const TEST: Self = Self {
        index: 7,
        generation: 1,
    };
}

/// What a connection brings along when it subscribes.
#[derive(Debug, Clone)]
pub struct ConsumerSpec<W> {
    pub waker: W,
    /// Nanoseconds until a delivered message times out.
    pub msg_timeout: i64,
    /// 1..=99: percent of the messages it wants; 0: all.
    pub sample_rate: u8,
    /// Start of its random numbers.
    pub seed: u64,
    pub locality: Locality,
}

/// How near a consumer is: the nearest that waits gets the next message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Locality {
    /// In the node's own zone.
    Zone,
    /// In another zone of its region.
    Region,
    /// Elsewhere, or nobody asks.
    #[default]
    Anywhere,
}

pub(crate) struct Consumer<H: Host> {
    pub spec: ConsumerSpec<H::Waker>,
    /// Index of its channel.
    pub channel: usize,
    pub ready_count: u32,
    pub in_flight: u32,
    pub closing: bool,
    /// It asked, found nothing, and waits to be woken.
    pub parked: bool,
    /// Counted in the channel's `ready` consumers.
    pub counted: bool,
    pub message_count: u64,
    pub finish_count: u64,
    pub requeue_count: u64,
    random: u64,
}

impl<H: Host> Consumer<H> {
    pub(crate) fn new(spec: ConsumerSpec<H::Waker>, channel: usize) -> Self {
        Self {
            random: spec.seed | 1,
            spec,
            channel,
            ready_count: 0,
            in_flight: 0,
            closing: false,
            parked: false,
            counted: false,
            message_count: 0,
            finish_count: 0,
            requeue_count: 0,
        }
    }

    /// How many more messages it takes.
    pub(crate) fn room(&self) -> u32 {
        match self.closing {
            true => 0,
            false => self.ready_count.saturating_sub(self.in_flight),
        }
    }

    /// Whether its sampling lets the next message through.
    pub(crate) fn samples(&mut self) -> bool {
        if self.spec.sample_rate == 0 {
            return true;
        }
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 100 < u64::from(self.spec.sample_rate)
    }
}

/// The consumers of a topic.
pub(crate) struct Consumers<H: Host> {
    slots: Vec<(u32, Option<Consumer<H>>)>,
    free: Vec<u32>,
}

impl<H: Host> Consumers<H> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(crate) fn insert(&mut self, consumer: Consumer<H>) -> ConsumerId {
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.0 += 1;
            slot.1 = Some(consumer);
            return ConsumerId {
                index,
                generation: slot.0,
            };
        }
        self.slots.push((0, Some(consumer)));
        ConsumerId {
            index: self.slots.len() as u32 - 1,
            generation: 0,
        }
    }

    pub(crate) fn remove(&mut self, id: ConsumerId) -> Option<Consumer<H>> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.0 != id.generation {
            return None;
        }
        let consumer = slot.1.take()?;
        self.free.push(id.index);
        Some(consumer)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: ConsumerId) -> Option<&mut Consumer<H>> {
        let slot = self.slots.get_mut(id.index as usize)?;
        slot.1.as_mut().filter(|_| slot.0 == id.generation)
    }

    pub(crate) fn get(&self, id: ConsumerId) -> Option<&Consumer<H>> {
        let slot = self.slots.get(id.index as usize)?;
        slot.1.as_ref().filter(|_| slot.0 == id.generation)
    }
}
