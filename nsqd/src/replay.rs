//! Records of a topic's life, applied to its queue: of the own journal at start, of the peer's as they arrive.

use std::sync::Arc;

use nsq_journal::{Chunk, Lsn, Record};
use nsq_queue::{Effects, Import, Run, Topic};

use crate::host::{ChunkRef, NsqHost};

/// The topic that a record is about, unless it creates, deletes or pauses it.
pub(crate) fn topic_of(record: &Record<'_>) -> Option<u32> {
    match *record {
        Record::Publish { topic, .. }
        | Record::Import { topic, .. }
        | Record::TopicEmpty { topic, .. }
        | Record::ChannelCreate { topic, .. }
        | Record::ChannelDelete { topic, .. }
        | Record::ChannelEmpty { topic, .. }
        | Record::ChannelPause { topic, .. }
        | Record::Finish { topic, .. }
        | Record::Delivered { topic, .. }
        | Record::Requeue { topic, .. }
        | Record::Moved { topic, .. }
        | Record::Settings { topic, .. } => Some(topic),
        _ => None,
    }
}

/// Applies a record that ends at `end` in its journal and lies in `chunk`. The topic is being restored.
pub(crate) fn apply(queue: &mut Topic<NsqHost>, record: &Record<'_>, end: Lsn, chunk: &Arc<Chunk>) {
    let effects = &mut Effects::default();
    match *record {
        Record::Publish { .. } => {
            let chunk = ChunkRef(Arc::clone(chunk));
            with_run(record, end, &chunk, |run| queue.publish(run, effects));
        }
        Record::Import { .. } => import(queue, record, end, chunk),
        Record::TopicEmpty { .. } => queue.empty(),
        Record::ChannelCreate { channel, name, .. } => queue.replay_channel(name, channel),
        Record::ChannelDelete { channel, .. } => queue.replay_delete_channel(channel),
        Record::ChannelEmpty { channel, .. } => queue.replay_empty_channel(channel),
        Record::ChannelPause {
            channel, paused, ..
        } => queue.replay_pause_channel(channel, paused),
        Record::Finish {
            channel, ranges, ..
        } => {
            for range in ranges.iter() {
                queue.replay_finish(channel, range.first_id, range.count);
            }
        }
        Record::Delivered {
            channel,
            through_id,
            ..
        } => queue.replay_delivered(channel, through_id),
        Record::Requeue { channel, items, .. } => {
            for item in items.iter() {
                let item = nsq_queue::Requeued {
                    id: item.id,
                    attempts: item.attempts,
                    due: item.due,
                };
                queue.replay_requeue(channel, item);
            }
        }
        Record::Moved { ranges, .. } => {
            for range in ranges.iter() {
                queue.replay_moved(range.first_id, range.count);
            }
        }
        Record::Settings { channel, json, .. } => set(queue, channel, json),
        _ => {}
    }
}

pub(crate) fn set(queue: &mut Topic<NsqHost>, channel: u32, json: &str) {
    match serde_json::from_str(json) {
        Ok(settings) if channel == 0 => queue.set_settings(settings),
        // A channel that was deleted meanwhile needs none.
        Ok(settings) => drop(queue.set_channel_settings(channel, settings)),
        Err(error) => {
            let name = &queue.name;
            tracing::error!("TOPIC({name}): settings of a later version are ignored - {error}");
        }
    }
}

/// Gives the queue's image the bodies of a record from before it.
pub(crate) fn refill(
    queue: &mut Topic<NsqHost>,
    record: &Record<'_>,
    end: Lsn,
    chunk: &Arc<Chunk>,
) {
    let chunk = ChunkRef(Arc::clone(chunk));
    match *record {
        Record::Publish { .. } => with_run(record, end, &chunk, |run| queue.refill(run)),
        Record::Import {
            id,
            timestamp,
            due,
            body,
            body_at,
            ..
        } => {
            let bodies = [(0, body.len() as u32)];
            queue.refill_import(&Run {
                first_id: id,
                timestamp,
                due,
                chunk: &chunk,
                bodies_at: body_at,
                bodies: &bodies,
                base: end,
                kept_at: 0,
                committed: 0,
            });
        }
        _ => {}
    }
}

fn with_run(
    record: &Record<'_>,
    end: Lsn,
    chunk: &ChunkRef,
    take: impl FnOnce(&Run<'_, ChunkRef>),
) {
    let Record::Publish {
        first_id,
        timestamp,
        due,
        bodies,
        ..
    } = *record
    else {
        return;
    };
    let ranges = bodies
        .iter()
        .map(|(offset, body)| (offset, body.len() as u32));
    let ranges: Vec<(u32, u32)> = ranges.collect();
    take(&Run {
        first_id,
        timestamp,
        due,
        chunk,
        bodies_at: bodies.bodies_at,
        bodies: &ranges,
        base: end,
        kept_at: 0,
        committed: 0,
    });
}

fn import(queue: &mut Topic<NsqHost>, record: &Record<'_>, end: Lsn, chunk: &Arc<Chunk>) {
    let Record::Import {
        id,
        timestamp,
        attempts,
        due,
        held,
        finished,
        body,
        body_at,
        ..
    } = *record
    else {
        return;
    };
    let finished: Vec<u32> = finished.iter().collect();
    let import = Import {
        id,
        timestamp,
        attempts,
        due,
        held,
        finished: &finished,
        chunk: &ChunkRef(Arc::clone(chunk)),
        offset: body_at,
        len: body.len() as u32,
        base: end,
        kept_at: 0,
        committed: 0,
    };
    queue.import(&import, 0, &mut Effects::default());
}
