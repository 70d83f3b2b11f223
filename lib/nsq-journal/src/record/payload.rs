//! Payloads: each record's code and fields, written and read side by side.

use super::wire::{put_i64, put_u8, put_u16, put_u32, put_u64};
use super::{Item, List, Position, Record};

mod decode;

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
    pub const MIRROR: u8 = 19;
    pub const MIRROR_FROM: u8 = 20;
    pub const MIRROR_CUT: u8 = 21;
    pub const LISTED: u8 = 22;
    pub const SETTINGS: u8 = 23;
    pub const DRAIN: u8 = 24;
    pub const MOVED: u8 = 25;
}

/// Bytes behind the bodies of a publish record. They come last so that the bodies can be summed before anybody
/// knows which id the first of them will have, and so before any lock is taken.
pub(crate) const PUBLISH_FIXED: usize = 4 + 4 + 8 + 8 + 8;

/// Published records are encoded where they are staged.
pub(crate) const PUBLISH_CODE: u8 = code::PUBLISH;
pub(crate) const CODE_MAX: u8 = code::MOVED;
/// Bytes of an import record before its list of channels.
const IMPORT_FIXED: u32 = 4 + 8 + 8 + 2 + 8 + 1 + 4;
/// Bytes before the frames of a mirror record.
pub(crate) const MIRROR_FIXED: usize = 8 + 8 + 8;
/// Records about the mirror of the peer, which it is not sent.
pub(crate) const MIRROR_CODES: [u8; 3] = [code::MIRROR, code::MIRROR_FROM, code::MIRROR_CUT];
/// Records whose effect on a mirror cannot be undone: they go out only once they are durable.
pub(crate) const FINAL_CODES: [u8; 6] = [
    code::TOPIC_DELETE,
    code::TOPIC_EMPTY,
    code::CHANNEL_DELETE,
    code::CHANNEL_EMPTY,
    code::RELEASE,
    code::LISTED,
];

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

fn put_position(out: &mut Vec<u8>, position: Position) {
    put_u64(out, position.run);
    put_u64(out, position.lsn);
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
            Record::Mirror { .. } => code::MIRROR,
            Record::MirrorFrom { .. } => code::MIRROR_FROM,
            Record::MirrorCut { .. } => code::MIRROR_CUT,
            Record::Listed { .. } => code::LISTED,
            Record::Settings { .. } => code::SETTINGS,
            Record::Drain { .. } => code::DRAIN,
            Record::Moved { .. } => code::MOVED,
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
                held,
                ref finished,
                body,
                ..
            } => {
                put_u32(out, topic);
                put_u64(out, id);
                put_i64(out, timestamp);
                put_u16(out, attempts);
                put_i64(out, due);
                put_u8(out, u8::from(held));
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
            Record::Mirror {
                run,
                from,
                to,
                slice,
                ..
            } => {
                put_u64(out, run);
                put_u64(out, from);
                put_u64(out, to);
                out.extend_from_slice(slice);
            }
            Record::MirrorFrom {
                incarnation,
                position,
                whole,
                node,
            } => {
                put_u64(out, incarnation);
                put_position(out, position);
                put_u8(out, u8::from(whole));
                out.extend_from_slice(node.as_bytes());
            }
            Record::MirrorCut { position } => put_position(out, position),
            Record::Listed { from } => put_u64(out, from),
            Record::Drain { since } => put_i64(out, since),
            Record::Moved { topic, ref ranges } => {
                put_u32(out, topic);
                put_list(out, ranges);
            }
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
}

#[cfg(test)]
mod tests;
