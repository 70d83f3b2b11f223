//! Words of the link between the two nodes of a pair. A connection that negotiated it in IDENTIFY says `PAIR`, and from
//! then on both sides speak these frames: u32 size of what follows, u8 kind, fields; all numbers big-endian.
//!
//! One node is the *origin*, whose journal is copied, the other the *holder* of the copy.

use std::fmt;

use crate::fields::{Fields, put};
use crate::relocation::{self, Move, RELOCATION_VERSION};

/// The version of these words. Another is refused.
pub const PAIR_VERSION: u8 = 2;

/// Bytes of a frame before its fields.
pub const PAIR_HEADER: usize = 5;

/// The largest frame: a record holds at most one publish, whose size the options bound; this bounds what a stranger can
/// make us allocate.
pub const PAIR_FRAME_MAX: usize = 1 << 30;

/// Runs told in a HELLO; far more restarts than a mirror is ever behind.
const RUNS_MAX: usize = 4096;

/// Which end of the link a connection asks nsqd to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairRole {
    /// Its journal is to be copied.
    Origin,
    /// It is to keep the copy.
    Holder,
    /// Messages are to leave it.
    Source,
    /// Messages are to come to it.
    Target,
}

impl PairRole {
    /// As it stands in the `PAIR` or `RELOCATE` command.
    pub fn name(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Holder => "holder",
            Self::Source => "source",
            Self::Target => "target",
        }
    }

    /// The command that asks for it.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Origin | Self::Holder => "PAIR",
            Self::Source | Self::Target => "RELOCATE",
        }
    }

    pub fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"origin" => Some(Self::Origin),
            b"holder" => Some(Self::Holder),
            b"source" => Some(Self::Source),
            b"target" => Some(Self::Target),
            _ => None,
        }
    }
}

/// A place in a journal: which opening of it, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct PairPosition {
    pub run: u64,
    pub lsn: u64,
}

/// What the holder has of the origin's journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairMirror {
    /// Durable end.
    pub end: PairPosition,
    /// Nothing that is unfinished lies before its beginning or in a hole.
    pub whole: bool,
}

/// What the holder adopted of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairAdoption {
    /// In the origin's journal.
    pub through: PairPosition,
    /// In the holder's journal, behind the last import; `None` while importing.
    pub done: Option<PairPosition>,
}

/// A message of the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PairMessage<'a> {
    /// The origin says who it is.
    Hello {
        node: &'a str,
        incarnation: u64,
        /// Runs with their first positions, oldest first.
        runs: Vec<PairPosition>,
        /// End of its journal.
        end: u64,
        /// Its oldest record.
        oldest: u64,
        /// Records from here on are lost to it, though it has later ones; the holder may have them.
        lost: Option<u64>,
    },
    /// The holder says what it has.
    Welcome {
        node: &'a str,
        incarnation: u64,
        /// `None`: nothing of this incarnation.
        mirror: Option<PairMirror>,
        /// Of this incarnation.
        adoption: Option<PairAdoption>,
    },
    /// The holder has something to do first; the origin asks again.
    Wait { why: &'a str },
    /// The origin says where its records begin.
    Start { position: PairPosition, whole: bool },
    /// Records; `slice` as the journal defines it.
    Record {
        run: u64,
        from: u64,
        to: u64,
        slice: &'a [u8],
    },
    /// The holder has kept everything before this.
    Ack {
        position: PairPosition,
        /// End of the holder's own journal when it said so.
        end: u64,
    },
    /// The holder adopted, while the link was up.
    Adopted(PairAdoption),
    /// A word of a relocation.
    Move(Move<'a>),
    /// Still there.
    Heartbeat,
    /// This cannot work; the connection ends.
    Refuse { why: &'a str },
}

/// Why bytes are no message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PairError {
    /// Larger than allowed.
    TooLarge(usize),
    /// The peer speaks another version.
    Version(u8),
    /// Neither of the above.
    Malformed(u8),
}

impl fmt::Display for PairError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(size) => write!(f, "a frame of {size} bytes is too large"),
            Self::Version(found) => write!(
                f,
                "the peer speaks version {found} of the link, this node {PAIR_VERSION}"
            ),
            Self::Malformed(kind) => write!(f, "a frame of kind {kind} is not understood"),
        }
    }
}

impl std::error::Error for PairError {}

mod kind {
    pub const HELLO: u8 = 1;
    pub const WELCOME: u8 = 2;
    pub const WAIT: u8 = 3;
    pub const START: u8 = 4;
    pub const RECORD: u8 = 5;
    pub const ACK: u8 = 6;
    pub const ADOPTED: u8 = 7;
    pub const HEARTBEAT: u8 = 8;
    pub const REFUSE: u8 = 9;
}

impl<'a> PairMessage<'a> {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        out.push(self.kind());
        self.encode_fields(out);
        let size = (out.len() - at - 4) as u32; // bounded by PAIR_FRAME_MAX, see the decoder
        out[at..at + 4].copy_from_slice(&size.to_be_bytes());
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Hello { .. } => kind::HELLO,
            Self::Welcome { .. } => kind::WELCOME,
            Self::Wait { .. } => kind::WAIT,
            Self::Start { .. } => kind::START,
            Self::Record { .. } => kind::RECORD,
            Self::Ack { .. } => kind::ACK,
            Self::Adopted(_) => kind::ADOPTED,
            Self::Move(word) => word.kind(),
            Self::Heartbeat => kind::HEARTBEAT,
            Self::Refuse { .. } => kind::REFUSE,
        }
    }

    fn encode_fields(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello {
                node,
                incarnation,
                runs,
                end,
                oldest,
                lost,
            } => {
                out.push(PAIR_VERSION);
                let lost = lost.unwrap_or(u64::MAX);
                for field in [*incarnation, *end, *oldest, lost] {
                    put(out, field);
                }
                let runs = &runs[runs.len().saturating_sub(RUNS_MAX)..];
                out.extend_from_slice(&(runs.len() as u32).to_be_bytes());
                runs.iter().for_each(|&run| put_position(out, run));
                out.extend_from_slice(node.as_bytes());
            }
            Self::Welcome {
                node,
                incarnation,
                mirror,
                adoption,
            } => {
                out.push(PAIR_VERSION);
                put(out, *incarnation);
                out.push(u8::from(mirror.is_some()));
                if let Some(mirror) = mirror {
                    put_position(out, mirror.end);
                    out.push(u8::from(mirror.whole));
                }
                out.push(u8::from(adoption.is_some()));
                if let Some(adoption) = adoption {
                    put_adoption(out, adoption);
                }
                out.extend_from_slice(node.as_bytes());
            }
            Self::Wait { why } | Self::Refuse { why } => out.extend_from_slice(why.as_bytes()),
            Self::Start { position, whole } => {
                put_position(out, *position);
                out.push(u8::from(*whole));
            }
            Self::Record {
                run,
                from,
                to,
                slice,
            } => {
                for field in [*run, *from, *to] {
                    put(out, field);
                }
                out.extend_from_slice(slice);
            }
            Self::Ack { position, end } => {
                put_position(out, *position);
                put(out, *end);
            }
            Self::Adopted(adoption) => put_adoption(out, adoption),
            Self::Move(word) => word.encode_fields(out),
            Self::Heartbeat => {}
        }
    }

    /// The message at the front of `buffer` and how many bytes it took; `None` while it has not wholly arrived.
    ///
    /// # Errors
    /// [`PairError`]: the connection is of no more use.
    pub fn decode(buffer: &'a [u8]) -> Result<Option<(Self, usize)>, PairError> {
        let Some(size) = buffer.first_chunk::<4>() else {
            return Ok(None);
        };
        let size = u32::from_be_bytes(*size) as usize;
        if size == 0 || size > PAIR_FRAME_MAX {
            return Err(PairError::TooLarge(size));
        }
        let Some(frame) = buffer.get(4..4 + size) else {
            return Ok(None);
        };
        let mut fields = Fields(&frame[1..]);
        let version = match frame[0] {
            kind::HELLO | kind::WELCOME => Some(PAIR_VERSION),
            relocation::kind::WHO => Some(RELOCATION_VERSION),
            _ => None,
        };
        if version.is_some_and(|ours| fields.0.first() != Some(&ours)) {
            return Err(PairError::Version(fields.0.first().copied().unwrap_or(0)));
        }
        fields.0 = &fields.0[usize::from(version.is_some())..];
        let message = Self::fields(frame[0], &mut fields).filter(|_| fields.0.is_empty());
        let message = message.ok_or(PairError::Malformed(frame[0]))?;
        Ok(Some((message, 4 + size)))
    }

    fn fields(kind: u8, from: &mut Fields<'a>) -> Option<Self> {
        Some(match kind {
            kind::HELLO => {
                let (incarnation, end, oldest) = (from.u64()?, from.u64()?, from.u64()?);
                let lost = Some(from.u64()?).filter(|&lost| lost != u64::MAX);
                let count = from.u32()? as usize;
                let runs = (0..count.min(RUNS_MAX + 1)).map(|_| from.position());
                Self::Hello {
                    incarnation,
                    end,
                    oldest,
                    lost,
                    runs: runs.collect::<Option<Vec<_>>>()?,
                    node: from.text()?,
                }
            }
            kind::WELCOME => Self::Welcome {
                incarnation: from.u64()?,
                mirror: match from.flag()? {
                    true => Some(PairMirror {
                        end: from.position()?,
                        whole: from.flag()?,
                    }),
                    false => None,
                },
                adoption: match from.flag()? {
                    true => Some(from.adoption()?),
                    false => None,
                },
                node: from.text()?,
            },
            kind::WAIT => Self::Wait { why: from.text()? },
            kind::START => Self::Start {
                position: from.position()?,
                whole: from.flag()?,
            },
            kind::RECORD => Self::Record {
                run: from.u64()?,
                from: from.u64()?,
                to: from.u64()?,
                slice: std::mem::take(&mut from.0),
            },
            kind::ACK => Self::Ack {
                position: from.position()?,
                end: from.u64()?,
            },
            kind::ADOPTED => Self::Adopted(from.adoption()?),
            kind::HEARTBEAT => Self::Heartbeat,
            kind::REFUSE => Self::Refuse { why: from.text()? },
            kind => Self::Move(Move::fields(kind, from)?),
        })
    }
}

fn put_position(out: &mut Vec<u8>, position: PairPosition) {
    put(out, position.run);
    put(out, position.lsn);
}

fn put_adoption(out: &mut Vec<u8>, adoption: &PairAdoption) {
    put_position(out, adoption.through);
    out.push(u8::from(adoption.done.is_some()));
    if let Some(done) = adoption.done {
        put_position(out, done);
    }
}

impl Fields<'_> {
    fn position(&mut self) -> Option<PairPosition> {
        Some(PairPosition {
            run: self.u64()?,
            lsn: self.u64()?,
        })
    }

    fn adoption(&mut self) -> Option<PairAdoption> {
        Some(PairAdoption {
            through: self.position()?,
            done: match self.flag()? {
                true => Some(self.position()?),
                false => None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood_and_nothing_less() {
        let position = PairPosition { run: 2, lsn: 77 };
        let mirror = Some(PairMirror {
            end: position,
            whole: true,
        });
        let adoption = PairAdoption {
            through: position,
            done: Some(PairPosition { run: 1, lsn: 3 }),
        };
        let running = PairAdoption {
            done: None,
            ..adoption
        };
        let welcome = |mirror, adoption| PairMessage::Welcome {
            node: "b",
            incarnation: 5,
            mirror,
            adoption,
        };
        let hello = PairMessage::Hello {
            node: "a",
            incarnation: 9,
            runs: vec![PairPosition { run: 1, lsn: 0 }, position],
            end: 100,
            oldest: 50,
            lost: Some(70),
        };
        let record = PairMessage::Record {
            run: 2,
            from: 77,
            to: 99,
            slice: b"records",
        };
        for message in [
            hello,
            welcome(None, None),
            welcome(mirror, Some(running)),
            PairMessage::Wait { why: "import" },
            PairMessage::Start {
                position,
                whole: false,
            },
            record,
            PairMessage::Ack { position, end: 4 },
            PairMessage::Adopted(adoption),
            PairMessage::Heartbeat,
            PairMessage::Refuse { why: "no" },
        ] {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            let size = bytes.len();
            bytes.extend_from_slice(b"more");
            assert_eq!(PairMessage::decode(&bytes), Ok(Some((message, size))));
            for cut in 0..size {
                assert_eq!(PairMessage::decode(&bytes[..cut]), Ok(None));
            }
        }
    }

    #[test]
    fn strangers_are_refused() {
        let decode = |bytes: &[u8]| PairMessage::decode(bytes).unwrap_err();
        assert_eq!(decode(b"PUB topic"), PairError::TooLarge(0x5055_4220));
        assert_eq!(decode(&[0, 0, 0, 0]), PairError::TooLarge(0));
        assert_eq!(decode(&[0, 0, 0, 1, 99]), PairError::Malformed(99));
        assert_eq!(decode(&[0, 0, 0, 2, 8, 0]), PairError::Malformed(8));
        assert_eq!(decode(&[0, 0, 0, 2, 1, 7]), PairError::Version(7));
    }
}
