//! The start of one of the two nodes.

use std::sync::Arc;

use nsq_journal::sim::SimDisk;
use nsq_journal::{JournalError, JournalOptions};
use nsqd::Clock;
use nsqd::engine::{Housekeeping, MemoryBudget, open_on, run_adoption, run_watch};
use nsqd::options::{Durability, MirrorAck, OnPeerLoss, Options};

use super::plan::PairPlan;
use crate::node::{EPOCH, Node};
use crate::plan::Level;

/// Bytes in a pipe.
const PIPE: usize = 4096;

pub const NAMES: [&str; 2] = ["a", "b"];

/// Recovers what the disk holds and serves it. `incarnation`: of a disk that is blank.
pub fn start(
    plan: &PairPlan,
    index: usize,
    disk: &Arc<SimDisk>,
    incarnation: u64,
    now: i64,
) -> Result<Node, JournalError> {
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
    let mut node = Node::serve(Arc::clone(&nsqd), PIPE);
    node.spawn(run_watch(Arc::clone(&nsqd)));
    node.spawn(run_adoption(nsqd));
    Ok(node)
}
