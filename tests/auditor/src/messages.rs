//! All messages of a run, by number, in little memory: tens of millions fit.
//!
//! Numbers come in stretches (each publisher counts up), so they lie in pages.

use std::collections::HashMap;

/// Numbers in a page.
const PAGE: u64 = 1024;
/// No topic has this index: a message that was never sent.
const NEVER: u16 = u16::MAX;
/// Never finished.
const NOT: i64 = i64::MIN;

#[derive(Debug, Default)]
pub(crate) struct Messages {
    pages: HashMap<u64, Box<[Message]>>,
    /// Those of one message lie together, one for each channel of its topic.
    fates: Vec<Fate>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Message {
    pub(crate) topic: u16,
    pub(crate) acknowledged: bool,
    first_fate: u32,
}

/// What became of a message on one channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fate {
    pub(crate) deliveries: u32,
    /// How often it was finished, by anybody.
    pub(crate) done: u16,
    /// The channel was emptied: it need not get this one.
    pub(crate) excused: bool,
    finished: i64,
}

impl Fate {
    pub(crate) fn finished(&self) -> Option<i64> {
        (self.finished != NOT).then_some(self.finished)
    }

    pub(crate) fn set_finished(&mut self, at: Option<i64>) {
        self.finished = at.unwrap_or(NOT);
        self.done = self.done.saturating_add(u16::from(at.is_some()));
    }

    /// A finish was none.
    pub(crate) fn finish_failed(&mut self) {
        self.finished = NOT;
        self.done = self.done.saturating_sub(1);
    }
}

impl Messages {
    /// False if it is there already.
    pub(crate) fn insert(&mut self, number: u64, topic: u16, channels: usize) -> bool {
        let blank = Message {
            topic: NEVER,
            acknowledged: false,
            first_fate: 0,
        };
        let page = self.pages.entry(number / PAGE);
        let page = page.or_insert_with(|| vec![blank; PAGE as usize].into());
        let message = &mut page[(number % PAGE) as usize];
        let is_new = message.topic == NEVER;
        // 32 bits: sixty gigabytes of fates.
        let first_fate = self.fates.len() as u32;
        *message = Message {
            topic,
            acknowledged: false,
            first_fate,
        };
        let blank = Fate {
            deliveries: 0,
            done: 0,
            excused: false,
            finished: NOT,
        };
        self.fates.extend(std::iter::repeat_n(blank, channels));
        is_new
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Message> {
        let page = self.pages.get_mut(&(number / PAGE))?;
        Some(&mut page[(number % PAGE) as usize]).filter(|message| message.topic != NEVER)
    }

    /// The fate of a message of `topic` on one of the topic's channels.
    pub(crate) fn fate(&mut self, number: u64, topic: u16, channel: usize) -> Option<&mut Fate> {
        let message = *self.get_mut(number)?;
        let at = message.first_fate as usize + channel;
        match message.topic == topic {
            true => self.fates.get_mut(at),
            false => None,
        }
    }

    /// Those of a topic, with their fates on one of its channels.
    pub(crate) fn on(
        &mut self,
        topic: u16,
        channel: usize,
        mut change: impl FnMut(u64, Message, &mut Fate),
    ) {
        for (page, messages) in &self.pages {
            for (number, message) in (page * PAGE..).zip(messages.iter()) {
                let at = message.first_fate as usize + channel;
                if message.topic == topic
                    && let Some(fate) = self.fates.get_mut(at)
                {
                    change(number, *message, fate);
                }
            }
        }
    }

    /// Number, message and fates; `channels` says how many a topic has.
    pub(crate) fn iter(
        &self,
        channels: impl Fn(u16) -> usize,
    ) -> impl Iterator<Item = (u64, Message, &[Fate])> {
        let numbered = self.pages.iter().flat_map(|(page, messages)| {
            let numbers = page * PAGE..;
            numbers.zip(messages.iter())
        });
        let sent = numbered.filter(|(_, message)| message.topic != NEVER);
        sent.map(move |(number, message)| {
            let first = message.first_fate as usize;
            let fates = &self.fates[first..first + channels(message.topic)];
            (number, *message, fates)
        })
    }
}
