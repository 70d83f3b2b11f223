//! How long messages take from their publishing to their FIN, over a window of time: two
//! histograms that take turns, as in NSQ, so that what is told covers between a half and the
//! whole of the window.

use hdrhistogram::Histogram;

/// Digits that are kept: values are right to 1 %.
const DIGITS: u8 = 2;
/// Longest time that is told apart, in microseconds: a week.
const LONGEST: u64 = 7 * 24 * 3_600 * 1_000_000;

/// Times of one channel.
#[derive(Debug, Clone)]
pub struct Latencies {
    halves: [Histogram<u32>; 2],
    current: usize,
    /// When the current half began.
    since: i64,
    half: i64,
}

/// Times of a channel, or of several together.
#[derive(Debug, Clone)]
pub struct LatencySummary(Histogram<u32>);

fn histogram() -> Option<Histogram<u32>> {
    // The bounds are good ones; only bad ones fail.
    let mut histogram = Histogram::new_with_bounds(1, 1_000, DIGITS).ok()?;
    histogram.auto(true);
    Some(histogram)
}

impl Latencies {
    /// `window` and `now` in nanoseconds.
    pub(crate) fn new(window: i64, now: i64) -> Option<Self> {
        Some(Self {
            halves: [histogram()?, histogram()?],
            current: 0,
            since: now,
            half: (window / 2).max(1),
        })
    }

    pub(crate) fn record(&mut self, nanos: i64, now: i64) {
        self.turn(now);
        let micros = u64::try_from(nanos / 1_000).unwrap_or(0);
        let _ = self.halves[self.current].record(micros.min(LONGEST)); // it grows as needed
    }

    fn turn(&mut self, now: i64) {
        let passed = (now - self.since) / self.half;
        if passed <= 0 {
            return;
        }
        self.since += passed * self.half;
        self.current ^= 1;
        self.halves[self.current].reset();
        if passed > 1 {
            self.halves[self.current ^ 1].reset();
        }
    }

    /// What the window holds now.
    pub(crate) fn summary(&mut self, now: i64) -> LatencySummary {
        self.turn(now);
        let [first, second] = &self.halves;
        let mut both = LatencySummary(first.clone());
        both.add_histogram(second);
        both
    }
}

impl LatencySummary {
    /// Takes in the times of another channel.
    pub fn add(&mut self, other: &Self) {
        self.add_histogram(&other.0);
    }

    fn add_histogram(&mut self, other: &Histogram<u32>) {
        // It grows as needed; only one that may not would fail.
        let _ = self.0.add(other);
    }

    /// Messages the window holds.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that this share (in (0, 1]) of the messages did not exceed, in nanoseconds; 0
    /// without messages.
    pub fn at(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile) * 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn times_leave_the_window_by_halves() {
        let mut times = Latencies::new(10_000 * MS, 0).unwrap();
        (1..=100).for_each(|ms| times.record(ms * MS, ms));
        let told = times.summary(100);
        assert_eq!(told.count(), 100);
        for (quantile, ms) in [(0.5, 50), (0.99, 99), (1.0, 100)] {
            let error = (told.at(quantile) as i64 - ms * MS).abs();
            assert!(error <= MS, "{quantile}: {}", told.at(quantile));
        }
        times.record(7 * MS, 6_000 * MS);
        assert_eq!(times.summary(9_000 * MS).count(), 101);
        assert_eq!(times.summary(10_000 * MS).count(), 1);
        assert_eq!(times.summary(15_000 * MS).count(), 0);
        times.record(7 * MS, 15_001 * MS);
        assert_eq!(times.summary(90_000 * MS).count(), 0);
        assert_eq!(times.summary(90_000 * MS).at(0.99), 0);
    }

    #[test]
    fn channels_add_up_and_odd_times_count_as_the_nearest() {
        let mut one = Latencies::new(1_000 * MS, 0).unwrap();
        let mut other = one.clone();
        one.record(-5, 0); // the clock was set back
        other.record(i64::MAX, 0);
        let mut both = one.summary(0);
        both.add(&other.summary(0));
        assert_eq!(both.count(), 2);
        assert!(both.at(1.0) >= LONGEST * 990);
    }
}
