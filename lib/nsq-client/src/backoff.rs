//! How a consumer takes less when messages fail: nothing at all for a while, then one to see whether it goes well,
//! and so on, longer with each failure and shorter with each success.

use std::time::Duration;

/// How the pause grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// `multiplier * 2^level`.
    #[default]
    Exponential,
    /// Something random below that.
    FullJitter,
}

/// Where it stands. Times are nanoseconds.
#[derive(Debug, Clone)]
pub struct Backoff {
    strategy: Strategy,
    multiplier: Duration,
    most: Duration,
    level: u32,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nothing is taken until then.
    Paused(i64),
    /// One message is taken.
    Testing,
}

impl Backoff {
    /// `most` of zero: never.
    #[must_use]
    pub fn new(strategy: Strategy, multiplier: Duration, most: Duration) -> Self {
        Self {
            strategy,
            multiplier,
            most,
            level: 0,
            phase: Phase::Open,
        }
    }

    /// As much as one likes may be taken.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// One message may be taken, to see.
    #[must_use]
    pub fn is_testing(&self) -> bool {
        self.phase == Phase::Testing
    }

    /// When the pause ends.
    #[must_use]
    pub fn deadline(&self) -> Option<i64> {
        match self.phase {
            Phase::Paused(until) => Some(until),
            Phase::Open | Phase::Testing => None,
        }
    }

    /// A message failed. `random` in [0, 1).
    pub fn failed(&mut self, now: i64, random: f64) {
        // What was taken before the pause says nothing new.
        if self.most.is_zero() || matches!(self.phase, Phase::Paused(_)) {
            return;
        }
        // A level that makes no difference is not counted, or it would take as long to come down again.
        if self.level == 0 || self.pause(self.level) < self.most {
            self.level += 1;
        }
        self.wait(now, random);
    }

    /// A message went well.
    pub fn succeeded(&mut self, now: i64, random: f64) {
        if self.phase != Phase::Testing {
            return;
        }
        self.level = self.level.saturating_sub(1);
        match self.level {
            0 => self.phase = Phase::Open,
            _ => self.wait(now, random),
        }
    }

    /// Time passed. True: the pause is over, and one message may be taken.
    pub fn tick(&mut self, now: i64) -> bool {
        let over = matches!(self.phase, Phase::Paused(until) if until <= now);
        if over {
            self.phase = Phase::Testing;
        }
        over
    }

    fn wait(&mut self, now: i64, random: f64) {
        let pause = self.pause(self.level);
        let pause = match self.strategy {
            Strategy::Exponential => pause,
            Strategy::FullJitter => pause.mul_f64(random),
        };
        let nanos = i64::try_from(pause.as_nanos()).unwrap_or(i64::MAX);
        self.phase = Phase::Paused(now.saturating_add(nanos));
    }

    fn pause(&self, level: u32) -> Duration {
        let factor = 1u32.checked_shl(level).unwrap_or(u32::MAX);
        self.multiplier.saturating_mul(factor).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn backoff() -> Backoff {
        Backoff::new(
            Strategy::Exponential,
            Duration::from_secs(1),
            Duration::from_secs(10),
        )
    }

    #[test]
    fn a_failure_pauses_and_then_one_message_is_tried() {
        let mut backoff = backoff();
        backoff.succeeded(0, 0.0);
        assert!(backoff.is_open());
        backoff.failed(0, 0.0);
        assert_eq!(backoff.deadline(), Some(2 * SECOND));
        // Others that were in flight change nothing.
        backoff.failed(SECOND, 0.0);
        backoff.succeeded(SECOND, 0.0);
        assert_eq!(backoff.deadline(), Some(2 * SECOND));
        assert!(!backoff.tick(2 * SECOND - 1));
        assert!(backoff.tick(2 * SECOND) && backoff.is_testing());
        backoff.succeeded(3 * SECOND, 0.0);
        assert!(backoff.is_open());
    }

    #[test]
    fn failures_add_up_to_the_most_and_successes_count_back() {
        let mut backoff = backoff();
        let mut now = 0;
        for pause in [2, 4, 8, 10, 10, 10] {
            backoff.failed(now, 0.0);
            assert_eq!(backoff.deadline(), Some(now + pause * SECOND));
            now += pause * SECOND;
            assert!(backoff.tick(now));
        }
        for pause in [8, 4, 2] {
            backoff.succeeded(now, 0.0);
            assert_eq!(backoff.deadline(), Some(now + pause * SECOND));
            now += pause * SECOND;
            assert!(backoff.tick(now));
        }
        backoff.succeeded(now, 0.0);
        assert!(backoff.is_open());
    }

    #[test]
    fn jitter_takes_a_part_and_none_means_none() {
        let (second, ten) = (Duration::from_secs(1), Duration::from_secs(10));
        let mut jittered = Backoff::new(Strategy::FullJitter, second, ten);
        jittered.failed(0, 0.25);
        assert_eq!(jittered.deadline(), Some(SECOND / 2));
        let mut never = Backoff::new(Strategy::Exponential, second, Duration::ZERO);
        never.failed(0, 0.0);
        assert!(never.is_open());
    }
}
