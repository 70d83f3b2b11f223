//! What a node knows from its disk: its own journal and what follows from it, its mirror of the peer, and what it
//! adopted. Everything here is the replay of writes.

use crate::record::{
    Channels, JOURNAL_MAX, Line, Lsn, MESSAGES_MAX, Position, RUNS_MAX, Record, Write,
};
use crate::rules;
use crate::state::fate;
use crate::world::World;

/// A message somebody waits for; nothing waits for one without channels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Held {
    /// Behind its newest PUB or IMPORT.
    pub base: Lsn,
    /// Its base before that moved, 0 if it did not: where a cut may lead back to.
    pub before: Lsn,
    pub pending: Channels,
}

/// The copy of the peer's journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mirror {
    pub incarnation: u8,
    /// Records before this were applied.
    pub end: Position,
    /// Nothing that is unfinished at the peer is missing.
    pub whole: bool,
    /// Where the last gap ends.
    pub gap_end: Lsn,
    pub held: [Held; MESSAGES_MAX],
}

/// What was adopted of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Adoption {
    pub incarnation: u8,
    pub from: Position,
    pub through: Position,
    /// End of the own journal when it began.
    pub began: Lsn,
    /// Told to the origin.
    pub done: Option<Position>,
    /// Everything was imported.
    pub complete: bool,
}

/// A disk's contents, as a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Store {
    pub incarnation: u8,
    pub journal: Line<Record, JOURNAL_MAX>,
    /// What lies before was recycled.
    pub oldest: Lsn,
    /// Place of the first lost record + 1, and behind the last one.
    pub lost: (Lsn, Lsn),
    /// Where each run begins; run 1 is the first.
    pub runs: Line<Lsn, RUNS_MAX>,
    pub own: [Held; MESSAGES_MAX],
    /// Ends of the records that tell of finishes, 0: none is remembered.
    pub finishes: [[Lsn; 2]; MESSAGES_MAX],
    /// Finishes that the peer told of and that this journal does not tell of yet; bits of `fate`.
    pub heard: u8,
    pub mirror: Option<Mirror>,
    pub adoption: Option<Adoption>,
}

impl Store {
    pub fn blank(incarnation: u8) -> Self {
        Self {
            incarnation,
            ..Self::default()
        }
    }

    pub fn end(&self) -> Lsn {
        self.journal.len()
    }

    pub fn run(&self) -> u8 {
        self.runs.len()
    }

    /// The run that a record at `lsn` belongs to.
    pub fn run_at(&self, lsn: Lsn) -> u8 {
        self.runs
            .items()
            .iter()
            .filter(|first| **first <= lsn)
            .count() as u8
    }

    /// Where a run's records end; `None` for one that this journal does not know.
    pub fn end_of(&self, run: u8) -> Option<Lsn> {
        let known = (1..=self.run()).contains(&run);
        known.then(|| self.runs.get(run).unwrap_or(self.end()))
    }

    /// R3: up to where this journal and a copy that reaches `position` are the same.
    pub fn common(&self, position: Position) -> Lsn {
        let end = self.end_of(position.run);
        end.map_or(0, |end| end.min(position.lsn))
    }

    /// What can still be read begins here.
    pub fn readable(&self) -> Lsn {
        self.oldest.max(self.lost.1)
    }

    pub fn is_importing(&self) -> bool {
        self.adoption.is_some_and(|adoption| !adoption.complete)
    }

    /// Everything the mirror has was adopted.
    pub fn is_covered(&self) -> bool {
        let (Some(mirror), Some(adoption)) = (self.mirror, self.adoption) else {
            return false;
        };
        adoption.incarnation == mirror.incarnation
            && adoption.complete
            && mirror.end <= adoption.through
    }

    /// Applies one write.
    pub fn apply(&mut self, world: &World, write: Write) {
        match write {
            Write::Nothing => {}
            Write::Own(record) => self.apply_own(world, record),
            Write::Copied(run, lsn, record) => self.apply_copied(world, run, lsn, record),
            Write::MirrorFrom {
                incarnation,
                position,
                whole,
            } => self.mirror_from(incarnation, position, whole),
            Write::MirrorCut(position) => {
                if let Some(mirror) = &mut self.mirror {
                    mirror.cut(position);
                }
            }
            Write::Adopt {
                incarnation,
                from,
                through,
            } => {
                self.adoption = Some(Adoption {
                    incarnation,
                    from,
                    through,
                    began: self.end(),
                    done: None,
                    complete: false,
                });
            }
            Write::Adopted(position) => {
                if let Some(adoption) = &mut self.adoption {
                    adoption.done = adoption.done.or(Some(position));
                    adoption.complete = true;
                }
            }
            Write::AdoptedEarly(position) => {
                if let Some(adoption) = &mut self.adoption {
                    adoption.done = Some(position);
                }
            }
        }
    }

    fn apply_own(&mut self, world: &World, record: Record) {
        if record == Record::Boot {
            self.runs.push(self.end());
        }
        self.journal.push(record);
        let end = self.end();
        match record {
            Record::Finish(message, channel) => {
                self.note_finish(world, message, channel, end);
                self.heard &= !fate(message, channel);
            }
            Record::Gone if self.lost.0 == 0 => self.lost = (end, end),
            Record::Gone => self.lost.1 = end,
            _ => {}
        }
        change(&mut self.own, world, record, end);
        self.own.iter_mut().for_each(|held| held.before = 0);
    }

    fn apply_copied(&mut self, world: &World, run: u8, lsn: Lsn, record: Record) {
        let Some(mirror) = &mut self.mirror else {
            return;
        };
        if lsn != mirror.end.lsn && world.keeps(rules::H2) {
            // What lies between was lost with a part of the own journal.
            mirror.skip_to(Position { run, lsn });
        }
        mirror.end = Position { run, lsn: lsn + 1 };
        change(&mut mirror.held, world, record, lsn + 1);
        match record {
            Record::Listed(from) => {
                release(&mut mirror.held, from);
                mirror.whole |= from >= mirror.gap_end;
            }
            // R15: finishes merge by id, both ways.
            Record::Finish(message, channel) if world.keeps(rules::R15) => {
                if self.own[usize::from(message)].pending & 1 << channel != 0 {
                    self.heard |= fate(message, channel);
                }
                change(&mut self.own, world, record, 0);
            }
            Record::Empty(_) if !world.keeps(rules::E1) => change(&mut self.own, world, record, 0),
            _ => {}
        }
    }

    fn mirror_from(&mut self, incarnation: u8, position: Position, whole: bool) {
        let same = |mirror: &Mirror| mirror.incarnation == incarnation;
        let mut mirror = self.mirror.filter(same).unwrap_or(Mirror {
            incarnation,
            end: position,
            whole: true,
            gap_end: 0,
            held: Default::default(),
        });
        if mirror.end != position || !whole {
            mirror.skip_to(position);
        }
        self.mirror = Some(mirror);
    }

    /// Remembers a finish, and forgets the oldest where there is no room.
    fn note_finish(&mut self, world: &World, message: u8, channel: u8, end: Lsn) {
        self.finishes[usize::from(message)][usize::from(channel)] = end;
        let all = || self.finishes.iter().flatten();
        let kept = all().filter(|end| **end > 0).count();
        if kept > usize::from(world.memory) {
            let oldest = all().copied().filter(|end| *end > 0).min();
            self.forget_finishes(oldest.unwrap_or(0));
        }
    }

    /// Finishes told of before `end` are not needed any more.
    pub fn forget_finishes(&mut self, end: Lsn) {
        let all = self.finishes.iter_mut().flatten();
        all.filter(|told| **told <= end).for_each(|told| *told = 0);
    }

    /// Channels that finished the message here, as far as is remembered.
    pub fn finished(&self, message: usize) -> Channels {
        let told = self.finishes[message].iter().enumerate();
        told.filter(|(_, end)| **end > 0)
            .fold(0, |all, (channel, _)| all | 1 << channel)
    }

    /// After a start a journal tells again what was forgotten since its checkpoint.
    pub fn remember(&mut self, before: &[[Lsn; 2]; MESSAGES_MAX]) {
        let told = self.finishes.iter_mut().flatten();
        told.zip(before.iter().flatten())
            .for_each(|(told, before)| *told = (*told).max(*before));
    }

    /// Recycles the journal up to its end.
    pub fn recycle(&mut self) {
        (self.oldest..self.end()).for_each(|lsn| self.journal.set(lsn, Record::Gone));
        self.oldest = self.end();
    }
}

impl Mirror {
    pub fn is_pending(&self) -> bool {
        self.held.iter().any(|held| held.pending != 0)
    }

    /// Goes on at `position`, with a gap before it.
    pub fn skip_to(&mut self, position: Position) {
        self.end = position;
        self.whole = false;
        self.gap_end = position.lsn;
    }

    /// The peer has lost what came after `position`. Finishes seen in it stay true.
    fn cut(&mut self, position: Position) {
        for held in self.held.iter_mut().filter(|held| held.base > position.lsn) {
            if held.before == 0 || held.before > position.lsn {
                *held = Held::default();
                continue;
            }
            // It is the peer's all the same, but where is not known for sure: the peer has to list it.
            *held = Held {
                base: held.before,
                before: 0,
                ..*held
            };
            self.whole = false;
            self.gap_end = self.gap_end.max(position.lsn);
        }
        self.end = position;
    }
}

/// What a record that ends at `end` does to messages, of the own journal or of a copy.
fn change(all: &mut [Held; MESSAGES_MAX], world: &World, record: Record, end: Lsn) {
    match record {
        Record::Publish(message) => {
            all[usize::from(message)] = Held {
                base: end,
                before: 0,
                pending: world.all_channels(),
            };
        }
        Record::Import(message, finished) => {
            let held = &mut all[usize::from(message)];
            *held = match held.pending {
                0 => Held {
                    base: end,
                    before: 0,
                    pending: world.all_channels() & !finished,
                },
                // It is here: its base moves up, and who is done with it is done with it.
                pending => Held {
                    base: end,
                    before: held.base,
                    pending: pending & !finished,
                },
            };
        }
        Record::Finish(message, channel) => all[usize::from(message)].pending &= !(1 << channel),
        Record::Empty(channel) => {
            let all = all.iter_mut();
            all.for_each(|held| held.pending &= !(1 << channel));
        }
        Record::Release(through) => release(all, through),
        Record::Gone | Record::Boot | Record::Listed(_) => {}
    }
    let done = all.iter_mut().filter(|held| held.pending == 0);
    done.for_each(|held| *held = Held::default());
}

fn release(all: &mut [Held; MESSAGES_MAX], through: Lsn) {
    let gone = all.iter_mut().filter(|held| held.base <= through);
    gone.for_each(|held| *held = Held::default());
}
