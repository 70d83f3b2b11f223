//! How long things took: counts in buckets that double, cheap enough for every message.

use std::sync::atomic::{AtomicU64, Ordering};

/// Buckets with an upper bound; one more holds what took longer.
pub const BUCKETS: usize = 20;
/// Upper bound of the first, in nanoseconds; each further one is twice as large, the last 8.6 s.
const FIRST: u64 = 1 << 14;

/// Counted by many threads at once.
#[derive(Debug, Default)]
pub struct Durations {
    counts: [AtomicU64; BUCKETS + 1],
    nanos: AtomicU64,
}

/// What [`Durations`] stood at. Also where a batch is gathered before it is added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DurationCounts {
    /// How many took so long, not added up.
    pub counts: [u64; BUCKETS + 1],
    /// Sum of all times.
    pub nanos: u64,
}

impl DurationCounts {
    /// Upper bound of a bucket in seconds; `None` for the last.
    pub fn bound(bucket: usize) -> Option<f64> {
        (bucket < BUCKETS).then(|| (FIRST << bucket) as f64 / 1e9)
    }

    /// Counts `times` things that took `nanos` each.
    #[inline]
    pub fn count(&mut self, nanos: u64, times: u64) {
        self.counts[bucket(nanos)] += times;
        self.nanos += nanos * times;
    }
}

#[inline]
fn bucket(nanos: u64) -> usize {
    let above = (nanos.saturating_sub(1) / FIRST).checked_ilog2();
    above.map_or(0, |log| log as usize + 1).min(BUCKETS)
}

impl Durations {
    /// Counts `times` things that took `nanos` each.
    #[inline]
    pub fn count(&self, nanos: u64, times: u64) {
        self.counts[bucket(nanos)].fetch_add(times, Ordering::Relaxed);
        self.nanos.fetch_add(nanos * times, Ordering::Relaxed);
    }

    /// Counts a batch.
    pub fn add(&self, batch: &DurationCounts) {
        for (count, more) in self.counts.iter().zip(batch.counts) {
            if more > 0 {
                count.fetch_add(more, Ordering::Relaxed);
            }
        }
        self.nanos.fetch_add(batch.nanos, Ordering::Relaxed);
    }

    /// All there was until now.
    pub fn read(&self) -> DurationCounts {
        DurationCounts {
            counts: std::array::from_fn(|at| self.counts[at].load(Ordering::Relaxed)),
            nanos: self.nanos.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_within_its_bucket() {
        for nanos in [
            0,
            1,
            FIRST,
            FIRST + 1,
            2 * FIRST,
            1_000_000,
            1 << 33,
            u64::MAX,
        ] {
            let at = bucket(nanos);
            let seconds = nanos as f64 / 1e9;
            assert!(
                DurationCounts::bound(at).is_none_or(|bound| seconds <= bound),
                "{nanos}"
            );
            let below = at.checked_sub(1).and_then(DurationCounts::bound);
            assert!(below.is_none_or(|bound| seconds > bound), "{nanos} in {at}");
        }
        let all = Durations::default();
        let mut batch = DurationCounts::default();
        batch.count(5, 2);
        all.add(&batch);
        all.count(1_000_000, 1);
        assert_eq!(all.read().counts.iter().sum::<u64>(), 3);
        assert_eq!(all.read().nanos, 1_000_010);
    }
}
