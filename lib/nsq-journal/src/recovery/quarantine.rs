//! Damage: reported, and copied or moved to a directory for people in trouble. Nothing is thrown away.

use crate::disk::{Disk, DiskFile};
use crate::segment::{DIRECTORY, path};
use crate::{JournalError, Lsn};

use super::{Recovery, Replay, scan};

/// Below the journal's directory.
const QUARANTINE: &str = "quarantine";

/// Where damage goes, and who hears of it.
pub(crate) struct Quarantine<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) replay: &'a mut dyn Replay,
    pub(crate) recovery: &'a mut Recovery,
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

    /// Copies the bytes `[from, to)` of the stream, as far as the file has them, and tells of the hole.
    pub(crate) fn damaged(
        &mut self,
        file: &dyn DiskFile,
        offset: u64,
        from: Lsn,
        to: Lsn,
        why: &str,
    ) -> Result<(), JournalError> {
        self.copy(file, offset, from, to)?;
        self.report(from, to, why);
        Ok(())
    }

    /// Copies the bytes `[from, to)` of the stream, which lie at `offset` in the file.
    pub(crate) fn copy(
        &mut self,
        file: &dyn DiskFile,
        offset: u64,
        from: Lsn,
        to: Lsn,
    ) -> Result<(), JournalError> {
        const PIECE: u64 = 64 << 10;
        self.create()?;
        // The same hole is found again until its segment is recycled: the name makes that one file.
        let target = path(&format!("{QUARANTINE}/{from:016x}-{to:016x}"));
        let failed = |error: std::io::Error| JournalError::io("write", &target, &error);
        let copy = self.disk.create(&target).map_err(failed)?;
        let mut at = 0;
        while at < to - from {
            let mut piece = vec![0; PIECE.min(to - from - at) as usize];
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
