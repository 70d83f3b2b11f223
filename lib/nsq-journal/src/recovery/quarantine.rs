//! Damage: reported, and copied or moved to a directory for people in trouble. Nothing is thrown away.

use crate::disk::{Disk, DiskFile};
use crate::segment::{DIRECTORY, HEADER_BLOCK, path};
use crate::{JournalError, Lsn};

use super::files::SegmentFile;
use super::scan::{self, Span};
use super::{Recovery, Replay};

/// Below the journal's directory.
const QUARANTINE: &str = "quarantine";

/// Ranges of one segment that are copied one by one. Every copy costs a sync: of a segment with more of them the
/// whole is copied.
const RANGES_COPIED: u32 = 32;

/// Where damage goes, and who hears of it.
pub(crate) struct Quarantine<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) replay: &'a mut dyn Replay,
    pub(crate) recovery: &'a mut Recovery,
    /// The segment that was damaged last, and how many ranges of it are.
    ranges: (u64, u32),
}

impl<'a> Quarantine<'a> {
    pub(crate) fn new(
        disk: &'a dyn Disk,
        replay: &'a mut dyn Replay,
        recovery: &'a mut Recovery,
    ) -> Quarantine<'a> {
        Quarantine {
            disk,
            replay,
            recovery,
            ranges: (0, 0),
        }
    }

    /// Tells of a hole in the stream.
    pub(crate) fn report(&mut self, from: Lsn, to: Lsn, why: &str) {
        self.recovery.quarantined_ranges += 1;
        self.recovery.quarantined_bytes += to.saturating_sub(from);
        self.replay.quarantined(from, to, why);
    }

    /// Moves a whole file out of the way.
    pub(crate) fn set_aside(&mut self, name: &str, why: &str) -> Result<(), JournalError> {
        self.create()?;
        let (from, mut to) = (path(name), path(&format!("{QUARANTINE}/{name}")));
        let mut copy = 1;
        while self.disk.open(&to).is_ok() {
            to = path(&format!("{QUARANTINE}/{name}.{copy}"));
            copy += 1;
        }
        self.disk
            .rename(&from, &to)
            .map_err(|error| JournalError::io("set aside", &from, &error))?;
        self.report(0, 0, &format!("{from}: {why}"));
        Ok(())
    }

    /// Copies the bytes `[from, to)` of the stream, as far as the segment has them, and tells of the hole.
    pub(crate) fn damaged(
        &mut self,
        segment: &SegmentFile,
        span: &Span<'_>,
        from: Lsn,
        to: Lsn,
    ) -> Result<(), JournalError> {
        if self.ranges.0 != segment.number {
            self.ranges = (segment.number, 0);
        }
        self.ranges.1 += 1;
        match self.ranges.1 {
            1..=RANGES_COPIED => self.copy(span, from, to)?,
            // The positions in its name tell it from what the file held before it was recycled.
            n if n == RANGES_COPIED + 1 => {
                let target = format!("{:016x}-{}", span.first, segment.name);
                self.copy_bytes(
                    span.file,
                    0,
                    HEADER_BLOCK + (span.limit - span.first),
                    &target,
                )?;
            }
            _ => {}
        }
        self.report(from, to, "records are damaged");
        Ok(())
    }

    /// Copies the bytes `[from, to)` of the stream.
    pub(crate) fn copy(&self, span: &Span<'_>, from: Lsn, to: Lsn) -> Result<(), JournalError> {
        // The same hole is found again until its segment is recycled: the name makes that one file.
        let target = format!("{from:016x}-{to:016x}");
        self.copy_bytes(span.file, span.offset(from), to - from, &target)
    }

    fn copy_bytes(
        &self,
        file: &dyn DiskFile,
        offset: u64,
        len: u64,
        target: &str,
    ) -> Result<(), JournalError> {
        const PIECE: u64 = 64 << 10;
        self.create()?;
        let target = path(&format!("{QUARANTINE}/{target}"));
        let failed = |error: std::io::Error| JournalError::io("write", &target, &error);
        let copy = self.disk.create(&target).map_err(failed)?;
        let mut at = 0;
        while at < len {
            let mut piece = vec![0; PIECE.min(len - at) as usize];
            let read = scan::read(file, offset + at, &mut piece);
            if read == 0 {
                break;
            }
            copy.pwrite(at, &piece[..read]).map_err(failed)?;
            at += read as u64;
        }
        copy.sync_data().map_err(failed)
    }

    fn create(&self) -> Result<(), JournalError> {
        let dir = format!("{DIRECTORY}/{QUARANTINE}");
        self.disk
            .create_dir(&dir)
            .map_err(|error| JournalError::io("create", &dir, &error))
    }
}
