//! How long to wait after the nth failure in a row.

use std::time::Duration;

/// Doubling delays between two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub max: Duration,
}

impl Backoff {
    /// The delay after `failures` failures in a row, the first being 1.
    #[must_use]
    pub fn delay(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_bound() {
        let backoff = Backoff {
            first: Duration::from_secs(1),
            max: Duration::from_secs(300),
        };
        let seconds: Vec<u64> = [0, 1, 2, 3, 9, 10, 99, u32::MAX]
            .map(|failures| backoff.delay(failures).as_secs())
            .to_vec();
        assert_eq!(seconds, [1, 1, 2, 4, 256, 300, 300, 300]);
    }
}
