//! A data path that was damaged in any way.

use std::sync::{Arc, OnceLock};

use nsq_journal::sim::SimDisk;
use nsq_journal::{Disk, JournalOptions};
use nsqd::engine::{Housekeeping, Pager, open_on, take_checkpoint};
use nsqd::options::{Durability, Options};
use nsqd::{Clock, Nsqd};

const NOW: i64 = 1_700_000_000_000_000_000;
/// What is published to the topic `t` in each round: batches, messages in each, and their bytes. The first two fill a
/// block each, one by the number of its messages and one by their bytes.
const ROUNDS: [(u64, usize, u32); 3] = [(11, 100, 8), (1, 10, 27_000), (1, 100, 8)];
/// Messages there before anything is damaged.
const MESSAGES: u64 = 1100 + 10 + 100;

fn start(disk: &Arc<SimDisk>) -> Result<Arc<Nsqd>, nsq_journal::JournalError> {
    let journal = JournalOptions {
        segment_bytes: 16 << 10,
        chunk_bytes: 4096,
        free_floor: 0,
        incarnation: Some(7),
        threads: false,
        ..JournalOptions::default()
    };
    let options = Options {
        durability: Durability::Write,
        mem_queue_size: 1,
        ..Options::command("fuzzed").defaults()
    };
    open_on(
        disk.clone(),
        journal,
        options,
        Clock::simulated(NOW),
        housekeeping(),
    )
}

/// What the machine has is asked once.
pub(crate) fn housekeeping() -> Housekeeping {
    static ASKED: OnceLock<Housekeeping> = OnceLock::new();
    *ASKED.get_or_init(|| Housekeeping::on_volume(1 << 30, 0))
}

/// A disk with segments, a checkpoint and spill files.
fn whole() -> &'static Arc<SimDisk> {
    static WHOLE: OnceLock<Arc<SimDisk>> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let disk = SimDisk::new();
        let filled = (|| -> Result<(), Box<dyn std::error::Error>> {
            let nsqd = start(&disk)?;
            let topic = nsqd.topic("t")?;
            topic.create_channel(&nsqd, "c")?;
            for (round, (batches, messages, bytes)) in ROUNDS.into_iter().enumerate() {
                for _ in 0..batches {
                    let body = vec![b'x'; bytes as usize];
                    topic.publish(&nsqd, &body, &vec![(0, bytes); messages], 0)?;
                }
                Pager::step(&nsqd)?;
                if round < 2 {
                    take_checkpoint(&nsqd, false)?;
                }
            }
            nsqd.journal.sync()?;
            Ok(())
        })();
        assert!(filled.is_ok(), "an undamaged disk: {filled:?}");
        disk
    })
}

const DIRECTORIES: &[&str] = &["journal", "spill/1"];

/// Each six bytes do something to a file: which, where (three bytes), what, with which byte.
pub fn damaged(input: &[u8]) {
    let disk = whole().duplicate();
    for step in input.chunks_exact(6) {
        let names: Vec<String> = DIRECTORIES
            .iter()
            .flat_map(|dir| {
                let names = disk.list(dir).unwrap_or_default();
                names.into_iter().map(move |name| format!("{dir}/{name}"))
            })
            .collect();
        let Some(name) = names.get(usize::from(step[0]) % names.len().max(1)) else {
            continue;
        };
        let at = usize::from(step[1]) << 16 | usize::from(step[2]) << 8 | usize::from(step[3]);
        let other = &names[usize::from(step[5]) % names.len()];
        match step[4] % 8 {
            0..=2 => disk.corrupt(name, |bytes| {
                if let Some(at) = at.checked_rem(bytes.len()) {
                    bytes[at] ^= step[5].max(1);
                }
            }),
            3 => disk.corrupt(name, |bytes| bytes.truncate(at % (bytes.len() + 1))),
            4 => disk.corrupt(name, |bytes| {
                let from = at % (bytes.len() + 1);
                let to = (from + usize::from(step[5]) * 16).min(bytes.len());
                bytes[from..to].fill(0);
            }),
            5 => drop(disk.remove(name)),
            6 => drop(disk.rename(name, other)),
            _ => disk.corrupt(name, |bytes| bytes.extend(vec![step[5]; at % 8192])),
        }
    }
    let Ok(nsqd) = start(&disk) else {
        return;
    };
    for topic in nsqd.topics() {
        let stats = topic.read(|queue| queue.stats());
        let most = stats.depth
            + stats
                .channels
                .iter()
                .map(|channel| channel.depth)
                .max()
                .unwrap_or(0);
        assert!(
            most <= MESSAGES,
            "{most} messages, of {MESSAGES} that were published"
        );
    }
    // What was read once and put in order is read again without complaint.
    drop(nsqd);
    assert!(start(&disk).is_ok());
}
