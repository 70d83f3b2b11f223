//! A message that a consumer may have seen: it keeps its id, and its attempts in each channel.

use std::sync::Arc;

use nsq_journal::{JournalError, List, Record, Requeued};
use nsq_queue::{Import, Topic};

use super::{Target, Waiting};
use crate::host::{ChunkRef, NsqHost};
use crate::import::IMPORT_BODY;
use crate::nsqd::Nsqd;

/// Imports it. One that is here already, from an import that was interrupted, stays as it is.
pub(super) fn import(
    nsqd: &Arc<Nsqd>,
    target: &Target,
    (id, timestamp): (u64, i64),
    waiting: &Waiting,
    body: &[u8],
) -> Result<(), JournalError> {
    let held = waiting.undistributed && target.late;
    let finished: Vec<u32> = target
        .channels
        .iter()
        .zip(&waiting.attempts)
        .filter(|(_, attempts)| attempts.is_none())
        .map(|(taker, _)| taker.number)
        .collect();
    let fewest = waiting
        .attempts
        .iter()
        .flatten()
        .copied()
        .min()
        .unwrap_or(0);
    let live = &target.live;
    let committed = live.committed(nsqd);
    let now = nsqd.clock.now();
    live.change_now(nsqd, |queue, effects| {
        if queue.base_floor(id).is_some() {
            return Ok(());
        }
        let record = target.record((id, timestamp), fewest, held, &finished, body);
        let placed = nsqd.journal.place(&record)?;
        let import = Import {
            id,
            timestamp,
            attempts: fewest,
            due: 0,
            held,
            finished: &finished,
            chunk: &ChunkRef(placed.chunk),
            offset: placed.bodies_at + IMPORT_BODY + 4 * finished.len() as u32,
            len: body.len() as u32,
            base: placed.end,
            kept_at: placed.end,
            committed,
        };
        queue.import(&import, now, effects);
        for (taker, attempts) in target.channels.iter().zip(&waiting.attempts) {
            if let Some(attempts) = attempts.filter(|attempts| *attempts != fewest) {
                count(nsqd, queue, taker.number, (id, attempts), now)?;
            }
        }
        Ok(())
    })?;
    nsqd.note_id(id);
    Ok(())
}

/// The channel has delivered it more often than another.
fn count(
    nsqd: &Nsqd,
    queue: &mut Topic<NsqHost>,
    channel: u32,
    (id, attempts): (u64, u16),
    now: i64,
) -> Result<(), JournalError> {
    let due = 0;
    let item = Requeued { id, attempts, due };
    nsqd.journal.append(&Record::Requeue {
        topic: queue.number,
        channel,
        items: List::Given(&[item]),
    })?;
    queue.put_off(channel, nsq_queue::Requeued { id, attempts, due }, now);
    Ok(())
}
