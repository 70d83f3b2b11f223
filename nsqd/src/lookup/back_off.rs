//! How long to rest after a failure.

use std::time::Duration;

/// After the first failure.
const FIRST: Duration = Duration::from_millis(100);
/// However many failures; a connection that lasted this long counts as a success.
pub(super) const LONGEST: Duration = Duration::from_secs(15);

/// Doubles with every failure in a row, from 100 ms to 15 s, of which `jitter` (in `0..1`) takes up to
/// half away: when an nsqlookupd comes back, its nsqds do not come all at once.
pub(super) fn back_off(failures: u32, jitter: f64) -> Duration {
    let full = FIRST
        .saturating_mul(2u32.saturating_pow(failures))
        .min(LONGEST);
    full.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::{Duration, LONGEST, back_off};

    #[test]
    fn doubles_up_to_its_bound() {
        let full: Vec<_> = (0..4)
            .map(|failures| back_off(failures, 0.0).as_millis())
            .collect();
        assert_eq!(full, [100, 200, 400, 800]);
        for failures in [8, 31, 32, u32::MAX] {
            assert_eq!(back_off(failures, 0.0), LONGEST);
            assert_eq!(back_off(failures, 1.0), LONGEST / 2);
        }
        assert_eq!(back_off(0, 1.0), Duration::from_millis(50));
    }
}
