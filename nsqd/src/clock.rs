use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Two times of one process, both nanoseconds since 1970. Deadlines run on the steady one, which
/// never jumps; what clients and the journal see is the wall's. They agree at the start.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    base: i64,
    /// The wall's time is the steady one: time is simulated.
    simulated: bool,
}

impl Clock {
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            base: system_time(),
            simulated: false,
        }
    }

    /// Time that stands at `base` and goes on with the runtime's, which a simulation controls.
    pub fn simulated(base: i64) -> Self {
        Self {
            started: Instant::now(),
            base,
            simulated: true,
        }
    }

    /// Steady time.
    #[inline]
    pub fn now(&self) -> i64 {
        self.base + self.started.elapsed().as_nanos() as i64
    }

    /// Wall time.
    pub fn wall(&self) -> i64 {
        match self.simulated {
            true => self.now(),
            false => system_time(),
        }
    }

    /// What the wall will show at a steady time, 0 for 0: what is written down is read by a process
    /// that knows only the wall.
    pub fn to_wall(&self, at: i64) -> i64 {
        match at {
            0 => 0,
            at => at - self.now() + self.wall(),
        }
    }

    /// The steady time at which the wall will show `at`, 0 for 0: what another node says is in the wall's.
    pub fn from_wall(&self, at: i64) -> i64 {
        match at {
            0 => 0,
            at => at - self.wall() + self.now(),
        }
    }

    /// The moment at which [`Clock::now`] will be `at`.
    pub fn instant(&self, at: i64) -> Instant {
        let ahead = u64::try_from(at - self.base).unwrap_or(0);
        self.started + Duration::from_nanos(ahead)
    }

    /// Seconds since 1970 at the start.
    pub fn started_at(&self) -> i64 {
        self.base / 1_000_000_000
    }

    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}

fn system_time() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as i64)
}
