//! What a seed decides before the run begins.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What the server promises in a run, and so what may happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// `write`: the process dies, the kernel lives.
    Write,
    /// `fsync`: the power fails, syncs fail.
    Fsync,
}

/// The shape of a run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub level: Level,
    pub publishers: usize,
    /// Messages time out after so many milliseconds: never in most worlds, often in some.
    pub msg_timeout_ms: u64,
    /// Consumers of each channel.
    pub consumers: usize,
    /// Messages that each publisher sends.
    pub messages: u64,
    pub mem_queue_size: u64,
    /// Crashes and stops; each is followed by a restart.
    /// Bytes of memory above which backlogs are paged out; publishers wait above twice as much.
    pub memory: usize,
    pub outages: usize,
    pub max_body: usize,
    pub segment_bytes: u64,
    pub checkpoint_every: u64,
    /// Commits are slow: up to this many microseconds.
    pub slow_disk_us: u64,
    /// Print what happens.
    pub verbose: bool,
}

/// Topics and their channels, the same in all runs.
pub const TOPICS: &[(&str, &[&str])] = &[("one", &["a"]), ("two", &["a", "b"])];

impl Plan {
    pub fn of(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let level = match seed % 3 {
            0 => Level::Write,
            _ => Level::Fsync,
        };
        Self {
            seed,
            level,
            publishers: random.random_range(1..=4),
            msg_timeout_ms: [60_000, 60_000, 1000][random.random_range(0..3)],
            consumers: random.random_range(1..=3),
            messages: random.random_range(100..=900),
            mem_queue_size: [0, 10, 10_000][random.random_range(0..3)],
            memory: [1 << 30, 64 << 10][random.random_range(0..2)],
            outages: random.random_range(1..=6),
            max_body: [40, 300, 6000][random.random_range(0..3)],
            segment_bytes: [16 << 10, 64 << 10, 512 << 10][random.random_range(0..3)],
            checkpoint_every: [32 << 10, 256 << 10][random.random_range(0..2)],
            slow_disk_us: [50, 500, 20_000][random.random_range(0..3)],
            verbose: false,
        }
    }
}
