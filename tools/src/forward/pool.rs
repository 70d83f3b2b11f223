//! Which destination gets the next message. Times are nanoseconds.

/// A destination that failed is left alone for this long, twice as long after each further failure, up to the most.
const RETRY: i64 = 30_000_000_000;
const RETRY_MOST: i64 = 900_000_000_000;
/// How often one tries somebody else than the fastest: at first, and at least; by how much less each time.
const CURIOSITY: (f64, f64, f64) = (0.3, 0.01, 0.9);
/// Weight of an answer's time among those before it.
const NEWEST: f64 = 0.1;

/// How the next one is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Each in turn, whatever became of the last message.
    RoundRobin,
    /// In turn among those that do not fail.
    Pool,
    /// Mostly the one that answers fastest, of those that do not fail.
    Greedy,
}

impl Mode {
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "round-robin" => Self::RoundRobin,
            "hostpool" => Self::Pool,
            "epsilon-greedy" => Self::Greedy,
            _ => return None,
        })
    }
}

/// The destinations, by their index.
#[derive(Debug)]
pub struct Pool {
    mode: Mode,
    hosts: Vec<Host>,
    next: usize,
    curiosity: f64,
}

#[derive(Debug, Clone, Default)]
struct Host {
    /// It failed: not before then, and how long it would be left alone after that.
    dead: Option<(i64, i64)>,
    /// Mean time of an answer.
    answers_in: Option<f64>,
}

impl Pool {
    /// Of `count` destinations; at least one.
    #[must_use]
    pub fn new(mode: Mode, count: usize) -> Self {
        Self {
            mode,
            hosts: vec![Host::default(); count.max(1)],
            next: 0,
            curiosity: CURIOSITY.0,
        }
    }

    /// Who gets the next message. `random`: two numbers in [0, 1).
    pub fn choose(&mut self, now: i64, random: (f64, f64)) -> usize {
        match self.mode {
            Mode::RoundRobin => self.turn(|_| true),
            Mode::Pool => self.in_turn(now),
            Mode::Greedy => self.greedily(now, random),
        }
    }

    /// What became of the message that it got.
    pub fn answered(&mut self, index: usize, well: bool, took: i64, now: i64) {
        let Some(host) = self.hosts.get_mut(index) else {
            return;
        };
        if well {
            host.dead = None;
            let took = took as f64;
            host.answers_in = Some(match host.answers_in {
                None => took,
                Some(mean) => mean + NEWEST * (took - mean),
            });
        } else {
            // Several messages may fail together: that is one failure.
            let pause = match host.dead {
                None => RETRY,
                Some((until, _)) if until > now => return,
                Some((_, pause)) => pause,
            };
            host.dead = Some((now + pause, (pause * 2).min(RETRY_MOST)));
        }
    }

    fn turn(&mut self, may: impl Fn(&Host) -> bool) -> usize {
        let count = self.hosts.len();
        let chosen = (0..count).map(|step| (self.next + step) % count);
        let chosen = chosen.into_iter().find(|&at| may(&self.hosts[at]));
        let chosen = chosen.unwrap_or(self.next % count);
        self.next = (chosen + 1) % count;
        chosen
    }

    fn in_turn(&mut self, now: i64) -> usize {
        if !self.hosts.iter().any(|host| host.may_be_tried(now)) {
            // Somebody has to take it: all are tried as if nothing had been.
            self.hosts.iter_mut().for_each(|host| host.dead = None);
        }
        self.turn(|host| host.may_be_tried(now))
    }

    fn greedily(&mut self, now: i64, (curious, which): (f64, f64)) -> usize {
        let is_curious = curious < self.curiosity;
        self.curiosity = (self.curiosity * CURIOSITY.2).max(CURIOSITY.1);
        let known = self.hosts.iter().enumerate();
        let known = known.filter(|(_, host)| host.may_be_tried(now));
        let timed = known.filter_map(|(at, host)| Some((at, host.answers_in?)));
        let timed: Vec<(usize, f64)> = timed.collect();
        // Faster ones are chosen so much oftener as they are faster.
        let sum: f64 = timed.iter().map(|one| 1.0 / one.1.max(1.0)).sum();
        if is_curious || timed.is_empty() {
            return self.in_turn(now);
        }
        let mut left = which * sum;
        for &(at, time) in &timed {
            left -= 1.0 / time.max(1.0);
            if left < 0.0 {
                return at;
            }
        }
        timed[timed.len() - 1].0
    }
}

impl Host {
    fn may_be_tried(&self, now: i64) -> bool {
        self.dead.is_none_or(|(until, _)| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn in_turn_whatever_happens() {
        let mut pool = Pool::new(Mode::RoundRobin, 3);
        pool.answered(1, false, 0, 0);
        let chosen: Vec<usize> = (0..6).map(|_| pool.choose(0, (0.0, 0.0))).collect();
        assert_eq!(chosen, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn one_that_fails_is_left_alone_longer_and_longer() {
        let mut pool = Pool::new(Mode::Pool, 2);
        let mut now = 0;
        for pause in [30, 60, 120, 240, 480, 900, 900] {
            pool.answered(0, false, 0, now);
            pool.answered(0, false, 0, now);
            let last = now + pause * SECOND - 1;
            assert!((0..4).all(|_| pool.choose(last, (0.0, 0.0)) == 1));
            now += pause * SECOND;
            assert!((0..2).any(|_| pool.choose(now, (0.0, 0.0)) == 0));
        }
        pool.answered(0, true, 1, now);
        pool.answered(0, false, 0, now);
        assert!((0..2).any(|_| pool.choose(now + 30 * SECOND, (0.0, 0.0)) == 0));
    }

    #[test]
    fn when_all_fail_all_are_tried() {
        let mut pool = Pool::new(Mode::Pool, 2);
        pool.answered(0, false, 0, 0);
        pool.answered(1, false, 0, 0);
        let chosen: Vec<usize> = (0..2).map(|_| pool.choose(1, (0.0, 0.0))).collect();
        assert_eq!(chosen, [0, 1]);
    }

    #[test]
    fn the_fastest_gets_most() {
        let mut pool = Pool::new(Mode::Greedy, 2);
        pool.answered(0, true, 1_000_000, 0);
        pool.answered(1, true, 9_000_000, 0);
        let mut got = [0; 2];
        for step in 0..1000 {
            let which = f64::from(step) / 1000.0;
            got[pool.choose(0, (0.99, which))] += 1;
        }
        assert_eq!(got, [900, 100]);
        // The curious one takes turns.
        let mut pool = Pool::new(Mode::Greedy, 2);
        pool.answered(0, true, 1, 0);
        pool.answered(1, true, 9, 0);
        assert_eq!(
            (pool.choose(0, (0.0, 0.0)), pool.choose(0, (0.0, 0.0))),
            (0, 1)
        );
    }
}
