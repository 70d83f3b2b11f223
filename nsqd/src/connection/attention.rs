//! When a connection looks for input a moment longer instead of going to sleep.
//!
//! A client that publishes one message at a time is idle while it waits for the OK, and the server while the client
//! thinks: each then costs a sleep and a wake-up from one core to the other, which is several times what the message
//! costs. A client that is alone on the node and quick is therefore waited for awake. As soon as another connection
//! has anything to do, or the client takes its time, all is as ever.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long it looks. Also what a quick client's next command may take at most while it is looked for.
pub(super) const LINGER: Duration = Duration::from_micros(30);
/// A client is quick if its next command comes within this of the last: both were asleep in between.
const QUICK_NANOS: i64 = 150_000;
/// Commands in a row that must have come quickly, with no other connection served in between.
const STREAK: u16 = 16;
/// Commands that are not looked for after one that did not come in time; twice as many each time.
const REST: u16 = 16;
const LONGEST_REST: u16 = 1 << 14;

/// The connection that was served last, on the whole node.
#[derive(Debug)]
pub(crate) struct LastServed {
    client: AtomicU64,
    /// On a single core it would be looked for in the client's own time.
    cores: bool,
}

impl Default for LastServed {
    fn default() -> Self {
        Self {
            client: AtomicU64::new(0),
            cores: std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1),
        }
    }
}

impl LastServed {
    /// Whether it was this one the last time too.
    pub(super) fn is_still(&self, client: u64) -> bool {
        // Almost always one of the two: read only, or contended anyway.
        let same = self.client.load(Ordering::Relaxed) == client;
        if !same {
            self.client.store(client, Ordering::Relaxed);
        }
        same && self.cores
    }
}

#[derive(Debug)]
pub(super) struct Attention {
    streak: u16,
    resting: u16,
    rest: u16,
}

impl Default for Attention {
    fn default() -> Self {
        Self {
            streak: 0,
            resting: 0,
            rest: REST,
        }
    }
}

impl Attention {
    /// Another connection was served.
    pub(super) fn disturbed(&mut self) {
        self.streak = 0;
    }

    /// Input came, so many nanoseconds after the input before.
    pub(super) fn input(&mut self, gap: i64) {
        self.resting = self.resting.saturating_sub(1);
        self.streak = match gap <= QUICK_NANOS {
            true => self.streak.saturating_add(1),
            false => 0,
        };
    }

    pub(super) fn is_full(&self) -> bool {
        self.streak >= STREAK && self.resting == 0
    }

    /// It looked, and input came.
    pub(super) fn rewarded(&mut self) {
        self.rest = REST;
    }

    /// It looked, and nothing came.
    pub(super) fn in_vain(&mut self) {
        self.resting = self.rest;
        self.rest = (self.rest * 2).min(LONGEST_REST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick(attention: &mut Attention, times: u16) {
        for _ in 0..times {
            attention.input(QUICK_NANOS);
        }
    }

    #[test]
    fn only_a_quick_client_that_is_alone() {
        let mut attention = Attention::default();
        quick(&mut attention, STREAK - 1);
        assert!(!attention.is_full());
        quick(&mut attention, 1);
        assert!(attention.is_full());
        attention.disturbed();
        assert!(!attention.is_full());
        quick(&mut attention, STREAK);
        attention.input(QUICK_NANOS + 1);
        assert!(!attention.is_full());
    }

    #[test]
    fn in_vain_is_tried_less_and_less() {
        let mut attention = Attention::default();
        quick(&mut attention, STREAK);
        let mut rests = Vec::new();
        for _ in 0..16 {
            attention.in_vain();
            let mut rest = 0;
            while !attention.is_full() {
                quick(&mut attention, 1);
                rest += 1;
            }
            rests.push(rest);
        }
        assert_eq!(rests[..3], [REST, 2 * REST, 4 * REST]);
        assert_eq!(rests[15], LONGEST_REST);
        attention.rewarded();
        attention.in_vain();
        quick(&mut attention, REST);
        assert!(attention.is_full());
    }

    #[test]
    fn the_last_served() {
        let mut last = LastServed {
            cores: true,
            ..LastServed::default()
        };
        let seen = [7, 7, 8, 7].map(|client| last.is_still(client));
        assert_eq!(seen, [false, true, false, false]);
        last.cores = false;
        assert!(!last.is_still(7));
    }
}
