//! What came of a run against one server.

use std::time::Duration;

use serde::Serialize;

/// How long a server took from its start until it listened.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(transparent)]
pub struct Recovery {
    millis: f64,
}

impl Recovery {
    pub fn new(took: Duration) -> Self {
        Self {
            millis: took.as_secs_f64() * 1000.0,
        }
    }
}

#[derive(Debug, Serialize)]
pub struct Trial {
    pub server: String,
    pub seed: u64,
    pub cycles: usize,
    pub acknowledged: u64,
    pub deliveries: u64,
    pub finished: u64,
    /// Acknowledged messages that a channel never got.
    pub lost: u64,
    /// And those that it got, did not finish, and never got again.
    pub lost_in_flight: u64,
    /// Deliveries beyond the first, and how many of them have a reason: a requeue, a message in
    /// flight at a kill, a finish just before one.
    pub repeated: u64,
    pub may_be_repeated: u64,
    pub forgotten_finishes: u64,
    /// What must not be: altered or invented messages, or finished ones that came again; the first
    /// of it in words.
    pub wrong: u64,
    pub complaints: Vec<String>,
    /// Milliseconds, for each cycle.
    #[serde(rename = "recovery_ms")]
    pub recoveries: Vec<Recovery>,
}

impl Trial {
    /// Everything that was promised was kept.
    pub fn is_good(&self) -> bool {
        let lost = self.lost + self.lost_in_flight;
        lost == 0 && self.wrong == 0 && self.repeated <= self.may_be_repeated
    }

    /// Median and longest recovery, milliseconds.
    pub fn recovery(&self) -> (f64, f64) {
        let mut millis: Vec<f64> = self.recoveries.iter().map(|one| one.millis).collect();
        millis.sort_by(f64::total_cmp);
        let median = millis.get(millis.len() / 2).copied().unwrap_or(0.0);
        (median, millis.last().copied().unwrap_or(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Trial {
        Trial {
            server: "s".to_owned(),
            seed: 1,
            cycles: 3,
            acknowledged: 10,
            deliveries: 22,
            finished: 21,
            lost: 0,
            lost_in_flight: 0,
            repeated: 2,
            may_be_repeated: 2,
            forgotten_finishes: 1,
            wrong: 0,
            complaints: Vec::new(),
            recoveries: [30, 10, 20]
                .map(|ms| Recovery::new(Duration::from_millis(ms)))
                .into(),
        }
    }

    #[test]
    fn each_broken_promise_fails_a_trial() {
        assert!(good().is_good());
        let broken: [fn(&mut Trial); 4] = [
            |trial| trial.lost = 1,
            |trial| trial.lost_in_flight = 1,
            |trial| trial.repeated = 3,
            |trial| trial.wrong = 1,
        ];
        for broken in broken {
            let mut trial = good();
            broken(&mut trial);
            assert!(!trial.is_good(), "{trial:?}");
        }
    }

    #[test]
    fn recovery_in_the_middle_and_at_worst() {
        assert_eq!(good().recovery(), (20.0, 30.0));
    }
}
