//! From chunks to segment files.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::disk::DiskFile;
use crate::log::Log;
use crate::segment::{
    DIRECTORY, HEADER_BLOCK, Segment, SegmentHeader, Spare, path, segment_name, spare_name,
};
use crate::staging::Slice;
use crate::{JournalError, Lsn};

/// Full segments that may wait for their sync while the journal is busy.
const SEALED: usize = 16;

/// What the one who writes needs; behind the writer lock.
#[derive(Default)]
pub(crate) struct Writer {
    /// Taken from staging and not yet written.
    pub(crate) pending: VecDeque<Slice>,
    pub(crate) current: Option<Current>,
    /// Segments that are full and perhaps not yet on disk.
    pub(crate) sealed: Vec<Arc<dyn DiskFile>>,
    /// A segment was renamed since the directory was last synced.
    pub(crate) directory_changed: bool,
    pub(crate) next_number: u64,
    /// Prepared at start for the first segment.
    pub(crate) first: Option<Spare>,
}

/// The segment being written.
pub(crate) struct Current {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) first: Lsn,
}

impl Log {
    /// Writes everything staged unless `upto` is written already. Whoever comes first writes for all.
    pub(crate) fn write(&self, upto: Lsn) -> Result<Lsn, JournalError> {
        self.poison.check()?;
        let written = self.written.load(Ordering::Acquire);
        if written >= upto {
            return Ok(written);
        }
        let mut writer = self.writer();
        let written = self.written.load(Ordering::Acquire);
        if written >= upto {
            return Ok(written);
        }
        let result = self.write_locked(&mut writer);
        drop(writer);
        self.pool.prepare();
        result
    }

    /// Writes everything staged. A full disk holds things up without harm: no segment was begun. Any other error
    /// poisons the journal.
    pub(crate) fn write_locked(&self, writer: &mut Writer) -> Result<Lsn, JournalError> {
        self.poison.check()?;
        self.staging.lock().take(&mut writer.pending);
        while let Some(slice) = writer.pending.front_mut() {
            let lsn = slice.lsn();
            if let Some(room) = slice.begins.take() {
                if let Err(error) = self.begin_segment(writer, lsn, room) {
                    return Err(self.held_up(writer, room, error));
                }
                self.space.set_exhausted(false);
                continue;
            }
            let data = slice.chunk.bytes(slice.from, slice.to - slice.from);
            let Some(current) = &writer.current else {
                return Err(self.fail(JournalError::Invalid("records without a segment")));
            };
            if let Err(error) = current
                .file
                .pwrite(HEADER_BLOCK + (lsn - current.first), data)
            {
                return Err(self.fail(JournalError::io("write to", "the journal", &error)));
            }
            self.counters.writes.fetch_add(1, Ordering::Relaxed);
            self.counters
                .bytes_written
                .fetch_add(data.len() as u64, Ordering::Relaxed);
            self.written
                .store(lsn + data.len() as u64, Ordering::Release);
            writer.pending.pop_front();
        }
        Ok(self.written.load(Ordering::Acquire))
    }

    /// The next segment could not be begun.
    fn held_up(&self, writer: &mut Writer, room: u64, error: JournalError) -> JournalError {
        if !matches!(error, JournalError::DiskFull(_)) {
            return self.fail(error);
        }
        if let Some(slice) = writer.pending.front_mut() {
            slice.begins = Some(room);
        }
        self.space.set_exhausted(true);
        error
    }

    /// Opens the segment whose first record is at `first`: a spare if there is one that is large enough.
    fn begin_segment(
        &self,
        writer: &mut Writer,
        first: Lsn,
        room: u64,
    ) -> Result<(), JournalError> {
        let bytes = HEADER_BLOCK + room;
        let spare = match writer.first.take().filter(|spare| spare.bytes >= bytes) {
            Some(spare) => spare,
            None => self.spare(bytes)?,
        };
        let number = writer.next_number;
        let header = SegmentHeader {
            incarnation: self.incarnation,
            run: self.run,
            number,
            first,
        };
        let name = segment_name(number);
        let (from, to) = (path(&spare.name), path(&name));
        // The header goes first: whatever bears a segment's name has either this header or, after a power cut,
        // an older one that recovery can place.
        let begun = spare
            .file
            .pwrite(0, &header.block())
            .map_err(|error| JournalError::io("write to", &from, &error));
        let begun = begun.and_then(|()| {
            self.disk
                .rename(&from, &to)
                .map_err(|error| JournalError::io("rename", &from, &error))
        });
        if let Err(error) = begun {
            self.catalog.lock().spares.push(spare);
            return Err(error);
        }
        writer.next_number += 1;
        writer.directory_changed = true;
        if let Some(full) = writer.current.replace(Current {
            file: spare.file,
            first,
        }) {
            writer.sealed.push(full.file);
        }
        self.catalog.lock().segments.push_back(Segment {
            name,
            first,
            bytes: spare.bytes,
        });
        self.chores.notify_one();
        Ok(())
    }

    fn spare(&self, bytes: u64) -> Result<Spare, JournalError> {
        let name = {
            let mut catalog = self.catalog.lock();
            if let Some(spare) = catalog.take_spare(bytes) {
                return Ok(spare);
            }
            catalog.next_spare += 1;
            spare_name(catalog.next_spare)
        };
        let spare = self.make_spare(name, bytes)?;
        // The keeper is behind: publishers must not run through the reserve before it looks.
        self.look_at_space()?;
        Ok(spare)
    }

    /// Makes everything staged durable. Callers take turns; one who waited finds most of the work done.
    pub(crate) fn sync(&self) -> Result<Lsn, JournalError> {
        let _turn = self.syncing.lock();
        let (target, files, directory) = {
            let mut writer = self.writer();
            let target = self.write_locked(&mut writer)?;
            if target == self.durable.load(Ordering::Acquire) && !writer.directory_changed {
                return Ok(target);
            }
            let current = writer.current.as_ref().map(|current| &current.file);
            let files: Vec<_> = writer
                .sealed
                .iter()
                .chain(current)
                .map(Arc::clone)
                .collect();
            (target, files, std::mem::take(&mut writer.directory_changed))
        };
        let started = Instant::now();
        self.sync_files(&files)?;
        if directory && let Err(error) = self.disk.sync_dir(DIRECTORY) {
            return Err(self.fail(JournalError::io("sync", DIRECTORY, &error)));
        }
        let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.counters.sync_times.count(nanos, 1);
        self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        self.durable.store(target, Ordering::Release);
        self.pool.prepare();
        Ok(target)
    }

    /// Syncs full segments in the background, so that level `write` leaves few of them to chance and no list grows:
    /// when nothing else is to do, or when there are more than [`SEALED`]. Until then they may be finished with and
    /// written again, and the disk be spared. Takes its turn like every sync: the kernel reports a failed one only once per file, and
    /// nobody may take the next one's success for theirs.
    pub(crate) fn sync_sealed(&self, idle: bool) -> Result<(), JournalError> {
        if !idle && self.writer().sealed.len() <= SEALED {
            return Ok(());
        }
        let _turn = self.syncing.lock();
        self.poison.check()?;
        let sealed = self.writer().sealed.clone();
        self.sync_files(&sealed)
    }

    /// Syncs the files and forgets those of them that are full.
    fn sync_files(&self, files: &[Arc<dyn DiskFile>]) -> Result<(), JournalError> {
        for file in files {
            if let Err(error) = file.sync_data() {
                return Err(self.fail(JournalError::io("sync", "the journal", &error)));
            }
        }
        let is_synced =
            |sealed: &Arc<dyn DiskFile>| files.iter().any(|file| Arc::ptr_eq(file, sealed));
        self.writer
            .lock()
            .sealed
            .retain(|sealed| !is_synced(sealed));
        Ok(())
    }
}
