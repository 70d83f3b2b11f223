//! `--adopt-after`: when a node adopts its peer without an order. Values in, a value out;
//! `docs/decisions/0006-adopt-after.md` gives the reasons.
//!
//! Times are nanoseconds of this node's steady clock. Of other machines only ages are taken.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::lookup::{Presence, Testimony};

const SECOND: i64 = 1_000_000_000;
/// An nsqd that is connected to an nsqlookupd says PING every 15 seconds: it has missed two.
const PINGS_MISSED: i64 = 35 * SECOND;
/// An nsqd that lost an nsqlookupd is there again within 15 seconds, and what connecting takes.
const SETTLED: i64 = 20 * SECOND;
/// How often the nsqlookupds are asked while nothing depends on it: one that does not know the peer should be found in
/// good time.
const IDLE: i64 = 30 * SECOND;
/// How often at most, and at least, while something does.
const PACE: std::ops::RangeInclusive<i64> = SECOND / 4..=5 * SECOND;
/// So many times in a row an nsqlookupd did not know the peer while it was linked: its word does not count.
const STRANGE: u32 = 2;

/// What this node is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// Either link is up.
    pub linked: bool,
    /// When the peer was last heard of over a link; the start, if it never was.
    pub heard: i64,
    /// Of the peer, as mirrored.
    pub incarnation: Option<u64>,
    /// The latest run of the peer that said HELLO; 0: none did.
    pub run: u64,
    pub left: Left,
    pub stopping: bool,
}

/// What there is to adopt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing of the peer's is unfinished here.
    Nothing,
    /// An adoption is under way.
    Importing,
    /// Everything was adopted.
    Adopted,
    /// Messages.
    Messages,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Wait(Reason),
    /// What the nsqlookupds said is too old.
    Ask,
    Adopt,
}

/// Why not now. Says nothing that changes from look to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Nothing was looked at yet.
    Starting,
    Stopping,
    Linked,
    NothingLeft,
    Importing,
    Adopted,
    /// The peer was heard of within the time.
    Lately,
    NoWitness,
    /// That nsqlookupd has heard of the peer within the time.
    Heard(String),
    /// So many of so many nsqlookupds say that they have not.
    TooFew(usize, usize),
    /// The adoption could not begin.
    Refused(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("nothing was looked at yet"),
            Self::Stopping => f.write_str("this node stops"),
            Self::Linked => f.write_str("the peer is linked"),
            Self::NothingLeft => f.write_str("there is nothing to adopt"),
            Self::Importing => f.write_str("an adoption is under way"),
            Self::Adopted => f.write_str("everything was adopted"),
            Self::Lately => f.write_str("the links have not been down for the time yet"),
            Self::NoWitness => f.write_str("there is no nsqlookupd to ask"),
            Self::Heard(address) => write!(f, "nsqlookupd {address} has heard of the peer"),
            Self::TooFew(silent, of) => write!(
                f,
                "{silent} of {of} nsqlookupds say that they have not heard of the peer: it takes more than half"
            ),
            Self::Refused(why) => write!(f, "the adoption cannot begin: {why}"),
        }
    }
}

/// What one nsqlookupd said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Witness {
    /// The last answer, or why there was none.
    answer: Option<Result<Presence, String>>,
    /// This node's connection to it stands since.
    connected: Option<i64>,
    /// The latest moment at which it may have heard of the peer; at the earliest the first answer.
    heard: Option<i64>,
    /// Looks in a row that did not find the peer while it was linked.
    strange: u32,
}

/// What the word of an nsqlookupd comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    Unasked,
    /// It has heard of the peer within the time: nobody adopts.
    Heard,
    NoAnswer(String),
    /// This node has not been connected to it for long enough: the peer may be about to connect, too.
    Young,
    /// It does not know the peer when the peer is there.
    Stranger,
    /// It has not heard of the peer for the time.
    Silent,
}

impl Says {
    /// One word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unasked => "unasked",
            Self::Heard => "heard",
            Self::NoAnswer(_) => "unanswered",
            Self::Young => "young",
            Self::Stranger => "stranger",
            Self::Silent => "silent",
        }
    }
}

impl Witness {
    fn take(&mut self, linked: bool, testimony: Testimony, now: i64) {
        let nanos = |age: Duration| i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
        self.connected = testimony.connected_for.map(|age| now - nanos(age));
        let settled = self.connected.is_some_and(|since| now - since >= SETTLED);
        match testimony.answer {
            Ok(Presence::Silent(age)) => {
                let heard = now.saturating_sub(nanos(age));
                self.heard = Some(self.heard.map_or(heard, |before| before.max(heard)));
                self.strange = 0;
            }
            Ok(Presence::Listed) => {
                self.heard = Some(now);
                self.strange = 0;
            }
            Ok(Presence::Absent) => {
                self.heard = self.heard.or(Some(now));
                self.strange += u32::from(linked && settled);
            }
            Err(_) => {}
        }
        self.answer = Some(testimony.answer);
    }

    /// When it may have heard of the peer for the last time.
    pub fn heard(&self) -> Option<i64> {
        self.heard
    }

    /// Since when this node's connection to it stands.
    pub fn connected(&self) -> Option<i64> {
        self.connected
    }

    /// What its word comes to, for a peer that is to be adopted `after` so long.
    pub fn says(&self, after: i64, now: i64) -> Says {
        let Some(answer) = &self.answer else {
            return Says::Unasked;
        };
        let enough = match answer {
            Ok(Presence::Listed) => i64::MAX,
            Ok(Presence::Silent(_)) => after.max(PINGS_MISSED),
            Ok(Presence::Absent) | Err(_) => after,
        };
        let stands = self.connected.map_or(0, |since| now - since);
        match answer {
            _ if self.heard.is_some_and(|heard| now - heard < enough) => Says::Heard,
            Err(why) => Says::NoAnswer(why.clone()),
            Ok(_) if stands < after.max(SETTLED) => Says::Young,
            Ok(Presence::Absent) if self.strange >= STRANGE => Says::Stranger,
            Ok(_) => Says::Silent,
        }
    }
}

/// The configured nsqlookupds, by TCP address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Witnesses {
    known: BTreeMap<String, Witness>,
    /// When they were last asked, and when all had answered, or had not.
    asked: Option<(i64, i64)>,
}

impl Witnesses {
    /// What they said: asked at the first, all answers there at the second. Those that are asked no more are forgotten.
    pub fn take(
        &mut self,
        linked: bool,
        said: BTreeMap<String, Testimony>,
        (asked, now): (i64, i64),
    ) {
        self.known.retain(|address, _| said.contains_key(address));
        for (address, testimony) in said {
            let witness = self.known.entry(address).or_default();
            witness.take(linked, testimony, now);
        }
        self.asked = Some((asked, now));
    }

    /// How soon they are asked again while nothing depends on it. One that did not answer may be there soon.
    fn idle(&self) -> i64 {
        let mut answers = self.known.values().map(|witness| &witness.answer);
        match answers.all(|answer| matches!(answer, Some(Ok(_)))) {
            true => IDLE,
            false => *PACE.end(),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Witness)> {
        let known = self.known.iter();
        known.map(|(address, witness)| (address.as_str(), witness))
    }
}

/// How often the nsqlookupds are asked while it matters.
pub fn pace(after: i64) -> i64 {
    (after / 4).clamp(*PACE.start(), *PACE.end())
}

/// Whether to adopt a peer that is to be adopted `after` so long.
pub fn judge(after: i64, own: &Own, witnesses: &Witnesses, now: i64) -> Verdict {
    let due = own.heard.saturating_add(after);
    let waits = match own.left {
        _ if own.stopping => return Verdict::Wait(Reason::Stopping),
        _ if own.linked => Some(Reason::Linked),
        Left::Nothing => Some(Reason::NothingLeft),
        Left::Importing => Some(Reason::Importing),
        Left::Adopted => Some(Reason::Adopted),
        Left::Messages if now < due => Some(Reason::Lately),
        Left::Messages => None,
    };
    let is_fresh = |(asked, answered): (i64, i64)| match &waits {
        Some(_) => now - answered < witnesses.idle(),
        // What was said before the time was over says nothing about the rest of it.
        None => asked >= due && now - answered < pace(after),
    };
    if !witnesses.asked.is_some_and(is_fresh) {
        return Verdict::Ask;
    }
    match waits {
        Some(reason) => Verdict::Wait(reason),
        None => convince(after, witnesses, now),
    }
}

/// One that has heard of the peer is enough to wait; more than half must say that they have not. A node that is cut off is
/// with the smaller half, and of two that are parted one at most is with the larger.
fn convince(after: i64, witnesses: &Witnesses, now: i64) -> Verdict {
    let (mut silent, mut all) = (0, 0);
    for (address, witness) in witnesses.iter() {
        all += 1;
        match witness.says(after, now) {
            Says::Heard => return Verdict::Wait(Reason::Heard(address.to_owned())),
            Says::Silent => silent += 1,
            Says::Unasked | Says::NoAnswer(_) | Says::Young | Says::Stranger => {}
        }
    }
    match silent * 2 > all {
        _ if all == 0 => Verdict::Wait(Reason::NoWitness),
        true => Verdict::Adopt,
        false => Verdict::Wait(Reason::TooFew(silent, all)),
    }
}

#[cfg(test)]
mod tests;
