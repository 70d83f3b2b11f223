//! One life of one of the two nodes.

use std::sync::Arc;

use nsq_journal::sim::SimDisk;
use nsq_journal::{JournalError, JournalOptions};
use nsqd::engine::{
    Housekeeping, MemoryBudget, Timers, open_on, run_adoption, run_journal_log, run_watch, serve,
    take_checkpoint,
};
use nsqd::options::{Durability, MirrorAck, OnPeerLoss, Options};
use nsqd::{Clock, Nsqd};
use tokio::io::DuplexStream;
use tokio::task::JoinSet;

use super::plan::PairPlan;
use crate::plan::Level;

/// Bytes in a pipe.
const PIPE: usize = 4096;
const EPOCH: i64 = 1_700_000_000_000_000_000;

pub const NAMES: [&str; 2] = ["a", "b"];

pub struct PairNode {
    pub nsqd: Arc<Nsqd>,
    tasks: JoinSet<()>,
    connections: u64,
}

impl PairNode {
    /// Recovers what the disk holds and serves it. `incarnation`: of a disk that is blank.
    pub fn start(
        plan: &PairPlan,
        index: usize,
        disk: &Arc<SimDisk>,
        incarnation: u64,
        now: i64,
    ) -> Result<Self, JournalError> {
        let journal = JournalOptions {
            node: NAMES[index].to_owned(),
            segment_bytes: plan.segment_bytes,
            chunk_bytes: 4096,
            free_floor: 4 * plan.segment_bytes,
            incarnation: Some(incarnation),
            threads: false,
            ..JournalOptions::default()
        };
        let options = Options {
            durability: match plan.level {
                Level::Write => Durability::Write,
                Level::Fsync => Durability::Fsync,
            },
            mem_queue_size: plan.mem_queue_size,
            node_id: index as i64 + 1,
            pair_name: NAMES[index].to_owned(),
            pair_with: NAMES[1 - index].to_owned(),
            mirror_ack: MirrorAck::Peer,
            on_peer_loss: match plan.block {
                true => OnPeerLoss::Block,
                false => OnPeerLoss::Degrade,
            },
            max_defer_timeout: std::time::Duration::from_secs(3600),
            ..Options::command("simulated").defaults()
        };
        let housekeeping = Housekeeping {
            checkpoint_every: plan.checkpoint_every,
            journal_kept: 4 * plan.checkpoint_every,
            spill_file: 1 << 20,
            kept_for_peer: 2 * plan.checkpoint_every,
            sent_to_peer: plan.sent_to_peer,
            memory: MemoryBudget {
                soft: plan.memory,
                hard: 2 * plan.memory,
                input: 32 << 20,
            },
        };
        let clock = Clock::simulated(EPOCH + now);
        let nsqd = open_on(disk.clone(), journal, options, clock, housekeeping)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(Timers::run(Arc::clone(&nsqd)));
        tasks.spawn(run_journal_log(Arc::clone(&nsqd)));
        tasks.spawn(run_watch(Arc::clone(&nsqd)));
        tasks.spawn(run_adoption(Arc::clone(&nsqd)));
        Ok(Self {
            nsqd,
            tasks,
            connections: 0,
        })
    }

    /// A client's end of a new connection.
    pub fn connect(&mut self) -> DuplexStream {
        let (client, server) = tokio::io::duplex(PIPE);
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
