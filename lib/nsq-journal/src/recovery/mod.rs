//! Opening a journal: what is on the disk, whose it is, what of it is replayed, and where the new run begins.

mod files;
mod quarantine;
mod replay;
mod scan;

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};

use parking_lot::{Condvar, Mutex};

use crate::checkpoint::Kept;
use crate::chunk::{Chunk, ChunkPool};
use crate::disk::Disk;
use crate::log::{Counters, Log, Poison};
use crate::record::frame::Seed;
use crate::segment::{Catalog, Spare, spare_name};
use crate::space::{self, Space};
use crate::staging::Staging;
use crate::writer::Writer;
use crate::{JournalError, JournalOptions, Lsn, Position, Record};

use files::Found;
use quarantine::Quarantine;

/// Receives what was recovered: the checkpoint, if there is one, then the records in order.
///
/// Records may refer to topics, channels or messages that are unknown, because what made them known lies in a
/// quarantined range, or gone, because a later record ended them: both are to be passed over.
pub trait Replay {
    /// The state of the newest readable checkpoint.
    ///
    /// # Errors
    /// A reason to refuse; opening fails with it.
    fn checkpoint(&mut self, bytes: &[u8]) -> Result<(), String>;

    /// A record at or after the checkpoint's `keep_from`. Bodies lie in `chunk`, which may be kept.
    ///
    /// # Errors
    /// A reason to refuse; opening fails with it.
    fn record(
        &mut self,
        lsn: Lsn,
        end: Lsn,
        record: Record<'_>,
        chunk: &Arc<Chunk>,
    ) -> Result<(), String>;

    /// The stream has a hole here: damaged, missing or foreign. What bytes there are were copied to the
    /// quarantine directory. `from == to` for damage outside the stream.
    fn quarantined(&mut self, from: Lsn, to: Lsn, why: &str);
}

/// What opening a journal found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// A checkpoint was read.
    pub from_checkpoint: bool,
    /// Records handed to the replay.
    pub records: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Holes reported.
    pub quarantined_ranges: u64,
    /// Bytes of the stream in them.
    pub quarantined_bytes: u64,
    /// Bytes of a record that was cut off at the end of the stream.
    pub torn_tail_bytes: u64,
}

/// Reads everything and prepares the next run, whose boot record is the caller's to write.
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    options: JournalOptions,
    replay: &mut dyn Replay,
) -> Result<(Log, Recovery), JournalError> {
    let pool = ChunkPool::new(options.chunk_bytes);
    let mut recovery = Recovery::default();
    let mut quarantine = Quarantine::new(&*disk, replay, &mut recovery);
    let found = Found::read(&*disk, &options, &mut quarantine)?;
    let (segments, end) = replay::run(&pool, &found, &mut quarantine)?;
    replay::settle(&*disk, &found)?;
    let end = known_end(&found, end, &mut quarantine);
    let run = found.last_run + 1;
    let mut kept = Kept {
        files: found.checkpoints.clone(),
        next: found.next_checkpoint,
        runs: found.runs(),
    };
    kept.add_run(Position { run, lsn: end });
    let mut catalog = Catalog {
        segments,
        spares: found.spares,
        next_spare: found.next_spare,
    };
    let first = first_segment(&*disk, &mut catalog, options.segment_bytes)?;
    let staging = Staging::new(
        Arc::clone(&pool),
        end,
        space::room(options.segment_bytes),
        space::room(first.bytes.min(options.segment_bytes)),
    );
    let writer = Writer {
        next_number: found.next_number,
        first: Some(first),
        ..Writer::default()
    };
    let log = Log {
        seed: Seed::new(found.incarnation, run),
        incarnation: found.incarnation,
        run,
        pool,
        staging: Mutex::new(staging),
        writer: Mutex::new(writer),
        catalog: Mutex::new(catalog),
        syncing: Mutex::new(()),
        checkpoints: Mutex::new(kept),
        waiting: Mutex::default(),
        unwritten: Mutex::default(),
        wake_all: OnceLock::new(),
        work: Condvar::new(),
        chores: Condvar::new(),
        space: Space::default(),
        poison: Poison::default(),
        watchers: Mutex::default(),
        watched: AtomicBool::new(false),
        streamed: AtomicU64::new(end),
        told: AtomicU64::new(end),
        tail: AtomicU64::new(end),
        written: AtomicU64::new(end),
        durable: AtomicU64::new(end),
        counters: Counters::default(),
        disk,
        options,
    };
    Ok((log, recovery))
}

/// Where the stream ends, which a checkpoint may know better than what is left of it.
fn known_end(found: &Found, end: Lsn, quarantine: &mut Quarantine<'_>) -> Lsn {
    let known = found.checkpoint.as_ref();
    let Some(known) = known
        .map(|checkpoint| checkpoint.at.lsn)
        .filter(|&at| at > end)
    else {
        return end;
    };
    let why = "the end of the stream is missing, the checkpoint knows it was longer";
    quarantine.report(end, known, why);
    known
}

/// A file for the first segment of the run. A disk that is too full for an ordinary one may still have room for a
/// smaller one: a server must be able to start there, for only then can its consumers empty it.
fn first_segment(
    disk: &dyn Disk,
    catalog: &mut Catalog,
    bytes: u64,
) -> Result<Spare, JournalError> {
    const SMALLEST: u64 = 64 << 10;
    let mut size = bytes;
    loop {
        catalog.next_spare += 1;
        match space::make_spare(disk, spare_name(catalog.next_spare), size) {
            // A new file is better than an old one: what is written to it need not be read first.
            Err(JournalError::DiskFull(_)) if !catalog.spares.is_empty() => {}
            Err(JournalError::DiskFull(_)) if size / 4 >= SMALLEST => size /= 4,
            other => return other,
        }
        if let Some(spare) = catalog.spares.pop() {
            return Ok(spare);
        }
    }
}
