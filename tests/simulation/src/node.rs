//! One life of a simulated nsqd: from opening its disk to its end.

use std::sync::Arc;

use nsq_journal::sim::SimDisk;
use nsq_journal::{JournalError, JournalOptions};
use nsqd::engine::{
    Housekeeping, MemoryBudget, Timers, open_on, run_journal_log, serve, take_checkpoint,
};
use nsqd::options::{Durability, Options};
use nsqd::{Clock, Nsqd};
use tokio::io::DuplexStream;
use tokio::task::JoinSet;

use crate::plan::{Level, Plan};

/// Bytes in a pipe: small, so that writes are torn and outboxes fill up.
const PIPE: usize = 2048;
/// When every simulated world begins, nanoseconds since 1970.
pub const EPOCH: i64 = 1_700_000_000_000_000_000;

pub struct Node {
    pub nsqd: Arc<Nsqd>,
    tasks: JoinSet<()>,
    connections: u64,
    /// Bytes in a pipe of a client.
    pipe: usize,
}

impl Node {
    /// Recovers what the disk holds and serves it. `now`: nanoseconds since the world began.
    pub fn start(plan: &Plan, disk: &Arc<SimDisk>, now: i64) -> Result<Self, JournalError> {
        let journal = JournalOptions {
            segment_bytes: plan.segment_bytes,
            chunk_bytes: 4096,
            free_floor: 4 * plan.segment_bytes,
            incarnation: Some(plan.seed | 1),
            threads: false,
            ..JournalOptions::default()
        };
        let options = Options {
            durability: match plan.level {
                Level::Write => Durability::Write,
                Level::Fsync => Durability::Fsync,
            },
            mem_queue_size: plan.mem_queue_size,
            node_id: 5,
            max_defer_timeout: std::time::Duration::from_secs(3600),
            ..Options::command("simulated").defaults()
        };
        let housekeeping = Housekeeping {
            checkpoint_every: plan.checkpoint_every,
            journal_kept: 4 * plan.checkpoint_every,
            kept_for_peer: 0,
            sent_to_peer: 0,
            spill_file: 1 << 20,
            memory: MemoryBudget {
                soft: plan.memory,
                hard: 2 * plan.memory,
                input: 32 << 20,
            },
        };
        let clock = Clock::simulated(EPOCH + now);
        let nsqd = open_on(disk.clone(), journal, options, clock, housekeeping)?;
        Ok(Self::serve(nsqd, PIPE))
    }

    /// With what an nsqd of its own has running.
    pub fn serve(nsqd: Arc<Nsqd>, pipe: usize) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(Timers::run(Arc::clone(&nsqd)));
        tasks.spawn(run_journal_log(Arc::clone(&nsqd)));
        Self {
            nsqd,
            tasks,
            connections: 0,
            pipe,
        }
    }

    /// Something more that it has running.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// A client's end of a new connection.
    pub fn connect(&mut self) -> DuplexStream {
        let (client, server) = tokio::io::duplex(self.pipe);
        self.connections += 1;
        let name = format!("client:{}", self.connections);
        self.tasks
            .spawn(serve(Arc::clone(&self.nsqd), server, name));
        client
    }

    /// The process is gone, wherever its tasks were. The disk's outage comes first.
    pub fn crash(mut self) {
        self.tasks.abort_all();
    }

    /// A clean stop, as of SIGTERM.
    pub async fn stop(mut self) -> Result<(), JournalError> {
        self.nsqd.begin_exit();
        self.tasks.shutdown().await;
        nsqd::engine::log_all(&self.nsqd);
        take_checkpoint(&self.nsqd, true)?;
        self.nsqd.journal.close()
    }
}
