//! What the origin of a journal decides when the holder says WELCOME, and what it knows of the copy. Values in, values
//! out.

use nsq_journal::{Lsn, Position};
use nsq_protocol::{PairAdoption, PairMirror};

use super::runs::Runs;

/// What the origin knows of the holder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copy {
    /// Whose copy: acknowledgements count for this incarnation of the holder only.
    pub holder: u64,
    /// The holder has everything before this.
    pub acked: Lsn,
    /// Nothing unfinished is missing from the copy.
    pub whole: bool,
    /// An unfinished listing: the copy is whole once this is acknowledged.
    pub whole_at: Option<Lsn>,
}

/// Where the stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    pub position: Position,
    /// Nothing unfinished lies before, or the copy has it.
    pub whole: bool,
    /// Everything unfinished has to be imported again behind it.
    pub list: bool,
}

/// What was adopted of the own journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adopted {
    /// The holder that owns it now.
    pub holder: u64,
    /// Own messages with a base up to here.
    pub through: Lsn,
    /// The own mirror of the holder has to reach this before they are let go.
    pub covered_by: Option<Position>,
}

/// Where to begin, for a holder that has `mirror` of this journal, whose oldest record is at `oldest` and whose end is
/// `tail`.
pub fn start(runs: &Runs, oldest: Lsn, tail: Lsn, mirror: Option<PairMirror>) -> Start {
    let go_on = |lsn: Lsn, whole| Start {
        position: Position {
            run: runs.run_at(lsn),
            lsn,
        },
        whole,
        list: !whole,
    };
    match mirror {
        Some(mirror) => {
            let end = position(mirror.end);
            let common = runs.common(end);
            match common == end.lsn && common >= oldest {
                // The run stays the holder's: it may have ended exactly here.
                true => Start {
                    position: end,
                    ..go_on(common, mirror.whole)
                },
                false => go_on(tail, false),
            }
        }
        None if oldest == 0 => go_on(0, true),
        None => go_on(tail, false),
    }
}

/// R7: what the holder has, from its WELCOME and nothing else; older acknowledgements are forgotten.
pub fn welcomed(runs: &Runs, holder: u64, mirror: Option<PairMirror>) -> Copy {
    Copy {
        holder,
        acked: mirror.map_or(0, |mirror| runs.common(position(mirror.end))),
        whole: mirror.is_some_and(|mirror| mirror.whole),
        whole_at: None,
    }
}

impl Copy {
    /// An ACK on the present connection.
    pub fn acknowledged(&mut self, runs: &Runs, end: Position) {
        self.acked = self.acked.max(runs.common(end));
        if self.whole_at.is_some_and(|at| self.acked >= at) {
            self.whole = true;
            self.whole_at = None;
        }
    }

    /// Own messages above this are not mirrored.
    pub fn mirrored(&self) -> Lsn {
        match self.whole {
            true => self.acked,
            false => 0,
        }
    }
}

/// What a WELCOME or an ADOPTED says of the own messages.
pub fn adopted(runs: &Runs, holder: u64, adoption: PairAdoption) -> Adopted {
    Adopted {
        holder,
        // At most the end of that run: what the copy had beyond it is not in this journal.
        through: runs.common(position(adoption.through)),
        covered_by: adoption.done.map(position),
    }
}

/// R12: let go only when the own mirror of the holder covers the imports, and the copy is whole: in the midst of a list
/// an adoption reaches beyond messages that the holder never got. Once they are listed they lie behind it.
/// `mirror`: its incarnation and durable end.
pub fn may_release(adopted: &Adopted, copy: &Copy, mirror: Option<(u64, Position)>) -> bool {
    let (Some(needed), Some((incarnation, end))) = (adopted.covered_by, mirror) else {
        return false;
    };
    copy.whole && incarnation == adopted.holder && end >= needed
}

/// The link's word for a position, and back.
pub fn position(position: nsq_protocol::PairPosition) -> Position {
    Position {
        run: position.run,
        lsn: position.lsn,
    }
}

/// See [`position`].
pub fn word(position: Position) -> nsq_protocol::PairPosition {
    nsq_protocol::PairPosition {
        run: position.run,
        lsn: position.lsn,
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

    fn mirror(run: u64, lsn: u64, whole: bool) -> Option<PairMirror> {
        Some(PairMirror {
            end: word(at(run, lsn)),
            whole,
        })
    }

    #[test]
    fn the_stream_goes_on_where_the_copy_ends() {
        let started = start(&runs(), 50, 400, mirror(1, 60, true));
        assert_eq!(
            (started.position, started.whole, started.list),
            (at(1, 60), true, false)
        );
        let blank = start(&runs(), 0, 400, None);
        assert_eq!(
            (blank.position, blank.whole, blank.list),
            (at(1, 0), true, false)
        );
    }

    #[test]
    fn a_copy_that_is_too_far_behind_gets_a_list() {
        for mirror in [None, mirror(1, 40, true), mirror(1, 40, false)] {
            let started = start(&runs(), 50, 300, mirror);
            assert_eq!(
                (started.position, started.whole, started.list),
                (at(2, 300), false, true)
            );
        }
        let broken_off = start(&runs(), 50, 300, mirror(2, 200, false));
        assert_eq!((broken_off.position, broken_off.list), (at(2, 200), true));
    }

    #[test]
    fn r3_r7_only_what_this_journal_still_has_is_acknowledged() {
        let copy = welcomed(&runs(), 9, mirror(1, 130, true));
        assert_eq!((copy.acked, copy.mirrored()), (100, 100));
        assert_eq!(
            welcomed(&runs(), 9, None).acked,
            0,
            "a blank holder has nothing"
        );
        let mut copy = welcomed(&runs(), 9, mirror(2, 200, false));
        copy.whole_at = Some(280);
        assert_eq!(copy.mirrored(), 0);
        copy.acknowledged(&runs(), at(2, 270));
        assert_eq!((copy.acked, copy.mirrored()), (270, 0));
        copy.acknowledged(&runs(), at(2, 280));
        assert_eq!(copy.mirrored(), 280);
    }

    #[test]
    fn r9_r12_nothing_is_let_go_before_the_own_mirror_has_it() {
        let adoption = |done: Option<Position>| PairAdoption {
            through: word(at(1, 130)),
            done: done.map(word),
        };
        let importing = adopted(&runs(), 9, adoption(None));
        assert_eq!(importing.through, 100);
        let whole = Copy {
            whole: true,
            ..Copy::default()
        };
        assert!(!may_release(&importing, &whole, Some((9, at(9, 900)))));
        let done = adopted(&runs(), 9, adoption(Some(at(3, 500))));
        for (mirror, may) in [
            (None, false),
            (Some((9, at(3, 499))), false),
            (Some((8, at(3, 500))), false),
            (Some((9, at(2, 700))), false),
            (Some((9, at(3, 500))), true),
            (Some((9, at(4, 400))), true),
        ] {
            assert_eq!(may_release(&done, &whole, mirror), may, "{mirror:?}");
            assert!(!may_release(&done, &Copy::default(), mirror), "a list");
        }
    }
}
