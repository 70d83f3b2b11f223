//! The mirror and the adoption, as checkpoints keep them.

use nsq_journal::{Lsn, Position};
use nsq_queue::TopicOptions;
use serde::{Deserialize, Serialize};

use super::finishes::Finished;
use super::mirror::{Mirror, MirrorImage};
use super::{Adoption, Recovered, Shared};
use crate::options::Durability;

/// What a checkpoint has of a pair.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PairImage {
    /// Records before this are in it.
    pub from: Lsn,
    mirror: Option<MirrorImage>,
    adoption: Option<AdoptionImage>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AdoptionImage {
    incarnation: u64,
    from: (u64, Lsn),
    through: (u64, Lsn),
    began: Lsn,
    done: Option<(u64, Lsn)>,
}

/// What checkpoints have besides, if there is any.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Remembered {
    pub finishes: Vec<Finished>,
    pub lost: Option<(Lsn, Lsn)>,
}

impl Remembered {
    pub(crate) fn is_empty(&self) -> bool {
        self.finishes.is_empty() && self.lost.is_none()
    }
}

fn pair(position: Position) -> (u64, Lsn) {
    (position.run, position.lsn)
}

fn position((run, lsn): (u64, Lsn)) -> Position {
    Position { run, lsn }
}

impl PairImage {
    /// `None`: there is nothing to keep.
    pub(super) fn of(shared: &Shared, from: Lsn) -> Option<Self> {
        let image = Self {
            from,
            mirror: shared.mirror.as_ref().map(Mirror::image),
            adoption: shared.adoption.map(|adoption| AdoptionImage {
                incarnation: adoption.incarnation,
                from: pair(adoption.from),
                through: pair(adoption.through),
                began: adoption.began,
                done: adoption.done.map(pair),
            }),
        };
        (image.mirror.is_some() || image.adoption.is_some()).then_some(image)
    }

    /// Numbers of mirrored topics that have something in spill files.
    pub(crate) fn spilled(&self) -> Vec<u32> {
        let topics = self.mirror.iter().flat_map(|mirror| &mirror.topics);
        let spilled = topics.filter(|copied| {
            let mut blocks = copied.topic.lanes.iter().flat_map(|lane| &lane.1);
            blocks.any(|block| block.page.is_some())
        });
        spilled.map(|copied| copied.topic.number).collect()
    }

    pub(crate) fn restore(
        self,
        options: &dyn Fn(&str) -> TopicOptions,
        level: Durability,
    ) -> Recovered {
        Recovered {
            mirror: self
                .mirror
                .map(|image| Mirror::from_image(image, options, level)),
            adoption: self.adoption.map(|adoption| Adoption {
                incarnation: adoption.incarnation,
                from: position(adoption.from),
                through: position(adoption.through),
                began: adoption.began,
                done: adoption.done.map(position),
            }),
            ..Recovered::default()
        }
    }
}

impl Recovered {
    /// Records in this stretch could not be read.
    pub(crate) fn note_lost(&mut self, from: Lsn, to: Lsn) {
        let before = self.lost.unwrap_or((from, to));
        self.lost = Some((before.0.min(from), before.1.max(to)));
    }

    /// What the checkpoint remembers.
    pub(crate) fn remember(&mut self, remembered: &Remembered) {
        self.imports |= !remembered.finishes.is_empty();
        self.lost = remembered.lost;
        for one in &remembered.finishes {
            self.finishes
                .note(one.topic, one.channel, one.first_id, one.count, one.end);
        }
    }

    /// The mirror begins, or goes on, at `start`: (position, nothing unfinished lies before).
    pub(crate) fn mirror_from(
        &mut self,
        incarnation: u64,
        node: &str,
        start: (Position, bool),
        level: Durability,
    ) {
        mirror_from(&mut self.mirror, incarnation, node, start, level);
    }
}

/// Step 5 of the order of durable writes: the old mirror goes, the new one begins. The old one is returned.
pub(super) fn mirror_from(
    mirror: &mut Option<Mirror>,
    incarnation: u64,
    node: &str,
    (position, whole): (Position, bool),
    level: Durability,
) -> Option<Mirror> {
    if let Some(mirror) = mirror
        && mirror.incarnation == incarnation
    {
        if mirror.end != position || !whole {
            mirror.skip_to(position);
        }
        return None;
    }
    let generation = mirror.as_ref().map_or(0, |mirror| mirror.generation() + 1);
    let mut fresh = Mirror::new(incarnation, node, position, generation, level);
    if !whole {
        fresh.skip_to(position);
    }
    mirror.replace(fresh)
}
