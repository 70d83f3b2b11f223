//! What one node has moves to another under load, and back, and whoever takes part is killed.

use std::time::Duration;

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::two::{Two, around, judged};
use super::{Outcome, Setting};
use crate::finding::Finding;
use crate::load::Tally;
use crate::stage::{Manners, Stage};

/// Publishers of each node.
const PUBLISHERS: u64 = 8;
/// How long after its beginning a relocation is struck, milliseconds.
const STRUCK_MS: std::ops::RangeInclusive<u64> = 0..=400;
const PATIENCE: Duration = Duration::from_secs(60);
/// What may be on its way at a kill, and so at both nodes: messages, on each of two channels.
const ON_THE_WAY: u64 = 2 * 16_384;

#[derive(Default)]
struct Driven {
    completed: u64,
    kills: u64,
    moved: u64,
}

pub fn run(setting: &Setting, rounds: usize) -> Result<Outcome> {
    let manners = Manners {
        refusals: true,
        paired: true,
        ..Manners::default()
    };
    let stages = Stage::pair(manners);
    let mut driven = Driven::default();
    let data = around(setting, &stages, PUBLISHERS, |stages| {
        drive(setting, stages, rounds, &mut driven)
    })?;
    let mut finding = Finding::new("ours, fsync");
    finding.count("relocations", rounds as u64);
    finding.count("completed", driven.completed);
    finding.count("kills", driven.kills);
    finding.count("moved by those completed", driven.moved);
    Tally::of(&stages[0]).judge_but(&mut finding, driven.kills * ON_THE_WAY);
    Ok(judged(setting, data, finding))
}

fn drive(
    setting: &Setting,
    stages: &[Stage; 2],
    rounds: usize,
    driven: &mut Driven,
) -> Result<[tempfile::TempDir; 2]> {
    let mut random = StdRng::seed_from_u64(setting.seed);
    let mut two = Two::apart(setting)?;
    two.open(stages)?;
    for round in 1..=rounds {
        (setting.progress)(&format!("relocation {round} of {rounds}"));
        let made = relocate(&mut two, stages, &mut random, driven);
        made.with_context(|| format!("relocation {round}\n{}", two.logs()))?;
        if stages.iter().any(Stage::has_failed) {
            break; // the client says what it is
        }
    }
    two.drain(stages, PATIENCE)?;
    Ok(two.end())
}

fn relocate(
    two: &mut Two,
    stages: &[Stage; 2],
    random: &mut StdRng,
    driven: &mut Driven,
) -> Result<()> {
    let from = random.random_range(0..2);
    let carrier = two.relocate(from)?;
    std::thread::sleep(Duration::from_millis(random.random_range(STRUCK_MS)));
    match random.random_range(0..4) {
        0 => {
            driven.kills += 1;
            drop(carrier);
        }
        struck @ 1..3 => {
            driven.kills += 1;
            let victim = if struck == 1 { from } else { 1 - from };
            two.kill_under(victim, stages, PUBLISHERS)?;
            carrier.finish()?;
            two.raise(victim)?;
            stages[victim].raise(two.address(victim)?);
        }
        _ => {
            if let Some(told) = carrier.finish()? {
                let told: serde_json::Value = serde_json::from_str(&told).context("-o json")?;
                driven.moved += told["messages"].as_u64().unwrap_or(0);
                driven.completed += 1;
            }
        }
    }
    Ok(())
}
