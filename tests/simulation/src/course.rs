//! How far a world has come, in virtual time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::Instant;

/// What every world has, whatever is in it.
pub struct Course {
    began: Instant,
    steps: AtomicU64,
    draining: AtomicBool,
    over: AtomicBool,
    verbose: bool,
}

impl Course {
    /// Begins now. `verbose`: says what happens.
    pub fn begin(verbose: bool) -> Self {
        Self {
            began: Instant::now(),
            steps: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            over: AtomicBool::new(false),
            verbose,
        }
    }

    /// Nanoseconds since the world began.
    pub fn now(&self) -> i64 {
        self.took().as_nanos() as i64
    }

    pub fn took(&self) -> Duration {
        self.began.elapsed()
    }

    /// Says what happens, in a run of one seed.
    pub fn note(&self, what: &str) {
        if self.verbose {
            println!("{:10.3} ms: {what}", self.now() as f64 / 1e6);
        }
    }

    /// A command was sent, or a message received.
    pub fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// No more mischief: consumers finish everything.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Waits for up to so many milliseconds.
pub async fn pause(random: &mut StdRng, most: u64) {
    let micros = random.random_range(1..=most * 1000);
    tokio::time::sleep(Duration::from_micros(micros)).await;
}

/// Runs a world to its end, in its own time.
///
/// # Panics
/// Without a runtime there is no world.
pub fn in_virtual_time<T>(world: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(world),
        Err(error) => panic!("no runtime: {error}"),
    }
}
