//! Checkpoints bound what the next start has to replay.

#![allow(clippy::unwrap_used)] // a test may

use std::sync::Arc;

use nsq_journal::JournalOptions;
use nsq_journal::sim::SimDisk;
use nsqd::engine::{Housekeeping, Pager, open_on};
use nsqd::options::Options;
use nsqd::{Clock, Nsqd};

const BODY: u32 = 1000;

fn start(disk: &Arc<SimDisk>, every: u64) -> Arc<Nsqd> {
    let journal = JournalOptions {
        segment_bytes: 64 * 1024,
        chunk_bytes: 4096,
        free_floor: 0,
        threads: false,
        ..JournalOptions::default()
    };
    let housekeeping = Housekeeping {
        checkpoint_every: every,
        kept_for_peer: 0,
        sent_to_peer: 0,
        journal_kept: every,
        ..Housekeeping::on_volume(1 << 30, 0)
    };
    let options = Options::command("simulated").defaults();
    let clock = Clock::simulated(1_700_000_000_000_000_000);
    open_on(disk.clone(), journal, options, clock, housekeeping).unwrap()
}

fn publish(nsqd: &Arc<Nsqd>, count: u32) {
    let topic = nsqd.topic("t").unwrap();
    let body = vec![b'x'; BODY as usize];
    for _ in 0..count {
        let (kept, _) = topic.publish(nsqd, &body, &[(0, BODY)], 0).unwrap();
        nsqd.journal.write(kept.at).unwrap();
    }
}

#[tokio::test]
async fn a_node_that_dies_again_and_again_replays_no_more_each_time() {
    const EVERY: u64 = 100_000;
    let disk = SimDisk::new();
    let mut replayed = Vec::new();
    for _ in 0..10 {
        let nsqd = start(&disk, EVERY);
        replayed.push(nsqd.journal.stats().recovery.bytes);
        // Each life is far too short for a checkpoint of its own.
        publish(&nsqd, 30);
        Pager::step(&nsqd).unwrap();
        disk.kill();
    }
    let most = replayed.iter().copied().max().unwrap_or(0);
    // What is kept, a life before the checkpoint, and a life after it.
    assert!(most < 2 * EVERY + 70_000, "{replayed:?}");
}
