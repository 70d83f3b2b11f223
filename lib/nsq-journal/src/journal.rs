//! The journal as its owner sees it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use parking_lot::Mutex;

use crate::chunk::ChunkPool;
use crate::commit::{self, Waiter, WakeAll};
use crate::disk::Disk;
use crate::durations::DurationCounts;
use crate::log::Log;
use crate::record::{PUBLISH_FIXED, frame, put_publish_fixed};
use crate::recovery::{self, Recovery, Replay};
use crate::staging::{PAYLOAD_BYTES_MAX, Spot};
use crate::{JournalError, Lsn, Measured, Placed, Position, Record};

/// How a journal is kept.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// The server's stable name, written into each boot record.
    pub node: String,
    /// Size of a segment file in bytes, at least 16 KiB.
    pub segment_bytes: u64,
    /// Size of an ordinary chunk in bytes.
    pub chunk_bytes: usize,
    /// Publishing is refused while fewer bytes than this are free on the disk.
    pub free_floor: u64,
    /// Write zeros into the next segments in the background, so that their blocks are on the disk and their pages
    /// in memory when they are needed: syncs become cheaper, and writes several times so.
    pub zero_segments: bool,
    /// Full segments that are no longer needed are kept for reuse while all files of the journal have no more
    /// bytes than this.
    pub recycle_bytes: u64,
    /// Names the volume's journal when there is none yet, instead of 64 random bits: for simulations that have to
    /// run the same way twice.
    pub incarnation: Option<u64>,
    /// Start the threads. Without them (in simulations) the owner calls [`Journal::commit`] and
    /// [`Journal::keep_house`] itself.
    pub threads: bool,
}

impl Default for JournalOptions {
    fn default() -> JournalOptions {
        JournalOptions {
            node: String::new(),
            segment_bytes: 64 << 20,
            chunk_bytes: 256 << 10,
            // Two segments: the next one, and one for what a checkpoint and the spill files need meanwhile.
            free_floor: 128 << 20,
            zero_segments: false,
            recycle_bytes: 256 << 20,
            incarnation: None,
            threads: true,
        }
    }
}

/// What all messages of one publish have in common. Times are nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
pub struct PublishHead {
    /// The topic's number.
    pub topic: u32,
    /// Id of the first message; the others follow.
    pub first_id: u64,
    /// When it was published.
    pub timestamp: i64,
    /// When it is due; 0 = at once.
    pub due: i64,
}

/// Figures of a journal. Totals count since it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)] // Named after what they count; bytes and nanoseconds as the names say.
pub struct JournalStats {
    pub run: u64,
    pub tail: Lsn,
    pub written: Lsn,
    pub durable: Lsn,
    pub segments: usize,
    pub spare_segments: usize,
    pub disk_bytes: u64,
    pub chunk_bytes: usize,
    pub writes: u64,
    pub bytes_written: u64,
    pub syncs: u64,
    pub sync_times: DurationCounts,
    /// Publishing is refused for want of space.
    pub disk_full: bool,
    /// What recovery found when the journal was opened.
    pub recovery: Recovery,
}

/// One write-ahead journal; see the crate's documentation.
pub struct Journal {
    pub(crate) log: Arc<Log>,
    recovery: Recovery,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Journal {
    /// Recovers what is on `disk`, hands it to `replay`, and begins a new run with a durable boot record.
    ///
    /// # Errors
    /// When files cannot be read or written, were made by a later version, or `replay` refuses. Damage is no
    /// error: it is quarantined and reported.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: JournalOptions,
        replay: &mut dyn Replay,
    ) -> Result<Arc<Journal>, JournalError> {
        let (log, recovery) = recovery::open(disk, options, replay)?;
        let log = Arc::new(log);
        let boot = Record::Boot {
            incarnation: log.incarnation,
            run: log.run,
            node: &log.options.node,
        };
        append(&log, &boot)?;
        log.sync()?;
        if !log.options.threads {
            log.keep_house(true)?;
        }
        let threads = if log.options.threads {
            commit::spawn(&log)?
        } else {
            Vec::new()
        };
        Ok(Arc::new(Journal {
            log,
            recovery,
            threads: Mutex::new(threads),
        }))
    }

    /// Stages messages: one copy, no I/O. They are kept once [`Journal::written`] or [`Journal::durable`] has reached
    /// `end`.
    ///
    /// # Errors
    /// [`JournalError::Poisoned`], [`JournalError::DiskFull`] or [`JournalError::TooLarge`]. Nothing was staged then.
    pub fn publish(
        &self,
        head: &PublishHead,
        measured: &Measured<'_>,
    ) -> Result<Placed, JournalError> {
        self.log.poison.check()?;
        let bodies = &measured.bodies;
        let count = u32::try_from(bodies.ranges.len())
            .map_err(|_| JournalError::Invalid("too many bodies"))?;
        let fixed = put_publish_fixed(head.topic, count, head.first_id, head.timestamp, head.due);
        let crc = crc32c::crc32c_append(measured.crc()?, &fixed);
        let bytes = measured.bytes + PUBLISH_FIXED as u64;
        check_size(bytes)?;
        self.log
            .space
            .admit(bytes, self.log.options.segment_bytes)?;
        let spot = self.log.stage(
            crate::record::PUBLISH_CODE,
            bytes as usize,
            crc,
            |payload| {
                let (area, end) = payload.split_at_mut(measured.bytes as usize);
                bodies.copy_to(area);
                end.copy_from_slice(&fixed);
            },
        );
        let bodies_at = spot.at + frame::HEADER as u32;
        Ok(Placed {
            lsn: spot.lsn,
            end: spot.end,
            chunk: spot.chunk,
            bodies_at,
        })
    }

    /// Stages any other record and returns the position after it. Works while publishing is refused for want of space.
    ///
    /// # Errors
    /// [`JournalError::Poisoned`], [`JournalError::TooLarge`], or [`JournalError::DiskFull`] when even the reserve
    /// is used up. Nothing was staged then.
    pub fn append(&self, record: &Record<'_>) -> Result<Lsn, JournalError> {
        append(&self.log, record)
    }

    /// End of the staged records.
    pub fn tail(&self) -> Lsn {
        self.log.tail.load(Ordering::Acquire)
    }

    /// What the kernel has: survives the end of the process.
    pub fn written(&self) -> Lsn {
        self.log.written.load(Ordering::Acquire)
    }

    /// What the disk has: survives a power cut.
    pub fn durable(&self) -> Lsn {
        self.log.durable.load(Ordering::Acquire)
    }

    /// Level `write`: sees to it that everything up to `upto` is written, by writing all that is staged unless
    /// somebody else has, and returns the new `written()`.
    ///
    /// # Errors
    /// [`JournalError::Poisoned`]; [`JournalError::DiskFull`] when no segment can be made: the records stay
    /// staged and are written once there is space.
    pub fn write(&self, upto: Lsn) -> Result<Lsn, JournalError> {
        self.log.write(upto)
    }

    /// As [`Journal::write`], but does not wait while somebody else is writing: false then, and the caller follows
    /// with [`Journal::written_soon`].
    ///
    /// # Errors
    /// As [`Journal::write`].
    pub fn try_write(&self, upto: Lsn) -> Result<bool, JournalError> {
        self.log.try_write(upto)
    }

    /// Level `write`: has `waiter` woken once `written()` has reached `upto`, or the journal is poisoned; or
    /// before that, and then it calls [`Journal::try_write`] again.
    pub fn written_soon(&self, upto: Lsn, waiter: Arc<dyn Waiter>) {
        self.log.written_soon(upto, waiter);
    }

    /// Level `fsync`: has `waiter` woken once `durable()` has reached `upto`, or the journal is poisoned. All who
    /// wait are served by one sync.
    pub fn sync_soon(&self, upto: Lsn, waiter: Arc<dyn Waiter>) {
        self.log.sync_soon(upto, waiter);
    }

    /// Has those whom a sync serves woken by `wake_all`: a runtime can do that with less effort from within than the
    /// sync thread can from outside. Only the first call counts.
    pub fn wake_by(&self, wake_all: WakeAll) {
        // A second one would be as good as the first.
        let _ = self.log.wake_all.set(wake_all);
    }

    /// Makes everything staged durable, now and in this thread; returns the new `durable()`.
    ///
    /// # Errors
    /// As [`Journal::write`].
    pub fn sync(&self) -> Result<Lsn, JournalError> {
        let durable = self.log.sync()?;
        self.log.wake(durable);
        Ok(durable)
    }

    /// Does what the sync thread would: serves those who wait. For journals without threads.
    pub fn commit(&self) {
        self.log.commit();
    }

    /// Whether somebody waits for a sync.
    pub fn is_waited_for(&self) -> bool {
        !self.log.waiting.lock().is_empty()
    }

    /// Does what the keeper thread would: a spare segment, the free space, syncing full segments. For journals
    /// without threads.
    ///
    /// # Errors
    /// [`JournalError::Poisoned`], or what the disk said.
    pub fn keep_house(&self) -> Result<(), JournalError> {
        self.log.keep_house(true)
    }

    /// An error once a write or sync has failed; nothing is accepted then, and the process should end.
    ///
    /// # Errors
    /// [`JournalError::Poisoned`].
    pub fn health(&self) -> Result<(), JournalError> {
        self.log.poison.check()
    }

    /// Stores the owner's state durably. Records from `keep_from` on will be replayed on top of it; what lies
    /// before is given up as soon as the checkpoint before this one does not need it either. Makes everything staged
    /// durable first.
    ///
    /// # Errors
    /// [`JournalError::Poisoned`], or what the disk said: the previous checkpoint stays valid then.
    pub fn checkpoint(&self, bytes: &[u8], keep_from: Lsn) -> Result<(), JournalError> {
        self.log.checkpoint(bytes, keep_from)
    }

    /// Publishing is refused for want of space.
    pub fn is_disk_full(&self) -> bool {
        self.log.space.is_full()
    }

    /// Looks at the free space, now. False while publishing is refused: then nobody should write to the disk what can
    /// wait, for what is left is the reserve of finishes and checkpoints.
    ///
    /// # Errors
    /// What the disk said.
    pub fn look_at_space(&self) -> Result<bool, JournalError> {
        self.log.look_at_space()
    }

    /// 64 random bits that name this volume's journal.
    pub fn incarnation(&self) -> u64 {
        self.log.incarnation
    }

    /// Number of this opening of the journal.
    pub fn run(&self) -> u64 {
        self.log.run
    }

    /// Each remembered run with its first position, oldest first; ends with the present one.
    pub fn runs(&self) -> Vec<Position> {
        self.log.checkpoints.lock().runs.clone()
    }

    /// Where chunks come from; counts their memory.
    pub fn pool(&self) -> &Arc<ChunkPool> {
        &self.log.pool
    }

    /// Figures for metrics.
    pub fn stats(&self) -> JournalStats {
        let counters = &self.log.counters;
        let catalog = self.log.catalog.lock();
        JournalStats {
            run: self.log.run,
            tail: self.tail(),
            written: self.written(),
            durable: self.durable(),
            segments: catalog.segments.len(),
            spare_segments: catalog.spares.len(),
            disk_bytes: catalog.bytes(),
            chunk_bytes: self.log.pool.live_bytes(),
            writes: counters.writes.load(Ordering::Relaxed),
            bytes_written: counters.bytes_written.load(Ordering::Relaxed),
            syncs: counters.syncs.load(Ordering::Relaxed),
            sync_times: counters.sync_times.read(),
            disk_full: self.log.space.is_full(),
            recovery: self.recovery.clone(),
        }
    }

    /// Makes everything durable and ends the threads. Dropping a journal without this is like a crash of the process:
    /// what is staged and not written is gone.
    ///
    /// # Errors
    /// As [`Journal::write`].
    pub fn close(&self) -> Result<(), JournalError> {
        let result = self.sync();
        self.stop_threads();
        result.map(|_| ())
    }

    fn stop_threads(&self) {
        self.log.stop();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // A waiter may hold the last reference, and then this is the sync thread itself.
            if thread.thread().id() != std::thread::current().id() {
                // The threads do not panic; if one did, there is nothing left to do about it here.
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.stop_threads();
    }
}

fn check_size(bytes: u64) -> Result<(), JournalError> {
    if bytes > PAYLOAD_BYTES_MAX {
        return Err(JournalError::TooLarge {
            bytes,
            max: PAYLOAD_BYTES_MAX,
        });
    }
    Ok(())
}

fn append(log: &Log, record: &Record<'_>) -> Result<Lsn, JournalError> {
    let mut payload = Vec::with_capacity(64);
    record.encode(&mut payload);
    Ok(stage(log, record.code(), &payload)?.end)
}

pub(crate) fn stage(log: &Log, code: u8, payload: &[u8]) -> Result<Spot, JournalError> {
    log.poison.check()?;
    log.space.admit_small()?;
    check_size(payload.len() as u64)?;
    let crc = crc32c::crc32c(payload);
    Ok(log.stage(code, payload.len(), crc, |place| {
        place.copy_from_slice(payload)
    }))
}
