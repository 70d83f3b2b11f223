//! Whether there is room: publishing stops while the disk still has space for everything else.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::log::Log;
use crate::segment::{HEADER_BLOCK, Spare, path, spare_name};
use crate::{JournalError, Lsn};

/// Spares that are kept ready to be written to: one for now, one for the time it takes to prepare the next.
const WARM: usize = 2;

/// What is known about free space. Looked at by the keeper, about once a second and when a segment was filled.
#[derive(Debug, Default)]
pub(crate) struct Space {
    /// Publishing is refused.
    full: AtomicBool,
    /// Not even the reserve is left: nothing is accepted until a segment can be made.
    exhausted: AtomicBool,
    free: AtomicU64,
}

impl Space {
    /// May messages of `bytes` be accepted?
    pub(crate) fn admit(&self, bytes: u64, segment_bytes: u64) -> Result<(), JournalError> {
        let free = self.free.load(Ordering::Relaxed);
        if self.full.load(Ordering::Relaxed) {
            return Err(JournalError::DiskFull(format!(
                "{free} bytes free, publishing resumes when there is space"
            )));
        }
        if bytes > segment_bytes && bytes > free {
            return Err(JournalError::DiskFull(format!(
                "{bytes} bytes do not fit in the {free} bytes free"
            )));
        }
        Ok(())
    }

    /// May anything be accepted?
    pub(crate) fn admit_small(&self) -> Result<(), JournalError> {
        if self.exhausted.load(Ordering::Relaxed) {
            return Err(JournalError::DiskFull(
                "the journal's reserve is used up".to_owned(),
            ));
        }
        Ok(())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// A segment was needed and could not be made, or could be made again.
    pub(crate) fn set_exhausted(&self, exhausted: bool) {
        self.exhausted.store(exhausted, Ordering::Relaxed);
        if exhausted {
            self.full.store(true, Ordering::Relaxed);
        }
    }

    /// As [`Space::observe`], by somebody who does not know whether there is a spare.
    fn note(&self, free: u64, floor: u64) {
        self.free.store(free, Ordering::Relaxed);
        if free < floor {
            self.full.store(true, Ordering::Relaxed);
        }
    }

    /// Takes in what the disk says. Resumes only at half as much again as the floor, lest it flutter.
    fn observe(&self, free: u64, floor: u64, reserve: bool) {
        self.free.store(free, Ordering::Relaxed);
        let full = self.full.load(Ordering::Relaxed);
        let enough = if full { floor + floor / 2 } else { floor };
        self.full
            .store(free < enough || !reserve, Ordering::Relaxed);
    }
}

impl Log {
    /// Keeps spare segments at hand, looks at the free space, retries what a full disk held up, and syncs full
    /// segments.
    pub(crate) fn keep_house(&self, idle: bool) -> Result<(), JournalError> {
        let reserve = match self.ensure_spare() {
            Ok(()) => true,
            Err(JournalError::DiskFull(_)) => false,
            Err(error) => return Err(error),
        };
        let mut free = self.free_space()?;
        if free < self.options.free_floor * 3 / 2 && self.drop_spares()? {
            free = self.free_space()?;
        }
        self.space.observe(free, self.options.free_floor, reserve);
        if idle && self.options.zero_segments && free > self.options.free_floor * 3 / 2 {
            self.warm_spares()?;
        }
        if reserve && self.space.admit_small().is_err() {
            self.write(Lsn::MAX)?;
        }
        self.sync_sealed(idle)
    }

    /// See [`crate::Journal::look_at_space`].
    pub(crate) fn look_at_space(&self) -> Result<bool, JournalError> {
        self.space.note(self.free_space()?, self.options.free_floor);
        Ok(!self.space.is_full())
    }

    fn free_space(&self) -> Result<u64, JournalError> {
        let free = self.disk.free_space();
        free.map_err(|error| JournalError::io("statfs", ".", &error))
    }

    /// Gives spare segments back to a disk that is short of space, all but one. Were there any?
    fn drop_spares(&self) -> Result<bool, JournalError> {
        let mut dropped = false;
        loop {
            let spare = {
                let mut catalog = self.catalog.lock();
                if catalog.spares.len() < 2 {
                    return Ok(dropped);
                }
                catalog.spares.pop()
            };
            let Some(spare) = spare else {
                return Ok(dropped);
            };
            let path = path(&spare.name);
            self.disk
                .remove(&path)
                .map_err(|error| JournalError::io("remove", &path, &error))?;
            dropped = true;
        }
    }

    /// Sees to it that [`WARM`] spares can be written to without delay. The last spare is never taken away for
    /// that: it is the reserve.
    fn warm_spares(&self) -> Result<(), JournalError> {
        for _ in 0..WARM {
            let cold = {
                let mut catalog = self.catalog.lock();
                if catalog.spares.iter().filter(|spare| spare.warm).count() >= WARM {
                    return Ok(());
                }
                let cold = catalog.spares.iter().position(|spare| !spare.warm);
                cold.filter(|_| catalog.spares.len() > 1)
                    .map(|at| catalog.spares.swap_remove(at))
            };
            let mut spare = match cold {
                Some(spare) => spare,
                None => match self.new_spare() {
                    // There is one in reserve; this would have been another.
                    Err(JournalError::DiskFull(_)) => return Ok(()),
                    other => other?,
                },
            };
            let zeroed = zero(&spare);
            spare.warm = zeroed.is_ok();
            self.catalog.lock().spares.push(spare);
            zeroed?;
        }
        Ok(())
    }

    fn ensure_spare(&self) -> Result<(), JournalError> {
        let fits = |spare: &Spare| spare.bytes >= self.options.segment_bytes;
        if !self.catalog.lock().spares.iter().any(fits) {
            let spare = self.new_spare()?;
            self.catalog.lock().spares.push(spare);
        }
        Ok(())
    }

    fn new_spare(&self) -> Result<Spare, JournalError> {
        let name = {
            let mut catalog = self.catalog.lock();
            catalog.next_spare += 1;
            spare_name(catalog.next_spare)
        };
        self.make_spare(name, self.options.segment_bytes)
    }

    /// Creates and reserves a file of `bytes`; leaves nothing behind when that fails.
    pub(crate) fn make_spare(&self, name: String, bytes: u64) -> Result<Spare, JournalError> {
        make_spare(&*self.disk, name, bytes)
    }
}

/// See [`Log::make_spare`].
pub(crate) fn make_spare(
    disk: &dyn crate::Disk,
    name: String,
    bytes: u64,
) -> Result<Spare, JournalError> {
    let path = path(&name);
    let file = disk
        .create(&path)
        .map_err(|error| JournalError::io("create", &path, &error))?;
    if let Err(error) = file.allocate(bytes) {
        let error = JournalError::io("reserve space for", &path, &error);
        // A file without its space is no reserve; failing to remove it changes nothing about that.
        let _ = disk.remove(&path);
        return Err(error);
    }
    Ok(Spare {
        name,
        file,
        bytes,
        warm: false,
    })
}

/// Zeroes in pieces of 64 KiB: larger ones leave large pages in the cache, which make every later small write
/// slower. Written and synced blocks make later syncs cheaper than merely reserved ones.
fn zero(spare: &Spare) -> Result<(), JournalError> {
    let piece = vec![0; 64 << 10];
    let failed = |error: std::io::Error| JournalError::io("zero", &path(&spare.name), &error);
    let mut at = 0;
    while at < spare.bytes {
        let len = piece.len().min((spare.bytes - at) as usize);
        spare.file.pwrite(at, &piece[..len]).map_err(failed)?;
        at += len as u64;
    }
    spare.file.sync_data().map_err(failed)
}

/// Bytes of records that fit in a file of `bytes`.
pub(crate) fn room(bytes: u64) -> u64 {
    bytes.saturating_sub(HEADER_BLOCK) / 8 * 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishing_stops_at_the_floor_and_resumes_above_it() {
        let space = Space::default();
        space.observe(100, 100, true);
        assert!(space.admit(10, 64).is_ok());
        assert!(space.admit(101, 64).is_err(), "larger than what is free");
        space.observe(99, 100, true);
        assert!(space.admit(1, 64).is_err());
        assert!(space.admit_small().is_ok());
        space.note(1000, 100);
        assert!(
            space.is_full(),
            "only the keeper knows whether there is a reserve"
        );
        space.observe(149, 100, true);
        assert!(space.is_full(), "resumes at one and a half times the floor");
        space.observe(150, 100, false);
        assert!(
            space.is_full(),
            "without a spare segment there is no reserve"
        );
        space.observe(150, 100, true);
        assert!(!space.is_full());
        space.note(99, 100);
        assert!(space.is_full());
    }
}
