//! R16: which messages were finished here a moment ago. An import asks, so that what the mirror still has as unfinished
//! does not come back. They outlive restarts with the checkpoint, and are told again to a peer that gets a list: what
//! it is not sent may tell of them.

use std::collections::{BTreeMap, VecDeque};

use nsq_journal::Lsn;
use serde::{Deserialize, Serialize};

/// Ranges kept. What is forgotten too early costs a duplicate, if it is adopted.
const RANGES_MAX: usize = 1 << 16;

/// Acknowledgements kept.
const ACKS_MAX: usize = 1024;

/// A channel, by the numbers of its topic and its own.
type Place = (u32, u32);

/// A range of finished messages, as checkpoints keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// Numbers of topic and channel.
    pub topic: u32,
    pub channel: u32,
    pub first_id: u64,
    pub count: u64,
    /// End of its record.
    pub end: Lsn,
}

/// Finishes with the positions of their records in the own journal.
#[derive(Debug, Default)]
pub struct Finishes {
    by_id: BTreeMap<(Place, u64), (u64, Lsn)>,
    in_order: VecDeque<(Place, u64, Lsn)>,
    /// Acknowledgements on their way: (own journal, the peer's journal when it said so).
    acks: VecDeque<(Lsn, Lsn)>,
}

impl Finishes {
    /// These were finished by the record before `end`.
    pub fn note(&mut self, topic: u32, channel: u32, first_id: u64, count: u64, end: Lsn) {
        let place = (topic, channel);
        // Replay may tell of it once more.
        if self.by_id.insert((place, first_id), (count, end)) == Some((count, end)) {
            return;
        }
        self.in_order.push_back((place, first_id, end));
        while self.in_order.len() > RANGES_MAX {
            self.forget_first();
        }
    }

    /// Whether this one was.
    pub fn contains(&self, topic: u32, channel: u32, id: u64) -> bool {
        let place = (topic, channel);
        let before = self.by_id.range((place, 0)..=(place, id)).next_back();
        before.is_some_and(|(&(_, first_id), &(count, _))| id - first_id < count)
    }

    /// Everything that is remembered, the oldest first.
    pub fn all(&self) -> impl Iterator<Item = Finished> {
        self.in_order.iter().filter_map(|&(place, first_id, end)| {
            let &(count, of) = self.by_id.get(&(place, first_id))?;
            (of == end).then_some(Finished {
                topic: place.0,
                channel: place.1,
                first_id,
                count,
                end,
            })
        })
    }

    /// The peer has kept the own journal through `acked`, and its own ended at `peer_end` when it said so.
    pub fn acknowledged(&mut self, acked: Lsn, peer_end: Lsn) {
        self.acks.push_back((acked, peer_end));
        if self.acks.len() > ACKS_MAX {
            // The later of two neighbours stands for both, with what it needs.
            self.acks.remove(ACKS_MAX / 2);
        }
    }

    /// The own mirror has passed this position of the peer's journal: what the peer had acknowledged by then has
    /// come back. L5: not through a mirror that a list led past something, until it is `whole` again.
    pub fn mirrored(&mut self, peer_lsn: Lsn, whole: bool) {
        if !whole {
            return;
        }
        while let Some(&(acked, peer_end)) = self.acks.front()
            && peer_end <= peer_lsn
        {
            self.acks.pop_front();
            while self.in_order.front().is_some_and(|first| first.2 <= acked) {
                self.forget_first();
            }
        }
    }

    /// The link is another one: what was acknowledged on the old one is void.
    pub fn reset(&mut self) {
        self.acks.clear();
    }

    fn forget_first(&mut self) {
        if let Some((place, first_id, end)) = self.in_order.pop_front()
            && self
                .by_id
                .get(&(place, first_id))
                .is_some_and(|range| range.1 == end)
        {
            self.by_id.remove(&(place, first_id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r16_a_finish_is_kept_until_it_has_come_back() {
        let mut finishes = Finishes::default();
        finishes.note(1, 2, 100, 10, 50);
        finishes.note(1, 2, 200, 1, 90);
        for (id, known) in [
            (99, false),
            (100, true),
            (109, true),
            (110, false),
            (200, true),
        ] {
            assert_eq!(finishes.contains(1, 2, id), known, "{id}");
        }
        assert!(!finishes.contains(1, 3, 100));
        finishes.acknowledged(60, 1000);
        finishes.mirrored(999, true);
        assert!(
            finishes.contains(1, 2, 100),
            "the peer may not have told of it yet"
        );
        finishes.mirrored(1000, false);
        assert!(
            finishes.contains(1, 2, 100),
            "L5: it may have been led past it"
        );
        finishes.mirrored(1000, true);
        assert!(!finishes.contains(1, 2, 100) && finishes.contains(1, 2, 200));
    }

    #[test]
    fn what_is_told_again_is_remembered_until_that_is_acknowledged() {
        let mut finishes = Finishes::default();
        finishes.note(1, 2, 100, 10, 50);
        finishes.note(1, 2, 100, 10, 50);
        finishes.note(1, 3, 7, 1, 60);
        let all: Vec<Finished> = finishes.all().collect();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].first_id, all[0].count, all[0].end), (100, 10, 50));
        finishes.note(1, 2, 100, 10, 500);
        finishes.acknowledged(60, 10);
        finishes.mirrored(10, true);
        assert!(finishes.contains(1, 2, 105) && !finishes.contains(1, 3, 7));
        finishes.acknowledged(500, 20);
        finishes.mirrored(20, true);
        assert_eq!(finishes.all().count(), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let mut finishes = Finishes::default();
        for n in 0..RANGES_MAX as u64 + 10 {
            finishes.note(1, 1, n * 2, 1, n);
        }
        assert!(!finishes.contains(1, 1, 18) && finishes.contains(1, 1, 20));
    }
}
