//! Taking a message over from another node, identity kept: its record, and what follows from it.

use std::sync::Arc;

use nsq_journal::{Chunk, JournalError, List, Lsn, Record, Requeued};
use nsq_queue::{Effects, Import, Pending, Topic};

use crate::host::{ChunkRef, NsqHost};
use crate::nsqd::Nsqd;

/// Bytes of an import record before its list of channels.
pub(crate) const IMPORT_BODY: u32 = 4 + 8 + 8 + 2 + 8 + 1 + 4;

/// A message from elsewhere.
pub(crate) struct Incoming<'a> {
    pub id: u64,
    /// Nanoseconds since 1970.
    pub timestamp: i64,
    /// When it is due, if it is held; 0 = at once.
    pub due: i64,
    /// No channel has got it there.
    pub held: bool,
    pub body: &'a [u8],
}

/// The own channels, as far as a message concerns them.
#[derive(Default)]
pub(crate) struct Takers {
    pub waiting: Vec<(u32, Pending)>,
    pub finished: Vec<u32>,
    /// They get nothing that is older than they are.
    pub ephemeral: Vec<u32>,
}

/// Where the body lies.
pub(crate) struct Stored {
    chunk: Arc<Chunk>,
    offset: u32,
    len: u32,
}

impl Stored {
    pub(crate) fn body(&self) -> &[u8] {
        self.chunk.bytes(self.offset, self.len)
    }
}

/// Written also when the message is here: its base moves up (R13), and channels that are done with it are done with it
/// here. The topic's lock is held.
///
/// # Errors
/// The journal's: nothing was taken over.
pub(crate) fn write_import(
    nsqd: &Nsqd,
    queue: &mut Topic<NsqHost>,
    message: &Incoming<'_>,
    takers: &Takers,
    committed: Lsn,
    effects: &mut Effects<NsqHost>,
) -> Result<Stored, JournalError> {
    let (topic, now) = (queue.number, nsqd.clock.now());
    let waiting = || takers.waiting.iter().map(|(_, pending)| pending);
    let attempts = waiting().map(|pending| pending.attempts).min().unwrap_or(0);
    let due = waiting()
        .map(|pending| pending.due)
        .min()
        .unwrap_or(message.due);
    let placed = nsqd.journal.place(&Record::Import {
        topic,
        id: message.id,
        timestamp: message.timestamp,
        attempts,
        due: nsqd.clock.to_wall(due),
        held: message.held,
        finished: List::Given(&takers.finished),
        body: message.body,
        body_at: 0,
    })?;
    let finished = [&takers.finished[..], &takers.ephemeral].concat();
    let stored = Stored {
        chunk: Arc::clone(&placed.chunk),
        offset: placed.bodies_at + IMPORT_BODY + 4 * takers.finished.len() as u32,
        len: message.body.len() as u32,
    };
    let import = Import {
        id: message.id,
        timestamp: message.timestamp,
        attempts,
        due,
        held: message.held,
        finished: &finished,
        chunk: &ChunkRef(placed.chunk),
        offset: stored.offset,
        len: stored.len,
        base: placed.end,
        kept_at: placed.end,
        committed,
    };
    queue.import(&import, now, effects);
    for &(channel, pending) in &takers.waiting {
        if (pending.attempts, pending.due) == (attempts, due) {
            continue;
        }
        let (id, attempts, due) = (message.id, pending.attempts, pending.due);
        let item = Requeued {
            id,
            attempts,
            due: nsqd.clock.to_wall(due),
        };
        nsqd.journal.append(&Record::Requeue {
            topic,
            channel,
            items: List::Given(&[item]),
        })?;
        queue.put_off(channel, nsq_queue::Requeued { id, attempts, due }, now);
    }
    Ok(stored)
}
