//! Payloads: each record's code and fields, written and read side by side.

use super::wire::{Fields, put_i64, put_u8, put_u16, put_u32, put_u64};
use super::{Item, List, Position, Record, StoredBodies};

/// Record codes. Fixed for ever; a new record takes the next number.
mod code {
    pub const BOOT: u8 = 1;
    pub const PUBLISH: u8 = 2;
    pub const FINISH: u8 = 3;
    pub const REQUEUE: u8 = 4;
    pub const DELIVERED: u8 = 5;
    pub const TOPIC_CREATE: u8 = 6;
    pub const TOPIC_DELETE: u8 = 7;
    pub const TOPIC_EMPTY: u8 = 8;
    pub const TOPIC_PAUSE: u8 = 9;
    pub const CHANNEL_CREATE: u8 = 10;
    pub const CHANNEL_DELETE: u8 = 11;
    pub const CHANNEL_EMPTY: u8 = 12;
    pub const CHANNEL_PAUSE: u8 = 13;
    pub const IMPORT: u8 = 14;
    pub const RELEASE: u8 = 15;
    pub const ADOPT: u8 = 16;
    pub const ADOPTED: u8 = 17;
    pub const CHECKPOINT_MARK: u8 = 18;
    pub const SETTINGS: u8 = 23;
}

/// Bytes behind the bodies of a publish record. They come last so that the bodies can be summed before anybody
/// knows which id the first of them will have, and so before any lock is taken.
pub(crate) const PUBLISH_FIXED: usize = 4 + 4 + 8 + 8 + 8;

/// Published records are encoded where they are staged.
pub(crate) const PUBLISH_CODE: u8 = code::PUBLISH;
pub(crate) const CODE_MAX: u8 = code::SETTINGS;

/// The fields behind the bodies of a publish record.
pub(crate) fn put_publish_fixed(
    topic: u32,
    count: u32,
    first_id: u64,
    timestamp: i64,
    due: i64,
) -> [u8; PUBLISH_FIXED] {
    let mut fixed = [0; PUBLISH_FIXED];
    fixed[0..4].copy_from_slice(&topic.to_le_bytes());
    fixed[4..8].copy_from_slice(&count.to_le_bytes());
    fixed[8..16].copy_from_slice(&first_id.to_le_bytes());
    fixed[16..24].copy_from_slice(&timestamp.to_le_bytes());
    fixed[24..32].copy_from_slice(&due.to_le_bytes());
    fixed
}

fn put_list<T: Item>(out: &mut Vec<u8>, list: &List<'_, T>) {
    match list {
        List::Given(items) => items.iter().for_each(|item| item.put(out)),
        List::Stored(bytes) => out.extend_from_slice(bytes),
    }
}

fn list<'a, T: Item>(bytes: &'a [u8]) -> Option<List<'a, T>> {
    bytes
        .len()
        .is_multiple_of(T::SIZE)
        .then_some(List::Stored(bytes))
}

fn put_position(out: &mut Vec<u8>, position: Position) {
    put_u64(out, position.run);
    put_u64(out, position.lsn);
}

fn position(from: &mut Fields<'_>) -> Option<Position> {
    Some(Position {
        run: from.u64()?,
        lsn: from.u64()?,
    })
}

impl<'a> Record<'a> {
    /// The record's code on disk.
    pub fn code(&self) -> u8 {
        match self {
            Record::Boot { .. } => code::BOOT,
            Record::Publish { .. } => code::PUBLISH,
            Record::Finish { .. } => code::FINISH,
            Record::Requeue { .. } => code::REQUEUE,
            Record::Delivered { .. } => code::DELIVERED,
            Record::TopicCreate { .. } => code::TOPIC_CREATE,
            Record::TopicDelete { .. } => code::TOPIC_DELETE,
            Record::TopicEmpty { .. } => code::TOPIC_EMPTY,
            Record::TopicPause { .. } => code::TOPIC_PAUSE,
            Record::ChannelCreate { .. } => code::CHANNEL_CREATE,
            Record::ChannelDelete { .. } => code::CHANNEL_DELETE,
            Record::ChannelEmpty { .. } => code::CHANNEL_EMPTY,
            Record::ChannelPause { .. } => code::CHANNEL_PAUSE,
            Record::Import { .. } => code::IMPORT,
            Record::Release { .. } => code::RELEASE,
            Record::Adopt { .. } => code::ADOPT,
            Record::Adopted { .. } => code::ADOPTED,
            Record::CheckpointMark { .. } => code::CHECKPOINT_MARK,
            Record::Settings { .. } => code::SETTINGS,
        }
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Record::Boot {
                incarnation,
                run,
                node,
            } => {
                put_u64(out, incarnation);
                put_u64(out, run);
                out.extend_from_slice(node.as_bytes());
            }
            Record::Publish {
                topic,
                first_id,
                timestamp,
                due,
                bodies,
            } => {
                out.extend_from_slice(bodies.area);
                out.extend_from_slice(&put_publish_fixed(
                    topic,
                    bodies.count,
                    first_id,
                    timestamp,
                    due,
                ));
            }
            Record::Finish {
                topic,
                channel,
                ref ranges,
            } => {
                put_u32(out, topic);
                put_u32(out, channel);
                put_list(out, ranges);
            }
            Record::Requeue {
                topic,
                channel,
                ref items,
            } => {
                put_u32(out, topic);
                put_u32(out, channel);
                put_list(out, items);
            }
            Record::Import {
                topic,
                id,
                timestamp,
                attempts,
                due,
                ref finished,
                body,
            } => {
                put_u32(out, topic);
                put_u64(out, id);
                put_i64(out, timestamp);
                put_u16(out, attempts);
                put_i64(out, due);
                put_u32(out, finished.len() as u32);
                put_list(out, finished);
                out.extend_from_slice(body);
            }
            _ => self.encode_small(out),
        }
    }

    fn encode_small(&self, out: &mut Vec<u8>) {
        match *self {
            Record::TopicCreate { topic, name } => {
                put_u32(out, topic);
                out.extend_from_slice(name.as_bytes());
            }
            Record::TopicDelete { topic } => put_u32(out, topic),
            Record::TopicEmpty { topic, through_id } => {
                put_u32(out, topic);
                put_u64(out, through_id);
            }
            Record::TopicPause { topic, paused } => {
                put_u32(out, topic);
                put_u8(out, u8::from(paused));
            }
            Record::ChannelCreate {
                topic,
                channel,
                name,
                from_id,
            } => {
                put_u32(out, topic);
                put_u32(out, channel);
                put_u64(out, from_id);
                out.extend_from_slice(name.as_bytes());
            }
            Record::ChannelDelete { topic, channel } => {
                put_u32(out, topic);
                put_u32(out, channel);
            }
            Record::ChannelEmpty {
                topic,
                channel,
                through_id,
            }
            | Record::Delivered {
                topic,
                channel,
                through_id,
            } => {
                put_u32(out, topic);
                put_u32(out, channel);
                put_u64(out, through_id);
            }
            Record::ChannelPause {
                topic,
                channel,
                paused,
            } => {
                put_u32(out, topic);
                put_u32(out, channel);
                put_u8(out, u8::from(paused));
            }
            _ => self.encode_positions(out),
        }
    }

    fn encode_positions(&self, out: &mut Vec<u8>) {
        match *self {
            Record::Release { through } => put_position(out, through),
            Record::Adopt {
                incarnation,
                from,
                through,
            } => {
                put_u64(out, incarnation);
                put_position(out, from);
                put_position(out, through);
            }
            Record::Adopted {
                incarnation,
                through,
                position,
            } => {
                put_u64(out, incarnation);
                put_position(out, through);
                put_position(out, position);
            }
            Record::CheckpointMark { lsn } => put_u64(out, lsn),
            Record::Settings {
                topic,
                channel,
                json,
            } => {
                put_u32(out, topic);
                put_u32(out, channel);
                out.extend_from_slice(json.as_bytes());
            }
            // All others were written above; the test with one of each kind fails for one that was forgotten.
            _ => {}
        }
    }

    /// Reads a payload that starts at `at` in its chunk. `None` when it is not exactly what `encode` writes for
    /// this code: checksums have passed before, so that means another version or a defect.
    pub fn decode(code: u8, payload: &'a [u8], at: u32) -> Option<Record<'a>> {
        let mut from = Fields::new(payload);
        let record = match code {
            code::BOOT => Record::Boot {
                incarnation: from.u64()?,
                run: from.u64()?,
                node: from.text()?,
            },
            code::PUBLISH => decode_publish(&mut from, at)?,
            code::FINISH => Record::Finish {
                topic: from.u32()?,
                channel: from.u32()?,
                ranges: list(from.rest())?,
            },
            code::REQUEUE => Record::Requeue {
                topic: from.u32()?,
                channel: from.u32()?,
                items: list(from.rest())?,
            },
            code::IMPORT => decode_import(&mut from)?,
            _ => decode_small(code, &mut from)?,
        };
        from.is_done().then_some(record)
    }
}

fn decode_publish<'a>(from: &mut Fields<'a>, at: u32) -> Option<Record<'a>> {
    let payload = from.rest();
    let (area, fixed) = payload.split_at_checked(payload.len().checked_sub(PUBLISH_FIXED)?)?;
    let mut fixed = Fields::new(fixed);
    let (topic, count) = (fixed.u32()?, fixed.u32()?);
    let (first_id, timestamp, due) = (fixed.u64()?, fixed.i64()?, fixed.i64()?);
    let bodies = StoredBodies {
        count,
        area,
        bodies_at: at,
    };
    let (mut found, mut used) = (0u32, 0usize);
    for (_, body) in bodies.iter() {
        found += 1;
        used += 4 + body.len();
    }
    (found == count && used == bodies.area.len()).then_some(Record::Publish {
        topic,
        first_id,
        timestamp,
        due,
        bodies,
    })
}

fn decode_import<'a>(from: &mut Fields<'a>) -> Option<Record<'a>> {
    let (topic, id, timestamp) = (from.u32()?, from.u64()?, from.i64()?);
    let (attempts, due, channels) = (from.u16()?, from.i64()?, from.u32()?);
    let finished = list(from.bytes((channels as usize).checked_mul(4)?)?)?;
    Some(Record::Import {
        topic,
        id,
        timestamp,
        attempts,
        due,
        finished,
        body: from.rest(),
    })
}

fn decode_small<'a>(code: u8, from: &mut Fields<'a>) -> Option<Record<'a>> {
    Some(match code {
        code::DELIVERED => Record::Delivered {
            topic: from.u32()?,
            channel: from.u32()?,
            through_id: from.u64()?,
        },
        code::TOPIC_CREATE => Record::TopicCreate {
            topic: from.u32()?,
            name: from.text()?,
        },
        code::TOPIC_DELETE => Record::TopicDelete { topic: from.u32()? },
        code::TOPIC_EMPTY => Record::TopicEmpty {
            topic: from.u32()?,
            through_id: from.u64()?,
        },
        code::TOPIC_PAUSE => Record::TopicPause {
            topic: from.u32()?,
            paused: from.flag()?,
        },
        code::CHANNEL_CREATE => {
            let (topic, channel, from_id) = (from.u32()?, from.u32()?, from.u64()?);
            Record::ChannelCreate {
                topic,
                channel,
                name: from.text()?,
                from_id,
            }
        }
        code::CHANNEL_DELETE => Record::ChannelDelete {
            topic: from.u32()?,
            channel: from.u32()?,
        },
        code::CHANNEL_EMPTY => Record::ChannelEmpty {
            topic: from.u32()?,
            channel: from.u32()?,
            through_id: from.u64()?,
        },
        code::CHANNEL_PAUSE => Record::ChannelPause {
            topic: from.u32()?,
            channel: from.u32()?,
            paused: from.flag()?,
        },
        code::RELEASE => Record::Release {
            through: position(from)?,
        },
        code::ADOPT => Record::Adopt {
            incarnation: from.u64()?,
            from: position(from)?,
            through: position(from)?,
        },
        code::ADOPTED => Record::Adopted {
            incarnation: from.u64()?,
            through: position(from)?,
            position: position(from)?,
        },
        code::CHECKPOINT_MARK => Record::CheckpointMark { lsn: from.u64()? },
        code::SETTINGS => Record::Settings {
            topic: from.u32()?,
            channel: from.u32()?,
            json: from.text()?,
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
