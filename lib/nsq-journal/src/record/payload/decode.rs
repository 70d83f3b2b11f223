//! Payloads, read.

use super::super::wire::Fields;
use super::super::{Item, List, Position, Record, StoredBodies};
use super::{IMPORT_FIXED, MIRROR_FIXED, PUBLISH_FIXED, code};

fn list<'a, T: Item>(bytes: &'a [u8]) -> Option<List<'a, T>> {
    bytes
        .len()
        .is_multiple_of(T::SIZE)
        .then_some(List::Stored(bytes))
}

fn position(from: &mut Fields<'_>) -> Option<Position> {
    Some(Position {
        run: from.u64()?,
        lsn: from.u64()?,
    })
}

impl<'a> Record<'a> {
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
            code::IMPORT => decode_import(&mut from, at)?,
            code::MIRROR => Record::Mirror {
                run: from.u64()?,
                from: from.u64()?,
                to: from.u64()?,
                slice: from.rest(),
                at: at + MIRROR_FIXED as u32,
            },
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

fn decode_import<'a>(from: &mut Fields<'a>, at: u32) -> Option<Record<'a>> {
    let (topic, id, timestamp) = (from.u32()?, from.u64()?, from.i64()?);
    let (attempts, due, held) = (from.u16()?, from.i64()?, from.flag()?);
    let channels = from.u32()?;
    let listed = (channels as usize).checked_mul(4)?;
    let finished = list(from.bytes(listed)?)?;
    Some(Record::Import {
        topic,
        id,
        timestamp,
        attempts,
        due,
        held,
        finished,
        body: from.rest(),
        body_at: at + IMPORT_FIXED + listed as u32,
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
        _ => return decode_whole(code, from),
    })
}

/// Records about the node or the pair as a whole, and settings.
fn decode_whole<'a>(code: u8, from: &mut Fields<'a>) -> Option<Record<'a>> {
    Some(match code {
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
        code::MIRROR_FROM => Record::MirrorFrom {
            incarnation: from.u64()?,
            position: position(from)?,
            whole: from.flag()?,
            node: from.text()?,
        },
        code::MIRROR_CUT => Record::MirrorCut {
            position: position(from)?,
        },
        code::LISTED => Record::Listed { from: from.u64()? },
        code::SETTINGS => Record::Settings {
            topic: from.u32()?,
            channel: from.u32()?,
            json: from.text()?,
        },
        code::DRAIN => Record::Drain { since: from.i64()? },
        code::MOVED => Record::Moved {
            topic: from.u32()?,
            ranges: list(from.rest())?,
        },
        _ => return None,
    })
}
