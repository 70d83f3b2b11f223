//! What the holder of a copy decides when the origin says HELLO. Values in, a value out.

use nsq_journal::{Lsn, Position};

use super::runs::Runs;

/// What is known of an adoption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adoption {
    /// Whose messages.
    pub incarnation: u64,
    /// Those up to here were adopted before; in the origin's journal.
    pub from: Position,
    /// Those up to here; in the origin's journal.
    pub through: Position,
    /// End of the own journal when it began: what was imported since need not be imported again.
    pub began: u64,
    /// In the own journal, behind the last import; `None` while importing.
    pub done: Option<Position>,
}

/// What the holder has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Incarnation and end of the mirror.
    pub mirror: Option<(u64, Position)>,
    /// Something in the mirror is unfinished.
    pub pending: bool,
    pub adoption: Option<Adoption>,
    /// An OK of the origin may rest on records that are not durable there: level `write`.
    pub level_write: bool,
}

/// What to do about a HELLO. After anything but the last two it is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Greeting {
    /// Take over what the mirror has, then ask again; tell the origin to wait.
    Adopt(&'static str),
    /// The origin lost what came after this.
    Cut(Position),
    /// Tell the origin to wait.
    Wait(&'static str),
    /// Go on where the mirror ends.
    Welcome,
}

const FORMER: &str = "importing your former incarnation";
const LOST: &str = "importing records you lost";

/// Rules R2, R3, R9 and R18. `lost`: from here on the origin cannot read all of its records.
pub fn greet(incarnation: u64, runs: &Runs, lost: Option<Lsn>, holding: &Holding) -> Greeting {
    let importing = holding
        .adoption
        .is_some_and(|adoption| adoption.done.is_none());
    let Some((mirrored, end)) = holding.mirror else {
        return Greeting::Welcome;
    };
    if mirrored != incarnation {
        return match () {
            () if importing => Greeting::Wait(FORMER),
            // R2: a mirror of another incarnation is adopted before it is replaced.
            () if holding.pending && !holding.is_covered() => Greeting::Adopt(FORMER),
            () => Greeting::Welcome,
        };
    }
    if let Some(lost) = lost.filter(|&lost| lost < end.lsn) {
        // A bad disk took them, or a power cut that spared what was written later: they may have been acknowledged.
        return match () {
            () if importing => Greeting::Wait(LOST),
            () if holding.pending && !holding.is_covered() => Greeting::Adopt(LOST),
            () => Greeting::Cut(Position {
                run: runs.run_at(lost).min(end.run),
                lsn: lost,
            }),
        };
    }
    let known = runs.end_of(end.run);
    // A journal that knows nothing of a run it wrote was put back from an older copy of its disk.
    let put_back = known.is_none() && !runs.is_forgotten(end.run);
    let last = known.unwrap_or(runs.end.min(end.lsn));
    if end.lsn <= last && !put_back {
        return Greeting::Welcome;
    }
    if importing {
        return Greeting::Wait(LOST);
    }
    // R18: at level `write` records that the origin lost may have been acknowledged.
    let acknowledged = holding.level_write || put_back;
    if acknowledged && holding.pending && !holding.is_covered() {
        return Greeting::Adopt(LOST);
    }
    let run = match put_back {
        true => runs.runs.last().map_or(0, |last| last.run),
        false => end.run,
    };
    // R3: the holder cuts at the run's end.
    Greeting::Cut(Position { run, lsn: last })
}

impl Adoption {
    /// R3: the origin has lost what came after `position`, and other records will stand there: nothing of those was
    /// adopted.
    pub fn cut(&mut self, incarnation: u64, position: Position) {
        if self.incarnation == incarnation && self.through > position {
            self.through = position;
        }
    }
}

impl Holding {
    /// Everything the mirror has was adopted.
    pub fn is_covered(&self) -> bool {
        let (Some((incarnation, end)), Some(adoption)) = (self.mirror, self.adoption) else {
            return false;
        };
        adoption.incarnation == incarnation && adoption.done.is_some() && end <= adoption.through
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(run: u64, lsn: u64) -> Position {
        Position { run, lsn }
    }

    fn runs() -> Runs {
        Runs {
            runs: vec![at(1, 0), at(2, 100)],
            end: 300,
        }
    }

    fn holding(incarnation: u64, end: Position) -> Holding {
        Holding {
            mirror: Some((incarnation, end)),
            pending: true,
            adoption: None,
            level_write: false,
        }
    }

    fn adopted(through: Position, done: bool) -> Option<Adoption> {
        Some(Adoption {
            incarnation: 7,
            from: at(0, 0),
            through,
            began: 0,
            done: done.then(|| at(1, 50)),
        })
    }

    #[test]
    fn a_mirror_that_agrees_goes_on() {
        for end in [at(1, 40), at(1, 100), at(2, 100), at(2, 300)] {
            assert_eq!(greet(7, &runs(), None, &holding(7, end)), Greeting::Welcome);
        }
        let nothing = Holding {
            mirror: None,
            ..holding(7, at(1, 0))
        };
        assert_eq!(greet(7, &runs(), None, &nothing), Greeting::Welcome);
    }

    #[test]
    fn r2_another_incarnation_is_adopted_first() {
        let mut holding = holding(7, at(1, 120));
        assert_eq!(greet(8, &runs(), None, &holding), Greeting::Adopt(FORMER));
        // R9: an import under way is not reported as done.
        holding.adoption = adopted(at(1, 120), false);
        assert_eq!(greet(8, &runs(), None, &holding), Greeting::Wait(FORMER));
        holding.adoption = adopted(at(1, 110), true);
        assert_eq!(greet(8, &runs(), None, &holding), Greeting::Adopt(FORMER));
        holding.adoption = adopted(at(1, 120), true);
        assert_eq!(greet(8, &runs(), None, &holding), Greeting::Welcome);
        holding.adoption = None;
        holding.pending = false;
        assert_eq!(greet(8, &runs(), None, &holding), Greeting::Welcome);
    }

    #[test]
    fn r3_what_the_origin_lost_is_cut_off() {
        let longer = holding(7, at(1, 130));
        assert_eq!(greet(7, &runs(), None, &longer), Greeting::Cut(at(1, 100)));
    }

    #[test]
    fn r3_what_takes_the_place_of_what_was_lost_was_not_adopted() {
        let mut adoption = adopted(at(1, 130), true).unwrap();
        adoption.cut(8, at(1, 100));
        assert_eq!(adoption.through, at(1, 130), "another's");
        adoption.cut(7, at(1, 140));
        assert_eq!(adoption.through, at(1, 130));
        adoption.cut(7, at(1, 100));
        assert_eq!(adoption.through, at(1, 100));
    }

    #[test]
    fn r18_at_level_write_it_is_adopted_before() {
        let mut longer = Holding {
            level_write: true,
            ..holding(7, at(1, 130))
        };
        assert_eq!(greet(7, &runs(), None, &longer), Greeting::Adopt(LOST));
        longer.adoption = adopted(at(1, 130), false);
        assert_eq!(greet(7, &runs(), None, &longer), Greeting::Wait(LOST));
        longer.adoption = adopted(at(1, 130), true);
        assert_eq!(greet(7, &runs(), None, &longer), Greeting::Cut(at(1, 100)));
    }

    #[test]
    fn what_the_origin_cannot_read_is_adopted_and_cut_off() {
        let mut passed = holding(7, at(2, 250));
        let greeted = |holding: &Holding, lost| greet(7, &runs(), Some(lost), holding);
        assert_eq!(greeted(&passed, 250), Greeting::Welcome);
        assert_eq!(greeted(&passed, 120), Greeting::Adopt(LOST));
        passed.adoption = adopted(at(2, 250), false);
        assert_eq!(greeted(&passed, 120), Greeting::Wait(LOST));
        passed.adoption = adopted(at(2, 250), true);
        assert_eq!(greeted(&passed, 120), Greeting::Cut(at(2, 120)));
        assert_eq!(greeted(&passed, 60), Greeting::Cut(at(1, 60)));
    }

    #[test]
    fn a_disk_put_back_from_a_copy_has_lost_what_it_acknowledged() {
        let mut later = holding(7, at(5, 900));
        assert_eq!(greet(7, &runs(), None, &later), Greeting::Adopt(LOST));
        later.adoption = adopted(at(5, 900), true);
        assert_eq!(greet(7, &runs(), None, &later), Greeting::Cut(at(2, 300)));
    }
}
