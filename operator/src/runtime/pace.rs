//! How often what is as declared is looked at again, so that many resources cost no more than some.
//!
//! Whatever the API server tells wakes a pass at once; looking again is for what nobody tells: a channel that was deleted by
//! hand at an nsqd. With ten thousand topics each is looked at less often, and not all at the same time.

use std::time::Duration;

/// Looks at clusters, and at topics, in a second: 2 ms of CPU time each, and 1 ms. A look at a topic asks every node of its
/// cluster.
pub const CLUSTERS_A_SECOND: u32 = 2;
pub const TOPICS_A_SECOND: u32 = 6;
/// On average: what is never looked at again does not come back by itself either.
const LONGEST: Duration = Duration::from_secs(3600);

/// When to look again: at the time that was planned if something is going on, that is before `quiet_seconds`; and otherwise
/// the later the more resources there are.
#[must_use]
pub fn requeue(seconds: u64, quiet_seconds: u64, count: usize, a_second: u32) -> Duration {
    let wait = Duration::from_secs(seconds);
    match seconds >= quiet_seconds {
        true => quiet(wait, count, a_second, rand::random()),
        false => wait,
    }
}

/// Time until the next look at one of `count` resources that is quiet: `least`, or longer if they are many. `luck`, from 0 to
/// 1, spreads those that were looked at together: all are when the operator starts, and would be again and again.
#[must_use]
pub fn quiet(least: Duration, count: usize, a_second: u32, luck: f64) -> Duration {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let fair = Duration::from_secs(1).saturating_mul(count) / a_second.max(1);
    let luck = luck.clamp(0.0, 1.0);
    let longer = fair.min(LONGEST).saturating_sub(least);
    least.mul_f64(0.9 + 0.2 * luck) + longer.mul_f64(2.0 * luck)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_going_on_is_looked_at_in_time() {
        let seconds = |planned| requeue(planned, 60, 10_000, 4).as_secs();
        assert_eq!(seconds(5), 5);
        assert!((0..100).map(|_| seconds(60)).sum::<u64>() > 100 * 2000);
    }

    #[test]
    fn many_are_looked_at_less_often_and_not_together() {
        let least = Duration::from_secs(30);
        let seconds = |count, luck| quiet(least, count, 8, luck).as_secs_f64().round();
        assert_eq!(seconds(1, 0.5), 30.0);
        assert_eq!(seconds(240, 0.5), 30.0);
        assert_eq!(seconds(10_000, 0.5), 1250.0);
        assert_eq!(seconds(10_000, 0.0), 27.0);
        assert_eq!(seconds(10_000, 1.0), 2473.0);
        assert_eq!(seconds(usize::MAX, 0.5), 3600.0);
    }
}
