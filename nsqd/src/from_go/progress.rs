//! How far it is: a line on a terminal, or one in the log now and then.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const TERMINAL: Duration = Duration::from_millis(200);
const LOG: Duration = Duration::from_secs(10);

pub(super) struct Progress {
    total: u64,
    terminal: bool,
    told: Instant,
    drawn: bool,
}

impl Progress {
    pub(super) fn new(total: u64) -> Self {
        Self {
            total,
            terminal: std::io::stderr().is_terminal(),
            told: Instant::now(),
            drawn: false,
        }
    }

    pub(super) fn at(&mut self, done: u64) {
        let every = if self.terminal { TERMINAL } else { LOG };
        if self.told.elapsed() < every {
            return;
        }
        self.told = Instant::now();
        let percent = (done * 100).checked_div(self.total).unwrap_or(100);
        if self.terminal {
            self.drawn = true;
            let mut out = std::io::stderr();
            // A terminal that is gone is no reason to stop.
            let _ = write!(
                out,
                "\rimporting: {done} of {} messages, {percent} % ",
                self.total
            );
            let _ = out.flush();
        } else {
            tracing::info!("GO: {done} of {} messages, {percent} %", self.total);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn {
            let _ = write!(std::io::stderr(), "\r{:70}\r", "");
        }
    }
}
