//! How far the peer's copy is behind, in bytes and in time. Times are nanoseconds.

use std::collections::VecDeque;

use nsq_journal::Lsn;

/// Moments closer together than this are one.
const STEP: i64 = 10_000_000;
/// Moments kept. If there are more, the oldest stays: what is told is never too little.
const MARKS_MAX: usize = 1024;

/// What is known of the copy's delay.
#[derive(Debug)]
pub struct Lag {
    /// Ends of the journal that the peer has not acknowledged, and when they were that.
    marks: VecDeque<(Lsn, i64)>,
    /// Without a link since then.
    down: Option<i64>,
    /// What lies between these holds nothing for the peer, and it is not told of it.
    idle: (Lsn, Lsn),
}

impl Lag {
    /// There is no link yet.
    pub fn new(now: i64) -> Self {
        Self {
            marks: VecDeque::new(),
            down: Some(now),
            idle: (0, 0),
        }
    }

    /// The journal ends at `tail` now.
    pub fn note(&mut self, tail: Lsn, now: i64) {
        if self
            .marks
            .back()
            .is_some_and(|last| tail <= last.0 || now < last.1 + STEP)
        {
            return;
        }
        self.marks.push_back((tail, now));
        if self.marks.len() > MARKS_MAX {
            self.marks.remove(1);
        }
    }

    /// The link is up; what it may lack it lacks since it was down.
    pub fn up(&mut self, tail: Lsn) {
        if let Some(since) = self.down.take() {
            self.marks.push_back((tail, since));
        }
    }

    pub fn down(&mut self, now: i64) {
        self.down.get_or_insert(now);
    }

    /// Nothing in `from..to` is for the peer, and it was sent everything before.
    pub fn skipped(&mut self, from: Lsn, to: Lsn) {
        self.idle = (from, to);
    }

    /// The peer has everything before `acked`.
    pub fn acknowledged(&mut self, acked: Lsn) {
        let reached = self.reached(acked);
        while self.marks.front().is_some_and(|mark| mark.0 <= reached) {
            self.marks.pop_front();
        }
    }

    /// How far a copy up to `acked` reaches, with what is not for the peer behind it.
    pub fn reached(&self, acked: Lsn) -> Lsn {
        match (self.idle.0..self.idle.1).contains(&acked) {
            true => self.idle.1,
            false => acked,
        }
    }

    /// Bytes, and nanoseconds, that a copy up to `acked` of a journal up to `tail` is behind.
    pub fn behind(&self, acked: Lsn, tail: Lsn, now: i64) -> (u64, i64) {
        let reached = self.reached(acked);
        if reached >= tail {
            return (0, 0);
        }
        let mut marks = self.marks.iter();
        let oldest = marks.find(|mark| mark.0 > reached).map(|mark| mark.1);
        let since = [oldest, self.down].into_iter().flatten().min();
        (
            tail - reached,
            since.map_or(0, |since| (now - since).max(0)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn time_counts_from_when_the_missing_was_written() {
        let mut lag = Lag::new(0);
        assert_eq!(lag.behind(0, 0, SECOND), (0, 0));
        assert_eq!(lag.behind(0, 10, SECOND), (10, SECOND), "no link yet");
        lag.up(10);
        lag.acknowledged(10);
        assert_eq!(lag.behind(10, 10, 2 * SECOND), (0, 0));
        lag.note(20, 3 * SECOND);
        lag.note(30, 4 * SECOND);
        assert_eq!(lag.behind(10, 30, 5 * SECOND), (20, 2 * SECOND));
        lag.acknowledged(20);
        assert_eq!(lag.behind(20, 30, 5 * SECOND), (10, SECOND));
        lag.down(5 * SECOND);
        assert_eq!(lag.behind(20, 30, 7 * SECOND), (10, 3 * SECOND));
    }

    #[test]
    fn what_is_not_for_the_peer_is_no_lag() {
        let mut lag = Lag::new(0);
        lag.up(10);
        lag.acknowledged(10);
        lag.skipped(10, 500);
        assert_eq!(lag.behind(10, 500, SECOND), (0, 0));
        assert_eq!(lag.behind(9, 500, SECOND), (491, 0));
        assert_eq!(lag.behind(10, 510, SECOND).0, 10);
    }
}
