//! Knows what must be true of messages, whoever moves them: told what was sent, acknowledged,
//! delivered, finished, and when the server died, it says what was lost, invented, altered, or
//! repeated without reason. No I/O, no clock: the simulation and the chaos runs use the same.

#![forbid(unsafe_code)]

mod body;
mod messages;

use std::collections::BTreeMap;

pub use body::{decode, encode};

use messages::Messages;

/// How a run is judged.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// A finish that is younger than this at a crash may be forgotten, nanoseconds.
    pub finish_may_be_forgotten: i64,
    /// Messages time out under their consumers: a finish may come too late and be refused after
    /// the message has gone to somebody else.
    pub finish_may_be_late: bool,
    /// Two nodes may own a message: it can come again after its finish, but it must be finished once.
    pub paired: bool,
}

/// All messages of a run and what became of them.
#[derive(Debug)]
pub struct Auditor {
    rules: Rules,
    /// Channels of each topic; every message belongs to all of its topic's.
    topics: Vec<(String, Vec<String>)>,
    messages: Messages,
    crashes: Vec<i64>,
    /// Finishes before this are final.
    settled: i64,
    counts: Counts,
    complaints: Vec<String>,
    complaints_in_all: u64,
}

/// What happened in all.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub sent: u64,
    pub acknowledged: u64,
    pub deliveries: u64,
    pub finished: u64,
    pub crashes: u64,
    /// Deliveries beyond the first.
    pub repeated: u64,
    /// Deliveries after a finish that a crash may have taken.
    pub forgotten_finishes: u64,
    /// Deliveries after a finish that came too late.
    pub late_finishes: u64,
    /// Messages that were acknowledged by a node alone and went with its disk.
    pub excused: u64,
}

/// The outcome of a run.
#[derive(Debug, Default)]
pub struct Verdict {
    pub counts: Counts,
    /// (message, topic, channel) that were acknowledged and never delivered.
    pub lost: Vec<(u64, String, String)>,
    /// Acknowledged, delivered, not finished, and yet not there any more: lost in flight, on one
    /// channel each. Says something only where consumers finish all they get.
    pub unfinished: u64,
    /// Delivered, neither acknowledged nor finished, and not there any more: delivered before they
    /// were kept. As above.
    pub vanished: u64,
    /// Everything else that must not be: the first of it, and how much in all.
    pub complaints: Vec<String>,
    pub complaints_in_all: u64,
}

/// Complaints kept; one is bad enough.
const COMPLAINTS: usize = 100;

impl Auditor {
    pub fn new(rules: Rules, channels: BTreeMap<String, Vec<String>>) -> Self {
        Self {
            rules,
            topics: channels.into_iter().collect(),
            messages: Messages::default(),
            crashes: Vec::new(),
            settled: i64::MIN,
            counts: Counts::default(),
            complaints: Vec::new(),
            complaints_in_all: 0,
        }
    }

    /// A publisher is about to send message `number`. Numbers are unique in a run.
    pub fn sent(&mut self, topic: &str, number: u64) {
        self.counts.sent += 1;
        let Some((index, channels)) = self.topic(topic) else {
            return self.complain(format!("{topic} is no topic: the run itself is wrong"));
        };
        let channels = channels.len();
        if !self.messages.insert(number, index, channels) {
            self.complain(format!(
                "message {number} was sent twice: the run itself is wrong"
            ));
        }
    }

    /// The server said OK.
    pub fn acknowledged(&mut self, number: u64) {
        self.counts.acknowledged += 1;
        if let Some(message) = self.messages.get_mut(number) {
            message.acknowledged = true;
        }
    }

    /// A consumer got a body. The message's number, if it is one of ours.
    pub fn delivered(
        &mut self,
        topic: &str,
        channel: &str,
        body: &[u8],
        attempts: u16,
    ) -> Option<u64> {
        self.counts.deliveries += 1;
        let Some(number) = decode(body) else {
            self.complain(format!(
                "{topic}/{channel}: a body was altered or invented: {body:?}"
            ));
            return None;
        };
        if attempts == 0 {
            self.complain(format!(
                "{topic}/{channel}: message {number} has no attempts"
            ));
        }
        let (rules, settled) = (self.rules, self.settled);
        let Some(fate) = self.fate(topic, channel, number) else {
            self.complain(format!(
                "{topic}/{channel}: message {number} was never sent here"
            ));
            return Some(number);
        };
        fate.deliveries += 1;
        let (repeated, finished) = (fate.deliveries > 1, fate.finished());
        fate.set_finished(None);
        self.counts.repeated += u64::from(repeated);
        let Some(finished) = finished else {
            return Some(number);
        };
        let taken =
            |&&crash: &&i64| (finished..finished + rules.finish_may_be_forgotten).contains(&crash);
        if self.crashes.iter().find(taken).is_some() {
            self.counts.forgotten_finishes += 1;
        } else if rules.paired && finished < settled {
            self.complain(format!(
                "{topic}/{channel}: message {number} came again after both nodes knew of its finish at {finished}"
            ));
        } else if rules.finish_may_be_late || rules.paired {
            self.counts.late_finishes += 1;
        } else {
            self.complain(format!(
                "{topic}/{channel}: message {number} came again after its finish at {finished}, crashes at {:?}",
                self.crashes
            ));
        }
        Some(number)
    }

    /// A consumer sent FIN, at `now`.
    pub fn finished(&mut self, topic: &str, channel: &str, number: u64, now: i64) {
        self.counts.finished += 1;
        if let Some(fate) = self.fate(topic, channel, number) {
            fate.set_finished(Some(now));
        }
    }

    /// The server said that it could not finish: the message had timed out before.
    pub fn finish_failed(&mut self, topic: &str, channel: &str, number: u64) {
        if let Some(fate) = self.fate(topic, channel, number) {
            fate.finish_failed();
        }
    }

    /// This message may be lost: the node that had it alone said so, and its disk is gone.
    pub fn excused(&mut self, number: u64) {
        self.counts.excused += 1;
        if let Some(message) = self.messages.get_mut(number) {
            message.acknowledged = false;
        }
    }

    /// The messages that were sent so far.
    pub fn all_sent(&self) -> Vec<u64> {
        self.messages
            .iter(|_| 0)
            .map(|(number, ..)| number)
            .collect()
    }

    /// A channel was emptied, or is not there: it need not get what was sent so far, but for what is `spared`. The
    /// messages that it need not get and that were acknowledged by then.
    pub fn emptied(
        &mut self,
        topic: &str,
        channel: &str,
        spared: &dyn Fn(u64) -> bool,
    ) -> Vec<u64> {
        let mut acknowledged = Vec::new();
        let Some((index, channels)) = self.topic(topic) else {
            return acknowledged;
        };
        if let Some(channel) = channels.iter().position(|other| other == channel) {
            self.messages.on(index, channel, |number, message, fate| {
                if !spared(number) {
                    fate.excused = true;
                    acknowledged.extend(message.acknowledged.then_some(number));
                }
            });
        }
        acknowledged
    }

    /// The server died, at `now`.
    pub fn crashed(&mut self, now: i64) {
        self.counts.crashes += 1;
        self.crashes.push(now);
    }

    /// Both nodes of a pair know of all finishes before this moment: none of these messages may come again.
    pub fn settled(&mut self, before: i64) {
        self.settled = self.settled.max(before);
    }

    /// The server was told to stop, at `now`: it keeps everything it has read, but not what was
    /// still on its way.
    pub fn stopped(&mut self, now: i64) {
        self.crashes.push(now);
    }

    /// Something else that must not be.
    pub fn complain(&mut self, what: String) {
        self.complaints_in_all += 1;
        if self.complaints.len() < COMPLAINTS {
            self.complaints.push(what);
        }
    }

    /// No channel may have finished a message more often than this: once, and once more for each event that can
    /// repeat it.
    pub fn finished_at_most(&mut self, most: u64) {
        let topics = &self.topics;
        let count = |topic: u16| {
            topics
                .get(usize::from(topic))
                .map_or(0, |topic| topic.1.len())
        };
        let fates = self.messages.iter(count);
        let fates =
            fates.flat_map(|(number, _, fates)| fates.iter().map(move |fate| (number, fate)));
        let often = fates.filter(|(_, fate)| u64::from(fate.done) > most);
        let often: Vec<_> = often.map(|(number, fate)| (number, fate.done)).collect();
        for (number, done) in often {
            self.complain(format!(
                "message {number} was finished {done} times, for {most} reasons"
            ));
        }
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Every queue was drained: what was acknowledged must have come.
    pub fn verdict(&self) -> Verdict {
        let mut lost = Vec::new();
        let (mut unfinished, mut vanished) = (0, 0);
        let channels = |topic: u16| self.topics.get(usize::from(topic));
        let count = |topic| channels(topic).map_or(0, |topic| topic.1.len());
        for (number, message, fates) in self.messages.iter(count) {
            if !message.acknowledged {
                // With two owners it may be finished at one, and then refused at the other.
                let is_done = |fate: &messages::Fate| match self.rules.paired {
                    true => fate.done > 0,
                    false => fate.finished().is_some(),
                };
                let gone = |fate: &&messages::Fate| fate.deliveries > 0 && !is_done(fate);
                vanished += fates.iter().filter(gone).count() as u64;
                continue;
            }
            let Some((topic, channels)) = channels(message.topic) else {
                continue;
            };
            let judged = channels.iter().zip(fates);
            for (channel, fate) in judged.filter(|(_, fate)| !fate.excused) {
                if fate.deliveries == 0 || (self.rules.paired && fate.done == 0) {
                    lost.push((number, topic.clone(), channel.clone()));
                } else if fate.finished().is_none() && !self.rules.paired {
                    unfinished += 1;
                }
            }
        }
        lost.sort();
        Verdict {
            counts: self.counts,
            lost,
            unfinished,
            vanished,
            complaints: self.complaints.clone(),
            complaints_in_all: self.complaints_in_all,
        }
    }

    /// A topic's index and channels.
    fn topic(&self, topic: &str) -> Option<(u16, &[String])> {
        let index = self.topics.iter().position(|other| other.0 == topic)?;
        Some((u16::try_from(index).ok()?, &self.topics[index].1))
    }

    fn fate(&mut self, topic: &str, channel: &str, number: u64) -> Option<&mut messages::Fate> {
        let (index, channels) = self.topic(topic)?;
        let channel = channels.iter().position(|other| other == channel)?;
        self.messages.fate(number, index, channel)
    }
}

impl Verdict {
    pub fn is_good(&self) -> bool {
        self.lost.is_empty() && self.complaints.is_empty()
    }
}

#[cfg(test)]
mod tests;
