//! Positions of a journal's runs: where each begins, and so where each ended.

use nsq_journal::{Lsn, Position};

/// The runs of one incarnation with their first positions, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs {
    pub runs: Vec<Position>,
    /// End of the last run.
    pub end: Lsn,
}

impl Runs {
    /// Where the run's records end; `None` for a run that is not known.
    pub fn end_of(&self, run: u64) -> Option<Lsn> {
        let at = self.runs.iter().position(|other| other.run == run)?;
        Some(self.runs.get(at + 1).map_or(self.end, |next| next.lsn))
    }

    /// Whether the run came before all that are known.
    pub fn is_forgotten(&self, run: u64) -> bool {
        self.runs.first().is_some_and(|first| run < first.run)
    }

    /// R3: the position in this journal up to which it and a copy that reaches `position` are the same. What the copy
    /// has beyond the end of that run, this journal has lost.
    pub fn common(&self, position: Position) -> Lsn {
        self.end_of(position.run)
            .map_or(0, |end| end.min(position.lsn))
    }

    /// The run that a record at `lsn` belongs to.
    pub fn run_at(&self, lsn: Lsn) -> u64 {
        let after = self.runs.partition_point(|run| run.lsn <= lsn);
        let run = self.runs.get(after.saturating_sub(1));
        run.map_or(0, |run| run.run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r3_a_copy_agrees_up_to_the_end_of_its_run() {
        let run = |run, lsn| Position { run, lsn };
        let runs = Runs {
            runs: vec![run(3, 0), run(4, 100), run(7, 150)],
            end: 400,
        };
        assert_eq!(runs.end_of(3), Some(100));
        assert_eq!(runs.end_of(7), Some(400));
        assert_eq!(runs.end_of(5), None);
        assert_eq!(runs.common(run(3, 90)), 90);
        assert_eq!(runs.common(run(3, 130)), 100, "30 bytes were lost");
        assert_eq!(runs.common(run(4, 120)), 120);
        assert_eq!(runs.common(run(2, 50)), 0, "nothing is known of that run");
        assert!(runs.is_forgotten(2) && !runs.is_forgotten(8));
        assert_eq!(
            (runs.run_at(99), runs.run_at(100), runs.run_at(500)),
            (3, 4, 7)
        );
    }
}
