//! How fast connections are taken: a rate, and a second's worth of it at once.

use std::time::Duration;

use tokio::time::Instant;

/// A second's worth may come at once, then one every `1 / rate`.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Between two; zero: no limit.
    between: Duration,
    /// When the next would come if all had come at the rate.
    due: Instant,
}

impl Pace {
    /// `per_second` 0: no limit.
    #[must_use]
    pub fn new(per_second: u32, now: Instant) -> Self {
        Self {
            between: match per_second {
                0 => Duration::ZERO,
                rate => Duration::from_secs(1) / rate,
            },
            due: now,
        }
    }

    /// Counts one that came, and says when the next may come.
    pub fn count(&mut self, now: Instant) -> Instant {
        self.due = self.due.max(now) + self.between;
        match self.due.checked_sub(Duration::from_secs(1)) {
            Some(next) => next.max(now),
            None => now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seconds_worth_at_once_and_then_the_rate() {
        let start = Instant::now() + Duration::from_secs(10);
        let mut pace = Pace::new(100, start);
        for _ in 0..100 {
            assert_eq!(pace.count(start), start);
        }
        assert_eq!(pace.count(start), start + Duration::from_millis(10));
        assert_eq!(pace.count(start), start + Duration::from_millis(20));
        let later = start + Duration::from_secs(5);
        assert_eq!(pace.count(later), later, "it has had its rest");
        let mut any = Pace::new(0, start);
        assert!((0..10_000).all(|_| any.count(start) == start));
    }
}
