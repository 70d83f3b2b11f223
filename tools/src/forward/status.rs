//! Every so many requests, how long they took.

use std::time::Duration;

/// Times of requests, of one destination or of all.
#[derive(Debug)]
pub struct Status {
    prefix: String,
    /// 0: never told.
    every: usize,
    times: Vec<Duration>,
}

impl Status {
    #[must_use]
    pub fn new(every: usize, prefix: String) -> Self {
        Self {
            prefix,
            every,
            times: Vec::new(),
        }
    }

    /// A request took so long. What there is to say, when it is time to.
    pub fn took(&mut self, time: Duration) -> Option<String> {
        if self.every == 0 {
            return None;
        }
        self.times.push(time);
        if self.times.len() < self.every {
            return None;
        }
        self.times.sort_unstable();
        let percentile = |share: f64| {
            let at = (self.times.len() as f64 * share) as usize;
            millis(self.times[at.min(self.times.len() - 1)])
        };
        let sum: Duration = self.times.iter().sum();
        let told = format!(
            "{} finished {} - 99th: {:.2}ms - 95th: {:.2}ms - avg: {:.2}ms",
            self.prefix,
            self.times.len(),
            percentile(0.99),
            percentile(0.95),
            millis(sum) / self.times.len() as f64,
        );
        self.times.clear();
        Some(told)
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_every_so_often() {
        let mut status = Status::new(3, "[all]:".to_owned());
        let ms = Duration::from_millis;
        assert_eq!(status.took(ms(1)), None);
        assert_eq!(status.took(ms(3)), None);
        let told = "[all]: finished 3 - 99th: 3.00ms - 95th: 3.00ms - avg: 2.00ms";
        assert_eq!(status.took(ms(2)).as_deref(), Some(told));
        assert_eq!(status.took(ms(2)), None);
        assert_eq!(Status::new(0, String::new()).took(ms(1)), None);
    }
}
