//! What is done with each word: values in, values out.

use std::collections::BTreeMap;

use nsq_protocol::{MessageId, Move, PairMessage};
use serde::Serialize;

use super::RelocateError;
use super::line::Line;

/// Ids of one block go to one target: so a repeated run takes each message where the first one took it, and messages
/// that lie together stay together.
const BLOCK: u64 = 1024;

/// What to do about a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    Nothing,
    /// Pass the frame on.
    To(Line),
    ToTargets,
    /// Every nsqd has said who it is: ask for the first pass.
    Begin,
    /// A pass is over: so many are held by consumers, so many deliveries are left.
    Passed {
        held: u64,
        left: u64,
    },
}

/// What was moved so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Messages that a target has kept and the source was told of.
    pub messages: u64,
    /// Bytes of the bodies that were sent.
    pub bytes: u64,
    /// Messages by topic.
    pub topics: BTreeMap<String, u64>,
}

/// Who an nsqd said it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Who {
    node: String,
    node_id: u16,
    incarnation: u64,
    draining: bool,
}

/// Between one source and its targets.
#[derive(Debug)]
pub struct Carrier {
    who: Vec<Option<Who>>,
    names: BTreeMap<u32, String>,
    pub moved: Moved,
}

impl Carrier {
    pub fn new(targets: usize) -> Self {
        Self {
            who: vec![None; targets + 1],
            names: BTreeMap::new(),
            moved: Moved::default(),
        }
    }

    /// The source takes no messages. Known once there was [`Then::Begin`].
    pub fn is_draining(&self) -> bool {
        let source = self.who.first().and_then(Option::as_ref);
        source.is_some_and(|source| source.draining)
    }

    /// A word of the source, which is line 0, or of a target.
    ///
    /// # Errors
    /// It cannot go on with these nsqds.
    pub fn hear(&mut self, line: Line, word: &PairMessage<'_>) -> Result<Then, RelocateError> {
        let PairMessage::Move(word) = word else {
            return Err(misplaced(line, word));
        };
        match (line, word) {
            (
                _,
                Move::Who {
                    node,
                    node_id,
                    incarnation,
                    draining,
                },
            ) => {
                let who = Who {
                    node: (*node).to_owned(),
                    node_id: *node_id,
                    incarnation: *incarnation,
                    draining: *draining,
                };
                self.who[line] = Some(who);
                self.check()
            }
            (0, Move::Topic { topic, name, .. }) => {
                self.names.insert(*topic, (*name).to_owned());
                Ok(Then::ToTargets)
            }
            (0, Move::Message(message)) => {
                self.moved.bytes += message.body.len() as u64;
                Ok(Then::To(1 + self.target_of(message.id)))
            }
            (0, Move::Passed { held, left }) => Ok(Then::Passed {
                held: *held,
                left: *left,
            }),
            (1.., Move::Kept { topic, items }) => {
                let count = items.len() as u64;
                self.moved.messages += count;
                if let Some(name) = self.names.get(topic) {
                    *self.moved.topics.entry(name.clone()).or_default() += count;
                }
                Ok(Then::To(0))
            }
            (_, word) => Err(misplaced(line, &PairMessage::Move(word.clone()))),
        }
    }

    fn target_of(&self, id: u64) -> usize {
        let block = MessageId(id).sequence() / BLOCK;
        (block % (self.who.len() as u64 - 1)) as usize
    }

    fn check(&self) -> Result<Then, RelocateError> {
        let known: Vec<&Who> = self.who.iter().flatten().collect();
        if known.len() < self.who.len() {
            return Ok(Then::Nothing);
        }
        let (source, targets) = (known[0], &known[1..]);
        for (at, target) in targets.iter().enumerate() {
            let others = [source].into_iter().chain(targets[..at].iter().copied());
            for other in others {
                if other.incarnation == target.incarnation {
                    return Err(RelocateError::Same(other.node.clone(), target.node.clone()));
                }
                if other.node_id == target.node_id {
                    let (one, two) = (other.node.clone(), target.node.clone());
                    return Err(RelocateError::SameNodeId(one, two, target.node_id));
                }
            }
            if target.draining {
                return Err(RelocateError::Draining(target.node.clone()));
            }
        }
        Ok(Then::Begin)
    }
}

fn misplaced(line: Line, word: &PairMessage<'_>) -> RelocateError {
    let what = format!("{word:?}").chars().take(80).collect();
    RelocateError::Misplaced(line, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nsq_protocol::MovedMessage;

    fn who(number: u16, draining: bool) -> PairMessage<'static> {
        PairMessage::Move(Move::Who {
            node: "n",
            node_id: number,
            incarnation: u64::from(number),
            draining,
        })
    }

    #[test]
    fn nodes_that_could_be_taken_for_each_other_are_refused() {
        let mut carrier = Carrier::new(2);
        assert_eq!(carrier.hear(1, &who(2, false)).ok(), Some(Then::Nothing));
        assert_eq!(carrier.hear(0, &who(1, true)).ok(), Some(Then::Nothing));
        assert_eq!(carrier.hear(2, &who(3, false)).ok(), Some(Then::Begin));
        assert!(carrier.is_draining());
        for bad in [who(1, false), who(2, false), who(3, true)] {
            assert!(carrier.hear(2, &bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_message_goes_the_same_way_each_time_and_is_counted_when_it_is_kept() {
        let topic = Move::Topic {
            topic: 5,
            channels: vec![],
            name: "t",
        };
        let message = |id: u64| {
            PairMessage::Move(Move::Message(MovedMessage {
                topic: 5,
                id,
                timestamp: 0,
                held: true,
                due: 0,
                pending: vec![],
                body: b"body",
            }))
        };
        let mut carrier = Carrier::new(2);
        let told = carrier.hear(0, &PairMessage::Move(topic)).ok();
        assert_eq!(told, Some(Then::ToTargets));
        for (id, target) in [(0, 1), (1023, 1), (1024, 2), (2048, 1), (1024, 2)] {
            let then = carrier.hear(0, &message(id)).ok();
            assert_eq!(then, Some(Then::To(target)), "{id}");
        }
        assert_eq!(carrier.moved.messages, 0);
        let kept = PairMessage::Move(Move::Kept {
            topic: 5,
            items: vec![(0, 1), (1023, 1)],
        });
        assert_eq!(carrier.hear(1, &kept).ok(), Some(Then::To(0)));
        assert_eq!(carrier.moved.topics["t"], 2);
        assert!(carrier.hear(0, &kept).is_err(), "the source keeps nothing");
        assert!(carrier.hear(1, &message(1)).is_err());
    }
}
