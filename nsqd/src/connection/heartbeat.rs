//! Heartbeats, and clients that do not answer them.

use nsq_daemon::stream::Socket;
use nsq_protocol::HEARTBEAT;

use super::Connection;

impl<S: Socket> Connection<S> {
    /// Heartbeats and deadlines. False ends the connection.
    pub(super) fn time_passed(&mut self) -> bool {
        let now = self.nsqd.clock.now();
        let arrival = self.arrival_deadline(now);
        if now >= arrival {
            let client = &self.client.remote_address;
            tracing::info!("client({client}): a command does not arrive, closing");
            return false;
        }
        if self.heartbeat == 0 {
            self.sleep_until(arrival.min(now + 3_600_000_000_000));
            return true;
        }
        let silent = now - self.last_input >= 2 * self.heartbeat;
        let stuck = !self.outbox.is_sent() && now - self.last_output >= self.heartbeat;
        if silent || stuck {
            let why = if silent {
                "no input"
            } else {
                "takes no output"
            };
            tracing::info!("client({}): {why}, closing", self.client.remote_address);
            return false;
        }
        if now >= self.next_heartbeat {
            if self.magic_seen && !self.closing && self.upgrade.is_none() {
                self.outbox.response(HEARTBEAT);
            }
            self.next_heartbeat = now + self.heartbeat;
        }
        let deadline = self.last_input + 2 * self.heartbeat;
        self.sleep_until(deadline.min(self.next_heartbeat).min(arrival));
        true
    }

    pub(super) fn sleep_until(&mut self, at: i64) {
        let at = self.nsqd.clock.instant(at);
        self.timer.as_mut().reset(at);
    }
}
