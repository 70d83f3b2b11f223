//! How the data path's volume is divided: as usual from a gibibyte on, in smaller pieces below, so
//! that a small volume has room for a few segments and for what a backlog needs beside them.

use nsq_journal::{JournalOptions, SpillOptions};

/// Bytes, each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskBudget {
    pub segment: u64,
    /// Publishing is refused while less than this is free.
    pub free_floor: u64,
    pub spill_file: u64,
    /// A checkpoint is due after so much journal.
    pub checkpoint_every: u64,
    /// What keeps more journal than this from being let go is paged out.
    pub journal_kept: u64,
}

/// No segment is smaller, however small the volume.
const SMALLEST_SEGMENT: u64 = 256 << 10;

impl DiskBudget {
    /// For a volume of so many bytes.
    pub fn of(volume: u64) -> Self {
        let (journal, spill) = (JournalOptions::default(), SpillOptions::default());
        // Segments begin at whole pages.
        let share = |parts: u64, usual: u64| {
            let share = (volume / parts / 4096 * 4096).max(SMALLEST_SEGMENT);
            share.min(usual)
        };
        Self {
            segment: share(16, journal.segment_bytes),
            free_floor: journal.free_floor.min(volume / 20),
            spill_file: share(32, spill.file_bytes),
            checkpoint_every: share(16, 64 << 20),
            journal_kept: share(4, 256 << 20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_volumes_have_room_for_several_segments() {
        let usual = DiskBudget::of(1 << 40);
        assert_eq!((usual.segment, usual.free_floor), (64 << 20, 128 << 20));
        assert_eq!(DiskBudget::of(1 << 30).journal_kept, usual.journal_kept);
        for volume in [16u64 << 20, 64 << 20, 100_000_000] {
            let small = DiskBudget::of(volume);
            // In use, the one before, the spare, and what two checkpoints hold back.
            let journal = small.journal_kept + 2 * small.checkpoint_every + 2 * small.segment;
            assert!(journal < volume * 3 / 4, "{small:?}");
            assert_eq!(small.segment % 4096, 0);
        }
    }
}
