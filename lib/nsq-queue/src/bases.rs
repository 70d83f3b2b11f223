//! Which messages have a newer base than the record they came with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Positions whose base moved up when they were imported again, as ranges. A range knows the bases
/// of its first and its last message only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebased {
    ranges: BTreeMap<u64, Range>,
    /// What was noted up to this base is not extended: it may be let go of while what follows stays.
    #[serde(skip)]
    begun: u64,
}

/// Bases further apart are of different imports.
const NEAR: u64 = 1 << 20;
/// Positions in one range: where it is cut in two, only its bases at both ends are known.
const LONGEST: u64 = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Range {
    end: u64,
    /// Not above any, also after a cut.
    first_base: u64,
    last_base: u64,
}

impl Rebased {
    /// What lies up to `base` may go, and what comes behind it stay: no range has of both.
    pub(crate) fn part(&mut self, base: u64) {
        self.begun = self.begun.max(base);
    }

    /// After a start it is not known where ranges were to be parted: none of them goes on.
    pub(crate) fn part_here(&mut self) {
        let last = self.ranges.values().map(|range| range.last_base).max();
        self.part(last.unwrap_or(0));
    }

    /// The message at `pos` was imported by the record before `base`.
    pub(crate) fn note(&mut self, pos: u64, base: u64) {
        // What it was before is where a cut may lead back to.
        let first_base = self.take_out(pos).unwrap_or(base);
        if let Some((&start, range)) = self.ranges.range_mut(..pos).next_back()
            && range.end == pos
            && pos - start < LONGEST
            && range.last_base > self.begun
            && (range.last_base..range.last_base + NEAR).contains(&base)
        {
            range.end = pos + 1;
            range.first_base = range.first_base.min(first_base);
            range.last_base = base;
            return;
        }
        let range = Range {
            end: pos + 1,
            first_base,
            last_base: base,
        };
        self.ranges.insert(pos, range);
    }

    /// Its first base, if the position was in a range.
    fn take_out(&mut self, pos: u64) -> Option<u64> {
        let (&start, &range) = self.ranges.range(..=pos).next_back()?;
        if range.end <= pos {
            return None;
        }
        self.ranges.remove(&start);
        if start < pos {
            self.ranges.insert(start, Range { end: pos, ..range });
        }
        if pos + 1 < range.end {
            self.ranges.insert(pos + 1, range);
        }
        Some(range.first_base)
    }

    /// The base of the message at `pos`, not below what it is; `None`: it did not move.
    pub(crate) fn of(&self, pos: u64) -> Option<u64> {
        let (_, range) = self.ranges.range(..=pos).next_back()?;
        (pos < range.end).then_some(range.last_base)
    }

    /// The base of the message at `pos`, not above what it is; `None`: it did not move.
    pub(crate) fn floor(&self, pos: u64) -> Option<u64> {
        let (_, range) = self.ranges.range(..=pos).next_back()?;
        (pos < range.end).then_some(range.first_base)
    }

    /// Ranges within `from..to` whose bases are above `base`.
    pub(crate) fn above(&self, base: u64, from: u64, to: u64) -> impl Iterator<Item = (u64, u64)> {
        let start = self.ranges.range(..=from).next_back();
        let start = start.map_or(from, |(&start, _)| start);
        let ranges = self.ranges.range(start..to.max(start));
        let ranges = ranges.filter(move |(_, range)| range.last_base > base);
        let clipped = ranges.map(move |(&start, range)| (start.max(from), range.end.min(to)));
        clipped.filter(|(start, end)| start < end)
    }

    /// Takes back what came after `base`. False: for some ranges that cannot be told; theirs are not above it either.
    pub(crate) fn cut(&mut self, base: u64) -> bool {
        self.ranges.retain(|_, range| range.first_base <= base);
        let mut known = true;
        for range in self.ranges.values_mut() {
            known &= range.last_base <= base;
            range.last_base = range.last_base.min(base);
        }
        self.begun = base;
        known
    }

    /// Forgets positions in `from..to`: others will lie there.
    pub(crate) fn forget(&mut self, from: u64, to: u64) {
        self.ranges.retain(|&start, range| {
            if start < from && range.end > from {
                range.end = from;
            }
            !(from..to).contains(&start)
        });
    }

    /// Forgets ranges about messages that are gone.
    pub(crate) fn retain(&mut self, is_here: impl Fn(u64, u64) -> bool) {
        self.ranges
            .retain(|&start, range| is_here(start, range.end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_grow_split_and_shrink() {
        let mut rebased = Rebased::default();
        for (pos, base) in [(5, 100), (6, 110), (7, 120), (20, 130)] {
            rebased.note(pos, base);
        }
        assert_eq!(rebased.ranges.len(), 2);
        assert_eq!(rebased.of(6), Some(120), "rounded up");
        assert_eq!(
            (rebased.of(4), rebased.of(8), rebased.of(20)),
            (None, None, Some(130))
        );
        rebased.note(6, 1 << 30);
        assert_eq!(
            (rebased.of(5), rebased.of(6), rebased.of(7)),
            (Some(120), Some(1 << 30), Some(120))
        );
        assert_eq!(
            rebased.above(125, 0, 21).collect::<Vec<_>>(),
            [(6, 7), (20, 21)]
        );
        assert_eq!(rebased.above(0, 7, 9).collect::<Vec<_>>(), [(7, 8)]);
        assert!(
            !rebased.clone().cut(110),
            "which of 5..7 came before 110 is not known"
        );
        assert!(!rebased.cut(125), "6 had an older one");
        assert_eq!(
            (rebased.of(20), rebased.of(7), rebased.of(6)),
            (None, Some(120), Some(125))
        );
        rebased.retain(|start, _| start > 6);
        assert_eq!((rebased.of(5), rebased.of(7)), (None, Some(120)));
    }

    #[test]
    fn a_second_list_does_not_lift_what_only_the_first_had() {
        let mut rebased = Rebased::default();
        for (list, base) in [(1..5, 100), (3..5, 200)] {
            rebased.part(base);
            for pos in list {
                rebased.note(pos, base + pos);
            }
        }
        assert_eq!(
            [1, 2, 3, 4].map(|pos| rebased.of(pos).unwrap() > 200),
            [false, false, true, true]
        );
        assert_eq!(rebased.ranges.len(), 2);
    }

    /// Checkpoints of version 2 have ranges in this form.
    #[test]
    fn a_checkpoint_has_three_numbers_of_a_range() -> postcard::Result<()> {
        let mut rebased = Rebased::default();
        (4..7).for_each(|pos| rebased.note(pos, 100 + pos));
        assert_eq!(postcard::to_stdvec(&rebased)?, [1, 4, 7, 104, 106]);
        let read: Rebased = postcard::from_bytes(&[1, 4, 7, 104, 106])?;
        assert_eq!(read.of(5), Some(106));
        Ok(())
    }
}
