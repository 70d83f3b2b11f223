//! Words of a relocation: messages that leave one nsqd, the *source*, for others, the *targets*, identity kept. They are
//! framed as those of a pair are, on connections that said `RELOCATE source` or `RELOCATE target`; whoever opened both
//! carries them from one to the other.

use crate::fields::{Fields, put};

/// The version of these words. Another is refused.
pub const RELOCATION_VERSION: u8 = 1;

/// A word of a relocation. Numbers of topics and channels are the source's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move<'a> {
    /// Either nsqd says who it is, before anything else.
    Who {
        node: &'a str,
        /// Its part of message ids.
        node_id: u16,
        incarnation: u64,
        /// It takes no messages.
        draining: bool,
    },
    /// The source is asked to go through these topics, or all if there are none.
    Pass { topics: Vec<&'a str> },
    /// The source is at this topic, which has these channels: (number, paused, name).
    Topic {
        topic: u32,
        channels: Vec<(u32, bool, &'a str)>,
        name: &'a str,
    },
    /// A message of that topic.
    Message(MovedMessage<'a>),
    /// The target has kept these, with the checksums of what it has: the source may let go of them.
    Kept { topic: u32, items: Vec<(u64, u32)> },
    /// The source has been through everything.
    Passed {
        /// Messages that consumers hold: they were passed over.
        held: u64,
        /// Deliveries that are left there in all.
        left: u64,
    },
}

/// A message that is unfinished. Times are nanoseconds since 1970; a due time of 0 is at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedMessage<'a> {
    pub topic: u32,
    pub id: u64,
    pub timestamp: i64,
    /// No channel has got it; then `due` counts.
    pub held: bool,
    pub due: i64,
    /// The channels that wait for it: (number, attempts, due).
    pub pending: Vec<(u32, u16, i64)>,
    pub body: &'a [u8],
}

/// Names, channels and items of one word; a frame that says more is malformed.
const LIST_MAX: usize = 1 << 20;

pub(crate) mod kind {
    pub const WHO: u8 = 16;
    pub const PASS: u8 = 17;
    pub const TOPIC: u8 = 18;
    pub const MESSAGE: u8 = 19;
    pub const KEPT: u8 = 20;
    pub const PASSED: u8 = 21;
}

fn put_u32(out: &mut Vec<u8>, field: u32) {
    out.extend_from_slice(&field.to_be_bytes());
}

/// Names are at most 255 bytes long.
fn put_name(out: &mut Vec<u8>, name: &str) {
    out.push(name.len().min(255) as u8);
    out.extend_from_slice(&name.as_bytes()[..name.len().min(255)]);
}

impl<'a> Move<'a> {
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Who { .. } => kind::WHO,
            Self::Pass { .. } => kind::PASS,
            Self::Topic { .. } => kind::TOPIC,
            Self::Message(_) => kind::MESSAGE,
            Self::Kept { .. } => kind::KEPT,
            Self::Passed { .. } => kind::PASSED,
        }
    }

    pub(crate) fn encode_fields(&self, out: &mut Vec<u8>) {
        match self {
            Self::Who {
                node,
                node_id,
                incarnation,
                draining,
            } => {
                out.push(RELOCATION_VERSION);
                out.extend_from_slice(&node_id.to_be_bytes());
                put(out, *incarnation);
                out.push(u8::from(*draining));
                out.extend_from_slice(node.as_bytes());
            }
            Self::Pass { topics } => {
                put_u32(out, topics.len() as u32);
                topics.iter().for_each(|topic| put_name(out, topic));
            }
            Self::Topic {
                topic,
                channels,
                name,
            } => {
                put_u32(out, *topic);
                put_name(out, name);
                put_u32(out, channels.len() as u32);
                for (number, paused, name) in channels {
                    put_u32(out, *number);
                    out.push(u8::from(*paused));
                    put_name(out, name);
                }
            }
            Self::Message(message) => message.encode_fields(out),
            Self::Kept { topic, items } => {
                put_u32(out, *topic);
                put_u32(out, items.len() as u32);
                for (id, checksum) in items {
                    put(out, *id);
                    put_u32(out, *checksum);
                }
            }
            Self::Passed { held, left } => {
                put(out, *held);
                put(out, *left);
            }
        }
    }

    pub(crate) fn fields(kind: u8, from: &mut Fields<'a>) -> Option<Self> {
        Some(match kind {
            kind::WHO => Self::Who {
                node_id: from.u16()?,
                incarnation: from.u64()?,
                draining: from.flag()?,
                node: from.text()?,
            },
            kind::PASS => Self::Pass {
                topics: list(from, Fields::name)?,
            },
            kind::TOPIC => Self::Topic {
                topic: from.u32()?,
                name: from.name()?,
                channels: list(from, |from| Some((from.u32()?, from.flag()?, from.name()?)))?,
            },
            kind::MESSAGE => Self::Message(MovedMessage {
                topic: from.u32()?,
                // Behind an id there is room for the next one.
                id: from.u64().filter(|id| *id < u64::MAX)?,
                timestamp: from.u64()? as i64,
                held: from.flag()?,
                due: from.u64()? as i64,
                pending: list(from, |from| {
                    Some((from.u32()?, from.u16()?, from.u64()? as i64))
                })?,
                body: std::mem::take(&mut from.0),
            }),
            kind::KEPT => Self::Kept {
                topic: from.u32()?,
                items: list(from, |from| Some((from.u64()?, from.u32()?)))?,
            },
            kind::PASSED => Self::Passed {
                held: from.u64()?,
                left: from.u64()?,
            },
            _ => return None,
        })
    }
}

impl MovedMessage<'_> {
    fn encode_fields(&self, out: &mut Vec<u8>) {
        put_u32(out, self.topic);
        put(out, self.id);
        put(out, self.timestamp as u64);
        out.push(u8::from(self.held));
        put(out, self.due as u64);
        put_u32(out, self.pending.len() as u32);
        for (channel, attempts, due) in &self.pending {
            put_u32(out, *channel);
            out.extend_from_slice(&attempts.to_be_bytes());
            put(out, *due as u64);
        }
        out.extend_from_slice(self.body);
    }
}

/// A count, then the items. Nothing is set aside for items that have not arrived.
fn list<'a, T>(
    from: &mut Fields<'a>,
    item: impl Fn(&mut Fields<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let count = from.u32()? as usize;
    let mut items = Vec::new();
    for _ in 0..count.min(LIST_MAX + 1) {
        items.push(item(from)?);
    }
    (items.len() == count).then_some(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PairMessage;

    #[test]
    fn what_is_said_is_understood_and_nothing_less() {
        let message = MovedMessage {
            topic: 3,
            id: 9,
            timestamp: -1,
            held: false,
            due: 0,
            pending: vec![(1, 2, 5), (4, 0, 0)],
            body: b"body",
        };
        for word in [
            Move::Who {
                node: "a",
                node_id: 7,
                incarnation: 8,
                draining: true,
            },
            Move::Pass { topics: vec![] },
            Move::Pass {
                topics: vec!["t", "u#ephemeral"],
            },
            Move::Topic {
                topic: 3,
                channels: vec![(1, false, "c"), (4, true, "d")],
                name: "t",
            },
            Move::Message(message),
            Move::Kept {
                topic: 3,
                items: vec![(9, 1), (10, 2)],
            },
            Move::Passed { held: 1, left: 2 },
        ] {
            let mut bytes = Vec::new();
            let word = PairMessage::Move(word);
            word.encode(&mut bytes);
            let size = bytes.len();
            bytes.extend_from_slice(b"more");
            assert_eq!(PairMessage::decode(&bytes), Ok(Some((word, size))));
            for cut in 0..size {
                assert_eq!(PairMessage::decode(&bytes[..cut]), Ok(None));
            }
        }
    }
}
