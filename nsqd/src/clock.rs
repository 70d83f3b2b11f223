use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Two times of one process. Deadlines run on the steady one, which never jumps; what a client
/// or a journal sees is the wall's. Both count nanoseconds since 1970 and agree at the start.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    base: i64,
}

impl Clock {
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            base: wall_clock(),
        }
    }

    /// Steady time.
    #[inline]
    pub fn now(&self) -> i64 {
        self.base + self.started.elapsed().as_nanos() as i64
    }

    /// The moment at which [`Clock::now`] will be `at`.
    pub fn instant(&self, at: i64) -> Instant {
        let ahead = u64::try_from(at - self.base).unwrap_or(0);
        self.started + std::time::Duration::from_nanos(ahead)
    }

    /// Seconds since 1970 at the start.
    pub fn started_at(&self) -> i64 {
        self.base / 1_000_000_000
    }

    pub fn uptime(&self) -> std::time::Duration {
        self.started.elapsed()
    }
}

/// Wall time.
pub fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as i64)
}
