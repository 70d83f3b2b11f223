//! Checkpoints: the owner's state as of a position, so that replay is short and old segments can go.
//!
//! A checkpoint is written to a temporary file, synced, renamed, and the directory synced. The newest two are
//! kept, and segments as far back as the older of them needs: should the newest turn out unreadable, recovery
//! starts from the other without a gap.

use crate::disk::Disk;
use crate::log::Log;
use crate::record::wire::{Fields, put_u8, put_u32, put_u64};
use crate::segment::{DIRECTORY, Segment, Spare, VERSION, path, spare_name};
use crate::{JournalError, Lsn, Position};

const MAGIC: &[u8; 8] = b"NSQDCKPT";
const PREFIX: &str = "checkpoint-";
/// Checkpoints kept.
const KEPT: usize = 2;
/// Runs remembered for the pair protocol; far more restarts than a mirror is ever behind.
const RUNS_MAX: usize = 4096;

/// A checkpoint as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) incarnation: u64,
    /// Durable end of the journal when it was written.
    pub(crate) at: Position,
    /// Records from here on are to be replayed.
    pub(crate) keep_from: Lsn,
    /// Each run with its first position, oldest first.
    pub(crate) runs: Vec<Position>,
    pub(crate) state: Vec<u8>,
}

impl Checkpoint {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.state.len() + 16 * self.runs.len() + 80);
        out.extend_from_slice(MAGIC);
        put_u8(&mut out, VERSION);
        for field in [self.incarnation, self.at.run, self.at.lsn, self.keep_from] {
            put_u64(&mut out, field);
        }
        put_u32(&mut out, self.runs.len() as u32);
        for run in &self.runs {
            put_u64(&mut out, run.run);
            put_u64(&mut out, run.lsn);
        }
        out.extend_from_slice(&self.state);
        let sum = crc32c::crc32c(&out);
        put_u32(&mut out, sum);
        out
    }

    pub(crate) fn parse(path: &str, bytes: &[u8]) -> Result<Checkpoint, JournalError> {
        let damaged = || JournalError::Damaged {
            path: path.to_owned(),
            why: "checkpoint is not whole".to_owned(),
        };
        let (content, sum) = bytes.split_last_chunk::<4>().ok_or_else(damaged)?;
        if crc32c::crc32c(content).to_le_bytes() != *sum || !content.starts_with(MAGIC) {
            return Err(damaged());
        }
        let mut from = Fields::new(&content[MAGIC.len()..]);
        let version = from.u8().ok_or_else(damaged)?;
        if version != VERSION {
            return Err(JournalError::Version {
                path: path.to_owned(),
                found: version,
                known: VERSION,
            });
        }
        Self::fields(&mut from).ok_or_else(damaged)
    }

    fn fields(from: &mut Fields<'_>) -> Option<Checkpoint> {
        let incarnation = from.u64()?;
        let at = Position {
            run: from.u64()?,
            lsn: from.u64()?,
        };
        let keep_from = from.u64()?;
        let count = from.u32()?;
        let mut runs = Vec::new();
        for _ in 0..count {
            runs.push(Position {
                run: from.u64()?,
                lsn: from.u64()?,
            });
        }
        Some(Checkpoint {
            incarnation,
            at,
            keep_from,
            runs,
            state: from.rest().to_vec(),
        })
    }
}

/// File name of the checkpoint with this number.
pub(crate) fn name(number: u64) -> String {
    format!("{PREFIX}{number:016x}")
}

/// The number in a checkpoint's file name.
pub(crate) fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
}

/// The checkpoints on disk and what the next one needs to know.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Number and `keep_from` of each, oldest first.
    pub(crate) files: Vec<(u64, Lsn)>,
    pub(crate) next: u64,
    pub(crate) runs: Vec<Position>,
}

impl Kept {
    /// Notes a run that began.
    pub(crate) fn add_run(&mut self, run: Position) {
        if self.runs.last().is_none_or(|last| last.run < run.run) {
            self.runs.push(run);
        }
        if self.runs.len() > RUNS_MAX {
            self.runs.remove(0);
        }
    }
}

/// Writes a file so that after any crash either all of it is there under its name or nothing.
pub(crate) fn write_whole(disk: &dyn Disk, name: &str, bytes: &[u8]) -> Result<(), JournalError> {
    let (temporary, to) = (path(&format!("{name}.tmp")), path(name));
    let written = disk.create(&temporary).and_then(|file| {
        file.pwrite(0, bytes)?;
        file.sync_data()?;
        disk.rename(&temporary, &to)?;
        disk.sync_dir(DIRECTORY)
    });
    written.map_err(|error| {
        // Best effort: the next checkpoint overwrites what is left.
        let _ = disk.remove(&temporary);
        JournalError::io("write", &to, &error)
    })
}

impl Log {
    /// See [`crate::Journal::checkpoint`].
    pub(crate) fn checkpoint(&self, state: &[u8], keep_from: Lsn) -> Result<(), JournalError> {
        let mut kept = self.checkpoints.lock();
        // The state may hold effects of records that are still on their way. They have to be on disk before it: a run
        // after a power cut would else give their positions to other records, and replay would skip those.
        let durable = self.sync()?;
        let checkpoint = Checkpoint {
            incarnation: self.incarnation,
            at: Position {
                run: self.run,
                lsn: durable,
            },
            keep_from: keep_from.min(durable),
            runs: kept.runs.clone(),
            state: state.to_vec(),
        };
        let number = kept.next;
        let (file, bytes) = (name(number), checkpoint.encode());
        match write_whole(&*self.disk, &file, &bytes) {
            // What is on the disk can be let go only with this one: the oldest makes room for it.
            Err(JournalError::DiskFull(_)) if kept.files.len() >= KEPT => {
                self.forget_oldest(&mut kept)?;
                write_whole(&*self.disk, &file, &bytes)?;
            }
            written => written?,
        }
        kept.next += 1;
        kept.files.push((number, checkpoint.keep_from));
        while kept.files.len() > KEPT {
            self.forget_oldest(&mut kept)?;
        }
        let needed = kept
            .files
            .iter()
            .map(|&(_, keep_from)| keep_from)
            .min()
            .unwrap_or(0);
        self.recycle(needed)
    }

    fn forget_oldest(&self, kept: &mut Kept) -> Result<(), JournalError> {
        let (oldest, _) = kept.files.remove(0);
        let path = path(&name(oldest));
        self.disk
            .remove(&path)
            .map_err(|error| JournalError::io("remove", &path, &error))
    }

    /// Turns segments wholly before `needed` into spares; removes what is more than enough.
    fn recycle(&self, needed: Lsn) -> Result<(), JournalError> {
        let retired = self.catalog.lock().retire(needed);
        for segment in retired {
            let from = path(&segment.name);
            let reusable = segment.bytes == self.options.segment_bytes;
            let bytes = self.catalog.lock().bytes() + segment.bytes;
            if !reusable || bytes > self.options.recycle_bytes {
                self.disk
                    .remove(&from)
                    .map_err(|error| JournalError::io("remove", &from, &error))?;
                continue;
            }
            self.make_spare_of(&segment)
                .map_err(|error| JournalError::io("recycle", &from, &error))?;
        }
        Ok(())
    }

    fn make_spare_of(&self, segment: &Segment) -> std::io::Result<()> {
        let mut catalog = self.catalog.lock();
        catalog.next_spare += 1;
        let name = spare_name(catalog.next_spare);
        self.disk.rename(&path(&segment.name), &path(&name))?;
        let file = self.disk.open(&path(&name))?;
        catalog.spares.push(Spare {
            name,
            file,
            bytes: segment.bytes,
            warm: true,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_read_back_whole_or_not_at_all() {
        let checkpoint = Checkpoint {
            incarnation: 1,
            at: Position { run: 2, lsn: 3 },
            keep_from: 1,
            runs: vec![Position { run: 1, lsn: 0 }, Position { run: 2, lsn: 2 }],
            state: b"state".to_vec(),
        };
        let bytes = checkpoint.encode();
        assert_eq!(Checkpoint::parse("c", &bytes).unwrap(), checkpoint);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Checkpoint::parse("c", &flipped).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(Checkpoint::parse("c", &bytes[..cut]).is_err());
        }
        assert_eq!(number(&name(77)), Some(77));
    }
}
