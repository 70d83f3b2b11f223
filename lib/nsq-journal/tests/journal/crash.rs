//! Crashes and power cuts at every operation: what was promised is there, in order and unaltered, and nothing else.

use std::sync::Arc;

use nsq_journal::sim::{Faults, SimDisk};
use nsq_journal::{IdRange, Journal, JournalError, List, Lsn, Placed, Record};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::world::{Recorder, Seen, append, open, publish};

/// What must be on the disk.
#[derive(Default)]
struct Model {
    /// All records that may be on the disk, in order.
    stream: Vec<Seen>,
    /// What the last journal that opened said was written, and durable.
    written: Lsn,
    durable: Lsn,
    /// The power failed since.
    was_cut: bool,
    /// State and `keep_from` of each checkpoint tried; all up to `checkpointed` were confirmed.
    checkpoints: Vec<(Vec<u8>, Lsn)>,
    checkpointed: usize,
    /// A run failed to begin: its boot record may be there or not.
    half_booted: bool,
}

impl Model {
    /// Compares what came back with what had to, and goes on from there.
    fn recovered(&mut self, recorder: &Recorder) {
        let promised = if self.was_cut {
            self.durable
        } else {
            self.written
        };
        let mut keep_from = 0;
        if let Some(state) = &recorder.checkpoint {
            let index = self
                .checkpoints
                .iter()
                .position(|(tried, _)| tried == state)
                .expect("invented checkpoint");
            assert!(
                index + 1 >= self.checkpointed,
                "an older checkpoint than the one confirmed"
            );
            keep_from = self.checkpoints[index].1;
            self.checkpoints.truncate(index + 1);
            self.checkpointed = index + 1;
        } else {
            assert_eq!(self.checkpointed, 0, "the checkpoint is gone");
            self.checkpoints.clear();
        }
        let mut found = recorder.records.iter().peekable();
        let mut survivors = Vec::new();
        for record in self.stream.drain(..) {
            let is_unknown =
                |found: &&Seen| found.2 == 1 && found.0 <= record.0 && **found != record;
            while let Some(boot) = found.next_if(|found| self.half_booted && is_unknown(found)) {
                survivors.push(boot.clone());
            }
            if record.0 < keep_from {
                survivors.push(record);
            } else if found.peek() == Some(&&record) {
                found.next();
                survivors.push(record);
            } else {
                assert!(
                    record.1 > promised,
                    "promised record {}..{} is gone",
                    record.0,
                    record.1
                );
            }
        }
        while let Some(boot) = found.next_if(|found| self.half_booted && found.2 == 1) {
            survivors.push(boot.clone());
        }
        assert_eq!(
            found.next(),
            None,
            "a record that was never written, or twice, or out of order"
        );
        self.stream = survivors;
    }

    fn step(
        &mut self,
        journal: &Journal,
        random: &mut StdRng,
        held: &mut Vec<(Placed, Vec<u8>)>,
    ) -> Result<(), JournalError> {
        match random.random_range(0..100) {
            0..45 => {
                let len = match random.random_range(0..40) {
                    0 => random.random_range(0..40_000),
                    1..6 => random.random_range(0..3_000),
                    _ => random.random_range(0..300),
                };
                let body: Vec<u8> = (0..len).map(|_| random.random()).collect();
                let (placed, seen) = publish(journal, &body)?;
                self.stream.push(seen);
                held.push((placed, body));
            }
            45..70 => {
                let range = IdRange {
                    first_id: random.random(),
                    count: 1,
                };
                let record = Record::Finish {
                    topic: 1,
                    channel: 2,
                    ranges: List::Given(&[range, range]),
                };
                self.stream.push(append(journal, &record)?);
            }
            70..80 => drop(journal.write(journal.tail())?),
            80..90 => drop(journal.sync()?),
            90..95 => journal.keep_house()?,
            _ => {
                let at = random.random_range(0..=self.stream.len());
                let keep_from = self
                    .stream
                    .get(at)
                    .map_or(journal.tail(), |record| record.0);
                let keep_from = keep_from.max(self.checkpoints.last().map_or(0, |last| last.1));
                let state = format!("checkpoint {}", random.random::<u64>()).into_bytes();
                self.checkpoints.push((state.clone(), keep_from));
                journal.checkpoint(&state, keep_from)?;
                self.checkpointed = self.checkpoints.len();
            }
        }
        Ok(())
    }
}

fn boot(run: u64, lsn: Lsn) -> Seen {
    let record = Record::Boot {
        incarnation: 0x1234_5678_9abc_def0,
        run,
        node: "n",
    };
    let payload = crate::world::payload(&record);
    (
        lsn,
        lsn + (16 + payload.len() as u64).next_multiple_of(8),
        1,
        payload,
    )
}

/// One life of a disk: several runs, each ended by an outage at a random operation.
fn life(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let disk = SimDisk::new();
    let mut model = Model::default();
    for _ in 0..8 {
        if random.random_bool(0.8) {
            let power_off_after = Some(random.random_range(0..200));
            disk.set_faults(Faults {
                power_off_after,
                ..Faults::default()
            });
        }
        let mut held = Vec::new();
        let opened = one_run(&disk, &mut model, &mut random, &mut held);
        let is_kill = random.random_bool(0.3);
        if let Some(journal) = &opened {
            (model.written, model.durable, model.was_cut) =
                (journal.written(), journal.durable(), false);
        }
        for (placed, body) in &held {
            assert_eq!(
                placed.chunk.bytes(placed.bodies_at + 4, body.len() as u32),
                body,
                "a body changed in memory"
            );
        }
        model.was_cut |= !is_kill;
        drop(opened);
        if is_kill {
            disk.kill()
        } else {
            disk.power_cut(random.random())
        }
    }
    let (_, recorder) = open(&disk).expect("a disk without faults opens");
    model.recovered(&recorder);
}

/// Opens, checks what came back, and works until the power fails. `None` when it failed before that.
fn one_run(
    disk: &Arc<SimDisk>,
    model: &mut Model,
    random: &mut StdRng,
    held: &mut Vec<(Placed, Vec<u8>)>,
) -> Option<Arc<Journal>> {
    let mut recorder = Recorder::default();
    let opened = Journal::open(
        Arc::clone(disk) as _,
        crate::world::options(),
        &mut recorder,
    );
    let Ok(journal) = opened else {
        model.half_booted = true;
        return None;
    };
    model.recovered(&recorder);
    let start = journal.runs().last().expect("there is always a run").lsn;
    model.stream.push(boot(journal.run(), start));
    for _ in 0..random.random_range(0..60) {
        if model.step(&journal, random, held).is_err() {
            break;
        }
    }
    Some(journal)
}

/// 150 lives, or as many as `NSQ_JOURNAL_SEEDS` says; `NSQ_JOURNAL_SEED` runs one.
#[test]
fn whatever_was_promised_survives_any_outage() {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse::<u64>().ok())
    };
    let seeds = match number("NSQ_JOURNAL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("NSQ_JOURNAL_SEEDS").unwrap_or(150),
    };
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| life(seed));
        assert!(
            outcome.is_ok(),
            "failed; NSQ_JOURNAL_SEED={seed} repeats it"
        );
    }
}
