//! Commands that arrive bit by bit: their share of memory, and how long they may take.

use super::Connection;
use crate::input_budget::COUNTED_FROM;
use nsq_daemon::stream::Socket;

/// A command may take `--command-timeout`, and on top of it what its bytes take at this rate: a slow
/// line is not an attack.
const SLOWEST_LINE: i64 = 8 * 1024; // bytes a second

/// The command that is arriving.
pub(super) struct Arrival {
    /// What it has of the input budget.
    taken: usize,
    since: i64,
}

impl Arrival {
    pub(super) fn new(now: i64) -> Self {
        Self {
            taken: 0,
            since: now,
        }
    }
}

impl<S: Socket> Connection<S> {
    /// Whether there is memory for the command that is arriving; the connection is woken when there
    /// may be.
    pub(super) fn has_room_for_command(&mut self) -> bool {
        let inputs = &self.nsqd.pager.inputs;
        let needed = self.inbox.needed().max(self.decoder.expected());
        let needed = needed.min(inputs.whole());
        if needed < COUNTED_FROM || needed <= self.arrival.taken {
            return true;
        }
        let more = needed - self.arrival.taken;
        if let Some(taken) = inputs.take(more, &self.client) {
            self.arrival.taken += taken;
            return true;
        }
        if self.arrival.taken == 0 {
            // It waits for us, not we for it. Who took less than he needs, because his MPUB lied
            // about its size, goes when its time is over: else such could wait for each other.
            self.arrival.since = self.nsqd.clock.now();
        }
        false
    }

    /// The command that was arriving is there.
    pub(super) fn command_arrived(&mut self) {
        let taken = std::mem::take(&mut self.arrival.taken);
        self.nsqd.pager.inputs.give_back(taken);
        self.arrival.since = self.last_input;
    }

    /// Has the connection look in time at a command that is arriving.
    pub(super) fn watch_arrival(&mut self) {
        let deadline = self.arrival_deadline(self.last_input);
        if deadline < i64::MAX && self.nsqd.clock.instant(deadline) < self.timer.deadline() {
            self.sleep_until(deadline);
        }
    }

    /// When the command that is arriving has taken too long; far away while there is none.
    pub(super) fn arrival_deadline(&mut self, now: i64) -> i64 {
        let patience = self.nsqd.options.command_timeout.as_nanos() as i64;
        if patience == 0 || self.inbox.kept() == 0 {
            return i64::MAX;
        }
        if self.nsqd.pager.is_tight() {
            // Nothing is read: it cannot arrive.
            self.arrival.since = now;
            self.last_input = now;
        }
        let at_slowest = self.inbox.kept() as i64 * 1_000_000_000 / SLOWEST_LINE;
        self.arrival
            .since
            .saturating_add(patience)
            .saturating_add(at_slowest)
    }
}
